/* HTTP/1.1 upgrade: the answer is parsed strictly and bounded by SLU_HANDSHAKE_HEAD_MAX. */
#include "clients/c/src/handshake.h"

#include "broker/base/base64.h"
#include "broker/base/rng.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <strings.h>

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

bool slu_handshake_header_ok(const struct sluice_header *h)
{
    if (!h->name || !h->value || !*h->name)
        return false;
    for (const char *p = h->name; *p; p++) {
        if (*p <= ' ' || *p == ':' || *p == 0x7f)
            return false;
    }
    for (const char *p = h->value; *p; p++) {
        if (*p == '\r' || *p == '\n')
            return false;
    }
    return true;
}

static void add_host(struct slu_buf *out, const struct slu_url *u)
{
    if (u->local) {
        slu_buf_add_str(out, "localhost");
        return;
    }
    bool v6 = strchr(u->host, ':') != NULL;
    slu_buf_add_str(out, v6 ? "[" : "");
    slu_buf_add_str(out, u->host);
    slu_buf_add_str(out, v6 ? "]" : "");
    if (!u->default_port) {
        slu_buf_add_byte(out, ':');
        slu_buf_add_u64(out, u->port);
    }
}

void slu_handshake_request(struct slu_buf *out, const struct slu_url *u, const struct sluice_header *headers, size_t n,
                           char key[SLU_HANDSHAKE_KEY_LEN + 1])
{
    uint8_t nonce[16];
    slu_rng_bytes(nonce, sizeof(nonce));
    slu_base64_encode(key, slu_bytes(nonce, sizeof(nonce)));
    key[SLU_HANDSHAKE_KEY_LEN] = '\0';
    slu_buf_add_str(out, "GET ");
    slu_buf_add_str(out, u->path);
    slu_buf_add_str(out, " HTTP/1.1\r\nHost: ");
    add_host(out, u);
    slu_buf_add_str(out, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                         "Sec-WebSocket-Protocol: " SLU_SUBPROTOCOL "\r\nSec-WebSocket-Key: ");
    slu_buf_add_str(out, key);
    for (size_t i = 0; i < n; i++) {
        slu_buf_add_str(out, "\r\n");
        slu_buf_add_str(out, headers[i].name);
        slu_buf_add_str(out, ": ");
        slu_buf_add_str(out, headers[i].value);
    }
    slu_buf_add_str(out, "\r\n\r\n");
}

static void expected_accept(const char *key, char out[32])
{
    uint8_t text[SLU_HANDSHAKE_KEY_LEN + sizeof(guid)], digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    memcpy(text, key, SLU_HANDSHAKE_KEY_LEN);
    memcpy(text + SLU_HANDSHAKE_KEY_LEN, guid, sizeof(guid) - 1);
    memset(out, 0, 32);
    if (EVP_Digest(text, sizeof(text) - 1, digest, &len, EVP_sha1(), NULL) == 1 && len == 20)
        slu_base64_encode(out, slu_bytes(digest, len));
}

static struct slu_bytes trim(struct slu_bytes v)
{
    while (v.len && (v.data[0] == ' ' || v.data[0] == '\t'))
        v = slu_bytes(v.data + 1, v.len - 1);
    while (v.len && (v.data[v.len - 1] == ' ' || v.data[v.len - 1] == '\t'))
        v.len--;
    return v;
}

static bool same_ignoring_case(struct slu_bytes v, const char *text)
{
    return v.len == strlen(text) && strncasecmp((const char *)v.data, text, v.len) == 0;
}

/* Comma-separated list contains the token. */
static bool has_token(struct slu_bytes v, const char *token)
{
    while (v.len) {
        const uint8_t *comma = memchr(v.data, ',', v.len);
        size_t n = comma ? (size_t)(comma - v.data) : v.len;
        if (same_ignoring_case(trim(slu_bytes(v.data, n)), token))
            return true;
        v = comma ? slu_bytes(comma + 1, v.len - n - 1) : slu_bytes(NULL, 0);
    }
    return false;
}

struct seen {
    bool upgrade, connection, accept, protocol, extension;
};

static bool read_line(struct slu_bytes line, const char *accept, struct seen *seen)
{
    const uint8_t *colon = memchr(line.data, ':', line.len);
    if (!colon || colon == line.data)
        return false;
    struct slu_bytes name = slu_bytes(line.data, (size_t)(colon - line.data));
    struct slu_bytes value = trim(slu_bytes(colon + 1, line.len - name.len - 1));
    if (same_ignoring_case(name, "upgrade"))
        seen->upgrade = same_ignoring_case(value, "websocket");
    else if (same_ignoring_case(name, "connection"))
        seen->connection = seen->connection || has_token(value, "upgrade");
    else if (same_ignoring_case(name, "sec-websocket-accept"))
        seen->accept = accept[0] && slu_bytes_eq(value, slu_str(accept));
    else if (same_ignoring_case(name, "sec-websocket-protocol"))
        seen->protocol = slu_bytes_eq(value, SLU_LIT(SLU_SUBPROTOCOL));
    else if (same_ignoring_case(name, "sec-websocket-extensions"))
        seen->extension = true;
    return true;
}

static enum slu_handshake_rc bad(const char **why, const char *text)
{
    *why = text;
    return SLU_HANDSHAKE_BAD;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static enum slu_handshake_rc judge(const struct seen *seen, const char **why)
{
    if (!seen->upgrade || !seen->connection)
        return bad(why, "the server did not upgrade to WebSocket");
    if (!seen->accept)
        return bad(why, "the server's Sec-WebSocket-Accept is wrong");
    if (!seen->protocol)
        return bad(why, "the server does not speak " SLU_SUBPROTOCOL);
    if (seen->extension)
        return bad(why, "the server chose an extension that was not offered");
    return SLU_HANDSHAKE_DONE;
}

enum slu_handshake_rc slu_handshake_answer(struct slu_bytes in, const char *key, size_t *used, int *status,
                                           const char **why)
{
    const uint8_t *end = memmem(in.data, in.len, "\r\n\r\n", 4);
    if (!end)
        return in.len < SLU_HANDSHAKE_HEAD_MAX ? SLU_HANDSHAKE_MORE : bad(why, "the server's answer is too long");
    const uint8_t *at = in.data, *stop = end + 2;
    const uint8_t *nl = memmem(at, (size_t)(stop - at), "\r\n", 2);
    if (nl - at < 12 || memcmp(at, "HTTP/1.1 ", 9) != 0 || !is_digit(at[9]) || !is_digit(at[10]) || !is_digit(at[11]))
        return bad(why, "the server does not speak HTTP/1.1");
    *status = (at[9] - '0') * 100 + (at[10] - '0') * 10 + (at[11] - '0');
    if (*status != 101)
        return SLU_HANDSHAKE_REFUSED;
    char accept[32];
    struct seen seen = { 0 };
    expected_accept(key, accept);
    for (at = nl + 2; at < stop; at = nl + 2) {
        nl = memmem(at, (size_t)(stop - at), "\r\n", 2);
        if (!nl || !read_line(slu_bytes(at, (size_t)(nl - at)), accept, &seen))
            return bad(why, "the server sent a broken header line");
    }
    *used = (size_t)(end + 4 - in.data);
    return judge(&seen, why);
}
