/* Random bytes from the kernel, for ids, tickets, hash seeds and jitter. Any thread. Never predictable: should the
 * kernel have none to give, which Linux does not do once it is up, the process ends rather than hand out weak ones. */
#pragma once

#include <stddef.h>
#include <stdint.h>

void slu_rng_bytes(void *out, size_t n);
uint64_t slu_rng_u64(void);
/* Evenly from 0 to bound - 1; bound must not be 0. */
uint64_t slu_rng_below(uint64_t bound);
/* Writes 2 * n_bytes lower-case hex digits and a NUL. */
void slu_rng_hex(char *out, size_t n_bytes);
