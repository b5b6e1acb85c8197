/* The memory engine: as many homes as workers, each on its worker's thread. A request for another worker's home travels
 * there as a mail, is done there and travels back; one for the own home is done at once, and only its end is a mail.
 * Requests that are under way when the engine closes keep its shell alive until the last of them has been told. */
#include "storage/memory/home.h"

#include <stdlib.h>

enum op { OP_APPEND, OP_LOCATE, OP_SCAN, OP_TAIL, OP_STATE };

/* Only its worker counts here; a cache line apart. */
struct seat {
    size_t pending;
    uint8_t apart[64 - sizeof(size_t)];
};

struct mem {
    struct slu_engine_env env;
    bool is_closed; /* set when no worker runs any more */
    struct mem_home **homes;
    struct seat seats[];
};

static void free_homes(struct mem *st)
{
    for (unsigned i = 0; st->homes && i < st->env.workers; i++)
        mem_home_free(st->homes[i]);
    free(st->homes);
    st->homes = NULL;
}

static enum slu_err mem_open(void **out, const struct slu_engine_env *env, struct slu_buf *why)
{
    (void)why;
    struct mem *st = calloc(1, sizeof(*st) + env->workers * sizeof(struct seat));
    if (!st)
        return SLU_ENOMEM;
    st->env = *env;
    st->homes = calloc(env->workers, sizeof(struct mem_home *));
    if (!st->homes)
        goto fail;
    for (unsigned i = 0; i < env->workers; i++) {
        st->homes[i] = mem_home_new(&st->env, i);
        if (!st->homes[i])
            goto fail;
    }
    *out = st;
    return SLU_OK;
fail:
    free_homes(st);
    free(st);
    return SLU_ENOMEM;
}

static unsigned mem_homes(void *arg)
{
    const struct mem *st = arg;
    return st->env.workers;
}

static unsigned mem_home_of(void *arg, struct slu_bytes topic)
{
    const struct mem *st = arg;
    return (unsigned)(slu_hash(topic) % st->env.workers);
}

static void *request(struct slu_store_req *req)
{
    return req; /* it is the first member of each of them */
}

_Static_assert(offsetof(struct slu_append, req) == 0 && offsetof(struct slu_locate, req) == 0 &&
                   offsetof(struct slu_scan, req) == 0 && offsetof(struct slu_tail, req) == 0 &&
                   offsetof(struct slu_state, req) == 0,
               "request() relies on it");

static void drop_results(struct slu_store_req *req)
{
    if (req->op == OP_APPEND) {
        struct slu_append *a = request(req);
        a->pos = (struct slu_pos){ 0, 0 };
        a->duplicate = false;
    } else if (req->op == OP_SCAN) {
        struct slu_scan *s = request(req);
        slu_page_free(s->msgs, s->n);
        s->msgs = NULL;
        s->n = 0;
    } else if (req->op == OP_TAIL) {
        struct slu_tail *t = request(req);
        slu_page_free(t->msgs, t->n);
        free(t->retained);
        free((void *)(uintptr_t)t->next_topic.data);
        t->msgs = NULL;
        t->retained = NULL;
        t->n = 0;
        t->next_topic = (struct slu_bytes){ NULL, 0 };
    } else if (req->op == OP_STATE) {
        struct slu_state *s = request(req);
        free((void *)(uintptr_t)s->found.data);
        s->found = (struct slu_bytes){ NULL, 0 };
    }
}

static bool anything_pending(const struct mem *st)
{
    for (unsigned i = 0; i < st->env.workers; i++) {
        if (st->seats[i].pending)
            return true;
    }
    return false;
}

static void end_request(struct slu_mail *mail, void *owner)
{
    (void)owner;
    struct slu_store_req *req = slu_container_of(mail, struct slu_store_req, mail);
    struct mem *st = req->engine;
    st->seats[req->worker].pending--;
    if (st->is_closed) {
        drop_results(req);
        req->err = SLU_ECLOSED;
        if (!anything_pending(st))
            free(st);
    }
    req->done(req);
}

static void send_back(struct mem *st, struct slu_store_req *req)
{
    req->mail.run = end_request;
    st->env.post(st->env.arg, req->worker, &req->mail);
}

static enum slu_err work(struct mem *st, struct slu_store_req *req)
{
    switch ((enum op)req->op) {
    case OP_APPEND: {
        struct slu_append *a = request(req);
        return mem_append(st->homes[mem_home_of(st, a->msg->topic)], a);
    }
    case OP_LOCATE: {
        struct slu_locate *l = request(req);
        return mem_locate(st->homes[l->home], l);
    }
    case OP_SCAN: {
        struct slu_scan *s = request(req);
        return mem_scan(st->homes[s->home], s);
    }
    case OP_TAIL: {
        struct slu_tail *t = request(req);
        return mem_tail(st->homes[t->home], t);
    }
    case OP_STATE: {
        struct slu_state *s = request(req);
        return mem_state(st->homes[mem_home_of(st, s->key)], s);
    }
    }
    return SLU_EINTERNAL;
}

static void work_here(struct slu_mail *mail, void *owner)
{
    (void)owner;
    struct slu_store_req *req = slu_container_of(mail, struct slu_store_req, mail);
    struct mem *st = req->engine;
    if (!st->is_closed)
        req->err = work(st, req);
    send_back(st, req);
}

static void submit(struct mem *st, struct slu_store_req *req, enum op op, unsigned home)
{
    req->engine = st;
    req->op = op;
    st->seats[req->worker].pending++;
    if (home == req->worker) {
        req->err = work(st, req);
        send_back(st, req);
        return;
    }
    req->mail.run = work_here;
    st->env.post(st->env.arg, home, &req->mail);
}

static void submit_append(void *st, struct slu_append *a)
{
    submit(st, &a->req, OP_APPEND, mem_home_of(st, a->msg->topic));
}

static void submit_locate(void *st, struct slu_locate *l)
{
    submit(st, &l->req, OP_LOCATE, l->home);
}

static void submit_scan(void *st, struct slu_scan *s)
{
    submit(st, &s->req, OP_SCAN, s->home);
}

static void submit_tail(void *st, struct slu_tail *t)
{
    submit(st, &t->req, OP_TAIL, t->home);
}

static void submit_state(void *st, struct slu_state *s)
{
    submit(st, &s->req, OP_STATE, mem_home_of(st, s->key));
}

static enum slu_err mem_take_over(void *arg, struct slu_msg *m)
{
    struct mem *st = arg;
    return mem_adopt(st->homes[mem_home_of(st, m->topic)], m);
}

static void mem_tick(void *arg, unsigned worker)
{
    struct mem *st = arg;
    mem_sweep(st->homes[worker]);
}

static void mem_close(void *arg)
{
    struct mem *st = arg;
    free_homes(st);
    st->is_closed = true;
    if (!anything_pending(st))
        free(st);
}

const struct slu_engine slu_engine_memory = {
    .name = "memory",
    .durable = false,
    .shared = false,
    .open = mem_open,
    .homes = mem_homes,
    .home_of = mem_home_of,
    .append = submit_append,
    .locate = submit_locate,
    .scan = submit_scan,
    .tail = submit_tail,
    .state = submit_state,
    .tick = mem_tick,
    .close = mem_close,
    .adopt = mem_take_over,
};
