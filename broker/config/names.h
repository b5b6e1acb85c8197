/* Texts with a form of their own: origins, host names, fields of a message. */
#pragma once

#include "broker/base/buf.h"

/* Each appends the normal form (lower case, no default port) to out, or on failure says in `why` what is wrong, as the
 * end of a sentence that begins with the text. */
bool slu_parse_origin(struct slu_bytes text, struct slu_buf *out, struct slu_buf *why);
bool slu_parse_host(struct slu_bytes text, struct slu_buf *out, struct slu_buf *why);
bool slu_parse_field(struct slu_bytes text, struct slu_buf *out, struct slu_buf *why);
