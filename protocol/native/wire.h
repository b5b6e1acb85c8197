/* The two encodings of the native protocol behind one small table, so that the meaning of frames is written once:
 * frame.c reads through it, encode.c writes through it. Pure functions of bytes. */
#pragma once

#include "broker/base/buf.h"
#include "broker/core/event.h"

/* Member names: the rows of protocol/frames.def. */
enum slu_name {
#define SLU_NAME(name, text, key) SLU_NAME_##name,
#include "protocol/frames.def"
    SLU_NAMES_N,
};

struct slu_name_row {
    struct slu_bytes text;
    int cbor_key; /* -1 = the text */
};
extern const struct slu_name_row slu_names[SLU_NAMES_N];

/* The values behind each name that a client may send come before this one. */
enum { SLU_CLIENT_NAMES = SLU_NAME_LAST };

enum slu_wire_type {
    SLU_WIRE_NULL,
    SLU_WIRE_BOOL,
    SLU_WIRE_NUMBER,
    SLU_WIRE_TEXT,
    SLU_WIRE_BYTES,
    SLU_WIRE_LIST,
    SLU_WIRE_MAP,
    SLU_WIRE_OTHER,
};

struct slu_wire_value {
    enum slu_wire_type type;
    bool escaped; /* text or bytes that cannot be borrowed as they stand: escapes in JSON, chunks in CBOR */
    bool flag;    /* BOOL */
    struct slu_bytes raw;
};

struct slu_wire_member {
    bool has_number; /* CBOR: the key is this integer */
    bool has_text;   /* the key is text; neither: some other CBOR item, which no frame has */
    bool escaped;    /* JSON: key text with a backslash in it */
    uint64_t number;
    struct slu_bytes text;
    struct slu_wire_value value;
};

struct slu_payload_value {
    struct slu_bytes bytes;
    enum slu_kind kind;
    enum slu_form form;
};

struct slu_wire {
    const char *name;
    bool is_text;

    /* `in` is exactly one map: validates all of it and lists its top level; two equal keys are refused, and so are more
     * than cap members. *why is static text. */
    bool (*scan)(struct slu_bytes in, struct slu_wire_member *members, size_t cap, size_t *n, const char **why);

    /* For what scan refused: whether `in` is a well-formed map all the same, and the last value of that name in it
     * (type OTHER when there is none). */
    bool (*find)(struct slu_bytes in, enum slu_name name, struct slu_wire_value *out);

    /* Readers; false: another type or out of range. Decoded text is appended to scratch where it cannot be borrowed;
     * scratch never needs to grow beyond the length of the frame. */
    bool (*read_int)(const struct slu_wire_value *v, int64_t *out);
    bool (*read_double)(const struct slu_wire_value *v, double *out);
    bool (*read_text)(const struct slu_wire_value *v, struct slu_buf *scratch, struct slu_bytes *out);
    bool (*read_payload)(const struct slu_wire_value *v, struct slu_buf *scratch, struct slu_payload_value *out);
    /* Base64 text, or in CBOR bytes as well. */
    bool (*read_binary)(const struct slu_wire_value *v, struct slu_buf *scratch, struct slu_bytes *out);
    /* A value as JSON text, appended. */
    bool (*to_json)(const struct slu_wire_value *v, struct slu_buf *out);

    /* Writers. A map is opened, filled and closed; key comes before each value in a map; item before each in a list. */
    void (*open_map)(struct slu_buf *out);
    void (*close_map)(struct slu_buf *out, size_t opened_at, unsigned members);
    void (*open_list)(struct slu_buf *out, size_t items);
    void (*close_list)(struct slu_buf *out);
    void (*next_item)(struct slu_buf *out, size_t index);
    void (*key)(struct slu_buf *out, enum slu_name name, unsigned index);
    void (*text_key)(struct slu_buf *out, struct slu_bytes key, unsigned index);
    void (*text)(struct slu_buf *out, struct slu_bytes v);
    void (*integer)(struct slu_buf *out, int64_t v);
    void (*number)(struct slu_buf *out, uint64_t v);
    void (*boolean)(struct slu_buf *out, bool v);
    /* The payload with its key: data, or in JSON data64 for bytes. */
    void (*payload)(struct slu_buf *out, const struct slu_msg *m, unsigned index);
};

extern const struct slu_wire slu_wire_json, slu_wire_cbor;

/* Strict base64 into scratch; text that scratch holds from `from` on is decoded in place. */
bool slu_wire_base64(struct slu_buf *scratch, size_t from, struct slu_bytes text, struct slu_bytes *out);
