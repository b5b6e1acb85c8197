/* The front end: listeners, TLS, HTTP and WebSocket on one libev loop and one lws_context for each worker thread. The
 * only user of libwebsockets, libev and OpenSSL. It knows connections and bytes; what a message means is the adapters'
 * and the core's business. Settings are plain data: where they come from is not known here. */
#pragma once

#include "broker/base/buf.h"
#include "broker/core/broker.h"

#include <sys/socket.h>

struct slu_net;
struct slu_adapter;

enum slu_net_side { SLU_NET_PUBLIC, SLU_NET_ADMIN };

/* One address to listen on. Everything is fixed at start. */
struct slu_net_listen {
    struct sockaddr_storage address; /* port 0 = any free one */
    socklen_t address_len;
    bool both_families; /* an IPv6 wildcard that takes IPv4 too; 0.0.0.0 where there is no IPv6 */
    bool companion;     /* takes the port of the address before it; may fail */
    int inherited;      /* a listening descriptor made elsewhere (socket activation), or -1 */
    enum slu_net_side side;
    bool tls;
    bool proxy_protocol; /* connections from trusted addresses begin with a PROXY header */
};

/* What a reload may change. Strings and lists are borrowed: they live until the net is freed. */
struct slu_net_settings {
    bool dev; /* pages of any loopback origin may come to the public side; dev_only adapters; no bounds per address */
    bool admin_open;            /* the administration side answers without credentials */
    bool dashboard_public;      /* the static files are served on the public side too */
    const char *const *origins; /* allowed Origin values, lower case, exact */
    size_t n_origins;
    const char *const *hosts; /* allowed Host names, lower case, without port; none = any */
    size_t n_hosts;
    /* May this peer say whom it speaks for (X-Forwarded-For, PROXY)? NULL = nobody. Any thread. */
    bool (*is_trusted)(const void *arg, const struct sockaddr *peer);
    const void *is_trusted_arg;
    const char *dashboard;         /* folder of static files, read at start and at each change; NULL = none */
    const char *certificate, *key; /* PEM files; NULL = no TLS */

    uint64_t connections, connections_per_address;         /* 0 = no bound */
    uint64_t connection_rate, connection_rate_per_address; /* new ones a second; 0 = no bound */
    uint64_t fragments;                                    /* of one message */
    uint64_t control_frames;                               /* a second and connection */
    uint64_t http_body;
    uint64_t upgrade_ms, message_ms;
};

/* What is fixed at start. */
struct slu_net_start {
    unsigned workers;
    bool echo; /* offer dev_only adapters */
    const struct slu_net_listen *listen;
    size_t n_listen;
    int backlog;
    unsigned header_bytes;
    int notsent_lowat;        /* bytes, 0 = the system's */
    unsigned user_timeout_ms; /* TCP_USER_TIMEOUT, 0 = the system's */
};

/* Makes everything, binds the addresses, starts no thread. On failure `error` says what to do about it. */
enum slu_err slu_net_new(struct slu_broker *b, const struct slu_net_start *start,
                         const struct slu_net_settings *settings, struct slu_buf *error, struct slu_net **out);
/* From here on connections are served. */
enum slu_err slu_net_run(struct slu_net *n);
/* Reads certificate and files anew; all or nothing, then each worker changes over between two turns. Main thread. */
enum slu_err slu_net_reload(struct slu_net *n, const struct slu_net_settings *settings, struct slu_buf *error);
/* No new connections: what the kernel has already accepted is still taken, then the listeners close. */
void slu_net_stop_listening(struct slu_net *n);
/* Closes up to `max` sessions of each worker with 4300. */
void slu_net_drain(struct slu_net *n, unsigned max, uint64_t after_ms);
/* Connections of any kind, half-open ones too. Any thread. */
size_t slu_net_connections(const struct slu_net *n);
/* Cuts what is left, ends the threads and frees all. NULL is fine. */
void slu_net_free(struct slu_net *n);

/* "127.0.0.1:8080" of the first listener of that side as it was bound, "" when there is none. */
void slu_net_address(const struct slu_net *n, enum slu_net_side side, struct slu_buf *out);
