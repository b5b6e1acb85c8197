/* The store: an opened engine behind checks that hold for all of them. What is refused here never reaches the
 * engine and still ends as the contract says, by a mail to the caller's own worker. Results are cleared before
 * every call, so that a failed request carries none. */
#include "storage/engine.h"

#include "broker/core/topic.h"

#include <assert.h>
#include <stdlib.h>

/* One for each worker, a cache line apart; only that worker writes. */
struct counts {
    _Atomic uint64_t appends, locates, scans, tails, refused;
    uint8_t apart[64 - 5 * sizeof(uint64_t)];
};

struct slu_store {
    const struct slu_engine *engine;
    void *st;
    struct slu_engine_env env;
    unsigned homes;
    struct counts *counts;
};

enum slu_err slu_store_open(const struct slu_engine *e, const struct slu_engine_env *env, struct slu_store **out)
{
    assert(env->workers > 0 && env->account && env->post && env->feed && env->wall_ms);
    enum slu_err rc = SLU_ENOMEM;
    struct slu_store *s = calloc(1, sizeof(*s));
    if (!s)
        return rc;
    s->engine = e;
    s->env = *env;
    s->counts = calloc(env->workers, sizeof(struct counts));
    if (!s->counts)
        goto fail;
    rc = e->open(&s->st, env);
    if (rc)
        goto fail;
    s->homes = e->homes(s->st);
    *out = s;
    return SLU_OK;
fail:
    free(s->counts);
    free(s);
    return rc;
}

void slu_store_close(struct slu_store *s)
{
    if (!s)
        return;
    s->engine->close(s->st);
    free(s->counts);
    free(s);
}

const struct slu_engine *slu_store_engine(const struct slu_store *s)
{
    return s->engine;
}

unsigned slu_store_homes(const struct slu_store *s)
{
    return s->homes;
}

unsigned slu_store_home_of(const struct slu_store *s, struct slu_bytes topic)
{
    return s->engine->home_of(s->st, topic);
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
    s->engine->append(s->st, a);
}

/* Homes come out of cursors, which come from clients. */
static enum slu_err check_place(const struct slu_store *s, unsigned home, struct slu_bytes filter, bool exact_only)
{
    if (home >= s->homes)
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
    s->engine->locate(s->st, l);
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
    s->engine->scan(s->st, sc);
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
    s->engine->tail(s->st, t);
}

void slu_store_tick(struct slu_store *s, unsigned worker)
{
    assert(worker < s->env.workers);
    s->engine->tick(s->st, worker);
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
        out->refused += atomic_load_explicit(&c->refused, memory_order_relaxed);
    }
}

void slu_page_free(struct slu_msg **msgs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        slu_msg_unref(msgs[i]);
    free(msgs);
}
