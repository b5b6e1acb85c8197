/* The timer wheel against a naive list of timers, over small steps and very large jumps of time. */
#include "broker/base/wheel.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>

struct probe {
    struct slu_timer timer;
    uint64_t fired_at;
    int fired;
    struct slu_wheel *wheel;
    uint64_t again_ms; /* fire sets it again so much later; 0 = no */
    struct slu_timer *cancels;
};

static void on_fire(struct slu_timer *t, uint64_t now_ms)
{
    struct probe *p = slu_container_of(t, struct probe, timer);
    p->fired++;
    p->fired_at = now_ms;
    if (p->again_ms)
        slu_wheel_set(p->wheel, t, now_ms + p->again_ms);
    if (p->cancels)
        slu_wheel_cancel(p->wheel, p->cancels);
}

static struct slu_wheel wheel;

static void probe_init(struct probe *p)
{
    *p = (struct probe){ .wheel = &wheel };
    slu_timer_init(&p->timer, on_fire);
}

Test(wheel, an_empty_wheel_has_nothing_to_wait_for)
{
    slu_wheel_init(&wheel, 1000);
    cr_assert(eq(u64, slu_wheel_idle_ms(&wheel), UINT64_MAX));
    slu_wheel_advance(&wheel, 500);
    cr_assert(eq(u64, wheel.now_ms, 1000));
}

Test(wheel, a_timer_fires_once_at_its_millisecond)
{
    struct probe p;
    probe_init(&p);
    slu_wheel_init(&wheel, 1000);
    slu_wheel_set(&wheel, &p.timer, 1500);
    slu_wheel_advance(&wheel, 1499);
    cr_assert(eq(int, p.fired, 0));
    cr_assert(eq(u64, slu_wheel_idle_ms(&wheel), 1));
    slu_wheel_advance(&wheel, 1500);
    cr_assert(eq(int, p.fired, 1));
    cr_assert(eq(u64, p.timer.due_ms, 0));
    slu_wheel_advance(&wheel, 100000);
    cr_assert(eq(int, p.fired, 1));
    cr_assert(eq(sz, wheel.n, 0));
}

Test(wheel, a_time_that_has_passed_fires_at_the_next_advance)
{
    struct probe p;
    probe_init(&p);
    slu_wheel_init(&wheel, 1000);
    slu_wheel_set(&wheel, &p.timer, 10);
    cr_assert(p.fired == 0 && slu_wheel_idle_ms(&wheel) == 0);
    slu_wheel_advance(&wheel, 1000);
    cr_assert(eq(int, p.fired, 1));
    slu_wheel_set(&wheel, &p.timer, 1000);
    slu_wheel_cancel(&wheel, &p.timer);
    slu_wheel_cancel(&wheel, &p.timer);
    slu_wheel_advance(&wheel, 2000);
    cr_assert(p.fired == 1 && wheel.n == 0);
}

Test(wheel, a_timer_set_again_from_its_fire_does_not_catch_up_a_jump)
{
    struct probe p;
    probe_init(&p);
    p.again_ms = 10;
    slu_wheel_init(&wheel, 0);
    slu_wheel_set(&wheel, &p.timer, 10);
    slu_wheel_advance(&wheel, 3600000);
    cr_assert(eq(int, p.fired, 1));
    cr_assert(eq(u64, p.timer.due_ms, 3600010));
    slu_wheel_advance(&wheel, 3600010);
    cr_assert(eq(int, p.fired, 2));
}

Test(wheel, a_fire_may_cancel_a_timer_of_the_same_millisecond)
{
    struct probe p, q;
    probe_init(&p);
    probe_init(&q);
    slu_wheel_init(&wheel, 5);
    slu_wheel_set(&wheel, &p.timer, 100);
    slu_wheel_set(&wheel, &q.timer, 100);
    p.cancels = &q.timer;
    q.cancels = &p.timer;
    slu_wheel_advance(&wheel, 100);
    cr_assert(eq(int, p.fired + q.fired, 1));
    cr_assert(eq(sz, wheel.n, 0));
}

Test(wheel, the_far_end_of_time_has_a_place)
{
    struct probe p, q;
    probe_init(&p);
    probe_init(&q);
    slu_wheel_init(&wheel, 3);
    slu_wheel_set(&wheel, &p.timer, UINT64_MAX);
    slu_wheel_set(&wheel, &q.timer, UINT64_MAX - 1);
    slu_wheel_advance(&wheel, UINT64_MAX / 2);
    cr_assert(p.fired == 0 && q.fired == 0);
    slu_wheel_advance(&wheel, UINT64_MAX - 1);
    cr_assert(p.fired == 0 && q.fired == 1);
    slu_wheel_advance(&wheel, UINT64_MAX);
    cr_assert(p.fired == 1);
}

/* ---- the model ---- */

enum { TIMERS = 200 };

struct modelled {
    struct slu_timer timer;
    uint64_t due; /* what the model believes; 0 = not set */
};

static struct modelled timers[TIMERS];
static uint64_t rng_state, last_due, target;
static size_t fired_now;

static uint64_t any(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state;
}

/* Mostly near, sometimes days or aeons away. */
static uint64_t any_delay(void)
{
    return any() & ((UINT64_C(1) << any() % 45) - 1);
}

static void set(struct modelled *m, uint64_t due)
{
    slu_wheel_set(&wheel, &m->timer, due);
    m->due = due > wheel.now_ms ? due : wheel.now_ms;
}

static void model_fire(struct slu_timer *t, uint64_t now_ms)
{
    struct modelled *m = slu_container_of(t, struct modelled, timer);
    fired_now++;
    cr_assert(m->due != 0 && m->due <= now_ms && now_ms == target, "fired too early or not set");
    cr_assert(m->due >= last_due, "out of order");
    last_due = m->due;
    m->due = 0;
    struct modelled *other = &timers[any() % TIMERS];
    switch (any() % 6) {
    case 0:
        set(m, now_ms + 1 + any_delay());
        break;
    case 1:
        slu_wheel_cancel(&wheel, &other->timer);
        other->due = 0;
        break;
    case 2:
        set(other, now_ms + 1 + any_delay());
        break;
    default:
        break;
    }
}

static void run_model(uint64_t seed)
{
    rng_state = seed;
    slu_wheel_init(&wheel, 1 + any_delay());
    for (size_t i = 0; i < TIMERS; i++) {
        timers[i].due = 0;
        slu_timer_init(&timers[i].timer, model_fire);
    }
    for (int step = 0; step < 20000; step++) {
        struct modelled *m = &timers[any() % TIMERS];
        if (any() % 4 == 0) {
            slu_wheel_cancel(&wheel, &m->timer);
            m->due = 0;
        } else {
            uint64_t delay = any_delay();
            set(m, any() % 16 == 0 && wheel.now_ms > delay ? wheel.now_ms - delay : wheel.now_ms + delay);
        }
        uint64_t earliest = UINT64_MAX;
        size_t n = 0;
        for (size_t i = 0; i < TIMERS; i++) {
            if (timers[i].due == 0)
                continue;
            n++;
            earliest = timers[i].due < earliest ? timers[i].due : earliest;
        }
        cr_assert(eq(sz, wheel.n, n));
        uint64_t idle = slu_wheel_idle_ms(&wheel);
        cr_assert(n ? idle <= earliest - wheel.now_ms : idle == UINT64_MAX, "idle is no lower bound");
        if (any() % 3 != 0)
            continue;
        /* either as the loop does it, or a step of any length */
        target = any() % 2 && n ? wheel.now_ms + idle : wheel.now_ms + any_delay();
        last_due = 0;
        slu_wheel_advance(&wheel, target);
        cr_assert(eq(u64, wheel.now_ms, target));
        for (size_t i = 0; i < TIMERS; i++)
            cr_assert(timers[i].due == 0 || timers[i].due > target, "missed a timer");
    }
}

Test(wheel, agrees_with_a_naive_model, .timeout = 60)
{
    for (uint64_t seed = 1; seed <= 10; seed++)
        run_model(seed * UINT64_C(0x9e3779b97f4a7c15));
    cr_assert(gt(sz, fired_now, 10000));
}

Test(wheel, waiting_for_idle_reaches_a_far_timer_in_few_calls)
{
    struct probe p;
    probe_init(&p);
    slu_wheel_init(&wheel, 123456789);
    slu_wheel_set(&wheel, &p.timer, 123456789 + UINT64_C(86400000) * 400);
    int calls = 0;
    for (; p.fired == 0; calls++)
        slu_wheel_advance(&wheel, wheel.now_ms + slu_wheel_idle_ms(&wheel));
    cr_assert(le(int, calls, SLU_WHEEL_LEVELS));
    cr_assert(eq(u64, p.fired_at, 123456789 + UINT64_C(86400000) * 400));
}
