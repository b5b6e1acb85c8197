/* A connection to Sluice whose frames are looked at one by one, and the loop that such connections share. For loads on a
 * log: publishers that wait for each answer, a reader of what is stored, a probe. */
#pragma once

#include "tests/bench/peer_conn.h"

struct log_conn;
/* One text frame of the server. False ends the load. */
typedef bool log_frame_fn(struct log_conn *c, const char *text, size_t len);

struct log_loop {
    int epoll;
    unsigned port;
    uint64_t now_ns; /* of this turn */
    size_t n_lost;
    char error[200]; /* what the server said */
};

struct log_conn {
    struct peer_conn peer;
    struct log_loop *loop;
    log_frame_fn *on_frame;
    void *arg;
    uint8_t *in, *out;
    size_t in_len, out_len, out_sent, out_cap;
};

uint64_t log_now_ns(void);

bool log_loop_init(struct log_loop *l, unsigned port);
/* Takes in what has come, for at most wait_ms if nothing has. False: a connection is lost, or on_frame said so. */
bool log_loop_turn(struct log_loop *l, int wait_ms);

/* Connects and logs in; c is zeroed but for on_frame and arg. out_cap: the most that waits to be sent. */
bool log_conn_open(struct log_conn *c, struct log_loop *l, size_t index, size_t out_cap);
void log_conn_close(struct log_conn *c);
/* Room for a whole frame at the end of what is to be sent; the caller fills it. NULL: there is none. */
uint8_t *log_conn_add(struct log_conn *c, size_t len);
/* A text frame around it. */
bool log_conn_say(struct log_conn *c, const char *text);
bool log_conn_flush(struct log_conn *c);

/* True when text begins with it. */
bool log_begins(const char *text, size_t len, const char *with);
/* The number that stands behind `with`, where text begins with that. */
bool log_number_after(const char *text, size_t len, const char *with, uint64_t *n);
/* Keeps what the server said, for the report; false, for on_frame to return. */
bool log_refuse(struct log_loop *l, const char *text, size_t len);
