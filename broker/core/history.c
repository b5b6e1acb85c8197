/* history: a page of one topic's log, asked from its home: find the place, then read. */
#include "broker/core/broker_state.h"
#include "broker/core/output.h"
#include "broker/core/query.h"
#include "broker/core/rights.h"
#include "broker/core/topic.h"

#include <stdlib.h>

enum { DEFAULT_LIMIT = 100, MAX_LIMIT = 1000, MAX_BYTES = 1 << 20 };

struct history {
    struct slu_query query;
    union {
        struct slu_store_req any;
        struct slu_locate locate;
        struct slu_scan scan;
    } req;
    struct slu_msg **items;
    size_t n, limit, bytes;
    uint64_t after;
    uint64_t min_ts_ms; /* reverse from since: not beyond */
    unsigned home;
    bool reverse;
    bool is_whole; /* reverse from the last n: a full page is all of them */
    struct slu_bytes topic;
    uint8_t topic_bytes[];
};

static void history_free(struct history *h)
{
    for (size_t i = 0; i < h->n; i++)
        slu_msg_unref(h->items[i]);
    free(h->items);
    free(h);
}

static void fail(struct history *h, enum slu_err err, const char *message)
{
    struct slu_session *s = slu_query_end(&h->query);
    if (s)
        slu_session_error(s, &h->query.id, err, message, NULL);
    history_free(h);
}

static void answer(struct history *h, bool more)
{
    struct slu_session *s = slu_query_end(&h->query);
    if (s && h->query.id.type != SLU_ID_NONE) {
        struct slu_event ev = { .type = SLU_EV_OK, .id = &h->query.id };
        ev.ok.what = SLU_OK_HISTORY;
        ev.ok.items = h->items;
        ev.ok.n_items = h->n;
        if (more && h->n)
            ev.ok.next = h->items[h->n - 1]->pos;
        slu_out_event(s, &ev);
    }
    history_free(h);
}

static void read_on(struct history *h);

static void scanned(struct slu_store_req *req)
{
    struct history *h = slu_container_of(req, struct history, req);
    struct slu_scan *sc = &h->req.scan;
    for (size_t i = 0; i < sc->n; i++) {
        h->bytes += sc->msgs[i]->size;
        h->items[h->n++] = sc->msgs[i];
    }
    free(sc->msgs);
    h->after = sc->next_seq;
    if (req->err)
        fail(h, req->err, NULL);
    else if (sc->at_head || h->n == h->limit || h->bytes >= MAX_BYTES || !h->query.session)
        answer(h, !sc->at_head && !(h->is_whole && h->n == h->limit));
    else
        read_on(h);
}

static void read_on(struct history *h)
{
    struct slu_scan *sc = &h->req.scan;
    memset(&h->req, 0, sizeof(h->req));
    sc->req.worker = h->query.origin->index;
    sc->req.done = scanned;
    sc->home = h->home;
    sc->filter = h->topic;
    sc->after_seq = h->after;
    sc->reverse = h->reverse;
    sc->min_ts_ms = h->min_ts_ms;
    sc->max_items = h->limit - h->n;
    sc->max_bytes = MAX_BYTES - h->bytes;
    slu_store_scan(h->query.origin->broker->store, sc);
}

static void located(struct slu_store_req *req)
{
    struct history *h = slu_container_of(req, struct history, req);
    struct slu_locate *l = &h->req.locate;
    if (req->err) {
        fail(h, req->err, NULL);
        return;
    }
    if (!l->recovered) {
        fail(h, SLU_EHISTORY_GONE,
             l->gone == SLU_EHISTORY_GONE ? NULL : "the position is of another epoch of this topic's log");
        return;
    }
    h->after = l->after_seq;
    read_on(h);
}

static enum slu_err check(const struct slu_session *s, struct slu_bytes topic, const char **message)
{
    *message = NULL;
    if (!slu_topic_valid(topic))
        return SLU_EBAD_TOPIC;
    if (!slu_rights_may_subscribe(&s->identity, topic))
        return SLU_ETOPIC_FORBIDDEN;
    if (slu_rules_find(slu_broker_rules(s->worker->broker), topic)->log == SLU_LOG_NONE) {
        *message = "this topic has no log";
        return SLU_EUNSUPPORTED;
    }
    if (s->n_requests >= slu_worker_settings(s->worker)->requests_in_flight_max) {
        *message = "too many requests wait for an answer";
        return SLU_ELIMIT_REACHED;
    }
    return SLU_OK;
}

static struct history *history_new(struct slu_session *s, const struct slu_reqid *id, struct slu_bytes topic,
                                   uint64_t limit)
{
    struct history *h = calloc(1, sizeof(*h) + topic.len);
    if (!h)
        return NULL;
    h->limit = (size_t)(limit == 0 ? DEFAULT_LIMIT : limit < MAX_LIMIT ? limit : MAX_LIMIT);
    h->items = calloc(h->limit, sizeof(struct slu_msg *));
    if (!h->items) {
        free(h);
        return NULL;
    }
    memcpy(h->topic_bytes, topic.data, topic.len);
    h->topic = slu_bytes(h->topic_bytes, topic.len);
    h->home = slu_store_home_of(s->worker->broker->store, topic,
                                slu_rules_find(slu_broker_rules(s->worker->broker), topic)->log);
    slu_query_start(&h->query, s, id);
    return h;
}

void slu_session_history(struct slu_session *s, const struct slu_reqid *id, struct slu_bytes topic, enum slu_from from,
                         uint64_t n, struct slu_pos pos, uint64_t limit, bool reverse)
{
    const char *message;
    enum slu_err err = check(s, topic, &message);
    struct history *h = NULL;
    uint64_t last = from == SLU_FROM_LATEST ? 1 : from == SLU_FROM_LAST ? n : 0;
    if (last && (!limit || (reverse && last < limit)))
        limit = last;
    if (!err) {
        h = history_new(s, id, topic, limit);
        err = h ? SLU_OK : SLU_ENOMEM;
    }
    if (err) {
        slu_session_error(s, id, err, message, NULL);
        return;
    }
    h->reverse = reverse;
    h->is_whole = reverse && h->limit == last;
    h->min_ts_ms = reverse && from == SLU_FROM_SINCE ? n : 0;
    if (reverse && from != SLU_FROM_OFFSET) {
        h->after = UINT64_MAX;
        read_on(h);
        return;
    }
    struct slu_locate *l = &h->req.locate;
    l->req.worker = s->worker->index;
    l->req.done = located;
    l->home = h->home;
    l->filter = h->topic;
    l->from = from == SLU_FROM_NEW ? SLU_FROM_FIRST : from;
    if (from == SLU_FROM_LATEST) {
        l->from = SLU_FROM_LAST;
        n = 1;
    }
    l->n = n;
    l->after = pos;
    slu_store_locate(s->worker->broker->store, l);
}
