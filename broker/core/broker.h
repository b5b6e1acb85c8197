/* The broker: what its workers share. Settings and rules are swapped whole on reload; everything else stands from start
 * to stop. */
#pragma once

#include "broker/base/buf.h"
#include "broker/core/account.h"
#include "broker/core/rules.h"

struct slu_broker;
struct slu_worker;
struct slu_store;
struct slu_store_engines;
struct slu_peer;

/* Who a connection is. Strings live with the session. */
struct slu_credentials {
    struct slu_bytes token; /* empty = none given */
    struct slu_bytes name;  /* client's own name, free text */
    const struct slu_peer *peer;
};

/* Identity and rights, decided at login. Filters: what may be published to and subscribed (newline-free list). */
struct slu_identity {
    bool may_all;                /* any topic and filter; still no writes to $SYS and $DEAD */
    struct slu_bytes user;       /* empty = anonymous */
    const struct slu_bytes *pub; /* filters */
    size_t n_pub;
    const struct slu_bytes *sub;
    size_t n_sub;
    uint64_t expires_ms; /* wall clock; 0 = never */
};

/* Decides a login: SLU_OK and *out (borrowed, static or living with the broker), or an error of the 401/403 rows and
 * *why (static text or NULL). Any worker's thread; must not block. */
struct slu_auth {
    enum slu_err (*login)(void *arg, const struct slu_credentials *c, struct slu_identity *out, const char **why);
    void *arg;
};

struct slu_settings {
    const char *node; /* name of this node */
    unsigned workers;
    bool dev;
    size_t memory_budget;
    size_t queue_bytes, queue_messages; /* for each session */
    size_t payload_max, frame_max, login_frame_max;
    unsigned subscriptions_max;                               /* for each connection */
    unsigned publishes_in_flight_max, requests_in_flight_max; /* for each connection */
    unsigned groups_max;                                      /* process-wide, for each worker */
    size_t pending_max;                                       /* keys a conflating subscription may hold back */
    size_t unacked_max;                                       /* messages of a durable subscription */
    uint64_t login_timeout_ms, ping_interval_ms, ping_timeout_ms, close_timeout_ms, presence_grace_ms, dedup_window_ms;
    uint64_t durable_expiry_ms; /* how long a name is remembered after its last use */
};

/* Defaults for tests and main: everything but node and workers set. */
void slu_settings_default(struct slu_settings *s);

/* On failure `why` may have got a sentence about the store. */
enum slu_err slu_broker_new(const struct slu_settings *settings, const struct slu_auth *auth,
                            const struct slu_store_engines *engines, struct slu_buf *why, struct slu_broker **out);
/* After all workers were freed. */
void slu_broker_free(struct slu_broker *b);

/* Takes the rule set over. Earlier sets stay readable until the broker is freed (a reload is rare, a set is small). */
void slu_broker_set_rules(struct slu_broker *b, struct slu_rules *rules);
/* Swaps what a reload may change (limits, timeouts). Copies. */
void slu_broker_set_settings(struct slu_broker *b, const struct slu_settings *settings);

/* The auth hook decides differently now (reload): asks it again for every anonymous session. Who is no longer let in is
 * closed with 4401; subscriptions that are no longer covered get `end`. Main thread. */
void slu_broker_review_rights(struct slu_broker *b);

const struct slu_settings *slu_broker_settings(const struct slu_broker *b);
struct slu_account *slu_broker_account(struct slu_broker *b);
struct slu_store *slu_broker_store(struct slu_broker *b);
/* Not ready any more; who is connected is served until the drain reaches it. Any thread. */
void slu_broker_set_draining(struct slu_broker *b, bool on);
bool slu_broker_draining(const struct slu_broker *b);
/* Why no new clients should be sent here (static text: draining, or what ails the store), or NULL. Any thread. */
const char *slu_broker_not_ready(const struct slu_broker *b);
/* Sessions open on all workers. Any thread. */
size_t slu_broker_sessions(const struct slu_broker *b);

/* Counters by name, process-wide; read for metrics. X-macro: name, help. */
#define SLU_COUNTERS(X)                                                        \
    X(connections_opened, "connections that passed the handshake")             \
    X(connections_closed, "connections that ended")                            \
    X(connections_refused_address, "refused: limit for one address")           \
    X(connections_refused_total, "refused: total limit")                       \
    X(connections_refused_rate, "refused: too many new connections a second")  \
    X(connections_refused_memory, "refused: memory budget")                    \
    X(connections_refused_descriptors, "refused: out of file descriptors")     \
    X(handshakes_refused, "upgrade requests answered by an error")             \
    X(handshakes_timed_out, "upgrades that were not finished in time")         \
    X(logins_ok, "logins that succeeded")                                      \
    X(logins_failed, "logins that were refused")                               \
    X(frames_in, "messages received from clients")                             \
    X(frames_bad, "client messages that were not valid")                       \
    X(messages_published, "publishes accepted")                                \
    X(messages_refused, "publishes refused")                                   \
    X(messages_delivered, "messages put into a reader's queue")                \
    X(messages_dropped_overflow, "messages dropped by drop_oldest or a bound") \
    X(messages_conflated, "messages replaced by a newer value")                \
    X(messages_expired, "messages whose time to live ended before delivery")   \
    X(messages_duplicate, "publishes recognised by their dedup key")           \
    X(readers_paused, "times a reader left live delivery for the log")         \
    X(readers_closed_slow, "readers closed with 4504")                         \
    X(readers_shed, "readers closed because memory ran short")                 \
    X(publishers_slowed, "times reading from a publisher was stopped")         \
    X(bytes_in, "payload bytes received")                                      \
    X(bytes_out, "bytes written to connections")                               \
    X(writes, "writes to connections")

enum slu_counter {
#define X(name, help) SLU_COUNT_##name,
    SLU_COUNTERS(X)
#undef X
        SLU_COUNTERS_N
};
void slu_count(struct slu_broker *b, enum slu_counter c, uint64_t n); /* any thread; relaxed */
uint64_t slu_counter_get(const struct slu_broker *b, enum slu_counter c);
/* Closes by code, refusals by error: counted by reason. */
void slu_count_close(struct slu_broker *b, enum slu_close code);
void slu_count_error(struct slu_broker *b, enum slu_err e);
uint64_t slu_count_error_get(const struct slu_broker *b, enum slu_err e);
/* Prometheus-like text of all counters. */
void slu_broker_metrics(const struct slu_broker *b, struct slu_buf *out);
