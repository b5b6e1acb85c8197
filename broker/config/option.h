/* The option table in memory: rows for the options (options.def) and for the keys of a topic rule (rules.def), which
 * look alike so that one set of value functions serves both. */
#pragma once

#include "broker/config/config.h"

enum slu_type {
    SLU_TYPE_STRING,   /* char * */
    SLU_TYPE_FILTER,   /* char *: one topic filter */
    SLU_TYPE_BOOL,     /* bool */
    SLU_TYPE_INT,      /* uint64_t */
    SLU_TYPE_BYTES,    /* uint64_t: "64KiB"; a word in choices stands for 0 */
    SLU_TYPE_DURATION, /* uint64_t ms: "5s" */
    SLU_TYPE_RATE,     /* uint64_t a second: "100/s" */
    SLU_TYPE_ENUM,     /* an enum counted from 0 in the order of choices */
    SLU_TYPE_STRINGS,  /* struct slu_strings, here and below */
    SLU_TYPE_FILTERS,
    SLU_TYPE_ORIGINS,
    SLU_TYPE_HOSTS,
    SLU_TYPE_FIELDS,
    SLU_TYPE_ADDRS, /* struct slu_addrs */
    SLU_TYPE_CIDRS, /* struct slu_cidrs */
    SLU_TYPE_RULES, /* the list of topic rules: only in the file */
};

enum { SLU_RELOAD = 1, SLU_SECRET = 2 };

struct slu_option {
    const char *key;
    enum slu_type type;
    size_t offset;    /* of the field in its struct */
    const char *def;  /* NULL: stays unset */
    const char *alt;  /* option: default under --dev; rule key: with log: disk. NULL: def */
    const char *alt2; /* rule key: with log: none */
    uint64_t min, max;
    const char *choices; /* "a|b|c" */
    unsigned flags;
    const char *help;
};

extern const struct slu_option slu_options[SLU_OPT_COUNT];
extern const struct slu_option slu_rule_keys[SLU_KEY_COUNT];

static inline void *slu_option_field(const struct slu_option *o, void *base)
{
    return (char *)base + o->offset;
}

static inline const void *slu_option_cfield(const struct slu_option *o, const void *base)
{
    return (const char *)base + o->offset;
}

bool slu_type_is_list(enum slu_type t);

/* The option of that key, or NULL. */
const struct slu_option *slu_option_find(struct slu_bytes key);
const struct slu_option *slu_rule_key_find(struct slu_bytes key);
/* The first option inside the section ("listen" for "listen.public"), or NULL when there is no such section. */
const struct slu_option *slu_section_find(struct slu_bytes section);
/* Length of the section part of a key, 0 = none. */
size_t slu_option_section_len(const struct slu_option *o);
/* SLUICE_LISTEN_PUBLIC */
void slu_option_env_name(const struct slu_option *o, struct slu_buf *out);

/* Appends what the operator may have meant: `, did you mean "x"?`, or the nearest valid key where none is near. */
void slu_option_suggest(struct slu_bytes key, struct slu_buf *out);
void slu_rule_key_suggest(struct slu_bytes key, struct slu_buf *out);
void slu_option_env_suggest(struct slu_bytes name, struct slu_buf *out);
