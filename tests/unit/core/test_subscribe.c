/* Subscribing: what is answered and when, what is refused, how it ends; over one worker and several. */
#include "tests/support/core_bench.h"
#include "tests/support/faulty_alloc.h"

#include <criterion/criterion.h>
#include <stdio.h>

Test(subscribe, ok_then_messages_from_any_worker)
{
    for (unsigned n = 1; n <= 4; n++) {
        struct bench *b = bench_new(n);
        struct peer *reader = peer_open(b, 0, ""), *writer = peer_open(b, n - 1, "");
        peer_expect(reader, "hello *");
        peer_sub(reader, 1, "a/b", .sub = 9);
        peer_expect(reader, "ok 1 sub=9 rec=1 pos=*");
        peer_sub(reader, 2, "a/+", .sub = 10);
        peer_expect(reader, "ok 2 sub=10 rec=1 cur=*");
        peer_pub(writer, 5, "a/b", "one");
        bench_settle(b);
        peer_pub(writer, 6, "a/c", "two");
        peer_expect(reader, "msg a/b one @1", "msg a/c two @1");
        peer_unsub(reader, 3, 9, NULL);
        peer_unsub(reader, 4, 0, "a/+");
        peer_unsub(reader, 5, 10, NULL);
        peer_expect(reader, "ok 3", "ok 4", "err 5 unknown_sub");
        peer_pub(writer, 7, "a/b", "three");
        peer_quiet(reader);
        peer_expect(writer, "hello *", "ok 5 *", "ok 6 *", "ok 7 *");
        bench_free(b);
    }
}

Test(subscribe, the_broker_numbers_what_the_client_does_not)
{
    struct bench *b = bench_new(1);
    struct peer *p = peer_open(b, 0, "");
    peer_skip(p);
    peer_sub(p, 1, "a");
    peer_sub(p, 2, "b", .sub = 2);
    peer_sub(p, 3, "c");
    peer_sub(p, 4, "d", .sub = 2);
    peer_expect(p, "ok 1 sub=1 *", "ok 2 sub=2 *", "ok 3 sub=3 *", "err 4 sub_exists");
    peer_sub(p, 0, "e");
    peer_quiet(p);
    bench_free(b);
}

static void two_subscriptions(struct slu_settings *s)
{
    s->subscriptions_max = 2;
}

Test(subscribe, what_is_refused)
{
    struct bench *b = bench_new_with(&(struct bench_options){ .set = two_subscriptions });
    struct peer *p = peer_open(b, 0, "ro"), *q = peer_open(b, 0, "");
    peer_skip(p);
    peer_skip(q);
    peer_sub(p, 1, "b");
    peer_sub(p, 2, "#");
    peer_sub(p, 3, "a/#");
    peer_sub(p, 4, "a/b#");
    peer_sub(p, 5, "");
    peer_sub(p, 6, "a", .durable = "d", .conflate = true);
    peer_sub(p, 7, "a", .from = SLU_FROM_CUR, .cur = "not one");
    peer_sub(p, 8, "a");
    peer_sub(p, 9, "a");
    peer_expect(p, "err 1 topic_forbidden", "err 2 topic_forbidden", "ok 3 *", "err 4 bad_filter", "err 5 bad_topic",
                "err 6 unsupported", "err 7 bad_frame", "ok 8 *", "err 9 limit_reached");
    peer_unsub(p, 1, 0, "a");
    peer_sub(p, 2, "a");
    peer_expect(p, "ok 1", "ok 2 *");
    bench_free(b);
}

/* Published anywhere as soon as the ok is out: delivered. */
Test(subscribe, the_ok_means_in_force_everywhere)
{
    static const char *const filters[] = { "t", "+", "#" };
    for (unsigned n = 1; n <= 4; n++)
        for (unsigned round = 0; round < 60; round++) {
            struct bench *b = bench_new(n);
            b->rng += round * 77;
            struct peer *other = peer_open(b, bench_random(b, n), ""), *r = peer_open(b, bench_random(b, n), "");
            struct peer *w = peer_open(b, bench_random(b, n), "");
            peer_skip(r);
            if (round % 2)
                peer_sub(other, 1, "t");
            peer_sub(r, 1, filters[round % 3]);
            if (round % 5 == 0)
                peer_cut(other);
            while (!peer_line(r))
                bench_turn(b, bench_random(b, n));
            peer_pub(w, 0, "t", "x");
            peer_expect(r, "msg t x @1");
            bench_free(b);
        }
}

Test(subscribe, one_that_is_undone_before_its_ok_is_answered_first)
{
    struct bench *b = bench_new(2);
    struct peer *p = peer_open(b, 0, ""), *w = peer_open(b, 1, "");
    peer_skip(p);
    peer_sub(p, 1, "a", .sub = 1);
    peer_unsub(p, 2, 1, NULL);
    peer_sub(p, 3, "a", .sub = 1, .group = "g", .ack = true);
    peer_unsub(p, 4, 1, NULL);
    peer_expect(p, "ok 1 sub=1 *", "ok 2", "ok 3 sub=1 *", "ok 4");
    peer_pub(w, 0, "a", "x");
    peer_quiet(p);
    bench_free(b);
}

/* Whatever fails for lack of memory on the way: no ok without messages. */
Test(subscribe, an_ok_holds_even_where_memory_ran_out, .timeout = 60)
{
    for (unsigned n = 2; n <= 3; n++)
        for (unsigned nth = 1; nth < 200; nth++) {
            struct bench *b = bench_new(n);
            struct peer *r = peer_open(b, 0, ""), *w = peer_open(b, n - 1, ""), *last = peer_open(b, n - 1, "");
            bench_settle(b);
            faulty_alloc_arm(nth);
            peer_sub(r, 1, "x/y/+", .sub = 1);
            peer_sub(r, 2, "x/y/z", .sub = 2, .presence = true);
            bench_settle(b);
            bool failed = faulty_alloc_disarm();
            unsigned oks = peer_count(r, "ok");
            peer_pub(w, 0, "x/y/z", "1");
            bench_settle(b);
            if (r->session && oks == 2)
                cr_assert(peer_count(r, "msg x/y/z 1") == 1, "allocation %u", nth);
            else if (r->session && oks)
                cr_assert(peer_count(r, "msg x/y/z 1") == 1, "allocation %u", nth);
            peer_sub(last, 0, "x/y/z");
            if (r->session && oks == 2)
                cr_assert(peer_count(r, "join") == 1, "allocation %u", nth);
            bench_free(b);
            if (!failed)
                break;
        }
}

Test(subscribe, a_thousand_subscriptions_come_and_go)
{
    struct bench *b = bench_new(2);
    struct peer *p = peer_open(b, 0, ""), *w = peer_open(b, 1, "");
    char topic[32];
    peer_skip(p);
    for (unsigned i = 0; i < 1024; i++) {
        snprintf(topic, sizeof(topic), "t/%u", i);
        peer_sub(p, 1, topic);
    }
    cr_assert(peer_count(p, "ok 1") == 1024);
    peer_sub(p, 1, "one/more");
    peer_expect(p, "err 1 limit_reached");
    peer_pub(w, 0, "t/1023", "x");
    peer_expect(p, "msg t/1023 x @1");
    for (unsigned i = 0; i < 1024; i++)
        peer_unsub(p, 1, i + 1, NULL);
    cr_assert(peer_count(p, "ok 1") == 1024);
    bench_free(b);
}
