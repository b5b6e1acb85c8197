#include "storage/sqlite/source.h"

#include "storage/sqlite/file.h"
#include "storage/sqlite/look.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum { BUSY_MS = 5000 };

bool sql_source_path(const char *path, char *out, size_t cap, struct slu_buf *why)
{
    struct stat st;
    bool is_folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    int n = snprintf(out, cap, is_folder ? "%s/" SQL_FILE_NAME : "%s", path);
    if (n > 0 && (size_t)n < cap)
        return true;
    slu_buf_add_str(why, "the file's name is too long");
    return false;
}

enum slu_err sql_source_failed(sqlite3 *db, const char *path, struct slu_buf *why)
{
    int rc = db ? sqlite3_errcode(db) & 0xff : SQLITE_NOMEM;
    slu_buf_addf(why, "%s cannot be read (%s)", path, db ? sqlite3_errmsg(db) : "out of memory");
    if (rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB)
        slu_buf_add_str(why, ": it is damaged; put a backup in its place");
    return SLU_EUNAVAILABLE;
}

enum slu_err sql_watch_stopped(struct slu_buf *why)
{
    slu_buf_add_str(why, "stopped");
    return SLU_ECLOSED;
}

static int first_read(sqlite3 *db)
{
    return sqlite3_exec(db, "PRAGMA cell_size_check=ON; SELECT 1 FROM sqlite_schema LIMIT 1", NULL, NULL, NULL);
}

/* The daemon's -wal counts, so its -shm is joined. Where that cannot be (a folder that may not be written, with no daemon
 * at work) the look's way remains. */
static int open_it(const char *path, sqlite3 **db)
{
    int rc = sqlite3_open_v2(path, db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_busy_timeout(*db, BUSY_MS);
        sqlite3_db_config(*db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        sqlite3_db_config(*db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        rc = first_read(*db);
    }
    if ((rc & 0xff) != SQLITE_CANTOPEN && (rc & 0xff) != SQLITE_READONLY)
        return rc;
    sqlite3_close(*db);
    return sql_look_open(path, db);
}

/* SQLite reads no file that is shorter than its header says, unless its schema counts as writable. It is not: the
 * connection is read-only. */
static int insist(sqlite3 *db)
{
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_WRITABLE_SCHEMA, 1, NULL);
    return first_read(db);
}

enum slu_err sql_source_open(const char *path, enum sql_source_use use, struct slu_buf *why, sqlite3 **out)
{
    sqlite3 *db = NULL;
    enum slu_err err = sql_look_header(path, why);
    if (err)
        return err;
    int rc = open_it(path, &db);
    if ((rc & 0xff) == SQLITE_CORRUPT && use == SQL_SALVAGE)
        rc = insist(db);
    if (rc == SQLITE_OK) {
        *out = db;
        return SLU_OK;
    }
    err = sql_source_failed(db, path, why);
    sqlite3_close(db);
    return err;
}

uint64_t sql_source_number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *st = NULL;
    sqlite3_int64 n = 0;
    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
        n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return n > 0 ? (uint64_t)n : 0;
}
