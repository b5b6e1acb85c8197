/* CBOR reading. The heads are read by libcbor's streaming decoder, into one struct; simple values other than the four
 * named ones, which it refuses although they are well-formed, are read here. Structure (counts, breaks, chunks, depth)
 * is this file's: a small stack of what is still missing at each level. */
#include "broker/base/cbor.h"

#include "broker/base/map.h"
#include "broker/base/utf8.h"

#include <cbor.h>

/* ---- heads ---- */

static void set(void *ctx, enum slu_cbor_type type, uint64_t number)
{
    struct slu_cbor_head *h = ctx;
    h->type = type;
    h->number = number;
}

static void set_indefinite(void *ctx, enum slu_cbor_type type)
{
    struct slu_cbor_head *h = ctx;
    h->type = type;
    h->indefinite = true;
}

static void set_string(void *ctx, enum slu_cbor_type type, const uint8_t *data, size_t len)
{
    struct slu_cbor_head *h = ctx;
    h->type = type;
    h->number = len;
    h->content = slu_bytes(data, len);
}

static void on_uint8(void *ctx, uint8_t v)
{
    set(ctx, SLU_CBOR_UINT, v);
}

static void on_uint16(void *ctx, uint16_t v)
{
    set(ctx, SLU_CBOR_UINT, v);
}

static void on_uint32(void *ctx, uint32_t v)
{
    set(ctx, SLU_CBOR_UINT, v);
}

static void on_uint64(void *ctx, uint64_t v)
{
    set(ctx, SLU_CBOR_UINT, v);
}

static void on_nint8(void *ctx, uint8_t v)
{
    set(ctx, SLU_CBOR_NINT, v);
}

static void on_nint16(void *ctx, uint16_t v)
{
    set(ctx, SLU_CBOR_NINT, v);
}

static void on_nint32(void *ctx, uint32_t v)
{
    set(ctx, SLU_CBOR_NINT, v);
}

static void on_nint64(void *ctx, uint64_t v)
{
    set(ctx, SLU_CBOR_NINT, v);
}

static void on_bytes(void *ctx, cbor_data data, size_t len)
{
    set_string(ctx, SLU_CBOR_BYTES, data, len);
}

static void on_bytes_start(void *ctx)
{
    set_indefinite(ctx, SLU_CBOR_BYTES);
}

static void on_text(void *ctx, cbor_data data, size_t len)
{
    set_string(ctx, SLU_CBOR_TEXT, data, len);
}

static void on_text_start(void *ctx)
{
    set_indefinite(ctx, SLU_CBOR_TEXT);
}

static void on_array(void *ctx, size_t items)
{
    set(ctx, SLU_CBOR_ARRAY, items);
}

static void on_array_start(void *ctx)
{
    set_indefinite(ctx, SLU_CBOR_ARRAY);
}

static void on_map(void *ctx, size_t pairs)
{
    set(ctx, SLU_CBOR_MAP, pairs);
}

static void on_map_start(void *ctx)
{
    set_indefinite(ctx, SLU_CBOR_MAP);
}

static void on_tag(void *ctx, uint64_t tag)
{
    set(ctx, SLU_CBOR_TAG, tag);
}

static void on_float(void *ctx, float v)
{
    struct slu_cbor_head *h = ctx;
    h->type = SLU_CBOR_FLOAT;
    h->real = (double)v;
}

static void on_double(void *ctx, double v)
{
    struct slu_cbor_head *h = ctx;
    h->type = SLU_CBOR_FLOAT;
    h->real = v;
}

static void on_null(void *ctx)
{
    set(ctx, SLU_CBOR_NULL, 22);
}

static void on_undefined(void *ctx)
{
    set(ctx, SLU_CBOR_UNDEFINED, 23);
}

static void on_bool(void *ctx, bool v)
{
    set(ctx, v ? SLU_CBOR_TRUE : SLU_CBOR_FALSE, v ? 21 : 20);
}

static void on_break(void *ctx)
{
    set(ctx, SLU_CBOR_BREAK, 0);
}

static const struct cbor_callbacks callbacks = {
    .uint8 = on_uint8,
    .uint16 = on_uint16,
    .uint32 = on_uint32,
    .uint64 = on_uint64,
    .negint8 = on_nint8,
    .negint16 = on_nint16,
    .negint32 = on_nint32,
    .negint64 = on_nint64,
    .byte_string = on_bytes,
    .byte_string_start = on_bytes_start,
    .string = on_text,
    .string_start = on_text_start,
    .array_start = on_array,
    .indef_array_start = on_array_start,
    .map_start = on_map,
    .indef_map_start = on_map_start,
    .tag = on_tag,
    .float2 = on_float,
    .float4 = on_float,
    .float8 = on_double,
    .null = on_null,
    .undefined = on_undefined,
    .boolean = on_bool,
    .indef_break = on_break,
};

bool slu_cbor_head(struct slu_bytes in, struct slu_cbor_head *out)
{
    struct slu_cbor_head h = { .size = 1 };
    uint8_t first = in.len ? in.data[0] : 0xff;

    if (in.len == 0)
        return false;
    if (first >= 0xe0 && first < 0xf4) {
        set(&h, SLU_CBOR_SIMPLE, first & 0x1f);
    } else if (first == 0xf8) {
        if (in.len < 2 || in.data[1] < 32) /* the short form is the only one for those */
            return false;
        set(&h, SLU_CBOR_SIMPLE, in.data[1]);
        h.size = 2;
    } else {
        struct cbor_decoder_result r = cbor_stream_decode(in.data, in.len, &callbacks, &h);
        if (r.status != CBOR_DECODER_FINISHED)
            return false;
        h.size = r.read;
    }
    /* Every item takes at least a byte, so that no count can be larger than what is left. */
    if (h.type == SLU_CBOR_ARRAY && h.number > in.len - h.size)
        return false;
    if (h.type == SLU_CBOR_MAP && h.number > (in.len - h.size) / 2)
        return false;
    *out = h;
    return true;
}

/* ---- structure ---- */

struct level {
    uint64_t left; /* items still to come; in an indefinite container: items so far */
    bool indefinite;
    bool is_map;
};

struct scanner {
    const uint8_t *start, *at, *end;
    const char *reason;
    unsigned depth, limit;
    struct level levels[SLU_CBOR_DEPTH];
};

static bool fail(struct scanner *s, const char *reason)
{
    s->reason = reason;
    return false;
}

static bool read_head(struct scanner *s, struct slu_cbor_head *h)
{
    if (s->at == s->end)
        return fail(s, "the item is not complete");
    if (!slu_cbor_head(slu_bytes(s->at, (size_t)(s->end - s->at)), h))
        return fail(s, "malformed, or claims more than there is");
    if (h->type == SLU_CBOR_TEXT && !h->indefinite && !slu_utf8_valid(h->content))
        return fail(s, "text is not UTF-8");
    return true;
}

static bool skip_chunks(struct scanner *s, enum slu_cbor_type type)
{
    struct slu_cbor_head h;

    for (;;) {
        if (!read_head(s, &h))
            return false;
        if (h.type != SLU_CBOR_BREAK && (h.type != type || h.indefinite))
            return fail(s, "a chunk of another kind in a string");
        s->at += h.size;
        if (h.type == SLU_CBOR_BREAK)
            return true;
    }
}

static bool open_level(struct scanner *s, const struct slu_cbor_head *h)
{
    struct level l = { .indefinite = h->indefinite, .is_map = h->type == SLU_CBOR_MAP };

    if (s->depth == s->limit)
        return fail(s, "nested too deeply");
    if (!h->indefinite)
        l.left = h->type == SLU_CBOR_TAG ? 1 : l.is_map ? h->number * 2 : h->number;
    s->levels[s->depth++] = l;
    return true;
}

static bool close_by_break(struct scanner *s)
{
    struct level *top = s->depth ? &s->levels[s->depth - 1] : NULL;

    if (!top || !top->indefinite)
        return fail(s, "a break outside of an indefinite item");
    if (top->is_map && top->left % 2)
        return fail(s, "a map key without a value");
    s->depth--;
    return true;
}

/* An item ended: so do all definite levels that it was the last of. */
static void item_done(struct scanner *s)
{
    while (s->depth) {
        struct level *top = &s->levels[s->depth - 1];
        if (top->indefinite) {
            top->left++;
            return;
        }
        if (--top->left)
            return;
        s->depth--;
    }
}

static bool is_nonempty_container(const struct slu_cbor_head *h)
{
    if (h->type == SLU_CBOR_TAG)
        return true;
    return (h->type == SLU_CBOR_ARRAY || h->type == SLU_CBOR_MAP) && (h->indefinite || h->number);
}

/* From s->at over one item. */
static bool skip_item(struct scanner *s)
{
    struct slu_cbor_head h;

    do {
        if (!read_head(s, &h))
            return false;
        if (h.type == SLU_CBOR_BREAK && !close_by_break(s))
            return false;
        if (is_nonempty_container(&h)) {
            if (!open_level(s, &h))
                return false;
            s->at += h.size;
            continue;
        }
        s->at += h.size;
        if (h.indefinite && !skip_chunks(s, h.type))
            return false;
        item_done(s);
    } while (s->depth);
    return true;
}

/* `above` containers are open around what is scanned. */
static void begin(struct scanner *s, struct slu_bytes in, unsigned above)
{
    s->start = s->at = in.data ? in.data : (const uint8_t *)"";
    s->end = s->at + (in.data ? in.len : 0);
    s->reason = NULL;
    s->depth = 0;
    s->limit = SLU_CBOR_DEPTH - above;
}

static bool report(const struct scanner *s, struct slu_cbor_error *err)
{
    if (err) {
        err->reason = s->reason;
        err->offset = (size_t)(s->at - s->start);
    }
    return false;
}

bool slu_cbor_scan(struct slu_bytes in, size_t *size, struct slu_cbor_error *err)
{
    struct scanner s;

    begin(&s, in, 0);
    if (!skip_item(&s))
        return report(&s, err);
    *size = (size_t)(s.at - s.start);
    return true;
}

bool slu_cbor_is_item(struct slu_bytes in, struct slu_cbor_error *err)
{
    struct scanner s;

    begin(&s, in, 0);
    if (skip_item(&s) && s.at != s.end)
        fail(&s, "more bytes behind the item");
    return s.reason ? report(&s, err) : true;
}

/* ---- maps and arrays ---- */

static bool read_key(struct scanner *s, struct slu_cbor_member *m)
{
    const uint8_t *start = s->at;
    struct slu_cbor_head h;

    if (!read_head(s, &h) || !skip_item(s))
        return false;
    *m = (struct slu_cbor_member){ .key_type = h.type, .key = slu_bytes(start, (size_t)(s->at - start)) };
    if (h.type == SLU_CBOR_UINT)
        m->number = h.number;
    else if (h.type == SLU_CBOR_TEXT)
        m->text = h.content;
    return true;
}

static bool read_value(struct scanner *s, struct slu_cbor_member *m)
{
    const uint8_t *start = s->at;

    if (!skip_item(s))
        return false;
    m->value = slu_bytes(start, (size_t)(s->at - start));
    return true;
}

static struct slu_bytes key_identity(const struct slu_cbor_member *m)
{
    switch (m->key_type) {
    case SLU_CBOR_UINT:
        return slu_bytes(&m->number, sizeof(m->number));
    case SLU_CBOR_TEXT:
        return m->text;
    default:
        return m->key;
    }
}

static bool is_duplicate(struct slu_cbor_member *members, size_t n)
{
    struct slu_cbor_member *m = &members[n];

    m->hash = slu_hash(key_identity(m));
    for (size_t i = 0; i < n; i++)
        if (members[i].hash == m->hash && members[i].key_type == m->key_type &&
            slu_bytes_eq(key_identity(&members[i]), key_identity(m)))
            return true;
    return false;
}

static bool scan_member(struct scanner *s, struct slu_cbor_member *members, size_t n)
{
    struct slu_cbor_member *m = &members[n];
    const uint8_t *start = s->at;

    if (!read_key(s, m))
        return false;
    if ((m->key_type == SLU_CBOR_TEXT || m->key_type == SLU_CBOR_BYTES) && (start[0] & 0x1f) == 0x1f)
        return fail(s, "a map key in chunks");
    if (is_duplicate(members, n))
        return fail(s, "a map key stands twice");
    return read_value(s, m);
}

bool slu_cbor_scan_map(struct slu_bytes in, struct slu_cbor_member *members, size_t cap, size_t *n,
                       struct slu_cbor_error *err)
{
    struct scanner s;
    struct slu_cbor_head map;
    size_t count = 0;

    begin(&s, in, 1);
    if (!read_head(&s, &map))
        return report(&s, err);
    if (map.type != SLU_CBOR_MAP) {
        fail(&s, "expected a map");
        return report(&s, err);
    }
    s.at += map.size;
    for (; map.indefinite || count < map.number; count++) {
        if (map.indefinite && s.at < s.end && *s.at == 0xff) {
            s.at++;
            break;
        }
        if (count == cap) {
            fail(&s, "too many pairs");
            return report(&s, err);
        }
        if (!scan_member(&s, members, count))
            return report(&s, err);
    }
    if (s.at != s.end) {
        fail(&s, "more bytes behind the map");
        return report(&s, err);
    }
    *n = count;
    return true;
}

bool slu_cbor_iter_init(struct slu_cbor_iter *it, struct slu_bytes item)
{
    struct slu_cbor_head h;

    *it = (struct slu_cbor_iter){ 0 };
    if (!slu_cbor_head(item, &h) || (h.type != SLU_CBOR_ARRAY && h.type != SLU_CBOR_MAP))
        return false;
    it->at = item.data + h.size;
    it->end = item.data + item.len;
    it->left = h.number;
    it->indefinite = h.indefinite;
    return true;
}

/* Whether another element (or pair) follows. */
static bool iter_step(struct slu_cbor_iter *it, struct scanner *s)
{
    if (it->at == it->end || (it->indefinite ? *it->at == 0xff : it->left == 0))
        return false;
    it->left--;
    begin(s, slu_bytes(it->at, (size_t)(it->end - it->at)), 1);
    return true;
}

bool slu_cbor_next(struct slu_cbor_iter *it, struct slu_bytes *item)
{
    struct scanner s;

    if (!iter_step(it, &s))
        return false;
    if (!skip_item(&s)) {
        it->at = it->end;
        return false;
    }
    *item = slu_bytes(it->at, (size_t)(s.at - it->at));
    it->at = s.at;
    return true;
}

bool slu_cbor_next_member(struct slu_cbor_iter *it, struct slu_cbor_member *out)
{
    struct scanner s;

    if (!iter_step(it, &s))
        return false;
    if (!read_key(&s, out) || !read_value(&s, out)) {
        it->at = it->end;
        return false;
    }
    it->at = s.at;
    return true;
}

bool slu_cbor_find(struct slu_bytes map, struct slu_bytes key, struct slu_bytes *value)
{
    struct slu_cbor_iter it;
    struct slu_cbor_member m;
    bool found = false;

    if (slu_cbor_type(map) != SLU_CBOR_MAP || !slu_cbor_iter_init(&it, map))
        return false;
    while (slu_cbor_next_member(&it, &m)) {
        if (m.key_type != SLU_CBOR_TEXT || !slu_bytes_eq(m.text, key))
            continue;
        *value = m.value;
        found = true;
    }
    return found;
}
