/* sluice pub: one message from the command line, a file or stdin, or one for each line of stdin. */
#include "clients/cli/payload.h"

#include <ev.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WINDOW = 8192, READ_BYTES = 64 * 1024, LINE_MAX_BYTES = 16 << 20, TICK_MS = 10 };

struct args {
    const char *message, *file, *key, *dedup, *expect, *ack;
    bool use_stdin, lines, retain, clear, no_wait;
    struct cli_kind kind;
    struct cli_list headers;
    uint64_t ttl_s, count;
    double rate, wait_s;
};

static const struct cli_flag flags[] = {
    { "message", 'm', CLI_STR, offsetof(struct args, message), "TEXT", "the message, instead of the second argument" },
    { "stdin", 0, CLI_BOOL, offsetof(struct args, use_stdin), NULL,
      "the whole of stdin is the message (also: - as MESSAGE)" },
    { "lines", 'l', CLI_BOOL, offsetof(struct args, lines), NULL, "each line of stdin is a message" },
    { "file", 'f', CLI_STR, offsetof(struct args, file), "FILE", "the whole file is the message" },
    CLI_KIND_FLAGS(struct args, kind),
    { "retain", 'r', CLI_BOOL, offsetof(struct args, retain), NULL, "keep it as the topic's retained value" },
    { "clear", 0, CLI_BOOL, offsetof(struct args, clear), NULL, "clear the topic's retained value; takes no message" },
    { "key", 'k', CLI_STR, offsetof(struct args, key), "KEY",
      "what the message is about, for readers that conflate by key" },
    { "header", 'H', CLI_LIST, offsetof(struct args, headers), "NAME=VALUE", "add a header; may be repeated" },
    { "ttl", 0, CLI_U64, offsetof(struct args, ttl_s), "SECONDS", "nobody gets it after that" },
    { "dedup", 0, CLI_STR, offsetof(struct args, dedup), "KEY", "a repeat under this key is not delivered again" },
    { "expect", 0, CLI_STR, offsetof(struct args, expect), "EPOCH:OFFSET",
      "only if that is the topic's newest position" },
    { "ack", 'a', CLI_STR, offsetof(struct args, ack), "LEVEL",
      "none, accepted, stored or replicated: when the broker answers" },
    { "no-wait", 0, CLI_BOOL, offsetof(struct args, no_wait), NULL,
      "do not ask the broker for an answer: faster, and no error is seen" },
    { "count", 'n', CLI_U64, offsetof(struct args, count), "N", "send it so many times" },
    { "rate", 0, CLI_DOUBLE, offsetof(struct args, rate), "N", "at most so many a second" },
    { "wait", 'W', CLI_SECONDS, offsetof(struct args, wait_s), "TIME", "give up after that (exit code 4)" },
    { NULL, 0, CLI_BOOL, 0, NULL, NULL },
};

static const struct cli_help help = {
    .name = "pub",
    .synopsis = "[options] TOPIC [MESSAGE | -]",
    .about =
        "Publishes and waits until the broker has answered. What is valid JSON goes as JSON, other text as a string,\n"
        "what is not text as bytes. With -l stdin is read line by line for as long as it lasts; what cannot be sent\n"
        "because the connection is away waits in a bounded queue.",
    .flags = flags,
    .examples = "  sluice pub sensors/a 21.5\n"
                "  sluice pub sensors/a '{\"celsius\":21.5}' --retain -k a -H region=eu\n"
                "  date | sluice pub log/date -\n"
                "  tail -F app.log | sluice pub -l log/app --text\n"
                "  sluice pub -f picture.png --binary pictures/last\n"
                "  sluice pub jobs/new '{\"id\":7}' --dedup job-7 --ack stored\n"
                "  sluice pub tick 1 -n 1000 --rate 100\n",
};

struct pub {
    struct cli *cli;
    struct args a;
    struct sluice_publish_options o;
    const char *topic;
    char *data; /* the message, or with -l what was read and not yet sent */
    size_t len, cap;
    bool eof, pumping;
    uint64_t left, sent, done, failed;
    int code;
    double started;
    ev_io input;
    ev_timer tick;
};

static void pump(struct pub *p);

static void finish_if_done(struct pub *p)
{
    bool all_sent = p->a.lines ? p->eof && p->len == 0 : p->left == 0;
    if (all_sent && p->done == (p->a.no_wait ? 0 : p->sent))
        slu_cli_stop(p->cli, p->code);
}

static void on_done(void *arg, sluice_client *c, const struct sluice_result *r)
{
    struct pub *p = arg;
    (void)c;
    p->done++;
    if (r->error.status != SLUICE_OK) {
        int code = slu_cli_refused(p->cli, p->topic, &r->error);
        p->failed++;
        p->code = p->code ? p->code : code;
    } else if (r->epoch.data) {
        slu_cli_debug(p->cli, "published at %.*s:%llu, wanted by %llu", (int)r->epoch.len, r->epoch.data,
                      (unsigned long long)r->offset, (unsigned long long)r->matched);
    } else {
        slu_cli_debug(p->cli, "published, wanted by %llu", (unsigned long long)r->matched);
    }
    pump(p);
    finish_if_done(p);
}

/* False: not now (on_room or an answer goes on), or it cannot be sent at all. */
static bool send_one(struct pub *p, const char *data, size_t len, bool *refused)
{
    const char *why;
    enum sluice_status rc = SLUICE_EINVAL;
    *refused = false;
    if (p->sent - p->done >= WINDOW && !p->a.no_wait)
        return false;
    bool ok = p->a.clear || slu_cli_kind_of(&p->a.kind, data, len, &p->o.kind, &why);
    if (ok)
        rc = sluice_client_publish(p->cli->client, p->topic, p->a.clear ? NULL : data, p->a.clear ? 0 : len, &p->o,
                                   p->a.no_wait ? NULL : on_done, p);
    if (rc == SLUICE_EAGAIN)
        return false;
    if (rc != SLUICE_OK) {
        slu_cli_error(p->cli, "%s: %s", ok ? p->topic : "the message", ok ? sluice_client_strerror(rc) : why);
        p->code = p->code ? p->code : rc == SLUICE_ENOMEM ? CLI_LOCAL : CLI_USAGE;
        *refused = true;
        return false;
    }
    p->sent++;
    return true;
}

static bool may_send(const struct pub *p)
{
    return p->a.rate <= 0 || (double)p->sent < (ev_now(p->cli->loop) - p->started) * p->a.rate + 1;
}

static void pump_lines(struct pub *p)
{
    size_t at = 0;
    bool refused = false;
    while (at < p->len && may_send(p)) {
        const char *end = memchr(p->data + at, '\n', p->len - at);
        if (!end && !p->eof)
            break;
        size_t n = end ? (size_t)(end - p->data) - at : p->len - at;
        if (!send_one(p, p->data + at, n, &refused) && !refused)
            break;
        at += n + (end != NULL);
    }
    if (at)
        memmove(p->data, p->data + at, p->len - at);
    p->len -= at;
    /* Reads on only when what was read is (nearly) gone: that is the back-pressure on whoever feeds us. */
    bool whole_line_left = memchr(p->data ? p->data : "", '\n', p->len) != NULL;
    if (!p->eof && !whole_line_left)
        ev_io_start(p->cli->loop, &p->input);
    else
        ev_io_stop(p->cli->loop, &p->input);
}

static void pump(struct pub *p)
{
    bool refused = false;
    if (p->pumping || p->cli->stopping)
        return;
    p->pumping = true;
    if (p->a.lines) {
        pump_lines(p);
    } else {
        while (p->left > 0 && may_send(p) && send_one(p, p->data, p->len, &refused))
            p->left--;
        if (refused)
            p->left = 0;
    }
    p->pumping = false;
}

static void on_input(struct ev_loop *loop, ev_io *w, int events)
{
    struct pub *p = w->data;
    (void)loop, (void)events;
    if (p->cap - p->len < READ_BYTES) {
        size_t cap = p->cap * 2 + 2 * (size_t)READ_BYTES;
        char *more = cap > LINE_MAX_BYTES * 2 ? NULL : realloc(p->data, cap);
        if (!more) {
            slu_cli_error(p->cli, "a line of stdin is too long");
            slu_cli_stop(p->cli, CLI_LOCAL);
            return;
        }
        p->data = more;
        p->cap = cap;
    }
    ssize_t n = read(STDIN_FILENO, p->data + p->len, p->cap - p->len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0)
        slu_cli_error(p->cli, "stdin: %s", strerror(errno));
    if (n <= 0) {
        p->eof = true;
        p->code = n < 0 ? CLI_LOCAL : p->code;
        ev_io_stop(p->cli->loop, &p->input);
    } else {
        p->len += (size_t)n;
    }
    pump(p);
    finish_if_done(p);
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int events)
{
    struct pub *p = w->data;
    char text[80];
    (void)loop, (void)events;
    pump(p);
    finish_if_done(p);
    snprintf(text, sizeof(text), "%llu sent, %llu answered", (unsigned long long)p->sent, (unsigned long long)p->done);
    slu_cli_progress(p->cli, text);
}

static void on_room(struct cli *cli)
{
    pump(cli->arg);
}

static bool parse_expect(struct pub *p)
{
    const char *text = p->a.expect, *colon = text ? strrchr(text, ':') : NULL;
    char *end;
    if (!text)
        return true;
    if (!colon || colon == text || !colon[1])
        return false;
    p->o.expect = true;
    p->o.expect_offset = strtoull(colon + 1, &end, 10);
    p->o.expect_epoch = strndup(text, (size_t)(colon - text));
    return !*end && p->o.expect_epoch;
}

static int prepare(struct pub *p, int n, char **argv)
{
    static const char *const levels[] = { "", "none", "accepted", "stored", "replicated" };
    struct args *a = &p->a;
    const char *wrong = NULL;
    struct sluice_header *headers;
    if (n < 1 || n > 2)
        return slu_cli_usage(&help, n < 1 ? "a topic is missing" : "too many arguments: quote the message");
    p->topic = argv[0];
    bool dash = n == 2 && strcmp(argv[1], "-") == 0;
    int given = (n == 2) + (a->message != NULL) + a->use_stdin + a->lines + (a->file != NULL) + a->clear;
    if (given != 1)
        return slu_cli_usage(&help, given ? "give the message once: as argument, -m, -f, -l or --stdin"
                                          : "a message is missing");
    if (!slu_cli_kind_ok(&a->kind))
        return slu_cli_usage(&help, "only one of --text, --json, --binary");
    if (!slu_cli_headers(&a->headers, &headers, &wrong))
        return slu_cli_usage(&help, "--header: '%s' is not NAME=VALUE", wrong);
    for (unsigned i = 1; a->ack && i < sizeof(levels) / sizeof(levels[0]); i++)
        p->o.ack = strcmp(a->ack, levels[i]) == 0 ? (enum sluice_ack)i : p->o.ack;
    if (a->ack && !p->o.ack)
        return slu_cli_usage(&help, "--ack: '%s' is none of none, accepted, stored, replicated", a->ack);
    if (!parse_expect(p))
        return slu_cli_usage(&help, "--expect: '%s' is not EPOCH:OFFSET", a->expect);
    p->o.retain = a->retain || a->clear;
    p->o.key = a->key;
    p->o.headers = headers;
    p->o.n_headers = a->headers.n;
    p->o.ttl_s = (uint32_t)(a->ttl_s < UINT32_MAX ? a->ttl_s : UINT32_MAX);
    p->o.dedup = a->dedup;
    p->left = a->clear ? 1 : a->count;
    const char *file = dash || a->use_stdin ? "-" : a->file;
    const char *text = a->message ? a->message : n == 2 ? argv[1] : "";
    if (file && !slu_cli_read_file(file, &p->data, &p->len, &wrong)) {
        slu_cli_error(p->cli, "%s: %s", file, wrong);
        return CLI_LOCAL;
    }
    if (!file && !a->lines) {
        p->data = strdup(text);
        p->len = strlen(text);
    }
    return CLI_OK;
}

static void release(struct pub *p)
{
    for (size_t i = 0; p->o.headers && i < p->o.n_headers; i++)
        free((void *)(uintptr_t)p->o.headers[i].name);
    free((void *)(uintptr_t)p->o.headers);
    free((void *)(uintptr_t)p->o.expect_epoch);
    free(p->data);
}

int slu_cli_pub(struct cli *cli, int argc, char **argv)
{
    struct pub p = { .cli = cli, .a = { .count = 1 } };
    int n, code;
    if (!slu_cli_parse(cli, &help, &p.a, argc, argv, &n, &code))
        return code;
    code = prepare(&p, n, argv);
    if (code != CLI_OK)
        goto out;
    cli->arg = &p;
    cli->on_room = on_room;
    code = slu_cli_open(cli);
    if (code != CLI_OK)
        goto out;
    p.started = ev_now(cli->loop);
    ev_io_init(&p.input, on_input, STDIN_FILENO, EV_READ);
    ev_timer_init(&p.tick, on_tick, TICK_MS / 1000., TICK_MS / 1000.);
    p.input.data = p.tick.data = &p;
    ev_timer_start(cli->loop, &p.tick);
    pump(&p);
    finish_if_done(&p);
    code = slu_cli_run(cli, p.a.wait_s);
    ev_timer_stop(cli->loop, &p.tick);
    ev_io_stop(cli->loop, &p.input);
    cli->on_room = NULL;
    code = slu_cli_close(cli, code, false);
out:
    release(&p);
    return code;
}
