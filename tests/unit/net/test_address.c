/* Addresses from text, from the system and back; which hosts are this machine. */
#include "broker/net/address.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <netinet/in.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static bool is_eq(const struct slu_ip *a, const struct slu_ip *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

Test(address, texts_of_addresses_are_read_and_written)
{
    static const struct {
        const char *in, *out;
        enum slu_ip_kind kind;
    } texts[] = {
        { "192.0.2.1", "192.0.2.1", SLU_IP_V4 },
        { "0.0.0.0", "0.0.0.0", SLU_IP_V4 },
        { "192.0.2.1:8080", "192.0.2.1", SLU_IP_V4 },
        { "2001:db8::1", "2001:db8::1", SLU_IP_V6 },
        { "2001:DB8:0:0::1", "2001:db8::1", SLU_IP_V6 },
        { "[2001:db8::1]", "2001:db8::1", SLU_IP_V6 },
        { "[2001:db8::1]:8080", "2001:db8::1", SLU_IP_V6 },
        { "::", "::", SLU_IP_V6 },
        { "::1", "::1", SLU_IP_V6 },
        { "::ffff:192.0.2.1", "192.0.2.1", SLU_IP_V4 },
        { "[::ffff:c000:201]:1", "192.0.2.1", SLU_IP_V4 },
        { "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", SLU_IP_V6 },
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        char text[SLU_IP_TEXT];
        struct slu_ip ip, back;
        cr_assert(slu_ip_parse(slu_str(texts[i].in), &ip), "%s", texts[i].in);
        cr_assert(eq(int, ip.kind, texts[i].kind), "%s", texts[i].in);
        cr_assert(eq(str, (char *)slu_ip_text(&ip, text), (char *)texts[i].out), "%s", texts[i].in);
        cr_assert(slu_ip_parse(slu_str(text), &back));
        cr_assert(is_eq(&ip, &back), "%s", texts[i].in);
    }
}

Test(address, what_is_no_address_leaves_none)
{
    static const char *const bad[] = {
        "[127.0.0.12",
        "[::12",
        "",
        ":",
        ":80",
        "[",
        "[]",
        "[]:80",
        "unix",
        "localhost",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.1.1",
        "192.0.2.01x",
        " 192.0.2.1",
        "192.0.2.1 ",
        "192.0.2.1/24",
        "0x7f.0.0.1",
        "2130706433",
        "2001:db8:::1",
        "2001:db8::g",
        "fe80::1%eth0",
        "1:2:3:4:5:6:7:8:9",
        "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct slu_ip ip = { .kind = SLU_IP_V4, .bytes = { 1, 2, 3, 4 } };
        static const struct slu_ip none = { .kind = SLU_IP_NONE };
        cr_expect(not(slu_ip_parse(slu_str(bad[i]), &ip)), "%s", bad[i]);
        cr_expect(not(slu_ip_parse(SLU_LIT("127.0.0.1\0evil"), &ip)), "a NUL");
        cr_expect(is_eq(&ip, &none), "%s", bad[i]);
    }
}

Test(address, system_addresses_go_and_come)
{
    static const char *const texts[] = { "192.0.2.1", "2001:db8::1" };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct slu_ip ip, back;
        struct sockaddr_storage sa;
        cr_assert(slu_ip_parse(slu_str(texts[i]), &ip));
        slu_ip_sockaddr(&ip, &sa);
        cr_assert(eq(int, sa.ss_family, i == 0 ? AF_INET : AF_INET6));
        back = slu_ip_of((const struct sockaddr *)&sa);
        cr_assert(is_eq(&ip, &back), "%s", texts[i]);
    }
}

Test(address, a_unix_socket_is_none)
{
    char text[SLU_IP_TEXT];
    struct sockaddr_storage sa = { .ss_family = AF_UNIX };
    struct slu_ip ip = slu_ip_of((const struct sockaddr *)&sa);
    cr_assert(eq(int, ip.kind, SLU_IP_NONE));
    cr_assert(eq(str, (char *)slu_ip_text(&ip, text), "unix"));
    memset(&sa, 0xff, sizeof(sa));
    slu_ip_sockaddr(&ip, &sa);
    cr_assert(eq(int, sa.ss_family, AF_UNSPEC));
}

Test(address, ipv4_in_ipv6_clothes_is_ipv4)
{
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = 80 };
    struct sockaddr_storage sa = { 0 };
    memcpy(in6.sin6_addr.s6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1", 16);
    memcpy(&sa, &in6, sizeof(in6));
    struct slu_ip ip = slu_ip_of((const struct sockaddr *)&sa), plain;
    cr_assert(slu_ip_parse(SLU_LIT("192.0.2.1"), &plain));
    cr_assert(is_eq(&ip, &plain));
}

Test(address, ports_are_cut_off_hosts)
{
    static const struct {
        const char *in, *out;
    } hosts[] = {
        { "", "" },
        { ":80", "" },
        { "example.org", "example.org" },
        { "example.org:", "example.org" },
        { "example.org:8080", "example.org" },
        { "192.0.2.1:8080", "192.0.2.1" },
        { "[2001:db8::1]", "[2001:db8::1]" },
        { "[2001:db8::1]:8080", "[2001:db8::1]" },
        { "[2001:db8::1", "[2001:db8::1" },
    };
    for (size_t i = 0; i < COUNT(hosts); i++)
        cr_expect(slu_bytes_eq(slu_host_without_port(slu_str(hosts[i].in)), slu_str(hosts[i].out)), "%s", hosts[i].in);
}

Test(address, only_names_of_this_machine_are_loopback)
{
    static const char *const here[] = {
        "localhost", "LocalHost", "app.localhost", "a.b.LOCALHOST", "127.0.0.1", "127.255.255.254", "[::1]",
    };
    static const char *const elsewhere[] = {
        "",
        ".localhost",
        "localhost.example.org",
        "notlocalhost",
        ".localhost.",
        "128.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "127.0.0.1.example.org",
        "127.example",
        "[::2]",
        "[2001:db8::1]",
        "example.org",
        "localhos",
        "[::1].example.org.",
        "127.1",
        "0177.0.0.1",
    };
    for (size_t i = 0; i < COUNT(here); i++)
        cr_expect(slu_host_is_loopback(slu_str(here[i])), "%s", here[i]);
    for (size_t i = 0; i < COUNT(elsewhere); i++)
        cr_expect(not(slu_host_is_loopback(slu_str(elsewhere[i]))), "%s", elsewhere[i]);
}
