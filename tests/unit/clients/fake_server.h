/* A WebSocket server for one connection at a time, in the test's own loop, that does exactly what the test says. */
#pragma once

#include "broker/base/buf.h"

#include <ev.h>

struct fake_server {
    struct ev_loop *loop;
    int listener, fd;
    unsigned port, connections;
    ev_io accept_ev, read_ev;
    struct slu_buf in;
    bool upgraded;
    void *arg;
    /* Each text message; the default answers (hello, ok) are off when NULL. */
    void (*on_text)(struct fake_server *s, const char *text);
    char url[64];
};

void fake_server_start(struct fake_server *s, struct ev_loop *loop);
void fake_server_stop(struct fake_server *s);
/* printf of a text message. */
void fake_server_send(struct fake_server *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void fake_server_send_raw(struct fake_server *s, const void *data, size_t len);
void fake_server_close(struct fake_server *s, int code);
void fake_server_drop(struct fake_server *s); /* no CLOSE, the connection is just gone */
void fake_server_pause(struct fake_server *s, bool paused);

/* The number behind "name": in a frame; -1 when it is not there. */
long fake_number(const char *text, const char *name);
