/* Which workers want what. Each worker keeps its own copy of the table (filters -> other workers), kept up by mail, so
 * that a message travels only to workers with a reader for it. The same for watchers of presence. */
#pragma once

#include "broker/core/state.h"

/* A new subscription to filter on w; is_first: the first one for this filter here. Calls slu_replay_ready(r) once the
 * interest is in force on every worker: later in this turn at the earliest. False without memory. */
bool slu_interest_announce(struct slu_worker *w, struct slu_bytes filter, bool is_first, struct slu_replay *r);
/* The last subscription to filter on w is gone. */
void slu_interest_withdraw(struct slu_worker *w, struct slu_bytes filter);
/* Workers other than w with a reader for the topic: bit i = worker i. */
uint64_t slu_interest_match(struct slu_worker *w, struct slu_bytes topic);

/* The same for presence: w itself has its bit too. */
bool slu_interest_watch(struct slu_worker *w, struct slu_bytes filter);
void slu_interest_unwatch(struct slu_worker *w, struct slu_bytes filter);
uint64_t slu_interest_watchers(struct slu_worker *w, struct slu_bytes topic);

void slu_interest_moved(void *item, uint32_t index);
void slu_interest_fini(struct slu_worker *w);
