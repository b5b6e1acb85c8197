/* Cursors: what is written reads back; what clients make up is refused or found unfit. */
#include "broker/core/cursor.h"

#include <criterion/criterion.h>

static bool reads(const char *text, unsigned homes, bool *fits)
{
    struct slu_cursor_place places[8];
    return slu_cursor_read(slu_str(text), places, homes, fits);
}

Test(cursor, reads_back_what_was_written)
{
    const struct slu_cursor_place in[3] = { { 1, 0 }, { UINT64_MAX, UINT64_MAX }, { 0x1234abcd, 77 } };
    struct slu_cursor_place out[3];
    struct slu_buf b;
    bool fits = false;
    slu_buf_init(&b, 0);
    slu_cursor_write(&b, in, 3);
    cr_assert(slu_bytes_eq(slu_buf_bytes(&b), SLU_LIT("1.0-ffffffffffffffff.ffffffffffffffff-1234abcd.4d")));
    cr_assert(slu_cursor_read(slu_buf_bytes(&b), out, 3, &fits) && fits);
    cr_assert(memcmp(in, out, sizeof(in)) == 0);
    slu_buf_fini(&b);
}

Test(cursor, another_number_of_homes_does_not_fit)
{
    bool fits = true;
    cr_assert(reads("1.2-3.4", 1, &fits) && !fits);
    cr_assert(reads("1.2-3.4", 3, &fits) && !fits);
    cr_assert(reads("1.2-3.4", 2, &fits) && fits);
}

Test(cursor, what_is_none_is_refused)
{
    static const char *const bad[] = { "",      ".",    "1",    "1.",  ".1",    "1.2-",     "-1.2",
                                       "1.2.3", "1.2 ", " 1.2", "1.G", "0x1.2", "1.2--3.4", "11111111111111111.2",
                                       "1.2-3", "A.1" };
    bool fits;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert(!reads(bad[i], 1, &fits), "'%s'", bad[i]);
}

Test(cursor, one_without_end_is_refused)
{
    struct slu_buf b;
    bool fits;
    struct slu_cursor_place place[1];
    slu_buf_init(&b, 0);
    slu_buf_add_str(&b, "1.1");
    for (unsigned i = 0; i < 2000; i++)
        slu_buf_add_str(&b, "-1.1");
    cr_assert(!slu_cursor_read(slu_buf_bytes(&b), place, 1, &fits));
    slu_buf_fini(&b);
}
