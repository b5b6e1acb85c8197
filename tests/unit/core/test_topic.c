/* Topics and filters: the examples of MQTT 5 section 4.7, the bounds, and covers/overlaps against all small cases. */
#include "broker/core/topic.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>

struct example {
    const char *filter, *topic;
    bool matches;
};

static const struct example examples[] = {
    /* 4.7.1.2, multi-level wildcard */
    { "sport/tennis/player1/#", "sport/tennis/player1", true },
    { "sport/tennis/player1/#", "sport/tennis/player1/ranking", true },
    { "sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true },
    { "sport/tennis/player1/#", "sport/tennis/player10", false },
    { "sport/#", "sport", true },
    { "#", "sport/tennis/player1", true },
    { "#", "/", true },
    { "sport/tennis/#", "sport/tennis", true },
    { "sport/tennis/#", "sport", false },
    /* 4.7.1.3, single-level wildcard */
    { "sport/tennis/+", "sport/tennis/player1", true },
    { "sport/tennis/+", "sport/tennis/player2", true },
    { "sport/tennis/+", "sport/tennis/player1/ranking", false },
    { "sport/+", "sport", false },
    { "sport/+", "sport/", true },
    { "+", "sport", true },
    { "+", "sport/tennis", false },
    { "+/tennis/#", "sport/tennis/player1", true },
    { "+/tennis/#", "sport/tennis", true },
    { "sport/+/player1", "sport/tennis/player1", true },
    { "sport/+/player1", "sport/tennis/player2", false },
    { "+/+", "/finance", true },
    { "/+", "/finance", true },
    { "+", "/finance", false },
    /* 4.7.2, topics that begin with $ */
    { "#", "$SYS/monitor/Clients", false },
    { "#", "$SYS", false },
    { "+/monitor/Clients", "$SYS/monitor/Clients", false },
    { "+", "$SYS", false },
    { "$SYS/#", "$SYS/monitor/Clients", true },
    { "$SYS/#", "$SYS", true },
    { "$SYS/monitor/+", "$SYS/monitor/Clients", true },
    { "a/+", "a/$b", true },
    { "#", "a/$b", true },
    /* 4.7.3: case, separators and spaces all count; no Unicode normalisation */
    { "ACCOUNTS", "Accounts", false },
    { "Accounts payable", "Accounts payable", true },
    { "/finance", "finance", false },
    { "finance", "/finance", false },
    { "/", "/", true },
    { "/", "//", false },
    { "a//b", "a/b", false },
    { "a/+/b", "a//b", true },
    { "a/", "a", false },
    { "\xc3\xa9", "e\xcc\x81", false },
    { "a/b", "a/b", true },
    { "a/b", "a/b/c", false },
    { "a/b/c", "a/b", false },
    { "a/+/#", "a", false },
    { "a/+/#", "a/", true },
    { "+/+/#", "a", false },
    { "+/#", "a", true },
};

Test(topic, filters_match_as_mqtt_5_says)
{
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        const struct example *e = &examples[i];
        cr_expect(slu_filter_valid(slu_str(e->filter)), "%s", e->filter);
        cr_expect(slu_topic_valid(slu_str(e->topic)), "%s", e->topic);
        cr_expect(slu_filter_matches(slu_str(e->filter), slu_str(e->topic)) == e->matches, "%s and %s", e->filter,
                  e->topic);
    }
}

struct verdict {
    struct slu_bytes text;
    bool topic, filter;
};

Test(topic, validity_follows_section_4_7_and_our_bounds)
{
    const struct verdict verdicts[] = {
        { SLU_LIT("a"), true, true },
        { SLU_LIT(""), false, false },
        { SLU_LIT("/"), true, true },
        { SLU_LIT(" "), true, true },
        { SLU_LIT("$SYS/x"), true, true },
        { SLU_LIT("sport/tennis#"), false, false },
        { SLU_LIT("sport/tennis/#/ranking"), false, false },
        { SLU_LIT("sport+"), false, false },
        { SLU_LIT("+sport"), false, false },
        { SLU_LIT("#/"), false, false },
        { SLU_LIT("##"), false, false },
        { SLU_LIT("++"), false, false },
        { SLU_LIT("+#"), false, false },
        { SLU_LIT("a/b+/c"), false, false },
        { SLU_LIT("#"), false, true },
        { SLU_LIT("+"), false, true },
        { SLU_LIT("+/tennis/#"), false, true },
        { SLU_LIT("a/+/b"), false, true },
        { SLU_LIT("/#"), false, true },
        { SLU_LIT("+/"), false, true },
        { SLU_LIT("a\0b"), false, false },
        { SLU_LIT("a\nb"), false, false },
        { SLU_LIT("a\x1f"), false, false },
        { SLU_LIT("a\x7f"), false, false },
        { SLU_LIT("a\xc2\x80"), false, false },
        { SLU_LIT("a\xc2\x9f"), false, false },
        { SLU_LIT("a\xc2\xa0"), true, true },
        { SLU_LIT("\xc3\x80\xe2\x82\xac\xf0\x9f\x98\x80"), true, true },
        { SLU_LIT("\xef\xbb\xbf"), true, true },
        { SLU_LIT("\xed\xa0\x80"), false, false },
        { SLU_LIT("\xc0\xaf"), false, false },
        { SLU_LIT("a\xff"), false, false },
        { SLU_LIT("a\xe2\x82"), false, false },
    };
    for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
        cr_expect(slu_topic_valid(verdicts[i].text) == verdicts[i].topic, "topic %zu", i);
        cr_expect(slu_filter_valid(verdicts[i].text) == verdicts[i].filter, "filter %zu", i);
    }
}

Test(topic, length_and_levels_are_bounded)
{
    uint8_t text[SLU_TOPIC_MAX + 1];
    memset(text, 'x', sizeof(text));
    cr_assert(slu_topic_valid(slu_bytes(text, SLU_TOPIC_MAX)));
    cr_assert(not(slu_topic_valid(slu_bytes(text, SLU_TOPIC_MAX + 1))));
    cr_assert(not(slu_filter_valid(slu_bytes(text, SLU_TOPIC_MAX + 1))));
    memset(text, '/', sizeof(text));
    cr_assert(slu_topic_valid(slu_bytes(text, SLU_TOPIC_LEVELS - 1)));
    cr_assert(not(slu_topic_valid(slu_bytes(text, SLU_TOPIC_LEVELS))));
    struct slu_bytes levels[SLU_TOPIC_LEVELS];
    cr_assert(eq(sz, slu_topic_split(slu_bytes(text, SLU_TOPIC_LEVELS - 1), levels), SLU_TOPIC_LEVELS));
    cr_assert(eq(sz, slu_topic_split(slu_bytes(text, SLU_TOPIC_LEVELS), levels), 0));
}

Test(topic, wildcards_are_seen)
{
    cr_assert(not(slu_filter_is_wild(SLU_LIT("a/b"))));
    cr_assert(slu_filter_is_wild(SLU_LIT("a/+/b")));
    cr_assert(slu_filter_is_wild(SLU_LIT("a/#")));
    cr_assert(slu_filter_is_wild(SLU_LIT("#")));
    cr_assert(slu_filter_is_wild(SLU_LIT("+")));
}

/* Every path of 1 to max levels over an alphabet. */
struct all {
    char text[512][24];
    size_t n;
};

static void grow_all(struct all *a, const char *const *alphabet, size_t n_alphabet, const char *prefix, int left,
                     bool is_filter)
{
    for (size_t i = 0; i < n_alphabet; i++) {
        char path[24];
        snprintf(path, sizeof(path), "%s%s", prefix, alphabet[i]);
        if (is_filter ? slu_filter_valid(slu_str(path)) : slu_topic_valid(slu_str(path))) {
            cr_assert(lt(sz, a->n, 512));
            snprintf(a->text[a->n++], sizeof(path), "%s", path);
        }
        snprintf(path, sizeof(path), "%s%s/", prefix, alphabet[i]);
        if (left > 1)
            grow_all(a, alphabet, n_alphabet, path, left - 1, is_filter);
    }
}

/* Filters of up to three levels over {a, $, empty}; topics have a level and a letter more, so that what a filter says
 * too much always shows. */
Test(topic, covers_and_overlaps_agree_with_every_small_topic, .timeout = 60)
{
    static const char *const filter_levels[] = { "a", "$", "", "+", "#" };
    static const char *const topic_levels[] = { "a", "b", "$", "" };
    static struct all filters, topics;
    grow_all(&filters, filter_levels, 5, "", 3, true);
    grow_all(&topics, topic_levels, 4, "", 4, false);
    cr_assert(gt(sz, filters.n, 100));
    for (size_t i = 0; i < filters.n; i++) {
        for (size_t j = 0; j < filters.n; j++) {
            struct slu_bytes a = slu_str(filters.text[i]), b = slu_str(filters.text[j]);
            bool covers = true, overlaps = false;
            for (size_t k = 0; k < topics.n; k++) {
                bool in_a = slu_filter_matches(a, slu_str(topics.text[k]));
                bool in_b = slu_filter_matches(b, slu_str(topics.text[k]));
                covers &= in_a || !in_b;
                overlaps |= in_a && in_b;
            }
            cr_assert(slu_filter_covers(a, b) == covers, "%s covers %s", filters.text[i], filters.text[j]);
            cr_assert(slu_filter_overlaps(a, b) == overlaps, "%s overlaps %s", filters.text[i], filters.text[j]);
        }
    }
}

static int by_specificity(const void *a, const void *b)
{
    return slu_filter_compare(slu_str(*(const char *const *)a), slu_str(*(const char *const *)b));
}

Test(topic, the_more_specific_filter_comes_first)
{
    static const char *const want[] = {
        "a/b/c", "a/b/+", "a/b", "a/b/#", "a/+/c", "a/+", "a", "a/#", "+/b", "+", "+/#", "#",
    };
    enum { N = sizeof(want) / sizeof(want[0]) };
    const char *got[N];
    for (size_t i = 0; i < N; i++)
        got[i] = want[(i * 7 + 3) % N];
    qsort(got, N, sizeof(got[0]), by_specificity);
    for (size_t i = 0; i < N; i++)
        cr_expect(eq(str, (char *)got[i], (char *)want[i]));
}

Test(topic, specificity_is_a_total_order_and_follows_covering, .timeout = 60)
{
    static const char *const levels[] = { "a", "b", "+", "#" };
    static struct all f;
    grow_all(&f, levels, 4, "", 3, true);
    for (size_t i = 0; i < f.n; i++) {
        for (size_t j = 0; j < f.n; j++) {
            struct slu_bytes a = slu_str(f.text[i]), b = slu_str(f.text[j]);
            int ab = slu_filter_compare(a, b), ba = slu_filter_compare(b, a);
            cr_assert(i == j ? ab == 0 && ba == 0 : ab != 0 && (ab < 0) == (ba > 0), "%s, %s", f.text[i], f.text[j]);
            if (i != j && slu_filter_covers(a, b) && !slu_filter_covers(b, a))
                cr_assert(ab > 0, "%s is wider than %s", f.text[i], f.text[j]);
            for (size_t k = 0; k < f.n; k++)
                if (ab < 0 && slu_filter_compare(b, slu_str(f.text[k])) < 0)
                    cr_assert(slu_filter_compare(a, slu_str(f.text[k])) < 0, "%s, %s, %s", f.text[i], f.text[j],
                              f.text[k]);
        }
    }
}
