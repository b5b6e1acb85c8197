/* A tiny world around one store: workers that are queues of mail which the test runs, a wall clock that the test
 * sets, a feed that is checked as it comes in. It holds every engine to what the contract promises always: `done`
 * once, on the caller's worker, never inside the call, after the feed; seqs that grow in each home; offsets without
 * a gap; all memory given back. A broken promise ends the test at the next wait. */
#pragma once

#include "broker/base/mailbox.h"
#include "broker/base/map.h"
#include "storage/engine.h"

#include <pthread.h>

enum { SIM_WORKERS_MAX = 8 };

/* What a program of the suite is built for: one factory_<engine>.c each. */
struct engine_factory {
    const char *name;
    const struct slu_engine *(*make)(void); /* an engine ready to open on an empty store; once for each test */
    void (*clean)(void);                    /* after the store was closed; NULL: nothing to do */
    const char *(*path)(void);              /* its folder, after make; NULL: it needs none */
};
extern const struct engine_factory engine_factory;

struct sim_op {
    union { /* first: a request's address is its op's */
        struct slu_append append;
        struct slu_locate locate;
        struct slu_scan scan;
        struct slu_tail tail;
        struct slu_state state;
    };
    enum { SIM_APPEND, SIM_LOCATE, SIM_SCAN, SIM_TAIL, SIM_STATE } kind;
    struct sim *sim;
    struct slu_rule rule;
    uint8_t *bytes; /* of a state: key and value */
    unsigned done;  /* how often */
    struct sim_op *next;
};

struct sim_topic {
    struct slu_map_node node;
    struct slu_bytes name;
    struct slu_pos head;
    uint8_t bytes[];
};

struct sim {
    unsigned workers, homes;
    const struct slu_engine *engine;
    bool with_memory; /* from the next sim_reopen on: the memory engine has what is not for the disk */
    struct slu_store *store;
    struct slu_account account;
    uint64_t wall_ms, rng;
    struct slu_mailbox boxes[SIM_WORKERS_MAX];
    unsigned running; /* whose mail runs; SLU_NO_WORKER: nobody's */
    bool in_call;
    unsigned fail_alloc; /* the engine's n-th allocation in the next request fails; until that was waited for */
    struct sim_op *ops;
    /* The feed; engines with a thread of their own call in from there. */
    pthread_mutex_t lock;
    pthread_cond_t woken;
    struct slu_msg **fed;
    size_t n_fed, cap_fed;
    uint64_t fed_seq[SIM_WORKERS_MAX];
    struct slu_map topics;
    char fault[256]; /* the first broken promise */
};

struct sim *sim_new(unsigned workers);
struct sim *sim_new_with(unsigned workers, size_t budget, const struct slu_engine *engine);
/* Waits for everything, closes and checks that all memory came back. */
void sim_free(struct sim *s);
/* Closes the store only: what is pending ends with SLU_ECLOSED as the queues run. */
void sim_close(struct sim *s);
/* As a restart does: waits for everything, closes, opens what a durable engine has kept. */
void sim_reopen(struct sim *s);
void sim_open(struct sim *s); /* after sim_close */

/* What to publish; the defaults are worker 0, the sim's time, a log of anything. */
struct sim_pub {
    const char *topic, *data;
    struct slu_bytes raw_topic, raw_data; /* instead, when set */
    const char *key, *dedup;
    bool retain, clear;
    uint64_t ts_ms, expires_ms;
    unsigned worker;
    const struct slu_rule *rule;
    const struct slu_pos *expect;
};
extern const struct slu_rule sim_rule_log, sim_rule_none;

/* Starts a request; it ends while the sim runs. The op lives as long as the sim. */
struct sim_op *sim_append(struct sim *s, struct sim_pub p);
struct sim_op *sim_locate(struct sim *s, struct slu_locate l);
struct sim_op *sim_scan(struct sim *s, struct slu_scan sc);
struct sim_op *sim_tail(struct sim *s, struct slu_tail t);
struct sim_op *sim_state(struct sim *s, struct slu_state st); /* copies key and value */
/* Runs one mail of a worker chosen at random (by the sim's own numbers); false: no mail anywhere. */
bool sim_step(struct sim *s);
/* Runs all queues until the op has ended; NULL: until every op has. */
void sim_wait(struct sim *s, const struct sim_op *op);
/* The next of a fixed sequence of numbers below n. */
uint64_t sim_random(struct sim *s, uint64_t n);

/* Shorthands that wait and insist on success. */
#define PUB(s, ...)     sim_publish(s, (struct sim_pub){ __VA_ARGS__ })
#define PUB_ERR(s, ...) sim_publish_err(s, (struct sim_pub){ __VA_ARGS__ })
struct slu_pos sim_publish(struct sim *s, struct sim_pub p);
enum slu_err sim_publish_err(struct sim *s, struct sim_pub p);
#define LOCATE(s, f, ...) \
    (&sim_locate_now(s, (struct slu_locate){ .filter = slu_str(f), .home = sim_home(s, f), __VA_ARGS__ })->locate)
#define SCAN(s, f, ...)                                                                                             \
    (&sim_scan_now(                                                                                                 \
          s,                                                                                                        \
          (struct slu_scan){                                                                                        \
              .filter = slu_str(f), .home = sim_home(s, f), .max_items = 1000, .max_bytes = 1 << 20, __VA_ARGS__ }) \
          ->scan)
#define TAIL(s, f, ...)                                          \
    (&sim_tail_now(s, (struct slu_tail){ .filter = slu_str(f),   \
                                         .home = sim_home(s, f), \
                                         .max_seq = UINT64_MAX,  \
                                         .max_items = 1000,      \
                                         .max_bytes = 1 << 20,   \
                                         __VA_ARGS__ })          \
          ->tail)
struct sim_op *sim_locate_now(struct sim *s, struct slu_locate l);
struct sim_op *sim_scan_now(struct sim *s, struct slu_scan sc);
struct sim_op *sim_tail_now(struct sim *s, struct slu_tail t);

/* Named states. CLAIM insists; the others wait and give what came of it. */
#define CLAIM(s, k, ...) \
    (&sim_state_now(s, (struct slu_state){ .op = SLU_STATE_CLAIM, .key = slu_str(k), __VA_ARGS__ })->state)
#define PUT(s, k, v, gen, ...)        \
    sim_state_err(s,                  \
                  (struct slu_state){ \
                      .op = SLU_STATE_PUT, .key = slu_str(k), .value = slu_str(v), .generation = (gen), __VA_ARGS__ })
#define DELETE(s, k, gen, ...) \
    sim_state_err(s, (struct slu_state){ .op = SLU_STATE_DELETE, .key = slu_str(k), .generation = (gen), __VA_ARGS__ })
struct sim_op *sim_state_now(struct sim *s, struct slu_state st);
enum slu_err sim_state_err(struct sim *s, struct slu_state st);
/* What a claim found, "-" for nothing. Static storage, as below. */
const char *sim_found(const struct slu_state *st);

/* The home of a topic; of a wildcard: 0. */
unsigned sim_home(const struct sim *s, const char *filter);
/* "<prefix><number>" at that home; number counts up from *from, which moves on. Static storage, a few at a time. */
const char *sim_topic_at(const struct sim *s, unsigned home, const char *prefix, unsigned *from);
/* Payloads of a page, separated by blanks; the second with "topic=" before each and '*' behind a retained one. Static
 * storage, as above. */
const char *sim_text(struct slu_msg **msgs, size_t n);
const char *sim_tail_text(const struct slu_tail *t);

#define SCAN_TEXT(s, f, ...) sim_scan_text(SCAN(s, f, __VA_ARGS__))
const char *sim_scan_text(const struct slu_scan *sc);
