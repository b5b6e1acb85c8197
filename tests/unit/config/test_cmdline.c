/* The command line. */
#include "support.h"

#include "broker/config/cmdline.h"

enum { ARGS_MAX = 12 };

static bool parse(const char *const *args, struct slu_cmdline *c, struct slu_buf *error)
{
    char *argv[ARGS_MAX + 2] = { "sluiced" };
    int argc = 1;
    while (argc <= ARGS_MAX && args[argc - 1]) {
        argv[argc] = (char *)args[argc - 1];
        argc++;
    }
    slu_buf_init(error, 0);
    bool ok = slu_cmdline_parse(argc, argv, c, error);
    slu_buf_add_byte(error, 0);
    return ok;
}

static void check_bad(const char *const *args, const char *want)
{
    struct slu_cmdline c;
    struct slu_buf error;
    cr_expect(not(parse(args, &c, &error)), "%s", args[0]);
    cr_expect(eq(str, (char *)error.data, (char *)want));
    slu_cmdline_fini(&c);
    slu_buf_fini(&error);
}

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

Test(cmdline, flags_become_values, .timeout = 5)
{
    struct slu_cmdline c;
    struct slu_buf error;
    cr_assert(parse(ARGS("--dev", "--config=f.yaml", "--listen", ":1", "--workers=4", "--set", "node=a=b", "--set",
                         "log.level=warn"),
                    &c, &error));
    cr_expect(c.dev);
    cr_expect(eq(str, (char *)c.config, "f.yaml"));
    cr_expect(eq(int, (int)c.action, SLU_ACTION_RUN));
    cr_assert(eq(sz, c.n_sets, 4));
    cr_expect(eq(str, (char *)c.sets[0].flag, "--listen"));
    cr_expect(eq(str, (char *)c.sets[0].key, "listen.public"));
    cr_expect(eq(str, (char *)c.sets[0].value, ":1"));
    cr_expect(eq(str, (char *)c.sets[2].key, "node"));
    cr_expect(eq(str, (char *)c.sets[2].value, "a=b"));
    slu_cmdline_fini(&c);
    slu_buf_fini(&error);
}

Test(cmdline, nothing_means_run, .timeout = 5)
{
    struct slu_cmdline c;
    struct slu_buf error;
    cr_assert(parse((const char *const[]){ NULL }, &c, &error));
    cr_expect(eq(int, (int)c.action, SLU_ACTION_RUN));
    cr_expect(eq(sz, c.n_sets, 0));
    slu_cmdline_fini(&c);
    slu_buf_fini(&error);
}

Test(cmdline, actions, .timeout = 5)
{
    static const struct {
        const char *flag;
        enum slu_action want;
    } cases[] = {
        { "--check-config", SLU_ACTION_CHECK_CONFIG },
        { "--print-config", SLU_ACTION_PRINT_CONFIG },
        { "--print-sample", SLU_ACTION_PRINT_SAMPLE },
        { "--version", SLU_ACTION_VERSION },
        { "--help", SLU_ACTION_HELP },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct slu_cmdline c;
        struct slu_buf error;
        cr_assert(parse(ARGS(cases[i].flag), &c, &error));
        cr_expect(eq(int, (int)c.action, (int)cases[i].want));
        slu_cmdline_fini(&c);
        slu_buf_fini(&error);
    }
}

Test(cmdline, mistakes_name_the_nearest_flag, .timeout = 5)
{
    check_bad(ARGS("--lisen", ":1"), "unknown flag \"--lisen\", did you mean --listen?\n");
    check_bad(ARGS("--wrokers=4"), "unknown flag \"--wrokers\", did you mean --workers?\n");
    check_bad(ARGS("-dev"), "unknown flag \"-dev\", did you mean --dev?\n");
    check_bad(ARGS("--list", ":1"), "unknown flag \"--list\", did you mean --listen?\n");
    check_bad(ARGS("dev"), "unexpected argument \"dev\", did you mean --dev?\n");
    check_bad(ARGS("--listen"), "--listen needs a value: --listen ADDR:PORT\n");
    check_bad(ARGS("--dev=yes"), "--dev takes no value\n");
    check_bad(ARGS("--set", "node"), "--set takes KEY=VALUE, not \"node\"\n");
    check_bad(ARGS("--set", "=x"), "--set takes KEY=VALUE, not \"=x\"\n");
}

Test(cmdline, far_off_arguments_are_refused_too, .timeout = 5)
{
    static const char *const bad[] = { "--", "-", "", "---", "--=", "--zzzzzzzzzzzzzzzzzzzz", "\xff\xfe" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct slu_cmdline c;
        struct slu_buf error;
        cr_expect(not(parse(ARGS(bad[i]), &c, &error)), "%s", bad[i]);
        cr_expect(gt(sz, error.len, 10));
        slu_cmdline_fini(&c);
        slu_buf_fini(&error);
    }
}
