/* Publishers that wait for the answer to each message, with so many on the way. */
#pragma once

#include "clients/cli/hist.h"
#include "tests/bench/log_conn.h"

struct log_publish {
    const char *prefix, *ack; /* of topics: prefix/00000; ack: NULL = the topic's default */
    size_t conns, window, topics, size;
    double rate;    /* messages a second; 0 = as fast as they are answered */
    uint64_t count; /* in all; 0 = no end */
};

struct log_publisher;

struct log_publishers {
    struct log_publish want;
    struct log_loop *loop;
    struct log_publisher *all;
    uint8_t *frame; /* a message ready to send; only the digits of id and topic change */
    size_t frame_len, id_at, topic_at, next;
    uint64_t began_ns, published, acked;
    bool is_stopped;   /* nothing new, only answers */
    bool is_measuring; /* latency is noted */
    struct cli_hist latency;
};

/* Connects them all; call _fini in any case. */
bool log_publishers_init(struct log_publishers *p, const struct log_publish *want, struct log_loop *l);
void log_publishers_fini(struct log_publishers *p);
/* Before each turn of the loop: publishes what may go out now. False: a connection is lost. */
bool log_publishers_pump(struct log_publishers *p);
