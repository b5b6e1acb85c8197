/* What the workers share: made whole or not at all, swapped while they run. */
#include "tests/support/core_bench.h"

#include "broker/core/broker_state.h"

#include <criterion/criterion.h>

static enum slu_err login(void *arg, const struct slu_credentials *c, struct slu_identity *out, const char **why)
{
    (void)arg, (void)c, (void)out, (void)why;
    return SLU_EAUTH_REQUIRED;
}

Test(broker, takes_one_worker_to_as_many_as_interest_has_bits, .timeout = 5)
{
    static const unsigned wrong[] = { 0, SLU_WORKERS_MAX + 1 };
    struct slu_auth auth = { login, NULL };
    struct slu_store_engines engines = { .memory = &slu_engine_memory };
    for (size_t i = 0; i < 2; i++) {
        struct slu_settings set;
        struct slu_broker *b = NULL;
        slu_settings_default(&set);
        set.workers = wrong[i];
        cr_assert(slu_broker_new(&set, &auth, &engines, NULL, &b) == SLU_ELIMIT_REACHED);
        cr_assert(!b);
    }
}

Test(broker, new_settings_and_rules_are_in_force_at_once, .timeout = 5)
{
    struct bench *b = bench_new(2);
    struct peer *p = peer_open(b, 1, "");
    struct slu_settings set = *slu_broker_settings(b->broker);
    peer_pub(p, 1, "a", "12345");
    peer_expect(p, "hello*", "ok 1*");
    set.payload_max = 4;
    slu_broker_set_settings(b->broker, &set);
    peer_pub(p, 2, "a", "12345");
    peer_expect(p, "err 2 too_large");
    const struct slu_rule none = { .filter = SLU_LIT("a"), .log = SLU_LOG_NONE };
    struct slu_rules *rules;
    cr_assert(slu_rules_new(&none, 1, &rules) == SLU_OK);
    slu_broker_set_rules(b->broker, rules);
    peer_sub(p, 3, "a", .from = SLU_FROM_FIRST);
    peer_expect(p, "err 3 unsupported");
    bench_free(b);
}

Test(broker, says_why_it_is_not_ready, .timeout = 5)
{
    struct bench *b = bench_new(1);
    cr_assert(!slu_broker_not_ready(b->broker));
    slu_broker_set_draining(b->broker, true);
    cr_assert(slu_broker_draining(b->broker));
    cr_assert_str_eq(slu_broker_not_ready(b->broker), "draining");
    slu_broker_set_draining(b->broker, false);
    cr_assert(!slu_broker_not_ready(b->broker));
    bench_free(b);
}
