/* The nearest of some known words to a mistyped one, by edit distance (a swap of neighbours counts as one). */
#pragma once

#include "broker/base/buf.h"

struct slu_nearest {
    struct slu_bytes word;
    struct slu_bytes best; /* borrowed from the offers; empty = nothing offered */
    size_t distance;
};

size_t slu_edit_distance(struct slu_bytes a, struct slu_bytes b);

void slu_nearest_init(struct slu_nearest *n, struct slu_bytes word);
/* Compares with another word from here on, keeps the best so far. */
static inline void slu_nearest_use(struct slu_nearest *n, struct slu_bytes word)
{
    n->word = word;
}
/* Compares with `candidate`; `name` is what would be suggested. True when it is the best so far. */
bool slu_nearest_offer(struct slu_nearest *n, struct slu_bytes candidate, struct slu_bytes name, size_t penalty);
/* `, did you mean "x"?` or, where the best is far off, `; the nearest valid <what> is "x"`. */
void slu_nearest_print(const struct slu_nearest *n, const char *what, struct slu_buf *out);
