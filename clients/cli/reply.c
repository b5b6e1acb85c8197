/* sluice reply: answers requests with a fixed text, with the request itself, or with what a command prints. */
#include "clients/cli/child.h"
#include "clients/cli/payload.h"

#include <ev.h>
#include <stdlib.h>
#include <string.h>

enum { CHILDREN_MAX = 256, ENV_LEN = 1100 };

struct args {
    const char *exec, *group;
    bool echo;
    struct cli_kind kind;
    uint64_t count, jobs;
    double wait_s;
};

static const struct cli_flag flags[] = {
    { "echo", 0, CLI_BOOL, offsetof(struct args, echo), NULL, "answer with the request itself" },
    { "exec", 'x', CLI_STR, offsetof(struct args, exec), "COMMAND",
      "answer with what this shell command prints; the request is its stdin,\nSLUICE_TOPIC its topic" },
    { "jobs", 'j', CLI_U64, offsetof(struct args, jobs), "N", "with --exec: at most so many at a time (16)" },
    CLI_KIND_FLAGS(struct args, kind),
    { "count", 'C', CLI_U64, offsetof(struct args, count), "N", "end after so many answers" },
    { "wait", 'W', CLI_SECONDS, offsetof(struct args, wait_s), "TIME", "end after that (exit code 4)" },
    { NULL, 0, CLI_BOOL, 0, NULL, NULL },
};

static const struct cli_help help = {
    .name = "reply",
    .synopsis = "[options] FILTER [ANSWER]",
    .about =
        "Answers every request that matches, until Ctrl-C. A command that fails gives no answer, so that the asker's\n"
        "time-out tells; what it prints on stderr shows here.",
    .flags = flags,
    .examples = "  sluice reply time/now --exec 'date -Is'\n"
                "  sluice reply math/add --exec \"jq 'add'\"\n"
                "  sluice reply echo --echo\n"
                "  sluice reply health '{\"ok\":true}'\n",
};

struct reply {
    struct cli *cli;
    struct args a;
    const char *answer;
    enum sluice_kind kind;
    uint64_t answered, running;
};

struct job {
    struct reply *r;
    char *to;
    char topic[ENV_LEN];
    char *env[2];
};

static void sent(struct reply *r, enum sluice_status rc)
{
    if (rc != SLUICE_OK) {
        slu_cli_error(r->cli, "no answer was sent: %s", sluice_client_strerror(rc));
        return;
    }
    r->answered++;
    if (r->a.count && r->answered >= r->a.count)
        slu_cli_stop(r->cli, CLI_OK);
}

static void on_output(void *arg, bool ok, const char *data, size_t len)
{
    struct job *j = arg;
    struct reply *r = j->r;
    enum sluice_kind kind;
    const char *why = data;
    r->running--;
    while (ok && len && data[len - 1] == '\n' && !r->a.kind.binary)
        len--;
    struct sluice_message m = { .reply = { j->to, strlen(j->to) } };
    if (ok && slu_cli_kind_of(&r->a.kind, data ? data : "", len, &kind, &why)) {
        if (r->cli->client)
            sent(r, sluice_client_reply(r->cli->client, &m, data ? data : "", len, kind));
    } else {
        slu_cli_error(r->cli, "no answer: %s", why);
    }
    free(j->to);
    free(j);
}

static void start_job(struct reply *r, const struct sluice_message *m)
{
    struct job *j = r->running < r->a.jobs ? calloc(1, sizeof(*j)) : NULL;
    if (!j) {
        slu_cli_error(r->cli, "no answer: %llu commands are running already", (unsigned long long)r->running);
        return;
    }
    j->r = r;
    j->to = strndup(m->reply.data, m->reply.len);
    snprintf(j->topic, sizeof(j->topic), "SLUICE_TOPIC=%.*s", (int)m->topic.len, m->topic.data);
    j->env[0] = j->topic;
    r->running++;
    if (j->to && slu_child_run(r->cli->loop, r->a.exec, j->env, m->payload.data, m->payload.len, on_output, j))
        return;
    slu_cli_error(r->cli, "no answer: the command cannot be started");
    r->running--;
    free(j->to);
    free(j);
}

static void on_message(void *arg, sluice_client_sub *sub, const struct sluice_message *m)
{
    struct reply *r = arg;
    sluice_client *c = sluice_client_sub_client(sub);
    if (!m->reply.data || r->cli->stopping || r->cli->closing)
        return;
    slu_cli_debug(r->cli, "request on %.*s", (int)m->topic.len, m->topic.data);
    if (r->a.exec) {
        start_job(r, m);
    } else if (r->a.echo) {
        bool json = m->kind != SLUICE_BINARY;
        struct sluice_span data = json ? m->json : m->payload;
        if (!data.data)
            data = (struct sluice_span){ "null", 4 };
        sent(r, sluice_client_reply(c, m, data.data, data.len, json ? SLUICE_JSON_TRUSTED : SLUICE_BINARY));
    } else {
        sent(r, sluice_client_reply(c, m, r->answer, strlen(r->answer), r->kind));
    }
}

static void on_end(void *arg, sluice_client_sub *sub, const struct sluice_error *why)
{
    struct reply *r = arg;
    slu_cli_stop(r->cli, slu_cli_refused(r->cli, sluice_client_sub_filter(sub), why));
}

static int check(struct reply *r, int n, char **argv)
{
    const char *why;
    int given = (n == 2) + r->a.echo + (r->a.exec != NULL);
    if (n < 1 || n > 2)
        return slu_cli_usage(&help, n < 1 ? "a topic is missing" : "too many arguments: quote the answer");
    if (given != 1)
        return slu_cli_usage(&help, "say how to answer, once: ANSWER, --echo or --exec");
    if (!slu_cli_kind_ok(&r->a.kind))
        return slu_cli_usage(&help, "only one of --text, --json, --binary");
    if (r->a.jobs == 0 || r->a.jobs > CHILDREN_MAX)
        return slu_cli_usage(&help, "--jobs: 1 to %d", CHILDREN_MAX);
    r->answer = n == 2 ? argv[1] : "";
    if (n == 2 && !slu_cli_kind_of(&r->a.kind, r->answer, strlen(r->answer), &r->kind, &why))
        return slu_cli_usage(&help, "the answer %s", why);
    return CLI_OK;
}

int slu_cli_reply(struct cli *cli, int argc, char **argv)
{
    struct reply r = { .cli = cli, .a = { .jobs = 16 } };
    struct sluice_sub_options o = { .arg = &r, .on_message = on_message, .on_end = on_end };
    int n, code;
    if (!slu_cli_parse(cli, &help, &r.a, argc, argv, &n, &code))
        return code;
    code = check(&r, n, argv);
    if (code == CLI_OK)
        code = slu_cli_open(cli);
    if (code != CLI_OK)
        return code;
    enum sluice_status rc = sluice_client_subscribe(cli->client, argv[0], &o, NULL);
    if (rc == SLUICE_OK) {
        code = slu_cli_run(cli, r.a.wait_s);
    } else {
        slu_cli_error(cli, "%s: %s", argv[0], sluice_client_strerror(rc));
        code = rc == SLUICE_ENOMEM ? CLI_LOCAL : CLI_USAGE;
    }
    code = slu_cli_close(cli, code, true);
    while (r.running > 0) /* what still runs has nobody to answer, but its job is freed */
        ev_run(cli->loop, EVRUN_ONCE);
    return code;
}
