/* The broker's own struct: what all workers share. Private to broker/core. */
#pragma once

#include "broker/core/broker.h"
#include "broker/core/worker.h"
#include "storage/engine.h"

#include <stdatomic.h>

enum { SLU_WORKERS_MAX = 64, SLU_CLOSES_MAX = 32 };

/* A replaced rule set or settings struct, kept because a worker may still read it. */
struct slu_retired {
    struct slu_retired *next;
    void (*free)(void *p);
    void *p;
};

struct slu_broker {
    _Atomic(struct slu_settings *) settings;
    _Atomic(struct slu_rules *) rules;
    struct slu_retired *retired; /* main thread only */
    struct slu_auth auth;
    struct slu_account account;
    struct slu_store *store;
    struct slu_worker *workers[SLU_WORKERS_MAX];
    unsigned n_workers;
    bool is_settled; /* stopping: workers have finished what they had for each other */
    atomic_bool draining;
    atomic_size_t sessions;
    _Atomic uint64_t wall_ms; /* newest time that a worker was given: for engines' own threads */
    _Atomic uint64_t counters[SLU_COUNTERS_N];
    _Atomic uint64_t errors[SLU_ERR_COUNT];
    _Atomic uint64_t closes[SLU_CLOSES_MAX]; /* by row of closes.def */
};

static inline const struct slu_rules *slu_broker_rules(const struct slu_broker *b)
{
    return atomic_load_explicit(&((struct slu_broker *)b)->rules, memory_order_acquire);
}
