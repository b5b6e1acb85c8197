/* Memory: what sessions take comes back, budgets hold, and any single failed allocation costs one request at most. */
#include "broker/core/account.h"
#include "tests/support/core_bench.h"
#include "tests/support/faulty_alloc.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static const struct slu_rule rules[] = {
    { .filter = SLU_LIT("#"), .log = SLU_LOG_MEMORY, .max_count = 20, .last_value = true, .presence = true },
    { .filter = SLU_LIT("nolog/#"), .log = SLU_LOG_NONE },
};

static void small(struct slu_settings *s)
{
    s->queue_bytes = 8192;
    s->queue_messages = 100;
}

static struct bench *open_bench(unsigned workers)
{
    return bench_new_with(&(struct bench_options){ .workers = workers, .rules = rules, .n_rules = 2, .set = small });
}

static const struct slu_pos none;

/* A bit of everything; `stop`: readers that do not read. */
static void everything(struct bench *b, bool stop)
{
    struct peer *p[4];
    for (unsigned i = 0; i < 4; i++)
        p[i] = (i == 3 ? peer_open_other : peer_open)(b, i % b->n, i % 2 ? "" : "eve");
    bench_settle(b);
    for (unsigned i = 0; i < 4; i++) {
        peer_sub(p[i], 1, "nolog/a", .presence = true);
        peer_sub(p[i], 2, "nolog/#", .overflow = SLU_OVERFLOW_DROP_OLDEST);
        peer_sub(p[i], 3, "#", .conflate = true, .hz = 5, .from = SLU_FROM_LATEST);
        peer_sub(p[i], 4, "a/+", .credit = 3, .from = SLU_FROM_FIRST);
        peer_sub(p[i], 5, "a/1", .group = "g", .ack = true, .from = SLU_FROM_FIRST);
        peer_sub(p[i], 6, "nolog/q");
        peer_sub(p[i], 22, "a/#", .sub = 77, .durable = i % 2 ? "d" : "e", .from = SLU_FROM_FIRST);
    }
    bench_settle(b);
    for (unsigned i = 0; i < 4 && stop; i++)
        peer_stop(p[i]);
    for (unsigned i = 0; i < 40; i++) {
        peer_pub(p[i % 4], 10, i % 3 ? "a/1" : "a/2", "logged", .pad = i * 10, .retain = i == 7, .key = "k");
        peer_pub(p[i % 4], 11, "nolog/a", "passing", .pad = 100);
        if (i % 10 == 0)
            bench_settle(b);
    }
    peer_pub(p[0], 12, "nolog/kept", "x", .retain = true);
    peer_pub(p[0], 13, "nolog/kept", NULL, .clear = true);
    peer_pub(p[1], 14, "a/1", "once", .dedup = "d");
    peer_pub(p[2], 15, "a/1", "once", .dedup = "d");
    peer_req(p[0], 16, "nolog/q", "?", 100);
    peer_req(p[1], 17, "nobody", "?", 100);
    peer_history(p[2], 18, "a/1", SLU_FROM_FIRST, 0, none, 0, false);
    peer_presence(p[3], 19, "nolog/a", 0, NULL);
    peer_flow(p[0], 0, 4, 5);
    for (unsigned i = 0; i < 4; i++)
        peer_ack(p[i], 23, 77, "a/1", (struct slu_pos){ 1, 5 }, true);
    peer_unsub(p[1], 20, 0, "a/+");
    peer_unsub(p[1], 21, 0, "a/1");
    bench_advance(b, 700);
    for (unsigned i = 0; i < 4; i++)
        peer_go(p[i]);
    bench_advance(b, 1500);
    for (unsigned i = 0; i < 4; i++)
        peer_answered(p[i]);
}

static void cut_all(struct bench *b)
{
    for (struct peer *p = b->peers; p; p = p->next)
        peer_cut(p);
    bench_settle(b);
}

Test(memory, what_sessions_take_comes_back)
{
    for (unsigned n = 1; n <= 3; n++)
        for (unsigned stop = 0; stop <= 1; stop++) {
            struct bench *b = open_bench(n);
            size_t after = 0;
            for (unsigned round = 0; round < 6; round++) {
                everything(b, stop);
                cut_all(b);
                bench_advance(b, 400000);
                /* what stays is the log, its kept values and each worker's run */
                if (round == 2)
                    after = bench_used(b);
            }
            cr_assert(bench_used(b) <= after + 8192 && bench_used(b) + 8192 >= after, "%zu, then %zu", after,
                      bench_used(b));
            bench_free(b);
        }
}

Test(memory, a_connection_with_plain_subscriptions_gives_all_back)
{
    struct bench *b = open_bench(2);
    peer_cut(peer_open(b, 0, ""));
    bench_settle(b);
    size_t before = bench_used(b);
    struct peer *p = peer_open(b, 0, "");
    char topic[32];
    for (unsigned i = 0; i < 500; i++) {
        snprintf(topic, sizeof(topic), i % 2 ? "x/%u" : "x/%u/#", i);
        peer_sub(p, 1, topic);
    }
    bench_settle(b);
    cr_assert(bench_used(b) > before);
    peer_cut(p);
    bench_settle(b);
    cr_assert(bench_used(b) == before, "%zu, then %zu", before, bench_used(b));
    bench_free(b);
}

Test(memory, a_stopped_reader_takes_no_more_than_its_bound)
{
    static const enum slu_overflow policies[] = { SLU_OVERFLOW_DEFAULT, SLU_OVERFLOW_CONFLATE,
                                                  SLU_OVERFLOW_DROP_OLDEST };
    for (unsigned i = 0; i < 3; i++) {
        struct bench *b = open_bench(1);
        struct peer *w = peer_open(b, 0, ""), *r[20];
        for (unsigned k = 0; k < 20; k++) {
            r[k] = peer_open(b, 0, "");
            peer_sub(r[k], 0, "a", .overflow = policies[i]);
            peer_sub(r[k], 0, "a", .overflow = policies[i]);
            peer_skip(r[k]);
            peer_stop(r[k]);
        }
        size_t before = bench_used(b);
        for (unsigned k = 0; k < 3000; k++)
            peer_pub(w, 0, "a", "x", .pad = 500);
        bench_advance(b, 3000);
        cr_assert(bench_used(b) - before < 20 * (2 * 8192 + 4096) + 4 * 65536 + 20 * 800, "%zu",
                  bench_used(b) - before);
        bench_free(b);
    }
}

/* --- the budget --------------------------------------------------------------------------------------------------- */

static void little(struct slu_settings *s)
{
    s->memory_budget = 3 << 20;
}

Test(memory, publishers_are_slowed_and_told_and_then_go_on)
{
    struct bench *b = bench_new_with(&(struct bench_options){ .set = little });
    struct peer *w = peer_open(b, 0, "");
    peer_skip(w);
    size_t filler = (3 << 20) - bench_used(b) - 100000;
    slu_account_add(slu_broker_account(b->broker), filler);
    peer_pub(w, 1, "a", "x");
    bench_settle(b);
    cr_assert(!w->is_read_on);
    cr_assert(peer_count(w, "err unavailable") == 1);
    slu_account_sub(slu_broker_account(b->broker), filler);
    bench_advance(b, 200);
    cr_assert(w->is_read_on);
    bench_free(b);
}

Test(memory, over_the_budget_the_slowest_reader_goes_and_nobody_else)
{
    struct bench *b = bench_new_with(&(struct bench_options){ .set = little });
    struct peer *w = peer_open(b, 0, ""), *slow = peer_open(b, 0, ""), *fast = peer_open(b, 0, "");
    peer_sub(slow, 0, "a");
    peer_sub(fast, 0, "a");
    bench_settle(b);
    peer_stop(slow);
    for (unsigned i = 0; i < 10; i++)
        peer_pub(w, 0, "a", "x", .pad = 10000);
    size_t filler = (3 << 20);
    slu_account_add(slu_broker_account(b->broker), filler);
    bench_advance(b, 1000);
    slu_account_sub(slu_broker_account(b->broker), filler);
    peer_go(slow);
    bench_settle(b);
    cr_assert(slow->close_code == 4503, "%d", slow->close_code);
    cr_assert(fast->session && !fast->closed);
    bench_free(b);
}

Test(memory, readers_that_do_not_read_hold_publishers_up_for_a_moment_only)
{
    struct bench *b = bench_new_with(&(struct bench_options){ .set = little });
    struct peer *w = peer_open(b, 0, ""), *slow = peer_open(b, 0, ""), *fast = peer_open(b, 0, "");
    peer_sub(slow, 0, "a");
    peer_sub(fast, 0, "a");
    bench_settle(b);
    peer_stop(slow);
    for (unsigned i = 0; i < 10; i++)
        peer_pub(w, 0, "a", "x", .pad = 10000);
    /* Between the bound where publishers are slowed and the budget, and it does not get better by that. */
    size_t filler = (3 << 20) - bench_used(b) - 100000;
    slu_account_add(slu_broker_account(b->broker), filler);
    peer_pub(w, 1, "a", "x");
    bench_advance(b, 500);
    cr_assert(!w->is_read_on && slow->session && !slow->closed);
    bench_advance(b, 2000);
    slu_account_sub(slu_broker_account(b->broker), filler);
    peer_go(slow);
    bench_advance(b, 200);
    cr_assert(slow->close_code == 4503, "%d", slow->close_code);
    cr_assert(w->is_read_on && fast->session && !fast->closed);
    bench_free(b);
}

Test(memory, readers_that_stopped_on_the_same_topic_share_what_waits_for_them)
{
    struct bench *b = bench_new_with(&(struct bench_options){ 0 });
    struct peer *w = peer_open(b, 0, "");
    for (unsigned k = 0; k < 20; k++) {
        struct peer *r = peer_open(b, 0, "");
        peer_sub(r, 0, "a");
        peer_skip(r);
        peer_stop(r);
    }
    size_t before = bench_used(b);
    for (unsigned i = 0; i < 500; i++)
        peer_pub(w, 0, "a", "x", .pad = 1000);
    bench_advance(b, 3000);
    cr_assert(bench_used(b) - before < 2 << 20, "%zu", bench_used(b) - before);
    bench_free(b);
}

/* --- failing allocations ------------------------------------------------------------------------------------------ */

/* Every allocation on the way fails once: no crash, no leak, and the broker goes on serving. */
static void fail_each(unsigned workers, unsigned from, unsigned to)
{
    for (unsigned nth = from; nth <= to; nth++) {
        struct bench *b = open_bench(workers);
        struct peer *w = peer_open(b, 0, "");
        for (unsigned i = 0; i < 5; i++)
            peer_pub(w, 0, "a/1", "before");
        bench_settle(b);
        faulty_alloc_arm(nth);
        everything(b, nth % 2);
        bool failed = faulty_alloc_disarm();
        cut_all(b);
        struct peer *r = peer_open(b, 0, "");
        w = peer_open(b, workers - 1, "");
        peer_sub(r, 1, "after", .sub = 1);
        peer_expect(r, "hello *", "ok 1 *");
        peer_pub(w, 1, "after", "x");
        peer_expect(r, "msg after x @1");
        bench_free(b);
        if (!failed)
            return;
    }
}

Test(memory, any_failed_allocation_is_survived_one_worker, .timeout = 110)
{
    fail_each(1, 1, 5000);
}

Test(memory, any_failed_allocation_is_survived_two_workers, .timeout = 110)
{
    fail_each(2, 1, 5000);
}
