/* sluice req: asks, prints the answer. */
#include "clients/cli/payload.h"
#include "clients/cli/printer.h"

#include <stdlib.h>
#include <string.h>

struct args {
    const char *message, *file, *output;
    struct cli_kind kind;
    struct cli_list headers;
    double wait_s;
};

static const struct cli_flag flags[] = {
    { "message", 'm', CLI_STR, offsetof(struct args, message), "TEXT", "the question, instead of the second argument" },
    { "file", 'f', CLI_STR, offsetof(struct args, file), "FILE", "the whole file is the question" },
    CLI_KIND_FLAGS(struct args, kind),
    { "header", 'H', CLI_LIST, offsetof(struct args, headers), "NAME=VALUE", "add a header; may be repeated" },
    { "wait", 'W', CLI_SECONDS, offsetof(struct args, wait_s), "TIME",
      "how long to wait for the answer (5; then exit code 4)" },
    { "output", 'o', CLI_STR, offsetof(struct args, output), "FORM",
      "text (the answer), jsonl (an object in a line) or json (indented)" },
    { NULL, 0, CLI_BOOL, 0, NULL, NULL },
};

static const struct cli_help help = {
    .name = "req",
    .synopsis = "[options] TOPIC [MESSAGE | -]",
    .about = "Publishes a question, waits for one answer and prints it. Nobody there to answer: exit code 1 at once.",
    .flags = flags,
    .examples = "  sluice req math/add '[1,2]'\n"
                "  sluice req -W 30s reports/build '{\"month\":\"2026-01\"}' -o json\n"
                "  sluice req echo - < question.json\n",
};

struct req {
    struct cli *cli;
    struct args a;
    struct cli_printer printer;
    const char *topic;
};

static void on_answer(void *arg, sluice_client *c, const struct sluice_result *r)
{
    struct req *q = arg;
    (void)c;
    if (r->error.status != SLUICE_OK) {
        slu_cli_stop(q->cli, slu_cli_refused(q->cli, q->topic, &r->error));
        return;
    }
    if (r->reply.payload.data)
        slu_cli_print_message(&q->printer, &r->reply);
    slu_cli_debug(q->cli, "answered after %.2f ms", r->rtt_ms);
    slu_cli_stop(q->cli, CLI_OK);
}

static int ask(struct req *q, const char *data, size_t len, const struct sluice_header *headers)
{
    struct sluice_request_options o = { .headers = headers, .n_headers = q->a.headers.n };
    const char *why;
    int code;
    if (!slu_cli_kind_of(&q->a.kind, data, len, &o.kind, &why))
        return slu_cli_usage(&help, "the question %s", why);
    o.timeout_ms = (uint32_t)(q->a.wait_s * 1000);
    code = slu_cli_open(q->cli);
    if (code != CLI_OK)
        return code;
    enum sluice_status rc = sluice_client_request(q->cli->client, q->topic, data, len, &o, on_answer, q);
    if (rc == SLUICE_OK) {
        code = slu_cli_run(q->cli, 0);
    } else {
        slu_cli_error(q->cli, "%s: %s", q->topic, sluice_client_strerror(rc));
        code = rc == SLUICE_ENOMEM ? CLI_LOCAL : CLI_USAGE;
    }
    return slu_cli_close(q->cli, code, false);
}

static int check(struct req *q, int n, char **argv, struct sluice_header **headers)
{
    const char *wrong;
    int given = (n == 2) + (q->a.message != NULL) + (q->a.file != NULL);
    if (n < 1 || n > 2)
        return slu_cli_usage(&help, n < 1 ? "a topic is missing" : "too many arguments: quote the message");
    if (given > 1)
        return slu_cli_usage(&help, "give the question once: as argument, -m or -f");
    if (!slu_cli_kind_ok(&q->a.kind))
        return slu_cli_usage(&help, "only one of --text, --json, --binary");
    if (!slu_cli_output_of(q->a.output, &q->printer.output))
        return slu_cli_usage(&help, "--output: '%s' is none of text, jsonl, json", q->a.output);
    if (q->a.wait_s <= 0 || q->a.wait_s > 86400)
        return slu_cli_usage(&help, "--wait: more than nothing, at most a day");
    if (!slu_cli_headers(&q->a.headers, headers, &wrong))
        return slu_cli_usage(&help, "--header: '%s' is not NAME=VALUE", wrong);
    q->topic = argv[0];
    q->printer.tty = q->cli->out_tty;
    q->printer.no_topic = true;
    return CLI_OK;
}

int slu_cli_req(struct cli *cli, int argc, char **argv)
{
    struct req q = { .cli = cli, .a = { .wait_s = 5 } };
    struct sluice_header *headers = NULL;
    const char *why;
    char *data = NULL;
    size_t len = 0;
    int n, code;
    if (!slu_cli_parse(cli, &help, &q.a, argc, argv, &n, &code))
        return code;
    code = check(&q, n, argv, &headers);
    if (code != CLI_OK)
        return code;
    const char *file = n == 2 && strcmp(argv[1], "-") == 0 ? "-" : q.a.file;
    const char *text = q.a.message ? q.a.message : n == 2 ? argv[1] : "null";
    if (file && !slu_cli_read_file(file, &data, &len, &why)) {
        slu_cli_error(cli, "%s: %s", file, why);
        code = CLI_LOCAL;
    } else {
        code = ask(&q, file ? data : text, file ? len : strlen(text), headers);
    }
    for (size_t i = 0; i < q.a.headers.n; i++)
        free((void *)(uintptr_t)headers[i].name);
    free(headers);
    free(data);
    return code;
}
