/* Topics in byte order, for engines that keep them in memory: a treap, that is a search tree by name and a heap by a
 * seeded hash, so that nobody outside can make it deep. Each node knows the newest loss at and below it, which answers
 * "has any topic under this filter lost something since" without walking them all. Intrusive; adding cannot fail. */
#pragma once

#include "broker/base/bytes.h"

struct slu_topic_node {
    struct slu_topic_node *parent, *left, *right;
    struct slu_bytes name;
    uint64_t order;       /* seeded hash of the name */
    uint64_t trimmed_seq; /* newest message that the topic lost; 0 = none */
    uint64_t newest_trim; /* the greatest trimmed_seq at and below this node */
};

struct slu_topic_index {
    struct slu_topic_node *root;
};

/* memcmp, then the shorter first. */
int slu_name_compare(struct slu_bytes a, struct slu_bytes b);
/* What all topics that match the filter begin with. */
struct slu_bytes slu_filter_prefix(struct slu_bytes filter);

/* name, order and trimmed_seq are set. Two nodes of one name are fine. */
void slu_topic_index_add(struct slu_topic_index *ix, struct slu_topic_node *n);
void slu_topic_index_del(struct slu_topic_index *ix, struct slu_topic_node *n);
/* The first one at or (exclusive) after the key; NULL: none. */
struct slu_topic_node *slu_topic_index_from(const struct slu_topic_index *ix, struct slu_bytes key, bool exclusive);
struct slu_topic_node *slu_topic_index_next(const struct slu_topic_node *n);
/* trimmed_seq never goes back. */
void slu_topic_index_raise(struct slu_topic_node *n, uint64_t trimmed_seq);
/* Whether a matching topic lost its newest trimmed message in (after, upto]. Looks at `looks` topics at most and says
 * yes when that did not suffice: a loss may be announced in vain, never missed. */
bool slu_topic_index_lost(const struct slu_topic_index *ix, struct slu_bytes filter, uint64_t after, uint64_t upto,
                          size_t looks);
