/* One value: from text to its field and back. Pure; the table row says type and bounds. */
#pragma once

#include "broker/config/option.h"

/* A list's member, or the whole of a single value. */
struct slu_item {
    struct slu_bytes text;
    unsigned line; /* 0 where there is no file */
};

/* Replaces the field (which holds a value or zeroes). On failure the field is as before, `why` has what is wrong as the
 * end of a sentence that begins with the key, and *bad the item at fault. Single values take exactly one item. */
bool slu_value_parse(const struct slu_option *o, void *field, const struct slu_item *items, size_t n, size_t *bad,
                     struct slu_buf *why);
/* The same for text of defaults, environment and command line, where commas separate a list's members. */
bool slu_value_parse_text(const struct slu_option *o, void *field, const char *text, struct slu_buf *why);
/* Frees what the field owns and zeroes it. */
void slu_value_fini(const struct slu_option *o, void *field);

/* As YAML that reads back as the same value. */
void slu_value_print(const struct slu_option *o, const void *field, struct slu_buf *out);
/* "a size from 1KiB to 256MiB, such as 64KiB or 10MB" */
void slu_value_expect(const struct slu_option *o, struct slu_buf *out);
/* " 1KiB to 256MiB." or " One of a, b." behind a help text; nothing where there is nothing to say. */
void slu_value_bounds(const struct slu_option *o, struct slu_buf *out);

/* "…" with escapes, as YAML has it. */
void slu_quote(struct slu_bytes text, struct slu_buf *out);
/* The same for messages: long texts are cut. */
void slu_quote_short(struct slu_bytes text, struct slu_buf *out);
/* Units as a user would write them. */
void slu_print_size(uint64_t n, struct slu_buf *out);
void slu_print_duration(uint64_t ms, struct slu_buf *out);
