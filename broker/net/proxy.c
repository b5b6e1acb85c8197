/* PROXY protocol by haproxy's specification of 2020: version 1 is one line of at most 107 bytes, version 2 a binary
 * header with a length of its own; its extra fields are skipped. */
#include "broker/net/proxy.h"

#include <netinet/in.h>

enum { V1_MAX = 107, V2_FIXED = 16, V2_INET = 12, V2_INET6 = 36 };

static const uint8_t v2_signature[12] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a };

static bool agrees(struct slu_bytes in, const void *sign, size_t n)
{
    return memcmp(in.data, sign, in.len < n ? in.len : n) == 0;
}

static struct slu_bytes next_word(struct slu_bytes *rest)
{
    const uint8_t *space = memchr(rest->data, ' ', rest->len);
    struct slu_bytes word = slu_bytes(rest->data, space ? (size_t)(space - rest->data) : rest->len);
    size_t step = word.len + (space ? 1 : 0);
    *rest = slu_bytes(rest->data + step, rest->len - step);
    return word;
}

static enum slu_proxy_result parse_v1(struct slu_bytes in, size_t *used, struct slu_ip *ip)
{
    const uint8_t *end = memchr(in.data, '\n', in.len < V1_MAX ? in.len : V1_MAX);
    if (!end)
        return in.len < V1_MAX ? SLU_PROXY_MORE : SLU_PROXY_BAD;
    size_t len = (size_t)(end - in.data);
    if (len < 6 || in.data[len - 1] != '\r')
        return SLU_PROXY_BAD;
    struct slu_bytes rest = slu_bytes(in.data + 6, len - 7);
    struct slu_bytes family = next_word(&rest);
    *used = len + 1;
    *ip = (struct slu_ip){ .kind = SLU_IP_NONE };
    if (slu_bytes_eq(family, SLU_LIT("UNKNOWN")))
        return SLU_PROXY_OK;
    if (!slu_bytes_eq(family, SLU_LIT("TCP4")) && !slu_bytes_eq(family, SLU_LIT("TCP6")))
        return SLU_PROXY_BAD;
    struct slu_bytes source = next_word(&rest);
    return rest.len > 0 && slu_ip_parse(source, ip) ? SLU_PROXY_OK : SLU_PROXY_BAD;
}

static enum slu_proxy_result parse_v2(struct slu_bytes in, size_t *used, struct slu_ip *ip)
{
    if (in.len < V2_FIXED)
        return SLU_PROXY_MORE;
    unsigned version = in.data[12] >> 4, command = in.data[12] & 15, family = in.data[13] >> 4;
    size_t len = (size_t)in.data[14] << 8 | in.data[15];
    if (version != 2 || command > 1 || len > SLU_PROXY_HEADER_MAX - V2_FIXED)
        return SLU_PROXY_BAD;
    if (in.len < V2_FIXED + len)
        return SLU_PROXY_MORE;
    *used = V2_FIXED + len;
    *ip = (struct slu_ip){ .kind = SLU_IP_NONE };
    const uint8_t *body = in.data + V2_FIXED;
    if (command == 0)
        return SLU_PROXY_OK;
    struct sockaddr_storage sa = { 0 };
    if (family == 1) {
        if (len < V2_INET)
            return SLU_PROXY_BAD;
        struct slu_ip v4 = { .kind = SLU_IP_V4 };
        memcpy(v4.bytes, body, 4);
        *ip = v4;
    } else if (family == 2) {
        if (len < V2_INET6)
            return SLU_PROXY_BAD;
        struct slu_ip v6 = { .kind = SLU_IP_V6 };
        memcpy(v6.bytes, body, 16);
        slu_ip_sockaddr(&v6, &sa);
        *ip = slu_ip_of((const struct sockaddr *)&sa); /* takes mapped IPv4 out of its clothes */
    }
    return SLU_PROXY_OK;
}

enum slu_proxy_result slu_proxy_parse(struct slu_bytes in, size_t *used, struct slu_ip *ip)
{
    if (in.len == 0)
        return SLU_PROXY_MORE;
    if (agrees(in, v2_signature, sizeof(v2_signature)))
        return parse_v2(in, used, ip);
    if (agrees(in, "PROXY ", 6))
        return parse_v1(in, used, ip);
    return SLU_PROXY_BAD;
}

bool slu_forwarded_for(struct slu_bytes list, bool (*is_trusted)(const void *arg, const struct sockaddr *sa),
                       const void *arg, struct slu_ip *ip)
{
    bool found = false;
    size_t end = list.len;
    while (end > 0) {
        size_t start = end;
        while (start > 0 && list.data[start - 1] != ',')
            start--;
        size_t from = start, to = end;
        while (from < to && (list.data[from] == ' ' || list.data[from] == '\t'))
            from++;
        while (to > from && (list.data[to - 1] == ' ' || list.data[to - 1] == '\t'))
            to--;
        struct slu_ip hop;
        if (!slu_ip_parse(slu_bytes(list.data + from, to - from), &hop))
            return found;
        *ip = hop;
        found = true;
        struct sockaddr_storage sa;
        slu_ip_sockaddr(&hop, &sa);
        if (!is_trusted(arg, (const struct sockaddr *)&sa))
            return true;
        end = start > 0 ? start - 1 : 0;
    }
    return found;
}
