/* A question that a session asked and that is answered later, maybe by way of other workers. Embedded in whatever does
 * the asking; the session may be gone when the answer comes. */
#pragma once

#include "broker/core/state.h"

struct slu_query {
    struct slu_session *session; /* NULL: gone */
    struct slu_list link;        /* session->queries */
    struct slu_worker *origin;
    struct slu_reqid id;
    bool is_request;
};

void slu_query_start(struct slu_query *q, struct slu_session *s, const struct slu_reqid *id);
/* The same for what is no request: it does not count against their bound. */
void slu_query_follow(struct slu_query *q, struct slu_session *s, const struct slu_reqid *id);
/* The answer is there: the session to tell, or NULL. */
struct slu_session *slu_query_end(struct slu_query *q);
/* The session is being freed. */
void slu_query_forget(struct slu_session *s);

/* The home worker for things that are no log's: presence, groups. */
struct slu_worker *slu_query_home(struct slu_worker *w, struct slu_bytes key);
