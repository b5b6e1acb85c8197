/* Frames that wait to be sent: JSON text one behind the other in one buffer, each with a small header. They are masked
 * when they go to the wire, so what is unsent at the loss of a connection can go out on the next. */
#pragma once

#include "broker/base/buf.h"

enum slu_record_flags {
    SLU_REC_BOUND = 1 /* means something on this connection only: dropped with it */
};

struct slu_record {
    uint64_t id; /* of the pending answer; 0 = none */
    uint32_t len, flags;
};

struct slu_outq {
    struct slu_buf buf;
    size_t head;  /* first byte not yet taken */
    size_t start; /* where the record under construction begins */
};

void slu_outq_init(struct slu_outq *q);
void slu_outq_fini(struct slu_outq *q);
static inline size_t slu_outq_bytes(const struct slu_outq *q)
{
    return q->buf.len - q->head;
}
/* Begin; append the text to q->buf; end (true) or cancel. End fails, and cancels, where the buffer failed. */
struct slu_buf *slu_outq_begin(struct slu_outq *q);
bool slu_outq_end(struct slu_outq *q, uint64_t id, uint32_t flags);
void slu_outq_cancel(struct slu_outq *q);
/* Size of the text under construction. */
size_t slu_outq_open_bytes(const struct slu_outq *q);
/* Borrows the first record; false when empty. The text stays until the next call that adds. */
bool slu_outq_first(const struct slu_outq *q, struct slu_record *r, struct slu_bytes *text);
void slu_outq_drop_first(struct slu_outq *q);
/* Removes all bound records. */
void slu_outq_drop_bound(struct slu_outq *q);
/* Puts a record before all others; false when memory ran out. */
bool slu_outq_push_front(struct slu_outq *q, uint64_t id, uint32_t flags, struct slu_bytes text);
