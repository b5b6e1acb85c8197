/* Durable subscriptions: a name that remembers what was acknowledged, whoever comes back, wherever; what is lost is only
 * what was told as lost. Over one worker and several. */
#include "tests/unit/core/durable_bench.h"

Test(durable, who_comes_back_goes_on_behind_what_was_acknowledged)
{
    for (unsigned n = 1; n <= 4; n++) {
        struct bench *b = open_bench(n);
        struct peer *r = someone(b, 0), *w = someone(b, n - 1);
        peer_sub(r, 1, "a", .sub = 1, .durable = "me");
        peer_expect(r, "ok 1 sub=1 rec=1 pos=*");
        publish_n(w, "a", 1, 5);
        peer_expect(r, "msg a 1 @1 sub=1", "msg a 2 @2 sub=1", "msg a 3 @3 sub=1", "msg a 4 @4 sub=1",
                    "msg a 5 @5 sub=1");
        ack(r, 1, "a", 3, true);
        peer_cut(r);
        publish_n(w, "a", 6, 6);
        r = someone(b, n - 1);
        peer_sub(r, 1, "a", .sub = 7, .durable = "me", .from = SLU_FROM_FIRST);
        peer_expect(r, "ok 1 sub=7 rec=1 *", "msg a 4 @4 sub=7", "msg a 5 @5 sub=7", "msg a 6 @6 sub=7");
        publish_n(w, "a", 7, 7);
        peer_expect(r, "msg a 7 @7 sub=7");
        bench_free(b);
    }
}

Test(durable, a_name_remembers_from_its_start)
{
    for (unsigned n = 1; n <= 2; n++) {
        struct bench *b = open_bench(n);
        struct peer *r = someone(b, 0), *w = someone(b, n - 1);
        publish_n(w, "a", 1, 3);
        peer_sub(r, 1, "a", .sub = 1, .durable = "me");
        peer_expect(r, "ok 1 *");
        peer_cut(r);
        publish_n(w, "a", 4, 5);
        r = someone(b, 0);
        peer_sub(r, 1, "a", .sub = 1, .durable = "me");
        peer_expect(r, "ok 1 sub=1 rec=1 *", "msg a 4 @4 sub=1", "msg a 5 @5 sub=1");
        peer_unsub(r, 2, 1, NULL);
        peer_expect(r, "ok 2");
        peer_sub(r, 3, "a", .sub = 1, .durable = "me");
        peer_expect(r, "ok 3 sub=1 rec=1 *", "msg a 4 @4 sub=1", "msg a 5 @5 sub=1");
        bench_free(b);
    }
}

Test(durable, it_begins_where_it_is_asked_to)
{
    struct bench *b = open_bench(2);
    struct peer *r = someone(b, 0), *w = someone(b, 1);
    publish_n(w, "a", 1, 3);
    struct slu_pos second = at(b, "a", 2);
    peer_sub(r, 1, "a", .sub = 1, .durable = "first", .from = SLU_FROM_FIRST);
    peer_expect(r, "ok 1 *", "msg a 1 @1 sub=1", "msg a 2 @2 sub=1", "msg a 3 @3 sub=1");
    peer_sub(r, 2, "a", .sub = 2, .durable = "last", .from = SLU_FROM_LAST, .n = 2);
    peer_expect(r, "ok 2 *", "msg a 2 @2 sub=2", "msg a 3 @3 sub=2");
    peer_sub(r, 3, "a", .sub = 3, .durable = "latest", .from = SLU_FROM_LATEST);
    peer_expect(r, "ok 3 *", "msg a 3 @3 sub=3");
    peer_sub(r, 4, "a", .sub = 4, .durable = "offset", .from = SLU_FROM_OFFSET, .pos = second);
    peer_expect(r, "ok 4 *", "msg a 3 @3 sub=4");
    peer_cut(r);
    r = someone(b, 1);
    static const char *const names[] = { "first", "last", "latest", "offset" };
    static const unsigned again[] = { 3, 2, 1, 1 };
    for (unsigned i = 0; i < 4; i++) {
        peer_sub(r, 0, "a", .durable = names[i]);
        cr_assert(peer_count(r, "msg") == again[i], "%s", names[i]);
    }
    bench_free(b);
}

Test(durable, another_filter_begins_anew)
{
    struct bench *b = open_bench(1);
    struct peer *r = someone(b, 0), *w = someone(b, 0);
    peer_sub(r, 1, "a", .sub = 1, .durable = "me");
    peer_expect(r, "ok 1 *");
    peer_unsub(r, 0, 1, NULL);
    publish_n(w, "a", 1, 2);
    publish_n(w, "b", 1, 2);
    peer_sub(r, 2, "b", .sub = 1, .durable = "me");
    peer_expect(r, "ok 2 *");
    peer_unsub(r, 0, 1, NULL);
    peer_sub(r, 3, "a", .sub = 1, .durable = "me");
    peer_expect(r, "ok 3 *");
    bench_free(b);
}

Test(durable, single_acknowledgements_leave_what_is_between)
{
    struct bench *b = open_bench(1);
    struct peer *r = someone(b, 0), *w = someone(b, 0);
    peer_sub(r, 1, "a", .sub = 1, .durable = "me");
    publish_n(w, "a", 1, 5);
    peer_skip(r);
    ack(r, 1, "a", 1, false);
    ack(r, 1, "a", 2, false);
    ack(r, 1, "a", 4, false);
    peer_cut(r);
    r = someone(b, 0);
    peer_sub(r, 1, "a", .sub = 1, .durable = "me");
    peer_expect(r, "ok 1 *", "msg a 3 @3 sub=1", "msg a 4 @4 sub=1", "msg a 5 @5 sub=1");
    ack(r, 1, "a", 5, true);
    peer_cut(r);
    r = someone(b, 0);
    peer_sub(r, 1, "a", .sub = 1, .durable = "me");
    peer_expect(r, "ok 1 *");
    bench_free(b);
}

Test(durable, acknowledgements_that_fit_nothing_do_no_harm)
{
    struct bench *b = open_bench(1);
    struct peer *r = someone(b, 0), *w = someone(b, 0);
    peer_sub(r, 1, "a", .sub = 1, .durable = "me");
    publish_n(w, "a", 1, 3);
    peer_skip(r);
    struct slu_pos pos = at(b, "a", 2);
    peer_ack(r, 2, 1, "b", pos, true);
    peer_ack(r, 3, 1, "a", (struct slu_pos){ pos.epoch + 1, 3 }, true);
    peer_ack(r, 4, 1, "a", (struct slu_pos){ pos.epoch, 99 }, false);
    peer_ack(r, 5, 1, "a", (struct slu_pos){ pos.epoch, 0 }, true);
    peer_ack(r, 6, 1, "", pos, false);
    peer_ack(r, 7, 2, "a", pos, false);
    peer_nack(r, 8, 1, "a", pos, 0, false);
    peer_expect(r, "ok 2", "ok 3", "ok 4", "ok 5", "ok 6", "err 7 unknown_sub", "err 8 unsupported");
    peer_cut(r);
    r = someone(b, 0);
    peer_sub(r, 1, "a", .sub = 1, .durable = "me");
    peer_expect(r, "ok 1 *", "msg a 1 @1 sub=1", "msg a 2 @2 sub=1", "msg a 3 @3 sub=1");
    bench_free(b);
}

Test(durable, whoever_comes_last_has_the_name)
{
    for (unsigned n = 1; n <= 3; n++) {
        struct bench *b = open_bench(n);
        struct peer *a = someone(b, 0), *c = someone(b, n - 1), *w = someone(b, 0);
        peer_sub(a, 1, "a", .sub = 1, .durable = "me");
        publish_n(w, "a", 1, 2);
        peer_expect(a, "ok 1 *", "msg a 1 @1 sub=1", "msg a 2 @2 sub=1");
        peer_sub(c, 1, "a", .sub = 5, .durable = "me");
        peer_expect(c, "ok 1 *", "msg a 1 @1 sub=5", "msg a 2 @2 sub=5");
        peer_expect(a, "end 1 sub_exists");
        publish_n(w, "a", 3, 3);
        peer_expect(c, "msg a 3 @3 sub=5");
        peer_quiet(a);
        peer_ack(a, 2, 1, "a", at(b, "a", 1), true);
        peer_expect(a, "err 2 unknown_sub");
        peer_sub(c, 2, "a", .sub = 6, .durable = "me"); /* on its own connection too */
        peer_expect(c, "end 5 sub_exists", "ok 2 *", "msg a 1 @1 sub=6", "msg a 2 @2 sub=6", "msg a 3 @3 sub=6");
        bench_free(b);
    }
}

Test(durable, of_many_who_come_at_once_one_has_the_name)
{
    for (unsigned round = 0; round < 30; round++) {
        struct bench *b = open_bench(1 + round % 4);
        b->rng += round * 31;
        struct peer *p[6], *w = someone(b, 0);
        unsigned holders = 0;
        for (unsigned i = 0; i < 6; i++)
            p[i] = someone(b, i);
        for (unsigned i = 0; i < 6; i++) {
            peer_sub(p[i], 1, "a", .sub = 1, .durable = "me");
            for (uint64_t turns = bench_random(b, 5); turns; turns--)
                bench_turn(b, (unsigned)bench_random(b, b->n));
        }
        bench_settle(b);
        publish_n(w, "a", 1, 1);
        for (unsigned i = 0; i < 6; i++)
            holders += peer_count(p[i], "msg");
        cr_assert(holders == 1, "round %u: %u", round, holders);
        bench_free(b);
    }
}

Test(durable, a_name_belongs_to_its_user)
{
    struct bench *b = open_bench(2);
    struct peer *a = someone(b, 0), *c = peer_open(b, 1, ""), *w = someone(b, 0);
    peer_skip(c);
    peer_sub(a, 1, "a", .sub = 1, .durable = "me");
    peer_sub(c, 1, "a", .sub = 1, .durable = "me");
    publish_n(w, "a", 1, 1);
    peer_expect(a, "ok 1 *", "msg a 1 @1 sub=1");
    peer_expect(c, "ok 1 *", "msg a 1 @1 sub=1");
    ack(a, 1, "a", 1, false);
    peer_cut(a);
    peer_cut(c);
    a = someone(b, 1);
    c = peer_open(b, 0, "");
    peer_skip(c);
    peer_sub(a, 1, "a", .sub = 1, .durable = "me");
    peer_sub(c, 1, "a", .sub = 1, .durable = "me");
    peer_expect(a, "ok 1 *");
    peer_expect(c, "ok 1 *", "msg a 1 @1 sub=1");
    bench_free(b);
}

Test(durable, a_wildcard_remembers_each_home)
{
    for (unsigned n = 1; n <= 4; n++) {
        struct bench *b = open_bench(n);
        struct peer *r = someone(b, 0), *w = someone(b, n - 1);
        char topic[16];
        peer_sub(r, 1, "w/#", .sub = 1, .durable = "me");
        peer_expect(r, "ok 1 *");
        for (unsigned i = 0; i < 8; i++) {
            snprintf(topic, sizeof(topic), "w/%u", i);
            publish_n(w, topic, 1, 3);
        }
        cr_assert(peer_count(r, "msg") == 24);
        for (unsigned i = 0; i < 8; i++) {
            snprintf(topic, sizeof(topic), "w/%u", i);
            ack(r, 1, topic, 3, true);
        }
        peer_cut(r);
        publish_n(w, "w/3", 4, 4);
        r = someone(b, n - 1);
        peer_sub(r, 1, "w/#", .sub = 1, .durable = "me");
        peer_expect(r, "ok 1 *", "msg w/3 4 @4 sub=1");
        bench_free(b);
    }
}

Test(durable, what_has_no_position_needs_no_acknowledgement)
{
    struct bench *b = open_small(2);
    struct peer *r = someone(b, 0), *w = someone(b, 1);
    peer_sub(r, 1, "#", .sub = 1, .durable = "me");
    bench_settle(b);
    publish_n(w, "nolog/a", 1, 10);
    publish_n(w, "a", 1, 4);
    publish_n(w, "nolog/a", 11, 20); /* goes out though as much is unacknowledged as may be */
    cr_assert(peer_count(r, "msg nolog/a") == 20);
    publish_n(w, "a", 5, 9);
    peer_quiet(r);
    peer_cut(r);
    r = someone(b, 0);
    peer_sub(r, 1, "#", .sub = 1, .durable = "me");
    peer_expect(r, "ok 1 *", "msg a 1 @1 sub=1", "msg a 2 @2 sub=1", "msg a 3 @3 sub=1", "msg a 4 @4 sub=1");
    bench_free(b);
}

Test(durable, newest_values_that_a_wildcard_begins_with_need_none_either)
{
    struct bench *b = open_bench(2);
    struct peer *r = someone(b, 0), *w = someone(b, 1);
    publish_n(w, "w/a", 1, 3);
    publish_n(w, "w/b", 1, 3);
    peer_sub(r, 1, "w/#", .sub = 1, .durable = "me", .from = SLU_FROM_LATEST);
    cr_assert(peer_count(r, "msg w/") == 2);
    peer_cut(r);
    publish_n(w, "w/a", 4, 4);
    r = someone(b, 1);
    peer_sub(r, 1, "w/#", .sub = 1, .durable = "me", .from = SLU_FROM_LATEST);
    peer_expect(r, "ok 1 *", "msg w/a 4 @4 sub=1");
    bench_free(b);
}

Test(durable, at_the_bound_of_the_unacknowledged_it_waits)
{
    for (unsigned n = 1; n <= 2; n++) {
        struct bench *b = open_small(n);
        struct peer *r = someone(b, 0), *w = someone(b, n - 1);
        peer_sub(r, 1, "a", .sub = 1, .durable = "me");
        publish_n(w, "a", 1, 10);
        peer_expect(r, "ok 1 *", "msg a 1 *", "msg a 2 *", "msg a 3 *", "msg a 4 *");
        bench_advance(b, 2000);
        peer_quiet(r);
        ack(r, 1, "a", 2, false);
        peer_expect(r, "msg a 5 *");
        ack(r, 1, "a", 4, true);
        peer_expect(r, "msg a 6 *", "msg a 7 *", "msg a 8 *");
        ack(r, 1, "a", 8, true);
        peer_expect(r, "msg a 9 *", "msg a 10 *");
        publish_n(w, "a", 11, 13);
        peer_expect(r, "msg a 11 *", "msg a 12 *");
        ack(r, 1, "a", 12, true);
        peer_expect(r, "msg a 13 *");
        publish_n(w, "a", 14, 14);
        peer_expect(r, "msg a 14 *");
        bench_free(b);
    }
}

Test(durable, credit_and_the_bound_both_hold)
{
    struct bench *b = open_small(1);
    struct peer *r = someone(b, 0), *w = someone(b, 0);
    peer_sub(r, 1, "a", .sub = 1, .durable = "me", .credit = 3);
    publish_n(w, "a", 1, 10);
    peer_expect(r, "ok 1 *", "msg a 1 *", "msg a 2 *", "msg a 3 *");
    ack(r, 1, "a", 3, true);
    peer_quiet(r);
    peer_flow(r, 0, 1, 5);
    peer_expect(r, "msg a 4 *", "msg a 5 *", "msg a 6 *", "msg a 7 *");
    ack(r, 1, "a", 7, true);
    peer_expect(r, "msg a 8 *");
    peer_cut(r);
    r = someone(b, 0);
    peer_sub(r, 1, "a", .sub = 1, .durable = "me");
    peer_expect(r, "ok 1 *", "msg a 8 *", "msg a 9 *", "msg a 10 *");
    bench_free(b);
}

Test(durable, other_policies_at_the_bound)
{
    struct bench *b = open_small(1);
    struct peer *r = someone(b, 0), *c = someone(b, 0), *o = someone(b, 0), *w = someone(b, 0);
    peer_sub(r, 1, "a", .sub = 1, .durable = "close", .overflow = SLU_OVERFLOW_CLOSE);
    peer_sub(c, 1, "a", .sub = 1, .durable = "conflate", .overflow = SLU_OVERFLOW_CONFLATE);
    peer_sub(o, 1, "a", .sub = 1, .durable = "drop", .overflow = SLU_OVERFLOW_DROP_OLDEST);
    publish_n(w, "a", 1, 8);
    peer_expect(r, "ok 1 *", "msg a 1 *", "msg a 2 *", "msg a 3 *", "msg a 4 *", "bye 4504 *");
    peer_expect(c, "ok 1 *", "msg a 1 *", "msg a 2 *", "msg a 3 *", "msg a 4 *");
    peer_expect(o, "ok 1 *", "msg a 1 *", "msg a 2 *", "msg a 3 *", "msg a 4 *");
    ack(c, 1, "a", 4, true);
    peer_expect(c, "msg a 8 *");
    ack(o, 1, "a", 1, false);
    peer_expect(o, "msg a 5 *");
    peer_cut(o); /* with three held back: they are not forgotten */
    o = someone(b, 0);
    peer_sub(o, 1, "a", .sub = 1, .durable = "drop");
    peer_skip(o);
    ack(o, 1, "a", 4, true);
    peer_expect(o, "msg a 5 *", "msg a 6 *", "msg a 7 *", "msg a 8 *");
    r = someone(b, 0);
    peer_sub(r, 1, "a", .sub = 1, .durable = "close");
    peer_expect(r, "ok 1 *", "msg a 1 *", "msg a 2 *", "msg a 3 *", "msg a 4 *");
    bench_free(b);
}

Test(durable, a_reader_that_stops_loses_nothing)
{
    for (unsigned n = 1; n <= 2; n++) {
        struct bench *b = open_bench(n);
        struct peer *r = someone(b, 0), *w = someone(b, n - 1);
        peer_sub(r, 1, "a", .sub = 1, .durable = "me");
        peer_skip(r);
        peer_stop(r);
        for (unsigned i = 0; i < 300; i++)
            peer_pub(w, 0, "a", "x", .pad = 8000);
        bench_settle(b);
        unsigned got = peer_count(r, "msg a");
        cr_assert(got < 300);
        peer_cut(r);
        r = someone(b, n - 1);
        peer_sub(r, 1, "a", .sub = 1, .durable = "me");
        cr_assert(peer_count(r, "msg a") == 300);
        bench_free(b);
    }
}

struct only {
    struct slu_content_filter filter;
    char first;
};

static bool only_matches(const struct slu_content_filter *f, const struct slu_msg *m)
{
    return m->payload.len && m->payload.data[0] == ((const struct only *)(const void *)f)->first;
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

Test(durable, what_a_filter_leaves_out_holds_no_place_back)
{
    for (unsigned n = 1; n <= 2; n++) {
        struct bench *b = open_bench(n);
        struct peer *r = someone(b, 0), *w = someone(b, n - 1);
        peer_sub(r, 1, "short/a", .sub = 1, .durable = "me", .content = only_new('x'));
        peer_expect(r, "ok 1 *");
        publish_n(w, "short/a", 1, 40);
        bench_advance(b, 1100);
        peer_cut(r);
        r = someone(b, 0);
        peer_sub(r, 1, "short/a", .sub = 1, .durable = "me", .content = only_new('x'));
        peer_expect(r, "ok 1 sub=1 rec=1 *");
        peer_cut(r);
        publish_n(w, "short/a", 41, 60); /* more than the log holds */
        r = someone(b, 0);
        peer_sub(r, 1, "short/a", .sub = 1, .durable = "me");
        peer_expect(r, "ok 1 sub=1 rec=0 *", "gap 1 short/a lost=*", "msg short/a 60 *");
        bench_free(b);
    }
}

Test(durable, it_is_remembered_while_used_and_for_a_time_after)
{
    struct bench *b = open_small(2);
    struct peer *r = someone(b, 0), *w = someone(b, 1);
    peer_sub(r, 1, "a", .sub = 1, .durable = "me");
    peer_skip(r);
    for (unsigned i = 0; i < 400; i++) { /* with no message and no ack, for longer than a name is remembered */
        slu_session_alive(r->session);
        slu_session_alive(w->session);
        bench_advance(b, 20000);
    }
    publish_n(w, "a", 1, 1);
    peer_skip(r);
    peer_ack(r, 2, 1, "a", at(b, "a", 1), false);
    peer_expect(r, "ok 2");
    peer_cut(r);
    publish_n(w, "a", 2, 2);
    bench_advance(b, 3000000);
    r = someone(b, 0);
    peer_sub(r, 1, "a", .sub = 1, .durable = "me");
    peer_expect(r, "ok 1 *", "msg a 2 @2 sub=1");
    peer_cut(r);
    bench_advance(b, 3600000);
    r = someone(b, 0);
    peer_sub(r, 1, "a", .sub = 1, .durable = "me");
    peer_expect(r, "ok 1 *");
    bench_free(b);
}

Test(durable, one_may_leave_before_the_ok)
{
    for (unsigned turns = 0; turns < 12; turns++) {
        struct bench *b = open_bench(2);
        struct peer *r = someone(b, 0), *w = someone(b, 1);
        publish_n(w, "a", 1, 2);
        peer_sub(r, 1, "a", .sub = 1, .durable = "me", .from = SLU_FROM_FIRST);
        for (unsigned i = 0; i < turns; i++)
            bench_turn(b, i % 2);
        peer_unsub(r, 2, 0, "a");
        bench_settle(b);
        cr_assert(strncmp(peer_line(r), "ok 1 sub=1 rec=1", 16) == 0);
        const char *line = peer_line(r);
        while (line && strncmp(line, "msg", 3) == 0)
            line = peer_line(r);
        cr_assert(line && strcmp(line, "ok 2") == 0 && !peer_line(r));
        peer_sub(r, 3, "a", .sub = 1, .durable = "me", .from = SLU_FROM_FIRST);
        peer_expect(r, "ok 3 *", "msg a 1 *", "msg a 2 *");
        peer_answered(r);
        struct peer *gone = someone(b, 0);
        peer_sub(gone, 1, "a", .sub = 1, .durable = "you", .from = SLU_FROM_FIRST);
        for (unsigned i = 0; i < turns; i++)
            bench_turn(b, i % 2);
        peer_cut(gone);
        bench_settle(b);
        bench_free(b);
    }
}

Test(durable, what_it_refuses)
{
    struct bench *b = open_bench(1);
    struct peer *r = someone(b, 0);
    peer_sub(r, 1, "a", .durable = "me", .conflate = true);
    peer_sub(r, 2, "a", .durable = "me", .group = "g", .ack = true);
    peer_sub(r, 3, "nolog/a", .durable = "me");
    peer_sub(r, 4, "a", .durable = "me", .from = SLU_FROM_CUR, .cur = "nonsense");
    peer_sub(r, 5, "a", .durable = "me", .ack = true);
    peer_expect(r, "err 1 unsupported", "err 2 unsupported", "err 3 unsupported", "err 4 bad_frame", "ok 5 *");
    bench_free(b);
}

/* --- at random ---------------------------------------------------------------------------------------------------- */

enum { MESSAGES = 200 };

struct reader {
    struct bench *b;
    struct peer *p;
    struct slu_pos epoch[2];
    bool seen[MESSAGES + 1];
    uint64_t acked[2];  /* upto, sent */
    uint64_t kept[2];   /* the ok is in */
    uint64_t asked[2];  /* the ok is awaited */
    uint64_t newest[2]; /* on this connection */
    uint64_t sent[2];   /* acknowledged on this connection */
    unsigned topics;    /* with two, one that is not acknowledged brings the other's again that came behind it */
    bool has_credit;
};

static void take(struct reader *r)
{
    const char *line;
    while (r->p && (line = peer_line(r->p))) {
        char which;
        unsigned no;
        unsigned long long offset;
        if (sscanf(line, "msg w/%c %u @%llu", &which, &no, &offset) == 3) {
            unsigned t = which == 'b';
            cr_assert(r->topics == 2 || offset > r->kept[t], "came again though the ack was answered: %s", line);
            cr_assert(r->newest[t] == 0 || offset == r->newest[t] + 1, "not in order: %s after %llu", line,
                      (unsigned long long)r->newest[t]);
            cr_assert(r->newest[t] || offset <= r->acked[t] + 1, "a hole: %s after %llu", line,
                      (unsigned long long)r->acked[t]);
            r->newest[t] = offset;
            r->seen[no] = true;
        } else if (strncmp(line, "ok 2", 4) == 0 || strncmp(line, "ok 3", 4) == 0) {
            unsigned t = line[3] == '3';
            r->kept[t] = r->asked[t];
        } else {
            cr_assert(strncmp(line, "gap", 3) != 0 && strncmp(line, "err", 3) != 0, "%s", line);
        }
    }
}

static void acknowledge(struct reader *r)
{
    unsigned t = (unsigned)bench_random(r->b, r->topics);
    if (r->newest[t] <= r->sent[t])
        return;
    r->sent[t] = r->newest[t] - bench_random(r->b, r->newest[t] - r->sent[t]);
    struct slu_pos pos = r->epoch[t];
    pos.offset = r->sent[t];
    if (r->sent[t] > r->acked[t])
        r->acked[t] = r->sent[t];
    bool asks = r->kept[t] == r->asked[t] && r->sent[t] > r->kept[t] && bench_random(r->b, 2);
    if (asks)
        r->asked[t] = r->sent[t];
    peer_ack(r->p, asks ? 2 + t : 0, 1, t ? "w/b" : "w/a", pos, true);
}

static void come(struct reader *r)
{
    r->p = peer_open(r->b, (unsigned)bench_random(r->b, r->b->n), "eve");
    r->newest[0] = r->newest[1] = r->sent[0] = r->sent[1] = 0;
    r->has_credit = bench_random(r->b, 3) == 0;
    peer_sub(r->p, 1, "w/+", .sub = 1, .durable = "me", .credit = r->has_credit ? 20 : 0);
}

static void go(struct reader *r)
{
    if (bench_random(r->b, 2))
        peer_unsub(r->p, 0, 1, NULL);
    peer_cut(r->p);
    r->p = NULL;
    /* Whether the last ack arrived is open; so is what it asked for. */
    for (unsigned t = 0; t < 2; t++)
        r->asked[t] = r->kept[t];
}

Test(durable, nothing_is_lost_nor_comes_again_that_was_kept, .timeout = 60)
{
    for (unsigned round = 0; round < 100; round++) {
        struct bench *b = open_small(1 + round % 4);
        b->rng += round * 104729;
        struct reader r = { .b = b, .topics = 1 + round % 2 };
        struct peer *w = someone(b, 0);
        unsigned published = 0;
        r.epoch[0] = at(b, "w/a", 0);
        r.epoch[1] = at(b, "w/b", 0);
        come(&r);
        bench_settle(b);
        for (unsigned step = 0; step < 3000; step++) {
            unsigned what = (unsigned)bench_random(b, 20);
            char data[16];
            if (what < 3 && published < MESSAGES) {
                snprintf(data, sizeof(data), "%u", ++published);
                peer_pub(w, 0, bench_random(b, r.topics) ? "w/b" : "w/a", data);
            } else if (what == 4 && bench_random(b, 10) == 0) {
                if (r.p)
                    go(&r);
                else
                    come(&r);
            } else if (what == 5) {
                bench_advance(b, bench_random(b, 60));
            } else if (what < 9 && r.p) {
                take(&r);
                acknowledge(&r);
            } else {
                bench_turn(b, (unsigned)bench_random(b, b->n));
            }
        }
        if (r.p)
            go(&r);
        bench_settle(b);
        come(&r);
        for (unsigned i = 0; i < MESSAGES; i++) {
            bench_settle(b);
            take(&r);
            if (r.has_credit)
                peer_flow(r.p, 0, 1, 10);
            for (unsigned t = 0; t < 2; t++) {
                struct slu_pos pos = r.epoch[t];
                if (r.newest[t] <= r.sent[t])
                    continue;
                pos.offset = r.sent[t] = r.newest[t];
                peer_ack(r.p, 0, 1, t ? "w/b" : "w/a", pos, true);
            }
        }
        for (unsigned i = 1; i <= published; i++)
            cr_assert(r.seen[i], "round %u: %u of %u is lost", round, i, published);
        bench_free(b);
    }
}
