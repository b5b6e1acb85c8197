/* UTF-8 against a decoder that works code point by code point, whole and cut at every place. */
#include "broker/base/utf8.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>

static size_t encode(uint32_t c, uint8_t out[4])
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t first[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (uint8_t)(0x80 | (c & 0x3f));
    out[0] = (uint8_t)(first[n] | c);
    return n;
}

/* Decodes the slow way and demands that encoding gives the same bytes back. */
static bool naive(struct slu_bytes in)
{
    for (size_t i = 0; i < in.len;) {
        uint8_t b = in.data[i], again[4];
        size_t n = b < 0x80 ? 1 : b >> 5 == 6 ? 2 : b >> 4 == 14 ? 3 : b >> 3 == 30 ? 4 : 0;
        if (n == 0 || n > in.len - i)
            return false;
        uint32_t c = n == 1 ? b : b & (0x7fU >> n);
        for (size_t k = 1; k < n; k++) {
            if (in.data[i + k] >> 6 != 2)
                return false;
            c = c << 6 | (in.data[i + k] & 0x3f);
        }
        if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) || encode(c, again) != n)
            return false;
        i += n;
    }
    return true;
}

Test(utf8, every_code_point_but_surrogates_is_valid, .timeout = 30)
{
    for (uint32_t c = 0; c <= 0x110fff; c++) {
        uint8_t text[4];
        size_t n = encode(c, text);
        bool want = c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff);
        cr_assert(slu_utf8_valid(slu_bytes(text, n)) == want, "U+%04X", c);
    }
}

Test(utf8, every_three_bytes_are_judged_as_the_slow_decoder_does, .timeout = 60)
{
    for (uint32_t v = 0; v < 0x1000000; v++) {
        const uint8_t text[3] = { (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };
        if (slu_utf8_valid(slu_bytes(text, 3)) != naive(slu_bytes(text, 3)))
            cr_fatal("%06x", v);
    }
}

static uint32_t rng_state = 2463534242U;

static uint32_t any(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 17;
    rng_state ^= rng_state << 5;
    return rng_state;
}

/* Mostly well-formed text with long ASCII runs, now and then a damaged byte; fed whole and in random pieces. */
Test(utf8, pieces_give_the_same_answer_as_the_whole, .timeout = 60)
{
    int valid = 0;
    for (int round = 0; round < 50000; round++) {
        uint8_t text[160];
        size_t len = 0;
        while (len < 150 && any() % 40 != 0) {
            uint32_t kind = any() % 4;
            len += encode(kind == 0 ? any() % 0x110000 : kind == 1 ? any() % 0x800 : any() % 0x80, text + len);
        }
        if (len > 0 && any() % 3 == 0)
            text[any() % len] = (uint8_t)any();
        bool want = naive(slu_bytes(text, len));
        valid += want;
        cr_assert(slu_utf8_valid(slu_bytes(text, len)) == want);
        struct slu_utf8 u = { 0 };
        bool ok = true;
        for (size_t at = 0; at < len && ok;) {
            size_t n = any() % 9;
            n = n > len - at ? len - at : n;
            ok = slu_utf8_feed(&u, slu_bytes(text + at, n));
            at += n;
        }
        cr_assert(want == (ok && slu_utf8_done(&u)));
    }
    cr_assert(gt(int, valid, 5000));
}

Test(utf8, a_bad_byte_is_found_at_every_place_of_a_long_text)
{
    uint8_t text[100];
    memset(text, 'a', sizeof(text));
    cr_assert(slu_utf8_valid(slu_bytes(text, sizeof(text))));
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = 0xff;
        cr_assert(not(slu_utf8_valid(slu_bytes(text, sizeof(text)))));
        text[i] = 'a';
    }
}

Test(utf8, text_that_can_no_longer_become_valid_fails_at_once)
{
    struct slu_utf8 u = { 0 };
    cr_assert(slu_utf8_feed(&u, SLU_LIT("abc\xed")));
    cr_assert(not(slu_utf8_done(&u)));
    cr_assert(not(slu_utf8_feed(&u, SLU_LIT("\xa0"))));
}
