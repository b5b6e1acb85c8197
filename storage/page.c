#include "storage/page.h"

#include <stdlib.h>

enum { FIRST_CAP = 16 };

bool slu_page_fits(const struct slu_page *p, size_t items, size_t bytes)
{
    if (p->n == 0 && items == 1)
        return true;
    return items <= p->max_items && p->n <= p->max_items - items && bytes <= p->max_bytes &&
           p->bytes <= p->max_bytes - bytes;
}

static bool grow(struct slu_page *p)
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

bool slu_page_take(struct slu_page *p, struct slu_msg *m, bool retained)
{
    if (p->n == p->cap && !grow(p))
        return false;
    if (p->with_retained)
        p->retained[p->n] = retained;
    p->msgs[p->n++] = m;
    p->bytes += m->size;
    return true;
}

bool slu_page_add(struct slu_page *p, struct slu_msg *m, bool retained)
{
    if (!slu_page_take(p, m, retained))
        return false;
    slu_msg_ref(m);
    return true;
}

void slu_page_reverse(struct slu_page *p, size_t from)
{
    for (size_t i = from, j = p->n; i + 1 < j; i++) {
        struct slu_msg *m = p->msgs[i];
        p->msgs[i] = p->msgs[--j];
        p->msgs[j] = m;
        if (p->with_retained) {
            bool r = p->retained[i];
            p->retained[i] = p->retained[j];
            p->retained[j] = r;
        }
    }
}

void slu_page_cut(struct slu_page *p, size_t from)
{
    while (p->n > from) {
        p->bytes -= p->msgs[--p->n]->size;
        slu_msg_unref(p->msgs[p->n]);
    }
}

void slu_page_fini(struct slu_page *p)
{
    slu_page_free(p->msgs, p->n);
    free(p->retained);
    *p = (struct slu_page){ 0 };
}
