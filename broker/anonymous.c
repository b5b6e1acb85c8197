/* Rights are read by all workers while a reload replaces them: each set stays until the end. */
#include "broker/anonymous.h"

#include <stdatomic.h>
#include <stdlib.h>

struct rights {
    struct rights *older;
    bool dev;
    size_t n_pub, n_sub;
    struct slu_bytes filters[]; /* pub, then sub */
};

struct slu_anonymous {
    _Atomic(struct rights *) now;
    struct rights *prepared;
};

struct slu_anonymous *slu_anonymous_new(void)
{
    return calloc(1, sizeof(struct slu_anonymous));
}

void slu_anonymous_free(struct slu_anonymous *a)
{
    if (!a)
        return;
    struct rights *r = atomic_load(&a->now);
    while (r) {
        struct rights *older = r->older;
        free(r);
        r = older;
    }
    free(a->prepared);
    free(a);
}

bool slu_anonymous_prepare(struct slu_anonymous *a, const struct slu_config *cfg)
{
    const struct slu_strings *pub = &cfg->anonymous.publish, *sub = &cfg->anonymous.subscribe;
    struct rights *r = calloc(1, sizeof(*r) + (pub->n + sub->n) * sizeof(r->filters[0]));
    if (!r)
        return false;
    r->dev = cfg->dev;
    r->n_pub = pub->n;
    r->n_sub = sub->n;
    for (size_t i = 0; i < pub->n; i++)
        r->filters[i] = slu_str(pub->items[i]);
    for (size_t i = 0; i < sub->n; i++)
        r->filters[pub->n + i] = slu_str(sub->items[i]);
    free(a->prepared);
    a->prepared = r;
    return true;
}

void slu_anonymous_commit(struct slu_anonymous *a)
{
    a->prepared->older = atomic_load(&a->now);
    atomic_store(&a->now, a->prepared);
    a->prepared = NULL;
}

bool slu_anonymous_set(struct slu_anonymous *a, const struct slu_config *cfg)
{
    if (!slu_anonymous_prepare(a, cfg))
        return false;
    slu_anonymous_commit(a);
    return true;
}

enum slu_err slu_anonymous_login(void *arg, const struct slu_credentials *c, struct slu_identity *out, const char **why)
{
    struct slu_anonymous *a = arg;
    const struct rights *r = atomic_load(&a->now);
    if (c->token.len > 0) {
        *why = "no token keys are configured";
        return SLU_ETOKEN_INVALID;
    }
    if (!r->dev && r->n_pub + r->n_sub == 0) {
        *why = NULL;
        return SLU_EAUTH_REQUIRED;
    }
    *out = (struct slu_identity){
        .may_all = r->dev,
        .pub = r->filters,
        .n_pub = r->n_pub,
        .sub = r->filters + r->n_pub,
        .n_sub = r->n_sub,
    };
    return SLU_OK;
}
