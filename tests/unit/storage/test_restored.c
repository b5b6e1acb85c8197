/* A database that is not the one the folder last worked with begins new epochs; one that is never does. */
#include "tests/unit/storage/data_folder.h"

#include "storage/sqlite/restored.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const char db_name[] = SQL_FILE_NAME;

static void add_topics(const char *folder)
{
    db_run(in_folder(folder, db_name), "INSERT INTO topic VALUES (1, 'a', 11, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0),"
                                       "(2, 'b', 22, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0)");
}

struct epochs {
    int64_t a, b, cursors;
};

static struct epochs epochs_of(const char *folder)
{
    const char *path = in_folder(folder, db_name);
    return (struct epochs){
        .a = db_number(path, "SELECT epoch FROM topic WHERE id=1"),
        .b = db_number(path, "SELECT epoch FROM topic WHERE id=2"),
        .cursors = db_number(path, "SELECT value FROM meta WHERE key='cursor_epoch'"),
    };
}

static void expect_kept(struct epochs was, struct epochs is)
{
    cr_expect(eq(i64, is.a, was.a));
    cr_expect(eq(i64, is.b, was.b));
    cr_expect(eq(i64, is.cursors, was.cursors));
}

static void expect_new(struct epochs was, struct epochs is)
{
    cr_expect(ne(i64, is.a, was.a));
    cr_expect(ne(i64, is.b, was.b));
    cr_expect(ne(i64, is.a, is.b));
    cr_expect(ne(i64, is.cursors, was.cursors));
    cr_expect(gt(i64, is.a, 0));
    cr_expect(lt(i64, is.a, INT64_C(1) << 53));
}

/* Whether the file system says when a file was made: only then a copy is known that has the newest stamp. */
static bool has_births(const char *folder)
{
    struct statx x;
    cr_assert(eq(int, statx(AT_FDCWD, in_folder(folder, db_name), 0, STATX_BTIME, &x), 0));
    return x.stx_mask & STATX_BTIME;
}

static void expect_known(const char *folder, struct epochs was)
{
    if (has_births(folder))
        expect_new(was, epochs_of(folder));
    else
        expect_kept(was, epochs_of(folder));
}

static char *settled(void)
{
    char *folder = folder_new();
    folder_settle(folder);
    add_topics(folder);
    return folder;
}

/* Opens and ends without closing, as kill -9 does. */
static void open_and_die(const char *folder)
{
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
}

Test(restored, restarts_and_kills_keep_epochs, .timeout = 20)
{
    char *folder = settled();
    struct epochs was = epochs_of(folder);
    for (int i = 0; i < 3; i++) {
        folder_settle(folder);
        expect_kept(was, epochs_of(folder));
        open_and_die(folder);
        expect_kept(was, epochs_of(folder));
    }
    folder_remove(folder);
}

/* The database is stamped first: the lock may be one stamp behind. */
Test(restored, kill_between_the_two_stamps_keeps_epochs, .timeout = 20)
{
    char *folder = settled();
    struct epochs was = epochs_of(folder);
    for (int i = 0; i < 2; i++) {
        file_copy(in_folder(folder, SQL_LOCK_NAME), in_folder(folder, "lock.before"));
        open_and_die(folder);
        file_copy(in_folder(folder, "lock.before"), in_folder(folder, SQL_LOCK_NAME));
        folder_settle(folder);
        expect_kept(was, epochs_of(folder));
    }
    folder_remove(folder);
}

Test(restored, marked_backup_begins_new_epochs_once, .timeout = 20)
{
    char *folder = settled();
    struct epochs was = epochs_of(folder);
    db_run(in_folder(folder, db_name), "INSERT INTO meta VALUES ('" SQL_BACKUP_MARK "', 1700000000000)");
    folder_settle(folder);
    struct epochs is = epochs_of(folder);
    expect_new(was, is);
    cr_expect(eq(i64, db_number(in_folder(folder, db_name), "SELECT count(*) FROM meta WHERE key='backup'"), 0));
    folder_settle(folder);
    expect_kept(is, epochs_of(folder));
    folder_remove(folder);
}

Test(restored, any_number_of_kills_between_the_stamps_keeps_epochs, .timeout = 20)
{
    char *folder = settled();
    struct epochs was = epochs_of(folder);
    file_copy(in_folder(folder, SQL_LOCK_NAME), in_folder(folder, "lock.before"));
    for (int i = 0; i < 3; i++) {
        open_and_die(folder);
        file_copy(in_folder(folder, "lock.before"), in_folder(folder, SQL_LOCK_NAME));
    }
    folder_settle(folder);
    expect_kept(was, epochs_of(folder));
    folder_remove(folder);
}

enum when { BETWEEN_RUNS, WITHIN_A_RUN };

/* A plain copy of the file, taken earlier, written over the newer one: same inode. */
static void put_back(enum when when)
{
    char *folder = settled();
    struct epochs was = epochs_of(folder);
    if (when == BETWEEN_RUNS) {
        file_copy(in_folder(folder, db_name), in_folder(folder, "copy"));
        folder_settle(folder);
    } else {
        struct sql_file *f = folder_open(folder);
        file_copy(in_folder(folder, db_name), in_folder(folder, "copy"));
        sql_file_close(f);
    }
    file_copy(in_folder(folder, "copy"), in_folder(folder, db_name));
    folder_settle(folder);
    struct epochs is = epochs_of(folder);
    expect_new(was, is);
    folder_settle(folder);
    expect_kept(is, epochs_of(folder));
    folder_remove(folder);
}

Test(restored, older_copy_written_over_it_begins_new_epochs, .timeout = 20)
{
    put_back(BETWEEN_RUNS);
}

Test(restored, copy_of_the_same_run_written_over_it_begins_new_epochs, .timeout = 20)
{
    put_back(WITHIN_A_RUN);
}

Test(restored, copy_renamed_into_its_place_begins_new_epochs, .timeout = 20)
{
    char *folder = settled();
    struct epochs was = epochs_of(folder);
    folder_settle(folder);
    /* even with the very bytes of the newest state: another may go on with them elsewhere */
    file_copy(in_folder(folder, db_name), in_folder(folder, "copy"));
    cr_assert(eq(int, rename(in_folder(folder, "copy"), in_folder(folder, db_name)), 0));
    folder_settle(folder);
    expect_known(folder, was);
    folder_remove(folder);
}

Test(restored, copy_of_the_whole_folder_begins_new_epochs, .timeout = 20)
{
    char *folder = settled(), *other = folder_new();
    struct epochs was = epochs_of(folder);
    folder_settle(folder);
    file_copy(in_folder(folder, db_name), in_folder(other, db_name));
    file_copy(in_folder(folder, SQL_LOCK_NAME), in_folder(other, SQL_LOCK_NAME));
    folder_settle(other);
    expect_known(other, was);
    folder_settle(folder);
    expect_kept(was, epochs_of(folder));
    folder_remove(folder);
    folder_remove(other);
}

Test(restored, lost_or_foreign_lock_begins_new_epochs, .timeout = 20)
{
    static const char *const texts[] = { NULL, "", "12345\n", "garbage garbage garbage garbage",
                                         "1 00000000deadbeef 00000000000000000001\n" };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char *folder = settled();
        struct epochs was = epochs_of(folder);
        if (texts[i])
            file_write(in_folder(folder, SQL_LOCK_NAME), texts[i], strlen(texts[i]));
        else
            unlink(in_folder(folder, SQL_LOCK_NAME));
        folder_settle(folder);
        expect_new(was, epochs_of(folder));
        folder_remove(folder);
    }
}
