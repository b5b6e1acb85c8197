/* sluice admin export: everything that a database holds, as lines of JSON. */
#include "clients/cli/admin.h"
#include "storage/sqlite/make.h"
#include "storage/sqlite/tools.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum { LINES_SHOWN = 20 };

struct args {
    const char *data, *filter;
    bool force;
};

static const struct cli_flag flags[] = {
    { "data", 0, CLI_STR, offsetof(struct args, data), "DIR", "the broker's data folder, or a backup" },
    { "filter", 0, CLI_STR, offsetof(struct args, filter), "FILTER",
      "only topics that match; states and cursors are then left out" },
    { "force", 0, CLI_BOOL, offsetof(struct args, force), NULL, "replace FILE where it is there" },
    { NULL, 0, CLI_BOOL, 0, NULL, NULL },
};

static const struct cli_help help = {
    .name = "admin export",
    .synopsis = "[--data DIR] [--filter FILTER] [--force] [FILE|-]",
    .about =
        "Writes topics, messages, retained values and states as lines of JSON to FILE, or to stdout: one state of the "
        "database, messages in the order in which they were stored, payloads as `data` (JSON, verbatim), `text` or "
        "`data64` (bytes in base64). Dedup keys, which live for minutes, are left out. Of a damaged file comes what "
        "can be read; what cannot is told.",
    .flags = flags,
    .examples = "  sluice admin export all.jsonl\n"
                "  sluice admin export --filter 'prices/#' | jq -c 'select(.type==\"message\") | .data'\n",
};

static void on_lost(void *arg, const char *text)
{
    struct cli_work *w = arg;
    if (w->n_lines++ >= LINES_SHOWN)
        return;
    slu_cli_progress(w->cli, NULL);
    fputs("sluice: left out: ", stderr);
    slu_cli_work_line(stderr, text);
}

static void tell(struct cli_work *w, const struct sql_counts *c)
{
    if (w->n_lines > LINES_SHOWN)
        slu_cli_error(w->cli, "left out: and %u more of that kind", w->n_lines - LINES_SHOWN);
    if (c->left_out)
        slu_cli_error(w->cli, "the export is not whole: an import of it begins new epochs");
    slu_cli_note(w->cli, "%" PRIu64 " topics, %" PRIu64 " messages, %" PRIu64 " retained values, %" PRIu64 " states",
                 c->topics, c->messages, c->retained, c->states);
}

static enum slu_err write_to(struct cli_work *w, struct sql_export *e)
{
    struct sql_counts counts = { 0 };
    enum slu_err err = sql_export(e, &counts, &w->why);
    slu_cli_progress(w->cli, NULL);
    if (!err)
        tell(w, &counts);
    return err;
}

/* The file gets its name when all of it is there. */
static enum slu_err write_file(struct cli_work *w, struct sql_export *e, const char *path, bool replace)
{
    struct sql_target to;
    enum slu_err err = sql_target_open(&to, path, replace, &w->why);
    if (err)
        return err;
    int fd = dup(to.fd);
    e->out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!e->out) {
        slu_buf_addf(&w->why, "%s cannot be written (%s)", path, strerror(errno));
        err = SLU_EUNAVAILABLE;
    }
    if (!err)
        err = write_to(w, e);
    if (e->out)
        fclose(e->out);
    if (err)
        sql_target_drop(&to);
    else
        err = sql_target_finish(&to, &w->why);
    return err;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct args a = { 0 };
    struct cli_work work;
    char folder[PATH_MAX];
    int n, code;
    if (!slu_cli_parse(cli, &help, &a, argc, argv, &n, &code))
        return code;
    if (n > 1)
        return slu_cli_usage(&help, "one file at a time");
    if (!slu_cli_admin_folder(cli, a.data, folder, sizeof(folder)))
        return CLI_LOCAL;
    slu_cli_work_start(&work, cli, "wrote", "messages");
    struct sql_export e = {
        .folder = folder,
        .filter = a.filter,
        .out = stdout,
        .lost = on_lost,
        .watch = { slu_cli_work_tick, &work },
    };
    bool is_file = n == 1 && strcmp(argv[0], "-") != 0;
    enum slu_err err = is_file ? write_file(&work, &e, argv[0], a.force) : write_to(&work, &e);
    return slu_cli_work_end(&work, err);
}

const struct cli_admin_command slu_cli_admin_export = { "export", "write everything as lines of JSON", &help, run };
