/* Table-driven flags: parsing, help, suggestions. */
#pragma once

#include "clients/cli/cli.h"

/* Offsets into struct cli. */
extern const struct cli_flag slu_cli_global_flags[];

void slu_cli_print_flags(FILE *out, const struct cli_flag *flags);
/* In the form that cli->help_form asks for. */
void slu_cli_show_help(FILE *out, const struct cli *cli, const struct cli_help *help);
/* Global flags that stand before the command; returns how many arguments they are, -1 with *code on a mistake. */
int slu_cli_leading_flags(struct cli *cli, int argc, char **argv, int *code);
/* Takes `name` for *nearest when it is nearer to `wrong` than *best edits. */
void slu_cli_nearer(const char *wrong, const char *name, size_t *best, const char **nearest);
/* "10", "1.5", "200ms", "2m", "1h", "7d" in seconds. */
bool slu_cli_parse_seconds(const char *text, double *out);
bool slu_cli_parse_u64(const char *text, uint64_t *out);
