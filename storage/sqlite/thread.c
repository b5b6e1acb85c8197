/* How a thread of the engine begins: without signals, which would end a flush half-way; and how it sleeps: without a
 * time-out, until somebody has work. */
#include "storage/sqlite/store.h"

#include <signal.h>

bool sql_thread_start(pthread_t *thread, const char *name, void *(*run)(void *arg), void *arg)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        pthread_setname_np(*thread, name);
    return rc == 0;
}

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
