#include "tests/support/faulty_alloc.h"

#include <stdatomic.h>
#include <stddef.h>

static atomic_uint left; /* allocations until the one that fails; 0: not armed */
static atomic_bool has_failed;
static _Thread_local bool is_spared;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

void faulty_alloc_arm(unsigned nth)
{
    atomic_store(&has_failed, false);
    atomic_store(&left, nth);
}

bool faulty_alloc_disarm(void)
{
    atomic_store(&left, 0);
    return atomic_exchange(&has_failed, false);
}

void faulty_alloc_spare(bool on)
{
    is_spared = on;
}

static bool fails(void)
{
    unsigned n = atomic_load_explicit(&left, memory_order_relaxed);
    if (n == 0 || is_spared)
        return false;
    while (n && !atomic_compare_exchange_weak(&left, &n, n - 1))
        ;
    if (n == 1)
        atomic_store(&has_failed, true);
    return n == 1;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return fails() ? NULL : __real_realloc(p, size);
}
