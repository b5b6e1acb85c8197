/* Base64 of RFC 4648 section 4 with padding. Decoding is strict: no white space, full padding, unused bits zero, so
 * that each byte string has exactly one accepted text and its size is known before memory is taken. */
#pragma once

#include "broker/base/bytes.h"

/* Length of the text of n bytes, without a NUL. n is at most SIZE_MAX / 2. */
static inline size_t slu_base64_encoded_size(size_t n)
{
    return (n + 2) / 3 * 4;
}
/* Writes exactly slu_base64_encoded_size(in.len) characters, no NUL. */
void slu_base64_encode(char *out, struct slu_bytes in);

/* Exact number of bytes the text stands for, from its length and padding alone; false when those cannot be right. */
bool slu_base64_decoded_size(struct slu_bytes text, size_t *n);
/* out has room for the decoded size. False when the text is not strict base64: out is then of no use. May decode in
 * place (out == text.data). */
bool slu_base64_decode(uint8_t *out, struct slu_bytes text);
