/* Publishing: what is answered, what is kept, what is refused; over one worker and several. */
#include "tests/support/core_bench.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static const struct slu_rule rules[] = {
    { .filter = SLU_LIT("#"), .log = SLU_LOG_MEMORY, .last_value = true, .presence = true },
    { .filter = SLU_LIT("nolog/#"), .log = SLU_LOG_NONE },
    { .filter = SLU_LIT("disk/#"), .log = SLU_LOG_DISK },
    { .filter = SLU_LIT("small/#"), .log = SLU_LOG_MEMORY, .max_size = 10 },
};

static struct bench *open_bench(unsigned workers)
{
    return bench_new_with(&(struct bench_options){ .workers = workers, .rules = rules, .n_rules = 4 });
}

Test(publish, matched_counts_readers_on_all_workers)
{
    struct bench *b = open_bench(4);
    struct peer *r[8], *w = peer_open(b, 2, "");
    for (unsigned i = 0; i < 8; i++) {
        r[i] = peer_open(b, i / 2, "");
        peer_sub(r[i], 0, i % 2 ? "a/b" : "a/#");
        peer_sub(r[i], 0, "+/b");
    }
    peer_skip(w);
    peer_pub(w, 1, "a/b", "x");
    bench_settle(b);
    cr_assert_str_eq(line_field(peer_line(w), "matched"), "8", "readers, not subscriptions");
    peer_pub(w, 2, "nolog/c", "x");
    peer_sub(r[0], 0, "nolog/c");
    peer_expect(w, "ok 2 matched=0");
    peer_pub(w, 3, "nolog/c", "x");
    peer_expect(w, "ok 3 matched=1");
    bench_free(b);
}

Test(publish, offsets_are_dense_and_the_same_for_every_reader)
{
    for (unsigned n = 1; n <= 4; n++) {
        struct bench *b = open_bench(n);
        struct peer *r[4], *w[4];
        for (unsigned i = 0; i < 4; i++) {
            r[i] = peer_open(b, i % n, "");
            w[i] = peer_open(b, i % n, "");
            peer_sub(r[i], 0, i % 2 ? "a" : "#");
            peer_skip(r[i]);
        }
        for (unsigned i = 0; i < 200; i++) {
            peer_pub(w[bench_random(b, 4)], 0, "a", "x");
            bench_turn(b, bench_random(b, n));
        }
        bench_settle(b);
        for (unsigned i = 0; i < 4; i++)
            for (unsigned k = 1; k <= 200; k++) {
                const char *line = peer_line(r[i]);
                cr_assert(line && line_pos(line).offset == k, "%s", line ? line : "nothing");
            }
        bench_free(b);
    }
}

/* Each publisher and topic keeps its order, with a log and without. */
Test(publish, a_publishers_order_is_kept)
{
    for (unsigned n = 1; n <= 4; n++) {
        struct bench *b = open_bench(n);
        struct peer *r = peer_open(b, 0, ""), *w[4];
        unsigned sent[4][2] = { 0 }, seen[4][2] = { 0 };
        peer_sub(r, 0, "#");
        for (unsigned i = 0; i < 4; i++)
            w[i] = peer_open(b, i % n, "");
        peer_skip(r);
        for (unsigned i = 0; i < 1000; i++) {
            unsigned who = bench_random(b, 4), kind = bench_random(b, 2);
            char data[24];
            snprintf(data, sizeof(data), "%u %u", who, ++sent[who][kind]);
            peer_pub(w[who], 0, kind ? "nolog/a" : "a", data);
            if (bench_random(b, 3) == 0)
                bench_turn(b, bench_random(b, n));
        }
        bench_settle(b);
        const char *line;
        while ((line = peer_line(r))) {
            unsigned who, no, kind = strncmp(line, "msg nolog", 9) == 0;
            cr_assert(sscanf(line, "msg %*s %u %u", &who, &no) == 2, "%s", line);
            cr_assert(no == ++seen[who][kind], "%s", line);
        }
        cr_assert(memcmp(sent, seen, sizeof(sent)) == 0);
        bench_free(b);
    }
}

Test(publish, retain_is_kept_and_cleared)
{
    static const char *const topics[] = { "a", "nolog/a" };
    for (unsigned n = 1; n <= 4; n++)
        for (unsigned t = 0; t < 2; t++) {
            struct bench *b = open_bench(n);
            struct peer *w = peer_open(b, n - 1, ""), *r = peer_open(b, 0, "");
            peer_skip(w);
            peer_skip(r);
            peer_pub(w, 1, topics[t], "kept", .retain = true);
            peer_pub(w, 2, topics[t], "passing");
            cr_assert(peer_count(w, "ok") == 2);
            peer_sub(r, 1, topics[t], .sub = 1, .from = SLU_FROM_LATEST);
            bench_settle(b);
            cr_assert(peer_line(r));
            const char *line = peer_line(r);
            cr_assert(line);
            if (t)
                cr_assert(strstr(line, "kept") && strstr(line, "retained"), "%s", line);
            else
                cr_assert(strstr(line, "passing @2") && !strstr(line, "retained"), "the log's head is newer: %s", line);
            peer_pub(w, 3, topics[t], NULL, .clear = true);
            peer_expect(w, "ok 3 *");
            peer_unsub(r, 0, 1, NULL);
            peer_skip(r);
            peer_sub(r, 2, topics[t], .sub = 2, .from = SLU_FROM_LATEST);
            peer_sub(r, 3, t ? "nolog/#" : "a/#", .sub = 3, .from = SLU_FROM_LATEST);
            bench_settle(b);
            while ((line = peer_line(r)))
                cr_assert(!strstr(line, "retained") && !strstr(line, "kept"), "%s", line);
            bench_free(b);
        }
}

/* An unlogged retained value that changes while somebody subscribes: neither missed nor older behind newer. */
Test(publish, latest_of_an_unlogged_topic_joins_without_hole_or_repeat, .timeout = 60)
{
    for (unsigned round = 0; round < 400; round++) {
        struct bench *b = open_bench(1 + round % 4);
        b->rng += round * 977;
        struct peer *w = peer_open(b, bench_random(b, b->n), ""), *r = peer_open(b, bench_random(b, b->n), "");
        unsigned sent = 0, sub_at = (unsigned)bench_random(b, 20), at_ok = 0, last = 0;
        bool wild = bench_random(b, 2), has_ok = false;
        for (unsigned i = 0; i < 40; i++) {
            char data[16];
            if (i == sub_at)
                peer_sub(r, 1, wild ? "nolog/#" : "nolog/a", .sub = 1, .from = SLU_FROM_LATEST);
            if (bench_random(b, 3) == 0) {
                snprintf(data, sizeof(data), "%u", ++sent);
                peer_pub(w, 0, "nolog/a", data, .retain = true);
            }
            if (bench_random(b, 2))
                bench_turn(b, bench_random(b, b->n));
            if (i == 39)
                bench_settle(b);
            const char *line;
            while ((line = peer_line(r))) {
                unsigned no;
                if (strncmp(line, "ok 1", 4) == 0) {
                    has_ok = true;
                    at_ok = sent;
                } else if (sscanf(line, "msg nolog/a %u", &no) == 1) {
                    cr_assert(has_ok);
                    cr_assert(last ? no == last + 1 : no <= at_ok + 1, "round %u: %u after %u, at ok %u", round, no,
                              last, at_ok);
                    last = no;
                }
            }
        }
        cr_assert(last == sent, "round %u: %u of %u", round, last, sent);
        bench_free(b);
    }
}

Test(publish, a_dedup_key_gets_the_first_answer)
{
    for (unsigned n = 1; n <= 2; n++) {
        struct bench *b = open_bench(n);
        struct peer *w = peer_open(b, 0, ""), *r = peer_open(b, n - 1, "");
        peer_sub(r, 0, "a");
        peer_skip(r);
        peer_skip(w);
        peer_pub(w, 1, "a", "x", .dedup = "k");
        bench_settle(b);
        peer_pub(w, 2, "a", "y", .dedup = "k");
        peer_pub(w, 3, "b", "z", .dedup = "k");
        peer_pub(w, 4, "nolog/a", "z", .dedup = "k");
        peer_expect(r, "msg a x @1");
        bench_settle(b);
        char first[64] = "", second[64] = "";
        const char *line;
        while ((line = peer_line(w))) {
            if (strncmp(line, "ok 1 ", 5) == 0)
                snprintf(first, sizeof(first), "%s", line + 5);
            else if (strncmp(line, "ok 2 ", 5) == 0)
                snprintf(second, sizeof(second), "%s", line + 5);
            else
                cr_assert(strncmp(line, "ok 3 ", 5) == 0 || strcmp(line, "err 4 unsupported") == 0, "%s", line);
        }
        cr_assert(strstr(first, ".1 matched=1"));
        cr_assert_str_eq(first, second);
        bench_advance(b, 301000);
        bench_free(b);
    }
}

Test(publish, expect_publishes_only_at_that_position)
{
    for (unsigned n = 1; n <= 2; n++) {
        struct bench *b = open_bench(n);
        struct peer *w = peer_open(b, 0, "");
        peer_skip(w);
        peer_pub(w, 1, "a", "x", .expect = &(struct slu_pos){ 0, 0 });
        bench_settle(b);
        struct slu_pos pos = line_pos(peer_line(w));
        cr_assert(pos.offset == 1);
        peer_pub(w, 2, "a", "y", .expect = &(struct slu_pos){ 0, 0 });
        peer_expect(w, "err 2 expect_failed");
        peer_pub(w, 3, "a", "y", .expect = &pos);
        peer_expect(w, "ok 3 pos=*");
        peer_pub(w, 4, "a", "y", .expect = &pos);
        peer_expect(w, "err 4 expect_failed");
        peer_pub(w, 5, "nolog/a", "y", .expect = &pos);
        peer_expect(w, "err 5 unsupported");
        bench_free(b);
    }
}

Test(publish, ack_levels_that_the_log_cannot_give_are_refused)
{
    struct bench *b = open_bench(1);
    struct peer *w = peer_open(b, 0, "");
    peer_skip(w);
    peer_pub(w, 1, "a", "x", .ack = SLU_ACK_NONE);
    peer_pub(w, 2, "a", "x", .ack = SLU_ACK_ACCEPTED);
    peer_pub(w, 3, "a", "x", .ack = SLU_ACK_STORED);
    peer_pub(w, 4, "disk/a", "x", .ack = SLU_ACK_STORED);
    peer_pub(w, 5, "nolog/a", "x", .ack = SLU_ACK_REPLICATED);
    bench_settle(b);
    unsigned ok = 0, unsupported = 0;
    const char *line;
    while ((line = peer_line(w))) {
        ok += line[0] == 'o';
        unsupported += strstr(line, "unsupported") != NULL;
    }
    cr_assert(ok == 2 && unsupported == 3, "the memory engine is not durable");
    bench_free(b);
}

Test(publish, what_is_not_valid_or_allowed_is_refused)
{
    struct bench *b = open_bench(1);
    struct peer *w = peer_open(b, 0, ""), *ro = peer_open(b, 0, "ro");
    peer_skip(w);
    peer_skip(ro);
    peer_pub(w, 1, "a/+", "x");
    peer_pub(w, 2, "", "x");
    peer_pub(w, 3, "$SYS/x", "x");
    peer_pub(w, 4, "small/a", "12345678901");
    peer_pub(w, 5, "a", "x", .pad = (1 << 20) + 1);
    peer_pub(w, 0, "$DEAD/x", "x");
    peer_expect(w, "err 1 bad_topic", "err 2 bad_topic", "err 3 topic_forbidden", "err 4 too_large", "err 5 too_large",
                "err topic_forbidden");
    peer_pub(ro, 1, "a/b", "x");
    peer_expect(ro, "err 1 topic_forbidden");
    bench_free(b);
}

Test(publish, what_has_expired_is_not_delivered_late)
{
    struct bench *b = open_bench(1);
    struct peer *w = peer_open(b, 0, ""), *r = peer_open(b, 0, "");
    peer_skip(r);
    peer_pub(w, 0, "a", "short", .ttl_ms = 1000);
    peer_pub(w, 0, "a", "long");
    bench_advance(b, 1000);
    peer_sub(r, 1, "a", .sub = 1, .from = SLU_FROM_FIRST);
    peer_expect(r, "ok 1 *", "msg a long @2 sub=1");
    peer_sub(r, 1, "a", .sub = 2, .credit = -1);
    peer_pub(w, 0, "a", "again", .ttl_ms = 1000);
    peer_expect(r, "ok 1 *", "msg a again @3");
    bench_advance(b, 1000);
    peer_flow(r, 0, 2, 5);
    peer_expect(r, "gap 2 a lost=1 expired");
    bench_free(b);
}

static void slow_publishers(struct slu_settings *s)
{
    s->publishes_in_flight_max = 8;
    s->memory_budget = 4 << 20;
}

Test(publish, too_much_under_way_stops_reading_until_it_is_done)
{
    struct bench *b = bench_new_with(&(struct bench_options){ .workers = 2, .set = slow_publishers });
    struct peer *w[2] = { peer_open(b, 0, ""), peer_open(b, 1, "") };
    bench_settle(b);
    for (unsigned k = 0; k < 2; k++)
        for (unsigned i = 0; i < 20; i++)
            peer_pub(w[k], i + 1, "a", "x");
    cr_assert(!w[0]->is_read_on || !w[1]->is_read_on, "one of them is not at the topic's home");
    bench_settle(b);
    cr_assert(w[0]->is_read_on && w[1]->is_read_on);
    cr_assert(peer_count(w[0], "ok") == 20 && peer_count(w[1], "ok") == 20);
    bench_free(b);
}
