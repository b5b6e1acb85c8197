/* TLS: one certificate for the whole process, exchanged while it runs. */
#pragma once

#include "broker/base/buf.h"
#include "broker/base/err.h"
#include "broker/net/loop.h"

/* A certificate chain with its key, parsed and matched. Immutable. */
struct slu_tls_pair;

enum slu_err slu_tls_pair_load(const char *certificate, const char *key, struct slu_tls_pair **out,
                               struct slu_buf *error);
void slu_tls_pair_free(struct slu_tls_pair *p); /* NULL is fine */

/* While a vhost is made: lws shows its SSL_CTX. Takes note of it for slu_tls_claim and tightens it. */
bool slu_tls_on_context(void *ssl_ctx);
/* The SSL_CTX shown last on this thread. */
void *slu_tls_claim(void);
/* New connections of that context get this pair; the loop's own thread. */
bool slu_tls_use(void *ssl_ctx, const struct slu_tls_pair *p);
