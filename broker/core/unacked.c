/* See unacked.h. Three ways to each entry, so that no acknowledgement costs more than what it takes out: by position (a
 * map), by topic in order of delivery, by home in order of seq. */
#include "broker/core/unacked.h"

#include <stdlib.h>

struct topic {
    struct slu_map_node node;
    struct slu_list entries; /* in order of delivery */
    struct slu_bytes name;
    uint8_t bytes[];
};

struct entry {
    struct slu_map_node node;
    struct slu_list in_topic, in_home;
    struct topic *topic;
    struct slu_pos pos;
    uint64_t seq;
};

static struct slu_bytes topic_key(const struct slu_map_node *n)
{
    return slu_container_of(n, const struct topic, node)->name;
}

bool slu_unacked_init(struct slu_unacked *u, unsigned homes)
{
    *u = (struct slu_unacked){ .n_homes = homes };
    slu_map_init(&u->entries, NULL);
    slu_map_init(&u->topics, topic_key);
    u->homes = malloc(homes * sizeof(u->homes[0]));
    if (!u->homes)
        return false;
    for (unsigned h = 0; h < homes; h++)
        slu_list_init(&u->homes[h]);
    u->bytes = homes * sizeof(u->homes[0]);
    return true;
}

static uint64_t hash_of(struct slu_bytes topic, struct slu_pos pos)
{
    uint64_t key[2] = { pos.epoch, pos.offset };
    return slu_hash_below(slu_hash(topic), slu_bytes((const uint8_t *)key, sizeof(key)));
}

struct wanted {
    struct slu_bytes topic;
    struct slu_pos pos;
};

static bool is_wanted(const struct slu_map_node *n, const void *arg)
{
    const struct entry *e = slu_container_of(n, const struct entry, node);
    const struct wanted *w = arg;
    return e->pos.offset == w->pos.offset && e->pos.epoch == w->pos.epoch && slu_bytes_eq(e->topic->name, w->topic);
}

static struct entry *find(const struct slu_unacked *u, struct slu_bytes topic, struct slu_pos pos)
{
    struct wanted w = { topic, pos };
    struct slu_map_node *n = slu_map_find(&u->entries, hash_of(topic, pos), is_wanted, &w);
    return n ? slu_container_of(n, struct entry, node) : NULL;
}

static void topic_free(struct slu_unacked *u, struct topic *t)
{
    slu_map_del(&u->topics, &t->node);
    u->bytes -= sizeof(*t) + t->name.len;
    free(t);
}

static struct topic *topic_get(struct slu_unacked *u, struct slu_bytes name)
{
    struct slu_map_node *n = slu_map_get(&u->topics, name);
    if (n)
        return slu_container_of(n, struct topic, node);
    struct topic *t = calloc(1, sizeof(*t) + name.len);
    if (!t)
        return NULL;
    memcpy(t->bytes, name.data, name.len);
    t->name = slu_bytes(t->bytes, name.len);
    slu_list_init(&t->entries);
    if (!slu_map_add(&u->topics, &t->node)) {
        free(t);
        return NULL;
    }
    u->bytes += sizeof(*t) + name.len;
    return t;
}

/* Nearly always the newest. What was held back (overflow: conflate) may come out of order. */
static void place(struct slu_list *home, struct entry *e)
{
    struct slu_list *at = home->prev;
    while (at != home && slu_container_of(at, struct entry, in_home)->seq > e->seq)
        at = at->prev;
    slu_list_insert_after(at, &e->in_home);
}

bool slu_unacked_add(struct slu_unacked *u, const struct slu_msg *m)
{
    if (find(u, m->topic, m->pos))
        return true;
    struct topic *t = topic_get(u, m->topic);
    struct entry *e = t ? calloc(1, sizeof(*e)) : NULL;
    if (!e || !slu_map_add_hashed(&u->entries, &e->node, hash_of(m->topic, m->pos))) {
        free(e);
        if (t && slu_list_empty(&t->entries))
            topic_free(u, t);
        return false;
    }
    e->topic = t;
    e->pos = m->pos;
    e->seq = m->seq;
    slu_list_push_back(&t->entries, &e->in_topic);
    place(&u->homes[m->home], e);
    u->n++;
    u->bytes += sizeof(*e);
    return true;
}

static void entry_free(struct slu_unacked *u, struct entry *e)
{
    struct topic *t = e->topic;
    slu_list_remove(&e->in_topic);
    slu_list_remove(&e->in_home);
    slu_map_del(&u->entries, &e->node);
    if (slu_list_empty(&t->entries))
        topic_free(u, t);
    u->n--;
    u->bytes -= sizeof(*e);
    free(e);
}

static void ack_upto(struct slu_unacked *u, struct topic *t, struct slu_pos pos)
{
    size_t left = u->n; /* the topic goes with its last entry */
    for (struct slu_list *it = t->entries.next; left--;) {
        struct entry *e = slu_container_of(it, struct entry, in_topic);
        bool is_last = it->next == &t->entries;
        if (e->pos.epoch == pos.epoch && e->pos.offset > pos.offset)
            return;
        it = it->next;
        if (e->pos.epoch == pos.epoch)
            entry_free(u, e);
        if (is_last)
            return;
    }
}

void slu_unacked_ack(struct slu_unacked *u, struct slu_bytes topic, struct slu_pos pos, bool upto)
{
    if (upto) {
        struct slu_map_node *n = slu_map_get(&u->topics, topic);
        if (n)
            ack_upto(u, slu_container_of(n, struct topic, node), pos);
        return;
    }
    struct entry *e = find(u, topic, pos);
    if (e)
        entry_free(u, e);
}

uint64_t slu_unacked_oldest(const struct slu_unacked *u, unsigned home)
{
    const struct slu_list *l = &u->homes[home];
    return slu_list_empty(l) ? 0 : slu_container_of(l->next, struct entry, in_home)->seq;
}

void slu_unacked_fini(struct slu_unacked *u)
{
    for (unsigned h = 0; u->homes && h < u->n_homes; h++)
        slu_list_each (it, &u->homes[h])
            entry_free(u, slu_container_of(it, struct entry, in_home));
    slu_map_fini(&u->entries);
    slu_map_fini(&u->topics);
    free(u->homes);
    u->homes = NULL;
    u->bytes = 0;
}
