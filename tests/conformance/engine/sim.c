#include "tests/conformance/engine/sim.h"

#include "broker/base/list.h"
#include "broker/core/topic.h"
#include "tests/support/faulty_alloc.h"

#include <assert.h>
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { WAIT_S = 20 };

const struct slu_rule sim_rule_log = { .log = SLU_LOG_DISK };
const struct slu_rule sim_rule_none = { .log = SLU_LOG_NONE };

__attribute__((format(printf, 2, 3))) static void fault(struct sim *s, const char *fmt, ...)
{
    if (s->fault[0])
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(s->fault, sizeof(s->fault), fmt, args);
    va_end(args);
}

static void wake(void *arg)
{
    struct sim *s = arg;
    pthread_mutex_lock(&s->lock);
    pthread_cond_signal(&s->woken);
    pthread_mutex_unlock(&s->lock);
}

static void post(void *arg, unsigned worker, struct slu_mail *mail)
{
    struct sim *s = arg;
    slu_mailbox_post(&s->boxes[worker], mail);
}

static uint64_t wall_ms(void *arg)
{
    return ((struct sim *)arg)->wall_ms;
}

static struct slu_bytes topic_name(const struct slu_map_node *n)
{
    return ((const struct sim_topic *)(const void *)n)->name;
}

static struct sim_topic *topic_of(struct sim *s, struct slu_bytes name)
{
    struct sim_topic *t = (void *)slu_map_get(&s->topics, name);
    if (t)
        return t;
    t = calloc(1, sizeof(*t) + name.len);
    assert(t);
    memcpy(t->bytes, name.data, name.len);
    t->name = slu_bytes(t->bytes, name.len);
    if (!slu_map_add(&s->topics, &t->node))
        abort();
    return t;
}

static void check_feed(struct sim *s, unsigned worker, const struct slu_msg *m)
{
    struct sim_topic *t = topic_of(s, m->topic);
    if (m->home >= s->homes || m->home != slu_store_home_of(s->store, m->topic, SLU_LOG_DISK))
        fault(s, "fed with home %u", m->home);
    else if (worker != SLU_NO_WORKER && worker != s->running)
        fault(s, "fed as worker %u by worker %u", worker, s->running);
    else if (m->seq <= s->fed_seq[m->home])
        fault(s, "fed seq %ju after %ju", (uintmax_t)m->seq, (uintmax_t)s->fed_seq[m->home]);
    else if (m->pos.epoch == 0 || m->pos.epoch >= UINT64_C(1) << 53)
        fault(s, "epoch %ju", (uintmax_t)m->pos.epoch);
    else if (m->pos.offset != (m->pos.epoch == t->head.epoch ? t->head.offset + 1 : 1))
        fault(s, "offset %ju after %ju", (uintmax_t)m->pos.offset, (uintmax_t)t->head.offset);
    s->fed_seq[m->home < SIM_WORKERS_MAX ? m->home : 0] = m->seq;
    t->head = m->pos;
}

static void feed(void *arg, unsigned worker, struct slu_msg *m)
{
    struct sim *s = arg;
    pthread_mutex_lock(&s->lock);
    faulty_alloc_spare(true);
    check_feed(s, worker, m);
    if (s->n_fed == s->cap_fed) {
        s->cap_fed = s->cap_fed ? s->cap_fed * 2 : 64;
        s->fed = realloc(s->fed, s->cap_fed * sizeof(*s->fed));
        assert(s->fed);
    }
    s->fed[s->n_fed++] = slu_msg_ref(m);
    faulty_alloc_spare(false);
    pthread_mutex_unlock(&s->lock);
}

struct sim *sim_new(unsigned workers)
{
    return sim_new_with(workers, (size_t)1 << 40, engine_factory.make());
}

void sim_open(struct sim *s)
{
    struct slu_engine_env env = {
        .workers = s->workers,
        .arg = s,
        .account = &s->account,
        .post = post,
        .feed = feed,
        .wall_ms = wall_ms,
        .epoch_seed = 7,
        .dedup_window_ms = 300000,
    };
    struct slu_store_engines engines = { .path = engine_factory.path ? engine_factory.path() : NULL };
    *(s->engine->durable ? &engines.durable : &engines.memory) = s->engine;
    if (s->with_memory)
        engines.memory = &slu_engine_memory;
    struct slu_buf why;
    slu_buf_init(&why, 0);
    enum slu_err rc = slu_store_open(&engines, &env, &why, &s->store);
    cr_assert(rc == SLU_OK, "open: %s: %.*s", slu_err_info(rc)->code, (int)why.len, (const char *)why.data);
    slu_buf_fini(&why);
    rc = slu_store_restore(s->store);
    cr_assert(rc == SLU_OK, "restore: %s", slu_err_info(rc)->code);
    s->homes = slu_store_homes(s->store);
    cr_assert(s->homes > 0 && s->homes <= SIM_WORKERS_MAX);
}

void sim_reopen(struct sim *s)
{
    sim_wait(s, NULL);
    sim_close(s);
    while (sim_step(s))
        ;
    sim_open(s);
}

struct sim *sim_new_with(unsigned workers, size_t budget, const struct slu_engine *engine)
{
    struct sim *s = calloc(1, sizeof(*s));
    assert(s && workers <= SIM_WORKERS_MAX);
    s->workers = workers;
    s->running = SLU_NO_WORKER;
    s->wall_ms = UINT64_C(1700000000000);
    s->rng = 12345;
    s->account.budget = budget;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->woken, NULL);
    slu_map_init(&s->topics, topic_name);
    for (unsigned i = 0; i < workers; i++)
        slu_mailbox_init(&s->boxes[i], wake, s);
    s->engine = engine;
    sim_open(s);
    return s;
}

uint64_t sim_random(struct sim *s, uint64_t n)
{
    s->rng = s->rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (s->rng >> 33) % n;
}

static bool has_mail(const struct slu_mailbox *b)
{
    return b->taken || atomic_load(&b->head);
}

bool sim_step(struct sim *s)
{
    unsigned first = (unsigned)sim_random(s, s->workers);
    for (unsigned i = 0; i < s->workers; i++) {
        unsigned w = (first + i) % s->workers;
        if (!has_mail(&s->boxes[w]))
            continue;
        s->running = w;
        slu_mailbox_run(&s->boxes[w], NULL, 1);
        s->running = SLU_NO_WORKER;
        return true;
    }
    return false;
}

static bool has_ended(const struct sim *s, const struct sim_op *op)
{
    if (op)
        return op->done;
    for (const struct sim_op *o = s->ops; o; o = o->next) {
        if (!o->done)
            return false;
    }
    return true;
}

static bool any_mail(const struct sim *s)
{
    for (unsigned i = 0; i < s->workers; i++) {
        if (has_mail(&s->boxes[i]))
            return true;
    }
    return false;
}

/* Engines without threads have posted before this is reached; the others wake us. */
static void wait_for_mail(struct sim *s)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    int rc = 0;
    pthread_mutex_lock(&s->lock);
    while (rc == 0 && !any_mail(s))
        rc = pthread_cond_timedwait(&s->woken, &s->lock, &until);
    pthread_mutex_unlock(&s->lock);
    cr_assert(rc == 0, "a request never ended");
}

void sim_wait(struct sim *s, const struct sim_op *op)
{
    while (!has_ended(s, op)) {
        if (!sim_step(s))
            wait_for_mail(s);
    }
    faulty_alloc_disarm();
    s->fail_alloc = 0;
    cr_assert(!s->fault[0], "%s", s->fault);
}

/* Newest first: it was fed a moment ago. */
static bool was_fed(struct sim *s, const struct slu_msg *m)
{
    bool found = false;
    pthread_mutex_lock(&s->lock);
    for (size_t i = s->n_fed; i > 0 && !found; i--)
        found = s->fed[i - 1] == m;
    pthread_mutex_unlock(&s->lock);
    return found;
}

static void check_append(struct sim *s, struct sim_op *op)
{
    const struct slu_append *a = &op->append;
    bool logged = op->rule.log != SLU_LOG_NONE && !a->msg->clear;
    bool should = a->req.err == SLU_OK && logged && !a->duplicate;
    if (a->req.err == SLU_ECLOSED)
        return;
    if (was_fed(s, a->msg) != should)
        fault(s, should ? "done before the feed" : "fed what was not committed");
    if (should && (a->pos.offset == 0 || a->pos.offset != a->msg->pos.offset || a->pos.epoch != a->msg->pos.epoch))
        fault(s, "the answer's position is not the message's");
    if (a->req.err == SLU_OK && !logged && a->pos.offset)
        fault(s, "a position without a log");
}

static void check_no_results(struct sim *s, const struct sim_op *op)
{
    bool none = op->kind == SIM_SCAN ? !op->scan.msgs && !op->scan.n
                : op->kind == SIM_TAIL
                    ? !op->tail.msgs && !op->tail.n && !op->tail.retained && !op->tail.next_topic.data
                : op->kind == SIM_STATE ? !op->state.found.data && !op->state.found.len
                                        : true;
    if (!none)
        fault(s, "results in a failed request");
}

static void done(struct slu_store_req *req)
{
    struct sim_op *op = (struct sim_op *)(void *)req;
    struct sim *s = op->sim;
    if (s->in_call)
        fault(s, "done inside the call");
    if (s->running != req->worker)
        fault(s, "done on worker %u, not on %u", s->running, req->worker);
    if (op->done++)
        fault(s, "done twice");
    if (op->kind == SIM_APPEND)
        check_append(s, op);
    if (req->err)
        check_no_results(s, op);
}

static struct sim_op *op_new(struct sim *s, int kind, struct slu_store_req *req)
{
    struct sim_op *op = calloc(1, sizeof(*op));
    assert(op);
    op->kind = kind;
    op->sim = s;
    op->next = s->ops;
    s->ops = op;
    req->done = done;
    cr_assert(req->worker < s->workers);
    return op;
}

static void enter(struct sim *s, unsigned worker)
{
    cr_assert(s->running == SLU_NO_WORKER);
    s->running = worker;
    s->in_call = true;
    if (s->fail_alloc)
        faulty_alloc_arm(s->fail_alloc);
}

static void leave(struct sim *s)
{
    s->running = SLU_NO_WORKER;
    s->in_call = false;
}

struct sim_op *sim_append(struct sim *s, struct sim_pub p)
{
    struct slu_msg_spec spec = {
        .topic = p.topic ? slu_str(p.topic) : p.raw_topic,
        .payload = p.data ? slu_str(p.data) : p.raw_data,
        .key = slu_str(p.key),
        .dedup = slu_str(p.dedup),
        .kind = SLU_KIND_TEXT,
        .retain = p.retain,
        .clear = p.clear,
        .ts_ms = p.ts_ms ? p.ts_ms : s->wall_ms,
        .expires_ms = p.expires_ms,
    };
    struct slu_append a = { .req.worker = p.worker, .msg = slu_msg_new(&s->account, &spec) };
    cr_assert(a.msg);
    if (p.expect) {
        a.has_expect = true;
        a.expect = *p.expect;
    }
    struct sim_op *op = op_new(s, SIM_APPEND, &a.req);
    op->append = a;
    op->rule = p.rule ? *p.rule : sim_rule_log;
    op->append.rule = &op->rule;
    enter(s, p.worker);
    slu_store_append(s->store, &op->append);
    leave(s);
    return op;
}

struct sim_op *sim_locate(struct sim *s, struct slu_locate l)
{
    struct sim_op *op = op_new(s, SIM_LOCATE, &l.req);
    op->locate = l;
    enter(s, l.req.worker);
    slu_store_locate(s->store, &op->locate);
    leave(s);
    return op;
}

struct sim_op *sim_scan(struct sim *s, struct slu_scan sc)
{
    struct sim_op *op = op_new(s, SIM_SCAN, &sc.req);
    op->scan = sc;
    enter(s, sc.req.worker);
    slu_store_scan(s->store, &op->scan);
    leave(s);
    return op;
}

struct sim_op *sim_tail(struct sim *s, struct slu_tail t)
{
    struct sim_op *op = op_new(s, SIM_TAIL, &t.req);
    op->tail = t;
    enter(s, t.req.worker);
    slu_store_tail(s->store, &op->tail);
    leave(s);
    return op;
}

static struct slu_bytes keep(uint8_t *at, struct slu_bytes in)
{
    if (in.len)
        memcpy(at, in.data, in.len);
    return slu_bytes(at, in.len);
}

struct sim_op *sim_state(struct sim *s, struct slu_state st)
{
    struct sim_op *op = op_new(s, SIM_STATE, &st.req);
    op->state = st;
    op->bytes = malloc(st.key.len + st.value.len + 1);
    assert(op->bytes);
    op->state.key = keep(op->bytes, st.key);
    op->state.value = keep(op->bytes + st.key.len, st.value);
    enter(s, st.req.worker);
    slu_store_state(s->store, &op->state);
    leave(s);
    return op;
}

void sim_close(struct sim *s)
{
    slu_store_close(s->store);
    s->store = NULL;
}

static void free_op(struct sim_op *op)
{
    if (op->kind == SIM_APPEND) {
        slu_msg_unref(op->append.msg);
    } else if (op->kind == SIM_SCAN) {
        slu_page_free(op->scan.msgs, op->scan.n);
    } else if (op->kind == SIM_TAIL) {
        slu_page_free(op->tail.msgs, op->tail.n);
        free(op->tail.retained);
        free((void *)(uintptr_t)op->tail.next_topic.data);
    } else if (op->kind == SIM_STATE) {
        free((void *)(uintptr_t)op->state.found.data);
    }
    free(op->bytes);
    free(op);
}

void sim_free(struct sim *s)
{
    sim_wait(s, NULL);
    if (s->store)
        sim_close(s);
    while (sim_step(s))
        ;
    while (s->ops) {
        struct sim_op *op = s->ops;
        s->ops = op->next;
        free_op(op);
    }
    for (size_t i = 0; i < s->n_fed; i++)
        slu_msg_unref(s->fed[i]);
    free(s->fed);
    struct slu_map_iter it = { 0 };
    for (struct slu_map_node *n; (n = slu_map_next(&s->topics, &it));)
        free(n);
    slu_map_fini(&s->topics);
    cr_assert(!s->fault[0], "%s", s->fault);
    cr_assert(atomic_load(&s->account.used) == 0, "%zu bytes stay in the account", atomic_load(&s->account.used));
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->woken);
    free(s);
    if (engine_factory.clean)
        engine_factory.clean();
}

static void insist(struct sim *s, const struct sim_op *op, enum slu_err err)
{
    sim_wait(s, op);
    cr_assert(err == SLU_OK, "request: %s", slu_err_info(err)->code);
}

struct slu_pos sim_publish(struct sim *s, struct sim_pub p)
{
    struct sim_op *op = sim_append(s, p);
    sim_wait(s, op);
    insist(s, op, op->append.req.err);
    return op->append.pos;
}

enum slu_err sim_publish_err(struct sim *s, struct sim_pub p)
{
    struct sim_op *op = sim_append(s, p);
    sim_wait(s, op);
    return op->append.req.err;
}

struct sim_op *sim_locate_now(struct sim *s, struct slu_locate l)
{
    struct sim_op *op = sim_locate(s, l);
    sim_wait(s, op);
    insist(s, op, op->locate.req.err);
    return op;
}

struct sim_op *sim_scan_now(struct sim *s, struct slu_scan sc)
{
    struct sim_op *op = sim_scan(s, sc);
    sim_wait(s, op);
    insist(s, op, op->scan.req.err);
    return op;
}

struct sim_op *sim_tail_now(struct sim *s, struct slu_tail t)
{
    struct sim_op *op = sim_tail(s, t);
    sim_wait(s, op);
    insist(s, op, op->tail.req.err);
    return op;
}

struct sim_op *sim_state_now(struct sim *s, struct slu_state st)
{
    struct sim_op *op = sim_state(s, st);
    sim_wait(s, op);
    insist(s, op, op->state.req.err);
    return op;
}

enum slu_err sim_state_err(struct sim *s, struct slu_state st)
{
    struct sim_op *op = sim_state(s, st);
    sim_wait(s, op);
    return op->state.req.err;
}

unsigned sim_home(const struct sim *s, const char *filter)
{
    return slu_filter_is_wild(slu_str(filter)) ? 0 : slu_store_home_of(s->store, slu_str(filter), SLU_LOG_DISK);
}

/* A few buffers in turn, so that one statement can use several. */
static char *scratch(void)
{
    static char buffers[8][65536];
    static unsigned turn;
    char *b = buffers[turn++ % 8];
    b[0] = 0;
    return b;
}

const char *sim_topic_at(const struct sim *s, unsigned home, const char *prefix, unsigned *from)
{
    char *name = scratch();
    do
        snprintf(name, 256, "%s%u", prefix, (*from)++);
    while (sim_home(s, name) != home);
    return name;
}

static void add(char *text, size_t *len, struct slu_bytes v)
{
    assert(*len + v.len + 2 < 65536);
    memcpy(text + *len, v.data, v.len);
    *len += v.len;
    text[*len] = 0;
}

const char *sim_text(struct slu_msg **msgs, size_t n)
{
    char *text = scratch();
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        if (i)
            add(text, &len, SLU_LIT(" "));
        add(text, &len, msgs[i]->payload);
    }
    return text;
}

const char *sim_tail_text(const struct slu_tail *t)
{
    char *text = scratch();
    size_t len = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (i)
            add(text, &len, SLU_LIT(" "));
        add(text, &len, t->msgs[i]->topic);
        add(text, &len, SLU_LIT("="));
        add(text, &len, t->msgs[i]->payload);
        if (t->retained[i])
            add(text, &len, SLU_LIT("*"));
    }
    return text;
}

const char *sim_scan_text(const struct slu_scan *sc)
{
    return sim_text(sc->msgs, sc->n);
}

const char *sim_found(const struct slu_state *st)
{
    char *text = scratch();
    size_t len = 0;
    add(text, &len, st->found.len ? st->found : SLU_LIT("-"));
    return text;
}
