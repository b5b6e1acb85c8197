/* Forms and kinds meet here, and nowhere else. What a store gives back is looked at again before it is put into a frame
 * as a token: a damaged payload then travels as bytes instead of breaking the frame around it. */
#include "protocol/payload.h"

#include "broker/base/cbor.h"
#include "broker/base/json.h"
#include "broker/base/transcode.h"
#include "broker/base/utf8.h"

static bool is_json(struct slu_bytes v)
{
    struct slu_json_value value;

    return slu_json_scan(v, &value, NULL) && slu_utf8_valid(v);
}

/* What the bytes are good for, whatever the kind claims. */
enum body { BODY_JSON, BODY_CBOR, BODY_TEXT, BODY_BYTES };

static enum body body_of(const struct slu_msg *m)
{
    struct slu_bytes v = m->payload;

    if (m->form == SLU_FORM_JSON)
        return is_json(v) ? BODY_JSON : BODY_BYTES;
    if (m->form == SLU_FORM_CBOR)
        return slu_cbor_is_item(v, NULL) ? BODY_CBOR : BODY_BYTES;
    if (m->kind == SLU_KIND_BINARY)
        return BODY_BYTES;
    if (m->kind == SLU_KIND_JSON && is_json(v))
        return BODY_JSON;
    if (!slu_utf8_valid(v))
        return BODY_BYTES;
    return m->kind == SLU_KIND_UNTYPED && slu_json_is_container(v) ? BODY_JSON : BODY_TEXT;
}

enum slu_payload_shape slu_payload_json_shape(const struct slu_msg *m)
{
    return body_of(m) == BODY_BYTES ? SLU_PAYLOAD_BYTES : SLU_PAYLOAD_VALUE;
}

static void add_base64_string(struct slu_buf *out, struct slu_bytes v)
{
    slu_buf_add_byte(out, '"');
    slu_buf_add_base64(out, v);
    slu_buf_add_byte(out, '"');
}

void slu_payload_add_json(struct slu_buf *out, const struct slu_msg *m, enum slu_payload_shape shape)
{
    size_t before = out->len;

    if (shape == SLU_PAYLOAD_BYTES) {
        add_base64_string(out, m->payload);
        return;
    }
    if (m->form == SLU_FORM_JSON || (m->form == SLU_FORM_RAW && body_of(m) == BODY_JSON)) {
        slu_buf_add_bytes(out, m->payload);
    } else if (m->form == SLU_FORM_RAW) {
        slu_json_add_string(out, m->payload);
    } else if (slu_transcode_cbor_to_json(m->payload, out) == SLU_EBAD_FRAME) {
        /* Not to be said in JSON (a map as a key in a map as a key): the item itself, as base64 text. */
        out->len = before;
        add_base64_string(out, m->payload);
    }
}

void slu_payload_add_cbor(struct slu_buf *out, const struct slu_msg *m)
{
    switch (body_of(m)) {
    case BODY_JSON:
        if (slu_transcode_json_to_cbor(m->payload, out) != SLU_OK)
            out->failed = true;
        break;
    case BODY_CBOR:
        slu_buf_add_bytes(out, m->payload);
        break;
    case BODY_TEXT:
        slu_cbor_add_text(out, m->payload);
        break;
    case BODY_BYTES:
        slu_cbor_add_bytes(out, m->payload);
        break;
    }
}

bool slu_payload_bytes(const struct slu_msg *m, struct slu_buf *scratch, struct slu_bytes *out)
{
    struct slu_json_value v;
    size_t before = scratch->len;

    *out = m->payload;
    if (m->form == SLU_FORM_RAW)
        return true;
    if (m->form == SLU_FORM_JSON) {
        if (m->kind != SLU_KIND_TEXT || !slu_json_scan(m->payload, &v, NULL))
            return true;
        return slu_json_string(&v, scratch, out);
    }
    if (m->kind == SLU_KIND_TEXT)
        return slu_cbor_text(m->payload, scratch, out);
    if (slu_transcode_cbor_to_json(m->payload, scratch) == SLU_EBAD_FRAME) {
        scratch->len = before;
        return true;
    }
    *out = slu_bytes(scratch->data + before, scratch->len - before);
    return !scratch->failed;
}
