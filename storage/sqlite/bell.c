/* How a thread of the engine sleeps: without a time-out, until somebody has work. */
#include "storage/sqlite/store.h"

void sql_bell_init(struct sql_bell *b)
{
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->rung, NULL);
    b->has_rung = false;
}

void sql_bell_fini(struct sql_bell *b)
{
    pthread_cond_destroy(&b->rung);
    pthread_mutex_destroy(&b->lock);
}

void sql_bell_ring(struct sql_bell *b)
{
    pthread_mutex_lock(&b->lock);
    b->has_rung = true;
    pthread_cond_signal(&b->rung);
    pthread_mutex_unlock(&b->lock);
}

void sql_bell_wait(struct sql_bell *b)
{
    pthread_mutex_lock(&b->lock);
    while (!b->has_rung)
        pthread_cond_wait(&b->rung, &b->lock);
    b->has_rung = false;
    pthread_mutex_unlock(&b->lock);
}
