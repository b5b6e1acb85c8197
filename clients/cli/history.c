/* sluice history: reads a topic's log, page by page. */
#include "clients/cli/printer.h"
#include "clients/cli/start.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE = 500, LAST_DEFAULT = 100 };

struct args {
    const char *from, *output, *format;
    bool reverse, no_topic;
    uint64_t last, limit;
    double wait_s;
};

static const struct cli_flag flags[] = {
    { "last", 0, CLI_U64, offsetof(struct args, last), "N", "the last N messages (100 where nothing else is said)" },
    { "from", 0, CLI_STR, offsetof(struct args, from), "WHERE", CLI_FROM_HELP },
    { "limit", 0, CLI_U64, offsetof(struct args, limit), "N",
      "at most so many in all; further pages are fetched by themselves" },
    { "reverse", 0, CLI_BOOL, offsetof(struct args, reverse), NULL, "newest first" },
    { "wait", 'W', CLI_SECONDS, offsetof(struct args, wait_s), "TIME", "give up after that (exit code 4)" },
    { "output", 'o', CLI_STR, offsetof(struct args, output), "FORM",
      "text (topic payload), jsonl (one object a line) or json (indented)" },
    { "format", 'F', CLI_STR, offsetof(struct args, format), "FORMAT", "as for `sluice sub`" },
    { "no-topic", 0, CLI_BOOL, offsetof(struct args, no_topic), NULL, "leave the topic out" },
    { NULL, 0, CLI_BOOL, 0, NULL, NULL },
};

static const struct cli_help help = {
    .name = "history",
    .synopsis = "[options] TOPIC",
    .about = "Prints what a topic's log holds and ends. The log is not changed, and nothing is subscribed.",
    .flags = flags,
    .examples = "  sluice history sensors/a\n"
                "  sluice history --last 5 -F '%T %p' sensors/a\n"
                "  sluice history --from since:1h --limit 10000 -o jsonl sensors/a > hour.jsonl\n"
                "  sluice history --reverse --limit 1 sensors/a\n",
};

struct history {
    struct cli *cli;
    struct args a;
    struct cli_start start;
    struct cli_printer printer;
    const char *topic;
    char *next;
    uint64_t printed, want; /* want: UINT64_MAX = all */
};

static void fetch(struct history *h);

static void on_item(void *arg, sluice_client *c, const struct sluice_message *m)
{
    struct history *h = arg;
    (void)c;
    if (h->printed >= h->want)
        return;
    struct sluice_message copy = *m;
    if (!copy.topic.data)
        copy.topic = (struct sluice_span){ h->topic, strlen(h->topic) };
    slu_cli_print_message(&h->printer, &copy);
    h->printed++;
}

static void on_page(void *arg, sluice_client *c, const struct sluice_result *r)
{
    struct history *h = arg;
    char text[64];
    (void)c;
    if (r->error.status != SLUICE_OK) {
        slu_cli_stop(h->cli, slu_cli_refused(h->cli, h->topic, &r->error));
        return;
    }
    free(h->next);
    h->next = r->next.data ? strndup(r->next.data, r->next.len) : NULL;
    if (fflush(stdout) != 0 || !h->next || h->printed >= h->want || r->count == 0) {
        slu_cli_stop(h->cli, ferror(stdout) ? CLI_LOCAL : CLI_OK);
        return;
    }
    snprintf(text, sizeof(text), "%llu messages", (unsigned long long)h->printed);
    slu_cli_progress(h->cli, h->cli->out_tty ? NULL : text);
    fetch(h);
}

static void fetch(struct history *h)
{
    uint64_t left = h->want - h->printed;
    struct sluice_history_options o = {
        .from = h->start.from,
        .from_n = h->start.n,
        .from_time_ms = h->start.time_ms,
        .from_offset = h->start.offset,
        .from_epoch = h->start.epoch,
        .from_cursor = h->start.cursor,
        .from_json = h->next,
        .limit = (uint32_t)(left < PAGE ? left : PAGE),
        .reverse = h->a.reverse,
    };
    enum sluice_status rc = sluice_client_history(h->cli->client, h->topic, &o, on_item, on_page, h);
    if (rc != SLUICE_OK) {
        slu_cli_error(h->cli, "%s: %s", h->topic, sluice_client_strerror(rc));
        slu_cli_stop(h->cli, rc == SLUICE_ENOMEM ? CLI_LOCAL : CLI_USAGE);
    }
}

static int check(struct history *h, int n, char **argv)
{
    struct args *a = &h->a;
    const char *wrong = slu_cli_format_wrong(a->format);
    if (n != 1)
        return slu_cli_usage(&help, n < 1 ? "a topic is missing" : "one topic at a time");
    if (a->from && a->last)
        return slu_cli_usage(&help, "--last and --from exclude each other");
    if (a->from && !slu_cli_start_parse(a->from, &h->start))
        return slu_cli_usage(&help, "--from: '%s' is none of " CLI_FROM_HELP, a->from);
    if (a->from && (h->start.from == SLUICE_FROM_NEW || h->start.from == SLUICE_FROM_LATEST))
        return slu_cli_usage(&help, "--from: a log is read from first, last:N, since:… or a position");
    if (!slu_cli_output_of(a->output, &h->printer.output))
        return slu_cli_usage(&help, "--output: '%s' is none of text, jsonl, json", a->output);
    if (wrong)
        return slu_cli_usage(&help, "--format: '%.2s' means nothing", wrong);
    if (a->last > UINT32_MAX)
        return slu_cli_usage(&help, "--last: too many");
    h->topic = argv[0];
    h->want = a->limit ? a->limit : UINT64_MAX;
    if (!a->from) {
        uint64_t last = a->last ? a->last : a->limit ? a->limit : LAST_DEFAULT;
        if (!a->reverse) {
            h->start.from = SLUICE_FROM_LAST;
            h->start.n = (uint32_t)(last < UINT32_MAX ? last : UINT32_MAX);
        }
        h->want = last < h->want ? last : h->want;
    }
    h->printer.format = a->format;
    h->printer.no_topic = a->no_topic;
    h->printer.color = h->cli->color_out;
    h->printer.tty = h->cli->out_tty;
    return CLI_OK;
}

int slu_cli_history(struct cli *cli, int argc, char **argv)
{
    struct history h = { .cli = cli };
    int n, code;
    if (!slu_cli_parse(cli, &help, &h.a, argc, argv, &n, &code))
        return code;
    code = check(&h, n, argv);
    if (code == CLI_OK)
        code = slu_cli_open(cli);
    if (code == CLI_OK) {
        fetch(&h);
        code = slu_cli_close(cli, slu_cli_run(cli, h.a.wait_s), false);
    }
    free(h.next);
    free(h.start.epoch);
    free(h.start.cursor);
    return code;
}
