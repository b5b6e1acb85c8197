/* How values are written: numbers below 2^53 as such (every reader of JSON has them exactly), the serial of a publisher as
 * text; bytes as a text where they are UTF-8, otherwise under the same name with "64" behind it, in base64. A payload that
 * is JSON stands verbatim in `data`, if it is one line and no deeper than a line may be. */
#include "storage/sqlite/line.h"

#include "broker/base/base64.h"
#include "broker/base/json.h"
#include "broker/base/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum field_kind { NUMBER, SERIAL, BOOL, WORD, TEXT, HEADERS, PAYLOAD };
enum {
    MEMBERS_MAX = 32,
    LEN_BYTES = 2,
    PART_MAX = 65535,
    TEXT_MAX = 1 << 20, /* a longer one goes in base64, which no escaping makes six times as long */
};

struct field {
    const char *name; /* NULL ends a table */
    enum field_kind kind;
    size_t at;
    unsigned has;             /* 0: it must be there */
    const char *const *words; /* of WORD, ended by NULL: the value is the index */
};

#define AT(member) offsetof(struct sql_line, member)
#define FIELD(member)                        \
    {                                        \
#member, NUMBER, AT(member), 0, NULL \
    }
#define FIELD_IF(member, kind, if)          \
    {                                       \
#member, kind, AT(member), if, NULL \
    }
#define FIELD_END                \
    {                            \
        NULL, NUMBER, 0, 0, NULL \
    }

/* In the order of the numbers that the database has for them. */
static const char *const kinds[] = { "json", "text", "binary", "untyped", NULL };
static const char *const forms[] = { "raw", "json", "cbor", NULL };

#define MESSAGE_FIELDS                                                                             \
    FIELD(seq), FIELD(offset), FIELD(ts), FIELD_IF(expires, NUMBER, SQL_HAS_EXPIRES), FIELD(size), \
        { "kind", WORD, AT(kind), 0, kinds }, { "form", WORD, AT(form), 0, forms }, FIELD(flags),  \
        FIELD_IF(publisher, SERIAL, SQL_HAS_PUBLISHER), FIELD_IF(key, TEXT, SQL_HAS_KEY),          \
        FIELD_IF(reply, TEXT, SQL_HAS_REPLY), FIELD_IF(headers, HEADERS, SQL_HAS_HEADERS),         \
        FIELD_IF(payload, PAYLOAD, SQL_HAS_PAYLOAD), FIELD_END

static const struct field head_fields[] = {
    FIELD(version),
    FIELD_IF(filter, TEXT, SQL_HAS_FILTER),
    FIELD_IF(cursor_epoch, NUMBER, SQL_HAS_CURSOR_EPOCH),
    FIELD(generation),
    FIELD_END,
};
static const struct field topic_fields[] = {
    { "topic", TEXT, AT(topic), 0, NULL },
    FIELD(epoch),
    FIELD(head),
    FIELD(first),
    FIELD(bytes),
    FIELD(born_seq),
    FIELD(floor_seq),
    FIELD(trimmed_seq),
    FIELD(max_count),
    FIELD(max_bytes),
    FIELD(max_age_ms),
    { "last_value", BOOL, AT(last_value), 0, NULL },
    FIELD_END,
};
static const struct field message_fields[] = {
    { "topic", TEXT, AT(topic), 0, NULL },
    FIELD(epoch),
    FIELD_IF(max_ts, NUMBER, SQL_HAS_MAX_TS),
    MESSAGE_FIELDS,
};
static const struct field retained_fields[] = { { "topic", TEXT, AT(topic), 0, NULL }, FIELD(place), MESSAGE_FIELDS };
static const struct field mirror_fields[] = { { "topic", TEXT, AT(topic), 0, NULL }, MESSAGE_FIELDS };
static const struct field state_fields[] = {
    { "key", TEXT, AT(key), 0, NULL },    FIELD(generation), FIELD_IF(expires, NUMBER, SQL_HAS_EXPIRES),
    FIELD_IF(value, TEXT, SQL_HAS_VALUE), FIELD_END,
};
static const struct field gone_fields[] = { FIELD(bucket), FIELD(seq), FIELD_END };
static const struct field rebirth_fields[] = { FIELD(bucket), FIELD(generation), FIELD_END };
static const struct field end_fields[] = { FIELD(topics), FIELD(messages), FIELD(retained),
                                           FIELD(states), FIELD(left_out), FIELD_END };

static const struct {
    const char *name;
    const struct field *fields;
} types[] = {
    [SQL_LINE_HEAD] = { "sluice-export", head_fields },
    [SQL_LINE_TOPIC] = { "topic", topic_fields },
    [SQL_LINE_MESSAGE] = { "message", message_fields },
    [SQL_LINE_RETAINED] = { "retained", retained_fields },
    [SQL_LINE_MIRROR] = { "mirror", mirror_fields },
    [SQL_LINE_STATE] = { "state", state_fields },
    [SQL_LINE_GONE] = { "gone", gone_fields },
    [SQL_LINE_REBIRTH] = { "rebirth", rebirth_fields },
    [SQL_LINE_END] = { "end", end_fields },
};

static uint64_t *number_at(struct sql_line *l, const struct field *f)
{
    return (uint64_t *)(void *)((char *)l + f->at);
}

static struct slu_bytes *bytes_at(struct sql_line *l, const struct field *f)
{
    return (struct slu_bytes *)(void *)((char *)l + f->at);
}

/* ---- writing ---- */

static void add_name(struct slu_buf *out, const char *name, const char *more)
{
    slu_buf_addf(out, ",\"%s%s\":", name, more);
}

static bool is_text(struct slu_bytes v)
{
    return v.len <= TEXT_MAX && slu_utf8_valid(v);
}

static void add_text(struct slu_buf *out, const char *name, struct slu_bytes v)
{
    if (is_text(v)) {
        add_name(out, name, "");
        slu_json_add_string(out, v);
        return;
    }
    add_name(out, name, "64");
    slu_buf_add_byte(out, '"');
    slu_buf_add_base64(out, v);
    slu_buf_add_byte(out, '"');
}

static bool next_part(struct slu_bytes *rest, struct slu_bytes *part)
{
    if (rest->len < LEN_BYTES)
        return false;
    size_t len = (size_t)rest->data[0] | (size_t)rest->data[1] << 8;
    if (rest->len - LEN_BYTES < len)
        return false;
    *part = slu_bytes(rest->data + LEN_BYTES, len);
    *rest = slu_bytes(rest->data + LEN_BYTES + len, rest->len - LEN_BYTES - len);
    return slu_utf8_valid(*part);
}

/* Pairs of name and value, each behind a 16-bit length (little endian), as messages carry them. */
static bool add_pairs(struct slu_buf *out, struct slu_bytes v)
{
    const char *before = "[";
    slu_buf_add_byte(out, '[');
    while (v.len) {
        struct slu_bytes name, value;
        if (!next_part(&v, &name) || !next_part(&v, &value))
            return false;
        slu_buf_add_str(out, before);
        slu_json_add_string(out, name);
        slu_buf_add_byte(out, ',');
        slu_json_add_string(out, value);
        slu_buf_add_byte(out, ']');
        before = ",[";
    }
    slu_buf_add_byte(out, ']');
    return true;
}

static void add_headers(struct slu_buf *out, const char *name, struct slu_bytes v)
{
    size_t start = out->len;
    add_name(out, name, "");
    if (add_pairs(out, v))
        return;
    out->len = start;
    add_name(out, name, "64");
    slu_buf_add_byte(out, '"');
    slu_buf_add_base64(out, v);
    slu_buf_add_byte(out, '"');
}

/* One valid token without anything around it, on one line. */
static bool is_plain_json(struct slu_bytes v)
{
    struct slu_json_value whole;
    return v.len && !memchr(v.data, '\n', v.len) && !memchr(v.data, '\r', v.len) && slu_utf8_valid(v) &&
           slu_json_scan(v, &whole, NULL) && whole.raw.len == v.len;
}

static void add_payload(struct slu_buf *out, const struct sql_line *l, bool as_data)
{
    if (as_data) {
        add_name(out, "data", "");
        slu_buf_add_bytes(out, l->payload);
        return;
    }
    bool as_text = l->kind != 2 && l->form == 0 && is_text(l->payload);
    add_name(out, as_text ? "text" : "data64", "");
    if (as_text) {
        slu_json_add_string(out, l->payload);
        return;
    }
    slu_buf_add_byte(out, '"');
    slu_buf_add_base64(out, l->payload);
    slu_buf_add_byte(out, '"');
}

static bool add_word(struct slu_buf *out, const struct field *f, uint64_t v)
{
    for (uint64_t i = 0; f->words[i]; i++) {
        if (i == v) {
            add_name(out, f->name, "");
            slu_json_add_str(out, f->words[i]);
            return true;
        }
    }
    return false;
}

static bool add_field(struct slu_buf *out, struct sql_line *l, const struct field *f, bool as_data)
{
    switch (f->kind) {
    case NUMBER:
        slu_buf_addf(out, ",\"%s\":%" PRIu64, f->name, *number_at(l, f));
        return *number_at(l, f) < SLU_JSON_INT_LIMIT;
    case SERIAL:
        slu_buf_addf(out, ",\"%s\":\"%" PRIu64 "\"", f->name, *number_at(l, f));
        return true;
    case BOOL:
        slu_buf_addf(out, ",\"%s\":%s", f->name, *(bool *)((char *)l + f->at) ? "true" : "false");
        return true;
    case WORD:
        return add_word(out, f, *number_at(l, f));
    case TEXT:
        add_text(out, f->name, *bytes_at(l, f));
        return true;
    case HEADERS:
        add_headers(out, f->name, *bytes_at(l, f));
        return true;
    case PAYLOAD:
        add_payload(out, l, as_data);
        return true;
    }
    return false;
}

static bool write_as(struct slu_buf *out, struct sql_line *l, bool as_data)
{
    slu_buf_addf(out, "{\"type\":\"%s\"", types[l->type].name);
    for (const struct field *f = types[l->type].fields; f->name; f++) {
        if (f->has && !(l->has & f->has))
            continue;
        if (!add_field(out, l, f, as_data))
            return false;
    }
    slu_buf_add_byte(out, '}');
    return !out->failed;
}

bool sql_line_write(struct slu_buf *out, const struct sql_line *line)
{
    struct sql_line l = *line;
    struct slu_json_member members[MEMBERS_MAX];
    size_t start = out->len, n;
    bool as_data = l.form == 1 && l.has & SQL_HAS_PAYLOAD && is_plain_json(l.payload);
    bool ok = write_as(out, &l, as_data);
    /* a payload that is as deep as one may be has no room for the line around it */
    if (ok && as_data &&
        !slu_json_scan_object(slu_bytes(out->data + start, out->len - start), members, MEMBERS_MAX, &n, NULL)) {
        out->len = start;
        ok = write_as(out, &l, false);
    }
    if (ok)
        slu_buf_add_byte(out, '\n');
    else
        out->len = start;
    return ok && !out->failed;
}

/* ---- reading ---- */

/* Decoding never needs more room than its text, so scratch does not move and earlier results stay valid. */
static struct slu_bytes since(const struct slu_buf *scratch, size_t start)
{
    return slu_bytes(scratch->data + start, scratch->len - start);
}

static bool read_string(const struct slu_json_value *v, struct slu_buf *scratch, struct slu_bytes *out)
{
    bool lossy = false;
    size_t start = scratch->len;
    if (v->type != SLU_JSON_STRING)
        return false;
    slu_json_unescape(slu_json_inner(v), scratch, &lossy);
    *out = since(scratch, start);
    return !lossy && !scratch->failed;
}

static bool read_base64(const struct slu_json_value *v, struct slu_buf *scratch, struct slu_bytes *out)
{
    struct slu_bytes text;
    size_t n;
    if (v->type != SLU_JSON_STRING || v->escaped)
        return false;
    text = slu_json_inner(v);
    uint8_t *to = slu_base64_decoded_size(text, &n) ? slu_buf_reserve(scratch, n) : NULL;
    if (!to || !slu_base64_decode(to, text))
        return false;
    *out = slu_bytes(to, n);
    scratch->len += n;
    return true;
}

static bool read_serial(const struct slu_json_value *v, uint64_t *out)
{
    char digits[24] = "";
    struct slu_bytes text = v->type == SLU_JSON_STRING ? slu_json_inner(v) : slu_bytes("", 0);
    if (text.len == 0 || text.len >= sizeof(digits) ||
        strspn(memcpy(digits, text.data, text.len), "0123456789") < text.len)
        return false;
    errno = 0;
    *out = strtoull(digits, NULL, 10);
    return errno == 0;
}

static bool read_part(struct slu_json_iter *it, struct slu_buf *scratch)
{
    struct slu_json_value v;
    struct slu_bytes text;
    size_t start = scratch->len;
    slu_buf_add(scratch, "\0\0", LEN_BYTES);
    if (!slu_json_next(it, &v) || !read_string(&v, scratch, &text) || text.len > PART_MAX)
        return false;
    scratch->data[start] = (uint8_t)(text.len & 0xff);
    scratch->data[start + 1] = (uint8_t)(text.len >> 8);
    return true;
}

static bool read_pairs(const struct slu_json_value *v, struct slu_buf *scratch, struct slu_bytes *out)
{
    struct slu_json_iter pairs, pair;
    struct slu_json_value one, more;
    size_t start = scratch->len;
    if (v->type != SLU_JSON_ARRAY)
        return false;
    slu_json_iter_init(&pairs, v->raw);
    while (slu_json_next(&pairs, &one)) {
        if (one.type != SLU_JSON_ARRAY)
            return false;
        slu_json_iter_init(&pair, one.raw);
        if (!read_part(&pair, scratch) || !read_part(&pair, scratch) || slu_json_next(&pair, &more))
            return false;
    }
    *out = since(scratch, start);
    return !scratch->failed;
}

static bool read_word(const struct slu_json_value *v, const struct field *f, uint64_t *out)
{
    for (uint64_t i = 0; f->words[i]; i++) {
        if (slu_json_string_is(v, slu_str(f->words[i]))) {
            *out = i;
            return true;
        }
    }
    return false;
}

/* The names under which a field may stand; `in64`: its bytes are in base64. */
static bool is_named(const struct field *f, struct slu_bytes key, bool *in64)
{
    char name64[32];
    snprintf(name64, sizeof(name64), "%s64", f->kind == PAYLOAD ? "data" : f->name);
    *in64 = f->kind >= TEXT && slu_bytes_eq(key, slu_str(name64));
    if (f->kind == PAYLOAD)
        return *in64 || slu_bytes_eq(key, SLU_LIT("data")) || slu_bytes_eq(key, SLU_LIT("text"));
    return *in64 || slu_bytes_eq(key, slu_str(f->name));
}

static bool read_field(struct sql_line *l, const struct field *f, const struct slu_json_member *m, bool in64,
                       struct slu_buf *scratch)
{
    const struct slu_json_value *v = &m->value;
    if (in64)
        return read_base64(v, scratch, bytes_at(l, f));
    switch (f->kind) {
    case NUMBER:
        return v->type == SLU_JSON_NUMBER && slu_json_u64(v, number_at(l, f));
    case SERIAL:
        return read_serial(v, number_at(l, f));
    case BOOL:
        *(bool *)((char *)l + f->at) = v->type == SLU_JSON_TRUE;
        return v->type == SLU_JSON_TRUE || v->type == SLU_JSON_FALSE;
    case WORD:
        return read_word(v, f, number_at(l, f));
    case TEXT:
        return read_string(v, scratch, bytes_at(l, f));
    case HEADERS:
        return read_pairs(v, scratch, bytes_at(l, f));
    case PAYLOAD:
        if (slu_json_key_is(m, SLU_LIT("text")))
            return read_string(v, scratch, bytes_at(l, f));
        *bytes_at(l, f) = v->raw;
        return true;
    }
    return false;
}

static bool wrong(struct slu_buf *why, const char *what, const char *name, size_t len)
{
    slu_buf_addf(why, "%s \"%.*s\"", what, (int)(len < 64 ? len : 64), name);
    return false;
}

/* seen: one bit for each field, in the table's order. */
static bool take_member(struct sql_line *l, const struct slu_json_member *m, uint64_t *seen, struct slu_buf *scratch,
                        struct slu_buf *why)
{
    const struct field *fields = types[l->type].fields;
    for (size_t i = 0; fields[i].name; i++) {
        bool in64;
        if (!is_named(&fields[i], m->key, &in64))
            continue;
        if (*seen & UINT64_C(1) << i)
            return wrong(why, "it has more than one", fields[i].name, strlen(fields[i].name));
        *seen |= UINT64_C(1) << i;
        l->has |= fields[i].has;
        return read_field(l, &fields[i], m, in64, scratch) ||
               wrong(why, "it has no valid value for", (const char *)m->key.data, m->key.len);
    }
    return wrong(why, "it has an unknown member", (const char *)m->key.data, m->key.len);
}

static bool take_type(struct sql_line *l, const struct slu_json_member *members, size_t n, struct slu_buf *why)
{
    for (size_t i = 0; i < n; i++) {
        if (!slu_json_key_is(&members[i], SLU_LIT("type")))
            continue;
        for (int t = 0; t < SQL_LINE_TYPES; t++) {
            if (slu_json_string_is(&members[i].value, slu_str(types[t].name))) {
                l->type = (enum sql_line_type)t;
                return true;
            }
        }
    }
    slu_buf_add_str(why, "it has no known \"type\"");
    return false;
}

bool sql_line_read(struct slu_bytes text, struct slu_buf *scratch, struct sql_line *l, struct slu_buf *why)
{
    struct slu_json_member members[MEMBERS_MAX];
    struct slu_json_error error;
    uint64_t seen = 0;
    size_t n;
    *l = (struct sql_line){ 0 };
    slu_buf_clear(scratch);
    if (!slu_utf8_valid(text)) {
        slu_buf_add_str(why, "it is not UTF-8");
        return false;
    }
    if (!slu_json_scan_object(text, members, MEMBERS_MAX, &n, &error)) {
        slu_buf_addf(why, "it is no JSON object: %s at byte %zu", error.reason, error.offset + 1);
        return false;
    }
    if (!slu_buf_reserve(scratch, text.len + 1)) {
        slu_buf_add_str(why, "out of memory");
        return false;
    }
    if (!take_type(l, members, n, why))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!slu_json_key_is(&members[i], SLU_LIT("type")) && !take_member(l, &members[i], &seen, scratch, why))
            return false;
    }
    const struct field *fields = types[l->type].fields;
    for (size_t i = 0; fields[i].name; i++) {
        if (!fields[i].has && !(seen & UINT64_C(1) << i))
            return wrong(why, "it lacks", fields[i].name, strlen(fields[i].name));
    }
    return true;
}
