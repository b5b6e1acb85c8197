/* Pages of a topic's log, forwards and backwards. */
#include "tests/support/core_bench.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct bench *filled(unsigned workers, unsigned n, struct peer **p, struct slu_pos *pos)
{
    struct bench *b = bench_new(workers);
    *p = peer_open(b, 0, "");
    char data[16];
    peer_skip(*p);
    for (unsigned i = 1; i <= n; i++) {
        snprintf(data, sizeof(data), "%u", i);
        peer_pub(*p, 1, "a", data);
        bench_settle(b);
        *pos = line_pos(peer_line(*p));
    }
    return b;
}

static const struct slu_pos none;

Test(history, pages_in_both_directions)
{
    for (unsigned n = 1; n <= 4; n++) {
        struct peer *p;
        struct slu_pos pos;
        struct bench *b = filled(n, 7, &p, &pos);
        peer_history(p, 1, "a", SLU_FROM_NEW, 0, none, 3, false);
        peer_expect(p, "ok 1 items=1,2,3 next=3");
        pos.offset = 3;
        peer_history(p, 2, "a", SLU_FROM_OFFSET, 0, pos, 10, false);
        peer_expect(p, "ok 2 items=4,5,6,7");
        peer_history(p, 3, "a", SLU_FROM_NEW, 0, none, 3, true);
        peer_expect(p, "ok 3 items=7,6,5 next=5");
        pos.offset = 5;
        peer_history(p, 4, "a", SLU_FROM_OFFSET, 0, pos, 10, true);
        peer_expect(p, "ok 4 items=4,3,2,1");
        peer_history(p, 5, "a", SLU_FROM_LAST, 2, none, 0, false);
        peer_expect(p, "ok 5 items=6,7");
        peer_history(p, 6, "a", SLU_FROM_LATEST, 0, none, 0, false);
        peer_expect(p, "ok 6 items=7");
        peer_history(p, 7, "empty", SLU_FROM_NEW, 0, none, 0, false);
        peer_expect(p, "ok 7 items=");
        bench_free(b);
    }
}

Test(history, what_has_gone_is_gone)
{
    struct peer *p;
    struct slu_pos pos;
    struct bench *b = filled(2, 105, &p, &pos);
    pos.offset = 2;
    peer_history(p, 1, "a", SLU_FROM_OFFSET, 0, pos, 3, false);
    peer_expect(p, "err 1 history_gone");
    pos.offset = 100;
    pos.epoch++;
    peer_history(p, 2, "a", SLU_FROM_OFFSET, 0, pos, 3, false);
    peer_expect(p, "err 2 history_gone");
    bench_free(b);
}

Test(history, needs_a_topic_a_right_and_a_log)
{
    static const struct slu_rule rules[] = { { .filter = SLU_LIT("nolog"), .log = SLU_LOG_NONE } };
    struct bench *b = bench_new_with(&(struct bench_options){ .rules = rules, .n_rules = 1 });
    struct peer *p = peer_open(b, 0, "ro"), *q = peer_open(b, 0, "");
    peer_skip(p);
    peer_skip(q);
    peer_history(p, 1, "b", SLU_FROM_NEW, 0, none, 3, false);
    peer_history(p, 2, "a/+", SLU_FROM_NEW, 0, none, 3, false);
    peer_history(q, 3, "nolog", SLU_FROM_NEW, 0, none, 3, false);
    peer_expect(p, "err 1 topic_forbidden", "err 2 bad_topic");
    peer_expect(q, "err 3 unsupported");
    bench_free(b);
}
