/* The newest values of many topics, in byte order, page by page. */
#include "tests/conformance/engine/suite.h"

#include "broker/core/topic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ENGINE_TEST(tail, topics_come_in_byte_order_with_their_newest)
{
    unsigned from = 0, home = s->homes - 1;
    const char *b = sim_topic_at(s, home, "t/b", &from), *a = sim_topic_at(s, home, "t/a", &from);
    char want[256];
    PUB(s, .topic = b, .data = "1");
    PUB(s, .topic = a, .data = "2");
    PUB(s, .topic = b, .data = "3");
    PUB(s, .topic = b, .data = "4");
    snprintf(want, sizeof(want), "%s=2 %s=4", a, b);
    EXPECT_TEXT(sim_tail_text(TAIL(s, "t/#", .home = home, .latest = true, .last = 1)), want);
    snprintf(want, sizeof(want), "%s=2 %s=3 %s=4", a, b, b);
    EXPECT_TEXT(sim_tail_text(TAIL(s, "t/#", .home = home, .last = 2)), want);
    EXPECT_TEXT(sim_tail_text(TAIL(s, "t/+", .home = home, .last = 2)), want);
    snprintf(want, sizeof(want), "%s=3 %s=4", b, b);
    EXPECT_TEXT(sim_tail_text(TAIL(s, b, .last = 2)), want);
    EXPECT_TEXT(sim_tail_text(TAIL(s, b, .last = 0)), "");
    EXPECT_TEXT(sim_tail_text(TAIL(s, "nothing", .last = 2)), "");
}

ENGINE_TEST(tail, what_was_committed_later_stays_out)
{
    PUB(s, .topic = "a", .data = "1");
    PUB(s, .topic = "a", .data = "2", .retain = true);
    uint64_t seq = LOCATE(s, "a", .from = SLU_FROM_LATEST)->head_seq;
    PUB(s, .topic = "a", .data = "3");
    PUB(s, .topic = "a", .data = "4");
    EXPECT_TEXT(sim_tail_text(TAIL(s, "a", .latest = true, .last = 1, .max_seq = seq)), "a=2*");
    EXPECT_TEXT(sim_tail_text(TAIL(s, "a", .last = 5, .max_seq = seq)), "a=1 a=2*");
    EXPECT_TEXT(SCAN_TEXT(s, "a", .after_seq = seq), "3 4");
    PUB(s, .topic = "a", .data = "5", .retain = true);
    EXPECT_TEXT(sim_tail_text(TAIL(s, "a", .latest = true, .last = 1, .max_seq = seq)), "a=2");
}

ENGINE_TEST(tail, a_topic_too_large_for_a_page_is_cut_at_its_oldest)
{
    char data[16];
    for (int i = 1; i <= 9; i++) {
        snprintf(data, sizeof(data), "%d", i);
        PUB(s, .topic = "a", .data = data);
    }
    const struct slu_tail *t = TAIL(s, "a", .last = 7, .max_items = 3);
    EXPECT_TEXT(sim_tail_text(t), "a=7 a=8 a=9");
    EXPECT_U64(t->cut, 4);
    EXPECT_U64(t->next_topic.len, 0);
    t = TAIL(s, "a", .last = 7, .max_bytes = 1);
    EXPECT_TEXT(sim_tail_text(t), "a=9");
    EXPECT_U64(t->cut, 6);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All pages of a filter at a home; the topics' names with '\n' behind each. */
static char *all_pages(struct sim *s, const char *filter, unsigned home, size_t max_items, uint64_t last, size_t *n)
{
    char *text = calloc(1, 1 << 20), after[1100];
    EXPECT_TRUE(text != NULL);
    size_t len = 0;
    struct slu_bytes at = { NULL, 0 };
    *n = 0;
    for (int pages = 0; pages < 100000; pages++) {
        const struct slu_tail *t =
            TAIL(s, filter, .home = home, .after_topic = at, .latest = last == 0, .last = last, .max_items = max_items);
        struct slu_bytes previous = { NULL, 0 };
        for (size_t i = 0; i < t->n; i++) {
            struct slu_bytes topic = t->msgs[i]->topic;
            if (!slu_bytes_eq(previous, topic)) {
                memcpy(text + len, topic.data, topic.len);
                len += topic.len;
                text[len++] = '\n';
            }
            previous = topic;
        }
        *n += t->n;
        EXPECT_U64(t->cut, 0);
        if (t->next_topic.len == 0)
            return text;
        memcpy(after, t->next_topic.data, t->next_topic.len);
        at = slu_bytes(after, t->next_topic.len);
    }
    EXPECT_TRUE(!"the pages end");
    return text;
}

ENGINE_TEST(tail, pages_over_many_topics_are_complete_and_in_order)
{
    enum { TOPICS = 600 };
    static const char *const shapes[] = { "p/%u", "p/%u/x", "p%u", "p!%u", "q/%u", "$p/%u", "p//%u", "p/x/%u/y" };
    static const char *const filters[] = { "p/#", "p/+", "p/+/x", "#", "+/+", "p/x/+/y", "q/#", "$p/#", "nothing/#" };
    char *topics[TOPICS];
    for (unsigned i = 0; i < TOPICS; i++) {
        topics[i] = calloc(1, 32);
        EXPECT_TRUE(topics[i] != NULL);
        snprintf(topics[i], 32, shapes[i % 8], (unsigned)sim_random(s, 100000));
        for (int k = 0; k < 3; k++)
            sim_append(s, (struct sim_pub){ .topic = topics[i], .data = "x", .worker = i % s->workers });
    }
    PUB(s, .topic = "p", .data = "parent");
    PUB(s, .topic = "p", .data = "parent");
    sim_wait(s, NULL);
    char parent[] = "p", *all[TOPICS + 1];
    memcpy(all, topics, sizeof(topics));
    all[TOPICS] = parent;
    qsort(all, TOPICS + 1, sizeof(all[0]), by_name);
    for (int f = 0; f < 9; f++) {
        for (unsigned home = 0; home < s->homes; home++) {
            char *want = calloc(1, 1 << 16);
            EXPECT_TRUE(want != NULL);
            size_t len = 0, n;
            for (int i = 0; i <= TOPICS; i++) {
                bool is_new = i == 0 || strcmp(all[i], all[i - 1]) != 0;
                if (is_new && sim_home(s, all[i]) == home && slu_filter_matches(slu_str(filters[f]), slu_str(all[i])))
                    len += (size_t)sprintf(want + len, "%s\n", all[i]);
            }
            char *latest = all_pages(s, filters[f], home, 7, 0, &n), *last = all_pages(s, filters[f], home, 7, 2, &n);
            EXPECT_TEXT(latest, want);
            EXPECT_TEXT(last, want);
            free(latest);
            free(last);
            free(want);
        }
    }
    for (unsigned i = 0; i < TOPICS; i++)
        free(topics[i]);
}

ENGINE_TEST(tail, going_on_after_a_topic_that_is_none_is_fine)
{
    unsigned from = 0, home = s->homes - 1;
    const char *b = sim_topic_at(s, home, "t/b", &from);
    char want[64];
    PUB(s, .topic = b, .data = "1");
    snprintf(want, sizeof(want), "%s=1", b);
    EXPECT_TEXT(sim_tail_text(TAIL(s, "t/#", .home = home, .last = 1, .after_topic = SLU_LIT("a"))), want);
    EXPECT_TEXT(sim_tail_text(TAIL(s, "t/#", .home = home, .last = 1, .after_topic = SLU_LIT("t/a"))), want);
    EXPECT_TEXT(sim_tail_text(TAIL(s, "t/#", .home = home, .last = 1, .after_topic = slu_str(b))), "");
    EXPECT_TEXT(sim_tail_text(TAIL(s, "t/#", .home = home, .last = 1, .after_topic = SLU_LIT("z"))), "");
    EXPECT_TEXT(sim_tail_text(TAIL(s, b, .last = 1, .after_topic = slu_str(b))), "");
}
