/* See run.h. */
#include "broker/core/run.h"

#include <assert.h>
#include <stdlib.h>

static struct slu_chunk *chunk_new(struct slu_account *a, size_t cap)
{
    struct slu_chunk *c = malloc(sizeof(*c) + cap);
    if (!c)
        return NULL;
    c->refs = 1;
    c->len = 0;
    c->cap = (uint32_t)cap;
    c->account = a;
    slu_account_add(a, sizeof(*c) + cap);
    return c;
}

void slu_chunk_ref(struct slu_chunk *c)
{
    c->refs++;
}

void slu_chunk_unref(struct slu_chunk *c)
{
    if (--c->refs)
        return;
    slu_account_sub(c->account, sizeof(*c) + c->cap);
    free(c);
}

void slu_run_init(struct slu_run *r, struct slu_account *a)
{
    r->cur = NULL;
    r->account = a;
}

void slu_run_fini(struct slu_run *r)
{
    if (r->cur)
        slu_chunk_unref(r->cur);
    r->cur = NULL;
}

bool slu_run_add(struct slu_run *r, struct slu_bytes header, struct slu_bytes body, struct slu_span *out)
{
    size_t need = header.len + body.len;
    if (!r->cur || r->cur->cap - r->cur->len < need) {
        struct slu_chunk *c = chunk_new(r->account, need > SLU_CHUNK_BYTES ? need : SLU_CHUNK_BYTES);
        if (!c)
            return false;
        if (r->cur)
            slu_chunk_unref(r->cur);
        r->cur = c;
    }
    struct slu_chunk *c = r->cur;
    out->chunk = c;
    out->from = c->len;
    if (header.len)
        memcpy(c->data + c->len, header.data, header.len);
    if (body.len)
        memcpy(c->data + c->len + header.len, body.data, body.len);
    c->len += (uint32_t)need;
    out->to = c->len;
    out->msgs = 1;
    return true;
}

void slu_run_recycle(struct slu_run *r)
{
    if (!r->cur || r->cur->refs != 1)
        return;
    if (r->cur->cap > SLU_CHUNK_BYTES) {
        slu_chunk_unref(r->cur);
        r->cur = NULL;
        return;
    }
    r->cur->len = 0;
}

static struct slu_span *item(const struct slu_queue *q, uint32_t i)
{
    if (!q->items)
        return (struct slu_span *)&q->one;
    return &q->items[(q->head + i) & (q->cap - 1)];
}

/* Room for one more span: from the one inside the struct to a ring, doubling. */
static bool grow(struct slu_queue *q)
{
    uint32_t cap = q->items ? q->cap : 1;
    if (q->n < cap)
        return true;
    uint32_t bigger = q->items ? q->cap * 2 : 4;
    struct slu_span *items = malloc(bigger * sizeof(*items));
    if (!items)
        return false;
    for (uint32_t i = 0; i < q->n; i++)
        items[i] = *item(q, i);
    free(q->items);
    q->items = items;
    q->cap = bigger;
    q->head = 0;
    return true;
}

static bool push_shared(struct slu_queue *q, const struct slu_span *s)
{
    if (q->n) {
        struct slu_span *last = item(q, q->n - 1);
        if (last->chunk == s->chunk && last->to == s->from) {
            last->to = s->to;
            last->msgs += s->msgs;
            return true;
        }
    }
    if (!grow(q))
        return false;
    *item(q, q->n++) = *s;
    s->chunk->refs++;
    return true;
}

static bool push_copied(struct slu_queue *q, const struct slu_span *s, struct slu_account *a)
{
    size_t len = s->to - s->from;
    struct slu_span *last = item(q, q->n - 1);
    struct slu_chunk *c = last->chunk;
    if (last->to != c->len || c->cap - c->len < len) {
        size_t cap = q->bytes < 2048 ? 2048 : q->bytes > SLU_CHUNK_BYTES ? SLU_CHUNK_BYTES : q->bytes;
        c = chunk_new(a, len > cap ? len : cap);
        if (!c)
            return false;
        if (!grow(q)) {
            slu_chunk_unref(c);
            return false;
        }
        *item(q, q->n++) = (struct slu_span){ .chunk = c };
        last = item(q, q->n - 1);
    }
    memcpy(c->data + c->len, s->chunk->data + s->from, len);
    c->len += (uint32_t)len;
    last->to = c->len;
    last->msgs += s->msgs;
    return true;
}

/* So many spans of so few bytes each mean: this reader lags and uses little of what it pins. */
enum { SPARSE_SPANS = 8, SPARSE_BYTES = SLU_CHUNK_BYTES / 4 };

bool slu_queue_is_sparse(const struct slu_queue *q)
{
    return !q->own && q->n > 1 && q->bytes / q->n < SPARSE_BYTES;
}

bool slu_queue_push(struct slu_queue *q, const struct slu_span *s, struct slu_account *a)
{
    if (q->own && !q->n)
        q->own = false;
    if (q->n >= SPARSE_SPANS && slu_queue_is_sparse(q))
        slu_queue_own_copy(q, a);
    bool ok = q->own ? push_copied(q, s, a) : push_shared(q, s);
    if (ok) {
        q->bytes += s->to - s->from;
        q->msgs += s->msgs;
    }
    return ok;
}

/* In place: the j-th copy is made from the i-th span, j <= i. Chunks stay at SLU_CHUNK_BYTES (or one longer frame), so
 * that one write never takes more. Without memory what was copied so far stays copied; the queue is whole either way. */
bool slu_queue_own_copy(struct slu_queue *q, struct slu_account *a)
{
    if (q->own || q->n < 2)
        return true;
    uint32_t j = 0;
    size_t left = q->bytes;
    for (uint32_t i = 0; i < q->n; i++) {
        struct slu_span s = *item(q, i);
        size_t len = s.to - s.from;
        struct slu_span *last = j ? item(q, j - 1) : NULL;
        if (!last || last->chunk->cap - last->chunk->len < len) {
            size_t cap = left < SLU_CHUNK_BYTES ? left : SLU_CHUNK_BYTES;
            struct slu_chunk *c = chunk_new(a, len > cap ? len : cap);
            if (!c) {
                for (; i < q->n; i++)
                    *item(q, j++) = *item(q, i);
                q->n = j;
                return false;
            }
            last = item(q, j++);
            *last = (struct slu_span){ .chunk = c };
        }
        memcpy(last->chunk->data + last->chunk->len, s.chunk->data + s.from, len);
        last->chunk->len += (uint32_t)len;
        last->to = last->chunk->len;
        last->msgs += s.msgs;
        left -= len;
        slu_chunk_unref(s.chunk);
    }
    q->n = j;
    q->own = true;
    return true;
}

/* From this length on a write of its own costs less than gathering. */
enum { GATHER_BELOW = 16 * 1024 };

size_t slu_queue_peek(const struct slu_queue *q, uint8_t *scratch, size_t max, const uint8_t **data)
{
    if (!q->n)
        return 0;
    const struct slu_span *first = item(q, 0);
    size_t len = first->to - first->from;
    *data = first->chunk->data + first->from;
    if (q->n == 1 || len >= max || len >= GATHER_BELOW)
        return len;
    size_t have = 0;
    for (uint32_t i = 0; i < q->n; i++) {
        const struct slu_span *s = item(q, i);
        size_t n = s->to - s->from;
        if (have + n > max)
            break;
        memcpy(scratch + have, s->chunk->data + s->from, n);
        have += n;
    }
    *data = scratch;
    return have;
}

uint32_t slu_queue_pop(struct slu_queue *q, size_t len)
{
    uint32_t msgs = 0;
    q->bytes -= len;
    while (len) {
        struct slu_span *s = item(q, 0);
        size_t n = s->to - s->from;
        assert(n <= len);
        len -= n;
        msgs += s->msgs;
        slu_chunk_unref(s->chunk);
        q->n--;
        if (q->items)
            q->head = (q->head + 1) & (q->cap - 1);
    }
    q->msgs -= msgs;
    if (!q->n) {
        free(q->items);
        q->items = NULL;
        q->head = q->cap = 0;
        q->own = false;
    }
    return msgs;
}

void slu_queue_clear(struct slu_queue *q)
{
    slu_queue_pop(q, q->bytes);
}
