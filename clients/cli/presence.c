/* sluice presence: who is subscribed to a topic, and with --watch who comes and goes. */
#include "clients/cli/printer.h"

#include "broker/base/json.h"

#include <stdlib.h>
#include <string.h>

struct args {
    const char *output;
    bool watch, count_only;
    double wait_s;
};

static const struct cli_flag flags[] = {
    { "watch", 'w', CLI_BOOL, offsetof(struct args, watch), NULL, "stay and print who joins and leaves, until Ctrl-C" },
    { "count", 0, CLI_BOOL, offsetof(struct args, count_only), NULL, "only the number" },
    { "wait", 'W', CLI_SECONDS, offsetof(struct args, wait_s), "TIME", "end after that (exit code 4)" },
    { "output", 'o', CLI_STR, offsetof(struct args, output), "FORM", "text (what user connection), jsonl or json" },
    { NULL, 0, CLI_BOOL, 0, NULL, NULL },
};

static const struct cli_help help = {
    .name = "presence",
    .synopsis = "[options] TOPIC",
    .about = "Prints who is present on a topic: those who subscribed with presence. Lines begin with 'here', 'join' or "
             "'leave'.",
    .flags = flags,
    .examples = "  sluice presence room/lobby\n"
                "  sluice presence --count room/lobby\n"
                "  sluice presence --watch -o jsonl room/lobby\n",
};

struct presence {
    struct cli *cli;
    struct args a;
    struct cli_printer printer;
    const char *topic;
    char *next;
};

static void fetch(struct presence *p);

static void add(struct slu_buf *b, const char *name, struct sluice_span v)
{
    if (!v.data)
        return;
    slu_buf_addf(b, ",\"%s\":", name);
    slu_json_add_string(b, slu_bytes(v.data, v.len));
}

static void print_member(struct presence *p, const char *what, const struct sluice_member *who)
{
    if (p->printer.output == CLI_OUT_TEXT) {
        printf("%s %.*s %.*s", what, who->user.data ? (int)who->user.len : 1, who->user.data ? who->user.data : "-",
               (int)who->conn.len, who->conn.data ? who->conn.data : "");
        if (who->info.data)
            printf(" %.*s", (int)who->info.len, who->info.data);
        putchar('\n');
    } else {
        struct slu_buf b;
        slu_buf_init(&b, 0);
        slu_buf_addf(&b, "{\"what\":\"%s\"", what);
        add(&b, "user", who->user);
        add(&b, "conn", who->conn);
        if (who->info.data) {
            slu_buf_add_str(&b, ",\"info\":");
            slu_buf_add(&b, who->info.data, who->info.len);
        }
        slu_buf_add_byte(&b, '}');
        if (!b.failed)
            slu_cli_print_json(&p->printer, (struct sluice_span){ (const char *)b.data, b.len });
        slu_buf_fini(&b);
    }
    fflush(stdout);
}

static void on_member(void *arg, sluice_client *c, const struct sluice_member *who)
{
    struct presence *p = arg;
    (void)c;
    if (!p->a.count_only)
        print_member(p, "here", who);
}

static void on_page(void *arg, sluice_client *c, const struct sluice_result *r)
{
    struct presence *p = arg;
    (void)c;
    if (r->error.status != SLUICE_OK) {
        slu_cli_stop(p->cli, slu_cli_refused(p->cli, p->topic, &r->error));
        return;
    }
    if (p->a.count_only) {
        printf("%llu\n", (unsigned long long)r->count);
        slu_cli_stop(p->cli, CLI_OK);
        return;
    }
    free(p->next);
    p->next = r->next.data ? strndup(r->next.data, r->next.len) : NULL;
    if (p->next)
        fetch(p);
    else if (!p->a.watch)
        slu_cli_stop(p->cli, CLI_OK);
}

static void fetch(struct presence *p)
{
    struct sluice_presence_options o = { .after_json = p->next };
    enum sluice_status rc = sluice_client_presence(p->cli->client, p->topic, &o, on_member, on_page, p);
    if (rc != SLUICE_OK) {
        slu_cli_error(p->cli, "%s: %s", p->topic, sluice_client_strerror(rc));
        slu_cli_stop(p->cli, rc == SLUICE_ENOMEM ? CLI_LOCAL : CLI_USAGE);
    }
}

static void on_change(void *arg, sluice_client_sub *sub, const struct sluice_member *who)
{
    const struct presence *p = arg;
    (void)sub;
    if (!p->cli->closing)
        print_member(arg, who->joined ? "join" : "leave", who);
}

static void on_end(void *arg, sluice_client_sub *sub, const struct sluice_error *why)
{
    struct presence *p = arg;
    slu_cli_stop(p->cli, slu_cli_refused(p->cli, sluice_client_sub_filter(sub), why));
}

int slu_cli_presence(struct cli *cli, int argc, char **argv)
{
    struct presence p = { .cli = cli };
    struct sluice_sub_options o = { .arg = &p, .on_presence = on_change, .on_end = on_end, .presence = true };
    int n, code;
    if (!slu_cli_parse(cli, &help, &p.a, argc, argv, &n, &code))
        return code;
    if (n != 1)
        return slu_cli_usage(&help, n < 1 ? "a topic is missing" : "one topic at a time");
    if (p.a.watch && p.a.count_only)
        return slu_cli_usage(&help, "--watch and --count exclude each other");
    if (!slu_cli_output_of(p.a.output, &p.printer.output))
        return slu_cli_usage(&help, "--output: '%s' is none of text, jsonl, json", p.a.output);
    p.topic = argv[0];
    code = slu_cli_open(cli);
    if (code != CLI_OK)
        return code;
    enum sluice_status rc = p.a.watch ? sluice_client_subscribe(cli->client, p.topic, &o, NULL) : SLUICE_OK;
    if (rc != SLUICE_OK) {
        slu_cli_error(cli, "%s: %s", p.topic, sluice_client_strerror(rc));
        slu_cli_stop(cli, CLI_USAGE);
    } else {
        fetch(&p);
    }
    code = slu_cli_close(cli, slu_cli_run(cli, p.a.wait_s), p.a.watch);
    free(p.next);
    return code;
}
