/* Runs a shell command for one request: the payload on its stdin, its stdout collected. On the loop, never blocking. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct ev_loop;

/* ok: it could be started, ended with 0 and its output was within the bound; otherwise data is a short text of what went
 * wrong. Called once; data is borrowed. */
typedef void slu_child_fn(void *arg, bool ok, const char *data, size_t len);

/* env: NULL-terminated "NAME=value" strings added to the environment. False when it cannot be started (done is not
 * called). The default loop only, since children are watched. */
bool slu_child_run(struct ev_loop *loop, const char *command, char *const *env, const void *input, size_t len,
                   slu_child_fn *done, void *arg);
