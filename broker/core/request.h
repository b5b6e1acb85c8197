/* Request and reply: a request is a message with a reply topic that only the broker and the responder know. The first
 * publish to it is the answer. */
#pragma once

#include "broker/core/state.h"

void slu_request_init(struct slu_worker *w);
void slu_request_fini(struct slu_worker *w);
bool slu_request_is_reply_topic(struct slu_bytes topic);
/* A publish to a reply topic. */
void slu_request_reply(struct slu_session *s, const struct slu_reqid *id, const struct slu_publish *p);
