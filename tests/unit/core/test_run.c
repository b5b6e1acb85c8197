/* The run and the queues that point into it, one by one and at random against a list of bytes. */
#include "broker/core/run.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t rng = 88172645463325252u;

static uint64_t random_below(uint64_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng % n;
}

static bool add(struct slu_run *r, const char *text, struct slu_span *out)
{
    return slu_run_add(r, SLU_LIT("<"), slu_str(text), out);
}

static struct slu_bytes peek(const struct slu_queue *q, uint8_t *scratch, size_t max)
{
    const uint8_t *data = NULL;
    size_t n = slu_queue_peek(q, scratch, max, &data);
    return slu_bytes(data, n);
}

Test(run, neighbours_merge_into_one_span)
{
    struct slu_account a = { 0 };
    struct slu_run r;
    struct slu_queue q = { 0 };
    struct slu_span s;
    uint8_t scratch[64];
    slu_run_init(&r, &a);
    for (unsigned i = 0; i < 5; i++) {
        cr_assert(add(&r, "ab", &s));
        cr_assert(slu_queue_push(&q, &s, &a));
    }
    cr_assert(q.n == 1 && q.msgs == 5 && q.bytes == 15 && !q.items);
    cr_assert(slu_bytes_eq(peek(&q, scratch, 64), SLU_LIT("<ab<ab<ab<ab<ab")));
    cr_assert(slu_queue_pop(&q, 15) == 5);
    cr_assert(q.n == 0 && q.bytes == 0 && q.msgs == 0);
    slu_run_fini(&r);
    cr_assert(atomic_load(&a.used) == 0);
}

Test(run, a_frame_that_one_reader_lacks_splits_its_span)
{
    struct slu_account a = { 0 };
    struct slu_run r;
    struct slu_queue q = { 0 };
    struct slu_span s;
    uint8_t scratch[64];
    slu_run_init(&r, &a);
    for (unsigned i = 0; i < 6; i++) {
        cr_assert(add(&r, i == 2 ? "x" : "ab", &s));
        if (i != 2)
            cr_assert(slu_queue_push(&q, &s, &a));
    }
    cr_assert(q.n == 2);
    cr_assert(slu_bytes_eq(peek(&q, scratch, 64), SLU_LIT("<ab<ab<ab<ab<ab")));
    cr_assert(slu_bytes_eq(peek(&q, scratch, 8), SLU_LIT("<ab<ab")), "whole spans within the bound");
    cr_assert(slu_queue_pop(&q, 6) == 2);
    slu_queue_clear(&q);
    slu_run_fini(&r);
    cr_assert(atomic_load(&a.used) == 0);
}

Test(run, recycles_in_place_only_what_nobody_holds)
{
    struct slu_account a = { 0 };
    struct slu_run r;
    struct slu_queue q = { 0 };
    struct slu_span s, t;
    uint8_t scratch[64];
    slu_run_init(&r, &a);
    cr_assert(add(&r, "one", &s));
    slu_run_recycle(&r);
    cr_assert(add(&r, "two", &t));
    cr_assert(t.from == 0 && t.chunk == s.chunk);
    cr_assert(slu_queue_push(&q, &t, &a));
    slu_run_recycle(&r);
    cr_assert(add(&r, "three", &s));
    cr_assert(s.from == 4);
    cr_assert(slu_bytes_eq(peek(&q, scratch, 64), SLU_LIT("<two")));
    slu_queue_clear(&q);
    slu_run_fini(&r);
    cr_assert(atomic_load(&a.used) == 0);
}

Test(run, a_frame_larger_than_a_chunk_stands_alone)
{
    struct slu_account a = { 0 };
    struct slu_run r;
    struct slu_span s;
    size_t big = SLU_CHUNK_BYTES * 2;
    uint8_t *body = calloc(1, big);
    slu_run_init(&r, &a);
    cr_assert(slu_run_add(&r, (struct slu_bytes){ 0 }, slu_bytes(body, big), &s));
    cr_assert(s.to - s.from == big);
    slu_run_recycle(&r);
    cr_assert(atomic_load(&a.used) == 0, "not kept for later");
    cr_assert(add(&r, "x", &s));
    slu_run_fini(&r);
    cr_assert(atomic_load(&a.used) == 0);
    free(body);
}

/* A reader of every 200th frame would pin all chunks. */
Test(run, a_lagging_reader_does_not_pin_what_it_uses_little_of)
{
    struct slu_account a = { 0 };
    struct slu_run r;
    struct slu_queue q = { 0 };
    struct slu_span s;
    uint8_t body[512] = { 0 };
    slu_run_init(&r, &a);
    for (unsigned i = 0; i < 200000; i++) {
        cr_assert(slu_run_add(&r, (struct slu_bytes){ 0 }, slu_bytes(body, sizeof(body)), &s));
        if (i % 200 == 0)
            cr_assert(slu_queue_push(&q, &s, &a));
    }
    cr_assert(q.bytes == 512000 && q.msgs == 1000);
    cr_assert(atomic_load(&a.used) < 2 * q.bytes + 2 * SLU_CHUNK_BYTES, "%zu for %zu", atomic_load(&a.used), q.bytes);
    slu_queue_clear(&q);
    slu_run_fini(&r);
    cr_assert(atomic_load(&a.used) == 0);
}

/* --- at random ---------------------------------------------------------------------------------------------------- */

enum { QUEUES = 4, MODEL = 1 << 21 };

struct model {
    struct slu_queue q;
    uint8_t *bytes;
    size_t from, to;
    uint32_t msgs;
};

static void push_random(struct slu_run *r, struct model *m, struct slu_account *a)
{
    uint8_t body[3000];
    struct slu_span s;
    size_t n = random_below(10) ? 1 + random_below(60) : 1 + random_below(sizeof(body));
    for (size_t i = 0; i < n; i++)
        body[i] = (uint8_t)random_below(256);
    cr_assert(slu_run_add(r, (struct slu_bytes){ 0 }, slu_bytes(body, n), &s));
    s.msgs = random_below(4) != 0;
    for (unsigned i = 0; i < QUEUES; i++) {
        if (random_below(QUEUES) < i || m[i].to + n > MODEL)
            continue;
        cr_assert(slu_queue_push(&m[i].q, &s, a));
        memcpy(m[i].bytes + m[i].to, body, n);
        m[i].to += n;
        m[i].msgs += s.msgs;
    }
}

static void pop_random(struct model *m)
{
    static uint8_t scratch[SLU_CHUNK_BYTES];
    struct slu_bytes got = peek(&m->q, scratch, 1 + random_below(sizeof(scratch)));
    cr_assert(got.len || m->from == m->to);
    cr_assert(got.len <= m->to - m->from);
    cr_assert(got.len == 0 || memcmp(got.data, m->bytes + m->from, got.len) == 0);
    m->from += got.len;
    m->msgs -= got.len ? slu_queue_pop(&m->q, got.len) : 0;
}

Test(run, queues_give_back_what_was_pushed_whatever_happens_between, .timeout = 60)
{
    struct slu_account a = { 0 };
    struct slu_run r;
    struct model m[QUEUES] = { 0 };
    slu_run_init(&r, &a);
    for (unsigned i = 0; i < QUEUES; i++)
        m[i].bytes = malloc(MODEL);
    for (unsigned step = 0; step < 60000; step++) {
        struct model *one = &m[random_below(QUEUES)];
        switch (random_below(40)) {
        case 0:
            cr_assert(slu_queue_own_copy(&one->q, &a));
            break;
        case 1:
            slu_run_recycle(&r);
            break;
        case 2:
            if (random_below(50) == 0) {
                slu_queue_clear(&one->q);
                one->from = one->to;
                one->msgs = 0;
            }
            break;
        case 3:
        case 4:
            pop_random(one);
            break;
        default:
            push_random(&r, m, &a);
        }
        cr_assert(one->q.bytes == one->to - one->from && one->q.msgs == one->msgs);
        if (one->from == one->to)
            one->from = one->to = 0;
    }
    for (unsigned i = 0; i < QUEUES; i++) {
        while (m[i].q.n)
            pop_random(&m[i]);
        cr_assert(m[i].from == m[i].to && m[i].msgs == 0);
        free(m[i].bytes);
    }
    slu_run_fini(&r);
    cr_assert(atomic_load(&a.used) == 0);
}
