/* Positions as text. An epoch is a number inside and an opaque word outside: base 36, lower case, such as "k3". */
#pragma once

#include "broker/base/bytes.h"

enum { SLU_EPOCH_TEXT = 14 }; /* 13 digits and a NUL */

/* Returns the length, without the NUL. */
size_t slu_epoch_print(uint64_t epoch, char out[SLU_EPOCH_TEXT]);
/* Any other text is the name of an epoch that does not exist: UINT64_MAX, which no log has. */
uint64_t slu_epoch_parse(struct slu_bytes text);
