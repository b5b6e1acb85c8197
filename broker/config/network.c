/* Addresses to listen on, and networks of trusted proxies. Only numbers are taken: nothing here resolves a name. */
#include "broker/config/network.h"

#include "broker/config/number.h"

#include <arpa/inet.h>
#include <stdlib.h>

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/* The whole text as an IPv4 or IPv6 address: its family, or 0. */
static int parse_ip(struct slu_bytes text, uint8_t ip[16])
{
    char buf[INET6_ADDRSTRLEN];
    if (text.len == 0 || text.len >= sizeof(buf))
        return 0;
    memcpy(buf, text.data, text.len);
    buf[text.len] = '\0';
    memset(ip, 0, 16);
    if (inet_pton(AF_INET, buf, ip) == 1)
        return AF_INET;
    return inet_pton(AF_INET6, buf, ip) == 1 ? AF_INET6 : 0;
}

static size_t parse_unix(struct slu_bytes path, struct slu_addr *out, struct slu_buf *why)
{
    if (path.len == 0 || path.data[0] != '/' || path.len >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
        slu_buf_addf(why, "needs an absolute path of at most %zu bytes behind unix:",
                     sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
        return 0;
    }
    out->family = AF_UNIX;
    out->path = strndup((const char *)path.data, path.len);
    if (!out->path)
        slu_buf_add_str(why, "does not fit: out of memory");
    return out->path ? 1 : 0;
}

void slu_addr_companion(const struct slu_addr *a, struct slu_addr *out)
{
    *out = (struct slu_addr){ .family = AF_INET6, .port = a->port, .companion = true };
    out->ip[15] = 1;
}

size_t slu_parse_addr(struct slu_bytes text, struct slu_addr out[2], struct slu_buf *why)
{
    struct slu_addr a = { 0 };
    if (slu_bytes_starts(text, SLU_LIT("unix:"))) {
        size_t n = parse_unix(slu_bytes(text.data + 5, text.len - 5), &a, why);
        out[0] = a;
        return n;
    }
    const uint8_t *colon = memrchr(text.data, ':', text.len);
    uint64_t port;
    if (!colon || !slu_parse_int(slu_bytes(colon + 1, text.len - (size_t)(colon + 1 - text.data)), &port)) {
        slu_buf_add_str(why, "has no port; write ADDR:PORT, [ADDR6]:PORT, :PORT or unix:/path");
        return 0;
    }
    if (port > 65535) {
        slu_buf_add_str(why, "has a port above 65535");
        return 0;
    }
    struct slu_bytes host = slu_bytes(text.data, (size_t)(colon - text.data));
    a.port = (uint16_t)port;
    if (host.len == 0) {
        a.family = AF_INET6;
        a.any = true;
    } else if (slu_bytes_eq(host, SLU_LIT("localhost"))) {
        a.family = AF_INET;
        memcpy(a.ip, (const uint8_t[]){ 127, 0, 0, 1 }, 4);
        slu_addr_companion(&a, &out[1]);
        out[0] = a;
        return 2;
    } else if (host.data[0] == '[' && host.data[host.len - 1] == ']' && host.len > 2) {
        a.family = parse_ip(slu_bytes(host.data + 1, host.len - 2), a.ip);
        if (a.family != AF_INET6)
            a.family = 0;
    } else {
        a.family = parse_ip(host, a.ip);
        if (a.family == AF_INET6) {
            slu_buf_add_str(why, "is an IPv6 address; put it in brackets: [ADDR6]:PORT");
            return 0;
        }
    }
    if (a.family == 0) {
        slu_buf_add_str(why, "has no valid address; names are not resolved, write a number such as 127.0.0.1:8080");
        return 0;
    }
    out[0] = a;
    return 1;
}

static void ip_print(int family, const uint8_t ip[16], struct slu_buf *out)
{
    char text[INET6_ADDRSTRLEN];
    if (inet_ntop(family, ip, text, sizeof(text)))
        slu_buf_add_str(out, text);
}

void slu_addr_print(const struct slu_addr *a, struct slu_buf *out)
{
    if (a->family == AF_UNIX) {
        slu_buf_addf(out, "unix:%s", a->path);
        return;
    }
    if (!a->any) {
        slu_buf_add_str(out, a->family == AF_INET6 ? "[" : "");
        ip_print(a->family, a->ip, out);
        slu_buf_add_str(out, a->family == AF_INET6 ? "]" : "");
    }
    slu_buf_addf(out, ":%u", a->port);
}

socklen_t slu_addr_sockaddr(const struct slu_addr *a, struct sockaddr_storage *out)
{
    union {
        struct sockaddr_storage any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un un;
    } u;
    socklen_t len = 0;
    memset(&u, 0, sizeof(u));
    if (a->family == AF_INET) {
        u.v4.sin_family = AF_INET;
        u.v4.sin_port = htons(a->port);
        memcpy(&u.v4.sin_addr, a->ip, sizeof(u.v4.sin_addr));
        len = sizeof(u.v4);
    } else if (a->family == AF_INET6) {
        u.v6.sin6_family = AF_INET6;
        u.v6.sin6_port = htons(a->port);
        memcpy(&u.v6.sin6_addr, a->ip, sizeof(u.v6.sin6_addr));
        len = sizeof(u.v6);
    } else if (a->path && strlen(a->path) < sizeof(u.un.sun_path)) {
        u.un.sun_family = AF_UNIX;
        memcpy(u.un.sun_path, a->path, strlen(a->path) + 1);
        len = sizeof(u.un);
    }
    *out = u.any;
    return len;
}

bool slu_addr_is_loopback(const struct slu_addr *a)
{
    static const uint8_t one[16] = { [15] = 1 };
    if (a->family == AF_UNIX)
        return true;
    if (a->family == AF_INET)
        return a->ip[0] == 127;
    return !a->any && memcmp(a->ip, one, sizeof(one)) == 0;
}

bool slu_addr_same(const struct slu_addr *a, const struct slu_addr *b)
{
    if (a->family != b->family)
        return false;
    if (a->family == AF_UNIX)
        return strcmp(a->path, b->path) == 0;
    return a->port != 0 && a->port == b->port && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

/* Clears all bits behind the first n; true when some were set. */
static bool clear_behind(uint8_t *ip, size_t len, unsigned n)
{
    bool any = false;
    for (size_t i = 0; i < len; i++) {
        unsigned keep = n > i * 8 ? n - (unsigned)i * 8 : 0;
        uint8_t mask = (uint8_t)(keep >= 8 ? 0xffu : 0xff00u >> keep);
        any = any || (ip[i] & (uint8_t)~mask);
        ip[i] &= mask;
    }
    return any;
}

bool slu_parse_cidr(struct slu_bytes text, struct slu_cidr *out, struct slu_buf *why)
{
    struct slu_cidr c = { 0 };
    const uint8_t *slash = memchr(text.data, '/', text.len);
    struct slu_bytes ip = slash ? slu_bytes(text.data, (size_t)(slash - text.data)) : text;
    c.family = parse_ip(ip, c.ip);
    if (c.family == 0) {
        slu_buf_add_str(why, "is not a network, such as 10.0.0.0/8 or fd00::/8");
        return false;
    }
    if (c.family == AF_INET6 && memcmp(c.ip, mapped_prefix, sizeof(mapped_prefix)) == 0) {
        slu_buf_add_str(why, "is an IPv4 network in IPv6 form; write it as 10.0.0.0/8");
        return false;
    }
    size_t len = c.family == AF_INET ? 4 : 16;
    uint64_t bits = len * 8;
    if (slash && (!slu_parse_int(slu_bytes(slash + 1, text.len - ip.len - 1), &bits) || bits > len * 8)) {
        slu_buf_addf(why, "has no valid number of bits behind the slash (0 to %zu)", len * 8);
        return false;
    }
    c.bits = (unsigned)bits;
    if (clear_behind(c.ip, len, c.bits)) {
        slu_buf_add_str(why, "has address bits behind its network bits; write ");
        slu_cidr_print(&c, why);
        return false;
    }
    *out = c;
    return true;
}

void slu_cidr_print(const struct slu_cidr *c, struct slu_buf *out)
{
    ip_print(c->family, c->ip, out);
    slu_buf_addf(out, "/%u", c->bits);
}

bool slu_cidrs_match(const struct slu_cidrs *list, const struct sockaddr *peer)
{
    uint8_t ip[16] = { 0 };
    int family = peer->sa_family;
    if (family == AF_INET) {
        memcpy(ip, (const char *)peer + offsetof(struct sockaddr_in, sin_addr), 4);
    } else if (family == AF_INET6) {
        memcpy(ip, (const char *)peer + offsetof(struct sockaddr_in6, sin6_addr), 16);
        if (memcmp(ip, mapped_prefix, sizeof(mapped_prefix)) == 0) {
            family = AF_INET;
            memmove(ip, ip + 12, 4);
        }
    } else {
        return false;
    }
    for (size_t i = 0; i < list->n; i++) {
        uint8_t masked[16];
        memcpy(masked, ip, sizeof(masked));
        clear_behind(masked, family == AF_INET ? 4 : 16, list->items[i].bits);
        if (list->items[i].family == family && memcmp(masked, list->items[i].ip, family == AF_INET ? 4 : 16) == 0)
            return true;
    }
    return false;
}
