/* Topic names and filters, as far as a client needs them. Pure. */
#pragma once

#include "broker/base/bytes.h"

bool slu_topic_ok(struct slu_bytes topic);
bool slu_filter_ok(struct slu_bytes filter);
bool slu_filter_wild(struct slu_bytes filter);
/* MQTT 5 matching: '+' one level, trailing '#' the parent and all below; a leading wildcard never matches '$…'. */
bool slu_filter_takes(struct slu_bytes filter, struct slu_bytes topic);
