/* Own listening sockets: one of each address for each worker (SO_REUSEPORT), since libwebsockets cannot share a port. */
#pragma once

#include "broker/net/loop.h"

/* A bound and listening socket. `address` is updated to what was bound. -1: `error` says why and what to do. */
int slu_listener_bind(const struct slu_net_listen *spec, const struct slu_net_start *start, bool reuse_port,
                      struct sockaddr_storage *address, socklen_t *len, struct slu_buf *error);
/* Adds a listener to the loop; takes fd over unless it fails. */
bool slu_listener_add(struct slu_loop *l, const struct slu_net_listen *spec, int fd);
/* Takes what the kernel has accepted, then closes all listeners of the loop. */
void slu_listener_finish(struct slu_loop *l);
void slu_listener_close_all(struct slu_loop *l);
/* "127.0.0.1:80", "[::1]:80", "unix:/path" */
void slu_listener_print(const struct sockaddr_storage *sa, socklen_t len, struct slu_buf *out);
