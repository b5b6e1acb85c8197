/* See peer_conn.h. The mask of frames is zero, which RFC 6455 allows and costs no time here. */
#include "tests/bench/peer_conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PER_ADDRESS = 10000, SETUP_MAX = 16384, ANSWER_TIMEOUT_S = 10 };

size_t peer_frame_head(const struct peer *p, size_t len, uint8_t out[14])
{
    uint8_t mask = p->path ? 0x80 : 0;
    size_t n = 2;
    out[0] = p->is_binary ? 0x82 : 0x81;
    if (len < 126) {
        out[1] = (uint8_t)(mask | len);
    } else if (len < 65536) {
        out[1] = mask | 126;
        out[n++] = (uint8_t)(len >> 8);
        out[n++] = (uint8_t)len;
    } else {
        out[1] = mask | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            out[n++] = (uint8_t)((uint64_t)len >> shift);
    }
    if (mask) {
        memset(out + n, 0, 4);
        n += 4;
    }
    return n;
}

/* ---- what comes in ---- */

/* True when the header is whole; frames of servers have no mask. */
static bool add_to_head(struct peer_conn *c, uint8_t byte)
{
    c->head[c->head_len++] = byte;
    if (c->head_len < 2)
        return false;
    uint8_t len = c->head[1] & 0x7f, need = len < 126 ? 2 : len == 126 ? 4 : 10;
    if (c->head_len < need)
        return false;
    c->opcode = c->head[0] & 0x0f;
    c->body_left = len < 126 ? len : 0;
    for (uint8_t i = 2; i < need; i++)
        c->body_left = c->body_left << 8 | c->head[i];
    return true;
}

static size_t filling_in(const uint8_t *at, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += at[i] == PEER_FILLING;
    return n;
}

static void take_in(struct peer_conn *c, const uint8_t *at, size_t len)
{
    const uint8_t *end = at + len;
    while (at < end) {
        if (c->body_left == 0) {
            if (add_to_head(c, *at++))
                c->head_len = 0;
            continue;
        }
        size_t n = (size_t)(end - at) < c->body_left ? (size_t)(end - at) : (size_t)c->body_left;
        if (c->opcode < 8)
            c->filling += filling_in(at, n);
        at += n;
        c->body_left -= n;
    }
}

bool peer_conn_read(struct peer_conn *c)
{
    static uint8_t buf[256 * 1024];
    ssize_t n = recv(c->fd, buf, sizeof(buf), 0);
    if (n > 0)
        take_in(c, buf, (size_t)n);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* ---- coming in ---- */

struct peer_setup {
    size_t len;
    char buf[SETUP_MAX];
};

static bool fail(struct peer_conn *c, const struct peer *p, const char *what)
{
    fprintf(stderr, "bench_peer: %s: %s: %s\n", p->name, what, errno ? strerror(errno) : "it ended the connection");
    free(c->setup);
    c->setup = NULL;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    return false;
}

static bool connect_from(struct peer_conn *c, unsigned port, size_t index)
{
    struct sockaddr_in from = { .sin_family = AF_INET }, to = { .sin_family = AF_INET };
    struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT_S };
    int one = 1;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(index / PER_ADDRESS));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)port);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return false;
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    return bind(c->fd, (struct sockaddr *)&from, sizeof(from)) == 0 &&
           connect(c->fd, (struct sockaddr *)&to, sizeof(to)) == 0;
}

static bool send_all(int fd, const void *at, size_t len)
{
    return send(fd, at, len, MSG_NOSIGNAL) == (ssize_t)len; /* blocking, and little */
}

bool peer_conn_connect(struct peer_conn *c, const struct peer *p, unsigned port, size_t index)
{
    char text[512], protocol[96] = "";
    errno = 0;
    c->setup = calloc(1, sizeof(*c->setup));
    if (!c->setup || !connect_from(c, port, index))
        return fail(c, p, "connect");
    if (!p->path)
        return true;
    if (p->subprotocol)
        snprintf(protocol, sizeof(protocol), "Sec-WebSocket-Protocol: %s\r\n", p->subprotocol);
    int n = snprintf(text, sizeof(text),
                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2x1aWNlIGJlbmNobWFyaw==\r\n%s\r\n",
                     p->path, port, protocol);
    return send_all(c->fd, text, (size_t)n) || fail(c, p, "send");
}

/* Reads until `mark` has come; returns where the bytes behind it begin, 0 if it did not come. */
static size_t read_until(const struct peer_conn *c, const char *mark, size_t mark_len)
{
    struct peer_setup *s = c->setup;
    for (;;) {
        const char *found = memmem(s->buf, s->len, mark, mark_len);
        if (found)
            return (size_t)(found - s->buf) + mark_len;
        ssize_t n = s->len < SETUP_MAX ? recv(c->fd, s->buf + s->len, SETUP_MAX - s->len, 0) : 0;
        if (n <= 0)
            return 0;
        s->len += (size_t)n;
    }
}

static bool await_upgrade(const struct peer_conn *c)
{
    struct peer_setup *s = c->setup;
    size_t body = read_until(c, "\r\n\r\n", 4);
    if (body == 0 || memcmp(s->buf, "HTTP/1.1 101", 12) != 0)
        return false;
    memmove(s->buf, s->buf + body, s->len - body);
    s->len -= body;
    return true;
}

bool peer_conn_greet(struct peer_conn *c, const struct peer *p, const char *first, size_t first_len)
{
    uint8_t frame[14 + 512];
    errno = 0;
    if (p->path && !await_upgrade(c))
        return fail(c, p, "the WebSocket handshake");
    size_t n = p->path ? peer_frame_head(p, first_len, frame) : 0;
    if (first_len > sizeof(frame) - n)
        return fail(c, p, "the first frame is too long");
    memcpy(frame + n, first, first_len);
    return send_all(c->fd, frame, n + first_len) || fail(c, p, "send");
}

bool peer_conn_enter(struct peer_conn *c, const struct peer *p, const char *answer, size_t answer_len)
{
    errno = 0;
    if (read_until(c, answer, answer_len) == 0)
        return fail(c, p, "the answer to the first frame");
    if (p->path)
        take_in(c, (const uint8_t *)c->setup->buf, c->setup->len);
    while (c->body_left > 0 || c->head_len > 0)
        if (!peer_conn_read(c))
            return fail(c, p, "the rest of the answer");
    free(c->setup);
    c->setup = NULL;
    return fcntl(c->fd, F_SETFL, O_NONBLOCK) == 0 || fail(c, p, "fcntl");
}
