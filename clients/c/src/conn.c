/* One connection from attempt to loss, and what comes after a loss. */
#include "clients/c/src/client.h"

#include "broker/base/rng.h"
#include "clients/c/src/backoff.h"

enum { STABLE_S = 10, CLOSE_WAIT_S = 2, AFTER_MS_MAX = 3600 * 1000, NOW_SPREAD_MS = 100, PING_S_MAX = 3600 };

/* ---- watchers ---- */

static void set_timer(sluice_client *c, double after_s)
{
    ev_timer_stop(c->loop, &c->timer);
    ev_now_update(c->loop);
    ev_timer_set(&c->timer, after_s, 0.);
    ev_timer_start(c->loop, &c->timer);
}

static void watch(sluice_client *c, int events)
{
    ev_io_stop(c->loop, &c->io_ev);
    ev_io_set(&c->io_ev, c->io.fd, events);
    ev_io_start(c->loop, &c->io_ev);
}

static int events_of(int want)
{
    return (want & SLU_IO_READ ? EV_READ : 0) | (want & SLU_IO_WRITE ? EV_WRITE : 0);
}

void slu_conn_forget_input(sluice_client *c)
{
    slu_buf_fini(&c->in);
    slu_buf_init(&c->in, 0);
    c->in_need = 0;
    slu_ws_rx_fini(&c->rx);
    slu_ws_rx_init(&c->rx, c->o.max_message);
}

void slu_conn_drop(sluice_client *c)
{
    ev_io_stop(c->loop, &c->io_ev);
    ev_timer_stop(c->loop, &c->timer);
    ev_timer_stop(c->loop, &c->alive_ev);
    ev_timer_stop(c->loop, &c->resub_ev);
    ev_clear_pending(c->loop, &c->flush_ev);
    c->flush_fed = false;
    slu_io_close(&c->io);
    c->serial++;
    slu_buf_clear(&c->wire);
    c->wire_head = 0;
    c->close_sent = c->pong_due = c->paused = false;
    if (!c->reading)
        slu_conn_forget_input(c);
}

void slu_conn_set_state(sluice_client *c, const struct sluice_state_event *e)
{
    c->state = e->state;
    if (c->o.on_state)
        c->o.on_state(c->o.arg, c, e);
}

/* ---- making one ---- */

static void put_request(sluice_client *c)
{
    c->phase = SLU_PH_UPGRADE;
    slu_handshake_request(&c->wire, &c->url, c->o.http_headers, c->o.n_http_headers, c->ws_key);
    if (c->wire.failed)
        slu_conn_lost(c, 1006, SLUICE_ENOMEM, "out of memory");
    else
        watch(c, EV_READ | EV_WRITE);
}

static void go_on_tls(sluice_client *c)
{
    switch (slu_io_tls(&c->io, c->tls, c->url.host)) {
    case SLU_IO_OK:
        put_request(c);
        return;
    case SLU_IO_WAIT:
        watch(c, events_of(c->io.want));
        return;
    case SLU_IO_EOF:
        slu_conn_lost(c, 1006, SLUICE_ETLS, "the peer closed the connection in the TLS handshake");
        return;
    default:
        slu_conn_lost(c, 1006, SLUICE_ETLS, c->io.error);
        return;
    }
}

static void on_tcp(sluice_client *c, enum slu_io_rc rc)
{
    if (rc == SLU_IO_WAIT) {
        c->phase = SLU_PH_TCP;
        watch(c, EV_WRITE);
    } else if (rc != SLU_IO_OK) {
        slu_conn_lost(c, 1006, SLUICE_ECONNECT, c->io.error);
    } else if (c->tls) {
        c->phase = SLU_PH_TLS;
        go_on_tls(c);
    } else {
        put_request(c);
    }
}

/* One of several addresses gets half of the time, so that a dead one does not use up the whole attempt. */
static double attempt_s(const sluice_client *c)
{
    return c->o.connect_timeout_ms / 1000. / (c->io.next ? 2 : 1);
}

static void start_attempt(sluice_client *c)
{
    c->attempt++;
    c->bye_seen = false;
    enum slu_io_rc rc = slu_io_connect(&c->io, &c->url, c->o.bind_address);
    set_timer(c, attempt_s(c));
    on_tcp(c, rc);
}

void slu_conn_start(sluice_client *c)
{
    struct sluice_state_event e = { .state = SLUICE_CONNECTING };
    c->disconnecting = false;
    c->attempt = 0;
    c->ever_connected = false;
    c->phase = SLU_PH_WAIT;
    c->state = e.state;
    set_timer(c, 0.);
}

static void send_request(sluice_client *c)
{
    size_t n;
    while (c->wire_head < c->wire.len) {
        enum slu_io_rc rc = slu_io_write(&c->io, c->wire.data + c->wire_head, c->wire.len - c->wire_head, &n);
        if (rc == SLU_IO_WAIT)
            return;
        if (rc != SLU_IO_OK) {
            slu_conn_lost(c, 1006, SLUICE_ECONNECT, rc == SLU_IO_EOF ? "connection closed" : c->io.error);
            return;
        }
        c->wire_head += n;
    }
    slu_buf_clear(&c->wire);
    c->wire_head = 0;
    watch(c, EV_READ);
}

static void send_connect(sluice_client *c)
{
    struct slu_buf b;
    slu_buf_init(&b, 0);
    slu_buf_add_str(&b, "{\"op\":\"connect\"");
    slu_put_str(&b, "token", c->o.token);
    slu_put_str(&b, "name", c->o.name);
    slu_buf_add_byte(&b, '}');
    bool ok = !b.failed && slu_tx_frame(c, SLU_WS_TEXT, slu_buf_bytes(&b));
    slu_buf_fini(&b);
    if (!ok)
        slu_conn_lost(c, 1006, SLUICE_ENOMEM, "out of memory");
}

void slu_conn_upgraded(sluice_client *c)
{
    c->phase = SLU_PH_HELLO;
    slu_buf_clear(&c->wire);
    c->wire_head = 0;
    send_connect(c);
    if (c->phase == SLU_PH_HELLO)
        slu_tx_schedule(c);
}

void slu_conn_hello(sluice_client *c, const struct sluice_state_event *e, double ping_s)
{
    if (c->phase != SLU_PH_HELLO)
        return;
    ev_timer_stop(c->loop, &c->timer);
    c->phase = SLU_PH_UP;
    c->ever_connected = true;
    c->up_since = ev_now(c->loop);
    c->ping_s = ping_s > 0 && ping_s < PING_S_MAX ? ping_s : 0;
    if (c->ping_s > 0) {
        ev_timer_set(&c->alive_ev, c->ping_s, c->ping_s);
        ev_timer_start(c->loop, &c->alive_ev);
    }
    slu_subs_send_all(c);
    slu_tx_schedule(c);
    slu_conn_set_state(c, e);
}

/* ---- losing it ---- */

/* How long to wait before the next attempt; false: there shall be none. */
static bool plan(sluice_client *c, int code, bool was_up, uint32_t *delay_ms)
{
    enum slu_after after = slu_after_close(code);
    bool gone_for_good = code >= 400 && code < 500 && code != 408 && code != 425 && code != 429; /* HTTP */
    if (c->disconnecting || gone_for_good || (c->ever_connected && c->o.no_reconnect))
        return false;
    if (!c->ever_connected && c->o.connect_attempts && c->attempt >= c->o.connect_attempts)
        return false;
    if (c->bye_seen && c->bye_close == code && !c->bye_retry)
        return false;
    if (after == SLU_AFTER_STOP && !(c->bye_seen && c->bye_close == code && c->bye_retry))
        return false;
    if (was_up && ev_now(c->loop) - c->up_since >= STABLE_S)
        c->attempt = 0;
    *delay_ms = slu_backoff_ms(c->o.backoff_min_ms, c->o.backoff_max_ms, c->attempt + 1, slu_rng_u64());
    /* At once, but a broker that drains time and again is not to be hammered: then the back-off holds. */
    if (after == SLU_AFTER_NOW && c->attempt <= 1)
        *delay_ms = (uint32_t)slu_rng_below(NOW_SPREAD_MS);
    if (c->bye_seen && c->bye_after_ms && (after == SLU_AFTER_NOW || c->bye_after_ms > *delay_ms))
        *delay_ms = c->bye_after_ms < AFTER_MS_MAX ? c->bye_after_ms : AFTER_MS_MAX;
    return true;
}

static void tell_loss(sluice_client *c, int code, bool again, uint32_t delay_ms, enum sluice_status status,
                      const char *text)
{
    struct sluice_state_event e = { .close_code = code, .attempt = c->attempt + 1, .delay_ms = delay_ms };
    bool said_bye = c->bye_seen && c->bye_close == code;
    e.error.status = said_bye || code >= 4000 ? SLUICE_EBROKER : status;
    e.error.message = said_bye ? slu_span(slu_buf_bytes(&c->bye_text)) : slu_span_str(text);
    if (said_bye)
        e.error.code = slu_span(slu_buf_bytes(&c->bye_code));
    if (!e.error.message.len)
        e.error.message = slu_span_str(sluice_client_strerror(e.error.status));
    e.error.retry = again;
    e.state = !again ? SLUICE_CLOSED : c->ever_connected ? SLUICE_RECONNECTING : SLUICE_CONNECTING;
    if (c->disconnecting) {
        e.error = (struct sluice_error){ .status = SLUICE_OK };
        e.attempt = 0;
    }
    slu_conn_set_state(c, &e);
}

void slu_conn_lost(sluice_client *c, int code, enum sluice_status status, const char *text)
{
    char why[256];
    uint32_t delay_ms = 0;
    bool was_up = c->phase == SLU_PH_UP || c->phase == SLU_PH_CLOSING;
    snprintf(why, sizeof(why), "%s", text ? text : ""); /* text may lie in what is dropped now */
    bool tls_failed = c->io.tls_failed;
    slu_enter(c);
    slu_conn_drop(c);
    slu_subs_lost(c);
    slu_outq_drop_bound(&c->outq);
    slu_outq_drop_bound(&c->urgent);
    bool again = plan(c, code, was_up, &delay_ms);
    c->phase = again ? SLU_PH_WAIT : SLU_PH_IDLE;
    uint32_t serial = c->serial;
    slu_pending_lost(c);
    if (!slu_is_over(c) && c->serial == serial && again)
        set_timer(c, delay_ms / 1000.);
    if (!slu_is_over(c))
        tell_loss(c, code, again, delay_ms, tls_failed ? SLUICE_ETLS : status, why);
    if (!slu_is_over(c) && !again && c->state == SLUICE_CLOSED) {
        slu_outq_fini(&c->outq);
        slu_outq_init(&c->outq);
        slu_pending_fail_all(c, SLUICE_ECLOSED);
    }
    slu_leave(c);
}

void slu_conn_violation(sluice_client *c, int code, const char *text)
{
    uint8_t payload[2] = { (uint8_t)(code >> 8), (uint8_t)code };
    size_t n;
    if (c->phase >= SLU_PH_HELLO && !c->close_sent && slu_tx_frame(c, SLU_WS_CLOSE, slu_bytes(payload, 2))) {
        c->close_sent = true;
        (void)slu_io_write(&c->io, c->wire.data + c->wire_head, c->wire.len - c->wire_head, &n);
    }
    slu_conn_lost(c, code, SLUICE_EPROTO, text);
}

void slu_conn_disconnect(sluice_client *c)
{
    c->disconnecting = true;
    if (c->phase == SLU_PH_UP) {
        c->phase = SLU_PH_CLOSING;
        set_timer(c, CLOSE_WAIT_S);
        slu_tx_schedule(c);
    } else if (c->phase != SLU_PH_IDLE && c->phase != SLU_PH_CLOSING) {
        c->phase = SLU_PH_WAIT; /* the timer finds `disconnecting` and ends it, from the loop */
        slu_conn_drop(c);
        set_timer(c, 0.);
    }
}

/* ---- events ---- */

static void on_io(struct ev_loop *loop, ev_io *w, int events)
{
    sluice_client *c = w->data;
    uint32_t serial = c->serial;
    (void)loop;
    slu_enter(c);
    switch (c->phase) {
    case SLU_PH_TCP:
        on_tcp(c, slu_io_connected(&c->io, c->o.bind_address));
        break;
    case SLU_PH_TLS:
        go_on_tls(c);
        break;
    default:
        if (c->phase == SLU_PH_UPGRADE && c->wire.len)
            send_request(c);
        if (c->serial == serial && !c->paused && ((events & EV_READ) || c->io.ssl))
            slu_rx_readable(c);
        if (c->serial == serial && !slu_is_over(c) && c->phase >= SLU_PH_HELLO && ((events & EV_WRITE) || c->io.ssl))
            slu_tx_flush(c);
        break;
    }
    slu_leave(c);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int events)
{
    sluice_client *c = w->data;
    (void)loop, (void)events;
    slu_enter(c);
    if (c->disconnecting) {
        slu_conn_lost(c, 1000, SLUICE_OK, NULL);
    } else if (c->phase == SLU_PH_WAIT) {
        start_attempt(c);
    } else if (c->phase == SLU_PH_TCP && c->io.next) {
        enum slu_io_rc rc = slu_io_next_address(&c->io, c->o.bind_address);
        set_timer(c, attempt_s(c));
        on_tcp(c, rc);
    } else {
        bool refused = c->phase >= SLU_PH_UPGRADE;
        slu_conn_lost(c, 1006, refused ? SLUICE_EPROTO : SLUICE_ECONNECT,
                      refused ? "the peer accepted the connection but said nothing in time"
                              : "the connection could not be made in time");
    }
    slu_leave(c);
}

static void on_alive(struct ev_loop *loop, ev_timer *w, int events)
{
    sluice_client *c = w->data;
    (void)events;
    if (c->paused || ev_now(loop) - c->last_rx <= 2 * c->ping_s + 1)
        return;
    slu_enter(c);
    slu_conn_lost(c, 1006, SLUICE_ECONNECT, "no sign of life from the broker");
    slu_leave(c);
}

static void on_flush(struct ev_loop *loop, ev_prepare *w, int events)
{
    sluice_client *c = w->data;
    (void)loop, (void)events;
    slu_enter(c);
    slu_tx_flush(c);
    slu_leave(c);
}

static void on_resub(struct ev_loop *loop, ev_timer *w, int events)
{
    sluice_client *c = w->data;
    (void)loop, (void)events;
    slu_enter(c);
    slu_subs_retry(c);
    slu_leave(c);
}

void slu_conn_init(sluice_client *c)
{
    ev_io_init(&c->io_ev, on_io, -1, 0);
    ev_timer_init(&c->timer, on_timer, 0., 0.);
    ev_timer_init(&c->alive_ev, on_alive, 0., 0.);
    ev_timer_init(&c->resub_ev, on_resub, 0., 0.);
    ev_prepare_init(&c->flush_ev, on_flush);
    ev_set_priority(&c->flush_ev, EV_MINPRI);
    c->io_ev.data = c->timer.data = c->alive_ev.data = c->resub_ev.data = c->flush_ev.data = c;
    slu_io_init(&c->io);
}
