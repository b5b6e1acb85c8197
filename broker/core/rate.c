/* See rate.h: token buckets, counted in thousandths of a message. */
#include "broker/core/rate.h"

#include "broker/base/map.h"

#include <stdlib.h>

enum { BUCKETS = 4096 };

struct slu_rate {
    struct {
        uint64_t topic; /* hash; 0 = free */
        uint64_t at_ms, tokens;
    } buckets[BUCKETS];
};

bool slu_rate_allows(struct slu_rate **table, struct slu_bytes topic, uint64_t max_rate, uint64_t now_ms)
{
    if (!*table)
        *table = calloc(1, sizeof(**table));
    if (!*table)
        return true;
    uint64_t hash = slu_hash(topic) | 1, full = max_rate * 1000;
    size_t i = (hash >> 1) % BUCKETS;
    if ((*table)->buckets[i].topic != hash) {
        (*table)->buckets[i].topic = hash;
        (*table)->buckets[i].at_ms = now_ms;
        (*table)->buckets[i].tokens = full;
    }
    uint64_t passed = now_ms - (*table)->buckets[i].at_ms;
    uint64_t tokens = passed >= 1000 ? full : (*table)->buckets[i].tokens + passed * max_rate;
    if (tokens > full)
        tokens = full;
    (*table)->buckets[i].at_ms = now_ms;
    bool ok = tokens >= 1000;
    (*table)->buckets[i].tokens = ok ? tokens - 1000 : tokens;
    return ok;
}

void slu_rate_free(struct slu_rate *table)
{
    free(table);
}
