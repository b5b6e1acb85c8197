/* Dedup keys of a home: what was answered to the first message with a key on a topic, for as long as the window. The
 * number of readers that wanted a message settles shortly after its commit, so the first few seconds hold the message
 * itself and then only its numbers: a payload is never kept for the window's sake. */
#include "storage/memory/home.h"

enum { SETTLE_MS = 5000 };

struct mem_first {
    struct slu_map_node node;
    struct slu_list link; /* dedup.order */
    struct slu_msg *msg;  /* until settled */
    struct slu_pos pos;
    uint32_t matched;
    uint64_t at_ms;
    size_t topic_len, key_len;
    uint8_t bytes[]; /* topic, key */
};

static uint64_t hash_of(const struct slu_msg *m)
{
    return slu_hash_below(slu_hash(m->topic), m->dedup);
}

static bool is_first_of(const struct slu_map_node *n, const void *arg)
{
    const struct mem_first *f = (const void *)n;
    const struct slu_msg *m = arg;
    return slu_bytes_eq(slu_bytes(f->bytes, f->topic_len), m->topic) &&
           slu_bytes_eq(slu_bytes(f->bytes + f->topic_len, f->key_len), m->dedup);
}

static size_t size_of(const struct mem_first *f)
{
    return sizeof(*f) + f->topic_len + f->key_len;
}

static void settle(struct mem_home *h, struct mem_first *f)
{
    uint32_t matched = atomic_load_explicit(&f->msg->matched, memory_order_relaxed);
    f->matched = matched == SLU_MATCHED_OPEN ? 0 : matched;
    mem_release(h, &f->msg);
    h->dedup.settled = &f->link;
}

static void drop(struct mem_home *h, struct mem_first *f)
{
    if (h->dedup.settled == &f->link)
        h->dedup.settled = f->link.prev;
    mem_release(h, &f->msg);
    slu_list_remove(&f->link);
    slu_map_del(&h->dedup.map, &f->node);
    mem_free(h, f, size_of(f));
}

static struct mem_first *oldest(const struct mem_home *h)
{
    struct slu_list *first = h->dedup.order.next;
    return first == &h->dedup.order ? NULL : slu_container_of(first, struct mem_first, link);
}

static bool is_over(const struct mem_home *h, const struct mem_first *f, uint64_t now)
{
    return now >= f->at_ms && now - f->at_ms >= h->env->dedup_window_ms;
}

struct mem_first *mem_dedup_new(struct mem_home *h, const struct slu_msg *m)
{
    if (h->dedup.map.n >= MEM_DEDUP_MAX)
        drop(h, oldest(h));
    struct mem_first *f = mem_alloc(h, sizeof(*f) + m->topic.len + m->dedup.len);
    if (!f)
        return NULL;
    f->topic_len = m->topic.len;
    f->key_len = m->dedup.len;
    memcpy(f->bytes, m->topic.data, m->topic.len);
    memcpy(f->bytes + m->topic.len, m->dedup.data, m->dedup.len);
    if (!slu_map_add_hashed(&h->dedup.map, &f->node, hash_of(m))) {
        mem_free(h, f, size_of(f));
        return NULL;
    }
    mem_charge_maps(h);
    return f;
}

void mem_dedup_discard(struct mem_home *h, struct mem_first *f)
{
    if (!f)
        return;
    slu_map_del(&h->dedup.map, &f->node);
    mem_charge_maps(h);
    mem_free(h, f, size_of(f));
}

void mem_dedup_add(struct mem_home *h, struct mem_first *f, struct slu_msg *m, uint64_t now)
{
    f->msg = slu_msg_ref(m);
    mem_hold(h, m);
    f->pos = m->pos;
    f->at_ms = now;
    slu_list_push_back(&h->dedup.order, &f->link);
}

bool mem_dedup_find(struct mem_home *h, const struct slu_msg *m, uint64_t now, struct slu_pos *pos, uint32_t *matched)
{
    struct mem_first *f = (void *)slu_map_find(&h->dedup.map, hash_of(m), is_first_of, m);
    if (!f)
        return false;
    if (is_over(h, f, now)) {
        drop(h, f);
        return false;
    }
    *pos = f->pos;
    *matched = f->msg ? atomic_load_explicit(&f->msg->matched, memory_order_relaxed) : f->matched;
    return true;
}

void mem_dedup_sweep(struct mem_home *h, uint64_t now)
{
    struct mem_dedup *d = &h->dedup;
    while (oldest(h) && is_over(h, oldest(h), now))
        drop(h, oldest(h));
    for (struct slu_list *it = d->settled->next; it != &d->order; it = it->next) {
        struct mem_first *f = slu_container_of(it, struct mem_first, link);
        if (now < f->at_ms || now - f->at_ms < SETTLE_MS)
            break;
        settle(h, f);
    }
    mem_charge_maps(h);
}

void mem_dedup_fini(struct mem_home *h)
{
    while (oldest(h))
        drop(h, oldest(h));
    slu_map_fini(&h->dedup.map);
}
