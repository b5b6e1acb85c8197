/* A link carries one session's bytes: the core's view of a connection. broker/net implements it on libwebsockets, tests
 * on memory. All calls on the worker's own thread. */
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/err.h"

struct slu_link; /* the implementer's, opaque to the core */

struct slu_link_ops {
    /* Writes the framing of one message of len bytes into out (room for 14), returns its length. Pure. */
    size_t (*frame_header)(bool is_text, size_t len, uint8_t out[14]);

    /* Takes a ping frame into out (room for 32), returns its length; 0 = this link has none. Pure. */
    size_t (*ping_frame)(uint8_t out[32]);

    /* True while a write would be taken: nothing from an earlier write is still held by the library. When it is false,
     * the link calls slu_session_writable once that has gone out. */
    bool (*writable)(struct slu_link *l);

    /* Whole frames. All of them are taken or the link is dead (error): then the link reports slu_session_gone later. */
    enum slu_err (*write)(struct slu_link *l, struct slu_bytes frames);

    /* Asks for one slu_session_writable call in a later turn. */
    void (*want_writable)(struct slu_link *l);

    /* Stops or resumes reading (back-pressure on a publisher). */
    void (*read)(struct slu_link *l, bool on);

    /* Ends the connection: what was written goes out, then a close frame, and the socket is cut after the close
     * timeout. code 0: cut at once. Reports slu_session_gone later, never inside. No write may follow. */
    void (*close)(struct slu_link *l, enum slu_close code, const char *reason);

    /* Bytes that the library and the kernel hold and the peer has not taken. Costs a system call: not on hot paths. */
    size_t (*held)(struct slu_link *l);
};

/* Who connects, as far as the handshake told. Borrowed for the call that gets it. */
struct slu_peer {
    const char *address;          /* text, without port: the client's, behind trusted proxies too */
    struct slu_bytes path, query; /* query raw, without '?' */
    struct slu_bytes bearer;      /* Authorization: Bearer; empty = none */
    bool is_tls, is_admin;        /* is_admin: came by the administration listener */
};
