/* ASCII goes by eight bytes a step; every other character is judged by its first byte, which also bounds the second,
 * and that rules out surrogates, overlong forms and what lies above U+10FFFF (RFC 3629 section 4). */
#include "broker/base/utf8.h"

static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end)
{
    while (end - p >= 16) {
        uint64_t a, b;
        memcpy(&a, p, 8);
        memcpy(&b, p + 8, 8);
        if (((a | b) & UINT64_C(0x8080808080808080)) != 0)
            break;
        p += 16;
    }
    while (p < end && *p < 0x80)
        p++;
    return p;
}

/* Sets how many bytes must follow c, at least 0x80, and the bounds of the first of them. */
static bool begin(struct slu_utf8 *u, uint8_t c)
{
    u->lo = 0x80;
    u->hi = 0xbf;
    if (c >= 0xc2 && c <= 0xdf) {
        u->need = 1;
    } else if ((c & 0xf0) == 0xe0) {
        u->need = 2;
        if (c == 0xe0)
            u->lo = 0xa0;
        else if (c == 0xed)
            u->hi = 0x9f;
    } else if (c >= 0xf0 && c <= 0xf4) {
        u->need = 3;
        if (c == 0xf0)
            u->lo = 0x90;
        else if (c == 0xf4)
            u->hi = 0x8f;
    } else {
        return false;
    }
    return true;
}

bool slu_utf8_feed(struct slu_utf8 *u, struct slu_bytes in)
{
    if (in.len == 0)
        return true;
    const uint8_t *p = in.data, *end = p + in.len;
    struct slu_utf8 s = *u;
    for (;;) {
        for (; s.need > 0; s.need--, p++) {
            if (p == end) {
                *u = s;
                return true;
            }
            if (*p < s.lo || *p > s.hi)
                return false;
            s.lo = 0x80;
            s.hi = 0xbf;
        }
        if (p < end && *p < 0x80)
            p = skip_ascii(p, end);
        if (p == end) {
            *u = s;
            return true;
        }
        if (!begin(&s, *p++))
            return false;
    }
}

bool slu_utf8_valid(struct slu_bytes in)
{
    struct slu_utf8 u = { 0 };
    return slu_utf8_feed(&u, in) && slu_utf8_done(&u);
}
