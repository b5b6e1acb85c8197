/* Events as frames. */
#pragma once

#include "protocol/native/wire.h"

/* Appends the frame. SLU_EUNSUPPORTED: the native protocol has none for this event; SLU_ENOMEM: out failed. */
enum slu_err slu_native_encode(const struct slu_wire *wire, const struct slu_event *ev, struct slu_buf *out);
