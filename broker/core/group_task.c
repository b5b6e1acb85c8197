/* See group_home.h: what becomes of each message of a work queue. */
#include "broker/core/broker_state.h"
#include "broker/core/group_home.h"
#include "broker/core/publish.h"
#include "broker/core/replay.h"
#include "broker/core/topic.h"

#include <stdio.h>
#include <stdlib.h>

enum { WINDOW = 64, RETRY_MS = 500, DELAY_MAX_MS = 86400000 };

/* A message on its way to $DEAD: the task stays until it is there. */
struct slu_burial {
    struct slu_task *task; /* NULL: acknowledged meanwhile, or the group has ended */
};

static struct slu_bytes task_key(const struct slu_map_node *n)
{
    return slu_container_of(n, const struct slu_task, node)->key;
}

void slu_group_tasks_init(struct slu_group *g)
{
    slu_list_init(&g->ready);
    slu_list_init(&g->out);
    slu_map_init(&g->tasks, task_key);
    for (unsigned h = 0; h < g->worker->homes; h++)
        slu_list_init(&g->homes[h].tasks);
}

static size_t write_key(uint8_t *at, struct slu_pos pos, struct slu_bytes topic)
{
    memcpy(at, &pos.offset, sizeof(pos.offset));
    memcpy(at + 8, &pos.epoch, sizeof(pos.epoch));
    memcpy(at + 16, topic.data, topic.len);
    return 16 + topic.len;
}

struct slu_task *slu_task_find(const struct slu_group *g, struct slu_bytes topic, struct slu_pos pos)
{
    uint8_t key[16 + SLU_TOPIC_MAX];
    if (!topic.len || topic.len > SLU_TOPIC_MAX)
        return NULL;
    struct slu_map_node *n = slu_map_get(&g->tasks, slu_bytes(key, write_key(key, pos, topic)));
    return n ? slu_container_of(n, struct slu_task, node) : NULL;
}

static void task_timer(struct slu_timer *timer, uint64_t now_ms);

/* Nearly always the newest: only what a wildcard begins with comes topic by topic. */
static void place(struct slu_list *home, struct slu_task *t)
{
    struct slu_list *at = home->prev;
    while (at != home && slu_container_of(at, struct slu_task, in_home)->seq > t->seq)
        at = at->prev;
    slu_list_insert_after(at, &t->in_home);
}

struct slu_task *slu_task_new(struct slu_group *g, struct slu_bytes topic, struct slu_pos pos, unsigned home,
                              uint64_t seq)
{
    struct slu_task *t = slu_task_find(g, topic, pos) ? NULL : calloc(1, sizeof(*t) + 16 + topic.len);
    if (!t)
        return NULL;
    t->key = slu_bytes(t->bytes, write_key(t->bytes, pos, topic));
    t->topic = slu_bytes(t->bytes + 16, topic.len);
    t->pos = pos;
    t->group = g;
    t->home = home;
    t->seq = seq;
    slu_list_init(&t->link);
    slu_list_init(&t->in_home);
    slu_timer_init(&t->timer, task_timer);
    if (!slu_map_add(&g->tasks, &t->node)) {
        free(t);
        return NULL;
    }
    if (seq)
        place(&g->homes[home].tasks, t);
    return t;
}

static void take_back(struct slu_task *t)
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

void slu_task_free(struct slu_task *t)
{
    take_back(t);
    if (t->burial)
        t->burial->task = NULL;
    if (!t->msg)
        t->group->homes[t->home].n_remembered--;
    slu_list_remove(&t->link);
    slu_list_remove(&t->in_home);
    slu_map_del(&t->group->tasks, &t->node);
    slu_msg_unref(t->msg);
    free(t);
}

/* --- room --------------------------------------------------------------------------------------------------------- */

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

/* --- dead letters ------------------------------------------------------------------------------------------------- */

/* The message for $DEAD/<topic>, with the number of tries and where it stood. NULL: too long, or no memory. */
static struct slu_msg *dead_letter(const struct slu_task *t)
{
    struct slu_worker *w = t->group->worker;
    struct slu_msg *m = t->msg;
    struct slu_buf topic, headers;
    slu_buf_init(&topic, SLU_TOPIC_MAX);
    slu_buf_init(&headers, 0);
    slu_buf_add_str(&topic, "$DEAD/");
    slu_buf_add_bytes(&topic, m->topic);
    slu_buf_add_bytes(&headers, m->headers);
    char text[24];
    int n = snprintf(text, sizeof(text), "%u", t->tries);
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
        .ts_ms = w->wall_ms,
    };
    struct slu_msg *dead = topic.failed || headers.failed ? NULL : slu_msg_new(&w->broker->account, &spec);
    slu_buf_fini(&topic);
    slu_buf_fini(&headers);
    return dead;
}

/* It leaves the queue only now: whatever happens before, it is buried again. */
static void buried(void *arg, enum slu_err err)
{
    struct slu_burial *b = arg;
    struct slu_task *t = b->task;
    free(b);
    if (!t)
        return;
    struct slu_group *g = t->group;
    t->burial = NULL;
    if (err) {
        slu_wheel_set(&g->worker->wheel, &t->timer, g->worker->now_ms + RETRY_MS);
        return;
    }
    slu_task_free(t);
    slu_group_changed(g);
}

static void bury(struct slu_task *t)
{
    struct slu_group *g = t->group;
    struct slu_msg *dead = dead_letter(t);
    struct slu_burial *b = dead ? malloc(sizeof(*b)) : NULL;
    take_back(t);
    slu_list_remove(&t->link);
    slu_list_push_back(&g->out, &t->link);
    if (!b) {
        slu_msg_unref(dead);
        slu_group_gap(g, t->topic, 1, SLU_GAP_SHED);
        slu_task_free(t);
        return;
    }
    b->task = t;
    t->burial = b;
    slu_publish_and_tell(g->worker, dead, buried, b);
}

/* --- out and back ------------------------------------------------------------------------------------------------- */

void slu_task_give_back(struct slu_task *t)
{
    struct slu_group *g = t->group;
    take_back(t);
    slu_list_remove(&t->link);
    if (slu_msg_expired(t->msg, g->worker->wall_ms)) {
        slu_group_gap(g, t->topic, 1, SLU_GAP_EXPIRED);
        slu_task_free(t);
    } else if (g->max_try && t->tries >= g->max_try) {
        bury(t);
    } else {
        slu_list_push_back(&g->ready, &t->link);
    }
    slu_group_changed(g);
}

/* Not acknowledged in time, or its delay after a nack is over. */
static void task_timer(struct slu_timer *timer, uint64_t now_ms)
{
    struct slu_task *t = slu_container_of(timer, struct slu_task, timer);
    struct slu_group *g = t->group;
    (void)now_ms;
    slu_task_give_back(t);
    slu_group_pump(g);
}

static bool send_to(struct slu_task *t, struct slu_member_state *m)
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
    slu_group_changed(g);
    slu_member_post_session(mm);
    return true;
}

/* No room, or no memory, for m: the log brings it again. */
static void leave_to_log(struct slu_group *g, struct slu_msg *m)
{
    if (!m->seq || !slu_replay_pause(g->sub, m))
        slu_group_gap(g, m->topic, 1, SLU_GAP_SHED);
}

/* One that is remembered has come: it goes on as it would have. */
static void take_up(struct slu_task *t, struct slu_msg *m)
{
    struct slu_group *g = t->group;
    struct slu_worker *w = g->worker;
    uint64_t delay = t->not_before_ms > w->wall_ms ? t->not_before_ms - w->wall_ms : 0;
    t->msg = slu_msg_ref(m);
    g->homes[t->home].n_remembered--;
    if (!delay && !(g->max_try && t->tries >= g->max_try)) {
        slu_list_push_back(&g->ready, &t->link);
        return;
    }
    slu_list_push_back(&g->out, &t->link);
    slu_wheel_set(&w->wheel, &t->timer, w->now_ms + (delay < DELAY_MAX_MS ? delay : DELAY_MAX_MS));
}

/* The task that m is, or becomes; NULL: none, or one that is known. */
static struct slu_task *task_for(struct slu_group *g, struct slu_msg *m)
{
    struct slu_group_home *h = &g->homes[m->home];
    if (h->n_remembered && m->seq > h->read)
        slu_group_tell_lost(g, m->home, SLU_GAP_TRIMMED);
    struct slu_task *t = slu_task_find(g, m->topic, m->pos);
    if (t && t->msg)
        return NULL;
    if (t) {
        take_up(t, m);
        return t;
    }
    if (m->seq && m->seq <= h->read)
        return NULL;
    t = slu_task_new(g, m->topic, m->pos, m->home, m->seq);
    if (!t) {
        if (m->seq && (!h->missed || m->seq < h->missed))
            h->missed = m->seq;
        leave_to_log(g, m);
        return NULL;
    }
    if (h->missed == m->seq)
        h->missed = 0;
    t->msg = slu_msg_ref(m);
    slu_list_push_back(&g->ready, &t->link);
    return t;
}

void slu_group_offer(struct slu_group *g, struct slu_msg *m)
{
    struct slu_task *t = task_for(g, m);
    struct slu_member_state *to = t && !t->timer.due_ms ? pick(g) : NULL;
    if (t)
        slu_group_changed(g);
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

void slu_group_pump(struct slu_group *g)
{
    struct slu_member_state *m;
    while (!slu_list_empty(&g->ready) && (m = pick(g)))
        if (!send_to(slu_container_of(g->ready.next, struct slu_task, link), m))
            return;
    if (g->sub && g->sub->more->replay && slu_group_has_room(g))
        slu_replay_go_on(g->sub->more->replay);
}

/* --- what members say --------------------------------------------------------------------------------------------- */

void slu_group_ack(struct slu_group *g, const struct slu_member_mail *mm)
{
    if (!mm->flag) {
        struct slu_task *t = slu_task_find(g, mm->topic, mm->pos);
        if (!t)
            return;
        slu_task_free(t);
        slu_group_changed(g);
        return;
    }
    slu_list_each (it, &g->out) {
        struct slu_task *t = slu_container_of(it, struct slu_task, link);
        if (t->member != mm->member || t->pos.epoch != mm->pos.epoch || t->pos.offset > mm->pos.offset ||
            !slu_bytes_eq(t->topic, mm->topic))
            continue;
        slu_task_free(t);
        slu_group_changed(g);
    }
}

void slu_group_nack(struct slu_group *g, const struct slu_member_mail *mm)
{
    struct slu_task *t = slu_task_find(g, mm->topic, mm->pos);
    if (!t || !t->member || t->member != mm->member)
        return;
    if (mm->flag) {
        bury(t);
    } else if (mm->n) {
        take_back(t);
        slu_wheel_set(&g->worker->wheel, &t->timer, g->worker->now_ms + (mm->n < DELAY_MAX_MS ? mm->n : DELAY_MAX_MS));
    } else {
        slu_task_give_back(t);
    }
    slu_group_changed(g);
}

/* It never left the broker, so the try does not count and costs no credit. */
void slu_group_returned(struct slu_group *g, const struct slu_member_mail *mm)
{
    struct slu_member_state *m = mm->member;
    struct slu_task *t = slu_task_find(g, mm->msg->topic, mm->msg->pos);
    m->is_full = true;
    if (m->has_credit)
        m->credit++;
    if (!t || t->member != m || t->tries != mm->n)
        return;
    t->tries--;
    slu_task_give_back(t);
}
