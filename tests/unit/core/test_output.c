/* From events to bytes: the bounds of a queue, and one encoding for all readers of a wire. */
#include "tests/support/core_bench.h"

#include "broker/core/output.h"

#include <criterion/criterion.h>

static void tiny(struct slu_settings *s)
{
    s->queue_bytes = 4000;
    s->queue_messages = 10;
}

static struct bench *open_tiny(struct peer **reader)
{
    struct bench *b = bench_new_with(&(struct bench_options){ .set = tiny });
    *reader = peer_open(b, 0, "");
    peer_skip(*reader);
    return b;
}

Test(output, an_empty_queue_takes_any_message_and_a_used_one_keeps_its_bounds, .timeout = 5)
{
    struct peer *r;
    struct bench *b = open_tiny(&r);
    cr_assert(slu_out_fits(r->session, 1000000));
    struct peer *w = peer_open(b, 0, "");
    peer_sub(r, 1, "a", .overflow = SLU_OVERFLOW_DROP_OLDEST);
    peer_skip(r);
    peer_stop(r);
    peer_pub(w, 0, "a", "held by the link");
    bench_settle(b);
    peer_pub(w, 0, "a", "queued", .pad = 100);
    bench_settle(b);
    cr_assert(!slu_out_fits(r->session, 1000000));
    cr_assert(slu_out_fits(r->session, 1000));
    cr_assert(!slu_out_is_empty(r->session));
    for (unsigned i = 0; i < 20; i++)
        peer_pub(w, 0, "a", "queued too", .pad = 100);
    bench_settle(b);
    cr_assert(!slu_out_is_low(r->session));
    peer_go(r);
    bench_settle(b);
    cr_assert(slu_out_is_empty(r->session) && slu_out_is_low(r->session));
    bench_free(b);
}

Test(output, readers_of_one_wire_share_a_frame_and_others_get_their_own, .timeout = 5)
{
    struct peer *one;
    struct bench *b = open_tiny(&one);
    struct peer *two = peer_open(b, 0, ""), *other = peer_open_other(b, 0, ""), *w = peer_open(b, 0, "");
    peer_skip(two);
    peer_skip(other);
    peer_sub(one, 1, "a");
    peer_sub(two, 1, "a");
    peer_sub(other, 1, "a");
    peer_skip(one);
    peer_skip(two);
    peer_skip(other);
    peer_pub(w, 0, "a", "1");
    peer_expect(one, "msg a 1*");
    peer_expect(two, "msg a 1*");
    peer_expect(other, "~msg a 1*");
    bench_free(b);
}

Test(output, what_is_dropped_is_counted, .timeout = 5)
{
    struct peer *r;
    struct bench *b = open_tiny(&r);
    struct peer *w = peer_open(b, 0, "");
    peer_sub(r, 1, "a");
    peer_skip(r);
    peer_stop(r);
    for (unsigned i = 0; i < 4; i++) {
        peer_pub(w, 0, "a", "x", .pad = 50);
        bench_settle(b);
    }
    uint64_t before = slu_counter_get(b->broker, SLU_COUNT_messages_dropped_overflow);
    unsigned queued = r->session->queue.msgs;
    cr_assert(queued > 0);
    slu_out_drop_queue(r->session);
    cr_assert(slu_counter_get(b->broker, SLU_COUNT_messages_dropped_overflow) == before + queued);
    peer_go(r);
    bench_free(b);
}
