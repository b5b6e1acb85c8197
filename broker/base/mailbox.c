/* A Treiber stack that is only ever taken as a whole, so there is no ABA problem and no node is read after its mail was
 * run; reversing what was taken gives the order of the posts back.
 *
 * 1. Whoever finds the stack empty wakes the consumer; while it is not empty a wake is on its way or the consumer has
 *    been told by slu_mailbox_run's answer to come back.
 * 2. What was taken runs before anything newer is taken. */
#include "broker/base/mailbox.h"

void slu_mailbox_init(struct slu_mailbox *b, void (*wake)(void *arg), void *wake_arg)
{
    atomic_init(&b->head, NULL);
    b->taken = NULL;
    b->wake = wake;
    b->wake_arg = wake_arg;
}

void slu_mailbox_post(struct slu_mailbox *b, struct slu_mail *m)
{
    struct slu_mail *head = atomic_load_explicit(&b->head, memory_order_relaxed);
    do
        m->next = head;
    while (!atomic_compare_exchange_weak_explicit(&b->head, &head, m, memory_order_acq_rel, memory_order_relaxed));
    if (!head && b->wake)
        b->wake(b->wake_arg);
}

static struct slu_mail *take_all(struct slu_mailbox *b)
{
    struct slu_mail *newest = atomic_exchange_explicit(&b->head, NULL, memory_order_acq_rel);
    struct slu_mail *oldest = NULL;
    while (newest) {
        struct slu_mail *older = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = older;
    }
    return oldest;
}

bool slu_mailbox_run(struct slu_mailbox *b, void *owner, size_t max)
{
    /* One take a call: mails that the handlers post wait for the next turn, so that two boxes cannot feed each other
     * forever. Leftovers of the last call may make room for that take half-way. */
    bool may_take = true;
    for (size_t i = 0; i < max; i++) {
        if (!b->taken) {
            if (!may_take)
                break;
            may_take = false;
            b->taken = take_all(b);
            if (!b->taken)
                break;
        }
        struct slu_mail *m = b->taken;
        b->taken = m->next;
        m->run(m, owner);
    }
    return b->taken || atomic_load_explicit(&b->head, memory_order_relaxed);
}
