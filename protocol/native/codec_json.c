/* sluice.v1.json: frames as JSON objects. */
#include "protocol/native/wire.h"

#include "broker/base/json.h"
#include "protocol/payload.h"

enum { MEMBERS = 64 };

static struct slu_wire_value wire_value(const struct slu_json_value *v)
{
    static const enum slu_wire_type types[] = {
        [SLU_JSON_OBJECT] = SLU_WIRE_MAP,    [SLU_JSON_ARRAY] = SLU_WIRE_LIST, [SLU_JSON_STRING] = SLU_WIRE_TEXT,
        [SLU_JSON_NUMBER] = SLU_WIRE_NUMBER, [SLU_JSON_TRUE] = SLU_WIRE_BOOL,  [SLU_JSON_FALSE] = SLU_WIRE_BOOL,
        [SLU_JSON_NULL] = SLU_WIRE_NULL,
    };
    return (struct slu_wire_value){ types[v->type], v->escaped, v->type == SLU_JSON_TRUE, v->raw };
}

static struct slu_json_value json_value(const struct slu_wire_value *v)
{
    enum slu_json_type type = v->type == SLU_WIRE_TEXT     ? SLU_JSON_STRING
                              : v->type == SLU_WIRE_NUMBER ? SLU_JSON_NUMBER
                                                           : SLU_JSON_NULL;
    return (struct slu_json_value){ type, v->escaped, v->raw };
}

static bool scan(struct slu_bytes in, struct slu_wire_member *members, size_t cap, size_t *n, const char **why)
{
    struct slu_json_member found[MEMBERS];
    struct slu_json_error err;

    if (!slu_json_scan_object(in, found, cap < MEMBERS ? cap : MEMBERS, n, &err)) {
        *why = err.reason;
        return false;
    }
    for (size_t i = 0; i < *n; i++) {
        members[i] = (struct slu_wire_member){ .has_text = true,
                                               .escaped = found[i].key_escaped,
                                               .text = found[i].key,
                                               .value = wire_value(&found[i].value) };
    }
    return true;
}

static bool find(struct slu_bytes in, enum slu_name name, struct slu_wire_value *out)
{
    struct slu_json_value v;

    if (!slu_json_scan(in, &v, NULL) || v.type != SLU_JSON_OBJECT)
        return false;
    *out = (struct slu_wire_value){ .type = SLU_WIRE_OTHER };
    if (slu_json_find(in, slu_names[name].text, &v))
        *out = wire_value(&v);
    return true;
}

static bool read_int(const struct slu_wire_value *v, int64_t *out)
{
    struct slu_json_value json = json_value(v);
    return slu_json_i64(&json, out);
}

static bool read_double(const struct slu_wire_value *v, double *out)
{
    struct slu_json_value json = json_value(v);
    return slu_json_double(&json, out);
}

static bool read_text(const struct slu_wire_value *v, struct slu_buf *scratch, struct slu_bytes *out)
{
    struct slu_json_value json = json_value(v);
    return slu_json_string(&json, scratch, out);
}

static bool read_payload(const struct slu_wire_value *v, struct slu_buf *scratch, struct slu_payload_value *out)
{
    (void)scratch;
    *out =
        (struct slu_payload_value){ v->raw, v->type == SLU_WIRE_TEXT ? SLU_KIND_TEXT : SLU_KIND_JSON, SLU_FORM_JSON };
    return true;
}

static bool read_binary(const struct slu_wire_value *v, struct slu_buf *scratch, struct slu_bytes *out)
{
    size_t before = scratch->len;
    struct slu_bytes text;

    return read_text(v, scratch, &text) && slu_wire_base64(scratch, before, text, out);
}

static bool to_json(const struct slu_wire_value *v, struct slu_buf *out)
{
    slu_buf_add_bytes(out, v->raw);
    return !out->failed;
}

static void open_map(struct slu_buf *out)
{
    slu_buf_add_byte(out, '{');
}

static void close_map(struct slu_buf *out, size_t opened_at, unsigned members)
{
    (void)opened_at;
    (void)members;
    slu_buf_add_byte(out, '}');
}

static void open_list(struct slu_buf *out, size_t items)
{
    (void)items;
    slu_buf_add_byte(out, '[');
}

static void close_list(struct slu_buf *out)
{
    slu_buf_add_byte(out, ']');
}

static void next_item(struct slu_buf *out, size_t index)
{
    if (index)
        slu_buf_add_byte(out, ',');
}

static void key(struct slu_buf *out, enum slu_name name, unsigned index)
{
    struct slu_bytes text = slu_names[name].text;
    uint8_t *to = slu_buf_reserve(out, text.len + 4);

    if (!to)
        return;
    if (index)
        *to++ = ',';
    *to++ = '"';
    memcpy(to, text.data, text.len); /* names are plain */
    to += text.len;
    *to++ = '"';
    *to++ = ':';
    out->len = (size_t)(to - out->data);
}

static void text_key(struct slu_buf *out, struct slu_bytes text, unsigned index)
{
    next_item(out, index);
    slu_json_add_string(out, text);
    slu_buf_add_byte(out, ':');
}

static void payload(struct slu_buf *out, const struct slu_msg *m, unsigned index)
{
    enum slu_payload_shape shape = slu_payload_json_shape(m);

    key(out, shape == SLU_PAYLOAD_BYTES ? SLU_NAME_DATA64 : SLU_NAME_DATA, index);
    slu_payload_add_json(out, m, shape);
}

static void boolean(struct slu_buf *out, bool v)
{
    slu_buf_add_str(out, v ? "true" : "false");
}

const struct slu_wire slu_wire_json = {
    .name = "sluice.v1.json",
    .is_text = true,
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
    .text = slu_json_add_string,
    .integer = slu_buf_add_i64,
    .number = slu_buf_add_u64,
    .boolean = boolean,
    .payload = payload,
};
