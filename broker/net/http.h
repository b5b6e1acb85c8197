/* Plain HTTP beside the upgrade: health, metrics, static files. One request a connection; every answer closes it. */
#pragma once

#include "broker/net/link.h"

/* A reply that makes no progress for so long is cut. */
enum { SLU_HTTP_STALL_MS = 10000 };

/* A header's value without surrounding space, copied into out with a NUL. -1: it does not fit; 0: absent or empty.
 * Repeated headers come joined by commas. */
int slu_header(struct slu_link *l, enum lws_token_indexes which, char *out, size_t cap);
/* How often a header stands in the request, 2 for more. */
int slu_header_count(struct slu_link *l, enum lws_token_indexes which);

/* What every request must have, upgrade or not: one Host, that this broker goes by. Answers itself when false. */
bool slu_http_check_host(struct slu_link *l, char *host, size_t cap);

/* LWS_CALLBACK_HTTP and …_WRITEABLE. False: close. */
bool slu_http_request(struct slu_link *l, struct slu_bytes path);
bool slu_http_continue(struct slu_link *l);
/* A short answer in plain text. headers: further lines, each with its CRLF, or "". */
void slu_http_answer(struct slu_link *l, unsigned status, const char *headers, const char *text);
/* The answer to an upgrade that is refused: counted. */
void slu_http_refuse(struct slu_link *l, unsigned status, const char *headers, const char *text);
void slu_http_reply_free(struct slu_link *l);
