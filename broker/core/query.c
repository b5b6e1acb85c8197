/* See query.h. */
#include "broker/core/query.h"

#include "broker/core/broker_state.h"

void slu_query_follow(struct slu_query *q, struct slu_session *s, const struct slu_reqid *id)
{
    q->is_request = false;
    q->session = s;
    q->origin = s->worker;
    if (id)
        q->id = *id;
    else
        q->id.type = SLU_ID_NONE;
    slu_list_init(&q->link);
    slu_list_push_back(&s->queries, &q->link);
}

void slu_query_start(struct slu_query *q, struct slu_session *s, const struct slu_reqid *id)
{
    slu_query_follow(q, s, id);
    q->is_request = true;
    s->n_requests++;
}

struct slu_session *slu_query_end(struct slu_query *q)
{
    struct slu_session *s = q->session;
    if (!s)
        return NULL;
    slu_list_remove(&q->link);
    s->n_requests -= q->is_request;
    q->session = NULL;
    return s;
}

void slu_query_forget(struct slu_session *s)
{
    while (!slu_list_empty(&s->queries))
        slu_query_end(slu_container_of(s->queries.next, struct slu_query, link));
}

struct slu_worker *slu_query_home(struct slu_worker *w, struct slu_bytes key)
{
    return w->broker->workers[slu_hash(key) % w->broker->n_workers];
}
