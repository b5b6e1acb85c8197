/* First SQLite looks at its pages and indexes; then one walk over the messages, in commit order, beside an array of all
 * topics, and a table of questions that must all come back empty. Everything from one read transaction, so that what the
 * daemon writes meanwhile is not half seen. */
#include "storage/sqlite/schema.h"
#include "storage/sqlite/source.h"

#include "broker/core/topic.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { FINDINGS_SHOWN = 100, TEXT_MAX = 512 };
#define NUMBER_MAX ((INT64_C(1) << 53) - 1)

struct topic {
    int64_t id, head, first, bytes, trimmed_seq;
    int64_t n, offset, sum; /* of the rows so far: how many, newest offset, sizes */
    bool is_told;
};

struct check {
    const struct sql_check *c;
    sqlite3 *db;
    struct topic *topics; /* by id */
    size_t n_topics;
    uint64_t found, done, total;
    bool is_stopped;
};

__attribute__((format(printf, 2, 3))) static void find(struct check *c, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list ap;
    if (++c->found > FINDINGS_SHOWN)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    c->c->found(c->c->watch.arg, text);
}

/* ---- SQLite's own ---- */

static int on_integrity(void *arg, int n, char **values, char **names)
{
    struct check *c = arg;
    (void)n, (void)names;
    for (char *line = values[0]; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        size_t len = strcspn(line, "\n");
        if (len && strncmp(line, "***", 3) != 0 && strcmp(values[0], "ok") != 0)
            find(c, "the file: %.*s", (int)len, line);
    }
    return 0;
}

/* Called by SQLite now and then; not 0 stops it. */
static int on_progress(void *arg)
{
    struct check *c = arg;
    c->is_stopped |= !sql_watch_tick(&c->c->watch, c->done, c->total);
    return c->is_stopped;
}

static void check_integrity(struct check *c)
{
    if (sqlite3_exec(c->db, "PRAGMA integrity_check(100)", on_integrity, c, NULL) != SQLITE_OK && !c->is_stopped)
        find(c, "the file: %s", sqlite3_errmsg(c->db));
}

/* ---- topics and their messages ---- */

static sqlite3_stmt *prepare(struct check *c, const char *sql)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(c->db, sql, -1, &st, NULL) != SQLITE_OK)
        find(c, "the tables: %s", sqlite3_errmsg(c->db));
    return st;
}

/* The end of a walk: whether it came to the end of the table. */
static bool ended(struct check *c, sqlite3_stmt *st, int rc, const char *what)
{
    if (rc != SQLITE_DONE && !c->is_stopped)
        find(c, "%s cannot all be read: %s", what, sqlite3_errmsg(c->db));
    sqlite3_finalize(st);
    return rc == SQLITE_DONE;
}

static bool add_topic(struct check *c, sqlite3_stmt *st)
{
    if ((c->n_topics & (c->n_topics - 1)) == 0) {
        struct topic *more = realloc(c->topics, (c->n_topics ? 2 * c->n_topics : 1) * sizeof(*more));
        if (!more)
            return false;
        c->topics = more;
    }
    c->topics[c->n_topics++] = (struct topic){
        .id = sqlite3_column_int64(st, 0),
        .head = sqlite3_column_int64(st, 1),
        .first = sqlite3_column_int64(st, 2),
        .bytes = sqlite3_column_int64(st, 3),
        .trimmed_seq = sqlite3_column_int64(st, 4),
    };
    struct slu_bytes name = slu_bytes(sqlite3_column_blob(st, 5), (size_t)sqlite3_column_bytes(st, 5));
    const struct topic *t = &c->topics[c->n_topics - 1];
    if (!name.len || !slu_topic_valid(name))
        find(c, "topic %" PRId64 " has no valid name", t->id);
    if (t->head < 0 || t->head > NUMBER_MAX || t->first < 1 || t->first > t->head + 1 || t->bytes < 0)
        find(c, "topic %" PRId64 " has impossible numbers: first %" PRId64 ", head %" PRId64 ", %" PRId64 " bytes",
             t->id, t->first, t->head, t->bytes);
    return true;
}

static bool load_topics(struct check *c)
{
    sqlite3_stmt *st = prepare(c, "SELECT id, head, first, bytes, trimmed_seq, name FROM topic ORDER BY id");
    int rc = SQLITE_DONE;
    while (st && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        if (!add_topic(c, st)) {
            sqlite3_finalize(st);
            return false;
        }
    }
    ended(c, st, rc, "topics");
    return true;
}

static int by_id(const void *key, const void *row)
{
    int64_t a = *(const int64_t *)key, b = ((const struct topic *)row)->id;
    return (a > b) - (a < b);
}

static struct topic *topic_of(struct check *c, int64_t id)
{
    return c->n_topics ? bsearch(&id, c->topics, c->n_topics, sizeof(*c->topics), by_id) : NULL;
}

/* One finding for each topic: what follows the first usually follows from it. */
static void tell(struct check *c, struct topic *t, int64_t seq, const char *what)
{
    if (!t->is_told) {
        char *name = NULL;
        sqlite3_stmt *st = prepare(c, "SELECT CAST(name AS TEXT) FROM topic WHERE id = ?1");
        if (st && sqlite3_bind_int64(st, 1, t->id) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
            name = sqlite3_mprintf("%s", sqlite3_column_text(st, 0));
        sqlite3_finalize(st);
        find(c, "topic %" PRId64 " (%s), at message %" PRId64 ": %s", t->id, name ? name : "?", seq, what);
        sqlite3_free(name);
    }
    t->is_told = true;
}

/* Rows up to trimmed_seq are only waiting to be deleted. */
static void check_message(struct check *c, int64_t seq, int64_t id, int64_t offset, int64_t size)
{
    struct topic *t = topic_of(c, id);
    if (seq < 1 || seq > NUMBER_MAX || size < 0)
        find(c, "message %" PRId64 " has impossible numbers", seq);
    else if (!t)
        find(c, "message %" PRId64 " belongs to no topic (%" PRId64 ")", seq, id);
    else if (seq <= t->trimmed_seq && offset >= t->first)
        tell(c, t, seq, "it counts as trimmed, but its offset is not before the first");
    else if (seq > t->trimmed_seq) {
        if (offset != (t->n ? t->offset + 1 : t->first))
            tell(c, t, seq, t->n ? "its offset does not follow the one before" : "its offset is not that of the first");
        t->n++;
        t->offset = offset;
        t->sum += size;
    }
}

static void check_messages(struct check *c)
{
    sqlite3_stmt *st = prepare(c, "SELECT seq, topic, offset, size FROM message ORDER BY seq");
    int rc = SQLITE_DONE;
    if (!st)
        return;
    while (!c->is_stopped && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        check_message(c, sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1), sqlite3_column_int64(st, 2),
                      sqlite3_column_int64(st, 3));
        c->done++;
    }
    if (!ended(c, st, rc, "messages"))
        return; /* their numbers would only say the same again */
    for (struct topic *t = c->topics; t < c->topics + c->n_topics; t++) {
        if (t->n ? t->offset != t->head : t->first <= t->head)
            tell(c, t, 0, "messages before its newest are missing");
        if (t->sum != t->bytes)
            tell(c, t, 0, "its bytes are not the sum of its messages");
    }
}

/* ---- the other tables ---- */

/* Each asks for what must not be; the first column says which. */
static const struct {
    const char *sql, *what;
} questions[] = {
    { "SELECT seq FROM message WHERE kind NOT BETWEEN 0 AND 3 OR form NOT BETWEEN 0 AND 2 OR typeof(offset) <> "
      "'integer' "
      "OR typeof(ts) <> 'integer' OR typeof(expires) NOT IN ('integer', 'null')",
      "message %s has values that no message has" },
    { "SELECT topic FROM retained WHERE topic NOT IN (SELECT id FROM topic)",
      "a retained value belongs to no topic (%s)" },
    { "SELECT topic FROM retained WHERE kind NOT BETWEEN 0 AND 3 OR form NOT BETWEEN 0 AND 2 OR seq < 0 OR place < seq",
      "the retained value of topic %s has values that none has" },
    { "SELECT r.topic FROM retained r JOIN topic t ON t.id = r.topic WHERE r.offset > t.head",
      "the retained value of topic %s is newer than the topic" },
    { "SELECT CAST(name AS TEXT) FROM mirror WHERE kind NOT BETWEEN 0 AND 3 OR form NOT BETWEEN 0 AND 2 OR "
      "length(name) = 0",
      "the retained value of %s has values that none has" },
    { "SELECT DISTINCT topic FROM dedup WHERE topic NOT IN (SELECT id FROM topic)",
      "dedup keys belong to no topic (%s)" },
    { "SELECT DISTINCT d.topic FROM dedup d JOIN topic t ON t.id = d.topic WHERE d.offset > t.head OR d.offset < 1",
      "dedup keys of topic %s name messages that it never had" },
    { "SELECT hex(substr(key, 1, 32)) FROM state WHERE length(key) NOT BETWEEN 1 AND 4096 OR typeof(key) <> 'blob' "
      "OR typeof(value) NOT IN ('blob', 'null') OR length(value) > 4194304 OR generation < 0",
      "the state %s (hex) has values that none has" },
    { "SELECT key FROM (SELECT 'cursor_epoch' AS key UNION SELECT 'generation') WHERE key NOT IN "
      "(SELECT key FROM meta WHERE typeof(value) = 'integer' AND value >= 0)",
      "meta lacks %s" },
    { "SELECT CAST(name AS TEXT) FROM topic WHERE epoch NOT BETWEEN 1 AND 9007199254740991",
      "topic %s has an impossible epoch" },
};

static void ask(struct check *c, const char *sql, const char *what)
{
    sqlite3_stmt *st = prepare(c, sql);
    const char *mark = strstr(what, "%s");
    int rc = SQLITE_DONE;
    while (st && !c->is_stopped && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        const char *which = (const char *)sqlite3_column_text(st, 0);
        find(c, "%.*s%.*s%s", (int)(mark - what), what, TEXT_MAX / 2, which ? which : "", mark + 2);
    }
    ended(c, st, rc, "a table");
}

static void check_all(struct check *c)
{
    check_integrity(c);
    c->total = sql_source_number(c->db, "SELECT count(*) FROM message");
    if (!c->is_stopped)
        check_messages(c);
    for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]) && !c->is_stopped; i++)
        ask(c, questions[i].sql, questions[i].what);
}

static enum slu_err check_version(struct check *c, const char *path, struct slu_buf *why)
{
    uint64_t version = sql_source_number(c->db, "PRAGMA user_version");
    if (version == SQL_SCHEMA_VERSION)
        return SLU_OK;
    slu_buf_addf(why,
                 "%s is of an earlier version (%" PRIu64 "): start this sluiced on it once, or use an earlier sluice",
                 path, version);
    return SLU_EUNSUPPORTED;
}

enum slu_err sql_check(const struct sql_check *what, struct sql_counts *counts, uint64_t *n, struct slu_buf *why)
{
    char path[PATH_MAX];
    struct check c = { .c = what };
    *counts = (struct sql_counts){ 0 };
    if (!sql_source_path(what->path, path, sizeof(path), why))
        return SLU_EUNAVAILABLE;
    enum slu_err err = sql_source_open(path, SQL_SALVAGE, why, &c.db);
    if (err)
        return err;
    sqlite3_progress_handler(c.db, 100000, on_progress, &c);
    if (sqlite3_exec(c.db, "BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1", NULL, NULL, NULL) != SQLITE_OK)
        err = sql_source_failed(c.db, path, why);
    if (!err)
        err = check_version(&c, path, why);
    if (!err && !load_topics(&c))
        err = SLU_ENOMEM;
    if (!err)
        check_all(&c);
    counts->topics = c.n_topics;
    counts->messages = c.done;
    counts->retained =
        sql_source_number(c.db, "SELECT (SELECT count(*) FROM retained) + (SELECT count(*) FROM mirror)");
    counts->states = sql_source_number(c.db, "SELECT count(*) FROM state");
    *n = c.found;
    sqlite3_close(c.db);
    free(c.topics);
    return !err && c.is_stopped ? sql_watch_stopped(why) : err;
}
