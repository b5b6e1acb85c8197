/* See life.h. */
#include "broker/core/life.h"

#include "broker/core/broker_state.h"
#include "broker/core/output.h"
#include "broker/core/publish.h"
#include "broker/core/query.h"
#include "broker/core/subscription.h"

static void set_state(struct slu_session *s, enum slu_session_state to)
{
    s->state = (uint8_t)to;
}

void slu_life_end(struct slu_session *s, enum slu_close code, const char *message, enum slu_end_how how,
                  uint64_t after_ms)
{
    if (s->state >= SLU_SESSION_CLOSING)
        return;
    const struct slu_close_info *info = slu_close_info(code);
    if (how == SLU_END_DROP_QUEUE)
        slu_out_drop_queue(s);
    set_state(s, SLU_SESSION_CLOSING);
    struct slu_event ev = { .type = SLU_EV_BYE };
    ev.bye.close = code;
    ev.bye.message = message;
    ev.bye.after_ms = after_ms;
    slu_out_event(s, &ev);
    s->close_code = code;
    s->close_reason = message && strlen(message) <= 123 ? message : info->reason;
    slu_count_close(s->worker->broker, code);
    slu_out_mark_dirty(s);
    slu_wheel_set(&s->worker->wheel, &s->timer, s->worker->now_ms + slu_worker_settings(s->worker)->close_timeout_ms);
}

void slu_life_try_finish(struct slu_session *s)
{
    if (s->state != SLU_SESSION_CLOSING || !slu_out_is_empty(s))
        return;
    set_state(s, SLU_SESSION_CLOSED);
    s->ops->close(s->link, s->close_code, s->close_reason);
}

/* On the worker's clock; 0 = never. Wall time may jump: asked anew at each look. */
static uint64_t expiry_ms(const struct slu_session *s)
{
    const struct slu_worker *w = s->worker;
    if (!s->identity.expires_ms)
        return 0;
    return w->now_ms + (s->identity.expires_ms > w->wall_ms ? s->identity.expires_ms - w->wall_ms : 0);
}

/* Signs of life, and the notice that lets a page see a dead line. Nothing is owed while we hold the client back or it
 * has not taken what we sent: TCP_USER_TIMEOUT and the overflow policies decide there. */
static uint64_t check_life(struct slu_session *s, uint64_t now_ms)
{
    const struct slu_settings *set = slu_worker_settings(s->worker);
    bool is_out = slu_out_is_empty(s), quiet = s->is_read_on && is_out;
    if (s->identity.expires_ms && s->identity.expires_ms <= s->worker->wall_ms) {
        slu_life_end(s, SLU_CLOSE_TOKEN, "the token has expired", SLU_END_AFTER_QUEUE, 0);
        return 0;
    }
    if (s->ping_sent_ms && s->last_rx_ms >= s->ping_sent_ms)
        s->ping_sent_ms = 0;
    if (s->ping_sent_ms && !quiet)
        s->ping_sent_ms = now_ms;
    if (s->ping_sent_ms && now_ms - s->ping_sent_ms >= set->ping_timeout_ms) {
        slu_life_end(s, SLU_CLOSE_NO_SIGN_OF_LIFE, NULL, SLU_END_AFTER_QUEUE, 0);
        return 0;
    }
    if (!s->ping_sent_ms && now_ms - s->last_rx_ms >= set->ping_interval_ms) {
        slu_out_ping(s);
        s->ping_sent_ms = now_ms;
    }
    if (now_ms - s->last_tx_ms >= set->ping_interval_ms && is_out) {
        struct slu_event ev = { .type = SLU_EV_PING };
        ev.ping.t = s->worker->wall_ms;
        ev.ping.has_t = true;
        slu_out_event(s, &ev);
        s->last_tx_ms = now_ms;
    }
    if (now_ms - s->last_tx_ms >= set->ping_interval_ms)
        s->last_tx_ms = now_ms; /* output is stuck: nothing to add to it */
    uint64_t next = s->last_rx_ms + set->ping_interval_ms;
    if (s->ping_sent_ms)
        next = s->ping_sent_ms + set->ping_timeout_ms;
    uint64_t notice = s->last_tx_ms + set->ping_interval_ms;
    if (notice < next)
        next = notice;
    uint64_t expiry = expiry_ms(s);
    return expiry && expiry < next ? expiry : next;
}

void slu_life_arm(struct slu_session *s)
{
    const struct slu_settings *set = slu_worker_settings(s->worker);
    if (s->state == SLU_SESSION_LOGIN)
        slu_wheel_set(&s->worker->wheel, &s->timer, s->opened_ms + set->login_timeout_ms);
    else if (s->state == SLU_SESSION_OPEN) {
        uint64_t next = s->worker->now_ms + set->ping_interval_ms, expiry = expiry_ms(s);
        slu_wheel_set(&s->worker->wheel, &s->timer, expiry && expiry < next ? expiry : next);
    }
}

void slu_life_timer(struct slu_timer *t, uint64_t now_ms)
{
    struct slu_session *s = slu_container_of(t, struct slu_session, timer);
    switch ((enum slu_session_state)s->state) {
    case SLU_SESSION_LOGIN:
        slu_session_login_at_deadline(s);
        break;
    case SLU_SESSION_OPEN: {
        uint64_t next = check_life(s, now_ms);
        if (next)
            slu_wheel_set(&s->worker->wheel, t, next > now_ms ? next : now_ms + 1);
        break;
    }
    case SLU_SESSION_CLOSING:
        /* bye did not go out in time: cut. */
        set_state(s, SLU_SESSION_CLOSED);
        slu_out_drop_queue(s);
        s->ops->close(s->link, (enum slu_close)0, NULL);
        break;
    case SLU_SESSION_CLOSED:
    case SLU_SESSION_GONE:
        break;
    }
}

void slu_life_update_reading(struct slu_session *s)
{
    bool on = !s->read_off_queue && !s->read_off_memory && !s->read_off_flight;
    if (on == s->is_read_on || s->state >= SLU_SESSION_CLOSED)
        return;
    s->is_read_on = on;
    if (s->ping_sent_ms)
        s->ping_sent_ms = s->worker->now_ms; /* it could not be heard */
    s->ops->read(s->link, on);
}

void slu_life_op_begins(struct slu_session *s)
{
    s->n_ops++;
    if (s->read_off_flight || s->n_ops < slu_worker_settings(s->worker)->publishes_in_flight_max)
        return;
    s->read_off_flight = true;
    slu_life_update_reading(s);
}

void slu_life_op_ends(struct slu_session *s)
{
    s->n_ops--;
    if (!s->read_off_flight || s->n_ops > slu_worker_settings(s->worker)->publishes_in_flight_max / 2)
        return;
    s->read_off_flight = false;
    slu_life_update_reading(s);
}

void slu_session_alive(struct slu_session *s)
{
    s->last_rx_ms = s->worker->now_ms;
}

void slu_session_writable(struct slu_session *s)
{
    slu_out_mark_dirty(s);
}

void slu_session_flush(struct slu_session *s)
{
    slu_out_flush(s);
}

void slu_session_fail(struct slu_session *s, enum slu_close code, const char *message)
{
    slu_count(s->worker->broker, SLU_COUNT_frames_bad, 1);
    slu_life_end(s, code, message, SLU_END_AFTER_QUEUE, 0);
}

void slu_session_close(struct slu_session *s, enum slu_close code, const char *message)
{
    slu_life_end(s, code, message, SLU_END_AFTER_QUEUE, 0);
}

void slu_session_gone(struct slu_session *s)
{
    struct slu_worker *w = s->worker;
    set_state(s, SLU_SESSION_GONE);
    slu_wheel_cancel(&w->wheel, &s->timer);
    slu_list_remove(&s->dirty);
    s->is_dirty = false;
    slu_list_remove(&s->stuck);
    slu_list_remove(&s->all);
    slu_list_push_back(&w->reap, &s->all);
    w->n_sessions--;
    atomic_fetch_sub(&w->broker->sessions, 1);
    slu_count(w->broker, SLU_COUNT_connections_closed, 1);
}

void slu_life_reap(struct slu_session *s)
{
    slu_list_remove(&s->all);
    slu_wheel_cancel(&s->worker->wheel, &s->timer);
    slu_list_remove(&s->dirty);
    slu_list_remove(&s->stuck);
    slu_sub_end_all(s);
    slu_publish_forget(s);
    slu_query_forget(s);
    if (s->conn_open) {
        s->conn_open = false;
        s->adapter->on_close(s->conn);
    }
    slu_queue_clear(&s->queue);
    slu_session_destroy(s);
}
