/* Messages that a subscription holds back, oldest first: the newest per key (conflation) or every one (drop_oldest).
 * Bounded by its user: at the bound the oldest goes. Each entry holds a reference on its message. */
#pragma once

#include "broker/base/list.h"
#include "broker/base/map.h"
#include "broker/core/message.h"

enum slu_pending_key { SLU_PENDING_EACH, SLU_PENDING_BY_TOPIC, SLU_PENDING_BY_KEY };

struct slu_pending {
    struct slu_list waiting; /* entries with a message, in order of first arrival */
    struct slu_list sent;    /* conflation: keys whose value went out in this window, without a message */
    struct slu_map keys;
    enum slu_pending_key key;
    size_t n, bytes;  /* of waiting */
    size_t n_sent;
};

void slu_pending_init(struct slu_pending *p, enum slu_pending_key key);
void slu_pending_fini(struct slu_pending *p);

enum slu_pending_put {
    SLU_PUT_FIRST,    /* windowed put: nothing of this key went out in this window; not stored: send it now */
    SLU_PUT_NEW,      /* stored, waiting */
    SLU_PUT_REPLACED, /* took the place of an older value of its key */
    SLU_PUT_FAILED,   /* no memory */
};
/* window: the first value of a key in a window is given back to be sent at once. */
enum slu_pending_put slu_pending_put(struct slu_pending *p, struct slu_msg *m, bool window);
/* The oldest waiting message, borrowed; NULL when none waits. */
struct slu_msg *slu_pending_first(const struct slu_pending *p);
/* Takes the oldest out. window: its key counts as sent in this window. */
void slu_pending_drop_first(struct slu_pending *p, bool window);
/* A new window begins: forgets which keys went out in the last one. */
void slu_pending_new_window(struct slu_pending *p);
/* The one of them that went out first; there must be one. */
void slu_pending_forget_sent(struct slu_pending *p);
static inline bool slu_pending_is_empty(const struct slu_pending *p)
{
    return p->n == 0;
}
