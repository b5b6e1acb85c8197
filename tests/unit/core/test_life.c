/* Signs of life, and the ways to the end. */
#include "tests/support/core_bench.h"

#include <criterion/criterion.h>

static void quick(struct slu_settings *s)
{
    s->ping_interval_ms = 1000;
    s->ping_timeout_ms = 300;
    s->close_timeout_ms = 200;
}

static struct bench *open_quick(void)
{
    return bench_new_with(&(struct bench_options){ .set = quick });
}

Test(life, silence_is_asked_and_then_ended_with_4508, .timeout = 5)
{
    struct bench *b = open_quick();
    struct peer *p = peer_open(b, 0, "");
    peer_skip(p);
    bench_advance(b, 1000);
    cr_assert(peer_count(p, "PING") == 1);
    bench_advance(b, 310);
    cr_assert(p->close_code == 4508);
    bench_free(b);
}

Test(life, any_byte_is_a_sign_of_life, .timeout = 5)
{
    struct bench *b = open_quick();
    struct peer *p = peer_open(b, 0, "");
    peer_skip(p);
    for (unsigned i = 0; i < 20; i++) {
        bench_advance(b, 500);
        slu_session_alive(p->session);
    }
    cr_assert(peer_count(p, "PING") == 0 && !p->closed);
    bench_free(b);
}

Test(life, a_reader_that_is_stuck_is_not_dead, .timeout = 5)
{
    struct bench *b = open_quick();
    struct peer *r = peer_open(b, 0, ""), *w = peer_open(b, 0, "");
    peer_sub(r, 1, "a");
    bench_settle(b);
    peer_stop(r);
    for (unsigned i = 0; i < 6; i++) {
        peer_pub(w, 0, "a", "1");
        bench_advance(b, 900);
        slu_session_alive(w->session);
    }
    cr_assert(!r->closed, "closed with %d", r->close_code);
    peer_go(r);
    cr_assert(peer_count(r, "msg a") == 6);
    bench_free(b);
}

Test(life, what_is_queued_goes_out_before_a_planned_end, .timeout = 5)
{
    struct bench *b = open_quick();
    struct peer *r = peer_open(b, 0, ""), *w = peer_open(b, 0, "");
    peer_sub(r, 1, "a");
    bench_settle(b);
    peer_skip(r);
    peer_stop(r);
    peer_pub(w, 1, "a", "1");
    peer_pub(w, 2, "a", "2");
    slu_worker_drain(b->workers[0], 1, 50);
    slu_worker_drain(b->workers[0], 1, 50);
    bench_settle(b);
    peer_go(r);
    peer_expect(r, "msg a 1*", "msg a 2*", "bye 4300 draining");
    bench_free(b);
}
