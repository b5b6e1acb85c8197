/* See delivery.h. */
#include "broker/core/delivery.h"

#include "broker/core/broker_state.h"
#include "broker/core/durable.h"
#include "broker/core/group.h"
#include "broker/core/life.h"
#include "broker/core/output.h"
#include "broker/core/publish.h"
#include "broker/core/replay.h"
#include "broker/core/subscription.h"

/* One message on its way through one worker. */
struct delivery {
    struct slu_worker *w;
    struct slu_msg *m;
    struct slu_publish_op *op;
    uint32_t matched;
    unsigned made; /* bit: spans[wire] is filled */
    struct slu_span spans[SLU_WIRES];
};

/* The finished frame of this message for the session's adapter: made at most once for each worker, and where several
 * workers deliver, once in the process. */
static const struct slu_span *shared_frame(struct delivery *d, const struct slu_session *s)
{
    unsigned wire = s->adapter->wire;
    struct slu_span *span = &d->spans[wire];
    if (d->made & (1u << wire))
        return span->chunk ? span : NULL;
    d->made |= 1u << wire;
    span->chunk = NULL;
    struct slu_bytes ready = d->op ? slu_publish_frame_get(d->op, wire) : (struct slu_bytes){ 0 };
    struct slu_event ev = { .type = SLU_EV_MSG };
    ev.msg.msg = d->m;
    bool ok = ready.len ? slu_out_adopt(d->w, wire, ready, span) : slu_out_encode_shared(d->w, s, &ev, span);
    if (!ok) {
        span->chunk = NULL;
        return NULL;
    }
    slu_chunk_ref(span->chunk); /* until the delivery ends: the first reader may not keep it */
    if (d->op && !ready.len)
        slu_publish_frame_put(d->op, wire, slu_bytes(span->chunk->data + span->from, span->to - span->from));
    return span;
}

static void count_reader(struct delivery *d, struct slu_session *s)
{
    if (s->counted == d->w->serial)
        return;
    s->counted = d->w->serial;
    d->matched++;
}

static void no_memory(struct slu_session *s)
{
    slu_life_end(s, SLU_CLOSE_OVERLOADED, "memory is short", SLU_END_DROP_QUEUE, 0);
}

static void overflow(struct slu_sub *sub, struct slu_msg *m);

static void deliver_plain(struct delivery *d, struct slu_sub *sub)
{
    struct slu_session *s = sub->session;
    if (s->stamp == d->w->serial) {
        sub->cur_due |= sub->wild && d->m->seq;
        return;
    }
    if (s->state != SLU_SESSION_OPEN)
        return;
    const struct slu_span *span = shared_frame(d, s);
    count_reader(d, s);
    if (!span) {
        no_memory(s);
        return;
    }
    if (!slu_out_fits(s, span->to - span->from)) {
        overflow(sub, d->m);
        return;
    }
    s->stamp = d->w->serial;
    sub->cur_due |= sub->wild && d->m->seq;
    if (!slu_out_span(s, span))
        no_memory(s);
}

bool slu_deliver_wants(const struct slu_sub *sub, const struct slu_msg *m)
{
    const struct slu_sub_more *more = sub->more;
    if (!more)
        return true;
    if (more->no_echo && sub->session && m->publisher == sub->session->serial)
        return false;
    return !more->content || more->content->matches(more->content, m);
}

static void deliver_special(struct delivery *d, struct slu_sub *sub)
{
    if (sub->group) {
        if (d->m->seq) {
            d->matched++;
            slu_group_live(sub->group, d->m);
        }
        return; /* what no log holds is no work */
    }
    if (sub->session->state != SLU_SESSION_OPEN || !slu_deliver_wants(sub, d->m))
        return;
    if (!d->m->seq && slu_replay_keeps(sub->more->replay, d->m)) {
        if (sub->started)
            count_reader(d, sub->session);
        return;
    }
    count_reader(d, sub->session);
    if (slu_replay_holds(sub->more->replay, d->m))
        return;
    sub->cur_due |= sub->wild && d->m->seq;
    slu_deliver_live(sub, d->m);
}

static void deliver_route(struct delivery *d, struct slu_route *r)
{
    for (uint32_t i = 0; i < r->n; i++) {
        struct slu_sub *sub = r->items[i];
        if (sub->plain)
            deliver_plain(d, sub);
        else
            deliver_special(d, sub);
    }
}

uint32_t slu_deliver(struct slu_worker *w, struct slu_msg *m, struct slu_publish_op *op)
{
    struct slu_match match;
    struct delivery d = { .w = w, .m = m, .op = op };
    w->serial++;
    slu_router_match(w->router, m->topic, &match);
    if (match.exact)
        deliver_route(&d, match.exact);
    for (uint32_t i = 0; i < match.n_wild; i++)
        deliver_route(&d, match.wild[i]);
    if (m->seq > w->seen[m->home])
        w->seen[m->home] = m->seq;
    for (unsigned i = 0; i < SLU_WIRES; i++)
        if (d.spans[i].chunk)
            slu_chunk_unref(d.spans[i].chunk);
    return d.matched;
}

static void send_one(struct slu_sub *sub, struct slu_msg *m, bool retained)
{
    struct slu_event ev = { .type = SLU_EV_MSG };
    if (sub->more->durable && !slu_durable_note(sub->more->durable, m)) {
        no_memory(sub->session);
        return;
    }
    ev.msg.msg = m;
    ev.msg.has_sub = true;
    ev.msg.sub = sub->number;
    ev.msg.retained = retained;
    if (sub->more->has_credit)
        sub->more->credit--;
    if (!slu_out_event(sub->session, &ev))
        no_memory(sub->session);
}

void slu_deliver_gap(struct slu_sub *sub, struct slu_bytes topic, uint64_t lost, enum slu_gap_reason reason)
{
    if (sub->group) {
        slu_group_gap(sub->group, topic, lost, reason);
        return;
    }
    if (sub->session->state != SLU_SESSION_OPEN)
        return;
    struct slu_event ev = { .type = SLU_EV_GAP };
    ev.gap.sub = sub->number;
    ev.gap.topic = topic;
    ev.gap.lost = lost;
    ev.gap.reason = reason;
    slu_out_event(sub->session, &ev);
}

/* What the reader itself still takes: its credit, and for a name what may be unacknowledged. */
static bool may_go_out(const struct slu_sub *sub)
{
    const struct slu_sub_more *more = sub->more;
    return (!more->has_credit || more->credit) && (!more->durable || slu_durable_has_room(more->durable));
}

bool slu_deliver_has_room(const struct slu_sub *sub)
{
    if (sub->group)
        return slu_group_has_room(sub->group);
    return may_go_out(sub) && slu_out_is_low(sub->session);
}

static void charge(struct slu_sub *sub, size_t bytes_before, size_t n_before)
{
    struct slu_pending *p = &sub->more->pending;
    sub->session->pending_bytes += p->bytes - bytes_before;
    sub->session->pending_n += p->n - n_before;
}

void slu_deliver_forget_held(struct slu_sub *sub)
{
    struct slu_sub_more *more = sub->more;
    if (!more || !more->has_pending_map)
        return;
    sub->session->pending_bytes -= more->pending.bytes;
    sub->session->pending_n -= more->pending.n;
    slu_pending_fini(&more->pending);
    more->has_pending_map = false;
}

static bool over_bound(const struct slu_sub *sub)
{
    const struct slu_session *s = sub->session;
    const struct slu_settings *set = slu_worker_settings(s->worker);
    const struct slu_pending *p = &sub->more->pending;
    if (p->n <= 1 && !s->queue.n)
        return false;
    /* A queue that other subscriptions have filled leaves half of the bound all the same, or the newest would go. */
    size_t bytes = s->queue.bytes + s->lib_bytes, half = set->queue_bytes / 2;
    size_t msgs = s->queue.msgs, half_msgs = set->queue_messages / 2;
    return (bytes < half ? bytes : half) + s->pending_bytes > set->queue_bytes ||
           (msgs < half_msgs ? msgs : half_msgs) + s->pending_n > set->queue_messages || p->n > set->pending_max;
}

/* Holds m back; at the bound the oldest goes, counted for the gap. free_ms: see slu_pending_put. Keys at rest are
 * forgotten before any message: that costs evenness only. */
static enum slu_pending_put hold(struct slu_sub *sub, struct slu_msg *m, enum slu_pending_key key, uint64_t free_ms)
{
    struct slu_sub_more *more = sub->more;
    struct slu_broker *b = sub->session->worker->broker;
    if (!more->has_pending_map) {
        slu_pending_init(&more->pending, key);
        more->has_pending_map = true;
    } else if (!more->pending.n && !more->pending.n_idle) {
        more->pending.key = key;
    }
    size_t bytes = more->pending.bytes, n = more->pending.n;
    enum slu_pending_put put = slu_pending_put(&more->pending, m, free_ms);
    if (put == SLU_PUT_REPLACED)
        slu_count(b, SLU_COUNT_messages_conflated, 1);
    if (put == SLU_PUT_FAILED) {
        more->lost++;
        slu_count(b, SLU_COUNT_messages_dropped_overflow, 1);
    }
    charge(sub, bytes, n);
    size_t keys_max = slu_worker_settings(sub->session->worker)->pending_max;
    while (more->pending.n_idle && more->pending.n + more->pending.n_idle > keys_max)
        slu_pending_forget_idle(&more->pending);
    while (more->pending.n && over_bound(sub)) {
        bytes = more->pending.bytes;
        n = more->pending.n;
        slu_pending_drop_oldest(&more->pending);
        charge(sub, bytes, n);
        more->lost++;
        slu_count(b, SLU_COUNT_messages_dropped_overflow, 1);
    }
    slu_sub_refresh(sub);
    return put;
}

/* When a key that goes out now may go out again; 0 = at any time. */
static uint64_t next_turn(const struct slu_sub *sub)
{
    const struct slu_sub_more *more = sub->more;
    return more->conflate && more->interval_ms ? sub->session->worker->now_ms + more->interval_ms : 0;
}

static void arm_window(struct slu_sub *sub)
{
    struct slu_sub_more *more = sub->more;
    uint64_t next = more->has_pending_map ? slu_pending_next_free(&more->pending) : 0;
    if (next && more->window.due_ms != next)
        slu_wheel_set(&sub->session->worker->wheel, &more->window, next);
}

static void announce_lost(struct slu_sub *sub)
{
    if (sub->more->lost)
        slu_deliver_gap(sub, (struct slu_bytes){ 0 }, sub->more->lost, SLU_GAP_OVERFLOW);
    sub->more->lost = 0;
}

void slu_deliver_held(struct slu_sub *sub)
{
    struct slu_sub_more *more = sub->more;
    struct slu_session *s = sub->session;
    struct slu_msg *m;
    if (slu_deliver_has_room(sub))
        announce_lost(sub);
    else if (more->lost)
        slu_sub_block(sub);
    while (more->has_pending_map && (m = slu_pending_first(&more->pending)) && s->state == SLU_SESSION_OPEN) {
        if (!slu_deliver_has_room(sub)) {
            slu_sub_block(sub);
            break;
        }
        size_t bytes = more->pending.bytes, n = more->pending.n;
        slu_msg_ref(m);
        slu_pending_drop_first(&more->pending, next_turn(sub));
        charge(sub, bytes, n);
        if (slu_msg_expired(m, s->worker->wall_ms)) {
            slu_count(s->worker->broker, SLU_COUNT_messages_expired, 1);
            slu_deliver_gap(sub, m->topic, 1, SLU_GAP_EXPIRED);
        } else {
            send_one(sub, m, false);
        }
        slu_msg_unref(m);
    }
    arm_window(sub);
    slu_sub_refresh(sub);
}

void slu_deliver_window(struct slu_timer *t, uint64_t now_ms)
{
    struct slu_sub_more *more = slu_container_of(t, struct slu_sub_more, window);
    struct slu_sub *sub = more->sub;
    slu_pending_wake(&more->pending, now_ms);
    if (!more->replay)
        slu_deliver_held(sub);
    else
        arm_window(sub);
}

static enum slu_pending_key conflation_key(const struct slu_sub_more *more)
{
    return more->by_key ? SLU_PENDING_BY_KEY : SLU_PENDING_BY_TOPIC;
}

/* The first value of a key at once, then the newest each time its rest is over. */
static void conflate(struct slu_sub *sub, struct slu_msg *m)
{
    struct slu_sub_more *more = sub->more;
    bool now = slu_deliver_has_room(sub) && !more->replay;
    if (hold(sub, m, conflation_key(more), now ? next_turn(sub) : 0) == SLU_PUT_FIRST) {
        send_one(sub, m, false);
        arm_window(sub);
    } else if (now) {
        slu_deliver_held(sub);
    } else if (!more->replay && slu_pending_first(&more->pending)) {
        slu_sub_block(sub);
    }
}

static enum slu_overflow policy_of(const struct slu_sub *sub, const struct slu_msg *m)
{
    const struct slu_sub_more *more = sub->more;
    enum slu_overflow o = more && more->has_overflow ? (enum slu_overflow)more->overflow : SLU_OVERFLOW_DEFAULT;
    if (o == SLU_OVERFLOW_DEFAULT)
        o = slu_rules_find(slu_broker_rules(sub->session->worker->broker), m->topic)->overflow;
    if (o == SLU_OVERFLOW_DEFAULT)
        o = SLU_OVERFLOW_PAUSE;
    return o == SLU_OVERFLOW_PAUSE && !m->seq ? SLU_OVERFLOW_CLOSE : o;
}

/* For what is not worth more: a request, whose sender times out; a join or leave. The reader is told. */
void slu_deliver_drop(struct slu_sub *sub)
{
    sub->more->lost++;
    slu_count(sub->session->worker->broker, SLU_COUNT_messages_dropped_overflow, 1);
    slu_sub_refresh(sub);
    slu_sub_block(sub);
}

static void close_slow(struct slu_sub *sub)
{
    bool credit_out = !may_go_out(sub);
    slu_count(sub->session->worker->broker, SLU_COUNT_readers_closed_slow, 1);
    slu_life_end(sub->session, SLU_CLOSE_SLOW_CONSUMER, NULL, credit_out ? SLU_END_AFTER_QUEUE : SLU_END_DROP_QUEUE, 0);
}

static void overflow(struct slu_sub *sub, struct slu_msg *m)
{
    if (!slu_sub_more(sub)) {
        no_memory(sub->session);
        return;
    }
    if (m->reply.len && !m->seq) {
        slu_deliver_drop(sub);
        return;
    }
    switch (policy_of(sub, m)) {
    case SLU_OVERFLOW_PAUSE:
    case SLU_OVERFLOW_DEFAULT:
        if (!slu_replay_pause(sub, m))
            no_memory(sub->session);
        break;
    case SLU_OVERFLOW_CONFLATE:
        hold(sub, m, SLU_PENDING_BY_TOPIC, 0);
        slu_sub_block(sub);
        break;
    case SLU_OVERFLOW_DROP_OLDEST:
        hold(sub, m, SLU_PENDING_EACH, 0);
        slu_sub_block(sub);
        break;
    case SLU_OVERFLOW_CLOSE:
        close_slow(sub);
        break;
    }
}

/* Readers that keep the newest want little of the old in their queue. */
static bool has_live_room(const struct slu_sub *sub, const struct slu_msg *m)
{
    const struct slu_sub_more *more = sub->more;
    if (m->seq ? !may_go_out(sub) : more->has_credit && !more->credit)
        return false;
    if (more->has_overflow && (more->overflow == SLU_OVERFLOW_CONFLATE || more->overflow == SLU_OVERFLOW_DROP_OLDEST))
        return slu_out_is_low(sub->session);
    return slu_out_fits(sub->session, m->size);
}

void slu_deliver_live(struct slu_sub *sub, struct slu_msg *m)
{
    struct slu_sub_more *more = sub->more;
    if (more->lost && slu_deliver_has_room(sub))
        slu_deliver_held(sub);
    bool behind_held = more->has_pending_map && more->pending.n;
    if (more->conflate) {
        conflate(sub, m);
    } else if (behind_held || !has_live_room(sub, m)) {
        overflow(sub, m);
    } else {
        announce_lost(sub); /* never past a gap that is not announced */
        send_one(sub, m, false);
    }
}

void slu_deliver_replayed(struct slu_sub *sub, struct slu_msg *m, bool retained)
{
    sub->cur_due |= sub->wild && m->seq;
    if (sub->group)
        slu_group_offer(sub->group, m);
    else if (sub->more->conflate)
        hold(sub, m, conflation_key(sub->more), 0);
    else
        send_one(sub, m, retained);
}
