/* Everything that the engine keeps in memory, from the file: topics, places of retained values, what forgotten topics
 * left behind, totals. Rows that make no sense stop the start: the file is not ours any more. */
#include "storage/sqlite/writer.h"

#include "broker/core/topic.h"

enum { NAME = 1, FIRST_NUMBER = 2 }; /* columns of a topic */

static void lift(uint64_t *v, uint64_t to)
{
    if (*v < to)
        *v = to;
}

static bool read_topic(sqlite3_stmt *s, uint64_t *id, struct slu_bytes *name, struct sql_log *log)
{
    uint64_t last_value;
    uint64_t *const numbers[] = {
        &log->epoch,     &log->head,        &log->first,     &log->bytes,     &log->born_seq,
        &log->floor_seq, &log->trimmed_seq, &log->max_count, &log->max_bytes, &log->max_age_ms
    };
    enum { N = sizeof(numbers) / sizeof(numbers[0]) };
    *log = (struct sql_log){ 0 };
    if (!sql_column_u64(s, 0, INT64_MAX - 1, id) || !sql_column_bytes(s, NAME, SLU_TOPIC_MAX, name) || !name->len)
        return false;
    for (int i = 0; i < N; i++) {
        if (!sql_column_u64(s, FIRST_NUMBER + i, INT64_MAX - 1, numbers[i]))
            return false;
    }
    if (!sql_column_u64(s, FIRST_NUMBER + N, 1, &last_value))
        return false;
    log->last_value = last_value;
    return log->epoch && log->epoch <= SQL_EPOCH_MAX && log->first && log->first <= log->head + 1 && *id;
}

static enum slu_err load_topics(struct sql_writer *w)
{
    sqlite3_stmt *s = sql_get(&w->db, SQL_TOPICS);
    while (sql_row(&w->db, s)) {
        uint64_t id;
        struct slu_bytes name;
        struct sql_log log;
        struct sql_topic *t = NULL;
        bool ok = read_topic(s, &id, &name, &log);
        if (ok)
            t = sql_topic_add(w, id, name, &log);
        if (!t) {
            sql_end(s);
            return ok ? SLU_ENOMEM : SLU_EINTERNAL;
        }
        t->is_public = true;
        lift(&w->totals.next_id, id + 1);
        lift(&w->totals.seq, log.born_seq);
        lift(&w->totals.seq, log.trimmed_seq);
    }
    return SLU_OK;
}

static enum slu_err load_retained(struct sql_writer *w)
{
    sqlite3_stmt *s = sql_get(&w->db, SQL_RETAINED_PLACES);
    while (sql_row(&w->db, s)) {
        uint64_t id, seq, place;
        bool ok = sql_column_u64(s, 0, INT64_MAX, &id) && sql_column_u64(s, 1, INT64_MAX - 1, &seq) &&
                  sql_column_u64(s, 2, INT64_MAX - 1, &place);
        struct sql_topic *t = ok ? sql_topic_by_id(w, id) : NULL;
        if (!t)
            continue;
        t->log.has_retained = true;
        t->log.retained_seq = seq;
        t->log.retained_place = place;
        lift(&w->totals.seq, place);
    }
    return SLU_OK;
}

static void load_gone(struct sql_writer *w)
{
    uint64_t bucket, value;
    sqlite3_stmt *s = sql_get(&w->db, SQL_GONE);
    while (sql_row(&w->db, s)) {
        if (!sql_column_u64(s, 0, 2 * SQL_BUCKETS - 1, &bucket) || !sql_column_u64(s, 1, INT64_MAX - 1, &value))
            continue;
        if (bucket < SQL_BUCKETS)
            w->gone.by_topic[bucket] = value;
        else
            w->gone.by_root[bucket - SQL_BUCKETS] = value;
        lift(&w->gone.newest, value);
        lift(&w->totals.seq, value);
    }
    s = sql_get(&w->db, SQL_REBIRTHS);
    while (sql_row(&w->db, s)) {
        if (sql_column_u64(s, 0, SQL_BUCKETS - 1, &bucket) && sql_column_u64(s, 1, INT64_MAX - 1, &value))
            w->gone.generation[bucket] = value;
    }
}

/* Up to three numbers of a single row; what is not there stays as it is. */
static void load_numbers(struct sql_writer *w, sqlite3_stmt *s, uint64_t *const to[], int n)
{
    if (!sql_row(&w->db, s))
        return;
    for (int i = 0; i < n; i++) {
        uint64_t v = (uint64_t)sqlite3_column_int64(s, i); /* a total is a real */
        if (v < INT64_MAX)
            lift(to[i], v);
    }
    sql_end(s);
}

static uint64_t meta_number(struct sql_writer *w, const char *key)
{
    uint64_t v = 0;
    sqlite3_stmt *s = sql_get(&w->db, SQL_META_GET);
    sqlite3_bind_text(s, 1, key, -1, SQLITE_STATIC);
    load_numbers(w, s, (uint64_t *const[]){ &v }, 1);
    return v;
}

static void load_totals(struct sql_writer *w)
{
    struct sql_totals *t = &w->totals;
    uint64_t newest_id = 0;
    load_numbers(w, sql_get(&w->db, SQL_NEWEST), (uint64_t *const[]){ &t->seq, &t->max_ts }, 2);
    load_numbers(w, sql_get(&w->db, SQL_DEDUP_TOTALS), (uint64_t *const[]){ &t->dedups, &newest_id }, 2);
    load_numbers(w, sql_get(&w->db, SQL_STATE_TOTALS),
                 (uint64_t *const[]){ &t->states, &t->state_bytes, &w->generation }, 3);
    lift(&t->next_id, newest_id + 1);
    w->generation_stored = meta_number(w, "generation");
    lift(&w->generation, w->generation_stored);
}

/* Nobody waits for these: the lists are in no order that matters. */
static void settle_topics(struct sql_writer *w)
{
    slu_list_each (it, &w->all) {
        struct sql_topic *t = slu_container_of(it, struct sql_topic, all);
        sql_topic_rest(w, t);
        sql_mark_unclean(w, t);
    }
}

enum slu_err sql_load(struct sql_writer *w, struct slu_buf *why)
{
    struct sql_store *st = w->st;
    w->totals = (struct sql_totals){ .next_id = 1 };
    w->gone = (struct sql_gone){ 0 };
    st->epoch = meta_number(w, "cursor_epoch");
    enum slu_err err = st->epoch && st->epoch <= SQL_EPOCH_MAX ? load_topics(w) : SLU_EINTERNAL;
    if (!err)
        err = load_retained(w);
    if (!err) {
        load_gone(w);
        load_totals(w);
    }
    if (!err && sql_is_broken(w))
        err = SLU_EUNAVAILABLE;
    if (err) {
        if (why)
            slu_buf_addf(why, "%s %s", sql_file_path(st->file),
                         err == SLU_ENOMEM ? "has more topics than there is memory for"
                                           : "cannot be read as a store of Sluice: restore a backup, or move it away");
        return err;
    }
    settle_topics(w);
    pthread_mutex_lock(&st->lock);
    st->gone = w->gone;
    pthread_mutex_unlock(&st->lock);
    return SLU_OK;
}
