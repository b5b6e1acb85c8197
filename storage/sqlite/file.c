/* Opening goes in this order: folder, lock, look (nothing is changed if that says no), modes, then create or migrate, then
 * the stamps. */
#include "storage/sqlite/file.h"

#include "broker/base/log.h"
#include "storage/sqlite/lock.h"
#include "storage/sqlite/look.h"
#include "storage/sqlite/make.h"
#include "storage/sqlite/restored.h"
#include "storage/sqlite/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUSY_MS = 5000 };

struct sql_file {
    int lock;
    char folder[PATH_MAX - SQL_NAME_ROOM], path[PATH_MAX];
};

/* ---- connections ---- */

/* page cache in KiB, as SQLite wants it: negative */
static const char settings[] = "PRAGMA mmap_size=0;"
                               "PRAGMA cell_size_check=ON;"
                               "PRAGMA temp_store=MEMORY;"
                               "PRAGMA wal_autocheckpoint=0;"
                               "PRAGMA journal_size_limit=67108864;";
static const char reader_settings[] = "PRAGMA cache_size=-2048;";
static const char writer_settings[] = "PRAGMA journal_mode=WAL;"
                                      "PRAGMA synchronous=FULL;"
                                      "PRAGMA secure_delete=FAST;"
                                      "PRAGMA cache_size=-8192;";

static int connect_to(const char *path, bool read_only, sqlite3 **out)
{
    int flags = read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    int rc = sqlite3_open_v2(path, out, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);
    if (rc != SQLITE_OK)
        return rc;
    sqlite3_extended_result_codes(*out, 1);
    sqlite3_busy_timeout(*out, BUSY_MS);
    sqlite3_db_config(*out, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(*out, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    rc = sqlite3_exec(*out, settings, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(*out, read_only ? reader_settings : writer_settings, NULL, NULL, NULL);
    /* The -wal is there by now. SQLite flushes the folder for its name too, but takes no notice when that fails. */
    if (rc == SQLITE_OK && !read_only && !sql_sync_folder_of(path))
        rc = SQLITE_IOERR_DIR_FSYNC;
    return rc;
}

enum slu_err sql_file_connect(struct sql_file *f, bool read_only, sqlite3 **out)
{
    sqlite3 *db = NULL;
    int rc = connect_to(f->path, read_only, &db);
    if (rc == SQLITE_OK) {
        /* Closing after a failed flush must not carry the -wal over: what an earlier, partial pass wrote into the file
         * unflushed may be lost by then, and SQLite counts it as done until all connections are closed. Who opens it
         * anew begins at the start of the -wal. */
        sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        *out = db;
        return SLU_OK;
    }
    slu_log(SLU_LOG_ERROR, "store", "connect_failed", "why=\"%s\"", sqlite3_errstr(rc));
    sqlite3_close(db);
    return (rc & 0xff) == SQLITE_NOMEM ? SLU_ENOMEM : SLU_EUNAVAILABLE;
}

enum slu_err sql_file_check(struct sql_file *f, struct slu_buf *why)
{
    sqlite3 *db;
    enum slu_err err = sql_file_connect(f, true, &db);
    if (err) {
        slu_buf_addf(why, "%s cannot be opened", f->path);
        return err;
    }
    bool sound = sql_look_sound(db, why);
    sqlite3_close(db);
    return sound ? SLU_OK : SLU_EINTERNAL;
}

const char *sql_file_path(const struct sql_file *f)
{
    return f->path;
}

/* ---- opening ---- */

/* SQLite gives -wal and -shm the mode of the database. */
static void narrow_modes(const char *path)
{
    static const char *const beside[] = { "", "-wal", "-shm" };
    for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
        char name[PATH_MAX + SQL_NAME_ROOM];
        struct stat st;
        snprintf(name, sizeof(name), "%s%s", path, beside[i]);
        if (lstat(name, &st) != 0 || !S_ISREG(st.st_mode) || (st.st_mode & 07777) == 0600)
            continue;
        bool ok = chmod(name, 0600) == 0;
        slu_log(SLU_LOG_WARN, "store", ok ? "mode_narrowed" : "mode_kept", "file=\"%s\" was=%04o", name,
                (unsigned)(st.st_mode & 07777));
    }
}

static enum slu_err failed(const struct sql_file *f, const char *what, sqlite3 *db, struct slu_buf *why)
{
    const char *cause = db && sqlite3_errcode(db) != SQLITE_OK ? sqlite3_errmsg(db) : strerror(errno);
    slu_buf_addf(why, "%s cannot be %s (%s): look after the space and the rights of that folder", f->path, what, cause);
    return SLU_EUNAVAILABLE;
}

static enum slu_err migrate(struct sql_file *f, sqlite3 *db, int version, struct slu_buf *why)
{
    if (version == SQL_SCHEMA_VERSION)
        return SLU_OK;
    if (sql_schema_migrate(db, version) != SLU_OK)
        return failed(f, "brought to the current version", db, why);
    slu_log(SLU_LOG_INFO, "store", "migrated", "from=%d to=%d", version, SQL_SCHEMA_VERSION);
    return SLU_OK;
}

/* A fresh file has the current version; of another one the look told it. */
static enum slu_err settle(struct sql_file *f, int version, struct slu_buf *why)
{
    sqlite3 *db = NULL;
    enum slu_err err = SLU_OK;
    if (!sql_renew_wal(f->path) || !sql_set_journal(f->path, SQL_JOURNAL_WAL))
        err = failed(f, "written", NULL, why);
    if (!err && connect_to(f->path, false, &db) != SQLITE_OK)
        err = failed(f, "opened", db, why);
    if (!err)
        err = migrate(f, db, version, why);
    if (!err && sql_restored_check(db, f->path, f->lock) != SLU_OK)
        err = failed(f, "written", db, why);
    sqlite3_close(db);
    return err;
}

static enum slu_err open_locked(struct sql_file *f, struct slu_buf *why)
{
    struct sql_look look;
    enum slu_err err = sql_look(f->path, why, &look);
    if (err)
        return err;
    if (!look.is_there) {
        err = sql_make_database(f->folder, NULL, NULL, why);
        look.version = SQL_SCHEMA_VERSION;
        if (!err)
            slu_log(SLU_LOG_INFO, "store", "created", "file=\"%s\"", f->path);
    } else {
        narrow_modes(f->path);
    }
    return err ? err : settle(f, look.version, why);
}

static enum slu_err name_files(struct sql_file *f, const char *folder, struct slu_buf *why)
{
    size_t n = strlen(folder);
    while (n > 1 && folder[n - 1] == '/')
        n--;
    if (n == 0 || n >= sizeof(f->folder)) {
        slu_buf_addf(why, "the data folder's name is %s: give another one with --data", n ? "too long" : "empty");
        return SLU_EUNAVAILABLE;
    }
    snprintf(f->folder, sizeof(f->folder), "%.*s", (int)n, folder);
    snprintf(f->path, sizeof(f->path), "%s/" SQL_FILE_NAME, f->folder);
    if (sql_make_folder(f->folder))
        return SLU_OK;
    slu_buf_addf(why, "%s cannot be made (%s): choose another --data, or make it for this user", f->folder,
                 strerror(errno));
    return SLU_EUNAVAILABLE;
}

enum slu_err sql_file_open(const char *folder, struct slu_buf *why, struct sql_file **out)
{
    struct sql_file *f = calloc(1, sizeof(*f));
    if (!f)
        return SLU_ENOMEM;
    f->lock = -1;
    enum slu_err err = name_files(f, folder, why);
    if (!err)
        err = sql_lock_take(f->folder, why, &f->lock);
    if (!err)
        err = open_locked(f, why);
    if (!err) {
        *out = f;
        return SLU_OK;
    }
    if (f->lock >= 0)
        close(f->lock);
    free(f);
    return err;
}

void sql_file_close(struct sql_file *f)
{
    if (!f)
        return;
    sqlite3 *db = NULL;
    if (connect_to(f->path, false, &db) == SQLITE_OK)
        sql_restored_close(db, f->path, f->lock);
    sqlite3_close(db);
    close(f->lock);
    free(f);
}
