/* The ordered index of topics, which engines share, against a plain array. */
#include "storage/topic_index.h"

#include "broker/base/map.h"

#include "broker/core/topic.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { TOPICS = 400, ROUNDS = 4000 };

static uint64_t rng = 99;

static uint64_t draw(uint64_t n)
{
    rng = rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (rng >> 33) % n;
}

struct fixture {
    struct slu_topic_index h;
    struct slu_topic_node *topics[TOPICS]; /* NULL: not in the index */
    char names[TOPICS][24];
};

static void check_order(const struct fixture *f)
{
    size_t n = 0, walked = 0;
    for (int i = 0; i < TOPICS; i++)
        n += f->topics[i] != NULL;
    struct slu_bytes before = { NULL, 0 };
    for (const struct slu_topic_node *t = slu_topic_index_from(&f->h, before, false); t; t = slu_topic_index_next(t)) {
        cr_assert(walked == 0 || slu_name_compare(before, t->name) < 0);
        before = t->name;
        walked++;
    }
    cr_assert_eq(walked, n);
}

static void check_from(const struct fixture *f, struct slu_bytes key, bool exclusive)
{
    const struct slu_topic_node *want = NULL;
    for (int i = 0; i < TOPICS; i++) {
        const struct slu_topic_node *t = f->topics[i];
        int order = t ? slu_name_compare(t->name, key) : -1;
        if (t && (order > 0 || (order == 0 && !exclusive)) && (!want || slu_name_compare(t->name, want->name) < 0))
            want = t;
    }
    cr_assert_eq(slu_topic_index_from(&f->h, key, exclusive), want);
}

static void check_lost(const struct fixture *f, const char *filter, uint64_t after, uint64_t upto)
{
    bool want = false;
    for (int i = 0; i < TOPICS; i++) {
        const struct slu_topic_node *t = f->topics[i];
        want = want ||
               (t && t->trimmed_seq > after && t->trimmed_seq <= upto && slu_filter_matches(slu_str(filter), t->name));
    }
    cr_assert_eq(slu_topic_index_lost(&f->h, slu_str(filter), after, upto, 4096), want);
}

Test(topic_index, agrees_with_a_plain_array, .timeout = 60)
{
    static const char *const shapes[] = { "a/%d", "a%d", "b/%d/c", "%d", "a/b/%d" };
    static const char *const filters[] = { "#", "a/#", "a/+", "b/+/c", "+", "a/b/#", "b/1/#", "x/#", "a/1", "+/+/+" };
    struct fixture *f = calloc(1, sizeof(*f));
    cr_assert(f);
    for (int i = 0; i < TOPICS; i++)
        snprintf(f->names[i], sizeof(f->names[i]), shapes[i % 5], i);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        size_t i = draw(TOPICS);
        struct slu_topic_node *t = f->topics[i];
        if (!t) {
            t = f->topics[i] = calloc(1, sizeof(*t));
            cr_assert(t);
            t->name = slu_str(f->names[i]);
            t->order = slu_hash(t->name);
            slu_topic_index_add(&f->h, t);
        } else if (draw(3) == 0) {
            slu_topic_index_del(&f->h, t);
            free(t);
            f->topics[i] = NULL;
        } else {
            slu_topic_index_raise(t, round);
        }
        uint64_t after = draw(round + 1);
        check_from(f, slu_str(f->names[draw(TOPICS)]), draw(2));
        check_lost(f, filters[draw(10)], after, after + draw(300));
        check_lost(f, filters[draw(10)], after, UINT64_MAX);
        if (round % 100 == 0)
            check_order(f);
    }
    for (int i = 0; i < TOPICS; i++) {
        if (f->topics[i])
            slu_topic_index_del(&f->h, f->topics[i]);
        free(f->topics[i]);
    }
    cr_assert_null(f->h.root);
    free(f);
}

Test(topic_index, prefixes_of_filters, .timeout = 5)
{
    static const char *const cases[][2] = { { "#", "" },     { "+", "" },      { "a/#", "a" },
                                            { "a/+", "a/" }, { "a/b", "a/b" }, { "a/+/#", "a/" },
                                            { "/#", "" },    { "/+", "/" },    { "a/b/#", "a/b" } };
    for (int i = 0; i < 9; i++)
        cr_assert(slu_bytes_eq(slu_filter_prefix(slu_str(cases[i][0])), slu_str(cases[i][1])), "%s", cases[i][0]);
}
