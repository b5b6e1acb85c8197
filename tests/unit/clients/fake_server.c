#include "tests/unit/clients/fake_server.h"

#include "broker/base/base64.h"
#include "clients/c/src/ws.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

void fake_server_send_raw(struct fake_server *s, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0 && s->fd >= 0) {
        ssize_t n = send(s->fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        at += n;
        len -= (size_t)n;
    }
}

static void send_frame(struct fake_server *s, uint8_t first, const void *data, size_t len)
{
    static const uint8_t none[4];
    uint8_t head[SLU_WS_HEADER_MAX];
    size_t n = slu_ws_header(head, SLU_WS_TEXT, len, none) - 4;
    head[0] = first;
    head[1] &= 0x7f;
    fake_server_send_raw(s, head, n);
    fake_server_send_raw(s, data, len);
}

void fake_server_send(struct fake_server *s, const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    send_frame(s, 0x81, text, (size_t)n);
}

void fake_server_drop(struct fake_server *s)
{
    if (s->fd < 0)
        return;
    ev_io_stop(s->loop, &s->read_ev);
    close(s->fd);
    s->fd = -1;
    slu_buf_clear(&s->in);
}

void fake_server_close(struct fake_server *s, int code)
{
    uint8_t payload[2] = { (uint8_t)(code >> 8), (uint8_t)code };
    send_frame(s, 0x88, payload, 2);
    fake_server_drop(s);
}

void fake_server_pause(struct fake_server *s, bool paused)
{
    if (paused)
        ev_io_stop(s->loop, &s->read_ev);
    else
        ev_io_start(s->loop, &s->read_ev);
}

static void upgrade(struct fake_server *s)
{
    char text[128], accept[32] = "";
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len;
    slu_buf_add_byte(&s->in, '\0');
    const char *key = strstr((char *)s->in.data, "Sec-WebSocket-Key: ");
    snprintf(text, sizeof(text), "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key ? key + 19 : "");
    EVP_Digest(text, strlen(text), digest, &len, EVP_sha1(), NULL);
    slu_base64_encode(accept, slu_bytes(digest, 20));
    char head[512];
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Protocol: sluice.v1.json\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                     accept);
    fake_server_send_raw(s, head, (size_t)n);
    slu_buf_clear(&s->in);
    s->upgraded = true;
}

/* One masked frame from the client at the start of the buffer; false when it is not whole yet. */
static bool take_frame(struct fake_server *s)
{
    const uint8_t *d = s->in.data;
    size_t n = s->in.len, header = 2, len;
    if (n < 2)
        return false;
    len = d[1] & 0x7f;
    header = len == 126 ? 4 : len == 127 ? 10 : 2;
    if (n < header + 4)
        return false;
    if (len == 126)
        len = (size_t)d[2] << 8 | d[3];
    else if (len == 127)
        len = (size_t)d[6] << 24 | (size_t)d[7] << 16 | (size_t)d[8] << 8 | d[9];
    if (n < header + 4 + len)
        return false;
    uint8_t op = d[0] & 0x0f;
    char *text = malloc(len + 1);
    slu_ws_mask((uint8_t *)text, d + header + 4, len, d + header);
    text[len] = '\0';
    memmove(s->in.data, s->in.data + header + 4 + len, n - header - 4 - len);
    s->in.len -= header + 4 + len;
    if (op == SLU_WS_TEXT && s->on_text) {
        s->on_text(s, text);
    } else if (op == SLU_WS_CLOSE) {
        send_frame(s, 0x88, text, len);
        fake_server_drop(s);
    }
    free(text);
    return s->fd >= 0;
}

static void on_read(struct ev_loop *loop, ev_io *w, int events)
{
    struct fake_server *s = w->data;
    (void)loop, (void)events;
    uint8_t *to = slu_buf_reserve(&s->in, 65536);
    ssize_t n = recv(s->fd, to, 65536, 0);
    if (n <= 0) {
        fake_server_drop(s);
        return;
    }
    s->in.len += (size_t)n;
    if (!s->upgraded) {
        if (memmem(s->in.data, s->in.len, "\r\n\r\n", 4))
            upgrade(s);
        return;
    }
    while (take_frame(s))
        ;
}

static void on_accept(struct ev_loop *loop, ev_io *w, int events)
{
    struct fake_server *s = w->data;
    (void)events;
    int fd = accept(s->listener, NULL, NULL);
    if (fd < 0)
        return;
    fake_server_drop(s);
    s->fd = fd;
    s->upgraded = false;
    s->connections++;
    slu_buf_clear(&s->in);
    ev_io_init(&s->read_ev, on_read, fd, EV_READ);
    s->read_ev.data = s;
    ev_io_start(loop, &s->read_ev);
}

void fake_server_start(struct fake_server *s, struct ev_loop *loop)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(a);
    s->loop = loop;
    s->fd = -1;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(s->listener, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(s->listener, 8) != 0)
        abort();
    getsockname(s->listener, (struct sockaddr *)&a, &len);
    s->port = ntohs(a.sin_port);
    snprintf(s->url, sizeof(s->url), "ws://127.0.0.1:%u/ws", s->port);
    slu_buf_init(&s->in, 0);
    ev_io_init(&s->accept_ev, on_accept, s->listener, EV_READ);
    s->accept_ev.data = s;
    ev_io_start(loop, &s->accept_ev);
}

void fake_server_stop(struct fake_server *s)
{
    fake_server_drop(s);
    ev_io_stop(s->loop, &s->accept_ev);
    close(s->listener);
    slu_buf_fini(&s->in);
}

long fake_number(const char *text, const char *name)
{
    char pattern[64];
    snprintf(pattern, sizeof(pattern), "\"%s\":", name);
    const char *at = strstr(text, pattern);
    return at ? strtol(at + strlen(pattern), NULL, 10) : -1;
}
