/* WebSocket frames (RFC 6455) as a client sends and receives them: pure, no I/O.
 * Receiving: feed whole buffers; messages are borrowed from them wherever a message came in one frame. */
#pragma once

#include "broker/base/buf.h"

enum slu_ws_op {
    SLU_WS_CONT = 0,
    SLU_WS_TEXT = 1,
    SLU_WS_BINARY = 2,
    SLU_WS_CLOSE = 8,
    SLU_WS_PING = 9,
    SLU_WS_PONG = 10
};

enum { SLU_WS_HEADER_MAX = 14, SLU_WS_CONTROL_MAX = 125 };

/* Writes the header of a final masked frame; returns its size. */
size_t slu_ws_header(uint8_t out[SLU_WS_HEADER_MAX], enum slu_ws_op op, uint64_t len, const uint8_t mask[4]);
/* dst[i] = src[i] ^ mask[i % 4]; dst may be src. */
void slu_ws_mask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t mask[4]);

enum slu_ws_rc {
    SLU_WS_MESSAGE, /* a whole text or binary message, or a control frame */
    SLU_WS_MORE,    /* more bytes are needed */
    SLU_WS_BROKEN   /* *close_code says how: 1002 protocol, 1009 too large */
};

struct slu_ws_rx {
    struct slu_buf parts; /* of a fragmented message so far */
    uint8_t op;           /* of the fragmented message under way; 0 = none */
    bool deliver;         /* parts were handed out and are cleared at the next call */
    size_t max;           /* largest message */
    int close_code;
};

struct slu_ws_message {
    enum slu_ws_op op;
    struct slu_bytes data; /* borrowed until the next call, or until the input goes */
};

void slu_ws_rx_init(struct slu_ws_rx *rx, size_t max);
void slu_ws_rx_fini(struct slu_ws_rx *rx);
/* Looks for the next message at the start of `in`. *used is always set: bytes done with, also with MORE (fragments and
 * nothing else are consumed then). With MORE, *need is how many bytes from in[*used] make the next frame complete, as
 * far as that is known (at least one more than are there). */
enum slu_ws_rc slu_ws_rx_next(struct slu_ws_rx *rx, struct slu_bytes in, struct slu_ws_message *m, size_t *used,
                              size_t *need);
