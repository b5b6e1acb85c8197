/* From the queue to the kernel. Whatever is published during a loop turn goes out in one write at its end: the flush
 * watcher has the lowest priority and is fed, so libev runs it after everything else of the turn. */
#include "clients/c/src/client.h"

#include "broker/base/rng.h"

enum { WIRE_BATCH = 256 * 1024, WRITES_A_TURN = 4, WIRE_KEEP = 64 * 1024 };

static size_t wire_left(const sluice_client *c)
{
    return c->wire.len - c->wire_head;
}

static size_t queued(const sluice_client *c)
{
    return slu_outq_bytes(&c->outq) + slu_outq_bytes(&c->urgent);
}

size_t sluice_client_unsent(const sluice_client *c)
{
    return queued(c) + wire_left(c);
}

enum sluice_status slu_tx_admit(sluice_client *c, size_t need, bool only_connected)
{
    bool up = c->phase == SLU_PH_UP;
    if (c->doomed || c->phase == SLU_PH_CLOSING || c->state == SLUICE_CLOSED)
        return SLUICE_ESTATE;
    if (need > c->o.max_message)
        return SLUICE_ETOOBIG;
    if (!up && only_connected)
        return SLUICE_EAGAIN;
    size_t unsent = sluice_client_unsent(c), bound = up ? c->o.max_unsent : c->o.max_offline;
    if (unsent && (unsent > bound || need > bound - unsent)) {
        c->want_room = true;
        return SLUICE_EAGAIN;
    }
    return SLUICE_OK;
}

static const uint8_t *next_mask(sluice_client *c)
{
    if (c->masks_used + 4 > sizeof(c->masks)) {
        slu_rng_bytes(c->masks, sizeof(c->masks));
        c->masks_used = 0;
    }
    const uint8_t *mask = c->masks + c->masks_used;
    c->masks_used += 4;
    return mask;
}

bool slu_tx_frame(sluice_client *c, enum slu_ws_op op, struct slu_bytes payload)
{
    const uint8_t *mask = next_mask(c);
    uint8_t *to = slu_buf_reserve(&c->wire, SLU_WS_HEADER_MAX + payload.len);
    if (!to) {
        c->wire.failed = false;
        return false;
    }
    size_t header = slu_ws_header(to, op, payload.len, mask);
    slu_ws_mask(to + header, payload.data, payload.len, mask);
    c->wire.len += header + payload.len;
    return true;
}

struct slu_buf *slu_tx_begin(sluice_client *c, const char *op)
{
    struct slu_buf *b = slu_outq_begin(c->tx_to);
    slu_buf_add_str(b, "{\"op\":\"");
    slu_buf_add_str(b, op);
    slu_buf_add_byte(b, '"');
    return b;
}

enum sluice_status slu_tx_end(sluice_client *c, uint64_t id, uint32_t flags)
{
    if (id)
        slu_put_u64(&c->tx_to->buf, "id", id);
    slu_buf_add_byte(&c->tx_to->buf, '}');
    if (slu_outq_open_bytes(c->tx_to) > c->o.max_message) {
        slu_outq_cancel(c->tx_to);
        return SLUICE_ETOOBIG;
    }
    if (!slu_outq_end(c->tx_to, id, flags))
        return SLUICE_ENOMEM;
    slu_tx_schedule(c);
    return SLUICE_OK;
}

void slu_tx_schedule(sluice_client *c)
{
    if (c->flush_fed || (c->phase != SLU_PH_UP && c->phase != SLU_PH_HELLO && c->phase != SLU_PH_CLOSING))
        return;
    c->flush_fed = true;
    ev_feed_event(c->loop, &c->flush_ev, EV_CUSTOM);
}

/* Masks queued records into the wire buffer. Records whose answer nobody waits for any more (a request that ran into its
 * time-out while offline) are left out. */
static void drain(sluice_client *c, struct slu_outq *q)
{
    struct slu_record r;
    struct slu_bytes text;
    while (c->wire.len < WIRE_BATCH && slu_outq_first(q, &r, &text)) {
        bool wanted = !r.id || slu_pending_get(c, r.id);
        if (wanted && !slu_tx_frame(c, SLU_WS_TEXT, text))
            return;
        if (r.id)
            slu_pending_sent(c, r.id);
        slu_outq_drop_first(q);
    }
}

static void fill(sluice_client *c)
{
    if (c->pong_due && slu_tx_frame(c, SLU_WS_PONG, slu_bytes(c->pong, c->pong_len)))
        c->pong_due = false;
    if (c->phase != SLU_PH_UP && c->phase != SLU_PH_CLOSING)
        return;
    drain(c, &c->urgent);
    if (slu_outq_bytes(&c->urgent) == 0)
        drain(c, &c->outq);
    if (c->phase == SLU_PH_CLOSING && !c->close_sent && queued(c) == 0) {
        static const uint8_t done[] = { 1000 >> 8, 1000 & 0xff };
        c->close_sent = slu_tx_frame(c, SLU_WS_CLOSE, slu_bytes(done, sizeof(done)));
    }
}

void slu_tx_watch(sluice_client *c, bool write)
{
    int events = (c->paused ? 0 : EV_READ) | (write ? EV_WRITE : 0);
    if (ev_is_active(&c->io_ev) && (c->io_ev.events & (EV_READ | EV_WRITE)) == events)
        return;
    ev_io_stop(c->loop, &c->io_ev);
    if (!events)
        return;
    ev_io_set(&c->io_ev, c->io.fd, events);
    ev_io_start(c->loop, &c->io_ev);
}

static void tell_room(sluice_client *c)
{
    size_t bound = c->phase == SLU_PH_UP ? c->o.max_unsent : c->o.max_offline;
    if (!c->want_room || sluice_client_unsent(c) > bound / 2)
        return;
    c->want_room = false;
    if (c->o.on_room)
        c->o.on_room(c->o.arg, c);
}

void slu_tx_flush(sluice_client *c)
{
    c->flush_fed = false;
    if (c->io.fd < 0 || c->phase < SLU_PH_HELLO)
        return;
    for (int i = 0; i < WRITES_A_TURN; i++) {
        size_t n = 0;
        if (wire_left(c) == 0) {
            slu_buf_clear(&c->wire);
            c->wire_head = 0;
            fill(c);
            if (c->wire.len == 0)
                break;
        }
        enum slu_io_rc rc = slu_io_write(&c->io, c->wire.data + c->wire_head, wire_left(c), &n);
        if (rc == SLU_IO_WAIT)
            break;
        if (rc != SLU_IO_OK) {
            slu_conn_lost(c, 1006, SLUICE_ECONNECT, rc == SLU_IO_EOF ? "connection closed" : c->io.error);
            return;
        }
        c->wire_head += n;
    }
    bool more = wire_left(c) > 0 || (c->phase != SLU_PH_HELLO && queued(c) > 0);
    if (!more && c->wire.cap > WIRE_KEEP) {
        slu_buf_fini(&c->wire);
        c->wire_head = 0;
    }
    slu_tx_watch(c, more);
    tell_room(c);
}
