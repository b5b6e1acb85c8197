/* Which workers want what: kept up by mail, and in force before the ok. */
#include "tests/support/core_bench.h"

#include "broker/core/interest.h"

#include <criterion/criterion.h>

static uint64_t wanted(struct bench *b, unsigned from, const char *topic)
{
    return slu_interest_match(b->workers[from], slu_str(topic));
}

Test(interest, names_the_other_workers_with_a_reader, .timeout = 5)
{
    struct bench *b = bench_new(3);
    struct peer *one = peer_open(b, 1, ""), *two = peer_open(b, 2, "");
    peer_sub(one, 1, "a/+");
    peer_sub(two, 1, "a/b");
    bench_settle(b);
    cr_assert(wanted(b, 0, "a/b") == 6);
    cr_assert(wanted(b, 0, "a/c") == 2);
    cr_assert(wanted(b, 1, "a/b") == 4, "never itself");
    cr_assert(wanted(b, 0, "b") == 0);
    bench_free(b);
}

Test(interest, lasts_until_the_last_reader_of_a_worker_goes, .timeout = 5)
{
    struct bench *b = bench_new(2);
    struct peer *one = peer_open(b, 1, ""), *two = peer_open(b, 1, "");
    peer_sub(one, 1, "a/#", .sub = 1);
    peer_sub(two, 1, "a/#", .sub = 1);
    bench_settle(b);
    peer_unsub(one, 2, 1, NULL);
    bench_settle(b);
    cr_assert(wanted(b, 0, "a/b") == 2);
    peer_cut(two);
    bench_settle(b);
    cr_assert(wanted(b, 0, "a/b") == 0);
    bench_free(b);
}

Test(interest, is_in_force_everywhere_before_the_ok, .timeout = 5)
{
    struct bench *b = bench_new(4);
    struct peer *p = peer_open(b, 3, "");
    peer_skip(p);
    peer_sub(p, 1, "x/+");
    for (unsigned turns = 0; turns < 100; turns++) {
        bench_turn(b, turns % b->n);
        const char *line = peer_line(p);
        if (!line)
            continue;
        cr_assert(wanted(b, 0, "x/y") == 8 && wanted(b, 1, "x/y") == 8 && wanted(b, 2, "x/y") == 8, "%s", line);
        bench_free(b);
        return;
    }
    cr_assert_fail("no ok came");
}
