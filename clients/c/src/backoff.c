/* Full jitter spreads a mass reconnect evenly over the bound; equal or no jitter would bring everybody back at once. */
#include "clients/c/src/backoff.h"

#include "broker/base/err.h"

uint32_t slu_backoff_ms(uint32_t min_ms, uint32_t max_ms, uint32_t attempt, uint64_t random)
{
    uint64_t bound = min_ms;
    for (uint32_t i = 1; i < attempt && bound < max_ms; i++)
        bound *= 2;
    if (bound > max_ms)
        bound = max_ms;
    return (uint32_t)(random % (bound + 1));
}

enum slu_after slu_after_close(int code)
{
    switch (code / 100) {
    case 43:
        return SLU_AFTER_NOW;
    case 44:
        return SLU_AFTER_STOP;
    case 45:
        return SLU_AFTER_BACKOFF;
    default:
        break;
    }
    if (code < 1000 || code > 1015 || code == 1005 || code == 1006 || code == 1013)
        return SLU_AFTER_BACKOFF;
    switch (slu_close_info((enum slu_close)code)->retry) {
    case SLU_RETRY_NEVER:
        return SLU_AFTER_STOP;
    case SLU_RETRY_NOW:
        return SLU_AFTER_NOW;
    default:
        return SLU_AFTER_BACKOFF;
    }
}
