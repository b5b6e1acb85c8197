/* The floor under every fan-out figure: an epoll server that only carries bytes. What a publisher's read brings in
 * whole frames goes to every reader by one send() each. No handshake, no topics, no queues, no accounts: what a broker
 * needs more than this is the price of being one. A connection says with its first byte what it is: R reads, P
 * publishes. Ends when the last publisher has left. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READERS_MAX = 100000, PUBLISHERS_MAX = 1024, BATCH_MAX = 1 << 20, EVENTS_MAX = 64 };

struct publisher {
    int fd;
    size_t len; /* an unfinished frame waits in front */
    uint8_t bytes[BATCH_MAX];
};

struct floor {
    int epoll, listener;
    int readers[READERS_MAX];
    size_t n_readers;
    struct publisher *publishers[PUBLISHERS_MAX];
    size_t n_publishers, n_left;
};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "bench_floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Bytes of the whole frames that stand in front; the publisher does not mask. */
static size_t whole_frames(const uint8_t *at, size_t len)
{
    size_t done = 0;
    while (len - done >= 2) {
        const uint8_t *f = at + done;
        size_t head = f[1] < 126 ? 2 : f[1] == 126 ? 4 : 10, body = f[1];
        if (len - done < head)
            break;
        if (head == 4)
            body = (size_t)f[2] << 8 | f[3];
        for (size_t i = 2; head == 10 && i < 10; i++)
            body = (i == 2 ? 0 : body << 8) | f[i];
        if (body > BATCH_MAX || len - done - head < body)
            break;
        done += head + body;
    }
    return done;
}

static void fan_out(const struct floor *f, const uint8_t *at, size_t len)
{
    for (size_t i = 0; i < f->n_readers; i++)
        if (send(f->readers[i], at, len, MSG_NOSIGNAL) != (ssize_t)len)
            fail("a reader did not take a whole batch");
}

static void on_publisher(struct floor *f, size_t index)
{
    struct publisher *p = f->publishers[index];
    ssize_t n = recv(p->fd, p->bytes + p->len, sizeof(p->bytes) - p->len, 0);
    if (n < 0)
        fail("recv");
    if (n == 0) {
        close(p->fd);
        f->n_left++;
        return;
    }
    p->len += (size_t)n;
    size_t whole = whole_frames(p->bytes, p->len);
    if (whole == 0 && p->len == sizeof(p->bytes))
        fail("a frame is too long");
    if (whole == 0)
        return;
    fan_out(f, p->bytes, whole);
    p->len -= whole;
    memmove(p->bytes, p->bytes + whole, p->len);
}

static void add_publisher(struct floor *f, int fd)
{
    struct publisher *p = calloc(1, sizeof(*p));
    struct epoll_event e = { .events = EPOLLIN, .data.u64 = f->n_publishers + 1 };
    if (!p || f->n_publishers == PUBLISHERS_MAX || epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &e))
        fail("one publisher too many");
    p->fd = fd;
    f->publishers[f->n_publishers++] = p;
}

static void on_listener(struct floor *f)
{
    uint8_t role, ready = '!';
    int one = 1, fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0 || recv(fd, &role, 1, 0) != 1)
        fail("accept");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (role == 'P')
        add_publisher(f, fd);
    else if (f->n_readers < READERS_MAX)
        f->readers[f->n_readers++] = fd;
    else
        fail("one reader too many");
    if (send(fd, &ready, 1, MSG_NOSIGNAL) != 1)
        fail("send");
}

static void listen_and_tell(struct floor *f)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(a);
    struct epoll_event e = { .events = EPOLLIN, .data.u64 = 0 };
    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    f->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (f->listener < 0 || f->epoll < 0 || bind(f->listener, (struct sockaddr *)&a, len) || listen(f->listener, 4096) ||
        getsockname(f->listener, (struct sockaddr *)&a, &len) || epoll_ctl(f->epoll, EPOLL_CTL_ADD, f->listener, &e))
        fail("listen");
    printf("ready listen=127.0.0.1:%u\n", ntohs(a.sin_port));
    fflush(stdout);
}

int main(void)
{
    static struct floor f;
    struct epoll_event events[EVENTS_MAX];
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    listen_and_tell(&f);
    while (f.n_publishers == 0 || f.n_left < f.n_publishers) {
        int n = epoll_wait(f.epoll, events, EVENTS_MAX, -1);
        if (n < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < n; i++) {
            if (events[i].data.u64 == 0)
                on_listener(&f);
            else
                on_publisher(&f, (size_t)events[i].data.u64 - 1);
        }
    }
    return 0;
}
