/* The client object and the calls between its parts. One thread; nothing here is visible outside the library.
 *
 * Invariants
 *  1. User code runs between slu_enter and slu_leave only. What it frees is marked and reaped by the outermost leave.
 *  2. A connection is one pass through the phases; whatever ends it goes through slu_conn_lost, exactly once.
 *  3. Every accepted call with a completion has a pending entry; it leaves the table before its completion runs.
 *  4. Frames are queued in call order and go to the wire in one write a loop turn. */
#pragma once

#include "broker/base/json.h"
#include "broker/base/list.h"
#include "broker/base/map.h"
#include "broker/base/utf8.h"
#include "clients/c/include/sluice.h"
#include "clients/c/src/io.h"
#include "clients/c/src/outq.h"
#include "clients/c/src/handshake.h"
#include "clients/c/src/ws.h"

#include <ev.h>
#include <stdio.h>

/* idle -> tcp -> [tls] -> upgrade -> hello -> up -> closing -> idle; from each of them by loss to wait or idle. */
enum slu_phase {
    SLU_PH_IDLE, /* no connection wanted */
    SLU_PH_WAIT, /* timer runs until the next attempt */
    SLU_PH_TCP,  /* connect under way */
    SLU_PH_TLS,
    SLU_PH_UPGRADE, /* request sent, answer not complete */
    SLU_PH_HELLO,   /* login and subscriptions sent, no hello yet */
    SLU_PH_UP,
    SLU_PH_CLOSING /* the rest of the queue and CLOSE go out, then the peer's CLOSE is awaited */
};

enum slu_pending_kind {
    SLU_P_PUBLISH,
    SLU_P_REQUEST,
    SLU_P_PING,
    SLU_P_AUTH,
    SLU_P_HISTORY,
    SLU_P_PRESENCE,
    SLU_P_SUB,
    SLU_P_UNSUB
};

/* An answer that is awaited. Wire id: slot | turn << SLU_SLOT_BITS. */
struct slu_pending {
    struct slu_list link; /* in client.waiting by deadline, once sent (or made, where `overall`) */
    uint64_t id;          /* 0 = free slot */
    enum slu_pending_kind kind;
    bool sent, overall; /* overall: the time-out runs from the call, not from sending */
    uint32_t timeout_ms;
    double sent_at, deadline;
    sluice_result_fn *done;
    sluice_item_fn *item;
    sluice_member_fn *member;
    void *arg;
    uint32_t sub_slot; /* SUB, UNSUB */
    uint64_t sub_serial;
    struct slu_buf resend; /* the frame, where it may be sent again after a loss; else empty */
    uint32_t turn, next_free;
};

enum { SLU_SLOT_BITS = 20, SLU_SLOTS_MAX = 1 << SLU_SLOT_BITS, SLU_EPOCH_MAX = 64, SLU_CURSOR_MAX = 4096 };

struct slu_pos {
    bool set;
    uint8_t epoch_len;
    char epoch[SLU_EPOCH_MAX];
    uint64_t offset;
};

enum slu_sub_state {
    SLU_SUB_WAITING, /* not sent on this connection */
    SLU_SUB_SENT,
    SLU_SUB_LIVE,
    SLU_SUB_REFUSED, /* for a reason that can pass: sent again after a while */
    SLU_SUB_GONE     /* unsubscribed or ended; the slot waits for the ok to unsub */
};

/* The plain subscriptions to one exact topic. */
struct slu_filter {
    struct slu_map_node node;
    struct slu_list subs;
    size_t len;
    char topic[];
};

struct sluice_client_sub {
    struct slu_list link;     /* in client.plain_wild or entry->subs, where plain; else linked to itself */
    struct slu_list reap;     /* in client.dead_subs, once freed */
    struct slu_filter *entry; /* exact topics, where plain */
    sluice_client *client;
    struct sluice_sub_options o; /* strings are owned; from_* are the caller's, until a position was reached */
    char *filter;
    size_t filter_len;
    uint32_t slot;
    uint64_t serial; /* never reused: tells late answers from those for the slot's next tenant */
    enum slu_sub_state state;
    bool wild, plain, dedup, resuming, replaying, was_live, freed;
    /* where it stands */
    struct slu_pos pos, ok_pos,
        stage;          /* exact topics; ok_pos: what the ok said, taken over once the replay is surely done */
    char *cur, *ok_cur; /* wildcards */
    double staged_at;
    double last_replay;  /* when the ok or the last own copy of a replay came */
    struct slu_map seen; /* wildcards: newest position of each topic since the cursor before the last one */
    uint32_t generation;
};

struct sluice_client {
    /* configuration */
    struct sluice_client_options o; /* strings are owned */
    struct slu_url url;
    struct slu_tls *tls;
    /* loop */
    struct ev_loop *loop;
    bool own_loop, running;
    _Atomic bool stop;
    ev_io io_ev;
    ev_timer timer;      /* attempt, connect time-out, cut of a close: by phase */
    ev_timer expire_ev;  /* head of waiting */
    ev_timer alive_ev;   /* silence of the peer */
    ev_timer resub_ev;   /* refused subscriptions */
    ev_prepare flush_ev; /* never started: fed once a loop turn when there is something to send */
    ev_async stop_ev;
    unsigned depth; /* nesting of enter */
    bool doomed;    /* freed by the caller inside a callback */
    /* connection */
    enum slu_phase phase;
    enum sluice_state state;
    struct slu_io io;
    struct slu_ws_rx rx;
    struct slu_buf in;   /* bytes of an unfinished frame or handshake */
    size_t in_need;      /* bytes of `in` that make it whole, as far as known */
    struct slu_buf wire; /* masked bytes not yet taken by the kernel */
    size_t wire_head;
    uint32_t serial; /* counts connections: tells a reader that its connection went */
    bool paused;     /* by the caller: nothing is read */
    bool reading;    /* in and rx are in use further up the stack */
    bool flush_fed, ever_connected, want_room, close_sent, disconnecting;
    bool pong_due; /* only the newest PING is answered */
    uint8_t pong[SLU_WS_CONTROL_MAX], pong_len;
    char ws_key[SLU_HANDSHAKE_KEY_LEN + 1];
    uint32_t attempt;
    double up_since, last_rx;
    double ping_s; /* the broker's promise: silence of twice that means a dead connection; 0 = unknown */
    /* bye, kept for the close that follows */
    bool bye_seen, bye_retry;
    uint32_t bye_after_ms;
    int bye_close;
    struct slu_buf bye_text, bye_code;
    /* sending */
    struct slu_outq outq, urgent; /* urgent goes first: the subscriptions of a new connection */
    struct slu_outq *tx_to;       /* where frames are put together: outq but for those */
    uint8_t masks[1024];
    size_t masks_used;
    /* answers */
    struct slu_pending **pending;                  /* by slot */
    uint32_t n_pending, cap_pending, free_pending; /* slots made, room for; first free slot + 1 */
    struct slu_list waiting;
    /* subscriptions */
    sluice_client_sub **subs; /* by slot; wire number = slot + 1 */
    uint32_t n_subs;
    uint64_t sub_serial;
    struct slu_map exact; /* struct slu_filter by topic: plain subscriptions without wildcard */
    struct slu_list plain_wild, dead_subs;
    /* decoding */
    struct slu_buf scratch;
};

/* ---- life ---- */
void slu_enter(sluice_client *c);
/* May free c. */
void slu_leave(sluice_client *c);
/* True when the caller's code made the client unusable: stop what you are doing. */
static inline bool slu_is_over(const sluice_client *c)
{
    return c->doomed;
}

/* ---- connection ---- */
void slu_conn_init(sluice_client *c);
void slu_conn_start(sluice_client *c);
/* The connection is over: code 1006 where the peer said nothing. Decides what comes next. */
void slu_conn_lost(sluice_client *c, int code, enum sluice_status status, const char *text);
/* Frees the descriptor and stops the watchers of the connection. */
void slu_conn_drop(sluice_client *c);
/* The handshake is through: login and subscriptions go out. */
void slu_conn_upgraded(sluice_client *c);
/* ping_s: what hello promised; 0 = nothing. */
void slu_conn_hello(sluice_client *c, const struct sluice_state_event *e, double ping_s);
/* Forgets the bytes of a connection that went while they were being read. */
void slu_conn_forget_input(sluice_client *c);
void slu_conn_set_state(sluice_client *c, const struct sluice_state_event *e);
void slu_conn_disconnect(sluice_client *c);
/* A protocol violation of the peer: says so with a CLOSE, then lost. */
void slu_conn_violation(sluice_client *c, int code, const char *text);

/* ---- sending ---- */
/* EAGAIN where `need` more bytes do not fit now. */
enum sluice_status slu_tx_admit(sluice_client *c, size_t need, bool only_connected);
void slu_tx_schedule(sluice_client *c);
void slu_tx_flush(sluice_client *c);
/* Sets the events that are waited for on the established connection. */
void slu_tx_watch(sluice_client *c, bool write);
/* Appends one masked frame to the wire buffer; false when memory ran out. */
bool slu_tx_frame(sluice_client *c, enum slu_ws_op op, struct slu_bytes payload);
/* A bound frame is put together in the queue; the caller ends it with slu_tx_end. */
struct slu_buf *slu_tx_begin(sluice_client *c, const char *op);
enum sluice_status slu_tx_end(sluice_client *c, uint64_t id, uint32_t flags);

/* ---- receiving ---- */
void slu_rx_readable(sluice_client *c);
/* One whole message of the peer. */
void slu_rx_message(sluice_client *c, const struct slu_ws_message *m);
void slu_rx_text(sluice_client *c, struct slu_bytes text);

/* ---- answers ---- */
void slu_pending_init(sluice_client *c);
/* NULL when memory or slots ran out. */
struct slu_pending *slu_pending_new(sluice_client *c, enum slu_pending_kind kind, sluice_result_fn *done, void *arg);
struct slu_pending *slu_pending_get(sluice_client *c, uint64_t id);
void slu_pending_drop(sluice_client *c, struct slu_pending *p);
void slu_pending_sent(sluice_client *c, uint64_t id);
/* Starts the clock before it is sent. */
void slu_pending_overall(sluice_client *c, struct slu_pending *p, uint32_t timeout_ms);
/* Takes p out of the table and runs its completion. */
void slu_pending_complete(sluice_client *c, struct slu_pending *p, struct sluice_result *r);
void slu_pending_fail(sluice_client *c, struct slu_pending *p, enum sluice_status status);
/* The connection went: what was sent is unknown or sent again; what belongs to the connection is dropped. */
void slu_pending_lost(sluice_client *c);
void slu_pending_fail_all(sluice_client *c, enum sluice_status status);
void slu_pending_fini(sluice_client *c);

/* ---- subscriptions ---- */
void slu_subs_init(sluice_client *c);
void slu_subs_fini(sluice_client *c);
void slu_subs_send_all(sluice_client *c);
void slu_subs_lost(sluice_client *c);
void slu_subs_reap(sluice_client *c);
void slu_subs_retry(sluice_client *c); /* those refused for a reason that can pass */
sluice_client_sub *slu_sub_get(sluice_client *c, uint64_t number);
/* serial: of the subscription that asked. cur.data NULL = none. */
void slu_sub_answer(sluice_client *c, uint32_t slot, uint64_t serial, const struct sluice_result *r,
                    struct slu_bytes cur);
void slu_sub_unsub_done(sluice_client *c, uint32_t slot);
void slu_sub_message(sluice_client *c, struct sluice_message *m, uint64_t number, bool has_number);
void slu_sub_gap(sluice_client *c, const struct sluice_gap *g, uint64_t number);
void slu_sub_cur(sluice_client *c, uint64_t number, struct slu_bytes cur);
void slu_sub_presence(sluice_client *c, const struct sluice_member *who);
void slu_sub_end(sluice_client *c, uint64_t number, const struct sluice_error *why);

/* ---- positions of a subscription ---- */
void slu_seen_init(sluice_client_sub *s);
/* Whether s goes on from a position rather than from where its caller began. */
static inline bool slu_seen_any(const sluice_client_sub *s)
{
    return s->pos.set || s->cur;
}
void slu_seen_fini(sluice_client_sub *s);
void slu_seen_clear(sluice_client_sub *s);
/* False when this position was handed out before. Notes it otherwise. */
bool slu_seen_first_time(sluice_client_sub *s, const struct sluice_message *m);
/* Whether a copy without `sub` is meant for s, which is perhaps still replaying (then its own copy comes too): TAKE when
 * it follows what s has; UNNOTED when nobody can know: hand it out, but do not move the position. */
enum slu_plain { SLU_PLAIN_SKIP, SLU_PLAIN_TAKE, SLU_PLAIN_UNNOTED };
enum slu_plain slu_seen_plain(sluice_client_sub *s, const struct sluice_message *m);
void slu_seen_cursor(sluice_client_sub *s, struct slu_bytes cur);
/* Takes over what the ok said where nothing better came since. */
void slu_seen_settle(sluice_client_sub *s, double now);
bool slu_pos_set(struct slu_pos *p, struct sluice_span epoch, uint64_t offset);
static inline bool slu_pos_same_epoch(const struct slu_pos *p, struct sluice_span epoch)
{
    return p->set && p->epoch_len == epoch.len && memcmp(p->epoch, epoch.data, epoch.len) == 0;
}

/* ---- small helpers ---- */
static inline struct sluice_span slu_span(struct slu_bytes b)
{
    return (struct sluice_span){ (const char *)b.data, b.len };
}
static inline struct slu_bytes slu_span_bytes(struct sluice_span s)
{
    return slu_bytes(s.data, s.len);
}
static inline struct sluice_span slu_span_str(const char *s)
{
    return (struct sluice_span){ s, s ? strlen(s) : 0 };
}
/* `,"name":` */
void slu_put_name(struct slu_buf *b, const char *name);
void slu_put_str(struct slu_buf *b, const char *name, const char *value); /* nothing when value is NULL */
void slu_put_u64(struct slu_buf *b, const char *name, uint64_t value);
void slu_put_bytes_str(struct slu_buf *b, const char *name, struct slu_bytes value);
void slu_put_json(struct slu_buf *b, const char *name, struct slu_bytes json);
void slu_put_headers(struct slu_buf *b, const struct sluice_header *h, size_t n);
/* `,"data":…` or `,"data64":…` as the kind says; false when JSON is not valid. */
bool slu_put_data(struct slu_buf *b, enum sluice_kind kind, struct slu_bytes data);
bool slu_put_from(struct slu_buf *b, enum sluice_from from, uint32_t n, int64_t time_ms, uint64_t offset,
                  const char *epoch, const char *cursor);
bool slu_json_valid(const char *text, bool object);
