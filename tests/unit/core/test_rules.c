#include "broker/core/rules.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>

/* Rules with these filters; max_count says which is which (from 1). */
static struct slu_rules *make(const char *const *filters, size_t n)
{
    struct slu_rule rules[64] = { 0 };
    for (size_t i = 0; i < n; i++) {
        rules[i].filter = slu_str(filters[i]);
        rules[i].max_count = i + 1;
    }
    struct slu_rules *r = NULL;
    cr_assert(eq(int, (int)slu_rules_new(rules, n, &r), SLU_OK));
    return r;
}

static int find(const struct slu_rules *r, const char *topic)
{
    return (int)slu_rules_find(r, slu_str(topic))->max_count;
}

Test(rules, the_most_specific_match_wins_whatever_the_order, .timeout = 5)
{
    static const char *const filters[] = { "#", "a/#", "a/+", "a/b", "+/b", "a/b/#", "a/+/c", "$SYS/#" };
    static const struct {
        const char *topic;
        int rule;
    } cases[] = {
        { "a/b", 4 },   { "a/x", 3 },   { "a", 2 },     { "x/b", 5 },     { "x", 1 }, { "a/b/c", 6 },
        { "a/b/d", 6 }, { "a/x/c", 7 }, { "a/x/y", 2 }, { "a/b/c/d", 6 }, { "/", 1 }, { "$SYS/x", 8 },
    };
    for (int shift = 0; shift < 8; shift++) {
        const char *turned[8];
        for (int i = 0; i < 8; i++)
            turned[(i + shift) % 8] = filters[i];
        struct slu_rules *r = make(turned, 8);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
            cr_assert(eq(int, find(r, cases[i].topic), (cases[i].rule - 1 + shift) % 8 + 1), "%s", cases[i].topic);
        slu_rules_free(r);
    }
}

Test(rules, without_a_match_the_default_holds, .timeout = 5)
{
    static const char *const filters[] = { "#" };
    struct slu_rules *r = make(filters, 1);
    cr_assert(eq(ptr, (void *)(uintptr_t)slu_rules_find(r, slu_str("$x")), (void *)(uintptr_t)&slu_rule_default));
    slu_rules_free(r);
    r = make(NULL, 0);
    cr_assert(eq(ptr, (void *)(uintptr_t)slu_rules_find(r, slu_str("x")), (void *)(uintptr_t)&slu_rule_default));
    slu_rules_free(r);
    slu_rules_free(NULL);
}

Test(rules, the_default_is_the_documented_one, .timeout = 5)
{
    const struct slu_rule *d = &slu_rule_default;
    bool right = d->log == SLU_LOG_MEMORY && d->max_count == 100 && d->max_age_ms == 600000 &&
                 d->max_bytes == 8u << 20 && d->last_value && d->presence && d->overflow == SLU_OVERFLOW_DEFAULT &&
                 d->ack == SLU_ACK_DEFAULT && d->payload == SLU_PAYLOAD_AUTO;
    cr_assert(right);
}

Test(rules, the_set_owns_its_filters, .timeout = 5)
{
    char filter[] = "a/+";
    struct slu_rule rule = { .filter = slu_str(filter), .max_rate = 7 };
    struct slu_rules *r = NULL;
    cr_assert(eq(int, (int)slu_rules_new(&rule, 1, &r), SLU_OK));
    memset(filter, 'x', 3);
    const struct slu_rule *found = slu_rules_find(r, slu_str("a/b"));
    bool right = slu_bytes_eq(found->filter, SLU_LIT("a/+")) && found->max_rate == 7;
    cr_assert(right);
    slu_rules_free(r);
}

Test(rules, bad_and_repeated_filters_are_refused, .timeout = 5)
{
    static const char *const bad[][2] = { { "a", "a" }, { "a/+", "a/+" }, { "#", "#" },
                                          { "a", "" },  { "a+", "b" },    { "#/a", "b" } };
    for (int i = 0; i < 6; i++) {
        struct slu_rule rules[2] = { { .filter = slu_str(bad[i][0]) }, { .filter = slu_str(bad[i][1]) } };
        struct slu_rules *r = NULL;
        cr_assert(eq(int, (int)slu_rules_new(rules, 2, &r), SLU_EBAD_FILTER));
        cr_assert(eq(ptr, r, NULL));
    }
}

Test(rules, many_exact_topics_are_found, .timeout = 5)
{
    enum { N = 5000 };
    struct slu_rule *rules = calloc(N, sizeof(*rules));
    char(*names)[16] = calloc(N, sizeof(*names));
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof(names[i]), "t/%d", i);
        rules[i].filter = slu_str(names[i]);
        rules[i].max_count = (uint64_t)i + 1;
    }
    struct slu_rules *r = NULL;
    cr_assert(eq(int, (int)slu_rules_new(rules, N, &r), SLU_OK));
    for (int i = 0; i < N; i++)
        cr_assert(eq(int, find(r, names[i]), i + 1));
    slu_rules_free(r);
    free(rules);
    free(names);
}

Test(rules, the_logs_behind_a_filter_are_those_of_the_rules_it_meets, .timeout = 5)
{
    enum { NONE = 1 << SLU_LOG_NONE, MEMORY = 1 << SLU_LOG_MEMORY, DISK = 1 << SLU_LOG_DISK };
    const struct slu_rule list[] = {
        { .filter = slu_str("host/#"), .log = SLU_LOG_DISK },
        { .filter = slu_str("host/+/raw"), .log = SLU_LOG_NONE },
        { .filter = slu_str("disk/#"), .log = SLU_LOG_DISK },
        { .filter = slu_str("one/exact"), .log = SLU_LOG_DISK },
    };
    static const struct {
        const char *filter;
        unsigned logs;
    } rows[] = {
        { "disk/#", DISK },          { "disk/+/a", DISK },       { "disk", DISK },
        { "host/#", DISK | NONE },   { "host/+/raw", NONE },     { "host/a/raw", NONE },
        { "host/a/+", DISK | NONE }, { "host/a/b", DISK },       { "#", DISK | NONE | MEMORY },
        { "+/a", DISK | MEMORY },    { "one/+", DISK | MEMORY }, { "one/exact", DISK },
        { "other/#", MEMORY },       { "$SYS/#", MEMORY },       { "+/+/raw", DISK | NONE | MEMORY },
    };
    struct slu_rules *r;
    cr_assert(slu_rules_new(list, sizeof(list) / sizeof(list[0]), &r) == SLU_OK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect(slu_rules_logs(r, slu_str(rows[i].filter)) == rows[i].logs, "%s: %u", rows[i].filter,
                  slu_rules_logs(r, slu_str(rows[i].filter)));
    slu_rules_free(r);
}
