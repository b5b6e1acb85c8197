/* The log of one topic: a ring that grows by doubling and is given back when it is empty. */
#include "storage/memory/home.h"

#include <assert.h>

enum { FIRST_CAP = 4, SPARSE = 8 };

static bool resize(struct mem_home *h, struct mem_topic *t, size_t cap)
{
    struct mem_ring *r = &t->log;
    struct mem_slot *slots = mem_alloc(h, cap * sizeof(struct mem_slot));
    if (!slots)
        return false;
    for (size_t i = 0; i < r->n; i++)
        slots[i] = *mem_slot_at(t, i);
    mem_free(h, r->slots, r->cap * sizeof(struct mem_slot));
    r->slots = slots;
    r->cap = cap;
    r->first = 0;
    r->ghosts = 0;
    return true;
}

bool mem_ring_reserve(struct mem_home *h, struct mem_topic *t)
{
    const struct mem_ring *r = &t->log;
    return r->n < r->cap || resize(h, t, r->cap ? r->cap * 2 : FIRST_CAP);
}

void mem_ring_push(struct mem_topic *t, struct slu_msg *m)
{
    struct mem_ring *r = &t->log;
    assert(r->n < r->cap);
    if (r->n + r->ghosts == r->cap)
        r->ghosts--;
    *mem_slot_at(t, r->n++) = (struct mem_slot){ m, m->seq, m->ts_ms };
    r->bytes += m->size;
}

size_t mem_ring_upto(const struct mem_topic *t, uint64_t seq)
{
    size_t low = 0, high = t->log.n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (mem_slot_at(t, mid)->seq <= seq)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static uint64_t ghost_seq(const struct mem_ring *r, size_t i)
{
    return r->slots[(r->first - i) & (r->cap - 1)].seq;
}

uint64_t mem_ring_lost(const struct mem_topic *t, uint64_t after_seq, bool *lost)
{
    uint64_t trimmed = t->head - t->log.n; /* in all, of this epoch */
    *lost = after_seq < t->ordered.trimmed_seq || after_seq < t->floor_seq;
    if (after_seq >= t->ordered.trimmed_seq || after_seq < t->floor_seq)
        return 0;
    if (after_seq <= t->born_seq)
        return trimmed;
    /* Ghost 1 is the newest. The first one that is not after after_seq ends the count. */
    size_t low = 1, high = t->log.ghosts + 1;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (ghost_seq(&t->log, mid) > after_seq)
            low = mid + 1;
        else
            high = mid;
    }
    return low <= t->log.ghosts || t->log.ghosts == trimmed ? low - 1 : 0;
}

void mem_ring_drop(struct mem_home *h, struct mem_topic *t)
{
    assert(t->log.n == 0);
    mem_free(h, t->log.slots, t->log.cap * sizeof(struct mem_slot));
    t->log = (struct mem_ring){ 0 };
}

void mem_ring_shrink(struct mem_home *h, struct mem_topic *t)
{
    const struct mem_ring *r = &t->log;
    if (r->n == 0)
        mem_ring_drop(h, t);
    else if (r->cap > FIRST_CAP * SPARSE && r->n < r->cap / SPARSE)
        (void)resize(h, t, r->cap / 4); /* the large one serves as well */
}
