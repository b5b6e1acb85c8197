/* Printed forms: they load again, say where values come from, and the files in deploy agree with the tables. */
#include "support.h"

#include "broker/config/cmdline.h"
#include "broker/config/option.h"

static char *text_of(void (*print)(struct slu_buf *))
{
    struct slu_buf b;
    slu_buf_init(&b, 0);
    print(&b);
    slu_buf_add_byte(&b, 0);
    return (char *)b.data;
}

/* A file of the source tree. */
static char *read_source(const char *name)
{
    char path[4096];
    const char *slash = strrchr(__FILE__, '/');
    snprintf(path, sizeof(path), "%.*s/../../../%s", slash ? (int)(slash - __FILE__) : 1, slash ? __FILE__ : ".", name);
    FILE *f = fopen(path, "r");
    cr_assert(f != NULL, "%s", path);
    struct slu_buf b;
    slu_buf_init(&b, 1 << 20);
    size_t n;
    while ((n = fread(slu_buf_reserve(&b, 4096), 1, 4096, f)) > 0)
        b.len += n;
    fclose(f);
    slu_buf_add_byte(&b, 0);
    return (char *)b.data;
}

static const char everything[] = "listen: { public: ['localhost:0', ':9', 'unix:/run/\\\\a'], admin: [] }\n"
                                 "trusted-proxies: [10.0.0.0/8, 'fd00::/8']\n"
                                 "node: 'a \"quoted\" \\\\ näme'\n"
                                 "origins: [https://a.example]\n"
                                 "limits: { payload: 5kB, frame: 7777, connection-rate: 9, memory: 1GiB }\n"
                                 "timeouts: { login: 1m30s }\n"
                                 "topics:\n"
                                 "- filter: 'a/+/#'\n"
                                 "  publish: []\n"
                                 "- filter: '#'\n"
                                 "  subscribe: [ann, '*']\n"
                                 "  log: none\n";

Test(print, effective_configuration_loads_again, .timeout = 5)
{
    struct slu_config *first = load_good((struct given){ .text = everything });
    char *text = printed(first);
    struct slu_config *second = load_good((struct given){ .text = text });
    struct slu_buf diff;
    slu_buf_init(&diff, 0);
    struct slu_config_diff d = slu_config_diff(first, second, true, &diff);
    cr_expect(eq(sz, d.changed, 0), "%.*s", (int)diff.len, (char *)diff.data);
    cr_expect(second->listen.public.items[1].companion);
    cr_expect(second->rules[0].publish.set);
    cr_expect(not(second->rules[0].subscribe.set));
    slu_buf_fini(&diff);
    slu_config_free(first);
    slu_config_free(second);
    free(text);
}

Test(print, origins_of_values_are_shown, .timeout = 5)
{
    char *env[] = { "SLUICE_LIMITS_GROUPS=3", NULL };
    struct slu_config *c = load_good((struct given){
        .text = "\nnode: x\n", .environ = env, .dev = true, .sets = { { "--workers", "workers", "3" } } });
    char *text = printed(c);
    static const char *const lines[] = {
        "node: \"x\"                                       # sluice.yaml:2\n",
        "  groups: 3                                     # environment: SLUICE_LIMITS_GROUPS\n",
        "workers: 3                                      # command line\n",
        "  settle: 0s                                    # default under --dev\n",
        "  time: 5s                                      # default\n",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
        cr_expect(strstr(text, lines[i]) != NULL, "no %s in:\n%s", lines[i], text);
    free(text);
    slu_config_free(c);
}

Test(print, sample_in_deploy_is_the_generated_one, .timeout = 5)
{
    char *want = text_of(slu_config_print_sample), *got = read_source("deploy/sluice.yaml");
    cr_expect(strcmp(want, got) == 0, "deploy/sluice.yaml is out of date: write it with sluiced --print-sample");
    free(want);
    free(got);
}

/* Takes the # away before every value of the sample. */
static void uncomment(char *text)
{
    for (char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        char *hash = line + strspn(line, " ");
        if (hash[0] == '#' && hash[1] != ' ')
            memmove(hash, hash + 1, strlen(hash));
    }
}

Test(print, sample_loads_with_and_without_its_hashes, .timeout = 5)
{
    struct slu_config *defaults = load_good((struct given){ .text = "" });
    char *text = text_of(slu_config_print_sample);
    for (int pass = 0; pass < 2; pass++) {
        struct slu_config *c;
        char *error;
        struct slu_buf diff;
        if (pass == 1)
            uncomment(text);
        bool ok = load_given(&(struct given){ .text = text }, &c, &error);
        if (pass == 1) /* this one mistake is the sample's: TLS needs its files */
            cr_expect(strstr(error, "tls.public needs tls.certificate") != NULL, "%s", error);
        cr_assert(eq(int, ok, pass == 0), "%s", error);
        free(error);
        if (!ok) {
            char *tls = strstr(text, "  public: true");
            memcpy(tls, "  #", 3);
            c = load_good((struct given){ .text = text });
            for (size_t i = 0; i < SLU_OPT_COUNT; i++)
                cr_expect(c->origin[i].kind == SLU_FROM_FILE || i == SLU_OPT_TLS_PUBLIC, "%s", slu_options[i].key);
        }
        slu_buf_init(&diff, 0);
        struct slu_config_diff d = slu_config_diff(defaults, c, true, &diff);
        cr_expect(eq(sz, d.changed, 0), "%.*s", (int)diff.len, (char *)diff.data);
        slu_buf_fini(&diff);
        slu_config_free(c);
    }
    slu_config_free(defaults);
    free(text);
}

Test(print, example_rule_of_the_sample_loads, .timeout = 5)
{
    char *text = text_of(slu_config_print_sample);
    char *rule = strstr(text, "  # - filter");
    cr_assert(rule != NULL);
    for (char *line = rule; *line; line += strcspn(line, "\n"), line += *line == '\n')
        if (strncmp(line, "  # ", 4) == 0)
            line[2] = ' ';
    struct slu_config *c = load_good((struct given){ .text = text });
    cr_assert(eq(sz, c->n_rules, 2));
    cr_expect(eq(str, c->rules[0].filter, "prices/#"));
    for (size_t i = 0; i < SLU_KEY_COUNT; i++)
        cr_expect(ne(uint, c->rules[0].key_line[i], 0), "%s", slu_rule_keys[i].key);
    slu_config_free(c);
    free(text);
}

Test(print, help_and_manual_name_every_flag, .timeout = 5)
{
    char *help = text_of(slu_config_print_help), *manual = read_source("deploy/man/sluiced.8");
    for (size_t i = 0; i < SLU_FLAG_COUNT; i++) {
        char name[64], roff[128];
        snprintf(name, sizeof(name), "\n  --%s", slu_flags[i].name);
        cr_expect(strstr(help, name) != NULL, "%s", name);
        size_t n = (size_t)snprintf(roff, sizeof(roff), "\n.BR \\-\\-");
        if (slu_flags[i].argument)
            n = (size_t)snprintf(roff, sizeof(roff), "\n.BI \\-\\-");
        for (const char *p = slu_flags[i].name; *p; p++) /* roff writes a hyphen as \- */
            n += (size_t)snprintf(roff + n, sizeof(roff) - n, *p == '-' ? "\\-" : "%c", *p);
        cr_expect(strstr(manual, roff) != NULL, "the manual lacks %s", roff);
        if (slu_flags[i].option)
            cr_expect(slu_option_find(slu_str(slu_flags[i].option)) != NULL);
    }
    for (size_t i = 0; i < SLU_OPT_COUNT; i++)
        cr_expect(strstr(help, slu_options[i].key) != NULL);
    free(help);
    free(manual);
}
