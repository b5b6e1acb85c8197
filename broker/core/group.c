/* See group.h: the home's half of a work queue.
 *
 * 1. A task is a message that was read for the group and not yet acknowledged. It is with a member (in_flight), waits
 *    for its delay (a timer), or is ready to go out again.
 * 2. Tasks that are ready go before new messages; so order is kept until the first redelivery, not after.
 * 3. The group reads on only while some member has room; otherwise its reader is paused and the log holds the rest.
 * So a group's memory is bounded by its members' windows. */
#include "broker/core/group.h"

#include "broker/base/log.h"
#include "broker/core/broker_state.h"
#include "broker/core/group_member.h"
#include "broker/core/interest.h"
#include "broker/core/publish.h"
#include "broker/core/replay.h"
#include "broker/core/subscription.h"
#include "broker/core/topic.h"

#include <stdio.h>
#include <stdlib.h>

enum { WINDOW = 64, IDLE_MS = 600000, RETRY_MS = 500 };

struct task {
    struct slu_map_node node;
    struct slu_list link; /* group->ready, or group->out */
    struct slu_timer timer;
    struct slu_group *group;
    struct slu_member_state *member; /* NULL: with nobody */
    struct slu_msg *msg;
    unsigned tries;
    struct slu_bytes key; /* offset, epoch, topic */
    uint8_t bytes[];
};

struct slu_group {
    struct slu_map_node node;
    struct slu_worker *worker;
    struct slu_sub *sub; /* the reader */
    struct slu_list members, ready, out;
    struct slu_mail *joining; /* not answered before the group reads, newest first */
    struct slu_map tasks;
    struct slu_timer idle;
    unsigned n_members;
    uint64_t ack_wait_ms;
    unsigned max_try;     /* 0 = without end */
    struct slu_bytes key; /* name NUL filter */
    uint8_t bytes[];
};

static struct slu_bytes group_key(const struct slu_map_node *n)
{
    return slu_container_of(n, const struct slu_group, node)->key;
}

static struct slu_bytes task_key(const struct slu_map_node *n)
{
    return slu_container_of(n, const struct task, node)->key;
}

struct slu_worker *slu_group_worker(const struct slu_group *g)
{
    return g->worker;
}

void slu_group_init(struct slu_worker *w)
{
    slu_map_init(&w->groups, group_key);
}

/* --- tasks -------------------------------------------------------------------------------------------------------- */

static void pump(struct slu_group *g);

static bool has_room(const struct slu_member_state *m)
{
    return !m->is_full && m->in_flight < WINDOW && (!m->in_flight || m->in_flight_bytes < m->max_bytes) &&
           (!m->has_credit || m->credit);
}

/* The member with the least to do, so that a slow one does not hold the others up. */
static struct slu_member_state *pick(const struct slu_group *g)
{
    struct slu_member_state *best = NULL;
    for (struct slu_list *it = g->members.next; it != &g->members; it = it->next) {
        struct slu_member_state *m = slu_container_of(it, struct slu_member_state, link);
        if (has_room(m) && (!best || m->in_flight < best->in_flight))
            best = m;
    }
    return best;
}

bool slu_group_has_room(const struct slu_group *g)
{
    return slu_list_empty(&g->ready) && pick(g);
}

static void take_back(struct task *t)
{
    struct slu_member_state *m = t->member;
    slu_wheel_cancel(&t->group->worker->wheel, &t->timer);
    if (!m)
        return;
    m->in_flight--;
    m->in_flight_bytes -= t->msg->size;
    slu_member_unref(m);
    t->member = NULL;
}

static void task_free(struct task *t)
{
    take_back(t);
    slu_list_remove(&t->link);
    slu_map_del(&t->group->tasks, &t->node);
    slu_msg_unref(t->msg);
    free(t);
}

static size_t write_key(uint8_t *at, struct slu_pos pos, struct slu_bytes topic)
{
    memcpy(at, &pos.offset, sizeof(pos.offset));
    memcpy(at + 8, &pos.epoch, sizeof(pos.epoch));
    memcpy(at + 16, topic.data, topic.len);
    return 16 + topic.len;
}

/* After max_try: $DEAD/<topic> has it, with the number of tries and where it stood. */
static void bury(struct slu_group *g, struct slu_msg *m, unsigned tries)
{
    struct slu_buf topic, headers;
    slu_buf_init(&topic, SLU_TOPIC_MAX);
    slu_buf_init(&headers, 0);
    slu_buf_add_str(&topic, "$DEAD/");
    slu_buf_add_bytes(&topic, m->topic);
    slu_buf_add_bytes(&headers, m->headers);
    char text[24];
    int n = snprintf(text, sizeof(text), "%u", tries);
    slu_headers_add(&headers, SLU_LIT("sluice-tries"), slu_bytes(text, (size_t)n));
    n = snprintf(text, sizeof(text), "%llu", (unsigned long long)m->pos.offset);
    slu_headers_add(&headers, SLU_LIT("sluice-offset"), slu_bytes(text, (size_t)n));
    struct slu_msg_spec spec = {
        .topic = slu_buf_bytes(&topic),
        .payload = m->payload,
        .key = m->key,
        .headers = slu_buf_bytes(&headers),
        .kind = (enum slu_kind)m->kind,
        .form = (enum slu_form)m->form,
        .ts_ms = g->worker->wall_ms,
    };
    struct slu_msg *dead = topic.failed || headers.failed ? NULL : slu_msg_new(&g->worker->broker->account, &spec);
    if (dead)
        slu_publish_internal(g->worker, dead);
    else
        slu_group_gap(g, m->topic, 1, SLU_GAP_SHED); /* $DEAD/<topic> would be too long, or no memory */
    slu_buf_fini(&topic);
    slu_buf_fini(&headers);
}

static void give_up_or_requeue(struct task *t)
{
    struct slu_group *g = t->group;
    take_back(t);
    slu_list_remove(&t->link);
    if (slu_msg_expired(t->msg, g->worker->wall_ms)) {
        slu_group_gap(g, t->msg->topic, 1, SLU_GAP_EXPIRED);
        task_free(t);
    } else if (g->max_try && t->tries >= g->max_try) {
        bury(g, t->msg, t->tries);
        task_free(t);
    } else {
        slu_list_push_back(&g->ready, &t->link);
    }
}

/* Not acknowledged in time, or its delay after a nack is over. */
static void task_timer(struct slu_timer *timer, uint64_t now_ms)
{
    struct task *t = slu_container_of(timer, struct task, timer);
    struct slu_group *g = t->group;
    (void)now_ms;
    give_up_or_requeue(t);
    pump(g);
}

static bool send_to(struct task *t, struct slu_member_state *m)
{
    struct slu_member_mail *mm = slu_member_mail_new(m, SLU_MEMBER_MESSAGE, (struct slu_bytes){ 0 });
    struct slu_group *g = t->group;
    if (!mm) {
        slu_wheel_set(&g->worker->wheel, &t->timer, g->worker->now_ms + RETRY_MS);
        return false;
    }
    t->member = slu_member_ref(m);
    t->tries++;
    m->in_flight++;
    m->in_flight_bytes += t->msg->size;
    if (m->has_credit)
        m->credit--;
    mm->msg = slu_msg_ref(t->msg);
    mm->n = t->tries;
    slu_list_remove(&t->link);
    slu_list_push_back(&g->out, &t->link);
    slu_wheel_set(&g->worker->wheel, &t->timer, g->worker->now_ms + g->ack_wait_ms);
    slu_member_post_session(mm);
    return true;
}

/* No room, or no memory, for m: the log brings it again. */
static void leave_to_log(struct slu_group *g, struct slu_msg *m)
{
    if (!slu_replay_pause(g->sub, m))
        slu_group_gap(g, m->topic, 1, SLU_GAP_SHED);
}

void slu_group_offer(struct slu_group *g, struct slu_msg *m)
{
    struct task *t = calloc(1, sizeof(*t) + 16 + m->topic.len);
    if (!t) {
        leave_to_log(g, m);
        return;
    }
    t->key = slu_bytes(t->bytes, write_key(t->bytes, m->pos, m->topic));
    t->group = g;
    t->msg = slu_msg_ref(m);
    slu_list_init(&t->link);
    slu_timer_init(&t->timer, task_timer);
    bool is_known = slu_map_get(&g->tasks, t->key);
    if (is_known || !slu_map_add(&g->tasks, &t->node)) {
        slu_msg_unref(m);
        free(t);
        if (!is_known)
            leave_to_log(g, m);
        return;
    }
    slu_list_push_back(&g->ready, &t->link);
    struct slu_member_state *to = pick(g);
    if (to)
        send_to(t, to);
}

void slu_group_live(struct slu_group *g, struct slu_msg *m)
{
    struct slu_replay *r = g->sub->more->replay;
    if (slu_replay_holds(r, m))
        return;
    if (slu_group_has_room(g))
        slu_group_offer(g, m);
    else
        leave_to_log(g, m);
}

/* What is ready goes out; with room left the reader goes on. */
static void pump(struct slu_group *g)
{
    struct slu_member_state *m;
    while (!slu_list_empty(&g->ready) && (m = pick(g)))
        if (!send_to(slu_container_of(g->ready.next, struct task, link), m))
            return;
    if (g->sub->more->replay && slu_group_has_room(g))
        slu_replay_go_on(g->sub->more->replay);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void answer_joining(struct slu_group *g, enum slu_err err)
{
    while (g->joining) {
        struct slu_member_mail *mm = slu_container_of(g->joining, struct slu_member_mail, mail);
        g->joining = mm->mail.next;
        mm->code = (int)err;
        slu_member_post_session(mm);
    }
}

static void group_free(struct slu_group *g)
{
    answer_joining(g, SLU_EUNAVAILABLE);
    struct slu_map_iter i = { 0 };
    struct slu_map_node *n;
    while ((n = slu_map_next(&g->tasks, &i)))
        task_free(slu_container_of(n, struct task, node));
    slu_map_fini(&g->tasks);
    slu_list_each (it, &g->members) {
        struct slu_member_state *m = slu_container_of(it, struct slu_member_state, link);
        slu_list_remove(&m->link);
        m->group = NULL;
        slu_member_unref(m);
    }
    slu_wheel_cancel(&g->worker->wheel, &g->idle);
    if (g->sub)
        slu_sub_end(g->sub);
    slu_map_del(&g->worker->groups, &g->node);
    free(g);
}

void slu_group_started(struct slu_group *g)
{
    answer_joining(g, SLU_OK);
}

void slu_group_failed(struct slu_group *g, enum slu_err err)
{
    answer_joining(g, err);
    group_free(g);
}

void slu_group_fini(struct slu_worker *w)
{
    struct slu_map_iter i = { 0 };
    struct slu_map_node *n;
    while ((n = slu_map_next(&w->groups, &i)))
        group_free(slu_container_of(n, struct slu_group, node));
    slu_map_fini(&w->groups);
}

static void idle_over(struct slu_timer *t, uint64_t now_ms)
{
    (void)now_ms;
    group_free(slu_container_of(t, struct slu_group, idle));
}

static struct slu_group *group_new(struct slu_worker *w, struct slu_member_state *m, struct slu_bytes key,
                                   enum slu_err *err)
{
    struct slu_group *g = calloc(1, sizeof(*g) + key.len);
    *err = SLU_ENOMEM;
    if (!g)
        return NULL;
    memcpy(g->bytes, key.data, key.len);
    g->key = slu_bytes(g->bytes, key.len);
    g->worker = w;
    slu_list_init(&g->members);
    slu_list_init(&g->ready);
    slu_list_init(&g->out);
    slu_map_init(&g->tasks, task_key);
    slu_timer_init(&g->idle, idle_over);
    if (!slu_map_add(&w->groups, &g->node)) {
        free(g);
        return NULL;
    }
    struct slu_subscribe q = {
        .filter = m->filter,
        .from = m->from,
        .from_n = m->from_n,
        .from_pos = m->from_pos,
        .from_cur = m->from_cur,
    };
    *err = slu_sub_new_for_group(w, g, m->filter, &g->sub);
    if (!*err && !slu_replay_start(g->sub, &q, NULL, err)) {
        slu_sub_end(g->sub);
        g->sub = NULL;
    }
    if (*err) {
        group_free(g);
        return NULL;
    }
    return g;
}

static struct slu_group *find_or_make(struct slu_worker *w, struct slu_member_state *m, enum slu_err *err)
{
    struct slu_buf key;
    slu_buf_init(&key, 0);
    slu_buf_add_bytes(&key, m->name);
    slu_buf_add_byte(&key, 0);
    slu_buf_add_bytes(&key, m->filter);
    struct slu_group *g = NULL;
    *err = SLU_ENOMEM;
    if (!key.failed) {
        struct slu_map_node *n = slu_map_get(&w->groups, slu_buf_bytes(&key));
        if (n)
            g = slu_container_of(n, struct slu_group, node);
        else if (w->groups.n >= slu_worker_settings(w)->groups_max)
            *err = SLU_ELIMIT_REACHED;
        else
            g = group_new(w, m, slu_buf_bytes(&key), err);
    }
    slu_buf_fini(&key);
    return g;
}

/* The mail goes back as the answer: once the interest is in force and the group's place is known. */
static void join(struct slu_worker *w, struct slu_member_mail *mm)
{
    enum slu_err err = SLU_OK;
    struct slu_member_state *m = mm->member;
    struct slu_group *g = find_or_make(w, m, &err);
    mm->op = SLU_MEMBER_JOINED;
    if (!g) {
        mm->code = (int)err;
        slu_member_post_session(mm);
        return;
    }
    m->group = g;
    slu_list_push_back(&g->members, &slu_member_ref(m)->link);
    g->n_members++;
    g->ack_wait_ms = m->ack_wait_ms;
    g->max_try = m->max_try;
    slu_wheel_cancel(&w->wheel, &g->idle);
    mm->mail.next = g->joining;
    g->joining = &mm->mail;
    if (g->sub->started) {
        answer_joining(g, SLU_OK);
        pump(g);
    }
}

static void leave(struct slu_worker *w, struct slu_member_state *m)
{
    struct slu_group *g = m->group;
    if (!g)
        return;
    slu_list_remove(&m->link);
    m->group = NULL;
    g->n_members--;
    slu_list_each (it, &g->out) {
        struct task *t = slu_container_of(it, struct task, link);
        if (t->member == m)
            give_up_or_requeue(t);
    }
    slu_member_unref(m);
    if (!g->n_members)
        slu_wheel_set(&w->wheel, &g->idle, w->now_ms + IDLE_MS);
    pump(g);
}

static struct task *find_task(struct slu_group *g, struct slu_pos pos, struct slu_bytes topic)
{
    uint8_t key[16 + SLU_TOPIC_MAX];
    if (topic.len > SLU_TOPIC_MAX)
        return NULL;
    struct slu_map_node *n = slu_map_get(&g->tasks, slu_bytes(key, write_key(key, pos, topic)));
    return n ? slu_container_of(n, struct task, node) : NULL;
}

static void ack(struct slu_group *g, const struct slu_member_mail *mm)
{
    if (!mm->flag) {
        struct task *t = find_task(g, mm->pos, mm->topic);
        if (t)
            task_free(t);
        return;
    }
    slu_list_each (it, &g->out) {
        struct task *t = slu_container_of(it, struct task, link);
        if (t->member == mm->member && t->msg->pos.epoch == mm->pos.epoch && t->msg->pos.offset <= mm->pos.offset &&
            slu_bytes_eq(t->msg->topic, mm->topic))
            task_free(t);
    }
}

static void nack(struct slu_group *g, const struct slu_member_mail *mm)
{
    struct task *t = find_task(g, mm->pos, mm->topic);
    if (!t || t->member != mm->member)
        return;
    if (mm->flag) {
        bury(g, t->msg, t->tries);
        task_free(t);
    } else if (mm->n) {
        uint64_t delay = mm->n < 86400000 ? mm->n : 86400000;
        take_back(t);
        slu_wheel_set(&g->worker->wheel, &t->timer, g->worker->now_ms + delay);
    } else {
        give_up_or_requeue(t);
    }
}

/* It never left the broker, so the try does not count and costs no credit. */
static void take_returned(struct slu_group *g, const struct slu_member_mail *mm)
{
    struct slu_member_state *m = mm->member;
    struct task *t = find_task(g, mm->msg->pos, mm->msg->topic);
    m->is_full = true;
    if (m->has_credit)
        m->credit++;
    if (!t || t->member != m || t->tries != mm->n)
        return;
    t->tries--;
    give_up_or_requeue(t);
}

void slu_group_take_mail(struct slu_worker *home, struct slu_member_mail *mm)
{
    struct slu_member_state *m = mm->member;
    struct slu_group *g = m->group;
    if (mm->op == SLU_MEMBER_JOIN) {
        join(home, mm);
        return;
    }
    if (mm->op == SLU_MEMBER_LEAVE) {
        leave(home, m);
    } else if (g) {
        if (mm->op == SLU_MEMBER_ACK)
            ack(g, mm);
        else if (mm->op == SLU_MEMBER_NACK)
            nack(g, mm);
        else if (mm->op == SLU_MEMBER_CREDIT)
            m->credit += mm->n;
        else if (mm->op == SLU_MEMBER_RETURN)
            take_returned(g, mm);
        else if (mm->op == SLU_MEMBER_ROOM)
            m->is_full = false;
        pump(g);
    }
    slu_member_mail_free(mm);
}

void slu_group_gap(struct slu_group *g, struct slu_bytes topic, uint64_t lost, enum slu_gap_reason reason)
{
    slu_list_each (it, &g->members) {
        struct slu_member_state *m = slu_container_of(it, struct slu_member_state, link);
        struct slu_member_mail *mm = slu_member_mail_new(m, SLU_MEMBER_GAP, topic);
        if (!mm)
            continue;
        mm->n = lost;
        mm->code = (int)reason;
        slu_member_post_session(mm);
    }
}
