/* See cursor.h. */
#include "broker/core/cursor.h"

void slu_cursor_write(struct slu_buf *b, const struct slu_cursor_place *places, unsigned homes)
{
    for (unsigned i = 0; i < homes; i++)
        slu_buf_addf(b, "%s%llx.%llx", i ? "-" : "", (unsigned long long)places[i].epoch,
                     (unsigned long long)places[i].seq);
}

static bool read_hex(struct slu_bytes *in, uint64_t *out)
{
    uint64_t v = 0;
    size_t n = 0;
    for (; n < in->len; n++) {
        uint8_t c = in->data[n];
        unsigned digit;
        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (unsigned)(c - 'a') + 10;
        else
            break;
        v = v << 4 | digit;
    }
    *in = slu_bytes(in->data + n, in->len - n);
    *out = v;
    return n >= 1 && n <= 16;
}

static bool skip(struct slu_bytes *in, char c)
{
    if (!in->len || in->data[0] != (uint8_t)c)
        return false;
    *in = slu_bytes(in->data + 1, in->len - 1);
    return true;
}

bool slu_cursor_read(struct slu_bytes text, struct slu_cursor_place *places, unsigned homes, bool *fits)
{
    unsigned n = 0;
    do {
        struct slu_cursor_place at;
        if (!read_hex(&text, &at.epoch) || !skip(&text, '.') || !read_hex(&text, &at.seq) || n >= 1024)
            return false;
        if (n < homes)
            places[n] = at;
        n++;
    } while (skip(&text, '-'));
    *fits = n == homes;
    return text.len == 0;
}
