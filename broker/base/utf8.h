/* UTF-8 (RFC 3629) validation, whole or in pieces: no surrogates, no overlong forms, nothing above U+10FFFF. */
#pragma once

#include "broker/base/bytes.h"

struct slu_utf8 {
    uint8_t need;   /* continuation bytes still missing */
    uint8_t lo, hi; /* bounds for the next one */
};

/* False as soon as the bytes so far can no longer become valid text. Start from a zeroed state. */
bool slu_utf8_feed(struct slu_utf8 *u, struct slu_bytes in);
/* True when no character is left unfinished. */
static inline bool slu_utf8_done(const struct slu_utf8 *u)
{
    return u->need == 0;
}
bool slu_utf8_valid(struct slu_bytes in);
