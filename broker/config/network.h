/* Addresses to listen on, and networks. */
#pragma once

#include "broker/config/config.h"

/* One address, or two for "localhost:PORT". out has room for two; their number, or 0 with `why` (the end of a sentence
 * that begins with the text). The path of a unix address is then the caller's to free. */
size_t slu_parse_addr(struct slu_bytes text, struct slu_addr out[2], struct slu_buf *why);
bool slu_parse_cidr(struct slu_bytes text, struct slu_cidr *out, struct slu_buf *why);
void slu_cidr_print(const struct slu_cidr *c, struct slu_buf *out);

bool slu_addr_is_loopback(const struct slu_addr *a);                     /* unix sockets count */
bool slu_addr_same(const struct slu_addr *a, const struct slu_addr *b);  /* could not both be bound; port 0 never */
void slu_addr_companion(const struct slu_addr *a, struct slu_addr *out); /* the [::1] beside a 127.0.0.1 */
