/* Socket activation by the environment that systemd sets: descriptors from 3 up, their names in LISTEN_FDNAMES; one that
 * is called "admin" serves administration. */
#include "broker/sockets.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { FIRST_FD = 3, MOST_FDS = 64 };

static size_t inherited_count(void)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    if (!pid || !fds || strtol(pid, NULL, 10) != (long)getpid())
        return 0;
    long n = strtol(fds, NULL, 10);
    return n < 0 ? 0 : n > MOST_FDS ? MOST_FDS : (size_t)n;
}

static bool is_admin_name(size_t index)
{
    const char *names = getenv("LISTEN_FDNAMES");
    for (size_t i = 0; names && i < index; i++) {
        names = strchr(names, ':');
        names = names ? names + 1 : NULL;
    }
    return names && strcspn(names, ":") == 5 && memcmp(names, "admin", 5) == 0;
}

static void add_inherited(struct slu_sockets *s, const struct slu_config *cfg, size_t count, bool *has_side)
{
    for (size_t i = 0; i < count; i++) {
        int fd = FIRST_FD + (int)i, flags = fcntl(fd, F_GETFL);
        if (flags < 0)
            continue;
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        enum slu_net_side side = is_admin_name(i) ? SLU_NET_ADMIN : SLU_NET_PUBLIC;
        s->items[s->n++] = (struct slu_net_listen){
            .inherited = fd,
            .side = side,
            .tls = side == SLU_NET_ADMIN ? cfg->tls.admin : cfg->tls.public,
            .proxy_protocol = side == SLU_NET_PUBLIC && cfg->listen.proxy_protocol,
        };
        has_side[side] = true;
    }
}

static bool add_configured(struct slu_sockets *s, const struct slu_config *cfg, enum slu_net_side side,
                           struct slu_buf *error)
{
    const struct slu_addrs *list = side == SLU_NET_ADMIN ? &cfg->listen.admin : &cfg->listen.public;
    for (size_t i = 0; i < list->n; i++) {
        const struct slu_addr *a = &list->items[i];
        struct slu_net_listen *l = &s->items[s->n];
        *l = (struct slu_net_listen){
            .both_families = a->any,
            .companion = a->companion,
            .inherited = -1,
            .side = side,
            .tls = side == SLU_NET_ADMIN ? cfg->tls.admin : cfg->tls.public,
            .proxy_protocol = side == SLU_NET_PUBLIC && cfg->listen.proxy_protocol,
        };
        l->address_len = slu_addr_sockaddr(a, &l->address);
        if (l->address_len == 0) {
            slu_buf_add_str(error, "listen: ");
            slu_addr_print(a, error);
            slu_buf_add_str(error, " is too long for a socket address; take a shorter path");
            return false;
        }
        s->n++;
    }
    return true;
}

bool slu_sockets_init(struct slu_sockets *s, const struct slu_config *cfg, struct slu_buf *error)
{
    bool has_side[2] = { false, false };
    size_t inherited = inherited_count(), most = inherited + cfg->listen.public.n + cfg->listen.admin.n;
    *s = (struct slu_sockets){ .items = calloc(most + 1, sizeof(struct slu_net_listen)) };
    if (!s->items) {
        slu_buf_add_str(error, "out of memory");
        return false;
    }
    add_inherited(s, cfg, inherited, has_side);
    for (int side = SLU_NET_PUBLIC; side <= SLU_NET_ADMIN; side++)
        if (!has_side[side] && !add_configured(s, cfg, (enum slu_net_side)side, error)) {
            slu_sockets_fini(s);
            return false;
        }
    return true;
}

void slu_sockets_fini(struct slu_sockets *s)
{
    free(s->items);
    s->items = NULL;
    s->n = 0;
}
