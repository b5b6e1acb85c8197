/* The store: one or two opened engines behind checks that hold for all of them. What is refused here never reaches an
 * engine and still ends as the contract says, by a mail to the caller's own worker. Results are cleared before every
 * call, so that a failed request carries none. */
#include "storage/engine.h"

#include "broker/base/log.h"
#include "broker/core/topic.h"

#include <assert.h>
#include <stdlib.h>

/* One for each worker, a cache line apart; only that worker writes. */
struct counts {
    _Atomic uint64_t appends, locates, scans, tails, states, refused;
    uint8_t apart[64 - 6 * sizeof(uint64_t)];
};

/* The homes base to base + homes - 1. */
struct part {
    const struct slu_engine *engine;
    void *st;
    unsigned base, homes;
};

/* The durable part comes first; with one part it is the first and the last. */
struct slu_store {
    struct part parts[2];
    unsigned n;
    struct slu_engine_env env;
    struct counts *counts;
};

static const struct part *part_of_log(const struct slu_store *s, enum slu_log_kind log)
{
    return &s->parts[log == SLU_LOG_DISK ? 0 : s->n - 1];
}

static const struct part *part_of_home(const struct slu_store *s, unsigned home)
{
    return &s->parts[home < s->parts[0].homes ? 0 : s->n - 1];
}

static void on_retained(void *store, struct slu_bytes topic, struct slu_msg *m)
{
    struct slu_store *s = store;
    s->parts[0].engine->mirror(s->parts[0].st, topic, m);
}

static enum slu_err open_part(struct slu_store *s, const struct slu_engine *e, struct slu_buf *why)
{
    if (!e)
        return SLU_OK;
    struct part *p = &s->parts[s->n];
    struct slu_engine_env env = s->env;
    p->engine = e;
    p->base = env.home_base = slu_store_homes(s);
    if (s->n && s->parts[0].engine->mirror) {
        env.retained = on_retained;
        env.retained_arg = s;
    }
    enum slu_err rc = e->open(&p->st, &env, why);
    if (rc)
        return rc;
    p->homes = e->homes(p->st);
    s->n++;
    return SLU_OK;
}

enum slu_err slu_store_open(const struct slu_store_engines *engines, const struct slu_engine_env *env,
                            struct slu_buf *why, struct slu_store **out)
{
    assert(engines->durable || engines->memory);
    assert(env->workers > 0 && env->account && env->post && env->feed && env->wall_ms);
    enum slu_err rc = SLU_ENOMEM;
    struct slu_store *s = calloc(1, sizeof(*s));
    if (!s)
        return rc;
    s->env = *env;
    s->env.path = engines->path;
    s->counts = calloc(env->workers, sizeof(struct counts));
    if (s->counts)
        rc = open_part(s, engines->durable, why);
    if (!rc)
        rc = open_part(s, engines->memory, why);
    if (!rc)
        *out = s;
    else
        slu_store_close(s);
    return rc;
}

struct restoring {
    const struct part *to;
    size_t left_out;
};

/* One for which there is no memory (any more: the budget may be smaller now) stays on disk and is not served. */
static enum slu_err adopt(void *arg, struct slu_msg *m)
{
    struct restoring *r = arg;
    if (r->to->engine->adopt(r->to->st, m))
        r->left_out++;
    return SLU_OK;
}

enum slu_err slu_store_restore(struct slu_store *s)
{
    const struct part *p = &s->parts[0];
    struct restoring r = { .to = &s->parts[s->n - 1] };
    if (s->n < 2 || !p->engine->mirrored)
        return SLU_OK;
    enum slu_err rc = p->engine->mirrored(p->st, adopt, &r);
    if (r.left_out)
        slu_log(SLU_LOG_ERROR, "store", "retained_left_out",
                "count=%zu hint=\"raise limits.memory and start again: they are still on disk\"", r.left_out);
    return rc;
}

void slu_store_close(struct slu_store *s)
{
    if (!s)
        return;
    while (s->n) { /* the memory engine still tells the durable one of retained values until it is closed */
        s->n--;
        s->parts[s->n].engine->close(s->parts[s->n].st);
    }
    free(s->counts);
    free(s);
}

const struct slu_engine *slu_store_engine(const struct slu_store *s, enum slu_log_kind log)
{
    return part_of_log(s, log)->engine;
}

unsigned slu_store_homes(const struct slu_store *s)
{
    return s->n ? s->parts[s->n - 1].base + s->parts[s->n - 1].homes : 0;
}

unsigned slu_store_durable_homes(const struct slu_store *s)
{
    return s->parts[0].engine->durable ? s->parts[0].homes : 0;
}

unsigned slu_store_home_of(const struct slu_store *s, struct slu_bytes topic, enum slu_log_kind log)
{
    const struct part *p = part_of_log(s, log);
    return p->base + p->engine->home_of(p->st, topic);
}

void slu_store_homes_of(const struct slu_store *s, unsigned logs, unsigned *first, unsigned *end)
{
    const struct part *from = &s->parts[logs & 1u << SLU_LOG_DISK ? 0 : s->n - 1];
    const struct part *to = &s->parts[logs & ~(1u << SLU_LOG_DISK) ? s->n - 1 : 0];
    *first = from->base;
    *end = to->base + to->homes;
}

const char *slu_store_trouble(const struct slu_store *s)
{
    const struct part *p = &s->parts[0];
    return p->engine->trouble ? p->engine->trouble(p->st) : NULL;
}

/* A relaxed load and store suffice: each worker counts for itself. */
static void count(_Atomic uint64_t *c)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + 1, memory_order_relaxed);
}

static void run_done(struct slu_mail *mail, void *owner)
{
    (void)owner;
    struct slu_store_req *req = (struct slu_store_req *)(void *)((char *)mail - offsetof(struct slu_store_req, mail));
    req->done(req);
}

static void refuse(struct slu_store *s, struct slu_store_req *req, enum slu_err err)
{
    count(&s->counts[req->worker].refused);
    req->err = err;
    req->mail.run = run_done;
    s->env.post(s->env.arg, req->worker, &req->mail);
}

static void prepare(const struct slu_store *s, struct slu_store_req *req)
{
    assert(req->done && req->worker < s->env.workers);
    (void)s;
    req->err = SLU_OK;
}

static enum slu_err check_append(const struct slu_append *a)
{
    const struct slu_msg *m = a->msg;
    if (m->topic.len == 0 || m->topic.len > SLU_TOPIC_MAX)
        return SLU_EBAD_TOPIC;
    if (a->rule->log == SLU_LOG_NONE && (a->has_expect || m->dedup.len))
        return SLU_EUNSUPPORTED;
    return SLU_OK;
}

void slu_store_append(struct slu_store *s, struct slu_append *a)
{
    prepare(s, &a->req);
    a->pos = (struct slu_pos){ 0, 0 };
    a->duplicate = false;
    a->matched = 0;
    enum slu_err err = check_append(a);
    if (err) {
        refuse(s, &a->req, err);
        return;
    }
    count(&s->counts[a->req.worker].appends);
    const struct part *p = part_of_log(s, a->rule->log);
    p->engine->append(p->st, a);
}

/* Homes come out of cursors, which come from clients. */
static enum slu_err check_place(const struct slu_store *s, unsigned home, struct slu_bytes filter, bool exact_only)
{
    if (home >= slu_store_homes(s))
        return SLU_EHISTORY_GONE;
    if (filter.len == 0 || filter.len > SLU_TOPIC_MAX || (exact_only && slu_filter_is_wild(filter)))
        return SLU_EBAD_FILTER;
    return SLU_OK;
}

void slu_store_locate(struct slu_store *s, struct slu_locate *l)
{
    prepare(s, &l->req);
    l->after_seq = l->lost = l->head_seq = l->epoch = 0;
    l->recovered = false;
    l->gone = SLU_OK;
    l->head = l->first = (struct slu_pos){ 0, 0 };
    enum slu_err err = check_place(s, l->home, l->filter, l->from == SLU_FROM_OFFSET);
    if (err) {
        refuse(s, &l->req, err);
        return;
    }
    count(&s->counts[l->req.worker].locates);
    const struct part *p = part_of_home(s, l->home);
    l->home -= p->base;
    p->engine->locate(p->st, l);
}

void slu_store_scan(struct slu_store *s, struct slu_scan *sc)
{
    prepare(s, &sc->req);
    sc->msgs = NULL;
    sc->n = 0;
    sc->next_seq = sc->lost = sc->expired = 0;
    sc->at_head = sc->trimmed = false;
    enum slu_err err = check_place(s, sc->home, sc->filter, sc->reverse);
    if (err) {
        refuse(s, &sc->req, err);
        return;
    }
    count(&s->counts[sc->req.worker].scans);
    const struct part *p = part_of_home(s, sc->home);
    sc->home -= p->base;
    p->engine->scan(p->st, sc);
}

void slu_store_tail(struct slu_store *s, struct slu_tail *t)
{
    prepare(s, &t->req);
    t->msgs = NULL;
    t->retained = NULL;
    t->n = 0;
    t->next_topic = (struct slu_bytes){ NULL, 0 };
    t->cut = 0;
    enum slu_err err = check_place(s, t->home, t->filter, false);
    if (err) {
        refuse(s, &t->req, err);
        return;
    }
    count(&s->counts[t->req.worker].tails);
    const struct part *p = part_of_home(s, t->home);
    t->home -= p->base;
    p->engine->tail(p->st, t);
}

void slu_store_state(struct slu_store *s, struct slu_state *st)
{
    prepare(s, &st->req);
    st->found = (struct slu_bytes){ NULL, 0 };
    if (st->key.len == 0 || st->key.len > SLU_STATE_KEY_MAX || st->value.len > SLU_STATE_VALUE_MAX) {
        refuse(s, &st->req, SLU_ETOO_LARGE);
        return;
    }
    count(&s->counts[st->req.worker].states);
    s->parts[0].engine->state(s->parts[0].st, st);
}

void slu_store_tick(struct slu_store *s, unsigned worker)
{
    assert(worker < s->env.workers);
    for (unsigned i = 0; i < s->n; i++)
        s->parts[i].engine->tick(s->parts[i].st, worker);
}

void slu_store_stats(const struct slu_store *s, struct slu_store_stats *out)
{
    *out = (struct slu_store_stats){ 0 };
    for (unsigned i = 0; i < s->env.workers; i++) {
        const struct counts *c = &s->counts[i];
        out->appends += atomic_load_explicit(&c->appends, memory_order_relaxed);
        out->locates += atomic_load_explicit(&c->locates, memory_order_relaxed);
        out->scans += atomic_load_explicit(&c->scans, memory_order_relaxed);
        out->tails += atomic_load_explicit(&c->tails, memory_order_relaxed);
        out->states += atomic_load_explicit(&c->states, memory_order_relaxed);
        out->refused += atomic_load_explicit(&c->refused, memory_order_relaxed);
    }
}

void slu_page_free(struct slu_msg **msgs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        slu_msg_unref(msgs[i]);
    free(msgs);
}
