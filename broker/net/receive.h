/* From pieces of frames to whole messages, within bounds that hold before memory is taken. */
#pragma once

#include "broker/net/link.h"

/* How much lws reads at once from a WebSocket (its rx_buffer_size). */
enum { SLU_RX_BYTES = 1024 };

/* A piece of a data frame, as lws hands it out. */
void slu_receive(struct slu_link *l, struct slu_bytes piece);
/* Drops what has been collected of a message. */
void slu_receive_reset(struct slu_link *l);
