/* PROXY headers of both versions, whole, cut short at every byte, malformed and too large; and X-Forwarded-For. */
#include "broker/net/proxy.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <netinet/in.h>
#include <stdlib.h>

#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define INET         \
    "\xc0\0\2\7"     \
    "\xc6\x33\x64\1" \
    "\x1f\x90\x01\xbb"
#define INET6_OF(source)                            \
    source "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2" \
           "\x1f\x90\x01\xbb"
#define V6                 "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
#define MAPPED             "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\7"
#define MAX_TEXT_ADDRESSES "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535"

/* From memory of exactly that size, so that reading past the end is noticed. */
static enum slu_proxy_result parse(struct slu_bytes in, size_t *used, struct slu_ip *ip)
{
    uint8_t *copy = malloc(in.len > 0 ? in.len : 1);
    cr_assert(ne(ptr, copy, NULL));
    if (in.len > 0)
        memcpy(copy, in.data, in.len);
    *used = 0;
    *ip = (struct slu_ip){ .kind = SLU_IP_NONE };
    enum slu_proxy_result r = slu_proxy_parse(slu_bytes(copy, in.len), used, ip);
    free(copy);
    return r;
}

static const struct {
    struct slu_bytes header;
    const char *ip;
} good[] = {
    { SLU_LIT("PROXY TCP4 192.0.2.7 198.51.100.1 8080 443\r\n"), "192.0.2.7" },
    { SLU_LIT("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), "255.255.255.255" },
    { SLU_LIT("PROXY TCP6 2001:db8::1 2001:db8::2 8080 443\r\n"), "2001:db8::1" },
    { SLU_LIT("PROXY TCP6 ::ffff:192.0.2.7 ::1 8080 443\r\n"), "192.0.2.7" },
    { SLU_LIT("PROXY TCP6 " MAX_TEXT_ADDRESSES "\r\n"), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
    { SLU_LIT("PROXY UNKNOWN\r\n"), "unix" },
    { SLU_LIT("PROXY UNKNOWN " MAX_TEXT_ADDRESSES "\r\n"), "unix" },
    { SLU_LIT(SIGNATURE "\x21\x11\0\x0c" INET), "192.0.2.7" },
    { SLU_LIT(SIGNATURE "\x21\x21\0\x24" INET6_OF(V6)), "2001:db8::1" },
    { SLU_LIT(SIGNATURE "\x21\x21\0\x24" INET6_OF(MAPPED)), "192.0.2.7" },
    { SLU_LIT(SIGNATURE "\x21\x11\0\x13" INET "\x04\0\x04none"), "192.0.2.7" }, /* with a field behind */
    { SLU_LIT(SIGNATURE "\x20\0\0\0"), "unix" },                                /* LOCAL */
    { SLU_LIT(SIGNATURE "\x20\x11\0\x0c" INET), "unix" },                       /* LOCAL: what it names is ignored */
    { SLU_LIT(SIGNATURE "\x21\0\0\0"), "unix" },                                /* PROXY of an unknown family */
    { SLU_LIT(SIGNATURE "\x21\x31\0\4/sck"), "unix" },
};

Test(proxy, good_headers_name_their_client_and_leave_what_follows)
{
    for (size_t i = 0; i < COUNT(good); i++) {
        char text[SLU_IP_TEXT];
        uint8_t with_more[256];
        struct slu_ip ip;
        size_t used, len = good[i].header.len;
        cr_assert(eq(int, parse(good[i].header, &used, &ip), SLU_PROXY_OK), "%zu", i);
        cr_assert(eq(sz, used, len), "%zu", i);
        cr_assert(eq(str, (char *)slu_ip_text(&ip, text), (char *)good[i].ip), "%zu", i);

        memcpy(with_more, good[i].header.data, len);
        memcpy(with_more + len, "GET / HTTP/1.1\r\n", 16);
        cr_assert(eq(int, parse(slu_bytes(with_more, len + 16), &used, &ip), SLU_PROXY_OK), "%zu", i);
        cr_assert(eq(sz, used, len), "%zu", i);
        cr_assert(eq(str, (char *)slu_ip_text(&ip, text), (char *)good[i].ip), "%zu", i);
    }
}

Test(proxy, every_beginning_of_a_good_header_asks_for_more)
{
    for (size_t i = 0; i < COUNT(good); i++) {
        for (size_t n = 0; n < good[i].header.len; n++) {
            struct slu_ip ip;
            size_t used;
            cr_expect(eq(int, parse(slu_bytes(good[i].header.data, n), &used, &ip), SLU_PROXY_MORE), "%zu at %zu", i,
                      n);
        }
    }
}

Test(proxy, malformed_headers_are_refused)
{
    static const struct slu_bytes bad[] = {
        SLU_LIT("G"),
        SLU_LIT("GET / HTTP/1.1\r\n"),
        SLU_LIT("proxy TCP4 192.0.2.7 198.51.100.1 8080 443\r\n"),
        SLU_LIT("PROXY\r\n"),
        SLU_LIT("PROXY \n"),
        SLU_LIT("PROXY \r\n"),
        SLU_LIT("PROXY TCP4\r\n"),
        SLU_LIT("PROXY TCP4 \r\n"),
        SLU_LIT("PROXY TCP4 192.0.2.7\r\n"),
        SLU_LIT("PROXY TCP4 192.0.2.7 198.51.100.1 8080 443\n"),
        SLU_LIT("PROXY TCP4  192.0.2.7 198.51.100.1 8080 443\r\n"),
        SLU_LIT("PROXY TCP4 192.0.2.256 198.51.100.1 8080 443\r\n"),
        SLU_LIT("PROXY TCP4 192.0.2 198.51.100.1 8080 443\r\n"),
        SLU_LIT("PROXY TCP4 client 198.51.100.1 8080 443\r\n"),
        SLU_LIT("PROXY TCP6 2001:db8:::1 2001:db8::2 8080 443\r\n"),
        SLU_LIT("PROXY UDP4 192.0.2.7 198.51.100.1 8080 443\r\n"),
        SLU_LIT("PROXY tcp4 192.0.2.7 198.51.100.1 8080 443\r\n"),
        SLU_LIT("\r\n\r\n\0\r\nQUIX"),
        SLU_LIT("\r\n\r\nGET"),
        SLU_LIT(SIGNATURE "\x11\x11\0\x0c" INET), /* version 1 in binary */
        SLU_LIT(SIGNATURE "\x31\x11\0\x0c" INET), /* version 3 */
        SLU_LIT(SIGNATURE "\x22\x11\0\x0c" INET), /* no such command */
        SLU_LIT(SIGNATURE "\x21\x11\0\x0b" INET), /* shorter than two IPv4 addresses */
        SLU_LIT(SIGNATURE "\x21\x11\0\0"),
        SLU_LIT(SIGNATURE "\x21\x21\0\x23" INET6_OF(V6)), /* shorter than two IPv6 addresses */
        SLU_LIT(SIGNATURE "\x21\x21\0\x0c" INET),
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct slu_ip ip;
        size_t used;
        cr_expect(eq(int, parse(bad[i], &used, &ip), SLU_PROXY_BAD), "%zu", i);
    }
}

Test(proxy, a_line_ends_within_107_bytes)
{
    uint8_t line[200];
    struct slu_ip ip;
    size_t used;
    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    cr_assert(eq(int, parse(slu_bytes(line, 106), &used, &ip), SLU_PROXY_MORE));
    cr_assert(eq(int, parse(slu_bytes(line, 107), &used, &ip), SLU_PROXY_BAD));
    cr_assert(eq(int, parse(slu_bytes(line, sizeof(line)), &used, &ip), SLU_PROXY_BAD));
    memcpy(line + 106, "\r\n", 2);
    cr_assert(eq(int, parse(slu_bytes(line, 108), &used, &ip), SLU_PROXY_BAD));
    memcpy(line + 105, "\r\n", 2);
    cr_assert(eq(int, parse(slu_bytes(line, 108), &used, &ip), SLU_PROXY_OK));
    cr_assert(eq(sz, used, 107));
}

Test(proxy, a_binary_header_too_large_is_refused_before_it_is_waited_for)
{
    uint8_t header[SLU_PROXY_HEADER_MAX] = SIGNATURE "\x21\x11";
    size_t body = SLU_PROXY_HEADER_MAX - 16, used;
    struct slu_ip ip;
    header[14] = (uint8_t)(body >> 8);
    header[15] = (uint8_t)body;
    cr_assert(eq(int, parse(slu_bytes(header, 16), &used, &ip), SLU_PROXY_MORE));
    cr_assert(eq(int, parse(slu_bytes(header, sizeof(header) - 1), &used, &ip), SLU_PROXY_MORE));
    cr_assert(eq(int, parse(slu_bytes(header, sizeof(header)), &used, &ip), SLU_PROXY_OK));
    cr_assert(eq(sz, used, SLU_PROXY_HEADER_MAX));

    header[14] = (uint8_t)((body + 1) >> 8);
    header[15] = (uint8_t)(body + 1);
    cr_assert(eq(int, parse(slu_bytes(header, 16), &used, &ip), SLU_PROXY_BAD));
    header[14] = header[15] = 0xff;
    cr_assert(eq(int, parse(slu_bytes(header, 16), &used, &ip), SLU_PROXY_BAD));
}

/* Trusts 10.0.0.0/8 and counts what it was asked. */
static bool is_ten(const void *arg, const struct sockaddr *sa)
{
    struct slu_ip ip = slu_ip_of(sa);
    ++*(unsigned *)(uintptr_t)arg;
    return ip.kind == SLU_IP_V4 && ip.bytes[0] == 10;
}

Test(forwarded_for, the_rightmost_address_not_trusted_is_the_client)
{
    static const struct {
        const char *list, *ip;
        unsigned asked;
    } lists[] = {
        { "192.0.2.7", "192.0.2.7", 1 },
        { "192.0.2.7, 10.0.0.1", "192.0.2.7", 2 },
        { "192.0.2.7,10.0.0.1,10.0.0.2", "192.0.2.7", 3 },
        { "198.51.100.1, 192.0.2.7,\t10.0.0.1 ", "192.0.2.7", 2 }, /* what the client wrote itself is not believed */
        { "forged, 192.0.2.7", "192.0.2.7", 1 },
        { "10.0.0.1, 192.0.2.7", "192.0.2.7", 1 },
        { "2001:db8::1, 10.0.0.1", "2001:db8::1", 2 },
        { "[2001:db8::1]:8080, 10.0.0.1:99", "2001:db8::1", 2 },
        { "192.0.2.7, ::ffff:10.0.0.1", "192.0.2.7", 2 },
    };
    for (size_t i = 0; i < COUNT(lists); i++) {
        char text[SLU_IP_TEXT];
        struct slu_ip ip;
        unsigned asked = 0;
        cr_assert(slu_forwarded_for(slu_str(lists[i].list), is_ten, &asked, &ip), "%s", lists[i].list);
        cr_assert(eq(str, (char *)slu_ip_text(&ip, text), (char *)lists[i].ip), "%s", lists[i].list);
        cr_assert(eq(uint, asked, lists[i].asked), "%s", lists[i].list);
    }
}

Test(forwarded_for, a_list_that_ends_in_no_address_names_nobody)
{
    static const char *const lists[] = { "", " ", ",", "192.0.2.7,", "192.0.2.7, unknown", "192.0.2.7 10.0.0.1" };
    for (size_t i = 0; i < COUNT(lists); i++) {
        struct slu_ip ip;
        unsigned asked = 0;
        cr_expect(not(slu_forwarded_for(slu_str(lists[i]), is_ten, &asked, &ip)), "%s", lists[i]);
        cr_expect(eq(uint, asked, 0), "%s", lists[i]);
    }
}
