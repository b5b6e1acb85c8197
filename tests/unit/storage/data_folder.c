#include "tests/unit/storage/data_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

char *folder_new(void)
{
    const char *base = getenv("TMPDIR");
    char *folder;
    cr_assert(asprintf(&folder, "%s/sluice-store-XXXXXX", base ? base : "/tmp") > 0);
    cr_assert_not_null(mkdtemp(folder));
    return folder;
}

const char *in_folder(const char *folder, const char *name)
{
    static char paths[64][PATH_MAX];
    static unsigned turn;
    char *path = paths[turn++ % 64];
    snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return path;
}

void folder_remove(char *folder)
{
    DIR *d = opendir(folder);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        if (e->d_name[0] != '.' && unlink(in_folder(folder, e->d_name)) != 0)
            rmdir(in_folder(folder, e->d_name));
    }
    closedir(d);
    cr_expect_eq(rmdir(folder), 0, "%s is not empty", folder);
    free(folder);
}

void file_write(const char *path, const void *data, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert(fd >= 0 && write(fd, data, n) == (ssize_t)n);
    close(fd);
}

static uint8_t *read_all(const char *path, size_t *n)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    cr_assert(fd >= 0 && fstat(fd, &st) == 0);
    uint8_t *data = malloc((size_t)st.st_size + 1);
    *n = (size_t)st.st_size;
    cr_assert(read(fd, data, *n) == (ssize_t)*n);
    close(fd);
    data[*n] = 0;
    return data;
}

void file_copy(const char *from, const char *to)
{
    size_t n;
    uint8_t *data = read_all(from, &n);
    file_write(to, data, n);
    free(data);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void photo_of(const char *folder, const char *name, struct slu_buf *out)
{
    struct stat st;
    uint64_t sum = UINT64_C(14695981039346656037);
    cr_assert(eq(int, lstat(in_folder(folder, name), &st), 0));
    if (S_ISREG(st.st_mode)) {
        size_t n;
        uint8_t *data = read_all(in_folder(folder, name), &n);
        for (size_t i = 0; i < n; i++)
            sum = (sum ^ data[i]) * UINT64_C(1099511628211);
        free(data);
    }
    slu_buf_addf(out, "%s %o %lld %016llx %lld.%ld\n", name, st.st_mode, (long long)st.st_size, (unsigned long long)sum,
                 (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

char *folder_photo(const char *folder)
{
    char *names[32];
    size_t n = 0;
    struct slu_buf out;
    DIR *d = opendir(folder);
    struct dirent *e;
    slu_buf_init(&out, 0);
    while ((e = readdir(d))) {
        if (e->d_name[0] != '.' && strcmp(e->d_name, SQL_LOCK_NAME) != 0)
            names[n++] = strdup(e->d_name);
        cr_assert(lt(sz, n, 32));
    }
    closedir(d);
    qsort(names, n, sizeof(*names), by_name);
    for (size_t i = 0; i < n; i++) {
        photo_of(folder, names[i], &out);
        free(names[i]);
    }
    slu_buf_add_byte(&out, 0);
    return (char *)out.data;
}

static void run_on(sqlite3 *db, const char *sql)
{
    char *error = NULL;
    int rc = sqlite3_exec(db, sql, NULL, NULL, &error);
    cr_assert_eq(rc, SQLITE_OK, "%s in %.200s", error, sql);
}

void db_run(const char *path, const char *sql)
{
    sqlite3 *db;
    cr_assert(eq(int, sqlite3_open(path, &db), SQLITE_OK));
    run_on(db, sql);
    cr_assert(eq(int, sqlite3_close(db), SQLITE_OK));
}

void db_run_killed(const char *path, const char *sql)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        sqlite3 *db;
        bool ok =
            sqlite3_open(path, &db) == SQLITE_OK &&
            sqlite3_exec(db, "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0", NULL, NULL, NULL) == SQLITE_OK &&
            sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK;
        _exit(ok ? 0 : 1);
    }
    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    cr_assert_eq(status, 0, "%.200s", sql);
}

char *db_text(const char *path, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *st;
    char *text = NULL;
    cr_assert(eq(int, sqlite3_open(path, &db), SQLITE_OK));
    int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
    cr_assert_eq(rc, SQLITE_OK, "%s in %s", sqlite3_errmsg(db), sql);
    if (sqlite3_step(st) == SQLITE_ROW && sqlite3_column_text(st, 0))
        text = strdup((const char *)sqlite3_column_text(st, 0));
    sqlite3_finalize(st);
    sqlite3_close(db);
    return text;
}

int64_t db_number(const char *path, const char *sql)
{
    char *text = db_text(path, sql);
    int64_t n = text ? strtoll(text, NULL, 10) : -1;
    free(text);
    return n;
}

void db_run_vector(const char *path, const char *name)
{
    char file[PATH_MAX];
    const char *here = __FILE__, *slash = strrchr(here, '/');
    size_t n;
    snprintf(file, sizeof(file), "%.*s/../../vectors/%s", (int)(slash - here), here, name);
    char *sql = (char *)read_all(file, &n);
    db_run(path, sql);
    free(sql);
}

struct sql_file *folder_open(const char *folder)
{
    struct sql_file *f = NULL;
    struct slu_buf why;
    slu_buf_init(&why, 0);
    enum slu_err err = sql_file_open(folder, &why, &f);
    cr_assert_eq(err, SLU_OK, "%.*s", (int)why.len, (const char *)why.data);
    cr_assert(eq(sz, why.len, 0));
    slu_buf_fini(&why);
    return f;
}

char *folder_refused(const char *folder)
{
    struct sql_file *f = NULL;
    struct slu_buf why;
    slu_buf_init(&why, 0);
    cr_assert(ne(int, sql_file_open(folder, &why, &f), SLU_OK));
    cr_assert_null(f);
    slu_buf_add_byte(&why, 0);
    cr_assert(not(why.failed));
    cr_assert(eq(ptr, strchr((char *)why.data, '\n'), NULL));
    return (char *)why.data;
}

void folder_settle(const char *folder)
{
    sql_file_close(folder_open(folder));
}

char *folder_filled(void)
{
    char *folder = folder_new();
    folder_settle(folder);
    db_run_vector(in_folder(folder, SQL_FILE_NAME), "storage/content.sql");
    return folder;
}

void told_add(void *arg, const char *text)
{
    struct told *told = arg;
    size_t len = strlen(told->text);
    told->n++;
    snprintf(told->text + len, sizeof(told->text) - len, "%s\n", text);
}
