/* What the tests of durable subscriptions share: a bench with logs of several kinds, and somebody to talk to it. */
#pragma once

#include "tests/support/core_bench.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static const struct slu_rule rules[] = {
    { .filter = SLU_LIT("#"), .log = SLU_LOG_MEMORY, .last_value = true },
    { .filter = SLU_LIT("short/#"), .log = SLU_LOG_MEMORY, .max_count = 5 },
    { .filter = SLU_LIT("nolog/#"), .log = SLU_LOG_NONE },
};

static inline void small(struct slu_settings *s)
{
    s->unacked_max = 4;
    s->durable_expiry_ms = 3600000;
}

static inline struct bench *open_bench(unsigned workers)
{
    return bench_new_with(&(struct bench_options){ .workers = workers, .rules = rules, .n_rules = 3 });
}

static inline struct bench *open_small(unsigned workers)
{
    return bench_new_with(&(struct bench_options){ .workers = workers, .rules = rules, .n_rules = 3, .set = small });
}

static inline void publish_n(struct peer *p, const char *topic, unsigned first, unsigned last)
{
    char data[16];
    bench_settle(p->bench); /* whoever has subscribed is there */
    for (unsigned i = first; i <= last; i++) {
        snprintf(data, sizeof(data), "%u", i);
        peer_pub(p, 0, topic, data);
    }
    bench_settle(p->bench);
}

/* A message of the topic by its offset. */
static inline struct slu_pos at(struct bench *b, const char *topic, uint64_t offset)
{
    struct peer *p = peer_open(b, 0, "");
    peer_skip(p);
    peer_sub(p, 1, topic);
    bench_settle(b);
    struct slu_pos pos = line_pos(peer_line(p));
    peer_cut(p);
    pos.offset = offset;
    return pos;
}

static inline void ack(struct peer *p, uint64_t sub, const char *topic, uint64_t offset, bool upto)
{
    peer_ack(p, 0, sub, topic, at(p->bench, topic, offset), upto);
}

/* Logged in and greeted. */
static inline struct peer *someone(struct bench *b, unsigned worker)
{
    struct peer *p = peer_open(b, worker % b->n, "eve");
    peer_skip(p);
    return p;
}
