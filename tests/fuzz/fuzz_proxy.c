/* Any bytes into the PROXY header's parser. A header found must be found again in its own bytes alone, and every
 * beginning of it must ask for more: what a peer sends arrives in pieces. The same bytes serve as X-Forwarded-For. */
#include "broker/net/proxy.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_even(const void *arg, const struct sockaddr *sa)
{
    struct slu_ip ip = slu_ip_of(sa);
    (void)arg;
    return ip.bytes[3] % 2 == 0;
}

static void check_address(const struct slu_ip *ip)
{
    char text[SLU_IP_TEXT];
    struct slu_ip back;
    slu_ip_text(ip, text);
    if (slu_ip_parse(slu_str(text), &back) != (ip->kind != SLU_IP_NONE) || memcmp(&back, ip, sizeof(back)) != 0)
        abort();
}

/* In memory of exactly that size, so that reading past the end is noticed. */
static enum slu_proxy_result parse(const uint8_t *data, size_t size, size_t *used, struct slu_ip *ip)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    if (!copy)
        abort();
    if (size > 0)
        memcpy(copy, data, size);
    enum slu_proxy_result r = slu_proxy_parse(slu_bytes(copy, size), used, ip);
    free(copy);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slu_ip ip, again;
    size_t used = 0, used_again = 0;
    enum slu_proxy_result r = parse(data, size, &used, &ip);
    if (r == SLU_PROXY_OK) {
        if (used == 0 || used > size || used > SLU_PROXY_HEADER_MAX)
            abort();
        check_address(&ip);
        if (parse(data, used, &used_again, &again) != SLU_PROXY_OK || used_again != used ||
            memcmp(&ip, &again, sizeof(ip)) != 0)
            abort();
        for (size_t n = 0; n < used; n++)
            if (parse(data, n, &used_again, &again) != SLU_PROXY_MORE)
                abort();
    }
    if (r == SLU_PROXY_MORE && size >= SLU_PROXY_HEADER_MAX)
        abort(); /* it would be waited for without end */
    if (slu_forwarded_for(slu_bytes(data, size), is_even, NULL, &ip))
        check_address(&ip);
    slu_host_is_loopback(slu_host_without_port(slu_bytes(data, size)));
    return 0;
}
