/* A session's start: open, login, input. Its way to the end is in life.c. */
#include "broker/core/broker_state.h"
#include "broker/core/life.h"
#include "broker/core/output.h"
#include "broker/core/publish.h"
#include "broker/core/query.h"
#include "broker/core/subscription.h"

#include <stdio.h>
#include <stdlib.h>

static bool copy_bytes(struct slu_bytes in, struct slu_bytes *out)
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

static void session_init(struct slu_session *s, struct slu_worker *w)
{
    s->worker = w;
    s->is_read_on = s->caught_up = true;
    slu_list_init(&s->dirty);
    slu_list_init(&s->stuck);
    slu_list_init(&s->all);
    slu_list_init(&s->subs);
    slu_list_init(&s->blocked);
    slu_list_init(&s->publishes);
    slu_list_init(&s->queries);
    slu_timer_init(&s->timer, slu_life_timer);
    s->opened_ms = s->last_rx_ms = s->last_tx_ms = w->now_ms;
    s->next_sub = 1;
    s->serial = ((uint64_t)(w->index + 1) << 48) | ++w->next_session;
    snprintf(s->id, sizeof(s->id), "%x%08llx", w->index + 1, (unsigned long long)w->next_session);
}

static void session_free(struct slu_session *s)
{
    free((void *)(uintptr_t)s->name.data);
    free((void *)(uintptr_t)s->bearer.data);
    free((void *)(uintptr_t)s->address.data);
    free(s->conn);
    free(s);
}

static void link_session(struct slu_session *s)
{
    struct slu_worker *w = s->worker;
    slu_list_push_back(&w->sessions, &s->all);
    w->n_sessions++;
    atomic_fetch_add(&w->broker->sessions, 1);
    slu_account_add(&w->broker->account, sizeof(*s) + s->adapter->conn_size);
    slu_count(w->broker, SLU_COUNT_connections_opened, 1);
}

enum slu_err slu_session_open(struct slu_worker *w, const struct slu_adapter *a, const struct slu_link_ops *ops,
                              struct slu_link *l, const struct slu_peer *peer, struct slu_session **out)
{
    enum slu_err rc = SLU_ENOMEM;
    struct slu_session *s = calloc(1, sizeof(*s));
    if (!s)
        return rc;
    session_init(s, w);
    s->adapter = a;
    s->ops = ops;
    s->link = l;
    s->conn = a->conn_size ? calloc(1, a->conn_size) : NULL;
    if ((a->conn_size && !s->conn) || !copy_bytes(peer->bearer, &s->bearer) ||
        !copy_bytes(slu_str(peer->address), &s->address))
        goto fail;
    s->state = a->needs_login ? SLU_SESSION_LOGIN : SLU_SESSION_OPEN;
    s->conn_open = true;
    /* Before on_open: ?sub= already logs in and subscribes. */
    link_session(s);
    rc = a->on_open(s->conn, s, peer);
    if (rc)
        goto unlink;
    slu_life_arm(s);
    *out = s;
    return SLU_OK;
unlink:
    slu_sub_end_all(s);
    slu_publish_forget(s);
    slu_query_forget(s);
    slu_wheel_cancel(&w->wheel, &s->timer);
    slu_list_remove(&s->all);
    slu_list_remove(&s->dirty);
    slu_queue_clear(&s->queue);
    w->n_sessions--;
    atomic_fetch_sub(&w->broker->sessions, 1);
    slu_account_sub(&w->broker->account, sizeof(*s) + a->conn_size);
fail:
    session_free(s);
    return rc;
}

static void send_hello(struct slu_session *s, const struct slu_reqid *id)
{
    const struct slu_settings *set = slu_worker_settings(s->worker);
    struct slu_event ev = { .type = SLU_EV_HELLO, .id = id };
    ev.hello.conn = s->id;
    ev.hello.node = set->node;
    ev.hello.protocol = s->adapter->name;
    ev.hello.user = s->identity.user;
    ev.hello.ping_s = set->ping_interval_ms / 1000;
    if (s->identity.expires_ms > s->worker->wall_ms)
        ev.hello.expires_s = (s->identity.expires_ms - s->worker->wall_ms) / 1000;
    ev.hello.limits.payload = set->payload_max;
    ev.hello.limits.frame = set->frame_max;
    ev.hello.limits.subscriptions = set->subscriptions_max;
    ev.hello.limits.queue_bytes = set->queue_bytes;
    ev.hello.limits.queue_messages = set->queue_messages;
    slu_out_event(s, &ev);
}

/* The one way in: asks the broker's auth hook, sends hello or ends the session with `refused`. */
static bool login(struct slu_session *s, const struct slu_reqid *id, const struct slu_reqid *asked,
                  struct slu_bytes token, enum slu_close refused)
{
    struct slu_worker *w = s->worker;
    const char *why = NULL;
    struct slu_peer peer = { .address = "", .bearer = s->bearer };
    struct slu_credentials cred = { .token = token, .name = s->name, .peer = &peer };
    enum slu_err rc = w->broker->auth.login(w->broker->auth.arg, &cred, &s->identity, &why);
    if (rc) {
        slu_count(w->broker, SLU_COUNT_logins_failed, 1);
        if (asked && asked->type != SLU_ID_NONE)
            slu_session_error(s, asked, rc, why, NULL);
        else
            slu_count_error(w->broker, rc);
        slu_life_end(s, refused, why ? why : slu_err_info(rc)->message, SLU_END_AFTER_QUEUE, 0);
        return false;
    }
    slu_count(w->broker, SLU_COUNT_logins_ok, 1);
    s->state = SLU_SESSION_OPEN;
    send_hello(s, id);
    if (s->adapter->on_login)
        s->adapter->on_login(s->conn);
    slu_life_arm(s);
    return true;
}

void slu_session_login(struct slu_session *s, const struct slu_reqid *id, struct slu_bytes token, struct slu_bytes name)
{
    if (s->state != SLU_SESSION_LOGIN) {
        slu_session_error(s, id, SLU_EBAD_OP, "this connection is logged in already",
                          "send connect once, as the first frame; renew a token with auth");
        return;
    }
    if (!copy_bytes(name, &s->name)) {
        slu_life_end(s, SLU_CLOSE_OVERLOADED, NULL, SLU_END_AFTER_QUEUE, 0);
        return;
    }
    login(s, id, id, token.len ? token : s->bearer, SLU_CLOSE_TOKEN);
}

bool slu_session_login_implicit(struct slu_session *s, const struct slu_reqid *asked)
{
    if (s->state != SLU_SESSION_LOGIN)
        return s->state == SLU_SESSION_OPEN;
    return login(s, NULL, asked, s->bearer, SLU_CLOSE_TOKEN);
}

bool slu_session_login_at_deadline(struct slu_session *s)
{
    return login(s, NULL, NULL, s->bearer, s->bearer.len ? SLU_CLOSE_TOKEN : SLU_CLOSE_LOGIN_TIMEOUT);
}

/* A right that is gone takes its queued messages with it. They cannot be told from others' in the queue: so the whole
 * queue goes, and the client, which is told to come back at once, resumes what it may still read. */
static void take_rights(struct slu_session *s, const struct slu_identity *fresh)
{
    unsigned before = s->n_subs;
    bool has_queued = s->queue.msgs > 0;
    s->identity = *fresh;
    slu_sub_end_forbidden(s);
    if (has_queued && s->n_subs < before)
        slu_life_end(s, SLU_CLOSE_DRAINING, "rights were taken away: reconnect and resume", SLU_END_DROP_QUEUE, 0);
}

void slu_session_renew(struct slu_session *s, const struct slu_reqid *id, struct slu_bytes token)
{
    const char *why = NULL;
    struct slu_peer peer = { .address = "" };
    struct slu_credentials cred = { .token = token, .name = s->name, .peer = &peer };
    struct slu_identity fresh = { 0 };
    enum slu_err rc = s->worker->broker->auth.login(s->worker->broker->auth.arg, &cred, &fresh, &why);
    if (!rc && !slu_bytes_eq(fresh.user, s->identity.user)) {
        rc = SLU_ETOKEN_INVALID;
        why = "the new token is for another user";
    }
    if (rc) {
        slu_session_error(s, id, rc, why, NULL);
        return;
    }
    take_rights(s, &fresh);
    if (s->state != SLU_SESSION_OPEN)
        return;
    slu_life_arm(s);
    if (id && id->type != SLU_ID_NONE) {
        struct slu_event ev = { .type = SLU_EV_OK, .id = id };
        ev.ok.what = SLU_OK_AUTH;
        if (fresh.expires_ms > s->worker->wall_ms)
            ev.ok.expires_s = (fresh.expires_ms - s->worker->wall_ms) / 1000;
        slu_out_event(s, &ev);
    }
}

static void review(struct slu_session *s)
{
    const char *why = NULL;
    struct slu_peer peer = { .address = "", .bearer = s->bearer };
    struct slu_credentials cred = { .token = s->bearer, .name = s->name, .peer = &peer };
    struct slu_identity fresh = { 0 };
    enum slu_err rc = s->worker->broker->auth.login(s->worker->broker->auth.arg, &cred, &fresh, &why);
    if (rc) {
        slu_count_error(s->worker->broker, rc);
        slu_life_end(s, SLU_CLOSE_TOKEN, why ? why : slu_err_info(rc)->message, SLU_END_DROP_QUEUE, 0);
        return;
    }
    take_rights(s, &fresh);
}

void slu_session_review_all(struct slu_worker *w)
{
    slu_list_each (it, &w->sessions) {
        struct slu_session *s = slu_container_of(it, struct slu_session, all);
        if (s->state == SLU_SESSION_OPEN && s->adapter->needs_login && !s->identity.user.len)
            review(s);
    }
}

bool slu_session_is_open(const struct slu_session *s)
{
    return s->state == SLU_SESSION_OPEN;
}

const char *slu_session_conn(const struct slu_session *s)
{
    return s->id;
}

void slu_session_input(struct slu_session *s, bool is_text, struct slu_bytes in)
{
    if (s->state > SLU_SESSION_OPEN)
        return;
    slu_worker_count(s->worker, SLU_COUNT_frames_in, 1);
    slu_worker_count(s->worker, SLU_COUNT_bytes_in, in.len);
    s->last_rx_ms = s->worker->now_ms;
    s->adapter->on_message(s->conn, is_text, in);
}

void slu_session_error(struct slu_session *s, const struct slu_reqid *id, enum slu_err code, const char *message,
                       const char *hint)
{
    struct slu_event ev = { .type = SLU_EV_ERR, .id = id };
    ev.err.code = code;
    ev.err.message = message;
    ev.err.hint = hint;
    slu_count_error(s->worker->broker, code);
    if (code == SLU_EBAD_FRAME || code == SLU_EBAD_OP)
        slu_count(s->worker->broker, SLU_COUNT_frames_bad, 1);
    slu_out_event(s, &ev);
}

void slu_session_emit(struct slu_session *s, const struct slu_event *ev)
{
    slu_out_event(s, ev);
}

void slu_session_ping(struct slu_session *s, const struct slu_reqid *id, bool has_t, uint64_t t)
{
    struct slu_event ev = { .type = SLU_EV_PONG, .id = id };
    ev.ping.has_t = has_t;
    ev.ping.t = t;
    slu_out_event(s, &ev);
}

void slu_session_destroy(struct slu_session *s)
{
    struct slu_worker *w = s->worker;
    slu_account_sub(&w->broker->account, sizeof(*s) + s->adapter->conn_size + s->lib_bytes);
    session_free(s);
}
