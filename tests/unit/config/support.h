/* Loads configurations from text for the tests: no file, no environment but what the test says. */
#pragma once

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "broker/config/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* What a test may vary; zeroes are a plain load of an empty file. */
struct given {
    const char *text;
    size_t text_len; /* 0: strlen(text) */
    char *const *environ;
    struct slu_config_set sets[4]; /* ends at the first without a key */
    bool dev, has_disk, has_redis, no_rule_users;
};

static inline bool load_given(const struct given *g, struct slu_config **out, char **error)
{
    struct slu_buf text;
    struct slu_config_sources src = {
        .file = "sluice.yaml",
        .text = g->text ? g->text : "",
        .text_len = g->text_len ? g->text_len : (g->text ? strlen(g->text) : 0),
        .environ = g->environ,
        .sets = g->sets,
        .dev = g->dev,
        .has_disk = g->has_disk,
        .has_redis = g->has_redis,
        .has_rule_users = !g->no_rule_users,
        .machine_memory = UINT64_C(4) << 30,
    };
    while (src.n_sets < 4 && g->sets[src.n_sets].key)
        src.n_sets++;
    slu_buf_init(&text, 0);
    *out = NULL;
    bool ok = slu_config_load(&src, out, &text);
    slu_buf_add_byte(&text, 0);
    cr_assert(not(text.failed));
    *error = (char *)text.data;
    return ok;
}

/* Loads or fails the test with the error. */
static inline struct slu_config *load_good(struct given g)
{
    struct slu_config *c;
    char *error;
    bool ok = load_given(&g, &c, &error);
    cr_assert(ok, "%s", error);
    cr_assert(eq(str, error, ""));
    free(error);
    return c;
}

/* Must fail; the error, to be freed. */
static inline char *load_bad(struct given g)
{
    struct slu_config *c;
    char *error;
    bool ok = load_given(&g, &c, &error);
    if (ok)
        slu_config_free(c);
    cr_assert(not(ok), "loaded: %s", g.text ? g.text : "");
    return error;
}

static inline void expect_error(struct given g, const char *want)
{
    char *error = load_bad(g);
    cr_expect(eq(str, error, (char *)want));
    free(error);
}

static inline void expect_error_part(struct given g, const char *part)
{
    char *error = load_bad(g);
    cr_expect(strstr(error, part) != NULL, "no \"%s\" in: %s", part, error);
    free(error);
}

static inline char *printed(const struct slu_config *c)
{
    struct slu_buf out;
    slu_buf_init(&out, 0);
    slu_config_print(c, &out);
    slu_buf_add_byte(&out, 0);
    return (char *)out.data;
}
