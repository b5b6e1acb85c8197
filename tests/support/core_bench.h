/* The whole core on one thread: n workers that the test turns one by one, a clock that the test sets, connections whose
 * links are memory and can be stopped, slowed and cut, and an adapter that writes each event as one readable line. No
 * socket, no thread, no sleep; the same steps always give the same result. Programs link it with Criterion. */
#pragma once

#include "broker/base/buf.h"
#include "broker/core/broker.h"
#include "broker/core/rules.h"
#include "broker/core/session.h"
#include "broker/core/worker.h"

enum { BENCH_WORKERS_MAX = 8, BENCH_LINE = 512, BENCH_IDS = 64 };

struct bench {
    struct slu_broker *broker;
    struct slu_worker *workers[BENCH_WORKERS_MAX];
    bool woken[BENCH_WORKERS_MAX];       /* mail waits */
    uint64_t idle_ms[BENCH_WORKERS_MAX]; /* what the last turn_end returned */
    unsigned n;
    uint64_t now_ms, wall_ms, rng;
    bool no_anonymous;
    size_t used_at_start; /* the account, with nobody connected */
    struct peer *peers;
};

struct bench_options {
    unsigned workers;             /* 0 = 1 */
    const struct slu_rule *rules; /* NULL = the built-in default */
    size_t n_rules;
    void (*set)(struct slu_settings *s); /* changes the defaults; NULL = none */
    const struct slu_engine *engine;     /* NULL = memory */
    const struct slu_engine *durable;    /* beside it, for topics with log: disk; NULL: none */
};
struct bench *bench_new(unsigned workers);
struct bench *bench_new_with(const struct bench_options *o);
/* Cuts whoever is left and ends everything; all memory that sessions took must have come back. */
void bench_free(struct bench *b);

void bench_turn(struct bench *b, unsigned worker);
/* Turns until nobody has anything left to do; time stands still. */
void bench_settle(struct bench *b);
/* Time passes, millisecond by millisecond where timers are due. */
void bench_advance(struct bench *b, uint64_t ms);
uint64_t bench_random(struct bench *b, uint64_t bound); /* the same sequence in each run */
size_t bench_used(const struct bench *b);

struct peer {
    struct bench *bench;
    unsigned worker;
    struct slu_session *session; /* NULL: gone */
    /* the link */
    bool stopped; /* takes one more write, and holds it until bench_go */
    size_t takes; /* slow: bytes a turn; 0 = all */
    bool dead;    /* a write fails */
    bool is_read_on, wants_writable, closed, manual_gone;
    int close_code;
    struct slu_buf held, got; /* in the library; at the peer: whole frames */
    size_t read_at;
    uint64_t frames_in;                             /* what the adapter was given */
    unsigned asked[BENCH_IDS], answered[BENCH_IDS]; /* requests by id, where it is small; answers as lines are taken */
    bool logged_in, is_other_wire;
    struct peer *next;
};

/* user: NULL anonymous and not logged in yet; "" logged in without a name. "ro": may only subscribe, to a/#. */
struct peer *peer_open(struct bench *b, unsigned worker, const char *user);
/* The same with the second encoding. */
struct peer *peer_open_other(struct bench *b, unsigned worker, const char *user);
void peer_stop(struct peer *p);
void peer_go(struct peer *p);
/* The connection breaks. */
void peer_cut(struct peer *p);

/* Each is one turn of the peer's worker. id 0: none. */
struct slu_reqid bench_id(int64_t id);
void peer_login(struct peer *p, int64_t id, const char *token, const char *name);
struct sub_options {
    uint64_t sub; /* 0: the broker numbers */
    enum slu_from from;
    uint64_t n;
    struct slu_pos pos;
    const char *cur;
    struct slu_content_filter *content;
    bool conflate, by_key, no_echo, presence, ack;
    double hz;
    int64_t credit; /* 0: without; -1: zero credit */
    enum slu_overflow overflow;
    const char *group, *durable;
    uint64_t ack_wait_ms;
    unsigned max_try;
};
void peer_sub(struct peer *p, int64_t id, const char *filter, struct sub_options o);
#define peer_sub(p, id, filter, ...) (peer_sub)(p, id, filter, (struct sub_options){ __VA_ARGS__ })
void peer_unsub(struct peer *p, int64_t id, uint64_t sub, const char *filter);
void peer_flow(struct peer *p, int64_t id, uint64_t sub, uint64_t credit);
struct pub_options {
    bool retain, clear;
    const char *key, *dedup;
    uint64_t ttl_ms;
    const struct slu_pos *expect;
    enum slu_ack ack;
    size_t pad; /* the payload is filled up with dots to so many bytes */
};
void peer_pub(struct peer *p, int64_t id, const char *topic, const char *data, struct pub_options o);
#define peer_pub(p, id, topic, data, ...) (peer_pub)(p, id, topic, data, (struct pub_options){ __VA_ARGS__ })
void peer_req(struct peer *p, int64_t id, const char *topic, const char *data, uint64_t timeout_ms);
void peer_ack(struct peer *p, int64_t id, uint64_t sub, const char *topic, struct slu_pos pos, bool upto);
void peer_nack(struct peer *p, int64_t id, uint64_t sub, const char *topic, struct slu_pos pos, uint64_t delay_ms,
               bool drop);
void peer_presence(struct peer *p, int64_t id, const char *topic, uint64_t limit, const char *after);
void peer_history(struct peer *p, int64_t id, const char *topic, enum slu_from from, uint64_t n, struct slu_pos pos,
                  uint64_t limit, bool reverse);

/* What came, line by line: the next one that was not yet taken, or NULL. Good until the next call on this peer.
 *   hello <conn> user=<user>              ok <id> [sub=N] [rec=0|1] [pos=EPOCH.OFFSET] [cur=…] [matched=N] [data=…]
 *   err <id> <code>                       msg <topic> <payload> [@OFFSET] [sub=N] [retained] [try=N] [key=…] [reply=…]
 *   gap <sub> [<topic>] lost=N <reason>   cur <sub> <cur>      join|leave <topic> <conn> [user=…]
 *   end <sub> <code>   pong [id] [t]   ping   bye <close> <word>   PING (a ping frame of the link)
 * The second encoding puts a '~' before each line. ok of pub has pos and matched, presence members=a,b next=…, history
 * items=… next=…. */
const char *peer_line(struct peer *p);
/* Settles the bench, then takes all lines and compares them one by one with these (peer_quiet: with none). An expected
 * line may end in '*': anything may follow. */
void peer_expect(struct peer *p, const char *const *lines);
#define peer_expect(p, ...) (peer_expect)(p, (const char *const[]){ __VA_ARGS__, NULL })
#define peer_quiet(p)       (peer_expect)(p, (const char *const[]){ NULL })
/* Settles, then drops what came. */
void peer_skip(struct peer *p);
/* Takes all lines; every request with an id was answered exactly once, or the connection has ended. */
void peer_answered(struct peer *p);
/* Lines left that begin so; takes all lines. */
unsigned peer_count(struct peer *p, const char *prefix);
/* The pos=… or @… in a line, the epoch where it is told; the text behind `name=` up to the next blank. */
struct slu_pos line_pos(const char *line);
const char *line_field(const char *line, const char *name);
