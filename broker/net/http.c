/* Every answer closes the connection: no keep-alive, so no second request can hide in the first one's bytes. Requests
 * are answered from memory, in one write where it fits; a long file follows in pieces as the socket takes them. */
#include "broker/net/http.h"

#include "broker/net/upgrade.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

enum {
    HEAD_MAX = 2048,
    PIECE = 65536,
    LONG_REPLIES = 256, /* of one worker at a time */
    DRAIN_BYTES = 16384,
    DRAIN_READS = 16,
};

struct slu_http_reply {
    struct slu_view *view; /* keeps the file */
    const struct slu_file *file;
    uint8_t *own; /* a body made for this reply */
    const uint8_t *data;
    size_t len, at;
};

static const struct {
    unsigned status;
    const char *phrase;
} phrases[] = {
    { 200, "OK" },
    { 304, "Not Modified" },
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 411, "Length Required" },
    { 413, "Content Too Large" },
    { 414, "URI Too Long" },
    { 421, "Misdirected Request" },
    { 426, "Upgrade Required" },
    { 429, "Too Many Requests" },
    { 500, "Internal Server Error" },
    { 503, "Service Unavailable" },
    { 505, "HTTP Version Not Supported" },
};

static const char *phrase_of(unsigned status)
{
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "Error";
}

int slu_header_count(struct slu_link *l, enum lws_token_indexes which)
{
    if (lws_hdr_total_length(l->wsi, which) <= 0)
        return 0;
    return lws_hdr_fragment_length(l->wsi, which, 1) > 0 ? 2 : 1;
}

int slu_header(struct slu_link *l, enum lws_token_indexes which, char *out, size_t cap)
{
    out[0] = '\0';
    int n = lws_hdr_copy(l->wsi, out, (int)cap, which);
    if (n < 0)
        return -1;
    size_t len = strnlen(out, (size_t)n), from = 0;
    while (len > 0 && (out[len - 1] == ' ' || out[len - 1] == '\t'))
        len--;
    while (from < len && (out[from] == ' ' || out[from] == '\t'))
        from++;
    memmove(out, out + from, len - from);
    out[len - from] = '\0';
    return (int)(len - from);
}

void slu_http_reply_free(struct slu_link *l)
{
    struct slu_http_reply *r = l->reply;
    if (!r)
        return;
    l->reply = NULL;
    l->loop->long_replies--;
    slu_view_unref(r->view);
    free(r->own);
    free(r);
}

/* Unread input would make the kernel reset the connection and the answer with it. */
static void drain_input(struct slu_link *l)
{
    static _Thread_local uint8_t sink[DRAIN_BYTES];
    if (l->is_tls)
        return;
    int fd = lws_get_socket_fd(l->wsi);
    for (int i = 0; i < DRAIN_READS && recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0; i++)
        continue;
}

static bool write_bytes(struct slu_link *l, const void *data, size_t len)
{
    return lws_write(l->wsi, (unsigned char *)(uintptr_t)data, len, LWS_WRITE_HTTP) >= 0;
}

static bool is_head_request(struct slu_link *l)
{
    return lws_hdr_total_length(l->wsi, WSI_TOKEN_HEAD_URI) > 0;
}

/* The answer's head. body_len is declared also where no body follows (HEAD). */
static bool write_head(struct slu_link *l, unsigned status, const char *type, const char *headers, size_t body_len)
{
    char head[HEAD_MAX], length[48] = "", kind[96] = "";
    if (status != 304)
        snprintf(length, sizeof(length), "Content-Length: %zu\r\n", body_len);
    if (type)
        snprintf(kind, sizeof(kind), "Content-Type: %s\r\n", type);
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.1 %u %s\r\n%s%s%sX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n", status,
                     phrase_of(status), kind, length, headers);
    slu_link_set_state(l, SLU_LINK_REPLY);
    slu_link_deadline(l, SLU_HTTP_STALL_MS);
    slu_loop_watch(l->loop);
    return n > 0 && (size_t)n < sizeof(head) && write_bytes(l, head, (size_t)n);
}

/* True: more is to come when the socket takes it. */
bool slu_http_continue(struct slu_link *l)
{
    struct slu_http_reply *r = l->reply;
    if (!r || l->state != SLU_LINK_REPLY)
        return false;
    if (lws_partial_buffered(l->wsi)) {
        lws_callback_on_writable(l->wsi);
        return true;
    }
    size_t n = r->len - r->at < PIECE ? r->len - r->at : PIECE;
    if (!write_bytes(l, r->data + r->at, n))
        return false;
    r->at += n;
    slu_link_deadline(l, SLU_HTTP_STALL_MS);
    if (r->at == r->len) {
        drain_input(l);
        return false; /* lws flushes what it holds, then closes */
    }
    lws_callback_on_writable(l->wsi);
    return true;
}

/* Sends a body; takes `own` over. False: the answer is complete (or lost), close. */
static bool send_body(struct slu_link *l, const struct slu_file *file, uint8_t *own, const uint8_t *data, size_t len)
{
    if (is_head_request(l) || len <= PIECE) {
        if (!is_head_request(l) && len > 0)
            write_bytes(l, data, len);
        free(own);
        drain_input(l);
        return false;
    }
    struct slu_http_reply *r = calloc(1, sizeof(*r));
    if (!r || l->loop->long_replies >= LONG_REPLIES) {
        free(r);
        free(own);
        return false;
    }
    *r = (struct slu_http_reply){ .file = file, .own = own, .data = data, .len = len };
    if (file) {
        r->view = l->loop->view;
        atomic_fetch_add(&r->view->refs, 1);
    }
    l->reply = r;
    l->loop->long_replies++;
    return slu_http_continue(l);
}

void slu_http_answer(struct slu_link *l, unsigned status, const char *headers, const char *text)
{
    char all[256];
    snprintf(all, sizeof(all), "%sCache-Control: no-store\r\n", headers);
    char body[512];
    int n = snprintf(body, sizeof(body), "%s\n", text);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(body) ? (size_t)n : sizeof(body) - 1;
    if (write_head(l, status, "text/plain; charset=utf-8", all, len) && !is_head_request(l))
        write_bytes(l, body, len);
    drain_input(l);
}

void slu_http_refuse(struct slu_link *l, unsigned status, const char *headers, const char *text)
{
    slu_count(l->loop->net->broker, SLU_COUNT_handshakes_refused, 1);
    slu_http_answer(l, status, headers, text);
}

bool slu_http_check_host(struct slu_link *l, char *host, size_t cap)
{
    const struct slu_net_settings *s = &l->loop->view->settings;
    char version[16];
    host[0] = '\0';
    if (slu_header_count(l, WSI_TOKEN_HOST) == 0 && s->n_hosts == 0 &&
        slu_header(l, WSI_TOKEN_HTTP, version, sizeof(version)) > 0 && strcmp(version, "HTTP/1.0") == 0)
        return true; /* balancers ask for health like that */
    if (slu_header_count(l, WSI_TOKEN_HOST) != 1) {
        slu_http_answer(l, 400, "", "The request needs exactly one Host header.");
        return false;
    }
    int n = slu_header(l, WSI_TOKEN_HOST, host, cap);
    bool is_clean = n > 0;
    for (int i = 0; i < n; i++)
        is_clean = is_clean && (unsigned char)host[i] > ' ' && host[i] != ',' && host[i] != '/' && host[i] != '@' &&
                   host[i] != '"' && host[i] != ';' && (unsigned char)host[i] < 0x7f;
    if (!is_clean) {
        slu_http_answer(l, 400, "", "The Host header is not valid.");
        return false;
    }
    struct slu_bytes name = slu_host_without_port(slu_str(host));
    for (size_t i = 0; i < s->n_hosts; i++)
        if (strlen(s->hosts[i]) == name.len && strncasecmp(s->hosts[i], (const char *)name.data, name.len) == 0)
            return true;
    if (s->n_hosts == 0)
        return true;
    slu_http_answer(l, 421, "", "This broker does not go by that Host name: add it to the option hosts.");
    return false;
}

static bool serve_file(struct slu_link *l, const struct slu_file *f, const char *host)
{
    char wanted[256], connect[600] = "", headers[1500];
    if (host[0] != '\0') /* 'self' does not cover ws: in every browser */
        snprintf(connect, sizeof(connect), " ws://%s wss://%s", host, host);
    snprintf(headers, sizeof(headers),
             "ETag: %s\r\nCache-Control: no-cache\r\n"
             "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
             "font-src 'self'; connect-src 'self'%s; base-uri 'none'; form-action 'none'; "
             "frame-ancestors 'none'\r\nReferrer-Policy: no-referrer\r\n",
             f->etag, connect);
    if (slu_header(l, WSI_TOKEN_HTTP_IF_NONE_MATCH, wanted, sizeof(wanted)) > 0 &&
        (strstr(wanted, f->etag) || strcmp(wanted, "*") == 0)) {
        write_head(l, 304, NULL, headers, 0);
        drain_input(l);
        return false;
    }
    if (f->len > PIECE && l->loop->long_replies >= LONG_REPLIES && !is_head_request(l)) {
        slu_http_answer(l, 503, "Retry-After: 1\r\n", "Too many downloads at once: try again in a moment.");
        return false;
    }
    return write_head(l, 200, f->type, headers, f->len) && send_body(l, f, NULL, f->data, f->len);
}

static bool serve_metrics(struct slu_link *l)
{
    if (!l->loop->view->settings.admin_open) {
        slu_http_answer(l, 401, "WWW-Authenticate: Bearer\r\n",
                        "Metrics need a credential, and none is configured on this broker.");
        return false;
    }
    struct slu_buf text;
    slu_buf_init(&text, 0);
    slu_broker_metrics(l->loop->net->broker, &text);
    slu_buf_addf(&text,
                 "# HELP sluice_connections connections of any kind that are open\n# TYPE sluice_connections gauge\n"
                 "sluice_connections %zu\n",
                 slu_gate_count(l->loop->net->gate));
    if (text.failed) {
        slu_buf_fini(&text);
        slu_http_answer(l, 503, "Retry-After: 1\r\n", "Memory is short: try again in a moment.");
        return false;
    }
    if (!write_head(l, 200, "text/plain; version=0.0.4; charset=utf-8", "Cache-Control: no-store\r\n", text.len)) {
        slu_buf_fini(&text);
        return false;
    }
    return send_body(l, NULL, text.data, text.data, text.len);
}

static void serve_ready(struct slu_link *l)
{
    const char *why = slu_broker_not_ready(l->loop->net->broker);
    char text[256];
    if (!why) {
        slu_http_answer(l, 200, "", "ready");
        return;
    }
    snprintf(text, sizeof(text), "not ready: %s", why);
    slu_http_answer(l, 503, "", l->side == SLU_NET_ADMIN ? text : "not ready");
}

/* How long the body is must be said once and plainly. False when the request was answered. */
static bool check_framing(struct slu_link *l, unsigned long long *body)
{
    char length[24];
    if (lws_hdr_total_length(l->wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0) {
        slu_http_answer(l, 411, "", "Send the body with Content-Length, not in chunks.");
        return false;
    }
    int n = slu_header(l, WSI_TOKEN_HTTP_CONTENT_LENGTH, length, sizeof(length));
    bool is_plain = n >= 0 && n < 19 && strspn(length, "0123456789") == (size_t)n;
    if (slu_header_count(l, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 1 || !is_plain) {
        slu_http_answer(l, 400, "", "Content-Length must be one plain number.");
        return false;
    }
    *body = n > 0 ? strtoull(length, NULL, 10) : 0;
    return true;
}

static bool is_known_path(struct slu_link *l, struct slu_bytes path)
{
    return slu_bytes_eq(path, SLU_LIT("/healthz")) || slu_bytes_eq(path, SLU_LIT("/readyz")) ||
           (l->side == SLU_NET_ADMIN &&
            (slu_bytes_eq(path, SLU_LIT("/livez")) || slu_bytes_eq(path, SLU_LIT("/metrics"))));
}

static const struct slu_file *file_for(struct slu_link *l, struct slu_bytes path)
{
    const struct slu_view *v = l->loop->view;
    if (l->side != SLU_NET_ADMIN && !v->settings.dashboard_public)
        return NULL;
    return slu_files_get(v->files, slu_bytes_eq(path, SLU_LIT("/index.html")) ? SLU_LIT("/") : path);
}

/* Under --dev a page of a foreign name that points to this machine (DNS rebinding) must not read the admin side. */
static bool check_dev_host(struct slu_link *l, const char *host)
{
    const struct slu_net_settings *s = &l->loop->view->settings;
    if (!s->dev || l->side != SLU_NET_ADMIN || s->n_hosts > 0 ||
        slu_host_is_loopback(slu_host_without_port(slu_str(host))))
        return true;
    slu_http_answer(l, 421, "", "Under --dev the administration side answers to localhost only.");
    return false;
}

bool slu_http_request(struct slu_link *l, struct slu_bytes path)
{
    char host[256];
    unsigned long long body;
    if (!slu_http_check_host(l, host, sizeof(host)) || !check_dev_host(l, host) || !check_framing(l, &body))
        return false;
    const struct slu_file *file = file_for(l, path);
    if (!file && !is_known_path(l, path)) {
        bool is_ws = slu_upgrade_is_path(path);
        slu_http_answer(l, is_ws ? 426 : 404, is_ws ? "Upgrade: websocket\r\n" : "",
                        is_ws ? "Connect here with WebSocket." : "There is nothing at this path.");
        return false;
    }
    if (lws_hdr_total_length(l->wsi, WSI_TOKEN_GET_URI) <= 0 && !is_head_request(l)) {
        slu_http_answer(l, 405, "Allow: GET, HEAD\r\n", "Use GET or HEAD here.");
        return false;
    }
    if (body > 0) {
        slu_http_answer(l, 413, "", "This request takes no body.");
        return false;
    }
    if (file)
        return serve_file(l, file, host);
    if (slu_bytes_eq(path, SLU_LIT("/metrics")))
        return serve_metrics(l);
    if (slu_bytes_eq(path, SLU_LIT("/readyz")))
        serve_ready(l);
    else
        slu_http_answer(l, 200, "", "ok");
    return false;
}
