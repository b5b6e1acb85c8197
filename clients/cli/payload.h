/* What text from the command line, a file or stdin becomes as a message. */
#pragma once

#include "clients/cli/cli.h"

/* Flags --text, --json, --binary. */
struct cli_kind {
    bool text, json, binary;
};
#define CLI_KIND_FLAGS(type, field)                                                                           \
    { "text", 0, CLI_BOOL, offsetof(type, field.text), NULL, "send as text, also what would be valid JSON" }, \
        { "json", 0, CLI_BOOL, offsetof(type, field.json), NULL, "refuse what is not valid JSON" },           \
    {                                                                                                         \
        "binary", 0, CLI_BOOL, offsetof(type, field.binary), NULL, "send as bytes"                            \
    }

/* Valid JSON is sent as JSON, other UTF-8 text as text, the rest as bytes; the flags force one. False with *why where the
 * data is not what was asked for. */
bool slu_cli_kind_of(const struct cli_kind *force, const void *data, size_t len, enum sluice_kind *kind,
                     const char **why);
/* At most one of the three. */
bool slu_cli_kind_ok(const struct cli_kind *k);

/* Reads a whole file ("-" = stdin); the caller frees *data. False: *why is static or from errno. */
bool slu_cli_read_file(const char *path, char **data, size_t *len, const char **why);

/* "name=value" or "name: value" list as headers; the caller frees the array, names point into copies that live as long as
 * the process. False: *wrong is the entry without '='. */
bool slu_cli_headers(const struct cli_list *list, struct sluice_header **out, const char **wrong);
