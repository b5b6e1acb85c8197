/* A repeated key gets the first answer and goes nowhere. */
#include "tests/conformance/engine/suite.h"

ENGINE_TEST(dedup, a_repeat_gets_the_first_position_and_is_not_delivered)
{
    struct slu_pos first = PUB(s, .topic = "a", .data = "1", .dedup = "k");
    atomic_store(&s->fed[0]->matched, 42);
    PUB(s, .topic = "a", .data = "2");
    struct sim_op *again = sim_append(s, (struct sim_pub){ .topic = "a", .data = "x", .dedup = "k" });
    sim_wait(s, again);
    EXPECT_ERR(again->append.req.err, SLU_OK);
    EXPECT_TRUE(again->append.duplicate);
    EXPECT_U64(again->append.pos.offset, first.offset);
    EXPECT_U64(again->append.pos.epoch, first.epoch);
    EXPECT_U64(again->append.matched, 42);
    EXPECT_U64(s->n_fed, 2);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "1 2");
}

ENGINE_TEST(dedup, keys_of_other_topics_and_other_keys_are_others)
{
    PUB(s, .topic = "ab", .data = "1", .dedup = "c");
    PUB(s, .topic = "a", .data = "2", .dedup = "bc");
    PUB(s, .topic = "ab", .data = "3", .dedup = "d");
    PUB(s, .topic = "a", .data = "4");
    PUB(s, .topic = "a", .data = "5");
    EXPECT_U64(s->n_fed, 5);
}

ENGINE_TEST(dedup, repeats_under_way_at_the_same_time_are_one)
{
    struct sim_op *ops[SIM_WORKERS_MAX * 3];
    size_t n = s->workers * 3, firsts = 0;
    for (size_t i = 0; i < n; i++)
        ops[i] = sim_append(
            s, (struct sim_pub){ .topic = "a", .data = "1", .dedup = "k", .worker = (unsigned)(i % s->workers) });
    sim_wait(s, NULL);
    for (size_t i = 0; i < n; i++) {
        EXPECT_ERR(ops[i]->append.req.err, SLU_OK);
        EXPECT_U64(ops[i]->append.pos.offset, 1);
        firsts += !ops[i]->append.duplicate;
    }
    EXPECT_U64(firsts, 1);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "1");
}

ENGINE_TEST(dedup, the_window_ends)
{
    PUB(s, .topic = "a", .data = "1", .dedup = "k");
    s->wall_ms += 299999;
    PUB(s, .topic = "a", .data = "x", .dedup = "k");
    EXPECT_U64(s->n_fed, 1);
    s->wall_ms += 1;
    EXPECT_U64(PUB(s, .topic = "a", .data = "2", .dedup = "k").offset, 2);
    EXPECT_U64(PUB(s, .topic = "a", .data = "x", .dedup = "k").offset, 2);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "1 2");
}

ENGINE_TEST(dedup, the_answer_stays_when_the_log_has_lost_the_message)
{
    struct slu_rule one = { .log = SLU_LOG_DISK, .max_count = 1 };
    struct slu_pos first = PUB(s, .topic = "a", .data = "1", .dedup = "k", .rule = &one);
    atomic_store(&s->fed[0]->matched, 3);
    PUB(s, .topic = "a", .data = "2", .rule = &one);
    for (int i = 0; i < 20; i++) {
        s->wall_ms += 1000;
        for (unsigned w = 0; w < s->workers; w++)
            slu_store_tick(s->store, w);
    }
    struct sim_op *again = sim_append(s, (struct sim_pub){ .topic = "a", .data = "x", .dedup = "k", .rule = &one });
    sim_wait(s, again);
    EXPECT_TRUE(again->append.duplicate);
    EXPECT_U64(again->append.pos.offset, first.offset);
    EXPECT_U64(again->append.matched, 3);
}

ENGINE_TEST(dedup, a_refused_message_leaves_no_key)
{
    struct slu_pos wrong = { 1, 5 };
    EXPECT_ERR(PUB_ERR(s, .topic = "a", .data = "x", .dedup = "k", .expect = &wrong), SLU_EEXPECT_FAILED);
    EXPECT_U64(PUB(s, .topic = "a", .data = "1", .dedup = "k").offset, 1);
    EXPECT_U64(s->n_fed, 1);
}

ENGINE_TEST(dedup, a_repeat_is_answered_though_its_expectation_no_longer_holds)
{
    struct slu_pos none = { 0, 0 };
    PUB(s, .topic = "a", .data = "1", .dedup = "k", .expect = &none);
    EXPECT_U64(PUB(s, .topic = "a", .data = "1", .dedup = "k", .expect = &none).offset, 1);
    EXPECT_U64(s->n_fed, 1);
}

ENGINE_TEST(dedup, a_clock_that_goes_back_does_not_forget)
{
    PUB(s, .topic = "a", .data = "1", .dedup = "k");
    s->wall_ms -= 1000;
    PUB(s, .topic = "a", .data = "x", .dedup = "k");
    EXPECT_U64(s->n_fed, 1);
}
