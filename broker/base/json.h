/* JSON text (RFC 8259) on the hot path: a validator that makes one pass, allocates nothing and records byte spans, so
 * that payloads are forwarded as they were written. Strict: no comments, no trailing commas, no raw control characters;
 * depth, number length and member count are bounded. \uD800-like escapes without a partner are legal text and kept.
 * Bytes from 0x80 up are taken as they are: whoever needs UTF-8 has checked the whole input before. Any bytes are safe
 * to scan. Numbers are read as the C locale writes them; nobody in the process may change LC_NUMERIC. */
#pragma once

#include "broker/base/buf.h"

enum {
    SLU_JSON_DEPTH = 64,        /* containers open at once, the outermost included */
    SLU_JSON_NUMBER_LEN = 512,  /* bytes of one number */
    SLU_JSON_MEMBERS = 1 << 18, /* object members in one text, nested ones included */
    SLU_JSON_KEY_LEN = 1024,    /* bytes of a recorded (top-level) member name, as written */
};

/* Integers in frames stay below this (2^53): every double-based reader then has them exactly. */
#define SLU_JSON_INT_LIMIT (UINT64_C(1) << 53)

enum slu_json_type {
    SLU_JSON_OBJECT,
    SLU_JSON_ARRAY,
    SLU_JSON_STRING,
    SLU_JSON_NUMBER,
    SLU_JSON_TRUE,
    SLU_JSON_FALSE,
    SLU_JSON_NULL,
};

struct slu_json_value {
    enum slu_json_type type;
    bool escaped;         /* a string with a backslash in it */
    struct slu_bytes raw; /* the token or container as written, without surrounding whitespace; strings with quotes */
};

struct slu_json_member {
    struct slu_bytes key; /* as written, between the quotes */
    bool key_escaped;
    uint64_t hash; /* slu_hash of the unescaped name; set by slu_json_scan_object only */
    struct slu_json_value value;
};

struct slu_json_error {
    const char *reason; /* static text */
    size_t offset;      /* byte in the input where it shows */
};

/* Spans point into `in`. err may be NULL; it and the results are set only as the return value says. */

/* `in` is exactly one value, with whitespace around it at most. */
bool slu_json_scan(struct slu_bytes in, struct slu_json_value *out, struct slu_json_error *err);
/* `in` is exactly one object: validates all of it and fills members[0..*n) with its top level. More than `cap` members
 * or two with the same (unescaped) name are refused; nested objects are not searched for duplicates. */
bool slu_json_scan_object(struct slu_bytes in, struct slu_json_member *members, size_t cap, size_t *n,
                          struct slu_json_error *err);
/* True when the whole of `in` is one valid object or array: how a body without a content type is taken for JSON. */
bool slu_json_is_container(struct slu_bytes in);

/* Walks the elements of an array or the members of an object. The span should be a validated one; on other bytes the
 * walk ends early, safely. */
struct slu_json_iter {
    const uint8_t *at, *end;
    char close;
    bool started;
};
void slu_json_iter_init(struct slu_json_iter *it, struct slu_bytes container);
bool slu_json_next(struct slu_json_iter *it, struct slu_json_value *out);         /* arrays */
bool slu_json_next_member(struct slu_json_iter *it, struct slu_json_member *out); /* objects */
/* The value of a top-level member of a validated object; of several with that name the last, as JavaScript has it. */
bool slu_json_find(struct slu_bytes object, struct slu_bytes key, struct slu_json_value *out);

/* Compares the unescaped member name; no memory is taken. */
bool slu_json_key_is(const struct slu_json_member *m, struct slu_bytes key);
/* Compares an unescaped string value; false for other types. */
bool slu_json_string_is(const struct slu_json_value *v, struct slu_bytes text);

/* Between the quotes, as written. v is a string. */
static inline struct slu_bytes slu_json_inner(const struct slu_json_value *v)
{
    return slu_bytes(v->raw.data + 1, v->raw.len - 2);
}

/* Appends the decoded form of string content `inner` (no quotes). A surrogate without partner becomes U+FFFD and sets
 * *lossy (may be NULL; never cleared here). */
void slu_json_unescape(struct slu_bytes inner, struct slu_buf *out, bool *lossy);
/* The decoded string: borrowed from the input when nothing is escaped, else appended to scratch and borrowed from there
 * (valid until scratch grows or goes). False: not a string, or scratch failed. */
bool slu_json_string(const struct slu_json_value *v, struct slu_buf *scratch, struct slu_bytes *out);

/* Numbers. The integer readers take every notation whose value is exactly an integer (5, 5.0, 1e3: many languages print
 * whole doubles that way) and refuse a magnitude of 2^53 or more. The double is the nearest; overflow is refused. */
bool slu_json_u64(const struct slu_json_value *v, uint64_t *out);
bool slu_json_i64(const struct slu_json_value *v, int64_t *out);
bool slu_json_double(const struct slu_json_value *v, double *out);
/* -1, 0, 1 by value as doubles; both must be numbers. Infinite ones (1e999) sort at the ends. */
int slu_json_number_cmp(const struct slu_json_value *a, const struct slu_json_value *b);

/* Writers. */
/* With quotes; bytes that are not UTF-8 become U+FFFD, one for each maximal broken part. */
void slu_json_add_string(struct slu_buf *out, struct slu_bytes text);
void slu_json_add_str(struct slu_buf *out, const char *text);
/* Shortest text that reads back as the same double; what is not finite becomes null. */
void slu_json_add_double(struct slu_buf *out, double v);
/* A validated text without its insignificant whitespace; tokens stay as they are. */
void slu_json_compact(struct slu_bytes text, struct slu_buf *out);
