/* The pieces of a manual page (man(7)); help texts are written once, in the tables. */
#pragma once

#include "clients/cli/cli.h"

void slu_cli_man_head(FILE *out, const char *name, const char *summary, const char *synopsis);
void slu_cli_man_text(FILE *out, const char *title, const char *text);
void slu_cli_man_literal(FILE *out, const char *title, const char *text);
/* title NULL: they belong to the section before. */
void slu_cli_man_flags(FILE *out, const char *title, const struct cli_flag *flags);
