/* Work queues: the members of a group share the messages of a filter. A group lives on one worker (its home), which
 * reads for it like any subscriber, with the log as its backlog; members may sit on any worker. Every message is with
 * one member at a time until that one acknowledges; otherwise it is delivered again, to whoever has room. */
#pragma once

#include "broker/core/state.h"

struct slu_group;
struct slu_member_state;

void slu_group_init(struct slu_worker *w);
void slu_group_fini(struct slu_worker *w);

/* On the member's worker. The ok (or err) comes when the group reads. */
enum slu_err slu_group_join(struct slu_session *s, struct slu_sub *sub, const struct slu_subscribe *q,
                            const struct slu_reqid *id);
/* The subscription ends: what the member has not acknowledged goes to others. */
void slu_group_leave(struct slu_member_state *m);
/* It is ended before it was answered: answers ok now. */
void slu_group_answer_early(struct slu_member_state *m);
struct slu_bytes slu_group_filter(const struct slu_member_state *m);
/* The member's credit as the session knows it. */
bool slu_group_credit(struct slu_member_state *m, uint64_t credit); /* false without memory */
void slu_group_has_room_again(struct slu_member_state *m);          /* after a message found none */

/* On the group's worker, for its reader. started: it reads from now on, and who joined meanwhile is answered; failed:
 * it cannot, the group goes. live: from inside a delivery. */
void slu_group_started(struct slu_group *g);
void slu_group_failed(struct slu_group *g, enum slu_err err);
/* located: it knows where it begins, which is written down before slu_replay_begin; caught_up: it is live on every home. */
void slu_group_located(struct slu_group *g);
void slu_group_caught_up(struct slu_group *g);
/* Of one that was remembered and is taken up again: up to `read` of a home everything was handed out before, and is work
 * only if it was not acknowledged. starts_over: the home has another past. */
bool slu_group_is_taken_up(const struct slu_group *g);
bool slu_group_has_read(const struct slu_group *g, unsigned home, uint64_t seq);
void slu_group_starts_over(struct slu_group *g, unsigned home);
void slu_group_live(struct slu_group *g, struct slu_msg *m);
void slu_group_offer(struct slu_group *g, struct slu_msg *m);
bool slu_group_has_room(const struct slu_group *g);
void slu_group_gap(struct slu_group *g, struct slu_bytes topic, uint64_t lost, enum slu_gap_reason reason);
struct slu_worker *slu_group_worker(const struct slu_group *g);
