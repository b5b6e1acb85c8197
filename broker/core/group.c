/* See group_home.h: the life of a work queue, and what its members tell it. */
#include "broker/core/broker_state.h"
#include "broker/core/group_home.h"
#include "broker/core/interest.h"
#include "broker/core/replay.h"
#include "broker/core/subscription.h"

#include <stdlib.h>

enum { IDLE_MS = 600000 };

static struct slu_bytes group_key(const struct slu_map_node *n)
{
    return slu_container_of(n, const struct slu_group, node)->key;
}

struct slu_worker *slu_group_worker(const struct slu_group *g)
{
    return g->worker;
}

void slu_group_init(struct slu_worker *w)
{
    slu_map_init(&w->groups, group_key);
}

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
    if (g->keep)
        slu_keep_unwait(g->keep, &g->begin);
    slu_keep_end(g->keep);
    g->keep = NULL;
    struct slu_map_iter i = { 0 };
    struct slu_map_node *n;
    while ((n = slu_map_next(&g->tasks, &i)))
        slu_task_free(slu_container_of(n, struct slu_task, node));
    slu_map_fini(&g->tasks);
    slu_list_each (it, &g->members) {
        struct slu_member_state *m = slu_container_of(it, struct slu_member_state, link);
        slu_list_remove(&m->link);
        m->group = NULL;
        slu_member_unref(m);
    }
    if (g->maker)
        slu_member_unref(g->maker);
    slu_wheel_cancel(&g->worker->wheel, &g->idle);
    if (g->sub)
        slu_sub_end(g->sub);
    slu_map_del(&g->worker->groups, &g->node);
    free(g->homes);
    free(g);
}

void slu_group_started(struct slu_group *g)
{
    answer_joining(g, SLU_OK);
    for (unsigned h = 0; h < g->worker->homes; h++) {
        struct slu_group_home *home = &g->homes[h];
        if (!home->starts_over)
            continue;
        home->starts_over = false;
        if (home->n_remembered)
            slu_group_tell_lost(g, h, SLU_GAP_EPOCH);
        else
            slu_group_gap(g, (struct slu_bytes){ 0 }, 0, SLU_GAP_EPOCH);
    }
}

/* Nothing more is written: the store refuses, or the name is another broker's now. */
void slu_group_end(struct slu_group *g, enum slu_err err)
{
    bool is_running = g->sub && g->sub->started;
    answer_joining(g, err);
    if (g->keep) {
        slu_keep_unwait(g->keep, &g->begin);
        slu_keep_drop(g->keep);
        g->keep = NULL;
    }
    for (struct slu_list *it = g->members.next; is_running && it != &g->members; it = it->next) {
        struct slu_member_state *m = slu_container_of(it, struct slu_member_state, link);
        struct slu_member_mail *mm = slu_member_mail_new(m, SLU_MEMBER_END, (struct slu_bytes){ 0 });
        if (!mm)
            continue;
        mm->code = (int)err;
        slu_member_post_session(mm);
    }
    group_free(g);
}

void slu_group_failed(struct slu_group *g, enum slu_err err)
{
    slu_group_end(g, err);
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

static struct slu_group *group_new(struct slu_worker *w, struct slu_member_state *m, struct slu_bytes key)
{
    struct slu_group *g = calloc(1, sizeof(*g) + key.len);
    struct slu_group_home *homes = calloc(w->homes, sizeof(*homes));
    if (!g || !homes) {
        free(g);
        free(homes);
        return NULL;
    }
    memcpy(g->bytes, key.data, key.len);
    g->key = slu_bytes(g->bytes, key.len);
    g->worker = w;
    g->homes = homes;
    slu_list_init(&g->members);
    slu_group_tasks_init(g);
    slu_timer_init(&g->idle, idle_over);
    if (!slu_map_add(&w->groups, &g->node)) {
        free(homes);
        free(g);
        return NULL;
    }
    g->maker = slu_member_ref(m);
    if (!slu_group_claim(g)) {
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
            g = group_new(w, m, slu_buf_bytes(&key));
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
    if (g->sub && g->sub->started) {
        answer_joining(g, SLU_OK);
        slu_group_pump(g);
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
        struct slu_task *t = slu_container_of(it, struct slu_task, link);
        if (t->member == m)
            slu_task_give_back(t);
    }
    slu_member_unref(m);
    if (!g->n_members)
        slu_wheel_set(&w->wheel, &g->idle, w->now_ms + IDLE_MS);
    slu_group_pump(g);
}

/* Answered when what it changed is in the store. The mail goes back as the answer. */
static void settled(struct slu_keep_wait *wait, enum slu_err err)
{
    struct slu_member_mail *mm = slu_container_of(wait, struct slu_member_ask, wait)->mail;
    mm->op = SLU_MEMBER_SETTLED;
    mm->code = (int)err;
    slu_member_post_session(mm);
}

static void settle(struct slu_group *g, struct slu_member_mail *mm)
{
    if (g && mm->op == SLU_MEMBER_ACK)
        slu_group_ack(g, mm);
    else if (g)
        slu_group_nack(g, mm);
    if (!mm->ask) {
        slu_member_mail_free(mm);
    } else if (g && g->keep) {
        mm->ask->wait.done = settled;
        slu_keep_wait(g->keep, &mm->ask->wait);
    } else {
        settled(&mm->ask->wait, SLU_EUNAVAILABLE);
    }
    if (g)
        slu_group_pump(g);
}

void slu_group_take_mail(struct slu_worker *home, struct slu_member_mail *mm)
{
    struct slu_member_state *m = mm->member;
    struct slu_group *g = m->group;
    if (mm->op == SLU_MEMBER_JOIN) {
        join(home, mm);
        return;
    }
    if (mm->op == SLU_MEMBER_ACK || mm->op == SLU_MEMBER_NACK) {
        settle(g, mm);
        return;
    }
    if (mm->op == SLU_MEMBER_LEAVE) {
        leave(home, m);
    } else if (g) {
        if (mm->op == SLU_MEMBER_CREDIT)
            m->credit += mm->n;
        else if (mm->op == SLU_MEMBER_RETURN)
            slu_group_returned(g, mm);
        else if (mm->op == SLU_MEMBER_ROOM)
            m->is_full = false;
        slu_group_pump(g);
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
