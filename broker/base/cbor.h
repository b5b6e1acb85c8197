/* CBOR (RFC 8949): checks that bytes are one well-formed item, finds spans in it, reads and writes items. No recursion;
 * depth (tags count as a level) is bounded, and a claimed length or count is held against the bytes that are there
 * before anything else. Text must be UTF-8, each chunk of a chunked string for itself. Unassigned simple values and
 * tags are well-formed and pass. Spans are borrowed from the input. */
#pragma once

#include "broker/base/buf.h"

enum { SLU_CBOR_DEPTH = 64 };

enum slu_cbor_type {
    SLU_CBOR_UINT,
    SLU_CBOR_NINT,
    SLU_CBOR_BYTES,
    SLU_CBOR_TEXT,
    SLU_CBOR_ARRAY,
    SLU_CBOR_MAP,
    SLU_CBOR_TAG,
    SLU_CBOR_FALSE,
    SLU_CBOR_TRUE,
    SLU_CBOR_NULL,
    SLU_CBOR_UNDEFINED,
    SLU_CBOR_SIMPLE, /* all other simple values */
    SLU_CBOR_FLOAT,
    SLU_CBOR_BREAK,
};

struct slu_cbor_head {
    enum slu_cbor_type type;
    bool indefinite;          /* strings, arrays and maps that end with a break */
    uint64_t number;          /* UINT: value; NINT: n of -1-n; ARRAY: items; MAP: pairs; TAG and SIMPLE: number */
    double real;              /* FLOAT */
    struct slu_bytes content; /* definite strings */
    size_t size;              /* bytes read, content of definite strings included, other content not */
};

struct slu_cbor_error {
    const char *reason; /* static text */
    size_t offset;
};

/* Reads the head at the start of `in`; false when it is cut off, malformed or claims more than there is. */
bool slu_cbor_head(struct slu_bytes in, struct slu_cbor_head *out);

/* The well-formed item at the start of `in` takes *size bytes. err may be NULL. */
bool slu_cbor_scan(struct slu_bytes in, size_t *size, struct slu_cbor_error *err);
/* `in` is exactly one well-formed item. */
bool slu_cbor_is_item(struct slu_bytes in, struct slu_cbor_error *err);

struct slu_cbor_member {
    enum slu_cbor_type key_type;
    uint64_t number;       /* UINT keys */
    struct slu_bytes text; /* definite TEXT keys: the text; empty for other keys */
    struct slu_bytes key;  /* the whole key item */
    struct slu_bytes value;
    uint64_t hash; /* set by slu_cbor_scan_map only */
};

/* `in` is exactly one map: validates all of it and fills members[0..*n) with its top level. Refuses more than `cap`
 * pairs, two equal keys (integers by value, text by content, others by their bytes) and keys in chunks. */
bool slu_cbor_scan_map(struct slu_bytes in, struct slu_cbor_member *members, size_t cap, size_t *n,
                       struct slu_cbor_error *err);

/* Walks a validated array or map; ends early, safely, on other bytes. */
struct slu_cbor_iter {
    const uint8_t *at, *end;
    uint64_t left;
    bool indefinite;
};
bool slu_cbor_iter_init(struct slu_cbor_iter *it, struct slu_bytes item);         /* false: neither array nor map */
bool slu_cbor_next(struct slu_cbor_iter *it, struct slu_bytes *item);             /* arrays */
bool slu_cbor_next_member(struct slu_cbor_iter *it, struct slu_cbor_member *out); /* maps */
/* The value of a text key of a validated map; of several the last, as with JSON. */
bool slu_cbor_find(struct slu_bytes map, struct slu_bytes key, struct slu_bytes *value);

/* Readers of one item; false when it is of another type or out of range. Integers: also floats with exactly that value
 * (some encoders write large integers so), below 2^53. Doubles: any number, the nearest. */
enum slu_cbor_type slu_cbor_type(struct slu_bytes item); /* SLU_CBOR_BREAK when there is none */
bool slu_cbor_u64(struct slu_bytes item, uint64_t *out);
bool slu_cbor_i64(struct slu_bytes item, int64_t *out);
bool slu_cbor_double(struct slu_bytes item, double *out);
bool slu_cbor_bool(struct slu_bytes item, bool *out);
/* Strings: borrowed from the item, or, when they come in chunks, joined at the end of scratch and borrowed from there
 * (valid until scratch grows or goes). False: another type, or scratch failed. */
bool slu_cbor_text(struct slu_bytes item, struct slu_buf *scratch, struct slu_bytes *out);
bool slu_cbor_bytes(struct slu_bytes item, struct slu_buf *scratch, struct slu_bytes *out);

/* Writers: the shortest head always; doubles as the shortest float that keeps the value. */
void slu_cbor_add_uint(struct slu_buf *out, uint64_t v);
void slu_cbor_add_int(struct slu_buf *out, int64_t v);
void slu_cbor_add_nint(struct slu_buf *out, uint64_t n);         /* -1-n */
void slu_cbor_add_text(struct slu_buf *out, struct slu_bytes v); /* v is UTF-8 */
void slu_cbor_add_str(struct slu_buf *out, const char *v);
void slu_cbor_add_bytes(struct slu_buf *out, struct slu_bytes v);
void slu_cbor_add_array(struct slu_buf *out, uint64_t items);
void slu_cbor_add_map(struct slu_buf *out, uint64_t pairs);
void slu_cbor_add_tag(struct slu_buf *out, uint64_t tag);
void slu_cbor_add_bool(struct slu_buf *out, bool v);
void slu_cbor_add_null(struct slu_buf *out);
void slu_cbor_add_double(struct slu_buf *out, double v);
/* The head for `number` of a major type (0 to 7) alone; returns its length, at most 9. */
size_t slu_cbor_put_head(uint8_t out[9], unsigned major, uint64_t number);
