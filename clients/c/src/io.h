/* A non-blocking byte stream to the broker: TCP or Unix socket, with TLS on top for wss. No loop in here: the caller
 * waits for what `io->want` says and calls again. */
#pragma once

#include "broker/base/bytes.h"
#include "clients/c/src/url.h"

#include <netdb.h>
#include <openssl/ssl.h>

enum { SLU_IO_READ = 1, SLU_IO_WRITE = 2 };

enum slu_io_rc {
    SLU_IO_OK,
    SLU_IO_WAIT, /* not now: wait for io->want */
    SLU_IO_EOF,
    SLU_IO_FAILED /* io->error is readable text */
};

struct slu_io {
    int fd; /* -1 = none */
    SSL *ssl;
    int want; /* SLU_IO_READ | SLU_IO_WRITE: what the last SLU_IO_WAIT waits for */
    bool tls_failed;
    struct addrinfo *addresses, *next; /* of the look-up; next = to try after the present one */
    char error[256];
};

struct slu_tls_options {
    const char *ca, *cert, *key;
    bool insecure;
};

void slu_io_init(struct slu_io *io);
/* Closes at once; io is as after init, its error text stays. */
void slu_io_close(struct slu_io *io);

/* Looks the name up (blocking) and starts with the first address. WAIT: call slu_io_connected when writable. */
enum slu_io_rc slu_io_connect(struct slu_io *io, const struct slu_url *u, const char *bind_address);
/* The outcome of a connect under way; goes on with the next address where one failed (fd may change). */
enum slu_io_rc slu_io_connected(struct slu_io *io, const char *bind_address);
/* Gives up on the present address; as slu_io_connected. FAILED when it was the last. */
enum slu_io_rc slu_io_next_address(struct slu_io *io, const char *bind_address);

/* What the TLS connections of a client share. NULL with text in error on failure. Outlives the streams that use it. */
struct slu_tls;
struct slu_tls *slu_tls_new(const struct slu_tls_options *o, char *error, size_t cap);
void slu_tls_free(struct slu_tls *t);
/* Starts or goes on with the TLS handshake. */
enum slu_io_rc slu_io_tls(struct slu_io *io, const struct slu_tls *tls, const char *host);

/* *n bytes were moved, at least one, when OK. */
enum slu_io_rc slu_io_read(struct slu_io *io, void *data, size_t cap, size_t *n);
enum slu_io_rc slu_io_write(struct slu_io *io, const void *data, size_t len, size_t *n);
/* Bytes already decrypted: the socket will not become readable for them. */
bool slu_io_has_pending(const struct slu_io *io);
