/* What readers may see of topics: only what was committed, fed and published. Everything here is a copy made under the
 * lock, so that no reader ever holds a topic that the writer may forget. */
#include "storage/sqlite/store.h"

#include "broker/core/topic.h"

#include <xxhash.h>

/* A fixed seed: what forgotten topics left behind must be found again by the next process. Who finds two topics of one
 * bucket gains nothing but a position that is refused in vain. */
static size_t bucket_of(struct slu_bytes name)
{
    return XXH3_64bits_withSeed(name.data, name.len, UINT64_C(0x736c75696365)) & (SQL_BUCKETS - 1);
}

size_t sql_bucket(struct slu_bytes topic)
{
    return bucket_of(topic);
}

size_t sql_root_bucket(struct slu_bytes topic)
{
    bool more;
    return bucket_of(slu_topic_next_level(&topic, &more));
}

/* splitmix64's finish: neighbours in, strangers out. */
static uint64_t mix(uint64_t v)
{
    v += UINT64_C(0x9e3779b97f4a7c15);
    v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
    return v ^ v >> 31;
}

uint64_t sql_epoch(const struct sql_store *st, uint64_t generation)
{
    uint64_t epoch = mix(mix(st->epoch) ^ generation) & SQL_EPOCH_MAX;
    return epoch ? epoch : 1;
}

static bool is_public(const struct slu_map_node *n, const void *name)
{
    const struct sql_topic *t = slu_container_of(n, const struct sql_topic, by_name);
    return t->is_public && slu_bytes_eq(t->node.name, *(const struct slu_bytes *)name);
}

void sql_view(struct sql_store *st, struct slu_bytes topic, struct sql_view *out)
{
    uint64_t hash = slu_hash(topic);
    size_t bucket = sql_bucket(topic);
    pthread_mutex_lock(&st->lock);
    struct slu_map_node *n = slu_map_find(&st->by_name, hash, is_public, &topic);
    out->fed_seq = st->fed_seq;
    out->is_known = n != NULL;
    out->gone_seq = st->gone.by_topic[bucket];
    if (n) {
        const struct sql_topic *t = slu_container_of(n, struct sql_topic, by_name);
        out->id = t->id;
        out->log = t->log;
        out->epoch = t->log.epoch;
    } else {
        out->epoch = sql_epoch(st, st->gone.generation[bucket]);
    }
    pthread_mutex_unlock(&st->lock);
}

uint64_t sql_fed_seq(struct sql_store *st)
{
    pthread_mutex_lock(&st->lock);
    uint64_t seq = st->fed_seq;
    pthread_mutex_unlock(&st->lock);
    return seq;
}

void sql_wait_fed(struct sql_store *st)
{
    pthread_mutex_lock(&st->lock);
    uint64_t feeds = st->feeds;
    while (st->is_feeding && st->feeds == feeds)
        pthread_cond_wait(&st->fed, &st->lock);
    pthread_mutex_unlock(&st->lock);
}

static struct sql_topic *topic_of_node(struct slu_topic_node *n)
{
    return slu_container_of(n, struct sql_topic, node);
}

static void copy_name(const struct sql_topic *t, uint8_t *name, size_t *len)
{
    memcpy(name, t->node.name.data, t->node.name.len);
    *len = t->node.name.len;
}

bool sql_view_next(struct sql_store *st, struct slu_bytes prefix, struct slu_bytes after, bool exclusive, uint8_t *name,
                   size_t *len, struct sql_view *out)
{
    pthread_mutex_lock(&st->lock);
    struct slu_topic_node *n = slu_topic_index_from(&st->index, after, exclusive);
    while (n && !topic_of_node(n)->is_public)
        n = slu_topic_index_next(n);
    bool found = n && slu_bytes_starts(n->name, prefix);
    if (found) {
        const struct sql_topic *t = topic_of_node(n);
        copy_name(t, name, len);
        *out = (struct sql_view){ st->fed_seq, true, t->id, t->log, t->log.epoch, 0 };
    }
    pthread_mutex_unlock(&st->lock);
    return found;
}

bool sql_view_id(struct sql_store *st, uint64_t id, uint8_t *name, size_t *len, struct sql_log *out)
{
    struct slu_bytes key = slu_bytes(&id, sizeof(id));
    pthread_mutex_lock(&st->lock);
    struct slu_map_node *n = slu_map_get(&st->by_id, key);
    const struct sql_topic *t = n ? slu_container_of(n, struct sql_topic, by_id) : NULL;
    bool found = t && t->is_public;
    if (found) {
        copy_name(t, name, len);
        *out = t->log;
    }
    pthread_mutex_unlock(&st->lock);
    return found;
}

static uint64_t gone_seq(const struct sql_store *st, struct slu_bytes filter)
{
    struct slu_bytes rest = filter;
    bool more;
    struct slu_bytes level = slu_topic_next_level(&rest, &more);
    if (slu_level_is_plus(level) || slu_level_is_hash(level))
        return st->gone.newest;
    return st->gone.by_root[sql_root_bucket(filter)];
}

bool sql_view_lost(struct sql_store *st, struct slu_bytes filter, uint64_t after, uint64_t upto)
{
    pthread_mutex_lock(&st->lock);
    uint64_t gone = gone_seq(st, filter);
    bool lost = (after < gone && gone <= upto) || slu_topic_index_lost(&st->index, filter, after, upto, SQL_LOOK_MAX);
    pthread_mutex_unlock(&st->lock);
    return lost;
}
