/* From a server frame's members to what the public header promises. */
#pragma once

#include "clients/c/src/client.h"

enum { SLU_FRAME_MEMBERS = 48 };

struct slu_frame {
    struct slu_json_member m[SLU_FRAME_MEMBERS];
    size_t n;
    struct slu_bytes text;
};

/* NULL when it is not there. */
const struct slu_json_value *slu_frame_get(const struct slu_frame *f, const char *name);
/* Absent, or of another type: span with NULL, false. Decoded text may lie in scratch. */
struct sluice_span slu_frame_str(const struct slu_frame *f, const char *name, struct slu_buf *scratch);
bool slu_frame_u64(const struct slu_frame *f, const char *name, uint64_t *out);
bool slu_frame_bool(const struct slu_frame *f, const char *name);
struct sluice_span slu_frame_raw(const struct slu_frame *f, const char *name);

/* Fills m from the members of a msg frame, a history item or a req's ok. *number and *has_number: `sub`. False: data64 is
 * broken, or memory ran out. Decoded text lies in scratch. */
bool slu_message_read(const struct slu_json_member *members, size_t n, struct slu_buf *scratch,
                      struct sluice_message *m, uint64_t *number, bool *has_number);
