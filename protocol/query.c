/* Nothing is copied until a value is wanted. */
#include "protocol/query.h"

bool slu_query_next(struct slu_bytes *rest, struct slu_bytes *name, struct slu_bytes *value)
{
    while (rest->len) {
        const uint8_t *amp = memchr(rest->data, '&', rest->len), *equals;
        size_t len = amp ? (size_t)(amp - rest->data) : rest->len;
        struct slu_bytes pair = slu_bytes(rest->data, len);

        *rest = slu_bytes(rest->data + len + (amp != NULL), rest->len - len - (amp != NULL));
        if (pair.len == 0)
            continue;
        equals = memchr(pair.data, '=', pair.len);
        len = equals ? (size_t)(equals - pair.data) : pair.len;
        *name = slu_bytes(pair.data, len);
        *value = equals ? slu_bytes(equals + 1, pair.len - len - 1) : slu_bytes(pair.data + len, 0);
        return true;
    }
    return false;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool slu_query_decode(struct slu_bytes encoded, struct slu_buf *out)
{
    for (size_t i = 0; i < encoded.len; i++) {
        uint8_t c = encoded.data[i];

        if (c == '%') {
            int high = encoded.len - i > 2 ? hex_digit(encoded.data[i + 1]) : -1;
            int low = encoded.len - i > 2 ? hex_digit(encoded.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (uint8_t)(high << 4 | low);
            i += 2;
        }
        slu_buf_add_byte(out, c);
    }
    return !out->failed;
}
