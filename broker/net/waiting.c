/* The header is peeked at, so that exactly its bytes are taken and the rest is lws's. The link's upgrade deadline runs
 * meanwhile. */
#include "broker/net/waiting.h"

#include "broker/base/log.h"
#include "broker/net/proxy.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct slu_waiting {
    ev_io io;
    struct slu_link *link;
    int fd;
    size_t seen; /* bytes at the last look */
};

static struct slu_log_limit log_limit;

void slu_waiting_end(struct slu_link *l)
{
    struct slu_waiting *w = l->waiting;
    if (w) {
        ev_io_stop(l->loop->ev, &w->io);
        close(w->fd);
        free(w);
        l->waiting = NULL;
    }
    slu_link_free(l);
}

static struct slu_gate_bounds bounds_of(const struct slu_net_settings *s)
{
    return (struct slu_gate_bounds){ s->connections, s->connections_per_address, s->connection_rate,
                                     s->connection_rate_per_address };
}

/* The header is complete: from here on the connection is the client's. */
static void finish(struct slu_waiting *w, size_t used, const struct slu_ip *ip)
{
    struct slu_link *l = w->link;
    struct slu_loop *loop = l->loop;
    uint8_t header[SLU_PROXY_HEADER_MAX];
    int one = 1;
    setsockopt(w->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
    if (recv(w->fd, header, used, 0) != (ssize_t)used) {
        slu_waiting_end(l);
        return;
    }
    if (ip->kind != SLU_IP_NONE) {
        struct slu_gate_bounds bounds = bounds_of(&loop->view->settings);
        enum slu_gate_answer answer = slu_gate_move(loop->net->gate, &bounds, &l->ip, ip, slu_worker_now(loop->worker));
        if (answer != SLU_GATE_OPEN) {
            slu_count(loop->net->broker,
                      answer == SLU_GATE_RATE ? SLU_COUNT_connections_refused_rate
                                              : SLU_COUNT_connections_refused_address,
                      1);
            slu_waiting_end(l);
            return;
        }
        l->ip = *ip;
        l->is_trusted = false; /* the client speaks now, not the proxy */
    }
    ev_io_stop(loop->ev, &w->io);
    int fd = w->fd;
    l->waiting = NULL;
    free(w);
    slu_link_adopt(l, fd);
}

static void on_readable(struct ev_loop *ev, ev_io *io, int events)
{
    (void)ev, (void)events;
    struct slu_waiting *w = io->data;
    uint8_t bytes[SLU_PROXY_HEADER_MAX];
    ssize_t n = recv(w->fd, bytes, sizeof(bytes), MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    struct slu_ip ip;
    size_t used = 0;
    enum slu_proxy_result r = n <= 0 ? SLU_PROXY_BAD : slu_proxy_parse(slu_bytes(bytes, (size_t)n), &used, &ip);
    if (r == SLU_PROXY_OK) {
        finish(w, used, &ip);
        return;
    }
    if (r == SLU_PROXY_MORE && (size_t)n > w->seen) {
        /* what was peeked at stays readable: wake for more than that */
        int more = (int)n + 1;
        w->seen = (size_t)n;
        setsockopt(w->fd, SOL_SOCKET, SO_RCVLOWAT, &more, sizeof(more));
        return;
    }
    if (n > 0 && slu_log_allowed(&log_limit, 1))
        slu_log(SLU_LOG_WARN, "net", "proxy_header_bad", "hint=\"the proxy must send a PROXY protocol header first\"");
    slu_waiting_end(w->link);
}

void slu_waiting_begin(struct slu_link *l, int fd)
{
    struct slu_waiting *w = calloc(1, sizeof(*w));
    if (!w) {
        close(fd);
        slu_link_free(l);
        return;
    }
    w->link = l;
    w->fd = fd;
    l->waiting = w;
    ev_io_init(&w->io, on_readable, fd, EV_READ);
    w->io.data = w;
    ev_io_start(l->loop->ev, &w->io);
}
