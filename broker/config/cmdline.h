/* The command line of sluiced, by the table in flags.def. Flags that set an option become values for slu_config_load;
 * what else was asked for is the action. */
#pragma once

#include "broker/config/config.h"

enum slu_flag_id {
#define SLU_FLAG(id, ...) SLU_FLAG_##id,
#include "broker/config/flags.def"
    SLU_FLAG_COUNT
};

struct slu_flag {
    const char *name;     /* without the dashes */
    const char *argument; /* NULL = takes none */
    const char *option;   /* the option that it sets, or NULL */
    const char *help;
};

extern const struct slu_flag slu_flags[SLU_FLAG_COUNT];

enum slu_action {
    SLU_ACTION_RUN,
    SLU_ACTION_CHECK_CONFIG,
    SLU_ACTION_PRINT_CONFIG,
    SLU_ACTION_PRINT_SAMPLE,
    SLU_ACTION_VERSION,
    SLU_ACTION_HELP,
};

/* Exit status for every mistake in flags or configuration. */
enum { SLU_EXIT_MISTAKE = 2 };

struct slu_cmdline {
    enum slu_action action; /* the last one asked for */
    const char *config;     /* borrowed from argv; NULL = none */
    bool dev;
    struct slu_config_set *sets; /* in order; values borrowed from argv, keys too or owned in `keys` */
    size_t n_sets;
    char **keys;
    size_t n_keys;
};

/* False: `error` says why, in one line that names the nearest valid flag. Call _fini in any case. */
bool slu_cmdline_parse(int argc, char *const *argv, struct slu_cmdline *out, struct slu_buf *error);
void slu_cmdline_fini(struct slu_cmdline *c);
