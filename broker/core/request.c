/* See request.h. Reply topics are `$REPLY/<worker>.<128 random bits>`: they lead to the worker that waits, no router
 * knows them, and nobody can guess one. */
#include "broker/core/request.h"

#include "broker/base/rng.h"
#include "broker/core/broker_state.h"
#include "broker/core/output.h"
#include "broker/core/publish.h"
#include "broker/core/publish_check.h"
#include "broker/core/query.h"

#include <stdio.h>
#include <stdlib.h>

static const struct slu_bytes prefix = { (const uint8_t *)"$REPLY/", 7 };
enum { DEFAULT_TIMEOUT_MS = 10000, MAX_TIMEOUT_MS = 600000 };

struct slu_request {
    struct slu_map_node node;
    struct slu_query query;
    struct slu_timer timer;
    bool sending; /* the fan-out is under way and will come back */
    bool ended;
    char topic[64];
};

static struct slu_bytes key_of(const struct slu_map_node *n)
{
    return slu_str(slu_container_of(n, const struct slu_request, node)->topic);
}

void slu_request_init(struct slu_worker *w)
{
    slu_map_init(&w->requests, key_of);
}

bool slu_request_is_reply_topic(struct slu_bytes topic)
{
    return slu_bytes_starts(topic, prefix);
}

/* Out of the map; freed now or when the fan-out comes back. Returns who asked, or NULL. */
static struct slu_session *request_end(struct slu_request *r)
{
    struct slu_worker *w = r->query.origin;
    struct slu_session *s = slu_query_end(&r->query);
    if (!r->ended) {
        r->ended = true;
        slu_map_del(&w->requests, &r->node);
        slu_wheel_cancel(&w->wheel, &r->timer);
    }
    if (!r->sending)
        free(r);
    return s;
}

void slu_request_fini(struct slu_worker *w)
{
    struct slu_map_iter i = { 0 };
    struct slu_map_node *n;
    while ((n = slu_map_next(&w->requests, &i))) {
        struct slu_request *r = slu_container_of(n, struct slu_request, node);
        r->sending = false;
        request_end(r);
    }
    slu_map_fini(&w->requests);
}

static void timed_out(struct slu_timer *t, uint64_t now_ms)
{
    struct slu_request *r = slu_container_of(t, struct slu_request, timer);
    struct slu_reqid id = r->query.id;
    struct slu_session *s = request_end(r);
    (void)now_ms;
    if (s)
        slu_session_error(s, &id, SLU_EREQ_TIMEOUT, NULL, NULL);
}

static void sent(void *arg, uint32_t matched)
{
    struct slu_request *r = arg;
    struct slu_reqid id = r->query.id;
    r->sending = false;
    if (r->ended) {
        free(r);
        return;
    }
    if (matched)
        return;
    struct slu_session *s = request_end(r);
    if (s)
        slu_session_error(s, &id, SLU_ENO_RESPONDER, NULL, NULL);
}

static struct slu_request *request_new(struct slu_session *s, const struct slu_reqid *id)
{
    struct slu_worker *w = s->worker;
    uint8_t random[16];
    struct slu_request *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    slu_rng_bytes(random, sizeof(random));
    int n = snprintf(r->topic, sizeof(r->topic), "$REPLY/%u.", w->index);
    for (size_t i = 0; i < sizeof(random); i++)
        n += snprintf(r->topic + n, sizeof(r->topic) - (size_t)n, "%02x", random[i]);
    slu_timer_init(&r->timer, timed_out);
    if (!slu_map_add(&w->requests, &r->node)) {
        free(r);
        return NULL;
    }
    slu_query_start(&r->query, s, id);
    return r;
}

void slu_session_request(struct slu_session *s, const struct slu_reqid *id, const struct slu_publish *p,
                         uint64_t timeout_ms)
{
    struct slu_worker *w = s->worker;
    const struct slu_rule *rule;
    struct slu_refusal no = slu_publish_check(s, p, &rule);
    if (!no.err && s->n_requests >= slu_worker_settings(w)->requests_in_flight_max)
        no = (struct slu_refusal){ SLU_ELIMIT_REACHED, "too many requests wait for an answer", "wait for some first" };
    struct slu_request *r = no.err ? NULL : request_new(s, id);
    struct slu_msg *m = r ? slu_publish_message(s, p, slu_str(r->topic)) : NULL;
    if (!m) {
        if (r)
            request_end(r);
        slu_session_error(s, id, no.err ? no.err : SLU_ENOMEM, no.message, no.hint);
        return;
    }
    if (!timeout_ms)
        timeout_ms = DEFAULT_TIMEOUT_MS;
    slu_wheel_set(&w->wheel, &r->timer, w->now_ms + (timeout_ms < MAX_TIMEOUT_MS ? timeout_ms : MAX_TIMEOUT_MS));
    r->sending = true;
    slu_publish_direct(w, m, sent, r);
    slu_msg_unref(m);
}

/* --- the answer, maybe on another worker -------------------------------------------------------------------------- */

struct reply {
    struct slu_mail mail;
    struct slu_query query; /* the responder */
    struct slu_msg *msg;
    uint32_t matched;
};

static void reply_back(struct slu_mail *mail, void *owner)
{
    struct reply *r = slu_container_of(mail, struct reply, mail);
    struct slu_session *s = slu_query_end(&r->query);
    (void)owner;
    if (s && r->query.id.type != SLU_ID_NONE) {
        struct slu_event ev = { .type = SLU_EV_OK, .id = &r->query.id };
        ev.ok.what = SLU_OK_PUB;
        ev.ok.matched = r->matched;
        slu_out_event(s, &ev);
    }
    slu_msg_unref(r->msg);
    free(r);
}

static void reply_arrives(struct slu_mail *mail, void *owner)
{
    struct reply *r = slu_container_of(mail, struct reply, mail);
    struct slu_worker *w = owner;
    struct slu_map_node *n = slu_map_get(&w->requests, r->msg->topic);
    if (n) {
        struct slu_request *q = slu_container_of(n, struct slu_request, node);
        struct slu_reqid id = q->query.id;
        struct slu_session *s = request_end(q);
        struct slu_event ev = { .type = SLU_EV_OK, .id = &id };
        ev.ok.what = SLU_OK_REQ;
        ev.ok.data = r->msg;
        if (s && id.type != SLU_ID_NONE)
            slu_out_event(s, &ev);
        r->matched = s != NULL;
    }
    r->mail.run = reply_back;
    slu_worker_post(r->query.origin, &r->mail);
}

static bool worker_of(const struct slu_worker *w, struct slu_bytes topic, unsigned *out)
{
    unsigned long v = 0;
    size_t i = prefix.len;
    for (; i < topic.len && topic.data[i] >= '0' && topic.data[i] <= '9' && v < SLU_WORKERS_MAX; i++)
        v = v * 10 + (unsigned long)(topic.data[i] - '0');
    *out = (unsigned)v;
    return i < topic.len && topic.data[i] == '.' && v < w->broker->n_workers;
}

void slu_request_reply(struct slu_session *s, const struct slu_reqid *id, const struct slu_publish *p)
{
    unsigned to;
    if (!worker_of(s->worker, p->topic, &to)) {
        slu_session_error(s, id, SLU_EBAD_TOPIC, "that is no reply topic of this broker",
                          "publish to the msg's reply as it came");
        return;
    }
    if (slu_publish_is_too_large(p, slu_worker_settings(s->worker)->payload_max)) {
        slu_session_error(s, id, SLU_ETOO_LARGE, NULL, NULL);
        return;
    }
    struct reply *r = calloc(1, sizeof(*r));
    struct slu_msg *m = r ? slu_publish_message(s, p, (struct slu_bytes){ 0 }) : NULL;
    if (!m) {
        free(r);
        slu_session_error(s, id, SLU_ENOMEM, NULL, NULL);
        return;
    }
    slu_query_start(&r->query, s, id);
    r->msg = m;
    r->mail.run = reply_arrives;
    slu_worker_post(s->worker->broker->workers[to], &r->mail);
}
