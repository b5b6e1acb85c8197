/* The newest values of each topic. A page holds whole topics; one that is too large for a page of its own loses its
 * oldest messages and says so. Topics are looked at after the snapshot began, each by itself. */
#include "storage/sqlite/reader.h"

#include "broker/core/topic.h"

#include <stdlib.h>

struct walk {
    struct sql_reader *r;
    struct slu_tail *tail;
    struct slu_page page;
    uint64_t now;
    enum slu_err err;
};

static bool is_readable(const struct walk *w, const struct sql_log *log, const struct sql_row *row)
{
    return row->offset >= log->first && sql_row_is_live(row, w->now) && !sql_is_aged(log, row->ts_ms, w->now);
}

/* Adds what fits or opens the page. False: it is full, or w->err. */
static bool add(struct walk *w, const struct sql_view *v, struct slu_bytes topic, const struct sql_row *row,
                bool retained)
{
    if (!slu_page_fits(&w->page, 1, sql_row_size(row, topic)))
        return false;
    struct slu_msg *m = sql_row_message(w->r->st, row, topic, v->log.epoch);
    if (m && slu_page_take(&w->page, m, retained))
        return true;
    slu_msg_unref(m);
    w->err = SLU_ENOMEM;
    return false;
}

enum what { NONE, LOGGED, RETAINED };

/* The newest row that can be read; the statement stands on it. */
static sqlite3_stmt *newest_readable(struct walk *w, const struct sql_view *v, struct sql_row *row)
{
    sqlite3_stmt *st = sql_rows_of(w->r, SQL_SCAN_BACK, v->id, v->log.trimmed_seq, w->tail->max_seq);
    for (size_t left = SQL_LOOK_MAX; left && sql_next_row(w->r, st, row, &w->err); left--) {
        if (is_readable(w, &v->log, row))
            return st;
        if (left == 1)
            sql_end(st);
    }
    return NULL;
}

/* In the log's place where trimming by age has been or will be: the topic's newest row of all. */
static sqlite3_stmt *last_value(struct walk *w, const struct sql_view *v, struct sql_row *row)
{
    if (!v->log.last_value || w->err)
        return NULL;
    sqlite3_stmt *st = sql_rows_of(w->r, SQL_SCAN_BACK, v->id, 0, INT64_MAX);
    if (!sql_next_row(w->r, st, row, &w->err))
        return NULL;
    if (row->seq <= w->tail->max_seq && sql_row_is_live(row, w->now))
        return st;
    sql_end(st);
    return NULL;
}

/* An unlogged one never comes by scan, so it counts whenever it was set. */
static sqlite3_stmt *retained_value(struct walk *w, const struct sql_view *v, uint64_t newer_than, struct sql_row *row)
{
    uint64_t place;
    if (!v->log.has_retained || w->err)
        return NULL;
    sqlite3_stmt *st = sql_get(&w->r->db, SQL_RETAINED_GET);
    sql_bind_u64(st, 1, v->id);
    if (!sql_next_row(w->r, st, row, &w->err))
        return NULL;
    if (sql_column_u64(st, 14, INT64_MAX, &place) && place >= newer_than && row->seq <= w->tail->max_seq &&
        sql_row_is_live(row, w->now))
        return st;
    sql_end(st);
    return NULL;
}

/* Of the log, the last value and the retained one, the newest that may be read. False: it does not fit, or w->err. */
static bool add_latest(struct walk *w, const struct sql_view *v, struct slu_bytes topic)
{
    struct sql_row row, retained;
    sqlite3_stmt *st = newest_readable(w, v, &row);
    if (!st)
        st = last_value(w, v, &row);
    sqlite3_stmt *rt = w->err ? NULL : retained_value(w, v, st ? row.seq : 0, &retained);
    bool fits = true;
    if (rt)
        fits = add(w, v, topic, &retained, true);
    else if (st && !w->err)
        fits = add(w, v, topic, &row, false);
    sql_end(st);
    sql_end(rt);
    return fits && !w->err;
}

/* As add_latest, for the newest n of the log, oldest first. */
static bool add_last(struct walk *w, const struct sql_view *v, struct slu_bytes topic)
{
    struct slu_tail *s = w->tail;
    const size_t from = w->page.n;
    uint64_t wanted = 0, oldest = v->log.first;
    struct sql_row row;
    bool fits = true;
    sqlite3_stmt *st = sql_rows_of(w->r, SQL_SCAN_BACK, v->id, v->log.trimmed_seq, s->max_seq);
    size_t left = s->last ? SQL_LOOK_MAX : 0;
    for (; left && wanted < s->last; left--) {
        if (!sql_next_row(w->r, st, &row, &w->err))
            break;
        oldest = row.offset;
        if (!is_readable(w, &v->log, &row))
            continue;
        wanted++;
        bool is_retained = v->log.has_retained && v->log.retained_seq == row.seq;
        fits = fits && add(w, v, topic, &row, is_retained);
        if (w->err || (!fits && from))
            break; /* on a page of its own it may fit better */
    }
    sql_end(st);
    if (w->err || (!fits && from)) {
        slu_page_cut(&w->page, from);
        return false;
    }
    slu_page_reverse(&w->page, from);
    if (!left && wanted < s->last && oldest > v->log.first) { /* the rest is counted by offsets */
        uint64_t rest = oldest - v->log.first;
        wanted += rest < s->last - wanted ? rest : s->last - wanted;
    }
    s->cut += wanted - (w->page.n - from);
    return true;
}

static bool add_topic(struct walk *w, const struct sql_view *v, struct slu_bytes topic)
{
    return w->tail->latest ? add_latest(w, v, topic) : add_last(w, v, topic);
}

static enum slu_err set_next(struct slu_tail *s, struct slu_bytes name)
{
    uint8_t *copy = malloc(name.len);
    if (!copy)
        return SLU_ENOMEM;
    memcpy(copy, name.data, name.len);
    s->next_topic = slu_bytes(copy, name.len);
    return SLU_OK;
}

static void tail_wild(struct walk *w)
{
    struct slu_tail *s = w->tail;
    struct sql_reader *r = w->r;
    struct slu_bytes prefix = slu_filter_prefix(s->filter), seen = s->after_topic;
    bool goes_on = s->after_topic.len && slu_name_compare(s->after_topic, prefix) >= 0;
    struct slu_bytes at = goes_on ? s->after_topic : prefix;
    uint8_t last[SLU_TOPIC_MAX];
    for (size_t left = SQL_LOOK_MAX;; left--) {
        struct sql_view v;
        size_t len;
        if (!sql_view_next(r->st, prefix, at, goes_on, r->name, &len, &v))
            return;
        struct slu_bytes name = slu_bytes(r->name, len);
        bool fits = left && (!slu_filter_matches(s->filter, name) || add_topic(w, &v, name));
        if (w->err)
            return;
        if (!fits) {
            w->err = set_next(s, seen);
            return;
        }
        memcpy(last, r->name, len);
        seen = at = slu_bytes(last, len);
        goes_on = true;
    }
}

static void tail_exact(struct walk *w)
{
    struct slu_tail *s = w->tail;
    struct sql_view v;
    sql_view(w->r->st, s->filter, &v);
    bool is_past = s->after_topic.len && slu_name_compare(s->after_topic, s->filter) >= 0;
    if (v.is_known && !is_past)
        add_topic(w, &v, s->filter);
}

enum slu_err sql_tail(struct sql_reader *r, struct slu_tail *s)
{
    struct walk w = { .r = r, .tail = s, .now = sql_now(r->st) };
    w.page.with_retained = true;
    w.page.max_items = s->max_items;
    w.page.max_bytes = s->max_bytes;
    if (!sql_snapshot(r))
        return SLU_EUNAVAILABLE;
    if (slu_filter_is_wild(s->filter))
        tail_wild(&w);
    else
        tail_exact(&w);
    if (w.err) {
        slu_page_fini(&w.page);
        return w.err;
    }
    s->msgs = w.page.msgs;
    s->retained = w.page.retained;
    s->n = w.page.n;
    return SLU_OK;
}
