/* What leaves a log. Trimming only moves the topic's `first`; the rows are deleted later, in slices, and only when
 * readers have been told. By count and bytes when something is appended, by age then and in the sweep. What outlived its
 * time to live keeps its place as an empty row. */
#include "storage/sqlite/writer.h"

#include "broker/base/log.h"

#include <assert.h>

enum { AGE_TOPICS = 512, AGE_TRIMS = 1024, CLEAN_TOPICS = 16, CLEAN_ROWS = 4, TRIMS_MAX = 16384 };

void sql_trim_init(struct sql_writer *w)
{
    slu_list_init(&w->windows);
    slu_list_init(&w->unclean);
    slu_list_init(&w->batch.cleaned);
    w->n_windows = 0;
}

/* ---- windows ---- */

static struct sql_oldest *slot(struct sql_window *win, unsigned i)
{
    return &win->slots[(win->start + i) % SQL_WINDOW];
}

void sql_window_forget(struct sql_topic *t)
{
    if (t->window)
        t->window->n = 0;
}

void sql_window_drop(struct sql_writer *w, struct sql_topic *t)
{
    struct sql_window *win = t->window;
    if (!win)
        return;
    t->window = NULL;
    slu_list_remove(&win->use);
    w->n_windows--;
    sql_free(w->st, win, sizeof(*win));
}

void sql_windows_free(struct sql_writer *w)
{
    while (!slu_list_empty(&w->windows))
        sql_window_drop(w, slu_container_of(w->windows.next, struct sql_window, use)->topic);
}

bool sql_window_reserve(struct sql_writer *w, struct sql_topic *t)
{
    struct sql_window *win = t->window;
    if (!win && w->n_windows < SQL_WINDOWS_MAX) {
        win = sql_alloc(w->st, sizeof(*win));
        if (!win)
            return false;
        slu_list_init(&win->use);
        w->n_windows++;
    } else if (!win) {
        win = slu_container_of(w->windows.next, struct sql_window, use);
        win->topic->window = NULL;
    }
    if (win->topic != t)
        win->n = 0;
    win->topic = t;
    t->window = win;
    slu_list_remove(&win->use);
    slu_list_push_back(&w->windows, &win->use);
    return true;
}

void sql_window_push(struct sql_topic *t, const struct slu_msg *m)
{
    struct sql_window *win = t->window;
    const struct sql_log *log = sql_log_of(t);
    if (log->first == log->head)
        t->first_ts = m->ts_ms;
    if (win && win->n < SQL_WINDOW && log->first + win->n == m->pos.offset)
        *slot(win, win->n++) = (struct sql_oldest){ m->seq, m->ts_ms, m->size };
}

static bool read_oldest(sqlite3_stmt *s, struct sql_oldest *out)
{
    return sql_column_u64(s, 0, INT64_MAX, &out->seq) && sql_column_u64(s, 1, INT64_MAX, &out->ts_ms) &&
           sql_column_u64(s, 2, INT64_MAX, &out->size);
}

/* Rows that should be there and are not: whoever wrote the file was not us. What is gone is told as trimmed. */
static void give_up(const struct sql_writer *w, const struct sql_topic *t, struct sql_log *log)
{
    if (sql_is_broken(w))
        return;
    char name[128];
    slu_log(SLU_LOG_ERROR, "store", "rows_missing", "topic=%s", slu_log_quote(name, sizeof(name), t->node.name));
    log->first = log->head + 1;
    log->bytes = 0;
}

/* The oldest message held; NULL: none is. */
static struct sql_oldest *front(struct sql_writer *w, struct sql_topic *t, struct sql_log *log)
{
    struct sql_window *win = t->window;
    if (log->first > log->head)
        return NULL;
    if (win->n == 0) {
        win->start = 0;
        sqlite3_stmt *s = sql_get(&w->db, SQL_OLDEST);
        sql_bind_u64(s, 1, t->id);
        sql_bind_u64(s, 2, log->trimmed_seq);
        sql_bind_u64(s, 3, SQL_WINDOW);
        while (sql_row(&w->db, s)) {
            if (win->n < SQL_WINDOW && read_oldest(s, slot(win, win->n)))
                win->n++;
        }
    }
    if (win->n == 0) {
        give_up(w, t, log);
        return NULL;
    }
    t->first_ts = slot(win, 0)->ts_ms;
    return slot(win, 0);
}

/* ---- trimming ---- */

static void trim_front(struct sql_topic *t, struct sql_log *log, const struct sql_oldest *o)
{
    struct sql_window *win = t->window;
    log->first++;
    log->bytes -= o->size < log->bytes ? o->size : log->bytes;
    log->trimmed_seq = o->seq;
    win->start = (win->start + 1) % SQL_WINDOW;
    win->n--;
    t->first_ts = win->n ? slot(win, 0)->ts_ms : 0;
}

static bool is_over(const struct sql_log *log, uint64_t size)
{
    uint64_t n = log->head + 1 - log->first;
    return (log->max_count && n >= log->max_count) || (log->max_bytes && log->bytes + size > log->max_bytes);
}

/* A rule that was tightened on a huge log holds after a few appends: none of them may hold up all others. */
void sql_trim_for(struct sql_writer *w, struct sql_topic *t, struct sql_log *log, uint64_t size)
{
    const struct sql_oldest *o;
    for (int left = TRIMS_MAX; left && is_over(log, size) && (o = front(w, t, log)); left--)
        trim_front(t, log, o);
}

bool sql_trim_aged(struct sql_writer *w, struct sql_topic *t, struct sql_log *log, size_t max)
{
    const struct sql_oldest *o;
    if (!log->max_age_ms)
        return true;
    while ((o = front(w, t, log)) && sql_is_aged(log, o->ts_ms, w->now)) {
        if (max-- == 0)
            return false;
        trim_front(t, log, o);
    }
    return true;
}

static bool may_be_aged(const struct sql_writer *w, const struct sql_topic *t)
{
    const struct sql_log *log = sql_log_of(t);
    return !t->is_forgotten && log->first <= log->head && log->max_age_ms &&
           (!t->first_ts || sql_is_aged(log, t->first_ts, w->now));
}

/* Of one topic; most have nothing to trim, and their rows stay as they are. */
static bool trim_if_aged(struct sql_writer *w, struct sql_topic *t, size_t *trims)
{
    struct sql_log look = *sql_log_of(t);
    const struct sql_oldest *o = sql_window_reserve(w, t) ? front(w, t, &look) : NULL;
    if (sql_is_broken(w) || !t->window || (o && !sql_is_aged(&look, o->ts_ms, w->now)))
        return true;
    struct sql_log *log = sql_touch(w, t);
    if (!log)
        return true;
    *log = look;
    bool done = sql_trim_aged(w, t, log, *trims);
    *trims -= log->first - look.first;
    return done;
}

/* Topics take turns; one that is not done stays in front. */
bool sql_age_sweep(struct sql_writer *w)
{
    size_t trims = AGE_TRIMS;
    for (int i = 0; i < AGE_TOPICS && w->age_left && !slu_list_empty(&w->all); i++) {
        struct sql_topic *t = slu_container_of(w->all.next, struct sql_topic, all);
        if (may_be_aged(w, t) && !trim_if_aged(w, t, &trims))
            return false;
        slu_list_remove(&t->all);
        slu_list_push_back(&w->all, &t->all);
        w->age_left--;
    }
    return w->age_left == 0 || slu_list_empty(&w->all);
}

/* ---- time to live ---- */

static bool empty_row(struct sql_writer *w, uint64_t seq, uint64_t topic, uint64_t size)
{
    struct sql_topic *t = sql_topic_by_id(w, topic);
    struct sql_log *log = t ? sql_touch(w, t) : NULL;
    if (t && !log)
        return false;
    if (log && seq > log->trimmed_seq) {
        log->bytes -= size < log->bytes ? size : log->bytes;
        sql_window_forget(t);
    }
    sqlite3_stmt *s = sql_get(&w->db, SQL_EMPTY);
    sql_bind_u64(s, 1, seq);
    sql_bind_u64(s, 2, SQL_FLAG_EMPTY);
    return sql_run(&w->db, s);
}

bool sql_expiry_sweep(struct sql_writer *w)
{
    struct row {
        uint64_t seq, topic, size;
    } rows[SQL_SLICE];
    size_t n = 0;
    sqlite3_stmt *s = sql_get(&w->db, SQL_EXPIRED);
    sql_bind_u64(s, 1, w->now);
    sql_bind_u64(s, 2, SQL_SLICE);
    while (sql_row(&w->db, s)) {
        struct row *r = &rows[n];
        if (n < SQL_SLICE && sql_column_u64(s, 0, INT64_MAX, &r->seq) && sql_column_u64(s, 1, INT64_MAX, &r->topic) &&
            sql_column_u64(s, 2, INT64_MAX, &r->size))
            n++;
    }
    for (size_t i = 0; i < n; i++) {
        if (!empty_row(w, rows[i].seq, rows[i].topic, rows[i].size))
            return true; /* no memory, or the batch failed */
    }
    return n < SQL_SLICE;
}

/* ---- deleting rows ---- */

/* Rows up to here may go: a last value that only age took stays until a newer one comes. */
static uint64_t clean_upto(const struct sql_topic *t)
{
    const struct sql_log *log = &t->log;
    bool keeps_last = log->first > log->head && log->last_value;
    return keeps_last && log->trimmed_seq ? log->trimmed_seq - 1 : log->trimmed_seq;
}

void sql_mark_unclean(struct sql_writer *w, struct sql_topic *t)
{
    if (clean_upto(t) > t->clean_seq && slu_list_empty(&t->unclean))
        slu_list_push_back(&w->unclean, &t->unclean);
}

/* Topics wait for their turn until a statement has a few rows to delete, on the average. */
bool sql_clean(struct sql_writer *w, size_t max)
{
    for (size_t left = CLEAN_TOPICS + max / CLEAN_ROWS; left && max && !slu_list_empty(&w->unclean); left--) {
        struct sql_topic *t = slu_container_of(w->unclean.next, struct sql_topic, unclean);
        uint64_t upto = clean_upto(t);
        sqlite3_stmt *s = sql_get(&w->db, SQL_TRIM);
        sql_bind_u64(s, 1, t->id);
        sql_bind_u64(s, 2, upto);
        sql_bind_u64(s, 3, max);
        if (!sql_run(&w->db, s))
            return true;
        size_t n = (size_t)sqlite3_changes(w->db.db);
        if (n >= max)
            return false; /* it stays in front */
        max -= n;
        t->cleaning_seq = upto;
        slu_list_remove(&t->unclean);
        slu_list_push_back(&w->batch.cleaned, &t->unclean);
    }
    return slu_list_empty(&w->unclean);
}

void sql_clean_committed(struct sql_writer *w)
{
    slu_list_each (it, &w->batch.cleaned) {
        struct sql_topic *t = slu_container_of(it, struct sql_topic, unclean);
        t->clean_seq = t->cleaning_seq;
        slu_list_remove(&t->unclean);
        sql_mark_unclean(w, t);
    }
}

void sql_clean_undo(struct sql_writer *w)
{
    slu_list_each (it, &w->batch.cleaned) {
        slu_list_remove(it);
        slu_list_push_front(&w->unclean, it);
    }
}
