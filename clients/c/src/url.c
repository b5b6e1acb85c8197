/* A small strict parser for the three URL forms that a broker has. */
#include "clients/c/src/url.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum { HOST_MAX = 255, PATH_MAX_LEN = 4096 };

static bool is_clean(const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c <= 0x20 || c == 0x7f || c == '#')
            return false;
    }
    return true;
}

static bool parse_port(const char *s, size_t len, uint16_t *port)
{
    unsigned v = 0;
    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        v = v * 10 + (unsigned)(s[i] - '0');
    }
    if (v == 0 || v > 65535)
        return false;
    *port = (uint16_t)v;
    return true;
}

/* `at` is what stands between scheme and path. */
static const char *parse_authority(struct slu_url *u, const char *at, size_t len)
{
    const char *host = at, *rest;
    size_t host_len;
    if (memchr(at, '@', len))
        return "user names in URLs are not supported: give a token instead";
    if (len && at[0] == '[') {
        const char *close = memchr(at, ']', len);
        if (!close)
            return "the IPv6 address has no closing bracket";
        host = at + 1;
        host_len = (size_t)(close - host);
        rest = close + 1;
    } else {
        const char *colon = memchr(at, ':', len);
        rest = colon ? colon : at + len;
        host_len = (size_t)(rest - at);
    }
    if (host_len == 0 || host_len > HOST_MAX)
        return "the URL has no valid host";
    size_t left = len - (size_t)(rest - at);
    u->port = u->tls ? 443 : 80;
    if (left && (rest[0] != ':' || !parse_port(rest + 1, left - 1, &u->port)))
        return "the port is not a number from 1 to 65535";
    u->default_port = u->port == (u->tls ? 443 : 80);
    u->host = strndup(host, host_len);
    return u->host ? NULL : "out of memory";
}

static const char *parse_network(struct slu_url *u, const char *at)
{
    size_t len = strcspn(at, "/?");
    const char *why = parse_authority(u, at, len), *path = at + len;
    if (why)
        return why;
    size_t path_len = strlen(path);
    if (path_len > PATH_MAX_LEN)
        return "the path is too long";
    u->path = calloc(1, path_len + 2);
    if (!u->path)
        return "out of memory";
    size_t lead = *path != '/'; /* "" and "?query" */
    u->path[0] = '/';
    memcpy(u->path + lead, path, path_len);
    return NULL;
}

static const char *parse_local(struct slu_url *u, const char *at)
{
    if (strncmp(at, "//", 2) == 0)
        at += 2;
    const char *colon = strchr(at, ':');
    size_t len = colon ? (size_t)(colon - at) : strlen(at);
    if (at[0] != '/')
        return "ws+unix needs the absolute path of a socket";
    if (len >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return "the path of the Unix socket is too long";
    if (colon && (colon[1] != '/' || strlen(colon + 1) > PATH_MAX_LEN))
        return "the path after the socket must start with '/'";
    u->local = true;
    u->host = strndup(at, len);
    u->path = strdup(colon ? colon + 1 : "/ws");
    return u->host && u->path ? NULL : "out of memory";
}

bool slu_url_parse(struct slu_url *u, const char *text, const char **why)
{
    const char *error = "the URL must start with ws://, wss:// or ws+unix:";
    memset(u, 0, sizeof(*u));
    if (!is_clean(text)) {
        error = "the URL contains white space, control characters or a fragment";
    } else if (strncmp(text, "ws://", 5) == 0) {
        error = parse_network(u, text + 5);
    } else if (strncmp(text, "wss://", 6) == 0) {
        u->tls = true;
        error = parse_network(u, text + 6);
    } else if (strncmp(text, "ws+unix:", 8) == 0) {
        error = parse_local(u, text + 8);
    }
    if (error) {
        slu_url_fini(u);
        *why = error;
    }
    return !error;
}

void slu_url_fini(struct slu_url *u)
{
    free(u->host);
    free(u->path);
    memset(u, 0, sizeof(*u));
}
