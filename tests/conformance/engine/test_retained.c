/* Retained and last values. */
#include "tests/conformance/engine/suite.h"

static const struct slu_rule with_last = { .log = SLU_LOG_DISK, .max_age_ms = 1000, .last_value = true };
static const struct slu_rule without_last = { .log = SLU_LOG_DISK, .max_age_ms = 1000 };

#define LATEST(s, f) sim_tail_text(TAIL(s, f, .latest = true, .last = 1))

static void tick(struct sim *s)
{
    for (int i = 0; i < 3; i++) {
        for (unsigned w = 0; w < s->workers; w++)
            slu_store_tick(s->store, w);
    }
}

ENGINE_TEST(retained, set_replace_and_clear_without_a_log)
{
    EXPECT_TEXT(LATEST(s, "a"), "");
    PUB(s, .topic = "a", .data = "1", .retain = true, .rule = &sim_rule_none);
    EXPECT_TEXT(LATEST(s, "a"), "a=1*");
    PUB(s, .topic = "a", .data = "not kept", .rule = &sim_rule_none);
    EXPECT_TEXT(LATEST(s, "a"), "a=1*");
    PUB(s, .topic = "a", .data = "2", .retain = true, .rule = &sim_rule_none, .worker = s->workers - 1);
    EXPECT_TEXT(LATEST(s, "a"), "a=2*");
    PUB(s, .topic = "a", .data = "", .retain = true, .clear = true, .rule = &sim_rule_none);
    EXPECT_TEXT(LATEST(s, "a"), "");
    PUB(s, .topic = "never", .data = "", .retain = true, .clear = true, .rule = &sim_rule_none);
    EXPECT_U64(s->n_fed, 0);
}

ENGINE_TEST(retained, on_a_logged_topic_it_is_in_the_log_too)
{
    PUB(s, .topic = "a", .data = "1", .retain = true);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "1");
    EXPECT_TEXT(LATEST(s, "a"), "a=1*");
    EXPECT_TEXT(sim_tail_text(TAIL(s, "a", .last = 5)), "a=1*");
    PUB(s, .topic = "a", .data = "2");
    EXPECT_TEXT(LATEST(s, "a"), "a=2");
    EXPECT_TEXT(sim_tail_text(TAIL(s, "a", .last = 5)), "a=1* a=2");
    EXPECT_U64(s->n_fed, 2);
}

ENGINE_TEST(retained, clearing_on_a_logged_topic_is_no_message)
{
    PUB(s, .topic = "a", .data = "1", .retain = true);
    struct slu_pos pos = PUB(s, .topic = "a", .data = "", .retain = true, .clear = true);
    EXPECT_U64(pos.offset, 0);
    EXPECT_U64(s->n_fed, 1);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "1");
    EXPECT_TEXT(LATEST(s, "a"), "a=1");
    EXPECT_U64(PUB(s, .topic = "a", .data = "2").offset, 2);
}

ENGINE_TEST(retained, it_outlives_the_log)
{
    PUB(s, .topic = "a", .data = "1", .retain = true, .rule = &without_last);
    s->wall_ms += 1;
    PUB(s, .topic = "a", .data = "2", .rule = &without_last);
    s->wall_ms += 5000;
    EXPECT_TEXT(LATEST(s, "a"), "a=1*");
    tick(s);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "");
    EXPECT_TEXT(LATEST(s, "a"), "a=1*");
    PUB(s, .topic = "a", .data = "", .retain = true, .clear = true, .rule = &without_last);
    EXPECT_TEXT(LATEST(s, "a"), "");
    EXPECT_U64(PUB(s, .topic = "a", .data = "3", .rule = &without_last).offset, 3);
}

ENGINE_TEST(retained, an_expired_one_is_gone)
{
    PUB(s, .topic = "a", .data = "1", .retain = true, .rule = &sim_rule_none, .expires_ms = s->wall_ms + 100);
    PUB(s, .topic = "b", .data = "1");
    PUB(s, .topic = "b", .data = "2", .retain = true, .expires_ms = s->wall_ms + 100);
    EXPECT_TEXT(LATEST(s, "a"), "a=1*");
    EXPECT_TEXT(LATEST(s, "b"), "b=2*");
    s->wall_ms += 100;
    for (int round = 0; round < 2; round++) {
        EXPECT_TEXT(LATEST(s, "a"), "");
        EXPECT_TEXT(LATEST(s, "b"), "b=1");
        tick(s);
    }
}

ENGINE_TEST(retained, the_last_value_stays_when_the_log_has_lost_it)
{
    PUB(s, .topic = "a", .data = "1", .rule = &with_last);
    PUB(s, .topic = "a", .data = "2", .rule = &with_last);
    PUB(s, .topic = "b", .data = "1", .rule = &without_last);
    s->wall_ms += 5000;
    for (int round = 0; round < 2; round++) {
        EXPECT_TEXT(LATEST(s, "a"), "a=2");
        EXPECT_TEXT(LATEST(s, "b"), "");
        EXPECT_TEXT(SCAN_TEXT(s, "a"), "");
        EXPECT_TEXT(sim_tail_text(TAIL(s, "a", .last = 5)), "");
        EXPECT_U64(LOCATE(s, "a", .from = SLU_FROM_NEW)->head.offset, 2);
        tick(s);
    }
    EXPECT_U64(PUB(s, .topic = "a", .data = "3", .rule = &with_last).offset, 3);
    EXPECT_TEXT(LATEST(s, "a"), "a=3");
    s->wall_ms += 5000;
    for (int round = 0; round < 2; round++) {
        EXPECT_TEXT(LATEST(s, "a"), "a=3"); /* and not the one before */
        tick(s);
    }
}

ENGINE_TEST(retained, a_last_value_may_expire)
{
    PUB(s, .topic = "a", .data = "1", .rule = &with_last, .expires_ms = s->wall_ms + 3000);
    s->wall_ms += 2000;
    tick(s);
    EXPECT_TEXT(LATEST(s, "a"), "a=1");
    s->wall_ms += 1000;
    EXPECT_TEXT(LATEST(s, "a"), "");
    tick(s);
    EXPECT_TEXT(LATEST(s, "a"), "");
    EXPECT_U64(PUB(s, .topic = "a", .data = "2", .rule = &with_last).offset, 2);
}

ENGINE_TEST(retained, of_retained_and_logged_the_newest_counts)
{
    PUB(s, .topic = "a", .data = "1");
    PUB(s, .topic = "a", .data = "2", .retain = true, .rule = &sim_rule_none);
    EXPECT_TEXT(LATEST(s, "a"), "a=2*");
    PUB(s, .topic = "a", .data = "3");
    EXPECT_TEXT(LATEST(s, "a"), "a=3");
}
