/* Retained values of topics whose log is elsewhere, on their way to the file: a map topic -> newest value, filled by any
 * thread and emptied by the writer. What could not be written waits for the next batch, unless a newer one came. */
#include "storage/sqlite/writer.h"

#include "broker/base/log.h"
#include "broker/core/topic.h"

#include <stdlib.h>

struct value {
    struct slu_map_node node;
    struct slu_list link;
    struct slu_msg *msg; /* NULL: removed */
    struct slu_bytes topic;
    uint8_t bytes[];
};

struct sql_kept {
    pthread_mutex_t lock;
    struct slu_map waiting;
    struct slu_list order;   /* of waiting, oldest first */
    struct slu_list writing; /* in this batch; the writer's alone */
};

static struct slu_bytes topic_of(const struct slu_map_node *n)
{
    return slu_container_of(n, const struct value, node)->topic;
}

enum slu_err sql_kept_start(struct sql_store *st)
{
    struct sql_kept *k = calloc(1, sizeof(*k));
    if (!k)
        return SLU_ENOMEM;
    pthread_mutex_init(&k->lock, NULL);
    slu_map_init(&k->waiting, topic_of);
    slu_list_init(&k->order);
    slu_list_init(&k->writing);
    st->kept = k;
    return SLU_OK;
}

static void free_value(struct sql_store *st, struct value *v)
{
    slu_list_remove(&v->link);
    slu_msg_unref(v->msg);
    sql_free(st, v, sizeof(*v) + v->topic.len);
}

void sql_kept_stop(struct sql_store *st)
{
    struct sql_kept *k = st->kept;
    if (!k)
        return;
    if (!slu_list_empty(&k->order))
        slu_log(SLU_LOG_ERROR, "store", "retained_lost", "count=%zu", k->waiting.n);
    slu_list_each (it, &k->order)
        free_value(st, slu_container_of(it, struct value, link));
    slu_map_fini(&k->waiting);
    pthread_mutex_destroy(&k->lock);
    free(k);
    st->kept = NULL;
}

static struct value *find(const struct sql_kept *k, struct slu_bytes topic)
{
    struct slu_map_node *n = slu_map_get(&k->waiting, topic);
    return n ? slu_container_of(n, struct value, node) : NULL;
}

static struct value *value_new(struct sql_store *st, struct slu_bytes topic)
{
    struct value *v = sql_alloc(st, sizeof(*v) + topic.len);
    if (!v)
        return NULL;
    memcpy(v->bytes, topic.data, topic.len);
    v->topic = slu_bytes(v->bytes, topic.len);
    if (slu_map_add(&st->kept->waiting, &v->node)) {
        slu_list_push_back(&st->kept->order, &v->link);
        return v;
    }
    sql_free(st, v, sizeof(*v) + topic.len);
    return NULL;
}

void sql_kept_add(struct sql_store *st, struct slu_bytes topic, struct slu_msg *m)
{
    static struct slu_log_limit limit;
    struct sql_kept *k = st->kept;
    struct slu_msg *former = NULL;
    pthread_mutex_lock(&k->lock);
    struct value *v = find(k, topic);
    if (v)
        former = v->msg;
    else
        v = value_new(st, topic);
    if (v)
        v->msg = m ? slu_msg_ref(m) : NULL;
    pthread_mutex_unlock(&k->lock);
    slu_msg_unref(former);
    if (v)
        sql_writer_wake(st);
    else if (slu_log_allowed(&limit, 1))
        slu_log(SLU_LOG_ERROR, "store", "retained_lost", "why=\"out of memory\"");
}

bool sql_kept_any(struct sql_store *st)
{
    struct sql_kept *k = st->kept;
    pthread_mutex_lock(&k->lock);
    bool any = !slu_list_empty(&k->order);
    pthread_mutex_unlock(&k->lock);
    return any;
}

/* Moves some from the map to the list of this batch. */
static void take(struct sql_kept *k)
{
    size_t left = SQL_KEPT_MAX;
    pthread_mutex_lock(&k->lock);
    slu_list_each (it, &k->order) {
        if (left-- == 0)
            break;
        struct value *v = slu_container_of(it, struct value, link);
        slu_map_del(&k->waiting, &v->node);
        slu_list_remove(&v->link);
        slu_list_push_back(&k->writing, &v->link);
    }
    pthread_mutex_unlock(&k->lock);
}

void sql_kept_write(struct sql_store *st, struct sql_db *db)
{
    take(st->kept);
    slu_list_each (it, &st->kept->writing) {
        const struct value *v = slu_container_of(it, struct value, link);
        sqlite3_stmt *s = sql_get(db, v->msg ? SQL_MIRROR_PUT : SQL_MIRROR_DELETE);
        if (v->msg) {
            sql_row_bind(s, v->msg, 0);
            sql_bind_bytes(s, 2, v->topic);
        } else {
            sql_bind_bytes(s, 1, v->topic);
        }
        if (!sql_run(db, s))
            return;
    }
}

void sql_kept_committed(struct sql_store *st)
{
    slu_list_each (it, &st->kept->writing)
        free_value(st, slu_container_of(it, struct value, link));
}

/* A newer value of the same topic makes the old one needless. Without memory for the map's table, which shrank a moment
 * ago, the value is lost: as if the process had died before this batch. */
void sql_kept_undo(struct sql_store *st)
{
    struct sql_kept *k = st->kept;
    while (!slu_list_empty(&k->writing)) {
        struct value *v = slu_container_of(k->writing.prev, struct value, link);
        slu_list_remove(&v->link);
        pthread_mutex_lock(&k->lock);
        bool keeps = !find(k, v->topic) && slu_map_add(&k->waiting, &v->node);
        if (keeps)
            slu_list_push_front(&k->order, &v->link);
        pthread_mutex_unlock(&k->lock);
        if (!keeps)
            free_value(st, v);
    }
}

bool sql_kept_sweep(struct sql_writer *w)
{
    sqlite3_stmt *s = sql_get(&w->db, SQL_MIRROR_SWEEP);
    sql_bind_u64(s, 1, w->now);
    sql_bind_u64(s, 2, SQL_SLICE);
    return !sql_run(&w->db, s) || sqlite3_changes(w->db.db) < SQL_SLICE;
}

/* SLU_EHISTORY_GONE: it is over. */
static enum slu_err read_value(struct sql_store *st, sqlite3_stmt *s, uint64_t now, struct slu_msg **out)
{
    struct sql_row row;
    struct slu_bytes topic;
    if (!sql_row_read(s, &row) || !sql_column_bytes(s, 14, SLU_TOPIC_MAX, &topic) || !slu_topic_valid(topic)) {
        static struct slu_log_limit limit;
        if (slu_log_allowed(&limit, 1))
            slu_log(SLU_LOG_ERROR, "store", "row_makes_no_sense", "table=mirror");
        return SLU_EHISTORY_GONE;
    }
    if (!sql_row_is_live(&row, now))
        return SLU_EHISTORY_GONE;
    row.offset = row.seq = 0;
    row.flags |= SQL_FLAG_RETAIN;
    *out = sql_row_message(st, &row, topic, 0);
    return *out ? SLU_OK : SLU_ENOMEM;
}

enum slu_err sql_kept_each(struct sql_store *st, enum slu_err (*each)(void *arg, struct slu_msg *msg), void *arg)
{
    struct sql_db db = { 0 };
    enum slu_err err = sql_file_connect(st->file, true, &db.db);
    if (err)
        return err;
    uint64_t now = sql_now(st);
    sqlite3_stmt *s = sql_get(&db, SQL_MIRRORED);
    while (!err && sql_row(&db, s)) {
        struct slu_msg *m;
        err = read_value(st, s, now, &m);
        if (!err) {
            err = each(arg, m);
            slu_msg_unref(m);
        } else if (err == SLU_EHISTORY_GONE) {
            err = SLU_OK;
        }
    }
    if (!err && db.rc != SQLITE_OK)
        err = SLU_EUNAVAILABLE;
    sql_close(&db);
    return err;
}
