/* What a reload may change. */
#include "support.h"

static void check(const char *from, const char *to, size_t changed, size_t fixed, const char *want)
{
    struct slu_config *a = load_good((struct given){ .text = from });
    struct slu_config *b = load_good((struct given){ .text = to });
    struct slu_buf text;
    slu_buf_init(&text, 0);
    struct slu_config_diff d = slu_config_diff(a, b, false, &text);
    slu_buf_add_byte(&text, 0);
    cr_expect(eq(sz, d.changed, changed));
    cr_expect(eq(sz, d.fixed, fixed));
    cr_expect(eq(str, (char *)text.data, (char *)want));
    slu_buf_fini(&text);
    slu_config_free(a);
    slu_config_free(b);
}

Test(reload, nothing_changed, .timeout = 5)
{
    check("workers: 0\n", "node: ''\n", 0, 0, "");
}

Test(reload, changeable_options, .timeout = 5)
{
    check("", "log: { level: debug }\norigins: [https://a.example]\n", 2, 0, "");
    check("tls: { certificate: a, key: b }\n", "tls: { certificate: c, key: b }\n", 1, 0, "");
    check("topics: [{filter: a}]\n", "topics: [{filter: a, max-age: 1s}]\n", 1, 0, "");
    check("topics: [{filter: a}]\n", "topics: [{filter: a, publish: []}]\n", 1, 0, "");
    check("", "topics: [{filter: a}]\n", 1, 0, "");
}

Test(reload, fixed_options_are_named, .timeout = 5)
{
    check("workers: 2\n", "workers: 3\nlog: { level: debug }\n", 2, 1, "workers: from 2 to 3: needs a restart\n");
    check("", "listen: { public: ':9' }\n", 1, 1, "listen.public: from \"0.0.0.0:8080\" to \":9\": needs a restart\n");
    check("", "tls: { certificate: a, key: b }\n", 3, 1, "tls.public: from false to true: needs a restart\n");
}
