/* The command table, and what only concerns all commands together: overview, help, version. */
#include "clients/cli/commands.h"
#include "clients/cli/flags.h"
#include "clients/cli/help.h"

#include <string.h>

const struct cli_command slu_cli_commands[] = {
    { "pub", "publish messages", slu_cli_pub },
    { "sub", "subscribe and print what comes", slu_cli_sub },
    { "req", "ask and print the answer", slu_cli_req },
    { "reply", "answer requests", slu_cli_reply },
    { "history", "read a topic's log", slu_cli_history },
    { "presence", "who is there", slu_cli_presence },
    { "feed", "publish this machine's own figures", slu_cli_feed },
    { "bench", "measure a running broker", slu_cli_bench },
    { "admin", "look after a broker's data folder", slu_cli_admin },
    { "version", "print the version", slu_cli_version },
    { "help", "this text, or that of a command", slu_cli_help_command },
    { NULL, NULL, NULL },
};

static const char about[] = "sluice talks to a Sluice message broker: publishes, subscribes, asks, answers, measures.";

static const char examples[] = "  sluice sub 'sensors/#'                       print everything below sensors\n"
                               "  sluice pub sensors/a '{\"celsius\":21.5}'      publish one value\n"
                               "  vmstat 1 | sluice pub -l host/vmstat         publish each line\n"
                               "  sluice req math/add '[1,2]'                  ask and wait for the answer\n"
                               "  sluice history --last 20 sensors/a           the last 20 messages of a log\n";

static const char notes[] =
    "`sluice COMMAND --help` says more about each. Environment: SLUICE_URL, SLUICE_TOKEN, NO_COLOR.\n"
    "\n"
    "Exit codes: 0 done, 1 the broker refused or went away, 2 wrong usage, 3 no connection, 4 time ran out,\n"
    "5 something failed on this side, 130 interrupted.\n";

static void print_overview(FILE *out)
{
    fprintf(out, "%s\n\nUsage: sluice [global options] COMMAND [options] [arguments]\n\nCommands:\n", about);
    for (const struct cli_command *c = slu_cli_commands; c->name; c++)
        fprintf(out, "  %-10s %s\n", c->name, c->summary);
    fputs("\nGlobal options, before or behind the command:\n", out);
    slu_cli_print_flags(out, slu_cli_global_flags);
    fprintf(out, "\nExamples:\n%s\n%s", examples, notes);
}

static void print_names(FILE *out)
{
    for (const struct cli_command *c = slu_cli_commands; c->name; c++)
        fprintf(out, "%s:%s\n", c->name, c->summary);
}

static void print_manual(FILE *out)
{
    slu_cli_man_head(out, "sluice", "command line of the Sluice message broker",
                     "[global options] COMMAND [options] [arguments]");
    slu_cli_man_text(out, "DESCRIPTION", about);
    fputs(".SH COMMANDS\n", out);
    for (const struct cli_command *c = slu_cli_commands; c->name; c++)
        fprintf(out, ".TP\n.B %s\n%s\n", c->name, c->summary);
    slu_cli_man_flags(out, "GLOBAL OPTIONS", slu_cli_global_flags);
    slu_cli_man_literal(out, "EXAMPLES", examples);
    slu_cli_man_text(out, "NOTES", notes);
    fputs(".SH SEE ALSO\n", out);
    for (const struct cli_command *c = slu_cli_commands; c->run != slu_cli_version; c++)
        fprintf(out, ".BR sluice-%s (1)%s\n", c->name, c[1].run == slu_cli_version ? "" : ",");
}

static const struct cli_command *find(const char *name)
{
    for (const struct cli_command *c = slu_cli_commands; c->name; c++) {
        if (strcmp(c->name, name) == 0)
            return c;
    }
    return NULL;
}

static int unknown(const char *name)
{
    const char *nearest = NULL;
    size_t best = 3;
    for (const struct cli_command *c = slu_cli_commands; c->name; c++)
        slu_cli_nearer(name, c->name, &best, &nearest);
    fprintf(stderr, "sluice: there is no command '%s'", name);
    if (nearest)
        fprintf(stderr, "; did you mean '%s'?", nearest);
    fprintf(stderr, "\nTry 'sluice help'.\n");
    return CLI_USAGE;
}

int slu_cli_version(struct cli *cli, int argc, char **argv)
{
    (void)cli, (void)argc, (void)argv;
    printf("sluice %s\n", sluice_client_version());
    return CLI_OK;
}

/* sluice help [--man | --names] [COMMAND [COMMAND OF A GROUP]]: the forms are for packaging and for the shells' completion. */
int slu_cli_help_command(struct cli *cli, int argc, char **argv)
{
    static void (*const overviews[])(FILE * out) = { print_overview, print_manual, print_names };
    char flag[] = "--help";
    int at = 1;
    if (argc > at && strcmp(argv[at], "--man") == 0) {
        cli->help_form = CLI_HELP_MAN;
        at++;
    } else if (argc > at && strcmp(argv[at], "--names") == 0) {
        cli->help_form = CLI_HELP_NAMES;
        at++;
    }
    const struct cli_command *c = argc > at ? find(argv[at]) : NULL;
    if (argc > at && !c)
        return unknown(argv[at]);
    if (!c || c->run == slu_cli_help_command || c->run == slu_cli_version) {
        overviews[cli->help_form](stdout);
        return CLI_OK;
    }
    char *args[] = { argv[at], argc > at + 1 ? argv[at + 1] : flag, flag, NULL };
    return c->run(cli, argc > at + 1 ? 3 : 2, args);
}

int slu_cli_dispatch(struct cli *cli, int argc, char **argv)
{
    const char *name = argc > 0 ? argv[0] : NULL;
    if (!name) {
        print_overview(stderr);
        return CLI_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    else if (strcmp(name, "--version") == 0)
        name = "version";
    const struct cli_command *c = find(name);
    return c ? c->run(cli, argc, argv) : unknown(name);
}
