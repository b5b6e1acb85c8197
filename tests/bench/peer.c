/* See peer.h. */
#include "tests/bench/peer.h"

#include <stdio.h>
#include <string.h>

/* ---- the floor: bench_floor ---- */

static size_t floor_subscribe(char *out, size_t cap, const char *filter)
{
    (void)filter;
    return (size_t)snprintf(out, cap, "R");
}

static size_t floor_login(char *out, size_t cap)
{
    return (size_t)snprintf(out, cap, "P");
}

static size_t floor_publish_head(char *out, size_t cap, const char *topic, size_t size)
{
    (void)out, (void)cap, (void)topic, (void)size;
    return 0;
}

/* ---- Sluice's own protocol, JSON ---- */

static size_t sluice_subscribe(char *out, size_t cap, const char *filter)
{
    return (size_t)snprintf(out, cap, "{\"op\":\"sub\",\"id\":1,\"topic\":\"%s\"}", filter);
}

static size_t sluice_login(char *out, size_t cap)
{
    return (size_t)snprintf(out, cap, "{\"op\":\"ping\"}");
}

static size_t sluice_publish_head(char *out, size_t cap, const char *topic, size_t size)
{
    (void)size;
    return (size_t)snprintf(out, cap, "{\"op\":\"pub\",\"topic\":\"%s\",\"data\":\"", topic);
}

/* ---- NATS ---- */

static const char nats_connect[] = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";

static size_t nats_subscribe(char *out, size_t cap, const char *filter)
{
    return (size_t)snprintf(out, cap, "%sSUB %s 1\r\nPING\r\n", nats_connect, filter);
}

static size_t nats_login(char *out, size_t cap)
{
    return (size_t)snprintf(out, cap, "%sPING\r\n", nats_connect);
}

static size_t nats_publish_head(char *out, size_t cap, const char *topic, size_t size)
{
    return (size_t)snprintf(out, cap, "PUB %s %zu\r\n", topic, size);
}

/* ---- MQTT 3.1.1, QoS 0 ---- */

static size_t put_str16(char *out, const char *text)
{
    size_t n = strlen(text);
    out[0] = (char)(n >> 8);
    out[1] = (char)n;
    memcpy(out + 2, text, n);
    return n + 2;
}

static size_t put_packet_length(char *out, size_t len)
{
    size_t n = 0;
    for (; len >= 128; len /= 128)
        out[n++] = (char)(0x80 | len % 128);
    out[n++] = (char)len;
    return n;
}

static size_t mqtt_login(char *out, size_t cap)
{
    static const char connect[14] = "\x10\x0c\0\4MQTT\4\2\0\0\0"; /* clean session, no keep-alive, no client id */
    if (cap < sizeof(connect))
        return 0;
    memcpy(out, connect, sizeof(connect));
    return sizeof(connect);
}

static size_t mqtt_subscribe(char *out, size_t cap, const char *filter)
{
    size_t n = mqtt_login(out, cap);
    out[n++] = (char)0x82;
    out[n++] = (char)(2 + 2 + strlen(filter) + 1);
    out[n++] = 0;
    out[n++] = 1;
    n += put_str16(out + n, filter);
    out[n++] = 0;
    return n;
}

static size_t mqtt_publish_head(char *out, size_t cap, const char *topic, size_t size)
{
    size_t n = 0;
    (void)cap;
    out[n++] = 0x30;
    n += put_packet_length(out + n, 2 + strlen(topic) + size);
    return n + put_str16(out + n, topic);
}

static const struct peer peers[] = {
    { .name = "floor",
      .subscribe = floor_subscribe,
      .subscribed = "!",
      .subscribed_len = 1,
      .login = floor_login,
      .logged_in = "!",
      .logged_in_len = 1,
      .separator = "/",
      .any_level = "+",
      .publish_head = floor_publish_head,
      .publish_tail = "" },
    { .name = "sluice",
      .path = "/ws",
      .subprotocol = "sluice.v1.json",
      .subscribe = sluice_subscribe,
      .subscribed = "\"op\":\"ok\"",
      .subscribed_len = 9,
      .login = sluice_login,
      .logged_in = "\"op\":\"pong\"",
      .logged_in_len = 11,
      .separator = "/",
      .any_level = "+",
      .publish_head = sluice_publish_head,
      .publish_tail = "\"}" },
    { .name = "nats",
      .path = "/",
      .is_binary = true,
      .subscribe = nats_subscribe,
      .subscribed = "PONG\r\n",
      .subscribed_len = 6,
      .login = nats_login,
      .logged_in = "PONG\r\n",
      .logged_in_len = 6,
      .separator = ".",
      .any_level = "*",
      .publish_head = nats_publish_head,
      .publish_tail = "\r\n" },
    { .name = "mqtt",
      .path = "/mqtt",
      .subprotocol = "mqtt",
      .is_binary = true,
      .subscribe = mqtt_subscribe,
      .subscribed = "\x90\3\0\1\0",
      .subscribed_len = 5,
      .login = mqtt_login,
      .logged_in = "\x20\2\0\0",
      .logged_in_len = 4,
      .separator = "/",
      .any_level = "+",
      .publish_head = mqtt_publish_head,
      .publish_tail = "" },
};

const struct peer *peer_find(const char *name)
{
    for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++)
        if (strcmp(peers[i].name, name) == 0)
            return &peers[i];
    return NULL;
}
