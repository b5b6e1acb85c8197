/* A bound on messages a second for each topic (rule `max-rate`), kept by each worker for what it publishes. A fixed
 * table: two busy topics that fall on one place forget each other's count, which errs on the side of letting through. */
#pragma once

#include "broker/base/bytes.h"

struct slu_rate;

/* True when one more message on the topic keeps within max_rate a second (a burst of one second's worth). The table is
 * made at the first call; without memory nothing is limited. */
bool slu_rate_allows(struct slu_rate **table, struct slu_bytes topic, uint64_t max_rate, uint64_t now_ms);
void slu_rate_free(struct slu_rate *table);
