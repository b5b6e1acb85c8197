/* Rights are filters: what they cover, and what nobody may. */
#include "broker/core/rights.h"

#include <criterion/criterion.h>

static const struct slu_bytes filters[] = { { (const uint8_t *)"a/#", 3 }, { (const uint8_t *)"b/+/c", 5 } };
static const struct slu_bytes everything[] = { { (const uint8_t *)"#", 1 },
                                               { (const uint8_t *)"$SYS/#", 6 },
                                               { (const uint8_t *)"$DEAD/#", 7 } };

Test(rights, publish_what_a_filter_matches)
{
    struct slu_identity who = { .pub = filters, .n_pub = 2 };
    cr_assert(slu_rights_may_publish(&who, SLU_LIT("a")));
    cr_assert(slu_rights_may_publish(&who, SLU_LIT("a/x/y")));
    cr_assert(slu_rights_may_publish(&who, SLU_LIT("b/x/c")));
    cr_assert(!slu_rights_may_publish(&who, SLU_LIT("b/x/d")));
    cr_assert(!slu_rights_may_publish(&who, SLU_LIT("c")));
}

Test(rights, none_grant_nothing)
{
    struct slu_identity who = { 0 };
    cr_assert(!slu_rights_may_publish(&who, SLU_LIT("a")));
    cr_assert(!slu_rights_may_subscribe(&who, SLU_LIT("a")));
}

Test(rights, subscribe_only_what_one_filter_covers_whole)
{
    struct slu_identity who = { .sub = filters, .n_sub = 2 };
    cr_assert(slu_rights_may_subscribe(&who, SLU_LIT("a/+")));
    cr_assert(slu_rights_may_subscribe(&who, SLU_LIT("b/+/c")));
    cr_assert(!slu_rights_may_subscribe(&who, SLU_LIT("b/#")));
    cr_assert(!slu_rights_may_subscribe(&who, SLU_LIT("#")));
    cr_assert(!slu_rights_may_subscribe(&who, SLU_LIT("+/x")));
}

Test(rights, the_brokers_own_topics_are_never_written)
{
    struct slu_identity who = { .pub = everything, .n_pub = 3, .sub = everything, .n_sub = 1 };
    cr_assert(slu_rights_may_publish(&who, SLU_LIT("x")));
    cr_assert(!slu_rights_may_publish(&who, SLU_LIT("$SYS/load")));
    cr_assert(!slu_rights_may_publish(&who, SLU_LIT("$SYS")));
    cr_assert(!slu_rights_may_publish(&who, SLU_LIT("$DEAD/x")));
    cr_assert(!slu_rights_may_subscribe(&who, SLU_LIT("$SYS/#")), "not by '#' alone");
    who.n_sub = 3;
    cr_assert(slu_rights_may_subscribe(&who, SLU_LIT("$SYS/#")));
    cr_assert(slu_rights_may_subscribe(&who, SLU_LIT("$DEAD/a")));
}
