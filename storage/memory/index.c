/* The topics of a home in byte order: a treap, that is a search tree by name and a heap by the topic's (seeded)
 * hash, so that nobody outside can make it deep. Each node knows the newest trimmed seq at and below it, which
 * answers "has any topic under this filter lost something since" without walking them all. */
#include "storage/memory/home.h"

#include "broker/core/topic.h"

int mem_compare(struct slu_bytes a, struct slu_bytes b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.data, b.data, n) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static void pull(struct mem_topic *t)
{
    t->newest_trim = t->trimmed_seq;
    if (t->left && t->left->newest_trim > t->newest_trim)
        t->newest_trim = t->left->newest_trim;
    if (t->right && t->right->newest_trim > t->newest_trim)
        t->newest_trim = t->right->newest_trim;
}

static void replace(struct mem_home *h, struct mem_topic *t, struct mem_topic *by)
{
    struct mem_topic *parent = t->parent;
    if (!parent)
        h->root = by;
    else if (parent->left == t)
        parent->left = by;
    else
        parent->right = by;
    if (by)
        by->parent = parent;
}

/* Lifts the child above its parent. */
static void rotate_up(struct mem_home *h, struct mem_topic *child)
{
    struct mem_topic *t = child->parent;
    replace(h, t, child);
    struct mem_topic *inner;
    if (t->left == child) {
        inner = t->left = child->right;
        child->right = t;
    } else {
        inner = t->right = child->left;
        child->left = t;
    }
    if (inner)
        inner->parent = t;
    t->parent = child;
    pull(t);
    pull(child);
}

void mem_index_add(struct mem_home *h, struct mem_topic *t)
{
    struct mem_topic **link = &h->root, *parent = NULL;
    while (*link) {
        parent = *link;
        link = mem_compare(t->name, parent->name) < 0 ? &parent->left : &parent->right;
    }
    t->left = t->right = NULL;
    t->parent = parent;
    *link = t;
    t->newest_trim = 0;
    mem_index_raise(t);
    while (t->parent && t->parent->node.hash < t->node.hash)
        rotate_up(h, t);
}

void mem_index_del(struct mem_home *h, struct mem_topic *t)
{
    while (t->left && t->right)
        rotate_up(h, t->left->node.hash > t->right->node.hash ? t->left : t->right);
    struct mem_topic *above = t->parent;
    replace(h, t, t->left ? t->left : t->right);
    for (; above; above = above->parent)
        pull(above);
    t->parent = t->left = t->right = NULL;
}

void mem_index_raise(struct mem_topic *t)
{
    uint64_t seq = t->trimmed_seq;
    for (; t && t->newest_trim < seq; t = t->parent)
        t->newest_trim = seq;
}

struct mem_topic *mem_index_from(const struct mem_home *h, struct slu_bytes key, bool exclusive)
{
    struct mem_topic *found = NULL;
    for (struct mem_topic *t = h->root; t;) {
        int order = mem_compare(t->name, key);
        bool fits = order > 0 || (order == 0 && !exclusive);
        if (fits)
            found = t;
        t = fits ? t->left : t->right;
    }
    return found;
}

struct mem_topic *mem_index_next(const struct mem_topic *t)
{
    if (t->right) {
        struct mem_topic *next = t->right;
        while (next->left)
            next = next->left;
        return next;
    }
    while (t->parent && t->parent->right == t)
        t = t->parent;
    return t->parent;
}

struct slu_bytes mem_filter_prefix(struct slu_bytes filter)
{
    const uint8_t *plus = filter.len ? memchr(filter.data, '+', filter.len) : NULL;
    const uint8_t *hash = filter.len ? memchr(filter.data, '#', filter.len) : NULL;
    if (plus && (!hash || plus < hash))
        return slu_bytes(filter.data, (size_t)(plus - filter.data));
    if (!hash)
        return filter;
    size_t len = (size_t)(hash - filter.data);
    return slu_bytes(filter.data, len ? len - 1 : 0); /* "a/#" matches "a" too */
}

struct question {
    struct slu_bytes filter, prefix;
    uint64_t after, upto;
    size_t looks; /* left */
};

/* Goes down only where something was trimmed after `after`; as deep as the tree, which is logarithmic. */
static bool any_lost(const struct mem_topic *t, struct question *q)
{
    if (!t || t->newest_trim <= q->after)
        return false;
    if (q->looks == 0)
        return true;
    q->looks--;
    bool inside = slu_bytes_starts(t->name, q->prefix);
    int order = inside ? 0 : mem_compare(t->name, q->prefix);
    if (order <= 0 && any_lost(t->right, q))
        return true;
    if (inside && t->trimmed_seq > q->after && t->trimmed_seq <= q->upto && slu_filter_matches(q->filter, t->name))
        return true;
    return order >= 0 && any_lost(t->left, q);
}

bool mem_index_lost(const struct mem_home *h, struct slu_bytes filter, uint64_t after, uint64_t upto)
{
    struct question q = { filter, mem_filter_prefix(filter), after, upto, MEM_LOOK_MAX };
    return any_lost(h->root, &q);
}
