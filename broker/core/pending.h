/* Messages that a subscription holds back, oldest first: the newest per key (conflation) or every one (drop_oldest).
 * Bounded by its user: at the bound the oldest goes. Each entry holds a reference on its message.
 *
 * Conflation at a rate: a key whose value went out rests until free_ms; what comes meanwhile is held at the key. All
 * keys of one set rest equally long, so those that rest are in the order of their ends. */
#pragma once

#include "broker/base/list.h"
#include "broker/base/map.h"
#include "broker/core/message.h"

enum slu_pending_key { SLU_PENDING_EACH, SLU_PENDING_BY_TOPIC, SLU_PENDING_BY_KEY };

struct slu_pending {
    struct slu_list waiting; /* entries with a message that may go out, in order of arrival */
    struct slu_list resting; /* with a message or without */
    struct slu_list held;    /* all that have a message, in order of arrival */
    struct slu_list idle;    /* those at rest without one */
    struct slu_map keys;
    enum slu_pending_key key;
    size_t n, bytes; /* of held */
    size_t n_idle;
};

void slu_pending_init(struct slu_pending *p, enum slu_pending_key key);
void slu_pending_fini(struct slu_pending *p);

enum slu_pending_put {
    SLU_PUT_FIRST,    /* its key does not rest, and does from now on: not stored, send it now */
    SLU_PUT_NEW,      /* stored */
    SLU_PUT_REPLACED, /* took the place of an older value of its key */
    SLU_PUT_FAILED,   /* no memory */
};
/* free_ms: a value whose key does not rest is given back to be sent at once, and the key rests until then; 0: it is
 * stored. */
enum slu_pending_put slu_pending_put(struct slu_pending *p, struct slu_msg *m, uint64_t free_ms);
/* The oldest message that may go out, borrowed; NULL when there is none. */
struct slu_msg *slu_pending_first(const struct slu_pending *p);
/* Takes that one out; its key rests until free_ms (0: not). */
void slu_pending_drop_first(struct slu_pending *p, uint64_t free_ms);
/* Takes the oldest of all messages out; p->n must not be 0. */
void slu_pending_drop_oldest(struct slu_pending *p);
/* Ends the rest of keys whose time has come. */
void slu_pending_wake(struct slu_pending *p, uint64_t now_ms);
/* When the next rest ends; 0 = none rests. */
uint64_t slu_pending_next_free(const struct slu_pending *p);
/* Ends the rest of the key that is idle longest; p->n_idle must not be 0. */
void slu_pending_forget_idle(struct slu_pending *p);
static inline bool slu_pending_is_empty(const struct slu_pending *p)
{
    return p->n == 0;
}
