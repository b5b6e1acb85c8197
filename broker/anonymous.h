/* Logins while no token keys are configured: everybody is anonymous, with the rights that the configuration gives. */
#pragma once

#include "broker/config/config.h"
#include "broker/core/broker.h"

struct slu_anonymous;

struct slu_anonymous *slu_anonymous_new(void);
void slu_anonymous_free(struct slu_anonymous *a);
/* New rights, made but not yet in force; commit cannot fail. Filters are borrowed from cfg. Main thread. */
bool slu_anonymous_prepare(struct slu_anonymous *a, const struct slu_config *cfg);
void slu_anonymous_commit(struct slu_anonymous *a);
/* Both at once. */
bool slu_anonymous_set(struct slu_anonymous *a, const struct slu_config *cfg);

/* For struct slu_auth: arg is the struct. */
enum slu_err slu_anonymous_login(void *arg, const struct slu_credentials *c, struct slu_identity *out,
                                 const char **why);
