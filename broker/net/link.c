/* 1. lws_write in RAW mode takes whole frames and keeps what the socket does not: while it does, nothing more is written,
 *    so the library holds at most one batch a connection.
 * 2. The core is never called from inside an op. slu_session_gone comes from lws's CLOSED (or the end of the loop).
 * 3. A cut is a shutdown of the socket: lws finds it ended and closes it in its own time. */
#include "broker/net/link.h"

#include "broker/core/session.h"
#include "broker/net/http.h"
#include "broker/net/receive.h"
#include "broker/net/upgrade.h"
#include "broker/net/waiting.h"
#include "protocol/adapter.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* What a connection costs beside what others charge, roughly: lws's own, OpenSSL's, the header table while it reads. */
enum {
    LINK_BYTES = 3072,
    TLS_BYTES = 14336,
    CLOSE_REASON_MAX = 123,
    CLOSE_CODES_END = 5000,
    PING_BYTES = 3,
    FAULT_MS = 300,
    FLOOD_BYTES = 16384,
    SPIN_MS = 1000
};
enum { OP_TEXT = 0x81, OP_BINARY = 0x82, OP_CLOSE = 0x88, OP_PING = 0x89 };

static struct slu_broker *broker_of(const struct slu_link *l)
{
    return l->loop->net->broker;
}

static void charge(struct slu_link *l, uint32_t bytes)
{
    struct slu_account *a = slu_broker_account(broker_of(l));
    if (bytes > l->charged)
        slu_account_add(a, bytes - l->charged);
    else
        slu_account_sub(a, l->charged - bytes);
    l->charged = bytes;
}

static void on_deadline(struct slu_timer *t, uint64_t now_ms)
{
    (void)now_ms;
    struct slu_link *l = slu_container_of(t, struct slu_link, timer);
    switch ((enum slu_link_state)l->state) {
    case SLU_LINK_HEAD:
        slu_count(broker_of(l), SLU_COUNT_handshakes_timed_out, 1);
        slu_link_cut(l);
        break;
    case SLU_LINK_OPEN:
        slu_receive_reset(l);
        slu_session_fail(l->session, SLU_CLOSE_BAD_FRAME, "the message was not finished in time");
        break;
    case SLU_LINK_REPLY:
    case SLU_LINK_CLOSING:
    case SLU_LINK_ENDING:
    case SLU_LINK_DEAD:
        slu_link_cut(l);
        break;
    }
}

struct slu_link *slu_link_new(struct slu_loop *loop, const struct slu_listener *from, const struct slu_ip *ip,
                              bool is_trusted)
{
    struct slu_link *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    l->loop = loop;
    l->ip = *ip;
    l->is_trusted = is_trusted;
    l->side = (uint8_t)from->side;
    l->is_tls = from->tls;
    l->reads = l->lws_reads = true;
    slu_timer_init(&l->timer, on_deadline);
    slu_list_init(&l->reading);
    slu_list_push_back(&loop->links, &l->all);
    charge(l, LINK_BYTES + loop->net->header_bytes + (l->is_tls ? TLS_BYTES : 0));
    slu_link_deadline(l, loop->view->settings.upgrade_ms);
    return l;
}

void slu_link_free(struct slu_link *l)
{
    slu_link_deadline(l, 0);
    slu_receive_reset(l);
    slu_http_reply_free(l);
    slu_list_remove(&l->all);
    slu_list_remove(&l->reading);
    slu_account_sub(slu_broker_account(broker_of(l)), l->held);
    charge(l, 0);
    slu_gate_leave(l->loop->net->gate, &l->ip);
    free(l);
}

bool slu_link_adopt(struct slu_link *l, int fd)
{
    struct slu_loop *loop = l->loop;
    lws_adopt_desc_t desc = {
        .vh = loop->vhost,
        .type = (lws_adoption_type)(LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP | (l->is_tls ? LWS_ADOPT_ALLOW_SSL : 0)),
        .fd.sockfd = fd,
        .opaque = l,
    };
    loop->adopting = l;
    struct lws *wsi = lws_adopt_descriptor_vhost_via_info(&desc);
    bool is_destroyed = loop->adopting == NULL; /* WSI_DESTROY came: the link is gone with it */
    loop->adopting = NULL;
    if (is_destroyed)
        return false;
    if (!wsi) {
        slu_link_free(l);
        return false;
    }
    l->wsi = wsi;
    return true;
}

void slu_link_set_state(struct slu_link *l, enum slu_link_state to)
{
    l->state = (uint8_t)to;
}

void slu_link_deadline(struct slu_link *l, uint64_t ms)
{
    struct slu_wheel *wheel = slu_worker_wheel(l->loop->worker);
    if (ms == 0)
        slu_wheel_cancel(wheel, &l->timer);
    else
        slu_wheel_set(wheel, &l->timer, slu_worker_now(l->loop->worker) + ms);
}

/* A socket that is shut down reads as ended, and lws closes it on the spot. It does not look at sockets that wait for an
 * HTTP reply to go out: those it is told to kill. */
void slu_link_cut(struct slu_link *l)
{
    bool is_http = l->state == SLU_LINK_REPLY || l->state == SLU_LINK_HEAD;
    slu_link_set_state(l, SLU_LINK_DEAD);
    slu_link_deadline(l, 0);
    if (!l->wsi) {
        slu_waiting_end(l);
        return;
    }
    shutdown(lws_get_socket_fd(l->wsi), SHUT_RDWR);
    if (is_http) {
        lws_set_timeout(l->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
        slu_loop_kick(l->loop);
    } else if (!l->lws_reads) {
        l->reads = l->lws_reads = true;
        lws_rx_flow_control(l->wsi, 1);
    }
}

static void tell_lws_to_read(struct slu_link *l, bool on)
{
    l->lws_reads = on;
    l->was_resumed = on;
    lws_rx_flow_control(l->wsi, on);
}

void slu_link_settle_reading(struct slu_loop *loop)
{
    slu_list_each (it, &loop->reading) {
        struct slu_link *l = slu_container_of(it, struct slu_link, reading);
        if (l->reads != l->lws_reads)
            tell_lws_to_read(l, l->reads);
        if (!l->reads)
            slu_list_remove(it);
    }
}

void slu_link_read_resumed(struct slu_loop *loop)
{
    struct slu_list batch;
    slu_list_init(&batch);
    slu_list_each (it, &loop->reading) {
        struct slu_link *l = slu_container_of(it, struct slu_link, reading);
        if (l->reads != l->lws_reads)
            continue; /* changed since the last turn: its end tells lws first */
        slu_list_remove(it);
        slu_list_push_back(&batch, it);
    }
    while (!slu_list_empty(&batch)) { /* a link that ends meanwhile leaves the list by itself */
        struct slu_link *l = slu_container_of(batch.next, struct slu_link, reading);
        slu_list_remove(&l->reading);
        struct lws_pollfd fd = { .fd = lws_get_socket_fd(l->wsi), .events = LWS_POLLIN, .revents = LWS_POLLIN };
        if (l->lws_reads)
            lws_service_fd(loop->context, &fd);
    }
}

/* True when it sent a lot since the last look and nothing of it was a message or a pong. */
static bool floods(struct slu_link *l)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    if (getsockopt(lws_get_socket_fd(l->wsi), IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return false;
    uint32_t received = (uint32_t)info.tcpi_bytes_received, before = l->rx_mark;
    bool is_silent = l->rx_mark_round == l->round && before != 0;
    l->rx_mark = received ? received : 1;
    l->rx_mark_round = l->round;
    return is_silent && received - before > FLOOD_BYTES;
}

void slu_link_find_spinners(struct slu_loop *loop)
{
    uint64_t now = slu_worker_now(loop->worker);
    slu_list_each (it, &loop->links) {
        struct slu_link *l = slu_container_of(it, struct slu_link, all);
        if (l->state == SLU_LINK_REPLY && l->timer.due_ms > 0 && l->timer.due_ms < now + SLU_HTTP_STALL_MS - SPIN_MS)
            slu_link_cut(l);
        else if (l->state == SLU_LINK_OPEN && l->session && floods(l))
            slu_session_fail(l->session, SLU_CLOSE_BAD_FRAME, "too many control frames");
    }
}

void slu_link_watch_stuck(struct slu_loop *loop)
{
    bool more = false;
    slu_list_each (it, &loop->links) {
        struct slu_link *l = slu_container_of(it, struct slu_link, all);
        uint8_t byte;
        bool is_reply = l->state == SLU_LINK_REPLY;
        if (!l->wsi || !(l->was_partial || is_reply))
            continue;
        ssize_t n = recv(lws_get_socket_fd(l->wsi), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (n == 0 || (n > 0 && is_reply))
            slu_link_cut(l);
        else
            more = true;
    }
    if (more)
        slu_loop_watch(loop);
}

void slu_link_cut_all(struct slu_loop *loop)
{
    slu_list_each (it, &loop->links) {
        struct slu_link *l = slu_container_of(it, struct slu_link, all);
        slu_link_set_state(l, SLU_LINK_DEAD);
        slu_link_deadline(l, 0);
        slu_link_gone(l);
        if (!l->wsi)
            slu_waiting_end(l);
    }
}

void slu_link_open(struct slu_link *l)
{
    char address[SLU_IP_TEXT];
    uint8_t text[SLU_UPGRADE_TEXT];
    struct slu_peer peer = {
        .address = slu_ip_text(&l->ip, address),
        .is_tls = l->is_tls,
        .is_admin = l->side == SLU_NET_ADMIN,
    };
    slu_upgrade_describe(l, &peer, text);
    slu_link_deadline(l, 0);
    charge(l, LINK_BYTES + (l->is_tls ? TLS_BYTES : 0));
    slu_link_set_state(l, SLU_LINK_OPEN);
    lws_set_wsi_user(l->wsi, l); /* only with a user pointer does lws tell when it begins to close */
    enum slu_err rc = slu_session_open(l->loop->worker, l->adapter, &slu_link_ops, l, &peer, &l->session);
    if (rc == SLU_OK)
        return;
    l->session = NULL;
    bool is_draining = rc == SLU_EDRAINING || rc == SLU_ECLOSED;
    slu_link_ops.close(l, is_draining ? SLU_CLOSE_DRAINING : SLU_CLOSE_OVERLOADED, NULL);
}

void slu_link_gone(struct slu_link *l)
{
    struct slu_session *s = l->session;
    l->session = NULL;
    if (l->state < SLU_LINK_DEAD)
        slu_link_set_state(l, SLU_LINK_DEAD);
    if (s)
        slu_session_gone(s);
}

void slu_link_destroyed(struct slu_link *l)
{
    slu_link_gone(l);
    if (l->loop->adopting == l)
        l->loop->adopting = NULL;
    slu_link_free(l);
}

static void release_held(struct slu_link *l)
{
    slu_account_sub(slu_broker_account(broker_of(l)), l->held);
    l->held = 0;
}

void slu_link_on_writable(struct slu_link *l)
{
    bool expected = l->wants_writable || l->was_partial || l->was_resumed;
    l->wants_writable = l->was_resumed = false;
    if (l->was_partial && !lws_partial_buffered(l->wsi)) {
        l->was_partial = false;
        release_held(l);
    }
    if (l->state != SLU_LINK_OPEN || !l->session)
        return;
    /* lws keeps pings to itself; what shows of one is that it asked for this call to answer it. */
    if (!expected && !slu_link_on_control(l))
        return;
    slu_session_writable(l->session);
}

bool slu_link_on_control(struct slu_link *l)
{
    if (l->state != SLU_LINK_OPEN || !l->session)
        return false;
    slu_session_alive(l->session);
    uint32_t second = (uint32_t)(slu_worker_now(l->loop->worker) / 1000);
    if (l->control_second != second) {
        l->control_second = second;
        l->control_frames = 0;
    }
    if (++l->control_frames <= l->loop->view->settings.control_frames)
        return true;
    slu_session_fail(l->session, SLU_CLOSE_BAD_FRAME, "too many control frames");
    return false;
}

/* Close frame into out (room for 127): code 0 makes an empty one. The reason is cut at a character's end. */
static size_t close_frame(uint8_t *out, unsigned code, const char *reason)
{
    size_t len = reason ? strlen(reason) : 0;
    if (len > CLOSE_REASON_MAX) {
        len = CLOSE_REASON_MAX;
        while (len > 0 && ((uint8_t)reason[len] & 0xc0) == 0x80)
            len--;
    }
    out[0] = OP_CLOSE;
    out[1] = (uint8_t)(len + 2);
    out[2] = (uint8_t)(code >> 8);
    out[3] = (uint8_t)code;
    if (len > 0)
        memcpy(out + 4, reason, len);
    return len + 4;
}

/* lws answers when the socket is next writable: after this turn's writes, if the turn ends before that. */
static void begin_end(struct slu_link *l, uint64_t ms)
{
    slu_receive_reset(l);
    slu_link_set_state(l, SLU_LINK_ENDING);
    slu_link_deadline(l, ms);
    l->loop->must_flush = true;
}

static bool has_peer_ended(const struct slu_link *l)
{
    uint8_t byte;
    ssize_t n = recv(lws_get_socket_fd(l->wsi), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN);
}

/* lws begins to close by itself. For most faults in the framing it has put its own close frame in line, and bye leaves
 * with this turn's writes before it; for an oversized control frame it has none and drops the socket right after this
 * call: bye and close frame go out here. It lost its place in what the peer sends and would not know the answer. */
void slu_link_on_end(struct slu_link *l)
{
    if (l->state != SLU_LINK_OPEN)
        return;
    bool has_frame = lws_get_close_length(l->wsi) > 0;
    if (l->session && (has_frame || !has_peer_ended(l)))
        slu_session_fail(l->session, SLU_CLOSE_PROTOCOL, NULL);
    if (l->session && !has_frame)
        slu_session_flush(l->session);
    if (l->state == SLU_LINK_OPEN)
        begin_end(l, FAULT_MS);
}

bool slu_link_on_peer_close(struct slu_link *l, struct slu_bytes payload)
{
    if (l->state != SLU_LINK_OPEN) {
        slu_link_set_state(l, SLU_LINK_DEAD);
        return false;
    }
    unsigned fault = 0;
    if (payload.len == 1 || (payload.len >= 2 && (payload.data[0] << 8 | payload.data[1]) >= CLOSE_CODES_END))
        fault = SLU_CLOSE_PROTOCOL;
    else if (payload.len > 2 && !slu_utf8_valid(slu_bytes(payload.data + 2, payload.len - 2)))
        fault = SLU_CLOSE_BAD_UTF8;
    if (fault == 0) {
        begin_end(l, slu_broker_settings(broker_of(l))->close_timeout_ms);
        if (!l->is_tls) /* what follows a close frame is nobody's; for TLS see op_read */
            tell_lws_to_read(l, false);
        return true;
    }
    slu_receive_reset(l);
    slu_link_set_state(l, SLU_LINK_DEAD);
    uint8_t frame[128];
    size_t n = close_frame(frame, fault, NULL);
    lws_write(l->wsi, frame, n, LWS_WRITE_RAW);
    return false;
}

static size_t op_frame_header(bool is_text, size_t len, uint8_t out[14])
{
    out[0] = is_text ? OP_TEXT : OP_BINARY;
    if (len < 126) {
        out[1] = (uint8_t)len;
        return 2;
    }
    if (len <= UINT16_MAX) {
        out[1] = 126;
        out[2] = (uint8_t)(len >> 8);
        out[3] = (uint8_t)len;
        return 4;
    }
    out[1] = 127;
    for (int i = 0; i < 8; i++)
        out[2 + i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
    return 10;
}

static size_t op_ping_frame(uint8_t out[32])
{
    /* one byte of payload: lws does not report an empty pong */
    static const uint8_t frame[PING_BYTES] = { OP_PING, 1, '.' };
    memcpy(out, frame, sizeof(frame));
    return sizeof(frame);
}

static bool takes_writes(const struct slu_link *l)
{
    return l->state == SLU_LINK_OPEN || l->state == SLU_LINK_ENDING;
}

static bool op_writable(struct slu_link *l)
{
    return takes_writes(l) && !lws_partial_buffered(l->wsi);
}

static enum slu_err write_raw(struct slu_link *l, const uint8_t *data, size_t len)
{
    /* lws does not write to the buffer in this mode, though its type says so */
    if (lws_write(l->wsi, (unsigned char *)(uintptr_t)data, len, LWS_WRITE_RAW) < 0) {
        slu_link_cut(l);
        return SLU_ECLOSED;
    }
    if (lws_partial_buffered(l->wsi)) {
        if (!l->was_partial)
            slu_loop_watch(l->loop);
        l->was_partial = true;
        l->held += len;
        slu_account_add(slu_broker_account(broker_of(l)), len);
    }
    return SLU_OK;
}

static enum slu_err op_write(struct slu_link *l, struct slu_bytes frames)
{
    if (!takes_writes(l))
        return SLU_ECLOSED;
    return write_raw(l, frames.data, frames.len);
}

static void op_want_writable(struct slu_link *l)
{
    if (l->state != SLU_LINK_OPEN || l->wants_writable)
        return;
    l->wants_writable = true;
    lws_callback_on_writable(l->wsi);
}

/* Stopped inside a callback while OpenSSL holds more, lws would never come out of its read loop again (4.1.6): TLS
 * connections are told after the callbacks. They may bring the rest of one record until then. */
static void op_read(struct slu_link *l, bool on)
{
    if (l->reads == on || l->state >= SLU_LINK_DEAD)
        return;
    l->reads = on;
    if (!l->is_tls) {
        tell_lws_to_read(l, on);
        return;
    }
    slu_list_remove(&l->reading);
    slu_list_push_back(&l->loop->reading, &l->reading);
}

static void op_close(struct slu_link *l, enum slu_close code, const char *reason)
{
    if (l->state != SLU_LINK_OPEN)
        return;
    slu_receive_reset(l);
    if (code == 0) {
        slu_link_cut(l);
        return;
    }
    uint8_t frame[128];
    size_t n = close_frame(frame, (unsigned)code, reason ? reason : slu_close_info(code)->reason);
    if (write_raw(l, frame, n) != SLU_OK)
        return;
    op_read(l, true); /* the peer's close frame must be seen */
    slu_link_set_state(l, SLU_LINK_CLOSING);
    slu_link_deadline(l, slu_broker_settings(broker_of(l))->close_timeout_ms);
}

static size_t op_held(struct slu_link *l)
{
    int queued = 0;
    if (l->state == SLU_LINK_DEAD || ioctl(lws_get_socket_fd(l->wsi), SIOCOUTQ, &queued) != 0 || queued < 0)
        queued = 0;
    return l->held + (size_t)queued;
}

const struct slu_link_ops slu_link_ops = {
    .frame_header = op_frame_header,
    .ping_frame = op_ping_frame,
    .writable = op_writable,
    .write = op_write,
    .want_writable = op_want_writable,
    .read = op_read,
    .close = op_close,
    .held = op_held,
};
