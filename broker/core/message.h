/* A message: immutable once published, reference-counted, shared by all threads. Topic, payload and all other bytes
 * stand in the same allocation. Position and sequence are written once, by the topic's home, before it is shared. */
#pragma once

#include "broker/base/bytes.h"
#include "broker/core/account.h"

#include <stdatomic.h>

/* What a payload is; decides its form for readers of other protocols (protocols/10-common-mapping.md). */
enum slu_kind { SLU_KIND_JSON, SLU_KIND_TEXT, SLU_KIND_BINARY, SLU_KIND_UNTYPED };

/* How the payload bytes are written down. A JSON token or a CBOR item is forwarded as it came. */
enum slu_form { SLU_FORM_RAW, SLU_FORM_JSON, SLU_FORM_CBOR };

/* Offsets are dense for each topic, from 1; 0 = no position. A new epoch = earlier history may be gone. */
struct slu_pos {
    uint64_t epoch, offset;
};

#define SLU_MATCHED_OPEN UINT32_MAX

enum { SLU_HEADERS_MAX = 64, SLU_HEADERS_BYTES = 16384 };

struct slu_msg {
    atomic_uint refs;
    uint8_t kind; /* enum slu_kind */
    uint8_t form; /* enum slu_form */
    bool retain;  /* keep as the topic's retained value; with clear: remove it */
    bool clear;
    uint16_t home;                   /* which home's sequence `seq` counts in */
    _Atomic uint32_t matched;        /* readers that wanted it; SLU_MATCHED_OPEN until the fan-out is done */
    struct slu_bytes topic, payload; /* payload.len 0 is an empty payload in raw form; JSON and CBOR are never empty */
    struct slu_bytes key, reply, dedup;
    struct slu_bytes headers;    /* slu_headers_next walks it */
    uint64_t ts_ms;              /* wall clock at the publish, Unix epoch */
    uint64_t expires_ms;         /* wall clock; 0 = never */
    uint64_t publisher;          /* serial of the publishing session; 0 = none */
    struct slu_pos pos;          /* offset 0 on a topic without a log */
    uint64_t seq;                /* place in the home's commit sequence, from 1; 0 = not logged */
    void *fan;                   /* owned by the core between publish and feed; NULL afterwards */
    struct slu_account *account; /* charged with `size` */
    size_t size;                 /* bytes of this allocation */
    uint8_t bytes[];
};

struct slu_msg_spec {
    struct slu_bytes topic, payload, key, reply, dedup, headers;
    enum slu_kind kind;
    enum slu_form form;
    bool retain, clear;
    uint64_t ts_ms, expires_ms, publisher;
};

/* Copies everything; one reference for the caller. NULL when memory ran out. */
struct slu_msg *slu_msg_new(struct slu_account *a, const struct slu_msg_spec *spec);

static inline struct slu_msg *slu_msg_ref(struct slu_msg *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}
void slu_msg_unref(struct slu_msg *m); /* NULL is fine */

static inline bool slu_msg_expired(const struct slu_msg *m, uint64_t wall_ms)
{
    return m->expires_ms && m->expires_ms <= wall_ms;
}

/* Headers are a sequence of name and value, each UTF-8 behind a 16-bit length (little endian). Append one with
 * slu_headers_add to a buffer that holds headers only (false: it is full, by SLU_HEADERS_MAX or SLU_HEADERS_BYTES,
 * or memory ran out, and nothing was added); walk with next: true while there is one, `rest` moves on. */
struct slu_buf;
bool slu_headers_add(struct slu_buf *b, struct slu_bytes name, struct slu_bytes value);
bool slu_headers_next(struct slu_bytes *rest, struct slu_bytes *name, struct slu_bytes *value);
