/* One transaction into a database of its own, which gets its name when all of it is there. Lines are checked against each
 * other as they come: a topic before its messages, commits and offsets growing, nothing twice; at the end the counts and,
 * if the export is whole, that no offset is missing. Of one that is not whole the offsets are made dense again, and new
 * epochs say that they are others. */
#include "storage/sqlite/file.h"
#include "storage/sqlite/lock.h"
#include "storage/sqlite/make.h"
#include "storage/sqlite/restored.h"
#include "storage/sqlite/columns.h"
#include "storage/sqlite/source.h"

#include "broker/base/map.h"
#include "broker/core/topic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 1 << 16, NAME_SHOWN = 100 };

struct topic {
    struct slu_map_node node;
    int64_t id;
    uint64_t epoch, head, first, bytes, trimmed_seq;
    bool last_value;
    uint64_t n, offset, sum; /* of its messages so far: how many are held, newest offset, sizes */
    struct slu_bytes name;
    uint8_t text[];
};

struct import {
    const struct sql_import *i;
    sqlite3 *db;
    sqlite3_stmt *inserts[SQL_LINE_TYPES];
    struct slu_map topics;
    struct slu_buf in, scratch; /* in: what is read and not yet taken */
    size_t at;                  /* in `in`: where the next line begins */
    uint64_t line, seq;
    enum sql_line_type last; /* types come in their order */
    bool is_whole, has_end;
    struct sql_line end;
    struct sql_counts counts;
    struct slu_buf *why;
};

static enum slu_err wrong(struct import *m, const char *what)
{
    slu_buf_addf(m->why, "line %" PRIu64 ": %s; nothing was imported", m->line, what);
    return SLU_EBAD_FRAME;
}

/* ---- lines ---- */

/* More of the input; *more false: there is none. */
static enum slu_err read_more(struct import *m, bool *more)
{
    if (m->at) { /* what is taken makes room */
        memmove(m->in.data, m->in.data + m->at, m->in.len - m->at);
        m->in.len -= m->at;
        m->at = 0;
    }
    if (m->in.len > SQL_LINE_MAX)
        return wrong(m, "it is too long for a line of an export");
    if (!sql_watch_tick(&m->i->watch, m->counts.messages, 0)) /* the read may wait for long */
        return sql_watch_stopped(m->why);
    uint8_t *to = slu_buf_reserve(&m->in, BLOCK);
    if (!to)
        return SLU_ENOMEM;
    size_t n = fread(to, 1, BLOCK, m->i->in);
    m->in.len += n;
    *more = n > 0;
    if (n > 0 || !ferror(m->i->in))
        return SLU_OK;
    slu_buf_addf(m->why, "the export cannot be read (%s)", strerror(errno));
    return SLU_EUNAVAILABLE;
}

/* The next line, without its end; *there false: no more. */
static enum slu_err next_line(struct import *m, struct slu_bytes *line, bool *there)
{
    size_t seen = 0;
    bool more = true;
    m->line++;
    for (;;) {
        uint8_t *from = m->in.data ? m->in.data + m->at : NULL;
        size_t left = m->in.len - m->at;
        uint8_t *end = left > seen ? memchr(from + seen, '\n', left - seen) : NULL;
        if (end || !more) {
            *there = left > 0;
            *line = slu_bytes(from, end ? (size_t)(end - from) : left);
            m->at += end ? line->len + 1 : left;
            return left && !end ? wrong(m, "it has no end: the export is cut off") : SLU_OK;
        }
        seen = left;
        enum slu_err err = read_more(m, &more);
        if (err)
            return err;
    }
}

/* ---- topics ---- */

static struct slu_bytes name_of(const struct slu_map_node *n)
{
    return ((const struct topic *)(const void *)n)->name;
}

static struct topic *find_topic(const struct import *m, struct slu_bytes name)
{
    return (struct topic *)(void *)slu_map_get(&m->topics, name);
}

static enum slu_err add_topic(struct import *m, const struct sql_line *l)
{
    if (find_topic(m, l->topic))
        return wrong(m, "the topic stands in an earlier line too");
    if (!l->epoch || l->first < 1 || l->first > l->head + 1)
        return wrong(m, "the topic's epoch, first and head do not go together");
    struct topic *t = calloc(1, sizeof(*t) + l->topic.len);
    if (!t)
        return SLU_ENOMEM;
    memcpy(t->text, l->topic.data, l->topic.len);
    t->name = slu_bytes(t->text, l->topic.len);
    t->id = (int64_t)m->topics.n + 1;
    t->epoch = l->epoch;
    t->head = l->head;
    t->first = l->first;
    t->bytes = l->bytes;
    t->trimmed_seq = l->trimmed_seq;
    t->last_value = l->last_value;
    if (slu_map_add(&m->topics, &t->node))
        return SLU_OK;
    free(t);
    return SLU_ENOMEM;
}

static void free_topics(struct import *m)
{
    struct slu_map_iter it = { 0 };
    struct slu_map_node *n;
    while ((n = slu_map_next(&m->topics, &it)))
        free(n);
    slu_map_fini(&m->topics);
}

static enum slu_err add_message(struct import *m, struct topic *t, const struct sql_line *l)
{
    bool is_last = t->first > t->head && t->last_value && l->seq == t->trimmed_seq && l->offset == t->head;
    if (l->seq <= m->seq)
        return wrong(m, "its seq is not greater than the one before");
    m->seq = l->seq;
    if (is_last)
        return SLU_OK;
    if (l->seq <= t->trimmed_seq || l->offset < t->first || l->offset > t->head || l->offset <= t->offset)
        return wrong(m, "its seq or offset is not one that the topic holds");
    t->n++;
    t->offset = l->offset;
    if (!__builtin_add_overflow(t->sum, l->size, &t->sum))
        return SLU_OK;
    return wrong(m, "its size is too large");
}

/* Of lines that belong to a topic: the rest of the checks. */
static enum slu_err check_topic(struct import *m, const struct sql_line *l, int64_t *id)
{
    struct topic *t = find_topic(m, l->topic);
    *id = t ? t->id : 0;
    if (!t)
        return wrong(m, "its topic has no line before it");
    if (l->type == SQL_LINE_RETAINED)
        return l->offset <= t->head && l->place >= l->seq ? SLU_OK
                                                          : wrong(m, "its place is not one that the topic had");
    return l->epoch == t->epoch ? add_message(m, t, l) : wrong(m, "its epoch is not the topic's");
}

/* ---- rows ---- */

static enum slu_err failed(struct import *m)
{
    if (sqlite3_errcode(m->db) == SQLITE_CONSTRAINT)
        return wrong(m, "it says again what an earlier line said");
    slu_buf_addf(m->why, "line %" PRIu64 " cannot be stored (%s); nothing was imported", m->line,
                 sqlite3_errmsg(m->db));
    return SLU_EUNAVAILABLE;
}

static enum slu_err insert(struct import *m, const struct sql_line *l, int64_t topic)
{
    sqlite3_stmt **st = &m->inserts[l->type];
    char sql[SQL_COLUMNS_QUERY_MAX];
    if (!*st && (!sql_columns_insert(l->type, sql) || sqlite3_prepare_v2(m->db, sql, -1, st, NULL) != SQLITE_OK))
        return failed(m);
    sql_columns_bind(*st, l, topic);
    bool ok = sqlite3_step(*st) == SQLITE_DONE;
    enum slu_err err = ok ? SLU_OK : failed(m);
    sqlite3_reset(*st);
    return err;
}

static bool put_meta(struct import *m, const char *key, uint64_t value)
{
    sqlite3_stmt *st = NULL;
    bool ok = sqlite3_prepare_v2(m->db, "REPLACE INTO meta VALUES (?1, ?2)", -1, &st, NULL) == SQLITE_OK &&
              sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC) == SQLITE_OK &&
              sqlite3_bind_int64(st, 2, (sqlite3_int64)value) == SQLITE_OK && sqlite3_step(st) == SQLITE_DONE;
    sqlite3_finalize(st);
    return ok;
}

static enum slu_err take_head(struct import *m, const struct sql_line *l)
{
    if (l->version != SQL_EXPORT_VERSION)
        return wrong(m, "the export is of another version: use the sluice that made it");
    if (!put_meta(m, "generation", l->generation) ||
        (l->has & SQL_HAS_CURSOR_EPOCH && !put_meta(m, "cursor_epoch", l->cursor_epoch)))
        return failed(m);
    return SLU_OK;
}

static enum slu_err check_state(struct import *m, const struct sql_line *l)
{
    bool ok = l->key.len >= 1 && l->key.len <= 4096 && l->value.len <= 4 << 20;
    return ok ? SLU_OK : wrong(m, "its key or value has a size that no state has");
}

static enum slu_err take_row(struct import *m, const struct sql_line *l)
{
    int64_t topic = 0;
    enum slu_err err = SLU_OK;
    if (l->topic.data && !slu_topic_valid(l->topic))
        return wrong(m, "its topic is none");
    switch (l->type) {
    case SQL_LINE_TOPIC:
        m->counts.topics++;
        err = add_topic(m, l);
        break;
    case SQL_LINE_MESSAGE:
        m->counts.messages++;
        err = check_topic(m, l, &topic);
        break;
    case SQL_LINE_RETAINED:
        m->counts.retained++;
        err = check_topic(m, l, &topic);
        break;
    case SQL_LINE_MIRROR:
        m->counts.retained++;
        break;
    case SQL_LINE_STATE:
        m->counts.states++;
        err = check_state(m, l);
        break;
    default:
        break;
    }
    return err ? err : insert(m, l, topic);
}

static enum slu_err take_end(struct import *m, const struct sql_line *l)
{
    m->has_end = true;
    m->end = *l;
    m->is_whole = l->left_out == 0;
    bool ok = l->topics == m->counts.topics && l->messages == m->counts.messages && l->retained == m->counts.retained &&
              l->states == m->counts.states;
    return ok ? SLU_OK : wrong(m, "it counts other lines than there are");
}

static enum slu_err take_line(struct import *m, struct slu_bytes text)
{
    struct sql_line l;
    struct slu_buf what;
    slu_buf_init(&what, 0);
    enum slu_err err = SLU_OK;
    if (!sql_line_read(text, &m->scratch, &l, &what)) {
        slu_buf_add_byte(&what, 0);
        err = wrong(m, (const char *)what.data);
    }
    slu_buf_fini(&what);
    if (err)
        return err;
    if ((l.type == SQL_LINE_HEAD) != (m->line == 1))
        return wrong(m,
                     m->line == 1 ? "it is not the first line of an export" : "it is a first line, but not the first");
    if (m->has_end || l.type < m->last)
        return wrong(m, m->has_end ? "there is more behind the end" : "a line of that type comes too late");
    m->last = l.type;
    if (l.type == SQL_LINE_HEAD)
        return take_head(m, &l);
    return l.type == SQL_LINE_END ? take_end(m, &l) : take_row(m, &l);
}

static enum slu_err take_lines(struct import *m)
{
    struct slu_bytes line;
    bool there = true;
    enum slu_err err = SLU_OK;
    while (!err && there) {
        err = next_line(m, &line, &there);
        if (!err && there)
            err = take_line(m, line);
    }
    if (!err && !m->has_end)
        err = wrong(m, m->line == 1 ? "it is empty" : "the last line is missing: the export is cut off");
    return err;
}

/* ---- the whole ---- */

/* Every held offset came once (they grow), so their number says whether one is missing. */
static enum slu_err check_dense(struct import *m)
{
    struct slu_map_iter it = { 0 };
    struct slu_map_node *n;
    while ((n = slu_map_next(&m->topics, &it))) {
        const struct topic *t = (const struct topic *)(const void *)n;
        if (t->n == t->head + 1 - t->first && t->sum == t->bytes)
            continue;
        slu_buf_addf(m->why, "the topic %.*s has not the messages that its line promises; nothing was imported",
                     (int)(t->name.len < NAME_SHOWN ? t->name.len : NAME_SHOWN), (const char *)t->name.data);
        return SLU_EBAD_FRAME;
    }
    return SLU_OK;
}

/* Offsets end at the head as before and leave no hole; a retained value follows its message. */
static const char make_dense[] =
    "UPDATE message SET offset = o FROM (SELECT m.seq AS s, t.head - count(*) OVER (PARTITION BY t.id)"
    " + row_number() OVER (PARTITION BY t.id ORDER BY m.seq) AS o FROM message m JOIN topic t ON t.id = m.topic"
    " WHERE m.seq > t.trimmed_seq) WHERE seq = s;"
    "UPDATE topic SET first = head + 1 - n, bytes = b FROM (SELECT t.id AS i, count(m.seq) AS n,"
    " coalesce(sum(m.size), 0) AS b FROM topic t LEFT JOIN message m ON m.topic = t.id AND m.seq > t.trimmed_seq"
    " GROUP BY t.id) WHERE id = i;"
    "UPDATE retained SET offset = o FROM (SELECT seq AS s, offset AS o FROM message) WHERE seq = s;";

static enum slu_err finish(struct import *m)
{
    if (m->is_whole) {
        enum slu_err err = check_dense(m);
        if (err)
            return err;
    } else if (sqlite3_exec(m->db, make_dense, NULL, NULL, NULL) != SQLITE_OK) {
        return failed(m);
    }
    if ((!m->is_whole || m->i->new_epochs) && !put_meta(m, SQL_BACKUP_MARK, m->i->now_ms))
        return failed(m);
    return sqlite3_exec(m->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK ? SLU_OK : failed(m);
}

static enum slu_err fill(void *arg, sqlite3 *db, struct slu_buf *why)
{
    struct import *m = arg;
    enum slu_err err = SLU_OK;
    m->db = db;
    m->why = why;
    /* it is flushed once, before it gets its name */
    if (sqlite3_exec(db, "PRAGMA synchronous=OFF; BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        err = failed(m);
    if (!err)
        err = take_lines(m);
    if (!err)
        err = finish(m);
    for (int i = 0; i < SQL_LINE_TYPES; i++)
        sqlite3_finalize(m->inserts[i]);
    if (err == SLU_ENOMEM && !why->len)
        slu_buf_add_str(why, "out of memory; nothing was imported");
    return err;
}

static bool is_empty(const char *folder, struct slu_buf *why)
{
    static const char *const files[] = { SQL_FILE_NAME, SQL_FILE_NAME "-wal" };
    for (size_t i = 0; i < 2; i++) {
        char path[PATH_MAX];
        struct stat st;
        snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        if (lstat(path, &st) == 0 && !(S_ISREG(st.st_mode) && st.st_size == 0)) {
            slu_buf_addf(why, "%s is there already: import into a folder without data, or move it away", path);
            return false;
        }
    }
    return true;
}

enum slu_err sql_import(const struct sql_import *i, struct sql_counts *out, struct slu_buf *why)
{
    struct import m = { .i = i };
    int lock;
    if (strlen(i->folder) + SQL_NAME_ROOM >= PATH_MAX || !*i->folder || !sql_make_folder(i->folder)) {
        slu_buf_addf(why, "%.*s cannot be made (%s)", NAME_SHOWN, i->folder, strerror(errno));
        return SLU_EUNAVAILABLE;
    }
    enum slu_err err = sql_lock_take(i->folder, why, &lock);
    if (err)
        return err;
    slu_map_init(&m.topics, name_of);
    slu_buf_init(&m.in, 0);
    slu_buf_init(&m.scratch, 0);
    err = is_empty(i->folder, why) ? sql_make_database(i->folder, fill, &m, why) : SLU_EUNAVAILABLE;
    *out = m.counts;
    out->left_out = m.end.left_out;
    free_topics(&m);
    slu_buf_fini(&m.in);
    slu_buf_fini(&m.scratch);
    close(lock);
    return err;
}
