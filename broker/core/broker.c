/* See broker.h. */
#include "broker/core/broker_state.h"

#include "broker/base/log.h"
#include "broker/base/rng.h"
#include "broker/core/life.h"
#include "broker/core/publish.h"

#include <stdlib.h>

void slu_settings_default(struct slu_settings *s)
{
    *s = (struct slu_settings){
        .node = "sluice",
        .workers = 1,
        .memory_budget = (size_t)1 << 30,
        .queue_bytes = 1 << 20,
        .queue_messages = 16384,
        .payload_max = 1 << 20,
        .frame_max = 2 << 20,
        .login_frame_max = 64 << 10,
        .subscriptions_max = 1024,
        .publishes_in_flight_max = 4096,
        .requests_in_flight_max = 256,
        .groups_max = 4096,
        .pending_max = 16384,
        .unacked_max = 16384,
        .login_timeout_ms = 5000,
        .ping_interval_ms = 25000,
        .ping_timeout_ms = 10000,
        .close_timeout_ms = 5000,
        .presence_grace_ms = 2000,
        .dedup_window_ms = 300000,
        .durable_expiry_ms = UINT64_C(7) * 86400 * 1000,
    };
}

static void env_post(void *arg, unsigned worker, struct slu_mail *mail)
{
    struct slu_broker *b = arg;
    slu_worker_post(b->workers[worker], mail);
}

static uint64_t env_wall(void *arg)
{
    struct slu_broker *b = arg;
    return atomic_load_explicit(&b->wall_ms, memory_order_relaxed);
}

enum slu_err slu_broker_new(const struct slu_settings *settings, const struct slu_auth *auth,
                            const struct slu_store_engines *engines, struct slu_buf *why, struct slu_broker **out)
{
    if (settings->workers < 1 || settings->workers > SLU_WORKERS_MAX)
        return SLU_ELIMIT_REACHED;
    enum slu_err rc = SLU_ENOMEM;
    struct slu_broker *b = calloc(1, sizeof(*b));
    struct slu_settings *copy = malloc(sizeof(*copy));
    struct slu_rules *rules = NULL;
    if (!b || !copy)
        goto fail;
    *copy = *settings;
    rc = slu_rules_new(NULL, 0, &rules);
    if (rc)
        goto fail;
    atomic_init(&b->settings, copy);
    atomic_init(&b->rules, rules);
    b->auth = *auth;
    b->account.budget = settings->memory_budget;
    b->n_workers = settings->workers;
    struct slu_engine_env env = {
        .workers = settings->workers,
        .arg = b,
        .account = &b->account,
        .post = env_post,
        .feed = slu_publish_feed,
        .wall_ms = env_wall,
        .dedup_window_ms = settings->dedup_window_ms,
    };
    env.epoch_seed = slu_rng_u64();
    env.epoch_seed = (env.epoch_seed & 0x3ffffffffffu) | 1;
    rc = slu_store_open(engines, &env, why, &b->store);
    if (rc)
        goto fail;
    rc = slu_store_restore(b->store);
    if (rc) {
        if (why && rc == SLU_EUNAVAILABLE)
            slu_buf_addf(why, "the retained values in %s cannot be read: look after the disk and the rights there",
                         engines->path);
        goto fail;
    }
    *out = b;
    return SLU_OK;
fail:
    if (b)
        slu_store_close(b->store);
    slu_rules_free(rules);
    free(copy);
    free(b);
    return rc;
}

void slu_broker_free(struct slu_broker *b)
{
    if (!b)
        return;
    slu_store_close(b->store);
    slu_rules_free(atomic_load(&b->rules));
    free(atomic_load(&b->settings));
    while (b->retired) {
        struct slu_retired *r = b->retired;
        b->retired = r->next;
        r->free(r->p);
        free(r);
    }
    free(b);
}

static void rules_free(void *p)
{
    slu_rules_free(p);
}

/* Without memory for the note the old one leaks: it must not be freed under a reader. */
static void retire(struct slu_broker *b, void (*fn)(void *), void *p)
{
    struct slu_retired *r = malloc(sizeof(*r));
    if (!r)
        return;
    *r = (struct slu_retired){ b->retired, fn, p };
    b->retired = r;
}

void slu_broker_set_rules(struct slu_broker *b, struct slu_rules *rules)
{
    retire(b, rules_free, atomic_exchange(&b->rules, rules));
}

void slu_broker_set_settings(struct slu_broker *b, const struct slu_settings *settings)
{
    struct slu_settings *copy = malloc(sizeof(*copy));
    if (!copy) {
        slu_log(SLU_LOG_ERROR, "core", "reload-failed", "reason=memory");
        return;
    }
    *copy = *settings;
    retire(b, free, atomic_exchange(&b->settings, copy));
}

const struct slu_settings *slu_broker_settings(const struct slu_broker *b)
{
    return atomic_load_explicit(&((struct slu_broker *)b)->settings, memory_order_acquire);
}

struct review {
    struct slu_mail mail;
};

static void review_run(struct slu_mail *mail, void *owner)
{
    free(slu_container_of(mail, struct review, mail));
    slu_session_review_all(owner);
}

void slu_broker_review_rights(struct slu_broker *b)
{
    for (unsigned i = 0; i < b->n_workers; i++) {
        struct review *r = malloc(sizeof(*r));
        if (!r) {
            slu_log(SLU_LOG_ERROR, "core", "rights_not_reviewed", "worker=%u reason=memory", i);
            continue;
        }
        r->mail.run = review_run;
        slu_worker_post(b->workers[i], &r->mail);
    }
}

struct slu_account *slu_broker_account(struct slu_broker *b)
{
    return &b->account;
}

struct slu_store *slu_broker_store(struct slu_broker *b)
{
    return b->store;
}

void slu_broker_set_draining(struct slu_broker *b, bool on)
{
    atomic_store(&b->draining, on);
}

bool slu_broker_draining(const struct slu_broker *b)
{
    return atomic_load_explicit(&((struct slu_broker *)b)->draining, memory_order_relaxed);
}

const char *slu_broker_not_ready(const struct slu_broker *b)
{
    return slu_broker_draining(b) ? "draining" : slu_store_trouble(b->store);
}

size_t slu_broker_sessions(const struct slu_broker *b)
{
    return atomic_load(&((struct slu_broker *)b)->sessions);
}
