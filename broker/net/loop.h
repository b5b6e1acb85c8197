/* One worker's thread: libev loop, lws_context, listeners and connections. Everything in a loop is touched by its own
 * thread only, once the threads run; others reach it through slu_worker_post. */
#pragma once

#include "broker/base/list.h"
#include "broker/core/worker.h"
#include "broker/net/address.h"
#include "broker/net/files.h"
#include "broker/net/gate.h"
#include "broker/net/net.h"

#include <ev.h>
#include <libwebsockets.h>
#include <pthread.h>
#include <stdatomic.h>

struct slu_tls_pair;

/* What a reload replaces, immutable and shared by the loops. Each loop changes over by mail. */
struct slu_view {
    atomic_uint refs;
    struct slu_net_settings settings;
    struct slu_files *files;   /* NULL = none */
    struct slu_tls_pair *pair; /* NULL = no TLS */
};

void slu_view_unref(struct slu_view *v);

struct slu_listener {
    struct slu_list link; /* in loop.listeners */
    struct slu_loop *loop;
    ev_io io;
    ev_timer pause;
    int fd;
    bool is_unix;
    enum slu_net_side side;
    bool tls, proxy_protocol;
};

struct slu_loop {
    struct slu_net *net;
    unsigned index;
    struct ev_loop *ev;
    ev_prepare before;
    ev_check after;
    ev_async wake;
    ev_timer sleep;
    ev_idle spin; /* active while the loop must not sleep */
    struct slu_worker *worker;
    struct lws_context *context;
    struct lws_vhost *vhost;
    void *ssl_ctx; /* SSL_CTX of the vhost, NULL without TLS */
    struct slu_view *view;
    struct slu_list listeners;
    struct slu_list links;     /* all connections of this loop */
    struct slu_list reading;   /* see slu_link_settle_reading */
    struct slu_link *adopting; /* while lws_adopt… runs */
    int reserve_fd;            /* given up for a moment when descriptors run out */
    uint64_t now_ms, sleep_until_ms;
    uint32_t round;   /* counts loop iterations */
    unsigned merged;  /* iterations that this turn has taken in */
    uint32_t events;  /* callbacks that did something, since spin_ms */
    uint64_t spin_ms; /* when iterations were last looked at */
    bool in_turn, more_input, wants_kick, is_stopping;
    bool must_flush;        /* this turn ends now, whatever there is to read */
    struct slu_timer watch; /* set while some connection has bytes that the library holds */
    unsigned long_replies;  /* HTTP replies that did not go out at once */
    pthread_t thread;
    bool has_thread;
};

struct slu_net {
    struct slu_broker *broker;
    struct slu_gate *gate;
    struct lws_protocols *protocols;
    struct slu_view *view;
    struct slu_loop *loops;
    unsigned n_loops;
    unsigned header_bytes;
    bool echo;
    char *first_address[2]; /* by side */
    char **unix_paths;      /* socket files to take away at the end; NULL-terminated */
};

/* Context of one worker; all contexts come before the first vhost. */
bool slu_loop_init(struct slu_loop *l, struct slu_net *net, unsigned index);
bool slu_loop_make_vhost(struct slu_loop *l);
bool slu_loop_start(struct slu_loop *l);
/* Any thread: asks the loop to end; then join. */
void slu_loop_stop(struct slu_loop *l);
void slu_loop_join(struct slu_loop *l);
/* After every loop was joined. */
void slu_loop_end_worker(struct slu_loop *l);
/* After every worker has ended: until then they may wake each other. */
void slu_loop_fini(struct slu_loop *l);

/* Inside callbacks that may come outside of a turn. */
void slu_loop_turn_begin(struct slu_loop *l);
/* lws acts on a kill only after its next event: makes one at the end of this turn. */
static inline void slu_loop_kick(struct slu_loop *l)
{
    l->wants_kick = true;
}

/* Looks after stuck connections a little later. */
void slu_loop_watch(struct slu_loop *l);

/* Runs fn(loop, arg) on the loop's thread; false when memory ran out. */
bool slu_loop_post(struct slu_loop *l, void (*fn)(struct slu_loop *l, void *arg), void *arg);
