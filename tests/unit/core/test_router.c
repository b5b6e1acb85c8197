/* The router against a naive list of subscriptions, its cache's precision, and its behaviour without memory. */
#include "broker/core/router.h"

#include "broker/core/topic.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>

/* A receiver as the broker has them: it knows its route and its index there. */
struct item {
    char filter[40];
    struct slu_route *route;
    uint32_t index;
    bool in_use;
};

static void on_moved(void *item, uint32_t new_index)
{
    ((struct item *)item)->index = new_index;
}

static void subscribe(struct slu_router *r, struct item *it, const char *filter)
{
    bool first;
    snprintf(it->filter, sizeof(it->filter), "%s", filter);
    cr_assert(slu_router_add(r, slu_str(it->filter), it, &it->route, &it->index, &first) == SLU_OK, "%s", filter);
    it->in_use = true;
}

static void unsubscribe(struct slu_router *r, struct item *it)
{
    bool last;
    slu_router_remove(r, it->route, it->index, &last);
    it->in_use = false;
}

static size_t matches(struct slu_router *r, const char *topic)
{
    struct slu_match m;
    slu_router_match(r, slu_str(topic), &m);
    size_t n = m.exact ? m.exact->n : 0;
    for (uint32_t i = 0; i < m.n_wild; i++)
        n += m.wild[i]->n;
    return n;
}

static uint64_t misses(struct slu_router *r)
{
    struct slu_router_stats s;
    slu_router_stats(r, &s);
    return s.misses;
}

Test(router, first_and_last_are_told)
{
    struct slu_router *r = slu_router_new(16, on_moved);
    struct item a, b;
    bool first, last;
    cr_assert(zero(ptr, slu_router_find(r, SLU_LIT("x/y"))));
    cr_assert(slu_router_add(r, SLU_LIT("x/y"), &a, &a.route, &a.index, &first) == SLU_OK && first);
    cr_assert(slu_router_add(r, SLU_LIT("x/y"), &b, &b.route, &b.index, &first) == SLU_OK && !first);
    cr_assert(a.route == b.route && slu_router_find(r, SLU_LIT("x/y")) == a.route);
    cr_assert(eq(sz, matches(r, "x/y"), 2));
    slu_router_remove(r, a.route, a.index, &last);
    cr_assert(b.index == 0 && !last && b.route->items[0] == &b);
    slu_router_remove(r, b.route, b.index, &last);
    cr_assert(last);
    cr_assert(zero(ptr, slu_router_find(r, SLU_LIT("x/y"))));
    cr_assert(eq(sz, matches(r, "x/y"), 0));
    slu_router_free(r);
}

Test(router, a_bad_filter_is_refused)
{
    struct slu_router *r = slu_router_new(16, on_moved);
    struct item a;
    bool first;
    cr_assert(slu_router_add(r, SLU_LIT("a/#/b"), &a, &a.route, &a.index, &first) == SLU_EBAD_FILTER);
    cr_assert(slu_router_add(r, SLU_LIT(""), &a, &a.route, &a.index, &first) == SLU_EBAD_FILTER);
    cr_assert(eq(sz, slu_router_routes(r), 0));
    slu_router_free(r);
}

Test(router, without_wildcard_filters_the_cache_is_not_used)
{
    struct slu_router *r = slu_router_new(16, on_moved);
    struct item a = { 0 };
    subscribe(r, &a, "x/y");
    struct slu_router_stats s;
    cr_assert(eq(sz, matches(r, "x/y"), 1));
    cr_assert(eq(sz, matches(r, "x/z"), 0));
    slu_router_stats(r, &s);
    cr_assert(s.misses == 0 && s.hits == 0 && s.cached == 0);
    slu_router_free(r);
}

Test(router, a_new_filter_drops_only_the_topics_it_matches)
{
    struct slu_router *r = slu_router_new(100, on_moved);
    struct item a = { 0 }, b = { 0 }, c = { 0 };
    subscribe(r, &a, "a/#");
    const char *const topics[] = { "a/x", "a/y", "b/x", "b/x/y", "b", "$b/x" };
    for (size_t i = 0; i < 6; i++)
        matches(r, topics[i]);
    uint64_t before = misses(r);
    subscribe(r, &b, "b/+");
    for (size_t i = 0; i < 6; i++)
        matches(r, topics[i]);
    cr_assert(eq(u64, misses(r), before + 1)); /* b/x */
    unsubscribe(r, &b);
    subscribe(r, &b, "b/#");
    for (size_t i = 0; i < 6; i++)
        matches(r, topics[i]);
    cr_assert(eq(u64, misses(r), before + 4)); /* b/x, b/x/y, b */
    subscribe(r, &c, "+/x");
    for (size_t i = 0; i < 6; i++)
        matches(r, topics[i]);
    cr_assert(eq(u64, misses(r), before + 6)); /* a/x, b/x, not $b/x */
    cr_assert(eq(sz, matches(r, "b/x"), 2));
    unsubscribe(r, &c);
    subscribe(r, &c, "#"); /* c has left a/x and b/x, and # matches all but $b/x */
    matches(r, "$b/x");
    cr_assert(eq(u64, misses(r), before + 6));
    matches(r, "b");
    cr_assert(eq(u64, misses(r), before + 7));
    slu_router_free(r);
}

Test(router, more_receivers_of_a_known_filter_drop_nothing)
{
    struct slu_router *r = slu_router_new(100, on_moved);
    struct item a = { 0 }, b = { 0 };
    subscribe(r, &a, "a/+");
    cr_assert(eq(sz, matches(r, "a/x"), 1));
    uint64_t before = misses(r);
    subscribe(r, &b, "a/+");
    cr_assert(eq(sz, matches(r, "a/x"), 2));
    unsubscribe(r, &a);
    cr_assert(eq(sz, matches(r, "a/x"), 1));
    cr_assert(eq(u64, misses(r), before));
    slu_router_free(r);
}

Test(router, a_filter_that_would_look_at_very_many_topics_still_gives_right_answers, .timeout = 30)
{
    struct slu_router *r = slu_router_new(20000, on_moved);
    struct item a = { 0 }, b = { 0 };
    char topic[32];
    subscribe(r, &a, "t/+/x");
    for (int i = 0; i < 15000; i++) {
        snprintf(topic, sizeof(topic), "t/%d/x", i);
        cr_assert(eq(sz, matches(r, topic), 1));
    }
    subscribe(r, &b, "#");
    for (int i = 0; i < 15000; i++) {
        snprintf(topic, sizeof(topic), "t/%d/x", i);
        cr_assert(eq(sz, matches(r, topic), 2));
    }
    unsubscribe(r, &a);
    for (int i = 0; i < 15000; i++) {
        snprintf(topic, sizeof(topic), "t/%d/x", i);
        cr_assert(eq(sz, matches(r, topic), 1));
    }
    slu_router_free(r);
}

Test(router, the_cache_is_bounded_in_topics_and_bytes, .timeout = 30)
{
    struct slu_router *r = slu_router_new(100, on_moved);
    struct item a = { 0 };
    subscribe(r, &a, "#");
    size_t empty = slu_router_bytes(r);
    char topic[SLU_TOPIC_MAX];
    struct slu_router_stats s;
    for (int i = 0; i < 5000; i++) {
        int n = snprintf(topic, sizeof(topic), "%d", i);
        if (i % 2) { /* short levels are what costs nodes */
            for (; n < 120; n += 2)
                memcpy(topic + n, "/x", 3);
        }
        cr_assert(eq(sz, matches(r, topic), 1));
        slu_router_stats(r, &s);
        cr_assert(le(sz, s.cached, 100));
        cr_assert(lt(sz, slu_router_bytes(r) - empty, 100 * 1024 + 32768));
    }
    cr_assert(gt(sz, s.cached, 5));
    slu_router_free(r);
}

Test(router, topics_in_use_outlive_a_flood_of_new_ones)
{
    struct slu_router *r = slu_router_new(64, on_moved);
    struct item a = { 0 };
    subscribe(r, &a, "#");
    char topic[32];
    matches(r, "hot");
    for (int i = 0; i < 1000; i++) {
        snprintf(topic, sizeof(topic), "cold/%d", i);
        matches(r, topic);
        uint64_t before = misses(r);
        matches(r, "hot");
        cr_assert(eq(u64, misses(r), before));
    }
    slu_router_free(r);
}

Test(router, the_deepest_filters_and_topics_work)
{
    struct slu_router *r = slu_router_new(16, on_moved);
    char deep[2 * SLU_TOPIC_LEVELS], plus[2 * SLU_TOPIC_LEVELS], hash[2 * SLU_TOPIC_LEVELS];
    for (int i = 0; i < SLU_TOPIC_LEVELS; i++) {
        memcpy(deep + 2 * i, "a/", 2);
        memcpy(plus + 2 * i, "+/", 2);
        memcpy(hash + 2 * i, i % 2 ? "a/" : "+/", 2);
    }
    size_t len = 2 * SLU_TOPIC_LEVELS - 1;
    hash[len - 1] = '#';
    struct slu_route *route;
    uint32_t index;
    bool first;
    int items[3];
    cr_assert(slu_router_add(r, slu_bytes(deep, len), &items[0], &route, &index, &first) == SLU_OK);
    cr_assert(slu_router_add(r, slu_bytes(plus, len), &items[1], &route, &index, &first) == SLU_OK);
    cr_assert(slu_router_add(r, slu_bytes(hash, len), &items[2], &route, &index, &first) == SLU_OK);
    for (int i = 0; i < 2; i++) {
        struct slu_match m;
        slu_router_match(r, slu_bytes(deep, len), &m);
        cr_assert(m.exact && m.n_wild == 2);
        slu_router_match(r, slu_bytes(deep, len - 2), &m);
        cr_assert(m.n_wild == 1 && !m.exact);
    }
    slu_router_free(r);
}

/* ---- against the naive model ---- */

static uint32_t rng_state;

static uint32_t any(uint32_t below)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 17;
    rng_state ^= rng_state << 5;
    return rng_state % below;
}

static void any_path(char out[40], const char *const *alphabet, uint32_t n_alphabet, bool is_filter)
{
    do {
        size_t len = 0;
        uint32_t levels = 1 + any(5);
        for (uint32_t i = 0; i < levels; i++)
            len += (size_t)snprintf(out + len, 40 - len, "%s%s", i ? "/" : "", alphabet[any(n_alphabet)]);
    } while (is_filter ? !slu_filter_valid(slu_str(out)) : !slu_topic_valid(slu_str(out)));
}

enum { MODEL_ITEMS = 150 };

static void check_match(struct slu_router *r, struct item *items, const char *topic)
{
    struct slu_match m;
    slu_router_match(r, slu_str(topic), &m);
    size_t got = m.exact ? m.exact->n : 0, want = 0;
    for (uint32_t i = 0; i < m.n_wild; i++) {
        got += m.wild[i]->n;
        for (uint32_t j = 0; j < i; j++)
            cr_assert(m.wild[i] != m.wild[j], "%s twice", topic);
        cr_assert(slu_filter_matches(m.wild[i]->filter, slu_str(topic)), "%s", topic);
    }
    for (int i = 0; i < MODEL_ITEMS; i++)
        want += items[i].in_use && slu_filter_matches(slu_str(items[i].filter), slu_str(topic));
    cr_assert(got == want, "topic %s: %zu instead of %zu", topic, got, want);
}

static void run_model(uint32_t seed, size_t cache_max, uint32_t matches_per_change)
{
    static const char *const filter_levels[] = { "a", "b", "", "$", "+", "+", "#" };
    static const char *const topic_levels[] = { "a", "b", "", "$", "c" };
    rng_state = seed;
    static struct item items[MODEL_ITEMS];
    memset(items, 0, sizeof(items));
    struct slu_router *r = slu_router_new(cache_max, on_moved);
    size_t empty = slu_router_bytes(r);
    uint32_t most = MODEL_ITEMS;
    for (int step = 0; step < 4000; step++) {
        if (step % 500 == 0)
            most = 1 + any(MODEL_ITEMS); /* let it shrink and grow */
        uint32_t at = any(MODEL_ITEMS);
        struct item *it = &items[at];
        if (it->in_use) {
            cr_assert(it->route->items[it->index] == it);
            unsubscribe(r, it);
        } else if (at < most) {
            char filter[40];
            any_path(filter, filter_levels, 7, true);
            subscribe(r, it, filter);
        }
        for (uint32_t i = 0; i < matches_per_change; i++) {
            char topic[40];
            any_path(topic, topic_levels, 5, false);
            check_match(r, items, topic);
        }
    }
    for (int i = 0; i < MODEL_ITEMS; i++)
        if (items[i].in_use)
            unsubscribe(r, &items[i]);
    cr_assert(eq(sz, slu_router_routes(r), 0));
    if (cache_max == 0)
        cr_assert(lt(sz, slu_router_bytes(r) - empty, 8192));
    slu_router_free(r);
}

Test(router, agrees_with_a_naive_model_without_a_cache, .timeout = 60)
{
    for (uint32_t seed = 1; seed <= 8; seed++)
        run_model(seed, 0, 4);
}

Test(router, agrees_with_a_naive_model_with_a_small_cache, .timeout = 60)
{
    for (uint32_t seed = 11; seed <= 18; seed++)
        run_model(seed, 20, 6);
}

Test(router, agrees_with_a_naive_model_with_a_large_cache, .timeout = 60)
{
    for (uint32_t seed = 21; seed <= 28; seed++)
        run_model(seed, 4000, 8);
}

/* ---- without memory ---- */

#if defined(__has_feature)
#define HAS_FEATURE(x) __has_feature(x)
#else
#define HAS_FEATURE(x) 0
#endif
#if !defined(__SANITIZE_ADDRESS__) && !HAS_FEATURE(address_sanitizer) && defined(__GLIBC__)

/* The C library's own names behind malloc and its kin; the sanitizers bring theirs, so this part stays out there. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static _Thread_local long allocations_left = -1;

static bool may_allocate(void)
{
    if (allocations_left < 0)
        return true;
    return allocations_left > 0 && allocations_left--;
}

void *malloc(size_t n)
{
    return may_allocate() ? __libc_malloc(n) : NULL;
}

void *calloc(size_t n, size_t size)
{
    return may_allocate() ? __libc_calloc(n, size) : NULL;
}

void *realloc(void *p, size_t n)
{
    return may_allocate() ? __libc_realloc(p, n) : NULL;
}

/* Lets the n-th allocation of each add fail, for every n, and looks whether anything of the add is left. */
Test(router, an_add_without_memory_changes_nothing, .timeout = 60)
{
    static struct item items[64], extra;
    struct slu_router *r = slu_router_new(50, on_moved);
    int failures = 0;
    for (int i = 0; i < 64; i++) {
        char filter[40] = "one/+/";
        if (i % 4 < 2)
            snprintf(filter, sizeof(filter), i % 4 == 0 ? "a/%d/+/d/#" : "e/%d", i);
        for (long n = 0;; n++) {
            bool first;
            size_t routes = slu_router_routes(r), before = matches(r, filter);
            allocations_left = n;
            enum slu_err e = slu_router_add(r, slu_str(filter), &extra, &extra.route, &extra.index, &first);
            allocations_left = -1;
            if (e == SLU_OK) {
                unsubscribe(r, &extra);
                break;
            }
            cr_assert(eq(int, e, SLU_ENOMEM));
            cr_assert(eq(sz, slu_router_routes(r), routes));
            cr_assert(eq(sz, matches(r, filter), before));
            failures++;
        }
        subscribe(r, &items[i], filter);
    }
    cr_assert(gt(int, failures, 64));
    allocations_left = 0;
    cr_assert(eq(sz, matches(r, "a/0/x/d/e"), 1));
    cr_assert(eq(sz, matches(r, "one/two/"), 32));
    for (int i = 0; i < 64; i++)
        unsubscribe(r, &items[i]);
    allocations_left = -1;
    cr_assert(eq(sz, slu_router_routes(r), 0));
    slu_router_free(r);
}

#endif
