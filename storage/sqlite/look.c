/* First by hand, from the 100 bytes of the header, so that SQLite never touches what is not ours; then through SQLite in
 * one of two ways that write nothing. Without a -wal the file alone is read as if it were on read-only media
 * (immutable). With one, its frames must count: a newer sluiced may have left its migration there. An exclusive
 * connection keeps the index of the -wal in its own memory, so no -shm is made or changed, and it is told not to
 * checkpoint when it closes. */
#include "storage/sqlite/look.h"

#include "storage/sqlite/make.h"
#include "storage/sqlite/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEADER_BYTES = 100,
    AT_PAGE_SIZE = 16,
    AT_JOURNAL = 18,
    AT_CHANGES = 24,
    AT_PAGES = 28,
    AT_USER_VERSION = 60,
    AT_APPLICATION_ID = 68,
    AT_VALID_FOR = 92,
};
/* Files up to this size are searched through at each start: that takes a fraction of a second. */
#define SMALL_FILE_BYTES (INT64_C(64) << 20)

static const char magic[16] = "SQLite format 3";

static uint32_t number_at(const uint8_t *header, size_t at)
{
    const uint8_t *p = header + at;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t size_beside(const char *path, const char *suffix)
{
    char name[PATH_MAX + 16];
    struct stat st;
    snprintf(name, sizeof(name), "%s%s", path, suffix);
    return stat(name, &st) == 0 ? (int64_t)st.st_size : 0;
}

static enum slu_err damaged(const char *path, const char *finding, struct slu_buf *why)
{
    slu_buf_addf(why,
                 "%s is damaged (%s); it was left as it is: put a backup in its place, or see what "
                 "`sluice admin check` and `sluice admin export` can read of it",
                 path, finding);
    return SLU_EINTERNAL;
}

/* ---- by hand ---- */

static enum slu_err foreign(const char *path, const char *what, struct slu_buf *why)
{
    slu_buf_addf(why, "%s is %s; it was left as it is: move it away, or choose another --data", path, what);
    return SLU_EINTERNAL;
}

static enum slu_err newer(const char *path, int version, struct slu_buf *why)
{
    slu_buf_addf(
        why,
        "%s was written by a newer sluiced (version %d of the schema, this one knows up to %d); it was left as it "
        "is: start the newer sluiced, or choose another --data",
        path, version, SQL_SCHEMA_VERSION);
    return SLU_EINTERNAL;
}

static enum slu_err check_header(const char *path, const uint8_t *h, size_t n, struct slu_buf *why)
{
    if (n < HEADER_BYTES || memcmp(h, magic, sizeof(magic)) != 0)
        return foreign(path, "not an SQLite database", why);
    if (number_at(h, AT_APPLICATION_ID) != SQL_APPLICATION_ID)
        return foreign(path, "an SQLite database of another program", why);
    if ((int32_t)number_at(h, AT_USER_VERSION) > SQL_SCHEMA_VERSION)
        return newer(path, (int32_t)number_at(h, AT_USER_VERSION), why);
    return SLU_OK;
}

enum slu_err sql_look_header(const char *path, struct slu_buf *why)
{
    uint8_t header[HEADER_BYTES] = { 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        slu_buf_addf(why, "%s cannot be read (%s)", path, strerror(errno));
        return SLU_EUNAVAILABLE;
    }
    ssize_t n = pread(fd, header, sizeof(header), 0);
    close(fd);
    return check_header(path, header, n > 0 ? (size_t)n : 0, why);
}

/* Only where no -wal holds the rest: a checkpoint that was cut short leaves the same picture. */
static bool is_cut_off(const uint8_t *h, int64_t size)
{
    uint32_t page = (uint32_t)h[AT_PAGE_SIZE] << 8 | h[AT_PAGE_SIZE + 1];
    if (page == 1)
        page = 65536;
    return number_at(h, AT_CHANGES) == number_at(h, AT_VALID_FOR) && size < (int64_t)number_at(h, AT_PAGES) * page;
}

static enum slu_err check_bytes(const char *path, int fd, bool *is_there, struct slu_buf *why)
{
    uint8_t header[HEADER_BYTES] = { 0 };
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return foreign(path, "not a file", why);
    int64_t wal = size_beside(path, "-wal");
    if (st.st_size == 0 && wal) {
        slu_buf_addf(why, "%s is empty, but %s-wal holds changes to it: put the database back, or move both away", path,
                     path);
        return SLU_EINTERNAL;
    }
    *is_there = st.st_size > 0;
    if (!*is_there)
        return SLU_OK;
    ssize_t n = pread(fd, header, sizeof(header), 0);
    enum slu_err err = check_header(path, header, n > 0 ? (size_t)n : 0, why);
    if (!err && size_beside(path, "-journal"))
        return damaged(path, "another program left an unfinished change in the -journal beside it", why);
    if (!err && wal && header[AT_JOURNAL] != SQL_JOURNAL_WAL) {
        slu_buf_addf(
            why,
            "%s is a backup, but %s-wal holds changes to another file: move away the -wal and the -shm, then start "
            "again",
            path, path);
        return SLU_EINTERNAL;
    }
    if (!err && wal == 0 && is_cut_off(header, st.st_size))
        return damaged(path, "its end is missing", why);
    return err;
}

static enum slu_err absent(const char *path, bool *is_there, struct slu_buf *why)
{
    *is_there = false;
    if (!size_beside(path, "-wal"))
        return SLU_OK;
    slu_buf_addf(why, "%s is missing, but %s-wal holds changes to it: put the database back, or move the -wal away",
                 path, path);
    return SLU_EINTERNAL;
}

/* Nothing of this process has the file open yet: closing a descriptor ends all POSIX locks of the process on it. */
static enum slu_err by_hand(const char *path, bool *is_there, struct slu_buf *why)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return absent(path, is_there, why);
    if (fd < 0 && errno == ELOOP)
        return foreign(path, "a symbolic link", why);
    if (fd < 0 && errno == EISDIR)
        return foreign(path, "not a file", why);
    if (fd < 0) {
        slu_buf_addf(why, "%s cannot be opened (%s): give this user the right to read and write it", path,
                     strerror(errno));
        return SLU_EUNAVAILABLE;
    }
    enum slu_err err = check_bytes(path, fd, is_there, why);
    close(fd);
    return err;
}

/* ---- through SQLite ---- */

/* file:PATH?query with what a URI may not hold as %XX. */
static void uri_of(const char *path, const char *query, char *out, size_t cap)
{
    size_t n = (size_t)snprintf(out, cap, "file:");
    for (const char *p = path; *p && n + 4 < cap; p++)
        n += (size_t)snprintf(out + n, cap - n, strchr("%?#", *p) ? "%%%02X" : "%c", (unsigned char)*p);
    snprintf(out + n, cap - n, "%s", query);
}

/* The settings by which a file may be hostile and still do nothing but be read. */
static int harden(sqlite3 *db)
{
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return sqlite3_exec(db, "PRAGMA cell_size_check=ON; PRAGMA query_only=ON", NULL, NULL, NULL);
}

static int open_as(const char *path, const char *query, int flags, const char *first, sqlite3 **out)
{
    char uri[3 * PATH_MAX + 64];
    uri_of(path, query, uri, sizeof(uri));
    int rc = sqlite3_open_v2(uri, out, flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(*out, first, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = harden(*out);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(*out, "SELECT 1 FROM sqlite_schema LIMIT 1", NULL, NULL, NULL);
    return rc;
}

int sql_look_open(const char *path, sqlite3 **out)
{
    *out = NULL;
    if (size_beside(path, "-wal") == 0)
        return open_as(path, "?immutable=1", SQLITE_OPEN_READONLY, "", out);
    int rc = open_as(path, "", SQLITE_OPEN_READWRITE, "PRAGMA locking_mode=EXCLUSIVE", out);
    if ((rc & 0xff) != SQLITE_BUSY)
        return rc;
    /* Another program has it open (a backup): the -shm is in use anyway, and joining it changes nothing. */
    sqlite3_close(*out);
    return open_as(path, "", SQLITE_OPEN_READONLY, "", out);
}

/* A finding may stand below a heading. */
static int last_line(void *into, int n, char **values, char **names)
{
    (void)n, (void)names;
    const char *text = values[0] ? values[0] : "", *end = strrchr(text, '\n');
    slu_buf_add_str(into, end ? end + 1 : text);
    return 0;
}

bool sql_look_sound(sqlite3 *db, struct slu_buf *finding)
{
    size_t before = finding->len;
    if (sqlite3_exec(db, "PRAGMA quick_check(1)", last_line, finding, NULL) != SQLITE_OK) {
        finding->len = before;
        slu_buf_add_str(finding, sqlite3_errmsg(db));
        return false;
    }
    bool ok = finding->len - before == 2 && memcmp(finding->data + before, "ok", 2) == 0;
    if (ok)
        finding->len = before;
    return ok;
}

static int version_of(sqlite3 *db)
{
    sqlite3_stmt *st = NULL;
    int version = -1;
    if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
        version = sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return version;
}

/* What every start needs of `meta`. */
static bool has_number(sqlite3 *db, const char *key, struct slu_buf *finding)
{
    sqlite3_stmt *st = NULL;
    bool ok = sqlite3_prepare_v2(db, "SELECT 1 FROM meta WHERE key=?1 AND typeof(value)='integer'", -1, &st, NULL) ==
                  SQLITE_OK &&
              sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW;
    sqlite3_finalize(st);
    if (!ok)
        slu_buf_addf(finding, "its %s is missing", key);
    return ok;
}

static bool is_whole(sqlite3 *db, const char *path, int version, struct slu_buf *finding)
{
    if (version < 1) {
        slu_buf_add_str(finding, "it has no version");
        return false;
    }
    if (!sql_schema_check(db, version, finding) || !has_number(db, "cursor_epoch", finding) ||
        !has_number(db, "generation", finding))
        return false;
    return size_beside(path, "") + size_beside(path, "-wal") > SMALL_FILE_BYTES || sql_look_sound(db, finding);
}

static enum slu_err by_sqlite(const char *path, struct slu_buf *why, int *version)
{
    sqlite3 *db;
    struct slu_buf finding;
    enum slu_err err = SLU_OK;
    slu_buf_init(&finding, 0);
    int rc = sql_look_open(path, &db);
    *version = rc == SQLITE_OK ? version_of(db) : 0;
    if (rc != SQLITE_OK)
        slu_buf_add_str(&finding, db ? sqlite3_errmsg(db) : "out of memory");
    if (*version > SQL_SCHEMA_VERSION)
        err = newer(path, *version, why);
    else if (rc != SQLITE_OK || !is_whole(db, path, *version, &finding)) {
        slu_buf_add_byte(&finding, 0);
        err = damaged(path, (const char *)finding.data, why);
    }
    sqlite3_close(db);
    slu_buf_fini(&finding);
    return err;
}

enum slu_err sql_look(const char *path, struct slu_buf *why, struct sql_look *out)
{
    *out = (struct sql_look){ false, 0 };
    enum slu_err err = by_hand(path, &out->is_there, why);
    return err || !out->is_there ? err : by_sqlite(path, why, &out->version);
}
