/* Flags, --from and the histogram of the command line. */
#include "clients/cli/flags.h"
#include "clients/cli/hist.h"
#include "clients/cli/start.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <criterion/redirect.h>
#include <stdlib.h>
#include <string.h>

struct args {
    const char *text;
    bool on;
    uint64_t number;
    double wait_s;
    struct cli_list list;
};

static const struct cli_flag flags[] = {
    { "text", 't', CLI_STR, offsetof(struct args, text), "TEXT", "text" },
    { "on", 'o', CLI_BOOL, offsetof(struct args, on), NULL, "on" },
    { "number", 'n', CLI_U64, offsetof(struct args, number), "N", "number" },
    { "wait", 'W', CLI_SECONDS, offsetof(struct args, wait_s), "TIME", "wait" },
    { "item", 'i', CLI_LIST, offsetof(struct args, list), "X", "items" },
    { NULL, 0, CLI_BOOL, 0, NULL, NULL },
};

static const struct cli_help help = { .name = "try", .synopsis = "X", .about = "about", .flags = flags };

static bool parse(struct cli *cli, struct args *a, int *n, int *code, const char *const *words, char **argv)
{
    int argc = 0;
    memset(a, 0, sizeof(*a));
    for (argv[argc++] = (char *)"try"; *words; words++)
        argv[argc++] = (char *)(uintptr_t)*words;
    return slu_cli_parse(cli, &help, a, argc, argv, n, code);
}

Test(flags, long_short_joined_and_mixed_with_arguments, .timeout = 5)
{
    struct cli cli = { 0 };
    struct args a;
    char *argv[32];
    int n, code;
    const char *const words[] = { "one",    "--text=x=y", "-on5k", "-W", "200ms", "-i",   "a",
                                  "--item", "b",          "-vv",   "-",  "--",    "--on", NULL };
    cr_assert(parse(&cli, &a, &n, &code, words, argv));
    cr_assert(eq(str, (char *)a.text, "x=y"));
    cr_assert(a.on);
    cr_assert(eq(u64, a.number, 5000));
    cr_assert(epsilon_eq(dbl, a.wait_s, 0.2, 1e-9));
    cr_assert(eq(sz, a.list.n, 2));
    cr_assert(eq(int, cli.verbose, 2));
    cr_assert(eq(int, n, 3));
    cr_assert(eq(str, argv[0], "one"));
    cr_assert(eq(str, argv[1], "-"));
    cr_assert(eq(str, argv[2], "--on"));
}

Test(flags, a_mistake_names_the_nearest_flag, .timeout = 5)
{
    struct cli cli = { 0 };
    struct args a;
    char *argv[32], text[512] = "";
    int n, code = 0;
    const char *const words[] = { "--nubmer", "3", NULL };
    cr_redirect_stderr();
    cr_assert(not(parse(&cli, &a, &n, &code, words, argv)));
    fflush(stderr);
    FILE *f = cr_get_redirected_stderr();
    cr_assert(gt(sz, fread(text, 1, sizeof(text) - 1, f), 0));
    cr_assert(eq(int, code, CLI_USAGE));
    cr_assert(strstr(text, "--number") != NULL, "%s", text);
}

Test(flags, values_that_are_no_numbers_are_refused, .timeout = 5)
{
    static const char *const rows[][4] = {
        { "-n", "-3", NULL }, { "-n", "1.5", NULL }, { "-n", "99999999999999999999", NULL },
        { "-W", "5x", NULL }, { "-W", "nan", NULL }, { "--on=1", NULL },
        { "-n", NULL },       { "--text", NULL },    { "-z", NULL },
    };
    cr_redirect_stderr();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cli cli = { 0 };
        struct args a;
        char *argv[8];
        int n, code = 0;
        cr_expect(not(parse(&cli, &a, &n, &code, rows[i], argv)), "row %zu", i);
        cr_expect(eq(int, code, CLI_USAGE));
    }
}

static bool start(const char *text, struct cli_start *s)
{
    bool ok = slu_cli_start_parse(text, s);
    free(s->epoch);
    free(s->cursor);
    return ok;
}

Test(start, forms_of_from, .timeout = 5)
{
    struct cli_start s;
    cr_expect(start("latest", &s) && s.from == SLUICE_FROM_LATEST);
    cr_expect(start("last:50", &s) && s.from == SLUICE_FROM_LAST && s.n == 50);
    cr_expect(start("since:1763670000000", &s) && s.time_ms == 1763670000000);
    cr_expect(start("since:1763670000", &s) && s.time_ms == 1763670000000);
    cr_expect(start("since:2026-01-31T12:00Z", &s) && s.time_ms == 1769860800000);
    cr_expect(start("since:10m", &s) && s.time_ms > 1763670000000);
    cr_expect(start("k3:411", &s) && s.from == SLUICE_FROM_OFFSET && s.offset == 411);
    cr_expect(start("cur:abc", &s) && s.from == SLUICE_FROM_CURSOR);
    static const char *const wrong[] = { "",           "last:0", "last:", "last:x", "since:",
                                         "since:soon", "cur:",   ":5",    "k3:",    "yesterday" };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        cr_expect(not(start(wrong[i], &s)), "%s", wrong[i]);
}

Test(hist, quantiles_are_within_one_percent_over_the_whole_range, .timeout = 20)
{
    static struct cli_hist h;
    for (uint64_t v = 1; v < UINT64_MAX / 3; v = v * 3 + 1) {
        memset(&h, 0, sizeof(h));
        slu_hist_add(&h, v);
        slu_hist_add(&h, UINT64_MAX);
        double got = (double)slu_hist_quantile(&h, 0.5);
        cr_expect(got >= (double)v && got <= (double)v * 1.01, "%llu", (unsigned long long)v);
        cr_expect(eq(u64, slu_hist_quantile(&h, 1), UINT64_MAX));
    }
    memset(&h, 0, sizeof(h));
    cr_expect(eq(u64, slu_hist_quantile(&h, 0.5), 0));
    for (uint64_t v = 1; v <= 1000; v++)
        slu_hist_add(&h, v);
    cr_expect(slu_hist_quantile(&h, 0.9) >= 900 && slu_hist_quantile(&h, 0.9) <= 909);
}
