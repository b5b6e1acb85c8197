/* The lines of an export: JSON objects, one a line, first `sluice-export`, last `end`. One table says for each type what
 * stands in it; writing and reading walk the same table, so what is written can be read. Strict: no member unknown, none
 * missing but the optional ones. */
#pragma once

#include "broker/base/buf.h"

enum {
    SQL_EXPORT_VERSION = 1,
    SQL_LINE_MAX =
        112 << 20, /* bytes of a line: the longest payload in base64, with its key, reply topic and headers */
};

enum sql_line_type {
    SQL_LINE_HEAD,
    SQL_LINE_TOPIC,
    SQL_LINE_MESSAGE,
    SQL_LINE_RETAINED, /* of a topic whose log is here */
    SQL_LINE_MIRROR,   /* of a topic whose log is elsewhere */
    SQL_LINE_STATE,
    SQL_LINE_GONE,
    SQL_LINE_REBIRTH,
    SQL_LINE_END,
    SQL_LINE_TYPES
};

/* Optional fields; what is absent is NULL in the database. */
enum sql_line_has {
    SQL_HAS_EXPIRES = 1 << 0,
    SQL_HAS_PUBLISHER = 1 << 1,
    SQL_HAS_KEY = 1 << 2,
    SQL_HAS_REPLY = 1 << 3,
    SQL_HAS_HEADERS = 1 << 4,
    SQL_HAS_PAYLOAD = 1 << 5,
    SQL_HAS_CURSOR_EPOCH = 1 << 6,
    SQL_HAS_MAX_TS = 1 << 7,
    SQL_HAS_VALUE = 1 << 8,
    SQL_HAS_FILTER = 1 << 9,
};

struct sql_line {
    enum sql_line_type type;
    unsigned has;
    uint64_t version, cursor_epoch, generation;
    uint64_t epoch, head, first, bytes, born_seq, floor_seq, trimmed_seq, max_count, max_bytes, max_age_ms;
    uint64_t seq, offset, ts, max_ts, expires, size, kind, form, flags, publisher, place, bucket;
    uint64_t topics, messages, retained, states, left_out; /* of the last line */
    bool last_value;
    struct slu_bytes filter, topic, key, reply, headers, payload, value;
};

/* Appends the line with its end. False: a value cannot be written (a number of 2^53 or more, or no such kind). */
bool sql_line_write(struct slu_buf *out, const struct sql_line *l);
/* Texts of the result point into `text` or `scratch`. False: `why` says what is wrong. */
bool sql_line_read(struct slu_bytes text, struct slu_buf *scratch, struct sql_line *l, struct slu_buf *why);
