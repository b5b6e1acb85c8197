/* Prints messages to stdout in the form the user asked for. */
#pragma once

#include "clients/cli/cli.h"

enum cli_output { CLI_OUT_TEXT, CLI_OUT_JSONL, CLI_OUT_JSON };

struct cli_printer {
    enum cli_output output;
    bool no_topic, color, tty;
    const char *format; /* NULL = the output's own */
};

/* -o NAME; NULL is text. */
bool slu_cli_output_of(const char *name, enum cli_output *out);
/* NULL, or the first directive of the format that is not known. */
const char *slu_cli_format_wrong(const char *format);
void slu_cli_print_message(const struct cli_printer *p, const struct sluice_message *m);
/* A JSON text as a line (JSONL, TEXT) or indented (JSON). */
void slu_cli_print_json(const struct cli_printer *p, struct sluice_span json);
