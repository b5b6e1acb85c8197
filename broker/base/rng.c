/* Small requests are served from a stock that each thread keeps, so that an id costs no system call; what was handed
 * out is wiped from the stock. */
#include "broker/base/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { STOCK = 256 };

static _Thread_local uint8_t stock[STOCK];
static _Thread_local size_t stock_left;

static void from_kernel(uint8_t *out, size_t n)
{
    while (n > 0) {
        ssize_t got = getrandom(out, n, 0);
        if (got > 0) {
            out += got;
            n -= (size_t)got;
        } else if (got == 0 || errno != EINTR) {
            abort();
        }
    }
}

void slu_rng_bytes(void *out, size_t n)
{
    if (n == 0)
        return;
    if (n > STOCK / 4) {
        from_kernel(out, n);
        return;
    }
    if (stock_left < n) {
        from_kernel(stock, STOCK);
        stock_left = STOCK;
    }
    stock_left -= n;
    memcpy(out, stock + stock_left, n);
    memset(stock + stock_left, 0, n);
}

uint64_t slu_rng_u64(void)
{
    uint64_t v;
    slu_rng_bytes(&v, sizeof(v));
    return v;
}

uint64_t slu_rng_below(uint64_t bound)
{
    /* values from the last, incomplete run of `bound` would favour small results: draw again */
    uint64_t unfair = (UINT64_MAX % bound + 1) % bound;
    uint64_t v;
    do
        v = slu_rng_u64();
    while (v > UINT64_MAX - unfair);
    return v % bound;
}

void slu_rng_hex(char *out, size_t n_bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n_bytes; i++) {
        uint8_t b;
        slu_rng_bytes(&b, 1);
        *out++ = digits[b >> 4];
        *out++ = digits[b & 15];
    }
    *out = '\0';
}
