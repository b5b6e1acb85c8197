/* A connection's subscriptions: made, listed, ended; and what lets a held-back one go on. */
#pragma once

#include "broker/core/state.h"

struct slu_sub *slu_sub_find(struct slu_session *s, uint64_t number); /* NULL if there is none */
/* The part that only special subscriptions have; made on demand. NULL without memory. */
struct slu_sub_more *slu_sub_more(struct slu_sub *sub);
/* After something that decides about `plain` has changed. */
void slu_sub_refresh(struct slu_sub *sub);
/* A plain one without options gives back what it no longer needs: sub->more may be NULL afterwards. */
void slu_sub_slim(struct slu_sub *sub);
/* Puts the sub on its session's list of those that wait for room or credit; harmless twice. */
void slu_sub_block(struct slu_sub *sub);
/* Room has come: all that wait go on. Not from inside a delivery. */
void slu_sub_resume_blocked(struct slu_session *s);
/* For one that had none of its own: it goes on, unless there is another reason to wait. */
void slu_sub_has_room_again(struct slu_sub *sub);
/* Reads and listens from here on, as asked: the router, then the replay. What fails ends nothing. */
enum slu_err slu_sub_read(struct slu_sub *sub, const struct slu_subscribe *q, const struct slu_reqid *id);
/* Takes it out of the router and frees it. Not from inside a delivery. */
void slu_sub_end(struct slu_sub *sub);
void slu_sub_end_all(struct slu_session *s);
/* After the rights have changed: END to what they no longer cover. */
void slu_sub_end_forbidden(struct slu_session *s);
/* Once a second: `cur` for wildcard subscriptions that had something. */
void slu_sub_send_cursors(struct slu_worker *w);
/* The router's callback. */
void slu_sub_moved(void *item, uint32_t index);
/* Makes the reader of a work queue: a subscription without a session. */
enum slu_err slu_sub_new_for_group(struct slu_worker *w, struct slu_group *g, struct slu_bytes filter,
                                   struct slu_sub **out);
