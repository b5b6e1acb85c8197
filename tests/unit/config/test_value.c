/* Numbers with units, addresses, networks, names, and the nearest word. */
#include "support.h"

#include "broker/config/names.h"
#include "broker/config/network.h"
#include "broker/config/number.h"
#include "broker/config/suggest.h"
#include "broker/config/value.h"

#include <arpa/inet.h>

struct number_case {
    const char *text;
    bool ok;
    uint64_t want;
};

#define N(a) (sizeof(a) / sizeof(*(a)))

static void check_numbers(bool (*parse)(struct slu_bytes, uint64_t *), const struct number_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t got = 77;
        bool ok = parse(slu_str(cases[i].text), &got);
        cr_expect(eq(int, ok, cases[i].ok), "%s", cases[i].text);
        cr_expect(eq(u64, got, cases[i].ok ? cases[i].want : 77), "%s", cases[i].text);
    }
}

Test(value, sizes, .timeout = 5)
{
    static const struct number_case cases[] = {
        { "0", true, 0 },
        { "4096", true, 4096 },
        { "1KiB", true, 1024 },
        { "10kB", true, 10000 },
        { "64 MiB", true, 67108864 },
        { "2GB", true, 2000000000 },
        { "1TiB", true, 1ull << 40 },
        { "7B", true, 7 },
        { "", false, 0 },
        { "KiB", false, 0 },
        { "-1", false, 0 },
        { "1.5MiB", false, 0 },
        { "1mib", false, 0 },
        { "1MiBx", false, 0 },
        { "1  MiB", false, 0 },
        { "5 ", false, 0 },
        { "99999999999999999999", false, 0 },
        { "18446744073709551615", true, UINT64_MAX },
        { "18446744073709551615KiB", false, 0 },
    };
    check_numbers(slu_parse_size, cases, N(cases));
}

Test(value, durations, .timeout = 5)
{
    static const struct number_case cases[] = {
        { "0", true, 0 },
        { "500ms", true, 500 },
        { "5s", true, 5000 },
        { "2m", true, 120000 },
        { "24h", true, 86400000 },
        { "1d", true, 86400000 },
        { "1h30m", true, 5400000 },
        { "5", false, 0 },
        { "s", false, 0 },
        { "5S", false, 0 },
        { "5s ", false, 0 },
        { "", false, 0 },
        { "213503982334602d", false, 0 },
        { "1h5", false, 0 },
    };
    check_numbers(slu_parse_duration, cases, N(cases));
}

Test(value, rates, .timeout = 5)
{
    static const struct number_case cases[] = {
        { "100", true, 100 }, { "100/s", true, 100 }, { "120/m", true, 2 }, { "7200/h", true, 2 }, { "0", true, 0 },
        { "90/m", false, 0 }, { "5/ms", false, 0 },   { "5/", false, 0 },   { "/s", false, 0 },    { "5 /s", false, 0 },
    };
    check_numbers(slu_parse_rate, cases, N(cases));
}

Test(value, sizes_and_durations_print_as_they_would_be_written, .timeout = 5)
{
    struct slu_buf b;
    slu_buf_init(&b, 0);
    slu_print_size(1048576, &b);
    slu_buf_add_byte(&b, ' ');
    slu_print_size(1000, &b);
    slu_buf_add_byte(&b, ' ');
    slu_print_duration(90000, &b);
    slu_buf_add_byte(&b, ' ');
    slu_print_duration(86400000, &b);
    slu_buf_add_byte(&b, ' ');
    slu_print_duration(1001, &b);
    slu_buf_add_byte(&b, ' ');
    slu_print_duration(0, &b);
    slu_buf_add_byte(&b, 0);
    cr_expect(eq(str, (char *)b.data, "1MiB 1000 90s 1d 1001ms 0s"));
    slu_buf_fini(&b);
}

static void check_addr(const char *text, const char *want)
{
    struct slu_addr a[2];
    struct slu_buf out;
    memset(a, 0, sizeof(a));
    slu_buf_init(&out, 0);
    size_t n = slu_parse_addr(slu_str(text), a, &out);
    for (size_t i = 0; i < n; i++) {
        slu_buf_add_str(&out, i ? " " : "");
        slu_addr_print(&a[i], &out);
        free(a[i].path);
    }
    slu_buf_add_byte(&out, 0);
    if (want)
        cr_expect(eq(str, (char *)out.data, (char *)want));
    else
        cr_expect(eq(sz, n, 0), "%s", text);
    slu_buf_fini(&out);
}

Test(value, addresses, .timeout = 5)
{
    check_addr("127.0.0.1:0", "127.0.0.1:0");
    check_addr("[::1]:8080", "[::1]:8080");
    check_addr("[2001:DB8::1]:80", "[2001:db8::1]:80");
    check_addr(":8080", ":8080");
    check_addr("unix:/run/s.sock", "unix:/run/s.sock");
    check_addr("localhost:80", "127.0.0.1:80 [::1]:80");
    static const char *const bad[] = { "",
                                       "8080",
                                       ":",
                                       "127.0.0.1",
                                       "127.0.0.1:",
                                       "127.0.0.1:65536",
                                       "::1:80",
                                       "[::1]",
                                       "[::1]80",
                                       "[127.0.0.1]:80",
                                       "[]:80",
                                       "host.example:80",
                                       "unix:",
                                       "unix:x",
                                       "127.0.0.1:8o",
                                       "300.0.0.1:80",
                                       "[fe80::1%eth0]:80",
                                       ":-1" };
    for (size_t i = 0; i < N(bad); i++)
        check_addr(bad[i], NULL);
}

Test(value, addresses_become_socket_addresses, .timeout = 5)
{
    struct slu_addr a[2];
    struct slu_buf why;
    struct sockaddr_storage s;
    slu_buf_init(&why, 0);
    cr_assert(eq(sz, slu_parse_addr(SLU_LIT("127.0.0.1:258"), a, &why), 1));
    cr_expect(eq(uint, slu_addr_sockaddr(&a[0], &s), sizeof(struct sockaddr_in)));
    cr_expect(eq(u16, ((struct sockaddr_in *)&s)->sin_port, htons(258)));
    cr_expect(eq(u32, ((struct sockaddr_in *)&s)->sin_addr.s_addr, htonl(INADDR_LOOPBACK)));
    cr_assert(eq(sz, slu_parse_addr(SLU_LIT(":1"), a, &why), 1));
    cr_expect(eq(uint, slu_addr_sockaddr(&a[0], &s), sizeof(struct sockaddr_in6)));
    slu_buf_fini(&why);
}

Test(value, networks, .timeout = 5)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        { "10.0.0.0/8", "10.0.0.0/8" }, { "192.168.1.7", "192.168.1.7/32" },
        { "fd00::/8", "fd00::/8" },     { "0.0.0.0/0", "0.0.0.0/0" },
        { "::1", "::1/128" },
    };
    static const char *const bad[] = { "",    "10.0.0.1/8", "10.0.0.0/33",         "10.0.0.0/",   "10.0.0/8",
                                       "x/8", "::/129",     "::ffff:10.0.0.0/104", "10.0.0.0/8/8" };
    struct slu_cidr c;
    struct slu_buf out;
    slu_buf_init(&out, 0);
    for (size_t i = 0; i < N(cases); i++) {
        slu_buf_clear(&out);
        cr_expect(slu_parse_cidr(slu_str(cases[i].text), &c, &out));
        slu_cidr_print(&c, &out);
        slu_buf_add_byte(&out, 0);
        cr_expect(eq(str, (char *)out.data, (char *)cases[i].want));
    }
    for (size_t i = 0; i < N(bad); i++)
        cr_expect(not(slu_parse_cidr(slu_str(bad[i]), &c, &out)), "%s", bad[i]);
    slu_buf_fini(&out);
}

static bool matches(const char *network, int family, const char *peer)
{
    struct slu_cidr c;
    struct slu_buf why;
    struct sockaddr_in v4 = { .sin_family = AF_INET };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
    slu_buf_init(&why, 0);
    cr_assert(slu_parse_cidr(slu_str(network), &c, &why));
    slu_buf_fini(&why);
    struct slu_cidrs list = { &c, 1 };
    void *to = family == AF_INET ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr;
    cr_assert(eq(int, inet_pton(family, peer, to), 1));
    return slu_cidrs_match(&list, family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6);
}

Test(value, networks_match_peers, .timeout = 5)
{
    cr_expect(matches("10.0.0.0/8", AF_INET, "10.255.1.2"));
    cr_expect(not(matches("10.0.0.0/8", AF_INET, "11.0.0.0")));
    cr_expect(matches("10.0.0.0/8", AF_INET6, "::ffff:10.1.1.1"));
    cr_expect(matches("192.168.1.128/25", AF_INET, "192.168.1.200"));
    cr_expect(not(matches("192.168.1.128/25", AF_INET, "192.168.1.100")));
    cr_expect(matches("fd00::/8", AF_INET6, "fdff::1"));
    cr_expect(not(matches("fd00::/8", AF_INET, "253.0.0.1")));
    cr_expect(matches("0.0.0.0/0", AF_INET, "8.8.8.8"));
    cr_expect(not(matches("0.0.0.0/0", AF_INET6, "2001::1")));
}

typedef bool parse_name(struct slu_bytes text, struct slu_buf *out, struct slu_buf *why);

static void check_name(parse_name *parse, const char *text, const char *want)
{
    struct slu_buf out, why;
    slu_buf_init(&out, 0);
    slu_buf_init(&why, 0);
    bool ok = parse(slu_str(text), &out, &why);
    slu_buf_add_byte(&out, 0);
    cr_expect(eq(int, ok, want != NULL), "%s", text);
    if (want && ok)
        cr_expect(eq(str, (char *)out.data, (char *)want));
    if (!ok)
        cr_expect(gt(sz, why.len, 0));
    slu_buf_fini(&out);
    slu_buf_fini(&why);
}

Test(value, origins, .timeout = 5)
{
    check_name(slu_parse_origin, "https://Example.COM", "https://example.com");
    check_name(slu_parse_origin, "https://example.com:443", "https://example.com");
    check_name(slu_parse_origin, "http://example.com:443", "http://example.com:443");
    check_name(slu_parse_origin, "http://[::1]:3000", "http://[::1]:3000");
    check_name(slu_parse_origin, "app+x://localhost", "app+x://localhost");
    static const char *const bad[] = { "*",           "null",
                                       "example.com", "https://",
                                       "https://a/",  "https://*.a.example",
                                       "https://a:0", "https://a:99999",
                                       "https://a:",  "://a",
                                       "https:/a",    "https://a b",
                                       "https://u@a", "https://[::1",
                                       "1x://a",      "https://a..b" };
    for (size_t i = 0; i < N(bad); i++)
        check_name(slu_parse_origin, bad[i], NULL);
}

Test(value, hosts, .timeout = 5)
{
    check_name(slu_parse_host, "Example.com", "example.com");
    check_name(slu_parse_host, "[::1]", "[::1]");
    check_name(slu_parse_host, "10.0.0.1", "10.0.0.1");
    static const char *const bad[] = { "example.com:80", "a/b", "-a", ".a", "[x]", "a b" };
    for (size_t i = 0; i < N(bad); i++)
        check_name(slu_parse_host, bad[i], NULL);
}

Test(value, edit_distance, .timeout = 5)
{
    static const struct {
        const char *a, *b;
        size_t want;
    } cases[] = {
        { "", "", 0 },        { "abc", "", 3 },           { "abc", "abc", 0 },         { "abc", "acb", 1 },
        { "abc", "abcd", 1 }, { "kitten", "sitting", 3 }, { "Max_Age", "max-age", 0 }, { "lisen", "listen", 1 },
    };
    for (size_t i = 0; i < N(cases); i++) {
        cr_expect(eq(sz, slu_edit_distance(slu_str(cases[i].a), slu_str(cases[i].b)), cases[i].want));
        cr_expect(eq(sz, slu_edit_distance(slu_str(cases[i].b), slu_str(cases[i].a)), cases[i].want));
    }
}

Test(value, long_words_do_not_overrun, .timeout = 5)
{
    char a[5000], b[5000];
    memset(a, 'a', sizeof(a));
    memset(b, 'b', sizeof(b));
    cr_expect(eq(sz, slu_edit_distance(slu_bytes(a, sizeof(a)), slu_bytes(b, sizeof(b))), 64));
}

Test(value, every_default_prints_and_reads_back, .timeout = 5)
{
    for (size_t i = 0; i < SLU_OPT_COUNT; i++) {
        const struct slu_option *o = &slu_options[i];
        const char *texts[] = { o->def, o->alt };
        for (size_t k = 0; k < 2; k++) {
            union {
                uint64_t words[8];
                char bytes[64];
            } field;
            struct slu_buf why;
            if (!texts[k])
                continue;
            memset(&field, 0, sizeof(field));
            slu_buf_init(&why, 0);
            bool ok = slu_value_parse_text(o, &field, texts[k], &why);
            cr_expect(ok, "%s: %.*s", o->key, (int)why.len, (char *)why.data);
            slu_value_fini(o, &field);
            slu_buf_fini(&why);
        }
    }
}

Test(value, failed_parse_leaves_the_field, .timeout = 5)
{
    const struct slu_option *o = &slu_options[SLU_OPT_ORIGINS];
    struct slu_strings s = { 0 };
    struct slu_buf why;
    slu_buf_init(&why, 0);
    cr_assert(slu_value_parse_text(o, &s, "https://a.example", &why));
    cr_expect(not(slu_value_parse_text(o, &s, "https://b.example,*", &why)));
    cr_assert(eq(sz, s.n, 1));
    cr_expect(eq(str, s.items[0], "https://a.example"));
    slu_value_fini(o, &s);
    slu_buf_fini(&why);
}

Test(value, long_values_are_cut_in_messages, .timeout = 5)
{
    char text[3000];
    memset(text, 'x', sizeof(text));
    memcpy(text, "workers: ", 9);
    text[sizeof(text) - 1] = '\0';
    char *error = load_bad((struct given){ .text = text });
    cr_expect(lt(sz, strlen(error), 300));
    free(error);
}
