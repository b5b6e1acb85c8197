/* One connection, from accept to its end: what struct slu_link of the core is here.
 *
 *   HEAD     its HTTP request is awaited (TLS and PROXY header before that too)  slu_link_adopt
 *   REPLY    an HTTP reply goes out; then the end                                slu_http_…
 *   OPEN     WebSocket; has a session                                            slu_link_open
 *   CLOSING  our close frame is out; the peer's, or the deadline, ends it        ops.close
 *   ENDING   the peer or lws ends it: what this turn still writes goes out first slu_link_on_end, the peer's close
 *   DEAD     nothing is written any more; lws is about to close it               slu_link_cut, slu_link_gone
 *
 * A state is only ever followed by a lower line; WSI_DESTROY ends any of them. The session, once there, stays until
 * slu_link_gone. */
#pragma once

#include "broker/base/utf8.h"
#include "broker/core/link.h"
#include "broker/net/loop.h"

enum slu_link_state { SLU_LINK_HEAD, SLU_LINK_REPLY, SLU_LINK_OPEN, SLU_LINK_CLOSING, SLU_LINK_ENDING, SLU_LINK_DEAD };

struct slu_adapter;
struct slu_http_reply;
struct slu_waiting;

struct slu_link {
    struct lws *wsi;
    struct slu_loop *loop;
    struct slu_session *session;
    const struct slu_adapter *adapter; /* chosen by the handshake */
    struct slu_http_reply *reply;      /* a reply that did not go out at once */
    struct slu_waiting *waiting;       /* its PROXY header is awaited: no wsi yet */
    struct slu_list all;               /* in loop.links */
    struct slu_list reading;           /* in loop.reading, while TLS has to be told to stop or go on */
    struct slu_timer timer;            /* upgrade, reply, message or close deadline, by state */

    uint8_t *message; /* what has arrived of a message that came in pieces */
    size_t message_len, message_cap;
    uint64_t frame_left; /* of the frame that is under way */
    size_t held;         /* bound of what the library keeps of our last write; charged */
    uint32_t charged;    /* bytes charged for the connection itself */

    uint32_t fragments;
    uint32_t round, round_bytes; /* bytes of this loop iteration */
    uint32_t control_second;
    uint32_t control_frames;
    uint32_t rx_mark, rx_mark_round; /* see slu_link_find_spinners */
    struct slu_utf8 utf8;
    struct slu_ip ip; /* the client's, also its key at the gate */
    uint8_t state, side;
    bool is_tls, is_trusted; /* trusted: the peer may say whom it speaks for */
    bool in_message, is_text;
    bool reads, lws_reads;                         /* as the core wants it; as lws has been told */
    bool wants_writable, was_partial, was_resumed; /* why lws will call with SERVER_WRITEABLE */
};

extern const struct slu_link_ops slu_link_ops;

/* For an accepted descriptor; taken over also on failure. ip has passed the gate; it leaves with the link. */
struct slu_link *slu_link_new(struct slu_loop *loop, const struct slu_listener *from, const struct slu_ip *ip,
                              bool is_trusted);
/* Before adoption only. */
void slu_link_free(struct slu_link *l);
/* Gives the descriptor to lws. On failure both are gone. */
bool slu_link_adopt(struct slu_link *l, int fd);
/* The handshake is over: makes the session, or sends a close frame that says why not. */
void slu_link_open(struct slu_link *l);
void slu_link_set_state(struct slu_link *l, enum slu_link_state to);
void slu_link_deadline(struct slu_link *l, uint64_t ms); /* 0 = none */
/* Ends the connection without further words, at the end of this turn at the latest. */
void slu_link_cut(struct slu_link *l);
/* lws calls: it can take writes again; the connection is closed; its memory goes. */
void slu_link_on_writable(struct slu_link *l);
void slu_link_gone(struct slu_link *l);
void slu_link_destroyed(struct slu_link *l);
/* Counts a ping or pong; false when there are too many of them. */
bool slu_link_on_control(struct slu_link *l);
/* lws has begun to close it, for a fault of the peer's or because the socket has ended. */
void slu_link_on_end(struct slu_link *l);
/* The peer's close frame. True: answer as usual, false: the connection ends at once. */
bool slu_link_on_peer_close(struct slu_link *l, struct slu_bytes payload);
/* Tells lws which TLS connections are to stop or go on reading; outside of its callbacks only. */
void slu_link_settle_reading(struct slu_loop *loop);
/* Those that go on: OpenSSL may hold input already, of which the socket says nothing. */
void slu_link_read_resumed(struct slu_loop *loop);
/* Cuts connections whose peer has hung up while the library still holds bytes for it: lws does not look at them, and the
 * loop would spin. */
void slu_link_watch_stuck(struct slu_loop *loop);
/* The loop goes round without anything to do: ends what keeps it going. That is a reply that does not get on while the
 * client has sent more, or a flood of pings, of which lws tells nobody. */
void slu_link_find_spinners(struct slu_loop *loop);
/* The loop ends: tells sessions, lws closes the sockets after that. */
void slu_link_cut_all(struct slu_loop *loop);
