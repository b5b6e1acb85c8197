/* Homes: what they hold in all, and how they stay within their share of the process's memory. */
#include "storage/memory/home.h"

#include <stdlib.h>

enum {
    LOGS_PART = 2,    /* all homes together may take one part in this many of the budget */
    LOOK_DEEPER = 256 /* oldest entries searched for one that is not its topic's newest */
};

static struct slu_bytes name_of(const struct slu_map_node *n)
{
    return ((const struct mem_topic *)(const void *)n)->ordered.name;
}

struct mem_home *mem_home_new(const struct slu_engine_env *env, unsigned index)
{
    struct mem_home *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->env = env;
    h->index = index;
    h->epoch = mem_epoch(env, UINT64_MAX);
    h->share = env->account->budget / LOGS_PART / env->workers;
    slu_map_init(&h->topics, name_of);
    slu_list_init(&h->all);
    slu_list_init(&h->lasts);
    slu_list_init(&h->idle);
    slu_list_init(&h->dedup.order);
    slu_map_init(&h->dedup.map, NULL);
    h->dedup.settled = &h->dedup.order;
    mem_state_init(h);
    h->bytes = sizeof(*h);
    slu_account_add(env->account, sizeof(*h));
    return h;
}

static void free_topic(struct mem_home *h, struct mem_topic *t)
{
    for (size_t i = 0; i < t->log.n; i++)
        mem_release(h, &mem_slot_at(t, i)->msg);
    t->log.n = 0;
    mem_ring_drop(h, t);
    mem_release(h, &t->retained);
    mem_release(h, &t->last);
    mem_free(h, t, sizeof(*t) + t->ordered.name.len);
}

void mem_home_free(struct mem_home *h)
{
    if (!h)
        return;
    slu_list_each (it, &h->all)
        free_topic(h, slu_container_of(it, struct mem_topic, all));
    mem_dedup_fini(h);
    mem_state_fini(h);
    slu_map_fini(&h->topics);
    mem_charge_maps(h);
    mem_free(h, h->commits.entries, h->commits.cap * sizeof(struct mem_entry));
    slu_account_sub(h->env->account, sizeof(*h));
    free(h);
}

uint64_t mem_now(const struct mem_home *h)
{
    return h->env->wall_ms(h->env->arg);
}

void *mem_alloc(struct mem_home *h, size_t size)
{
    void *p = calloc(1, size);
    if (!p)
        return NULL;
    h->bytes += size;
    slu_account_add(h->env->account, size);
    return p;
}

void mem_free(struct mem_home *h, void *p, size_t size)
{
    if (!p)
        return;
    h->bytes -= size;
    slu_account_sub(h->env->account, size);
    free(p);
}

void mem_hold(struct mem_home *h, const struct slu_msg *m)
{
    h->bytes += m->size;
}

void mem_release(struct mem_home *h, struct slu_msg **m)
{
    if (!*m)
        return;
    h->bytes -= (*m)->size;
    slu_msg_unref(*m);
    *m = NULL;
}

void mem_charge_maps(struct mem_home *h)
{
    size_t now = slu_map_bytes(&h->topics) + slu_map_bytes(&h->dedup.map) + slu_map_bytes(&h->states);
    h->bytes += now - h->map_bytes;
    slu_account_add(h->env->account, now);
    slu_account_sub(h->env->account, h->map_bytes);
    h->map_bytes = now;
}

/* The oldest entry whose topic has a newer one, so that each topic keeps at least its newest; NULL when not near. */
static struct mem_topic *oldest_with_more(const struct mem_home *h)
{
    const struct mem_commits *c = &h->commits;
    for (size_t i = c->start, left = LOOK_DEEPER; i < c->end && left; i++, left--) {
        struct mem_topic *t = c->entries[i].topic;
        if (t && t->log.n > 1)
            return t;
    }
    return NULL;
}

/* Gives up one message. A topic with more than an even part of the share pays itself; else the oldest history of all
 * goes, then last values, then whole logs. Retained values stay. */
static bool give_up_one(struct mem_home *h, struct mem_topic *t)
{
    size_t part = h->share / (h->topics.n ? h->topics.n : 1);
    if (!t || t->log.n < 2 || t->log.bytes <= part)
        t = oldest_with_more(h);
    if (!t && !slu_list_empty(&h->lasts)) {
        t = slu_container_of(h->lasts.next, struct mem_topic, resting);
        mem_release(h, &t->last);
        mem_topic_rest(h, t);
        return true;
    }
    if (!t && h->commits.start < h->commits.end)
        t = h->commits.entries[h->commits.start].topic; /* never a hole: those at the front are cut off */
    if (!t)
        return false;
    mem_trim_front(h, t, MEM_DROP);
    mem_topic_rest(h, t);
    return true;
}

bool mem_make_room(struct mem_home *h, struct mem_topic *t, size_t n)
{
    if (!h->share)
        return true;
    if (n > h->share)
        return false;
    while (h->bytes > h->share - n) {
        if (!give_up_one(h, t))
            return false;
    }
    return true;
}
