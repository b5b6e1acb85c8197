/* Answers that are awaited. Slots are reused; the turn in the upper bits of an id keeps a late answer from reaching the
 * slot's next tenant. The waiting list is ordered by deadline: almost always the new one goes last. */
#include "clients/c/src/client.h"

#include <stdlib.h>

enum { FIRST_SLOTS = 64, TURN_MASK = 0xffffff };

static struct slu_pending *from_link(struct slu_list *l)
{
    return slu_container_of(l, struct slu_pending, link);
}

static uint32_t slot_of(uint64_t id)
{
    return (uint32_t)(id & (SLU_SLOTS_MAX - 1));
}

static bool grow(sluice_client *c)
{
    if (c->n_pending == SLU_SLOTS_MAX)
        return false;
    if (c->n_pending == c->cap_pending) {
        uint32_t cap = c->cap_pending ? c->cap_pending * 2 : FIRST_SLOTS;
        struct slu_pending **fresh = realloc(c->pending, cap * sizeof(struct slu_pending *));
        if (!fresh)
            return false;
        c->pending = fresh;
        c->cap_pending = cap;
    }
    struct slu_pending *p = calloc(1, sizeof(*p));
    if (!p)
        return false;
    slu_list_init(&p->link);
    c->pending[c->n_pending++] = p;
    c->free_pending = c->n_pending;
    return true;
}

static void arm(sluice_client *c)
{
    ev_timer_stop(c->loop, &c->expire_ev);
    if (slu_list_empty(&c->waiting))
        return;
    double after = from_link(c->waiting.next)->deadline - ev_now(c->loop);
    ev_timer_set(&c->expire_ev, after > 0 ? after : 0., 0.);
    ev_timer_start(c->loop, &c->expire_ev);
}

static void on_expire(struct ev_loop *loop, ev_timer *w, int events)
{
    sluice_client *c = w->data;
    (void)loop, (void)events;
    slu_enter(c);
    while (!slu_is_over(c) && !slu_list_empty(&c->waiting)) {
        struct slu_pending *p = from_link(c->waiting.next);
        if (p->deadline > ev_now(c->loop))
            break;
        slu_pending_fail(c, p, SLUICE_ETIMEOUT);
    }
    if (!slu_is_over(c))
        arm(c);
    slu_leave(c);
}

void slu_pending_init(sluice_client *c)
{
    slu_list_init(&c->waiting);
    ev_timer_init(&c->expire_ev, on_expire, 0., 0.);
    c->expire_ev.data = c;
}

struct slu_pending *slu_pending_new(sluice_client *c, enum slu_pending_kind kind, sluice_result_fn *done, void *arg)
{
    if (!c->free_pending && !grow(c))
        return NULL;
    uint32_t slot = c->free_pending - 1;
    struct slu_pending *p = c->pending[slot];
    uint32_t turn = (p->turn + 1) & TURN_MASK;
    c->free_pending = p->next_free;
    *p = (struct slu_pending){ .turn = turn ? turn : 1, .kind = kind, .done = done, .arg = arg };
    p->id = slot | (uint64_t)p->turn << SLU_SLOT_BITS;
    p->timeout_ms = c->o.request_timeout_ms;
    slu_list_init(&p->link);
    slu_buf_init(&p->resend, 0);
    return p;
}

struct slu_pending *slu_pending_get(sluice_client *c, uint64_t id)
{
    uint32_t slot = slot_of(id);
    return id && slot < c->n_pending && c->pending[slot]->id == id ? c->pending[slot] : NULL;
}

void slu_pending_drop(sluice_client *c, struct slu_pending *p)
{
    uint32_t slot = slot_of(p->id);
    bool was_first = c->waiting.next == &p->link;
    slu_list_remove(&p->link);
    slu_buf_fini(&p->resend);
    p->id = 0;
    p->next_free = c->free_pending;
    c->free_pending = slot + 1;
    if (was_first && slu_list_empty(&c->waiting))
        ev_timer_stop(c->loop, &c->expire_ev);
}

/* A timer that is set too early only looks and arms itself again: so it is touched when the head changes for the sooner. */
static void wait_for(sluice_client *c, struct slu_pending *p)
{
    p->deadline = ev_time() + p->timeout_ms / 1000.;
    struct slu_list *at = c->waiting.prev;
    while (at != &c->waiting && from_link(at)->deadline > p->deadline)
        at = at->prev;
    slu_list_insert_after(at, &p->link);
    if (at == &c->waiting && (!ev_is_active(&c->expire_ev) || p->link.next != &c->waiting))
        arm(c);
}

void slu_pending_sent(sluice_client *c, uint64_t id)
{
    struct slu_pending *p = slu_pending_get(c, id);
    if (!p)
        return;
    p->sent = true;
    p->sent_at = ev_time();
    if (!p->overall)
        wait_for(c, p);
}

void slu_pending_overall(sluice_client *c, struct slu_pending *p, uint32_t timeout_ms)
{
    p->overall = true;
    p->timeout_ms = timeout_ms;
    wait_for(c, p);
}

void slu_pending_complete(sluice_client *c, struct slu_pending *p, struct sluice_result *r)
{
    sluice_result_fn *done = p->done;
    void *arg = p->arg;
    if (p->sent && r->frame.data)
        r->rtt_ms = (ev_time() - p->sent_at) * 1000.;
    if (p->kind == SLU_P_SUB || p->kind == SLU_P_UNSUB) {
        uint32_t slot = p->sub_slot;
        uint64_t serial = p->sub_serial;
        bool is_sub = p->kind == SLU_P_SUB;
        slu_pending_drop(c, p);
        if (!is_sub)
            slu_sub_unsub_done(c, slot);
        else if (!r->frame.data) /* answers with a frame are handed over by the reader, which knows the cursor */
            slu_sub_answer(c, slot, serial, r, slu_bytes(NULL, 0));
        return;
    }
    slu_pending_drop(c, p);
    if (done)
        done(arg, c, r);
}

void slu_pending_fail(sluice_client *c, struct slu_pending *p, enum sluice_status status)
{
    struct sluice_result r = { .error = { .status = status, .message = slu_span_str(sluice_client_strerror(status)) } };
    slu_pending_complete(c, p, &r);
}

/* Backwards along the list, which is in order of sending: so the queue has them again in that order. */
static void send_again(sluice_client *c)
{
    for (struct slu_list *it = c->waiting.prev, *before; it != &c->waiting; it = before) {
        struct slu_pending *p = from_link(it);
        before = it->prev;
        if (p->sent && p->resend.len && slu_outq_push_front(&c->outq, p->id, 0, slu_buf_bytes(&p->resend))) {
            p->sent = false;
            slu_list_remove(&p->link);
        }
    }
}

void slu_pending_lost(sluice_client *c)
{
    slu_enter(c);
    send_again(c);
    for (uint32_t i = 0; i < c->n_pending && !slu_is_over(c); i++) {
        struct slu_pending *p = c->pending[i];
        if (!p->id)
            continue;
        if (p->kind == SLU_P_SUB || p->kind == SLU_P_UNSUB)
            slu_pending_drop(c, p); /* subscriptions know by themselves that the connection went */
        else if (p->sent || p->kind == SLU_P_AUTH)
            slu_pending_fail(c, p, SLUICE_EUNKNOWN);
    }
    slu_leave(c);
}

void slu_pending_fail_all(sluice_client *c, enum sluice_status status)
{
    slu_enter(c);
    for (uint32_t i = 0; i < c->n_pending; i++) {
        if (c->pending[i]->id)
            slu_pending_fail(c, c->pending[i], status);
    }
    slu_leave(c);
}

void slu_pending_fini(sluice_client *c)
{
    for (uint32_t i = 0; i < c->n_pending; i++) {
        slu_buf_fini(&c->pending[i]->resend);
        free(c->pending[i]);
    }
    free(c->pending);
    c->pending = NULL;
    c->n_pending = c->cap_pending = c->free_pending = 0;
}
