/* Histogram of times in nanoseconds with bounded relative error (under 1 %), whatever the range. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    CLI_HIST_SUB_BITS = 7,
    CLI_HIST_SUB = 1 << CLI_HIST_SUB_BITS,
    CLI_HIST_SLOTS = (64 - CLI_HIST_SUB_BITS + 1) * CLI_HIST_SUB
};

struct cli_hist {
    uint64_t n, max, slots[CLI_HIST_SLOTS];
};

void slu_hist_add(struct cli_hist *h, uint64_t value);
/* The value that the share q (0 … 1) of all is not above; 0 when empty. */
uint64_t slu_hist_quantile(const struct cli_hist *h, double q);
