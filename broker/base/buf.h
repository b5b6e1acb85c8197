/* A growing byte buffer with a ceiling and a sticky failure flag: append freely, check `failed` once at the end. */
#pragma once

#include "broker/base/bytes.h"

struct slu_buf {
    uint8_t *data;
    size_t len, cap;
    size_t max;  /* never grows beyond; 0 = no ceiling */
    bool failed; /* an append did not fit or memory ran out; contents are then incomplete */
};

void slu_buf_init(struct slu_buf *b, size_t max);
void slu_buf_fini(struct slu_buf *b);  /* frees; b is as after init */
void slu_buf_clear(struct slu_buf *b); /* keeps the memory, clears failed */

/* Room for n more bytes; NULL (and failed) when it cannot be had. The caller writes, then adds to len. */
uint8_t *slu_buf_reserve(struct slu_buf *b, size_t n);

void slu_buf_add(struct slu_buf *b, const void *data, size_t n);
void slu_buf_add_bytes(struct slu_buf *b, struct slu_bytes v);
void slu_buf_add_str(struct slu_buf *b, const char *s);
void slu_buf_add_byte(struct slu_buf *b, uint8_t c);
void slu_buf_add_u64(struct slu_buf *b, uint64_t v); /* decimal */
void slu_buf_add_i64(struct slu_buf *b, int64_t v);  /* decimal */
void slu_buf_add_base64(struct slu_buf *b, struct slu_bytes v);
/* printf into the buffer; for cold paths */
void slu_buf_addf(struct slu_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline struct slu_bytes slu_buf_bytes(const struct slu_buf *b)
{
    return (struct slu_bytes){ b->data, b->len };
}
