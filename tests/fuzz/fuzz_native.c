/* Any bytes as client frames of both encodings; filters are compiled and matched, payloads that pass are encoded for
 * both kinds of reader. The first byte picks the encoding, so that one corpus serves both. */
#include "broker/base/json.h"
#include "broker/base/cbor.h"
#include "broker/base/utf8.h"
#include "protocol/native/encode.h"
#include "protocol/native/frame.h"
#include "protocol/payload_filter.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode_payload(const struct slu_payload_value *p, struct slu_bytes headers)
{
    struct slu_account account = { .budget = 1 << 24 };
    struct slu_msg_spec spec = {
        .topic = SLU_LIT("a"), .payload = p->bytes, .headers = headers, .kind = p->kind, .form = p->form
    };
    struct slu_msg *m = slu_msg_new(&account, &spec);
    struct slu_event ev = { .type = SLU_EV_MSG };
    struct slu_json_value v;
    struct slu_json_error err = { 0 };
    struct slu_buf out;

    if (!m)
        return;
    ev.msg.msg = m;
    slu_buf_init(&out, 1 << 22);
    /* A frame may be one level deeper than a payload that passed, and hold more members. */
    if (slu_native_encode(&slu_wire_json, &ev, &out) == SLU_OK && !slu_json_scan(slu_buf_bytes(&out), &v, &err) &&
        strcmp(err.reason, "nested too deeply") != 0 && strcmp(err.reason, "too many object members") != 0)
        abort();
    slu_buf_clear(&out);
    if (slu_native_encode(&slu_wire_cbor, &ev, &out) == SLU_OK && out.data[0] >> 5 != 5)
        abort();
    slu_buf_fini(&out);
    slu_msg_unref(m);
}

static void use_filter(const struct slu_wire *wire, const struct slu_frame *f, struct slu_bytes whole)
{
    struct slu_account account = { .budget = 1 << 24 };
    struct slu_msg_spec spec = { .topic = SLU_LIT("a"),
                                 .payload = whole,
                                 .kind = SLU_KIND_JSON,
                                 .form = wire->is_text ? SLU_FORM_JSON : SLU_FORM_CBOR };
    struct slu_content_filter *filter;
    struct slu_msg *m;
    struct slu_buf json;
    const char *why;

    slu_buf_init(&json, 1 << 22);
    if (wire->to_json(&f->v[SLU_NAME_FILTER].filter, &json) &&
        slu_payload_filter_new(slu_buf_bytes(&json), &filter, &why) == SLU_OK) {
        m = slu_msg_new(&account, &spec);
        if (m)
            filter->matches(filter, m);
        slu_msg_unref(m);
        filter->free(filter);
    }
    slu_buf_fini(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct slu_wire *wire;
    struct slu_frame f;
    struct slu_bytes in;

    if (size == 0)
        return 0;
    wire = data[0] & 1 ? &slu_wire_cbor : &slu_wire_json;
    in = slu_bytes(data + 1, size - 1);
    if (wire->is_text && !slu_utf8_valid(in))
        return 0;
    slu_frame_init(&f);
    if (slu_frame_decode(wire, in, &f) == SLU_OK) {
        if (f.v[SLU_NAME_FILTER].present)
            use_filter(wire, &f, in);
        if (f.v[SLU_NAME_DATA].present)
            encode_payload(&f.v[SLU_NAME_DATA].payload, f.v[SLU_NAME_HEADERS].bytes);
    }
    slu_frame_fini(&f);
    return 0;
}
