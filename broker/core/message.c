/* Messages: one allocation holds the struct and all of its bytes, charged to the account until the last reference goes.
 * Headers travel as one run of bytes, so that a message copies and forwards them without looking inside. */
#include "broker/core/message.h"

#include "broker/base/buf.h"

#include <assert.h>
#include <stdlib.h>

enum { LEN_BYTES = 2 }; /* of a header's name or value */

/* Copies v to *at and moves *at behind it; an empty v points there all the same, never at NULL. */
static struct slu_bytes keep(uint8_t **at, struct slu_bytes v)
{
    struct slu_bytes kept = { *at, v.len };
    if (v.len)
        memcpy(*at, v.data, v.len);
    *at += v.len;
    return kept;
}

static bool size_of(const struct slu_msg_spec *spec, size_t *size)
{
    const size_t lens[] = { spec->topic.len, spec->payload.len, spec->key.len,
                            spec->reply.len, spec->dedup.len,   spec->headers.len };
    *size = sizeof(struct slu_msg);
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        if (__builtin_add_overflow(*size, lens[i], size))
            return false;
    }
    return true;
}

struct slu_msg *slu_msg_new(struct slu_account *a, const struct slu_msg_spec *spec)
{
    size_t size;
    if (!size_of(spec, &size))
        return NULL;
    struct slu_msg *m = malloc(size);
    if (!m)
        return NULL;
    slu_account_add(a, size);
    *m = (struct slu_msg){
        .kind = (uint8_t)spec->kind,
        .form = (uint8_t)spec->form,
        .retain = spec->retain,
        .clear = spec->clear,
        .ts_ms = spec->ts_ms,
        .expires_ms = spec->expires_ms,
        .publisher = spec->publisher,
        .account = a,
        .size = size,
    };
    atomic_init(&m->refs, 1);
    atomic_init(&m->matched, SLU_MATCHED_OPEN);
    uint8_t *at = m->bytes;
    m->topic = keep(&at, spec->topic);
    m->payload = keep(&at, spec->payload);
    m->key = keep(&at, spec->key);
    m->reply = keep(&at, spec->reply);
    m->dedup = keep(&at, spec->dedup);
    m->headers = keep(&at, spec->headers);
    return m;
}

void slu_msg_unref(struct slu_msg *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    assert(!m->fan);
    slu_account_sub(m->account, m->size);
    free(m);
}

static void add_part(struct slu_buf *b, struct slu_bytes v)
{
    slu_buf_add_byte(b, (uint8_t)(v.len & 0xff));
    slu_buf_add_byte(b, (uint8_t)(v.len >> 8));
    slu_buf_add_bytes(b, v);
}

bool slu_headers_add(struct slu_buf *b, struct slu_bytes name, struct slu_bytes value)
{
    struct slu_bytes rest = slu_buf_bytes(b), n, v;
    unsigned count = 0;
    while (slu_headers_next(&rest, &n, &v))
        count++;
    if (b->failed || rest.len || count >= SLU_HEADERS_MAX || name.len > SLU_HEADERS_BYTES ||
        value.len > SLU_HEADERS_BYTES)
        return false;
    size_t need = 2 * LEN_BYTES + name.len + value.len;
    if (b->len + need > SLU_HEADERS_BYTES || !slu_buf_reserve(b, need))
        return false;
    add_part(b, name);
    add_part(b, value);
    return !b->failed;
}

static bool next_part(struct slu_bytes *rest, struct slu_bytes *part)
{
    if (rest->len < LEN_BYTES)
        return false;
    size_t len = (size_t)rest->data[0] | (size_t)rest->data[1] << 8;
    if (rest->len - LEN_BYTES < len)
        return false;
    *part = slu_bytes(rest->data + LEN_BYTES, len);
    *rest = slu_bytes(rest->data + LEN_BYTES + len, rest->len - LEN_BYTES - len);
    return true;
}

bool slu_headers_next(struct slu_bytes *rest, struct slu_bytes *name, struct slu_bytes *value)
{
    struct slu_bytes at = *rest, n, v;
    if (!next_part(&at, &n) || !next_part(&at, &v))
        return false;
    *rest = at;
    *name = n;
    *value = v;
    return true;
}
