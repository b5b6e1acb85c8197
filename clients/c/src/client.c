/* Making, running and freeing a client. */
#include "clients/c/src/client.h"

#include <stdlib.h>

enum {
    CONNECT_TIMEOUT_MS = 10000,
    REQUEST_TIMEOUT_MS = 10000,
    BACKOFF_MIN_MS = 250,
    BACKOFF_MAX_MS = 30000,
    MAX_UNSENT = 4 << 20,
    MAX_OFFLINE = 1 << 20,
    MAX_MESSAGE = 16 << 20
};

static bool copy_str(const char **s)
{
    if (*s)
        *s = strdup(*s);
    return true;
}

static void free_options(struct sluice_client_options *o)
{
    const char *strings[] = { o->url, o->token, o->name, o->tls_ca, o->tls_cert, o->tls_key, o->bind_address };
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
        free((void *)(uintptr_t)strings[i]);
    for (size_t i = 0; i < o->n_http_headers && o->http_headers; i++) {
        free((void *)(uintptr_t)o->http_headers[i].name);
        free((void *)(uintptr_t)o->http_headers[i].value);
    }
    free((void *)(uintptr_t)o->http_headers);
    memset(o, 0, sizeof(*o));
}

/* Missing copies show as NULL where the original is not. */
static bool copied(const char *from, const char *to)
{
    return !from || to;
}

static enum sluice_status copy_headers(struct sluice_client_options *to, const struct sluice_client_options *from)
{
    to->http_headers = NULL;
    to->n_http_headers = 0;
    if (from->n_http_headers == 0)
        return SLUICE_OK;
    struct sluice_header *h = calloc(from->n_http_headers, sizeof(*h));
    if (!h)
        return SLUICE_ENOMEM;
    to->http_headers = h;
    to->n_http_headers = from->n_http_headers;
    for (size_t i = 0; i < from->n_http_headers; i++) {
        if (!slu_handshake_header_ok(&from->http_headers[i]))
            return SLUICE_EINVAL;
        h[i].name = strdup(from->http_headers[i].name);
        h[i].value = strdup(from->http_headers[i].value);
        if (!h[i].name || !h[i].value)
            return SLUICE_ENOMEM;
    }
    return SLUICE_OK;
}

static enum sluice_status copy_options(struct sluice_client_options *to, const struct sluice_client_options *from)
{
    *to = *from;
    const char **strings[] = { &to->url,      &to->token,   &to->name,        &to->tls_ca,
                               &to->tls_cert, &to->tls_key, &to->bind_address };
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
        copy_str(strings[i]);
    enum sluice_status rc = copy_headers(to, from);
    if (rc != SLUICE_OK)
        return rc;
    if (!copied(from->url, to->url) || !copied(from->token, to->token) || !copied(from->name, to->name) ||
        !copied(from->tls_ca, to->tls_ca) || !copied(from->tls_cert, to->tls_cert) ||
        !copied(from->tls_key, to->tls_key) || !copied(from->bind_address, to->bind_address))
        return SLUICE_ENOMEM;
#define DEFAULT(field, value)  \
    do {                       \
        if (!to->field)        \
            to->field = value; \
    } while (0)
    DEFAULT(connect_timeout_ms, CONNECT_TIMEOUT_MS);
    DEFAULT(request_timeout_ms, REQUEST_TIMEOUT_MS);
    DEFAULT(backoff_min_ms, BACKOFF_MIN_MS);
    DEFAULT(backoff_max_ms, BACKOFF_MAX_MS);
    DEFAULT(max_unsent, MAX_UNSENT);
    DEFAULT(max_offline, MAX_OFFLINE);
    DEFAULT(max_message, MAX_MESSAGE);
#undef DEFAULT
    return SLUICE_OK;
}

static void on_stop(struct ev_loop *loop, ev_async *w, int events)
{
    (void)w, (void)events;
    ev_break(loop, EVBREAK_ALL);
}

static enum sluice_status make_loop(sluice_client *c)
{
    c->loop = c->o.loop;
    if (c->loop)
        return SLUICE_OK;
    c->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    if (!c->loop)
        return SLUICE_ENOMEM;
    c->own_loop = true;
    ev_async_init(&c->stop_ev, on_stop);
    ev_async_start(c->loop, &c->stop_ev);
    ev_unref(c->loop); /* does not keep the loop running */
    return SLUICE_OK;
}

static void destroy(sluice_client *c)
{
    if (c->loop)
        slu_conn_drop(c);
    slu_subs_fini(c);
    if (c->loop)
        ev_timer_stop(c->loop, &c->expire_ev);
    slu_pending_fini(c);
    slu_outq_fini(&c->outq);
    slu_outq_fini(&c->urgent);
    slu_buf_fini(&c->wire);
    slu_buf_fini(&c->in);
    slu_buf_fini(&c->scratch);
    slu_buf_fini(&c->bye_text);
    slu_buf_fini(&c->bye_code);
    slu_ws_rx_fini(&c->rx);
    slu_tls_free(c->tls);
    slu_url_fini(&c->url);
    if (c->own_loop) {
        ev_ref(c->loop);
        ev_async_stop(c->loop, &c->stop_ev);
        ev_loop_destroy(c->loop);
    }
    free_options(&c->o);
    free(c);
}

enum sluice_status sluice_client_new(sluice_client **out, const struct sluice_client_options *o)
{
    const char *why;
    char text[256];
    if (!out || !o || !o->url)
        return SLUICE_EINVAL;
    sluice_client *c = calloc(1, sizeof(*c));
    if (!c)
        return SLUICE_ENOMEM;
    c->masks_used = sizeof(c->masks);
    slu_io_init(&c->io);
    slu_outq_init(&c->outq);
    slu_outq_init(&c->urgent);
    c->tx_to = &c->outq;
    slu_pending_init(c);
    slu_subs_init(c);
    enum sluice_status rc = copy_options(&c->o, o);
    slu_ws_rx_init(&c->rx, c->o.max_message);
    if (rc != SLUICE_OK)
        goto fail;
    rc = SLUICE_EINVAL;
    if (!slu_url_parse(&c->url, c->o.url, &why))
        goto fail;
    struct slu_tls_options tls = { c->o.tls_ca, c->o.tls_cert, c->o.tls_key, c->o.tls_insecure };
    rc = SLUICE_ETLS;
    if (c->url.tls && !(c->tls = slu_tls_new(&tls, text, sizeof(text))))
        goto fail;
    rc = make_loop(c);
    if (rc != SLUICE_OK)
        goto fail;
    slu_conn_init(c);
    *out = c;
    return SLUICE_OK;
fail:
    destroy(c);
    return rc;
}

/* Completions run before the memory goes; what they call on c is refused. */
static void finish(sluice_client *c)
{
    c->depth++;
    slu_conn_drop(c);
    slu_pending_fail_all(c, SLUICE_ECLOSED);
    destroy(c);
}

void slu_enter(sluice_client *c)
{
    c->depth++;
}

void slu_leave(sluice_client *c)
{
    if (--c->depth > 0)
        return;
    if (c->doomed && !c->running)
        finish(c);
    else if (!c->doomed)
        slu_subs_reap(c);
}

void sluice_client_free(sluice_client *c)
{
    if (!c || c->doomed)
        return;
    c->doomed = true;
    c->phase = SLU_PH_IDLE;
    c->state = SLUICE_CLOSED;
    if (c->depth == 0 && !c->running) {
        finish(c);
        return;
    }
    slu_conn_drop(c);
    if (c->own_loop)
        ev_break(c->loop, EVBREAK_ALL);
}

enum sluice_status sluice_client_connect(sluice_client *c)
{
    if (c->doomed || c->phase == SLU_PH_CLOSING)
        return SLUICE_ESTATE;
    if (c->phase == SLU_PH_IDLE)
        slu_conn_start(c);
    return SLUICE_OK;
}

void sluice_client_disconnect(sluice_client *c)
{
    if (!c->doomed)
        slu_conn_disconnect(c);
}

void sluice_client_read(sluice_client *c, bool on)
{
    if (c->phase < SLU_PH_HELLO || c->paused == !on)
        return;
    c->paused = !on;
    c->last_rx = ev_now(c->loop);
    slu_tx_watch(c, (c->io_ev.events & EV_WRITE) && ev_is_active(&c->io_ev));
    if (on && slu_io_has_pending(&c->io)) /* decrypted already: the socket will not tell */
        ev_feed_event(c->loop, &c->io_ev, EV_READ);
}

enum sluice_state sluice_client_state(const sluice_client *c)
{
    return c->state;
}

static enum sluice_status run(sluice_client *c, int flags, bool once)
{
    if (!c->own_loop || c->depth || c->running || c->doomed)
        return SLUICE_ESTATE;
    c->running = true;
    c->stop = false;
    do
        ev_run(c->loop, flags);
    while (!once && !c->doomed && !c->stop && c->phase != SLU_PH_IDLE);
    c->running = false;
    if (c->doomed)
        finish(c);
    return SLUICE_OK;
}

enum sluice_status sluice_client_run(sluice_client *c)
{
    if (c->phase == SLU_PH_IDLE)
        return c->state == SLUICE_CLOSED && c->own_loop && !c->depth ? SLUICE_OK : SLUICE_ESTATE;
    return run(c, EVRUN_ONCE, false);
}

static void on_wait(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop, (void)w, (void)events; /* only ends the wait */
}

enum sluice_status sluice_client_run_once(sluice_client *c, int timeout_ms)
{
    ev_timer wait;
    if (!c->own_loop || c->depth || c->running || c->doomed)
        return SLUICE_ESTATE;
    if (timeout_ms <= 0)
        return run(c, timeout_ms == 0 ? EVRUN_NOWAIT : EVRUN_ONCE, true);
    struct ev_loop *loop = c->loop;
    slu_enter(c); /* the loop outlives the timer on this stack */
    ev_now_update(loop);
    ev_timer_init(&wait, on_wait, timeout_ms / 1000., 0.);
    ev_timer_start(loop, &wait);
    c->running = true;
    c->depth--;
    ev_run(loop, EVRUN_ONCE);
    c->depth++;
    c->running = false;
    ev_timer_stop(loop, &wait);
    slu_leave(c);
    return SLUICE_OK;
}

void sluice_client_stop(sluice_client *c)
{
    c->stop = true;
    if (c->own_loop)
        ev_async_send(c->loop, &c->stop_ev);
}

void *sluice_client_loop(sluice_client *c)
{
    return c->loop;
}
