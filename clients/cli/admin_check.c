/* sluice admin check: is a database sound? */
#include "clients/cli/admin.h"
#include "storage/sqlite/tools.h"

#include <inttypes.h>
#include <limits.h>

enum { CODE_FOUND = 1 };

struct args {
    const char *data;
};

static const struct cli_flag flags[] = {
    { "data", 0, CLI_STR, offsetof(struct args, data), "DIR", "the broker's data folder" },
    { NULL, 0, CLI_BOOL, 0, NULL, NULL },
};

static const struct cli_help help = {
    .name = "admin check",
    .synopsis = "[--data DIR | FILE]",
    .about =
        "Reads the whole database of the folder, or FILE (a backup), and prints what is wrong with it, one finding a "
        "line: pages and indexes, and what must hold between topics, messages, retained values and states. Nothing is "
        "changed. The exit code is 0 if all is well, 1 if something was found, 5 if it could not be looked at.",
    .flags = flags,
    .examples = "  sluice admin check --data /var/lib/sluice\n"
                "  sluice admin check /backup/sluice.db\n",
};

static void on_finding(void *arg, const char *text)
{
    struct cli_work *w = arg;
    slu_cli_progress(w->cli, NULL);
    slu_cli_work_line(stdout, text);
    w->n_lines++;
}

static int tell(struct cli_work *w, const char *path, uint64_t found, const struct sql_counts *c)
{
    slu_cli_progress(w->cli, NULL);
    if (found == 0) {
        printf("%s is sound: %" PRIu64 " topics, %" PRIu64 " messages, %" PRIu64 " retained values, %" PRIu64
               " states\n",
               path, c->topics, c->messages, c->retained, c->states);
        return CLI_OK;
    }
    if (found > w->n_lines)
        printf("and %" PRIu64 " more\n", found - w->n_lines);
    slu_cli_note(w->cli, "hint: stop the broker and put a backup back, or save what can be read with `sluice admin "
                         "export` and bring it into an empty folder with `sluice admin import`");
    return CODE_FOUND;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args a = { 0 };
    struct cli_work work;
    struct sql_counts counts;
    char path[PATH_MAX];
    uint64_t found = 0;
    int n, code;
    if (!slu_cli_parse(cli, &help, &a, argc, argv, &n, &code))
        return code;
    if (n > 1 || (n && a.data))
        return slu_cli_usage(&help, "one folder or one file");
    if (!slu_cli_admin_folder(cli, n ? argv[0] : a.data, path, sizeof(path)))
        return CLI_LOCAL;
    slu_cli_work_start(&work, cli, "looked at", "messages");
    struct sql_check c = { .path = path, .found = on_finding, .watch = { slu_cli_work_tick, &work } };
    enum slu_err err = sql_check(&c, &counts, &found, &work.why);
    code = err ? CLI_OK : tell(&work, path, found, &counts);
    int end = slu_cli_work_end(&work, err);
    return end ? end : code;
}

const struct cli_admin_command slu_cli_admin_check = { "check", "look for damage", &help, run };
