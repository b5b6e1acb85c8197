/* See log_conn.h. */
#include "tests/bench/log_conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 256, IN_MAX = 256 * 1024 };

uint64_t log_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- what comes in ---- */

/* The header's length, 0 when it is not whole; frames of servers have no mask. */
static size_t head_of(const uint8_t *at, size_t len, uint64_t *body)
{
    if (len < 2)
        return 0;
    size_t need = at[1] < 126 ? 2 : at[1] == 126 ? 4 : 10;
    if (len < need)
        return 0;
    *body = at[1] < 126 ? at[1] : 0;
    for (size_t i = 2; i < need; i++)
        *body = *body << 8 | at[i];
    return need;
}

static bool take_in(struct log_conn *c)
{
    size_t at = 0;
    uint64_t body;
    for (size_t head; (head = head_of(c->in + at, c->in_len - at, &body)) != 0 && body <= c->in_len - at - head;
         at += head + (size_t)body)
        if ((c->in[at] & 0x0f) == 1 && !c->on_frame(c, (const char *)c->in + at + head, (size_t)body))
            return false;
    memmove(c->in, c->in + at, c->in_len - at);
    c->in_len -= at;
    return c->in_len < IN_MAX;
}

static bool read_some(struct log_conn *c)
{
    ssize_t n = recv(c->peer.fd, c->in + c->in_len, IN_MAX - c->in_len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0) {
        c->loop->n_lost++;
        return false;
    }
    c->in_len += (size_t)n;
    return take_in(c);
}

bool log_loop_init(struct log_loop *l, unsigned port)
{
    *l = (struct log_loop){ .port = port, .epoll = epoll_create1(EPOLL_CLOEXEC), .now_ns = log_now_ns() };
    return l->epoll >= 0;
}

bool log_loop_turn(struct log_loop *l, int wait_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(l->epoll, events, EVENTS_MAX, wait_ms);
    l->now_ns = log_now_ns();
    for (int i = 0; i < n; i++) {
        struct log_conn *c = events[i].data.ptr;
        if (!read_some(c) || !log_conn_flush(c))
            return false;
    }
    return true;
}

/* ---- what goes out ---- */

bool log_conn_flush(struct log_conn *c)
{
    if (c->out_sent < c->out_len) {
        ssize_t n = send(c->peer.fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            c->loop->n_lost++;
            return false;
        }
        c->out_sent += n > 0 ? (size_t)n : 0;
    }
    if (c->out_sent == c->out_len)
        c->out_sent = c->out_len = 0;
    return true;
}

uint8_t *log_conn_add(struct log_conn *c, size_t len)
{
    if (c->out_cap - c->out_len < len && c->out_sent > 0) {
        memmove(c->out, c->out + c->out_sent, c->out_len - c->out_sent);
        c->out_len -= c->out_sent;
        c->out_sent = 0;
    }
    if (c->out_cap - c->out_len < len)
        return NULL;
    uint8_t *at = c->out + c->out_len;
    c->out_len += len;
    return at;
}

bool log_conn_say(struct log_conn *c, const char *text)
{
    uint8_t head[14];
    size_t len = strlen(text), n = peer_frame_head(peer_find("sluice"), len, head);
    uint8_t *at = log_conn_add(c, n + len);
    if (!at)
        return false;
    memcpy(at, head, n);
    memcpy(at + n, text, len);
    return log_conn_flush(c);
}

bool log_conn_open(struct log_conn *c, struct log_loop *l, size_t index, size_t out_cap)
{
    const struct peer *p = peer_find("sluice");
    char first[64];
    c->loop = l;
    c->peer.fd = -1;
    c->out_cap = out_cap;
    c->in = malloc(IN_MAX);
    c->out = malloc(out_cap);
    if (!c->in || !c->out || !peer_conn_connect(&c->peer, p, l->port, index) ||
        !peer_conn_greet(&c->peer, p, first, p->login(first, sizeof(first))) ||
        !peer_conn_enter(&c->peer, p, p->logged_in, p->logged_in_len))
        return false;
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
    return epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->peer.fd, &e) == 0;
}

void log_conn_close(struct log_conn *c)
{
    if (c->in && c->peer.fd >= 0)
        close(c->peer.fd);
    free(c->in);
    free(c->out);
    *c = (struct log_conn){ 0 };
}

/* ---- frames ---- */

bool log_begins(const char *text, size_t len, const char *with)
{
    size_t n = strlen(with);
    return len >= n && memcmp(text, with, n) == 0;
}

bool log_number_after(const char *text, size_t len, const char *with, uint64_t *n)
{
    size_t at = strlen(with);
    if (!log_begins(text, len, with) || at == len || text[at] < '0' || text[at] > '9')
        return false;
    for (*n = 0; at < len && text[at] >= '0' && text[at] <= '9'; at++)
        *n = *n * 10 + (uint64_t)(text[at] - '0');
    return true;
}

bool log_refuse(struct log_loop *l, const char *text, size_t len)
{
    if (l->error[0] == '\0')
        snprintf(l->error, sizeof(l->error), "%.*s", (int)(len < sizeof(l->error) ? len : sizeof(l->error) - 1), text);
    return false;
}
