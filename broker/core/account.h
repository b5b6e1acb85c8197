/* The process-wide memory account: what messages, queues and connections hold, against one budget. Every piece that a
 * peer can make grow is charged here and given back when freed. Any thread. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct slu_account {
    atomic_size_t used;
    size_t budget; /* bytes; set once at start */
};

/* How short memory is; each level includes the ones before it. The order of shedding is DESIGN.md's. */
enum slu_pressure {
    SLU_PRESSURE_NONE,
    SLU_PRESSURE_CONNECTIONS, /* above 80 %: new connections are refused */
    SLU_PRESSURE_PUBLISHERS,  /* above 90 %: publishers are slowed by rx flow control */
    SLU_PRESSURE_READERS,     /* above 100 %: the slowest readers are closed */
};

static inline void slu_account_add(struct slu_account *a, size_t n)
{
    atomic_fetch_add_explicit(&a->used, n, memory_order_relaxed);
}

static inline void slu_account_sub(struct slu_account *a, size_t n)
{
    atomic_fetch_sub_explicit(&a->used, n, memory_order_relaxed);
}

static inline enum slu_pressure slu_account_pressure(const struct slu_account *a)
{
    size_t used = atomic_load_explicit(&a->used, memory_order_relaxed);
    if (used <= a->budget / 10 * 8)
        return SLU_PRESSURE_NONE;
    if (used <= a->budget / 10 * 9)
        return SLU_PRESSURE_CONNECTIONS;
    return used <= a->budget ? SLU_PRESSURE_PUBLISHERS : SLU_PRESSURE_READERS;
}
