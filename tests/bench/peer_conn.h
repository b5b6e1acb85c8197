/* One connection of bench_peer: comes in (waiting for answers), then reads and counts without waiting. */
#pragma once

#include "tests/bench/peer.h"

struct peer_setup;

struct peer_conn {
    int fd;
    uint8_t head[10]; /* an unfinished frame header */
    uint8_t head_len, opcode;
    bool is_last;             /* of a fragmented message */
    uint64_t body_left;       /* of the frame under way */
    uint64_t filling;         /* payload bytes that have arrived */
    struct peer_setup *setup; /* until it has come in */
};

/* The three steps of coming in. Each waits for the server's answer to the step before, so take many connections through
 * a step before the next: there are servers that answer ten times a second only. False: said on stderr; c is closed. */
bool peer_conn_connect(struct peer_conn *c, const struct peer *p, unsigned port, size_t index);
bool peer_conn_greet(struct peer_conn *c, const struct peer *p, const char *first, size_t first_len);
bool peer_conn_enter(struct peer_conn *c, const struct peer *p, const char *answer, size_t answer_len);

/* Takes in what is there and counts the payload bytes in it. False: the connection has ended. */
bool peer_conn_read(struct peer_conn *c);

/* The frame around a body of `len` bytes as this peer expects it from a client; returns the header's length (to 14). */
size_t peer_frame_head(const struct peer *p, size_t len, uint8_t out[14]);
