/* Who gets a message: maps filters to receivers and answers, for a topic, which filters with receivers match it. One
 * worker's own, single-threaded. Receivers are opaque; each knows its index in its route, so taking one out is O(1).
 *
 * Whoever walks a route's items must not add or remove meanwhile: put removals off to the end of the turn. */
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/err.h"

struct slu_router;

/* One for each distinct filter that has a receiver. Lives at one address from the first receiver to the last. */
struct slu_route {
    void **items;
    uint32_t n;
    bool wild;
    struct slu_bytes filter; /* the route's own copy */
};

struct slu_match {
    struct slu_route *exact;       /* the topic itself as a filter; NULL if nobody has it */
    struct slu_route *const *wild; /* wildcard filters, each once, in no order */
    uint32_t n_wild;
};

/* Results for wildcard filters are cached for up to cache_max topics and cache_max KiB; 0 = no cache. When a receiver
 * takes the place of one that was removed, moved tells it its new index; moved must not call the router. NULL when
 * memory ran out. */
struct slu_router *slu_router_new(size_t cache_max, void (*moved)(void *item, uint32_t new_index));
void slu_router_free(struct slu_router *r); /* receivers are not told */

/* Sets *route, *index and *first (the filter had no receiver before). SLU_EBAD_FILTER, SLU_ENOMEM: nothing changed. */
enum slu_err slu_router_add(struct slu_router *r, struct slu_bytes filter, void *item, struct slu_route **route,
                            uint32_t *index, bool *first);
/* Sets *last when that was the filter's only receiver; route is then gone. */
void slu_router_remove(struct slu_router *r, struct slu_route *route, uint32_t index, bool *last);
/* NULL if the filter has no receiver. */
struct slu_route *slu_router_find(const struct slu_router *r, struct slu_bytes filter);

/* topic must be valid. Cannot fail: without memory the result is only not cached. *out is good until the next call of
 * match, add or remove; the routes themselves live longer, see above. */
void slu_router_match(struct slu_router *r, struct slu_bytes topic, struct slu_match *out);

size_t slu_router_routes(const struct slu_router *r); /* distinct filters */
size_t slu_router_bytes(const struct slu_router *r);  /* memory held, for the account */

struct slu_router_stats {
    uint64_t hits, misses; /* of the cache; topics that needed none count in neither */
    uint64_t invalidated;  /* cached topics dropped because a wildcard filter came or went */
    size_t cached;
    size_t wild_routes;
};
void slu_router_stats(const struct slu_router *r, struct slu_router_stats *out);
