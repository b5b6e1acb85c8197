/* The bound on messages a second for each topic. */
#include "broker/core/rate.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>

static unsigned let_through(struct slu_rate **r, const char *topic, unsigned tries, uint64_t max_rate, uint64_t now_ms)
{
    unsigned n = 0;
    for (unsigned i = 0; i < tries; i++)
        n += slu_rate_allows(r, slu_str(topic), max_rate, now_ms);
    return n;
}

Test(rate, a_burst_of_one_second_passes_and_no_more)
{
    struct slu_rate *r = NULL;
    cr_assert(eq(uint, let_through(&r, "a", 100, 10, 5000), 10));
    cr_assert(eq(uint, let_through(&r, "a", 100, 10, 5000), 0));
    slu_rate_free(r);
}

Test(rate, tokens_come_back_with_time_up_to_one_second_worth)
{
    struct slu_rate *r = NULL;
    let_through(&r, "a", 100, 10, 5000);
    cr_assert(eq(uint, let_through(&r, "a", 100, 10, 5099), 0), "99 ms are not yet a message");
    cr_assert(eq(uint, let_through(&r, "a", 100, 10, 5100), 1));
    cr_assert(eq(uint, let_through(&r, "a", 100, 10, 5600), 5));
    cr_assert(eq(uint, let_through(&r, "a", 100, 10, 500000), 10));
    slu_rate_free(r);
}

Test(rate, over_a_long_time_exactly_the_rate_passes)
{
    struct slu_rate *r = NULL;
    unsigned n = 0;
    for (uint64_t ms = 1000; ms < 61000; ms += 7)
        n += let_through(&r, "a", 3, 25, ms);
    cr_assert(ge(uint, n, 60 * 25));
    cr_assert(le(uint, n, 61 * 25));
    slu_rate_free(r);
}

Test(rate, topics_have_their_own_bound)
{
    struct slu_rate *r = NULL;
    char topic[16];
    for (unsigned i = 0; i < 50; i++) {
        snprintf(topic, sizeof(topic), "t/%u", i);
        cr_assert(ge(uint, let_through(&r, topic, 5, 3, 1000), 3));
    }
    slu_rate_free(r);
}

Test(rate, a_free_before_first_use_is_fine)
{
    slu_rate_free(NULL);
}
