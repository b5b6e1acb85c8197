/* `sluice admin`: a group of commands with a table of its own, for those who look after a broker. */
#pragma once

#include "clients/cli/cli.h"
#include "broker/base/buf.h"
#include "broker/base/err.h"

/* One command of the group; its help is named "admin NAME". */
struct cli_admin_command {
    const char *name, *summary;
    const struct cli_help *help;
    int (*run)(struct cli *cli, int argc, char **argv);
};

extern const struct cli_admin_command slu_cli_admin_backup, slu_cli_admin_check, slu_cli_admin_export,
    slu_cli_admin_import;

/* The folder to work on: the one given, or the default one, which is told. False: there is none (told). */
bool slu_cli_admin_folder(struct cli *cli, const char *given, char *out, size_t cap);

/* A tool at work: Ctrl-C stops it, a terminal sees how far it is. For the tools' watch. */
struct cli_work {
    struct cli *cli;
    const char *verb, *unit; /* "copied", "pages" */
    uint64_t told_ms;
    unsigned n_lines; /* told about what it found */
    struct slu_buf why;
};
void slu_cli_work_start(struct cli_work *w, struct cli *cli, const char *verb, const char *unit);
bool slu_cli_work_tick(void *work, uint64_t done, uint64_t total);
/* A line from a file that may be anybody's, on `out`: control characters are shown as '?'. */
void slu_cli_work_line(FILE *out, const char *text);
/* Ends it: says why it failed; returns the exit code. */
int slu_cli_work_end(struct cli_work *w, enum slu_err err);

uint64_t slu_cli_now_ms(void);
/* "1.5 MiB" */
const char *slu_cli_size(char *out, size_t cap, uint64_t bytes);
