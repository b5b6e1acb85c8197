/* What validated JSON tokens mean: strings with their escapes, numbers; and the writers. Works on spans that the
 * scanner has accepted; the only allocation is the caller's buffer. */
#include "broker/base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- strings ---- */

static unsigned hex_digit(uint8_t c)
{
    return c <= '9' ? c - 0x30u : (c | 0x20u) - 'a' + 10u;
}

/* The number behind "\u" at p, or UINT32_MAX when no such escape stands there. */
static uint32_t unicode_escape(const uint8_t *p, const uint8_t *end)
{
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return UINT32_MAX;
    return hex_digit(p[2]) << 12 | hex_digit(p[3]) << 8 | hex_digit(p[4]) << 4 | hex_digit(p[5]);
}

static size_t put_utf8(uint32_t c, uint8_t out[4])
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xc0 | c >> 6);
        out[1] = (uint8_t)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xe0 | c >> 12);
        out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        out[2] = (uint8_t)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | c >> 18);
    out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    out[3] = (uint8_t)(0x80 | (c & 0x3f));
    return 4;
}

/* Decodes the escape at *p (a backslash) and moves *p behind it. */
static size_t decode_escape(const uint8_t **p, const uint8_t *end, uint8_t out[4], bool *lossy)
{
    static const uint8_t simple[256] = {
        ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t'
    };
    uint32_t c = unicode_escape(*p, end), low;

    if (c == UINT32_MAX) {
        out[0] = end - *p >= 2 ? simple[(*p)[1]] : '\\';
        *p += end - *p >= 2 ? 2 : 1;
        return 1;
    }
    *p += 6;
    if (c >= 0xd800 && c <= 0xdbff) {
        low = unicode_escape(*p, end);
        if (low >= 0xdc00 && low <= 0xdfff) {
            *p += 6;
            return put_utf8(0x10000 + ((c & 0x3ff) << 10 | (low & 0x3ff)), out);
        }
    }
    if (c >= 0xd800 && c <= 0xdfff) {
        *lossy = true;
        c = 0xfffd;
    }
    return put_utf8(c, out);
}

void slu_json_unescape(struct slu_bytes inner, struct slu_buf *out, bool *lossy)
{
    const uint8_t *p = inner.data, *end = inner.data ? inner.data + inner.len : NULL;
    bool lost = false;
    /* No escape decodes to more bytes than it is written with. */
    uint8_t *to = inner.len ? slu_buf_reserve(out, inner.len) : NULL, *start = to;

    if (!to)
        return;
    while (p < end) {
        const uint8_t *slash = memchr(p, '\\', (size_t)(end - p));
        size_t plain = (size_t)((slash ? slash : end) - p);
        uint8_t code[4];

        memcpy(to, p, plain);
        to += plain;
        p += plain;
        if (slash) {
            size_t n = decode_escape(&p, end, code, &lost);
            memcpy(to, code, n);
            to += n;
        }
    }
    out->len += (size_t)(to - start);
    if (lossy && lost)
        *lossy = true;
}

bool slu_json_string(const struct slu_json_value *v, struct slu_buf *scratch, struct slu_bytes *out)
{
    size_t before = scratch->len;

    if (v->type != SLU_JSON_STRING)
        return false;
    if (!v->escaped) {
        *out = slu_json_inner(v);
        return true;
    }
    slu_json_unescape(slu_json_inner(v), scratch, NULL);
    if (scratch->failed)
        return false;
    *out = slu_bytes(scratch->data + before, scratch->len - before);
    return true;
}

static bool equals_unescaped(struct slu_bytes inner, bool escaped, struct slu_bytes text)
{
    const uint8_t *p = inner.data, *end = inner.data + inner.len, *t = text.data, *t_end = text.data + text.len;
    bool lossy;

    if (!escaped)
        return slu_bytes_eq(inner, text);
    while (p < end) {
        uint8_t code[4];
        size_t n = 1;

        if (*p == '\\')
            n = decode_escape(&p, end, code, &lossy);
        else
            code[0] = *p++;
        if ((size_t)(t_end - t) < n || memcmp(t, code, n) != 0)
            return false;
        t += n;
    }
    return t == t_end;
}

bool slu_json_key_is(const struct slu_json_member *m, struct slu_bytes key)
{
    return equals_unescaped(m->key, m->key_escaped, key);
}

bool slu_json_string_is(const struct slu_json_value *v, struct slu_bytes text)
{
    return v->type == SLU_JSON_STRING && equals_unescaped(slu_json_inner(v), v->escaped, text);
}

/* ---- numbers ---- */

/* A number as ±digits × 10^exponent; digits holds at most the first 19 significant ones. */
struct decimal {
    bool negative;
    bool exact; /* nothing but zeros was left out of digits */
    uint64_t digits;
    int64_t exponent;
};

enum { EXPONENT_CAP = 1000000 };

static struct decimal parse_decimal(struct slu_bytes raw)
{
    const uint8_t *p = raw.data, *end = raw.data + raw.len;
    struct decimal d = { .exact = true };
    bool is_fraction = false, negative_exponent = false;
    int64_t exponent = 0;

    if (p < end && *p == '-') {
        d.negative = true;
        p++;
    }
    for (; p < end && (*p == '.' || (*p >= '0' && *p <= '9')); p++) {
        if (*p == '.') {
            is_fraction = true;
            continue;
        }
        if (d.digits < UINT64_C(1000000000000000000)) {
            d.digits = d.digits * 10 + (*p - '0');
            d.exponent -= is_fraction;
        } else {
            d.exact = d.exact && *p == '0';
            d.exponent += !is_fraction;
        }
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        negative_exponent = p < end && *p == '-';
        if (p < end && (*p == '-' || *p == '+'))
            p++;
        for (; p < end; p++)
            exponent = exponent < EXPONENT_CAP ? exponent * 10 + (*p - '0') : exponent;
    }
    d.exponent += negative_exponent ? -exponent : exponent;
    return d;
}

/* The magnitude when the number is exactly an integer below 2^53. */
static bool integral(const struct slu_json_value *v, uint64_t *magnitude, bool *negative)
{
    struct decimal d;

    if (v->type != SLU_JSON_NUMBER)
        return false;
    d = parse_decimal(v->raw);
    if (!d.exact)
        return false;
    for (; d.digits && d.exponent < 0; d.exponent++) {
        if (d.digits % 10)
            return false;
        d.digits /= 10;
    }
    for (; d.digits && d.exponent > 0; d.exponent--) {
        if (d.digits >= SLU_JSON_INT_LIMIT)
            return false;
        d.digits *= 10;
    }
    if (d.digits >= SLU_JSON_INT_LIMIT)
        return false;
    *magnitude = d.digits;
    *negative = d.negative && d.digits;
    return true;
}

bool slu_json_u64(const struct slu_json_value *v, uint64_t *out)
{
    uint64_t magnitude;
    bool negative;

    if (!integral(v, &magnitude, &negative) || negative)
        return false;
    *out = magnitude;
    return true;
}

bool slu_json_i64(const struct slu_json_value *v, int64_t *out)
{
    uint64_t magnitude;
    bool negative;

    if (!integral(v, &magnitude, &negative))
        return false;
    *out = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}

/* Nearest double; infinite where it overflows. */
static double to_double(struct slu_bytes raw)
{
    static const double tens[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    struct decimal d = parse_decimal(raw);
    char text[SLU_JSON_NUMBER_LEN + 1];

    /* Both factors are exact doubles, so that the one rounding is the right one. */
    if (d.exact && d.digits <= SLU_JSON_INT_LIMIT && d.exponent >= -22 && d.exponent <= 22) {
        double v = (double)d.digits;
        v = d.exponent < 0 ? v / tens[-d.exponent] : v * tens[d.exponent];
        return d.negative ? -v : v;
    }
    if (raw.len > SLU_JSON_NUMBER_LEN)
        return NAN;
    memcpy(text, raw.data, raw.len);
    text[raw.len] = '\0';
    return strtod(text, NULL);
}

bool slu_json_double(const struct slu_json_value *v, double *out)
{
    double d;

    if (v->type != SLU_JSON_NUMBER)
        return false;
    d = to_double(v->raw);
    if (!isfinite(d))
        return false;
    *out = d;
    return true;
}

int slu_json_number_cmp(const struct slu_json_value *a, const struct slu_json_value *b)
{
    double x = to_double(a->raw), y = to_double(b->raw);

    return (x > y) - (x < y);
}

/* ---- writers ---- */

/* Length of the UTF-8 character at p; 0 when it is broken, and then *skip bytes of it belong together. */
static size_t utf8_at(const uint8_t *p, const uint8_t *end, size_t *skip)
{
    uint8_t c = *p, lo = 0x80, hi = 0xbf;
    size_t need = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;

    *skip = 1;
    if (c < 0xc2 || c > 0xf4)
        return 0;
    if (c == 0xe0)
        lo = 0xa0;
    else if (c == 0xed)
        hi = 0x9f;
    else if (c == 0xf0)
        lo = 0x90;
    else if (c == 0xf4)
        hi = 0x8f;
    for (size_t i = 1; i <= need; i++) {
        if (p + i == end || p[i] < lo || p[i] > hi)
            return 0;
        lo = 0x80;
        hi = 0xbf;
        *skip = i + 1;
    }
    return need + 1;
}

/* Behind the text from p that can be copied as it is. */
static const uint8_t *clean_run(const uint8_t *p, const uint8_t *end)
{
    size_t skip;

    while (p < end) {
        if (*p < 0x20 || *p == '"' || *p == '\\')
            break;
        if (*p < 0x80) {
            p++;
            continue;
        }
        size_t n = utf8_at(p, end, &skip);
        if (!n)
            break;
        p += n;
    }
    return p;
}

static void add_escape(struct slu_buf *out, uint8_t c)
{
    static const char letters[32] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r' };
    static const char hex[] = "0123456789abcdef";
    char text[6] = { '\\', 'u', '0', '0' };

    if (c >= 0x20 || letters[c]) {
        text[1] = c >= 0x20 ? (char)c : letters[c];
        slu_buf_add(out, text, 2);
        return;
    }
    text[4] = hex[c >> 4];
    text[5] = hex[c & 15];
    slu_buf_add(out, text, 6);
}

void slu_json_add_string(struct slu_buf *out, struct slu_bytes text)
{
    const uint8_t *p = text.data, *end = text.data ? text.data + text.len : NULL;

    slu_buf_add_byte(out, '"');
    while (p < end && !out->failed) {
        const uint8_t *run = p;
        size_t skip = 1;

        p = clean_run(p, end);
        slu_buf_add(out, run, (size_t)(p - run));
        if (p == end)
            break;
        if (*p < 0x80) {
            add_escape(out, *p);
        } else {
            utf8_at(p, end, &skip);
            slu_buf_add(out, "\xef\xbf\xbd", 3);
        }
        p += skip;
    }
    slu_buf_add_byte(out, '"');
}

void slu_json_add_str(struct slu_buf *out, const char *text)
{
    slu_json_add_string(out, slu_str(text));
}

void slu_json_add_double(struct slu_buf *out, double v)
{
    char text[40];
    int n = 0;

    if (!isfinite(v)) {
        slu_buf_add(out, "null", 4);
        return;
    }
    if (fabs(v) < (double)SLU_JSON_INT_LIMIT && v == (double)(int64_t)v && !(v == 0 && signbit(v))) {
        slu_buf_add_i64(out, (int64_t)v);
        return;
    }
    /* Up to 15 digits survive decimal -> double -> decimal, so %.15g is the shortest where it reads back at all; the
     * subnormals have fewer to begin with. */
    for (int digits = fabs(v) < 2.3e-308 ? 1 : 15; digits <= 17; digits++) {
        n = snprintf(text, sizeof(text), "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    slu_buf_add(out, text, (size_t)n);
}

void slu_json_compact(struct slu_bytes text, struct slu_buf *out)
{
    const uint8_t *p = text.data, *end = text.data ? text.data + text.len : NULL, *run = p;
    bool in_string = false;

    for (; p < end; p++) {
        if (in_string) {
            if (*p == '\\' && end - p > 1)
                p++;
            else if (*p == '"')
                in_string = false;
        } else if (*p == '"') {
            in_string = true;
        } else if (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') {
            slu_buf_add(out, run, (size_t)(p - run));
            run = p + 1;
        }
    }
    if (run < end)
        slu_buf_add(out, run, (size_t)(end - run));
}
