/* Topics and filters as the whole broker understands them: '/'-separated levels, '+' for one whole level, a trailing
 * '#' for the parent and all below it; MQTT 5, section 4.7. Pure functions of bytes: no memory, no state. */
#pragma once

#include "broker/base/bytes.h"

enum { SLU_TOPIC_MAX = 1024, SLU_TOPIC_LEVELS = 64 };

/* 1 to 1024 bytes of UTF-8, at most 64 levels, no control characters (U+0000 to 001F, 007F to 009F), no '+', no '#'.
 * Empty levels are levels. */
bool slu_topic_valid(struct slu_bytes topic);
/* The same, but '+' may stand for a whole level and '#' for the whole last one. */
bool slu_filter_valid(struct slu_bytes filter);

/* From here on filters and topics must be valid. */
bool slu_filter_is_wild(struct slu_bytes filter);
/* A filter that begins with a wildcard matches no topic that begins with '$'. */
bool slu_filter_matches(struct slu_bytes filter, struct slu_bytes topic);
/* Whether every topic that narrow matches is matched by wide: the right to wide gives the right to narrow. */
bool slu_filter_covers(struct slu_bytes wide, struct slu_bytes narrow);
/* Whether some topic is matched by both. */
bool slu_filter_overlaps(struct slu_bytes a, struct slu_bytes b);
/* Total order, the more specific filter first (negative: a comes before b), for "the most specific rule wins". Decided
 * by the first level of different kind: a literal comes before '+', that before the filter's end, that before '#'; so
 * of two filters that match one topic the longer wins. Filters of one shape are in byte order; 0 only when equal. */
int slu_filter_compare(struct slu_bytes a, struct slu_bytes b);

/* Cuts the first level off *rest and returns it; *more says whether a separator followed it. */
struct slu_bytes slu_topic_next_level(struct slu_bytes *rest, bool *more);
/* All levels, borrowed from topic; returns their number, 0 when there are more than SLU_TOPIC_LEVELS. */
size_t slu_topic_split(struct slu_bytes topic, struct slu_bytes levels[SLU_TOPIC_LEVELS]);

static inline bool slu_level_is_plus(struct slu_bytes level)
{
    return level.len == 1 && level.data[0] == '+';
}

static inline bool slu_level_is_hash(struct slu_bytes level)
{
    return level.len == 1 && level.data[0] == '#';
}
