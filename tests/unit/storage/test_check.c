/* `check` finds nothing in a sound file, and each thing that may be wrong. */
#include "tests/unit/storage/data_folder.h"

#include "storage/sqlite/tools.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static enum slu_err check(const char *path, struct told *told, struct sql_counts *counts, char *why, size_t cap)
{
    struct slu_buf text;
    uint64_t n = 0;
    slu_buf_init(&text, 0);
    *told = (struct told){ 0 };
    enum slu_err err = sql_check(&(struct sql_check){ path, told_add, { NULL, told } }, counts, &n, &text);
    snprintf(why, cap, "%.*s", (int)text.len, (const char *)text.data);
    cr_expect(eq(sz, told->n, n > 100 ? 100 : n));
    slu_buf_fini(&text);
    return err;
}

Test(check, sound_file_has_no_findings, .timeout = 20)
{
    char *folder = folder_filled(), why[512];
    struct told told;
    struct sql_counts counts;
    for (int i = 0; i < 2; i++) {
        const char *path = i ? in_folder(folder, SQL_FILE_NAME) : folder;
        cr_assert(eq(int, check(path, &told, &counts, why, sizeof(why)), SLU_OK));
        cr_expect_eq(told.n, 0, "%s", told.text);
        cr_expect(eq(u64, counts.topics, 5));
        cr_expect(eq(u64, counts.messages, 14));
        cr_expect(eq(u64, counts.retained, 4));
        cr_expect(eq(u64, counts.states, 4));
    }
    folder_remove(folder);
}

Test(check, each_broken_rule_is_a_finding, .timeout = 60)
{
    static const struct {
        const char *sql, *word;
    } rows[] = {
        { "DELETE FROM message WHERE seq = 10", "offset does not follow" },
        { "DELETE FROM message WHERE seq = 6", "not that of the first" },
        { "DELETE FROM message WHERE seq = 21", "missing" },
        { "UPDATE message SET offset = 5 WHERE seq = 10", "offset does not follow" },
        { "UPDATE message SET offset = 9 WHERE seq = 3", "counts as trimmed" },
        { "UPDATE topic SET head = 10 WHERE id = 1", "missing" },
        { "UPDATE topic SET bytes = bytes + 1 WHERE id = 3", "bytes are not the sum" },
        { "UPDATE topic SET first = 20 WHERE id = 1", "impossible numbers" },
        { "UPDATE topic SET epoch = 0 WHERE id = 4", "impossible epoch" },
        { "UPDATE topic SET name = CAST('a/#' AS BLOB) WHERE id = 8", "no valid name" },
        { "UPDATE message SET topic = 2 WHERE seq = 21", "belongs to no topic" },
        { "UPDATE message SET seq = 1 << 60 WHERE seq = 21", "impossible numbers" },
        { "UPDATE message SET kind = 7 WHERE seq = 21", "values that no message has" },
        { "UPDATE message SET ts = 'noon' WHERE seq = 21", "values that no message has" },
        { "UPDATE retained SET topic = 5 WHERE topic = 1", "retained value belongs to no topic" },
        { "UPDATE retained SET offset = 10 WHERE topic = 1", "newer than the topic" },
        { "UPDATE retained SET form = 3 WHERE topic = 1", "values that none has" },
        { "UPDATE mirror SET kind = -1 WHERE seq = 5", "values that none has" },
        { "UPDATE dedup SET topic = 5", "belong to no topic" },
        { "UPDATE dedup SET offset = 50", "never had" },
        { "UPDATE state SET value = 5 WHERE generation = 7", "67726F75702F78" },
        { "UPDATE state SET key = X'' WHERE generation = 7", "the state" },
        { "DELETE FROM meta WHERE key = 'generation'", "meta lacks generation" },
        { "DROP TABLE state", "state" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *folder = folder_filled(), why[512];
        struct told told;
        struct sql_counts counts;
        db_run(in_folder(folder, SQL_FILE_NAME), rows[i].sql);
        cr_expect(eq(int, check(folder, &told, &counts, why, sizeof(why)), SLU_OK));
        cr_expect(told.n > 0 && strstr(told.text, rows[i].word), "%s: %s", rows[i].sql, told.text);
        folder_remove(folder);
    }
}

Test(check, damaged_pages_are_findings, .timeout = 20)
{
    char *folder = folder_filled(), why[512], junk[4096];
    const char *path = in_folder(folder, SQL_FILE_NAME);
    struct told told;
    struct sql_counts counts;
    int64_t page = db_number(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'message'");
    memset(junk, 0x5a, sizeof(junk));
    int fd = open(path, O_WRONLY);
    cr_assert(eq(int, pwrite(fd, junk, sizeof(junk), (page - 1) * 4096), 4096));
    close(fd);
    cr_expect(eq(int, check(folder, &told, &counts, why, sizeof(why)), SLU_OK));
    cr_expect(strstr(told.text, "the file: ") != NULL, "%s", told.text);
    cr_expect(strstr(told.text, "messages cannot all be read") != NULL, "%s", told.text);
    folder_remove(folder);
}

Test(check, what_is_no_database_of_ours_is_told, .timeout = 20)
{
    char *folder = folder_new(), why[512];
    struct told told;
    struct sql_counts counts;
    cr_expect(ne(int, check(folder, &told, &counts, why, sizeof(why)), SLU_OK));
    cr_expect(strstr(why, "cannot be read (No such file") != NULL, "%s", why);
    file_write(in_folder(folder, SQL_FILE_NAME), "letter", 6);
    cr_expect(ne(int, check(folder, &told, &counts, why, sizeof(why)), SLU_OK));
    cr_expect(strstr(why, "not an SQLite database") != NULL, "%s", why);
    unlink(in_folder(folder, SQL_FILE_NAME));
    db_run_vector(in_folder(folder, SQL_FILE_NAME), "storage/schema_v1.sql");
    cr_expect(ne(int, check(folder, &told, &counts, why, sizeof(why)), SLU_OK));
    cr_expect(strstr(why, "earlier version (1)") != NULL, "%s", why);
    folder_remove(folder);
}

static bool stop(void *arg, uint64_t done, uint64_t total)
{
    (void)arg, (void)done, (void)total;
    return false;
}

Test(check, can_be_stopped, .timeout = 20)
{
    char *folder = folder_filled();
    struct told told = { 0 };
    struct sql_counts counts;
    struct slu_buf why;
    uint64_t n;
    slu_buf_init(&why, 0);
    db_run(in_folder(folder, SQL_FILE_NAME),
           "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)"
           "INSERT INTO gone SELECT 2000 + i, i FROM n");
    enum slu_err err = sql_check(&(struct sql_check){ folder, told_add, { stop, &told } }, &counts, &n, &why);
    cr_expect(eq(int, err, SLU_ECLOSED));
    cr_expect(eq(u32, told.n, 0));
    slu_buf_fini(&why);
    folder_remove(folder);
}
