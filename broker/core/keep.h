/* A value that the core keeps in the store under a name (storage/engine.h, named states): the place of a durable
 * subscription, the tasks of a work queue. It is claimed once, then written again as its owner changes it.
 *
 * 1. One request at a time. What changes meanwhile goes with the next one, which comes every_ms after the last, at once
 *    where somebody waits for it, and later where values are large.
 * 2. A wait ends well only after a write that began when its change was made: the store has it then.
 * 3. The owner may go at any time: what it leaves is still written, and who waits is still answered.
 * 4. A value in use is written again before it expires. */
#pragma once

#include "broker/core/state.h"

struct slu_keep;

struct slu_keep_ops {
    uint64_t every_ms;
    /* The answer to the claim. found: borrowed, empty when there was nothing. The owner may end itself here. */
    void (*claimed)(void *owner, enum slu_err err, struct slu_bytes found);
    void (*write)(void *owner, struct slu_buf *out);
    /* Somebody else has claimed the name: the owner must drop the keep, now or later. */
    void (*lost)(void *owner);
};

/* One who wants to know when all that has changed so far is in the store. */
struct slu_keep_wait {
    struct slu_keep_wait *next;
    uint64_t mark;
    void (*done)(struct slu_keep_wait *wait, enum slu_err err);
};

void slu_keep_init(struct slu_worker *w);
/* After the store was closed. */
void slu_keep_fini(struct slu_worker *w);

/* Claims; `claimed` comes later. NULL without memory. */
struct slu_keep *slu_keep_new(struct slu_worker *w, struct slu_bytes key, const struct slu_keep_ops *ops, void *owner);
uint64_t slu_keep_generation(const struct slu_keep *k);
struct slu_bytes slu_keep_key(const struct slu_keep *k);
/* To be written soon; or, where nobody loses anything if it is not, within seconds. */
void slu_keep_changed(struct slu_keep *k);
void slu_keep_drifted(struct slu_keep *k);
/* done runs once: inside the call when there is nothing to wait for. */
void slu_keep_wait(struct slu_keep *k, struct slu_keep_wait *wait);
void slu_keep_unwait(struct slu_keep *k, struct slu_keep_wait *wait);
/* The owner goes, its last value is written at once. NULL is fine. */
void slu_keep_end(struct slu_keep *k);
/* The owner goes and nothing more is written: the name belongs to somebody else. */
void slu_keep_drop(struct slu_keep *k);
