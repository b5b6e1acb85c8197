/* Finished frames in memory, and a reader's queue of them.
 *
 * 1. A chunk is a piece of memory with frames one behind the other; bytes once written never change.
 * 2. A run is the chunk that a worker is filling. All readers of a frame point into it; nothing is copied for them.
 * 3. A span is a stretch of whole frames in one chunk and holds one reference on it. Neighbouring spans merge, so a
 *    reader that keeps up holds one span, whatever the number of messages.
 * 4. A reader that lags must not pin chunks it uses little of: slu_queue_own_copy moves its bytes to memory of its own,
 *    and later pushes are copied there until it has caught up.
 * 5. A queue takes no memory beyond its struct while it holds at most one span.
 * Chunks belong to one worker: reference counts are plain integers. */
#pragma once

#include "broker/base/bytes.h"
#include "broker/core/account.h"

enum { SLU_CHUNK_BYTES = 64 * 1024 };

struct slu_chunk {
    uint32_t refs, len, cap;
    struct slu_account *account;
    uint8_t data[];
};

struct slu_span {
    struct slu_chunk *chunk;
    uint32_t from, to;
    uint32_t msgs; /* deliveries in it; control frames count as none */
};

struct slu_run {
    struct slu_chunk *cur;
    struct slu_account *account;
};

void slu_run_init(struct slu_run *r, struct slu_account *a);
void slu_run_fini(struct slu_run *r);
/* A holder beside queues: keeps the bytes of a borrowed span from moving on with the run. */
void slu_chunk_ref(struct slu_chunk *c);
void slu_chunk_unref(struct slu_chunk *c);
/* Appends one frame (header, body). The span borrows, until the next add: push it to a queue, take a reference, or
 * forget it. False without memory. */
bool slu_run_add(struct slu_run *r, struct slu_bytes header, struct slu_bytes body, struct slu_span *out);
/* At the end of a turn: starts over in place when nobody holds a span. */
void slu_run_recycle(struct slu_run *r);

struct slu_queue {
    struct slu_span *items; /* ring, or NULL while `one` suffices */
    struct slu_span one;
    uint32_t head, n, cap;
    uint32_t msgs;
    size_t bytes;
    bool own; /* rule 4: the tail span lies in a chunk that only this queue writes to */
};

/* Takes a reference of its own. False without memory: nothing was added. */
bool slu_queue_push(struct slu_queue *q, const struct slu_span *s, struct slu_account *a);
/* It pins much more than it uses. A queue that uses its chunks well shares them with other laggards: a copy for each
 * would take many times the memory. */
bool slu_queue_is_sparse(const struct slu_queue *q);
bool slu_queue_own_copy(struct slu_queue *q, struct slu_account *a);
/* The next whole frames, at most `max` bytes unless a single span piece is longer: *data points to them, in a chunk or
 * in `scratch` (max bytes) when several spans were gathered. Returns the length; 0 = empty. */
size_t slu_queue_peek(const struct slu_queue *q, uint8_t *scratch, size_t max, const uint8_t **data);
/* Takes out what the last peek returned; returns the messages among it. */
uint32_t slu_queue_pop(struct slu_queue *q, size_t len);
void slu_queue_clear(struct slu_queue *q);
