/* Many producers, one consumer. Lock-free: post is one compare-and-swap; the consumer takes everything at once.
 * Order: all posts are in one total order, and the consumer sees them in it. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct slu_mail {
    struct slu_mail *next;
    /* Runs on the consumer's thread; owns the mail from then on. `owner` is the consumer's. */
    void (*run)(struct slu_mail *mail, void *owner);
};

struct slu_mailbox {
    _Atomic(struct slu_mail *) head;
    struct slu_mail *taken;  /* consumer only: taken but not yet run, oldest first */
    void (*wake)(void *arg); /* called by the poster whose mail made the box non-empty; any thread */
    void *wake_arg;
};

void slu_mailbox_init(struct slu_mailbox *b, void (*wake)(void *arg), void *wake_arg);
/* Any thread. The mail belongs to the mailbox until its run is called. */
void slu_mailbox_post(struct slu_mailbox *b, struct slu_mail *m);
/* Consumer only. Mail that is posted after a true answer calls wake. */
static inline bool slu_mailbox_is_empty(struct slu_mailbox *b)
{
    return !b->taken && !atomic_load_explicit(&b->head, memory_order_acquire);
}
/* Consumer only. Runs at most max mails that were posted so far; true when some are left (call again next turn). */
bool slu_mailbox_run(struct slu_mailbox *b, void *owner, size_t max);
