/* From the router's match to the readers' queues, and the four policies where a queue is full. */
#pragma once

#include "broker/core/state.h"

struct slu_publish_op;

/* Gives m to every subscription of this worker that wants it; returns how many readers that were. op holds the frames
 * that workers share; NULL when only this worker delivers. Publishes nothing, frees nothing: it walks the router. */
uint32_t slu_deliver(struct slu_worker *w, struct slu_msg *m, struct slu_publish_op *op);

/* One message for one subscription that is not plain, from live traffic or from a replay that has room. */
void slu_deliver_live(struct slu_sub *sub, struct slu_msg *m);
void slu_deliver_replayed(struct slu_sub *sub, struct slu_msg *m, bool retained);
/* Counts one as lost that found no room; sub->more is there. */
void slu_deliver_drop(struct slu_sub *sub);
/* Sends what is held back as far as there is room. */
void slu_deliver_held(struct slu_sub *sub);
/* Content filter and echo. */
bool slu_deliver_wants(const struct slu_sub *sub, const struct slu_msg *m);
/* May a replay or held-back message go out now? */
bool slu_deliver_has_room(const struct slu_sub *sub);
void slu_deliver_gap(struct slu_sub *sub, struct slu_bytes topic, uint64_t lost, enum slu_gap_reason reason);
/* A conflated key may go out again. */
void slu_deliver_window(struct slu_timer *t, uint64_t now_ms);
/* Gives back what the session was charged for held-back messages. */
void slu_deliver_forget_held(struct slu_sub *sub);
