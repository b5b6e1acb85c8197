/* Both the database (meta) and the lock hold a random stamp, new at each opening and at each orderly close. An older
 * copy that is put back has another one than the lock; so has a file of another folder. The whole folder put back agrees
 * with itself: there the file's time of birth, which the lock has too, is another.
 *
 * The database is written first. A crash between leaves the lock one stamp behind, which the database still knows as
 * `stamp_before`: always what the lock had, so that any number of starts may end there. A database without a stamp is a
 * first version's or an imported one: nobody has worked with it here. */
#include "storage/sqlite/restored.h"

#include "broker/base/log.h"
#include "broker/base/rng.h"
#include "storage/sqlite/lock.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static const char new_epochs[] = "UPDATE topic SET epoch = (random() & 9007199254740991) | 1;"
                                 "UPDATE meta SET value = (random() & 9007199254740991) | 1 WHERE key = 'cursor_epoch';"
                                 "DELETE FROM meta WHERE key = '" SQL_BACKUP_MARK "';";

struct known {
    uint64_t stamp, before;
    bool is_backup;
};

/* When the file was made. Inodes say less: they are used again, and some file systems count them anew at each mount. */
static uint64_t birth_of(const char *path)
{
    struct statx x;
    if (statx(AT_FDCWD, path, 0, STATX_BTIME, &x) != 0 || !(x.stx_mask & STATX_BTIME))
        return 0;
    return (uint64_t)x.stx_btime.tv_sec * 1000000000 + (uint64_t)x.stx_btime.tv_nsec;
}

static int read_known(sqlite3 *db, struct known *k)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(
        db, "SELECT key, value FROM meta WHERE key IN ('stamp', 'stamp_before', '" SQL_BACKUP_MARK "')", -1, &st, NULL);
    *k = (struct known){ 0 };
    while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        const char *key = (const char *)sqlite3_column_text(st, 0);
        uint64_t value = (uint64_t)sqlite3_column_int64(st, 1);
        if (key && strcmp(key, "stamp") == 0)
            k->stamp = value;
        else if (key && strcmp(key, "stamp_before") == 0)
            k->before = value;
        else
            k->is_backup = true;
        rc = SQLITE_OK;
    }
    sqlite3_finalize(st);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Why the file counts as restored; NULL: it does not. */
static const char *reason(const struct known *k, const struct sql_stamp *seen, const struct sql_stamp *now)
{
    if (k->is_backup)
        return "it is a backup";
    if (!k->stamp)
        return NULL;
    if (!seen->value)
        return "the folder's lock does not know it";
    if (seen->value != k->stamp && seen->value != k->before)
        return "the folder's lock knows another state of it";
    return seen->born_ns && now->born_ns && seen->born_ns != now->born_ns ? "it is a copy" : NULL;
}

static int write_stamp(sqlite3 *db, uint64_t stamp, uint64_t before)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(db, "REPLACE INTO meta VALUES ('stamp', ?1), ('stamp_before', ?2)", -1, &st, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(st, 1, (sqlite3_int64)stamp);
        sqlite3_bind_int64(st, 2, (sqlite3_int64)before);
        rc = sqlite3_step(st);
    }
    sqlite3_finalize(st);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/* Positive, so that it reads the same everywhere, and never 0. */
static uint64_t new_stamp(void)
{
    return slu_rng_u64() >> 1 | 1;
}

enum slu_err sql_restored_check(sqlite3 *db, const char *path, int lock)
{
    struct sql_stamp seen, now = { new_stamp(), birth_of(path) };
    struct known k;
    const char *why = NULL;
    if (!sql_lock_read(lock, &seen))
        return SLU_EUNAVAILABLE;
    int rc = run(db, "BEGIN IMMEDIATE");
    if (rc == SQLITE_OK)
        rc = read_known(db, &k);
    if (rc == SQLITE_OK) {
        why = reason(&k, &seen, &now);
        rc = why ? run(db, new_epochs) : SQLITE_OK;
    }
    if (rc == SQLITE_OK)
        rc = write_stamp(db, now.value, why ? 0 : seen.value);
    if (rc == SQLITE_OK)
        rc = run(db, "COMMIT");
    if (rc != SQLITE_OK)
        return SLU_EUNAVAILABLE;
    if (why)
        slu_log(SLU_LOG_WARN, "store", "restored",
                "why=\"%s\" hint=\"all topics begin a new epoch: positions from before are not recovered\"", why);
    return sql_lock_write(lock, &now) ? SLU_OK : SLU_EUNAVAILABLE;
}

void sql_restored_close(sqlite3 *db, const char *path, int lock)
{
    struct sql_stamp seen, next = { new_stamp(), birth_of(path) };
    if (!sql_lock_read(lock, &seen))
        return;
    if (run(db, "BEGIN IMMEDIATE") != SQLITE_OK)
        return;
    if (write_stamp(db, next.value, seen.value) == SQLITE_OK && run(db, "COMMIT") == SQLITE_OK)
        sql_lock_write(lock, &next);
}
