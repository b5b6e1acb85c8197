/* Walks table by table in one read transaction. Where a page cannot be read the walk goes on behind it: by keys, which
 * grow, it looks for the next one from which reading works again. */
#include "storage/sqlite/columns.h"
#include "storage/sqlite/schema.h"
#include "storage/sqlite/source.h"

#include "broker/core/topic.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>

enum { TICK_LINES = 1024, TEXT_MAX = 512 };
#define KEY_MAX (INT64_C(1) << 53)

struct topic {
    int64_t id;
    struct slu_bytes name; /* own memory; NULL: not wanted */
    uint64_t epoch, head, first, trimmed_seq;
    bool last_value;
};

struct export
{
    const struct sql_export *e;
    sqlite3 *db;
    const char *path;
    struct topic *topics; /* by id */
    size_t n_topics;
    struct slu_buf line;
    struct sql_counts counts;
    uint64_t total;
    struct slu_buf *why;
};

static bool is_wanted(const struct export *x, struct slu_bytes topic)
{
    return slu_topic_valid(topic) && (!x->e->filter || slu_filter_matches(slu_str(x->e->filter), topic));
}

__attribute__((format(printf, 3, 4))) static void lose(struct export *x, uint64_t n, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list ap;
    x->counts.left_out += n;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    x->e->lost(x->e->watch.arg, text);
}

/* ---- lines ---- */

/* *written: the values could be written down. */
static enum slu_err put(struct export *x, const struct sql_line *l, bool *written)
{
    slu_buf_clear(&x->line);
    *written = sql_line_write(&x->line, l);
    if (x->line.failed)
        return SLU_ENOMEM;
    if (!*written || fwrite(x->line.data, 1, x->line.len, x->e->out) == x->line.len)
        return SLU_OK;
    slu_buf_addf(x->why, "the export cannot be written (%s)", strerror(errno));
    return SLU_EUNAVAILABLE;
}

static int by_id(const void *key, const void *row)
{
    int64_t a = *(const int64_t *)key, b = ((const struct topic *)row)->id;
    return (a > b) - (a < b);
}

static const struct topic *topic_of(const struct export *x, int64_t id)
{
    return x->n_topics ? bsearch(&id, x->topics, x->n_topics, sizeof(*x->topics), by_id) : NULL;
}

static enum slu_err keep_topic(struct export *x, int64_t id, const struct sql_line *l, bool wanted)
{
    if ((x->n_topics & (x->n_topics - 1)) == 0) {
        struct topic *more = realloc(x->topics, (x->n_topics ? 2 * x->n_topics : 1) * sizeof(*more));
        if (!more)
            return SLU_ENOMEM;
        x->topics = more;
    }
    uint8_t *name = wanted ? malloc(l->topic.len + 1) : NULL;
    if (wanted && !name)
        return SLU_ENOMEM;
    if (wanted)
        memcpy(name, l->topic.data, l->topic.len);
    x->topics[x->n_topics++] = (struct topic){
        .id = id,
        .name = { name, wanted ? l->topic.len : 0 },
        .epoch = l->epoch,
        .head = l->head,
        .first = l->first,
        .trimmed_seq = l->trimmed_seq,
        .last_value = l->last_value,
    };
    return SLU_OK;
}

/* Rows that trimming took wait to be deleted, but for a last value that age took. */
static bool is_held(const struct topic *t, const struct sql_line *l)
{
    return l->seq > t->trimmed_seq || (t->first > t->head && t->last_value && l->seq == t->trimmed_seq);
}

enum verdict { TAKE, SKIP, LOSE };

/* Completes a row that names its topic by id. */
static enum verdict place(const struct export *x, int64_t id, struct sql_line *l)
{
    const struct topic *t = topic_of(x, id);
    if (!t)
        return LOSE;
    if (!t->name.data || (l->type == SQL_LINE_MESSAGE && !is_held(t, l)))
        return SKIP;
    l->topic = t->name;
    l->epoch = t->epoch;
    return TAKE;
}

static enum verdict judge(struct export *x, int64_t topic, struct sql_line *l)
{
    switch (l->type) {
    case SQL_LINE_MESSAGE:
    case SQL_LINE_RETAINED:
        return place(x, topic, l);
    case SQL_LINE_TOPIC:
    case SQL_LINE_MIRROR:
        return is_wanted(x, l->topic) ? TAKE : slu_topic_valid(l->topic) ? SKIP : LOSE;
    default:
        return TAKE;
    }
}

static void count(struct sql_counts *c, enum sql_line_type type)
{
    uint64_t *const counters[SQL_LINE_TYPES] = { [SQL_LINE_TOPIC] = &c->topics,
                                                 [SQL_LINE_MESSAGE] = &c->messages,
                                                 [SQL_LINE_RETAINED] = &c->retained,
                                                 [SQL_LINE_MIRROR] = &c->retained,
                                                 [SQL_LINE_STATE] = &c->states };
    if (counters[type])
        ++*counters[type];
}

static const char *const names[SQL_LINE_TYPES] = {
    [SQL_LINE_TOPIC] = "topic",
    [SQL_LINE_MESSAGE] = "message",
    [SQL_LINE_RETAINED] = "retained value",
    [SQL_LINE_MIRROR] = "retained value",
    [SQL_LINE_STATE] = "state",
    [SQL_LINE_GONE] = "note of forgotten topics",
    [SQL_LINE_REBIRTH] = "note of forgotten topics",
};

static enum slu_err take_row(struct export *x, sqlite3_stmt *st, enum sql_line_type type)
{
    struct sql_line l;
    int64_t id = sqlite3_column_int64(st, 0), topic = 0;
    bool ok = sql_columns_read(st, type, &l, &topic);
    enum verdict v = ok ? judge(x, topic, &l) : LOSE;
    enum slu_err err = SLU_OK;
    if (v == TAKE)
        err = put(x, &l, &ok);
    if (!err && (v == LOSE || !ok))
        lose(x, 1, "%s %" PRId64 " has values that none has", names[type], id);
    else if (!err && v == TAKE)
        count(&x->counts, type);
    if (!err && type == SQL_LINE_TOPIC && v != LOSE && ok)
        err = keep_topic(x, id, &l, v == TAKE);
    return err;
}

/* ---- walking over damage ---- */

static int step_after(sqlite3_stmt *st, int64_t key)
{
    sqlite3_reset(st);
    sqlite3_bind_int64(st, 1, key);
    return sqlite3_step(st);
}

static bool is_readable(int rc)
{
    return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

/* The smallest key after `key` behind which a row can be read; the statement stands there. Jumps double until one lands,
 * then the gap is halved. */
static int jump(sqlite3_stmt *st, int64_t *key)
{
    int64_t low = *key, high = *key;
    int rc = SQLITE_CORRUPT;
    for (int64_t n = 1; !is_readable(rc) && high < KEY_MAX; n *= 2) {
        low = high;
        high = *key + n;
        rc = step_after(st, high);
    }
    while (is_readable(rc) && high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (is_readable(step_after(st, middle)))
            high = middle;
        else
            low = middle;
    }
    *key = high;
    return is_readable(rc) ? step_after(st, high) : SQLITE_DONE;
}

static bool is_damage(int rc)
{
    return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_IOERR;
}

/* Goes on behind what cannot be read; SQLITE_DONE: nothing is left. */
static int skip(struct export *x, sqlite3_stmt *st, enum sql_line_type type, int64_t key)
{
    int64_t from = key;
    if (!sql_columns_have_key(type)) {
        lose(x, 1, "the rest of the %ss cannot be read: %s", names[type], sqlite3_errmsg(x->db));
        return SQLITE_DONE;
    }
    int rc = jump(st, &key);
    if (rc == SQLITE_ROW) {
        int64_t next = sqlite3_column_int64(st, 0);
        lose(x, next > from + 1 ? (uint64_t)(next - from - 1) : 1, "%ss from %" PRId64 " to %" PRId64 " cannot be read",
             names[type], from + 1, next - 1);
    } else {
        lose(x, 1, "%ss from %" PRId64 " on cannot be read", names[type], from + 1);
    }
    return rc;
}

static enum slu_err walk(struct export *x, enum sql_line_type type)
{
    char sql[SQL_COLUMNS_QUERY_MAX];
    sqlite3_stmt *st = NULL;
    int64_t key = -1;
    uint64_t n = 0;
    enum slu_err err = SLU_OK;
    sql_columns_query(type, sql);
    int rc = sqlite3_prepare_v2(x->db, sql, -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = step_after(st, key);
    while (!err && rc != SQLITE_DONE) {
        if (rc == SQLITE_ROW) {
            err = take_row(x, st, type);
            key = sqlite3_column_int64(st, 0);
            rc = err ? rc : sqlite3_step(st);
        } else if (is_damage(rc) && st) {
            rc = skip(x, st, type, key);
        } else {
            err = sql_source_failed(x->db, x->path, x->why);
        }
        if (!err && ++n % TICK_LINES == 0 && !sql_watch_tick(&x->e->watch, x->counts.messages, x->total))
            err = sql_watch_stopped(x->why);
    }
    sqlite3_finalize(st);
    return err;
}

/* ---- the whole ---- */

static bool read_meta(struct export *x, const char *key, uint64_t *out)
{
    sqlite3_stmt *st = NULL;
    bool ok = sqlite3_prepare_v2(x->db, "SELECT value FROM meta WHERE key = ?1", -1, &st, NULL) == SQLITE_OK &&
              sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW &&
              sqlite3_column_type(st, 0) == SQLITE_INTEGER;
    *out = ok ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
    sqlite3_finalize(st);
    return ok;
}

/* A part of the topics has cursors of its own: those of the whole would find less than they were promised. */
static enum slu_err put_head(struct export *x)
{
    struct sql_line l = { .type = SQL_LINE_HEAD, .version = SQL_EXPORT_VERSION };
    bool ok = read_meta(x, "generation", &l.generation);
    if (x->e->filter) {
        l.has |= SQL_HAS_FILTER;
        l.filter = slu_str(x->e->filter);
    } else if (read_meta(x, "cursor_epoch", &l.cursor_epoch)) {
        l.has |= SQL_HAS_CURSOR_EPOCH;
    } else {
        ok = false;
    }
    if (!ok)
        lose(x, 1, "the table meta cannot be read");
    enum slu_err err = put(x, &l, &ok);
    return !err && !ok ? SLU_EINTERNAL : err;
}

static enum slu_err put_end(struct export *x)
{
    struct sql_line l = {
        .type = SQL_LINE_END,
        .topics = x->counts.topics,
        .messages = x->counts.messages,
        .retained = x->counts.retained,
        .states = x->counts.states,
        .left_out = x->counts.left_out,
    };
    bool ok;
    enum slu_err err = put(x, &l, &ok);
    if (!err && fflush(x->e->out) != 0) {
        slu_buf_addf(x->why, "the export cannot be written (%s)", strerror(errno));
        err = SLU_EUNAVAILABLE;
    }
    return err;
}

static enum slu_err check_source(struct export *x)
{
    uint64_t version = sql_source_number(x->db, "PRAGMA user_version");
    if (version == SQL_SCHEMA_VERSION)
        return SLU_OK;
    slu_buf_addf(x->why,
                 "%s is of an earlier version (%" PRIu64 "): start this sluiced on it once, or use an earlier sluice",
                 x->path, version);
    return SLU_EUNSUPPORTED;
}

static enum slu_err run(struct export *x)
{
    static const enum sql_line_type order[] = { SQL_LINE_TOPIC, SQL_LINE_MESSAGE, SQL_LINE_RETAINED, SQL_LINE_MIRROR,
                                                SQL_LINE_STATE, SQL_LINE_GONE,    SQL_LINE_REBIRTH };
    size_t n = x->e->filter ? 4 : sizeof(order) / sizeof(order[0]);
    if (sqlite3_exec(x->db, "BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1", NULL, NULL, NULL) != SQLITE_OK)
        return sql_source_failed(x->db, x->path, x->why);
    enum slu_err err = check_source(x);
    if (!err)
        err = put_head(x);
    x->total = sql_source_number(x->db, "SELECT count(*) FROM message");
    for (size_t i = 0; i < n && !err; i++)
        err = walk(x, order[i]);
    return err ? err : put_end(x);
}

enum slu_err sql_export(const struct sql_export *e, struct sql_counts *out, struct slu_buf *why)
{
    char path[PATH_MAX];
    struct export x = { .e = e, .path = path, .why = why };
    if (e->filter && !slu_filter_valid(slu_str(e->filter))) {
        slu_buf_addf(why, "'%s' is no filter: %s", e->filter, slu_err_info(SLU_EBAD_FILTER)->hint);
        return SLU_EBAD_FILTER;
    }
    if (!sql_source_path(e->folder, path, sizeof(path), why))
        return SLU_EUNAVAILABLE;
    enum slu_err err = sql_source_open(path, SQL_SALVAGE, why, &x.db);
    if (err)
        return err;
    slu_buf_init(&x.line, 0);
    err = run(&x);
    *out = x.counts;
    sqlite3_close(x.db);
    slu_buf_fini(&x.line);
    for (size_t i = 0; i < x.n_topics; i++)
        free((void *)(uintptr_t)x.topics[i].name.data);
    free(x.topics);
    return err;
}
