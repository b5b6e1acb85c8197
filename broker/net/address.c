/* inet_pton does the parsing; here is only what surrounds the digits in headers. */
#include "broker/net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <strings.h>

struct slu_ip slu_ip_of(const struct sockaddr *sa)
{
    static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    struct slu_ip ip = { .kind = SLU_IP_NONE };
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof(in));
        ip.kind = SLU_IP_V4;
        memcpy(ip.bytes, &in.sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof(in6));
        if (memcmp(&in6.sin6_addr, mapped, sizeof(mapped)) == 0) {
            ip.kind = SLU_IP_V4;
            memcpy(ip.bytes, in6.sin6_addr.s6_addr + 12, 4);
        } else {
            ip.kind = SLU_IP_V6;
            memcpy(ip.bytes, &in6.sin6_addr, 16);
        }
    }
    return ip;
}

const char *slu_ip_text(const struct slu_ip *ip, char out[SLU_IP_TEXT])
{
    if (ip->kind == SLU_IP_NONE || !inet_ntop(ip->kind == SLU_IP_V4 ? AF_INET : AF_INET6, ip->bytes, out, SLU_IP_TEXT))
        snprintf(out, SLU_IP_TEXT, "unix");
    return out;
}

void slu_ip_sockaddr(const struct slu_ip *ip, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (ip->kind == SLU_IP_V4) {
        struct sockaddr_in in = { .sin_family = AF_INET };
        memcpy(&in.sin_addr, ip->bytes, 4);
        memcpy(out, &in, sizeof(in));
    } else if (ip->kind == SLU_IP_V6) {
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
        memcpy(&in6.sin6_addr, ip->bytes, 16);
        memcpy(out, &in6, sizeof(in6));
    }
}

struct slu_bytes slu_host_without_port(struct slu_bytes host)
{
    if (host.len > 0 && host.data[0] == '[') {
        const uint8_t *end = memchr(host.data, ']', host.len);
        return end ? slu_bytes(host.data, (size_t)(end - host.data) + 1) : host;
    }
    const uint8_t *colon = memchr(host.data, ':', host.len);
    return colon ? slu_bytes(host.data, (size_t)(colon - host.data)) : host;
}

bool slu_ip_parse(struct slu_bytes text, struct slu_ip *ip)
{
    *ip = (struct slu_ip){ .kind = SLU_IP_NONE };
    const uint8_t *colon = memchr(text.data, ':', text.len);
    bool is_bare_v6 =
        colon && memchr(colon + 1, ':', text.len - (size_t)(colon + 1 - text.data)) && text.data[0] != '[';
    struct slu_bytes host = is_bare_v6 ? text : slu_host_without_port(text);
    if (host.len > 2 && host.data[0] == '[') {
        if (host.data[host.len - 1] != ']')
            return false;
        host = slu_bytes(host.data + 1, host.len - 2);
    }
    char copy[SLU_IP_TEXT];
    if (host.len == 0 || host.len >= sizeof(copy) || memchr(host.data, 0, host.len))
        return false;
    memcpy(copy, host.data, host.len);
    copy[host.len] = '\0';
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    if (inet_pton(AF_INET, copy, ip->bytes) == 1) {
        ip->kind = SLU_IP_V4;
    } else if (inet_pton(AF_INET6, copy, &in6.sin6_addr) == 1) {
        struct sockaddr_storage sa = { 0 };
        memcpy(&sa, &in6, sizeof(in6));
        *ip = slu_ip_of((const struct sockaddr *)&sa);
    }
    return ip->kind != SLU_IP_NONE;
}

static bool is_name(struct slu_bytes host, const char *name)
{
    return host.len == strlen(name) && strncasecmp((const char *)host.data, name, host.len) == 0;
}

bool slu_host_is_loopback(struct slu_bytes host)
{
    static const char suffix[] = ".localhost";
    if (is_name(host, "localhost") || is_name(host, "[::1]"))
        return true;
    size_t n = sizeof(suffix) - 1;
    if (host.len > n && is_name(slu_bytes(host.data + host.len - n, n), suffix))
        return true;
    struct slu_ip ip;
    return slu_ip_parse(host, &ip) && ip.kind == SLU_IP_V4 && ip.bytes[0] == 127;
}
