/* The WebSocket handshake: everything that RFC 6455 asks of the request and libwebsockets lets through. */
#pragma once

#include "broker/net/link.h"

struct slu_peer;

enum { SLU_UPGRADE_TEXT = 32768 };

/* True: go on, and l->adapter is chosen. False: the request was answered and the connection must end. */
bool slu_upgrade_check(struct slu_link *l, const char *upgrade);
/* What the request said about the peer, for the session; bytes lie in text. */
void slu_upgrade_describe(struct slu_link *l, struct slu_peer *peer, uint8_t text[SLU_UPGRADE_TEXT]);
/* True for a path on which some adapter waits without a subprotocol. */
bool slu_upgrade_is_path(struct slu_bytes path);
