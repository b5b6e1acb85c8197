/* Export and import: everything comes back as it was, and nothing comes in that is not whole and right. */
#include "tests/unit/storage/data_folder.h"

#include "storage/sqlite/lock.h"
#include "storage/sqlite/restored.h"
#include "storage/sqlite/tools.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct result {
    enum slu_err err;
    struct sql_counts counts;
    struct told told;
    char why[512];
    char *text; /* of an export; NUL behind it */
    size_t len;
};

static void keep_why(struct result *r, struct slu_buf *why)
{
    snprintf(r->why, sizeof(r->why), "%.*s", (int)why->len, (const char *)why->data);
    slu_buf_fini(why);
}

static struct result export_of(const char *folder, const char *filter)
{
    struct result r = { 0 };
    struct slu_buf why;
    slu_buf_init(&why, 0);
    FILE *out = open_memstream(&r.text, &r.len);
    struct sql_export e = {
        .folder = folder, .filter = filter, .out = out, .lost = told_add, .watch = { NULL, &r.told }
    };
    r.err = sql_export(&e, &r.counts, &why);
    fclose(out);
    keep_why(&r, &why);
    return r;
}

static struct result import_to(const char *folder, const char *text, size_t len, bool new_epochs)
{
    struct result r = { 0 };
    struct slu_buf why;
    slu_buf_init(&why, 0);
    FILE *in = fmemopen((void *)text, len, "r");
    struct sql_import i = { .folder = folder, .in = in, .new_epochs = new_epochs, .now_ms = 1700000000000 };
    r.err = sql_import(&i, &r.counts, &why);
    fclose(in);
    keep_why(&r, &why);
    return r;
}

static void expect_in(const char *text, const char *part)
{
    cr_expect(strstr(text, part) != NULL, "%s\nis not in\n%.6000s", part, text);
}

static void expect_sound(const char *folder)
{
    struct told told = { 0 };
    struct sql_counts counts;
    struct slu_buf why;
    uint64_t n;
    slu_buf_init(&why, 0);
    cr_expect(eq(int, sql_check(&(struct sql_check){ folder, told_add, { NULL, &told } }, &counts, &n, &why), SLU_OK));
    cr_expect_eq(n, 0, "%s", told.text);
    slu_buf_fini(&why);
}

Test(transfer, lines_say_what_is_there, .timeout = 20)
{
    char *folder = folder_filled();
    struct result r = export_of(folder, NULL);
    cr_assert_eq(r.err, SLU_OK, "%s", r.why);
    cr_expect(eq(u32, r.told.n, 0));
    static const char *const parts[] = {
        "{\"type\":\"sluice-export\",\"version\":1,\"cursor_epoch\":987654321987,\"generation\":12}\n",
        "{\"type\":\"topic\",\"topic\":\"all/kinds\",\"epoch\":1234567890123,\"head\":9,\"first\":1,\"bytes\":890,",
        "\"max_age_ms\":600000,\"last_value\":false}\n",
        ",\"data\":{\"n\":12345678901234567890,\"f\":1.10,\"e\":1E+2,\"nested\":[{\"a\":null}]}}\n",
        "\"publisher\":\"9223372036854775807\"",
        ",\"data\":\"\\u0000 \\ud83d\\ude00 \\ud800 end\"}\n",
        ",\"text\":\"a\\u0000b\\n\\\"\"}\n",
        "\"key64\":\"//4A\"",
        "\"headers\":[[\"n\",\"v:\"],[\"\",\"X-Y\"]]",
        "\"headers64\":\"AQBuAQ==\"",
        "\"data64\":\"AP8Qww==\"",
        "\"kind\":\"json\",\"form\":\"cbor\",\"flags\":0,\"data64\":\"oWFhAQ==\"",
        "\"kind\":\"json\",\"form\":\"json\",\"flags\":0,\"data64\":\"WzEsCjJd\"",
        "\"text\":\"untyped ü\"",
        "{\"type\":\"retained\",\"topic\":\"größe/only retained\",\"place\":17,\"seq\":0,\"offset\":0,",
        "{\"type\":\"mirror\",\"topic\":\"z/first\"",
        "\"data\":1e400}\n",
        "{\"type\":\"state\",\"key64\":\"/wA=\",\"generation\":12,\"expires\":4102444800000}\n",
        "{\"type\":\"state\",\"key\":\"empty\",\"generation\":0,\"value\":\"\"}\n",
        "{\"type\":\"gone\",\"bucket\":0,\"seq\":3}\n{\"type\":\"gone\",\"bucket\":1029,\"seq\":5}\n",
        "{\"type\":\"rebirth\",\"bucket\":5,\"generation\":2}\n",
        "{\"type\":\"end\",\"topics\":5,\"messages\":12,\"retained\":4,\"states\":4,\"left_out\":0}\n",
    };
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        expect_in(r.text, parts[i]);
    /* what trimming took is no message any more; what only waits for its time to live is */
    cr_expect(strstr(r.text, "\"seq\":3,\"offset\":2") == NULL);
    expect_in(r.text, "\"seq\":16,\"offset\":2");
    free(r.text);
    folder_remove(folder);
}

Test(transfer, round_trip_is_identical, .timeout = 20)
{
    char *folder = folder_filled(), *other = folder_new();
    struct result first = export_of(folder, NULL), in = import_to(other, first.text, first.len, false);
    cr_assert_eq(in.err, SLU_OK, "%s", in.why);
    cr_expect(eq(u64, in.counts.messages, 12));
    struct stat st;
    cr_expect(eq(int, stat(in_folder(other, SQL_FILE_NAME), &st), 0));
    cr_expect(eq(u32, st.st_mode & 07777, 0600));
    expect_sound(other);
    for (int i = 0; i < 2; i++) {
        struct result second = export_of(other, NULL);
        cr_assert(eq(int, second.err, SLU_OK));
        cr_expect(eq(str, second.text, first.text));
        free(second.text);
        folder_settle(other); /* the first start changes nothing either */
    }
    /* payloads and what stands beside them, byte for byte */
    static const char all[] =
        "SELECT group_concat(seq || offset || ts || quote(max_ts) || quote(expires) || size || kind || "
        "form || flags || quote(publisher) || quote(key) || quote(reply) || quote(headers) || "
        "quote(payload)) FROM message WHERE seq > 3";
    char *a = db_text(in_folder(folder, SQL_FILE_NAME), all), *b = db_text(in_folder(other, SQL_FILE_NAME), all);
    cr_expect(eq(str, b, a));
    free(a);
    free(b);
    free(first.text);
    folder_remove(other);
    folder_remove(folder);
}

Test(transfer, new_epochs_when_asked, .timeout = 20)
{
    char *folder = folder_filled(), *other = folder_new();
    struct result first = export_of(folder, NULL), in = import_to(other, first.text, first.len, true);
    cr_assert_eq(in.err, SLU_OK, "%s", in.why);
    folder_settle(other);
    cr_expect(
        ne(i64, db_number(in_folder(other, SQL_FILE_NAME), "SELECT epoch FROM topic WHERE id = 1"), 1234567890123));
    free(first.text);
    folder_remove(other);
    folder_remove(folder);
}

Test(transfer, filter_takes_whole_topics_and_nothing_of_others, .timeout = 20)
{
    char *folder = folder_filled(), *other = folder_new();
    struct result r = export_of(folder, "+/short");
    cr_assert_eq(r.err, SLU_OK, "%s", r.why);
    expect_in(r.text, "{\"type\":\"sluice-export\",\"version\":1,\"filter\":\"+/short\",\"generation\":12}\n");
    expect_in(r.text, "{\"type\":\"end\",\"topics\":1,\"messages\":2,\"retained\":0,\"states\":0,\"left_out\":0}\n");
    struct result in = import_to(other, r.text, r.len, false);
    cr_assert_eq(in.err, SLU_OK, "%s", in.why);
    expect_sound(other);
    free(r.text);
    r = export_of(folder, "a/#/b");
    cr_expect(ne(int, r.err, SLU_OK));
    expect_in(r.why, "is no filter");
    free(r.text);
    folder_remove(other);
    folder_remove(folder);
}

/* ---- damage ---- */

/* Many small messages in many pages. */
static char *folder_large(void)
{
    char *folder = folder_new();
    folder_settle(folder);
    db_run(in_folder(folder, SQL_FILE_NAME),
           "INSERT INTO topic VALUES (1, CAST('a' AS BLOB), 5, 3000, 1, 300000, 0, 0, 0, 0, 0, 0, 0);"
           "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
           "INSERT INTO message (seq, topic, offset, ts, size, kind, form, flags, payload) SELECT 2 * i, 1, i, 1000 + "
           "i, 100, 0, "
           "1, 0, CAST(printf('{\"i\":%d,\"pad\":\"%060d\"}', i, i) AS BLOB) FROM n;"
           "INSERT INTO retained (topic, place, seq, offset, ts, size, kind, form, flags, payload) VALUES (1, 5600, "
           "5600, 2800, "
           "3800, 100, 0, 1, 1, CAST('1' AS BLOB));"
           "INSERT INTO state VALUES (CAST('s' AS BLOB), 1, NULL, X'01')");
    return folder;
}

Test(transfer, readable_part_of_a_damaged_file_comes_out_and_goes_in, .timeout = 60)
{
    char *folder = folder_large(), *other = folder_new(), junk[4096];
    const char *path = in_folder(folder, SQL_FILE_NAME);
    memset(junk, 0x5a, sizeof(junk));
    int fd = open(path, O_WRONLY);
    struct stat st;
    fstat(fd, &st);
    /* two pages, wherever they lie: leaves of the message table are most of the file */
    cr_assert(eq(int, pwrite(fd, junk, sizeof(junk), st.st_size / 4096 / 2 * 4096), 4096));
    cr_assert(eq(int, pwrite(fd, junk, sizeof(junk), st.st_size / 4096 / 3 * 4096), 4096));
    close(fd);
    struct result r = export_of(folder, NULL);
    cr_assert_eq(r.err, SLU_OK, "%s", r.why);
    expect_in(r.told.text, "cannot be read");
    cr_expect(gt(u64, r.counts.left_out, 0));
    cr_expect(gt(u64, r.counts.messages, 2900));
    cr_expect(lt(u64, r.counts.messages, 3000));
    cr_expect(eq(u64, r.counts.states, 1));
    struct result in = import_to(other, r.text, r.len, false);
    cr_assert_eq(in.err, SLU_OK, "%s", in.why);
    expect_sound(other);
    path = in_folder(other, SQL_FILE_NAME);
    cr_expect(eq(i64, db_number(path, "SELECT head FROM topic"), 3000));
    cr_expect(eq(i64, db_number(path, "SELECT first FROM topic"), 3001 - (int64_t)r.counts.messages));
    cr_expect(
        eq(i64, db_number(path, "SELECT r.offset = m.offset FROM retained r JOIN message m ON m.seq = r.seq"), 1));
    folder_settle(other);
    cr_expect(ne(i64, db_number(path, "SELECT epoch FROM topic"), 5)); /* other messages under the old offsets */
    free(r.text);
    folder_remove(other);
    folder_remove(folder);
}

Test(transfer, file_whose_end_is_missing_gives_what_is_left, .timeout = 60)
{
    char *folder = folder_large();
    const char *path = in_folder(folder, SQL_FILE_NAME);
    struct stat st;
    stat(path, &st);
    cr_assert(eq(int, truncate(path, st.st_size / 4096 / 2 * 4096), 0));
    struct result r = export_of(folder, NULL);
    cr_assert_eq(r.err, SLU_OK, "%s", r.why);
    expect_in(r.told.text, "cannot be read");
    cr_expect(gt(u64, r.counts.messages, 1000));
    free(r.text);
    folder_remove(folder);
}

Test(transfer, values_that_make_no_sense_are_left_out, .timeout = 20)
{
    char *folder = folder_filled(), *other = folder_new();
    db_run(in_folder(folder, SQL_FILE_NAME), "UPDATE message SET kind = 9 WHERE seq = 9; UPDATE message SET ts = -1 "
                                             "WHERE seq = 10; UPDATE message SET topic = 55 "
                                             "WHERE seq = 21; UPDATE message SET size = 1 << 60 WHERE seq = 12; UPDATE "
                                             "topic SET name = CAST('+' AS BLOB) WHERE id = 8");
    struct result r = export_of(folder, NULL);
    cr_assert_eq(r.err, SLU_OK, "%s", r.why);
    cr_expect_eq(r.counts.left_out, 5, "%s", r.told.text);
    struct result in = import_to(other, r.text, r.len, false);
    cr_assert_eq(in.err, SLU_OK, "%s", in.why);
    expect_sound(other);
    free(r.text);
    folder_remove(other);
    folder_remove(folder);
}

/* ---- refusals ---- */

#define HEAD "{\"type\":\"sluice-export\",\"version\":1,\"generation\":1}\n"
#define TOPIC                                                                                                          \
    "{\"type\":\"topic\",\"topic\":\"t\",\"epoch\":5,\"head\":2,\"first\":1,\"bytes\":2,\"born_seq\":0,\"floor_seq\":" \
    "0,"                                                                                                               \
    "\"trimmed_seq\":0,\"max_count\":0,\"max_bytes\":0,\"max_age_ms\":0,\"last_value\":true}\n"
#define MESSAGE(seq, offset, more)                                                         \
    "{\"type\":\"message\",\"topic\":\"t\",\"epoch\":5,\"seq\":" seq ",\"offset\":" offset \
    ",\"ts\":1,\"size\":1,\"kind\":\"json\",\"form\":\"json\",\"flags\":0" more "}\n"
#define END(messages) \
    "{\"type\":\"end\",\"topics\":1,\"messages\":" messages ",\"retained\":0,\"states\":0,\"left_out\":0}\n"
#define GOOD HEAD TOPIC MESSAGE("1", "1", ",\"data\":1") MESSAGE("2", "2", ",\"data\":2")

static const struct {
    const char *text, *why;
} bad[] = {
    { "", "it is empty" },
    { "hello\n", "line 1: it is no JSON object" },
    { "[]\n", "line 1: it is no JSON object" },
    { TOPIC, "line 1: it is not the first line of an export" },
    { "{\"version\":1,\"generation\":1}\n", "line 1: it has no known \"type\"" },
    { "{\"type\":\"sluice-export\",\"version\":2,\"generation\":1}\n", "line 1: the export is of another version" },
    { "{\"type\":\"sluice-export\",\"version\":1}\n", "line 1: it lacks \"generation\"" },
    { HEAD HEAD, "line 2: it is a first line, but not the first" },
    { HEAD "{\"type\":\"nonsense\"}\n", "line 2: it has no known \"type\"" },
    { HEAD TOPIC TOPIC, "line 3: the topic stands in an earlier line too" },
    { HEAD MESSAGE("1", "1", ""), "line 2: its topic has no line before it" },
    { HEAD TOPIC MESSAGE("1", "1", ",\"colour\":1"), "line 3: it has an unknown member \"colour\"" },
    { HEAD TOPIC MESSAGE("1", "1", ",\"data\":1,\"text\":\"1\""), "line 3: it has more than one \"payload\"" },
    { HEAD TOPIC MESSAGE("1", "1", ",\"key\":\"a\",\"key64\":\"YQ==\""), "line 3: it has more than one \"key\"" },
    { HEAD TOPIC MESSAGE("1", "1", ",\"data64\":\"YQ\""), "line 3: it has no valid value for \"data64\"" },
    { HEAD TOPIC MESSAGE("1", "1", ",\"text\":\"\\ud800\""), "line 3: it has no valid value for \"text\"" },
    { HEAD TOPIC MESSAGE("1", "1", ",\"publisher\":5"), "line 3: it has no valid value for \"publisher\"" },
    { HEAD TOPIC MESSAGE("1", "1", ",\"publisher\":\"18446744073709551616\""), "no valid value for \"publisher\"" },
    { HEAD TOPIC MESSAGE("1", "1", ",\"headers\":[[\"a\"]]"), "line 3: it has no valid value for \"headers\"" },
    { HEAD TOPIC MESSAGE("1", "1", ",\"headers\":{}"), "line 3: it has no valid value for \"headers\"" },
    { HEAD TOPIC MESSAGE("-1", "1", ""), "line 3: it has no valid value for \"seq\"" },
    { HEAD TOPIC MESSAGE("9007199254740992", "1", ""), "line 3: it has no valid value for \"seq\"" },
    { HEAD TOPIC MESSAGE("1.5", "1", ""), "line 3: it has no valid value for \"seq\"" },
    { HEAD TOPIC MESSAGE("1", "3", ""), "line 3: its seq or offset is not one that the topic holds" },
    { HEAD TOPIC MESSAGE("0", "1", ""), "line 3: its seq is not greater" },
    { HEAD TOPIC MESSAGE("2", "2", "") MESSAGE("3", "1", ""), "line 4: its seq or offset" },
    { HEAD TOPIC MESSAGE("2", "1", "") MESSAGE("2", "2", ""), "line 4: its seq is not greater" },
    { GOOD, "line 5: the last line is missing: the export is cut off" },
    { GOOD "{\"type\":\"end\"", "line 5: it has no end: the export is cut off" },
    { GOOD END("3"), "line 5: it counts other lines than there are" },
    { GOOD END("2") "{}\n", "line 6: it has no known \"type\"" },
    { GOOD END("2") END("2"), "line 6: there is more behind the end" },
    { GOOD TOPIC END("2"), "line 5: a line of that type comes too late" },
    { HEAD TOPIC MESSAGE("1", "1", "") END("1"), "the topic t has not the messages that its line promises" },
    { GOOD "{\"type\":\"gone\",\"bucket\":1,\"seq\":1}\n{\"type\":\"gone\",\"bucket\":1,\"seq\":1}\n",
      "line 6: it says again what an earlier line said" },
    { GOOD "{\"type\":\"state\",\"key\":\"\",\"generation\":1}\n", "line 5: its key or value has a size" },
    { GOOD "{\"type\":\"mirror\",\"topic\":\"a/"
           "#\",\"seq\":1,\"offset\":1,\"ts\":1,\"size\":1,\"kind\":\"json\",\"form\":\"raw\","
           "\"flags\":0}\n",
      "line 5: its topic is none" },
    { HEAD "\xff\n", "line 2: it is not UTF-8" },
    { HEAD "\n", "line 2: it is no JSON object" },
};

Test(transfer, what_is_not_right_is_refused_with_its_line_and_leaves_nothing, .timeout = 60)
{
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *folder = folder_new();
        struct result in = import_to(folder, bad[i].text, strlen(bad[i].text), false);
        cr_expect(in.err != SLU_OK, "%s", bad[i].text);
        expect_in(in.why, bad[i].why);
        char *photo = folder_photo(folder);
        cr_expect(eq(str, photo, (char *)""));
        free(photo);
        folder_remove(folder);
    }
}

Test(transfer, good_lines_of_that_table_go_in, .timeout = 20)
{
    char *folder = folder_new();
    struct result in = import_to(folder, GOOD END("2"), strlen(GOOD END("2")), false);
    cr_expect_eq(in.err, SLU_OK, "%s", in.why);
    expect_sound(folder);
    folder_remove(folder);
}

static void expect_import_refused(const char *folder, const char *word)
{
    char *before = folder_photo(folder);
    struct result in = import_to(folder, GOOD END("2"), strlen(GOOD END("2")), false);
    char *after = folder_photo(folder);
    cr_expect(ne(int, in.err, SLU_OK));
    expect_in(in.why, word);
    cr_expect(eq(str, after, before));
    free(before);
    free(after);
}

Test(transfer, folder_with_data_or_a_daemon_takes_no_import, .timeout = 20)
{
    char *folder = folder_filled();
    expect_import_refused(folder, "is there already");
    db_run_killed(in_folder(folder, SQL_FILE_NAME), "INSERT INTO gone VALUES (77, 78)");
    unlink(in_folder(folder, SQL_FILE_NAME));
    expect_import_refused(folder, "sluice.db-wal is there already");
    folder_remove(folder);
    folder = folder_new();
    struct slu_buf why;
    int lock;
    slu_buf_init(&why, 0);
    cr_assert(eq(int, sql_lock_take(folder, &why, &lock), SLU_OK));
    expect_import_refused(folder, "is in use by another sluiced");
    close(lock);
    slu_buf_fini(&why);
    folder_remove(folder);
}

Test(transfer, too_long_a_line_is_refused_before_it_is_in_memory, .timeout = 60)
{
    char *folder = folder_new();
    size_t len = (size_t)130 << 20;
    char *text = malloc(len);
    memset(text, ' ', len);
    struct result in = import_to(folder, text, len, false);
    cr_expect(ne(int, in.err, SLU_OK));
    expect_in(in.why, "line 1: it is too long");
    free(text);
    folder_remove(folder);
}

/* The longest values that the broker takes. */
Test(transfer, long_values_come_back, .timeout = 60)
{
    char *folder = folder_new(), *other = folder_new();
    folder_settle(folder);
    db_run(in_folder(folder, SQL_FILE_NAME),
           "INSERT INTO topic VALUES (1, CAST('a' AS BLOB), 5, 2, 1, 2, 0, 0, 0, 0, 0, 0, 0);"
           "INSERT INTO message (seq, topic, offset, ts, size, kind, form, flags, payload, key, reply) VALUES "
           "(1, 1, 1, 1, 1, 1, 0, 0, zeroblob(64 << 20), zeroblob(1 << 20), zeroblob(1 << 20)), "
           "(2, 1, 2, 1, 1, 1, 0, 0, zeroblob(1 << 20), NULL, NULL);"
           "INSERT INTO state VALUES (CAST('s' AS BLOB), 1, NULL, zeroblob(4 << 20))");
    struct result first = export_of(folder, NULL), in = import_to(other, first.text, first.len, false);
    cr_assert_eq(in.err, SLU_OK, "%s", in.why);
    struct result second = export_of(other, NULL);
    cr_expect(eq(sz, second.len, first.len));
    cr_expect(second.text && memcmp(second.text, first.text, first.len) == 0);
    free(first.text);
    free(second.text);
    folder_remove(other);
    folder_remove(folder);
}
