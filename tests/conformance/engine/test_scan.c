/* Scans: pages, order, directions, and joining live delivery without hole or repeat. */
#include "tests/conformance/engine/suite.h"

#include "broker/core/topic.h"

#include <stdio.h>
#include <stdlib.h>

static void publish(struct sim *s, const char *topic, int n)
{
    char data[16];
    for (int i = 1; i <= n; i++) {
        snprintf(data, sizeof(data), "%d", i);
        PUB(s, .topic = topic, .data = data);
    }
}

ENGINE_TEST(scan, an_empty_store_is_at_its_head)
{
    const struct slu_scan *page = SCAN(s, "a");
    EXPECT_U64(page->n, 0);
    EXPECT_TRUE(page->at_head && !page->trimmed);
    page = SCAN(s, "a", .reverse = true, .after_seq = UINT64_MAX);
    EXPECT_U64(page->n, 0);
    EXPECT_TRUE(page->at_head);
    for (unsigned home = 0; home < s->homes; home++)
        EXPECT_TRUE(SCAN(s, "#", .home = home)->at_head);
}

ENGINE_TEST(scan, pages_by_items_miss_and_repeat_nothing)
{
    publish(s, "a", 10);
    uint64_t at = 0, seen = 0;
    for (int pages = 1;; pages++) {
        const struct slu_scan *page = SCAN(s, "a", .after_seq = at, .max_items = 3);
        EXPECT_TRUE(page->n <= 3);
        for (size_t i = 0; i < page->n; i++)
            EXPECT_U64(page->msgs[i]->pos.offset, ++seen);
        EXPECT_TRUE(page->next_seq >= at);
        at = page->next_seq;
        if (page->at_head)
            break;
        EXPECT_TRUE(pages < 20);
    }
    EXPECT_U64(seen, 10);
    EXPECT_U64(SCAN(s, "a", .after_seq = at)->n, 0);
}

ENGINE_TEST(scan, pages_by_bytes_hold_at_least_one)
{
    uint8_t data[3000] = { 'x' };
    for (int i = 0; i < 6; i++)
        PUB(s, .topic = "a", .raw_data = slu_bytes(data, sizeof(data)));
    EXPECT_U64(SCAN(s, "a", .max_bytes = 1)->n, 1);
    EXPECT_U64(SCAN(s, "a", .max_bytes = 0, .max_items = 0)->n, 1);
    size_t n = SCAN(s, "a", .max_bytes = 10000)->n;
    EXPECT_TRUE(n == 2 || n == 3);
}

ENGINE_TEST(scan, backwards_from_the_head_and_from_anywhere)
{
    publish(s, "a", 7);
    publish(s, "b", 3);
    EXPECT_TEXT(SCAN_TEXT(s, "a", .reverse = true, .after_seq = UINT64_MAX), "7 6 5 4 3 2 1");
    const struct slu_scan *page = SCAN(s, "a", .reverse = true, .after_seq = UINT64_MAX, .max_items = 3);
    EXPECT_TEXT(sim_scan_text(page), "7 6 5");
    EXPECT_TRUE(!page->at_head);
    page = SCAN(s, "a", .reverse = true, .after_seq = page->next_seq, .max_items = 3);
    EXPECT_TEXT(sim_scan_text(page), "4 3 2");
    page = SCAN(s, "a", .reverse = true, .after_seq = page->next_seq, .max_items = 3);
    EXPECT_TEXT(sim_scan_text(page), "1");
    EXPECT_TRUE(page->at_head);
    struct sim_op *op = sim_scan(s, (struct slu_scan){ .filter = SLU_LIT("a/+"), .reverse = true, .max_items = 1 });
    sim_wait(s, op);
    EXPECT_ERR(op->scan.req.err, SLU_EBAD_FILTER);
}

ENGINE_TEST(scan, wildcards_follow_the_commit_order_and_match_exactly)
{
    unsigned from = 0, home = s->homes - 1;
    const char *x = sim_topic_at(s, home, "a/x", &from), *y = sim_topic_at(s, home, "a/y", &from);
    const char *deep = sim_topic_at(s, home, "a/z/", &from), *sys = sim_topic_at(s, home, "$a/", &from);
    PUB(s, .topic = x, .data = "1");
    PUB(s, .topic = sys, .data = "sys");
    PUB(s, .topic = y, .data = "2");
    PUB(s, .topic = deep, .data = "deep");
    PUB(s, .topic = x, .data = "3");
    EXPECT_TEXT(SCAN_TEXT(s, "a/+", .home = home), "1 2 3");
    EXPECT_TEXT(SCAN_TEXT(s, "a/#", .home = home), "1 2 deep 3");
    EXPECT_TEXT(SCAN_TEXT(s, "#", .home = home), "1 2 deep 3");
    EXPECT_TEXT(SCAN_TEXT(s, "+/+", .home = home), "1 2 3");
    EXPECT_TEXT(SCAN_TEXT(s, "$a/#", .home = home), "sys");
    EXPECT_TEXT(SCAN_TEXT(s, "b/#", .home = home), "");
    EXPECT_TEXT(SCAN_TEXT(s, "a/+", .home = home, .max_items = 2), "1 2");
    uint64_t at = SCAN(s, "a/+", .home = home, .max_items = 2)->next_seq;
    EXPECT_TEXT(SCAN_TEXT(s, "a/+", .home = home, .after_seq = at), "3");
}

ENGINE_TEST(scan, older_ones_can_be_left_out)
{
    uint64_t t0 = s->wall_ms;
    for (int i = 0; i < 5; i++, s->wall_ms += 10)
        publish(s, "a", 1);
    EXPECT_U64(SCAN(s, "a", .min_ts_ms = t0 + 20)->n, 3);
    EXPECT_U64(SCAN(s, "#", .home = sim_home(s, "a"), .min_ts_ms = t0 + 21)->n, 2);
    EXPECT_U64(SCAN(s, "a", .min_ts_ms = t0 + 20, .reverse = true, .after_seq = UINT64_MAX)->n, 3);
}

ENGINE_TEST(scan, a_wildcard_goes_through_many_others_page_by_page)
{
    unsigned from = 0, home = s->homes - 1;
    const char *wanted = sim_topic_at(s, home, "w/", &from), *noise = sim_topic_at(s, home, "n/", &from);
    PUB(s, .topic = wanted, .data = "first");
    for (int i = 0; i < 20000; i++)
        sim_append(s, (struct sim_pub){ .topic = noise, .data = "x" });
    sim_wait(s, NULL);
    PUB(s, .topic = wanted, .data = "last");
    uint64_t at = 0;
    size_t n = 0;
    for (int pages = 0; pages < 1000; pages++) {
        const struct slu_scan *page = SCAN(s, "w/#", .home = home, .after_seq = at);
        EXPECT_TRUE(page->at_head || page->next_seq > at);
        n += page->n;
        at = page->next_seq;
        if (page->at_head)
            break;
    }
    EXPECT_U64(n, 2);
    EXPECT_U64(at, LOCATE(s, "w/#", .home = home, .from = SLU_FROM_NEW)->head_seq);
}

/* A reader that pages while others publish, and at the head takes over from the feed, has every message once. */
ENGINE_TEST(scan, joining_live_delivery_has_no_hole_and_no_repeat)
{
    static const char *const filters[] = { "j/0", "j/+", "#" };
    for (int f = 0; f < 3; f++) {
        unsigned home = sim_home(s, "j/0");
        uint64_t at = LOCATE(s, filters[f], .home = home, .from = SLU_FROM_NEW)->head_seq;
        size_t fed_before = s->n_fed, live_from = 0, n = 0;
        struct slu_msg **got = calloc(4000, sizeof(*got));
        EXPECT_TRUE(got != NULL);
        struct sim_op *scan = NULL;
        bool is_live = false;
        for (int step = 0; step < 1500 || !is_live; step++) {
            char topic[16];
            snprintf(topic, sizeof(topic), "j/%u", (unsigned)sim_random(s, 6));
            if (step < 1500 && sim_random(s, 3) == 0)
                sim_append(
                    s, (struct sim_pub){ .topic = topic, .data = "x", .worker = (unsigned)sim_random(s, s->workers) });
            if (!scan && !is_live)
                scan = sim_scan(s, (struct slu_scan){ .filter = slu_str(filters[f]),
                                                      .home = home,
                                                      .after_seq = at,
                                                      .max_items = 1 + sim_random(s, 9),
                                                      .max_bytes = 1 << 20,
                                                      .req.worker = (unsigned)sim_random(s, s->workers) });
            sim_step(s);
            if (step >= 1500)
                sim_wait(s, scan);
            if (!scan || !scan->done)
                continue;
            for (size_t i = 0; i < scan->scan.n; i++)
                got[n++] = scan->scan.msgs[i];
            at = scan->scan.next_seq;
            /* Live from here: of the feed, what is later than the page's end. */
            is_live = scan->scan.at_head && (step >= 1500 || sim_random(s, 40) == 0);
            live_from = s->n_fed;
            scan = NULL;
        }
        sim_wait(s, NULL);
        for (size_t i = fed_before; i < s->n_fed; i++) {
            struct slu_msg *m = s->fed[i];
            bool matches = m->home == home && slu_filter_matches(slu_str(filters[f]), m->topic);
            EXPECT_TRUE(i < live_from || m->home != home || m->seq > at || !matches || m->seq <= at);
            if (matches && m->seq > at)
                got[n++] = m;
        }
        size_t k = 0;
        for (size_t i = fed_before; i < s->n_fed; i++) {
            struct slu_msg *m = s->fed[i];
            if (m->home != home || !slu_filter_matches(slu_str(filters[f]), m->topic))
                continue;
            EXPECT_TRUE(k < n);
            EXPECT_U64(got[k]->seq, m->seq);
            k++;
        }
        EXPECT_U64(k, n);
        EXPECT_TRUE(n > 50);
        free(got);
    }
}
