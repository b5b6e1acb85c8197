/* A rule set: one allocation each for the rules and for their filters' bytes. Filters without a wildcard are found
 * in a hash, since a literal topic is more specific than any wildcard that matches it; the others stand in an
 * array, the more specific first, so that the first match wins. */
#include "broker/core/rules.h"

#include "broker/base/map.h"
#include "broker/core/topic.h"

#include <stdlib.h>

struct entry {
    struct slu_map_node node; /* in exact, when the filter has no wildcard */
    struct slu_rule rule;
};

struct slu_rules {
    struct slu_map exact;
    struct entry *entries; /* sorted; wildcards from first_wild on */
    size_t n, first_wild;
    uint8_t *filters;
};

const struct slu_rule slu_rule_default = {
    .filter = { (const uint8_t *)"#", 1 },
    .log = SLU_LOG_MEMORY,
    .max_count = 100,
    .max_bytes = UINT64_C(8) << 20,
    .max_age_ms = UINT64_C(10) * 60 * 1000,
    .last_value = true,
    .presence = true,
};

static struct slu_bytes filter_of(const struct slu_map_node *n)
{
    return ((const struct entry *)(const void *)((const char *)n - offsetof(struct entry, node)))->rule.filter;
}

/* Exact ones first, then by slu_filter_compare. */
static int compare(const void *a, const void *b)
{
    struct slu_bytes fa = ((const struct entry *)a)->rule.filter, fb = ((const struct entry *)b)->rule.filter;
    bool wa = slu_filter_is_wild(fa), wb = slu_filter_is_wild(fb);
    return wa != wb ? (wa ? 1 : -1) : slu_filter_compare(fa, fb);
}

static enum slu_err copy_rules(struct slu_rules *r, const struct slu_rule *rules, size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        if (!slu_filter_valid(rules[i].filter))
            return SLU_EBAD_FILTER;
        bytes += rules[i].filter.len;
    }
    r->entries = calloc(n ? n : 1, sizeof(struct entry));
    r->filters = malloc(bytes ? bytes : 1);
    if (!r->entries || !r->filters)
        return SLU_ENOMEM;
    uint8_t *at = r->filters;
    for (; r->n < n; r->n++) {
        struct slu_bytes filter = rules[r->n].filter;
        memcpy(at, filter.data, filter.len);
        r->entries[r->n].rule = rules[r->n];
        r->entries[r->n].rule.filter = slu_bytes(at, filter.len);
        at += filter.len;
    }
    return SLU_OK;
}

enum slu_err slu_rules_new(const struct slu_rule *rules, size_t n, struct slu_rules **out)
{
    struct slu_rules *r = calloc(1, sizeof(*r));
    if (!r)
        return SLU_ENOMEM;
    slu_map_init(&r->exact, filter_of);
    enum slu_err rc = copy_rules(r, rules, n);
    if (rc)
        goto fail;
    qsort(r->entries, r->n, sizeof(struct entry), compare);
    for (size_t i = 0; i < r->n; i++) {
        struct entry *e = &r->entries[i];
        rc = SLU_EBAD_FILTER;
        if (i && slu_bytes_eq(e->rule.filter, e[-1].rule.filter))
            goto fail;
        if (slu_filter_is_wild(e->rule.filter))
            continue;
        rc = SLU_ENOMEM;
        if (!slu_map_add(&r->exact, &e->node))
            goto fail;
        r->first_wild = i + 1;
    }
    *out = r;
    return SLU_OK;
fail:
    slu_rules_free(r);
    return rc;
}

void slu_rules_free(struct slu_rules *r)
{
    if (!r)
        return;
    slu_map_fini(&r->exact);
    free(r->entries);
    free(r->filters);
    free(r);
}

/* The more specific rules come first, so none behind one that covers the whole filter has a say. */
unsigned slu_rules_logs(const struct slu_rules *r, struct slu_bytes filter)
{
    unsigned logs = 0;
    if (!slu_filter_is_wild(filter))
        return 1u << slu_rules_find(r, filter)->log;
    for (size_t i = 0; i < r->n; i++) {
        const struct slu_rule *rule = &r->entries[i].rule;
        if (!slu_filter_overlaps(rule->filter, filter))
            continue;
        logs |= 1u << rule->log;
        if (slu_filter_covers(rule->filter, filter))
            return logs;
    }
    return logs | 1u << slu_rule_default.log;
}

const struct slu_rule *slu_rules_find(const struct slu_rules *r, struct slu_bytes topic)
{
    const struct slu_map_node *exact = slu_map_get(&r->exact, topic);
    if (exact)
        return &((const struct entry *)(const void *)((const char *)exact - offsetof(struct entry, node)))->rule;
    for (size_t i = r->first_wild; i < r->n; i++) {
        if (slu_filter_matches(r->entries[i].rule.filter, topic))
            return &r->entries[i].rule;
    }
    return &slu_rule_default;
}
