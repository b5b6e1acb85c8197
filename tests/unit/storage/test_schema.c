/* Files of every earlier version open with everything in them. Their SQL stands in tests/vectors/storage: what a release
 * wrote is never changed there. */
#include "tests/unit/storage/data_folder.h"

#include "storage/sqlite/schema.h"

#include <stdio.h>
#include <sys/stat.h>

static const char *const tables[] = { "meta", "topic", "message", "retained", "mirror", "dedup", "state" };

/* All rows with the columns that version 1 had, as text. The stamps are what each opening adds. */
static char *content(const char *path)
{
    static const char *const sql[] = {
        "SELECT group_concat(key || '=' || value) FROM meta WHERE key NOT LIKE 'stamp%'",
        "SELECT group_concat(id || hex(name) || ',' || epoch || ',' || head || ',' || first || ',' || bytes || ',' || "
        "born_seq "
        "|| ',' || floor_seq || ',' || trimmed_seq || ',' || max_count || ',' || max_bytes || ',' || max_age_ms || "
        "last_value) FROM topic",
        "SELECT group_concat(seq || ',' || topic || ',' || offset || ',' || ts || quote(expires) || size || ',' || "
        "kind || form "
        "|| flags || quote(publisher) || quote(key) || quote(headers) || quote(payload)) FROM message",
        "SELECT group_concat(topic || ',' || seq || ',' || offset || quote(payload)) FROM retained",
        "SELECT group_concat(hex(name) || ts || quote(payload)) FROM mirror",
        "SELECT group_concat(topic || hex(key) || offset || ',' || matched || ',' || at_ms) FROM dedup",
        "SELECT group_concat(hex(key) || generation || quote(expires) || hex(value)) FROM state",
    };
    struct slu_buf all;
    slu_buf_init(&all, 0);
    for (size_t i = 0; i < sizeof(sql) / sizeof(sql[0]); i++) {
        char *text = db_text(path, sql[i]);
        cr_assert_not_null(text, "%s is empty", tables[i]);
        slu_buf_addf(&all, "%s: %s\n", tables[i], text);
        free(text);
    }
    slu_buf_add_byte(&all, 0);
    return (char *)all.data;
}

Test(schema, every_earlier_version_opens_with_all_that_was_there, .timeout = 20)
{
    for (int version = 1; version < SQL_SCHEMA_VERSION; version++) {
        char *folder = folder_new(), name[64];
        const char *path = in_folder(folder, SQL_FILE_NAME);
        snprintf(name, sizeof(name), "storage/schema_v%d.sql", version);
        db_run_vector(path, name);
        chmod(path, 0600);
        char *before = content(path);
        cr_assert(eq(i64, db_number(path, "PRAGMA user_version"), version));
        folder_settle(folder);
        char *after = content(path);
        cr_expect(eq(str, after, before));
        cr_expect(eq(i64, db_number(path, "PRAGMA user_version"), SQL_SCHEMA_VERSION));
        cr_expect(eq(i64, db_number(path, "SELECT count(*) FROM gone"), 0));
        cr_expect(eq(i64, db_number(path, "SELECT count(reply) FROM message"), 0));
        folder_settle(folder); /* and it is then a file like any other */
        free(before);
        free(after);
        folder_remove(folder);
    }
}

/* What a new file and a migrated one have must be the same, whatever the order of columns. */
Test(schema, migrated_file_has_what_a_new_one_has, .timeout = 20)
{
    static const char what[] =
        "SELECT group_concat(t) FROM (SELECT m.type || m.name || c.name || c.type || c.\"notnull\" || c.pk "
        "AS t FROM sqlite_schema m JOIN pragma_table_info(m.name) c ORDER BY m.name, c.name)";
    static const char indexes[] =
        "SELECT group_concat(t) FROM (SELECT name || coalesce(sql, '') AS t FROM sqlite_schema WHERE "
        "type='index' ORDER BY name)";
    char *made = folder_new(), *old = folder_new();
    folder_settle(made);
    db_run_vector(in_folder(old, SQL_FILE_NAME), "storage/schema_v1.sql");
    folder_settle(old);
    for (size_t i = 0; i < 2; i++) {
        char *a = db_text(in_folder(made, SQL_FILE_NAME), i ? indexes : what);
        char *b = db_text(in_folder(old, SQL_FILE_NAME), i ? indexes : what);
        cr_expect(eq(str, b, a));
        free(a);
        free(b);
    }
    folder_remove(made);
    folder_remove(old);
}

Test(schema, step_that_fails_leaves_the_old_version, .timeout = 20)
{
    char *folder = folder_new();
    const char *path = in_folder(folder, SQL_FILE_NAME);
    db_run_vector(path, "storage/schema_v1.sql");
    /* in the way of the last statement of the step */
    db_run(path, "CREATE TABLE gone (other)");
    char *before = content(path);
    free(folder_refused(folder));
    char *after = content(path);
    cr_expect(eq(str, after, before));
    cr_expect(eq(i64, db_number(path, "PRAGMA user_version"), 1));
    db_run(path, "DROP TABLE gone");
    folder_settle(folder);
    cr_expect(eq(i64, db_number(path, "SELECT count(reply) FROM message"), 0));
    free(before);
    free(after);
    folder_remove(folder);
}
