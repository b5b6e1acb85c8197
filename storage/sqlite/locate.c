/* Turns a start into a seq. Where the place asked for is gone, the answer says why and points to the head. Offsets and
 * times are found by bisection over seq, in which both only grow. */
#include "storage/sqlite/reader.h"

#include "broker/core/topic.h"

enum { AGED_MAX = 16384 }; /* rows that the writer has yet to trim, looked at for the first one that is held */

struct place {
    uint64_t seq, offset, ts_ms;
};

static bool read_place(struct sql_reader *r, sqlite3_stmt *st, int columns, struct place *out)
{
    *out = (struct place){ 0 };
    if (!sql_row(&r->db, st))
        return false;
    if (sql_column_u64(st, 0, INT64_MAX, &out->seq) && sql_column_u64(st, 1, INT64_MAX, &out->offset) &&
        (columns < 3 || sql_column_u64(st, 2, INT64_MAX, &out->ts_ms)))
        return true;
    sql_end(st);
    return false;
}

static sqlite3_stmt *places_of(struct sql_reader *r, const struct sql_view *v, uint64_t after)
{
    sqlite3_stmt *st = sql_get(&r->db, SQL_PLACE_FROM);
    sql_bind_u64(st, 1, v->id);
    sql_bind_u64(st, 2, after);
    sql_bind_u64(st, 3, v->fed_seq);
    return st;
}

/* The topic's first row after that seq; false: none, or reading failed. */
static bool first_after(struct sql_reader *r, const struct sql_view *v, uint64_t seq, struct place *out)
{
    sqlite3_stmt *st = places_of(r, v, seq);
    if (!read_place(r, st, 3, out))
        return false;
    sql_end(st);
    return true;
}

/* Sees what age has taken and the writer has not yet trimmed, as if it had. */
static void trim_view(struct sql_reader *r, struct sql_view *v)
{
    struct place p;
    struct sql_log *log = &v->log;
    if (!v->is_known || !log->max_age_ms || log->first > log->head)
        return;
    uint64_t now = sql_now(r->st);
    sqlite3_stmt *st = places_of(r, v, log->trimmed_seq);
    for (size_t left = AGED_MAX; read_place(r, st, 3, &p); left--) {
        if (left == 0 || !sql_is_aged(log, p.ts_ms, now)) {
            sql_end(st);
            return;
        }
        log->first = p.offset + 1;
        log->trimmed_seq = p.seq;
    }
}

static void not_recovered(struct slu_locate *l, enum slu_err why, uint64_t lost)
{
    l->recovered = false;
    l->gone = why;
    l->lost = lost;
    l->after_seq = l->head_seq;
}

static bool holds_any(const struct sql_view *v)
{
    return v->is_known && v->log.first <= v->log.head;
}

static void describe(struct slu_locate *l, const struct sql_view *v)
{
    l->head.epoch = l->first.epoch = v->epoch;
    l->head.offset = v->is_known ? v->log.head : 0;
    l->first.offset = holds_any(v) ? v->log.first : 0;
}

/* The seq of an offset that is held: the smallest seq from which on nothing has a smaller offset. */
static uint64_t seq_of(struct sql_reader *r, const struct sql_view *v, uint64_t offset)
{
    uint64_t low = v->log.trimmed_seq, high = v->fed_seq; /* it is in (low, high] */
    while (high - low > 1) {
        uint64_t mid = low + (high - low) / 2;
        struct place p;
        if (!first_after(r, v, mid, &p) || p.offset > offset)
            high = mid;
        else if (p.offset == offset)
            return p.seq;
        else
            low = p.seq < high ? p.seq : mid;
    }
    return high;
}

static uint64_t before_first(struct sql_reader *r, const struct sql_view *v, uint64_t head_seq)
{
    struct place p;
    return holds_any(v) && first_after(r, v, v->log.trimmed_seq, &p) ? p.seq - 1 : head_seq;
}

static uint64_t before_all(struct sql_reader *r, uint64_t head_seq)
{
    struct place p;
    sqlite3_stmt *st = sql_get(&r->db, SQL_TIME_FROM);
    sql_bind_u64(st, 1, 0);
    if (!read_place(r, st, 2, &p))
        return head_seq;
    sql_end(st);
    return p.seq && p.seq - 1 < head_seq ? p.seq - 1 : head_seq;
}

/* Before the newest n that can still be read. Beyond a number of rows the rest is counted by offsets. */
static uint64_t before_last(struct sql_reader *r, const struct sql_view *v, uint64_t n, uint64_t head_seq)
{
    uint64_t now = sql_now(r->st), at = head_seq, offset = v->log.head + 1;
    size_t left = SQL_LOOK_MAX;
    struct place p;
    sqlite3_stmt *st = sql_get(&r->db, SQL_PLACE_BACK);
    sql_bind_u64(st, 1, v->id);
    sql_bind_u64(st, 2, v->log.trimmed_seq);
    sql_bind_u64(st, 3, v->fed_seq);
    for (; n && left && read_place(r, st, 3, &p); left--) {
        struct sql_row life = { 0 };
        offset = p.offset;
        if (!sql_column_u64(st, 3, INT64_MAX, &life.expires_ms) || !sql_column_u64(st, 4, INT64_MAX, &life.flags) ||
            !sql_row_is_live(&life, now) || sql_is_aged(&v->log, p.ts_ms, now))
            continue;
        at = p.seq - 1;
        n--;
    }
    sql_end(st);
    if (left || n == 0 || offset <= v->log.first)
        return at;
    uint64_t want = offset - v->log.first > n ? offset - n : v->log.first;
    return seq_of(r, v, want) - 1;
}

/* Before the first row at or after which nothing older was committed: the times beside the rows are sorted. */
static uint64_t before_time(struct sql_reader *r, uint64_t ts_ms, uint64_t head_seq)
{
    uint64_t low = 0, high = head_seq + 1; /* the first one that is not too old is in (low, high] */
    while (high - low > 1) {
        uint64_t mid = low + (high - low) / 2;
        struct place p; /* its time stands where an offset does */
        sqlite3_stmt *st = sql_get(&r->db, SQL_TIME_FROM);
        sql_bind_u64(st, 1, mid);
        bool found = read_place(r, st, 2, &p);
        if (found)
            sql_end(st);
        if (!found || p.offset >= ts_ms)
            high = mid;
        else
            low = p.seq < high ? p.seq : mid;
    }
    return high - 1;
}

static void locate_offset(struct sql_reader *r, struct slu_locate *l, const struct sql_view *v)
{
    uint64_t offset = l->after.offset;
    if (l->after.epoch != l->head.epoch || offset > l->head.offset) {
        not_recovered(l, SLU_EEXPECT_FAILED, 0);
        return;
    }
    if (!v->is_known || v->log.head == 0)
        return;                       /* nothing yet: all that comes is after it */
    uint64_t gone = v->log.first - 1; /* newest offset that is no longer held */
    if (offset < gone)
        not_recovered(l, SLU_EHISTORY_GONE, gone - offset);
    else if (offset > gone)
        l->after_seq = seq_of(r, v, offset);
    else
        l->after_seq = gone ? v->log.trimmed_seq : v->log.born_seq;
}

static void locate_cursor(struct sql_reader *r, struct slu_locate *l, const struct sql_view *v, bool wild)
{
    if (l->cur_epoch != r->st->epoch || l->cur_seq > l->head_seq) {
        not_recovered(l, SLU_EEXPECT_FAILED, 0);
        return;
    }
    bool lost;
    uint64_t n = 0;
    if (wild)
        lost = sql_view_lost(r->st, l->filter, l->cur_seq, UINT64_MAX);
    else if (v->is_known)
        n = sql_lost(r, v, l->cur_seq, &lost);
    else
        lost = l->cur_seq < v->gone_seq;
    if (lost)
        not_recovered(l, SLU_EHISTORY_GONE, n);
    else
        l->after_seq = l->cur_seq;
}

static void find(struct sql_reader *r, struct slu_locate *l, const struct sql_view *v, bool wild)
{
    switch (l->from) {
    case SLU_FROM_NEW:
    case SLU_FROM_LATEST:
        break;
    case SLU_FROM_FIRST:
        l->after_seq = wild ? before_all(r, l->head_seq) : before_first(r, v, l->head_seq);
        break;
    case SLU_FROM_LAST:
        if (!wild && holds_any(v))
            l->after_seq = before_last(r, v, l->n, l->head_seq);
        break;
    case SLU_FROM_SINCE:
        l->after_seq = before_time(r, l->n, l->head_seq);
        break;
    case SLU_FROM_OFFSET:
        locate_offset(r, l, v);
        break;
    case SLU_FROM_CUR:
        locate_cursor(r, l, v, wild);
        break;
    }
}

enum slu_err sql_locate(struct sql_reader *r, struct slu_locate *l)
{
    bool wild = slu_filter_is_wild(l->filter);
    struct sql_view v = { 0 };
    sql_wait_fed(r->st);
    if (wild) {
        v.fed_seq = sql_fed_seq(r->st);
        if (!sql_snapshot(r))
            return SLU_EUNAVAILABLE;
    } else {
        enum slu_err err = sql_look_at(r, l->filter, &v);
        if (err)
            return err;
        trim_view(r, &v);
        describe(l, &v);
    }
    l->head_seq = l->after_seq = v.fed_seq;
    l->epoch = r->st->epoch;
    l->recovered = true;
    find(r, l, &v, wild);
    return sql_reader_err(r);
}
