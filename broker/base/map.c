/* Chained hash table over intrusive nodes, a power of two in size, about one node a slot.
 *
 * 1. While the size changes a node is in `slots` or still in `old`, never below `moved` there. New ones go to `slots`.
 * 2. Only adds resize and move: a walk that deletes what it meets sees every node once. */
#include "broker/base/map.h"

#include "broker/base/rng.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

enum {
    FIRST_SLOTS = 8,
    MOVE_SLOTS = 8,  /* old slots that one add empties: done long before the table is full again */
    SPARSE = 16,     /* slots for each node from which on a table is too large */
    KEEP_SLOTS = 64, /* tables up to this size are not given back when they become empty */
};

static uint64_t seed;

__attribute__((constructor)) static void draw_seed(void)
{
    seed = slu_rng_u64();
}

uint64_t slu_hash(struct slu_bytes key)
{
    return XXH3_64bits_withSeed(key.data, key.len, seed);
}

uint64_t slu_hash_below(uint64_t parent, struct slu_bytes key)
{
    return XXH3_64bits_withSeed(key.data, key.len, seed ^ parent);
}

void slu_map_init(struct slu_map *m, struct slu_bytes (*key_of)(const struct slu_map_node *))
{
    *m = (struct slu_map){ .key_of = key_of };
}

void slu_map_fini(struct slu_map *m)
{
    free(m->slots);
    free(m->old);
    slu_map_init(m, m->key_of);
}

static struct slu_map_node *find_in(const struct slu_map *m, struct slu_map_node *n, struct slu_bytes key,
                                    uint64_t hash)
{
    while (n && !(n->hash == hash && slu_bytes_eq(m->key_of(n), key)))
        n = n->next;
    return n;
}

struct slu_map_node *slu_map_get_hashed(const struct slu_map *m, struct slu_bytes key, uint64_t hash)
{
    if (m->n == 0)
        return NULL;
    struct slu_map_node *n = find_in(m, m->slots[hash & (m->n_slots - 1)], key, hash);
    if (!n && m->old)
        n = find_in(m, m->old[hash & (m->n_old - 1)], key, hash);
    return n;
}

struct slu_map_node *slu_map_find(const struct slu_map *m, uint64_t hash,
                                  bool (*is)(const struct slu_map_node *n, const void *arg), const void *arg)
{
    if (m->n == 0)
        return NULL;
    struct slu_map_node *n = m->slots[hash & (m->n_slots - 1)];
    while (n && !(n->hash == hash && is(n, arg)))
        n = n->next;
    if (n || !m->old)
        return n;
    n = m->old[hash & (m->n_old - 1)];
    while (n && !(n->hash == hash && is(n, arg)))
        n = n->next;
    return n;
}

struct slu_map_node *slu_map_get(const struct slu_map *m, struct slu_bytes key)
{
    return m->n ? slu_map_get_hashed(m, key, slu_hash(key)) : NULL;
}

static void move_some(struct slu_map *m)
{
    for (int i = 0; i < MOVE_SLOTS && m->moved < m->n_old; i++) {
        struct slu_map_node *n = m->old[m->moved];
        m->old[m->moved++] = NULL;
        while (n) {
            struct slu_map_node *next = n->next;
            struct slu_map_node **slot = &m->slots[n->hash & (m->n_slots - 1)];
            n->next = *slot;
            *slot = n;
            n = next;
        }
    }
    if (m->moved == m->n_old) {
        free(m->old);
        m->old = NULL;
        m->n_old = m->moved = 0;
    }
}

/* Begins a change of size where it is due. False only when there is no table at all and no memory for one. */
static bool make_room(struct slu_map *m)
{
    size_t want = m->n_slots;
    if (!m->slots)
        want = FIRST_SLOTS;
    else if (m->old)
        move_some(m);
    else if (m->n >= m->n_slots)
        want = m->n_slots * 2;
    else if (m->n_slots > KEEP_SLOTS && m->n < m->n_slots / SPARSE)
        want = m->n_slots / (SPARSE / 4);
    if (want == m->n_slots)
        return true;
    struct slu_map_node **slots = calloc(want, sizeof(struct slu_map_node *));
    if (!slots)
        return m->slots != NULL; /* longer chains are still right */
    m->old = m->slots;
    m->n_old = m->n_slots;
    m->moved = 0;
    m->slots = slots;
    m->n_slots = want;
    if (m->old)
        move_some(m);
    return true;
}

bool slu_map_add_hashed(struct slu_map *m, struct slu_map_node *n, uint64_t hash)
{
    if (!make_room(m))
        return false;
    struct slu_map_node **slot = &m->slots[hash & (m->n_slots - 1)];
    n->hash = hash;
    n->next = *slot;
    *slot = n;
    m->n++;
    return true;
}

bool slu_map_add(struct slu_map *m, struct slu_map_node *n)
{
    return slu_map_add_hashed(m, n, slu_hash(m->key_of(n)));
}

static bool unlink_from(struct slu_map_node **link, struct slu_map_node *n)
{
    while (*link && *link != n)
        link = &(*link)->next;
    if (!*link)
        return false;
    *link = n->next;
    return true;
}

void slu_map_del(struct slu_map *m, struct slu_map_node *n)
{
    bool found = unlink_from(&m->slots[n->hash & (m->n_slots - 1)], n) ||
                 (m->old && unlink_from(&m->old[n->hash & (m->n_old - 1)], n));
    assert(found);
    if (!found)
        return;
    n->next = NULL;
    if (--m->n == 0 && m->n_slots + m->n_old > KEEP_SLOTS)
        slu_map_fini(m);
}

struct slu_map_node *slu_map_next(const struct slu_map *m, struct slu_map_iter *i)
{
    if (!i->started) {
        i->started = true;
        i->slot = 0;
        i->next = NULL;
    }
    while (!i->next && i->slot < m->n_slots + m->n_old) {
        i->next = i->slot < m->n_slots ? m->slots[i->slot] : m->old[i->slot - m->n_slots];
        i->slot++;
    }
    struct slu_map_node *n = i->next;
    if (n)
        i->next = n->next;
    return n;
}
