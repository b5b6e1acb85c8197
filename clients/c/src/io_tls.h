/* The TLS half of the byte stream; for the stream's own use. */
#pragma once

#include "clients/c/src/io.h"

enum slu_io_rc slu_io_tls_read(struct slu_io *io, void *data, size_t cap, size_t *n);
enum slu_io_rc slu_io_tls_write(struct slu_io *io, const void *data, size_t len, size_t *n);
