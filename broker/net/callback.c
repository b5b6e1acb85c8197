/* Translates events into calls and decides nothing. A connection's state hangs on the opaque pointer, since lws drops
 * its own per-session memory whenever it binds another protocol. */
#include "broker/net/callback.h"

#include "broker/net/http.h"
#include "broker/net/link.h"
#include "broker/net/receive.h"
#include "broker/net/tls.h"
#include "broker/net/upgrade.h"
#include "protocol/adapter.h"

#include <stdlib.h>

/* Long writes go to the socket in one piece; without it lws cuts them and copies the rest. */
enum { TX_PACKET = 1 << 24 };

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

static void add(struct lws_protocols *list, size_t *n, const char *name)
{
    list[*n] = (struct lws_protocols){
        .name = name,
        .callback = on_event,
        .rx_buffer_size = SLU_RX_BYTES,
        .tx_packet_size = TX_PACKET,
    };
    (*n)++;
}

struct lws_protocols *slu_callback_protocols(bool with_dev)
{
    size_t n = 2;
    for (size_t i = 0; slu_adapters[i]; i++) {
        n++;
        for (size_t k = 0; slu_adapters[i]->aliases && slu_adapters[i]->aliases[k]; k++)
            n++;
    }
    struct lws_protocols *list = calloc(n, sizeof(*list));
    if (!list)
        return NULL;
    n = 0;
    add(list, &n, "no name"); /* the space keeps any offer from matching it */
    for (size_t i = 0; slu_adapters[i]; i++) {
        if (slu_adapters[i]->dev_only && !with_dev)
            continue;
        add(list, &n, slu_adapters[i]->name);
        for (size_t k = 0; slu_adapters[i]->aliases && slu_adapters[i]->aliases[k]; k++)
            add(list, &n, slu_adapters[i]->aliases[k]);
    }
    return list;
}

static bool is_about_link(enum lws_callback_reasons reason)
{
    switch ((int)reason) {
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
    case LWS_CALLBACK_ESTABLISHED:
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_RECEIVE_PONG:
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
    case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL:
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_HTTP:
    case LWS_CALLBACK_HTTP_WRITEABLE:
    case LWS_CALLBACK_WSI_DESTROY:
        return true;
    default:
        return false;
    }
}

static int on_link_event(struct slu_link *l, enum lws_callback_reasons reason, void *in, size_t len)
{
    switch ((int)reason) {
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return slu_upgrade_check(l, in) ? 0 : -1;
    case LWS_CALLBACK_ESTABLISHED:
        slu_link_open(l);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        slu_receive(l, slu_bytes(in, len));
        return 0;
    case LWS_CALLBACK_RECEIVE_PONG:
        slu_link_on_control(l);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        slu_link_on_writable(l);
        return 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        return slu_link_on_peer_close(l, slu_bytes(in, len)) ? 0 : -1;
    case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL:
        slu_link_on_end(l);
        return 0;
    case LWS_CALLBACK_CLOSED:
        slu_link_gone(l);
        return 0;
    case LWS_CALLBACK_HTTP:
        return slu_http_request(l, slu_bytes(in, len)) ? 0 : -1;
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return slu_http_continue(l) ? 0 : -1;
    default: /* WSI_DESTROY */
        slu_link_destroyed(l);
        return 0;
    }
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS)
        return slu_tls_on_context(user) ? 0 : 1;
    /* No request body is ever asked for, and method CONNECT has no use here. */
    if (reason == LWS_CALLBACK_HTTP_BODY || reason == LWS_CALLBACK_HTTP_BODY_COMPLETION ||
        reason == LWS_CALLBACK_RAW_ADOPT || reason == LWS_CALLBACK_RAW_RX)
        return -1;
    struct slu_link *l = is_about_link(reason) ? lws_get_opaque_user_data(wsi) : NULL;
    if (!l)
        return 0;
    l->wsi = wsi; /* events come before lws_adopt… has returned */
    l->loop->events++;
    return on_link_event(l, reason, in, len);
}
