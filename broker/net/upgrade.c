/* Runs while lws still has the request's headers. Every refusal says in its body what to do. */
#include "broker/net/upgrade.h"

#include "broker/base/base64.h"
#include "broker/net/http.h"
#include "broker/net/proxy.h"
#include "protocol/adapter.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* lws gives up on longer lists of subprotocols (127) and Connection headers (126) without an answer. */
enum {
    PROTOCOLS_MAX = 126,
    PROTOCOL_NAME_MAX = 63,
    CONNECTION_MAX = 125,
    KEY_TEXT = 24,
    KEY_BYTES = 16,
    ORIGIN_MAX = 512,
    FORWARDED_MAX = 1024,
    PATH_MAX_BYTES = 1024,
    QUERY_MAX_BYTES = SLU_UPGRADE_TEXT / 2,
};

static bool refuse(struct slu_link *l, unsigned status, const char *headers, const char *text)
{
    slu_http_refuse(l, status, headers, text);
    return false;
}

static bool is_token(struct slu_bytes t)
{
    for (size_t i = 0; i < t.len; i++) {
        uint8_t c = t.data[i];
        bool is_alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_alnum && (c == 0 || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return t.len > 0;
}

/* The next element of a comma list, without space around it; it may be empty. */
static bool next_item(struct slu_bytes *rest, struct slu_bytes *item)
{
    if (rest->len == 0)
        return false;
    const uint8_t *comma = memchr(rest->data, ',', rest->len);
    struct slu_bytes t = slu_bytes(rest->data, comma ? (size_t)(comma - rest->data) : rest->len);
    size_t step = t.len + (comma ? 1 : 0);
    *rest = slu_bytes(rest->data + step, rest->len - step);
    while (t.len > 0 && (t.data[0] == ' ' || t.data[0] == '\t'))
        t = slu_bytes(t.data + 1, t.len - 1);
    while (t.len > 0 && (t.data[t.len - 1] == ' ' || t.data[t.len - 1] == '\t'))
        t.len--;
    *item = t;
    return true;
}

static bool check_request_line(struct slu_link *l)
{
    char version[16];
    if (lws_hdr_total_length(l->wsi, WSI_TOKEN_GET_URI) <= 0)
        return refuse(l, 405, "Allow: GET\r\n", "A WebSocket handshake is a GET request.");
    slu_header(l, WSI_TOKEN_HTTP, version, sizeof(version));
    if (strcmp(version, "HTTP/1.1") != 0)
        return refuse(l, 505, "", "A WebSocket handshake needs HTTP/1.1.");
    if (lws_hdr_total_length(l->wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0)
        return refuse(l, 400, "", "A WebSocket handshake has no body.");
    char length[24];
    int n = slu_header(l, WSI_TOKEN_HTTP_CONTENT_LENGTH, length, sizeof(length));
    if (n != 0 && strcmp(length, "0") != 0)
        return refuse(l, 400, "", "A WebSocket handshake has no body.");
    return true;
}

static bool check_connection(struct slu_link *l, const char *upgrade)
{
    char text[CONNECTION_MAX + 1];
    if (strcasecmp(upgrade, "websocket") != 0 || slu_header_count(l, WSI_TOKEN_UPGRADE) != 1)
        return refuse(l, 400, "", "The only upgrade spoken here is websocket.");
    if (slu_header(l, WSI_TOKEN_CONNECTION, text, sizeof(text)) < 0)
        return refuse(l, 400, "", "The Connection header is too long.");
    struct slu_bytes rest = slu_str(text), item;
    while (next_item(&rest, &item))
        if (item.len == 7 && strncasecmp((const char *)item.data, "upgrade", 7) == 0)
            return true;
    return refuse(l, 400, "", "The Connection header must say Upgrade.");
}

static bool check_version_and_key(struct slu_link *l)
{
    char version[16], key[KEY_TEXT + 8];
    if (slu_header(l, WSI_TOKEN_VERSION, version, sizeof(version)) <= 0 || strcmp(version, "13") != 0)
        return refuse(l, 426, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
                      "Use version 13 of the WebSocket protocol.");
    uint8_t raw[KEY_TEXT];
    size_t n = 0;
    if (slu_header(l, WSI_TOKEN_KEY, key, sizeof(key)) != KEY_TEXT || slu_header_count(l, WSI_TOKEN_KEY) != 1 ||
        !slu_base64_decoded_size(slu_str(key), &n) || n != KEY_BYTES || !slu_base64_decode(raw, slu_str(key)))
        return refuse(l, 400, "", "Sec-WebSocket-Key must be 16 bytes in base64.");
    return true;
}

static bool names_host(struct slu_bytes origin_host, const char *host, const char *default_port)
{
    size_t len = strlen(host), port = strlen(default_port);
    if (len > port && strcmp(host + len - port, default_port) == 0)
        len -= port;
    return origin_host.len == len && strncasecmp((const char *)origin_host.data, host, len) == 0;
}

/* A page served under the very name that the request goes to. Behind a trusted proxy the scheme may be its. */
static bool is_same_origin(const struct slu_link *l, struct slu_bytes origin, const char *host)
{
    struct slu_bytes name;
    if (slu_bytes_starts(origin, SLU_LIT("https://")) && (l->is_tls || l->is_trusted)) {
        name = slu_bytes(origin.data + 8, origin.len - 8);
        return names_host(name, host, ":443");
    }
    if (slu_bytes_starts(origin, SLU_LIT("http://")) && !l->is_tls) {
        name = slu_bytes(origin.data + 7, origin.len - 7);
        return names_host(name, host, ":80");
    }
    return false;
}

static bool is_loopback_origin(struct slu_bytes origin)
{
    size_t skip = slu_bytes_starts(origin, SLU_LIT("https://"))  ? 8
                  : slu_bytes_starts(origin, SLU_LIT("http://")) ? 7
                                                                 : 0;
    if (skip == 0)
        return false;
    struct slu_bytes host = slu_bytes(origin.data + skip, origin.len - skip);
    return !memchr(host.data, '/', host.len) && !memchr(host.data, '@', host.len) &&
           slu_host_is_loopback(slu_host_without_port(host));
}

static bool check_origin(struct slu_link *l, const char *host)
{
    const struct slu_net_settings *s = &l->loop->view->settings;
    char text[ORIGIN_MAX];
    int n = slu_header(l, WSI_TOKEN_ORIGIN, text, sizeof(text));
    if (n == 0 && slu_header_count(l, WSI_TOKEN_ORIGIN) == 0)
        return true; /* not a page */
    if (n <= 0 || slu_header_count(l, WSI_TOKEN_ORIGIN) != 1)
        return refuse(l, 403, "", "The Origin header is not valid.");
    for (char *c = text; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + ('a' - 'A'));
    struct slu_bytes origin = slu_str(text);
    bool by_list = false;
    for (size_t i = 0; i < s->n_origins && !by_list; i++)
        by_list = slu_bytes_eq(origin, slu_str(s->origins[i]));
    if (by_list)
        return true;
    /* Under --dev everybody may do everything, so a foreign name that points to this machine (DNS rebinding) must not
     * pass as its own origin. */
    bool is_own = is_same_origin(l, origin, host);
    if (s->dev)
        is_own = is_loopback_origin(origin) && (is_own || l->side == SLU_NET_PUBLIC);
    if (is_own)
        return true;
    return refuse(l, 403, "", "Pages of this origin may not connect: add it to the option origins.");
}

static void list_spoken(char *out, size_t cap, bool with_dev)
{
    size_t len = (size_t)snprintf(out, cap, "None of the subprotocols is spoken here. Spoken are:");
    for (size_t i = 0; slu_adapters[i] && len < cap; i++) {
        if (slu_adapters[i]->dev_only && !with_dev)
            continue;
        len += (size_t)snprintf(out + len, cap - len, " %s", slu_adapters[i]->name);
        for (size_t k = 0; slu_adapters[i]->aliases && slu_adapters[i]->aliases[k] && len < cap; k++)
            len += (size_t)snprintf(out + len, cap - len, " %s", slu_adapters[i]->aliases[k]);
    }
}

static bool choose_by_offer(struct slu_link *l)
{
    char offer[PROTOCOLS_MAX + 1], spoken[400];
    bool with_dev = l->loop->net->echo;
    if (lws_hdr_total_length(l->wsi, WSI_TOKEN_PROTOCOL) > PROTOCOLS_MAX ||
        slu_header(l, WSI_TOKEN_PROTOCOL, offer, sizeof(offer)) < 0)
        return refuse(l, 400, "",
                      "The list of subprotocols is longer than 126 bytes: offer fewer, and no tokens in it.");
    struct slu_bytes rest = slu_str(offer), item;
    while (next_item(&rest, &item)) {
        /* lws takes the first name that it knows, too, but hangs up on these before it gets there */
        bool is_number = strspn((const char *)item.data, "0123456789.") >= item.len;
        if (!is_token(item) || item.len > PROTOCOL_NAME_MAX || (is_number && !l->adapter))
            return refuse(l, 400, "", "The list of subprotocols is not valid.");
        if (!l->adapter)
            l->adapter = slu_adapter_by_subprotocol(item, with_dev);
    }
    if (l->adapter)
        return true;
    list_spoken(spoken, sizeof(spoken), with_dev);
    return refuse(l, 400, "", spoken);
}

/* The path, copied into out. */
static struct slu_bytes path_of(struct slu_link *l, void *out, size_t cap)
{
    int n = lws_hdr_copy(l->wsi, out, (int)cap, WSI_TOKEN_GET_URI);
    return slu_bytes(out, n > 0 ? (size_t)n : 0);
}

bool slu_upgrade_is_path(struct slu_bytes path)
{
    return slu_adapter_by_path(path) != NULL;
}

static bool choose_adapter(struct slu_link *l)
{
    char path[PATH_MAX_BYTES];
    l->adapter = NULL;
    if (lws_hdr_total_length(l->wsi, WSI_TOKEN_PROTOCOL) > 0)
        return choose_by_offer(l);
    l->adapter = slu_adapter_by_path(path_of(l, path, sizeof(path)));
    if (l->adapter)
        return true;
    return refuse(l, 404, "", "No protocol is served at this path: use /ws, or offer a subprotocol.");
}

/* The client's address, as far as a trusted proxy tells it; it then counts for that address. */
static bool apply_forwarded(struct slu_link *l)
{
    const struct slu_net_settings *s = &l->loop->view->settings;
    char text[FORWARDED_MAX];
    struct slu_ip ip;
    if (!l->is_trusted || !s->is_trusted || slu_header(l, WSI_TOKEN_X_FORWARDED_FOR, text, sizeof(text)) <= 0)
        return true;
    if (!slu_forwarded_for(slu_str(text), s->is_trusted, s->is_trusted_arg, &ip))
        return true;
    struct slu_gate_bounds bounds = { 0, s->connections_per_address, 0, s->connection_rate_per_address };
    enum slu_gate_answer answer =
        slu_gate_move(l->loop->net->gate, &bounds, &l->ip, &ip, slu_worker_now(l->loop->worker));
    if (answer == SLU_GATE_OPEN) {
        l->ip = ip;
        return true;
    }
    slu_count(l->loop->net->broker,
              answer == SLU_GATE_RATE ? SLU_COUNT_connections_refused_rate : SLU_COUNT_connections_refused_address, 1);
    return refuse(l, 429, "Retry-After: 1\r\n", "Too many connections from this address.");
}

/* One name=value, encoded again. lws makes a space of + as well as of %20: where it is a whole level, a wildcard was
 * meant. */
static size_t encode_part(const char *part, size_t n, uint8_t *out)
{
    static const char digits[] = "0123456789ABCDEF";
    const char *equals = memchr(part, '=', n);
    size_t len = 0, value = equals ? (size_t)(equals - part) + 1 : n;
    for (size_t k = 0; k < n; k++) {
        uint8_t c = (uint8_t)part[k];
        bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c != 0 && strchr("-._~/:,@!$*'()", c)) || (c == '=' && k + 1 == value);
        bool begins_level = k == value || (k > value && part[k - 1] == '/');
        bool is_level = begins_level && (k + 1 == n || part[k + 1] == '/');
        if (is_plain || (c == ' ' && is_level)) {
            out[len++] = is_plain ? c : '+';
        } else {
            out[len++] = '%';
            out[len++] = (uint8_t)digits[c >> 4];
            out[len++] = (uint8_t)digits[c & 15];
        }
    }
    return len;
}

/* lws has split the query at '&' and decoded it; this puts it together again. False: it does not fit. */
static bool rebuild_query(struct slu_link *l, uint8_t out[QUERY_MAX_BYTES], size_t *len)
{
    char part[QUERY_MAX_BYTES];
    *len = 0;
    for (int i = 0;; i++) {
        int n = lws_hdr_copy_fragment(l->wsi, part, sizeof(part), WSI_TOKEN_HTTP_URI_ARGS, i);
        if (n < 0)
            return lws_hdr_fragment_length(l->wsi, WSI_TOKEN_HTTP_URI_ARGS, i) <= 0;
        if (*len + (size_t)n * 3 + 1 > QUERY_MAX_BYTES)
            return false;
        if (i > 0)
            out[(*len)++] = '&';
        *len += encode_part(part, (size_t)n, out + *len);
    }
}

static bool check_query(struct slu_link *l)
{
    uint8_t query[QUERY_MAX_BYTES];
    size_t len;
    return rebuild_query(l, query, &len) ||
           refuse(l, 414, "",
                  "The query is too long: subscribe to some of it by frames, after the connection is open.");
}

bool slu_upgrade_check(struct slu_link *l, const char *upgrade)
{
    char host[256];
    if (!check_request_line(l))
        return false;
    if (!slu_http_check_host(l, host, sizeof(host))) {
        slu_count(l->loop->net->broker, SLU_COUNT_handshakes_refused, 1);
        return false;
    }
    return check_connection(l, upgrade) && check_version_and_key(l) && check_origin(l, host) && check_query(l) &&
           choose_adapter(l) && apply_forwarded(l);
}

void slu_upgrade_describe(struct slu_link *l, struct slu_peer *peer, uint8_t text[SLU_UPGRADE_TEXT])
{
    static const char bearer[] = "bearer ";
    peer->path = path_of(l, text, PATH_MAX_BYTES);
    size_t used = peer->path.len, len;
    rebuild_query(l, text + used, &len); /* check_query has seen that it fits */
    peer->query = slu_bytes(text + used, len);
    used += len;
    char *auth = (char *)text + used;
    int n = slu_header(l, WSI_TOKEN_HTTP_AUTHORIZATION, auth, SLU_UPGRADE_TEXT - used);
    size_t skip = sizeof(bearer) - 1;
    if (n > (int)skip && strncasecmp(auth, bearer, skip) == 0 &&
        slu_header_count(l, WSI_TOKEN_HTTP_AUTHORIZATION) == 1) {
        while (auth[skip] == ' ')
            skip++;
        peer->bearer = slu_bytes(auth + skip, (size_t)n - skip);
    }
}
