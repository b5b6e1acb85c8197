/* See interest.h. A table's item for worker i is the pointer (i + 1); its place is found by looking through the route's
 * at most 64 items. Presence tables hold one item for each subscription that watches, so they count by repetition. */
#include "broker/core/interest.h"

#include "broker/core/broker_state.h"
#include "broker/core/replay.h"

#include <stdlib.h>

enum table { TABLE_NONE, TABLE_INTEREST, TABLE_WATCHERS };

struct wait {
    struct slu_mail mail;
    atomic_uint pending;
    struct slu_worker *origin;
    struct slu_replay *replay;
};

struct change {
    struct slu_mail mail;
    enum table table;
    bool add;
    unsigned from;
    struct wait *wait;        /* NULL: nobody waits */
    struct slu_list unplaced; /* worker->unplaced */
    struct slu_bytes filter;
    uint8_t bytes[];
};

static void *item_of(unsigned worker)
{
    return (void *)(uintptr_t)(worker + 1);
}

void slu_interest_moved(void *item, uint32_t index)
{
    (void)item;
    (void)index;
}

static void forget_unplaced(struct slu_worker *w, const struct change *c)
{
    slu_list_each (it, &w->unplaced) {
        struct change *u = slu_container_of(it, struct change, unplaced);
        if (u->table == c->table && u->from == c->from && slu_bytes_eq(u->filter, c->filter)) {
            slu_list_remove(&u->unplaced);
            free(u);
            return;
        }
    }
}

static void add(struct slu_worker *w, struct slu_router *r, struct change *c)
{
    struct slu_route *route;
    uint32_t index;
    bool first;
    if (slu_router_add(r, c->filter, item_of(c->from), &route, &index, &first) == SLU_OK) {
        free(c);
        return;
    }
    /* Without memory for the filter: its worker is sent everything until it withdraws, and looks for itself. So the
     * interest is in force all the same, and its subscriber need not be told otherwise. */
    slu_list_push_back(&w->unplaced, &c->unplaced);
}

/* Takes the change over. */
static void apply(struct slu_worker *w, struct change *c)
{
    struct slu_router *r = c->table == TABLE_WATCHERS ? w->watchers : w->interest;
    if (c->add) {
        add(w, r, c);
        return;
    }
    bool last;
    struct slu_route *route = slu_router_find(r, c->filter);
    uint32_t i = 0;
    while (route && i < route->n && route->items[i] != item_of(c->from))
        i++;
    if (route && i < route->n)
        slu_router_remove(r, route, i, &last);
    else
        forget_unplaced(w, c);
    free(c);
}

static uint64_t unplaced(const struct slu_worker *w, enum table t)
{
    uint64_t bits = 0;
    for (const struct slu_list *it = w->unplaced.next; it != &w->unplaced; it = it->next) {
        const struct change *c = slu_container_of(it, const struct change, unplaced);
        if (c->table == t)
            bits |= 1ull << c->from;
    }
    return bits;
}

static void wait_over(struct slu_mail *mail, void *owner)
{
    struct wait *wait = slu_container_of(mail, struct wait, mail);
    struct slu_worker *w = owner;
    w->interest_waits--;
    slu_replay_ready(wait->replay);
    free(wait);
}

static void release(struct wait *wait)
{
    if (atomic_fetch_sub(&wait->pending, 1) == 1)
        slu_worker_post(wait->origin, &wait->mail);
}

static void change_run(struct slu_mail *mail, void *owner)
{
    struct change *c = slu_container_of(mail, struct change, mail);
    struct wait *wait = c->wait;
    if (c->table != TABLE_NONE)
        apply(owner, c);
    else
        free(c);
    if (wait)
        release(wait);
}

static struct change *change_new(struct slu_worker *from, enum table t, bool add, struct slu_bytes filter)
{
    struct change *c = malloc(sizeof(*c) + filter.len);
    if (!c)
        return NULL;
    c->mail.run = change_run;
    c->table = t;
    c->add = add;
    c->from = from->index;
    c->wait = NULL;
    slu_list_init(&c->unplaced);
    memcpy(c->bytes, filter.data, filter.len);
    c->filter = slu_bytes(c->bytes, filter.len);
    return c;
}

/* To every worker but w (and w too if `self`). All are made before the first is posted: all or none. */
static bool broadcast(struct slu_worker *w, enum table t, bool add, struct slu_bytes filter, bool self,
                      struct wait *wait)
{
    struct slu_broker *b = w->broker;
    struct change *made[SLU_WORKERS_MAX] = { 0 };
    for (unsigned i = 0; i < b->n_workers; i++) {
        if ((i == w->index && !self) || !b->workers[i])
            continue;
        made[i] = change_new(w, t, add, filter);
        if (!made[i]) {
            while (i--)
                free(made[i]);
            return false;
        }
    }
    for (unsigned i = 0; i < b->n_workers; i++) {
        if (!made[i])
            continue;
        if (wait) {
            atomic_fetch_add(&wait->pending, 1);
            made[i]->wait = wait;
        }
        slu_worker_post(b->workers[i], &made[i]->mail);
    }
    return true;
}

bool slu_interest_announce(struct slu_worker *w, struct slu_bytes filter, bool is_first, struct slu_replay *r)
{
    struct wait *wait = malloc(sizeof(*wait));
    if (!wait)
        return false;
    wait->mail.run = wait_over;
    atomic_init(&wait->pending, 1);
    wait->origin = w;
    wait->replay = r;
    /* Not the first for its filter: still behind the first one's announcement, if that is under way. */
    bool ask = w->broker->n_workers > 1 && (is_first || w->interest_waits);
    if (ask && !broadcast(w, is_first ? TABLE_INTEREST : TABLE_NONE, true, filter, false, wait)) {
        free(wait);
        return false;
    }
    w->interest_waits++;
    release(wait);
    return true;
}

void slu_interest_withdraw(struct slu_worker *w, struct slu_bytes filter)
{
    /* Without memory the others go on sending what nobody wants here: harmless. */
    if (w->broker->n_workers > 1)
        broadcast(w, TABLE_INTEREST, false, filter, false, NULL);
}

static uint64_t match(struct slu_router *r, struct slu_bytes topic)
{
    struct slu_match m;
    uint64_t bits = 0;
    slu_router_match(r, topic, &m);
    for (uint32_t i = 0; m.exact && i < m.exact->n; i++)
        bits |= 1ull << ((uintptr_t)m.exact->items[i] - 1);
    for (uint32_t k = 0; k < m.n_wild; k++)
        for (uint32_t i = 0; i < m.wild[k]->n; i++)
            bits |= 1ull << ((uintptr_t)m.wild[k]->items[i] - 1);
    return bits;
}

uint64_t slu_interest_match(struct slu_worker *w, struct slu_bytes topic)
{
    return w->broker->n_workers > 1 ? match(w->interest, topic) | unplaced(w, TABLE_INTEREST) : 0;
}

bool slu_interest_watch(struct slu_worker *w, struct slu_bytes filter)
{
    return broadcast(w, TABLE_WATCHERS, true, filter, true, NULL);
}

void slu_interest_unwatch(struct slu_worker *w, struct slu_bytes filter)
{
    broadcast(w, TABLE_WATCHERS, false, filter, true, NULL);
}

uint64_t slu_interest_watchers(struct slu_worker *w, struct slu_bytes topic)
{
    uint64_t bits = unplaced(w, TABLE_WATCHERS);
    return slu_router_routes(w->watchers) ? bits | match(w->watchers, topic) : bits;
}

/* The tables hold numbers, not memory: nothing else to free beyond the routers. */
void slu_interest_fini(struct slu_worker *w)
{
    while (!slu_list_empty(&w->unplaced)) {
        struct change *c = slu_container_of(w->unplaced.next, struct change, unplaced);
        slu_list_remove(&c->unplaced);
        free(c);
    }
    w->interest_waits = 0;
}
