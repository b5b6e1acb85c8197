/* --from: where to begin reading. */
#pragma once

#include "clients/cli/cli.h"

struct cli_start {
    enum sluice_from from;
    uint32_t n;
    int64_t time_ms;
    uint64_t offset;
    char *epoch, *cursor; /* owned */
};

#define CLI_FROM_HELP                                                                                           \
    "new, latest, first, last:N, since:10m (ago), since:2026-01-31T12:00Z,\nsince:MILLISECONDS, EPOCH:OFFSET, " \
    "cur:CURSOR"

/* False: the text is none of them. */
bool slu_cli_start_parse(const char *text, struct cli_start *out);
