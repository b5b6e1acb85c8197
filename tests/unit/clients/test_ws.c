/* The frame codec of the client side. */
#include "clients/c/src/ws.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>

static size_t server_frame(uint8_t *out, uint8_t first, const void *payload, size_t len)
{
    static const uint8_t none[4];
    uint8_t masked[SLU_WS_HEADER_MAX];
    size_t header = slu_ws_header(masked, SLU_WS_TEXT, len, none) - 4;
    memcpy(out, masked, header);
    out[0] = first;
    out[1] &= 0x7f;
    if (len)
        memcpy(out + header, payload, len);
    return header + len;
}

static enum slu_ws_rc one(struct slu_ws_rx *rx, const void *in, size_t len, struct slu_ws_message *m)
{
    size_t used, need;
    return slu_ws_rx_next(rx, slu_bytes(in, len), m, &used, &need);
}

Test(ws, masking_is_its_own_inverse_at_every_length, .timeout = 5)
{
    uint8_t data[67], there[67], back[67];
    const uint8_t mask[4] = { 0x12, 0xff, 0x00, 0xa5 };
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7);
    for (size_t n = 0; n <= sizeof(data); n++) {
        slu_ws_mask(there, data, n, mask);
        for (size_t i = 0; i < n; i++)
            cr_assert(eq(u8, there[i], (uint8_t)(data[i] ^ mask[i % 4])));
        slu_ws_mask(back, there, n, mask);
        cr_assert(eq(int, memcmp(back, data, n), 0));
    }
}

Test(ws, client_frames_are_final_masked_and_have_the_shortest_length, .timeout = 5)
{
    static const struct {
        uint64_t len;
        size_t header;
        uint8_t second;
    } rows[] = { { 0, 6, 0x80 }, { 125, 6, 0xfd }, { 126, 8, 0xfe }, { 65535, 8, 0xfe }, { 65536, 14, 0xff } };
    const uint8_t mask[4] = { 1, 2, 3, 4 };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t out[SLU_WS_HEADER_MAX];
        cr_assert(eq(sz, slu_ws_header(out, SLU_WS_TEXT, rows[i].len, mask), rows[i].header));
        cr_assert(eq(u8, out[0], 0x81));
        cr_assert(eq(u8, out[1], rows[i].second));
        cr_assert(eq(int, memcmp(out + rows[i].header - 4, mask, 4), 0));
    }
}

Test(ws, a_whole_frame_is_borrowed_from_the_input, .timeout = 5)
{
    uint8_t in[64];
    struct slu_ws_rx rx;
    struct slu_ws_message m;
    size_t n = server_frame(in, 0x81, "hello", 5);
    slu_ws_rx_init(&rx, 1024);
    cr_assert(eq(int, one(&rx, in, n, &m), SLU_WS_MESSAGE));
    cr_assert(eq(ptr, (void *)m.data.data, in + 2));
    cr_assert(eq(sz, m.data.len, 5));
    slu_ws_rx_fini(&rx);
}

Test(ws, fragments_with_a_ping_between_make_one_message_however_the_bytes_arrive, .timeout = 20)
{
    uint8_t in[256];
    size_t n = 0;
    n += server_frame(in + n, 0x01, "one ", 4);
    n += server_frame(in + n, 0x00, "two ", 4);
    n += server_frame(in + n, 0x89, "p", 1);
    n += server_frame(in + n, 0x80, "three", 5);
    n += server_frame(in + n, 0x82, "tail", 4);
    for (size_t step = 1; step <= n; step++) {
        struct slu_ws_rx rx;
        struct slu_ws_message m;
        char seen[64] = "";
        size_t at = 0, have = 0, used, need;
        slu_ws_rx_init(&rx, 1024);
        while (at < n) {
            have = have + step < n - at ? have + step : n - at;
            enum slu_ws_rc rc = slu_ws_rx_next(&rx, slu_bytes(in + at, have), &m, &used, &need);
            cr_assert(ne(int, rc, SLU_WS_BROKEN));
            at += used;
            have -= used;
            if (rc == SLU_WS_MESSAGE) {
                size_t l = strlen(seen);
                snprintf(seen + l, sizeof(seen) - l, "%d:%.*s;", m.op, (int)m.data.len, m.data.data);
            } else {
                cr_assert(gt(sz, need, have));
            }
        }
        cr_assert(eq(str, seen, "9:p;1:one two three;2:tail;"));
        slu_ws_rx_fini(&rx);
    }
}

Test(ws, broken_frames_are_refused_with_the_right_code, .timeout = 5)
{
    static const struct {
        const char *name;
        uint8_t bytes[16];
        size_t len;
        int code;
    } rows[] = {
        { "masked", { 0x81, 0x81, 1, 2, 3, 4, 5 }, 7, 1002 },
        { "reserved bit", { 0xc1, 0x00 }, 2, 1002 },
        { "unknown opcode", { 0x83, 0x00 }, 2, 1002 },
        { "unknown control opcode", { 0x8b, 0x00 }, 2, 1002 },
        { "fragmented control", { 0x09, 0x00 }, 2, 1002 },
        { "long control", { 0x89, 0x7e, 0x00, 0x7e }, 4, 1002 },
        { "continuation of nothing", { 0x80, 0x00 }, 2, 1002 },
        { "text inside a fragmented message", { 0x01, 0x00, 0x81, 0x00 }, 4, 1002 },
        { "16-bit length not needed", { 0x81, 0x7e, 0x00, 0x7d }, 4, 1002 },
        { "64-bit length not needed", { 0x81, 0x7f, 0, 0, 0, 0, 0, 0, 0xff, 0xff }, 10, 1002 },
        { "length with the top bit", { 0x81, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0 }, 10, 1002 },
        { "too large", { 0x81, 0x7e, 0x04, 0x01 }, 4, 1009 },
        { "enormous", { 0x81, 0x7f, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 10, 1009 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slu_ws_rx rx;
        struct slu_ws_message m;
        slu_ws_rx_init(&rx, 1024);
        cr_expect(eq(int, one(&rx, rows[i].bytes, rows[i].len, &m), SLU_WS_BROKEN), "%s", rows[i].name);
        cr_expect(eq(int, rx.close_code, rows[i].code), "%s", rows[i].name);
        slu_ws_rx_fini(&rx);
    }
}

Test(ws, fragments_together_are_bounded_too, .timeout = 5)
{
    uint8_t in[64];
    struct slu_ws_rx rx;
    struct slu_ws_message m;
    size_t n = server_frame(in, 0x01, "12345678", 8);
    n += server_frame(in + n, 0x80, "12345678", 8);
    slu_ws_rx_init(&rx, 15);
    cr_assert(eq(int, one(&rx, in, n, &m), SLU_WS_BROKEN));
    cr_assert(eq(int, rx.close_code, 1009));
    slu_ws_rx_fini(&rx);
}
