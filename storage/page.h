/* Messages on their way out of an engine, bounded in number and bytes; what scan and tail give. */
#pragma once

#include "storage/engine.h"

struct slu_page {
    struct slu_msg **msgs;
    bool *retained; /* only when with_retained */
    size_t n, cap, bytes, max_items, max_bytes;
    bool with_retained;
};

/* At least one message fits into every page. */
bool slu_page_fits(const struct slu_page *p, size_t items, size_t bytes);
bool slu_page_add(struct slu_page *p, struct slu_msg *m, bool retained); /* takes a reference; false: no memory */
/* Takes over a reference; false: no memory, and it still is the caller's. */
bool slu_page_take(struct slu_page *p, struct slu_msg *m, bool retained);
/* Turns those from index `from` on around. */
void slu_page_reverse(struct slu_page *p, size_t from);
/* Gives up those from index `from` on. */
void slu_page_cut(struct slu_page *p, size_t from);
void slu_page_fini(struct slu_page *p);
