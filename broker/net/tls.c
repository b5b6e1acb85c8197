/* lws makes one SSL_CTX for each vhost; all get the same ticket keys, so that a session resumes on any worker. */
#include "broker/net/tls.h"

#include "broker/base/rng.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>

enum { TICKET_KEYS = 80 };

struct slu_tls_pair {
    X509 *certificate;
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
};

static _Thread_local void *shown;
static uint8_t ticket_keys[TICKET_KEYS]; /* drawn before the first worker runs */
static bool has_ticket_keys;

void slu_tls_pair_free(struct slu_tls_pair *p)
{
    if (!p)
        return;
    X509_free(p->certificate);
    sk_X509_pop_free(p->chain, X509_free);
    EVP_PKEY_free(p->key);
    free(p);
}

static void explain(struct slu_buf *error, const char *what, const char *file)
{
    char text[256] = "";
    unsigned long e = ERR_peek_last_error();
    if (e)
        ERR_error_string_n(e, text, sizeof(text));
    ERR_clear_error();
    slu_buf_addf(error, "%s %s: %s", what, file, text[0] ? text : "not readable");
}

static bool load_chain(struct slu_tls_pair *p, const char *file)
{
    BIO *in = BIO_new_file(file, "r");
    if (!in)
        return false;
    p->certificate = PEM_read_bio_X509_AUX(in, NULL, NULL, NULL);
    p->chain = sk_X509_new_null();
    X509 *next = NULL;
    while (p->certificate && p->chain && (next = PEM_read_bio_X509(in, NULL, NULL, NULL)) != NULL)
        if (!sk_X509_push(p->chain, next)) {
            X509_free(next);
            break;
        }
    BIO_free(in);
    if (p->certificate && p->chain)
        ERR_clear_error(); /* the end of the file shows as an error */
    return p->certificate && p->chain;
}

static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
    (void)buf, (void)size, (void)rwflag, (void)arg;
    return -1; /* never ask at a terminal */
}

enum slu_err slu_tls_pair_load(const char *certificate, const char *key, struct slu_tls_pair **out,
                               struct slu_buf *error)
{
    struct slu_tls_pair *p = calloc(1, sizeof(*p));
    if (!p)
        return SLU_ENOMEM;
    ERR_clear_error();
    if (!load_chain(p, certificate)) {
        explain(error, "tls.certificate", certificate);
        goto fail;
    }
    BIO *in = BIO_new_file(key, "r");
    p->key = in ? PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL) : NULL;
    BIO_free(in);
    if (!p->key) {
        explain(error, "tls.key", key);
        goto fail;
    }
    if (X509_check_private_key(p->certificate, p->key) != 1) {
        ERR_clear_error();
        slu_buf_addf(error, "tls.key %s does not belong to tls.certificate %s", key, certificate);
        goto fail;
    }
    *out = p;
    return SLU_OK;
fail:
    slu_tls_pair_free(p);
    return SLU_EUNAVAILABLE;
}

bool slu_tls_on_context(void *ssl_ctx)
{
    SSL_CTX *ctx = ssl_ctx;
    if (!has_ticket_keys) {
        slu_rng_bytes(ticket_keys, sizeof(ticket_keys));
        has_ticket_keys = true;
    }
    shown = ctx;
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_tlsext_ticket_keys(ctx, ticket_keys, sizeof(ticket_keys)) == 1;
}

void *slu_tls_claim(void)
{
    void *ctx = shown;
    shown = NULL;
    return ctx;
}

bool slu_tls_use(void *ssl_ctx, const struct slu_tls_pair *p)
{
    bool ok = SSL_CTX_use_cert_and_key(ssl_ctx, p->certificate, p->key, p->chain, 1) == 1;
    ERR_clear_error();
    return ok;
}
