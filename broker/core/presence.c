/* See presence.h. Joins and leaves go by the topic's home worker, so that all watchers hear them in one order. A leave
 * waits there for a grace; who comes back meanwhile (the same user, or the same name where nobody logs in) was never
 * gone. */
#include "broker/core/presence.h"

#include "broker/core/broker_state.h"
#include "broker/core/delivery.h"
#include "broker/core/interest.h"
#include "broker/core/output.h"
#include "broker/core/query.h"
#include "broker/core/rights.h"
#include "broker/core/subscription.h"
#include "broker/core/topic.h"

#include <stdlib.h>

enum { DEFAULT_LIMIT = 100, MAX_LIMIT = 1000 };

/* --- joins and leaves --------------------------------------------------------------------------------------------- */

struct change {
    struct slu_mail mail;
    bool join;
    char conn[24];
    struct slu_bytes topic, user, name;
    uint8_t bytes[];
};

/* A leave in its grace. */
struct grace {
    struct slu_map_node node;
    struct slu_timer timer;
    struct slu_worker *worker;
    struct change *leave;
    struct slu_bytes key;
    uint8_t bytes[];
};

static struct slu_bytes grace_key(const struct slu_map_node *n)
{
    return slu_container_of(n, const struct grace, node)->key;
}

void slu_presence_init(struct slu_worker *w)
{
    slu_map_init(&w->presence, grace_key);
}

static void grace_free(struct grace *g)
{
    slu_map_del(&g->worker->presence, &g->node);
    slu_wheel_cancel(&g->worker->wheel, &g->timer);
    free(g->leave);
    free(g);
}

void slu_presence_fini(struct slu_worker *w)
{
    struct slu_map_iter i = { 0 };
    struct slu_map_node *n;
    while ((n = slu_map_next(&w->presence, &i)))
        grace_free(slu_container_of(n, struct grace, node));
    slu_map_fini(&w->presence);
}

static struct slu_bytes put(uint8_t **at, struct slu_bytes v)
{
    if (v.len)
        memcpy(*at, v.data, v.len);
    struct slu_bytes out = slu_bytes(*at, v.len);
    *at += v.len;
    return out;
}

static struct change *change_new(const char *conn, struct slu_bytes topic, struct slu_bytes user, struct slu_bytes name,
                                 bool join)
{
    struct change *c = calloc(1, sizeof(*c) + topic.len + user.len + name.len);
    if (!c)
        return NULL;
    uint8_t *at = c->bytes;
    c->join = join;
    c->topic = put(&at, topic);
    c->user = put(&at, user);
    c->name = put(&at, name);
    memcpy(c->conn, conn, strlen(conn) + 1);
    return c;
}

static void tell(struct slu_worker *w, const struct change *c, struct slu_route *r)
{
    struct slu_event ev = { .type = c->join ? SLU_EV_JOIN : SLU_EV_LEAVE };
    ev.presence.topic = c->topic;
    ev.presence.who.conn = c->conn;
    ev.presence.who.user = c->user;
    ev.presence.who.info = c->name;
    for (uint32_t i = 0; i < r->n; i++) {
        struct slu_sub *sub = r->items[i];
        if (!sub->session || !sub->more || !sub->more->presence || !sub->started ||
            sub->session->state != SLU_SESSION_OPEN || sub->session->stamp == w->serial)
            continue;
        sub->session->stamp = w->serial;
        if (slu_out_fits(sub->session, c->topic.len + c->user.len + c->name.len + sizeof(c->conn)))
            slu_out_event(sub->session, &ev);
        else
            slu_deliver_drop(sub);
    }
}

static void change_delivered(struct slu_mail *mail, void *owner)
{
    struct change *c = slu_container_of(mail, struct change, mail);
    struct slu_worker *w = owner;
    struct slu_match m;
    w->serial++;
    slu_router_match(w->router, c->topic, &m);
    if (m.exact)
        tell(w, c, m.exact);
    for (uint32_t i = 0; i < m.n_wild; i++)
        tell(w, c, m.wild[i]);
    free(c);
}

static void fan_out(struct slu_worker *w, const struct change *c)
{
    uint64_t to = slu_interest_watchers(w, c->topic);
    for (unsigned i = 0; to; i++, to >>= 1) {
        struct change *copy = to & 1 ? change_new(c->conn, c->topic, c->user, c->name, c->join) : NULL;
        if (!copy)
            continue;
        copy->mail.run = change_delivered;
        slu_worker_post(w->broker->workers[i], &copy->mail);
    }
}

static void grace_over(struct slu_timer *t, uint64_t now_ms)
{
    struct grace *g = slu_container_of(t, struct grace, timer);
    (void)now_ms;
    fan_out(g->worker, g->leave);
    grace_free(g);
}

/* topic NUL kind identity; NUL stands in neither. */
static struct grace *grace_new(struct slu_worker *w, const struct change *c)
{
    struct slu_bytes who = c->user.len ? c->user : c->name.len ? c->name : slu_str(c->conn);
    struct grace *g = calloc(1, sizeof(*g) + c->topic.len + 2 + who.len);
    if (!g)
        return NULL;
    uint8_t *at = g->bytes;
    put(&at, c->topic);
    *at++ = 0;
    *at++ = c->user.len ? 'u' : c->name.len ? 'n' : 'c';
    put(&at, who);
    g->key = slu_bytes(g->bytes, (size_t)(at - g->bytes));
    g->worker = w;
    slu_timer_init(&g->timer, grace_over);
    return g;
}

static void change_at_home(struct slu_mail *mail, void *owner)
{
    struct change *c = slu_container_of(mail, struct change, mail);
    struct slu_worker *w = owner;
    struct grace *g = grace_new(w, c);
    struct slu_map_node *waiting = g ? slu_map_get(&w->presence, g->key) : NULL;
    bool keep = g && !c->join && !waiting && slu_map_add(&w->presence, &g->node);
    if (keep) {
        g->leave = c;
        slu_wheel_set(&w->wheel, &g->timer, w->now_ms + slu_worker_settings(w)->presence_grace_ms);
        return;
    }
    if (c->join && waiting)
        grace_free(slu_container_of(waiting, struct grace, node));
    else
        fan_out(w, c);
    free(g);
    free(c);
}

static bool has_another(struct slu_session *s, struct slu_bytes topic)
{
    unsigned n = 0;
    slu_list_each (it, &s->subs) {
        struct slu_sub *sub = slu_container_of(it, struct slu_sub, link);
        n += sub->route && !sub->wild && slu_bytes_eq(sub->route->filter, topic);
    }
    return n > 1;
}

static void changed(struct slu_session *s, struct slu_bytes topic, bool join)
{
    struct slu_worker *w = s->worker;
    if (!slu_interest_watchers(w, topic) || !slu_rules_find(slu_broker_rules(w->broker), topic)->presence ||
        has_another(s, topic))
        return;
    struct change *c = change_new(s->id, topic, s->identity.user, s->name, join);
    if (!c)
        return;
    c->mail.run = change_at_home;
    slu_worker_post(slu_query_home(w, topic), &c->mail);
}

void slu_presence_joined(struct slu_session *s, struct slu_bytes topic)
{
    changed(s, topic, true);
}

void slu_presence_left(struct slu_session *s, struct slu_bytes topic)
{
    changed(s, topic, false);
}

/* --- the question ------------------------------------------------------------------------------------------------- */

/* Travels from worker to worker and back to the one that asked. */
struct census {
    struct slu_mail mail;
    struct slu_query query;
    unsigned at;
    uint64_t count;
    size_t limit, n, cap;
    struct slu_member *members; /* strings owned */
    bool failed, more;
    struct slu_bytes topic, after;
    uint8_t bytes[];
};

static void member_free(struct slu_member *m)
{
    free((void *)(uintptr_t)m->conn);
    free((void *)(uintptr_t)m->user.data);
    free((void *)(uintptr_t)m->info.data);
}

static bool copy(struct slu_bytes in, struct slu_bytes *out)
{
    *out = (struct slu_bytes){ 0 };
    if (!in.len)
        return true;
    uint8_t *p = malloc(in.len);
    if (!p)
        return false;
    memcpy(p, in.data, in.len);
    *out = slu_bytes(p, in.len);
    return true;
}

static int by_conn(const void *a, const void *b)
{
    return strcmp(((const struct slu_member *)a)->conn, ((const struct slu_member *)b)->conn);
}

/* Keeps the first `limit` by connection id. */
static void cut(struct census *c)
{
    if (c->n > 1)
        qsort(c->members, c->n, sizeof(*c->members), by_conn);
    while (c->n > c->limit) {
        c->more = true;
        member_free(&c->members[--c->n]);
    }
}

static void add_member(struct census *c, const struct slu_session *s)
{
    int order = c->after.len ? strncmp(s->id, (const char *)c->after.data, c->after.len) : 1;
    if (order < 0 || (order == 0 && strlen(s->id) <= c->after.len))
        return;
    if (c->n == c->cap)
        cut(c);
    if (c->n == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 64;
        struct slu_member *grown = realloc(c->members, cap * sizeof(*grown));
        if (!grown) {
            c->failed = true;
            return;
        }
        c->members = grown;
        c->cap = cap;
    }
    struct slu_member *m = &c->members[c->n];
    *m = (struct slu_member){ .conn = strdup(s->id) };
    if (m->conn && copy(s->identity.user, &m->user) && copy(s->name, &m->info)) {
        c->n++;
        return;
    }
    member_free(m);
    c->failed = true;
}

static void count_here(struct slu_worker *w, struct census *c)
{
    struct slu_route *r = slu_router_find(w->router, c->topic);
    w->serial++;
    for (uint32_t i = 0; r && i < r->n; i++) {
        struct slu_sub *sub = r->items[i];
        struct slu_session *s = sub->session;
        if (!s || s->state != SLU_SESSION_OPEN || s->counted == w->serial)
            continue;
        s->counted = w->serial;
        c->count++;
        if (!c->failed)
            add_member(c, s);
    }
}

static void census_free(struct census *c)
{
    for (size_t i = 0; i < c->n; i++)
        member_free(&c->members[i]);
    free(c->members);
    free(c);
}

static void census_answer(struct census *c)
{
    struct slu_session *s = slu_query_end(&c->query);
    if (s && c->failed) {
        slu_session_error(s, &c->query.id, SLU_ENOMEM, NULL, NULL);
    } else if (s && c->query.id.type != SLU_ID_NONE) {
        cut(c);
        struct slu_event ev = { .type = SLU_EV_OK, .id = &c->query.id };
        ev.ok.what = SLU_OK_PRESENCE;
        ev.ok.count = c->count;
        ev.ok.members = c->members;
        ev.ok.n_members = c->n;
        if (c->more && c->n)
            ev.ok.next_member = slu_str(c->members[c->n - 1].conn);
        slu_out_event(s, &ev);
    }
    census_free(c);
}

static void census_run(struct slu_mail *mail, void *owner)
{
    struct census *c = slu_container_of(mail, struct census, mail);
    struct slu_worker *w = owner;
    if (c->at == w->broker->n_workers) {
        census_answer(c);
        return;
    }
    count_here(w, c);
    c->at++;
    slu_worker_post(c->at < w->broker->n_workers ? w->broker->workers[c->at] : c->query.origin, &c->mail);
}

void slu_session_presence(struct slu_session *s, const struct slu_reqid *id, struct slu_bytes topic, uint64_t limit,
                          struct slu_bytes after)
{
    const char *message = NULL;
    enum slu_err err = SLU_OK;
    if (!slu_topic_valid(topic))
        err = SLU_EBAD_TOPIC;
    else if (!slu_rights_may_subscribe(&s->identity, topic))
        err = SLU_ETOPIC_FORBIDDEN;
    else if (!slu_rules_find(slu_broker_rules(s->worker->broker), topic)->presence)
        err = SLU_EUNSUPPORTED, message = "presence is switched off for this topic";
    else if (s->n_requests >= slu_worker_settings(s->worker)->requests_in_flight_max)
        err = SLU_ELIMIT_REACHED, message = "too many requests wait for an answer";
    struct census *c = err ? NULL : calloc(1, sizeof(*c) + topic.len + after.len);
    if (!c) {
        slu_session_error(s, id, err ? err : SLU_ENOMEM, message, NULL);
        return;
    }
    uint8_t *at = c->bytes;
    c->topic = put(&at, topic);
    c->after = put(&at, after);
    c->limit = (size_t)(limit == 0 ? DEFAULT_LIMIT : limit < MAX_LIMIT ? limit : MAX_LIMIT);
    c->mail.run = census_run;
    slu_query_start(&c->query, s, id);
    slu_worker_post(s->worker->broker->workers[0], &c->mail);
}
