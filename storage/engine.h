/* The storage contract: what keeps logs, retained and last values, and the state of named subscriptions, groups and
 * sessions. Three engines, one suite (tests/conformance/engine).
 *
 * Homes. Each topic has one home, a number below homes(). (A store may hold two engines; to the caller their homes are
 * numbered through, to an engine its own begin at 0, but for messages: those carry home_base + its own.) A home commits messages one after the other and numbers them
 * by `seq` (from 1, growing, gaps allowed between messages of one topic); readers and cursors go by (home, seq). Within
 * a topic and epoch, offsets are dense from 1.
 *
 * Requests. Every call takes a request struct that the caller allocates and that belongs to the engine until its `done`
 * runs: exactly once, on the worker `req.worker` that called, never inside the call. Calls never block. Inputs (bytes,
 * messages, rules) stay the caller's and must live until done; messages in results carry a reference each for the
 * caller. After close() every pending request ends with SLU_ECLOSED.
 *
 * The feed. After a message is committed the engine calls feed(msg) once, for each home in seq order, before the
 * append's done. Nothing that was refused or repeated (dedup) is fed. A position or seq that was fed is known to every
 * locate and scan that is asked for later: its reader may be back on another connection at once.
 *
 * Time comes from the caller (env.wall_ms): an engine reads no clock. Expired messages and those beyond a rule's age
 * are never returned; trimming may lag behind, but never shows. */
#pragma once

#include "broker/base/buf.h"
#include "broker/base/err.h"
#include "broker/base/mailbox.h"
#include "broker/core/message.h"
#include "broker/core/rules.h"

struct slu_engine_env {
    unsigned workers;
    unsigned home_base; /* msg->home of this engine's home 0 */
    const char *path;   /* folder for what outlives the process; NULL: none (engines that need one do not open) */
    void *arg;
    struct slu_account *account;
    /* Runs mail on that worker's thread, in order of posting; when called on that very worker: later, in this turn. */
    void (*post)(void *arg, unsigned worker, struct slu_mail *mail);
    /* The ordered delivery feed; borrowed message, already with position. On a worker's thread (its number) or, from
     * an engine's own thread, SLU_NO_WORKER; messages of a former append (found after a repair) only from there. */
    void (*feed)(void *arg, unsigned worker, struct slu_msg *msg);
    /* A retained value was set or, with NULL, removed; in order for each topic, on its home's thread. NULL: nobody asks.
     * So a store whose logs are in memory keeps retained values on disk all the same. */
    void (*retained)(void *retained_arg, struct slu_bytes topic, struct slu_msg *msg);
    void *retained_arg;
    uint64_t (*wall_ms)(void *arg); /* any thread */
    uint64_t epoch_seed;            /* a number that no earlier process used; memory logs derive epochs from it */
    uint64_t dedup_window_ms;
};
#define SLU_NO_WORKER (~0u)

struct slu_store_req {
    struct slu_mail mail; /* the engine's, to travel between threads */
    unsigned worker;      /* set by the caller: its own number */
    void (*done)(struct slu_store_req *req);
    enum slu_err err; /* valid in done */
    void *engine;     /* the engine's, while it has the request: its state */
    unsigned op;      /* the engine's too: which of its operations this is */
};

/* Append, and set or clear the retained value if msg says so. A rule without a log: only the retained value changes,
 * nothing is fed, pos and seq stay 0 (expect or dedup there: SLU_EUNSUPPORTED). */
struct slu_append {
    struct slu_store_req req;
    struct slu_msg *msg; /* gets pos, seq, home */
    const struct slu_rule *rule;
    bool has_expect; /* the topic's newest position must be this one (offset 0: the topic must be empty) */
    struct slu_pos expect;
    /* results */
    struct slu_pos pos; /* of this message, or of the first one with the same dedup key */
    bool duplicate;     /* by msg->dedup, within the window: not stored, not fed */
    uint32_t matched;   /* of the first one, when duplicate; SLU_MATCHED_OPEN: it is still under way, ask again */
};

enum slu_from {
    SLU_FROM_NEW,
    SLU_FROM_LATEST,
    SLU_FROM_FIRST,
    SLU_FROM_LAST,   /* the newest n of each topic */
    SLU_FROM_SINCE,  /* wall clock ms */
    SLU_FROM_OFFSET, /* after that position; one topic only */
    SLU_FROM_CUR,    /* after cur_seq of this home */
};

/* Turns a start into a place in the home's sequence. */
struct slu_locate {
    struct slu_store_req req;
    unsigned home;
    struct slu_bytes filter; /* exact or wildcard */
    enum slu_from from;
    uint64_t n;                  /* LAST: how many; SINCE: ms */
    struct slu_pos after;        /* OFFSET */
    uint64_t cur_epoch, cur_seq; /* CUR */
    /* results */
    uint64_t after_seq;   /* scan from here. LATEST, LAST on a wildcard, NEW: the head */
    bool recovered;       /* false: the place asked for is no longer there (epoch or trimmed), after_seq is the head */
    enum slu_err gone;    /* why not recovered: SLU_EHISTORY_GONE = trimmed, SLU_EEXPECT_FAILED = other epoch */
    uint64_t lost;        /* how many were trimmed, where known; 0 = unknown */
    struct slu_pos head;  /* newest position of an exact topic; offset 0: nothing yet (epoch is set all the same) */
    struct slu_pos first; /* oldest position still held, exact topic; offset 0 when empty */
    uint64_t head_seq;    /* newest of the home */
    uint64_t epoch;       /* of the home's sequence: goes into cursors */
};

/* Messages of one home whose topic matches, in seq order. May look at a bounded number of entries: an empty page
 * that is not at_head just means: go on from next_seq. */
struct slu_scan {
    struct slu_store_req req;
    unsigned home;
    struct slu_bytes filter;
    uint64_t after_seq;          /* exclusive. reverse: strictly before this one; UINT64_MAX = from the head */
    uint64_t min_ts_ms;          /* leave out older ones; 0 = none */
    bool reverse;                /* exact filters only: newest first */
    size_t max_items, max_bytes; /* at least one message is returned if there is one */
    /* results */
    struct slu_msg **msgs; /* malloc'ed, n references: the caller frees both */
    size_t n;
    uint64_t next_seq; /* go on after this one */
    bool at_head;     /* nothing committed at the home after next_seq when this page was made (reverse: at the start) */
    uint64_t lost;    /* of an exact topic: messages between after_seq and the first one here that trimming took */
    bool trimmed;     /* something that matches was lost between after_seq and next_seq; lost may be 0 = unknown */
    uint64_t expired; /* left out because their time to live ended */
};

/* The newest values of each matching topic of one home, topic by topic in byte order. */
struct slu_tail {
    struct slu_store_req req;
    unsigned home;
    struct slu_bytes filter;
    struct slu_bytes after_topic; /* exclusive; empty = from the start */
    uint64_t last;                /* the newest n of the log, oldest first; 1 with latest = true */
    bool latest;                  /* newest of log head, kept last value and retained message */
    uint64_t max_seq;             /* nothing committed later (those come by scan) */
    size_t max_items, max_bytes;
    /* results */
    struct slu_msg **msgs;
    bool *retained; /* for each: it is the topic's retained value. malloc'ed with msgs, both the caller's to free */
    size_t n;
    struct slu_bytes next_topic; /* malloc'ed; empty when this was the last page */
    /* A topic with more than max_items is cut at its oldest end and says so here. */
    uint64_t cut;
};

/* What the broker remembers under a name: the place of a durable subscription, the tasks of a work queue, a session. Who
 * works under the name claims it first; each claim is a new generation, and what an older one still wants to write is
 * refused, so that two never write in turns. Bytes are the core's affair. Done after the flush on durable engines. */
enum slu_state_op {
    SLU_STATE_CLAIM,  /* a new generation of this key: results generation, found. Makes the key when it is not there */
    SLU_STATE_PUT,    /* replaces the value, if generation is still the newest (else SLU_EEXPECT_FAILED) */
    SLU_STATE_DELETE, /* the key goes, on the same condition; a key that is not there is no error */
};

enum { SLU_STATE_KEY_MAX = 4096, SLU_STATE_VALUE_MAX = 4 << 20 };

struct slu_state {
    struct slu_store_req req;
    enum slu_state_op op;
    struct slu_bytes key;
    struct slu_bytes value; /* PUT */
    uint64_t expires_ms;    /* PUT: wall clock, after which the key is as if it never was; 0 = never */
    uint64_t generation;    /* PUT, DELETE: of the claim. CLAIM: result; grows with each claim of that key, also after
                             * a DELETE or restart */
    struct slu_bytes found; /* CLAIM, result: the value; malloc'ed, the caller's to free; empty = none */
};

struct slu_engine {
    const char *name;
    bool durable; /* survives the process: ack `stored` is possible */
    bool shared;  /* several brokers see the same logs */
    /* Main thread. On failure `why` gets a plain sentence that says what to do. */
    enum slu_err (*open)(void **st, const struct slu_engine_env *env, struct slu_buf *why);
    unsigned (*homes)(void *st);
    unsigned (*home_of)(void *st, struct slu_bytes topic);
    void (*append)(void *st, struct slu_append *a);
    void (*locate)(void *st, struct slu_locate *l);
    void (*scan)(void *st, struct slu_scan *s);
    void (*tail)(void *st, struct slu_tail *t);
    void (*state)(void *st, struct slu_state *s);
    /* Trims what age and expiry took, a bounded amount; called about once a second on each worker. */
    void (*tick)(void *st, unsigned worker);
    /* On the main thread, after the workers have stopped. */
    void (*close)(void *st);
    /* Why nothing can be stored at the moment (static text), or NULL: all is well. Any thread. NULL in engines that
     * cannot fail. */
    const char *(*trouble)(void *st);

    /* Retained values of topics whose log is elsewhere or nowhere; NULL in engines that are not durable.
     * mirror: env.retained of another engine, on any thread; never blocks, keeps what it could not write yet.
     * mirrored: at the start, on the main thread: tells each one that was kept. */
    void (*mirror)(void *st, struct slu_bytes topic, struct slu_msg *msg);
    enum slu_err (*mirrored)(void *st, enum slu_err (*each)(void *arg, struct slu_msg *msg), void *arg);
    /* The other side: takes such a value over at the start, before any worker runs. NULL in durable engines. */
    enum slu_err (*adopt)(void *st, struct slu_msg *msg);
};

extern const struct slu_engine slu_engine_memory;

/* A store is one engine or two, opened: topics with log: disk belong to `durable`, all others to `memory`; what is not
 * there is stood in for by the other. Homes of the durable engine come first. Only these functions call through the
 * tables: they check arguments and count. */
struct slu_store;
struct slu_store_engines {
    const struct slu_engine *durable, *memory; /* one may be NULL */
    const char *path;                          /* for env.path */
};
enum slu_err slu_store_open(const struct slu_store_engines *engines, const struct slu_engine_env *env,
                            struct slu_buf *why, struct slu_store **out);
/* Retained values that outlived the last process come back, as far as there is memory; after open, before the workers
 * run. */
enum slu_err slu_store_restore(struct slu_store *s);
/* The engine that has such topics. */
const struct slu_engine *slu_store_engine(const struct slu_store *s, enum slu_log_kind log);
unsigned slu_store_homes(const struct slu_store *s);
/* How many of them, from 0 on, outlive the process. */
unsigned slu_store_durable_homes(const struct slu_store *s);
unsigned slu_store_home_of(const struct slu_store *s, struct slu_bytes topic, enum slu_log_kind log);
/* The homes that topics with one of these logs (bits 1 << enum slu_log_kind) may have: first to end - 1. */
void slu_store_homes_of(const struct slu_store *s, unsigned logs, unsigned *first, unsigned *end);
const char *slu_store_trouble(const struct slu_store *s);
void slu_store_append(struct slu_store *s, struct slu_append *a);
void slu_store_locate(struct slu_store *s, struct slu_locate *l);
void slu_store_scan(struct slu_store *s, struct slu_scan *sc);
void slu_store_tail(struct slu_store *s, struct slu_tail *t);
/* Of the durable engine, if there is one. */
void slu_store_state(struct slu_store *s, struct slu_state *st);
void slu_store_tick(struct slu_store *s, unsigned worker);
void slu_store_close(struct slu_store *s);

/* What was asked of the engine, and what the checks here refused; any thread, for metrics. */
struct slu_store_stats {
    uint64_t appends, locates, scans, tails, states, refused;
};
void slu_store_stats(const struct slu_store *s, struct slu_store_stats *out);

/* Frees a page's messages and arrays. */
void slu_page_free(struct slu_msg **msgs, size_t n);
