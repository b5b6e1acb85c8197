/* Sockets. Writes never raise SIGPIPE, on TLS neither. */
#include "clients/c/src/io.h"

#include "clients/c/src/io_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void slu_io_init(struct slu_io *io)
{
    memset(io, 0, sizeof(*io));
    io->fd = -1;
}

static void close_fd(struct slu_io *io)
{
    if (io->ssl)
        SSL_free(io->ssl);
    io->ssl = NULL;
    if (io->fd >= 0)
        close(io->fd);
    io->fd = -1;
}

void slu_io_close(struct slu_io *io)
{
    close_fd(io);
    if (io->addresses)
        freeaddrinfo(io->addresses);
    io->addresses = io->next = NULL;
    io->want = 0;
    io->tls_failed = false;
}

static enum slu_io_rc failed(struct slu_io *io, const char *what, const char *why)
{
    snprintf(io->error, sizeof(io->error), "%s: %s", what, why);
    return SLU_IO_FAILED;
}

/* OK, WAIT or FAILED; the descriptor is open unless FAILED. */
static enum slu_io_rc start(struct slu_io *io, const struct sockaddr *to, socklen_t len, const char *bind_address)
{
    int on = 1;
    io->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (io->fd < 0)
        return failed(io, "socket", strerror(errno));
    if (to->sa_family != AF_UNIX)
        setsockopt(io->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (bind_address && to->sa_family != AF_UNIX) {
        struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
        struct sockaddr_in four = { .sin_family = AF_INET };
        bool is_six = to->sa_family == AF_INET6;
        void *raw = is_six ? (void *)&six.sin6_addr : (void *)&four.sin_addr;
        const struct sockaddr *from =
            is_six ? (const struct sockaddr *)(const void *)&six : (const struct sockaddr *)(const void *)&four;
        setsockopt(io->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
        if (inet_pton(to->sa_family, bind_address, raw) != 1)
            return failed(io, bind_address, "not an address of the broker's family");
        if (bind(io->fd, from, is_six ? sizeof(six) : sizeof(four)) != 0)
            return failed(io, bind_address, strerror(errno));
    }
    if (connect(io->fd, to, len) == 0)
        return SLU_IO_OK;
    if (errno != EINPROGRESS)
        return failed(io, "connect", strerror(errno));
    io->want = SLU_IO_WRITE;
    return SLU_IO_WAIT;
}

enum slu_io_rc slu_io_next_address(struct slu_io *io, const char *bind_address)
{
    enum slu_io_rc rc = SLU_IO_FAILED;
    while (rc == SLU_IO_FAILED && io->next) {
        struct addrinfo *a = io->next;
        io->next = a->ai_next;
        close_fd(io);
        rc = start(io, a->ai_addr, a->ai_addrlen, bind_address);
    }
    if (rc == SLU_IO_FAILED)
        close_fd(io);
    return rc;
}

static enum slu_io_rc connect_local(struct slu_io *io, const char *path)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    size_t len = strlen(path);
    if (len >= sizeof(to.sun_path))
        return failed(io, path, "the path of the Unix socket is too long");
    memcpy(to.sun_path, path, len + 1);
    enum slu_io_rc rc = start(io, (const struct sockaddr *)(const void *)&to, sizeof(to), NULL);
    if (rc == SLU_IO_FAILED)
        close_fd(io);
    return rc;
}

enum slu_io_rc slu_io_connect(struct slu_io *io, const struct slu_url *u, const char *bind_address)
{
    slu_io_close(io);
    io->error[0] = '\0';
    if (u->local)
        return connect_local(io, u->host);
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
    char port[8];
    snprintf(port, sizeof(port), "%u", u->port);
    if (bind_address)
        hints.ai_family = strchr(bind_address, ':') ? AF_INET6 : AF_INET;
    /* No name means loopback: localhost is that with no resolver or hosts file either (RFC 6761, section 6.3). */
    const char *name = strcasecmp(u->host, "localhost") == 0 ? NULL : u->host;
    int rc = getaddrinfo(name, port, &hints, &io->addresses);
    if (rc != 0) { /* loopback names work without a configured interface too */
        hints.ai_flags = 0;
        rc = getaddrinfo(name, port, &hints, &io->addresses);
    }
    if (rc != 0) {
        io->addresses = NULL;
        return failed(io, u->host, rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
    }
    io->next = io->addresses;
    return slu_io_next_address(io, bind_address);
}

enum slu_io_rc slu_io_connected(struct slu_io *io, const char *bind_address)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error == 0)
        return SLU_IO_OK;
    failed(io, "connect", strerror(error));
    return slu_io_next_address(io, bind_address);
}

enum slu_io_rc slu_io_read(struct slu_io *io, void *data, size_t cap, size_t *n)
{
    if (io->ssl)
        return slu_io_tls_read(io, data, cap, n);
    ssize_t got;
    do
        got = recv(io->fd, data, cap, 0);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        *n = (size_t)got;
        return SLU_IO_OK;
    }
    if (got == 0)
        return SLU_IO_EOF;
    if (errno != EAGAIN && errno != EWOULDBLOCK)
        return failed(io, "read", strerror(errno));
    io->want = SLU_IO_READ;
    return SLU_IO_WAIT;
}

enum slu_io_rc slu_io_write(struct slu_io *io, const void *data, size_t len, size_t *n)
{
    if (io->ssl)
        return slu_io_tls_write(io, data, len, n);
    ssize_t put;
    do
        put = send(io->fd, data, len, MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
    if (put > 0) {
        *n = (size_t)put;
        return SLU_IO_OK;
    }
    if (put < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
        return failed(io, "write", strerror(errno));
    io->want = SLU_IO_WRITE;
    return SLU_IO_WAIT;
}
