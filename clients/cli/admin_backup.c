/* sluice admin backup: a copy of the database while the broker runs. */
#include "clients/cli/admin.h"
#include "storage/sqlite/tools.h"

#include <inttypes.h>
#include <limits.h>

struct args {
    const char *data;
    bool force;
};

static const struct cli_flag flags[] = {
    { "data", 0, CLI_STR, offsetof(struct args, data), "DIR", "the broker's data folder" },
    { "force", 0, CLI_BOOL, offsetof(struct args, force), NULL, "replace FILE where it is there" },
    { NULL, 0, CLI_BOOL, 0, NULL, NULL },
};

static const struct cli_help help = {
    .name = "admin backup",
    .synopsis = "[--data DIR] [--force] FILE",
    .about =
        "Copies the database into FILE, one state of it, while the broker goes on. FILE appears when it is whole and "
        "has been looked through; only its owner may read it.",
    .flags = flags,
    .examples = "  sluice admin backup --data /var/lib/sluice /backup/sluice-$(date +%F).db\n",
};

static int run(struct cli *cli, int argc, char **argv)
{
    struct args a = { 0 };
    struct cli_work work;
    struct sql_counts counts;
    char folder[PATH_MAX], size[32];
    int n, code;
    if (!slu_cli_parse(cli, &help, &a, argc, argv, &n, &code))
        return code;
    if (n != 1)
        return slu_cli_usage(&help, n < 1 ? "the file to write is missing" : "one file at a time");
    if (!slu_cli_admin_folder(cli, a.data, folder, sizeof(folder)))
        return CLI_LOCAL;
    slu_cli_work_start(&work, cli, "copied", "pages");
    struct sql_backup b = {
        .folder = folder,
        .to = argv[0],
        .replace = a.force,
        .now_ms = slu_cli_now_ms(),
        .watch = { slu_cli_work_tick, &work },
    };
    enum slu_err err = sql_backup(&b, &counts, &work.why);
    if (!err) {
        slu_cli_progress(cli, NULL);
        printf("%s: %s, %" PRIu64 " topics, %" PRIu64 " messages, %" PRIu64 " retained values, %" PRIu64 " states\n",
               argv[0], slu_cli_size(size, sizeof(size), counts.bytes), counts.topics, counts.messages, counts.retained,
               counts.states);
    }
    return slu_cli_work_end(&work, err);
}

const struct cli_admin_command slu_cli_admin_backup = { "backup", "copy the database while the broker runs", &help,
                                                        run };
