/* The daemon's life as signals steer it: SIGHUP reloads, SIGTERM and SIGINT drain, a second one ends it at once. */
#pragma once

struct slu_server;

/* Before any thread is made: from here on the signals come to slu_signals_serve only. */
void slu_signals_init(void);
/* Serves until the broker is to end and has been drained. */
void slu_signals_serve(struct slu_server *s);
