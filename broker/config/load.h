/* A configuration in the making: shared by the parts of the loader. Mistakes are collected, so that the operator sees
 * them all at once; after the last source the configuration is whole or it is thrown away. */
#pragma once

#include "broker/config/value.h"

/* Where a value or a mistake stands. */
struct slu_place {
    enum slu_origin_kind kind;
    unsigned line;    /* FROM_FILE; 0 = the file as a whole */
    const char *name; /* FROM_ENVIRONMENT, FROM_FLAG: the variable, the flag */
};

struct slu_loader {
    const struct slu_config_sources *src;
    struct slu_config *cfg;
    struct slu_buf *error;
    size_t n_mistakes;
};

static inline struct slu_place slu_place_line(unsigned line)
{
    return (struct slu_place){ .kind = SLU_FROM_FILE, .line = line };
}

/* One mistake: a line that begins with the place. Beyond the first twenty they are only counted. */
void slu_complain(struct slu_loader *ld, struct slu_place at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* True when no further mistake would be told: time to give up. */
bool slu_loader_is_full(const struct slu_loader *ld);
/* The place of an option's present value. */
struct slu_place slu_loader_place(const struct slu_loader *ld, enum slu_opt id);
/* Sets one option from one place. False: a complaint was made. */
bool slu_loader_set(struct slu_loader *ld, const struct slu_option *o, struct slu_place at,
                    const struct slu_item *items, size_t n);

/* Reads the YAML text into the configuration; mistakes go to slu_complain. */
void slu_yaml_load(struct slu_loader *ld, struct slu_bytes text);

/* Topic rules. init: line is where the rule begins, 0 for the built-in one. set: one key of a rule that is being read.
 * add: takes the rule over, fills in its defaults and checks what can be checked now; always leaves *r empty. */
void slu_rule_init(struct slu_config_rule *r, unsigned line);
bool slu_rule_set(struct slu_loader *ld, struct slu_config_rule *r, const struct slu_option *key, unsigned line,
                  const struct slu_item *items, size_t n);
void slu_rule_add(struct slu_loader *ld, struct slu_config_rule *r);
/* After all sources: what depends on options, and on the rules together. Adds the built-in rule where it is missing. */
void slu_rules_finish(struct slu_loader *ld);
void slu_rule_fini(struct slu_config_rule *r);
