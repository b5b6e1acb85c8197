/* Log-linear: each power of two is cut into CLI_HIST_SUB equal slots; small values have slots of their own. */
#include "clients/cli/hist.h"

static size_t slot_of(uint64_t v)
{
    if (v < CLI_HIST_SUB)
        return (size_t)v;
    unsigned shift = 63 - (unsigned)__builtin_clzll(v) - CLI_HIST_SUB_BITS;
    return ((size_t)shift + 1) * CLI_HIST_SUB + (size_t)((v >> shift) - CLI_HIST_SUB);
}

static uint64_t top_of(size_t slot)
{
    if (slot < CLI_HIST_SUB)
        return slot;
    unsigned shift = (unsigned)(slot / CLI_HIST_SUB - 1);
    return ((uint64_t)(slot % CLI_HIST_SUB + CLI_HIST_SUB + 1) << shift) - 1;
}

void slu_hist_add(struct cli_hist *h, uint64_t value)
{
    h->slots[slot_of(value)]++;
    h->n++;
    if (value > h->max)
        h->max = value;
}

uint64_t slu_hist_quantile(const struct cli_hist *h, double q)
{
    uint64_t want = (uint64_t)(q * (double)h->n + 0.5), seen = 0;
    want = want ? want : 1;
    for (size_t i = 0; i < CLI_HIST_SLOTS && h->n; i++) {
        seen += h->slots[i];
        if (seen >= want)
            return top_of(i) < h->max ? top_of(i) : h->max;
    }
    return h->max;
}
