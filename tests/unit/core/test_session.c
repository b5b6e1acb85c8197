/* A connection's life: the ways in, signs of life, the ways out. */
#include "tests/support/core_bench.h"

#include <criterion/criterion.h>

Test(session, hello_comes_once_and_first)
{
    struct bench *b = bench_new(1);
    struct peer *p = peer_open(b, 0, NULL);
    peer_quiet(p);
    peer_login(p, 0, "eve", "browser");
    peer_expect(p, "hello *");
    peer_login(p, 7, "eve", "");
    peer_expect(p, "err 7 bad_op");
    bench_free(b);
}

Test(session, connect_with_an_id_is_answered_by_hello)
{
    struct bench *b = bench_new(1);
    struct peer *p = peer_open(b, 0, NULL);
    peer_login(p, 3, "eve", "");
    bench_settle(b);
    cr_assert_str_eq(line_field(peer_line(p), "user"), "eve");
    bench_free(b);
}

Test(session, a_refused_token_closes_4401_after_bye)
{
    struct bench *b = bench_new(1);
    struct peer *p = peer_open(b, 0, NULL), *q = peer_open(b, 0, NULL);
    peer_login(p, 0, "bad", "");
    peer_login(q, 5, "bad", "");
    peer_expect(p, "bye 4401 token");
    peer_expect(q, "err 5 token_invalid", "bye 4401 token");
    cr_assert(p->closed && p->close_code == 4401 && !p->session);
    bench_free(b);
}

Test(session, the_handshake_decides_when_nobody_connects)
{
    struct bench *b = bench_new(1);
    struct peer *named = peer_open(b, 0, "eve"), *bad = peer_open(b, 0, "bad"), *anonymous = peer_open(b, 0, "");
    bench_settle(b);
    cr_assert_str_eq(line_field(peer_line(named), "user"), "eve");
    peer_expect(bad, "bye 4401 token");
    peer_expect(anonymous, "hello *");
    bench_free(b);
}

Test(session, silence_is_a_first_frame_after_the_login_timeout)
{
    struct bench *b = bench_new(1);
    struct peer *p = peer_open(b, 0, NULL);
    bench_advance(b, 4999);
    peer_quiet(p);
    bench_advance(b, 1);
    peer_expect(p, "hello *");
    b->no_anonymous = true;
    struct peer *q = peer_open(b, 0, NULL);
    bench_advance(b, 5000);
    peer_expect(q, "bye 4408 login_timeout");
    cr_assert(q->close_code == 4408);
    bench_free(b);
}

Test(session, draining_sends_everyone_elsewhere)
{
    struct bench *b = bench_new(1);
    struct peer *p = peer_open(b, 0, ""), *q = peer_open(b, 0, NULL);
    peer_skip(p);
    slu_worker_turn_begin(b->workers[0], b->now_ms, b->wall_ms);
    slu_worker_drain(b->workers[0], 100, 250);
    slu_worker_turn_end(b->workers[0]);
    peer_expect(p, "bye 4300 draining");
    peer_expect(q, "bye 4300 draining");
    cr_assert(p->close_code == 4300 && slu_worker_sessions(b->workers[0]) == 0);
    bench_free(b);
}

/* --- signs of life ------------------------------------------------------------------------------------------------ */

Test(session, silence_is_pinged_after_25_s_and_cut_10_s_later)
{
    struct bench *b = bench_new(1);
    struct peer *p = peer_open(b, 0, "");
    peer_skip(p);
    bench_advance(b, 24999);
    peer_quiet(p);
    bench_advance(b, 1);
    peer_expect(p, "PING", "ping");
    bench_advance(b, 9999);
    cr_assert(!p->closed);
    bench_advance(b, 1);
    peer_expect(p, "bye 4508 no_sign_of_life");
    cr_assert(p->close_code == 4508);
    bench_free(b);
}

static void alive(struct peer *p)
{
    slu_worker_turn_begin(p->bench->workers[p->worker], p->bench->now_ms, p->bench->wall_ms);
    slu_session_alive(p->session);
    slu_worker_turn_end(p->bench->workers[p->worker]);
}

Test(session, any_byte_is_a_sign_of_life)
{
    struct bench *b = bench_new(1);
    struct peer *p = peer_open(b, 0, "");
    for (unsigned i = 0; i < 20; i++) {
        bench_advance(b, 25000);
        cr_assert(p->session);
        alive(p);
    }
    cr_assert(peer_count(p, "PING") >= 19);
    bench_free(b);
}

Test(session, who_does_not_read_is_not_dead)
{
    struct bench *b = bench_new(1);
    struct peer *p = peer_open(b, 0, ""), *w = peer_open(b, 0, "");
    peer_sub(p, 0, "a");
    bench_settle(b);
    peer_stop(p);
    peer_pub(w, 0, "a", "1");
    peer_pub(w, 0, "a", "2");
    for (unsigned i = 0; i < 12; i++) {
        bench_advance(b, 20000);
        alive(w);
    }
    cr_assert(p->session && !p->closed);
    peer_go(p);
    bench_advance(b, 9000);
    cr_assert(p->session && !p->closed, "ten seconds from now, not from then");
    bench_advance(b, 30000);
    cr_assert(p->close_code == 4508);
    bench_free(b);
}

Test(session, an_expired_token_ends_the_session)
{
    struct bench *b = bench_new(1);
    struct peer *p = peer_open(b, 0, "short"), *q = peer_open(b, 0, "short");
    for (unsigned i = 0; i < 6; i++) {
        bench_advance(b, 9999);
        alive(p);
        alive(q);
    }
    slu_worker_turn_begin(b->workers[0], b->now_ms, b->wall_ms);
    struct slu_reqid id = bench_id(4);
    slu_session_renew(q->session, &id, SLU_LIT("short"));
    slu_worker_turn_end(b->workers[0]);
    peer_skip(p);
    bench_advance(b, 10);
    peer_expect(p, "bye 4401 token");
    cr_assert(q->session);
    bench_free(b);
}

Test(session, a_revoked_right_ends_what_it_carried)
{
    struct bench *b = bench_new(2);
    struct peer *p = peer_open(b, 0, "eve"), *w = peer_open(b, 1, "");
    struct slu_reqid id = bench_id(4);
    peer_sub(p, 1, "a/b", .sub = 1);
    peer_sub(p, 2, "b/#", .sub = 2);
    peer_skip(p);
    slu_worker_turn_begin(b->workers[0], b->now_ms, b->wall_ms);
    slu_session_renew(p->session, &id, SLU_LIT("ro"));
    slu_worker_turn_end(b->workers[0]);
    peer_expect(p, "end 2 topic_forbidden", "ok 4");
    peer_pub(w, 0, "b/x", "1");
    peer_pub(w, 0, "a/b", "2");
    peer_expect(p, "msg a/b 2 @1");
    slu_worker_turn_begin(b->workers[0], b->now_ms, b->wall_ms);
    slu_session_renew(p->session, &id, SLU_LIT("other"));
    slu_worker_turn_end(b->workers[0]);
    peer_expect(p, "err 4 token_invalid");
    bench_free(b);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void close_peer(struct peer *p, enum slu_close code)
{
    slu_worker_turn_begin(p->bench->workers[p->worker], p->bench->now_ms, p->bench->wall_ms);
    slu_session_close(p->session, code, NULL);
    slu_worker_turn_end(p->bench->workers[p->worker]);
}

Test(session, bye_follows_what_is_queued_and_is_the_last)
{
    struct bench *b = bench_new(1);
    struct peer *p = peer_open(b, 0, ""), *w = peer_open(b, 0, "");
    peer_sub(p, 1, "a");
    peer_skip(p);
    peer_stop(p);
    peer_pub(w, 0, "a", "1");
    peer_pub(w, 0, "a", "2");
    close_peer(p, SLU_CLOSE_KICKED);
    peer_pub(w, 0, "a", "3");
    bench_settle(b);
    cr_assert(!p->closed);
    peer_go(p);
    peer_expect(p, "msg a 1 @1", "msg a 2 @2", "bye 4410 kicked");
    cr_assert(p->close_code == 4410);
    bench_free(b);
}

Test(session, who_takes_no_bye_is_cut_after_the_close_timeout)
{
    struct bench *b = bench_new(1);
    struct peer *p = peer_open(b, 0, ""), *w = peer_open(b, 0, "");
    peer_sub(p, 1, "a");
    peer_skip(p);
    peer_stop(p);
    peer_pub(w, 0, "a", "1");
    peer_pub(w, 0, "a", "2");
    close_peer(p, SLU_CLOSE_KICKED);
    bench_advance(b, 4999);
    cr_assert(!p->closed);
    bench_advance(b, 1);
    cr_assert(p->closed && p->close_code == 0);
    bench_free(b);
}

Test(session, a_dead_link_costs_nothing)
{
    struct bench *b = bench_new(1);
    struct peer *p = peer_open(b, 0, ""), *w = peer_open(b, 0, "");
    peer_sub(p, 1, "a");
    peer_skip(p);
    p->dead = true;
    peer_pub(w, 0, "a", "1");
    peer_pub(w, 3, "a", "2");
    peer_expect(w, "hello *", "ok 3 *");
    cr_assert(!p->closed, "the link tells");
    peer_cut(p);
    bench_free(b);
}

Test(session, leaving_in_the_middle_of_everything_leaves_nothing_behind)
{
    for (unsigned n = 1; n <= 4; n++)
        for (unsigned turns = 0; turns < 12; turns++) {
            struct bench *b = bench_new(n);
            struct peer *w = peer_open(b, 0, ""), *p = peer_open(b, n - 1, "");
            for (unsigned i = 0; i < 10; i++)
                peer_pub(w, 0, "a/b", "x");
            peer_sub(p, 1, "a/b", .from = SLU_FROM_FIRST);
            peer_sub(p, 2, "#", .from = SLU_FROM_LATEST, .credit = 2);
            peer_sub(p, 3, "a/#", .group = "g", .ack = true, .from = SLU_FROM_FIRST);
            peer_sub(p, 4, "a/b", .presence = true);
            peer_pub(p, 5, "c", "x");
            peer_req(p, 6, "a/b", "x", 0);
            peer_presence(p, 7, "a/b", 0, NULL);
            peer_history(p, 8, "a/b", SLU_FROM_FIRST, 0, (struct slu_pos){ 0 }, 0, false);
            for (unsigned i = 0; i < turns; i++)
                bench_turn(b, i % n);
            peer_cut(p);
            bench_free(b);
        }
}
