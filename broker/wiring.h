/* Puts the daemon together from one configuration: settings, rules, rights, broker, front end. The only place that
 * knows all layers. */
#pragma once

#include "broker/base/buf.h"
#include "broker/config/config.h"

struct slu_server;

/* Makes and starts everything; connections are served when it returns. `src` lives as long as the server: a reload
 * reads it again. On failure `error` says what to do. Takes cfg over in any case. */
bool slu_server_start(struct slu_config *cfg, const struct slu_config_sources *src, struct slu_buf *error,
                      struct slu_server **out);
/* Reads the configuration again: all of it takes effect, or nothing and the log says why. */
void slu_server_reload(struct slu_server *s);
/* "ready listen=… admin=…" on stdout, and a line in the log. */
void slu_server_announce(const struct slu_server *s);
/* NULL is fine. */
void slu_server_free(struct slu_server *s);

struct slu_broker *slu_server_broker(const struct slu_server *s);
struct slu_net *slu_server_net(const struct slu_server *s);
const struct slu_config *slu_server_config(const struct slu_server *s);
