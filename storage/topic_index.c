#include "storage/topic_index.h"

#include "broker/core/topic.h"

int slu_name_compare(struct slu_bytes a, struct slu_bytes b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.data, b.data, n) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

struct slu_bytes slu_filter_prefix(struct slu_bytes filter)
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

static void pull(struct slu_topic_node *n)
{
    n->newest_trim = n->trimmed_seq;
    if (n->left && n->left->newest_trim > n->newest_trim)
        n->newest_trim = n->left->newest_trim;
    if (n->right && n->right->newest_trim > n->newest_trim)
        n->newest_trim = n->right->newest_trim;
}

static void replace(struct slu_topic_index *ix, struct slu_topic_node *n, struct slu_topic_node *by)
{
    struct slu_topic_node *parent = n->parent;
    if (!parent)
        ix->root = by;
    else if (parent->left == n)
        parent->left = by;
    else
        parent->right = by;
    if (by)
        by->parent = parent;
}

/* Lifts the child above its parent. */
static void rotate_up(struct slu_topic_index *ix, struct slu_topic_node *child)
{
    struct slu_topic_node *n = child->parent;
    replace(ix, n, child);
    struct slu_topic_node *inner;
    if (n->left == child) {
        inner = n->left = child->right;
        child->right = n;
    } else {
        inner = n->right = child->left;
        child->left = n;
    }
    if (inner)
        inner->parent = n;
    n->parent = child;
    pull(n);
    pull(child);
}

void slu_topic_index_add(struct slu_topic_index *ix, struct slu_topic_node *n)
{
    struct slu_topic_node **link = &ix->root, *parent = NULL;
    while (*link) {
        parent = *link;
        link = slu_name_compare(n->name, parent->name) < 0 ? &parent->left : &parent->right;
    }
    n->left = n->right = NULL;
    n->parent = parent;
    *link = n;
    n->newest_trim = 0;
    slu_topic_index_raise(n, n->trimmed_seq);
    while (n->parent && n->parent->order < n->order)
        rotate_up(ix, n);
}

void slu_topic_index_del(struct slu_topic_index *ix, struct slu_topic_node *n)
{
    while (n->left && n->right)
        rotate_up(ix, n->left->order > n->right->order ? n->left : n->right);
    struct slu_topic_node *above = n->parent;
    replace(ix, n, n->left ? n->left : n->right);
    for (; above; above = above->parent)
        pull(above);
    n->parent = n->left = n->right = NULL;
}

void slu_topic_index_raise(struct slu_topic_node *n, uint64_t trimmed_seq)
{
    n->trimmed_seq = trimmed_seq;
    for (; n && n->newest_trim < trimmed_seq; n = n->parent)
        n->newest_trim = trimmed_seq;
}

struct slu_topic_node *slu_topic_index_from(const struct slu_topic_index *ix, struct slu_bytes key, bool exclusive)
{
    struct slu_topic_node *found = NULL;
    for (struct slu_topic_node *n = ix->root; n;) {
        int order = slu_name_compare(n->name, key);
        bool fits = order > 0 || (order == 0 && !exclusive);
        if (fits)
            found = n;
        n = fits ? n->left : n->right;
    }
    return found;
}

struct slu_topic_node *slu_topic_index_next(const struct slu_topic_node *n)
{
    if (n->right) {
        struct slu_topic_node *next = n->right;
        while (next->left)
            next = next->left;
        return next;
    }
    while (n->parent && n->parent->right == n)
        n = n->parent;
    return n->parent;
}

struct question {
    struct slu_bytes filter, prefix;
    uint64_t after, upto;
    size_t looks; /* left */
};

/* Goes down only where something was trimmed after `after`; as deep as the tree, which is logarithmic. */
static bool any_lost(const struct slu_topic_node *n, struct question *q)
{
    if (!n || n->newest_trim <= q->after)
        return false;
    if (q->looks == 0)
        return true;
    q->looks--;
    bool inside = slu_bytes_starts(n->name, q->prefix);
    int order = inside ? 0 : slu_name_compare(n->name, q->prefix);
    if (order <= 0 && any_lost(n->right, q))
        return true;
    if (inside && n->trimmed_seq > q->after && n->trimmed_seq <= q->upto && slu_filter_matches(q->filter, n->name))
        return true;
    return order >= 0 && any_lost(n->left, q);
}

bool slu_topic_index_lost(const struct slu_topic_index *ix, struct slu_bytes filter, uint64_t after, uint64_t upto,
                          size_t looks)
{
    struct question q = { filter, slu_filter_prefix(filter), after, upto, looks };
    return any_lost(ix->root, &q);
}
