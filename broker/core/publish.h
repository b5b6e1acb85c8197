/* A publish on its way: to the log (or past it), to the workers that want it, back to the publisher with its ok. */
#pragma once

#include "broker/core/state.h"

struct slu_publish_op;

/* The engine's feed (storage/engine.h): a committed message goes to its readers. */
void slu_publish_feed(void *broker, unsigned worker, struct slu_msg *msg);

/* Publishes a ready message on behalf of nobody (dead letters, …). Takes over the reference. From any worker's turn,
 * not from inside a delivery. */
void slu_publish_internal(struct slu_worker *w, struct slu_msg *m);

/* The same, and done hears how it went, on w; maybe inside the call. */
void slu_publish_and_tell(struct slu_worker *w, struct slu_msg *m, void (*done)(void *arg, enum slu_err err),
                          void *arg);

/* Gives a message without position to all readers, answers with the number of readers that matched. done runs on w,
 * later. Borrowed message. Does not pass the log. */
void slu_publish_direct(struct slu_worker *w, struct slu_msg *m, void (*done)(void *arg, uint32_t matched), void *arg);

/* Frames made by one worker, for the others. get: empty when nobody has made one yet. Any worker that delivers op. */
struct slu_bytes slu_publish_frame_get(const struct slu_publish_op *op, unsigned wire);
void slu_publish_frame_put(struct slu_publish_op *op, unsigned wire, struct slu_bytes frame);

/* The session is being freed: answers under way find nobody. */
void slu_publish_forget(struct slu_session *s);
