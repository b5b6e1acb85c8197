/* The memory engine inside. A home is what one worker keeps: only that worker's thread touches it, so there is no lock.
 *
 * Invariants:
 * 1. A topic's log is a ring of slots, dense in offsets: slot i (oldest first) has offset head - n + 1 + i; seqs grow.
 * 2. Each slot has one entry in the home's commits, which are sorted by seq; an entry without a topic is a hole.
 * 3. A slot whose message is NULL held one whose time to live ended: its memory is gone, its place is still counted.
 * 4. The newest slot goes only by age (or when memory is short), never by count or bytes.
 * 5. No topic is forgotten while anything of it is held; the epoch of its bucket changes when one is.
 * 6. `bytes` is all memory of this home, messages included; what is not a message is in the account as well. */
#pragma once

#include "broker/base/list.h"
#include "broker/base/map.h"
#include "storage/engine.h"
#include "storage/page.h"
#include "storage/topic_index.h"

enum {
    MEM_TOPICS_MAX = 1 << 20, /* topics of one home */
    MEM_IDLE_MAX = 1 << 16,   /* of these, topics that hold nothing but their place */
    MEM_DEDUP_MAX = 1 << 16,  /* dedup keys of one home */
    MEM_STATES_MAX = 1 << 18, /* named states of one home */
    MEM_LOOK_MAX = 4096,      /* entries or topics that one request looks at */
    MEM_SWEEP_MAX = 8192,     /* entries and topics that one tick looks at */
    MEM_BUCKETS = 1024,       /* a power of two */
};

struct mem_slot {
    struct slu_msg *msg;
    uint64_t seq, ts_ms;
};

/* Trimmed slots keep their seq until a new one takes the place: the `ghosts` before the first. */
struct mem_ring {
    struct mem_slot *slots;
    size_t cap, first, n, ghosts; /* cap: 0 or a power of two */
    uint64_t bytes;               /* of the messages */
};

enum mem_state {
    MEM_BUSY, /* holds a log or a retained value */
    MEM_LAST, /* holds a last value only: in home->lasts */
    MEM_IDLE, /* holds its position only: in home->idle */
};

struct mem_topic {
    struct slu_map_node node;      /* home->topics */
    struct slu_topic_node ordered; /* home->ordered; the name, and the newest slot that trimming took */
    struct slu_list all;           /* home->all */
    struct slu_list resting;       /* home->lasts or home->idle */
    enum mem_state state;
    uint64_t idle_ms; /* wall clock when it became idle */
    uint64_t epoch;
    uint64_t head;      /* newest offset ever given; 0 = none */
    uint64_t born_seq;  /* all of this epoch was committed later */
    uint64_t floor_seq; /* of former epochs something may have been lost up to here */
    struct mem_ring log;
    struct slu_msg *retained, *last;
    uint64_t retained_seq;                     /* its own, or where the home was when an unlogged one came */
    uint64_t max_count, max_bytes, max_age_ms; /* of the rule at the latest append */
    bool last_value;
    uint8_t bytes[];
};

struct mem_entry {
    uint64_t seq;
    uint64_t max_ts;         /* the greatest ts_ms up to here: sorted, as ts_ms itself need not be */
    struct slu_msg *msg;     /* the slot's reference; NULL: expired, or a hole */
    struct mem_topic *topic; /* NULL: a hole */
};

struct mem_commits {
    struct mem_entry *entries;
    size_t cap, start, end, holes;
};

struct mem_bucket {
    uint64_t generation; /* grows when a topic of the bucket is forgotten */
    uint64_t gone_seq;   /* newest slot that such a topic ever lost */
};

struct mem_dedup {
    struct slu_map map;
    struct slu_list order;    /* oldest first */
    struct slu_list *settled; /* newest that no longer holds its message; the list's head: none does */
};

struct mem_home {
    const struct slu_engine_env *env;
    unsigned index;
    uint64_t seq, epoch, max_ts;
    size_t bytes, share; /* share: how many bytes it may be; 0 = unlimited */
    struct slu_map topics;
    struct slu_topic_index ordered;
    struct slu_list all, lasts, idle;
    size_t n_idle, map_bytes;
    struct mem_commits commits;
    uint64_t sweep_seq;
    struct mem_dedup dedup;
    struct slu_map states;
    struct slu_list states_by_use; /* written longest ago first: where the sweep looks for expired ones */
    uint64_t generation;           /* of the latest claim */
    struct mem_bucket by_topic[MEM_BUCKETS];
    uint64_t gone_by_root[MEM_BUCKETS]; /* as gone_seq, by first level: what wildcards ask */
    uint64_t gone_seq;                  /* the greatest of them */
};

/* home.c */
struct mem_home *mem_home_new(const struct slu_engine_env *env, unsigned index);
void mem_home_free(struct mem_home *h);
uint64_t mem_now(const struct mem_home *h);
void *mem_alloc(struct mem_home *h, size_t size); /* zeroed and charged; NULL when memory ran out */
void mem_free(struct mem_home *h, void *p, size_t size);
/* A message that a log, or a kept value, holds: counts in the home's bytes. */
void mem_hold(struct mem_home *h, const struct slu_msg *m);
void mem_release(struct mem_home *h, struct slu_msg **m); /* NULL inside is fine */
void mem_charge_maps(struct mem_home *h);
/* Makes room for n bytes in the home's share by giving up what was kept longest; false when there is none to give.
 * `t` (may be NULL) is about to grow: it pays first when it has more than its part. */
bool mem_make_room(struct mem_home *h, struct mem_topic *t, size_t n);

/* topic.c */
struct mem_topic *mem_topic_find(const struct mem_home *h, struct slu_bytes name);
enum slu_err mem_topic_need(struct mem_home *h, struct slu_bytes name, struct mem_topic **out);
/* Puts the topic where what it still holds belongs; may forget the one that was idle longest. */
void mem_topic_rest(struct mem_home *h, struct mem_topic *t);
void mem_topic_forget(struct mem_home *h, struct mem_topic *t);
uint64_t mem_epoch(const struct slu_engine_env *env, uint64_t generation);
/* The epoch that a topic of that name has, or would have. */
uint64_t mem_epoch_of(const struct mem_home *h, struct slu_bytes name);
/* Up to where forgotten topics may have lost something: that one, or any that the filter may match. */
uint64_t mem_gone_seq(const struct mem_home *h, struct slu_bytes exact);
uint64_t mem_gone_seq_wild(const struct mem_home *h, struct slu_bytes filter);

/* commits.c */
bool mem_commits_reserve(struct mem_home *h);
void mem_commits_add(struct mem_home *h, struct mem_topic *t, struct slu_msg *m); /* after reserve */
void mem_commits_kill(struct mem_home *h, uint64_t seq);
void mem_commits_expire(struct mem_home *h, uint64_t seq);
/* Index of the first entry after seq; commits.end when there is none. */
size_t mem_commits_after(const struct mem_commits *c, uint64_t seq);
/* Index of the first entry at or after which nothing older than ts_ms was committed before. */
size_t mem_commits_since(const struct mem_commits *c, uint64_t ts_ms);

/* ring.c */
bool mem_ring_reserve(struct mem_home *h, struct mem_topic *t);
void mem_ring_push(struct mem_topic *t, struct slu_msg *m); /* after reserve */
/* Number of slots at or before seq. */
size_t mem_ring_upto(const struct mem_topic *t, uint64_t seq);
/* How many slots after that seq were trimmed; 0 = none or unknown, *lost says which. */
uint64_t mem_ring_lost(const struct mem_topic *t, uint64_t after_seq, bool *lost);
void mem_ring_drop(struct mem_home *h, struct mem_topic *t); /* gives the memory back; empty only */
void mem_ring_shrink(struct mem_home *h, struct mem_topic *t);

static inline struct mem_slot *mem_slot_at(const struct mem_topic *t, size_t i)
{
    return &t->log.slots[(t->log.first + i) & (t->log.cap - 1)];
}

static inline uint64_t mem_first_offset(const struct mem_topic *t)
{
    return t->head - t->log.n + 1;
}

/* trim.c */
enum mem_keep { MEM_DROP, MEM_KEEP_LAST };
void mem_trim_front(struct mem_home *h, struct mem_topic *t, enum mem_keep keep);
/* At most max slots. True when no more is due. */
bool mem_trim_aged(struct mem_home *h, struct mem_topic *t, uint64_t now, size_t max);
void mem_sweep(struct mem_home *h);

static inline bool mem_is_aged(const struct mem_topic *t, uint64_t ts_ms, uint64_t now)
{
    return t->max_age_ms && now > ts_ms && now - ts_ms >= t->max_age_ms;
}

static inline bool mem_is_live(const struct slu_msg *m, uint64_t now)
{
    return m && !slu_msg_expired(m, now);
}

/* dedup.c */
struct mem_first; /* what is known of the first message with a key */
struct mem_first *mem_dedup_new(struct mem_home *h, const struct slu_msg *m); /* not yet in force; NULL: no memory */
void mem_dedup_add(struct mem_home *h, struct mem_first *f, struct slu_msg *m, uint64_t now);
void mem_dedup_discard(struct mem_home *h, struct mem_first *f); /* one that was not added; NULL is fine */
bool mem_dedup_find(struct mem_home *h, const struct slu_msg *m, uint64_t now, struct slu_pos *pos, uint32_t *matched);
void mem_dedup_sweep(struct mem_home *h, uint64_t now);
void mem_dedup_fini(struct mem_home *h);

/* append.c locate.c scan.c tail.c: the work of a request, at its home. */
enum slu_err mem_append(struct mem_home *h, struct slu_append *a);
enum slu_err mem_locate(struct mem_home *h, struct slu_locate *l);
enum slu_err mem_scan(struct mem_home *h, struct slu_scan *s);
enum slu_err mem_tail(struct mem_home *h, struct slu_tail *t);

/* The retained value of a topic without a log; at the start, of any topic. */
enum slu_err mem_adopt(struct mem_home *h, struct slu_msg *m);

/* state.c */
enum slu_err mem_state(struct mem_home *h, struct slu_state *s);
void mem_state_init(struct mem_home *h);
void mem_state_sweep(struct mem_home *h, uint64_t now);
void mem_state_fini(struct mem_home *h);
