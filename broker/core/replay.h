/* The past of one subscription: from its start until it is live, and again after a pause.
 *
 * A subscription goes by the homes' sequences. For each home it is either behind (what comes live is left to the log)
 * or live. Reading in commit order until the log says "this is the head, as of n" and nothing later than n was left
 * out meanwhile joins that home without hole or repeat; a store answers a scan behind everything it has fed up to n. */
#pragma once

#include "broker/core/cursor.h"
#include "broker/core/state.h"

struct slu_subscribe;

/* Starts a new subscription: waits for the interest, finds the place, answers ok, replays, goes live. False: bad cursor
 * text or no memory (*err); nothing was sent. */
bool slu_replay_start(struct slu_sub *sub, const struct slu_subscribe *q, const struct slu_reqid *id,
                      enum slu_err *err);
/* The interest is in force on every worker. */
void slu_replay_ready(struct slu_replay *r);
/* Its place has been written down, for a subscription that remembers it: answers ok, reads. */
void slu_replay_begin(struct slu_replay *r);
/* Leaves live delivery at m, which was not delivered; of that home alone, where others are still being read. False
 * without memory. */
bool slu_replay_pause(struct slu_sub *sub, struct slu_msg *m);
/* The subscription is ended by its owner before it was answered: answers ok now. */
void slu_replay_answer_early(struct slu_replay *r);
/* Room has come. */
void slu_replay_go_on(struct slu_replay *r);
/* True: the log will bring m, do not deliver it now. r may be NULL. */
bool slu_replay_holds(struct slu_replay *r, const struct slu_msg *m);
/* m has no place in a log and comes before the replay's newest values are out: kept until they are, or left out because
 * it comes before the ok. False: deliver it now. r may be NULL. */
bool slu_replay_keeps(struct slu_replay *r, struct slu_msg *m);
/* How far this reader has come in a home, once it was located: all up to there has been given to it. */
struct slu_cursor_place slu_replay_place(const struct slu_replay *r, unsigned home);
/* Its start and its newest values are out: what comes is the log, in order. */
bool slu_replay_is_scanning(const struct slu_replay *r);
/* The subscription ends; a request under way lets go of it when it comes back. */
void slu_replay_forget(struct slu_replay *r);
