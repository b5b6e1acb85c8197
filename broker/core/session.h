/* What adapters ask of the core. A session is one connection's state: login, subscriptions, send queue. All calls on the
 * worker's own thread. Each request that carries an id is answered by exactly one OK, ERR, PONG or HELLO event; without
 * an id only errors are answered. Inputs are borrowed until return and already validated for form: sizes, UTF-8, enums.
 * Topic and filter syntax, rights and limits are checked here. */
#pragma once

#include "broker/core/event.h"
#include "broker/core/rules.h"
#include "storage/engine.h"

struct slu_session;

/* login: by a connect frame (token, name). Once. OK: HELLO; refused: BYE and close. */
void slu_session_login(struct slu_session *s, const struct slu_reqid *id, struct slu_bytes token,
                       struct slu_bytes name);
/* By what the handshake carried, or anonymous: what a first frame other than connect means. True when now open;
 * refused: err for the frame's id (asked, may be NULL), then as login. */
bool slu_session_login_implicit(struct slu_session *s, const struct slu_reqid *asked);
bool slu_session_is_open(const struct slu_session *s); /* logged in and not closing */
void slu_session_renew(struct slu_session *s, const struct slu_reqid *id, struct slu_bytes token); /* auth */

/* A compiled content filter; the session owns it from the call on. */
struct slu_content_filter {
    bool (*matches)(const struct slu_content_filter *f, const struct slu_msg *m); /* pure */
    void (*free)(struct slu_content_filter *f);
};

struct slu_subscribe {
    struct slu_bytes filter;
    bool has_sub;
    uint64_t sub;
    enum slu_from from;
    uint64_t from_n;                    /* LAST: count; SINCE: ms */
    struct slu_pos from_pos;            /* OFFSET */
    struct slu_bytes from_cur;          /* CUR: as given to the client */
    struct slu_content_filter *content; /* NULL = none */
    bool conflate, conflate_by_key;
    double hz;
    bool has_credit;
    uint64_t credit;
    bool has_overflow;
    enum slu_overflow overflow;
    struct slu_bytes durable, group;
    bool ack;             /* group members acknowledge */
    uint64_t ack_wait_ms; /* 0 = default 30,000 */
    unsigned max_try;     /* 0 = default */
    bool presence, no_echo;
};
void slu_session_subscribe(struct slu_session *s, const struct slu_reqid *id, struct slu_subscribe *q);
void slu_session_unsubscribe(struct slu_session *s, const struct slu_reqid *id, bool has_sub, uint64_t sub,
                             struct slu_bytes filter);
void slu_session_flow(struct slu_session *s, const struct slu_reqid *id, uint64_t sub, uint64_t credit);

struct slu_publish {
    struct slu_bytes topic, payload, key, headers, dedup;
    enum slu_kind kind;
    enum slu_form form;
    bool retain, clear; /* clear: retain without data */
    uint64_t ttl_ms;    /* 0 = none */
    bool has_expect;
    struct slu_pos expect;
    enum slu_ack ack;
};
void slu_session_publish(struct slu_session *s, const struct slu_reqid *id, const struct slu_publish *p);
/* reply arrives as OK (what = REQ). timeout_ms 0 = default 10 s. */
void slu_session_request(struct slu_session *s, const struct slu_reqid *id, const struct slu_publish *p,
                         uint64_t timeout_ms);

/* Work queues. upto: this one and all before it on that topic. nack: deliver again after delay_ms, or drop to $DEAD. */
void slu_session_ack(struct slu_session *s, const struct slu_reqid *id, uint64_t sub, struct slu_bytes topic,
                     struct slu_pos pos, bool upto);
void slu_session_nack(struct slu_session *s, const struct slu_reqid *id, uint64_t sub, struct slu_bytes topic,
                      struct slu_pos pos, uint64_t delay_ms, bool drop);

void slu_session_presence(struct slu_session *s, const struct slu_reqid *id, struct slu_bytes topic, uint64_t limit,
                          struct slu_bytes after);
/* from NEW = from the head backwards: with reverse the newest; without: as FIRST. */
void slu_session_history(struct slu_session *s, const struct slu_reqid *id, struct slu_bytes topic, enum slu_from from,
                         uint64_t n, struct slu_pos pos, uint64_t limit, bool reverse);
void slu_session_ping(struct slu_session *s, const struct slu_reqid *id, bool has_t, uint64_t t);

/* An error that the adapter found. Counted by code. message and hint may be NULL. */
void slu_session_error(struct slu_session *s, const struct slu_reqid *id, enum slu_err code, const char *message,
                       const char *hint);
/* BYE, then close. message: static text, or NULL. */
void slu_session_close(struct slu_session *s, enum slu_close code, const char *message);
/* An event made by the adapter itself (echo). */
void slu_session_emit(struct slu_session *s, const struct slu_event *ev);
