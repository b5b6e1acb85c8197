/* Hash map from byte strings to caller-owned structs. Intrusive: the caller embeds a node, so adding never allocates
 * but for the table, and keys stay where the caller keeps them. Seeded at process start: keys come from clients. */
#pragma once

#include "broker/base/bytes.h"

struct slu_map_node {
    struct slu_map_node *next;
    uint64_t hash;
};

struct slu_map {
    struct slu_map_node **slots;
    size_t n_slots, n;
    /* While the table changes size: the former one, whose slots below `moved` are empty already. Each add moves a few,
     * so that no single call pays for a million. */
    struct slu_map_node **old;
    size_t n_old, moved;
    struct slu_bytes (*key_of)(const struct slu_map_node *);
};

/* Seeded 64-bit hash of bytes (xxHash); the same value in the whole process, another one in the next. */
uint64_t slu_hash(struct slu_bytes key);
/* The same for a key that is only unique below a parent. */
uint64_t slu_hash_below(uint64_t parent, struct slu_bytes key);

/* Starts with no memory; the first add allocates. */
void slu_map_init(struct slu_map *m, struct slu_bytes (*key_of)(const struct slu_map_node *));
/* Frees the table only. The caller has taken out (or frees itself) what was in it. */
void slu_map_fini(struct slu_map *m);

struct slu_map_node *slu_map_get(const struct slu_map *m, struct slu_bytes key);
struct slu_map_node *slu_map_get_hashed(const struct slu_map *m, struct slu_bytes key, uint64_t hash);
/* For keys that are more than one byte string: the first node of that hash which `is` accepts. Needs no key_of. */
struct slu_map_node *slu_map_find(const struct slu_map *m, uint64_t hash,
                                  bool (*is)(const struct slu_map_node *n, const void *arg), const void *arg);
/* The key must not be present. False when memory for the table ran out: nothing was added. */
bool slu_map_add(struct slu_map *m, struct slu_map_node *n);
bool slu_map_add_hashed(struct slu_map *m, struct slu_map_node *n, uint64_t hash);
/* n must be in the map. */
void slu_map_del(struct slu_map *m, struct slu_map_node *n);
/* Bytes that the table holds now. */
static inline size_t slu_map_bytes(const struct slu_map *m)
{
    return (m->n_slots + m->n_old) * sizeof(struct slu_map_node *);
}

/* Walk in table order; the node just returned may be deleted, nothing else may be deleted and nothing added. Start from
 * a zeroed state: struct slu_map_iter i = { 0 }; while ((n = slu_map_next(m, &i))) … */
struct slu_map_iter {
    size_t slot;
    struct slu_map_node *next;
    bool started;
};
struct slu_map_node *slu_map_next(const struct slu_map *m, struct slu_map_iter *i);
