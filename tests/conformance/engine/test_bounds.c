/* What a log keeps, and what readers learn about what it did not. */
#include "tests/conformance/engine/suite.h"

#include <stdio.h>
#include <stdlib.h>

static void publish_numbers(struct sim *s, const char *topic, const struct slu_rule *rule, int from, int to)
{
    char data[16];
    for (int i = from; i <= to; i++) {
        snprintf(data, sizeof(data), "%d", i);
        PUB(s, .topic = topic, .data = data, .rule = rule, .worker = (unsigned)i % s->workers);
    }
}

static void tick(struct sim *s)
{
    for (unsigned w = 0; w < s->workers; w++)
        slu_store_tick(s->store, w);
}

ENGINE_TEST(bounds, count_keeps_the_newest)
{
    struct slu_rule rule = { .log = SLU_LOG_DISK, .max_count = 3 };
    publish_numbers(s, "a", &rule, 1, 10);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "8 9 10");
    const struct slu_locate *l = LOCATE(s, "a", .from = SLU_FROM_FIRST);
    EXPECT_U64(l->head.offset, 10);
    EXPECT_U64(l->first.offset, 8);
    EXPECT_U64(PUB(s, .topic = "a", .data = "11", .rule = &rule).offset, 11);
}

ENGINE_TEST(bounds, a_log_of_one_works)
{
    struct slu_rule rule = { .log = SLU_LOG_DISK, .max_count = 1, .last_value = true };
    publish_numbers(s, "a", &rule, 1, 5);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "5");
    EXPECT_TEXT(sim_tail_text(TAIL(s, "a", .latest = true, .last = 1)), "a=5");
}

ENGINE_TEST(bounds, bytes_hold_and_the_newest_stays_even_when_it_is_too_large)
{
    struct slu_rule rule = { .log = SLU_LOG_DISK, .max_bytes = 20000 };
    char *data = calloc(1, 50001);
    EXPECT_TRUE(data != NULL);
    memset(data, 'x', 1000);
    for (int i = 0; i < 60; i++)
        PUB(s, .topic = "a", .data = data, .rule = &rule);
    size_t n = SCAN(s, "a")->n;
    EXPECT_TRUE(n >= 5 && n <= 20);
    memset(data, 'x', 50000);
    PUB(s, .topic = "a", .data = data, .rule = &rule);
    EXPECT_U64(SCAN(s, "a")->n, 1);
    EXPECT_U64(SCAN(s, "a")->msgs[0]->pos.offset, 61);
    free(data);
}

ENGINE_TEST(bounds, age_hides_at_once_and_trims_later)
{
    struct slu_rule rule = { .log = SLU_LOG_DISK, .max_age_ms = 1000 };
    publish_numbers(s, "a/b", &rule, 1, 3);
    s->wall_ms += 600;
    publish_numbers(s, "a/b", &rule, 4, 5);
    unsigned home = sim_home(s, "a/b");
    s->wall_ms += 399;
    EXPECT_TEXT(SCAN_TEXT(s, "a/+", .home = home), "1 2 3 4 5");
    s->wall_ms += 1;
    /* First the ways that need not trim, then those that may. */
    EXPECT_TEXT(SCAN_TEXT(s, "a/+", .home = home), "4 5");
    EXPECT_TRUE(SCAN(s, "a/+", .home = home)->trimmed);
    EXPECT_TEXT(sim_tail_text(TAIL(s, "a/+", .home = home, .last = 9)), "a/b=4 a/b=5");
    EXPECT_TEXT(SCAN_TEXT(s, "a/b"), "4 5");
    EXPECT_TRUE(SCAN(s, "a/b")->trimmed);
    const struct slu_locate *l = LOCATE(s, "a/b", .from = SLU_FROM_FIRST);
    EXPECT_U64(l->first.offset, 4);
    EXPECT_U64(l->head.offset, 5);
    s->wall_ms += 1000;
    tick(s);
    EXPECT_TEXT(SCAN_TEXT(s, "a/b"), "");
    l = LOCATE(s, "a/b", .from = SLU_FROM_FIRST);
    EXPECT_U64(l->first.offset, 0);
    EXPECT_U64(l->head.offset, 5);
    EXPECT_U64(PUB(s, .topic = "a/b", .data = "6", .rule = &rule).offset, 6);
}

ENGINE_TEST(bounds, a_tightened_rule_holds_from_the_next_append)
{
    publish_numbers(s, "a", &sim_rule_log, 1, 100);
    struct slu_rule rule = { .log = SLU_LOG_DISK, .max_count = 2 };
    PUB(s, .topic = "a", .data = "101", .rule = &rule);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "100 101");
    publish_numbers(s, "a", &sim_rule_log, 102, 104);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "100 101 102 103 104");
}

ENGINE_TEST(bounds, expired_messages_are_counted_and_never_returned)
{
    unsigned home = sim_home(s, "a");
    PUB(s, .topic = "a", .data = "1");
    PUB(s, .topic = "a", .data = "2", .expires_ms = s->wall_ms + 100);
    PUB(s, .topic = "a", .data = "3");
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "1 2 3");
    s->wall_ms += 100;
    for (int round = 0; round < 2; round++) {
        EXPECT_TEXT(SCAN_TEXT(s, "a"), "1 3");
        EXPECT_U64(SCAN(s, "a")->expired, 1);
        EXPECT_TRUE(!SCAN(s, "a")->trimmed);
        EXPECT_TEXT(SCAN_TEXT(s, "#", .home = home), "1 3");
        EXPECT_U64(SCAN(s, "#", .home = home)->expired, 1);
        EXPECT_TEXT(SCAN_TEXT(s, "a", .reverse = true, .after_seq = UINT64_MAX), "3 1");
        EXPECT_TEXT(sim_tail_text(TAIL(s, "a", .last = 2)), "a=1 a=3");
        EXPECT_U64(LOCATE(s, "a", .from = SLU_FROM_NEW)->head.offset, 3);
        for (int i = 0; i < 3; i++)
            tick(s);
    }
}

ENGINE_TEST(bounds, the_newest_may_expire_too)
{
    PUB(s, .topic = "a", .data = "1");
    PUB(s, .topic = "a", .data = "2", .expires_ms = s->wall_ms + 100);
    s->wall_ms += 100;
    tick(s);
    EXPECT_TEXT(sim_tail_text(TAIL(s, "a", .latest = true, .last = 1)), "a=1");
    EXPECT_U64(PUB(s, .topic = "a", .data = "3").offset, 3);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "1 3");
}

ENGINE_TEST(bounds, what_trimming_took_is_counted)
{
    struct slu_rule rule = { .log = SLU_LOG_DISK, .max_count = 5 };
    uint64_t start = LOCATE(s, "a", .from = SLU_FROM_NEW)->head_seq;
    publish_numbers(s, "a", &rule, 1, 4);
    uint64_t seq[4];
    const struct slu_scan *page = SCAN(s, "a");
    for (int i = 0; i < 4; i++)
        seq[i] = page->msgs[i]->seq;
    publish_numbers(s, "a", &rule, 5, 7); /* 1 and 2 are gone */
    page = SCAN(s, "a", .after_seq = start);
    EXPECT_TRUE(page->trimmed);
    EXPECT_U64(page->lost, 2);
    page = SCAN(s, "a", .after_seq = seq[0]);
    EXPECT_TRUE(page->trimmed);
    EXPECT_TRUE(page->lost == 1 || page->lost == 0);
    for (int i = 1; i < 4; i++) {
        page = SCAN(s, "a", .after_seq = seq[i]);
        EXPECT_TRUE(!page->trimmed);
        EXPECT_U64(page->lost, 0);
    }
    publish_numbers(s, "a", &rule, 8, 60);
    EXPECT_U64(SCAN(s, "a", .after_seq = start)->lost, 55); /* all that was before, so it is known */
}

ENGINE_TEST(bounds, a_wildcard_scan_tells_of_losses_where_it_passes_them)
{
    struct slu_rule rule = { .log = SLU_LOG_DISK, .max_count = 2 };
    unsigned from = 0, home = s->homes - 1;
    const char *kept = sim_topic_at(s, home, "x/k", &from), *lossy = sim_topic_at(s, home, "x/l", &from);
    PUB(s, .topic = kept, .data = "1");
    uint64_t at = LOCATE(s, kept, .from = SLU_FROM_NEW)->head_seq;
    publish_numbers(s, lossy, &rule, 2, 5);
    PUB(s, .topic = kept, .data = "6");
    EXPECT_TRUE(SCAN(s, "x/#", .home = home, .after_seq = at)->trimmed);
    EXPECT_TEXT(SCAN_TEXT(s, "x/#", .home = home, .after_seq = at), "4 5 6");
    EXPECT_TRUE(!SCAN(s, "y/#", .home = home, .after_seq = at)->trimmed);
    EXPECT_TRUE(!SCAN(s, kept, .after_seq = at)->trimmed);
    at = SCAN(s, lossy)->msgs[0]->seq;
    EXPECT_TRUE(!SCAN(s, "x/#", .home = home, .after_seq = at)->trimmed);
    EXPECT_TEXT(SCAN_TEXT(s, "x/#", .home = home, .after_seq = at), "5 6");
}

/* Random appends under random bounds against a plain model. */
ENGINE_TEST(bounds, random_bounds_agree_with_a_model)
{
    enum { TOPICS = 5, ROUNDS = 400 };
    char topic[TOPICS][16], data[16];
    uint64_t head[TOPICS] = { 0 }, first[TOPICS];
    for (int i = 0; i < TOPICS; i++) {
        snprintf(topic[i], sizeof(topic[i]), "m/%d", i);
        first[i] = 1;
    }
    for (int round = 0; round < ROUNDS; round++) {
        size_t t = sim_random(s, TOPICS);
        struct slu_rule rule = { .log = SLU_LOG_DISK, .max_count = 1 + sim_random(s, 40) };
        snprintf(data, sizeof(data), "%ju", (uintmax_t)++head[t]);
        EXPECT_U64(PUB(s, .topic = topic[t], .data = data, .rule = &rule).offset, head[t]);
        if (head[t] - first[t] + 1 > rule.max_count)
            first[t] = head[t] - rule.max_count + 1;
        const struct slu_locate *l = LOCATE(s, topic[t], .from = SLU_FROM_FIRST);
        EXPECT_U64(l->head.offset, head[t]);
        EXPECT_U64(l->first.offset, first[t]);
        const struct slu_scan *page = SCAN(s, topic[t], .after_seq = l->after_seq);
        EXPECT_U64(page->n, head[t] - first[t] + 1);
        EXPECT_TRUE(!page->trimmed && page->at_head);
        for (size_t i = 0; i < page->n; i++)
            EXPECT_U64(page->msgs[i]->pos.offset, first[t] + i);
    }
}
