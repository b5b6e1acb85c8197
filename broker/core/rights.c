/* See rights.h. */
#include "broker/core/rights.h"

#include "broker/core/topic.h"

bool slu_rights_may_publish(const struct slu_identity *who, struct slu_bytes topic)
{
    if (slu_bytes_starts(topic, SLU_LIT("$SYS/")) || slu_bytes_starts(topic, SLU_LIT("$DEAD/")) ||
        slu_bytes_eq(topic, SLU_LIT("$SYS")) || slu_bytes_eq(topic, SLU_LIT("$DEAD")))
        return false;
    if (who->may_all)
        return true;
    for (size_t i = 0; i < who->n_pub; i++)
        if (slu_filter_matches(who->pub[i], topic))
            return true;
    return false;
}

bool slu_rights_may_subscribe(const struct slu_identity *who, struct slu_bytes filter)
{
    if (who->may_all)
        return true;
    for (size_t i = 0; i < who->n_sub; i++)
        if (slu_filter_covers(who->sub[i], filter))
            return true;
    return false;
}
