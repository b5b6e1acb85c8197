/* Splits the URL of a broker: ws://host:port/path, wss://…, ws+unix:/socket/path[:/path]. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct slu_url {
    bool tls, local; /* local: host is the path of a Unix socket */
    uint16_t port;
    bool default_port; /* the port is the scheme's own: it stays out of the Host header */
    char *host;        /* without brackets */
    char *path;        /* with query, starts with '/' */
};

/* Fills u on success; *why (static text) on failure. User names, fragments, white space and control characters are refused. */
bool slu_url_parse(struct slu_url *u, const char *text, const char **why);
void slu_url_fini(struct slu_url *u); /* u may be all zero */
