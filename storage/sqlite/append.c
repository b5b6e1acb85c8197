/* Appends one message inside the batch's transaction. What needs memory comes first, so that a refusal leaves no trace;
 * a failing statement undoes the whole batch, so nothing here cleans up after one. */
#include "storage/sqlite/writer.h"

enum { TRIMS = 64 }; /* old messages that one append takes along at most, by age */

/* Epochs tell nothing about an empty topic: whoever expects one just wants to be the first. */
static bool is_as_expected(const struct sql_topic *t, struct slu_pos want)
{
    const struct sql_log *log = t ? sql_log_of(t) : NULL;
    uint64_t head = log ? log->head : 0;
    return want.offset == head && (head == 0 || want.epoch == log->epoch);
}

static void adopt_rule(struct sql_log *log, const struct slu_rule *rule)
{
    log->max_count = rule->max_count;
    log->max_bytes = rule->max_bytes;
    log->max_age_ms = rule->max_age_ms;
    log->last_value = rule->last_value;
}

static void insert(struct sql_writer *w, const struct sql_topic *t, const struct slu_msg *m)
{
    sqlite3_stmt *s = sql_get(&w->db, SQL_INSERT);
    sql_row_bind(s, m, t->id);
    sql_bind_u64_or_null(s, 15, w->totals.max_ts > m->ts_ms ? w->totals.max_ts : 0);
    sql_run(&w->db, s);
}

static void keep_retained(struct sql_writer *w, const struct sql_topic *t, struct sql_log *log, const struct slu_msg *m)
{
    log->has_retained = true;
    log->retained_seq = m->seq;
    log->retained_place = m->seq ? m->seq : w->totals.seq;
    sqlite3_stmt *s = sql_get(&w->db, SQL_RETAINED_PUT);
    sql_row_bind(s, m, t->id);
    sql_bind_u64(s, 15, log->retained_place);
    sql_run(&w->db, s);
}

static void drop_retained(struct sql_writer *w, const struct sql_topic *t, struct sql_log *log)
{
    log->has_retained = false;
    log->retained_seq = log->retained_place = 0;
    sqlite3_stmt *s = sql_get(&w->db, SQL_RETAINED_DELETE);
    sql_bind_u64(s, 1, t->id);
    sql_run(&w->db, s);
}

/* Removing the retained value is no message: nothing is logged or fed. */
static enum slu_err clear_retained(struct sql_writer *w, struct sql_topic *t)
{
    if (!t || !sql_log_of(t)->has_retained)
        return SLU_OK;
    struct sql_log *log = sql_touch(w, t);
    if (!log)
        return SLU_ENOMEM;
    drop_retained(w, t, log);
    return SLU_OK;
}

static enum slu_err only_retain(struct sql_writer *w, const struct slu_msg *m)
{
    struct sql_topic *t;
    enum slu_err rc = sql_topic_need(w, m->topic, &t);
    if (rc)
        return rc;
    struct sql_log *log = sql_touch(w, t);
    if (!log)
        return SLU_ENOMEM;
    keep_retained(w, t, log, m);
    return SLU_OK;
}

static void commit(struct sql_writer *w, struct sql_topic *t, struct sql_log *log, struct slu_append *a)
{
    struct slu_msg *m = a->msg;
    sql_trim_aged(w, t, log, TRIMS);
    adopt_rule(log, a->rule);
    sql_trim_for(w, t, log, m->size);
    m->pos = (struct slu_pos){ log->epoch, ++log->head };
    m->seq = ++w->totals.seq;
    m->home = (uint16_t)w->st->env.home_base;
    if (w->totals.max_ts < m->ts_ms)
        w->totals.max_ts = m->ts_ms;
    log->bytes += m->size;
    insert(w, t, m);
    sql_window_push(t, m);
    if (m->dedup.len)
        sql_dedup_add(w, t, m);
    if (m->retain)
        keep_retained(w, t, log, m);
    a->pos = m->pos;
    w->batch.stored++;
}

static enum slu_err log_message(struct sql_writer *w, struct slu_append *a)
{
    struct sql_topic *t;
    enum slu_err rc = sql_topic_need(w, a->msg->topic, &t);
    if (rc)
        return rc;
    struct sql_log *log = sql_touch(w, t);
    if (!log || !sql_window_reserve(w, t) || (a->msg->dedup.len && !sql_dedup_reserve(w, t, a->msg)))
        return SLU_ENOMEM;
    commit(w, t, log, a);
    return SLU_OK;
}

static bool fits(const struct slu_msg *m)
{
    return m->payload.len <= SQL_PAYLOAD_BYTES && m->key.len <= SQL_PART_BYTES && m->reply.len <= SQL_PART_BYTES &&
           m->headers.len <= SQL_PART_BYTES && m->dedup.len <= SQL_PART_BYTES;
}

enum slu_err sql_append(struct sql_writer *w, struct slu_append *a)
{
    const struct slu_msg *m = a->msg;
    bool logged = a->rule->log != SLU_LOG_NONE;
    struct sql_topic *t = sql_topic_find(w, m->topic);
    if (!fits(m))
        return SLU_ETOO_LARGE;
    if (logged && !m->clear && m->dedup.len && sql_dedup_find(w, t, a)) {
        a->duplicate = true;
        return SLU_OK;
    }
    if (a->has_expect && !is_as_expected(t, a->expect))
        return SLU_EEXPECT_FAILED;
    if (m->clear)
        return clear_retained(w, t);
    if (!logged && !m->retain)
        return SLU_OK;
    return logged ? log_message(w, a) : only_retain(w, m);
}

bool sql_retained_sweep(struct sql_writer *w)
{
    uint64_t ids[SQL_SLICE];
    size_t n = 0;
    sqlite3_stmt *s = sql_get(&w->db, SQL_RETAINED_EXPIRED);
    sql_bind_u64(s, 1, w->now);
    sql_bind_u64(s, 2, SQL_SLICE);
    while (sql_row(&w->db, s)) {
        if (n < SQL_SLICE && sql_column_u64(s, 0, INT64_MAX, &ids[n]))
            n++;
    }
    for (size_t i = 0; i < n; i++) {
        struct sql_topic *t = sql_topic_by_id(w, ids[i]);
        struct sql_log *log = t ? sql_touch(w, t) : NULL;
        if (t && !log)
            return true;
        if (t)
            drop_retained(w, t, log);
    }
    return n < SQL_SLICE;
}
