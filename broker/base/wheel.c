/* Level L has a slot for each value of the L-th 6-bit digit of the due time.
 *
 * 1. A timer that is not yet due stands on the level of the highest digit in which its due time differs from now, in
 *    the slot of that digit. So every timer of a level is due before every timer of the next one, slots are in order
 *    within a level, and all of them lie ahead of now's own digit.
 * 2. Time moves from one used slot's beginning to the next and never past one. So (1) keeps holding without touching a
 *    timer, and a timer's slot can be found again from its due time alone.
 * 3. A timer with due_ms <= now_ms is in `late`, or in the list that an advance is just firing. */
#include "broker/base/wheel.h"

enum { SLOT_MASK = SLU_WHEEL_SLOTS - 1 };

void slu_wheel_init(struct slu_wheel *w, uint64_t now_ms)
{
    w->now_ms = now_ms;
    w->n = 0;
    slu_list_init(&w->late);
    for (int level = 0; level < SLU_WHEEL_LEVELS; level++) {
        w->used[level] = 0;
        for (int slot = 0; slot < SLU_WHEEL_SLOTS; slot++)
            slu_list_init(&w->slots[level][slot]);
    }
}

void slu_timer_init(struct slu_timer *t, void (*fire)(struct slu_timer *t, uint64_t now_ms))
{
    slu_list_init(&t->link);
    t->due_ms = 0;
    t->fire = fire;
}

static unsigned level_of(const struct slu_wheel *w, uint64_t due_ms)
{
    return (63U - (unsigned)__builtin_clzll(due_ms ^ w->now_ms)) / SLU_WHEEL_BITS;
}

static unsigned slot_of(uint64_t due_ms, unsigned level)
{
    return (unsigned)(due_ms >> (level * SLU_WHEEL_BITS)) & SLOT_MASK;
}

static void place(struct slu_wheel *w, struct slu_timer *t)
{
    unsigned level = level_of(w, t->due_ms), slot = slot_of(t->due_ms, level);
    slu_list_push_back(&w->slots[level][slot], &t->link);
    w->used[level] |= UINT64_C(1) << slot;
}

void slu_wheel_cancel(struct slu_wheel *w, struct slu_timer *t)
{
    if (t->due_ms == 0)
        return;
    slu_list_remove(&t->link);
    if (t->due_ms > w->now_ms) {
        unsigned level = level_of(w, t->due_ms), slot = slot_of(t->due_ms, level);
        if (slu_list_empty(&w->slots[level][slot]))
            w->used[level] &= ~(UINT64_C(1) << slot);
    }
    t->due_ms = 0;
    w->n--;
}

void slu_wheel_set(struct slu_wheel *w, struct slu_timer *t, uint64_t due_ms)
{
    slu_wheel_cancel(w, t);
    t->due_ms = due_ms ? due_ms : 1;
    w->n++;
    if (due_ms > w->now_ms) {
        place(w, t);
    } else {
        t->due_ms = w->now_ms ? w->now_ms : 1;
        slu_list_push_back(&w->late, &t->link);
    }
}

/* The first used slot; false when there is none. */
static bool first_slot(const struct slu_wheel *w, unsigned *level, unsigned *slot)
{
    for (unsigned i = 0; i < SLU_WHEEL_LEVELS; i++) {
        if (w->used[i]) {
            *level = i;
            *slot = (unsigned)__builtin_ctzll(w->used[i]);
            return true;
        }
    }
    return false;
}

static uint64_t slot_begin(const struct slu_wheel *w, unsigned level, unsigned slot)
{
    unsigned low = level * SLU_WHEEL_BITS, high = low + SLU_WHEEL_BITS;
    uint64_t above = high < 64 ? w->now_ms >> high << high : 0;
    return above | (uint64_t)slot << low;
}

static void take_all(struct slu_list *from, struct slu_list *to)
{
    slu_list_init(to);
    if (slu_list_empty(from))
        return;
    slu_list_insert_after(from, to);
    slu_list_remove(from); /* its ring now has `to` as the head */
}

static void fire_all(struct slu_wheel *w, struct slu_list *due, uint64_t now_ms)
{
    while (!slu_list_empty(due)) {
        struct slu_timer *t = slu_container_of(due->next, struct slu_timer, link);
        slu_list_remove(&t->link);
        t->due_ms = 0;
        w->n--;
        t->fire(t, now_ms);
    }
}

void slu_wheel_advance(struct slu_wheel *w, uint64_t now_ms)
{
    if (now_ms < w->now_ms)
        now_ms = w->now_ms;
    struct slu_list batch;
    take_all(&w->late, &batch);
    fire_all(w, &batch, now_ms);

    unsigned level, slot;
    while (first_slot(w, &level, &slot)) {
        uint64_t begin = slot_begin(w, level, slot);
        if (begin > now_ms)
            break;
        w->now_ms = begin;
        w->used[level] &= ~(UINT64_C(1) << slot);
        take_all(&w->slots[level][slot], &batch);
        struct slu_list due;
        slu_list_init(&due);
        slu_list_each (it, &batch) {
            struct slu_timer *t = slu_container_of(it, struct slu_timer, link);
            slu_list_remove(it);
            if (t->due_ms == begin)
                slu_list_push_back(&due, it);
            else
                place(w, t);
        }
        fire_all(w, &due, now_ms);
    }
    w->now_ms = now_ms;
}

uint64_t slu_wheel_idle_ms(const struct slu_wheel *w)
{
    unsigned level, slot;
    if (!slu_list_empty(&w->late))
        return 0;
    if (!first_slot(w, &level, &slot))
        return UINT64_MAX;
    return slot_begin(w, level, slot) - w->now_ms;
}
