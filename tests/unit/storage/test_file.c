/* Every way in which a data folder can be opened or refused; what is refused stays byte for byte. */
#include "tests/unit/storage/data_folder.h"

#include "storage/sqlite/schema.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static unsigned mode_of(const char *path)
{
    struct stat st;
    cr_assert_eq(stat(path, &st), 0, "%s is missing", path);
    return st.st_mode & 07777;
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static void expect_word(const char *why, const char *word)
{
    cr_expect(strstr(why, word) != NULL, "'%s' is not in: %s", word, why);
}

/* Refused with these words, and nothing of it changed. */
static void expect_refused(const char *folder, const char *word, const char *advice)
{
    char *before = folder_photo(folder);
    for (int i = 0; i < 2; i++) {
        char *why = folder_refused(folder), *after = folder_photo(folder);
        expect_word(why, folder);
        expect_word(why, word);
        expect_word(why, advice);
        cr_expect(eq(str, after, before));
        free(why);
        free(after);
    }
    free(before);
}

Test(file, missing_folder_is_made_with_its_parents, .timeout = 20)
{
    char *base = folder_new();
    char inner[4096];
    snprintf(inner, sizeof(inner), "%s/a/b", base);
    folder_settle(inner);
    cr_expect(eq(u32, mode_of(in_folder(base, "a")), 0700));
    cr_expect(eq(u32, mode_of(inner), 0700));
    cr_expect(exists(in_folder(inner, SQL_FILE_NAME)));
    unlink(in_folder(inner, SQL_FILE_NAME));
    unlink(in_folder(inner, SQL_LOCK_NAME));
    rmdir(inner);
    folder_remove(base);
}

Test(file, new_one_is_ours_and_whole, .timeout = 20)
{
    char *folder = folder_new();
    const char *path = in_folder(folder, SQL_FILE_NAME);
    folder_settle(folder);
    cr_expect(eq(i64, db_number(path, "PRAGMA application_id"), SQL_APPLICATION_ID));
    cr_expect(eq(i64, db_number(path, "PRAGMA user_version"), SQL_SCHEMA_VERSION));
    cr_expect(eq(i64, db_number(path, "PRAGMA auto_vacuum"), 2));
    char *mode = db_text(path, "PRAGMA journal_mode");
    cr_expect(eq(str, mode, (char *)"wal"));
    free(mode);
    int64_t epoch = db_number(path, "SELECT value FROM meta WHERE key='cursor_epoch'");
    cr_expect(gt(i64, epoch, 0));
    cr_expect(lt(i64, epoch, INT64_C(1) << 53));
    cr_expect(not(exists(in_folder(folder, SQL_FILE_NAME ".new"))));
    cr_expect(not(exists(in_folder(folder, SQL_FILE_NAME "-wal"))));
    folder_remove(folder);
}

Test(file, empty_one_is_filled, .timeout = 20)
{
    char *folder = folder_new();
    file_write(in_folder(folder, SQL_FILE_NAME), "", 0);
    folder_settle(folder);
    cr_expect(eq(i64, db_number(in_folder(folder, SQL_FILE_NAME), "PRAGMA user_version"), SQL_SCHEMA_VERSION));
    folder_remove(folder);
}

Test(file, what_a_crash_while_making_it_left_is_no_hindrance, .timeout = 20)
{
    char *folder = folder_new();
    file_write(in_folder(folder, SQL_FILE_NAME ".new"), "half", 4);
    file_write(in_folder(folder, SQL_FILE_NAME ".new-wal"), "more", 4);
    folder_settle(folder);
    cr_expect(not(exists(in_folder(folder, SQL_FILE_NAME ".new"))));
    cr_expect(not(exists(in_folder(folder, SQL_FILE_NAME ".new-wal"))));
    folder_remove(folder);
}

Test(file, connections_are_set_up, .timeout = 20)
{
    static const struct {
        const char *sql;
        int writer, reader;
    } rows[] = {
        { "PRAGMA synchronous", 2, 2 },        { "PRAGMA wal_autocheckpoint", 0, 0 },
        { "PRAGMA cache_size", -8192, -2048 }, { "PRAGMA mmap_size", 0, 0 },
        { "PRAGMA trusted_schema", 0, 0 },     { "PRAGMA cell_size_check", 1, 1 },
        { "PRAGMA busy_timeout", 5000, 5000 }, { "PRAGMA journal_size_limit", 64 << 20, 64 << 20 },
    };
    char *folder = folder_new();
    struct sql_file *f = folder_open(folder);
    for (int read_only = 0; read_only < 2; read_only++) {
        sqlite3 *db;
        cr_assert(eq(int, sql_file_connect(f, read_only, &db), SLU_OK));
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            sqlite3_stmt *st;
            sqlite3_prepare_v2(db, rows[i].sql, -1, &st, NULL);
            cr_assert(eq(int, sqlite3_step(st), SQLITE_ROW));
            int want = read_only ? rows[i].reader : rows[i].writer;
            cr_expect_eq(sqlite3_column_int(st, 0), want, "%s: %d", rows[i].sql, sqlite3_column_int(st, 0));
            sqlite3_finalize(st);
        }
        int rc = sqlite3_exec(db, "INSERT INTO gone VALUES (1, 2)", NULL, NULL, NULL);
        cr_expect(eq(int, rc & 0xff, read_only ? SQLITE_READONLY : SQLITE_OK));
        sqlite3_close(db);
    }
    sql_file_close(f);
    folder_remove(folder);
}

Test(file, modes_are_narrow_whatever_the_umask, .timeout = 20)
{
    static const mode_t masks[] = { 0, 0777 };
    for (size_t i = 0; i < 2; i++) {
        char *folder = folder_new();
        sqlite3 *db;
        mode_t old = umask(masks[i]);
        struct sql_file *f = folder_open(folder);
        cr_assert(eq(int, sql_file_connect(f, false, &db), SLU_OK));
        cr_assert(eq(int, sqlite3_exec(db, "INSERT INTO gone VALUES (1, 2)", NULL, NULL, NULL), SQLITE_OK));
        umask(old);
        cr_expect(eq(u32, mode_of(in_folder(folder, SQL_FILE_NAME)), 0600));
        cr_expect(eq(u32, mode_of(in_folder(folder, SQL_FILE_NAME "-wal")), 0600));
        cr_expect(eq(u32, mode_of(in_folder(folder, SQL_FILE_NAME "-shm")), 0600));
        cr_expect(eq(u32, mode_of(in_folder(folder, SQL_LOCK_NAME)), 0600));
        sqlite3_close(db);
        sql_file_close(f);
        folder_remove(folder);
    }
}

Test(file, wide_modes_are_narrowed, .timeout = 20)
{
    char *folder = folder_new();
    folder_settle(folder);
    db_run_killed(in_folder(folder, SQL_FILE_NAME), "INSERT INTO gone VALUES (1, 2)");
    chmod(in_folder(folder, SQL_FILE_NAME), 0644);
    chmod(in_folder(folder, SQL_FILE_NAME "-wal"), 0666);
    chmod(in_folder(folder, SQL_LOCK_NAME), 0644);
    struct sql_file *f = folder_open(folder);
    cr_expect(eq(u32, mode_of(in_folder(folder, SQL_FILE_NAME)), 0600));
    cr_expect(eq(u32, mode_of(in_folder(folder, SQL_LOCK_NAME)), 0600));
    sql_file_close(f);
    cr_expect(eq(i64, db_number(in_folder(folder, SQL_FILE_NAME), "SELECT seq FROM gone"), 2));
    folder_remove(folder);
}

Test(file, second_process_is_told_who_has_it, .timeout = 20)
{
    char *folder = folder_new(), pid[32];
    struct sql_file *f = folder_open(folder);
    char *before = folder_photo(folder);
    char *why = folder_refused(folder), *after = folder_photo(folder);
    snprintf(pid, sizeof(pid), "process %d", getpid());
    expect_word(why, folder);
    expect_word(why, "in use by another sluiced");
    expect_word(why, pid);
    expect_word(why, "--data");
    cr_expect(eq(str, after, before));
    free(why);
    free(before);
    free(after);
    sql_file_close(f);
    folder_settle(folder);
    folder_remove(folder);
}

Test(file, lock_ends_with_the_process, .timeout = 20)
{
    char *folder = folder_new();
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct sql_file *f;
        struct slu_buf why;
        slu_buf_init(&why, 0);
        _exit(sql_file_open(folder, &why, &f) == SLU_OK ? 0 : 1);
    }
    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    cr_assert(eq(int, status, 0));
    folder_settle(folder);
    folder_remove(folder);
}

Test(file, foreign_bytes_are_refused, .timeout = 20)
{
    static const char *const texts[] = { "x", "This is a letter, and quite a long one, that somebody put here.\n",
                                         "SQLite format 3", "SQLite format 2\0................................" };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char *folder = folder_new(), text[4096] = { 0 };
        memcpy(text, texts[i], strlen(texts[i]));
        file_write(in_folder(folder, SQL_FILE_NAME), text, i % 2 ? sizeof(text) : strlen(text));
        expect_refused(folder, "not an SQLite database", "move it away");
        folder_remove(folder);
    }
}

Test(file, database_of_another_program_is_refused, .timeout = 20)
{
    char *folder = folder_new();
    db_run(in_folder(folder, SQL_FILE_NAME), "PRAGMA application_id=77; CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    expect_refused(folder, "of another program", "--data");
    db_run_killed(in_folder(folder, SQL_FILE_NAME), "INSERT INTO t VALUES (2)");
    expect_refused(folder, "of another program", "--data");
    folder_remove(folder);
}

Test(file, newer_version_is_refused, .timeout = 20)
{
    char *folder = folder_new();
    folder_settle(folder);
    db_run(in_folder(folder, SQL_FILE_NAME), "PRAGMA user_version=3");
    expect_refused(folder, "newer sluiced", "start the newer sluiced");
    folder_remove(folder);
}

Test(file, newer_version_that_is_only_in_the_wal_is_refused, .timeout = 20)
{
    char *folder = folder_new();
    folder_settle(folder);
    db_run_killed(in_folder(folder, SQL_FILE_NAME), "PRAGMA user_version=9; CREATE TABLE novelty(a)");
    expect_refused(folder, "version 9", "start the newer sluiced");
    /* also when the -shm did not come along */
    unlink(in_folder(folder, SQL_FILE_NAME "-shm"));
    expect_refused(folder, "version 9", "start the newer sluiced");
    folder_remove(folder);
}

Test(file, what_a_crash_left_in_the_wal_is_taken_in, .timeout = 20)
{
    char *folder = folder_new();
    folder_settle(folder);
    db_run_killed(in_folder(folder, SQL_FILE_NAME), "INSERT INTO gone VALUES (5, 6)");
    cr_assert(exists(in_folder(folder, SQL_FILE_NAME "-wal")));
    folder_settle(folder);
    cr_expect(eq(i64, db_number(in_folder(folder, SQL_FILE_NAME), "SELECT seq FROM gone WHERE bucket=5"), 6));
    cr_expect(not(exists(in_folder(folder, SQL_FILE_NAME "-wal"))));
    folder_remove(folder);
}

Test(file, torn_end_of_the_wal_is_no_damage, .timeout = 20)
{
    char *folder = folder_new();
    folder_settle(folder);
    db_run_killed(in_folder(folder, SQL_FILE_NAME), "INSERT INTO gone VALUES (5, 6); INSERT INTO gone VALUES (7, 8)");
    struct stat st;
    stat(in_folder(folder, SQL_FILE_NAME "-wal"), &st);
    cr_assert(eq(int, truncate(in_folder(folder, SQL_FILE_NAME "-wal"), st.st_size - 100), 0));
    folder_settle(folder);
    cr_expect(eq(i64, db_number(in_folder(folder, SQL_FILE_NAME), "SELECT count(*) FROM gone"), 1));
    folder_remove(folder);
}

Test(file, wal_without_its_database_is_refused, .timeout = 20)
{
    char *folder = folder_new();
    folder_settle(folder);
    db_run_killed(in_folder(folder, SQL_FILE_NAME), "INSERT INTO gone VALUES (5, 6)");
    unlink(in_folder(folder, SQL_FILE_NAME));
    expect_refused(folder, "is missing", "put the database back");
    file_write(in_folder(folder, SQL_FILE_NAME), "", 0);
    expect_refused(folder, "is empty", "put the database back");
    folder_remove(folder);
}

Test(file, missing_parts_are_damage, .timeout = 20)
{
    static const struct {
        const char *sql, *word;
    } rows[] = {
        { "DROP TABLE state", "state" },
        { "DROP TABLE gone", "gone" },
        { "DROP TABLE rebirth", "rebirth" },
        { "ALTER TABLE message DROP COLUMN max_ts", "max_ts" },
        { "ALTER TABLE retained DROP COLUMN place", "place" },
        { "DROP INDEX state_expiry", "state_expiry" },
        { "ALTER TABLE message DROP COLUMN reply", "reply" },
        { "ALTER TABLE topic RENAME COLUMN head TO tail", "head" },
        { "DROP INDEX message_topic", "message_topic" },
        { "DROP INDEX message_expiry", "message_expiry" },
        { "DROP INDEX dedup_age", "dedup_age" },
        { "DELETE FROM meta WHERE key='cursor_epoch'", "cursor_epoch" },
        { "UPDATE meta SET value='often' WHERE key='generation'", "generation" },
        { "PRAGMA user_version=0", "version" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *folder = folder_new();
        folder_settle(folder);
        db_run(in_folder(folder, SQL_FILE_NAME), rows[i].sql);
        expect_refused(folder, rows[i].word, "put a backup in its place");
        folder_remove(folder);
    }
}

/* Messages enough for a tree of some depth. */
static void fill(const char *path)
{
    db_run(path, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
                 "INSERT INTO message (seq, topic, offset, ts, size, kind, form, flags, payload)"
                 " SELECT i, 1, i, 1000 + i, 100, 0, 1, 0, printf('{\"i\":%d,\"pad\":\"%060d\"}', i, i) FROM n");
}

static void overwrite(const char *path, off_t at, size_t n, uint8_t with)
{
    uint8_t bytes[4096];
    memset(bytes, with, sizeof(bytes));
    int fd = open(path, O_WRONLY);
    cr_assert(fd >= 0 && pwrite(fd, bytes, n, at) == (ssize_t)n);
    close(fd);
}

Test(file, damage_is_refused, .timeout = 60)
{
    char *folder = folder_new();
    const char *path = in_folder(folder, SQL_FILE_NAME);
    folder_settle(folder);
    fill(path);
    struct stat st;
    stat(path, &st);
    for (int i = 0; i < 6; i++) {
        char *copy = folder_new();
        const char *broken = in_folder(copy, SQL_FILE_NAME);
        file_copy(path, broken);
        if (i == 0)
            cr_assert(eq(int, truncate(broken, st.st_size / 2), 0));
        else if (i == 1)
            overwrite(broken, 100, 2000, 0xff); /* the schema's own page */
        else if (i == 2)
            overwrite(broken, 16, 2, 0x77); /* the page size */
        else
            overwrite(broken, 4096 * (i * 12), 4096, i == 3 ? 0 : 0x5a); /* somewhere in the messages */
        expect_refused(copy, "is damaged", "put a backup in its place");
        folder_remove(copy);
    }
    folder_remove(folder);
}

Test(file, rollback_journal_of_another_program_is_refused, .timeout = 20)
{
    char *folder = folder_new();
    folder_settle(folder);
    file_write(in_folder(folder, SQL_FILE_NAME "-journal"), "something", 9);
    expect_refused(folder, "-journal", "put a backup in its place");
    folder_remove(folder);
}

Test(file, what_is_no_file_is_refused, .timeout = 20)
{
    char *folder = folder_new(), *other = folder_new();
    cr_assert(eq(int, mkdir(in_folder(folder, SQL_FILE_NAME), 0700), 0));
    expect_refused(folder, "not a file", "move it away");
    rmdir(in_folder(folder, SQL_FILE_NAME));
    cr_assert(eq(int, mkfifo(in_folder(folder, SQL_FILE_NAME), 0600), 0));
    expect_refused(folder, "not a file", "move it away");
    unlink(in_folder(folder, SQL_FILE_NAME));
    folder_settle(other);
    cr_assert(eq(int, symlink(in_folder(other, SQL_FILE_NAME), in_folder(folder, SQL_FILE_NAME)), 0));
    expect_refused(folder, "a symbolic link", "move it away");
    folder_remove(folder);
    folder_remove(other);
}

/* As a user who may not: a child gives up its rights. */
static void as_nobody(const char *folder, const char *word)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct sql_file *f;
        struct slu_buf why;
        slu_buf_init(&why, 0);
        if (geteuid() == 0 && seteuid(65534) != 0)
            _exit(2);
        bool ok = sql_file_open(folder, &why, &f) != SLU_OK;
        slu_buf_add_byte(&why, 0);
        if (!ok || !strstr((char *)why.data, word) || !strstr((char *)why.data, folder))
            fprintf(stderr, "said: %s\n", (char *)why.data);
        else
            _exit(0);
        _exit(1);
    }
    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    cr_expect_eq(status, 0, "expected: %s", word);
}

Test(file, without_permission_the_sentence_says_so, .timeout = 20)
{
    char *folder = folder_new(), inner[4096];
    folder_settle(folder);
    chmod(folder, 0755);
    chmod(in_folder(folder, SQL_FILE_NAME), 0400);
    chmod(in_folder(folder, SQL_LOCK_NAME), 0666);
    char *before = folder_photo(folder);
    as_nobody(folder, "right to read and write it");
    chmod(in_folder(folder, SQL_LOCK_NAME), 0400);
    as_nobody(folder, "right to write in the folder");
    char *after = folder_photo(folder);
    cr_expect(eq(str, after, before));
    free(before);
    free(after);
    chmod(folder, 0555);
    snprintf(inner, sizeof(inner), "%s/inner", folder);
    as_nobody(inner, "cannot be made");
    chmod(folder, 0700);
    folder_remove(folder);
}

Test(file, names_with_odd_characters_work, .timeout = 20)
{
    static const char *const names[] = { "with space", "100%25?mode=memory", "a#b", "\xc3\xa9" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *base = folder_new(), inner[4096];
        snprintf(inner, sizeof(inner), "%s/%s/", base, names[i]);
        folder_settle(inner);
        inner[strlen(inner) - 1] = 0;
        db_run_killed(in_folder(inner, SQL_FILE_NAME), "INSERT INTO gone VALUES (5, 6)");
        folder_settle(inner);
        cr_expect(eq(i64, db_number(in_folder(inner, SQL_FILE_NAME), "SELECT seq FROM gone"), 6));
        unlink(in_folder(inner, SQL_FILE_NAME));
        unlink(in_folder(inner, SQL_LOCK_NAME));
        rmdir(inner);
        folder_remove(base);
    }
}

Test(file, check_after_a_failed_flush, .timeout = 20)
{
    char *folder = folder_new();
    struct slu_buf why;
    slu_buf_init(&why, 0);
    struct sql_file *f = folder_open(folder);
    fill(sql_file_path(f));
    cr_expect(eq(int, sql_file_check(f, &why), SLU_OK));
    cr_expect(eq(sz, why.len, 0));
    overwrite(sql_file_path(f), 4096 * 30, 4096, 0x5a);
    cr_expect(ne(int, sql_file_check(f, &why), SLU_OK));
    cr_expect(gt(sz, why.len, 0));
    slu_buf_fini(&why);
    sql_file_close(f);
    folder_remove(folder);
}
