/* Scans: an exact topic by its own rows, in both directions; a wildcard over all rows in commit order. */
#include "storage/sqlite/reader.h"

#include "broker/core/topic.h"

enum what { TAKE, SKIP, FULL };

enum { SKIPPED_BYTES = 8 << 20 }; /* of rows that are read and left out; then the page ends */

struct walk {
    struct sql_reader *r;
    struct slu_scan *scan;
    struct slu_page page;
    uint64_t now, skipped; /* bytes */
    enum slu_err err;
};

/* Whether a row goes into the page; says what became of one that does not. */
static enum what judge(struct walk *w, const struct sql_log *log, struct slu_bytes topic, const struct sql_row *row)
{
    struct slu_scan *s = w->scan;
    if (row->offset < log->first)
        return SKIP;
    if (sql_is_aged(log, row->ts_ms, w->now)) {
        s->trimmed = true; /* it will be, as soon as trimming gets there */
        return SKIP;
    }
    if (s->min_ts_ms && row->ts_ms < s->min_ts_ms)
        return SKIP;
    if (!sql_row_is_live(row, w->now)) {
        s->expired++;
        return SKIP;
    }
    return slu_page_fits(&w->page, 1, sql_row_size(row, topic)) ? TAKE : FULL;
}

/* False: the page ends before this row, or w->err. */
static bool add_row(struct walk *w, const struct sql_log *log, struct slu_bytes topic, const struct sql_row *row)
{
    enum what what = judge(w, log, topic, row);
    if (what == SKIP)
        w->skipped += row->size;
    if (what != TAKE)
        return what == SKIP;
    struct slu_msg *m = sql_row_message(w->r->st, row, topic, log->epoch);
    if (m && slu_page_take(&w->page, m, false))
        return true;
    slu_msg_unref(m);
    w->err = SLU_ENOMEM;
    return false;
}

static void reach_head(struct slu_scan *s, uint64_t fed_seq)
{
    s->at_head = true;
    if (s->next_seq < fed_seq)
        s->next_seq = fed_seq;
}

uint64_t sql_lost(struct sql_reader *r, const struct sql_view *v, uint64_t after_seq, bool *lost)
{
    const struct sql_log *log = &v->log;
    uint64_t seq, offset = 0;
    *lost = after_seq < log->trimmed_seq || after_seq < log->floor_seq;
    if (after_seq >= log->trimmed_seq || after_seq < log->floor_seq)
        return 0;
    if (after_seq <= log->born_seq)
        return log->first - 1;
    /* A trimmed row that is not yet deleted still tells where the reader stood. */
    sqlite3_stmt *st = sql_get(&r->db, SQL_PLACE_UPTO);
    sql_bind_u64(st, 1, v->id);
    sql_bind_u64(st, 2, after_seq);
    if (sql_row(&r->db, st)) {
        if (!sql_column_u64(st, 0, INT64_MAX, &seq) || !sql_column_u64(st, 1, INT64_MAX, &offset))
            offset = 0;
        sql_end(st);
    }
    return offset && offset < log->first ? log->first - 1 - offset : 0;
}

/* Aged ones right behind where the reader stands count with what was trimmed: as soon as the writer gets there, they
 * will be. */
static void count_aged(struct walk *w, const struct sql_log *log, const struct sql_row *row, bool *in_front,
                       bool is_known)
{
    *in_front = *in_front && sql_is_aged(log, row->ts_ms, w->now);
    if (*in_front && is_known)
        w->scan->lost++;
}

static void scan_forward(struct walk *w, const struct sql_view *v)
{
    struct slu_scan *s = w->scan;
    const struct sql_log *log = &v->log;
    bool lost, in_front = true;
    s->lost = sql_lost(w->r, v, s->after_seq, &lost);
    s->trimmed = lost;
    uint64_t from = s->after_seq > log->trimmed_seq ? s->after_seq : log->trimmed_seq;
    sqlite3_stmt *st = sql_rows_of(w->r, SQL_SCAN_TOPIC, v->id, from, v->fed_seq);
    struct sql_row row;
    for (size_t left = SQL_LOOK_MAX; left && w->skipped < SKIPPED_BYTES; left--) {
        if (!sql_next_row(w->r, st, &row, &w->err)) {
            reach_head(s, v->fed_seq);
            return;
        }
        count_aged(w, log, &row, &in_front, !lost || s->lost);
        if (!add_row(w, log, s->filter, &row))
            break;
        s->next_seq = row.seq;
    }
    sql_end(st);
}

static void scan_backward(struct walk *w, const struct sql_view *v)
{
    struct slu_scan *s = w->scan;
    uint64_t upto = s->after_seq ? s->after_seq - 1 : 0;
    sqlite3_stmt *st =
        sql_rows_of(w->r, SQL_SCAN_BACK, v->id, v->log.trimmed_seq, upto < v->fed_seq ? upto : v->fed_seq);
    struct sql_row row;
    for (size_t left = SQL_LOOK_MAX; left && w->skipped < SKIPPED_BYTES; left--) {
        if (!sql_next_row(w->r, st, &row, &w->err)) {
            s->at_head = true;
            s->next_seq = 0;
            return;
        }
        if (!add_row(w, &v->log, s->filter, &row))
            break;
        s->next_seq = row.seq;
    }
    sql_end(st);
}

static void scan_exact(struct walk *w)
{
    struct slu_scan *s = w->scan;
    struct sql_view v;
    w->err = sql_look_at(w->r, s->filter, &v);
    if (w->err)
        return;
    if (v.is_known && s->reverse) {
        scan_backward(w, &v);
    } else if (v.is_known) {
        scan_forward(w, &v);
    } else if (s->reverse) {
        s->at_head = true;
        s->next_seq = 0;
    } else {
        s->trimmed = s->after_seq < v.gone_seq;
        reach_head(s, v.fed_seq);
    }
}

/* The topic of that id, from the cache or the engine's memory; NULL: it is not there any more. Topics are looked at
 * after the snapshot began, so that what they say of trimmed rows holds for what is seen. */
static const struct sql_place *place_of(struct walk *w, uint64_t id)
{
    struct sql_place *p = &w->r->places[id % SQL_PLACES];
    if (p->id == id)
        return p;
    p->id = 0;
    if (!sql_view_id(w->r->st, id, p->name, &p->len, &p->log))
        return NULL;
    p->id = id;
    p->matches = slu_filter_matches(w->scan->filter, slu_bytes(p->name, p->len));
    return p;
}

static bool wants(struct walk *w, sqlite3_stmt *st, const struct sql_place **out)
{
    uint64_t id;
    *out = sql_column_u64(st, 1, INT64_MAX, &id) && id ? place_of(w, id) : NULL;
    return *out && (*out)->matches;
}

/* False: the page ends before this row, or w->err. */
static bool add_if_wanted(struct walk *w, sqlite3_stmt *st, uint64_t *seq)
{
    const struct sql_place *p;
    struct sql_row row;
    if (!sql_column_u64(st, 0, INT64_MAX, seq)) {
        w->err = sql_row_fault("message");
        return false;
    }
    if (!wants(w, st, &p)) {
        w->skipped += (uint64_t)sqlite3_column_int64(st, 5);
        return true;
    }
    if (!sql_row_read(st, &row)) {
        w->err = sql_row_fault("message");
        return false;
    }
    return add_row(w, &p->log, slu_bytes(p->name, p->len), &row);
}

static void scan_wild(struct walk *w)
{
    struct slu_scan *s = w->scan;
    struct sql_reader *r = w->r;
    uint64_t fed = sql_fed_seq(r->st);
    for (int i = 0; i < SQL_PLACES; i++)
        r->places[i].id = 0;
    if (!sql_snapshot(r)) {
        w->err = SLU_EUNAVAILABLE;
        return;
    }
    sqlite3_stmt *st = sql_get(&r->db, SQL_SCAN_ALL);
    sql_bind_u64(st, 1, s->after_seq);
    sql_bind_u64(st, 2, fed);
    for (size_t left = SQL_LOOK_MAX; left && w->skipped < SKIPPED_BYTES; left--) {
        uint64_t seq;
        if (!sql_row(&r->db, st)) {
            w->err = sql_reader_err(r);
            reach_head(s, fed);
            break;
        }
        if (!add_if_wanted(w, st, &seq))
            break;
        s->next_seq = seq;
    }
    sql_end(st);
    s->trimmed = sql_view_lost(r->st, s->filter, s->after_seq, s->next_seq) || s->trimmed;
}

enum slu_err sql_scan(struct sql_reader *r, struct slu_scan *s)
{
    struct walk w = { .r = r, .scan = s, .now = sql_now(r->st) };
    w.page.max_items = s->max_items;
    w.page.max_bytes = s->max_bytes;
    s->next_seq = s->after_seq;
    if (!s->reverse && s->after_seq > sql_fed_seq(r->st))
        sql_wait_fed(r->st);
    if (slu_filter_is_wild(s->filter))
        scan_wild(&w);
    else
        scan_exact(&w);
    if (w.err) {
        slu_page_fini(&w.page);
        return w.err;
    }
    s->msgs = w.page.msgs;
    s->n = w.page.n;
    return SLU_OK;
}
