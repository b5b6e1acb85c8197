/* An online backup is whole, one file, marked, and never half. */
#include "tests/unit/storage/data_folder.h"

#include "storage/sqlite/restored.h"
#include "storage/sqlite/tools.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static enum slu_err backup(struct sql_backup b, struct sql_counts *counts, char why[512])
{
    struct slu_buf text;
    slu_buf_init(&text, 0);
    b.now_ms = 1700000000000;
    enum slu_err err = sql_backup(&b, counts, &text);
    snprintf(why, 512, "%.*s", (int)text.len, (const char *)text.data);
    slu_buf_fini(&text);
    return err;
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

Test(backup, is_one_whole_marked_file, .timeout = 20)
{
    char *folder = folder_filled(), *to = folder_new(), why[512];
    const char *copy = in_folder(to, "copy.db");
    struct sql_counts counts;
    struct stat st;
    char *before = folder_photo(folder);
    cr_assert(eq(int, backup((struct sql_backup){ .folder = folder, .to = copy }, &counts, why), SLU_OK));
    cr_assert(eq(int, stat(copy, &st), 0));
    cr_expect(eq(u32, st.st_mode & 07777, 0600));
    cr_expect(eq(u64, counts.bytes, (uint64_t)st.st_size));
    cr_expect(eq(u64, counts.topics, 5));
    cr_expect(eq(u64, counts.messages, 14));
    cr_expect(eq(u64, counts.retained, 4));
    cr_expect(eq(u64, counts.states, 4));
    char *mode = db_text(copy, "PRAGMA journal_mode"), *sound = db_text(copy, "PRAGMA integrity_check");
    cr_expect(eq(str, mode, (char *)"delete"));
    cr_expect(eq(str, sound, (char *)"ok"));
    cr_expect(eq(i64, db_number(copy, "SELECT value FROM meta WHERE key = '" SQL_BACKUP_MARK "'"), 1700000000000));
    cr_expect(
        eq(i64, db_number(in_folder(folder, SQL_FILE_NAME), "SELECT count(*) FROM meta WHERE key = 'backup'"), 0));
    cr_expect(not(exists(in_folder(to, "copy.db.tmp"))));
    cr_expect(not(exists(in_folder(to, "copy.db-wal"))));
    char *photo = folder_photo(folder);
    cr_expect(strncmp(photo, before, strcspn(before, "\n")) == 0, "%s\n%s", before, photo);
    free(photo);
    free(before);
    free(mode);
    free(sound);
    folder_remove(to);
    folder_remove(folder);
}

/* Another process writes all the while; the copy is one state of it. */
Test(backup, while_somebody_writes_is_one_state, .timeout = 60)
{
    char *folder = folder_filled(), *to = folder_new(), why[512];
    const char *path = in_folder(folder, SQL_FILE_NAME);
    struct sql_counts counts;
    db_run(path, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
                 "INSERT INTO state SELECT CAST(printf('s/%d', i) AS BLOB), 1, NULL, zeroblob(2000) FROM n;"
                 "CREATE TABLE pair (a, b); INSERT INTO pair VALUES (0, 0)");
    pid_t pid = fork();
    if (pid == 0) {
        sqlite3 *db;
        sqlite3_open(path, &db);
        sqlite3_busy_timeout(db, 5000);
        for (;;)
            sqlite3_exec(db, "UPDATE pair SET a = a + 1, b = b + 1; UPDATE state SET generation = generation + 1", NULL,
                         NULL, NULL);
    }
    for (int i = 0; i < 3; i++) {
        const char *copy = in_folder(to, "copy.db");
        struct sql_backup b = { .folder = folder, .to = copy, .replace = i > 0 };
        cr_assert_eq(backup(b, &counts, why), SLU_OK, "%s", why);
        cr_expect(eq(i64, db_number(copy, "SELECT a = b FROM pair"), 1));
        cr_expect(eq(u64, counts.states, 5004));
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    folder_remove(to);
    folder_remove(folder);
}

Test(backup, holds_what_is_only_in_the_wal, .timeout = 20)
{
    char *folder = folder_filled(), *to = folder_new(), why[512];
    struct sql_counts counts;
    db_run_killed(in_folder(folder, SQL_FILE_NAME), "INSERT INTO gone VALUES (77, 78)");
    cr_assert_eq(backup((struct sql_backup){ .folder = folder, .to = in_folder(to, "b") }, &counts, why), SLU_OK, "%s",
                 why);
    cr_expect(eq(i64, db_number(in_folder(to, "b"), "SELECT seq FROM gone WHERE bucket = 77"), 78));
    folder_remove(to);
    folder_remove(folder);
}

Test(backup, put_back_begins_new_epochs_and_keeps_the_rest, .timeout = 20)
{
    char *folder = folder_filled(), *other = folder_new(), why[512];
    struct sql_counts counts;
    cr_assert(eq(int,
                 backup((struct sql_backup){ .folder = folder, .to = in_folder(other, SQL_FILE_NAME) }, &counts, why),
                 SLU_OK));
    folder_settle(other);
    const char *path = in_folder(other, SQL_FILE_NAME);
    cr_expect(eq(i64, db_number(path, "SELECT count(*) FROM message"), 14));
    cr_expect(ne(i64, db_number(path, "SELECT epoch FROM topic WHERE id = 1"), 1234567890123));
    char *mode = db_text(path, "PRAGMA journal_mode");
    cr_expect(eq(str, mode, (char *)"wal"));
    free(mode);
    folder_remove(other);
    folder_remove(folder);
}

/* The -wal of a database that was killed would be played into the backup that took its place. */
Test(backup, put_back_beside_a_foreign_wal_is_refused, .timeout = 20)
{
    char *folder = folder_filled(), *to = folder_new(), why[512];
    struct sql_counts counts;
    cr_assert(eq(int, backup((struct sql_backup){ .folder = folder, .to = in_folder(to, "b") }, &counts, why), SLU_OK));
    db_run_killed(in_folder(folder, SQL_FILE_NAME), "INSERT INTO gone VALUES (77, 78)");
    file_copy(in_folder(to, "b"), in_folder(folder, SQL_FILE_NAME));
    char *before = folder_photo(folder), *said = folder_refused(folder), *after = folder_photo(folder);
    cr_expect(strstr(said, "-wal holds changes to another file") != NULL, "%s", said);
    cr_expect(eq(str, after, before));
    unlink(in_folder(folder, SQL_FILE_NAME "-wal"));
    unlink(in_folder(folder, SQL_FILE_NAME "-shm"));
    folder_settle(folder);
    cr_expect(eq(i64, db_number(in_folder(folder, SQL_FILE_NAME), "SELECT count(*) FROM gone"), 2));
    free(before);
    free(said);
    free(after);
    folder_remove(to);
    folder_remove(folder);
}

Test(backup, existing_file_stays_unless_asked, .timeout = 20)
{
    char *folder = folder_filled(), why[512];
    struct sql_counts counts;
    file_write(in_folder(folder, "b"), "precious", 8);
    struct sql_backup b = { .folder = folder, .to = in_folder(folder, "b") };
    cr_expect(ne(int, backup(b, &counts, why), SLU_OK));
    cr_expect(strstr(why, "--force") != NULL, "%s", why);
    b.replace = true;
    file_write(in_folder(folder, "b.tmp"), "of a run that was killed", 24);
    cr_expect_eq(backup(b, &counts, why), SLU_OK, "%s", why);
    cr_expect(eq(i64, db_number(b.to, "SELECT count(*) FROM message"), 14));
    b.to = in_folder(folder, SQL_FILE_NAME);
    cr_expect(ne(int, backup(b, &counts, why), SLU_OK));
    cr_expect(strstr(why, "the database itself") != NULL, "%s", why);
    cr_expect(eq(i64, db_number(b.to, "SELECT count(*) FROM meta WHERE key = 'backup'"), 0));
    b.to = in_folder(folder, "missing/b");
    cr_expect(ne(int, backup(b, &counts, why), SLU_OK));
    cr_expect(strstr(why, "cannot be written (No such file") != NULL, "%s", why);
    folder_remove(folder);
}

static bool stop_soon(void *arg, uint64_t done, uint64_t total)
{
    cr_expect(le(u64, done, total));
    return ++*(int *)arg < 2;
}

Test(backup, stopped_one_leaves_nothing, .timeout = 20)
{
    char *folder = folder_filled(), *to = folder_new(), why[512];
    struct sql_counts counts;
    int calls = 0;
    db_run(in_folder(folder, SQL_FILE_NAME), "INSERT INTO state VALUES (X'01', 1, NULL, zeroblob(4000000))");
    struct sql_backup b = { .folder = folder, .to = in_folder(to, "b"), .watch = { stop_soon, &calls } };
    cr_expect(eq(int, backup(b, &counts, why), SLU_ECLOSED));
    cr_expect(not(exists(in_folder(to, "b"))));
    cr_expect(not(exists(in_folder(to, "b.tmp"))));
    folder_remove(to);
    folder_remove(folder);
}

Test(backup, damaged_source_gives_no_backup, .timeout = 20)
{
    char *folder = folder_filled(), *to = folder_new(), why[512], junk[4096];
    const char *path = in_folder(folder, SQL_FILE_NAME);
    struct sql_counts counts;
    int64_t page = db_number(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'state'");
    memset(junk, 0x5a, sizeof(junk));
    int fd = open(path, O_WRONLY);
    cr_assert(eq(int, pwrite(fd, junk, sizeof(junk), (page - 1) * 4096), 4096));
    close(fd);
    cr_expect(ne(int, backup((struct sql_backup){ .folder = folder, .to = in_folder(to, "b") }, &counts, why), SLU_OK));
    cr_expect(strstr(why, "the copy is damaged, and so is") != NULL, "%s", why);
    cr_expect(not(exists(in_folder(to, "b"))));
    cr_expect(not(exists(in_folder(to, "b.tmp"))));
    folder_remove(to);
    folder_remove(folder);
}
