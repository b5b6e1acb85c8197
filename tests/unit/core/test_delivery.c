/* From a match to the readers' queues: shared frames, the four policies, credit, conflation; and that what was received
 * and what was announced as lost is always what was published. */
#include "broker/core/message.h"
#include "tests/support/core_bench.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static const struct slu_rule rules[] = {
    { .filter = SLU_LIT("#"), .log = SLU_LOG_MEMORY, .last_value = true, .presence = true },
    { .filter = SLU_LIT("nolog/#"), .log = SLU_LOG_NONE },
    { .filter = SLU_LIT("short/#"), .log = SLU_LOG_MEMORY, .max_count = 10, .last_value = true },
    { .filter = SLU_LIT("newest/#"), .log = SLU_LOG_MEMORY, .overflow = SLU_OVERFLOW_CONFLATE },
};

static void small_queues(struct slu_settings *s)
{
    s->queue_bytes = 4096;
    s->queue_messages = 64;
}

static struct bench *open_small(unsigned workers)
{
    return bench_new_with(
        &(struct bench_options){ .workers = workers, .rules = rules, .n_rules = 4, .set = small_queues });
}

static void publish_n(struct peer *p, const char *topic, unsigned first, unsigned last)
{
    char data[16];
    for (unsigned i = first; i <= last; i++) {
        snprintf(data, sizeof(data), "%u", i);
        peer_pub(p, 0, topic, data);
    }
    bench_settle(p->bench);
}

/* --- plain -------------------------------------------------------------------------------------------------------- */

Test(delivery, overlapping_plain_subscriptions_give_one_copy)
{
    for (unsigned n = 1; n <= 2; n++) {
        struct bench *b = open_small(n);
        struct peer *r = peer_open(b, 0, ""), *w = peer_open(b, n - 1, "");
        peer_sub(r, 0, "a/b");
        peer_sub(r, 0, "a/+");
        peer_sub(r, 0, "#");
        peer_sub(r, 0, "a/b", .sub = 77, .credit = 5);
        peer_skip(r);
        peer_pub(w, 1, "a/b", "x");
        bench_settle(b);
        cr_assert(peer_count(r, "msg a/b x @1") == 2, "one plain, one with its sub");
        bench_free(b);
    }
}

Test(delivery, readers_of_each_encoding_on_each_worker_get_the_same)
{
    struct bench *b = open_small(4);
    struct peer *r[8], *w = peer_open(b, 1, "");
    for (unsigned i = 0; i < 8; i++) {
        r[i] = (i & 1 ? peer_open_other : peer_open)(b, i / 2, "");
        peer_sub(r[i], 0, "a/+");
        peer_skip(r[i]);
    }
    peer_pub(w, 1, "a/b", "x", .key = "k");
    for (unsigned i = 0; i < 8; i++)
        peer_expect(r[i], i & 1 ? "~msg a/b x @1 key=k" : "msg a/b x @1 key=k");
    peer_expect(w, "hello *", "ok 1 *");
    bench_free(b);
}

Test(delivery, echo_false_leaves_out_ones_own)
{
    struct bench *b = open_small(2);
    struct peer *p = peer_open(b, 0, ""), *q = peer_open(b, 1, "");
    peer_sub(p, 0, "a", .no_echo = true, .sub = 1);
    peer_sub(p, 0, "a", .sub = 2);
    peer_skip(p);
    peer_pub(p, 0, "a", "mine");
    bench_settle(b);
    peer_pub(q, 0, "a", "other");
    peer_expect(p, "msg a mine @1", "msg a other @2 sub=1", "msg a other @2");
    bench_free(b);
}

struct only {
    struct slu_content_filter filter;
    char first;
};

static bool only_matches(const struct slu_content_filter *f, const struct slu_msg *m)
{
    return m->payload.len && m->payload.data[0] == (uint8_t)((const struct only *)(const void *)f)->first;
}

static void only_free(struct slu_content_filter *f)
{
    free(f);
}

static struct slu_content_filter *only_new(char first)
{
    struct only *o = malloc(sizeof(*o));
    *o = (struct only){ { only_matches, only_free }, first };
    return &o->filter;
}

Test(delivery, a_content_filter_is_no_loss_and_decides_matched)
{
    struct bench *b = open_small(2);
    struct peer *r = peer_open(b, 0, ""), *w = peer_open(b, 1, "");
    peer_skip(w);
    peer_pub(w, 0, "a", "y0");
    peer_sub(r, 1, "a", .sub = 1, .content = only_new('x'), .from = SLU_FROM_FIRST);
    peer_sub(r, 2, "bad/+/#/x", .content = only_new('x'));
    peer_skip(r);
    peer_pub(w, 1, "a", "y1");
    bench_settle(b);
    peer_pub(w, 2, "a", "x2");
    peer_expect(r, "msg a x2 @3 sub=1");
    bench_settle(b);
    cr_assert_str_eq(line_field(peer_line(w), "matched"), "0");
    cr_assert_str_eq(line_field(peer_line(w), "matched"), "1");
    bench_free(b);
}

/* --- credit ------------------------------------------------------------------------------------------------------- */

Test(delivery, credit_is_what_messages_cost_and_nothing_else)
{
    for (unsigned n = 1; n <= 2; n++) {
        struct bench *b = open_small(n);
        struct peer *r = peer_open(b, 0, ""), *w = peer_open(b, n - 1, "");
        publish_n(w, "a", 1, 3);
        peer_sub(r, 1, "a", .sub = 1, .credit = 2, .from = SLU_FROM_FIRST);
        peer_expect(r, "hello *", "ok 1 sub=1 rec=1 *", "msg a 1 @1 sub=1", "msg a 2 @2 sub=1");
        publish_n(w, "a", 4, 4);
        peer_quiet(r);
        peer_flow(r, 9, 1, 1);
        peer_expect(r, "msg a 3 @3 sub=1", "ok 9");
        peer_flow(r, 0, 1, 10);
        peer_expect(r, "msg a 4 @4 sub=1");
        publish_n(w, "a", 5, 20);
        cr_assert(peer_count(r, "msg a") == 9);
        peer_flow(r, 0, 1, 100);
        cr_assert(peer_count(r, "msg a") == 7);
        peer_flow(r, 4, 5, 1);
        peer_expect(r, "err 4 unknown_sub");
        bench_free(b);
    }
}

Test(delivery, zero_credit_waits)
{
    struct bench *b = open_small(1);
    struct peer *r = peer_open(b, 0, ""), *w = peer_open(b, 0, "");
    publish_n(w, "a", 1, 3);
    peer_sub(r, 1, "a", .sub = 1, .credit = -1, .from = SLU_FROM_LATEST);
    peer_expect(r, "hello *", "ok 1 sub=1 rec=1 *");
    publish_n(w, "a", 4, 5);
    peer_quiet(r);
    peer_flow(r, 0, 1, 100);
    peer_expect(r, "msg a 3 @3 sub=1", "msg a 4 @4 sub=1", "msg a 5 @5 sub=1");
    bench_free(b);
}

/* Live traffic while a page waits for credit must wait behind it. */
Test(delivery, live_messages_never_overtake_a_page_that_waits)
{
    for (unsigned n = 1; n <= 4; n *= 2) {
        struct bench *b = open_small(n);
        struct peer *r = peer_open(b, 0, ""), *w = peer_open(b, n - 1, "");
        publish_n(w, "d/a", 1, 5);
        publish_n(w, "d/b", 1, 5);
        peer_sub(r, 1, "d/+", .sub = 1, .credit = 3, .from = SLU_FROM_FIRST);
        peer_skip(r);
        publish_n(w, "d/a", 6, 8);
        publish_n(w, "d/b", 6, 8);
        unsigned next[2] = { 0 };
        for (unsigned i = 0; i < 20; i++) {
            const char *line;
            peer_flow(r, 0, 1, 1);
            bench_settle(b);
            while ((line = peer_line(r))) {
                unsigned which = line[6] - 'a', no = (unsigned)strtoul(line + 8, NULL, 10);
                cr_assert(line[0] == 'c' || !next[which] || no == next[which], "%s", line);
                if (line[0] == 'm')
                    next[which] = no + 1;
            }
        }
        cr_assert(next[0] == 9 && next[1] == 9);
        bench_free(b);
    }
}

/* --- the four policies -------------------------------------------------------------------------------------------- */

struct account {
    unsigned received, lost, gaps, unknown, last, repeats;
};

static struct account count_lines(struct peer *r)
{
    struct account a = { 0 };
    const char *line;
    bench_settle(r->bench);
    while ((line = peer_line(r))) {
        unsigned no;
        if (sscanf(line, "msg %*s %u", &no) == 1) {
            a.received++;
            a.repeats += no <= a.last;
            a.last = no;
        } else if (strncmp(line, "gap", 3) == 0) {
            a.gaps++;
            unsigned lost = (unsigned)strtoul(line_field(line, "lost"), NULL, 10);
            a.lost += lost;
            a.unknown += lost == 0; /* under a wildcard the log cannot tell how many it has trimmed */
        }
    }
    return a;
}

static struct account slow_reader(unsigned workers, const char *topic, enum slu_overflow policy, bool by_credit,
                                  bool conflate)
{
    struct bench *b = open_small(workers);
    struct peer *r = peer_open(b, 0, ""), *w = peer_open(b, workers - 1, "");
    peer_sub(r, 0, topic, .sub = 1, .overflow = policy, .credit = by_credit ? 5 : 0, .conflate = conflate, .hz = 0);
    peer_skip(r);
    if (!by_credit)
        peer_stop(r);
    publish_n(w, topic, 1, 500);
    cr_assert(bench_used(b) < 1 << 20);
    struct account a = { 0 };
    if (r->session) {
        peer_go(r);
        if (by_credit)
            peer_flow(r, 0, 1, 100000);
        bench_settle(b);
        publish_n(w, topic, 501, 510);
    }
    a = count_lines(r);
    if (r->close_code)
        a.last = (unsigned)r->close_code;
    bench_free(b);
    return a;
}

Test(delivery, pause_loses_nothing_that_the_log_holds)
{
    for (unsigned n = 1; n <= 2; n++)
        for (unsigned credit = 0; credit <= 1; credit++) {
            struct account a = slow_reader(n, "a", SLU_OVERFLOW_DEFAULT, credit, false);
            cr_assert(a.received == 510 && a.lost == 0 && a.gaps == 0 && a.repeats == 0 && a.last == 510,
                      "received %u lost %u", a.received, a.lost);
        }
}

Test(delivery, pause_announces_what_the_log_has_trimmed)
{
    for (unsigned n = 1; n <= 2; n++)
        for (unsigned credit = 0; credit <= 1; credit++) {
            struct account a = slow_reader(n, "short/a", SLU_OVERFLOW_PAUSE, credit, false);
            cr_assert(a.received + a.lost == 510 && a.gaps == 1 && a.repeats == 0 && a.last == 510,
                      "received %u lost %u gaps %u", a.received, a.lost, a.gaps);
        }
}

Test(delivery, drop_oldest_keeps_the_newest_and_counts_the_rest)
{
    for (unsigned n = 1; n <= 2; n++)
        for (unsigned credit = 0; credit <= 1; credit++) {
            struct account a = slow_reader(n, "nolog/a", SLU_OVERFLOW_DROP_OLDEST, credit, false);
            cr_assert(a.received + a.lost == 510 && a.gaps >= 1 && a.repeats == 0 && a.last == 510,
                      "received %u lost %u", a.received, a.lost);
            cr_assert(a.received <= 110 && a.received > 20, "%u", a.received);
        }
}

Test(delivery, overflow_conflate_keeps_the_newest_without_a_gap)
{
    for (unsigned n = 1; n <= 2; n++)
        for (unsigned credit = 0; credit <= 1; credit++) {
            struct account a = slow_reader(n, "nolog/a", SLU_OVERFLOW_CONFLATE, credit, false);
            cr_assert(a.lost == 0 && a.repeats == 0 && a.last == 510 && a.received < 100, "received %u lost %u",
                      a.received, a.lost);
        }
    struct account a = slow_reader(2, "newest/a", SLU_OVERFLOW_DEFAULT, false, false);
    cr_assert(a.lost == 0 && a.repeats == 0 && a.last == 510 && a.received < 200, "by rule: received %u", a.received);
}

Test(delivery, conflate_without_rate_gives_the_newest_as_fast_as_it_is_read)
{
    struct account a = slow_reader(2, "a", SLU_OVERFLOW_DEFAULT, false, true);
    cr_assert(a.lost == 0 && a.repeats == 0 && a.last == 510 && a.received < 100);
    a = slow_reader(1, "nolog/a", SLU_OVERFLOW_DEFAULT, true, true);
    cr_assert(a.lost == 0 && a.repeats == 0 && a.last == 510 && a.received == 5 + 1 + 10, "%u", a.received);
}

Test(delivery, close_ends_with_4504)
{
    for (unsigned credit = 0; credit <= 1; credit++) {
        struct account a = slow_reader(2, "nolog/a", SLU_OVERFLOW_DEFAULT, credit, false);
        cr_assert(a.last == 4504, "%u", a.last);
        if (credit)
            cr_assert(a.received == 5, "what the credit covered is sent first");
        a = slow_reader(1, "a", SLU_OVERFLOW_CLOSE, credit, false);
        cr_assert(a.last == 4504);
    }
}

Test(delivery, pause_without_a_log_is_refused)
{
    struct bench *b = open_small(1);
    struct peer *r = peer_open(b, 0, "");
    peer_sub(r, 1, "nolog/a", .overflow = SLU_OVERFLOW_PAUSE);
    peer_sub(r, 2, "nolog/#", .overflow = SLU_OVERFLOW_PAUSE, .sub = 4);
    peer_expect(r, "hello *", "err 1 unsupported", "ok 2 sub=4 rec=1 *");
    bench_free(b);
}

Test(delivery, other_readers_do_not_notice_a_slow_one)
{
    struct bench *b = open_small(1);
    struct peer *slow = peer_open(b, 0, ""), *fast = peer_open(b, 0, ""), *w = peer_open(b, 0, "");
    peer_sub(slow, 0, "a");
    peer_sub(slow, 0, "nolog/b", .overflow = SLU_OVERFLOW_DROP_OLDEST);
    peer_sub(fast, 0, "a");
    peer_sub(fast, 0, "nolog/b");
    peer_skip(slow);
    peer_skip(fast);
    peer_stop(slow);
    for (unsigned i = 0; i < 300; i++) {
        peer_pub(w, 0, "a", "x", .pad = 60);
        peer_pub(w, 0, "nolog/b", "y", .pad = 60);
    }
    cr_assert(peer_count(fast, "msg") == 600);
    peer_go(slow);
    bench_settle(b);
    unsigned got = 0, lost = 0;
    const char *line;
    while ((line = peer_line(slow))) {
        got += line[0] == 'm';
        if (line[0] == 'g')
            lost += (unsigned)strtoul(line_field(line, "lost"), NULL, 10);
    }
    cr_assert(got + lost == 600 && got >= 300, "%u + %u", got, lost);
    bench_free(b);
}

/* Readers that come and go between slow and fast at random: received + lost = published, in order. */
Test(delivery, received_and_lost_are_what_was_published, .timeout = 60)
{
    static const enum slu_overflow policies[] = { SLU_OVERFLOW_DEFAULT, SLU_OVERFLOW_PAUSE, SLU_OVERFLOW_DROP_OLDEST };
    static const char *const topics[] = { "a", "short/a", "nolog/a" };
    for (unsigned round = 0; round < 90; round++) {
        struct bench *b = open_small(1 + round % 3);
        b->rng += round * 7919;
        const char *topic = topics[round / 3 % 3];
        enum slu_overflow policy = policies[round / 9 % 3];
        if (round / 3 % 3 == 2)
            policy = SLU_OVERFLOW_DROP_OLDEST;
        struct peer *r = peer_open(b, 0, ""), *w = peer_open(b, b->n - 1, "");
        bool credit = bench_random(b, 2);
        peer_sub(r, 0, round % 2 ? "#" : topic, .sub = 1, .overflow = policy, .credit = credit ? 5 : 0);
        peer_skip(r);
        unsigned published = 0;
        for (unsigned i = 0; i < 1500; i++) {
            unsigned what = (unsigned)bench_random(b, 12);
            char data[16];
            if (what < 6) {
                snprintf(data, sizeof(data), "%u", ++published);
                (peer_pub)(w, 0, topic, data, (struct pub_options){ .pad = bench_random(b, 50) });
            } else if (what == 6) {
                peer_stop(r);
            } else if (what == 7) {
                peer_go(r);
                r->takes = bench_random(b, 2) ? 200 : 0;
            } else if (what == 8 && credit) {
                peer_flow(r, 0, 1, bench_random(b, 20));
            } else {
                bench_turn(b, (unsigned)bench_random(b, b->n));
            }
        }
        peer_go(r);
        if (credit)
            peer_flow(r, 0, 1, 100000);
        struct account a = count_lines(r);
        cr_assert(r->session);
        bool adds_up = a.received + a.lost == published || (round % 2 && a.unknown && a.received + a.lost < published);
        cr_assert(adds_up && a.repeats == 0 && a.last == published,
                  "round %u: received %u + lost %u of %u, repeats %u, last %u", round, a.received, a.lost, published,
                  a.repeats, a.last);
        bench_free(b);
    }
}

/* --- conflation --------------------------------------------------------------------------------------------------- */

Test(delivery, conflation_gives_the_first_at_once_and_then_the_newest_of_each_window)
{
    struct bench *b = open_small(2);
    struct peer *r = peer_open(b, 0, ""), *w = peer_open(b, 1, "");
    peer_sub(r, 0, "a/+", .sub = 1, .conflate = true, .hz = 4);
    peer_skip(r);
    publish_n(w, "a/x", 1, 3);
    peer_expect(r, "msg a/x 1 @1 sub=1");
    publish_n(w, "a/y", 1, 2);
    peer_expect(r, "msg a/y 1 @1 sub=1");
    bench_advance(b, 250);
    peer_expect(r, "msg a/x 3 @3 sub=1", "msg a/y 2 @2 sub=1");
    publish_n(w, "a/x", 4, 9);
    peer_quiet(r);
    bench_advance(b, 250);
    peer_expect(r, "msg a/x 9 @9 sub=1");
    bench_advance(b, 2000);
    publish_n(w, "a/x", 10, 10);
    bench_settle(b);
    cr_assert(peer_count(r, "msg a/x 10 @10 sub=1") == 1, "at once again");
    bench_free(b);
}

Test(delivery, conflation_by_key_crosses_topics)
{
    struct bench *b = open_small(1);
    struct peer *r = peer_open(b, 0, ""), *w = peer_open(b, 0, "");
    peer_sub(r, 0, "a/+", .sub = 1, .conflate = true, .by_key = true, .hz = 10);
    peer_skip(r);
    peer_pub(w, 0, "a/x", "1", .key = "k");
    peer_pub(w, 0, "a/y", "2", .key = "k");
    peer_pub(w, 0, "a/z", "3", .key = "k");
    peer_pub(w, 0, "a/z", "4", .key = "other");
    peer_pub(w, 0, "a/z", "5");
    peer_expect(r, "msg a/x 1 @1 sub=1 key=k", "msg a/z 4 @2 sub=1 key=other", "msg a/z 5 @3 sub=1");
    bench_advance(b, 100);
    peer_expect(r, "msg a/z 3 @1 sub=1 key=k");
    bench_free(b);
}

Test(delivery, conflation_never_exceeds_its_rate_for_a_key)
{
    struct bench *b = open_small(1);
    struct peer *r = peer_open(b, 0, ""), *w = peer_open(b, 0, "");
    peer_sub(r, 0, "a/+", .sub = 1, .conflate = true, .hz = 4);
    peer_skip(r);
    uint64_t last[3] = { 0 };
    char topic[8] = "a/0";
    for (unsigned i = 0; i < 3000; i++) {
        /* the second key begins, and sometimes rests, while the first is on its way */
        topic[2] = (char)('0' + bench_random(b, i < 333 ? 1 : i < 1000 ? 2 : 3));
        peer_pub(w, 0, topic, "x");
        bench_advance(b, 1);
        const char *line;
        while ((line = peer_line(r))) {
            if (line[0] != 'm')
                continue;
            unsigned which = line[6] - '0';
            cr_assert(!last[which] || b->now_ms - last[which] >= 249, "%u after %llu ms", which,
                      (unsigned long long)(b->now_ms - last[which]));
            last[which] = b->now_ms;
        }
    }
    bench_free(b);
}

Test(delivery, a_resumed_conflated_subscription_gets_the_newest_of_each)
{
    struct bench *b = open_small(2);
    struct peer *r = peer_open(b, 0, ""), *w = peer_open(b, 1, "");
    publish_n(w, "a/x", 1, 50);
    publish_n(w, "a/y", 1, 50);
    peer_sub(r, 1, "a/+", .sub = 1, .conflate = true, .hz = 4, .from = SLU_FROM_FIRST);
    bench_settle(b);
    cr_assert(peer_count(r, "msg a/") == 2);
    bench_free(b);
}

static void few_keys(struct slu_settings *s)
{
    s->pending_max = 10;
}

Test(delivery, conflation_is_bounded_in_keys)
{
    struct bench *b = bench_new_with(&(struct bench_options){ .set = few_keys });
    struct peer *r = peer_open(b, 0, ""), *w = peer_open(b, 0, "");
    peer_sub(r, 0, "#", .sub = 1, .conflate = true, .hz = 0.1);
    peer_skip(r);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < 100; i++) {
            char topic[16];
            snprintf(topic, sizeof(topic), "t/%u", i);
            peer_pub(w, 0, topic, "x");
        }
    struct account a = { 0 };
    peer_stop(r);
    for (unsigned i = 0; i < 100; i++) {
        char topic[16];
        snprintf(topic, sizeof(topic), "t/%u", i);
        peer_pub(w, 0, topic, "x", .pad = 20000);
    }
    peer_go(r);
    bench_advance(b, 21000);
    const char *line;
    while ((line = peer_line(r))) {
        a.received += line[0] == 'm';
        if (line[0] == 'g')
            a.lost += (unsigned)strtoul(line_field(line, "lost"), NULL, 10);
    }
    cr_assert(a.received >= 200 && a.lost > 0 && a.received + a.lost <= 300, "%u + %u", a.received, a.lost);
    bench_free(b);
}
