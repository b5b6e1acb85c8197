/* Table-driven base64; the decoder gathers errors in one bit and looks at it once a group. */
#include "broker/base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* value + 1 of each character of the alphabet, 0 for all others */
static const uint8_t values[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};

void slu_base64_encode(char *out, struct slu_bytes in)
{
    const uint8_t *p = in.data;
    size_t n = in.len;
    for (; n >= 3; n -= 3, p += 3) {
        uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        *out++ = alphabet[v >> 18];
        *out++ = alphabet[v >> 12 & 63];
        *out++ = alphabet[v >> 6 & 63];
        *out++ = alphabet[v & 63];
    }
    if (n == 0)
        return;
    uint32_t v = (uint32_t)p[0] << 16 | (n == 2 ? (uint32_t)p[1] << 8 : 0);
    *out++ = alphabet[v >> 18];
    *out++ = alphabet[v >> 12 & 63];
    *out++ = n == 2 ? alphabet[v >> 6 & 63] : '=';
    *out = '=';
}

static size_t padding(struct slu_bytes text)
{
    if (text.len == 0 || text.data[text.len - 1] != '=')
        return 0;
    return text.data[text.len - 2] == '=' ? 2 : 1;
}

bool slu_base64_decoded_size(struct slu_bytes text, size_t *n)
{
    if (text.len % 4 != 0)
        return false;
    *n = text.len / 4 * 3 - padding(text);
    return true;
}

bool slu_base64_decode(uint8_t *out, struct slu_bytes text)
{
    if (text.len % 4 != 0)
        return false;
    size_t pad = padding(text);
    const uint8_t *p = text.data;
    for (size_t full = text.len / 4 - (pad != 0); full > 0; full--, p += 4) {
        uint32_t a = values[p[0]], b = values[p[1]], c = values[p[2]], d = values[p[3]];
        if (!a || !b || !c || !d)
            return false;
        uint32_t v = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
        *out++ = (uint8_t)(v >> 16);
        *out++ = (uint8_t)(v >> 8);
        *out++ = (uint8_t)v;
    }
    if (pad == 0)
        return true;
    uint32_t a = values[p[0]], b = values[p[1]], c = pad == 1 ? values[p[2]] : 1;
    if (!a || !b || !c)
        return false;
    uint32_t v = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6;
    if ((v & (pad == 1 ? 0xffU : 0xffffU)) != 0)
        return false;
    *out++ = (uint8_t)(v >> 16);
    if (pad == 1)
        *out = (uint8_t)(v >> 8);
    return true;
}
