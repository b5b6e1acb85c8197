/* Sources and their order; what a file may hold; how mistakes are told. */
#include "support.h"

#include "broker/config/network.h"
#include "broker/config/option.h"

#include <sys/mman.h>
#include <unistd.h>

static char *addr_text(const struct slu_addr *a)
{
    struct slu_buf b;
    slu_buf_init(&b, 0);
    slu_addr_print(a, &b);
    slu_buf_add_byte(&b, 0);
    return (char *)b.data;
}

static void expect_addr(const struct slu_addr *a, const char *want)
{
    char *got = addr_text(a);
    cr_expect(eq(str, got, (char *)want));
    free(got);
}

Test(load, empty_file_gives_the_defaults, .timeout = 5)
{
    static const char *const texts[] = { "", "\n\n", "# nothing\n", "---\n", "--- ~\n", "{}\n", "\xef\xbb\xbf# bom\n" };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct slu_config *c = load_good((struct given){ .text = texts[i] });
        cr_expect(eq(sz, c->listen.public.n, 1));
        expect_addr(&c->listen.public.items[0], "0.0.0.0:8080");
        expect_addr(&c->listen.admin.items[0], "127.0.0.1:8081");
        cr_expect(eq(u64, c->limits.payload, 1048576));
        cr_expect(eq(u64, c->limits.subscriptions, 1024));
        cr_expect(eq(u64, c->limits.memory, UINT64_C(2) << 30));
        cr_expect(eq(u64, c->timeouts.login_ms, 5000));
        cr_expect(eq(u64, c->drain.settle_ms, 5000));
        cr_expect(eq(sz, c->origins.n, 0));
        cr_expect(eq(sz, c->anonymous.publish.n, 0));
        cr_expect(eq(sz, c->anonymous.subscribe.n, 0));
        cr_expect(not(c->echo));
        cr_expect(not(c->tls.public));
        cr_expect(eq(sz, c->n_rules, 1));
        slu_config_free(c);
    }
}

Test(load, dev_changes_defaults, .timeout = 5)
{
    struct slu_config *c = load_good((struct given){ .dev = true });
    cr_assert(eq(sz, c->listen.public.n, 2));
    expect_addr(&c->listen.public.items[0], "127.0.0.1:8080");
    expect_addr(&c->listen.public.items[1], "[::1]:8080");
    cr_expect(c->listen.public.items[1].companion);
    cr_expect(c->echo);
    cr_expect(eq(u64, c->drain.settle_ms, 0));
    cr_expect(eq(u64, c->limits.connections_per_address, 0));
    cr_expect(eq(u64, c->limits.connection_rate_per_address, 0));
    cr_assert(eq(sz, c->anonymous.publish.n, 1));
    cr_expect(eq(str, c->anonymous.publish.items[0], "#"));
    slu_config_free(c);
}

Test(load, dev_adds_the_other_loopback_to_a_given_port, .timeout = 5)
{
    struct slu_config *c =
        load_good((struct given){ .dev = true, .sets = { { "--listen", "listen.public", "127.0.0.1:0" } } });
    cr_assert(eq(sz, c->listen.public.n, 2));
    cr_expect(c->listen.public.items[1].companion);
    cr_expect(eq(u16, c->listen.public.items[1].port, 0));
    slu_config_free(c);
}

Test(load, dev_refuses_open_addresses, .timeout = 5)
{
    expect_error((struct given){ .dev = true, .sets = { { "--listen", "listen.public", "0.0.0.0:8080" } } },
                 "--listen: listen.public: 0.0.0.0:8080 is open to the network; --dev serves loopback only\n");
    expect_error_part((struct given){ .dev = true, .text = "listen: { admin: ':1' }\n" },
                      "sluice.yaml:1: listen.admin: :1 is open");
}

Test(load, design_example_loads, .timeout = 5)
{
    struct slu_config *c = load_good((struct given){
        .has_disk = true,
        .text = "listen: { public: \"0.0.0.0:8080\", admin: \"127.0.0.1:8081\" }\n"
                "data: /var/lib/sluice\n"
                "topics:                      # the most specific filter wins\n"
                "  - filter: \"prices/#\"\n"
                "    log: disk                # none | memory | disk\n"
                "    max-count: 100000\n"
                "    max-bytes: 64MiB\n"
                "    max-age: 24h\n"
                "    overflow: pause\n",
    });
    cr_expect(eq(str, c->data, "/var/lib/sluice"));
    cr_assert(eq(sz, c->n_rules, 2));
    const struct slu_config_rule *r = &c->rules[0];
    cr_expect(eq(str, r->filter, "prices/#"));
    cr_expect(slu_bytes_eq(r->core.filter, SLU_LIT("prices/#")));
    cr_expect(eq(int, (int)r->core.log, SLU_LOG_DISK));
    cr_expect(eq(u64, r->core.max_count, 100000));
    cr_expect(eq(u64, r->core.max_bytes, 64 << 20));
    cr_expect(eq(u64, r->core.max_age_ms, 86400000));
    cr_expect(eq(int, (int)r->core.overflow, SLU_OVERFLOW_PAUSE));
    cr_expect(eq(uint, r->line, 4));
    cr_expect(eq(uint, r->key_line[SLU_KEY_MAX_AGE], 8));
    slu_config_free(c);
}

Test(load, later_sources_win, .timeout = 5)
{
    char *env[] = { "PATH=/bin", "SLUICE_WORKERS=2", "SLUICE_LIMITS_FRAGMENTS=22", "SLUICE_LOG_LEVEL=warn", NULL };
    struct slu_config *c = load_good((struct given){
        .text = "workers: 1\nlimits:\n  fragments: 11\n  groups: 7\n",
        .environ = env,
        .sets = { { "--workers", "workers", "3" } },
    });
    cr_expect(eq(u64, c->workers, 3));
    cr_expect(eq(int, (int)c->origin[SLU_OPT_WORKERS].kind, SLU_FROM_FLAG));
    cr_expect(eq(u64, c->limits.fragments, 22));
    cr_expect(eq(int, (int)c->origin[SLU_OPT_FRAGMENTS].kind, SLU_FROM_ENVIRONMENT));
    cr_expect(eq(u64, c->limits.groups, 7));
    cr_expect(eq(int, (int)c->origin[SLU_OPT_GROUPS].kind, SLU_FROM_FILE));
    cr_expect(eq(uint, c->origin[SLU_OPT_GROUPS].line, 4));
    cr_expect(eq(int, (int)c->log_level, SLU_LOG_WARN));
    cr_expect(eq(int, (int)c->origin[SLU_OPT_FRAME].kind, SLU_FROM_DEFAULT));
    slu_config_free(c);
}

Test(load, lists_by_comma_outside_the_file, .timeout = 5)
{
    char *env[] = { "SLUICE_ORIGINS=https://a.example , HTTP://B.example:80", "SLUICE_HOSTS=", NULL };
    struct slu_config *c = load_good((struct given){
        .text = "hosts: [x.example]\nanonymous: { publish: ['a/#'] }\n",
        .environ = env,
        .sets = { { "--set", "anonymous.publish", "" } },
    });
    cr_assert(eq(sz, c->origins.n, 2));
    cr_expect(eq(str, c->origins.items[0], "https://a.example"));
    cr_expect(eq(str, c->origins.items[1], "http://b.example"));
    cr_expect(eq(sz, c->hosts.n, 1), "an empty variable counts as not set");
    cr_expect(eq(sz, c->anonymous.publish.n, 0), "an empty --set empties the list");
    slu_config_free(c);
}

Test(load, unknown_keys_name_line_and_nearest, .timeout = 5)
{
    expect_error((struct given){ .text = "\nlisten:\n  publik: 1\n" },
                 "sluice.yaml:3: unknown key \"listen.publik\", did you mean \"listen.public\"?\n");
    expect_error((struct given){ .text = "lisen:\n  public: \":1\"\n" },
                 "sluice.yaml:1: unknown key \"lisen\", did you mean \"listen\"?\n");
    expect_error((struct given){ .text = "\n\nlisen.public: ':1'\n" },
                 "sluice.yaml:3: unknown key \"lisen.public\", did you mean \"listen.public\"?\n");
    expect_error((struct given){ .text = "connections: 5\n" },
                 "sluice.yaml:1: unknown key \"connections\", did you mean \"limits.connections\"?\n");
    expect_error((struct given){ .text = "timeouts: { settle: 5s }\n" },
                 "sluice.yaml:1: unknown key \"timeouts.settle\", did you mean \"drain.settle\"?\n");
    expect_error((struct given){ .text = "topics:\n- filter: a\n  max-cuont: 5\n" },
                 "sluice.yaml:3: unknown key \"max-cuont\" in a topic rule, did you mean \"max-count\"?\n");
    expect_error((struct given){ .sets = { { "--set", "limit.payload", "1MiB" } } },
                 "--set: unknown key \"limit.payload\", did you mean \"limits.payload\"?\n");
    expect_error_part((struct given){ .text = "qqqqqqqqqqqqqqqqqqqqq: 1\n" }, "; the nearest valid key is \"");
    expect_error_part((struct given){ .text = "? [a, {b: c}]\n: {d: e}\nworker: 1\n" },
                      "sluice.yaml:1: a key must be a plain word\nsluice.yaml:3: unknown key \"worker\"");
}

Test(load, empty_key_and_empty_members_are_mistakes, .timeout = 5)
{
    expect_error_part((struct given){ .text = "?\n" }, "sluice.yaml:1: unknown key \"\"");
    expect_error_part((struct given){ .text = "'': 1\n" }, "sluice.yaml:1: unknown key \"\"");
    expect_error_part((struct given){ .text = "listen: { public: '' }\n" }, "listen.public \"\" is empty");
    expect_error_part((struct given){ .text = "trusted-proxies: ['']\n" }, "trusted-proxies \"\" is empty");
    expect_error_part((struct given){ .sets = { { "--set", "hosts", "a,,b" } } }, "hosts \"\" is empty");
    expect_error_part((struct given){ .sets = { { "--set", "", "a" } } }, "--set: unknown key \"\"");
}

Test(load, dotted_keys_work_in_the_file, .timeout = 5)
{
    struct slu_config *c = load_good((struct given){ .text = "limits.groups: 9\nlimits: { fragments: 8 }\n" });
    cr_expect(eq(u64, c->limits.groups, 9));
    cr_expect(eq(u64, c->limits.fragments, 8));
    slu_config_free(c);
}

Test(load, empty_sections_are_fine, .timeout = 5)
{
    slu_config_free(load_good((struct given){ .text = "listen:\nlimits: ~\ntopics:\n" }));
    slu_config_free(load_good((struct given){ .text = "limits: {}\ntopics: []\n" }));
}

Test(load, all_mistakes_are_told_at_once, .timeout = 5)
{
    expect_error((struct given){ .text = "workers: x\nlog: { level: loud }\nlimits:\n  payload: 5\n  frame: 9XB\n" },
                 "sluice.yaml:1: workers takes a whole number from 0 to 64, not \"x\"\n"
                 "sluice.yaml:2: log.level takes one of error, warn, info, debug, not \"loud\"\n"
                 "sluice.yaml:4: limits.payload takes a size from 1KiB to 256MiB, such as 64KiB or 10MB, not \"5\"\n"
                 "sluice.yaml:5: limits.frame takes a size from 1KiB to 512MiB, such as 64KiB or 10MB, not \"9XB\"\n");
}

Test(load, many_mistakes_are_bounded, .timeout = 5)
{
    struct slu_buf text;
    slu_buf_init(&text, 0);
    while (text.len < 1000000)
        slu_buf_add_str(&text, "unknown-key-number-that-is-quite-long: 1\n");
    char *error = load_bad((struct given){ .text = (char *)text.data, .text_len = text.len });
    cr_expect(lt(sz, strlen(error), 5000));
    cr_expect(strstr(error, "and further mistakes") != NULL);
    free(error);
    slu_buf_fini(&text);
}

Test(load, wrong_shapes, .timeout = 5)
{
    expect_error((struct given){ .text = "- a\n" },
                 "sluice.yaml:1: the file must be a mapping, with lines such as workers: 4\n");
    expect_error_part((struct given){ .text = "hello\n" }, "sluice.yaml:1: the file must be a mapping");
    expect_error_part((struct given){ .text = "workers: [1]\n" },
                      "workers takes a whole number from 0 to 64, not a list");
    expect_error_part((struct given){ .text = "workers: {a: 1}\n" }, "not a mapping");
    expect_error((struct given){ .text = "workers:\n" }, "sluice.yaml:1: workers has no value; leave the line out\n");
    expect_error((struct given){ .text = "origins: ~\n" },
                 "sluice.yaml:1: origins has no value; leave the line out or write []\n");
    expect_error_part((struct given){ .text = "origins: [[a]]\n" }, "origins takes a list of plain values");
    expect_error_part((struct given){ .text = "listen: 5\n" },
                      "sluice.yaml:1: listen is a section: it takes keys such as public below it");
    expect_error_part((struct given){ .text = "listen: [public]\n" }, "listen is a section");
    expect_error_part((struct given){ .text = "topics: 5\n" }, "topics takes a list of rules");
    expect_error_part((struct given){ .text = "topics: [5]\n" }, "sluice.yaml:1: a topic rule is a mapping");
    expect_error_part((struct given){ .text = "listen: { public: [] }\n" }, "listen.public takes from 1 to 64 members");
}

Test(load, members_have_their_own_lines, .timeout = 5)
{
    expect_error((struct given){ .text = "origins:\n  - https://a.example\n  - https://b.example/\n" },
                 "sluice.yaml:3: origins \"https://b.example/\" has something behind host and port; an origin ends "
                 "there, without a slash\n");
}

Test(load, duplicates, .timeout = 5)
{
    expect_error((struct given){ .text = "workers: 1\nworkers: 2\n" },
                 "sluice.yaml:2: workers stands twice, first in line 1\n");
    expect_error((struct given){ .text = "log: {level: info}\nlog: {level: warn}\n" },
                 "sluice.yaml:2: log stands twice, first in line 1\n");
    expect_error((struct given){ .text = "log: {level: info}\nlog.level: warn\n" },
                 "sluice.yaml:2: log.level stands twice, first in line 1\n");
    expect_error((struct given){ .text = "topics:\n- filter: a\n  log: none\n  log: memory\n" },
                 "sluice.yaml:4: log stands twice in this rule, first in line 3\n");
}

Test(load, yaml_beyond_plain_data_is_refused, .timeout = 5)
{
    expect_error((struct given){ .text = "node: &a x\n" }, "sluice.yaml:1: an anchor (&) is not taken\n");
    expect_error((struct given){ .text = "workers: 1\nnode: *a\n" },
                 "sluice.yaml:2: an alias (*) is not taken; write the value out\n");
    expect_error((struct given){ .text = "node: !!str x\n" }, "sluice.yaml:1: a tag (!) is not taken\n");
    expect_error((struct given){ .text = "workers: 1\n---\nworkers: 2\n" },
                 "sluice.yaml:2: a second document (---) is not taken\n");
    expect_error((struct given){ .text = "limits:\n\tgroups: 1\n" },
                 "sluice.yaml:2: a tab in the indentation; YAML takes blanks only\n");
    expect_error((struct given){ .text = "workers: 1\nnode: \xff\n" }, "sluice.yaml:2: not valid UTF-8\n");
    expect_error_part((struct given){ .text = "node: a\0b\n", .text_len = 10 }, "sluice.yaml:");
    expect_error_part((struct given){ .text = "node: \"a\\nb\"\n" }, "node has a control character in it");
    expect_error_part((struct given){ .text = "workers: 1\nnode: \"x\n" }, "sluice.yaml:3: not valid YAML");
    expect_error_part((struct given){ .text = "workers: 1\n bad\n- x" }, "not valid YAML");
}

Test(load, huge_and_deep_files_are_refused_fast, .timeout = 10)
{
    size_t n = (1 << 20) + 1;
    char *text = malloc(n + 1);
    memset(text, '#', n);
    text[n] = '\0';
    expect_error((struct given){ .text = text }, "sluice.yaml: is larger than 1 MiB\n");
    memset(text, '[', n);
    memcpy(text, "topics: ", 8);
    text[n - 1] = '\0';
    expect_error_part((struct given){ .text = text }, "sluice.yaml:1: ");
    memset(text, '{', n);
    memcpy(text, "nonsense: ", 10);
    text[n - 1] = '\0';
    expect_error_part((struct given){ .text = text }, "sluice.yaml:1: ");
    free(text);
}

Test(load, files_are_read, .timeout = 5)
{
    char path[64];
    int fd = memfd_create("sluice.yaml", MFD_CLOEXEC);
    cr_assert(ge(int, fd, 0));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    cr_assert(eq(int, (int)write(fd, "workers: 5\n", 11), 11));
    struct slu_config *c = NULL;
    struct slu_buf error;
    slu_buf_init(&error, 0);
    struct slu_config_sources src = { .file = path };
    cr_assert(slu_config_load(&src, &c, &error));
    cr_expect(eq(u64, c->workers, 5));
    cr_expect(eq(str, c->file, path));
    slu_config_free(c);
    close(fd);

    static const char *const missing[] = { "/nonexistent/x.yaml", "/tmp", "/dev/zero" };
    static const char *const want[] = { "No such file", "Is a directory", "larger than 1 MiB" };
    for (size_t i = 0; i < 3; i++) {
        src.file = missing[i];
        slu_buf_clear(&error);
        cr_expect(not(slu_config_load(&src, &c, &error)));
        slu_buf_add_byte(&error, 0);
        cr_expect(strstr((char *)error.data, want[i]) != NULL, "%s", (char *)error.data);
    }
    slu_buf_fini(&error);
}

Test(load, environment_mistakes, .timeout = 5)
{
    char *bad[] = { "SLUICE_WORKERS=many", NULL };
    expect_error((struct given){ .environ = bad },
                 "environment: SLUICE_WORKERS: workers takes a whole number from 0 to 64, not \"many\"\n");
    char *topics[] = { "SLUICE_TOPICS=x", NULL };
    expect_error((struct given){ .environ = topics },
                 "environment: SLUICE_TOPICS: topics can only be given in the configuration file\n");
    char *binary[] = { "SLUICE_NODE=\xff", NULL };
    expect_error_part((struct given){ .environ = binary }, "is not valid UTF-8");
    char *unknown[] = { "SLUICE_WORKRES=3", NULL };
    struct slu_config *c = load_good((struct given){ .environ = unknown });
    cr_assert(eq(sz, c->warnings.n, 1));
    cr_expect(eq(str, c->warnings.items[0],
                 "environment: unknown variable \"SLUICE_WORKRES\", did you mean \"SLUICE_WORKERS\"?"));
    slu_config_free(c);
}

Test(load, environment_names_are_distinct, .timeout = 5)
{
    for (size_t i = 0; i < SLU_OPT_COUNT; i++) {
        struct slu_buf a, b;
        slu_buf_init(&a, 0);
        slu_option_env_name(&slu_options[i], &a);
        for (size_t j = 0; j < i; j++) {
            slu_buf_init(&b, 0);
            slu_option_env_name(&slu_options[j], &b);
            cr_expect(not(slu_bytes_eq(slu_buf_bytes(&a), slu_buf_bytes(&b))), "%s", slu_options[i].key);
            slu_buf_fini(&b);
        }
        slu_buf_fini(&a);
    }
}

Test(load, keys_are_kebab_case_with_one_dot, .timeout = 5)
{
    for (size_t i = 0; i < SLU_OPT_COUNT; i++) {
        const char *dot = strchr(slu_options[i].key, '.');
        cr_expect(eq(sz, strspn(slu_options[i].key, "abcdefghijklmnopqrstuvwxyz-."), strlen(slu_options[i].key)));
        cr_expect(not(dot && strchr(dot + 1, '.')), "%s", slu_options[i].key);
        cr_expect(eq(ptr, (void *)slu_option_find(slu_str(slu_options[i].key)), (void *)&slu_options[i]));
    }
}

Test(load, tls_needs_both_files, .timeout = 5)
{
    expect_error((struct given){ .text = "tls: { certificate: /c.pem }\n" },
                 "sluice.yaml:1: tls.certificate and tls.key need each other; tls.key is missing\n");
    expect_error((struct given){ .text = "tls:\n  admin: true\n" },
                 "sluice.yaml:2: tls.admin needs tls.certificate and tls.key\n");
    struct slu_config *c = load_good((struct given){ .text = "tls: { certificate: /c.pem, key: /k.pem }\n" });
    cr_expect(c->tls.public);
    cr_expect(not(c->tls.admin));
    slu_config_free(c);
}

Test(load, values_that_contradict_each_other, .timeout = 5)
{
    expect_error_part((struct given){ .text = "limits: { payload: 4MiB }\n" },
                      "sluice.yaml:1: limits.frame is smaller than limits.payload");
    expect_error_part((struct given){ .text = "proxy-protocol: true\n" }, "proxy-protocol needs trusted-proxies");
    expect_error_part((struct given){ .text = "listen: { public: '127.0.0.1:8081' }\n" },
                      "listen.admin: 127.0.0.1:8081 is a public address");
    expect_error_part((struct given){ .text = "listen: { public: ['127.0.0.1:1', '127.0.0.1:1'] }\n" },
                      "127.0.0.1:1 stands twice");
}

Test(load, redis_is_refused_without_the_engine, .timeout = 5)
{
    expect_error((struct given){ .text = "redis:\n  url: redis://h\n" },
                 "sluice.yaml:2: redis.url: this build of sluiced has no Redis engine; leave it out\n");
    expect_error((struct given){ .sets = { { "--redis", "redis.url", "redis://h" } } },
                 "--redis: redis.url: this build of sluiced has no Redis engine; leave it out\n");
    struct slu_config *c =
        load_good((struct given){ .has_redis = true, .text = "redis: { url: redis://u:secret@h }\n" });
    char *text = printed(c);
    cr_expect(strstr(text, "secret") == NULL);
    free(text);
    slu_config_free(c);
}
