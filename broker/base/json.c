/* The JSON scanner: one pass, no recursion, no allocation. Open containers are one bit each in a small bit stack.
 * Strings and runs of plain text are looked at eight bytes at a time. Nothing here trusts the input: every read is
 * bounded by `end`, whatever the bytes are. */
#include "broker/base/json.h"

#include "broker/base/map.h"

#include <endian.h>

struct scanner {
    const uint8_t *end;
    const uint8_t *error_at;
    const char *reason; /* set with error_at when a step returned NULL */
    size_t members;
};

static const uint8_t *fail(struct scanner *s, const uint8_t *at, const char *reason)
{
    s->error_at = at;
    s->reason = reason;
    return NULL;
}

static const uint8_t *skip_space(const uint8_t *p, const uint8_t *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

/* First of the next bytes that is a quote, a backslash or a control character, or end. */
static const uint8_t *skip_plain(const uint8_t *p, const uint8_t *end)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = UINT64_C(0x8080808080808080);

    while (end - p >= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        w = le64toh(w);
        uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');
        /* Borrows make bytes above a hit unreliable, never the lowest hit, and only that one is used. */
        uint64_t hit = ((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((w - ones * 0x20) & ~w);
        hit &= high;
        if (hit)
            return p + (__builtin_ctzll(hit) >> 3);
        p += 8;
    }
    while (p < end && *p != '"' && *p != '\\' && *p >= 0x20)
        p++;
    return p;
}

static bool is_hex(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* p is at the backslash. */
static const uint8_t *skip_escape(struct scanner *s, const uint8_t *p)
{
    if (s->end - p < 2)
        return fail(s, p, "string is not closed");
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return p + 2;
    case 'u':
        if (s->end - p < 6)
            return fail(s, p, "string is not closed");
        if (!is_hex(p[2]) || !is_hex(p[3]) || !is_hex(p[4]) || !is_hex(p[5]))
            return fail(s, p, "\\u needs four hexadecimal digits");
        return p + 6;
    default:
        return fail(s, p, "unknown escape in string");
    }
}

/* p is at the opening quote; the result is behind the closing one. */
static const uint8_t *skip_string(struct scanner *s, const uint8_t *p, bool *escaped)
{
    const uint8_t *open = p++;

    *escaped = false;
    for (;;) {
        p = skip_plain(p, s->end);
        if (p == s->end)
            return fail(s, open, "string is not closed");
        if (*p == '"')
            return p + 1;
        if (*p != '\\')
            return fail(s, p, "control character in string");
        *escaped = true;
        p = skip_escape(s, p);
        if (!p)
            return NULL;
    }
}

static const uint8_t *skip_digits(const uint8_t *p, const uint8_t *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

static const uint8_t *skip_number(struct scanner *s, const uint8_t *start)
{
    const uint8_t *p = start, *end = s->end, *digits;

    if (*p == '-')
        p++;
    digits = p;
    p = skip_digits(p, end);
    if (p == digits)
        return fail(s, start, "number without digits");
    if (*digits == '0' && p - digits > 1)
        return fail(s, start, "number with a leading zero");
    if (p < end && *p == '.') {
        digits = ++p;
        p = skip_digits(p, end);
        if (p == digits)
            return fail(s, start, "number without digits behind the point");
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        digits = p;
        p = skip_digits(p, end);
        if (p == digits)
            return fail(s, start, "number without digits in the exponent");
    }
    if (p - start > SLU_JSON_NUMBER_LEN)
        return fail(s, start, "number is too long");
    return p;
}

static const uint8_t *skip_literal(struct scanner *s, const uint8_t *p, struct slu_bytes word)
{
    if ((size_t)(s->end - p) < word.len || memcmp(p, word.data, word.len) != 0)
        return fail(s, p, "unexpected character");
    return p + word.len;
}

/* A value without inner structure. */
static const uint8_t *skip_scalar(struct scanner *s, const uint8_t *p, enum slu_json_type *type, bool *escaped)
{
    switch (*p) {
    case '"':
        *type = SLU_JSON_STRING;
        return skip_string(s, p, escaped);
    case 't':
        *type = SLU_JSON_TRUE;
        return skip_literal(s, p, SLU_LIT("true"));
    case 'f':
        *type = SLU_JSON_FALSE;
        return skip_literal(s, p, SLU_LIT("false"));
    case 'n':
        *type = SLU_JSON_NULL;
        return skip_literal(s, p, SLU_LIT("null"));
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        *type = SLU_JSON_NUMBER;
        return skip_number(s, p);
    default:
        return fail(s, p, "unexpected character");
    }
}

/* A member name, the colon and the space around them; the result is at the value. key may be NULL. */
static const uint8_t *skip_key(struct scanner *s, const uint8_t *p, struct slu_json_member *key)
{
    bool escaped;
    const uint8_t *start;

    p = skip_space(p, s->end);
    if (p == s->end || *p != '"')
        return fail(s, p, "expected a member name");
    if (++s->members > SLU_JSON_MEMBERS)
        return fail(s, p, "too many object members");
    start = p + 1;
    p = skip_string(s, p, &escaped);
    if (!p)
        return NULL;
    if (key) {
        key->key = slu_bytes(start, (size_t)(p - start) - 1);
        key->key_escaped = escaped;
    }
    p = skip_space(p, s->end);
    if (p == s->end || *p != ':')
        return fail(s, p, "expected ':'");
    return skip_space(p + 1, s->end);
}

/* The containers that are open inside a value: one bit each, set for objects. */
struct nest {
    uint64_t is_object;
    unsigned depth, limit;
};

_Static_assert(SLU_JSON_DEPTH <= 64, "the bit stack holds 64 containers");

static const uint8_t *nest_open(struct scanner *s, struct nest *n, const uint8_t *p)
{
    bool is_object = *p == '{';

    if (n->depth == n->limit)
        return fail(s, p, "nested too deeply");
    n->is_object = n->is_object << 1 | is_object;
    n->depth++;
    return skip_space(p + 1, s->end);
}

static void nest_close(struct nest *n)
{
    n->is_object >>= 1;
    n->depth--;
}

/* Behind a value inside a container: closes what ends here. The result is at the next value, or behind the outermost
 * container with n->depth 0. */
static const uint8_t *skip_ends(struct scanner *s, struct nest *n, const uint8_t *p)
{
    while (n->depth) {
        bool is_object = n->is_object & 1;
        p = skip_space(p, s->end);
        if (p == s->end)
            return fail(s, p, is_object ? "object is not closed" : "array is not closed");
        if (*p == ',')
            return is_object ? skip_key(s, p + 1, NULL) : skip_space(p + 1, s->end);
        if (*p != (is_object ? '}' : ']'))
            return fail(s, p, is_object ? "expected ',' or '}'" : "expected ',' or ']'");
        nest_close(n);
        p++;
    }
    return p;
}

/* p is at the value's first byte (or end); the result is behind its last. `above` containers are open around it. */
static const uint8_t *skip_value(struct scanner *s, const uint8_t *p, unsigned above, struct slu_json_value *out)
{
    struct nest n = { .limit = SLU_JSON_DEPTH - above };
    const uint8_t *start = p;
    enum slu_json_type type, ignored = SLU_JSON_NULL;
    bool escaped = false, unused;

    if (p == s->end)
        return fail(s, p, "expected a value");
    type = *p == '{' ? SLU_JSON_OBJECT : SLU_JSON_ARRAY;
    if (*p != '{' && *p != '[') {
        p = skip_scalar(s, p, &type, &escaped);
    } else {
        do {
            if (p == s->end)
                return fail(s, p, "expected a value");
            if (*p == '{' || *p == '[') {
                uint8_t close = *p == '{' ? '}' : ']';
                p = nest_open(s, &n, p);
                if (p && p < s->end && *p == close) {
                    nest_close(&n);
                    p = skip_ends(s, &n, p + 1);
                } else if (p && close == '}') {
                    p = skip_key(s, p, NULL);
                }
            } else {
                p = skip_scalar(s, p, &ignored, &unused);
                if (p)
                    p = skip_ends(s, &n, p);
            }
        } while (p && n.depth);
    }
    if (p)
        *out = (struct slu_json_value){ type, escaped, slu_bytes(start, (size_t)(p - start)) };
    return p;
}

static bool report(const struct scanner *s, const uint8_t *start, struct slu_json_error *err)
{
    if (err) {
        err->reason = s->reason;
        err->offset = start ? (size_t)(s->error_at - start) : 0;
    }
    return false;
}

/* No input means no bytes; pointer arithmetic wants a real address. */
static const uint8_t *begin(struct scanner *s, struct slu_bytes *in)
{
    if (!in->data)
        *in = slu_bytes("", 0);
    *s = (struct scanner){ .end = in->data + in->len };
    return skip_space(in->data, s->end);
}

bool slu_json_scan(struct slu_bytes in, struct slu_json_value *out, struct slu_json_error *err)
{
    struct scanner s;
    struct slu_json_value v;
    const uint8_t *p = begin(&s, &in);

    p = skip_value(&s, p, 0, &v);
    if (!p)
        return report(&s, in.data, err);
    p = skip_space(p, s.end);
    if (p != s.end) {
        fail(&s, p, "more text behind the value");
        return report(&s, in.data, err);
    }
    *out = v;
    return true;
}

bool slu_json_is_container(struct slu_bytes in)
{
    struct slu_json_value v;
    const uint8_t *p = in.data ? skip_space(in.data, in.data + in.len) : NULL;

    if (!p || p == in.data + in.len || (*p != '{' && *p != '['))
        return false;
    return slu_json_scan(in, &v, NULL);
}

/* Hashes the name and compares it with the earlier members': by hash first, so that long equal beginnings cost a client
 * no more of our time than its bytes. */
static bool is_duplicate(struct slu_json_member *members, size_t n)
{
    struct slu_json_member *m = &members[n];
    uint8_t room[SLU_JSON_KEY_LEN];
    struct slu_buf name = { .data = room, .cap = sizeof(room), .max = sizeof(room) };

    if (m->key_escaped)
        slu_json_unescape(m->key, &name, NULL); /* never longer than what was written, so it fits and never grows */
    m->hash = slu_hash(m->key_escaped ? slu_buf_bytes(&name) : m->key);
    for (size_t i = 0; i < n; i++) {
        if (members[i].hash != m->hash)
            continue;
        if (slu_json_key_is(&members[i], m->key_escaped ? slu_buf_bytes(&name) : m->key))
            return true;
    }
    return false;
}

static const uint8_t *scan_member(struct scanner *s, const uint8_t *p, struct slu_json_member *members, size_t n)
{
    struct slu_json_member *m = &members[n];
    const uint8_t *start = p;

    p = skip_key(s, p, m);
    if (!p)
        return NULL;
    if (m->key.len > SLU_JSON_KEY_LEN)
        return fail(s, start, "member name is too long");
    if (is_duplicate(members, n))
        return fail(s, start, "member stands twice");
    return skip_value(s, p, 1, &m->value);
}

bool slu_json_scan_object(struct slu_bytes in, struct slu_json_member *members, size_t cap, size_t *n,
                          struct slu_json_error *err)
{
    struct scanner s;
    size_t count = 0;
    const uint8_t *p = begin(&s, &in);
    bool more;

    if (p == s.end || *p != '{') {
        fail(&s, p, "expected an object");
        return report(&s, in.data, err);
    }
    p = skip_space(p + 1, s.end);
    more = p == s.end || *p != '}';
    while (more) {
        p = skip_space(p, s.end);
        p = count == cap ? fail(&s, p, "too many members") : scan_member(&s, p, members, count);
        if (!p)
            return report(&s, in.data, err);
        count++;
        p = skip_space(p, s.end);
        more = p < s.end && *p == ',';
        if (more)
            p++;
    }
    if (p == s.end || *p != '}') {
        fail(&s, p, p == s.end ? "object is not closed" : "expected ',' or '}'");
        return report(&s, in.data, err);
    }
    p = skip_space(p + 1, s.end);
    if (p != s.end) {
        fail(&s, p, "more text behind the object");
        return report(&s, in.data, err);
    }
    *n = count;
    return true;
}

void slu_json_iter_init(struct slu_json_iter *it, struct slu_bytes container)
{
    struct scanner s;
    const uint8_t *p = begin(&s, &container), *end = s.end;

    *it = (struct slu_json_iter){ .at = end, .end = end };
    if (p != end && (*p == '{' || *p == '[')) {
        it->at = p + 1;
        it->close = *p == '{' ? '}' : ']';
    }
}

/* At the next element, or NULL at the end (and then for good). */
static const uint8_t *iter_step(struct slu_json_iter *it)
{
    const uint8_t *p = skip_space(it->at, it->end);
    bool more = p < it->end && *p != (uint8_t)it->close;

    if (more && it->started) {
        more = *p == ',';
        p++;
    }
    it->started = true;
    it->at = more ? p : it->end;
    return more ? skip_space(p, it->end) : NULL;
}

bool slu_json_next(struct slu_json_iter *it, struct slu_json_value *out)
{
    struct scanner s = { .end = it->end };
    const uint8_t *p = iter_step(it);

    if (p)
        p = skip_value(&s, p, 1, out);
    it->at = p ? p : it->end;
    return p != NULL;
}

bool slu_json_next_member(struct slu_json_iter *it, struct slu_json_member *out)
{
    struct scanner s = { .end = it->end };
    const uint8_t *p = iter_step(it);

    out->hash = 0;
    if (p)
        p = skip_key(&s, p, out);
    if (p)
        p = skip_value(&s, p, 1, &out->value);
    it->at = p ? p : it->end;
    return p != NULL;
}

bool slu_json_find(struct slu_bytes object, struct slu_bytes key, struct slu_json_value *out)
{
    struct slu_json_iter it;
    struct slu_json_member m;
    bool found = false;

    slu_json_iter_init(&it, object);
    if (it.close != '}')
        return false;
    while (slu_json_next_member(&it, &m)) {
        if (!slu_json_key_is(&m, key))
            continue;
        *out = m.value;
        found = true;
    }
    return found;
}
