/* Who is there: the connections subscribed to exactly a topic. Nothing is kept for a topic that nobody watches: members
 * are read off the workers' routers when asked for; joins and leaves travel only where a subscription watches them. */
#pragma once

#include "broker/core/state.h"

void slu_presence_init(struct slu_worker *w);
void slu_presence_fini(struct slu_worker *w);
/* A session has got, or lost, a subscription to exactly this topic. */
void slu_presence_joined(struct slu_session *s, struct slu_bytes topic);
void slu_presence_left(struct slu_session *s, struct slu_bytes topic);
