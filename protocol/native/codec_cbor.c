/* sluice.v1.cbor: the same frames as CBOR maps; the commonest names are small integers. Maps inside frames follow the
 * same rule for the names that are in the list. */
#include "protocol/native/wire.h"

#include "broker/base/cbor.h"
#include "broker/base/transcode.h"
#include "protocol/payload.h"

enum { MEMBERS = 64 };

static struct slu_wire_value wire_value(struct slu_bytes item)
{
    static const enum slu_wire_type types[] = {
        [SLU_CBOR_UINT] = SLU_WIRE_NUMBER,  [SLU_CBOR_NINT] = SLU_WIRE_NUMBER,    [SLU_CBOR_BYTES] = SLU_WIRE_BYTES,
        [SLU_CBOR_TEXT] = SLU_WIRE_TEXT,    [SLU_CBOR_ARRAY] = SLU_WIRE_LIST,     [SLU_CBOR_MAP] = SLU_WIRE_MAP,
        [SLU_CBOR_TAG] = SLU_WIRE_OTHER,    [SLU_CBOR_FALSE] = SLU_WIRE_BOOL,     [SLU_CBOR_TRUE] = SLU_WIRE_BOOL,
        [SLU_CBOR_NULL] = SLU_WIRE_NULL,    [SLU_CBOR_UNDEFINED] = SLU_WIRE_NULL, [SLU_CBOR_SIMPLE] = SLU_WIRE_OTHER,
        [SLU_CBOR_FLOAT] = SLU_WIRE_NUMBER, [SLU_CBOR_BREAK] = SLU_WIRE_OTHER,
    };
    enum slu_cbor_type type = slu_cbor_type(item);
    bool in_chunks = (type == SLU_CBOR_TEXT || type == SLU_CBOR_BYTES) && (item.data[0] & 0x1f) == 0x1f;

    return (struct slu_wire_value){ types[type], in_chunks, type == SLU_CBOR_TRUE, item };
}

static bool scan(struct slu_bytes in, struct slu_wire_member *members, size_t cap, size_t *n, const char **why)
{
    struct slu_cbor_member found[MEMBERS];
    struct slu_cbor_error err;

    if (!slu_cbor_scan_map(in, found, cap < MEMBERS ? cap : MEMBERS, n, &err)) {
        *why = err.reason;
        return false;
    }
    for (size_t i = 0; i < *n; i++) {
        members[i] = (struct slu_wire_member){ .has_number = found[i].key_type == SLU_CBOR_UINT,
                                               .has_text = found[i].key_type == SLU_CBOR_TEXT,
                                               .number = found[i].number,
                                               .text = found[i].text,
                                               .value = wire_value(found[i].value) };
    }
    return true;
}

static bool find(struct slu_bytes in, enum slu_name name, struct slu_wire_value *out)
{
    struct slu_cbor_iter it;
    struct slu_cbor_member m;

    if (!slu_cbor_is_item(in, NULL) || slu_cbor_type(in) != SLU_CBOR_MAP || !slu_cbor_iter_init(&it, in))
        return false;
    *out = (struct slu_wire_value){ .type = SLU_WIRE_OTHER };
    while (slu_cbor_next_member(&it, &m))
        if (m.key_type == SLU_CBOR_UINT && m.number == (uint64_t)slu_names[name].cbor_key)
            *out = wire_value(m.value);
    return true;
}

static bool read_int(const struct slu_wire_value *v, int64_t *out)
{
    return slu_cbor_i64(v->raw, out);
}

static bool read_double(const struct slu_wire_value *v, double *out)
{
    return slu_cbor_double(v->raw, out);
}

static bool read_text(const struct slu_wire_value *v, struct slu_buf *scratch, struct slu_bytes *out)
{
    return slu_cbor_text(v->raw, scratch, out);
}

static bool read_payload(const struct slu_wire_value *v, struct slu_buf *scratch, struct slu_payload_value *out)
{
    struct slu_bytes bytes;

    if (v->type == SLU_WIRE_BYTES) {
        if (!slu_cbor_bytes(v->raw, scratch, &bytes))
            return false;
        *out = (struct slu_payload_value){ bytes, SLU_KIND_BINARY, SLU_FORM_RAW };
        return true;
    }
    *out =
        (struct slu_payload_value){ v->raw, v->type == SLU_WIRE_TEXT ? SLU_KIND_TEXT : SLU_KIND_JSON, SLU_FORM_CBOR };
    return true;
}

static bool read_binary(const struct slu_wire_value *v, struct slu_buf *scratch, struct slu_bytes *out)
{
    size_t before = scratch->len;
    struct slu_bytes text;

    if (v->type == SLU_WIRE_BYTES)
        return slu_cbor_bytes(v->raw, scratch, out);
    return slu_cbor_text(v->raw, scratch, &text) && slu_wire_base64(scratch, before, text, out);
}

static bool to_json(const struct slu_wire_value *v, struct slu_buf *out)
{
    return slu_transcode_cbor_to_json(v->raw, out) == SLU_OK;
}

/* Frames have fewer than 24 members and headers at most 64: the head is written when they are counted. */
static void open_map(struct slu_buf *out)
{
    slu_buf_add_byte(out, 0xa0);
}

static void close_map(struct slu_buf *out, size_t opened_at, unsigned members)
{
    uint8_t head[9];
    size_t n = slu_cbor_put_head(head, 5, members);

    if (!slu_buf_reserve(out, n))
        return;
    memmove(out->data + opened_at + n, out->data + opened_at + 1, out->len - opened_at - 1);
    memcpy(out->data + opened_at, head, n);
    out->len += n - 1;
}

static void open_list(struct slu_buf *out, size_t items)
{
    slu_cbor_add_array(out, items);
}

static void close_list(struct slu_buf *out)
{
    (void)out;
}

static void next_item(struct slu_buf *out, size_t index)
{
    (void)out;
    (void)index;
}

static void key(struct slu_buf *out, enum slu_name name, unsigned index)
{
    (void)index;
    if (slu_names[name].cbor_key >= 0)
        slu_cbor_add_uint(out, (uint64_t)slu_names[name].cbor_key);
    else
        slu_cbor_add_text(out, slu_names[name].text);
}

static void text_key(struct slu_buf *out, struct slu_bytes text, unsigned index)
{
    (void)index;
    slu_cbor_add_text(out, text);
}

static void payload(struct slu_buf *out, const struct slu_msg *m, unsigned index)
{
    key(out, SLU_NAME_DATA, index);
    slu_payload_add_cbor(out, m);
}

const struct slu_wire slu_wire_cbor = {
    .name = "sluice.v1.cbor",
    .is_text = false,
    .scan = scan,
    .find = find,
    .read_int = read_int,
    .read_double = read_double,
    .read_text = read_text,
    .read_payload = read_payload,
    .read_binary = read_binary,
    .to_json = to_json,
    .open_map = open_map,
    .close_map = close_map,
    .open_list = open_list,
    .close_list = close_list,
    .next_item = next_item,
    .key = key,
    .text_key = text_key,
    .text = slu_cbor_add_text,
    .integer = slu_cbor_add_int,
    .number = slu_cbor_add_uint,
    .boolean = slu_cbor_add_bool,
    .payload = payload,
};
