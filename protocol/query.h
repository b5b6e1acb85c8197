/* The query part of a handshake's address: name=value pairs separated by '&', percent-decoded. A '+' stays a '+': it is
 * a wildcard in filters that people type into addresses, and clients that build queries send %2B or %20. */
#pragma once

#include "broker/base/buf.h"

/* Cuts the first pair off *rest; name and value are still encoded. False at the end. */
bool slu_query_next(struct slu_bytes *rest, struct slu_bytes *name, struct slu_bytes *value);
/* Appends the decoded text. False: a '%' without two hexadecimal digits, or out failed. */
bool slu_query_decode(struct slu_bytes encoded, struct slu_buf *out);
