/* Random bytes: no repeats, even below a bound, hex in form. */
#include "broker/base/rng.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

Test(rng, ids_do_not_repeat)
{
    enum { N = 20000 };
    static uint64_t ids[N];
    for (size_t i = 0; i < N; i++)
        ids[i] = slu_rng_u64();
    qsort(ids, N, sizeof(ids[0]), by_value);
    for (size_t i = 1; i < N; i++)
        cr_assert(ne(u64, ids[i], ids[i - 1]));
}

Test(rng, all_values_below_the_bound_come_about_equally)
{
    int seen[7] = { 0 };
    for (int i = 0; i < 70000; i++)
        seen[slu_rng_below(7)]++;
    for (int i = 0; i < 7; i++)
        cr_assert(seen[i] > 9000 && seen[i] < 11000, "%d", seen[i]);
    cr_assert(eq(u64, slu_rng_below(1), 0));
    cr_assert(lt(u64, slu_rng_below((UINT64_C(1) << 63) + 1), (UINT64_C(1) << 63) + 1));
}

Test(rng, sizes_of_all_kinds_are_filled)
{
    static const size_t sizes[] = { 1, 16, 63, 64, 65, 256, 1000 };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t buf[1001] = { 0 }, any = 0;
        for (int round = 0; round < 20; round++) {
            slu_rng_bytes(buf, sizes[i]);
            any |= buf[sizes[i] - 1];
        }
        cr_assert(any != 0);
        cr_assert(buf[sizes[i]] == 0);
    }
    slu_rng_bytes(NULL, 0);
}

Test(rng, hex_has_two_digits_a_byte)
{
    char id[33];
    slu_rng_hex(id, 16);
    cr_assert(eq(sz, strlen(id), 32));
    cr_assert(eq(sz, strspn(id, "0123456789abcdef"), 32));
}
