/* Durable subscriptions: the broker remembers under (user, name) up to where a reader has acknowledged, and who comes
 * back under that name goes on from there. A name has one holder: whoever subscribes last. */
#pragma once

#include "broker/core/state.h"

struct slu_durable;

void slu_durable_init(struct slu_worker *w);
void slu_durable_fini(struct slu_worker *w);
/* Claims the name; the subscription starts when the store has answered. Its options are taken over already. */
enum slu_err slu_durable_start(struct slu_sub *sub, const struct slu_subscribe *q, const struct slu_reqid *id);
/* The subscription ends; its place is kept. NULL is fine. */
void slu_durable_end(struct slu_durable *d);
/* It is ended before it was answered, and before its replay: answers ok now. */
void slu_durable_answer_early(struct slu_durable *d);
struct slu_bytes slu_durable_filter(const struct slu_durable *d);

/* The replay knows where it begins: that is written down, then slu_replay_begin follows. */
void slu_durable_located(struct slu_durable *d);
/* m is about to go out. False without memory: it must not. */
bool slu_durable_note(struct slu_durable *d, const struct slu_msg *m);
/* Few enough messages wait for their acknowledgement. */
bool slu_durable_has_room(const struct slu_durable *d);
void slu_durable_ack(struct slu_durable *d, const struct slu_reqid *id, struct slu_bytes topic, struct slu_pos pos,
                     bool upto);

/* Once a second: the places of those that had nothing to acknowledge. */
void slu_durable_tick(struct slu_worker *w);
