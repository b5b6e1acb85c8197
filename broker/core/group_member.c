/* See group_member.h: the session's half of a work queue's member. */
#include "broker/core/group_member.h"

#include "broker/core/broker_state.h"
#include "broker/core/delivery.h"
#include "broker/core/durable.h"
#include "broker/core/life.h"
#include "broker/core/output.h"
#include "broker/core/subscription.h"

#include <stdlib.h>

enum { DEFAULT_ACK_WAIT_MS = 30000 };

struct slu_member_state *slu_member_ref(struct slu_member_state *m)
{
    atomic_fetch_add(&m->refs, 1);
    return m;
}

void slu_member_unref(struct slu_member_state *m)
{
    if (atomic_fetch_sub(&m->refs, 1) != 1)
        return;
    free((void *)(uintptr_t)m->filter.data);
    free((void *)(uintptr_t)m->name.data);
    free((void *)(uintptr_t)m->from_cur.data);
    free(m);
}

struct slu_member_mail *slu_member_mail_new(struct slu_member_state *m, enum slu_member_op op, struct slu_bytes topic)
{
    struct slu_member_mail *mm = calloc(1, sizeof(*mm) + topic.len);
    if (!mm)
        return NULL;
    mm->member = slu_member_ref(m);
    mm->op = op;
    if (topic.len)
        memcpy(mm->bytes, topic.data, topic.len);
    mm->topic = slu_bytes(mm->bytes, topic.len);
    return mm;
}

void slu_member_mail_free(struct slu_member_mail *mm)
{
    slu_msg_unref(mm->msg);
    slu_member_unref(mm->member);
    free(mm->ask);
    free(mm);
}

static bool copy(struct slu_bytes in, struct slu_bytes *out)
{
    uint8_t *p = malloc(in.len + 1);
    if (!p)
        return false;
    if (in.len)
        memcpy(p, in.data, in.len);
    *out = slu_bytes(p, in.len);
    return true;
}

static void joined(struct slu_member_state *m, enum slu_err err)
{
    struct slu_sub *sub = m->sub;
    struct slu_reqid id = m->id;
    if (!sub)
        return;
    struct slu_session *s = sub->session;
    if (err) {
        slu_sub_end(sub);
        slu_session_error(s, &id, err, NULL, NULL);
        return;
    }
    if (sub->started)
        return;
    sub->started = true;
    if (id.type == SLU_ID_NONE)
        return;
    struct slu_event ev = { .type = SLU_EV_OK, .id = &id };
    ev.ok.what = SLU_OK_SUB;
    ev.ok.sub = sub->number;
    ev.ok.recovered = true;
    slu_out_event(s, &ev);
}

void slu_group_answer_early(struct slu_member_state *m)
{
    joined(m, SLU_OK);
}

/* A member that does not read is given back what its queue cannot hold. True: the mail is on its way. */
static bool return_message(struct slu_sub *sub, struct slu_member_mail *mm)
{
    if (slu_out_fits(sub->session, mm->msg->size))
        return false;
    mm->op = SLU_MEMBER_RETURN;
    slu_member_post_home(mm);
    slu_sub_block(sub);
    return true;
}

void slu_group_has_room_again(struct slu_member_state *m)
{
    struct slu_member_mail *mm = slu_member_mail_new(m, SLU_MEMBER_ROOM, (struct slu_bytes){ 0 });
    if (mm)
        slu_member_post_home(mm);
    else
        slu_sub_block(m->sub);
}

/* Takes the mail over. */
static void message(struct slu_member_state *m, struct slu_member_mail *mm)
{
    struct slu_sub *sub = m->sub;
    if (!sub || sub->session->state != SLU_SESSION_OPEN) {
        slu_member_mail_free(mm);
        return; /* the leave is on its way and gives it to somebody else */
    }
    if (return_message(sub, mm))
        return;
    struct slu_event ev = { .type = SLU_EV_MSG };
    ev.msg.msg = mm->msg;
    ev.msg.has_sub = true;
    ev.msg.sub = sub->number;
    ev.msg.try_no = (unsigned)mm->n;
    if (sub->more->has_credit && sub->more->credit)
        sub->more->credit--;
    slu_out_event(sub->session, &ev);
    slu_member_mail_free(mm);
}

static void settled(struct slu_member_mail *mm)
{
    struct slu_reqid id = mm->ask->query.id;
    struct slu_session *s = slu_query_end(&mm->ask->query);
    struct slu_event ev = { .type = SLU_EV_OK, .id = &id };
    if (!s)
        return;
    slu_life_op_ends(s);
    if (mm->code)
        slu_session_error(s, &id, (enum slu_err)mm->code, NULL, NULL);
    else
        slu_out_event(s, &ev);
}

static void end(struct slu_member_state *m, enum slu_err err)
{
    struct slu_sub *sub = m->sub;
    if (!sub)
        return;
    struct slu_session *s = sub->session;
    struct slu_event ev = { .type = SLU_EV_END };
    ev.end.sub = sub->number;
    ev.end.code = err;
    ev.end.message = "the work queue cannot go on here; subscribe again";
    slu_sub_end(sub);
    slu_out_event(s, &ev);
}

static void session_run(struct slu_mail *mail, void *owner)
{
    struct slu_member_mail *mm = slu_container_of(mail, struct slu_member_mail, mail);
    struct slu_member_state *m = mm->member;
    (void)owner;
    if (mm->op == SLU_MEMBER_MESSAGE) {
        message(m, mm);
        return;
    }
    if (mm->op == SLU_MEMBER_JOINED)
        joined(m, (enum slu_err)mm->code);
    else if (mm->op == SLU_MEMBER_SETTLED)
        settled(mm);
    else if (mm->op == SLU_MEMBER_END)
        end(m, (enum slu_err)mm->code);
    else if (mm->op == SLU_MEMBER_GAP && m->sub)
        slu_deliver_gap(m->sub, mm->topic, mm->n, (enum slu_gap_reason)mm->code);
    slu_member_mail_free(mm);
}

static void home_run(struct slu_mail *mail, void *owner)
{
    struct slu_member_mail *mm = slu_container_of(mail, struct slu_member_mail, mail);
    slu_group_take_mail(owner, mm);
}

void slu_member_post_home(struct slu_member_mail *mm)
{
    mm->mail.run = home_run;
    slu_worker_post(mm->member->home, &mm->mail);
}

void slu_member_post_session(struct slu_member_mail *mm)
{
    mm->mail.run = session_run;
    slu_worker_post(mm->member->worker, &mm->mail);
}

static struct slu_member_state *member_new(struct slu_session *s, const struct slu_subscribe *q)
{
    struct slu_member_state *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    atomic_init(&m->refs, 1);
    slu_list_init(&m->link);
    m->worker = s->worker;
    m->home = slu_query_home(s->worker, q->filter);
    m->ack_wait_ms = q->ack_wait_ms ? q->ack_wait_ms : DEFAULT_ACK_WAIT_MS;
    m->max_try = q->max_try;
    m->max_bytes = slu_worker_settings(s->worker)->queue_bytes / 2;
    m->from = q->from;
    m->from_n = q->from_n;
    m->from_pos = q->from_pos;
    m->has_credit = q->has_credit;
    m->credit = q->credit;
    if (!copy(q->filter, &m->filter) || !copy(q->group, &m->name) || !copy(q->from_cur, &m->from_cur)) {
        slu_member_unref(m);
        return NULL;
    }
    return m;
}

enum slu_err slu_group_join(struct slu_session *s, struct slu_sub *sub, const struct slu_subscribe *q,
                            const struct slu_reqid *id)
{
    struct slu_member_state *m = member_new(s, q);
    if (!m)
        return SLU_ENOMEM;
    struct slu_member_mail *mm = slu_member_mail_new(m, SLU_MEMBER_JOIN, (struct slu_bytes){ 0 });
    m->leave = slu_member_mail_new(m, SLU_MEMBER_LEAVE, (struct slu_bytes){ 0 });
    if (!mm || !m->leave) {
        if (mm)
            slu_member_mail_free(mm);
        if (m->leave)
            slu_member_mail_free(m->leave);
        slu_member_unref(m);
        return SLU_ENOMEM;
    }
    if (id)
        m->id = *id;
    m->sub = sub;
    sub->more->member = m;
    slu_member_post_home(mm);
    return SLU_OK;
}

void slu_group_leave(struct slu_member_state *m)
{
    m->sub->more->member = NULL;
    m->sub = NULL;
    slu_member_post_home(m->leave);
    slu_member_unref(m);
}

struct slu_bytes slu_group_filter(const struct slu_member_state *m)
{
    return m->filter;
}

bool slu_group_credit(struct slu_member_state *m, uint64_t credit)
{
    struct slu_member_mail *mm = slu_member_mail_new(m, SLU_MEMBER_CREDIT, (struct slu_bytes){ 0 });
    if (!mm)
        return false;
    mm->n = credit;
    slu_member_post_home(mm);
    return true;
}

static void settle_durable(struct slu_sub *sub, const struct slu_reqid *id, struct slu_bytes topic, struct slu_pos pos,
                           enum slu_member_op op, bool upto)
{
    if (op == SLU_MEMBER_ACK)
        slu_durable_ack(sub->more->durable, id, topic, pos, upto);
    else
        slu_session_error(sub->session, id, SLU_EUNSUPPORTED, "a durable subscription takes no nack",
                          "a message that is not acknowledged comes again after a reconnect; work queues know nack");
}

static bool ask(struct slu_session *s, const struct slu_reqid *id, struct slu_member_mail *mm)
{
    mm->ask = calloc(1, sizeof(*mm->ask));
    if (!mm->ask)
        return false;
    mm->ask->mail = mm;
    slu_query_follow(&mm->ask->query, s, id);
    slu_life_op_begins(s);
    return true;
}

static void settle(struct slu_session *s, const struct slu_reqid *id, uint64_t number, struct slu_bytes topic,
                   struct slu_pos pos, enum slu_member_op op, bool flag, uint64_t n)
{
    struct slu_sub *sub = slu_sub_find(s, number);
    if (!sub) {
        slu_session_error(s, id, SLU_EUNKNOWN_SUB, NULL, NULL);
        return;
    }
    if (sub->more && sub->more->durable) {
        settle_durable(sub, id, topic, pos, op, flag);
        return;
    }
    if (!sub->more || !sub->more->member) {
        slu_session_error(s, id, SLU_EUNSUPPORTED, "that subscription takes no acknowledgements",
                          "make it with durable, or with group and ack:true");
        return;
    }
    struct slu_member_mail *mm = slu_member_mail_new(sub->more->member, op, topic);
    if (mm && id && id->type != SLU_ID_NONE && !ask(s, id, mm)) {
        slu_member_mail_free(mm);
        mm = NULL;
    }
    if (!mm) {
        slu_session_error(s, id, SLU_ENOMEM, NULL, NULL);
        return;
    }
    mm->pos = pos;
    mm->flag = flag;
    mm->n = n;
    slu_member_post_home(mm);
}

void slu_session_ack(struct slu_session *s, const struct slu_reqid *id, uint64_t sub, struct slu_bytes topic,
                     struct slu_pos pos, bool upto)
{
    settle(s, id, sub, topic, pos, SLU_MEMBER_ACK, upto, 0);
}

void slu_session_nack(struct slu_session *s, const struct slu_reqid *id, uint64_t sub, struct slu_bytes topic,
                      struct slu_pos pos, uint64_t delay_ms, bool drop)
{
    settle(s, id, sub, topic, pos, SLU_MEMBER_NACK, drop, delay_ms);
}
