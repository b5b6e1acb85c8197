/* libsluice: the C client of the Sluice message broker (native protocol, subprotocol sluice.v1.json).
 *
 *     static void on_message(void *arg, sluice_client_sub *sub, const struct sluice_message *m)
 *     {
 *         printf("%.*s %.*s\n", (int)m->topic.len, m->topic.data, (int)m->json.len, m->json.data);
 *     }
 *     ...
 *     sluice_client *c;
 *     sluice_client_sub *sub;
 *     sluice_client_new(&c, &(struct sluice_client_options){ .url = "ws://localhost:8080/ws" });
 *     sluice_client_subscribe(c, "sensors/#", &(struct sluice_sub_options){ .on_message = on_message }, &sub);
 *     sluice_client_connect(c);
 *     sluice_client_run(c);
 *
 * Threads. A client object belongs to one thread at a time: all calls on it, and on what came from it, are made by the
 * thread that runs its loop. Different clients may run in different threads. Only sluice_client_stop may be called from
 * anywhere, signal handlers included. The library starts no threads and keeps no global state.
 *
 * Blocking. Nothing blocks but two things: the name look-up (getaddrinfo) at the start of each connection attempt, and
 * sluice_client_run / sluice_client_run_once, which wait for events. Use an address instead of a name in the URL where
 * a slow name server must not hold up the loop.
 *
 * Ownership. Strings and options that go in are copied before the call returns. What a callback receives (spans,
 * messages, errors) is borrowed and ends with the callback's return: copy what you keep. Spans carry a length and do
 * not end in NUL. Objects are freed by the call that is named beside them and by nothing else.
 *
 * Callbacks run inside sluice_client_run, run_once or the foreign loop, never inside the call that asked for them - with
 * one exception, that sluice_client_free completes what is pending. They may call everything here, also free the client
 * they came from, but not run its loop.
 *
 * Errors. Functions that can fail return enum sluice_status: SLUICE_OK is 0. Out-parameters are set on success only.
 *
 * Units. Sizes are bytes. Durations carry _ms or _s in their names. Times of day are milliseconds since 1970-01-01 UTC.
 * In option structs zero (NULL, false) means the default, which is said beside the field; so `{0}` is always right.
 *
 * Reconnecting. A lost connection is made again without help: after a random delay between 0 and a bound that doubles
 * from backoff_min_ms to backoff_max_ms; at once (after the broker's after_ms) when the broker drains (43xx); never
 * after 44xx, since trying again would fail the same way. Subscriptions are made again from the position reached - exact
 * topics by (epoch, offset), wildcards by cursor - and positions seen before are dropped, so that a handler sees each
 * message of a logged topic once and in order. What the broker can no longer serve is announced by on_gap. */
#ifndef SLUICE_H
#define SLUICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SLUICE_API __attribute__((visibility("default")))
#else
#define SLUICE_API
#endif

#define SLUICE_VERSION_MAJOR 0
#define SLUICE_VERSION_MINOR 1
#define SLUICE_VERSION_PATCH 0

typedef struct sluice_client sluice_client;         /* made by sluice_client_new, freed by sluice_client_free */
typedef struct sluice_client_sub sluice_client_sub; /* made by subscribe; ends with unsubscribe, on_end or the client */

enum sluice_status {
    SLUICE_OK = 0,
    SLUICE_EAGAIN,   /* too much is unsent: nothing was taken; on_room tells when to go on */
    SLUICE_EINVAL,   /* an argument is not valid (topic, URL, JSON, option) */
    SLUICE_ENOMEM,   /* out of memory */
    SLUICE_ETOOBIG,  /* the frame would exceed max_message */
    SLUICE_ESTATE,   /* not possible in this state: closed for good, or called from inside a callback */
    SLUICE_ECONNECT, /* the connection could not be made or was lost */
    SLUICE_ETLS,     /* TLS failed: certificate, host name, protocol */
    SLUICE_EPROTO,   /* the peer does not speak the protocol */
    SLUICE_EBROKER,  /* the broker refused: see struct sluice_error */
    SLUICE_ETIMEOUT, /* no answer came in time */
    SLUICE_EUNKNOWN, /* the connection went before the answer came: it may have happened or not */
    SLUICE_ECLOSED   /* given up because the subscription or the client was closed */
};

/* A run of bytes, borrowed. data is NULL where the thing is absent; "" is not NULL. */
struct sluice_span {
    const char *data;
    size_t len;
};

/* Why something failed. status is always set; the rest where the broker said so (SLUICE_EBROKER, closes). */
struct sluice_error {
    enum sluice_status status;
    int http_status;         /* 403, …; 0 = none */
    bool retry;              /* the same request may succeed later */
    struct sluice_span code; /* "topic_forbidden", … */
    struct sluice_span message;
    struct sluice_span hint;
};

/* Static text for a status, never NULL. */
SLUICE_API const char *sluice_client_strerror(enum sluice_status s);
/* "0.1.0" */
SLUICE_API const char *sluice_client_version(void);

/* ---- messages ------------------------------------------------------------------------------------------------- */

enum sluice_kind {
    SLUICE_JSON = 0,    /* any JSON value */
    SLUICE_TEXT,        /* UTF-8 text: travels as a JSON string */
    SLUICE_BINARY,      /* any bytes: travel as base64 */
    SLUICE_JSON_TRUSTED /* for sending only: JSON that the caller vouches for, not validated again */
};

struct sluice_message {
    struct sluice_span topic;
    enum sluice_kind kind;      /* JSON, TEXT (the value is a string) or BINARY */
    struct sluice_span payload; /* JSON: the value as written; TEXT: the decoded text; BINARY: the bytes */
    struct sluice_span json;    /* the value as written, strings with quotes; absent for BINARY */
    int64_t ts_ms;              /* when the broker took it; 0 = not said */
    struct sluice_span epoch;   /* absent: the topic has no log */
    uint64_t offset;            /* valid where epoch is there */
    struct sluice_span key;
    struct sluice_span reply;   /* answer with sluice_client_reply */
    struct sluice_span headers; /* a JSON object, see sluice_client_header */
    bool retained;
    uint32_t attempt; /* `try` of a work queue: 1, 2, …; 0 = not said */
};

/* Finds a header by name. True when it is there; out is then borrowed like the message itself. Only strings without
 * escapes are found unless buf is given: a value with escapes is decoded into it and must fit. */
SLUICE_API bool sluice_client_header(const struct sluice_message *m, const char *name, char *buf, size_t cap,
                                     struct sluice_span *out);

/* For sending. Names and values are UTF-8 text. */
struct sluice_header {
    const char *name, *value;
};

struct sluice_gap {
    struct sluice_span topic; /* absent: the whole subscription */
    bool lost_known;
    uint64_t lost;             /* messages, where lost_known */
    struct sluice_span reason; /* overflow, trimmed, epoch, expired, cluster, shed */
};

struct sluice_member {
    struct sluice_span topic, conn, user; /* user may be absent */
    struct sluice_span info;              /* JSON, may be absent */
    bool joined;                          /* on_presence: join or leave */
};

/* ---- the client ----------------------------------------------------------------------------------------------- */

enum sluice_state {
    SLUICE_IDLE,         /* made, not yet connected; or disconnected by the caller */
    SLUICE_CONNECTING,   /* first attempts */
    SLUICE_CONNECTED,    /* the broker said hello */
    SLUICE_RECONNECTING, /* lost; the next attempt starts after delay_ms */
    SLUICE_CLOSED        /* given up; sluice_client_connect starts anew */
};

struct sluice_state_event {
    enum sluice_state state;
    struct sluice_span conn, node, user; /* CONNECTED: from hello */
    uint32_t attempt;                    /* RECONNECTING, CONNECTING: 1, 2, … */
    uint32_t delay_ms;                   /* RECONNECTING, CONNECTING after a failure: until the next attempt */
    int close_code;                      /* why the last connection ended: WebSocket close code, 1006 = just gone */
    struct sluice_error error;           /* status OK where nothing failed; message is readable text */
};

struct sluice_client_options {
    const char *url;   /* ws://host:port/path, wss://…, ws+unix:/path/of/socket[:/path]; required */
    const char *token; /* sent in the connect frame; NULL = none */
    const char *name;  /* shows in the broker's console */

    /* TLS (wss): the certificate chain and the host name are always checked unless tls_insecure is set. */
    const char *tls_ca;   /* PEM file or hashed directory; NULL = the system's */
    const char *tls_cert; /* client certificate chain, PEM; NULL = none */
    const char *tls_key;  /* its key, PEM */
    bool tls_insecure;

    const char *bind_address;                 /* local address to connect from; NULL = any */
    const struct sluice_header *http_headers; /* more headers for the handshake */
    size_t n_http_headers;

    uint32_t connect_timeout_ms; /* one attempt, until hello; 10,000 */
    uint32_t request_timeout_ms; /* answer to anything that has one; 10,000 */
    uint32_t backoff_min_ms;     /* 250 */
    uint32_t backoff_max_ms;     /* 30,000 */
    uint32_t connect_attempts;   /* give up when the first connection does not come after so many; 0 = never */
    bool no_reconnect;           /* a lost connection is final */

    size_t max_unsent;  /* bytes waiting to be sent while connected; 4 MiB. Beyond: SLUICE_EAGAIN */
    size_t max_offline; /* bytes of publishes kept while not connected; 1 MiB. Beyond: SLUICE_EAGAIN */
    size_t max_message; /* largest frame either way; 16 MiB */

    /* A struct ev_loop * (libev) of the caller to run in; NULL = a loop of its own, for sluice_client_run. */
    void *loop;

    void *arg; /* first argument of the callbacks below */
    void (*on_state)(void *arg, sluice_client *c, const struct sluice_state_event *e);
    /* There is room again after SLUICE_EAGAIN: at most half of the bound is unsent. */
    void (*on_room)(void *arg, sluice_client *c);
    /* Errors that answer no request of the caller (err frames without id) and warnings worth a log line. */
    void (*on_error)(void *arg, sluice_client *c, const struct sluice_error *e);
    /* For counting at full speed: gets each msg frame as it came, before anything is parsed. True: taken, nothing more
     * is done with it (no UTF-8 check, no position kept, no on_message). Leave NULL unless measuring. */
    bool (*on_raw)(void *arg, sluice_client *c, struct sluice_span frame);
};

/* Makes a client; no connection yet. */
SLUICE_API enum sluice_status sluice_client_new(sluice_client **out, const struct sluice_client_options *o);
/* Closes without waiting and frees the client and its subscriptions. Pending completions run with SLUICE_ECLOSED. NULL is
 * fine. Call sluice_client_disconnect and run on until SLUICE_CLOSED first, where what is unsent should still go out. */
SLUICE_API void sluice_client_free(sluice_client *c);

/* Starts connecting; the outcome comes by on_state. OK and nothing done when already under way. */
SLUICE_API enum sluice_status sluice_client_connect(sluice_client *c);
/* Sends what is unsent, then closes with 1000, then SLUICE_CLOSED by on_state; cut after 2 s. No reconnect. */
SLUICE_API void sluice_client_disconnect(sluice_client *c);
SLUICE_API enum sluice_state sluice_client_state(const sluice_client *c);

/* Runs until sluice_client_stop, or until the client is closed for good. SLUICE_ESTATE: foreign loop, or called from a
 * callback. */
SLUICE_API enum sluice_status sluice_client_run(sluice_client *c);
/* Handles what is there, waiting at most timeout_ms for the first event (0 = no wait, negative = for ever). */
SLUICE_API enum sluice_status sluice_client_run_once(sluice_client *c, int timeout_ms);
/* Makes run return soon. Any thread, signal handlers. No effect on a foreign loop. */
SLUICE_API void sluice_client_stop(sluice_client *c);
/* The struct ev_loop * that the client runs in, so that more clients can share it. A client's own loop goes with it: of
 * those that share it, free that one last. */
SLUICE_API void *sluice_client_loop(sluice_client *c);

/* Stops (false) or resumes (true) reading from the connection: back-pressure on the broker, which then treats this client
 * as slow, by the overflow policy of each subscription. No answers and no callbacks come meanwhile, and the loss of the
 * connection is not noticed. A new connection starts reading. */
SLUICE_API void sluice_client_read(sluice_client *c, bool on);

/* Bytes accepted but not yet handed to the kernel. */
SLUICE_API size_t sluice_client_unsent(const sluice_client *c);

/* ---- answers -------------------------------------------------------------------------------------------------- */

/* What came of a request. Fields that its answer does not have are zero. */
struct sluice_result {
    struct sluice_error error;   /* error.status is the outcome */
    struct sluice_span epoch;    /* publish, subscribe */
    uint64_t offset;             /* valid where epoch is there */
    uint64_t matched;            /* publish: readers that want it */
    bool recovered;              /* subscribe: false = what was asked for can no longer be served in full */
    uint64_t count;              /* presence: members in all; history: items in this answer */
    struct sluice_span next;     /* history, presence: go on from here, JSON; absent = that was all */
    double rtt_ms;               /* between sending and answer */
    struct sluice_message reply; /* request: the answer; topic is absent */
    struct sluice_span frame;    /* the whole answer, JSON; absent when none came */
};
/* Runs exactly once for each accepted call that got one. */
typedef void sluice_result_fn(void *arg, sluice_client *c, const struct sluice_result *r);

/* Replaces the token: at once (auth frame) when connected, and for later connections. done may be NULL. */
SLUICE_API enum sluice_status sluice_client_auth(sluice_client *c, const char *token, sluice_result_fn *done,
                                                 void *arg);
SLUICE_API enum sluice_status sluice_client_ping(sluice_client *c, sluice_result_fn *done, void *arg);

/* ---- publishing ----------------------------------------------------------------------------------------------- */

enum sluice_ack { SLUICE_ACK_DEFAULT, SLUICE_ACK_NONE, SLUICE_ACK_ACCEPTED, SLUICE_ACK_STORED, SLUICE_ACK_REPLICATED };

struct sluice_publish_options {
    enum sluice_kind kind; /* what data is; JSON is validated before it goes out */
    bool retain;           /* keep as the topic's retained value; with no data (NULL): clear it */
    const char *key;
    const struct sluice_header *headers;
    size_t n_headers;
    uint32_t ttl_s;    /* 0 = none */
    const char *dedup; /* a repeat under this key is not delivered again; such publishes are sent again on reconnect */
    bool expect;       /* only if (expect_epoch, expect_offset) is the topic's newest position */
    uint64_t expect_offset;
    const char *expect_epoch;
    enum sluice_ack ack;
    bool only_connected; /* SLUICE_EAGAIN instead of keeping it while there is no connection */
};

/* Publishes. o may be NULL (JSON). Without done the broker sends no ok, and errors come by on_error. With done it runs when
 * the broker has answered at the asked ack level; SLUICE_EUNKNOWN when the connection went in between. While not
 * connected the message waits in the offline queue, in order. */
SLUICE_API enum sluice_status sluice_client_publish(sluice_client *c, const char *topic, const void *data, size_t len,
                                                    const struct sluice_publish_options *o, sluice_result_fn *done,
                                                    void *arg);

struct sluice_request_options {
    enum sluice_kind kind;
    const struct sluice_header *headers;
    size_t n_headers;
    uint32_t timeout_ms; /* request_timeout_ms of the client */
};

/* Publishes and waits for one answer. */
SLUICE_API enum sluice_status sluice_client_request(sluice_client *c, const char *topic, const void *data, size_t len,
                                                    const struct sluice_request_options *o, sluice_result_fn *done,
                                                    void *arg);
/* Answers a message that carries `reply`; SLUICE_EINVAL where it does not. To answer later, keep a copy of m->reply and
 * publish to it. */
SLUICE_API enum sluice_status sluice_client_reply(sluice_client *c, const struct sluice_message *m, const void *data,
                                                  size_t len, enum sluice_kind kind);

/* ---- subscribing ---------------------------------------------------------------------------------------------- */

enum sluice_from {
    SLUICE_FROM_NEW,    /* what is published from now on */
    SLUICE_FROM_LATEST, /* the newest of each matching topic, then live */
    SLUICE_FROM_FIRST,  /* all that the log holds */
    SLUICE_FROM_LAST,   /* the last from_n of each topic */
    SLUICE_FROM_SINCE,  /* since from_time_ms */
    SLUICE_FROM_OFFSET, /* after (from_epoch, from_offset); exact topics only */
    SLUICE_FROM_CURSOR  /* after from_cursor, see sluice_client_sub_cursor */
};

enum sluice_overflow {
    SLUICE_OVERFLOW_DEFAULT,
    SLUICE_OVERFLOW_PAUSE,
    SLUICE_OVERFLOW_CONFLATE,
    SLUICE_OVERFLOW_DROP_OLDEST,
    SLUICE_OVERFLOW_CLOSE
};

struct sluice_sub_options {
    void *arg; /* first argument of the callbacks */
    void (*on_message)(void *arg, sluice_client_sub *sub, const struct sluice_message *m);
    void (*on_gap)(void *arg, sluice_client_sub *sub, const struct sluice_gap *g);
    /* Join and leave; needs presence. */
    void (*on_presence)(void *arg, sluice_client_sub *sub, const struct sluice_member *who);
    /* In force (also again after each reconnect), or refused. A refusal that can pass ends nothing: it is tried again at
     * the next reconnect. Otherwise on_end follows. */
    void (*on_ready)(void *arg, sluice_client_sub *sub, const struct sluice_result *r);
    /* The broker refused or ended it. sub is freed after this returns; never called after unsubscribe. */
    void (*on_end)(void *arg, sluice_client_sub *sub, const struct sluice_error *why);

    enum sluice_from from;
    uint32_t from_n;
    int64_t from_time_ms;
    uint64_t from_offset;
    const char *from_epoch;
    const char *from_cursor;

    const char *filter; /* JSON object: {"headers.region":"eu","data.px":{"gt":100}} */
    bool conflate;
    double conflate_hz;   /* at most so many a second for each topic (or key); > 0 with conflate */
    bool conflate_by_key; /* for each key instead of each topic */
    bool use_credit;      /* at most `credit` messages until sluice_client_flow adds more */
    uint32_t credit;
    enum sluice_overflow overflow;
    const char *durable;  /* the broker remembers under this name what was acknowledged */
    const char *group;    /* share the messages with the others of this group */
    bool ack;             /* messages wait for sluice_client_ack */
    uint32_t ack_wait_ms; /* broker's default 30,000 */
    uint32_t max_try;
    bool presence;
    bool no_echo; /* leave out what this connection published */
};

/* Subscribes to a topic or a filter with + and #. Works in every state: it is sent once connected. A message that several
 * plain subscriptions of a client match comes to each of their handlers. */
SLUICE_API enum sluice_status sluice_client_subscribe(sluice_client *c, const char *filter,
                                                      const struct sluice_sub_options *o, sluice_client_sub **out);
/* Ends it; no callback of it runs afterwards, and sub is gone. */
SLUICE_API void sluice_client_unsubscribe(sluice_client_sub *sub);
SLUICE_API const char *sluice_client_sub_filter(const sluice_client_sub *sub);
SLUICE_API sluice_client *sluice_client_sub_client(const sluice_client_sub *sub);
/* The cursor reached, to go on from in a later run (SLUICE_FROM_CURSOR); NULL = none. Borrowed until the next event. */
SLUICE_API const char *sluice_client_sub_cursor(const sluice_client_sub *sub);

/* Adds credit. */
SLUICE_API enum sluice_status sluice_client_flow(sluice_client_sub *sub, uint32_t credit);
/* Acknowledges m (upto: and all before it on its topic). Needs `ack` or `durable`. A message whose acknowledgement was lost
 * with the connection comes again. */
SLUICE_API enum sluice_status sluice_client_ack(sluice_client_sub *sub, const struct sluice_message *m, bool upto);
/* Gives m back: delivered again after delay_ms, or (drop) sent to the dead letters. */
SLUICE_API enum sluice_status sluice_client_nack(sluice_client_sub *sub, const struct sluice_message *m,
                                                 uint32_t delay_ms, bool drop);

/* ---- reading ahead and back ----------------------------------------------------------------------------------- */

typedef void sluice_item_fn(void *arg, sluice_client *c, const struct sluice_message *m);
typedef void sluice_member_fn(void *arg, sluice_client *c, const struct sluice_member *who);

struct sluice_history_options {
    enum sluice_from from; /* FIRST, LAST, SINCE, OFFSET, CURSOR; NEW (the zero) leaves the choice to the broker */
    uint32_t from_n;
    int64_t from_time_ms;
    uint64_t from_offset;
    const char *from_epoch;
    const char *from_cursor;
    const char *from_json; /* a `next` of an earlier answer, as it came; goes before the fields above */
    uint32_t limit;        /* items of one answer; 0 = the broker's choice */
    bool reverse;          /* newest first */
};

/* Reads one page of a topic's log: item for each message, then done. */
SLUICE_API enum sluice_status sluice_client_history(sluice_client *c, const char *topic,
                                                    const struct sluice_history_options *o, sluice_item_fn *item,
                                                    sluice_result_fn *done, void *arg);

struct sluice_presence_options {
    uint32_t limit;
    const char *after_json; /* `next` of the page before */
};

/* Who is there: member for each of a page, then done with count. */
SLUICE_API enum sluice_status sluice_client_presence(sluice_client *c, const char *topic,
                                                     const struct sluice_presence_options *o, sluice_member_fn *member,
                                                     sluice_result_fn *done, void *arg);

#ifdef __cplusplus
}
#endif
#endif
