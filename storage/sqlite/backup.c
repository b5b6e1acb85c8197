/* An online backup. A read transaction holds one state of the source for as long as the copy takes, so that what the daemon
 * writes meanwhile neither gets into it nor makes it start again; the -wal cannot be emptied for so long. The copy is in
 * the plain form (one file, no -wal), marked as a backup and looked through before it gets its name. */
#include "storage/sqlite/file.h"
#include "storage/sqlite/look.h"
#include "storage/sqlite/make.h"
#include "storage/sqlite/restored.h"
#include "storage/sqlite/source.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEP_PAGES = 256 };

static enum slu_err cannot_write(const char *path, sqlite3 *db, struct slu_buf *why)
{
    slu_buf_addf(why, "%s cannot be written (%s)", path, db ? sqlite3_errmsg(db) : strerror(errno));
    return SLU_EUNAVAILABLE;
}

static enum slu_err copy_pages(const struct sql_backup *b, sqlite3 *from, sqlite3 *to, const char *path,
                               const char *tmp, struct slu_buf *why)
{
    sqlite3_backup *copy = sqlite3_backup_init(to, "main", from, "main");
    int rc = copy ? SQLITE_OK : SQLITE_ERROR;
    bool go_on = true;
    while (go_on && rc == SQLITE_OK) {
        rc = sqlite3_backup_step(copy, STEP_PAGES);
        int total = sqlite3_backup_pagecount(copy);
        go_on = sql_watch_tick(&b->watch, (uint64_t)(total - sqlite3_backup_remaining(copy)), (uint64_t)total);
    }
    sqlite3_backup_finish(copy);
    if (!go_on)
        return sql_watch_stopped(why);
    if (rc == SQLITE_DONE)
        return SLU_OK;
    /* the copy's connection has the code of whichever side failed; the source's own says if it was that */
    int source = sqlite3_errcode(from);
    return source != SQLITE_OK && source != SQLITE_DONE && source != SQLITE_ROW ? sql_source_failed(from, path, why)
                                                                                : cannot_write(tmp, to, why);
}

static enum slu_err copy(const struct sql_backup *b, const char *path, const char *tmp, struct slu_buf *why)
{
    sqlite3 *from, *to = NULL;
    enum slu_err err = sql_source_open(path, SQL_WHOLE, why, &from);
    if (err)
        return err;
    if (sqlite3_exec(from, "BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1", NULL, NULL, NULL) != SQLITE_OK)
        err = sql_source_failed(from, path, why);
    /* one flush at the end is enough: until then it is nobody's file */
    if (!err && (sqlite3_open_v2(tmp, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK ||
                 sqlite3_exec(to, "PRAGMA synchronous=OFF; PRAGMA journal_mode=OFF", NULL, NULL, NULL) != SQLITE_OK))
        err = cannot_write(tmp, to, why);
    if (!err)
        err = copy_pages(b, from, to, path, tmp, why);
    if (sqlite3_close(to) != SQLITE_OK && !err)
        err = cannot_write(tmp, to, why);
    sqlite3_close(from);
    return err;
}

static bool put_mark(sqlite3 *db, uint64_t now_ms)
{
    sqlite3_stmt *st = NULL;
    bool ok =
        sqlite3_exec(db, "PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY", NULL, NULL, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "REPLACE INTO meta VALUES ('" SQL_BACKUP_MARK "', ?1)", -1, &st, NULL) == SQLITE_OK &&
        sqlite3_bind_int64(st, 1, (sqlite3_int64)now_ms) == SQLITE_OK && sqlite3_step(st) == SQLITE_DONE;
    sqlite3_finalize(st);
    return ok;
}

static enum slu_err mark_and_check(const struct sql_backup *b, const char *path, const char *tmp,
                                   struct sql_counts *out, struct slu_buf *why)
{
    sqlite3 *db = NULL;
    struct slu_buf finding;
    struct stat st;
    enum slu_err err = SLU_OK;
    slu_buf_init(&finding, 0);
    if (sqlite3_open_v2(tmp, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK ||
        !put_mark(db, b->now_ms))
        err = cannot_write(tmp, db, why);
    if (!err && !sql_look_sound(db, &finding)) {
        slu_buf_addf(why, "the copy is damaged, and so is %s (%.*s): see `sluice admin check`", path, (int)finding.len,
                     (const char *)finding.data);
        err = SLU_EINTERNAL;
    }
    if (!err) {
        out->topics = sql_source_number(db, "SELECT count(*) FROM topic");
        out->messages = sql_source_number(db, "SELECT count(*) FROM message");
        out->retained = sql_source_number(db, "SELECT (SELECT count(*) FROM retained) + (SELECT count(*) FROM mirror)");
        out->states = sql_source_number(db, "SELECT count(*) FROM state");
    }
    sqlite3_close(db);
    if (!err && stat(tmp, &st) == 0)
        out->bytes = (uint64_t)st.st_size;
    slu_buf_fini(&finding);
    return err;
}

/* --force must not write over the very file that is copied. */
static bool is_same(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

enum slu_err sql_backup(const struct sql_backup *b, struct sql_counts *out, struct slu_buf *why)
{
    char path[PATH_MAX];
    struct sql_target to;
    *out = (struct sql_counts){ 0 };
    if (!sql_source_path(b->folder, path, sizeof(path), why))
        return SLU_EUNAVAILABLE;
    enum slu_err err = sql_look_header(path, why);
    if (err)
        return err;
    if (is_same(path, b->to)) {
        slu_buf_addf(why, "%s is the database itself: name another file", b->to);
        return SLU_EUNAVAILABLE;
    }
    err = sql_target_open(&to, b->to, b->replace, why);
    if (err)
        return err;
    err = copy(b, path, to.tmp, why);
    if (!err && !sql_set_journal(to.tmp, SQL_JOURNAL_PLAIN))
        err = cannot_write(to.tmp, NULL, why);
    if (!err)
        err = mark_and_check(b, path, to.tmp, out, why);
    if (err)
        sql_target_drop(&to);
    else
        err = sql_target_finish(&to, why);
    return err;
}
