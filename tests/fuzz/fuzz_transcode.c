/* Any bytes both ways: what one side accepts must come out as a well-formed text or item of the other. */
#include "broker/base/transcode.h"

#include "broker/base/cbor.h"
#include "broker/base/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_member_limit(const struct slu_json_error *e)
{
    return e->reason && strcmp(e->reason, "too many object members") == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slu_buf out;
    struct slu_json_value v;
    struct slu_json_error err = { 0 };
    enum slu_err rc;

    slu_buf_init(&out, 1 << 22);
    rc = slu_transcode_cbor_to_json(slu_bytes(data, size), &out);
    if (rc == SLU_OK && !slu_json_scan(slu_buf_bytes(&out), &v, &err) && !is_member_limit(&err))
        abort();
    slu_buf_clear(&out);
    rc = slu_transcode_json_to_cbor(slu_bytes(data, size), &out);
    /* The scanner leaves UTF-8 to its caller, so that bytes from 0x80 up may give bad text here. */
    for (size_t i = 0; rc == SLU_OK && i < size; i++)
        if (data[i] >= 0x80)
            rc = SLU_EBAD_FRAME;
    if (rc == SLU_OK && !slu_cbor_is_item(slu_buf_bytes(&out), NULL))
        abort();
    slu_buf_fini(&out);
    return 0;
}
