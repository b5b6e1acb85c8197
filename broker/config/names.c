/* Origins and host names are compared byte by byte with what browsers send, so they are brought into the form that
 * browsers use: lower case, no default port, nothing behind. */
#include "broker/config/names.h"

#include "broker/config/number.h"

#include <arpa/inet.h>
#include <ctype.h>

enum { HOST_MAX = 253, FIELD_MAX = 256 };

static struct slu_bytes from(struct slu_bytes s, size_t i)
{
    return slu_bytes(s.data + i, s.len - i);
}

static void add_lower(struct slu_buf *out, struct slu_bytes s)
{
    for (size_t i = 0; i < s.len; i++)
        slu_buf_add_byte(out, (uint8_t)tolower(s.data[i]));
}

/* Length of the host at the front: a name, an IPv4 address or [an IPv6 address]; 0 = none. */
static size_t host_len(struct slu_bytes s)
{
    size_t n = 0;
    if (s.len > 0 && s.data[0] == '[') {
        const uint8_t *end = memchr(s.data, ']', s.len);
        char text[INET6_ADDRSTRLEN];
        struct in6_addr ip;
        if (!end || (size_t)(end - s.data) > sizeof(text))
            return 0;
        n = (size_t)(end - s.data);
        memcpy(text, s.data + 1, n - 1);
        text[n - 1] = '\0';
        return inet_pton(AF_INET6, text, &ip) == 1 ? n + 1 : 0;
    }
    while (n < s.len && (isalnum(s.data[n]) || s.data[n] == '-' || s.data[n] == '.' || s.data[n] == '_'))
        n++;
    bool is_odd = n == 0 || n > HOST_MAX || s.data[0] == '.' || s.data[0] == '-';
    for (size_t i = 1; i < n; i++)
        is_odd = is_odd || (s.data[i] == '.' && s.data[i - 1] == '.');
    return is_odd ? 0 : n;
}

bool slu_parse_host(struct slu_bytes text, struct slu_buf *out, struct slu_buf *why)
{
    size_t n = host_len(text);
    if (n == 0) {
        slu_buf_add_str(why, "is not a host name");
        return false;
    }
    if (n < text.len) {
        slu_buf_add_str(why, text.data[n] == ':' ? "has a port; give the name alone" : "is not a host name");
        return false;
    }
    add_lower(out, text);
    return true;
}

bool slu_parse_origin(struct slu_bytes text, struct slu_buf *out, struct slu_buf *why)
{
    size_t scheme = 0;
    while (scheme < text.len && (isalnum(text.data[scheme]) || (scheme > 0 && memchr("+-.", text.data[scheme], 3))))
        scheme++;
    if (slu_bytes_eq(text, SLU_LIT("*"))) {
        slu_buf_add_str(why, "would let in every page of the web; list the origins, such as https://example.com");
        return false;
    }
    if (scheme == 0 || !isalpha(text.data[0]) || !slu_bytes_starts(from(text, scheme), SLU_LIT("://"))) {
        slu_buf_add_str(why, "is not an origin, such as https://example.com or http://localhost:3000");
        return false;
    }
    struct slu_bytes host = from(text, scheme + 3);
    size_t n = host_len(host);
    if (n == 0) {
        slu_buf_add_str(why, "has no valid host; a wildcard is not possible");
        return false;
    }
    struct slu_bytes rest = from(host, n);
    uint64_t port = 0;
    if (rest.len > 0 && rest.data[0] == ':') {
        size_t digits = 1;
        while (digits < rest.len && isdigit(rest.data[digits]))
            digits++;
        if (!slu_parse_int(slu_bytes(rest.data + 1, digits - 1), &port) || port < 1 || port > 65535) {
            slu_buf_add_str(why, "has no valid port");
            return false;
        }
        rest = from(rest, digits);
    }
    if (rest.len > 0) {
        slu_buf_add_str(why, "has something behind host and port; an origin ends there, without a slash");
        return false;
    }
    bool is_https = scheme == 5 && strncasecmp((const char *)text.data, "https", 5) == 0;
    bool is_http = scheme == 4 && strncasecmp((const char *)text.data, "http", 4) == 0;
    add_lower(out, slu_bytes(text.data, scheme + 3 + n));
    if (port && !(is_https && port == 443) && !(is_http && port == 80))
        slu_buf_addf(out, ":%u", (unsigned)port);
    return true;
}

bool slu_parse_field(struct slu_bytes text, struct slu_buf *out, struct slu_buf *why)
{
    static const struct slu_bytes headers = { (const uint8_t *)"headers.", 8 }, data = { (const uint8_t *)"data.", 5 };
    bool is_field = (slu_bytes_starts(text, headers) && text.len > headers.len) ||
                    (slu_bytes_starts(text, data) && text.len > data.len);
    if (!is_field || text.len > FIELD_MAX) {
        slu_buf_add_str(why, "is not a field, such as headers.region or data.px");
        return false;
    }
    slu_buf_add_bytes(out, text);
    return true;
}
