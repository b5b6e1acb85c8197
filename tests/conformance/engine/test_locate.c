/* Starts: where reading begins, and when a place can no longer be served. */
#include "tests/conformance/engine/suite.h"

#include <stdio.h>

static const struct slu_rule three = { .log = SLU_LOG_DISK, .max_count = 3 };

static void publish(struct sim *s, const char *topic, const struct slu_rule *rule, int n)
{
    char data[16];
    for (int i = 1; i <= n; i++) {
        snprintf(data, sizeof(data), "%d", i);
        PUB(s, .topic = topic, .data = data, .rule = rule);
    }
}

static const char *read_after(struct sim *s, const char *topic, const struct slu_locate *l)
{
    EXPECT_TRUE(l->recovered);
    const struct slu_scan *page = SCAN(s, topic, .after_seq = l->after_seq);
    EXPECT_TRUE(!page->trimmed);
    EXPECT_U64(page->lost, 0);
    return sim_scan_text(page);
}

ENGINE_TEST(locate, an_unknown_topic_has_an_epoch_and_no_offset)
{
    const struct slu_locate *l = LOCATE(s, "a", .from = SLU_FROM_NEW);
    EXPECT_TRUE(l->recovered);
    EXPECT_U64(l->head.offset, 0);
    EXPECT_U64(l->first.offset, 0);
    EXPECT_TRUE(l->head.epoch > 0 && l->epoch > 0);
    struct slu_pos pos = PUB(s, .topic = "a", .data = "1");
    EXPECT_U64(pos.epoch, l->head.epoch);
}

ENGINE_TEST(locate, every_start_of_an_exact_topic)
{
    publish(s, "other", &sim_rule_log, 3);
    EXPECT_TEXT(read_after(s, "a", LOCATE(s, "a", .from = SLU_FROM_FIRST)), "");
    publish(s, "a", &sim_rule_log, 5);
    publish(s, "other", &sim_rule_log, 3);
    EXPECT_TEXT(read_after(s, "a", LOCATE(s, "a", .from = SLU_FROM_NEW)), "");
    EXPECT_TEXT(read_after(s, "a", LOCATE(s, "a", .from = SLU_FROM_LATEST)), "");
    EXPECT_TEXT(read_after(s, "a", LOCATE(s, "a", .from = SLU_FROM_FIRST)), "1 2 3 4 5");
    EXPECT_TEXT(read_after(s, "a", LOCATE(s, "a", .from = SLU_FROM_LAST, .n = 2)), "4 5");
    EXPECT_TEXT(read_after(s, "a", LOCATE(s, "a", .from = SLU_FROM_LAST, .n = 5)), "1 2 3 4 5");
    EXPECT_TEXT(read_after(s, "a", LOCATE(s, "a", .from = SLU_FROM_LAST, .n = UINT64_MAX)), "1 2 3 4 5");
    EXPECT_TEXT(read_after(s, "a", LOCATE(s, "a", .from = SLU_FROM_LAST, .n = 0)), "");
}

ENGINE_TEST(locate, last_counts_what_can_be_read)
{
    PUB(s, .topic = "a", .data = "1");
    PUB(s, .topic = "a", .data = "2");
    PUB(s, .topic = "a", .data = "3", .expires_ms = s->wall_ms + 1);
    s->wall_ms += 10;
    EXPECT_TEXT(read_after(s, "a", LOCATE(s, "a", .from = SLU_FROM_LAST, .n = 1)), "2");
}

ENGINE_TEST(locate, a_time_means_everything_since_even_where_clocks_disagree)
{
    uint64_t t0 = s->wall_ms;
    static const int at[] = { 0, 10, 5, 20, 15, 30 }; /* publishers' clocks */
    char data[16];
    for (int i = 0; i < 6; i++) {
        snprintf(data, sizeof(data), "%d", at[i]);
        PUB(s, .topic = "a", .data = data, .ts_ms = t0 + (uint64_t)at[i]);
    }
    static const char *const want[] = { "0 10 5 20 15 30", "10 20 15 30", "20 30", "30", "" };
    static const unsigned since[] = { 0, 10, 16, 21, 31 };
    for (int i = 0; i < 5; i++) {
        const struct slu_locate *l = LOCATE(s, "a", .from = SLU_FROM_SINCE, .n = t0 + since[i]);
        EXPECT_TRUE(l->recovered);
        EXPECT_TEXT(SCAN_TEXT(s, "a", .after_seq = l->after_seq, .min_ts_ms = t0 + since[i]), want[i]);
    }
    const struct slu_locate *l = LOCATE(s, "#", .home = sim_home(s, "a"), .from = SLU_FROM_SINCE, .n = t0 + 10);
    EXPECT_TEXT(SCAN_TEXT(s, "#", .home = sim_home(s, "a"), .after_seq = l->after_seq, .min_ts_ms = t0 + 10),
                "10 20 15 30");
}

ENGINE_TEST(locate, a_time_finds_one_message_from_the_future_among_many)
{
    uint64_t t0 = s->wall_ms;
    for (unsigned i = 0; i < 30; i++)
        PUB(s, .topic = "a", .data = i == 3 ? "late" : "x", .ts_ms = t0 + (i == 3 ? 1000 : i));
    const struct slu_locate *l = LOCATE(s, "a", .from = SLU_FROM_SINCE, .n = t0 + 500);
    EXPECT_TEXT(SCAN_TEXT(s, "a", .after_seq = l->after_seq, .min_ts_ms = t0 + 500), "late");
}

ENGINE_TEST(locate, a_position_is_served_while_nothing_after_it_is_gone)
{
    publish(s, "a", &three, 8); /* 6 7 8 are held */
    struct slu_pos head = LOCATE(s, "a", .from = SLU_FROM_NEW)->head;
    static const char *const want[] = { "6 7 8", "7 8", "8", "" };
    for (uint64_t offset = 5; offset <= 8; offset++) {
        struct slu_pos after = { head.epoch, offset };
        EXPECT_TEXT(read_after(s, "a", LOCATE(s, "a", .from = SLU_FROM_OFFSET, .after = after)), want[offset - 5]);
    }
    for (uint64_t offset = 0; offset < 5; offset++) {
        const struct slu_locate *l = LOCATE(s, "a", .from = SLU_FROM_OFFSET, .after = { head.epoch, offset });
        EXPECT_TRUE(!l->recovered);
        EXPECT_ERR(l->gone, SLU_EHISTORY_GONE);
        EXPECT_U64(l->lost, 5 - offset);
        EXPECT_U64(l->after_seq, l->head_seq);
    }
}

ENGINE_TEST(locate, a_position_of_another_epoch_or_ahead_is_not_served)
{
    publish(s, "a", &sim_rule_log, 2);
    struct slu_pos head = LOCATE(s, "a", .from = SLU_FROM_NEW)->head;
    const struct slu_pos wrong[] = { { head.epoch + 1, 1 }, { head.epoch + 1, 0 }, { head.epoch, 3 }, { 0, 1 } };
    for (int i = 0; i < 4; i++) {
        const struct slu_locate *l = LOCATE(s, "a", .from = SLU_FROM_OFFSET, .after = wrong[i]);
        EXPECT_TRUE(!l->recovered);
        EXPECT_ERR(l->gone, SLU_EEXPECT_FAILED);
        EXPECT_U64(l->after_seq, l->head_seq);
        EXPECT_U64(l->head.offset, 2);
    }
}

ENGINE_TEST(locate, the_start_of_an_empty_topic_is_a_position)
{
    struct slu_pos start = LOCATE(s, "a", .from = SLU_FROM_NEW)->head;
    EXPECT_TEXT(read_after(s, "a", LOCATE(s, "a", .from = SLU_FROM_OFFSET, .after = start)), "");
    publish(s, "a", &sim_rule_log, 2);
    EXPECT_TEXT(read_after(s, "a", LOCATE(s, "a", .from = SLU_FROM_OFFSET, .after = start)), "1 2");
}

ENGINE_TEST(locate, a_position_survives_a_log_that_aged_away)
{
    struct slu_rule aging = { .log = SLU_LOG_DISK, .max_age_ms = 1000 };
    publish(s, "a", &aging, 2);
    struct slu_pos head = LOCATE(s, "a", .from = SLU_FROM_NEW)->head;
    s->wall_ms += 2000;
    for (unsigned w = 0; w < s->workers; w++)
        slu_store_tick(s->store, w);
    EXPECT_TEXT(read_after(s, "a", LOCATE(s, "a", .from = SLU_FROM_OFFSET, .after = head)), "");
    const struct slu_locate *l = LOCATE(s, "a", .from = SLU_FROM_OFFSET, .after = { head.epoch, 1 });
    EXPECT_TRUE(!l->recovered);
    EXPECT_U64(l->lost, 1);
    EXPECT_U64(PUB(s, .topic = "a", .data = "3").offset, 3);
    EXPECT_TEXT(read_after(s, "a", LOCATE(s, "a", .from = SLU_FROM_OFFSET, .after = head)), "3");
}

ENGINE_TEST(locate, a_position_of_a_wildcard_is_refused)
{
    struct sim_op *op = sim_locate(s, (struct slu_locate){ .filter = SLU_LIT("a/#"), .from = SLU_FROM_OFFSET });
    sim_wait(s, op);
    EXPECT_ERR(op->locate.req.err, SLU_EBAD_FILTER);
    op = sim_locate(s, (struct slu_locate){ .filter = SLU_LIT("a"), .home = 1000 });
    sim_wait(s, op);
    EXPECT_ERR(op->locate.req.err, SLU_EHISTORY_GONE);
}

ENGINE_TEST(locate, cursors_of_an_exact_topic)
{
    publish(s, "a", &three, 2);
    const struct slu_locate *c = LOCATE(s, "a", .from = SLU_FROM_NEW);
    publish(s, "a", &three, 3);
    EXPECT_TEXT(read_after(s, "a", LOCATE(s, "a", .from = SLU_FROM_CUR, .cur_epoch = c->epoch, .cur_seq = c->head_seq)),
                "1 2 3");
    publish(s, "a", &three, 1);
    const struct slu_locate *l = LOCATE(s, "a", .from = SLU_FROM_CUR, .cur_epoch = c->epoch, .cur_seq = c->head_seq);
    EXPECT_TRUE(!l->recovered);
    EXPECT_ERR(l->gone, SLU_EHISTORY_GONE);
    EXPECT_TRUE(l->lost <= 1);
    EXPECT_U64(l->after_seq, l->head_seq);
    l = LOCATE(s, "a", .from = SLU_FROM_CUR, .cur_epoch = c->epoch + 1, .cur_seq = c->head_seq);
    EXPECT_TRUE(!l->recovered);
    EXPECT_ERR(l->gone, SLU_EEXPECT_FAILED);
    l = LOCATE(s, "a", .from = SLU_FROM_CUR, .cur_epoch = c->epoch, .cur_seq = l->head_seq + 1);
    EXPECT_TRUE(!l->recovered);
    EXPECT_ERR(l->gone, SLU_EEXPECT_FAILED);
}

ENGINE_TEST(locate, cursors_of_a_wildcard_fail_only_for_losses_that_match)
{
    unsigned home = s->homes - 1, from = 0;
    const char *kept = sim_topic_at(s, home, "x/", &from), *lossy = sim_topic_at(s, home, "y/", &from);
    publish(s, kept, &sim_rule_log, 2);
    publish(s, lossy, &three, 3);
    const struct slu_locate *c = LOCATE(s, "#", .home = home, .from = SLU_FROM_NEW);
    publish(s, lossy, &three, 3);
    publish(s, kept, &sim_rule_log, 1);
#define RESUME(f) LOCATE(s, f, .home = home, .from = SLU_FROM_CUR, .cur_epoch = c->epoch, .cur_seq = c->head_seq)
    EXPECT_TRUE(RESUME("#")->recovered); /* what y lost is older than the cursor */
    EXPECT_TEXT(SCAN_TEXT(s, "#", .home = home, .after_seq = RESUME("#")->after_seq), "1 2 3 1");
    publish(s, lossy, &three, 1);
    EXPECT_TRUE(RESUME("x/#")->recovered);
    EXPECT_TEXT(SCAN_TEXT(s, "x/#", .home = home, .after_seq = RESUME("x/#")->after_seq), "1");
    static const char *const hit[] = { "#", "y/#", "y/+", "+/+", "+/#" };
    for (int i = 0; i < 5; i++) {
        EXPECT_TRUE(!RESUME(hit[i])->recovered);
        EXPECT_ERR(RESUME(hit[i])->gone, SLU_EHISTORY_GONE);
    }
    EXPECT_TRUE(RESUME("z/#")->recovered);
}

ENGINE_TEST(locate, first_of_a_wildcard_is_before_everything_held)
{
    unsigned home = s->homes - 1, from = 0;
    const char *a = sim_topic_at(s, home, "x/", &from), *b = sim_topic_at(s, home, "x/", &from);
    const struct slu_locate *l = LOCATE(s, "x/#", .home = home, .from = SLU_FROM_FIRST);
    EXPECT_TEXT(SCAN_TEXT(s, "x/#", .home = home, .after_seq = l->after_seq), "");
    publish(s, a, &three, 4);
    publish(s, b, &three, 4);
    l = LOCATE(s, "x/#", .home = home, .from = SLU_FROM_FIRST);
    EXPECT_TRUE(l->recovered);
    EXPECT_TEXT(SCAN_TEXT(s, "x/#", .home = home, .after_seq = l->after_seq), "2 3 4 2 3 4");
    l = LOCATE(s, "x/#", .home = home, .from = SLU_FROM_LAST, .n = 3);
    EXPECT_U64(l->after_seq, l->head_seq);
}
