/* Single CBOR items: what they hold, and the writers. */
#include "broker/base/cbor.h"

#include "broker/base/json.h"

#include <math.h>

/* ---- readers ---- */

enum slu_cbor_type slu_cbor_type(struct slu_bytes item)
{
    struct slu_cbor_head h;

    return slu_cbor_head(item, &h) ? h.type : SLU_CBOR_BREAK;
}

/* A magnitude below 2^53 with its sign, from an integer or a float that is one. */
static bool integral(struct slu_bytes item, uint64_t *magnitude, bool *negative)
{
    struct slu_cbor_head h;

    if (!slu_cbor_head(item, &h))
        return false;
    if (h.type == SLU_CBOR_FLOAT) {
        double v = fabs(h.real);
        if (!(v < (double)SLU_JSON_INT_LIMIT) || v != (double)(uint64_t)v)
            return false;
        *magnitude = (uint64_t)v;
        *negative = h.real < 0;
        return true;
    }
    if ((h.type != SLU_CBOR_UINT && h.type != SLU_CBOR_NINT) || h.number >= SLU_JSON_INT_LIMIT)
        return false;
    *negative = h.type == SLU_CBOR_NINT;
    *magnitude = h.number + *negative;
    return *magnitude < SLU_JSON_INT_LIMIT;
}

bool slu_cbor_u64(struct slu_bytes item, uint64_t *out)
{
    uint64_t magnitude;
    bool negative;

    if (!integral(item, &magnitude, &negative) || negative)
        return false;
    *out = magnitude;
    return true;
}

bool slu_cbor_i64(struct slu_bytes item, int64_t *out)
{
    uint64_t magnitude;
    bool negative;

    if (!integral(item, &magnitude, &negative))
        return false;
    *out = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}

bool slu_cbor_double(struct slu_bytes item, double *out)
{
    struct slu_cbor_head h;

    if (!slu_cbor_head(item, &h))
        return false;
    switch (h.type) {
    case SLU_CBOR_UINT:
        *out = (double)h.number;
        return true;
    case SLU_CBOR_NINT:
        *out = -1.0 - (double)h.number;
        return true;
    case SLU_CBOR_FLOAT:
        *out = h.real;
        return true;
    default:
        return false;
    }
}

bool slu_cbor_bool(struct slu_bytes item, bool *out)
{
    enum slu_cbor_type type = slu_cbor_type(item);

    if (type != SLU_CBOR_TRUE && type != SLU_CBOR_FALSE)
        return false;
    *out = type == SLU_CBOR_TRUE;
    return true;
}

static bool string(struct slu_bytes item, enum slu_cbor_type type, struct slu_buf *scratch, struct slu_bytes *out)
{
    struct slu_cbor_head h;
    size_t before = scratch->len;

    if (!slu_cbor_head(item, &h) || h.type != type)
        return false;
    if (!h.indefinite) {
        *out = h.content;
        return true;
    }
    for (;;) {
        item = slu_bytes(item.data + h.size, item.len - h.size);
        if (!slu_cbor_head(item, &h))
            return false;
        if (h.type == SLU_CBOR_BREAK)
            break;
        slu_buf_add_bytes(scratch, h.content);
    }
    if (scratch->failed)
        return false;
    *out = scratch->len == before ? slu_bytes("", 0) : slu_bytes(scratch->data + before, scratch->len - before);
    return true;
}

bool slu_cbor_text(struct slu_bytes item, struct slu_buf *scratch, struct slu_bytes *out)
{
    return string(item, SLU_CBOR_TEXT, scratch, out);
}

bool slu_cbor_bytes(struct slu_bytes item, struct slu_buf *scratch, struct slu_bytes *out)
{
    return string(item, SLU_CBOR_BYTES, scratch, out);
}

/* ---- writers ---- */

size_t slu_cbor_put_head(uint8_t out[9], unsigned major, uint64_t number)
{
    unsigned width = number < 24            ? 0
                     : number <= UINT8_MAX  ? 1
                     : number <= UINT16_MAX ? 2
                     : number <= UINT32_MAX ? 3
                                            : 4;
    size_t bytes = width ? (size_t)1 << (width - 1) : 0;

    out[0] = (uint8_t)(major << 5 | (width ? 23 + width : (unsigned)number));
    for (size_t i = 0; i < bytes; i++)
        out[1 + i] = (uint8_t)(number >> (8 * (bytes - 1 - i)));
    return 1 + bytes;
}

static void add_head(struct slu_buf *out, unsigned major, uint64_t number)
{
    uint8_t head[9];

    slu_buf_add(out, head, slu_cbor_put_head(head, major, number));
}

void slu_cbor_add_uint(struct slu_buf *out, uint64_t v)
{
    add_head(out, 0, v);
}

void slu_cbor_add_nint(struct slu_buf *out, uint64_t n)
{
    add_head(out, 1, n);
}

void slu_cbor_add_int(struct slu_buf *out, int64_t v)
{
    if (v < 0)
        add_head(out, 1, (uint64_t)(-1 - v));
    else
        add_head(out, 0, (uint64_t)v);
}

void slu_cbor_add_bytes(struct slu_buf *out, struct slu_bytes v)
{
    add_head(out, 2, v.len);
    slu_buf_add_bytes(out, v);
}

void slu_cbor_add_text(struct slu_buf *out, struct slu_bytes v)
{
    add_head(out, 3, v.len);
    slu_buf_add_bytes(out, v);
}

void slu_cbor_add_str(struct slu_buf *out, const char *v)
{
    slu_cbor_add_text(out, slu_str(v));
}

void slu_cbor_add_array(struct slu_buf *out, uint64_t items)
{
    add_head(out, 4, items);
}

void slu_cbor_add_map(struct slu_buf *out, uint64_t pairs)
{
    add_head(out, 5, pairs);
}

void slu_cbor_add_tag(struct slu_buf *out, uint64_t tag)
{
    add_head(out, 6, tag);
}

void slu_cbor_add_bool(struct slu_buf *out, bool v)
{
    slu_buf_add_byte(out, v ? 0xf5 : 0xf4);
}

void slu_cbor_add_null(struct slu_buf *out)
{
    slu_buf_add_byte(out, 0xf6);
}

/* The half-precision bits of a float that has them exactly. */
static bool to_half(uint32_t bits, uint16_t *half)
{
    uint32_t sign = bits >> 16 & 0x8000, exponent = bits >> 23 & 0xff, fraction = bits & 0x7fffff;

    if (exponent == 0 && fraction == 0) {
        *half = (uint16_t)sign;
        return true;
    }
    if (exponent >= 113 && exponent <= 142 && !(fraction & 0x1fff)) {
        *half = (uint16_t)(sign | (exponent - 112) << 10 | fraction >> 13);
        return true;
    }
    if (exponent >= 103 && exponent <= 112) { /* subnormal halves */
        unsigned shift = 126 - exponent;
        uint32_t full = fraction | 0x800000;
        if (full & ((UINT32_C(1) << shift) - 1))
            return false;
        *half = (uint16_t)(sign | full >> shift);
        return true;
    }
    return false;
}

static void add_float_bits(struct slu_buf *out, uint8_t first, uint64_t bits, size_t bytes)
{
    uint8_t item[9] = { first };

    for (size_t i = 0; i < bytes; i++)
        item[1 + i] = (uint8_t)(bits >> (8 * (bytes - 1 - i)));
    slu_buf_add(out, item, 1 + bytes);
}

void slu_cbor_add_double(struct slu_buf *out, double v)
{
    uint64_t bits;
    uint32_t single_bits;
    uint16_t half;
    float single;

    if (!isfinite(v)) {
        add_float_bits(out, 0xf9, isnan(v) ? 0x7e00 : v > 0 ? 0x7c00 : 0xfc00, 2);
        return;
    }
    memcpy(&bits, &v, sizeof(bits));
    /* Beyond float's range the conversion would be undefined. */
    single = fabs(v) <= 3.4028234663852886e38 ? (float)v : 0.0f;
    if (!((double)single == v)) {
        add_float_bits(out, 0xfb, bits, 8);
        return;
    }
    memcpy(&single_bits, &single, sizeof(single_bits));
    if (to_half(single_bits, &half))
        add_float_bits(out, 0xf9, half, 2);
    else
        add_float_bits(out, 0xfa, single_bits, 4);
}
