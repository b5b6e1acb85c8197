/* Topics that are forgotten, and how many there may be. */
#include "tests/conformance/engine/sqlite_file.h"

#include <stdio.h>

enum { DAY_MS = 24 * 3600 * 1000, TOPICS_MAX = 1 << 20, IDLE_MAX = 1 << 16 };

static const struct slu_rule aging = { .log = SLU_LOG_DISK, .max_age_ms = 1000 };

static void expect_gone(struct sim *s, uint64_t cur, uint64_t epoch)
{
    static const char *const filters[] = { "f/1", "f/#", "f/+", "#", "+/1" };
    for (int i = 0; i < 5; i++) {
        const struct slu_locate *l = LOCATE(s, filters[i], .from = SLU_FROM_CUR, .cur_epoch = epoch, .cur_seq = cur);
        EXPECT_TRUE(!l->recovered && l->gone == SLU_EHISTORY_GONE);
        EXPECT_TRUE(SCAN(s, filters[i], .after_seq = cur)->trimmed);
    }
}

/* A topic that comes back after it was forgotten must not fit what is known of its former life, in this process and in
 * the next. */
ENGINE_TEST(sqlite_topics, a_forgotten_topic_comes_back_in_another_epoch)
{
    PUB(s, .topic = "f/1", .data = "1", .rule = &aging);
    uint64_t cur = LOCATE(s, "f/1", .from = SLU_FROM_NEW)->head_seq - 1;
    struct slu_pos old = PUB(s, .topic = "f/1", .data = "2", .rule = &aging);
    s->wall_ms += 3600 * 1000;
    for (int i = 0; i < 5; i++)
        push(s);
    const struct slu_locate *l = LOCATE(s, "f/1", .from = SLU_FROM_NEW);
    EXPECT_TRUE(l->head.epoch == old.epoch && l->head.offset == 2);
    s->wall_ms += DAY_MS;
    while (file_number("SELECT count(*) FROM topic WHERE name = CAST('f/1' AS BLOB)"))
        push(s);
    for (int round = 0; round < 2; round++) {
        l = LOCATE(s, "f/1", .from = SLU_FROM_OFFSET, .after = old);
        EXPECT_TRUE(!l->recovered && l->gone == SLU_EEXPECT_FAILED && l->head.offset == 0);
        EXPECT_TRUE(l->head.epoch != old.epoch);
        expect_gone(s, cur, l->epoch);
        EXPECT_TRUE(LOCATE(s, "g", .from = SLU_FROM_CUR, .cur_epoch = l->epoch, .cur_seq = cur)->recovered);
        sim_reopen(s);
    }
    uint64_t next = LOCATE(s, "f/1", .from = SLU_FROM_NEW)->head.epoch;
    struct slu_pos again = PUB(s, .topic = "f/1", .data = "3", .rule = &aging);
    EXPECT_TRUE(again.offset == 1 && again.epoch == next);
    EXPECT_TRUE(!LOCATE(s, "f/1", .from = SLU_FROM_OFFSET, .after = { old.epoch, 1 })->recovered);
    EXPECT_TRUE(SCAN(s, "f/1", .after_seq = cur)->trimmed);
    EXPECT_TRUE(!SCAN(s, "f/1", .after_seq = cur + 2)->trimmed);
    EXPECT_TEXT(SCAN_TEXT(s, "#"), "3");
}

/* Topics straight into the file: what a broker with a long life has. */
static void fill(struct sim *s, unsigned n, bool idle)
{
    char sql[600];
    PUB(s, .topic = "first", .data = "1");
    sim_close(s);
    snprintf(sql, sizeof(sql),
             "WITH RECURSIVE t(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM t WHERE i < %u)"
             " INSERT INTO topic (id, name, epoch, head, first, bytes, born_seq, floor_seq, trimmed_seq, max_count,"
             " max_bytes, max_age_ms, last_value) SELECT i, CAST('t/' || i AS BLOB), 7, 1, %d, 0, 0, 0, 0, 0, 0, 0, 0 "
             "FROM t",
             n, idle ? 2 : 1);
    file_run(sql);
    sim_open(s);
}

Test(sqlite_topics, at_the_limit_new_topics_are_refused_and_known_ones_go_on, .timeout = 240)
{
    struct sim *s = sim_new(1);
    fill(s, TOPICS_MAX, false);
    EXPECT_ERR(PUB_ERR(s, .topic = "new", .data = "x"), SLU_ELIMIT_REACHED);
    EXPECT_ERR(PUB_ERR(s, .topic = "new", .data = "x", .retain = true, .rule = &sim_rule_none), SLU_ELIMIT_REACHED);
    EXPECT_U64(PUB(s, .topic = "first", .data = "2").offset, 2);
    EXPECT_TEXT(SCAN_TEXT(s, "first"), "1 2");
    sim_free(s);
}

Test(sqlite_topics, at_the_limit_an_idle_topic_makes_place, .timeout = 240)
{
    struct sim *s = sim_new(1);
    fill(s, TOPICS_MAX, true);
    EXPECT_U64(PUB(s, .topic = "new", .data = "x").offset, 1);
    EXPECT_U64(PUB(s, .topic = "newer", .data = "x").offset, 1);
    EXPECT_TRUE(file_number("SELECT count(*) FROM topic") <= TOPICS_MAX);
    EXPECT_U64(LOCATE(s, "first", .from = SLU_FROM_NEW)->head.offset, 1);
    sim_free(s);
}

Test(sqlite_topics, idle_topics_are_bounded, .timeout = 240)
{
    struct sim *s = sim_new(1);
    fill(s, IDLE_MAX + 2000, true);
    while (file_number("SELECT count(*) FROM topic") > IDLE_MAX + 1)
        push(s);
    EXPECT_U64(file_number("SELECT count(*) FROM rebirth") > 800, 1);
    sim_free(s);
}
