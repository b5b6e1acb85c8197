/* All routes are in one hash table: a valid topic never equals a wildcard filter. Wildcard routes are in a trie as well,
 * and what the trie answered is kept by topic.
 *
 * 1. A cached result is exactly what the trie would answer, or its generation is not the router's. A wildcard filter
 *    that comes or goes drops the cached topics that it matches and no other; only where looking for them would hold
 *    the worker up does it make all of them stale at once by raising the generation.
 * 2. found[] has room for every wildcard route, so matching needs no memory and cannot fail.
 * 3. An add first gets all memory it needs, then changes things. A removal needs none. */
#include "broker/core/router.h"

#include "broker/base/list.h"
#include "broker/base/map.h"
#include "broker/core/topic.h"
#include "broker/core/trie.h"

#include <assert.h>
#include <stdlib.h>

enum {
    VISIT_MAX = 4096,    /* nodes of the cache that one change of filters may look at: well below a millisecond */
    SECOND_CHANCES = 16, /* recently used topics that one eviction passes over at most */
    CACHE_BYTES_PER_TOPIC = 1024,
};

struct entry {
    struct slu_map_node in_map;
    struct slu_route route; /* what callers see */
    union {
        void *one;    /* items of a route with a single receiver, which most have: they need no list of their own */
        uint32_t cap; /* of the list that items is otherwise */
    } u;
    struct slu_trie_node *node; /* wildcard filters only */
    uint8_t filter[];
};

/* A topic and the wildcard routes that match it: the routes, then the topic's bytes, follow the struct. */
struct cached {
    struct slu_map_node in_map;
    struct slu_list ring; /* in eviction order, or in the list of those being dropped */
    struct slu_trie_node *node;
    uint64_t generation;
    uint32_t n_routes;
    uint16_t topic_len;
    bool used; /* since the clock's hand was here */
    struct slu_route *routes[];
};

struct slu_router {
    struct slu_map routes;
    struct slu_trie filters;
    size_t n_wild;
    struct slu_route **found; /* see (2) */
    size_t found_cap;
    uint32_t n_found;
    size_t route_bytes;
    void (*moved)(void *item, uint32_t new_index);

    struct slu_map topics;
    struct slu_trie topic_trie;
    struct slu_list ring;
    uint64_t generation;
    size_t cache_max, cached_bytes;
    uint64_t hits, misses, invalidated;
};

static struct entry *entry_of_route(const struct slu_route *route)
{
    return slu_container_of(route, struct entry, route);
}

static struct entry *entry_of_map(const struct slu_map_node *n)
{
    return slu_container_of(n, struct entry, in_map);
}

static struct cached *cached_of_map(const struct slu_map_node *n)
{
    return slu_container_of(n, struct cached, in_map);
}

static struct cached *cached_of_ring(const struct slu_list *l)
{
    return slu_container_of(l, struct cached, ring);
}

static struct slu_bytes entry_key(const struct slu_map_node *n)
{
    return entry_of_map(n)->route.filter;
}

static struct slu_bytes cached_key(const struct slu_map_node *n)
{
    const struct cached *c = cached_of_map(n);
    return slu_bytes(c->routes + c->n_routes, c->topic_len);
}

/* What the allocator takes for a request, near enough for an account. */
static size_t held(size_t request)
{
    return (request + 23) & ~(size_t)15;
}

static size_t entry_bytes(const struct entry *e)
{
    size_t list = e->route.items == &e->u.one ? 0 : held(e->u.cap * sizeof(void *));
    return held(sizeof(*e) + e->route.filter.len) + list;
}

static size_t cached_bytes_of(const struct cached *c)
{
    return held(sizeof(*c) + c->n_routes * sizeof(c->routes[0]) + c->topic_len);
}

struct slu_router *slu_router_new(size_t cache_max, void (*moved)(void *item, uint32_t new_index))
{
    struct slu_router *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    slu_map_init(&r->routes, entry_key);
    slu_map_init(&r->topics, cached_key);
    slu_trie_init(&r->filters);
    slu_trie_init(&r->topic_trie);
    slu_list_init(&r->ring);
    r->cache_max = cache_max;
    r->moved = moved;
    return r;
}

/* ---- cached topics ---- */

static void cached_drop(struct slu_router *r, struct cached *c)
{
    r->cached_bytes -= cached_bytes_of(c);
    slu_list_remove(&c->ring);
    slu_map_del(&r->topics, &c->in_map);
    slu_trie_del(&r->topic_trie, c->node, false);
    free(c);
}

static void evict_one(struct slu_router *r)
{
    struct cached *c = cached_of_ring(r->ring.next);
    for (int i = 0; i < SECOND_CHANCES && c->used; i++) {
        c->used = false;
        slu_list_remove(&c->ring);
        slu_list_push_back(&r->ring, &c->ring);
        c = cached_of_ring(r->ring.next);
    }
    cached_drop(r, c);
}

static bool cache_is_over(const struct slu_router *r, size_t more)
{
    return r->topics.n >= r->cache_max ||
           (r->cached_bytes + more + r->topic_trie.node_bytes) / CACHE_BYTES_PER_TOPIC >= r->cache_max;
}

/* Keeps the result for topic where there is room and memory. NULL: it is only in found[]. */
static struct cached *cached_add(struct slu_router *r, struct slu_bytes topic, uint64_t hash, uint32_t n_routes)
{
    size_t size = sizeof(struct cached) + n_routes * sizeof(struct slu_route *) + topic.len;
    if (held(size) / CACHE_BYTES_PER_TOPIC >= r->cache_max)
        return NULL;
    while (r->topics.n > 0 && cache_is_over(r, held(size)))
        evict_one(r);
    struct cached *c = calloc(1, size);
    if (!c)
        return NULL;
    c->n_routes = n_routes;
    c->topic_len = (uint16_t)topic.len;
    c->generation = r->generation;
    if (n_routes > 0)
        memcpy(c->routes, r->found, n_routes * sizeof(c->routes[0]));
    memcpy(c->routes + n_routes, topic.data, topic.len);
    c->node = slu_trie_add(&r->topic_trie, topic, c);
    if (!c->node)
        goto fail;
    if (!slu_map_add_hashed(&r->topics, &c->in_map, hash)) {
        slu_trie_del(&r->topic_trie, c->node, false);
        goto fail;
    }
    slu_list_push_back(&r->ring, &c->ring);
    r->cached_bytes += cached_bytes_of(c);
    return c;
fail:
    free(c);
    return NULL;
}

static void move_to(void *value, void *arg)
{
    struct cached *c = value;
    slu_list_remove(&c->ring);
    slu_list_push_back(arg, &c->ring);
}

/* Before the set of wildcard filters changes by filter; see (1). */
static void invalidate(struct slu_router *r, struct slu_bytes filter)
{
    struct slu_list hit;
    slu_list_init(&hit);
    if (!slu_trie_visit(&r->topic_trie, filter, VISIT_MAX, move_to, &hit))
        r->generation++;
    slu_list_each (it, &hit) {
        cached_drop(r, cached_of_ring(it));
        r->invalidated++;
    }
}

/* ---- routes ---- */

void slu_router_free(struct slu_router *r)
{
    if (!r)
        return;
    slu_list_each (it, &r->ring)
        free(cached_of_ring(it));
    struct slu_map_iter i = { 0 };
    for (struct slu_map_node *n; (n = slu_map_next(&r->routes, &i));) {
        struct entry *e = entry_of_map(n);
        if (e->route.items != &e->u.one)
            free(e->route.items);
        free(e);
    }
    slu_map_fini(&r->routes);
    slu_map_fini(&r->topics);
    slu_trie_fini(&r->filters);
    slu_trie_fini(&r->topic_trie);
    free(r->found);
    free(r);
}

static bool found_reserve(struct slu_router *r, size_t n)
{
    if (n <= r->found_cap)
        return true;
    size_t cap = r->found_cap ? r->found_cap * 2 : 8;
    struct slu_route **found = realloc(r->found, cap * sizeof(struct slu_route *));
    if (!found)
        return false;
    r->found = found;
    r->found_cap = cap;
    return true;
}

static struct entry *entry_new(struct slu_router *r, struct slu_bytes filter)
{
    struct entry *e = calloc(1, sizeof(*e) + filter.len);
    if (!e)
        return NULL;
    memcpy(e->filter, filter.data, filter.len);
    e->route.filter = slu_bytes(e->filter, filter.len);
    e->route.wild = slu_filter_is_wild(filter);
    e->route.items = &e->u.one;
    if (e->route.wild) {
        if (!found_reserve(r, r->n_wild + 1))
            goto fail;
        e->node = slu_trie_add(&r->filters, filter, &e->route);
        if (!e->node)
            goto fail;
    }
    if (!slu_map_add(&r->routes, &e->in_map))
        goto fail;
    if (e->route.wild) {
        invalidate(r, e->route.filter);
        r->n_wild++;
    }
    r->route_bytes += entry_bytes(e);
    return e;
fail:
    if (e->node)
        slu_trie_del(&r->filters, e->node, filter.data[filter.len - 1] == '#');
    free(e);
    return NULL;
}

static void entry_drop(struct slu_router *r, struct entry *e)
{
    r->route_bytes -= entry_bytes(e);
    slu_map_del(&r->routes, &e->in_map);
    if (e->route.wild) {
        invalidate(r, e->route.filter);
        slu_trie_del(&r->filters, e->node, e->filter[e->route.filter.len - 1] == '#');
        r->n_wild--;
    }
    free(e);
}

/* Gives the route a list of cap items, which hold at least those it has. False when memory ran out. */
static bool items_resize(struct slu_router *r, struct entry *e, uint32_t cap)
{
    bool had_one = e->route.items == &e->u.one;
    void **items = realloc(had_one ? NULL : e->route.items, cap * sizeof(void *));
    if (!items)
        return false;
    r->route_bytes -= entry_bytes(e);
    if (had_one)
        items[0] = e->u.one;
    e->route.items = items;
    e->u.cap = cap;
    r->route_bytes += entry_bytes(e);
    return true;
}

static void items_to_one(struct slu_router *r, struct entry *e)
{
    void **items = e->route.items;
    r->route_bytes -= entry_bytes(e);
    e->u.one = items[0];
    e->route.items = &e->u.one;
    r->route_bytes += entry_bytes(e);
    free(items);
}

static bool items_reserve_one(struct slu_router *r, struct entry *e)
{
    uint32_t cap = e->route.items == &e->u.one ? 1 : e->u.cap;
    if (e->route.n < cap)
        return true;
    return cap <= UINT32_MAX / 2 && items_resize(r, e, cap * 2);
}

enum slu_err slu_router_add(struct slu_router *r, struct slu_bytes filter, void *item, struct slu_route **route,
                            uint32_t *index, bool *first)
{
    if (!slu_filter_valid(filter))
        return SLU_EBAD_FILTER;
    struct slu_map_node *n = slu_map_get(&r->routes, filter);
    struct entry *e = n ? entry_of_map(n) : entry_new(r, filter);
    if (!e || !items_reserve_one(r, e))
        return SLU_ENOMEM;
    *first = e->route.n == 0;
    *index = e->route.n;
    *route = &e->route;
    e->route.items[e->route.n++] = item;
    return SLU_OK;
}

void slu_router_remove(struct slu_router *r, struct slu_route *route, uint32_t index, bool *last)
{
    struct entry *e = entry_of_route(route);
    assert(index < route->n);
    *last = route->n == 1;
    if (*last) {
        if (route->items != &e->u.one)
            items_to_one(r, e);
        entry_drop(r, e);
        return;
    }
    void *mover = route->items[--route->n];
    if (index < route->n) {
        route->items[index] = mover;
        r->moved(mover, index);
    }
    if (route->n == 1)
        items_to_one(r, e);
    else if (route->n < e->u.cap / 4)
        items_resize(r, e, e->u.cap / 2); /* if it cannot be made smaller it stays */
}

struct slu_route *slu_router_find(const struct slu_router *r, struct slu_bytes filter)
{
    struct slu_map_node *n = slu_map_get(&r->routes, filter);
    return n ? &entry_of_map(n)->route : NULL;
}

/* ---- matching ---- */

static void note_found(void *value, void *arg)
{
    struct slu_router *r = arg;
    r->found[r->n_found++] = value;
}

static void match_wild(struct slu_router *r, struct slu_bytes topic, uint64_t hash, struct slu_match *out)
{
    struct slu_map_node *n = slu_map_get_hashed(&r->topics, topic, hash);
    struct cached *c = n ? cached_of_map(n) : NULL;
    if (c && c->generation != r->generation) {
        cached_drop(r, c);
        c = NULL;
    }
    if (c) {
        r->hits++;
        c->used = true;
        out->wild = c->routes;
        out->n_wild = c->n_routes;
        return;
    }
    r->misses++;
    r->n_found = 0;
    slu_trie_match(&r->filters, topic, note_found, r);
    out->wild = r->found;
    out->n_wild = r->n_found;
    if (r->cache_max > 0)
        c = cached_add(r, topic, hash, out->n_wild);
    if (c)
        out->wild = c->routes;
}

void slu_router_match(struct slu_router *r, struct slu_bytes topic, struct slu_match *out)
{
    *out = (struct slu_match){ .exact = NULL };
    uint64_t hash = slu_hash(topic);
    struct slu_map_node *n = slu_map_get_hashed(&r->routes, topic, hash);
    if (n && !entry_of_map(n)->route.wild)
        out->exact = &entry_of_map(n)->route;
    if (r->n_wild > 0)
        match_wild(r, topic, hash, out);
}

size_t slu_router_routes(const struct slu_router *r)
{
    return r->routes.n;
}

size_t slu_router_bytes(const struct slu_router *r)
{
    return sizeof(*r) + slu_map_bytes(&r->routes) + r->route_bytes + slu_trie_bytes(&r->filters) +
           r->found_cap * sizeof(struct slu_route *) + slu_map_bytes(&r->topics) + slu_trie_bytes(&r->topic_trie) +
           r->cached_bytes;
}

void slu_router_stats(const struct slu_router *r, struct slu_router_stats *out)
{
    *out = (struct slu_router_stats){
        .hits = r->hits,
        .misses = r->misses,
        .invalidated = r->invalidated,
        .cached = r->topics.n,
        .wild_routes = r->n_wild,
    };
}
