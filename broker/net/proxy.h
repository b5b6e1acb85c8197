/* What a proxy in front says about the client: the PROXY protocol header (version 1 and 2) and X-Forwarded-For. Pure;
 * whether the proxy is to be believed is the caller's question. */
#pragma once

#include "broker/net/address.h"

enum { SLU_PROXY_HEADER_MAX = 536 }; /* the largest that is accepted */

enum slu_proxy_result {
    SLU_PROXY_OK,   /* *used bytes are the header; *ip is NONE where it names no client (LOCAL, UNKNOWN) */
    SLU_PROXY_MORE, /* good so far, not complete */
    SLU_PROXY_BAD,
};

enum slu_proxy_result slu_proxy_parse(struct slu_bytes in, size_t *used, struct slu_ip *ip);

/* The rightmost address of the list that is not trusted itself; false when there is none or what stands there is no
 * address. */
bool slu_forwarded_for(struct slu_bytes list, bool (*is_trusted)(const void *arg, const struct sockaddr *sa),
                       const void *arg, struct slu_ip *ip);
