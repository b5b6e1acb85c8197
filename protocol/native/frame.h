/* One client frame, decoded and checked for form: every member has its type and bounds, required ones are there. What
 * it means (rights, topic syntax, limits) is the core's. */
#pragma once

#include "broker/core/session.h"
#include "protocol/native/wire.h"

#define SLU_UINT_MAX ((UINT64_C(1) << 53) - 1)

enum slu_direction { SLU_DIR_CLIENT, SLU_DIR_SERVER };

enum slu_op {
#define SLU_FRAME(op, text, direction) SLU_OP_##op,
#include "protocol/frames.def"
    SLU_OPS_N,
};

enum slu_field_type {
    SLU_FIELD_TEXT,
    SLU_FIELD_BASE64,
    SLU_FIELD_UINT,
    SLU_FIELD_COUNT,
    SLU_FIELD_BOOL,
    SLU_FIELD_DATA,
    SLU_FIELD_HEADERS,
    SLU_FIELD_FROM,
    SLU_FIELD_FILTER,
    SLU_FIELD_CONFLATE,
    SLU_FIELD_POSITION,
    SLU_FIELD_ACK,
    SLU_FIELD_OVERFLOW,
    SLU_FIELD_ID,
    SLU_FIELD_MAP,
    SLU_FIELD_LIST,
};

struct slu_op_row {
    struct slu_bytes text;
    enum slu_direction direction;
};
extern const struct slu_op_row slu_ops[SLU_OPS_N];

struct slu_field_row {
    enum slu_op op;
    enum slu_name name;
    enum slu_field_type type;
    bool required;
    uint64_t max;
};
/* The fields of an op: *n rows. */
const struct slu_field_row *slu_fields_of(enum slu_op op, size_t *n);

struct slu_from_value {
    enum slu_from from;
    uint64_t n;
    struct slu_pos pos;
    struct slu_bytes cur;
};

struct slu_conflate_value {
    double hz;
    bool by_key;
};

struct slu_field_value {
    bool present;
    union {
        struct slu_bytes bytes; /* TEXT, BASE64, HEADERS (in the core's form) */
        uint64_t number;        /* UINT, COUNT */
        bool flag;
        struct slu_payload_value payload;
        struct slu_from_value from;
        struct slu_conflate_value conflate;
        struct slu_pos position;
        struct slu_wire_value filter;
        enum slu_ack ack;
        enum slu_overflow overflow;
    };
};

struct slu_frame {
    enum slu_op op;
    struct slu_reqid id;
    struct slu_field_value v[SLU_CLIENT_NAMES];
    struct slu_buf scratch, headers; /* what could not be borrowed from the input */
    /* After a failure: */
    const char *broken; /* not NULL: no frame at all (not one well-formed map), for this reason; static text */
    char why[160];
};

void slu_frame_init(struct slu_frame *f);
void slu_frame_fini(struct slu_frame *f);

/* Spans in f point into `in` or into f. Fails with BAD_FRAME, BAD_OP or NOMEM; f->id is set as far as it could be read,
 * so that the error can be answered, f->why says what is wrong. Init before each call. */
enum slu_err slu_frame_decode(const struct slu_wire *wire, struct slu_bytes in, struct slu_frame *f);
