/* From the kernel to whole messages. Bytes are read to the stack and messages handed on from there; only an unfinished
 * frame is kept. A frame larger than the stack buffer grows `in` with what has arrived, never by what its header claims. */
#include "clients/c/src/client.h"

enum { READ_BYTES = 64 * 1024, READS_A_TURN = 8, KEEP_BYTES = 16 * 1024 };

#define RAW_PREFIX "{\"op\":\"msg\","

static void on_close_frame(sluice_client *c, struct slu_bytes data)
{
    char text[128] = "";
    int code = 1005;
    if (data.len == 1) {
        slu_conn_violation(c, 1002, "the peer's CLOSE is broken");
        return;
    }
    if (data.len >= 2) {
        struct slu_bytes reason = slu_bytes(data.data + 2, data.len - 2);
        code = data.data[0] << 8 | data.data[1];
        if (code < 1000 || code > 4999 || !slu_utf8_valid(reason)) {
            slu_conn_violation(c, 1002, "the peer's CLOSE is broken");
            return;
        }
        memcpy(text, reason.data, reason.len);
        text[reason.len] = '\0';
    }
    if (!c->close_sent && slu_tx_frame(c, SLU_WS_CLOSE, slu_bytes(data.data, data.len >= 2 ? 2 : 0))) {
        size_t n;
        c->close_sent = true;
        if (c->wire.len > c->wire_head) /* as far as it goes: the connection ends here */
            (void)slu_io_write(&c->io, c->wire.data + c->wire_head, c->wire.len - c->wire_head, &n);
    }
    slu_conn_lost(c, code, SLUICE_ECONNECT, text);
}

void slu_rx_message(sluice_client *c, const struct slu_ws_message *m)
{
    switch (m->op) {
    case SLU_WS_TEXT:
        if (c->o.on_raw && c->phase == SLU_PH_UP && slu_bytes_starts(m->data, SLU_LIT(RAW_PREFIX)) &&
            c->o.on_raw(c->o.arg, c, slu_span(m->data)))
            return;
        slu_rx_text(c, m->data);
        return;
    case SLU_WS_PING:
        memcpy(c->pong, m->data.data, m->data.len);
        c->pong_len = (uint8_t)m->data.len;
        c->pong_due = true;
        slu_tx_schedule(c);
        return;
    case SLU_WS_PONG:
        return;
    case SLU_WS_CLOSE:
        on_close_frame(c, m->data);
        return;
    default:
        slu_conn_violation(c, 1003, "the broker sent a binary message");
        return;
    }
}

static size_t take_handshake(sluice_client *c, struct slu_bytes in)
{
    size_t used = 0;
    int status = 0;
    const char *why = NULL;
    char text[64];
    switch (slu_handshake_answer(in, c->ws_key, &used, &status, &why)) {
    case SLU_HANDSHAKE_DONE:
        slu_conn_upgraded(c);
        return used;
    case SLU_HANDSHAKE_MORE:
        return 0;
    case SLU_HANDSHAKE_REFUSED:
        snprintf(text, sizeof(text), "the server answered the handshake with HTTP %d", status);
        slu_conn_lost(c, status, SLUICE_EPROTO, text);
        return 0;
    default:
        slu_conn_lost(c, 1002, SLUICE_EPROTO, why);
        return 0;
    }
}

/* Handles what is whole in `in`; returns how much that was. *need as slu_ws_rx_next has it, for what is left. */
static size_t take(sluice_client *c, struct slu_bytes in, size_t *need)
{
    uint32_t serial = c->serial;
    size_t done = 0;
    if (c->phase == SLU_PH_UPGRADE) {
        *need = in.len + 1;
        done = take_handshake(c, in);
        if (done == 0)
            return 0;
    }
    while (c->serial == serial && !slu_is_over(c) && (c->phase >= SLU_PH_HELLO)) {
        struct slu_ws_message m;
        size_t used;
        enum slu_ws_rc rc = slu_ws_rx_next(&c->rx, slu_bytes(in.data + done, in.len - done), &m, &used, need);
        done += used;
        if (rc == SLU_WS_MORE)
            break;
        if (rc == SLU_WS_MESSAGE)
            slu_rx_message(c, &m);
        else
            slu_conn_violation(c, c->rx.close_code, "the broker sent a broken or too large frame");
    }
    return done;
}

/* Reads behind what is kept, in `in` itself: for frames that the stack buffer cannot hold. */
static enum slu_io_rc read_large(sluice_client *c, size_t *need, bool *more)
{
    size_t room = c->in.len > READ_BYTES ? c->in.len : READ_BYTES, n;
    uint8_t *to = slu_buf_reserve(&c->in, room);
    if (!to) {
        c->in.failed = false;
        snprintf(c->io.error, sizeof(c->io.error), "out of memory");
        return SLU_IO_FAILED;
    }
    enum slu_io_rc rc = slu_io_read(&c->io, to, room, &n);
    if (rc != SLU_IO_OK)
        return rc;
    c->in.len += n;
    *more = n == room;
    if (c->in.len < *need)
        return SLU_IO_OK;
    uint32_t serial = c->serial;
    size_t done = take(c, slu_buf_bytes(&c->in), need);
    if (c->serial != serial)
        return SLU_IO_OK;
    memmove(c->in.data, c->in.data + done, c->in.len - done);
    c->in.len -= done;
    return SLU_IO_OK;
}

static enum slu_io_rc read_small(sluice_client *c, size_t *need, bool *more)
{
    uint8_t stack[READ_BYTES];
    size_t kept = c->in.len, n;
    if (kept)
        memcpy(stack, c->in.data, kept);
    enum slu_io_rc rc = slu_io_read(&c->io, stack + kept, sizeof(stack) - kept, &n);
    if (rc != SLU_IO_OK)
        return rc;
    uint32_t serial = c->serial;
    *more = kept + n == sizeof(stack);
    size_t done = take(c, slu_bytes(stack, kept + n), need);
    if (c->serial != serial)
        return SLU_IO_OK;
    slu_buf_clear(&c->in);
    slu_buf_add(&c->in, stack + done, kept + n - done);
    if (c->in.failed) {
        snprintf(c->io.error, sizeof(c->io.error), "out of memory");
        return SLU_IO_FAILED;
    }
    return SLU_IO_OK;
}

void slu_rx_readable(sluice_client *c)
{
    uint32_t serial = c->serial;
    enum slu_io_rc rc = SLU_IO_OK;
    c->last_rx = ev_now(c->loop);
    c->reading = true;
    /* A read that did not fill its buffer emptied the socket: no further call just to hear so. With TLS a record may be
     * decrypted already, and then no event would come for it. */
    for (int i = 0; i < READS_A_TURN || slu_io_has_pending(&c->io); i++) {
        bool large = c->in.len > KEEP_BYTES, more = false;
        rc = large ? read_large(c, &c->in_need, &more) : read_small(c, &c->in_need, &more);
        if (rc != SLU_IO_OK || c->serial != serial || slu_is_over(c) || c->paused || (!more && !c->io.ssl))
            break;
    }
    c->reading = false;
    if (c->serial != serial) { /* the connection went in between: what was kept of it goes now */
        slu_conn_forget_input(c);
        return;
    }
    if (c->in.len == 0 && c->in.cap > KEEP_BYTES) {
        slu_buf_fini(&c->in);
        slu_buf_init(&c->in, 0);
    }
    if (rc == SLU_IO_EOF || rc == SLU_IO_FAILED)
        slu_conn_lost(c, 1006, SLUICE_ECONNECT, rc == SLU_IO_EOF ? "the peer closed the connection" : c->io.error);
}
