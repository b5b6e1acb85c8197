/* What a durable subscription was given and has not acknowledged: by topic and position for its acknowledgements, by
 * home and sequence for the place behind which nothing is missing. Holds no messages. */
#pragma once

#include "broker/base/list.h"
#include "broker/base/map.h"
#include "broker/core/message.h"

struct slu_unacked {
    struct slu_map entries, topics;
    struct slu_list *homes; /* of each home, by seq */
    unsigned n_homes;
    size_t n, bytes; /* bytes: all that it holds now */
};

/* False without memory; fini is safe then. */
bool slu_unacked_init(struct slu_unacked *u, unsigned homes);
void slu_unacked_fini(struct slu_unacked *u);
/* m has a seq. False without memory: it is not noted. One that is noted already stays. */
bool slu_unacked_add(struct slu_unacked *u, const struct slu_msg *m);
/* This one; or all of the topic and epoch up to it. */
void slu_unacked_ack(struct slu_unacked *u, struct slu_bytes topic, struct slu_pos pos, bool upto);
/* The lowest seq of a home; 0 = nothing there. */
uint64_t slu_unacked_oldest(const struct slu_unacked *u, unsigned home);
