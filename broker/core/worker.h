/* One worker's share of the broker: router, interest, sessions, timers and queues, all owned by one thread. The loop
 * that drives it (broker/net, or a test) passes time in and calls turn_begin and turn_end around everything else. */
#pragma once

#include "broker/base/mailbox.h"
#include "broker/base/wheel.h"
#include "broker/core/broker.h"

struct slu_worker;
struct slu_adapter;
struct slu_session;
struct slu_peer;
struct slu_link;
struct slu_link_ops;

/* wake: called from any thread when mail waits: the loop then calls slu_worker_turn_begin soon. */
enum slu_err slu_worker_new(struct slu_broker *b, unsigned index, void (*wake)(void *arg), void *wake_arg,
                            struct slu_worker **out);
/* After every worker's loop has stopped and all sessions are gone. */
void slu_worker_free(struct slu_worker *w);

/* At the start of each loop turn: takes the time (monotonic and wall, ms), runs mail (bounded) and due timers. */
void slu_worker_turn_begin(struct slu_worker *w, uint64_t now_ms, uint64_t wall_ms);
/* Before the loop sleeps: deferred work, then one write for each connection that has something to send, then the
 * freeing of what has died. Returns how long the loop may sleep in ms (0 = not at all, UINT64_MAX = until an event). */
uint64_t slu_worker_turn_end(struct slu_worker *w);

struct slu_broker *slu_worker_broker(struct slu_worker *w);
unsigned slu_worker_index(const struct slu_worker *w);
uint64_t slu_worker_now(const struct slu_worker *w);
uint64_t slu_worker_wall(const struct slu_worker *w);
/* For timers of the front end that run with the core's. */
struct slu_wheel *slu_worker_wheel(struct slu_worker *w);
/* Runs mail on that worker, from any thread. */
void slu_worker_post(struct slu_worker *w, struct slu_mail *mail);
unsigned slu_worker_sessions(const struct slu_worker *w);

/* Links (broker/net) call these.
 * open: a handshake has ended well. On error nothing was made and the link closes. */
enum slu_err slu_session_open(struct slu_worker *w, const struct slu_adapter *a, const struct slu_link_ops *ops,
                              struct slu_link *l, const struct slu_peer *peer, struct slu_session **out);
/* One whole message. */
void slu_session_input(struct slu_session *s, bool is_text, struct slu_bytes in);
/* Any byte arrived (ping, pong and parts of messages too): a sign of life. Cheap. */
void slu_session_alive(struct slu_session *s);
/* The link can take a write again. */
void slu_session_writable(struct slu_session *s);
/* Writes what is queued now rather than at the end of the turn: for a link that does not live that long. */
void slu_session_flush(struct slu_session *s);
/* The front end found the peer at fault (bad UTF-8, too large, wrong kind …): bye where the protocol has it, then close. */
void slu_session_fail(struct slu_session *s, enum slu_close code, const char *message);
/* The connection is gone; the last call on s. The link must not be used by the core afterwards. */
void slu_session_gone(struct slu_session *s);
/* The connection id of the session, text. */
const char *slu_session_conn(const struct slu_session *s);

/* Ends every session of this worker, paced: `fraction` of those open (1 = all). Close code 4300 with after_ms. */
void slu_worker_drain(struct slu_worker *w, unsigned max_sessions, uint64_t after_ms);
