/* What a protocol adapter is: it turns a connection's messages into calls of the core (session.h) and the core's events
 * into wire bytes. No adapter knows WebSocket: framing belongs to the connection's link. */
#pragma once

#include "broker/core/event.h"

struct slu_session;
struct slu_peer;
struct slu_buf;

struct slu_adapter {
    const char *name;           /* also the subprotocol it answers to */
    const char *const *aliases; /* further subprotocols, NULL-terminated; NULL = none */
    size_t conn_size;           /* per-connection state, zeroed by the core */
    unsigned wire;              /* distinct small number (< SLU_WIRES) of the encoding of plain messages */
    bool is_text;               /* sends text frames */
    bool dev_only;              /* offered only where the configuration says so (echo) */
    bool has_bye;               /* has a frame for BYE and Sluice's own close codes; others drain with 1001 */
    bool needs_login;           /* false: the session is open at once (echo) */

    /* First call on conn. If this fails, on_close is not called. May already ask for things (?sub=). */
    enum slu_err (*on_open)(void *conn, struct slu_session *s, const struct slu_peer *peer);

    /* One whole message, borrowed until return; text has been checked as UTF-8. Untrusted otherwise: validate here,
     * core trusts what adapters pass. To end the connection: slu_session_close. */
    void (*on_message)(void *conn, bool is_text, struct slu_bytes in);

    /* The login of this session succeeded (by a frame, by what the handshake carried, or after the login timeout).
     * Optional. The hello has been sent before. */
    void (*on_login)(void *conn);

    /* Append the wire form of ev to out (no WebSocket header). No I/O; must not keep ev. For a MSG without sub, retained
     * and try, conn is NULL and the bytes are shared by all connections of this adapter. SLU_EUNSUPPORTED: this
     * protocol has no such frame, nothing is sent. */
    enum slu_err (*encode)(void *conn, const struct slu_event *ev, struct slu_buf *out);

    /* Once, after a successful on_open; the last call on conn. */
    void (*on_close)(void *conn);
};

enum { SLU_WIRES = 4 };

extern const struct slu_adapter slu_adapter_native_json; /* "sluice.v1.json" */
extern const struct slu_adapter slu_adapter_native_cbor; /* "sluice.v1.cbor" */
extern const struct slu_adapter slu_adapter_echo;        /* "sluice.echo" */

/* All adapters, NULL-terminated, in the order in which they are listed to people. */
extern const struct slu_adapter *const slu_adapters[];

/* By subprotocol name, NULL when unknown or dev_only and not with_dev. */
const struct slu_adapter *slu_adapter_by_subprotocol(struct slu_bytes name, bool with_dev);
/* For a path without any subprotocol offered; NULL: no such path. Paths "/" and "/ws" are native JSON. */
const struct slu_adapter *slu_adapter_by_path(struct slu_bytes path);
