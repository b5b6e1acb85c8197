/* Durable subscriptions on a store that fails, loses answers or takes its time, and without memory: what is promised is
 * kept, what is not kept is not promised. */
#include "tests/support/faulty_alloc.h"
#include "tests/support/faulty_engine.h"
#include "tests/unit/core/durable_bench.h"

static struct slu_faulty faulty;

static struct bench *open_faulty(unsigned workers)
{
    return bench_new_with(&(struct bench_options){
        .workers = workers, .rules = rules, .n_rules = 3, .engine = slu_faulty_init(&faulty, &slu_engine_memory) });
}

static void fail_state(enum slu_fault fault, enum slu_err err)
{
    slu_faulty_set(&faulty, SLU_FAULTY_STATE, fault, 0, err);
}

Test(durable_store, an_ack_is_answered_when_it_is_kept)
{
    for (unsigned n = 1; n <= 2; n++) {
        struct bench *b = open_faulty(n);
        struct peer *r = someone(b, 0), *w = someone(b, n - 1);
        peer_sub(r, 1, "a", .sub = 1, .durable = "me");
        publish_n(w, "a", 1, 3);
        peer_skip(r);
        bench_advance(b, 100);
        struct slu_pos pos = at(b, "a", 1);
        fail_state(SLU_FAULT_HOLD, 0);
        peer_ack(r, 2, 1, "a", pos, false);
        bench_advance(b, 1000);
        pos.offset = 2;
        peer_ack(r, 3, 1, "a", pos, false);
        peer_quiet(r);
        slu_faulty_release(&faulty);
        peer_expect(r, "ok 2", "ok 3");
        peer_ack(r, 4, 1, "a", pos, false); /* nothing new */
        peer_expect(r, "ok 4");
        bench_free(b);
        slu_faulty_fini(&faulty);
    }
}

Test(durable_store, acks_that_nobody_waits_for_are_written_together)
{
    struct bench *b = open_faulty(1);
    struct peer *r = someone(b, 0), *w = someone(b, 0);
    peer_sub(r, 1, "a", .sub = 1, .durable = "me");
    publish_n(w, "a", 1, 50);
    struct slu_pos pos = at(b, "a", 1);
    bench_advance(b, 100);
    unsigned calls = slu_faulty_calls(&faulty, SLU_FAULTY_STATE);
    for (pos.offset = 1; pos.offset <= 40; pos.offset++) {
        peer_ack(r, 0, 1, "a", pos, false);
        bench_advance(b, 5);
    }
    bench_advance(b, 60);
    cr_assert(slu_faulty_calls(&faulty, SLU_FAULTY_STATE) - calls <= 6);
    peer_cut(r);
    r = someone(b, 0);
    peer_sub(r, 1, "a", .sub = 1, .durable = "me");
    cr_assert(peer_count(r, "msg") == 10);
    bench_free(b);
    slu_faulty_fini(&faulty);
}

Test(durable_store, an_ack_that_could_not_be_kept_is_told_and_tried_again)
{
    static const enum slu_fault faults[] = { SLU_FAULT_FAIL, SLU_FAULT_LOSE };
    for (unsigned i = 0; i < 2; i++) {
        struct bench *b = open_faulty(1);
        struct peer *r = someone(b, 0), *w = someone(b, 0);
        peer_sub(r, 1, "a", .sub = 1, .durable = "me");
        publish_n(w, "a", 1, 3);
        peer_skip(r);
        bench_advance(b, 100);
        fail_state(faults[i], SLU_EUNAVAILABLE);
        struct slu_pos pos = at(b, "a", 2);
        peer_ack(r, 2, 1, "a", pos, true);
        peer_expect(r, "err 2 unavailable");
        unsigned calls = slu_faulty_calls(&faulty, SLU_FAULTY_STATE);
        bench_advance(b, 600);
        cr_assert(slu_faulty_calls(&faulty, SLU_FAULTY_STATE) == calls + 1);
        peer_ack(r, 3, 1, "a", pos, true);
        peer_expect(r, "ok 3");
        peer_cut(r);
        r = someone(b, 0);
        peer_sub(r, 1, "a", .sub = 1, .durable = "me");
        peer_expect(r, "ok 1 *", "msg a 3 *");
        bench_free(b);
        slu_faulty_fini(&faulty);
    }
}

Test(durable_store, a_name_that_was_taken_over_elsewhere_is_found_out_by_writing)
{
    struct bench *b = open_faulty(1);
    struct peer *r = someone(b, 0), *w = someone(b, 0);
    peer_sub(r, 1, "a", .sub = 1, .durable = "me");
    publish_n(w, "a", 1, 1);
    peer_skip(r);
    struct slu_pos pos = at(b, "a", 1);
    bench_advance(b, 100);
    fail_state(SLU_FAULT_FAIL, SLU_EEXPECT_FAILED);
    peer_ack(r, 2, 1, "a", pos, true);
    peer_expect(r, "err 2 unavailable", "end 1 sub_exists");
    publish_n(w, "a", 2, 2);
    peer_quiet(r);
    bench_free(b);
    slu_faulty_fini(&faulty);
}

Test(durable_store, without_the_store_there_is_no_ok)
{
    for (unsigned nth = 0; nth < 2; nth++) {
        struct bench *b = open_faulty(2);
        struct peer *r = someone(b, 1), *w = someone(b, 0);
        unsigned calls = slu_faulty_calls(&faulty, SLU_FAULTY_STATE);
        slu_faulty_set(&faulty, SLU_FAULTY_STATE, SLU_FAULT_FAIL, calls + 1 + nth, SLU_EUNAVAILABLE);
        peer_sub(r, 1, "a", .sub = 1, .durable = "me");
        peer_expect(r, "err 1 unavailable");
        publish_n(w, "a", 1, 1);
        peer_quiet(r);
        peer_sub(r, 2, "a", .sub = 1, .durable = "me");
        peer_expect(r, "ok 2 *");
        bench_free(b);
        slu_faulty_fini(&faulty);
    }
}

/* Held, then the connection goes, the name is taken, or the broker ends. */
Test(durable_store, whoever_goes_while_the_store_is_slow_leaves_no_trouble)
{
    for (unsigned nth = 0; nth < 4; nth++)
        for (unsigned how = 0; how < 4; how++) {
            struct bench *b = open_faulty(2);
            struct peer *r = someone(b, 1), *w = someone(b, 0);
            unsigned calls = slu_faulty_calls(&faulty, SLU_FAULTY_STATE);
            slu_faulty_set(&faulty, SLU_FAULTY_STATE, SLU_FAULT_HOLD, calls + 1 + nth, 0);
            peer_sub(r, 1, "a", .sub = 1, .durable = "me");
            publish_n(w, "a", 1, 3);
            peer_ack(r, 2, 1, "a", at(b, "a", 1), true);
            bench_advance(b, 100);
            peer_ack(r, 3, 1, "a", at(b, "a", 2), true);
            bench_advance(b, 100);
            if (how == 0)
                peer_cut(r);
            else if (how == 1)
                peer_unsub(r, 4, 1, NULL);
            else if (how == 2)
                peer_sub(w, 1, "a", .sub = 1, .durable = "me");
            bench_settle(b);
            if (how != 3) {
                slu_faulty_release(&faulty);
                bench_advance(b, 1000);
                peer_answered(r);
                peer_answered(w);
            }
            bench_free(b);
            slu_faulty_fini(&faulty);
        }
}

Test(durable_store, a_failed_allocation_costs_one_request_at_most, .timeout = 60)
{
    unsigned hits = 0;
    for (unsigned nth = 1; nth < 150; nth++) {
        struct bench *b = open_bench(1 + nth % 2);
        struct peer *r = someone(b, 1), *w = someone(b, 0);
        struct slu_pos pos = at(b, "a", 1);
        faulty_alloc_arm(nth);
        peer_sub(r, 1, "a", .sub = 1, .durable = "me");
        bench_settle(b);
        peer_pub(w, 2, "a", "1");
        bench_settle(b);
        peer_ack(r, 3, 1, "a", pos, false);
        bench_advance(b, 2000);
        peer_pub(w, 4, "a", "2");
        bench_settle(b);
        bool hit = faulty_alloc_disarm();
        hits += hit;
        bench_settle(b);
        peer_answered(r);
        peer_answered(w);
        peer_cut(r);
        r = someone(b, 0);
        peer_sub(r, 1, "a", .sub = 1, .durable = "me", .from = SLU_FROM_FIRST);
        bench_advance(b, 1000);
        if (!hit)
            peer_expect(r, "ok 1 *", "msg a 2 @2 sub=1");
        bench_free(b);
    }
    cr_assert(hits > 25, "%u", hits);
}
