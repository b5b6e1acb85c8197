/* See worker.h: one worker's turn, its timers and its mail. */
#include "broker/core/broker_state.h"
#include "broker/core/durable.h"
#include "broker/core/group.h"
#include "broker/core/interest.h"
#include "broker/core/keep.h"
#include "broker/core/life.h"
#include "broker/core/output.h"
#include "broker/core/presence.h"
#include "broker/core/rate.h"
#include "broker/core/replay.h"
#include "broker/core/request.h"
#include "broker/core/subscription.h"

#include <limits.h>
#include <stdlib.h>

enum {
    MAIL_A_TURN = 1024,
    DEFERRED_ROUNDS = 64,
    PAGES_A_TURN = 8,
    TICK_MS = 100,
    SHED_AT_ONCE = 16,
    SHORT_MAX_MS = 1000,
    ROUTER_CACHE = 65536,
    WATCH_CACHE = 1024,
};

static void tick(struct slu_timer *t, uint64_t now_ms);

/* The worker whose turn this thread is in: a post to oneself costs no atomic operation and runs later in the turn.
 * Set by turn_begin, so that a test can drive several workers on one thread. */
static _Thread_local struct slu_worker *current;

enum slu_err slu_worker_new(struct slu_broker *b, unsigned index, void (*wake)(void *arg), void *wake_arg,
                            struct slu_worker **out)
{
    struct slu_worker *w = calloc(1, sizeof(*w));
    if (!w)
        return SLU_ENOMEM;
    w->broker = b;
    w->index = index;
    w->homes = slu_store_homes(b->store);
    w->deferred_tail = &w->deferred;
    slu_mailbox_init(&w->mailbox, wake, wake_arg);
    slu_wheel_init(&w->wheel, 0);
    struct slu_list *lists[] = { &w->sessions, &w->dirty, &w->stuck, &w->reap, &w->wild_subs, &w->unplaced };
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        slu_list_init(lists[i]);
    for (unsigned i = 0; i < SLU_WIRES; i++)
        slu_run_init(&w->runs[i], &b->account);
    slu_buf_init(&w->scratch, 0);
    slu_keep_init(w);
    slu_durable_init(w);
    slu_request_init(w);
    slu_group_init(w);
    slu_presence_init(w);
    w->router = slu_router_new(ROUTER_CACHE, slu_sub_moved);
    w->interest = slu_router_new(ROUTER_CACHE, slu_interest_moved);
    w->watchers = slu_router_new(WATCH_CACHE, slu_interest_moved);
    w->gather = malloc(SLU_GATHER_BYTES);
    w->seen = calloc(w->homes, sizeof(*w->seen));
    w->home_epochs = calloc(w->homes, sizeof(*w->home_epochs));
    slu_timer_init(&w->tick, tick);
    if (!w->router || !w->interest || !w->watchers || !w->gather || !w->seen || !w->home_epochs) {
        slu_worker_free(w);
        return SLU_ENOMEM;
    }
    b->workers[index] = w;
    *out = w;
    return SLU_OK;
}

/* Deferred mail may defer more; what the last round leaves waits for the next turn. */
static void run_deferred(struct slu_worker *w, unsigned max_rounds)
{
    for (unsigned rounds = 0; w->deferred && rounds < max_rounds; rounds++) {
        struct slu_mail *m = w->deferred;
        w->deferred = NULL;
        w->deferred_tail = &w->deferred;
        while (m) {
            struct slu_mail *next = m->next;
            m->run(m, w);
            m = next;
        }
    }
}

static void reap(struct slu_worker *w)
{
    while (!slu_list_empty(&w->reap))
        slu_life_reap(slu_container_of(w->reap.next, struct slu_session, all));
}

static void turn_all(struct slu_broker *b)
{
    for (unsigned rounds = 0; rounds < 64; rounds++)
        for (unsigned i = 0; i < b->n_workers; i++)
            if (b->workers[i]) {
                slu_worker_turn_begin(b->workers[i], b->workers[i]->now_ms, b->workers[i]->wall_ms);
                slu_worker_turn_end(b->workers[i]);
            }
}

/* All threads have stopped: what workers still have for each other is done on this one, so that every request under way
 * finds its end before the first worker goes. The work queues write down where they stand; the store ends what it has
 * been given, and its answers find their worker. */
static void settle(struct slu_broker *b)
{
    if (b->is_settled)
        return;
    b->is_settled = true;
    turn_all(b);
    for (unsigned i = 0; i < b->n_workers; i++) {
        current = b->workers[i];
        if (b->workers[i])
            slu_group_fini(b->workers[i]);
    }
    turn_all(b);
    slu_store_close(b->store);
    b->store = NULL;
    turn_all(b);
}

void slu_worker_free(struct slu_worker *w)
{
    if (!w)
        return;
    if (w->broker->workers[w->index] == w)
        settle(w->broker);
    current = w;
    reap(w);
    slu_group_fini(w);
    slu_presence_fini(w);
    slu_request_fini(w);
    slu_keep_fini(w);
    slu_durable_fini(w);
    while (slu_mailbox_run(&w->mailbox, w, MAIL_A_TURN))
        ;
    run_deferred(w, UINT_MAX);
    slu_interest_fini(w);
    if (w->broker->workers[w->index] == w)
        w->broker->workers[w->index] = NULL;
    slu_router_free(w->router);
    slu_router_free(w->interest);
    slu_router_free(w->watchers);
    for (unsigned i = 0; i < SLU_WIRES; i++)
        slu_run_fini(&w->runs[i]);
    slu_buf_fini(&w->scratch);
    slu_rate_free(w->rates);
    free(w->gather);
    free(w->seen);
    free(w->home_epochs);
    free(w);
    current = NULL;
}

void slu_worker_turn_begin(struct slu_worker *w, uint64_t now_ms, uint64_t wall_ms)
{
    current = w;
    w->now_ms = now_ms;
    w->wall_ms = wall_ms;
    atomic_store_explicit(&w->broker->wall_ms, wall_ms, memory_order_relaxed);
    if (!w->tick.due_ms) {
        slu_wheel_advance(&w->wheel, now_ms);
        slu_wheel_set(&w->wheel, &w->tick, now_ms + TICK_MS);
    }
    w->in_turn = slu_mailbox_run(&w->mailbox, w, MAIL_A_TURN);
    slu_wheel_advance(&w->wheel, now_ms);
}

static void publish_counts(struct slu_worker *w)
{
    for (unsigned c = 0; c < SLU_COUNTERS_N; c++) {
        if (w->counts[c])
            slu_count(w->broker, (enum slu_counter)c, w->counts[c]);
        w->counts[c] = 0;
    }
}

uint64_t slu_worker_turn_end(struct slu_worker *w)
{
    reap(w); /* before the mails, so that those who left are not given work */
    run_deferred(w, DEFERRED_ROUNDS);
    /* A replay goes on as soon as its last page is written. So many pages of each a turn, then the loop looks for
     * others. */
    for (unsigned pages = 0; !slu_list_empty(&w->dirty);) {
        struct slu_session *s = slu_container_of(w->dirty.next, struct slu_session, dirty);
        slu_list_remove(&s->dirty);
        s->is_dirty = false;
        slu_out_flush(s);
        if (slu_list_empty(&w->dirty) && pages++ < PAGES_A_TURN)
            run_deferred(w, DEFERRED_ROUNDS);
    }
    reap(w);
    for (unsigned i = 0; i < SLU_WIRES; i++)
        slu_run_recycle(&w->runs[i]);
    publish_counts(w);
    /* Mail may have come since turn_begin, and its wake may have been spent on this very turn. */
    if (w->in_turn || w->deferred || !slu_mailbox_is_empty(&w->mailbox))
        return 0;
    return slu_wheel_idle_ms(&w->wheel);
}

/* A reader that has been stuck for a while gives back the shared chunks that it uses little of. */
static void look_after_stuck(struct slu_worker *w)
{
    slu_list_each (it, &w->stuck) {
        struct slu_session *s = slu_container_of(it, struct slu_session, stuck);
        if (w->now_ms - s->stuck_ms >= 1000 && slu_queue_is_sparse(&s->queue))
            slu_queue_own_copy(&s->queue, &w->broker->account);
    }
}

/* The slowest reader goes: the one that holds most of those that have been stuck for so long. */
static void shed(struct slu_worker *w, uint64_t stuck_ms)
{
    struct slu_session *worst = NULL;
    slu_list_each (it, &w->stuck) {
        struct slu_session *s = slu_container_of(it, struct slu_session, stuck);
        if (s->state == SLU_SESSION_OPEN && w->now_ms - s->stuck_ms >= stuck_ms &&
            (!worst || s->queue.bytes + s->pending_bytes > worst->queue.bytes + worst->pending_bytes))
            worst = s;
    }
    if (!worst)
        return;
    slu_count(w->broker, SLU_COUNT_readers_shed, 1);
    slu_life_end(worst, SLU_CLOSE_OVERLOADED, "memory is short and this connection reads too slowly",
                 SLU_END_DROP_QUEUE, 1000);
}

static void resume_publishers(struct slu_worker *w)
{
    slu_list_each (it, &w->sessions) {
        struct slu_session *s = slu_container_of(it, struct slu_session, all);
        if (s->read_off_memory) {
            s->read_off_memory = false;
            slu_life_update_reading(s);
        }
    }
}

/* Over the budget the slowest readers go at once. Below it publishers are held back first; but readers that do not read
 * must not hold everybody else up, so when that does not help they go all the same, until there is room again. */
static void look_after_memory(struct slu_worker *w, enum slu_pressure p)
{
    if (p == SLU_PRESSURE_NONE)
        w->short_since_ms = 0;
    else if (p >= SLU_PRESSURE_PUBLISHERS && !w->short_since_ms)
        w->short_since_ms = w->now_ms;
    bool lasts = w->short_since_ms && w->now_ms - w->short_since_ms >= SHORT_MAX_MS;
    if (p < SLU_PRESSURE_READERS && !lasts)
        return;
    for (unsigned n = 0; n < SHED_AT_ONCE && slu_account_pressure(&w->broker->account) > SLU_PRESSURE_NONE; n++)
        shed(w, p >= SLU_PRESSURE_READERS ? 0 : SHORT_MAX_MS);
}

static void tick(struct slu_timer *t, uint64_t now_ms)
{
    struct slu_worker *w = slu_container_of(t, struct slu_worker, tick);
    enum slu_pressure p = slu_account_pressure(&w->broker->account);
    look_after_memory(w, p);
    if (p < SLU_PRESSURE_PUBLISHERS && w->has_slowed) {
        w->has_slowed = false;
        resume_publishers(w);
    }
    if (now_ms - w->last_second_ms >= 1000) {
        w->last_second_ms = now_ms;
        look_after_stuck(w);
        slu_sub_send_cursors(w);
        slu_durable_tick(w);
        slu_store_tick(w->broker->store, w->index);
    }
    bool busy = w->has_slowed || p >= SLU_PRESSURE_PUBLISHERS;
    slu_wheel_set(&w->wheel, &w->tick, now_ms + (busy ? TICK_MS : 1000));
}

void slu_worker_defer(struct slu_worker *w, struct slu_mail *m)
{
    m->next = NULL;
    *w->deferred_tail = m;
    w->deferred_tail = &m->next;
}

void slu_worker_post(struct slu_worker *w, struct slu_mail *mail)
{
    if (current == w)
        slu_worker_defer(w, mail);
    else
        slu_mailbox_post(&w->mailbox, mail);
}

struct slu_broker *slu_worker_broker(struct slu_worker *w)
{
    return w->broker;
}

unsigned slu_worker_index(const struct slu_worker *w)
{
    return w->index;
}

uint64_t slu_worker_now(const struct slu_worker *w)
{
    return w->now_ms;
}

uint64_t slu_worker_wall(const struct slu_worker *w)
{
    return w->wall_ms;
}

struct slu_wheel *slu_worker_wheel(struct slu_worker *w)
{
    return &w->wheel;
}

unsigned slu_worker_sessions(const struct slu_worker *w)
{
    return w->n_sessions;
}

void slu_worker_drain(struct slu_worker *w, unsigned max_sessions, uint64_t after_ms)
{
    slu_list_each (it, &w->sessions) {
        struct slu_session *s = slu_container_of(it, struct slu_session, all);
        if (s->state > SLU_SESSION_OPEN)
            continue;
        if (!max_sessions--)
            return;
        slu_life_end(s, s->adapter->has_bye ? SLU_CLOSE_DRAINING : SLU_CLOSE_GOING_AWAY, NULL, SLU_END_AFTER_QUEUE,
                     after_ms);
    }
}
