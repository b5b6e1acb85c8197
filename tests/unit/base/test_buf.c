/* The growing buffer: contents, ceiling, sticky failure. */
#include "broker/base/buf.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>

static bool holds(const struct slu_buf *b, const char *want)
{
    return slu_bytes_eq(slu_buf_bytes(b), slu_str(want));
}

Test(buf, appends_of_all_kinds)
{
    struct slu_buf b;
    slu_buf_init(&b, 0);
    slu_buf_add_str(&b, "a");
    slu_buf_add_byte(&b, ',');
    slu_buf_add_u64(&b, 0);
    slu_buf_add_byte(&b, ',');
    slu_buf_add_u64(&b, UINT64_MAX);
    slu_buf_add_byte(&b, ',');
    slu_buf_add_i64(&b, INT64_MIN);
    slu_buf_add_byte(&b, ',');
    slu_buf_add_i64(&b, 42);
    slu_buf_add_byte(&b, ',');
    slu_buf_add_base64(&b, SLU_LIT("fooba"));
    slu_buf_addf(&b, ",%d-%s", 7, "x");
    slu_buf_add(&b, NULL, 0);
    cr_assert(not(b.failed));
    cr_assert(holds(&b, "a,0,18446744073709551615,-9223372036854775808,42,Zm9vYmE=,7-x"));
    slu_buf_fini(&b);
    cr_assert(zero(ptr, b.data));
}

Test(buf, the_ceiling_may_be_reached_but_not_passed)
{
    struct slu_buf b;
    slu_buf_init(&b, 10);
    slu_buf_add_str(&b, "12345");
    slu_buf_addf(&b, "%s", "67890");
    cr_assert(not(b.failed));
    cr_assert(le(sz, b.cap, 10));
    slu_buf_add_byte(&b, 'x');
    cr_assert(b.failed);
    cr_assert(eq(sz, b.len, 10));
    slu_buf_fini(&b);
}

Test(buf, a_failure_sticks_until_clear)
{
    struct slu_buf b;
    slu_buf_init(&b, 4);
    slu_buf_add_str(&b, "12345");
    slu_buf_add_str(&b, "1");
    cr_assert(b.failed);
    cr_assert(eq(sz, b.len, 0));
    cr_assert(zero(ptr, slu_buf_reserve(&b, 1)));
    slu_buf_clear(&b);
    slu_buf_add_str(&b, "1");
    cr_assert(holds(&b, "1"));
    slu_buf_fini(&b);
}

Test(buf, a_size_that_would_wrap_fails)
{
    struct slu_buf b;
    slu_buf_init(&b, 0);
    slu_buf_add_str(&b, "abc");
    cr_assert(zero(ptr, slu_buf_reserve(&b, SIZE_MAX)));
    cr_assert(b.failed);
    slu_buf_fini(&b);
}

Test(buf, reserve_gives_room_that_the_caller_fills)
{
    struct slu_buf b;
    slu_buf_init(&b, 0);
    cr_assert(not(zero(ptr, slu_buf_reserve(&b, 0))));
    for (int i = 0; i < 1000; i++) {
        uint8_t *p = slu_buf_reserve(&b, 7);
        memcpy(p, "sevens!", 7);
        b.len += 7;
    }
    cr_assert(eq(sz, b.len, 7000));
    cr_assert(slu_bytes_eq(slu_bytes(b.data + 6993, 7), SLU_LIT("sevens!")));
    slu_buf_fini(&b);
}

Test(buf, long_formats_go_by_the_heap)
{
    struct slu_buf b;
    slu_buf_init(&b, 0);
    slu_buf_addf(&b, "%*s", 5000, "x");
    cr_assert(b.len == 5000 && b.data[4999] == 'x');
    slu_buf_fini(&b);
}
