/* Topics of a home: made when first needed, forgotten when nothing of them is held and their place is needed. What
 * must outlive a forgotten topic is kept by bucket, in a fixed amount of memory: a generation, from which the epoch
 * follows, so that old positions never fit a topic that comes back; and the newest seq that was lost, so that
 * cursors from before are told. Topics that share a bucket share its caution: a position may be refused in vain,
 * never served wrongly. */
#include "storage/memory/home.h"

#include "broker/core/topic.h"

/* Workers share topics out by the hash modulo their number, so its low bits say little here. */
static size_t bucket_of(struct slu_bytes name)
{
    return slu_hash(name) >> 32 & (MEM_BUCKETS - 1);
}

static size_t root_of(struct slu_bytes name)
{
    bool more;
    return bucket_of(slu_topic_next_level(&name, &more));
}

/* splitmix64's finish: neighbours in, strangers out. */
static uint64_t mix(uint64_t v)
{
    v += UINT64_C(0x9e3779b97f4a7c15);
    v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
    return v ^ v >> 31;
}

/* Seeds of two processes may be neighbours, and so may generations of one: mixed, their epochs do not meet. */
uint64_t mem_epoch(const struct slu_engine_env *env, uint64_t generation)
{
    uint64_t epoch = mix(mix(env->epoch_seed) ^ generation) & ((UINT64_C(1) << 53) - 1);
    return epoch ? epoch : 1;
}

uint64_t mem_epoch_of(const struct mem_home *h, struct slu_bytes name)
{
    return mem_epoch(h->env, h->by_topic[bucket_of(name)].generation);
}

struct mem_topic *mem_topic_find(const struct mem_home *h, struct slu_bytes name)
{
    return (struct mem_topic *)(void *)slu_map_get(&h->topics, name);
}

/* At the limit a topic that holds the least goes: an idle one, else the oldest last value. */
static bool make_place(struct mem_home *h)
{
    if (h->topics.n < MEM_TOPICS_MAX)
        return true;
    struct slu_list *list = slu_list_empty(&h->idle) ? &h->lasts : &h->idle;
    if (slu_list_empty(list))
        return false;
    mem_topic_forget(h, slu_container_of(list->next, struct mem_topic, resting));
    return true;
}

enum slu_err mem_topic_need(struct mem_home *h, struct slu_bytes name, struct mem_topic **out)
{
    *out = mem_topic_find(h, name);
    if (*out)
        return SLU_OK;
    if (!make_place(h))
        return SLU_ELIMIT_REACHED;
    size_t size = sizeof(struct mem_topic) + name.len;
    if (!mem_make_room(h, NULL, size))
        return SLU_ENOMEM;
    struct mem_topic *t = mem_alloc(h, size);
    if (!t)
        return SLU_ENOMEM;
    memcpy(t->bytes, name.data, name.len);
    t->ordered.name = slu_bytes(t->bytes, name.len);
    if (!slu_map_add(&h->topics, &t->node)) {
        mem_free(h, t, size);
        return SLU_ENOMEM;
    }
    mem_charge_maps(h);
    t->epoch = mem_epoch_of(h, name);
    t->born_seq = h->seq;
    t->floor_seq = mem_gone_seq(h, name);
    t->ordered.order = t->node.hash;
    slu_topic_index_add(&h->ordered, &t->ordered);
    slu_list_push_back(&h->all, &t->all);
    slu_list_init(&t->resting);
    mem_topic_rest(h, t);
    *out = t;
    return SLU_OK;
}

static void leave_rest(struct mem_home *h, struct mem_topic *t)
{
    slu_list_remove(&t->resting);
    if (t->state == MEM_IDLE)
        h->n_idle--;
    t->state = MEM_BUSY;
}

void mem_topic_rest(struct mem_home *h, struct mem_topic *t)
{
    enum mem_state state = t->log.n || t->retained ? MEM_BUSY : t->last ? MEM_LAST : MEM_IDLE;
    if (state == t->state)
        return;
    leave_rest(h, t);
    t->state = state;
    if (state == MEM_LAST)
        slu_list_push_back(&h->lasts, &t->resting);
    if (state != MEM_IDLE)
        return;
    slu_list_push_back(&h->idle, &t->resting);
    t->idle_ms = mem_now(h);
    if (++h->n_idle > MEM_IDLE_MAX)
        mem_topic_forget(h, slu_container_of(h->idle.next, struct mem_topic, resting));
}

void mem_topic_forget(struct mem_home *h, struct mem_topic *t)
{
    struct mem_bucket *b = &h->by_topic[bucket_of(t->ordered.name)];
    size_t root = root_of(t->ordered.name);
    if (t->head) /* else no position of it is out */
        b->generation++;
    if (b->gone_seq < t->ordered.trimmed_seq)
        b->gone_seq = t->ordered.trimmed_seq;
    if (h->gone_by_root[root] < t->ordered.trimmed_seq)
        h->gone_by_root[root] = t->ordered.trimmed_seq;
    if (h->gone_seq < t->ordered.trimmed_seq)
        h->gone_seq = t->ordered.trimmed_seq;
    leave_rest(h, t);
    mem_release(h, &t->last);
    mem_ring_drop(h, t);
    slu_topic_index_del(&h->ordered, &t->ordered);
    slu_list_remove(&t->all);
    slu_map_del(&h->topics, &t->node);
    mem_charge_maps(h);
    mem_free(h, t, sizeof(*t) + t->ordered.name.len);
}

uint64_t mem_gone_seq(const struct mem_home *h, struct slu_bytes exact)
{
    return h->by_topic[bucket_of(exact)].gone_seq;
}

uint64_t mem_gone_seq_wild(const struct mem_home *h, struct slu_bytes filter)
{
    struct slu_bytes rest = filter;
    bool more;
    struct slu_bytes level = slu_topic_next_level(&rest, &more);
    if (slu_level_is_plus(level) || slu_level_is_hash(level))
        return h->gone_seq;
    return h->gone_by_root[root_of(filter)];
}
