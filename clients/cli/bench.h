/* `sluice bench`: what its parts share. */
#pragma once

#include "clients/cli/bench_proc.h"
#include "clients/cli/cli.h"
#include "clients/cli/hist.h"

struct bench_args {
    uint64_t subs, pubs, size, window, topics, idle, pid, stopped;
    double duration_s, warmup_s, rate;
    const char *output, *prefix, *ack;
};

enum bench_role { BENCH_READER, BENCH_STOPPED, BENCH_IDLE, BENCH_PUBLISHER };

struct bench;

enum { BENCH_STAMP_BYTES = 40 }; /* the part of a payload that is rewritten for each message */

struct bench_conn {
    struct bench *bench;
    sluice_client *client;
    enum bench_role role;
    uint32_t topic; /* index */
    bool ready, failed;
    uint64_t received;
};

struct bench_totals {
    uint64_t published, delivered, bytes;
};

struct bench {
    struct cli *cli;
    struct bench_args a;
    enum sluice_ack ack;
    struct bench_conn *conns;
    size_t n_conns, n_started, n_ready, n_failed, n_lost;
    size_t idle_end, readers_end; /* conns: idle ones, readers (stopped ones last), publishers */
    uint64_t *readers_of;         /* reading readers of each topic */
    char (*topics)[64];
    char *payload;
    char prefix[48];
    const char *bind_base; /* "127.0.0" where source addresses are spread, else NULL */
    bool sample_all, measuring, publishing;
    /* flow */
    uint64_t expected, delivered, bytes, published, answered, refused, gaps, lost, written_off;
    uint64_t next_topic, sequence, last_delivered;
    double started, last_progress;
    struct cli_hist *latency;
    char error[200];
};

struct bench_report {
    double seconds;
    struct bench_totals totals;
    uint64_t server_cpu_ns, client_cpu_ns, rss_before, rss_idle, rss_end;
    bool has_pid;
};

/* Connects all; false: too many failed (said). */
bool slu_bench_connect(struct bench *b, size_t end);
void slu_bench_free_conns(struct bench *b);
/* Publishes as much as window and rate allow now. */
void slu_bench_pump(struct bench *b);
void slu_bench_print(const struct bench *b, const struct bench_report *r);
uint64_t slu_bench_now_ns(void);
/* Runs the loop for a while, or until `until` says true; false when interrupted. */
bool slu_bench_run(struct bench *b, double seconds, bool (*until)(struct bench *b));
