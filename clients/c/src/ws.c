/* Frame codec of the client side. Every length is checked against the bytes that are there before it is used. */
#include "clients/c/src/ws.h"

size_t slu_ws_header(uint8_t out[SLU_WS_HEADER_MAX], enum slu_ws_op op, uint64_t len, const uint8_t mask[4])
{
    size_t n = 2;
    out[0] = (uint8_t)(0x80 | op);
    if (len < 126) {
        out[1] = (uint8_t)(0x80 | len);
    } else if (len <= 0xffff) {
        out[1] = 0x80 | 126;
        out[n++] = (uint8_t)(len >> 8);
        out[n++] = (uint8_t)len;
    } else {
        out[1] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            out[n++] = (uint8_t)(len >> shift);
    }
    memcpy(out + n, mask, 4);
    return n + 4;
}

void slu_ws_mask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t mask[4])
{
    uint8_t twice[8];
    uint64_t key;
    size_t i = 0;
    memcpy(twice, mask, 4);
    memcpy(twice + 4, mask, 4);
    memcpy(&key, twice, 8);
    for (; i + 8 <= n; i += 8) {
        uint64_t word;
        memcpy(&word, src + i, 8);
        word ^= key;
        memcpy(dst + i, &word, 8);
    }
    for (; i < n; i++)
        dst[i] = (uint8_t)(src[i] ^ mask[i & 3]);
}

void slu_ws_rx_init(struct slu_ws_rx *rx, size_t max)
{
    memset(rx, 0, sizeof(*rx));
    slu_buf_init(&rx->parts, max);
    rx->max = max;
}

void slu_ws_rx_fini(struct slu_ws_rx *rx)
{
    slu_buf_fini(&rx->parts);
    rx->op = 0;
}

struct frame {
    bool fin;
    uint8_t op;
    size_t header, len;
};

static enum slu_ws_rc broken(struct slu_ws_rx *rx, int code)
{
    rx->close_code = code;
    return SLU_WS_BROKEN;
}

/* Reads and judges a frame header. SLU_WS_MESSAGE: *f is set. */
static enum slu_ws_rc read_header(struct slu_ws_rx *rx, struct slu_bytes in, struct frame *f, size_t *need)
{
    *need = 2;
    if (in.len < 2)
        return SLU_WS_MORE;
    uint8_t first = in.data[0], second = in.data[1];
    uint64_t len = second & 0x7f;
    f->fin = first & 0x80;
    f->op = first & 0x0f;
    f->header = len == 127 ? 10 : len == 126 ? 4 : 2;
    bool control = f->op & 8;
    if ((first & 0x70) || (second & 0x80)) /* no extension was agreed on; servers do not mask */
        return broken(rx, 1002);
    if (f->op > SLU_WS_PONG || (f->op > SLU_WS_BINARY && !control))
        return broken(rx, 1002);
    if (control && (!f->fin || len > SLU_WS_CONTROL_MAX))
        return broken(rx, 1002);
    if (!control && (f->op == SLU_WS_CONT) != (rx->op != 0))
        return broken(rx, 1002);
    *need = f->header;
    if (in.len < f->header)
        return SLU_WS_MORE;
    if (f->header == 4) {
        len = (uint64_t)in.data[2] << 8 | in.data[3];
    } else if (f->header == 10) {
        len = 0;
        for (int i = 2; i < 10; i++)
            len = len << 8 | in.data[i];
    }
    if ((f->header == 4 && len < 126) || (f->header == 10 && (len <= 0xffff || len >> 63)))
        return broken(rx, 1002);
    if (!control && len > rx->max - rx->parts.len)
        return broken(rx, 1009);
    f->len = (size_t)len;
    return SLU_WS_MESSAGE;
}

/* A data frame of a fragmented message. True when it was the last: the message stands in rx->parts. */
static bool take_part(struct slu_ws_rx *rx, const struct frame *f, struct slu_bytes payload, enum slu_ws_rc *rc)
{
    if (f->op != SLU_WS_CONT)
        rx->op = f->op;
    slu_buf_add_bytes(&rx->parts, payload);
    if (rx->parts.failed) {
        *rc = broken(rx, 1009);
        return true;
    }
    if (f->fin)
        *rc = SLU_WS_MESSAGE;
    return f->fin;
}

enum slu_ws_rc slu_ws_rx_next(struct slu_ws_rx *rx, struct slu_bytes in, struct slu_ws_message *m, size_t *used,
                              size_t *need)
{
    *used = 0;
    if (rx->deliver) {
        slu_buf_fini(&rx->parts);
        slu_buf_init(&rx->parts, rx->max);
        rx->deliver = false;
    }
    for (;;) {
        struct frame f;
        struct slu_bytes at = slu_bytes(in.data + *used, in.len - *used);
        enum slu_ws_rc rc = read_header(rx, at, &f, need);
        if (rc != SLU_WS_MESSAGE)
            return rc;
        if (at.len - f.header < f.len) {
            *need = f.header + f.len;
            return SLU_WS_MORE;
        }
        struct slu_bytes payload = slu_bytes(at.data + f.header, f.len);
        *used += f.header + f.len;
        if ((f.op & 8) || (f.fin && f.op != SLU_WS_CONT)) {
            m->op = (enum slu_ws_op)f.op;
            m->data = payload;
            return SLU_WS_MESSAGE;
        }
        if (!take_part(rx, &f, payload, &rc))
            continue;
        m->op = (enum slu_ws_op)rx->op;
        m->data = slu_buf_bytes(&rx->parts);
        rx->op = 0;
        rx->deliver = true;
        return rc;
    }
}
