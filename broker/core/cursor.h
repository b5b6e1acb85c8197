/* Cursors: a place in the sequence of every home, as opaque text for clients: "epoch.seq-epoch.seq…" in hex. */
#pragma once

#include "broker/base/buf.h"

struct slu_cursor_place {
    uint64_t epoch, seq;
};

void slu_cursor_write(struct slu_buf *b, const struct slu_cursor_place *places, unsigned homes);
/* Parses exactly `homes` places; *fits = false when the cursor is well formed but has another number of homes (made by
 * a broker of another shape). False: not a cursor at all. */
bool slu_cursor_read(struct slu_bytes text, struct slu_cursor_place *places, unsigned homes, bool *fits);
