#include "tests/support/faulty_engine.h"

#include "broker/base/list.h"

#include <stdlib.h>

/* An answer that will be lost: kept aside while the inner engine has the request, which then does not say any more
 * whose it is. */
struct answer {
    struct answer *next;
    struct slu_store_req *req;
    void (*done)(struct slu_store_req *req);
    enum slu_faulty_op op;
    enum slu_err err;
};
static struct answer *answers; /* of all engines; under answers_lock */
static pthread_mutex_t answers_lock = PTHREAD_MUTEX_INITIALIZER;

/* open gets no argument of its own: the engine that was wrapped last. */
static struct slu_faulty *opening;

static enum slu_err faulty_open(void **out, const struct slu_engine_env *env, struct slu_buf *why)
{
    struct slu_faulty *f = opening;
    f->env = *env;
    f->is_closed = false;
    enum slu_err rc = f->inner->open(&f->inner_st, env, why);
    if (rc == SLU_OK)
        *out = f;
    return rc;
}

static unsigned faulty_homes(void *st)
{
    struct slu_faulty *f = st;
    return f->inner->homes(f->inner_st);
}

static unsigned faulty_home_of(void *st, struct slu_bytes topic)
{
    struct slu_faulty *f = st;
    return f->inner->home_of(f->inner_st, topic);
}

static void call_inner(struct slu_faulty *f, enum slu_faulty_op op, void *request)
{
    switch (op) {
    case SLU_FAULTY_APPEND:
        f->inner->append(f->inner_st, request);
        break;
    case SLU_FAULTY_LOCATE:
        f->inner->locate(f->inner_st, request);
        break;
    case SLU_FAULTY_SCAN:
        f->inner->scan(f->inner_st, request);
        break;
    case SLU_FAULTY_TAIL:
        f->inner->tail(f->inner_st, request);
        break;
    case SLU_FAULTY_STATE:
    case SLU_FAULTY_OPS:
        f->inner->state(f->inner_st, request);
        break;
    }
}

static void run_done(struct slu_mail *mail, void *owner)
{
    (void)owner;
    struct slu_store_req *req = slu_container_of(mail, struct slu_store_req, mail);
    req->done(req);
}

static void fail(struct slu_faulty *f, struct slu_store_req *req, enum slu_err err)
{
    req->err = err;
    req->mail.run = run_done;
    f->env.post(f->env.arg, req->worker, &req->mail);
}

static void drop_results(enum slu_faulty_op op, void *request)
{
    if (op == SLU_FAULTY_APPEND) {
        struct slu_append *a = request;
        a->pos = (struct slu_pos){ 0, 0 };
        a->duplicate = false;
    } else if (op == SLU_FAULTY_SCAN) {
        struct slu_scan *s = request;
        slu_page_free(s->msgs, s->n);
        s->msgs = NULL;
        s->n = 0;
    } else if (op == SLU_FAULTY_TAIL) {
        struct slu_tail *t = request;
        slu_page_free(t->msgs, t->n);
        free(t->retained);
        free((void *)(uintptr_t)t->next_topic.data);
        t->msgs = NULL;
        t->retained = NULL;
        t->n = 0;
        t->next_topic = (struct slu_bytes){ NULL, 0 };
    } else if (op == SLU_FAULTY_STATE) {
        struct slu_state *s = request;
        free((void *)(uintptr_t)s->found.data);
        s->found = (struct slu_bytes){ NULL, 0 };
    }
}

static struct answer *take_answer(const struct slu_store_req *req)
{
    pthread_mutex_lock(&answers_lock);
    struct answer **link = &answers;
    while ((*link)->req != req)
        link = &(*link)->next;
    struct answer *a = *link;
    *link = a->next;
    pthread_mutex_unlock(&answers_lock);
    return a;
}

static void lose_answer(struct slu_store_req *req)
{
    struct answer *a = take_answer(req);
    if (!req->err) {
        drop_results(a->op, req);
        req->err = a->err;
    }
    req->done = a->done;
    free(a);
    req->done(req);
}

static void lose(struct slu_faulty *f, struct slu_store_req *req, enum slu_faulty_op op, enum slu_err err)
{
    struct answer *a = malloc(sizeof(*a));
    if (!a) {
        fail(f, req, SLU_ENOMEM);
        return;
    }
    *a = (struct answer){ .req = req, .done = req->done, .op = op, .err = err };
    req->done = lose_answer;
    pthread_mutex_lock(&answers_lock);
    a->next = answers;
    answers = a;
    pthread_mutex_unlock(&answers_lock);
    call_inner(f, op, req);
}

static void go_on(struct slu_mail *mail, void *owner)
{
    (void)owner;
    struct slu_store_req *req = slu_container_of(mail, struct slu_store_req, mail);
    struct slu_faulty *f = req->engine;
    if (!f->is_closed) {
        call_inner(f, (enum slu_faulty_op)req->op, req);
        return;
    }
    req->err = SLU_ECLOSED;
    req->done(req);
}

static void hold(struct slu_faulty *f, struct slu_store_req *req, enum slu_faulty_op op)
{
    req->engine = f;
    req->op = op;
    req->mail.run = go_on;
    req->mail.next = NULL;
    *f->held_end = &req->mail;
    f->held_end = &req->mail.next;
}

static void submit(struct slu_faulty *f, struct slu_store_req *req, enum slu_faulty_op op)
{
    pthread_mutex_lock(&f->lock);
    unsigned call = ++f->ops[op].calls, nth = f->ops[op].nth;
    enum slu_fault fault = f->ops[op].fault;
    enum slu_err err = f->ops[op].err;
    bool is_hit = nth && (fault == SLU_FAULT_HOLD ? call >= nth : call == nth);
    if (is_hit && fault == SLU_FAULT_HOLD)
        hold(f, req, op);
    pthread_mutex_unlock(&f->lock);
    if (!is_hit || fault == SLU_FAULT_NONE)
        call_inner(f, op, req);
    else if (fault == SLU_FAULT_FAIL)
        fail(f, req, err);
    else if (fault == SLU_FAULT_LOSE)
        lose(f, req, op, err);
}

static void faulty_append(void *st, struct slu_append *a)
{
    submit(st, &a->req, SLU_FAULTY_APPEND);
}

static void faulty_locate(void *st, struct slu_locate *l)
{
    submit(st, &l->req, SLU_FAULTY_LOCATE);
}

static void faulty_scan(void *st, struct slu_scan *s)
{
    submit(st, &s->req, SLU_FAULTY_SCAN);
}

static void faulty_tail(void *st, struct slu_tail *t)
{
    submit(st, &t->req, SLU_FAULTY_TAIL);
}

static void faulty_state(void *st, struct slu_state *s)
{
    submit(st, &s->req, SLU_FAULTY_STATE);
}

static enum slu_err faulty_adopt(void *st, struct slu_msg *m)
{
    struct slu_faulty *f = st;
    return f->inner->adopt(f->inner_st, m);
}

static void faulty_tick(void *st, unsigned worker)
{
    struct slu_faulty *f = st;
    f->inner->tick(f->inner_st, worker);
}

static void faulty_close(void *st)
{
    struct slu_faulty *f = st;
    f->is_closed = true;
    f->inner->close(f->inner_st);
    slu_faulty_release(f);
}

const struct slu_engine *slu_faulty_init(struct slu_faulty *f, const struct slu_engine *inner)
{
    *f = (struct slu_faulty){ .inner = inner };
    pthread_mutex_init(&f->lock, NULL);
    f->held_end = &f->held;
    f->engine = (struct slu_engine){
        .name = inner->name,
        .durable = inner->durable,
        .shared = inner->shared,
        .open = faulty_open,
        .homes = faulty_homes,
        .home_of = faulty_home_of,
        .append = faulty_append,
        .locate = faulty_locate,
        .scan = faulty_scan,
        .tail = faulty_tail,
        .state = faulty_state,
        .tick = faulty_tick,
        .close = faulty_close,
        .adopt = inner->adopt ? faulty_adopt : NULL,
    };
    opening = f;
    return &f->engine;
}

void slu_faulty_fini(struct slu_faulty *f)
{
    pthread_mutex_destroy(&f->lock);
}

void slu_faulty_set(struct slu_faulty *f, enum slu_faulty_op op, enum slu_fault fault, unsigned nth, enum slu_err err)
{
    pthread_mutex_lock(&f->lock);
    f->ops[op].nth = nth ? nth : f->ops[op].calls + 1;
    f->ops[op].fault = fault;
    f->ops[op].err = err;
    pthread_mutex_unlock(&f->lock);
}

void slu_faulty_release(struct slu_faulty *f)
{
    pthread_mutex_lock(&f->lock);
    for (int op = 0; op < SLU_FAULTY_OPS; op++) {
        if (f->ops[op].fault == SLU_FAULT_HOLD)
            f->ops[op].fault = SLU_FAULT_NONE;
    }
    struct slu_mail *held = f->held;
    f->held = NULL;
    f->held_end = &f->held;
    /* Under the lock, so that no call that comes now overtakes. */
    while (held) {
        struct slu_mail *next = held->next;
        struct slu_store_req *req = slu_container_of(held, struct slu_store_req, mail);
        f->env.post(f->env.arg, req->worker, held);
        held = next;
    }
    pthread_mutex_unlock(&f->lock);
}

unsigned slu_faulty_calls(struct slu_faulty *f, enum slu_faulty_op op)
{
    pthread_mutex_lock(&f->lock);
    unsigned calls = f->ops[op].calls;
    pthread_mutex_unlock(&f->lock);
    return calls;
}
