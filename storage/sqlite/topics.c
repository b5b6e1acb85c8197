/* Topics in memory: born when first needed, forgotten when nothing of them is held and their place is needed. A batch
 * changes drafts; its commit publishes them, its failure drops them. */
#include "storage/sqlite/writer.h"

#include "broker/core/topic.h"

#include <assert.h>
#include <stdlib.h>

enum { IDLE_MS = 24 * 3600 * 1000, SEARCH_MAX = 64, FORGETS = 256 };

static struct slu_bytes name_of(const struct slu_map_node *n)
{
    return slu_container_of(n, const struct sql_topic, by_name)->node.name;
}

static struct slu_bytes id_of(const struct slu_map_node *n)
{
    const struct sql_topic *t = slu_container_of(n, const struct sql_topic, by_id);
    return slu_bytes(&t->id, sizeof(t->id));
}

void sql_topics_init(struct sql_writer *w)
{
    slu_map_init(&w->st->by_name, name_of);
    slu_map_init(&w->st->by_id, id_of);
    slu_list_init(&w->all);
    slu_list_init(&w->lasts);
    slu_list_init(&w->idle);
    w->n_idle = 0;
    w->age_left = 0;
}

/* Of the maps; what topics take is charged with them. */
static void charge(struct sql_store *st)
{
    size_t now = slu_map_bytes(&st->by_name) + slu_map_bytes(&st->by_id);
    slu_account_add(st->env.account, now);
    slu_account_sub(st->env.account, st->charged);
    st->charged = now;
}

static bool is_there(const struct slu_map_node *n, const void *name)
{
    const struct sql_topic *t = slu_container_of(n, const struct sql_topic, by_name);
    return !t->is_forgotten && slu_bytes_eq(t->node.name, *(const struct slu_bytes *)name);
}

struct sql_topic *sql_topic_find(struct sql_writer *w, struct slu_bytes name)
{
    struct slu_map_node *n = slu_map_find(&w->st->by_name, slu_hash(name), is_there, &name);
    return n ? slu_container_of(n, struct sql_topic, by_name) : NULL;
}

struct sql_topic *sql_topic_by_id(struct sql_writer *w, uint64_t id)
{
    struct slu_map_node *n = slu_map_get(&w->st->by_id, slu_bytes(&id, sizeof(id)));
    struct sql_topic *t = n ? slu_container_of(n, struct sql_topic, by_id) : NULL;
    return t && !t->is_forgotten ? t : NULL;
}

/* ---- drafts ---- */

static struct sql_draft *draft_new(struct sql_writer *w, struct sql_topic *t)
{
    struct sql_draft *d = w->spare_drafts;
    if (d)
        w->spare_drafts = d->next;
    else
        d = sql_alloc(w->st, sizeof(*d));
    if (!d)
        return NULL;
    *d = (struct sql_draft){ .log = t->log, .topic = t };
    t->draft = d;
    *w->batch.drafts_end = d;
    w->batch.drafts_end = &d->next;
    return d;
}

struct sql_log *sql_touch(struct sql_writer *w, struct sql_topic *t)
{
    struct sql_draft *d = t->draft ? t->draft : draft_new(w, t);
    return d ? &d->log : NULL;
}

static void drafts_done(struct sql_writer *w)
{
    *w->batch.drafts_end = w->spare_drafts;
    w->spare_drafts = w->batch.drafts;
    w->batch.drafts = NULL;
    w->batch.drafts_end = &w->batch.drafts;
}

/* ---- birth and end ---- */

struct sql_topic *sql_topic_add(struct sql_writer *w, uint64_t id, struct slu_bytes name, const struct sql_log *log)
{
    struct sql_store *st = w->st;
    struct sql_topic *t = sql_alloc(st, sizeof(*t) + name.len);
    if (!t)
        return NULL;
    memcpy(t->bytes, name.data, name.len);
    t->node.name = slu_bytes(t->bytes, name.len);
    t->node.trimmed_seq = log->trimmed_seq;
    t->id = id;
    t->log = *log;
    slu_list_init(&t->resting);
    slu_list_init(&t->unclean);
    pthread_mutex_lock(&st->lock);
    bool ok = slu_map_add(&st->by_name, &t->by_name);
    if (ok && !slu_map_add(&st->by_id, &t->by_id)) {
        slu_map_del(&st->by_name, &t->by_name);
        ok = false;
    }
    if (ok) {
        t->node.order = t->by_name.hash;
        slu_topic_index_add(&st->index, &t->node);
    }
    charge(st);
    pthread_mutex_unlock(&st->lock);
    if (!ok) {
        sql_free(st, t, sizeof(*t) + name.len);
        return NULL;
    }
    slu_list_push_back(&w->all, &t->all);
    return t;
}

static void leave_rest(struct sql_writer *w, struct sql_topic *t)
{
    slu_list_remove(&t->resting);
    if (t->rest == SQL_IDLE)
        w->n_idle--;
    t->rest = SQL_BUSY;
}

static void unlink_topic(struct sql_writer *w, struct sql_topic *t)
{
    struct sql_store *st = w->st;
    slu_topic_index_del(&st->index, &t->node);
    slu_map_del(&st->by_name, &t->by_name);
    slu_map_del(&st->by_id, &t->by_id);
    charge(st);
    leave_rest(w, t);
    slu_list_remove(&t->all);
    slu_list_remove(&t->unclean);
    sql_window_drop(w, t);
}

static void free_topic(struct sql_writer *w, struct sql_topic *t)
{
    sql_free(w->st, t, sizeof(*t) + t->node.name.len);
}

void sql_topics_free(struct sql_writer *w)
{
    struct sql_store *st = w->st;
    sql_windows_free(w);
    slu_list_each (it, &w->all)
        free_topic(w, slu_container_of(it, struct sql_topic, all));
    pthread_mutex_lock(&st->lock);
    slu_map_fini(&st->by_name);
    slu_map_fini(&st->by_id);
    st->index.root = NULL;
    charge(st);
    pthread_mutex_unlock(&st->lock);
    while (w->spare_drafts) {
        struct sql_draft *d = w->spare_drafts;
        w->spare_drafts = d->next;
        sql_free(st, d, sizeof(*d));
    }
    slu_list_init(&w->unclean);
    sql_topics_init(w);
}

void sql_topic_rest(struct sql_writer *w, struct sql_topic *t)
{
    const struct sql_log *log = &t->log;
    bool holds = log->first <= log->head || log->has_retained;
    enum sql_rest rest = holds ? SQL_BUSY : log->head && log->last_value ? SQL_LAST : SQL_IDLE;
    if (rest == t->rest)
        return;
    leave_rest(w, t);
    t->rest = rest;
    if (rest == SQL_LAST)
        slu_list_push_back(&w->lasts, &t->resting);
    if (rest != SQL_IDLE)
        return;
    slu_list_push_back(&w->idle, &t->resting);
    t->idle_ms = w->now;
    w->n_idle++;
}

static void put_bucket(struct sql_writer *w, enum sql_text which, uint64_t bucket, uint64_t value)
{
    sqlite3_stmt *s = sql_get(&w->db, which);
    sql_bind_u64(s, 1, bucket);
    sql_bind_u64(s, 2, value);
    sql_run(&w->db, s);
}

static void lift(uint64_t *v, uint64_t to)
{
    if (*v < to)
        *v = to;
}

static void delete_rows(struct sql_writer *w, const struct sql_topic *t)
{
    sqlite3_stmt *s = sql_get(&w->db, SQL_TOPIC_DELETE);
    sql_bind_u64(s, 1, t->id);
    sql_run(&w->db, s);
    s = sql_get(&w->db, SQL_TRIM); /* its last value, if it kept one */
    sql_bind_u64(s, 1, t->id);
    sql_bind_u64(s, 2, INT64_MAX);
    sql_bind_u64(s, 3, SQL_SLICE);
    sql_run(&w->db, s);
}

/* Only one that no request of this batch has touched, and whose trimmed rows are deleted. */
static bool forget(struct sql_writer *w, struct sql_topic *t)
{
    if (t->draft || !slu_list_empty(&t->unclean))
        return false;
    struct sql_draft *d = draft_new(w, t);
    if (!d)
        return false;
    d->is_gone = t->is_forgotten = true;
    delete_rows(w, t);
    size_t bucket = sql_bucket(t->node.name), root = sql_root_bucket(t->node.name);
    w->batch.has_gone = true;
    lift(&w->gone.by_topic[bucket], t->log.trimmed_seq);
    lift(&w->gone.by_root[root], t->log.trimmed_seq);
    lift(&w->gone.newest, t->log.trimmed_seq);
    put_bucket(w, SQL_GONE_PUT, bucket, w->gone.by_topic[bucket]);
    put_bucket(w, SQL_GONE_PUT, SQL_BUCKETS + root, w->gone.by_root[root]);
    if (t->log.head) { /* else no position of it is out */
        w->gone.generation[bucket]++;
        put_bucket(w, SQL_REBIRTH_PUT, bucket, w->gone.generation[bucket]);
    }
    return true;
}

static bool forget_first(struct sql_writer *w, struct slu_list *list)
{
    size_t left = SEARCH_MAX;
    slu_list_each (it, list) {
        if (left-- == 0)
            break;
        if (forget(w, slu_container_of(it, struct sql_topic, resting)))
            return true;
    }
    return false;
}

/* At the limit a topic that holds the least goes: an idle one, else the oldest last value. */
static bool make_place(struct sql_writer *w)
{
    return w->st->by_name.n < SQL_TOPICS_MAX || forget_first(w, &w->idle) || forget_first(w, &w->lasts);
}

enum slu_err sql_topic_need(struct sql_writer *w, struct slu_bytes name, struct sql_topic **out)
{
    *out = sql_topic_find(w, name);
    if (*out)
        return SLU_OK;
    if (!make_place(w))
        return SLU_ELIMIT_REACHED;
    size_t bucket = sql_bucket(name);
    struct sql_log log = {
        .epoch = sql_epoch(w->st, w->gone.generation[bucket]),
        .first = 1,
        .born_seq = w->totals.seq,
        .floor_seq = w->gone.by_topic[bucket],
    };
    struct sql_topic *t = sql_topic_add(w, w->totals.next_id, name, &log);
    if (!t)
        return SLU_ENOMEM;
    struct sql_draft *d = draft_new(w, t);
    if (!d) {
        pthread_mutex_lock(&w->st->lock);
        unlink_topic(w, t);
        pthread_mutex_unlock(&w->st->lock);
        free_topic(w, t);
        return SLU_ENOMEM;
    }
    d->is_new = true;
    w->totals.next_id++;
    *out = t;
    return SLU_OK;
}

/* ---- the end of a batch ---- */

static void write_row(struct sql_writer *w, const struct sql_draft *d)
{
    const struct sql_log *l = &d->log;
    sqlite3_stmt *s = sql_get(&w->db, d->is_new ? SQL_TOPIC_INSERT : SQL_TOPIC_UPDATE);
    const uint64_t values[] = {
        d->topic->id, l->epoch,       l->head,      l->first,     l->bytes,      l->born_seq,
        l->floor_seq, l->trimmed_seq, l->max_count, l->max_bytes, l->max_age_ms, l->last_value
    };
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        sql_bind_u64(s, (int)i + 1, values[i]);
    if (d->is_new)
        sql_bind_bytes(s, 13, d->topic->node.name);
    sql_run(&w->db, s);
}

void sql_topics_write(struct sql_writer *w)
{
    for (const struct sql_draft *d = w->batch.drafts; d && !sql_is_broken(w); d = d->next) {
        if (!d->is_gone)
            write_row(w, d);
    }
}

static void publish(struct sql_writer *w, struct sql_draft *d)
{
    struct sql_topic *t = d->topic;
    t->draft = NULL;
    if (d->is_gone) {
        unlink_topic(w, t);
        return;
    }
    t->log = d->log;
    t->is_public = true;
    slu_topic_index_raise(&t->node, t->log.trimmed_seq);
}

void sql_topics_committed(struct sql_writer *w)
{
    struct sql_store *st = w->st;
    pthread_mutex_lock(&st->lock);
    for (struct sql_draft *d = w->batch.drafts; d; d = d->next)
        publish(w, d);
    if (w->batch.has_gone)
        st->gone = w->gone;
    st->fed_seq = w->totals.seq;
    if (st->is_feeding) {
        st->is_feeding = false;
        st->feeds++;
        pthread_cond_broadcast(&st->fed);
    }
    pthread_mutex_unlock(&st->lock);
    for (struct sql_draft *d = w->batch.drafts; d; d = d->next) {
        if (d->is_gone) {
            free_topic(w, d->topic);
            continue;
        }
        sql_topic_rest(w, d->topic);
        sql_mark_unclean(w, d->topic);
    }
    drafts_done(w);
}

void sql_topics_undo(struct sql_writer *w)
{
    struct sql_store *st = w->st;
    pthread_mutex_lock(&st->lock);
    for (struct sql_draft *d = w->batch.drafts; d; d = d->next) {
        struct sql_topic *t = d->topic;
        t->draft = NULL;
        t->is_forgotten = false;
        t->first_ts = 0;
        sql_window_forget(t);
        if (d->is_new)
            unlink_topic(w, t);
    }
    pthread_mutex_unlock(&st->lock);
    for (struct sql_draft *d = w->batch.drafts; d; d = d->next) {
        if (d->is_new)
            free_topic(w, d->topic);
    }
    if (w->batch.has_gone)
        w->gone = st->gone;
    drafts_done(w);
}

/* Whether the one that is idle longest must go, after n others have. */
static bool is_due(const struct sql_writer *w, size_t n)
{
    if (slu_list_empty(&w->idle))
        return false;
    const struct sql_topic *t = slu_container_of(w->idle.next, struct sql_topic, resting);
    return w->n_idle - n > SQL_IDLE_MAX || (w->now >= t->idle_ms && w->now - t->idle_ms >= IDLE_MS);
}

bool sql_topics_sweep(struct sql_writer *w)
{
    size_t n = 0;
    for (; n < FORGETS && is_due(w, n); n++) {
        struct sql_topic *t = slu_container_of(w->idle.next, struct sql_topic, resting);
        if (!forget(w, t))
            return true;
        /* It leaves the list with the commit; until then those that follow come first. */
        slu_list_remove(&t->resting);
        slu_list_push_back(&w->idle, &t->resting);
    }
    return n < FORGETS;
}
