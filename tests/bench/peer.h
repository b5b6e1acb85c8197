/* What bench_peer must know of a server's protocol: how to come in, subscribe and publish. Just enough for a load;
 * none of it is a client. What arrives is counted by the bytes of payloads in it: that works where messages share a
 * frame, and leaves out all that a server says besides. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PEER_TOPIC_DIGITS = 5,
    PEER_TOPICS_MAX = 100000,
    PEER_HEAD_MAX = 256,
    PEER_FILLING = '~' /* of payloads, and nowhere else */
};

struct peer {
    const char *name;
    const char *path, *subprotocol; /* of the WebSocket handshake; NULL: none, and frames go without a mask */
    bool is_binary;

    /* What a reader says first: login and subscription. Returns the length. */
    size_t (*subscribe)(char *out, size_t cap, const char *filter);
    const char *subscribed; /* the server's bytes that say that it is in force */
    size_t subscribed_len;

    /* What a publisher says first, and the answer to wait for. */
    size_t (*login)(char *out, size_t cap);
    const char *logged_in;
    size_t logged_in_len;

    const char *separator, *any_level; /* of topics: bench/00007, bench/+ */

    /* What stands before and behind the payload of a published message, in the frame. */
    size_t (*publish_head)(char *out, size_t cap, const char *topic, size_t size);
    const char *publish_tail;
};

/* NULL: there is no such peer. */
const struct peer *peer_find(const char *name);
