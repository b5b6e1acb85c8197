/* Topics or filters as a tree of levels, each with one caller-owned value. The router keeps its wildcard filters in one
 * ("which filters match this topic?") and its cached topics in another ("which topics does this filter match?").
 *
 * A node's memory is bounded by its level's length and a path has at most SLU_TOPIC_LEVELS of them. Children are found
 * through one seeded hash table over (parent, level). Paths must be valid topics or filters. */
#pragma once

#include "broker/base/list.h"
#include "broker/base/map.h"
#include "broker/core/topic.h"

struct slu_trie_node {
    struct slu_map_node in_map;
    struct slu_trie_node *parent;
    struct slu_list siblings; /* in parent->children */
    struct slu_list children;
    struct slu_trie_node *plus; /* the child "+" */
    void *here;                 /* value of the path that ends here */
    void *below;                /* value of the path that ends here but for a last level "#" */
    size_t len;                 /* of the level's text, which follows the node */
};

struct slu_trie {
    struct slu_map nodes;
    struct slu_trie_node root; /* stands before the first level; no value `here` */
    size_t node_bytes;
};

void slu_trie_init(struct slu_trie *t);
void slu_trie_fini(struct slu_trie *t); /* frees the nodes, not the values */
size_t slu_trie_bytes(const struct slu_trie *t);

/* Puts value, not NULL, at a path that has none yet. Returns the node that holds it, which stays until the value is
 * taken out; NULL when memory ran out: nothing has changed. */
struct slu_trie_node *slu_trie_add(struct slu_trie *t, struct slu_bytes path, void *value);
/* Takes out what slu_trie_add put in n; last_hash says that the path ended in "#". Never allocates. */
void slu_trie_del(struct slu_trie *t, struct slu_trie_node *n, bool last_hash);

/* Calls see once for the value of each filter that matches topic. */
void slu_trie_match(const struct slu_trie *t, struct slu_bytes topic, void (*see)(void *value, void *arg), void *arg);
/* Calls see for the value of each topic that filter matches; see must not change the trie. Gives up when it would look
 * at more than max_nodes nodes: false then. */
bool slu_trie_visit(const struct slu_trie *t, struct slu_bytes filter, size_t max_nodes,
                    void (*see)(void *value, void *arg), void *arg);
