/* From events to bytes on the link: encode, queue, flush. The only writer of session->queue. */
#pragma once

#include "broker/core/state.h"

/* Encodes for this session alone and queues. False: not queued; the protocol has no such frame, or the session is
 * ending, as it does where memory ran out for this. */
bool slu_out_event(struct slu_session *s, const struct slu_event *ev);
/* Encodes a plain MSG once for all sessions with this adapter. False without memory. `like` gives framing. */
bool slu_out_encode_shared(struct slu_worker *w, const struct slu_session *like, const struct slu_event *ev,
                           struct slu_span *out);
bool slu_out_span(struct slu_session *s, const struct slu_span *span);
/* Bytes already framed elsewhere (another worker's shared frame): copied into this worker's run for the wire. */
bool slu_out_adopt(struct slu_worker *w, unsigned wire, struct slu_bytes frame, struct slu_span *out);
void slu_out_ping(struct slu_session *s); /* the link's own ping frame */

/* Would len more bytes as one more message keep within the session's bound? An empty queue takes any message. */
bool slu_out_fits(const struct slu_session *s, size_t len);
/* Few enough bytes are queued that replays and held-back messages may go on. */
bool slu_out_is_low(const struct slu_session *s);

void slu_out_mark_dirty(struct slu_session *s);
void slu_out_flush(struct slu_session *s);
/* Nothing left here or in the library. */
bool slu_out_is_empty(const struct slu_session *s);
/* Drops queued frames (before 4504). */
void slu_out_drop_queue(struct slu_session *s);
