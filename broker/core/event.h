/* What the broker tells a connection. Core makes events, adapters encode them (protocol/adapter.h). All pointers in an
 * event are borrowed for the time of the call. */
#pragma once

#include "broker/base/err.h"
#include "broker/core/message.h"

/* A client's request id, repeated in the answer: integer or text of at most 64 bytes. */
struct slu_reqid {
    enum { SLU_ID_NONE, SLU_ID_INT, SLU_ID_TEXT } type;
    uint8_t len;
    int64_t number;
    char text[64]; /* UTF-8, decoded */
};

enum slu_event_type {
    SLU_EV_HELLO,
    SLU_EV_OK,
    SLU_EV_ERR,
    SLU_EV_MSG,
    SLU_EV_GAP,
    SLU_EV_CUR,
    SLU_EV_JOIN,
    SLU_EV_LEAVE,
    SLU_EV_END,
    SLU_EV_PONG,
    SLU_EV_PING,
    SLU_EV_BYE,
    SLU_EV_RAW, /* bytes as they are (echo) */
};

/* Which request an OK answers. */
enum slu_ok { SLU_OK_PLAIN, SLU_OK_AUTH, SLU_OK_SUB, SLU_OK_PUB, SLU_OK_REQ, SLU_OK_PRESENCE, SLU_OK_HISTORY };

enum slu_gap_reason {
    SLU_GAP_OVERFLOW,
    SLU_GAP_TRIMMED,
    SLU_GAP_EPOCH,
    SLU_GAP_EXPIRED,
    SLU_GAP_CLUSTER,
    SLU_GAP_SHED,
};

struct slu_member {
    const char *conn; /* connection id, text */
    struct slu_bytes user, info;
};

struct slu_event {
    enum slu_event_type type;
    const struct slu_reqid *id; /* OK, ERR, PONG, HELLO: NULL or NONE when the request had none */
    union {
        struct {
            const char *conn, *node, *protocol;
            struct slu_bytes user;      /* empty = anonymous */
            uint64_t ping_s, expires_s; /* expires_s 0 = never */
            struct {
                uint64_t payload, frame, subscriptions, queue_bytes, queue_messages;
            } limits;
        } hello;
        struct {
            enum slu_ok what;
            uint64_t expires_s;         /* AUTH */
            uint64_t sub;               /* SUB */
            bool recovered;             /* SUB */
            struct slu_pos pos;         /* SUB, PUB: epoch 0 = leave out */
            struct slu_bytes cur;       /* SUB: empty = leave out */
            uint32_t matched;           /* PUB */
            const struct slu_msg *data; /* REQ: the reply's payload */
            uint64_t count;             /* PRESENCE */
            const struct slu_member *members;
            size_t n_members;             /* PRESENCE */
            struct slu_bytes next_member; /* PRESENCE: empty = no more */
            struct slu_msg *const *items;
            size_t n_items;      /* HISTORY */
            struct slu_pos next; /* HISTORY: offset 0 = no more */
        } ok;
        struct {
            enum slu_err code;
            const char *message, *hint; /* NULL = the table's */
        } err;
        struct {
            const struct slu_msg *msg;
            bool has_sub, retained;
            uint64_t sub;
            unsigned try_no; /* group deliveries; 0 = leave out */
        } msg;
        struct {
            uint64_t sub;
            struct slu_bytes topic; /* empty = leave out */
            uint64_t lost;          /* 0 = unknown */
            enum slu_gap_reason reason;
        } gap;
        struct {
            uint64_t sub;
            struct slu_bytes cur;
        } cur;
        struct {
            struct slu_bytes topic;
            struct slu_member who;
        } presence; /* JOIN, LEAVE */
        struct {
            uint64_t sub;
            enum slu_err code;
            const char *message;
        } end;
        struct {
            uint64_t t;
            bool has_t;
        } ping; /* PING, PONG */
        struct {
            enum slu_close close;
            const char *message; /* NULL = the table's reason */
            uint64_t after_ms;
        } bye;
        struct {
            bool is_text;
            struct slu_bytes bytes;
        } raw;
    };
};
