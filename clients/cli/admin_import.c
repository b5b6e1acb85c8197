/* sluice admin import: an export into an empty data folder. */
#include "clients/cli/admin.h"
#include "storage/sqlite/tools.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

struct args {
    const char *data;
    bool new_epochs;
};

static const struct cli_flag flags[] = {
    { "data", 0, CLI_STR, offsetof(struct args, data), "DIR",
      "a data folder without a database; made if it is missing" },
    { "new-epochs", 0, CLI_BOOL, offsetof(struct args, new_epochs), NULL,
      "positions from before shall not count: for an export of\nwhich the original was used further" },
    { NULL, 0, CLI_BOOL, 0, NULL, NULL },
};

static const struct cli_help help = {
    .name = "admin import",
    .synopsis = "[--data DIR] [--new-epochs] [FILE|-]",
    .about =
        "Reads what `sluice admin export` wrote from FILE, or from stdin, into a folder without a database; no broker "
        "may "
        "use that folder. All of it goes in, or nothing and the line that is wrong is told. Topics keep their epochs "
        "and offsets, so readers go on where they were; from an export that is not whole they begin new epochs.",
    .flags = flags,
    .examples = "  sluice admin import --data /srv/sluice all.jsonl\n"
                "  sluice admin export --data /old | sluice admin import --data /new\n",
};

static void tell(struct cli *cli, const char *folder, const struct sql_counts *c)
{
    slu_cli_progress(cli, NULL);
    printf("%s: %" PRIu64 " topics, %" PRIu64 " messages, %" PRIu64 " retained values, %" PRIu64 " states\n", folder,
           c->topics, c->messages, c->retained, c->states);
    if (c->left_out)
        slu_cli_note(cli, "the export was not whole: all topics begin new epochs, and holes in the logs were closed");
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args a = { 0 };
    struct cli_work work;
    struct sql_counts counts;
    char folder[PATH_MAX];
    int n, code;
    if (!slu_cli_parse(cli, &help, &a, argc, argv, &n, &code))
        return code;
    if (n > 1)
        return slu_cli_usage(&help, "one file at a time");
    if (!slu_cli_admin_folder(cli, a.data, folder, sizeof(folder)))
        return CLI_LOCAL;
    slu_cli_work_start(&work, cli, "read", "messages");
    FILE *in = n == 1 && strcmp(argv[0], "-") != 0 ? fopen(argv[0], "re") : stdin;
    if (!in) {
        slu_buf_addf(&work.why, "%s cannot be read (%s)", argv[0], strerror(errno));
        return slu_cli_work_end(&work, SLU_EUNAVAILABLE);
    }
    struct sql_import i = {
        .folder = folder,
        .in = in,
        .new_epochs = a.new_epochs,
        .now_ms = slu_cli_now_ms(),
        .watch = { slu_cli_work_tick, &work },
    };
    enum slu_err err = sql_import(&i, &counts, &work.why);
    if (!err)
        tell(cli, folder, &counts);
    if (in != stdin)
        fclose(in);
    return slu_cli_work_end(&work, err);
}

const struct cli_admin_command slu_cli_admin_import = { "import", "read an export into an empty folder", &help, run };
