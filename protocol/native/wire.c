/* What both encodings share. */
#include "protocol/native/wire.h"

#include "broker/base/base64.h"

const struct slu_name_row slu_names[SLU_NAMES_N] = {
#define SLU_NAME(name, text, key) [SLU_NAME_##name] = { { (const uint8_t *)text, sizeof(text) - 1 }, key },
#include "protocol/frames.def"
};

bool slu_wire_base64(struct slu_buf *scratch, size_t from, struct slu_bytes text, struct slu_bytes *out)
{
    bool in_place = scratch->len != from;
    uint8_t *to;
    size_t size;

    if (!slu_base64_decoded_size(text, &size))
        return false;
    to = in_place ? scratch->data + from : slu_buf_reserve(scratch, size ? size : 1);
    if (!to || !slu_base64_decode(to, text))
        return false;
    scratch->len = from + size;
    *out = slu_bytes(to, size);
    return true;
}
