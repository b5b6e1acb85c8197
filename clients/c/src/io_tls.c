/* OpenSSL on the stream's own socket: TLS 1.2 or newer, certificate chain and host name always verified unless the caller
 * turned that off. The socket is written with send(MSG_NOSIGNAL) by a BIO of our own: OpenSSL's would raise SIGPIPE. */
#include "clients/c/src/io_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

static int bio_write(BIO *b, const char *data, int len)
{
    const struct slu_io *io = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    ssize_t n = send(io->fd, data, (size_t)len, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        BIO_set_retry_write(b);
    return (int)n;
}

static int bio_read(BIO *b, char *data, int len)
{
    const struct slu_io *io = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    ssize_t n = recv(io->fd, data, (size_t)len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        BIO_set_retry_read(b);
    return (int)n;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    (void)b, (void)num, (void)ptr;
    return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *new_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "sluice socket");
    if (m && (BIO_meth_set_write(m, bio_write) != 1 || BIO_meth_set_read(m, bio_read) != 1 ||
              BIO_meth_set_ctrl(m, bio_ctrl) != 1)) {
        BIO_meth_free(m);
        m = NULL;
    }
    return m;
}

static void describe(char *error, size_t cap, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    snprintf(error, cap, "%s: %s", what, reason ? reason : "TLS failure");
    ERR_clear_error();
}

static bool load_ca(SSL_CTX *ctx, const char *ca)
{
    struct stat st;
    if (!ca)
        return SSL_CTX_set_default_verify_paths(ctx) == 1;
    bool is_dir = stat(ca, &st) == 0 && S_ISDIR(st.st_mode);
    return SSL_CTX_load_verify_locations(ctx, is_dir ? NULL : ca, is_dir ? ca : NULL) == 1;
}

struct slu_tls {
    SSL_CTX *ctx;
    BIO_METHOD *method;
};

static const char *configure(SSL_CTX *ctx, const struct slu_tls_options *o)
{
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
        return "TLS set-up";
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY |
                              SSL_MODE_RELEASE_BUFFERS);
    if (!o->insecure && !load_ca(ctx, o->ca))
        return o->ca ? o->ca : "system certificates";
    SSL_CTX_set_verify(ctx, o->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (!o->cert)
        return NULL;
    if (SSL_CTX_use_certificate_chain_file(ctx, o->cert) != 1)
        return o->cert;
    const char *key = o->key ? o->key : o->cert;
    bool ok = SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    return ok ? NULL : key;
}

struct slu_tls *slu_tls_new(const struct slu_tls_options *o, char *error, size_t cap)
{
    const char *what = "TLS set-up";
    struct slu_tls *t = calloc(1, sizeof(*t));
    if (!t)
        goto fail;
    t->ctx = SSL_CTX_new(TLS_client_method());
    t->method = new_method();
    if (!t->ctx || !t->method)
        goto fail;
    what = configure(t->ctx, o);
    if (what)
        goto fail;
    return t;
fail:
    describe(error, cap, what);
    slu_tls_free(t);
    return NULL;
}

void slu_tls_free(struct slu_tls *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    if (t->method)
        BIO_meth_free(t->method);
    free(t);
}

/* Binds the host that the certificate must name; SNI carries names, not addresses. */
static bool expect_host(SSL *ssl, const char *host)
{
    static const unsigned char alpn[] = "\x08http/1.1";
    uint8_t raw[16];
    bool is_address = inet_pton(AF_INET, host, raw) == 1 || inet_pton(AF_INET6, host, raw) == 1;
    if (SSL_set_alpn_protos(ssl, alpn, sizeof(alpn) - 1) != 0)
        return false;
    if (is_address)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static bool attach(struct slu_io *io, const struct slu_tls *tls, const char *host)
{
    io->ssl = SSL_new(tls->ctx);
    BIO *bio = io->ssl ? BIO_new(tls->method) : NULL;
    if (!bio)
        return false;
    BIO_set_data(bio, io);
    BIO_set_init(bio, 1);
    SSL_set_bio(io->ssl, bio, bio);
    SSL_set_connect_state(io->ssl);
    return expect_host(io->ssl, host);
}

static enum slu_io_rc judge(struct slu_io *io, int rc, const char *what)
{
    switch (SSL_get_error(io->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        io->want = SLU_IO_READ;
        return SLU_IO_WAIT;
    case SSL_ERROR_WANT_WRITE:
        io->want = SLU_IO_WRITE;
        return SLU_IO_WAIT;
    case SSL_ERROR_ZERO_RETURN:
        return SLU_IO_EOF;
    case SSL_ERROR_SYSCALL:
        snprintf(io->error, sizeof(io->error), "%s: %s", what, errno ? strerror(errno) : "connection closed");
        ERR_clear_error();
        return SLU_IO_FAILED;
    default: {
        long verify = SSL_get_verify_result(io->ssl);
        if (verify != X509_V_OK && SSL_get_verify_mode(io->ssl) != SSL_VERIFY_NONE)
            snprintf(io->error, sizeof(io->error), "certificate: %s", X509_verify_cert_error_string(verify));
        else
            describe(io->error, sizeof(io->error), what);
        ERR_clear_error();
        return SLU_IO_FAILED;
    }
    }
}

enum slu_io_rc slu_io_tls(struct slu_io *io, const struct slu_tls *tls, const char *host)
{
    if (!io->ssl && !attach(io, tls, host)) {
        describe(io->error, sizeof(io->error), "TLS set-up");
        io->tls_failed = true;
        return SLU_IO_FAILED;
    }
    ERR_clear_error();
    errno = 0;
    int rc = SSL_do_handshake(io->ssl);
    if (rc == 1)
        return SLU_IO_OK;
    enum slu_io_rc out = judge(io, rc, "TLS handshake");
    io->tls_failed = out == SLU_IO_FAILED;
    return out;
}

enum slu_io_rc slu_io_tls_read(struct slu_io *io, void *data, size_t cap, size_t *n)
{
    ERR_clear_error();
    errno = 0;
    int rc = SSL_read_ex(io->ssl, data, cap, n);
    return rc == 1 ? SLU_IO_OK : judge(io, rc, "TLS read");
}

enum slu_io_rc slu_io_tls_write(struct slu_io *io, const void *data, size_t len, size_t *n)
{
    ERR_clear_error();
    errno = 0;
    int rc = SSL_write_ex(io->ssl, data, len, n);
    return rc == 1 ? SLU_IO_OK : judge(io, rc, "TLS write");
}

bool slu_io_has_pending(const struct slu_io *io)
{
    return io->ssl && SSL_has_pending(io->ssl);
}
