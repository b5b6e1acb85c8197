/* What the loads of bench_log share: what was asked for, and what the server and its store took meanwhile. */
#pragma once

#include "tests/bench/log_publish.h"

struct log_args {
    struct log_publish publish;
    unsigned port;
    long pid;            /* the server's */
    const char *commits; /* the -shm file beside the server's database: transactions are counted there */
    uint64_t count;      /* messages: to publish, or that are stored and replayed */
    double duration_s, warmup_s, live_rate, every_s; /* every: a replay begins so often at most */
    uint64_t interval_us;
};

struct log_cost {
    uint64_t at_ns, cpu_ns, own_ns, commits;
};

struct log_cost log_cost_now(const struct log_args *a);
struct log_cost log_cost_since(const struct log_args *a, const struct log_cost *then);
/* The members that all loads print: seconds, processor time, mishaps; without the braces. */
void log_cost_print(const struct log_cost *spent, uint64_t messages, const struct log_loop *l);

/* One load each: prints a JSON object; the exit code. */
int log_publish_load(const struct log_args *a);
int log_replay_load(const struct log_args *a);
int log_probe_load(const struct log_args *a);
