/* Router figures: 1,000,000 exact and 10,000 wildcard subscriptions by default (arguments: exact, wild, cached topics).
 * One line for the machine, then one for each figure. Nothing is asserted about time. */
#include "broker/core/router.h"
#include "tests/bench/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 1000000, TOPIC_CAP = 96 };

struct receiver {
    struct slu_route *route;
    uint32_t index;
};

struct bench {
    struct slu_router *router;
    struct receiver *receivers;
    uint32_t exact, wild;
    size_t cache_max;
    uint64_t state;
};

static void on_moved(void *item, uint32_t new_index)
{
    ((struct receiver *)item)->index = new_index;
}

static uint64_t any(struct bench *b)
{
    b->state ^= b->state << 13;
    b->state ^= b->state >> 7;
    b->state ^= b->state << 17;
    return b->state;
}

static double now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* Topics as they are met: site/17/line/3/sensor/123456 */
static size_t topic_of(char out[TOPIC_CAP], uint64_t i)
{
    return (size_t)snprintf(out, TOPIC_CAP, "site/%llu/line/%llu/sensor/%llu", (unsigned long long)(i % 500),
                            (unsigned long long)(i / 500 % 20), (unsigned long long)i);
}

static size_t filter_of(char out[TOPIC_CAP], uint32_t i)
{
    unsigned site = i % 500, line = i / 500 % 20;
    switch (i % 4) {
    case 0:
        return (size_t)snprintf(out, TOPIC_CAP, "site/%u/line/+/sensor/%u", site, i * 37);
    case 1:
        return (size_t)snprintf(out, TOPIC_CAP, "site/%u/line/%u/#", site, line);
    case 2:
        return (size_t)snprintf(out, TOPIC_CAP, "site/+/line/%u/alarm/%u", line, i);
    default:
        return (size_t)snprintf(out, TOPIC_CAP, "+/%u/+/%u/sensor/%u/#", site, line, i * 11);
    }
}

static void add(struct bench *b, struct receiver *to, const char *filter, size_t len)
{
    bool first;
    enum slu_err e = slu_router_add(b->router, slu_bytes(filter, len), to, &to->route, &to->index, &first);
    if (e != SLU_OK) {
        fprintf(stderr, "add %s: %s\n", filter, slu_err_info(e)->message);
        exit(1);
    }
}

static void fill(struct bench *b)
{
    char text[TOPIC_CAP];
    size_t before = slu_router_bytes(b->router);
    double start = now_ns();
    for (uint32_t i = 0; i < b->exact; i++)
        add(b, &b->receivers[i], text, topic_of(text, i));
    printf("add exact: %.0f ns each, %.1f bytes each\n", (now_ns() - start) / b->exact,
           (double)(slu_router_bytes(b->router) - before) / b->exact);
    before = slu_router_bytes(b->router);
    start = now_ns();
    for (uint32_t i = 0; i < b->wild; i++)
        add(b, &b->receivers[b->exact + i], text, filter_of(text, i));
    printf("add wildcard: %.0f ns each, %.1f bytes each\n", (now_ns() - start) / b->wild,
           (double)(slu_router_bytes(b->router) - before) / b->wild);
}

/* Matches ROUNDS topics drawn from `from` different ones; topics are made beforehand, in batches, out of the clock. */
static void measure(struct bench *b, const char *what, uint64_t from, bool random_order)
{
    enum { BATCH = 1000 };
    static char text[BATCH][TOPIC_CAP];
    static size_t len[BATCH];
    struct slu_router_stats s0, s1;
    double spent = 0;
    uint64_t receivers = 0, at = 0;
    slu_router_stats(b->router, &s0);
    for (int done = 0; done < ROUNDS; done += BATCH) {
        for (int i = 0; i < BATCH; i++)
            len[i] = topic_of(text[i], (random_order ? any(b) : at++) % from);
        double start = now_ns();
        for (int i = 0; i < BATCH; i++) {
            struct slu_match m;
            slu_router_match(b->router, slu_bytes(text[i], len[i]), &m);
            receivers += m.exact ? m.exact->n : 0;
            for (uint32_t k = 0; k < m.n_wild; k++)
                receivers += m.wild[k]->n;
        }
        spent += now_ns() - start;
    }
    slu_router_stats(b->router, &s1);
    double looked_up = (double)(s1.hits - s0.hits + s1.misses - s0.misses);
    printf("match %s: %.0f ns each (%.1f %% hits, %.2f receivers each)\n", what, spent / ROUNDS,
           looked_up > 0 ? 100.0 * (double)(s1.hits - s0.hits) / looked_up : 0.0, (double)receivers / ROUNDS);
}

/* A wildcard filter that comes and goes while the cache is full. */
static void measure_change(struct bench *b, const char *filter)
{
    enum { CHANGES = 200 };
    double spent = 0, worst = 0;
    struct slu_router_stats s0, s1;
    slu_router_stats(b->router, &s0);
    for (int i = 0; i < CHANGES; i++) {
        char text[TOPIC_CAP];
        struct slu_match m;
        for (int k = 0; k < 200; k++)
            slu_router_match(b->router, slu_bytes(text, topic_of(text, any(b) % b->exact)), &m);
        struct receiver one;
        bool last;
        double start = now_ns();
        add(b, &one, filter, strlen(filter));
        slu_router_remove(b->router, one.route, one.index, &last);
        double took = now_ns() - start;
        spent += took;
        worst = took > worst ? took : worst;
    }
    slu_router_stats(b->router, &s1);
    printf("add and remove %s: %.1f us, worst %.1f us, %.1f cached topics dropped\n", filter, spent / CHANGES / 1e3,
           worst / 1e3, (double)(s1.invalidated - s0.invalidated) / CHANGES);
}

int main(int argc, char **argv)
{
    struct bench b = { .exact = 1000000, .wild = 10000, .cache_max = 65536, .state = UINT64_C(0x9e3779b97f4a7c15) };
    if (argc > 1)
        b.exact = (uint32_t)strtoul(argv[1], NULL, 10);
    if (argc > 2)
        b.wild = (uint32_t)strtoul(argv[2], NULL, 10);
    if (argc > 3)
        b.cache_max = strtoul(argv[3], NULL, 10);
    b.receivers = calloc((size_t)b.exact + b.wild, sizeof(*b.receivers));
    b.router = slu_router_new(b.cache_max, on_moved);
    if (!b.receivers || !b.router || b.exact == 0 || b.wild == 0) {
        fprintf(stderr, "usage: bench_router [exact [wild [cached-topics]]], each at least 1\n");
        return 1;
    }
    bench_print_machine();
    printf("router: %u exact, %u wildcard, cache %zu topics\n", b.exact, b.wild, b.cache_max);
    fill(&b);
    uint64_t few = b.cache_max / 4 > 0 ? b.cache_max / 4 : 1;
    measure(&b, "warm-up", few, false);
    measure(&b, "cached topics", few, true);
    measure(&b, "topics never cached", b.exact, false);
    measure(&b, "mix, all topics at random", b.exact, true);
    measure(&b, "mix, four times the cache", few * 16, true);
    measure_change(&b, "site/7/line/3/#");
    measure_change(&b, "+/+/line/3/#");
    measure_change(&b, "#");
    printf("memory: %.1f MiB in all\n", (double)slu_router_bytes(b.router) / 1048576.0);
    slu_router_free(b.router);
    free(b.receivers);
    return 0;
}
