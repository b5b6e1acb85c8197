/* What publishes and requests share: may this session publish that, and the message made of it. */
#pragma once

#include "broker/core/state.h"

struct slu_refusal {
    enum slu_err err;
    const char *message, *hint;
};

struct slu_refusal slu_publish_check(struct slu_session *s, const struct slu_publish *p, const struct slu_rule **rule);
/* The limit is on the decoded payload. */
bool slu_publish_is_too_large(const struct slu_publish *p, size_t max);
/* One reference for the caller; NULL without memory. */
struct slu_msg *slu_publish_message(struct slu_session *s, const struct slu_publish *p, struct slu_bytes reply);
