/* The core's own structs: worker, session, subscription. Private to broker/core. Everything here belongs to one
 * worker's thread.
 *
 * Invariants that the files of this folder keep:
 * 1. A session is freed only at the end of a turn (reap), never while something may be walking over it.
 * 2. While a route's receivers are walked (deliver) nothing is added to or removed from the router: ending a session
 *    only marks it.
 * 3. A subscription gets nothing before its `ok`, and everything that its filter matches after it, in order: live, or
 *    by its replay, or announced as gap.
 * 4. seen[h] is the newest sequence of home h such that this worker has had every message of h up to it that any of
 *    its subscriptions matched. */
#pragma once

#include "broker/base/map.h"
#include "broker/core/event.h"
#include "broker/core/link.h"
#include "broker/core/pending.h"
#include "broker/core/router.h"
#include "broker/core/run.h"
#include "broker/core/session.h"
#include "broker/core/worker.h"
#include "protocol/adapter.h"

struct slu_rate;
struct slu_replay;
struct slu_group;
struct slu_member_state;
struct slu_durable;

enum slu_session_state {
    SLU_SESSION_LOGIN,   /* open, nobody yet: next OPEN (login), CLOSING */
    SLU_SESSION_OPEN,    /* next CLOSING */
    SLU_SESSION_CLOSING, /* bye is queued, what is queued goes out, then the link closes: next CLOSED */
    SLU_SESSION_CLOSED,  /* the link was told to close: waits for slu_session_gone */
    SLU_SESSION_GONE,    /* on the reap list */
};

/* What a subscription has beyond the plain ones; made when first needed. */
struct slu_sub_more {
    struct slu_sub *sub;
    struct slu_content_filter *content;
    bool no_echo, presence, conflate, by_key, has_credit, has_overflow;
    uint8_t overflow; /* enum slu_overflow */
    uint64_t credit;
    uint64_t interval_ms;    /* conflation: between two values of a key; 0 = as fast as the reader takes it */
    struct slu_timer window; /* conflation: the next key may go out again */
    struct slu_pending pending;
    bool has_pending_map;            /* pending is initialised */
    uint64_t lost;                   /* dropped and not yet announced */
    struct slu_replay *replay;       /* NULL = live on every home */
    struct slu_list blocked;         /* in session->blocked while it waits for room or credit */
    struct slu_member_state *member; /* of a work queue */
    struct slu_durable *durable;     /* it has a name and remembers what was acknowledged */
};

struct slu_sub {
    struct slu_session *session; /* NULL: the reader of a work queue */
    struct slu_group *group;     /* that work queue */
    struct slu_route *route;     /* NULL for a member of a work queue: its group reads */
    uint32_t index;
    bool plain;   /* the fast path: shared frames, no number */
    bool started; /* the ok is out */
    bool wild;
    bool cur_due;
    bool joined;           /* counts for presence */
    bool explicit_options; /* was asked for with options that make it not plain for good */
    uint64_t number;
    struct slu_list link;      /* session->subs */
    struct slu_list wild_link; /* worker->wild_subs */
    struct slu_sub_more *more;
};

struct slu_session {
    /* what a plain delivery touches: two cache lines */
    uint64_t stamp;   /* the delivery that last reached it: one copy for overlapping plain subscriptions */
    uint64_t counted; /* the delivery that last counted it as a reader */
    uint8_t state;    /* enum slu_session_state */
    bool is_dirty, read_off_queue, read_off_memory, read_off_flight, is_read_on, caught_up, conn_open;
    size_t lib_bytes;                /* written, still held by the library */
    size_t pending_bytes, pending_n; /* of all its subscriptions */
    struct slu_queue queue;
    struct slu_worker *worker;
    const struct slu_adapter *adapter;
    const struct slu_link_ops *ops;
    struct slu_link *link;
    void *conn;            /* the adapter's */
    struct slu_list dirty; /* worker->dirty, or self */
    struct slu_list stuck; /* worker->stuck: has output that the link does not take */
    struct slu_list all;   /* worker->sessions or worker->reap */
    struct slu_list subs;
    struct slu_list blocked;   /* slu_sub_more.blocked */
    struct slu_list publishes; /* under way */
    struct slu_list queries;   /* history, presence, requests under way */
    unsigned n_subs, n_ops, n_requests;
    struct slu_timer timer; /* login deadline, then signs of life, then the close deadline */
    uint64_t opened_ms, last_rx_ms, last_tx_ms, ping_sent_ms, stuck_ms;
    uint64_t serial; /* unique in the process: (worker, count) */
    uint64_t next_sub;
    enum slu_close close_code;
    const char *close_reason;
    struct slu_identity identity;
    struct slu_bytes name, bearer; /* own memory */
    struct slu_bytes address;
    char id[24]; /* connection id, text */
};

struct slu_worker {
    struct slu_broker *broker;
    unsigned index, homes;
    uint64_t now_ms, wall_ms;
    struct slu_mailbox mailbox;
    struct slu_mail *deferred, **deferred_tail; /* own posts: run at the end of this turn */
    struct slu_wheel wheel;
    struct slu_router *router;   /* filters -> struct slu_sub */
    struct slu_router *interest; /* filters -> other workers; NULL with one worker */
    struct slu_router *watchers; /* presence: filters -> workers that watch joins and leaves */
    struct slu_map requests;     /* reply tokens -> struct slu_request */
    struct slu_map groups;
    struct slu_list keeps;   /* struct slu_keep: what is remembered under a name */
    struct slu_map durables; /* struct slu_durable: those that hold their name */
    struct slu_map presence; /* graces of the topics that live here */
    struct slu_rate *rates;  /* NULL until a rule bounds a rate */
    struct slu_run runs[SLU_WIRES];
    struct slu_buf scratch; /* encoders write here */
    uint8_t *gather;        /* SLU_GATHER_BYTES */
    struct slu_list sessions, dirty, stuck, reap, wild_subs;
    unsigned n_sessions;
    uint64_t serial; /* deliveries */
    uint64_t next_session;
    uint64_t *seen;           /* invariant 4 */
    uint64_t *home_epochs;    /* of the homes' sequences, as far as known: for cursors */
    unsigned interest_waits;  /* changes of interest on their way to other workers */
    struct slu_list unplaced; /* interest for which there was no memory: these workers get everything */
    struct slu_timer tick;    /* each 100 ms while there is something to look after, at least each second */
    uint64_t last_second_ms;
    uint64_t counts[SLU_COUNTERS_N]; /* of this turn: what is counted for each frame or write; see slu_worker_count */
    uint64_t short_since_ms;         /* memory has been short since, and not plentiful meanwhile; 0 = it is not short */
    bool in_turn;                    /* mail was left over: no sleep */
    bool has_slowed;                 /* some session has read_off_memory */
};

enum { SLU_GATHER_BYTES = 256 * 1024, SLU_LAG_BATCH_BYTES = 16 * 1024 };

static inline const struct slu_settings *slu_worker_settings(const struct slu_worker *w)
{
    return slu_broker_settings(w->broker);
}

/* As slu_count, within a turn: the workers' threads do not fight over the counters' cache lines. */
static inline void slu_worker_count(struct slu_worker *w, enum slu_counter c, uint64_t n)
{
    w->counts[c] += n;
}
/* Runs the mail later in this turn, on this worker. */
void slu_worker_defer(struct slu_worker *w, struct slu_mail *m);
