/* The list of addresses to listen on: from the configuration, or handed over by socket activation (LISTEN_FDS). */
#pragma once

#include "broker/config/config.h"
#include "broker/net/net.h"

struct slu_sockets {
    struct slu_net_listen *items;
    size_t n;
};

/* A side for which sockets were handed over ignores its configured addresses. fini frees the list, not the sockets. */
bool slu_sockets_init(struct slu_sockets *s, const struct slu_config *cfg, struct slu_buf *error);
void slu_sockets_fini(struct slu_sockets *s);
