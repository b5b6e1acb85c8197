/* 1. Every node but the root has a value or children: what becomes empty is freed at once, up to the root.
 * 2. A level "#" is no node but the value `below` of its parent, which is what makes it match the parent too.
 * 3. Matching looks at a node once and at no more than two children of it; recursion ends at SLU_TOPIC_LEVELS. */
#include "broker/core/trie.h"

#include <stdlib.h>

struct name {
    const struct slu_trie_node *parent;
    struct slu_bytes level;
};

static struct slu_trie_node *node_of(const struct slu_map_node *n)
{
    return slu_container_of(n, struct slu_trie_node, in_map);
}

static struct slu_trie_node *sibling_of(const struct slu_list *l)
{
    return slu_container_of(l, struct slu_trie_node, siblings);
}

static struct slu_bytes text_of(const struct slu_trie_node *n)
{
    return slu_bytes(n + 1, n->len);
}

static bool is_named(const struct slu_map_node *n, const void *arg)
{
    const struct slu_trie_node *node = node_of(n);
    const struct name *name = arg;
    return node->parent == name->parent && slu_bytes_eq(text_of(node), name->level);
}

static uint64_t hash_of(const struct slu_trie_node *parent, struct slu_bytes level)
{
    return slu_hash_below((uint64_t)(uintptr_t)parent, level);
}

static struct slu_trie_node *child_of(const struct slu_trie *t, const struct slu_trie_node *parent,
                                      struct slu_bytes level)
{
    if (slu_list_empty(&parent->children))
        return NULL;
    const struct name name = { parent, level };
    struct slu_map_node *n = slu_map_find(&t->nodes, hash_of(parent, level), is_named, &name);
    return n ? node_of(n) : NULL;
}

/* What the allocator takes for a request, near enough for an account. */
static size_t held(const struct slu_trie_node *n)
{
    return (sizeof(*n) + n->len + 23) & ~(size_t)15;
}

static struct slu_trie_node *node_new(struct slu_trie *t, struct slu_trie_node *parent, struct slu_bytes level)
{
    struct slu_trie_node *n = calloc(1, sizeof(*n) + level.len);
    if (!n)
        return NULL;
    n->parent = parent;
    n->len = level.len;
    if (level.len > 0)
        memcpy(n + 1, level.data, level.len);
    if (!slu_map_add_hashed(&t->nodes, &n->in_map, hash_of(parent, level))) {
        free(n);
        return NULL;
    }
    slu_list_init(&n->children);
    slu_list_push_back(&parent->children, &n->siblings);
    if (slu_level_is_plus(level))
        parent->plus = n;
    t->node_bytes += held(n);
    return n;
}

static void prune(struct slu_trie *t, struct slu_trie_node *n)
{
    while (n->parent && !n->here && !n->below && slu_list_empty(&n->children)) {
        struct slu_trie_node *parent = n->parent;
        if (parent->plus == n)
            parent->plus = NULL;
        slu_list_remove(&n->siblings);
        slu_map_del(&t->nodes, &n->in_map);
        t->node_bytes -= held(n);
        free(n);
        n = parent;
    }
}

void slu_trie_init(struct slu_trie *t)
{
    *t = (struct slu_trie){ .node_bytes = 0 };
    slu_map_init(&t->nodes, NULL);
    slu_list_init(&t->root.siblings);
    slu_list_init(&t->root.children);
}

void slu_trie_fini(struct slu_trie *t)
{
    struct slu_map_iter i = { 0 };
    for (struct slu_map_node *n; (n = slu_map_next(&t->nodes, &i));)
        free(node_of(n));
    slu_map_fini(&t->nodes);
    slu_trie_init(t);
}

size_t slu_trie_bytes(const struct slu_trie *t)
{
    return t->node_bytes + slu_map_bytes(&t->nodes);
}

struct slu_trie_node *slu_trie_add(struct slu_trie *t, struct slu_bytes path, void *value)
{
    struct slu_trie_node *at = &t->root;
    for (bool more = true; more;) {
        struct slu_bytes level = slu_topic_next_level(&path, &more);
        if (slu_level_is_hash(level)) {
            at->below = value;
            return at;
        }
        struct slu_trie_node *child = child_of(t, at, level);
        if (!child)
            child = node_new(t, at, level);
        if (!child) {
            prune(t, at);
            return NULL;
        }
        at = child;
    }
    at->here = value;
    return at;
}

void slu_trie_del(struct slu_trie *t, struct slu_trie_node *n, bool last_hash)
{
    if (last_hash)
        n->below = NULL;
    else
        n->here = NULL;
    prune(t, n);
}

void slu_trie_match(const struct slu_trie *t, struct slu_bytes topic, void (*see)(void *value, void *arg), void *arg)
{
    struct slu_bytes levels[SLU_TOPIC_LEVELS];
    size_t n_levels = slu_topic_split(topic, levels);
    if (n_levels == 0)
        return;
    bool is_dollar = topic.len > 0 && topic.data[0] == '$';

    /* Depth first. A step takes one off and puts at most two on, one level deeper: no more than one waits a level. */
    struct {
        const struct slu_trie_node *node;
        size_t depth;
    } stack[SLU_TOPIC_LEVELS + 2] = { { &t->root, 0 } };
    for (size_t n_stack = 1; n_stack > 0;) {
        const struct slu_trie_node *at = stack[--n_stack].node;
        size_t depth = stack[n_stack].depth;
        bool wild_here = depth > 0 || !is_dollar;
        if (at->below && wild_here)
            see(at->below, arg);
        if (depth == n_levels) {
            if (at->here)
                see(at->here, arg);
            continue;
        }
        const struct slu_trie_node *child = child_of(t, at, levels[depth]);
        if (at->plus && wild_here) {
            stack[n_stack].node = at->plus;
            stack[n_stack++].depth = depth + 1;
        }
        if (child && child != at->plus) {
            stack[n_stack].node = child;
            stack[n_stack++].depth = depth + 1;
        }
    }
}

struct visit {
    const struct slu_trie *trie;
    struct slu_bytes levels[SLU_TOPIC_LEVELS];
    size_t n_levels, nodes_left;
    void (*see)(void *value, void *arg);
    void *arg;
};

static void see_node(struct visit *v, const struct slu_trie_node *n)
{
    if (n->here)
        v->see(n->here, v->arg);
}

/* Takes one from the nodes that may still be looked at. */
static bool may_look(struct visit *v)
{
    if (v->nodes_left == 0)
        return false;
    v->nodes_left--;
    return true;
}

static bool visit_subtree(struct visit *v, const struct slu_trie_node *n, bool is_top)
{
    see_node(v, n);
    slu_list_each (it, &n->children) {
        const struct slu_trie_node *child = sibling_of(it);
        if (!may_look(v))
            return false;
        if (is_top && slu_bytes_starts(text_of(child), SLU_LIT("$")))
            continue;
        if (!visit_subtree(v, child, false))
            return false;
    }
    return true;
}

static bool visit_level(struct visit *v, const struct slu_trie_node *n, size_t depth)
{
    if (depth == v->n_levels) {
        see_node(v, n);
        return true;
    }
    struct slu_bytes level = v->levels[depth];
    if (slu_level_is_hash(level))
        return visit_subtree(v, n, depth == 0);
    if (!slu_level_is_plus(level)) {
        const struct slu_trie_node *child = child_of(v->trie, n, level);
        return !child || visit_level(v, child, depth + 1);
    }
    slu_list_each (it, &n->children) {
        const struct slu_trie_node *child = sibling_of(it);
        if (!may_look(v))
            return false;
        if (depth == 0 && slu_bytes_starts(text_of(child), SLU_LIT("$")))
            continue;
        if (!visit_level(v, child, depth + 1))
            return false;
    }
    return true;
}

bool slu_trie_visit(const struct slu_trie *t, struct slu_bytes filter, size_t max_nodes,
                    void (*see)(void *value, void *arg), void *arg)
{
    struct visit v = { .trie = t, .nodes_left = max_nodes, .see = see, .arg = arg };
    v.n_levels = slu_topic_split(filter, v.levels);
    return v.n_levels == 0 || visit_level(&v, &t->root, 0);
}
