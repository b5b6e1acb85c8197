/* See publish.h. The op is made before anything else happens, with all the memory that the way needs, so that a publish
 * is refused whole or goes through. It counts what is still under way: the log, and each worker that delivers. Whoever
 * brings that to zero sends it home, where the publisher is answered and the op freed. */
#include "broker/core/publish.h"

#include "broker/core/broker_state.h"
#include "broker/core/delivery.h"
#include "broker/core/interest.h"
#include "broker/core/life.h"
#include "broker/core/output.h"
#include "broker/core/publish_check.h"
#include "broker/core/request.h"

#include <stdlib.h>

struct frame {
    size_t len;
    uint8_t bytes[];
};

struct leg {
    struct slu_mail mail; /* to one worker */
    struct slu_publish_op *op;
};

struct slu_publish_op {
    struct slu_append append;
    struct slu_msg *msg;
    struct slu_worker *origin;
    struct slu_session *session; /* NULL: nobody is there (any more) */
    struct slu_list link;        /* session->publishes */
    struct slu_reqid id;
    void (*done)(void *arg, uint32_t matched); /* direct ones */
    void (*told)(void *arg, enum slu_err err); /* internal ones */
    void *arg;
    atomic_uint pending;
    _Atomic uint32_t matched;
    struct slu_mail home_mail;
    bool is_shared; /* several workers deliver it: frames are worth keeping */
    bool logged;
    _Atomic(struct frame *) frames[SLU_WIRES];
    struct leg legs[];
};

static struct slu_publish_op *op_new(struct slu_worker *w, struct slu_msg *m)
{
    unsigned n = w->broker->n_workers;
    struct slu_publish_op *op = calloc(1, sizeof(*op) + n * sizeof(op->legs[0]));
    if (!op)
        return NULL;
    op->msg = m;
    op->origin = w;
    slu_list_init(&op->link);
    atomic_init(&op->pending, 1);
    return op;
}

static void op_free(struct slu_publish_op *op)
{
    for (unsigned i = 0; i < SLU_WIRES; i++)
        free(atomic_load(&op->frames[i]));
    slu_msg_unref(op->msg);
    free(op);
}

struct slu_bytes slu_publish_frame_get(const struct slu_publish_op *op, unsigned wire)
{
    struct frame *f = atomic_load_explicit(&((struct slu_publish_op *)op)->frames[wire], memory_order_acquire);
    return f ? slu_bytes(f->bytes, f->len) : (struct slu_bytes){ 0 };
}

void slu_publish_frame_put(struct slu_publish_op *op, unsigned wire, struct slu_bytes frame)
{
    if (!op->is_shared)
        return;
    struct frame *f = malloc(sizeof(*f) + frame.len), *none = NULL;
    if (!f)
        return; /* the next worker encodes for itself */
    f->len = frame.len;
    memcpy(f->bytes, frame.data, frame.len);
    if (!atomic_compare_exchange_strong(&op->frames[wire], &none, f))
        free(f);
}

/* --- the way back ------------------------------------------------------------------------------------------------- */

static void let_go(struct slu_publish_op *op)
{
    struct slu_session *s = op->session;
    if (!s)
        return;
    slu_list_remove(&op->link);
    op->session = NULL;
    slu_life_op_ends(s);
}

static void answer(struct slu_publish_op *op)
{
    struct slu_session *s = op->session;
    enum slu_err err = op->append.req.err;
    if (err) {
        slu_count(op->origin->broker, SLU_COUNT_messages_refused, 1);
        if (s)
            slu_session_error(s, &op->id, err,
                              err == SLU_EUNAVAILABLE ? slu_store_trouble(s->worker->broker->store) : NULL, NULL);
        return;
    }
    if (op->append.duplicate)
        slu_count(op->origin->broker, SLU_COUNT_messages_duplicate, 1);
    else
        slu_count(op->origin->broker, SLU_COUNT_messages_published, 1);
    if (!s || op->id.type == SLU_ID_NONE)
        return;
    struct slu_event ev = { .type = SLU_EV_OK, .id = &op->id };
    ev.ok.what = SLU_OK_PUB;
    ev.ok.matched = op->append.duplicate ? op->append.matched : atomic_load(&op->matched);
    if (op->logged)
        ev.ok.pos = op->append.pos;
    slu_out_event(s, &ev);
}

static void ask_again(struct slu_mail *mail, void *owner)
{
    struct slu_publish_op *op = slu_container_of(mail, struct slu_publish_op, home_mail);
    struct slu_worker *w = owner;
    atomic_store(&op->pending, 1);
    op->append.duplicate = false;
    slu_store_append(w->broker->store, &op->append);
}

/* A repeat waits for the first: until that one's readers are counted it asks again, as the turns go. */
static bool waits_for_first(struct slu_publish_op *op)
{
    if (op->append.req.err || !op->append.duplicate || op->append.matched != SLU_MATCHED_OPEN || !op->session)
        return false;
    op->home_mail.run = ask_again;
    slu_worker_defer(op->origin, &op->home_mail);
    return true;
}

static void complete(struct slu_publish_op *op)
{
    if (waits_for_first(op))
        return;
    atomic_store(&op->msg->matched, atomic_load(&op->matched));
    if (op->done)
        op->done(op->arg, atomic_load(&op->matched));
    else
        answer(op);
    if (op->told)
        op->told(op->arg, op->append.req.err);
    let_go(op);
    op_free(op);
}

static void home_run(struct slu_mail *mail, void *owner)
{
    (void)owner;
    complete(slu_container_of(mail, struct slu_publish_op, home_mail));
}

/* w: the worker this runs on, or NULL. */
static void release(struct slu_publish_op *op, struct slu_worker *w)
{
    if (atomic_fetch_sub(&op->pending, 1) != 1)
        return;
    if (w == op->origin) {
        complete(op);
        return;
    }
    op->home_mail.run = home_run;
    slu_worker_post(op->origin, &op->home_mail);
}

/* --- fan-out ------------------------------------------------------------------------------------------------------ */

static void leg_run(struct slu_mail *mail, void *owner)
{
    struct slu_publish_op *op = slu_container_of(mail, struct leg, mail)->op;
    struct slu_worker *w = owner;
    atomic_fetch_add(&op->matched, slu_deliver(w, op->msg, op));
    release(op, w);
}

static void post_leg(struct slu_publish_op *op, unsigned to)
{
    struct leg *leg = &op->legs[to];
    leg->op = op;
    leg->mail.run = leg_run;
    atomic_fetch_add(&op->pending, 1);
    slu_worker_post(op->origin->broker->workers[to], &leg->mail);
}

/* On worker w. Others first: they work while this one does. */
static void fan_out(struct slu_worker *w, struct slu_publish_op *op)
{
    uint64_t others = slu_interest_match(w, op->msg->topic);
    op->is_shared = others != 0;
    for (unsigned i = 0; others; i++, others >>= 1)
        if (others & 1)
            post_leg(op, i);
    atomic_fetch_add(&op->matched, slu_deliver(w, op->msg, op->is_shared ? op : NULL));
}

void slu_publish_feed(void *broker, unsigned worker, struct slu_msg *msg)
{
    struct slu_broker *b = broker;
    struct slu_publish_op *op = msg->fan, *own = NULL;
    msg->fan = NULL;
    if (!op) {
        op = own = op_new(b->workers[0], slu_msg_ref(msg));
        if (!op) {
            slu_msg_unref(msg);
            return;
        }
    }
    if (worker != SLU_NO_WORKER) {
        fan_out(b->workers[worker], op);
        return;
    }
    /* From an engine's own thread, straight to every worker: what that thread answers to any of them later must not
     * overtake this, as it would by way of a worker whose interest table says who wants it. */
    op->is_shared = b->n_workers > 1;
    for (unsigned i = 0; i < b->n_workers; i++)
        post_leg(op, i);
    if (own)
        release(own, NULL);
}

static void appended(struct slu_store_req *req)
{
    struct slu_publish_op *op = slu_container_of(req, struct slu_publish_op, append.req);
    op->msg->fan = NULL; /* where nothing was fed: refused, repeated, or only retained */
    release(op, op->origin);
}

static void send(struct slu_worker *w, struct slu_publish_op *op, const struct slu_rule *rule)
{
    op->logged = rule->log != SLU_LOG_NONE;
    if (!op->logged && !op->msg->clear)
        fan_out(w, op);
    if (!op->logged && !op->msg->retain) {
        release(op, w);
        return;
    }
    op->msg->fan = op;
    op->append.req.worker = w->index;
    op->append.req.done = appended;
    op->append.msg = op->msg;
    op->append.rule = rule;
    slu_store_append(w->broker->store, &op->append);
}

void slu_publish_and_tell(struct slu_worker *w, struct slu_msg *m, void (*done)(void *arg, enum slu_err err), void *arg)
{
    struct slu_publish_op *op = op_new(w, m);
    if (!op) {
        slu_msg_unref(m);
        if (done)
            done(arg, SLU_ENOMEM);
        return;
    }
    op->told = done;
    op->arg = arg;
    send(w, op, slu_rules_find(slu_broker_rules(w->broker), m->topic));
}

void slu_publish_internal(struct slu_worker *w, struct slu_msg *m)
{
    slu_publish_and_tell(w, m, NULL, NULL);
}

void slu_publish_direct(struct slu_worker *w, struct slu_msg *m, void (*done)(void *arg, uint32_t matched), void *arg)
{
    struct slu_publish_op *op = op_new(w, slu_msg_ref(m));
    if (!op) {
        slu_msg_unref(m);
        done(arg, 0);
        return;
    }
    op->done = done;
    op->arg = arg;
    fan_out(w, op);
    release(op, w);
}

/* --- from a session ----------------------------------------------------------------------------------------------- */

/* Memory runs short: this publisher is not read from for a while. */
static void slow_down(struct slu_session *s)
{
    struct slu_worker *w = s->worker;
    if (s->read_off_memory || slu_account_pressure(&w->broker->account) < SLU_PRESSURE_PUBLISHERS)
        return;
    slu_count(w->broker, SLU_COUNT_publishers_slowed, 1);
    slu_session_error(s, NULL, SLU_EUNAVAILABLE, "memory is short: the broker reads more slowly from this connection",
                      "nothing was lost; publish less, or wait");
    s->read_off_memory = true;
    w->has_slowed = true;
    slu_wheel_set(&w->wheel, &w->tick, w->now_ms + 100);
    slu_life_update_reading(s);
}

void slu_session_publish(struct slu_session *s, const struct slu_reqid *id, const struct slu_publish *p)
{
    struct slu_worker *w = s->worker;
    const struct slu_rule *rule = NULL;
    if (slu_request_is_reply_topic(p->topic)) {
        slu_request_reply(s, id, p);
        return;
    }
    struct slu_refusal no = slu_publish_check(s, p, &rule);
    struct slu_msg *m = no.err ? NULL : slu_publish_message(s, p, (struct slu_bytes){ 0 });
    struct slu_publish_op *op = m ? op_new(w, m) : NULL;
    if (!op) {
        slu_msg_unref(m);
        slu_count(w->broker, SLU_COUNT_messages_refused, 1);
        slu_session_error(s, id, no.err ? no.err : SLU_ENOMEM, no.message, no.hint);
        return;
    }
    if (id)
        op->id = *id;
    op->session = s;
    op->append.has_expect = p->has_expect;
    op->append.expect = p->expect;
    slu_list_push_back(&s->publishes, &op->link);
    slu_life_op_begins(s);
    send(w, op, rule);
    slow_down(s);
}

void slu_publish_forget(struct slu_session *s)
{
    while (!slu_list_empty(&s->publishes))
        let_go(slu_container_of(s->publishes.next, struct slu_publish_op, link));
}
