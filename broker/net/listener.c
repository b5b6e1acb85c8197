/* Options are set on the listening socket; Linux hands them down to what is accepted, which saves three calls for each
 * connection.
 *
 * Out of descriptors: the reserve is given up for a moment to take one connection and refuse it, then accepting pauses;
 * the rest waits in the kernel. */
#include "broker/net/listener.h"

#include "broker/base/log.h"
#include "broker/net/link.h"
#include "broker/net/waiting.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { ACCEPT_AT_ONCE = 64, FINISH_AT_ONCE = 65536, UNIX_MODE = 0660 };

static const double pause_s = 0.1;
static struct slu_log_limit log_limit;

void slu_listener_print(const struct sockaddr_storage *sa, socklen_t len, struct slu_buf *out)
{
    if (sa->ss_family == AF_UNIX) {
        struct sockaddr_un un;
        memcpy(&un, sa, sizeof(un));
        size_t n = len > offsetof(struct sockaddr_un, sun_path) ? len - offsetof(struct sockaddr_un, sun_path) : 0;
        slu_buf_addf(out, "unix:%.*s", (int)strnlen(un.sun_path, n), un.sun_path);
        return;
    }
    /* not slu_ip_of: a wildcard must stay what was bound */
    char text[SLU_IP_TEXT];
    struct slu_ip ip = slu_ip_of((const struct sockaddr *)sa);
    if (sa->ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof(in6));
        slu_buf_addf(out, "[%s]:%u", slu_ip_text(&ip, text), ntohs(in6.sin6_port));
    } else {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof(in));
        slu_buf_addf(out, "%s:%u", slu_ip_text(&ip, text), ntohs(in.sin_port));
    }
}

static void set_options(int fd, const struct slu_net_start *start)
{
    int one = 1, lowat = start->notsent_lowat;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (lowat > 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat));
    if (start->user_timeout_ms > 0)
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &start->user_timeout_ms, sizeof(start->user_timeout_ms));
}

static void explain(struct slu_buf *error, const struct sockaddr_storage *sa, socklen_t len, int code)
{
    const char *hint = "name another address with listen.public or listen.admin";
    if (code == EADDRINUSE)
        hint = sa->ss_family == AF_UNIX
                   ? "another process uses the socket: stop it, or name another path"
                   : "another process listens there: stop it, or take another port (0 = any free one)";
    else if (code == EACCES)
        hint = sa->ss_family == AF_UNIX
                   ? "the broker's user may not create a socket in that folder"
                   : "ports below 1024 need the capability CAP_NET_BIND_SERVICE: take a higher one";
    else if (code == EADDRNOTAVAIL)
        hint = "this machine does not have that address";
    slu_buf_add_str(error, "listen ");
    slu_listener_print(sa, len, error);
    slu_buf_addf(error, ": %s; %s", strerror(code), hint);
}

/* A socket file of a broker that is gone is taken away; one that answers is not. */
static void remove_stale(const struct sockaddr_storage *sa, socklen_t len)
{
    struct sockaddr_un un;
    struct stat st;
    memcpy(&un, sa, sizeof(un));
    if (lstat(un.sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)sa, len) != 0 && errno == ECONNREFUSED)
        unlink(un.sun_path);
    close(fd);
}

static int try_bind(const struct slu_net_listen *spec, const struct sockaddr_storage *sa, socklen_t len,
                    bool reuse_port)
{
    int fd = socket(sa->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0)
        return -1;
    if (sa->ss_family == AF_INET6) {
        int v6only = !spec->both_families;
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
    }
    if (sa->ss_family == AF_UNIX)
        remove_stale(sa, len);
    else
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (reuse_port)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    if (bind(fd, (const struct sockaddr *)sa, len) == 0)
        return fd;
    int code = errno;
    close(fd);
    errno = code;
    return -1;
}

static void to_v4_wildcard(struct sockaddr_storage *sa, socklen_t *len)
{
    struct sockaddr_in6 in6;
    memcpy(&in6, sa, sizeof(in6));
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = in6.sin6_port, .sin_addr.s_addr = htonl(INADDR_ANY) };
    memset(sa, 0, sizeof(*sa));
    memcpy(sa, &in, sizeof(in));
    *len = sizeof(in);
}

int slu_listener_bind(const struct slu_net_listen *spec, const struct slu_net_start *start, bool reuse_port,
                      struct sockaddr_storage *address, socklen_t *len, struct slu_buf *error)
{
    int fd = try_bind(spec, address, *len, reuse_port);
    if (fd < 0 && spec->both_families && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
        to_v4_wildcard(address, len);
        fd = try_bind(spec, address, *len, reuse_port);
    }
    if (fd < 0) {
        explain(error, address, *len, errno);
        return -1;
    }
    if (address->ss_family != AF_UNIX)
        set_options(fd, start);
    socklen_t got = sizeof(*address);
    if (listen(fd, start->backlog) != 0 || getsockname(fd, (struct sockaddr *)address, &got) != 0) {
        explain(error, address, *len, errno);
        close(fd);
        return -1;
    }
    *len = got;
    if (address->ss_family == AF_UNIX) {
        struct sockaddr_un un;
        memcpy(&un, address, sizeof(un));
        chmod(un.sun_path, UNIX_MODE);
    }
    return fd;
}

static void refuse(struct slu_listener *s, int fd, enum slu_counter why, unsigned status)
{
    slu_count(s->loop->net->broker, why, 1);
    if (!s->tls) {
        char text[256];
        int n = snprintf(text, sizeof(text),
                         "HTTP/1.1 %s\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                         status == 429 ? "429 Too Many Requests" : "503 Service Unavailable");
        if (n > 0)
            (void)!send(fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
        shutdown(fd, SHUT_WR);
    }
    close(fd);
}

static bool pass_gate(struct slu_listener *s, int fd, const struct slu_ip *ip, bool is_trusted)
{
    struct slu_loop *l = s->loop;
    const struct slu_net_settings *settings = &l->view->settings;
    struct slu_gate_bounds bounds = { settings->connections, 0, settings->connection_rate, 0 };
    if (!is_trusted) { /* else it counts for the address that the proxy names */
        bounds.per_address = settings->connections_per_address;
        bounds.rate_per_address = settings->connection_rate_per_address;
    }
    if (slu_account_pressure(slu_broker_account(l->net->broker)) >= SLU_PRESSURE_CONNECTIONS) {
        refuse(s, fd, SLU_COUNT_connections_refused_memory, 503);
        return false;
    }
    switch (slu_gate_enter(l->net->gate, &bounds, ip, slu_worker_now(l->worker))) {
    case SLU_GATE_OPEN:
        return true;
    case SLU_GATE_TOTAL:
        refuse(s, fd, SLU_COUNT_connections_refused_total, 503);
        return false;
    case SLU_GATE_ADDRESS:
        refuse(s, fd, SLU_COUNT_connections_refused_address, 429);
        return false;
    case SLU_GATE_RATE:
        refuse(s, fd, SLU_COUNT_connections_refused_rate, 429);
        return false;
    }
    return false;
}

static void take(struct slu_listener *s, int fd, const struct sockaddr_storage *sa)
{
    struct slu_loop *l = s->loop;
    const struct slu_net_settings *settings = &l->view->settings;
    struct slu_ip ip = s->is_unix ? (struct slu_ip){ .kind = SLU_IP_NONE } : slu_ip_of((const struct sockaddr *)sa);
    bool is_trusted = !s->is_unix && settings->is_trusted &&
                      settings->is_trusted(settings->is_trusted_arg, (const struct sockaddr *)sa);
    if (!pass_gate(s, fd, &ip, is_trusted))
        return;
    struct slu_link *link = slu_link_new(l, s, &ip, is_trusted);
    if (!link) {
        slu_gate_leave(l->net->gate, &ip);
        refuse(s, fd, SLU_COUNT_connections_refused_memory, 503);
        return;
    }
    if (s->proxy_protocol && is_trusted)
        slu_waiting_begin(link, fd);
    else
        slu_link_adopt(link, fd);
}

static void on_pause_over(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)events;
    struct slu_listener *s = w->data;
    ev_io_start(ev, &s->io);
}

static void out_of_descriptors(struct slu_listener *s)
{
    struct slu_loop *l = s->loop;
    if (l->reserve_fd >= 0) {
        close(l->reserve_fd);
        int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            refuse(s, fd, SLU_COUNT_connections_refused_descriptors, 503);
        l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    if (slu_log_allowed(&log_limit, 1))
        slu_log(SLU_LOG_WARN, "net", "descriptors_exhausted",
                "hint=\"raise the limit of open files (LimitNOFILE, ulimit -n) or lower limits.connections\"");
    ev_io_stop(l->ev, &s->io);
    ev_timer_set(&s->pause, pause_s, 0.0);
    ev_timer_start(l->ev, &s->pause);
}

static void accept_some(struct slu_listener *s, int max)
{
    for (int i = 0; i < max; i++) {
        struct sockaddr_storage sa = { 0 };
        socklen_t len = sizeof(sa);
        int fd = accept4(s->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take(s, fd, &sa);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            out_of_descriptors(s);
            return;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (errno == EBADF || errno == EINVAL || errno == ENOTSOCK) {
            ev_io_stop(s->loop->ev, &s->io);
            return;
        }
    }
}

static void on_acceptable(struct ev_loop *ev, ev_io *w, int events)
{
    (void)ev, (void)events;
    accept_some(w->data, ACCEPT_AT_ONCE);
}

bool slu_listener_add(struct slu_loop *l, const struct slu_net_listen *spec, int fd)
{
    struct slu_listener *s = calloc(1, sizeof(*s));
    struct sockaddr_storage sa = { 0 };
    socklen_t len = sizeof(sa);
    if (!s || getsockname(fd, (struct sockaddr *)&sa, &len) != 0) {
        free(s);
        return false;
    }
    s->loop = l;
    s->fd = fd;
    s->is_unix = sa.ss_family == AF_UNIX;
    s->side = spec->side;
    s->tls = spec->tls;
    s->proxy_protocol = spec->proxy_protocol;
    ev_io_init(&s->io, on_acceptable, fd, EV_READ);
    ev_timer_init(&s->pause, on_pause_over, pause_s, 0.0);
    s->io.data = s->pause.data = s;
    ev_io_start(l->ev, &s->io);
    slu_list_push_back(&l->listeners, &s->link);
    return true;
}

static void close_one(struct slu_listener *s)
{
    ev_io_stop(s->loop->ev, &s->io);
    ev_timer_stop(s->loop->ev, &s->pause);
    close(s->fd);
    slu_list_remove(&s->link);
    free(s);
}

void slu_listener_close_all(struct slu_loop *l)
{
    slu_list_each (it, &l->listeners)
        close_one(slu_container_of(it, struct slu_listener, link));
}

void slu_listener_finish(struct slu_loop *l)
{
    slu_list_each (it, &l->listeners)
        accept_some(slu_container_of(it, struct slu_listener, link), FINISH_AT_ONCE);
    slu_listener_close_all(l);
}
