/* Puts the loops together. Order of making: all contexts, all vhosts, all listeners, then the threads; lws keeps some
 * state for the whole process that must not change any more once they run. */
#include "broker/net/net.h"

#include "broker/base/log.h"
#include "broker/net/callback.h"
#include "broker/net/listener.h"
#include "broker/net/loop.h"
#include "broker/net/tls.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

static void on_lws_log(int level, const char *line)
{
    (void)level;
    size_t len = strcspn(line, "\n");
    char text[256];
    slu_log(SLU_LOG_ERROR, "net", "libwebsockets", "text=%s", slu_log_quote(text, sizeof(text), slu_bytes(line, len)));
}

static enum slu_err make_view(const struct slu_net_settings *s, struct slu_buf *error, struct slu_view **out)
{
    struct slu_view *v = calloc(1, sizeof(*v));
    if (!v)
        return SLU_ENOMEM;
    atomic_init(&v->refs, 1);
    v->settings = *s;
    enum slu_err rc = SLU_OK;
    if (s->certificate)
        rc = slu_tls_pair_load(s->certificate, s->key, &v->pair, error);
    if (rc == SLU_OK && s->dashboard)
        rc = slu_files_load(s->dashboard, &v->files, error);
    if (rc != SLU_OK) {
        slu_view_unref(v);
        return rc;
    }
    *out = v;
    return SLU_OK;
}

static enum slu_err make_loops(struct slu_net *n, unsigned workers, struct slu_buf *error)
{
    n->loops = calloc(workers, sizeof(*n->loops));
    if (!n->loops)
        return SLU_ENOMEM;
    for (; n->n_loops < workers; n->n_loops++) {
        struct slu_loop *l = &n->loops[n->n_loops];
        l->view = n->view;
        atomic_fetch_add(&n->view->refs, 1);
        if (!slu_loop_init(l, n, n->n_loops)) {
            n->n_loops++;
            slu_buf_add_str(error, "libwebsockets: no context could be made; is libwebsockets-evlib-ev installed?");
            return SLU_EUNAVAILABLE;
        }
    }
    for (unsigned i = 0; i < workers; i++) {
        struct slu_loop *l = &n->loops[i];
        if (!slu_loop_make_vhost(l)) {
            slu_buf_add_str(error, "libwebsockets: no server could be made; with TLS: look at the certificate");
            return SLU_EUNAVAILABLE;
        }
        l->ssl_ctx = slu_tls_claim();
        if (n->view->pair && (!l->ssl_ctx || !slu_tls_use(l->ssl_ctx, n->view->pair))) {
            slu_buf_add_str(error, "tls.certificate: OpenSSL does not take this certificate and key");
            return SLU_EUNAVAILABLE;
        }
    }
    return SLU_OK;
}

static void set_port(struct sockaddr_storage *sa, uint16_t port)
{
    if (sa->ss_family == AF_INET)
        memcpy((char *)sa + offsetof(struct sockaddr_in, sin_port), &port, sizeof(port));
    else if (sa->ss_family == AF_INET6)
        memcpy((char *)sa + offsetof(struct sockaddr_in6, sin6_port), &port, sizeof(port));
}

static uint16_t port_of(const struct sockaddr_storage *sa)
{
    uint16_t port = 0;
    if (sa->ss_family == AF_INET)
        memcpy(&port, (const char *)sa + offsetof(struct sockaddr_in, sin_port), sizeof(port));
    else if (sa->ss_family == AF_INET6)
        memcpy(&port, (const char *)sa + offsetof(struct sockaddr_in6, sin6_port), sizeof(port));
    return port;
}

/* One descriptor that all workers accept from: unix sockets and inherited ones. */
static enum slu_err share(struct slu_net *n, const struct slu_net_listen *spec, int fd)
{
    for (unsigned i = 0; i < n->n_loops; i++) {
        int mine = i + 1 < n->n_loops ? dup(fd) : fd;
        if (mine < 0 || !slu_listener_add(&n->loops[i], spec, mine)) {
            if (mine >= 0 && mine != fd)
                close(mine);
            close(fd);
            return SLU_ENOMEM;
        }
    }
    return SLU_OK;
}

/* A port that another process shares with SO_REUSEPORT would be bound without complaint: look first. */
static bool is_free(const struct slu_net_listen *spec, const struct slu_net_start *start, struct sockaddr_storage sa,
                    socklen_t len, struct slu_buf *error)
{
    if (port_of(&sa) == 0)
        return true;
    int fd = slu_listener_bind(spec, start, false, &sa, &len, error);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static enum slu_err listen_on(struct slu_net *n, const struct slu_net_listen *spec, const struct slu_net_start *start,
                              struct sockaddr_storage *sa, socklen_t *len, struct slu_buf *error)
{
    if (spec->inherited >= 0) {
        *len = sizeof(*sa);
        if (getsockname(spec->inherited, (struct sockaddr *)sa, len) != 0) {
            slu_buf_add_str(error, "socket activation: the inherited descriptor is no socket");
            return SLU_EUNAVAILABLE;
        }
        return share(n, spec, spec->inherited);
    }
    if (sa->ss_family == AF_UNIX) {
        int fd = slu_listener_bind(spec, start, false, sa, len, error);
        return fd < 0 ? SLU_EUNAVAILABLE : share(n, spec, fd);
    }
    bool reuse = n->n_loops > 1;
    if (reuse && !is_free(spec, start, *sa, *len, error))
        return SLU_EUNAVAILABLE;
    for (unsigned i = 0; i < n->n_loops; i++) {
        int fd = slu_listener_bind(spec, start, reuse, sa, len, error);
        if (fd < 0)
            return SLU_EUNAVAILABLE;
        if (!slu_listener_add(&n->loops[i], spec, fd)) {
            close(fd);
            return SLU_ENOMEM;
        }
    }
    return SLU_OK;
}

static enum slu_err listen_all(struct slu_net *n, const struct slu_net_start *start, struct slu_buf *error)
{
    uint16_t last_port = 0;
    for (size_t i = 0; i < start->n_listen; i++) {
        const struct slu_net_listen *spec = &start->listen[i];
        struct sockaddr_storage sa = spec->address;
        socklen_t len = spec->address_len;
        if (spec->companion)
            set_port(&sa, last_port);
        struct slu_buf why;
        slu_buf_init(&why, 4096);
        enum slu_err rc = listen_on(n, spec, start, &sa, &len, &why);
        if (rc != SLU_OK && spec->companion)
            slu_log(SLU_LOG_WARN, "net", "listen_skipped", "why=\"%.*s\"", (int)why.len, (const char *)why.data);
        else if (rc != SLU_OK)
            slu_buf_add_bytes(error, slu_buf_bytes(&why));
        slu_buf_fini(&why);
        if (rc != SLU_OK && !spec->companion)
            return rc;
        last_port = port_of(&sa);
        if (rc != SLU_OK || n->first_address[spec->side])
            continue;
        struct slu_buf text;
        slu_buf_init(&text, 256);
        slu_listener_print(&sa, len, &text);
        slu_buf_add_byte(&text, 0);
        if (text.failed)
            return SLU_ENOMEM;
        n->first_address[spec->side] = (char *)text.data;
    }
    return SLU_OK;
}

static bool note_unix_paths(struct slu_net *n, const struct slu_net_start *start)
{
    n->unix_paths = calloc(start->n_listen + 1, sizeof(*n->unix_paths));
    if (!n->unix_paths)
        return false;
    for (size_t i = 0, k = 0; i < start->n_listen; i++) {
        const struct slu_net_listen *spec = &start->listen[i];
        if (spec->inherited >= 0 || spec->address.ss_family != AF_UNIX)
            continue;
        struct sockaddr_un un;
        memcpy(&un, &spec->address, sizeof(un));
        n->unix_paths[k] = strndup(un.sun_path, sizeof(un.sun_path));
        if (!n->unix_paths[k++])
            return false;
    }
    return true;
}

enum slu_err slu_net_new(struct slu_broker *b, const struct slu_net_start *start,
                         const struct slu_net_settings *settings, struct slu_buf *error, struct slu_net **out)
{
    struct slu_net *n = calloc(1, sizeof(*n));
    if (!n)
        return SLU_ENOMEM;
    n->broker = b;
    n->echo = start->echo;
    n->header_bytes = start->header_bytes;
    enum slu_err rc = make_view(settings, error, &n->view);
    if (rc != SLU_OK)
        goto fail;
    rc = SLU_ENOMEM;
    n->gate = slu_gate_new();
    n->protocols = slu_callback_protocols(start->echo);
    if (!n->gate || !n->protocols)
        goto fail;
    lws_set_log_level(LLL_ERR, on_lws_log);
    rc = make_loops(n, start->workers, error);
    if (rc == SLU_OK)
        rc = listen_all(n, start, error);
    if (rc == SLU_OK && !note_unix_paths(n, start))
        rc = SLU_ENOMEM;
    /* lws formats in one static buffer: with threads nothing may be logged */
    lws_set_log_level(0, on_lws_log);
    if (rc != SLU_OK)
        goto fail;
    *out = n;
    return SLU_OK;
fail:
    if (rc == SLU_ENOMEM)
        slu_buf_add_str(error, "out of memory");
    slu_net_free(n);
    return rc;
}

enum slu_err slu_net_run(struct slu_net *n)
{
    for (unsigned i = 0; i < n->n_loops; i++)
        if (!slu_loop_start(&n->loops[i]))
            return SLU_EUNAVAILABLE;
    return SLU_OK;
}

static void use_view(struct slu_loop *l, void *arg)
{
    struct slu_view *v = arg;
    if (l->ssl_ctx && v->pair && !slu_tls_use(l->ssl_ctx, v->pair))
        slu_log(SLU_LOG_ERROR, "net", "certificate_kept", "worker=%u", l->index);
    slu_view_unref(l->view);
    l->view = v;
}

enum slu_err slu_net_reload(struct slu_net *n, const struct slu_net_settings *settings, struct slu_buf *error)
{
    struct slu_view *v;
    enum slu_err rc = make_view(settings, error, &v);
    if (rc != SLU_OK)
        return rc;
    for (unsigned i = 0; i < n->n_loops; i++) {
        atomic_fetch_add(&v->refs, 1);
        if (!slu_loop_post(&n->loops[i], use_view, v)) {
            slu_view_unref(v);
            rc = SLU_ENOMEM;
        }
    }
    slu_view_unref(n->view);
    n->view = v;
    return rc;
}

static void finish_listening(struct slu_loop *l, void *arg)
{
    (void)arg;
    slu_listener_finish(l);
}

void slu_net_stop_listening(struct slu_net *n)
{
    for (unsigned i = 0; i < n->n_loops; i++)
        slu_loop_post(&n->loops[i], finish_listening, NULL);
}

struct drain {
    unsigned max;
    uint64_t after_ms;
};

static void drain_some(struct slu_loop *l, void *arg)
{
    struct drain *d = arg;
    slu_worker_drain(l->worker, d->max, d->after_ms);
    free(d);
}

void slu_net_drain(struct slu_net *n, unsigned max, uint64_t after_ms)
{
    for (unsigned i = 0; i < n->n_loops; i++) {
        struct drain *d = malloc(sizeof(*d));
        if (!d)
            return;
        *d = (struct drain){ max, after_ms };
        if (!slu_loop_post(&n->loops[i], drain_some, d))
            free(d);
    }
}

size_t slu_net_connections(const struct slu_net *n)
{
    return slu_gate_count(n->gate);
}

void slu_net_free(struct slu_net *n)
{
    if (!n)
        return;
    for (unsigned i = 0; i < n->n_loops; i++)
        slu_loop_stop(&n->loops[i]);
    for (unsigned i = 0; i < n->n_loops; i++)
        slu_loop_join(&n->loops[i]);
    for (unsigned i = 0; i < n->n_loops; i++)
        slu_loop_end_worker(&n->loops[i]);
    for (unsigned i = 0; i < n->n_loops; i++)
        slu_loop_fini(&n->loops[i]);
    for (size_t i = 0; n->unix_paths && n->unix_paths[i]; i++) {
        unlink(n->unix_paths[i]);
        free(n->unix_paths[i]);
    }
    free(n->unix_paths);
    free(n->loops);
    free(n->protocols);
    slu_gate_free(n->gate);
    slu_view_unref(n->view);
    free(n->first_address[SLU_NET_PUBLIC]);
    free(n->first_address[SLU_NET_ADMIN]);
    free(n);
}

void slu_net_address(const struct slu_net *n, enum slu_net_side side, struct slu_buf *out)
{
    slu_buf_add_str(out, n->first_address[side] ? n->first_address[side] : "");
}
