/* The memory engine alone: it stays within its share, and forgets topics without ever serving an old position
 * wrongly. */
#include "tests/conformance/engine/suite.h"

#include <stdio.h>
#include <stdlib.h>

enum { BUDGET = 4 << 20, SHARE = BUDGET / 2 }; /* of the only home */

static struct sim *small_world(void)
{
    return sim_new_with(1, BUDGET, engine_factory.make());
}

static uint8_t block[64 << 10];

Test(memory_limits, a_flood_of_one_topic_costs_its_own_history, .timeout = 60)
{
    struct sim *s = small_world();
    for (int i = 0; i < 20; i++)
        PUB(s, .topic = "quiet", .data = "x");
    for (int i = 0; i < 100; i++) {
        sim_append(s, (struct sim_pub){ .topic = "loud", .raw_data = slu_bytes(block, sizeof(block)) });
        sim_wait(s, NULL);
        slu_msg_unref(s->fed[--s->n_fed]);
    }
    EXPECT_U64(SCAN(s, "quiet")->n, 20);
    const struct slu_locate *l = LOCATE(s, "loud", .from = SLU_FROM_NEW);
    l = LOCATE(s, "loud", .from = SLU_FROM_OFFSET, .after = { l->head.epoch, 1 });
    EXPECT_U64(l->head.offset, 100);
    EXPECT_TRUE(l->first.offset > 60 && l->first.offset < 90);
    EXPECT_TRUE(!l->recovered && l->lost == l->first.offset - 2);
    sim_free(s);
}

Test(memory_limits, many_loud_topics_keep_their_newest, .timeout = 60)
{
    struct sim *s = small_world();
    char topic[16];
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 20; i++) {
            snprintf(topic, sizeof(topic), "t/%d", i);
            PUB(s, .topic = topic, .raw_data = slu_bytes(block, sizeof(block)));
        }
    }
    for (int i = 0; i < 20; i++) {
        snprintf(topic, sizeof(topic), "t/%d", i);
        EXPECT_TRUE(SCAN(s, topic)->n >= 1);
        EXPECT_U64(LOCATE(s, topic, .from = SLU_FROM_NEW)->head.offset, 10);
    }
    sim_free(s);
}

Test(memory_limits, last_values_go_before_anything_is_refused, .timeout = 60)
{
    struct sim *s = small_world();
    struct slu_rule rule = { .log = SLU_LOG_MEMORY, .max_age_ms = 10, .last_value = true };
    char topic[16];
    for (int i = 0; i < 100; i++, s->wall_ms += 20) {
        snprintf(topic, sizeof(topic), "t/%d", i);
        PUB(s, .topic = topic, .raw_data = slu_bytes(block, sizeof(block)), .rule = &rule);
        slu_store_tick(s->store, 0);
    }
    EXPECT_U64(TAIL(s, "t/0", .latest = true, .last = 1)->n, 0);
    EXPECT_U64(TAIL(s, "t/99", .latest = true, .last = 1)->n, 1);
    sim_free(s);
}

Test(memory_limits, retained_values_are_never_given_up_but_refused_when_full, .timeout = 60)
{
    struct sim *s = small_world();
    char topic[16];
    int kept = 0;
    for (; kept < 100; kept++) {
        snprintf(topic, sizeof(topic), "t/%d", kept);
        enum slu_err err = PUB_ERR(s, .topic = topic, .raw_data = slu_bytes(block, sizeof(block)), .retain = true,
                                   .rule = &sim_rule_none);
        if (err) {
            EXPECT_ERR(err, SLU_ENOMEM);
            break;
        }
    }
    EXPECT_TRUE(kept > 20 && kept < 40);
    PUB(s, .topic = "t/0", .data = "", .retain = true, .clear = true, .rule = &sim_rule_none);
    PUB(s, .topic = topic, .raw_data = slu_bytes(block, 1000), .retain = true, .rule = &sim_rule_none);
    EXPECT_ERR(PUB_ERR(s, .topic = "log", .raw_data = slu_bytes(block, sizeof(block))), SLU_OK);
    EXPECT_ERR(PUB_ERR(s, .topic = "log", .raw_data = slu_bytes(block, sizeof(block))), SLU_OK);
    EXPECT_U64(SCAN(s, "log")->n, 1);
    sim_free(s);
}

Test(memory_limits, a_message_larger_than_all_is_refused, .timeout = 60)
{
    struct sim *s = small_world();
    uint8_t *large = calloc(1, SHARE);
    EXPECT_TRUE(large != NULL);
    PUB(s, .topic = "a", .data = "1");
    EXPECT_ERR(PUB_ERR(s, .topic = "a", .raw_data = slu_bytes(large, SHARE)), SLU_ENOMEM);
    EXPECT_U64(PUB(s, .topic = "a", .data = "2").offset, 2);
    free(large);
    sim_free(s);
}

static void pass_a_day(struct sim *s)
{
    for (int i = 0; i < 3; i++) {
        s->wall_ms += UINT64_C(25) * 3600 * 1000;
        for (unsigned w = 0; w < s->workers; w++)
            slu_store_tick(s->store, w);
    }
}

/* A topic that comes back after it was forgotten must not fit what is known of its former life. */
ENGINE_TEST(memory_limits, a_forgotten_topic_comes_back_in_another_epoch)
{
    struct slu_rule rule = { .log = SLU_LOG_MEMORY, .max_age_ms = 1000 };
    PUB(s, .topic = "f/1", .data = "1", .rule = &rule);
    uint64_t cur = LOCATE(s, "f/1", .from = SLU_FROM_NEW)->head_seq - 1;
    struct slu_pos old = PUB(s, .topic = "f/1", .data = "2", .rule = &rule);
    unsigned home = sim_home(s, "f/1");
    s->wall_ms += 3600 * 1000;
    slu_store_tick(s->store, home);
    EXPECT_U64(LOCATE(s, "f/1", .from = SLU_FROM_NEW)->head.epoch, old.epoch);
    EXPECT_U64(LOCATE(s, "f/1", .from = SLU_FROM_NEW)->head.offset, 2);
    pass_a_day(s);
    const struct slu_locate *l = LOCATE(s, "f/1", .from = SLU_FROM_OFFSET, .after = old);
    EXPECT_TRUE(!l->recovered && l->gone == SLU_EEXPECT_FAILED && l->head.offset == 0 && l->head.epoch != old.epoch);
    static const char *const filters[] = { "f/1", "f/#", "f/+", "#", "+/1" };
    for (int i = 0; i < 5; i++) {
        l = LOCATE(s, filters[i], .home = home, .from = SLU_FROM_CUR, .cur_epoch = l->epoch, .cur_seq = cur);
        EXPECT_TRUE(!l->recovered && l->gone == SLU_EHISTORY_GONE);
        EXPECT_TRUE(SCAN(s, filters[i], .home = home, .after_seq = cur)->trimmed);
    }
    unsigned recovered = 0;
    for (unsigned i = 0, n = 0; i < 20; i++) { /* one of them may share the bucket */
        const char *other = sim_topic_at(s, home, "o", &n);
        recovered += LOCATE(s, other, .from = SLU_FROM_CUR, .cur_epoch = l->epoch, .cur_seq = cur)->recovered;
    }
    EXPECT_TRUE(recovered >= 17);
    struct slu_pos again = PUB(s, .topic = "f/1", .data = "3", .rule = &rule);
    EXPECT_U64(again.offset, 1);
    EXPECT_TRUE(again.epoch != old.epoch);
    EXPECT_TRUE(!LOCATE(s, "f/1", .from = SLU_FROM_OFFSET, .after = { old.epoch, 1 })->recovered);
    EXPECT_TRUE(SCAN(s, "f/1", .after_seq = cur)->trimmed);
    EXPECT_TRUE(!SCAN(s, "f/1", .after_seq = cur + 2)->trimmed);
}

Test(memory_limits, idle_topics_are_bounded, .timeout = 60)
{
    struct sim *s = sim_new(1);
    struct slu_rule rule = { .log = SLU_LOG_MEMORY, .max_age_ms = 1 };
    char topic[16];
    uint64_t first_epoch = PUB(s, .topic = "i/0", .data = "x", .rule = &rule).epoch;
    for (int i = 1; i < 70000; i++) {
        snprintf(topic, sizeof(topic), "i/%d", i);
        sim_append(s, (struct sim_pub){ .topic = topic, .data = "", .rule = &rule });
    }
    sim_wait(s, NULL);
    s->wall_ms += 10;
    for (int i = 0; i < 20; i++)
        slu_store_tick(s->store, 0);
    EXPECT_TRUE(LOCATE(s, "i/0", .from = SLU_FROM_NEW)->head.epoch != first_epoch);
    EXPECT_U64(LOCATE(s, "i/69999", .from = SLU_FROM_NEW)->head.offset, 1);
    sim_free(s);
}
