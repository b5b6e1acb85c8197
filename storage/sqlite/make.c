#include "storage/sqlite/make.h"

#include "storage/sqlite/file.h"
#include "storage/sqlite/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { AT_JOURNAL = 18 }; /* in the header: who may write it, who may read it */

bool sql_make_folder(const char *folder)
{
    char part[PATH_MAX];
    snprintf(part, sizeof(part), "%s", folder);
    for (char *p = part + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return false;
        *p = '/';
    }
    return mkdir(part, 0700) == 0 || errno == EEXIST;
}

bool sql_sync_folder_of(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int n = slash == path ? 1 : slash ? (int)(slash - path) : 1;
    snprintf(folder, sizeof(folder), "%.*s", n, slash ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

void sql_remove(const char *path)
{
    static const char *const beside[] = { "", "-wal", "-shm", "-journal" };
    for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
        char name[PATH_MAX + SQL_NAME_ROOM];
        snprintf(name, sizeof(name), "%s%s", path, beside[i]);
        unlink(name);
    }
}

bool sql_set_journal(const char *path, enum sql_journal form)
{
    const uint8_t want[2] = { (uint8_t)form, (uint8_t)form };
    uint8_t have[2];
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    bool ok = fd >= 0 && pread(fd, have, sizeof(have), AT_JOURNAL) == sizeof(have);
    if (ok && memcmp(have, want, sizeof(want)) != 0)
        ok = pwrite(fd, want, sizeof(want), AT_JOURNAL) == sizeof(want) && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* ---- a new database ---- */

static enum slu_err say(const char *path, sqlite3 *db, struct slu_buf *why)
{
    const char *cause = db && sqlite3_errcode(db) != SQLITE_OK ? sqlite3_errmsg(db) : strerror(errno);
    if (!why->len)
        slu_buf_addf(why, "%s cannot be made (%s): look after the space and the rights of that folder", path, cause);
    return SLU_EUNAVAILABLE;
}

/* The mode is set by hand: a umask may have taken bits that the owner needs. */
static bool make_empty(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && fchmod(fd, 0600) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool flush(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static enum slu_err build(const char *path, sql_fill_fn *fill, void *arg, struct slu_buf *why)
{
    sqlite3 *db = NULL;
    enum slu_err err = SLU_OK;
    if (!make_empty(path))
        return say(path, NULL, why);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK ||
        sql_schema_create(db) != SLU_OK)
        err = say(path, db, why);
    if (!err && fill) {
        err = fill(arg, db, why);
        if (err && !why->len)
            say(path, db, why);
    }
    /* Carried over, it is one file to rename. Closing would do that too, but say nothing when it fails. */
    if (!err && sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) != SQLITE_OK)
        err = say(path, db, why);
    if (sqlite3_close(db) != SQLITE_OK && !err)
        err = say(path, db, why);
    return !err && !flush(path) ? say(path, NULL, why) : err;
}

enum slu_err sql_make_database(const char *folder, sql_fill_fn *fill, void *arg, struct slu_buf *why)
{
    char path[PATH_MAX], fresh[PATH_MAX];
    snprintf(path, sizeof(path), "%s/" SQL_FILE_NAME, folder);
    snprintf(fresh, sizeof(fresh), "%s/" SQL_FILE_NAME ".new", folder);
    sql_remove(fresh);
    enum slu_err err = build(fresh, fill, arg, why);
    if (!err && (rename(fresh, path) != 0 || !sql_sync_folder_of(path)))
        err = say(path, NULL, why);
    if (err)
        sql_remove(fresh);
    return err;
}

/* ---- a tool's file ---- */

static enum slu_err cannot(const char *path, struct slu_buf *why)
{
    slu_buf_addf(why, "%s cannot be written (%s)", path, strerror(errno));
    return SLU_EUNAVAILABLE;
}

enum slu_err sql_target_open(struct sql_target *t, const char *path, bool replace, struct slu_buf *why)
{
    *t = (struct sql_target){ .replace = replace, .fd = -1 };
    if (strlen(path) + SQL_NAME_ROOM >= sizeof(t->path)) {
        slu_buf_add_str(why, "the file's name is too long");
        return SLU_EUNAVAILABLE;
    }
    snprintf(t->path, sizeof(t->path), "%s", path);
    snprintf(t->tmp, sizeof(t->tmp), "%.*s.tmp", (int)(sizeof(t->tmp) - SQL_NAME_ROOM), path);
    if (!replace && access(path, F_OK) == 0) {
        slu_buf_addf(why, "%s is there already: name another file, or replace it with --force", path);
        return SLU_EUNAVAILABLE;
    }
    int fd = open(t->tmp, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return cannot(t->tmp, why);
    /* one that a broken-off run left has no lock any more */
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        slu_buf_addf(why, "%s is being written by another process", t->tmp);
        close(fd);
        return SLU_EUNAVAILABLE;
    }
    t->fd = fd;
    if (fchmod(fd, 0600) == 0 && ftruncate(fd, 0) == 0)
        return SLU_OK;
    cannot(t->tmp, why);
    sql_target_drop(t);
    return SLU_EUNAVAILABLE;
}

enum slu_err sql_target_finish(struct sql_target *t, struct slu_buf *why)
{
    bool ok = fsync(t->fd) == 0;
    if (ok && t->replace)
        ok = rename(t->tmp, t->path) == 0;
    else if (ok) /* a file that came meanwhile stays */
        ok = link(t->tmp, t->path) == 0 && unlink(t->tmp) == 0;
    if (ok)
        ok = sql_sync_folder_of(t->path);
    if (!ok) {
        cannot(t->path, why);
        sql_target_drop(t);
        return SLU_EUNAVAILABLE;
    }
    close(t->fd);
    t->fd = -1;
    return SLU_OK;
}

void sql_target_drop(struct sql_target *t)
{
    if (t->fd < 0)
        return;
    unlink(t->tmp);
    close(t->fd);
    t->fd = -1;
}
