/* A page of messages: grows by doubling up to what the request allows. */
#include "storage/memory/home.h"

#include <stdlib.h>

enum { FIRST_CAP = 16 };

bool mem_page_fits(const struct mem_page *p, size_t items, size_t bytes)
{
    if (p->n == 0 && items == 1)
        return true;
    return items <= p->max_items && p->n <= p->max_items - items && bytes <= p->max_bytes &&
           p->bytes <= p->max_bytes - bytes;
}

static bool grow(struct mem_page *p)
{
    size_t cap = p->cap ? p->cap * 2 : FIRST_CAP;
    struct slu_msg **msgs = realloc(p->msgs, cap * sizeof(*msgs));
    if (!msgs)
        return false;
    p->msgs = msgs;
    if (p->with_retained) {
        bool *retained = realloc(p->retained, cap * sizeof(*retained));
        if (!retained)
            return false;
        p->retained = retained;
    }
    p->cap = cap;
    return true;
}

bool mem_page_add(struct mem_page *p, struct slu_msg *m, bool retained)
{
    if (p->n == p->cap && !grow(p))
        return false;
    if (p->with_retained)
        p->retained[p->n] = retained;
    p->msgs[p->n++] = slu_msg_ref(m);
    p->bytes += m->size;
    return true;
}

void mem_page_free(struct mem_page *p)
{
    slu_page_free(p->msgs, p->n);
    free(p->retained);
    *p = (struct mem_page){ 0 };
}
