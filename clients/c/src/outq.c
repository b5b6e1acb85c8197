/* Layout: struct slu_record, text, struct slu_record, text, … without alignment; headers are copied in and out. */
#include "clients/c/src/outq.h"

#include <stdlib.h>

enum { KEEP_BYTES = 64 * 1024 }; /* an empty queue keeps at most this much memory */

void slu_outq_init(struct slu_outq *q)
{
    memset(q, 0, sizeof(*q));
    slu_buf_init(&q->buf, 0);
}

void slu_outq_fini(struct slu_outq *q)
{
    slu_buf_fini(&q->buf);
    q->head = q->start = 0;
}

static void rewind_if_empty(struct slu_outq *q)
{
    if (q->head != q->buf.len)
        return;
    q->head = 0;
    if (q->buf.cap > KEEP_BYTES) {
        slu_buf_fini(&q->buf);
        slu_buf_init(&q->buf, 0);
    } else {
        slu_buf_clear(&q->buf);
    }
}

struct slu_buf *slu_outq_begin(struct slu_outq *q)
{
    static const struct slu_record empty;
    if (q->head > KEEP_BYTES && q->head > q->buf.len / 2) {
        memmove(q->buf.data, q->buf.data + q->head, q->buf.len - q->head);
        q->buf.len -= q->head;
        q->head = 0;
    }
    q->start = q->buf.len;
    slu_buf_add(&q->buf, &empty, sizeof(empty));
    return &q->buf;
}

size_t slu_outq_open_bytes(const struct slu_outq *q)
{
    return q->buf.len > q->start + sizeof(struct slu_record) ? q->buf.len - q->start - sizeof(struct slu_record) : 0;
}

void slu_outq_cancel(struct slu_outq *q)
{
    q->buf.len = q->start;
    q->buf.failed = false;
}

bool slu_outq_end(struct slu_outq *q, uint64_t id, uint32_t flags)
{
    size_t len = slu_outq_open_bytes(q);
    if (q->buf.failed || len > UINT32_MAX) {
        slu_outq_cancel(q);
        return false;
    }
    struct slu_record r = { .id = id, .len = (uint32_t)len, .flags = flags };
    memcpy(q->buf.data + q->start, &r, sizeof(r));
    return true;
}

bool slu_outq_first(const struct slu_outq *q, struct slu_record *r, struct slu_bytes *text)
{
    if (q->head == q->buf.len)
        return false;
    memcpy(r, q->buf.data + q->head, sizeof(*r));
    *text = slu_bytes(q->buf.data + q->head + sizeof(*r), r->len);
    return true;
}

void slu_outq_drop_first(struct slu_outq *q)
{
    struct slu_record r;
    struct slu_bytes text;
    if (slu_outq_first(q, &r, &text))
        q->head += sizeof(r) + r.len;
    rewind_if_empty(q);
}

void slu_outq_drop_bound(struct slu_outq *q)
{
    size_t to = q->head;
    for (size_t at = q->head; at < q->buf.len;) {
        struct slu_record r;
        memcpy(&r, q->buf.data + at, sizeof(r));
        size_t size = sizeof(r) + r.len;
        if (!(r.flags & SLU_REC_BOUND)) {
            memmove(q->buf.data + to, q->buf.data + at, size);
            to += size;
        }
        at += size;
    }
    q->buf.len = to;
    rewind_if_empty(q);
}

bool slu_outq_push_front(struct slu_outq *q, uint64_t id, uint32_t flags, struct slu_bytes text)
{
    struct slu_record r = { .id = id, .len = (uint32_t)text.len, .flags = flags };
    size_t size = sizeof(r) + text.len;
    if (q->head < size) {
        size_t bytes = slu_outq_bytes(q);
        if (!slu_buf_reserve(&q->buf, size)) {
            q->buf.failed = false;
            return false;
        }
        if (bytes)
            memmove(q->buf.data + q->head + size, q->buf.data + q->head, bytes);
        q->buf.len += size;
    } else {
        q->head -= size;
    }
    memcpy(q->buf.data + q->head, &r, sizeof(r));
    if (text.len)
        memcpy(q->buf.data + q->head + sizeof(r), text.data, text.len);
    return true;
}
