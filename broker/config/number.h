/* Numbers with units. All are exact: no fractions, no rounding, nothing beyond 64 bits. */
#pragma once

#include "broker/base/bytes.h"

bool slu_parse_int(struct slu_bytes text, uint64_t *out);
/* 64KiB, 10MB, 4096: binary units with an i, decimal ones without */
bool slu_parse_size(struct slu_bytes text, uint64_t *out);
/* 500ms, 5s, 1h30m; a bare 0 */
bool slu_parse_duration(struct slu_bytes text, uint64_t *ms);
/* 100/s, 6000/m where it is a whole number a second, 100 */
bool slu_parse_rate(struct slu_bytes text, uint64_t *per_second);
/* true, false, yes, no, on, off; case does not count */
bool slu_parse_bool(struct slu_bytes text, bool *out);
