/* Hierarchical timer wheel: O(1) set and cancel, millisecond ticks, any 64-bit time. A jump of time costs what fires
 * and cascades, not its length. The owner passes the time in; no clock is read. */
#pragma once

#include "broker/base/list.h"

#include <stdint.h>

struct slu_timer {
    struct slu_list link;
    uint64_t due_ms; /* 0 = not set */
    void (*fire)(struct slu_timer *t, uint64_t now_ms);
};

enum { SLU_WHEEL_BITS = 6, SLU_WHEEL_SLOTS = 1 << SLU_WHEEL_BITS, SLU_WHEEL_LEVELS = 11 };

struct slu_wheel {
    uint64_t now_ms;
    size_t n;
    uint64_t used[SLU_WHEEL_LEVELS]; /* one bit for each slot that holds a timer */
    struct slu_list late;            /* due when they were set: for the next advance */
    struct slu_list slots[SLU_WHEEL_LEVELS][SLU_WHEEL_SLOTS];
};

void slu_wheel_init(struct slu_wheel *w, uint64_t now_ms);
/* Before first use of a timer. */
void slu_timer_init(struct slu_timer *t, void (*fire)(struct slu_timer *t, uint64_t now_ms));
/* Moves an already set timer. A time that has passed counts as now: it fires at the next advance, never inside set. */
void slu_wheel_set(struct slu_wheel *w, struct slu_timer *t, uint64_t due_ms);
void slu_wheel_cancel(struct slu_wheel *w, struct slu_timer *t); /* harmless when not set */
/* Fires everything due up to now_ms, oldest first by millisecond. A fire gets now_ms, finds its timer not set, and may
 * set, cancel or free any timer but must not advance. Time that runs backwards counts as standing still. */
void slu_wheel_advance(struct slu_wheel *w, uint64_t now_ms);
/* Milliseconds until the next advance is worth a call (a lower bound for the next due timer); UINT64_MAX when empty. */
uint64_t slu_wheel_idle_ms(const struct slu_wheel *w);
