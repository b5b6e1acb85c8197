/* How the tests of this engine look at its file; and what it keeps there and what it gives back. */
#include "tests/conformance/engine/sqlite_file.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

static sqlite3 *open_file(void)
{
    char path[600];
    sqlite3 *db;
    snprintf(path, sizeof(path), "%s/sluice.db", engine_factory.path());
    EXPECT_ERR(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    return db;
}

int64_t file_number(const char *sql)
{
    sqlite3 *db = open_file();
    sqlite3_stmt *st;
    EXPECT_ERR(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    EXPECT_ERR(sqlite3_step(st), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return n;
}

void file_run(const char *sql)
{
    sqlite3 *db = open_file();
    char *why = NULL;
    int rc = sqlite3_exec(db, sql, NULL, NULL, &why);
    cr_assert(rc == SQLITE_OK, "%s", why);
    sqlite3_close(db);
}

void push(struct sim *s)
{
    slu_store_tick(s->store, 0);
    sim_wait(s, sim_append(s, (struct sim_pub){ .topic = "push", .data = "", .rule = &sim_rule_none }));
}

static void publish(struct sim *s, const char *topic, const struct slu_rule *rule, int from, int to)
{
    char data[16];
    for (int i = from; i <= to; i++) {
        snprintf(data, sizeof(data), "%d", i);
        sim_append(s, (struct sim_pub){ .topic = topic, .data = data, .rule = rule });
    }
    sim_wait(s, NULL);
}

/* What is trimmed is gone at once for readers; its rows go as time allows. */
Test(sqlite_file, what_is_trimmed_leaves_the_file, .timeout = 60)
{
    struct sim *s = sim_new(1);
    struct slu_rule rule = { .log = SLU_LOG_DISK, .max_count = 100 };
    publish(s, "a", &rule, 1, 20000);
    publish(s, "b", &rule, 1, 50);
    EXPECT_U64(SCAN(s, "a")->n, 100);
    while (file_number("SELECT count(*) FROM message") != 150)
        push(s);
    EXPECT_U64(SCAN(s, "a")->n, 100);
    EXPECT_U64(file_number("SELECT bytes = (SELECT sum(size) FROM message WHERE topic = topic.id) FROM topic"), 1);
    sim_free(s);
}

Test(sqlite_file, what_age_took_leaves_the_file_but_for_the_last_value, .timeout = 60)
{
    struct sim *s = sim_new(2);
    struct slu_rule rule = { .log = SLU_LOG_DISK, .max_age_ms = 1000, .last_value = true };
    publish(s, "a", &rule, 1, 3000);
    s->wall_ms += 5000;
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "");
    EXPECT_U64(LOCATE(s, "a", .from = SLU_FROM_FIRST)->first.offset, 0);
    while (file_number("SELECT count(*) FROM message") != 1)
        push(s);
    EXPECT_TEXT(sim_tail_text(TAIL(s, "a", .latest = true, .last = 1)), "a=3000");
    EXPECT_U64(file_number("SELECT bytes FROM topic"), 0);
    publish(s, "a", &rule, 3001, 3001);
    while (file_number("SELECT count(*) FROM message") != 1)
        push(s);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "3001");
    sim_free(s);
}

Test(sqlite_file, what_expired_keeps_its_place_and_nothing_else, .timeout = 60)
{
    struct sim *s = sim_new(1);
    char *large = calloc(1, 100001);
    EXPECT_TRUE(large != NULL);
    memset(large, 'x', 100000);
    for (int i = 0; i < 20; i++)
        PUB(s, .topic = "a", .data = large, .key = "k", .expires_ms = i % 2 ? s->wall_ms + 10 : 0);
    PUB(s, .topic = "r", .data = large, .retain = true, .rule = &sim_rule_none, .expires_ms = s->wall_ms + 10);
    s->wall_ms += 10;
    while (file_number("SELECT count(*) FROM message WHERE payload IS NULL AND key IS NULL") != 10)
        push(s);
    EXPECT_U64(file_number("SELECT count(*) FROM retained"), 0);
    EXPECT_U64(file_number("SELECT bytes = (SELECT sum(size) FROM message) FROM topic WHERE name = x'61'"), 1);
    const struct slu_scan *page = SCAN(s, "a", .max_bytes = 1 << 30);
    EXPECT_U64(page->n, 10);
    EXPECT_U64(page->expired, 10);
    EXPECT_U64(LOCATE(s, "a", .from = SLU_FROM_FIRST)->first.offset, 1);
    free(large);
    sim_free(s);
}

Test(sqlite_file, dedup_keys_leave_it_after_their_window, .timeout = 60)
{
    struct sim *s = sim_new(1);
    char key[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "%d", i);
        sim_append(s, (struct sim_pub){ .topic = "a", .data = "x", .dedup = key });
    }
    sim_wait(s, NULL);
    EXPECT_U64(file_number("SELECT count(*) FROM dedup"), 1000);
    s->wall_ms += 300000;
    while (file_number("SELECT count(*) FROM dedup") != 0)
        push(s);
    EXPECT_U64(PUB(s, .topic = "a", .data = "x", .dedup = "7").offset, 1001);
    sim_free(s);
}

/* Space that deleted rows leave goes back to the disk, a piece at a time. */
Test(sqlite_file, a_file_that_is_mostly_free_shrinks, .timeout = 60)
{
    struct sim *s = sim_new(1);
    static uint8_t block[64 << 10];
    struct slu_rule rule = { .log = SLU_LOG_DISK, .max_age_ms = 1000 };
    for (int i = 0; i < 400; i++) {
        sim_append(s, (struct sim_pub){ .topic = "a", .raw_data = slu_bytes(block, sizeof(block)), .rule = &rule });
        sim_wait(s, NULL);
        slu_msg_unref(s->fed[--s->n_fed]);
    }
    int64_t pages = file_number("PRAGMA page_count");
    EXPECT_TRUE(pages > 6000);
    s->wall_ms += 2000;
    while (file_number("PRAGMA page_count") > 2000)
        push(s);
    PUB(s, .topic = "a", .data = "1");
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "1");
    sim_free(s);
}

/* The log of changes is carried over while publishing goes on, and starts over. */
Test(sqlite_file, the_wal_stays_small, .timeout = 60)
{
    struct sim *s = sim_new(1);
    static uint8_t block[16 << 10];
    struct slu_rule rule = { .log = SLU_LOG_DISK, .max_count = 50 };
    char wal[600];
    snprintf(wal, sizeof(wal), "%s/sluice.db-wal", engine_factory.path());
    for (int i = 0; i < 8000; i++) { /* 128 MiB */
        sim_append(s, (struct sim_pub){ .topic = "a", .raw_data = slu_bytes(block, sizeof(block)), .rule = &rule });
        if (i % 16)
            continue;
        sim_wait(s, NULL);
        while (s->n_fed)
            slu_msg_unref(s->fed[--s->n_fed]);
    }
    sim_wait(s, NULL);
    FILE *f = fopen(wal, "r");
    EXPECT_TRUE(f != NULL);
    fseek(f, 0, SEEK_END);
    EXPECT_TRUE(ftell(f) < 100L << 20);
    fclose(f);
    sim_free(s);
}
