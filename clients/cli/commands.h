/* The command table: one row for each sub-command. Dispatch, `sluice help` and the completion walk it. */
#pragma once

#include "clients/cli/cli.h"

struct cli_command {
    const char *name, *summary;
    int (*run)(struct cli *cli, int argc, char **argv);
};

/* Ends with a row whose name is NULL. */
extern const struct cli_command slu_cli_commands[];

int slu_cli_version(struct cli *cli, int argc, char **argv);
int slu_cli_help_command(struct cli *cli, int argc, char **argv);

/* Finds the command that argv[0] names and runs it; says so when there is none. */
int slu_cli_dispatch(struct cli *cli, int argc, char **argv);
