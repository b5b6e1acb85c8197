/* Growth doubles, never past the ceiling; after a failure appends do nothing, so that callers check once. */
#include "broker/base/buf.h"

#include "broker/base/base64.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_CAP = 64 };

void slu_buf_init(struct slu_buf *b, size_t max)
{
    *b = (struct slu_buf){ .max = max };
}

void slu_buf_fini(struct slu_buf *b)
{
    free(b->data);
    slu_buf_init(b, b->max);
}

void slu_buf_clear(struct slu_buf *b)
{
    b->len = 0;
    b->failed = false;
}

static bool grow(struct slu_buf *b, size_t need)
{
    size_t cap = b->cap ? b->cap : FIRST_CAP;
    while (cap < need) {
        if (cap > SIZE_MAX / 2) {
            cap = need;
            break;
        }
        cap *= 2;
    }
    if (b->max && cap > b->max)
        cap = b->max > need ? b->max : need;
    uint8_t *data = realloc(b->data, cap ? cap : 1);
    if (!data)
        return false;
    b->data = data;
    b->cap = cap;
    return true;
}

uint8_t *slu_buf_reserve(struct slu_buf *b, size_t n)
{
    if (b->failed)
        return NULL;
    size_t most = b->max ? b->max : SIZE_MAX / 2;
    bool fits = n <= most && b->len <= most - n;
    if (!fits || ((!b->data || b->cap - b->len < n) && !grow(b, b->len + n))) {
        b->failed = true;
        return NULL;
    }
    return b->data + b->len;
}

void slu_buf_add(struct slu_buf *b, const void *data, size_t n)
{
    if (n == 0)
        return;
    uint8_t *to = slu_buf_reserve(b, n);
    if (!to)
        return;
    memcpy(to, data, n);
    b->len += n;
}

void slu_buf_add_bytes(struct slu_buf *b, struct slu_bytes v)
{
    slu_buf_add(b, v.data, v.len);
}

void slu_buf_add_str(struct slu_buf *b, const char *s)
{
    slu_buf_add(b, s, strlen(s));
}

void slu_buf_add_byte(struct slu_buf *b, uint8_t c)
{
    slu_buf_add(b, &c, 1);
}

void slu_buf_add_u64(struct slu_buf *b, uint64_t v)
{
    char text[20];
    size_t at = sizeof(text);
    do {
        text[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    slu_buf_add(b, text + at, sizeof(text) - at);
}

void slu_buf_add_i64(struct slu_buf *b, int64_t v)
{
    if (v < 0)
        slu_buf_add_byte(b, '-');
    slu_buf_add_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void slu_buf_add_base64(struct slu_buf *b, struct slu_bytes v)
{
    if (v.len > SIZE_MAX / 4) {
        b->failed = true;
        return;
    }
    size_t n = slu_base64_encoded_size(v.len);
    uint8_t *to = slu_buf_reserve(b, n);
    if (!to)
        return;
    slu_base64_encode((char *)to, v);
    b->len += n;
}

void slu_buf_addf(struct slu_buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    /* the NUL that vsnprintf insists on must not count against the ceiling: a short text goes by way of the stack */
    char brief[256];
    int n = vsnprintf(brief, sizeof(brief), fmt, args);
    va_end(args);
    if (n < 0) {
        b->failed = true;
    } else if ((size_t)n < sizeof(brief)) {
        slu_buf_add(b, brief, (size_t)n);
    } else {
        char *text = malloc((size_t)n + 1);
        if (text) {
            vsnprintf(text, (size_t)n + 1, fmt, again);
            slu_buf_add(b, text, (size_t)n);
        } else {
            b->failed = true;
        }
        free(text);
    }
    va_end(again);
}
