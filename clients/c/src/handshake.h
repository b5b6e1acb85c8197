/* The opening handshake of RFC 6455, client side: builds the request, judges the answer. Pure but for random bytes. */
#pragma once

#include "broker/base/buf.h"
#include "clients/c/include/sluice.h"
#include "clients/c/src/url.h"

enum { SLU_HANDSHAKE_KEY_LEN = 24, SLU_HANDSHAKE_HEAD_MAX = 16384 };

#define SLU_SUBPROTOCOL "sluice.v1.json"

/* Appends the request; key receives what the answer must prove (NUL-terminated). */
void slu_handshake_request(struct slu_buf *out, const struct slu_url *u, const struct sluice_header *headers, size_t n,
                           char key[SLU_HANDSHAKE_KEY_LEN + 1]);
/* False where a caller's header name or value would break the request. */
bool slu_handshake_header_ok(const struct sluice_header *h);

enum slu_handshake_rc { SLU_HANDSHAKE_DONE, SLU_HANDSHAKE_MORE, SLU_HANDSHAKE_REFUSED, SLU_HANDSHAKE_BAD };

/* Reads the answer. DONE: *used bytes were the head. REFUSED: *status is the HTTP status. BAD: *why (static). */
enum slu_handshake_rc slu_handshake_answer(struct slu_bytes in, const char *key, size_t *used, int *status,
                                           const char **why);
