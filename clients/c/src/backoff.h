/* When to connect again: full jitter (a random delay between 0 and a bound that doubles), and what a close code asks
 * for. Pure: the random number is passed in. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* attempt counts from 1; random is any 64-bit number. Result: 0 … min(max_ms, min_ms * 2^(attempt-1)). */
uint32_t slu_backoff_ms(uint32_t min_ms, uint32_t max_ms, uint32_t attempt, uint64_t random);

enum slu_after { SLU_AFTER_STOP, SLU_AFTER_NOW, SLU_AFTER_BACKOFF };
/* What the close code alone says: 43xx now, 44xx stop, 45xx back off; 1xxx by the table of closes; 1006 back off. */
enum slu_after slu_after_close(int code);
