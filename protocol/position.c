/* Base 36, since it is short and survives URLs, file names and case-keeping stores. */
#include "protocol/position.h"

static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";

size_t slu_epoch_print(uint64_t epoch, char out[SLU_EPOCH_TEXT])
{
    char reversed[SLU_EPOCH_TEXT];
    size_t n = 0;

    do {
        reversed[n++] = digits[epoch % 36];
        epoch /= 36;
    } while (epoch);
    for (size_t i = 0; i < n; i++)
        out[i] = reversed[n - 1 - i];
    out[n] = '\0';
    return n;
}

uint64_t slu_epoch_parse(struct slu_bytes text)
{
    uint64_t v = 0;

    if (text.len == 0 || text.len >= SLU_EPOCH_TEXT || (text.data[0] == '0' && text.len > 1))
        return UINT64_MAX;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        unsigned digit = c >= '0' && c <= '9' ? c - 0x30u : c >= 'a' && c <= 'z' ? c - 0x61u + 10 : 36;
        if (digit == 36 || v > (UINT64_MAX - digit) / 36)
            return UINT64_MAX;
        v = v * 36 + digit;
    }
    return v;
}
