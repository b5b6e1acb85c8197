/* sluice sub: prints messages as they come. */
#include "clients/cli/printer.h"
#include "clients/cli/start.h"

#include <ev.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct args {
    const char *from, *filter, *overflow, *conflate_by, *durable, *group, *output, *format;
    bool no_topic, presence, no_echo, no_ack;
    double hz, wait_s, ack_wait_s;
    uint64_t credit, count, max_try;
};

static const struct cli_flag flags[] = {
    { "from", 0, CLI_STR, offsetof(struct args, from), "WHERE", CLI_FROM_HELP },
    { "filter", 0, CLI_STR, offsetof(struct args, filter), "JSON",
      "only what passes, such as '{\"data.px\":{\"gt\":100}}'" },
    { "hz", 0, CLI_DOUBLE, offsetof(struct args, hz), "N", "the latest value of each topic, at most N times a second" },
    { "conflate-by", 0, CLI_STR, offsetof(struct args, conflate_by), "key",
      "with --hz: the latest of each key instead" },
    { "credit", 0, CLI_U64, offsetof(struct args, credit), "N",
      "the broker sends at most N messages ahead of what is printed" },
    { "overflow", 0, CLI_STR, offsetof(struct args, overflow), "POLICY",
      "when we are too slow: pause, conflate, drop_oldest or close" },
    { "durable", 0, CLI_STR, offsetof(struct args, durable), "NAME",
      "go on where this name left off; what is printed is acknowledged" },
    { "group", 'g', CLI_STR, offsetof(struct args, group), "NAME",
      "share the messages with all others of this group;\nwhat is printed is acknowledged" },
    { "no-ack", 0, CLI_BOOL, offsetof(struct args, no_ack), NULL,
      "with --group or --durable: look, but do not acknowledge" },
    { "ack-wait", 0, CLI_SECONDS, offsetof(struct args, ack_wait_s), "TIME", "with --group: deliver again after that" },
    { "max-try", 0, CLI_U64, offsetof(struct args, max_try), "N",
      "with --group: to $DEAD/<topic> after so many tries" },
    { "presence", 0, CLI_BOOL, offsetof(struct args, presence), NULL, "say on stderr who joins and leaves" },
    { "no-echo", 0, CLI_BOOL, offsetof(struct args, no_echo), NULL, "leave out what this connection publishes" },
    { "count", 'C', CLI_U64, offsetof(struct args, count), "N", "end after so many messages" },
    { "wait", 'W', CLI_SECONDS, offsetof(struct args, wait_s), "TIME", "end after that (exit code 4)" },
    { "output", 'o', CLI_STR, offsetof(struct args, output), "FORM",
      "text (topic payload), jsonl (one object a line) or json (indented)" },
    { "format", 'F', CLI_STR, offsetof(struct args, format), "FORMAT",
      "%t topic, %p payload, %j all as JSON, %o offset, %e epoch, %k key, %h headers,\n%r reply, %T time, %s "
      "milliseconds, %l length, %n new line, %%" },
    { "no-topic", 0, CLI_BOOL, offsetof(struct args, no_topic), NULL, "leave the topic out" },
    { NULL, 0, CLI_BOOL, 0, NULL, NULL },
};

static const struct cli_help help = {
    .name = "sub",
    .synopsis = "[options] FILTER...",
    .about =
        "Prints each message on a line of its own until Ctrl-C. In a filter + stands for one level, # at the end for "
        "all\n"
        "below. A lost connection is made again and goes on where it was; what could not be had any more is said on\n"
        "stderr (gap).",
    .flags = flags,
    .examples = "  sluice sub 'sensors/#'\n"
                "  sluice sub 'prices/+' --hz 4 -o jsonl\n"
                "  sluice sub jobs/new --from last:50 -C 50\n"
                "  sluice sub 'logs/#' --from since:10m --filter '{\"data.level\":\"error\"}'\n"
                "  sluice sub jobs/new --group workers -F '%o %p'\n"
                "  sluice sub 'a/#' 'b/#' -W 5s --no-topic\n",
};

struct sub {
    struct cli *cli;
    struct args a;
    struct sluice_sub_options o;
    struct cli_start start;
    struct cli_printer printer;
    uint64_t printed;
    uint32_t owed_credit;
    size_t open;
    bool flush_due;
    ev_prepare flush;
};

/* One flush a loop turn: fast with many messages, and nothing waits in a buffer with few. */
static void on_prepare(struct ev_loop *loop, ev_prepare *w, int events)
{
    struct sub *s = w->data;
    (void)loop, (void)events;
    if (!s->flush_due)
        return;
    s->flush_due = false;
    if (fflush(stdout) != 0) {
        if (errno != EPIPE)
            slu_cli_error(s->cli, "stdout: %s", strerror(errno));
        slu_cli_stop(s->cli, errno == EPIPE ? CLI_OK : CLI_LOCAL);
    }
}

static void give_credit(struct sub *s, sluice_client_sub *sub)
{
    if (!s->o.use_credit || ++s->owed_credit < (s->o.credit + 1) / 2)
        return;
    if (sluice_client_flow(sub, s->owed_credit) == SLUICE_OK)
        s->owed_credit = 0;
}

static void on_message(void *arg, sluice_client_sub *sub, const struct sluice_message *m)
{
    struct sub *s = arg;
    if (s->cli->stopping || s->cli->closing)
        return;
    slu_cli_print_message(&s->printer, m);
    s->flush_due = true;
    s->printed++;
    if (s->o.ack || (s->o.durable && !s->a.no_ack)) {
        enum sluice_status rc = m->epoch.data && !s->a.no_ack ? sluice_client_ack(sub, m, false) : SLUICE_OK;
        if (rc != SLUICE_OK)
            slu_cli_note(s->cli, "not acknowledged, comes again: %s", sluice_client_strerror(rc));
    }
    give_credit(s, sub);
    if (s->a.count && s->printed >= s->a.count)
        slu_cli_stop(s->cli, CLI_OK);
}

static void on_gap(void *arg, sluice_client_sub *sub, const struct sluice_gap *g)
{
    struct sub *s = arg;
    struct sluice_span all = { sluice_client_sub_filter(sub), strlen(sluice_client_sub_filter(sub)) };
    struct sluice_span topic = g->topic.data ? g->topic : all;
    char lost[32] = "some";
    if (g->lost_known)
        snprintf(lost, sizeof(lost), "%llu", (unsigned long long)g->lost);
    slu_cli_note(s->cli, "gap: %s messages of %.*s were lost (%.*s)", lost, (int)topic.len, topic.data,
                 (int)g->reason.len, g->reason.data ? g->reason.data : "");
}

static void on_presence(void *arg, sluice_client_sub *sub, const struct sluice_member *who)
{
    struct sub *s = arg;
    (void)sub;
    slu_cli_note(s->cli, "%s %.*s: %.*s (%.*s)", who->joined ? "join" : "leave", (int)who->topic.len, who->topic.data,
                 (int)who->user.len, who->user.data ? who->user.data : "", (int)who->conn.len,
                 who->conn.data ? who->conn.data : "");
}

static void on_ready(void *arg, sluice_client_sub *sub, const struct sluice_result *r)
{
    struct sub *s = arg;
    if (r->error.status == SLUICE_OK && !r->recovered)
        slu_cli_note(s->cli, "%s: not all of what was asked for is still there", sluice_client_sub_filter(sub));
    else if (r->error.status == SLUICE_OK)
        slu_cli_debug(s->cli, "subscribed to %s", sluice_client_sub_filter(sub));
    else if (r->error.retry)
        slu_cli_note(s->cli, "%s: %.*s; trying again", sluice_client_sub_filter(sub), (int)r->error.message.len,
                     r->error.message.data);
}

static void on_end(void *arg, sluice_client_sub *sub, const struct sluice_error *why)
{
    struct sub *s = arg;
    int code = slu_cli_refused(s->cli, sluice_client_sub_filter(sub), why);
    if (--s->open == 0 || s->printed == 0)
        slu_cli_stop(s->cli, code);
}

static bool choose_overflow(struct sub *s)
{
    static const char *const names[] = { "", "pause", "conflate", "drop_oldest", "close" };
    for (unsigned i = 1; s->a.overflow && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(s->a.overflow, names[i]) == 0)
            s->o.overflow = (enum sluice_overflow)i;
    }
    return !s->a.overflow || s->o.overflow;
}

static int check(struct sub *s, int n)
{
    struct args *a = &s->a;
    const char *wrong = slu_cli_format_wrong(a->format);
    if (n < 1)
        return slu_cli_usage(&help, "a filter is missing");
    if (a->from && !slu_cli_start_parse(a->from, &s->start))
        return slu_cli_usage(&help, "--from: '%s' is none of " CLI_FROM_HELP, a->from);
    if (!choose_overflow(s))
        return slu_cli_usage(&help, "--overflow: '%s' is none of pause, conflate, drop_oldest, close", a->overflow);
    if (!slu_cli_output_of(a->output, &s->printer.output))
        return slu_cli_usage(&help, "--output: '%s' is none of text, jsonl, json", a->output);
    if (wrong)
        return slu_cli_usage(&help, "--format: '%.2s' means nothing", wrong);
    if (a->conflate_by && (strcmp(a->conflate_by, "key") != 0 || a->hz <= 0))
        return slu_cli_usage(&help, "--conflate-by takes 'key' and needs --hz");
    if (a->credit > UINT32_MAX || a->max_try > UINT32_MAX || a->ack_wait_s > 4e6)
        return slu_cli_usage(&help, "a number is too large");
    return CLI_OK;
}

static void fill_options(struct sub *s)
{
    const struct args *a = &s->a;
    struct sluice_sub_options *o = &s->o;
    o->arg = s;
    o->on_message = on_message;
    o->on_gap = on_gap;
    o->on_presence = on_presence;
    o->on_ready = on_ready;
    o->on_end = on_end;
    o->from = s->start.from;
    o->from_n = s->start.n;
    o->from_time_ms = s->start.time_ms;
    o->from_offset = s->start.offset;
    o->from_epoch = s->start.epoch;
    o->from_cursor = s->start.cursor;
    o->filter = a->filter;
    o->conflate = a->hz > 0;
    o->conflate_hz = a->hz;
    o->conflate_by_key = a->conflate_by != NULL;
    o->use_credit = a->credit > 0;
    o->credit = (uint32_t)a->credit;
    o->durable = a->durable;
    o->group = a->group;
    o->ack = a->group != NULL;
    o->ack_wait_ms = (uint32_t)(a->ack_wait_s * 1000);
    o->max_try = (uint32_t)a->max_try;
    o->presence = a->presence;
    o->no_echo = a->no_echo;
    s->printer.format = a->format;
    s->printer.no_topic = a->no_topic;
    s->printer.color = s->cli->color_out;
    s->printer.tty = s->cli->out_tty;
}

static int subscribe_all(struct sub *s, int n, char **filters)
{
    for (int i = 0; i < n; i++) {
        enum sluice_status rc = sluice_client_subscribe(s->cli->client, filters[i], &s->o, NULL);
        if (rc != SLUICE_OK) {
            slu_cli_error(s->cli, "%s: %s", filters[i],
                          rc == SLUICE_EINVAL ? "the topic filter or an option is not valid"
                                              : sluice_client_strerror(rc));
            return rc == SLUICE_EINVAL ? CLI_USAGE : CLI_LOCAL;
        }
        s->open++;
    }
    return CLI_OK;
}

int slu_cli_sub(struct cli *cli, int argc, char **argv)
{
    struct sub s = { .cli = cli };
    int n, code;
    if (!slu_cli_parse(cli, &help, &s.a, argc, argv, &n, &code))
        return code;
    code = check(&s, n);
    if (code != CLI_OK)
        goto out;
    fill_options(&s);
    code = slu_cli_open(cli);
    if (code != CLI_OK)
        goto out;
    ev_prepare_init(&s.flush, on_prepare);
    s.flush.data = &s;
    ev_prepare_start(cli->loop, &s.flush);
    code = subscribe_all(&s, n, argv);
    if (code == CLI_OK)
        code = slu_cli_run(cli, s.a.wait_s);
    ev_prepare_stop(cli->loop, &s.flush);
    code = slu_cli_close(cli, code, true);
out:
    free(s.start.epoch);
    free(s.start.cursor);
    return code;
}
