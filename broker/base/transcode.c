/* Both directions validate their input first and then walk it, keeping the open containers in an array. */
#include "broker/base/transcode.h"

#include "broker/base/cbor.h"
#include "broker/base/json.h"

#include <math.h>

/* ---- JSON -> CBOR ---- */

enum { BIGNUM_LIMBS = (SLU_JSON_NUMBER_LEN * 10 / 3 + 63) / 32 }; /* log2(10) < 10/3 bits a digit */

struct bignum {
    uint32_t limbs[BIGNUM_LIMBS]; /* least significant first */
    size_t n;
};

/* b = b * scale + carry */
static void bignum_shift_in(struct bignum *b, uint32_t scale, uint64_t carry)
{
    for (size_t i = 0; i < b->n; i++) {
        carry += (uint64_t)b->limbs[i] * scale;
        b->limbs[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry && b->n < BIGNUM_LIMBS)
        b->limbs[b->n++] = (uint32_t)carry;
}

/* CBOR counts negatives from -1 on: the content is the magnitude less one. b is not zero. */
static void bignum_decrement(struct bignum *b)
{
    size_t i = 0;

    while (b->limbs[i] == 0)
        b->limbs[i++] = UINT32_MAX;
    b->limbs[i]--;
}

static void add_bignum(struct slu_buf *out, const struct bignum *b, bool negative)
{
    uint8_t bytes[BIGNUM_LIMBS * 4];
    size_t n = 0;

    for (size_t i = b->n; i > 0; i--) {
        for (unsigned shift = 32; shift > 0; shift -= 8) {
            uint8_t byte = (uint8_t)(b->limbs[i - 1] >> (shift - 8));
            if (n || byte)
                bytes[n++] = byte;
        }
    }
    slu_cbor_add_tag(out, negative ? 3 : 2);
    slu_cbor_add_bytes(out, slu_bytes(bytes, n));
}

static void add_integer(struct slu_buf *out, struct slu_bytes digits, bool negative)
{
    struct bignum b = { .n = 0 };
    uint64_t v;

    for (size_t i = 0; i < digits.len;) {
        uint32_t scale = 1, group = 0;
        for (; scale < 1000000000 && i < digits.len; scale *= 10)
            group = group * 10 + (digits.data[i++] - 0x30u);
        bignum_shift_in(&b, scale, group);
    }
    if (negative)
        bignum_decrement(&b);
    while (b.n && b.limbs[b.n - 1] == 0)
        b.n--;
    if (b.n > 2) {
        add_bignum(out, &b, negative);
        return;
    }
    v = b.n == 2 ? (uint64_t)b.limbs[1] << 32 | b.limbs[0] : b.n ? b.limbs[0] : 0;
    if (negative)
        slu_cbor_add_nint(out, v);
    else
        slu_cbor_add_uint(out, v);
}

static bool is_integer_notation(struct slu_bytes raw)
{
    for (size_t i = 0; i < raw.len; i++)
        if (raw.data[i] == '.' || raw.data[i] == 'e' || raw.data[i] == 'E')
            return false;
    return true;
}

static void add_number(struct slu_buf *out, const struct slu_json_value *v)
{
    bool negative = v->raw.data[0] == '-';
    struct slu_bytes digits = slu_bytes(v->raw.data + negative, v->raw.len - negative);
    int64_t small;
    double real;

    if (!is_integer_notation(v->raw) || (negative && digits.data[0] == '0')) {
        /* What overflows a double reads as infinite in JavaScript too. */
        if (!slu_json_double(v, &real))
            real = negative ? -(double)INFINITY : (double)INFINITY;
        slu_cbor_add_double(out, real);
    } else if (digits.len <= 15 && slu_json_i64(v, &small)) {
        slu_cbor_add_int(out, small);
    } else {
        add_integer(out, digits, negative);
    }
}

static void add_text(struct slu_buf *out, struct slu_bytes inner, bool escaped)
{
    size_t head_at, text_at, len;
    uint8_t head[9], most[9];
    size_t head_len, room;

    if (!escaped) {
        slu_cbor_add_text(out, inner);
        return;
    }
    /* Decoding only shortens, so the head for the written length has room enough. */
    room = slu_cbor_put_head(most, 3, inner.len);
    head_at = out->len;
    slu_buf_add(out, most, room);
    text_at = out->len;
    slu_json_unescape(inner, out, NULL);
    if (out->failed)
        return;
    len = out->len - text_at;
    head_len = slu_cbor_put_head(head, 3, len);
    if (head_len != room)
        memmove(out->data + head_at + head_len, out->data + text_at, len);
    memcpy(out->data + head_at, head, head_len);
    out->len = head_at + head_len + len;
}

/* A container being written: its head is one byte until it is closed and the count is known. */
struct open_json {
    struct slu_json_iter it;
    size_t head_at;
    uint64_t count;
    bool is_object;
};

static void open_container(struct open_json *level, const struct slu_json_value *v, struct slu_buf *out)
{
    slu_json_iter_init(&level->it, v->raw);
    level->head_at = out->len;
    level->count = 0;
    level->is_object = v->type == SLU_JSON_OBJECT;
    slu_buf_add_byte(out, 0);
}

static void close_container(const struct open_json *level, struct slu_buf *out)
{
    uint8_t head[9];
    size_t n = slu_cbor_put_head(head, level->is_object ? 5 : 4, level->count);
    size_t body_at = level->head_at + 1;

    if (n > 1 && slu_buf_reserve(out, n - 1)) {
        memmove(out->data + level->head_at + n, out->data + body_at, out->len - body_at);
        out->len += n - 1;
    }
    if (!out->failed)
        memcpy(out->data + level->head_at, head, n);
}

static void add_json_scalar(struct slu_buf *out, const struct slu_json_value *v)
{
    switch (v->type) {
    case SLU_JSON_STRING:
        add_text(out, slu_json_inner(v), v->escaped);
        break;
    case SLU_JSON_NUMBER:
        add_number(out, v);
        break;
    case SLU_JSON_TRUE:
    case SLU_JSON_FALSE:
        slu_cbor_add_bool(out, v->type == SLU_JSON_TRUE);
        break;
    default:
        slu_cbor_add_null(out);
        break;
    }
}

/* The next value inside the container, with the key written before it. */
static bool next_json(struct open_json *level, struct slu_json_value *v, struct slu_buf *out)
{
    struct slu_json_member m;

    if (!level->is_object) {
        if (!slu_json_next(&level->it, v))
            return false;
    } else {
        if (!slu_json_next_member(&level->it, &m))
            return false;
        add_text(out, m.key, m.key_escaped);
        *v = m.value;
    }
    level->count++;
    return true;
}

enum slu_err slu_transcode_json_to_cbor(struct slu_bytes json, struct slu_buf *out)
{
    struct open_json levels[SLU_JSON_DEPTH];
    struct slu_json_value v;
    size_t depth = 0;

    if (!slu_json_scan(json, &v, NULL))
        return SLU_EBAD_FRAME;
    do {
        if (v.type == SLU_JSON_OBJECT || v.type == SLU_JSON_ARRAY)
            open_container(&levels[depth++], &v, out);
        else
            add_json_scalar(out, &v);
        while (depth && !out->failed && !next_json(&levels[depth - 1], &v, out))
            close_container(&levels[--depth], out);
    } while (depth && !out->failed);
    return out->failed ? SLU_ETOO_LARGE : SLU_OK;
}

/* ---- CBOR -> JSON ---- */

enum byte_form { BASE64URL, BASE64, BASE16 };

struct open_cbor {
    uint64_t left; /* items to come (keys and values each count); of no use in an indefinite container */
    uint64_t done;
    bool indefinite;
    enum slu_cbor_type type; /* ARRAY, MAP or TAG */
    enum byte_form form;     /* how byte strings inside are written */
    bool is_key;             /* the container itself is a map key, written from key_at on */
    size_t key_at;
};

struct cbor_walk {
    const uint8_t *at, *end;
    struct slu_buf *out;
    size_t depth;
    bool in_key;                                 /* inside an array or map that is a map key */
    struct open_cbor levels[SLU_CBOR_DEPTH + 1]; /* an empty container may stand in the deepest one */
};

static void add_byte_text(struct slu_buf *out, struct slu_bytes v, enum byte_form form)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t start;

    slu_buf_add_byte(out, '"');
    start = out->len;
    if (form == BASE16) {
        for (size_t i = 0; i < v.len && !out->failed; i++)
            slu_buf_add(out, (char[2]){ hex[v.data[i] >> 4], hex[v.data[i] & 15] }, 2);
    } else {
        slu_buf_add_base64(out, v);
    }
    if (form == BASE64URL && !out->failed) {
        while (out->len > start && out->data[out->len - 1] == '=')
            out->len--;
        for (size_t i = start; i < out->len; i++)
            out->data[i] = out->data[i] == '+' ? '-' : out->data[i] == '/' ? '_' : out->data[i];
    }
    slu_buf_add_byte(out, '"');
}

/* The string at w->at, chunks joined; moves w->at behind it. False when memory ran out. */
static bool take_string(struct cbor_walk *w, const struct slu_cbor_head *h, struct slu_buf *scratch,
                        struct slu_bytes *out)
{
    struct slu_bytes item = slu_bytes(w->at, (size_t)(w->end - w->at));
    size_t size;
    bool ok = slu_cbor_scan(item, &size, NULL);

    if (ok)
        ok = h->type == SLU_CBOR_TEXT ? slu_cbor_text(item, scratch, out) : slu_cbor_bytes(item, scratch, out);
    if (ok)
        w->at += size;
    else
        w->out->failed = true;
    return ok;
}

static void add_cbor_string(struct cbor_walk *w, const struct slu_cbor_head *h, enum byte_form form)
{
    struct slu_buf scratch;
    struct slu_bytes v;

    slu_buf_init(&scratch, w->out->max);
    if (take_string(w, h, &scratch, &v)) {
        if (h->type == SLU_CBOR_TEXT)
            slu_json_add_string(w->out, v);
        else
            add_byte_text(w->out, v, form);
    }
    slu_buf_fini(&scratch);
}

/* Behind tag 2 or 3, at a byte string. */
static void add_bignum_text(struct cbor_walk *w, const struct slu_cbor_head *h, bool negative)
{
    size_t quote_at = w->out->len;

    add_cbor_string(w, h, BASE64URL);
    if (!negative || w->out->failed || !slu_buf_reserve(w->out, 1))
        return;
    memmove(w->out->data + quote_at + 2, w->out->data + quote_at + 1, w->out->len - quote_at - 1);
    w->out->data[quote_at + 1] = '~';
    w->out->len++;
}

/* Numbers and simple values; moves w->at. */
static void add_cbor_scalar(struct cbor_walk *w, const struct slu_cbor_head *h)
{
    w->at += h->size;
    switch (h->type) {
    case SLU_CBOR_UINT:
        slu_buf_add_u64(w->out, h->number);
        break;
    case SLU_CBOR_NINT:
        if (h->number == UINT64_MAX) { /* -2^64: its magnitude has 65 bits */
            slu_buf_add_str(w->out, "-18446744073709551616");
            break;
        }
        slu_buf_add_byte(w->out, '-');
        slu_buf_add_u64(w->out, h->number + 1);
        break;
    case SLU_CBOR_FLOAT:
        slu_json_add_double(w->out, h->real);
        break;
    case SLU_CBOR_TRUE:
    case SLU_CBOR_FALSE:
        slu_buf_add_str(w->out, h->type == SLU_CBOR_TRUE ? "true" : "false");
        break;
    default:
        slu_buf_add_str(w->out, "null");
        break;
    }
}

/* What stands from key_at on becomes a string, unless it is one. */
static void finish_key(struct slu_buf *out, size_t key_at)
{
    struct slu_buf text;

    if (out->failed || (out->len > key_at && out->data[key_at] == '"'))
        return;
    slu_buf_init(&text, out->max);
    slu_buf_add(&text, out->data + key_at, out->len - key_at);
    out->len = key_at;
    slu_json_add_string(out, slu_buf_bytes(&text));
    out->failed = out->failed || text.failed;
    slu_buf_fini(&text);
}

static struct open_cbor *top(struct cbor_walk *w)
{
    return w->depth ? &w->levels[w->depth - 1] : NULL;
}

static bool next_is_key(const struct open_cbor *level)
{
    return level && level->type == SLU_CBOR_MAP && level->done % 2 == 0;
}

static bool is_ended(const struct cbor_walk *w, const struct open_cbor *level)
{
    return level->indefinite ? *w->at == 0xff : level->left == 0;
}

/* After an item: the levels that end here are closed, and the separator is written where another item follows. */
static void after_item(struct cbor_walk *w, bool was_key, size_t key_at)
{
    while (!w->out->failed) {
        struct open_cbor *level = top(w);

        if (was_key)
            finish_key(w->out, key_at);
        if (!level)
            return;
        level->done++;
        level->left--;
        if (!is_ended(w, level)) {
            slu_buf_add_byte(w->out, level->type == SLU_CBOR_MAP && level->done % 2 ? ':' : ',');
            return;
        }
        w->at += level->indefinite;
        if (level->type != SLU_CBOR_TAG)
            slu_buf_add_byte(w->out, level->type == SLU_CBOR_MAP ? '}' : ']');
        was_key = level->is_key;
        key_at = level->key_at;
        if (was_key)
            w->in_key = false;
        w->depth--;
    }
}

static enum byte_form form_of_tag(uint64_t tag, enum byte_form outer)
{
    return tag == 21 ? BASE64URL : tag == 22 ? BASE64 : tag == 23 ? BASE16 : outer;
}

/* Opens the container whose head is at w->at. False: a container in a key in a key. */
static bool open_item(struct cbor_walk *w, const struct slu_cbor_head *h, bool is_key)
{
    struct open_cbor *outer = top(w);
    struct open_cbor level = { .indefinite = h->indefinite, .type = h->type, .is_key = is_key, .key_at = w->out->len };

    level.form = outer ? outer->form : BASE64URL;
    if (h->type == SLU_CBOR_TAG) {
        level.form = form_of_tag(h->number, level.form);
        level.left = 1;
    } else {
        level.left = h->type == SLU_CBOR_MAP ? h->number * 2 : h->number;
    }
    if (is_key) {
        if (w->in_key)
            return false;
        w->in_key = true;
    }
    w->at += h->size;
    w->levels[w->depth++] = level;
    if (h->type == SLU_CBOR_TAG)
        return true;
    slu_buf_add_byte(w->out, h->type == SLU_CBOR_MAP ? '{' : '[');
    if (is_ended(w, &w->levels[w->depth - 1])) {
        w->at += h->indefinite;
        slu_buf_add_byte(w->out, h->type == SLU_CBOR_MAP ? '}' : ']');
        w->depth--;
        if (is_key)
            w->in_key = false;
        after_item(w, is_key, level.key_at);
    }
    return true;
}

/* A bignum: tag 2 or 3 right before a byte string. Then *number is the string's head and w->at at it. */
static bool take_bignum_tag(struct cbor_walk *w, const struct slu_cbor_head *tag, struct slu_cbor_head *number)
{
    struct slu_bytes rest = slu_bytes(w->at + tag->size, (size_t)(w->end - w->at) - tag->size);

    if (tag->type != SLU_CBOR_TAG || (tag->number != 2 && tag->number != 3))
        return false;
    if (!slu_cbor_head(rest, number) || number->type != SLU_CBOR_BYTES)
        return false;
    w->at += tag->size;
    return true;
}

static bool walk_item(struct cbor_walk *w)
{
    struct open_cbor *outer = top(w);
    bool is_key = next_is_key(outer);
    size_t key_at = w->out->len;
    struct slu_cbor_head h, number;

    if (!slu_cbor_head(slu_bytes(w->at, (size_t)(w->end - w->at)), &h))
        return false;
    if (take_bignum_tag(w, &h, &number))
        add_bignum_text(w, &number, h.number == 3);
    else if (h.type == SLU_CBOR_ARRAY || h.type == SLU_CBOR_MAP || h.type == SLU_CBOR_TAG)
        return open_item(w, &h, is_key);
    else if (h.type == SLU_CBOR_TEXT || h.type == SLU_CBOR_BYTES)
        add_cbor_string(w, &h, outer ? outer->form : BASE64URL);
    else
        add_cbor_scalar(w, &h);
    after_item(w, is_key, key_at);
    return true;
}

enum slu_err slu_transcode_cbor_to_json(struct slu_bytes cbor, struct slu_buf *out)
{
    struct cbor_walk w = { .at = cbor.data, .end = cbor.data ? cbor.data + cbor.len : NULL, .out = out };

    if (!slu_cbor_is_item(cbor, NULL))
        return SLU_EBAD_FRAME;
    do {
        if (!walk_item(&w))
            return SLU_EBAD_FRAME;
    } while (w.depth && !out->failed);
    return out->failed ? SLU_ETOO_LARGE : SLU_OK;
}
