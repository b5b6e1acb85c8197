/* See subscription.h. */
#include "broker/core/subscription.h"

#include "broker/core/broker_state.h"
#include "broker/core/cursor.h"
#include "broker/core/delivery.h"
#include "broker/core/durable.h"
#include "broker/core/group.h"
#include "broker/core/interest.h"
#include "broker/core/output.h"
#include "broker/core/presence.h"
#include "broker/core/replay.h"
#include "broker/core/rights.h"
#include "broker/core/topic.h"

#include <stdlib.h>

void slu_sub_moved(void *item, uint32_t index)
{
    struct slu_sub *sub = item;
    sub->index = index;
}

struct slu_sub *slu_sub_find(struct slu_session *s, uint64_t number)
{
    slu_list_each (it, &s->subs) {
        struct slu_sub *sub = slu_container_of(it, struct slu_sub, link);
        if (sub->number == number)
            return sub;
    }
    return NULL;
}

struct slu_sub_more *slu_sub_more(struct slu_sub *sub)
{
    if (sub->more)
        return sub->more;
    struct slu_sub_more *more = calloc(1, sizeof(*more));
    if (!more)
        return NULL;
    more->sub = sub;
    slu_timer_init(&more->window, slu_deliver_window);
    slu_list_init(&more->blocked);
    sub->more = more;
    if (sub->session)
        slu_account_add(&sub->session->worker->broker->account, sizeof(*more));
    return more;
}

void slu_sub_refresh(struct slu_sub *sub)
{
    const struct slu_sub_more *more = sub->more;
    bool busy = more && (more->replay || more->lost || (more->has_pending_map && more->pending.n));
    sub->plain = sub->session && sub->started && !sub->explicit_options && !busy;
}

void slu_sub_block(struct slu_sub *sub)
{
    if (sub->session && slu_list_empty(&sub->more->blocked))
        slu_list_push_back(&sub->session->blocked, &sub->more->blocked);
}

static void go_on(struct slu_sub *sub)
{
    if (sub->more->member)
        slu_group_has_room_again(sub->more->member);
    else if (sub->more->replay)
        slu_replay_go_on(sub->more->replay);
    else
        slu_deliver_held(sub);
}

void slu_sub_resume_blocked(struct slu_session *s)
{
    /* One round: those that find no room queue up behind this mark again. */
    struct slu_list round;
    slu_list_init(&round);
    while (!slu_list_empty(&s->blocked)) {
        struct slu_list *it = s->blocked.next;
        slu_list_remove(it);
        slu_list_push_back(&round, it);
    }
    while (!slu_list_empty(&round)) {
        struct slu_sub_more *more = slu_container_of(round.next, struct slu_sub_more, blocked);
        slu_list_remove(&more->blocked);
        if (more->member || slu_deliver_has_room(more->sub)) /* credit is the group's business */
            go_on(more->sub);
        else
            slu_sub_block(more->sub);
    }
}

void slu_sub_has_room_again(struct slu_sub *sub)
{
    if (slu_deliver_has_room(sub))
        go_on(sub);
}

/* --- end --------------------------------------------------------------------------------------------------------- */

static void more_free(struct slu_sub *sub)
{
    struct slu_sub_more *more = sub->more;
    if (!more)
        return;
    slu_replay_forget(more->replay);
    if (sub->session) {
        slu_deliver_forget_held(sub);
        slu_account_sub(&sub->session->worker->broker->account, sizeof(*more));
    }
    if (more->content)
        more->content->free(more->content);
    slu_list_remove(&more->blocked);
    free(more);
    sub->more = NULL;
}

void slu_sub_slim(struct slu_sub *sub)
{
    struct slu_sub_more *more = sub->more;
    if (!sub->plain || more->presence || more->has_pending_map || !slu_list_empty(&more->blocked))
        return;
    more_free(sub);
}

static struct slu_worker *worker_of(const struct slu_sub *sub)
{
    return sub->session ? sub->session->worker : slu_group_worker(sub->group);
}

static void unroute(struct slu_sub *sub)
{
    struct slu_worker *w = worker_of(sub);
    struct slu_bytes filter = sub->route->filter;
    bool last = sub->route->n == 1;
    if (sub->joined)
        slu_presence_left(sub->session, filter);
    if (sub->more && sub->more->presence)
        slu_interest_unwatch(w, filter);
    if (last)
        slu_interest_withdraw(w, filter);
    slu_router_remove(w->router, sub->route, sub->index, &last);
    sub->route = NULL;
}

void slu_sub_end(struct slu_sub *sub)
{
    struct slu_worker *w = worker_of(sub);
    if (sub->more)
        slu_durable_end(sub->more->durable);
    if (sub->more)
        slu_wheel_cancel(&w->wheel, &sub->more->window);
    if (sub->more && sub->more->member)
        slu_group_leave(sub->more->member);
    if (sub->route)
        unroute(sub);
    more_free(sub);
    slu_list_remove(&sub->link);
    slu_list_remove(&sub->wild_link);
    if (sub->session) {
        sub->session->n_subs--;
        slu_account_sub(&w->broker->account, sizeof(*sub));
    }
    free(sub);
}

void slu_sub_end_all(struct slu_session *s)
{
    while (!slu_list_empty(&s->subs))
        slu_sub_end(slu_container_of(s->subs.next, struct slu_sub, link));
}

/* Requests need no waiting: a sub may be undone before its ok; it gets that first. */
static void answer_early(struct slu_sub *sub)
{
    if (sub->started)
        return;
    if (sub->more->member)
        slu_group_answer_early(sub->more->member);
    else if (sub->more->replay)
        slu_replay_answer_early(sub->more->replay);
    else if (sub->more->durable)
        slu_durable_answer_early(sub->more->durable);
}

static struct slu_bytes filter_of(const struct slu_sub *sub)
{
    if (sub->route)
        return sub->route->filter;
    return sub->more->member ? slu_group_filter(sub->more->member) : slu_durable_filter(sub->more->durable);
}

void slu_sub_end_forbidden(struct slu_session *s)
{
    slu_list_each (it, &s->subs) {
        struct slu_sub *sub = slu_container_of(it, struct slu_sub, link);
        if (slu_rights_may_subscribe(&s->identity, filter_of(sub)))
            continue;
        struct slu_event ev = { .type = SLU_EV_END };
        ev.end.sub = sub->number;
        ev.end.code = SLU_ETOPIC_FORBIDDEN;
        answer_early(sub);
        slu_sub_end(sub);
        slu_out_event(s, &ev);
    }
}

/* --- start ------------------------------------------------------------------------------------------------------- */

static struct slu_sub *sub_new(void)
{
    struct slu_sub *sub = calloc(1, sizeof(*sub));
    if (!sub)
        return NULL;
    slu_list_init(&sub->link);
    slu_list_init(&sub->wild_link);
    if (!slu_sub_more(sub)) {
        free(sub);
        return NULL;
    }
    return sub;
}

static enum slu_err route_in(struct slu_worker *w, struct slu_sub *sub, struct slu_bytes filter)
{
    bool first;
    enum slu_err rc = slu_router_add(w->router, filter, sub, &sub->route, &sub->index, &first);
    if (rc)
        return rc;
    sub->wild = sub->route->wild;
    if (sub->wild)
        slu_list_push_back(&w->wild_subs, &sub->wild_link);
    return SLU_OK;
}

enum slu_err slu_sub_new_for_group(struct slu_worker *w, struct slu_group *g, struct slu_bytes filter,
                                   struct slu_sub **out)
{
    struct slu_sub *sub = sub_new();
    if (!sub)
        return SLU_ENOMEM;
    sub->group = g;
    enum slu_err rc = route_in(w, sub, filter);
    if (rc) {
        more_free(sub);
        free(sub);
        return rc;
    }
    slu_list_remove(&sub->wild_link);
    *out = sub;
    return SLU_OK;
}

struct refusal {
    enum slu_err err;
    const char *message, *hint;
};

static struct refusal check_policy(const struct slu_session *s, const struct slu_subscribe *q)
{
    bool wild = slu_filter_is_wild(q->filter);
    const struct slu_rules *rules = slu_broker_rules(s->worker->broker);
    bool no_log = !wild && slu_rules_find(rules, q->filter)->log == SLU_LOG_NONE;
    if (q->durable.len && memchr(q->durable.data, 0, q->durable.len))
        return (struct refusal){ SLU_EBAD_FRAME, "a durable name has no NUL in it", NULL };
    if (q->durable.len && q->group.len)
        return (struct refusal){ SLU_EUNSUPPORTED, "a work queue remembers its place by itself", "leave durable out" };
    if (q->durable.len && q->conflate)
        return (struct refusal){ SLU_EUNSUPPORTED, "a durable subscription takes no conflate",
                                 "leave conflate out, or resume by cur" };
    if (q->durable.len && no_log)
        return (struct refusal){ SLU_EUNSUPPORTED, "a durable subscription needs a topic with a log",
                                 "ask the operator for a topic rule with a log" };
    if (q->from == SLU_FROM_OFFSET && wild)
        return (struct refusal){ SLU_EBAD_FILTER, "an offset belongs to one topic, not to a filter with wildcards",
                                 "resume by {\"cur\":…}" };
    if (no_log && q->has_overflow && q->overflow == SLU_OVERFLOW_PAUSE)
        return (struct refusal){ SLU_EUNSUPPORTED, "pause needs a log, and this topic has none",
                                 "use conflate, drop_oldest or close" };
    if (no_log && q->from != SLU_FROM_NEW && q->from != SLU_FROM_LATEST)
        return (struct refusal){ SLU_EUNSUPPORTED, "this topic has no log to read from",
                                 "use from \"new\" or \"latest\"" };
    if (no_log && q->group.len)
        return (struct refusal){ SLU_EUNSUPPORTED, "a work queue needs a topic with a log",
                                 "ask the operator for a topic rule with a log" };
    if (q->group.len && (q->conflate || q->content))
        return (struct refusal){ SLU_EUNSUPPORTED, "a work queue takes neither conflate nor filter", "leave them out" };
    if (q->group.len && !q->ack)
        return (struct refusal){ SLU_EUNSUPPORTED, "a work queue needs acknowledgements",
                                 "add \"ack\":true and acknowledge each message" };
    if (q->ack && !q->group.len && !q->durable.len)
        return (struct refusal){ SLU_EUNSUPPORTED, "ack belongs to a group or a durable subscription",
                                 "add a group, or leave ack out" };
    return (struct refusal){ 0 };
}

static struct refusal check(const struct slu_session *s, const struct slu_subscribe *q)
{
    if (!slu_filter_valid(q->filter))
        return (struct refusal){ q->filter.len && q->filter.len <= SLU_TOPIC_MAX ? SLU_EBAD_FILTER : SLU_EBAD_TOPIC,
                                 NULL, NULL };
    if (!slu_rights_may_subscribe(&s->identity, q->filter))
        return (struct refusal){ SLU_ETOPIC_FORBIDDEN, "you may not subscribe to that filter", NULL };
    if (s->n_subs >= slu_worker_settings(s->worker)->subscriptions_max)
        return (struct refusal){ SLU_ELIMIT_REACHED, "this connection has as many subscriptions as it may",
                                 "unsubscribe something, or use a wildcard" };
    if (q->has_sub && slu_sub_find((struct slu_session *)s, q->sub))
        return (struct refusal){ SLU_ESUB_EXISTS, NULL, NULL };
    return check_policy(s, q);
}

static uint64_t free_number(struct slu_session *s)
{
    while (slu_sub_find(s, s->next_sub))
        s->next_sub++;
    return s->next_sub++;
}

static void take_options(struct slu_sub *sub, struct slu_subscribe *q)
{
    struct slu_sub_more *more = sub->more;
    more->content = q->content;
    q->content = NULL;
    more->no_echo = q->no_echo;
    more->conflate = q->conflate;
    more->by_key = q->conflate_by_key;
    more->interval_ms = q->conflate && q->hz > 0 ? (uint64_t)(1000.0 / q->hz + 0.5) : 0;
    if (q->conflate && q->hz > 0 && !more->interval_ms)
        more->interval_ms = 1;
    more->has_credit = q->has_credit;
    more->credit = q->credit;
    more->has_overflow = q->has_overflow;
    more->overflow = (uint8_t)q->overflow;
    sub->explicit_options = more->content || more->no_echo || more->conflate || more->has_credit ||
                            more->has_overflow || q->group.len || q->durable.len;
}

enum slu_err slu_sub_read(struct slu_sub *sub, const struct slu_subscribe *q, const struct slu_reqid *id)
{
    struct slu_session *s = sub->session;
    enum slu_err rc = route_in(s->worker, sub, q->filter);
    if (rc)
        return rc;
    sub->more->presence = q->presence && slu_interest_watch(s->worker, q->filter);
    if (q->presence && !sub->more->presence)
        return SLU_ENOMEM;
    if (!slu_replay_start(sub, q, id, &rc))
        return rc;
    sub->joined = !sub->wild;
    if (sub->joined)
        slu_presence_joined(s, sub->route->filter);
    return SLU_OK;
}

/* A member of a work queue has no route of its own: its group reads for it. */
static enum slu_err start(struct slu_session *s, const struct slu_reqid *id, struct slu_sub *sub,
                          const struct slu_subscribe *q)
{
    if (q->group.len)
        return slu_group_join(s, sub, q, id);
    return q->durable.len ? slu_durable_start(sub, q, id) : slu_sub_read(sub, q, id);
}

void slu_session_subscribe(struct slu_session *s, const struct slu_reqid *id, struct slu_subscribe *q)
{
    struct refusal no = check(s, q);
    struct slu_sub *sub = NULL;
    if (!no.err) {
        sub = sub_new();
        no.err = sub ? SLU_OK : SLU_ENOMEM;
    }
    if (sub) {
        sub->session = s;
        sub->number = q->has_sub ? q->sub : free_number(s);
        take_options(sub, q);
        slu_list_push_back(&s->subs, &sub->link);
        s->n_subs++;
        slu_account_add(&s->worker->broker->account, sizeof(*sub) + sizeof(*sub->more));
        no.err = start(s, id, sub, q);
        if (no.err)
            slu_sub_end(sub);
    }
    if (q->content) {
        q->content->free(q->content);
        q->content = NULL;
    }
    if (no.err)
        slu_session_error(s, id, no.err, no.message, no.hint);
}

void slu_session_unsubscribe(struct slu_session *s, const struct slu_reqid *id, bool has_sub, uint64_t sub_number,
                             struct slu_bytes filter)
{
    unsigned ended = 0;
    slu_list_each (it, &s->subs) {
        struct slu_sub *sub = slu_container_of(it, struct slu_sub, link);
        if (has_sub ? sub->number == sub_number : slu_bytes_eq(filter_of(sub), filter)) {
            answer_early(sub);
            slu_sub_end(sub);
            ended++;
        }
    }
    if (!ended) {
        slu_session_error(s, id, SLU_EUNKNOWN_SUB, NULL, NULL);
    } else if (id && id->type != SLU_ID_NONE) {
        struct slu_event ev = { .type = SLU_EV_OK, .id = id };
        slu_out_event(s, &ev);
    }
}

void slu_session_flow(struct slu_session *s, const struct slu_reqid *id, uint64_t number, uint64_t credit)
{
    struct slu_sub *sub = slu_sub_find(s, number);
    if (!sub) {
        slu_session_error(s, id, SLU_EUNKNOWN_SUB, NULL, NULL);
        return;
    }
    if (!sub->more || !sub->more->has_credit) {
        slu_session_error(s, id, SLU_EUNSUPPORTED, "that subscription was made without credit", "give credit in sub");
        return;
    }
    if (sub->more->member && !slu_group_credit(sub->more->member, credit)) {
        slu_session_error(s, id, SLU_ENOMEM, NULL, NULL);
        return;
    }
    uint64_t room = UINT64_MAX / 2 - sub->more->credit;
    sub->more->credit += credit < room ? credit : room;
    if (!sub->more->member && slu_deliver_has_room(sub))
        go_on(sub);
    if (id && id->type != SLU_ID_NONE) {
        struct slu_event ev = { .type = SLU_EV_OK, .id = id };
        slu_out_event(s, &ev);
    }
}

/* --- cursors ----------------------------------------------------------------------------------------------------- */

static void send_cursor(struct slu_sub *sub, const struct slu_buf *text)
{
    struct slu_event ev = { .type = SLU_EV_CUR };
    ev.cur.sub = sub->number;
    ev.cur.cur = slu_buf_bytes(text);
    sub->cur_due = false;
    if (!text->failed)
        slu_out_event(sub->session, &ev);
}

static void write_own(struct slu_buf *out, const struct slu_replay *r, unsigned homes)
{
    for (unsigned h = 0; h < homes; h++) {
        struct slu_cursor_place p = slu_replay_place(r, h);
        slu_buf_add_str(out, h ? "-" : "");
        slu_cursor_write(out, &p, 1);
    }
}

/* Readers that are live share one text; one that is behind has a place of its own. */
void slu_sub_send_cursors(struct slu_worker *w)
{
    struct slu_buf live, own;
    slu_buf_init(&live, 0);
    slu_buf_init(&own, 0);
    for (unsigned h = 0; h < w->homes; h++) {
        struct slu_cursor_place p = { w->home_epochs[h], w->seen[h] };
        slu_buf_add_str(&live, h ? "-" : "");
        slu_cursor_write(&live, &p, 1);
    }
    slu_list_each (it, &w->wild_subs) {
        struct slu_sub *sub = slu_container_of(it, struct slu_sub, wild_link);
        const struct slu_sub_more *more = sub->more;
        bool holds = more && more->has_pending_map && more->pending.n;
        if (!sub->cur_due || !sub->started || holds || !sub->session || sub->session->state != SLU_SESSION_OPEN)
            continue;
        if (!more || !more->replay) {
            send_cursor(sub, &live);
            continue;
        }
        if (!slu_replay_is_scanning(more->replay))
            continue; /* there is none before */
        slu_buf_clear(&own);
        write_own(&own, more->replay, w->homes);
        send_cursor(sub, &own);
    }
    slu_buf_fini(&live);
    slu_buf_fini(&own);
}
