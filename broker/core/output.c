/* See output.h. */
#include "broker/core/output.h"

#include "broker/core/broker_state.h"
#include "broker/core/life.h"
#include "broker/core/subscription.h"

static struct slu_bytes frame_header(const struct slu_session *s, bool is_text, size_t len, uint8_t out[14])
{
    return slu_bytes(out, s->ops->frame_header(is_text, len, out));
}

/* Into w->scratch; the caller copies it out before the next one. */
static enum slu_err encode(struct slu_worker *w, const struct slu_adapter *a, void *conn, const struct slu_event *ev)
{
    slu_buf_clear(&w->scratch);
    enum slu_err rc = a->encode(conn, ev, &w->scratch);
    return !rc && w->scratch.failed ? SLU_ENOMEM : rc;
}

bool slu_out_encode_shared(struct slu_worker *w, const struct slu_session *like, const struct slu_event *ev,
                           struct slu_span *out)
{
    uint8_t head[14];
    if (encode(w, like->adapter, NULL, ev))
        return false;
    return slu_run_add(&w->runs[like->adapter->wire], frame_header(like, like->adapter->is_text, w->scratch.len, head),
                       slu_buf_bytes(&w->scratch), out);
}

bool slu_out_adopt(struct slu_worker *w, unsigned wire, struct slu_bytes frame, struct slu_span *out)
{
    return slu_run_add(&w->runs[wire], (struct slu_bytes){ 0 }, frame, out);
}

void slu_out_mark_dirty(struct slu_session *s)
{
    if (s->is_dirty)
        return;
    s->is_dirty = true;
    slu_list_push_back(&s->worker->dirty, &s->dirty);
}

bool slu_out_span(struct slu_session *s, const struct slu_span *span)
{
    if (!slu_queue_push(&s->queue, span, &s->worker->broker->account))
        return false;
    slu_out_mark_dirty(s);
    return true;
}

/* A reader that asks for more than it takes is no longer read from: its answers wait in its queue. */
static void bound_answers(struct slu_session *s)
{
    if (!s->read_off_queue && s->queue.bytes > slu_worker_settings(s->worker)->queue_bytes / 2) {
        s->read_off_queue = true;
        slu_life_update_reading(s);
    }
}

static enum slu_err queue_event(struct slu_session *s, const struct slu_event *ev)
{
    struct slu_worker *w = s->worker;
    uint8_t head[14];
    struct slu_span span;
    enum slu_err rc = encode(w, s->adapter, s->conn, ev);
    if (rc)
        return rc;
    bool is_text = ev->type == SLU_EV_RAW ? ev->raw.is_text : s->adapter->is_text;
    if (!slu_run_add(&w->runs[s->adapter->wire], frame_header(s, is_text, w->scratch.len, head),
                     slu_buf_bytes(&w->scratch), &span))
        return SLU_ENOMEM;
    span.msgs = ev->type == SLU_EV_MSG;
    return slu_out_span(s, &span) ? SLU_OK : SLU_ENOMEM;
}

bool slu_out_event(struct slu_session *s, const struct slu_event *ev)
{
    /* bye is the last */
    if (s->state > SLU_SESSION_OPEN && !(s->state == SLU_SESSION_CLOSING && ev->type == SLU_EV_BYE))
        return false;
    if (!s->conn_open)
        return false;
    enum slu_err rc = queue_event(s, ev);
    if (!rc && ev->type != SLU_EV_MSG)
        bound_answers(s);
    /* Whoever waits for an answer, or counts, would never know. */
    if (rc && rc != SLU_EUNSUPPORTED)
        slu_life_end(s, SLU_CLOSE_OVERLOADED, "memory is short", SLU_END_DROP_QUEUE, 0);
    return !rc;
}

void slu_out_ping(struct slu_session *s)
{
    uint8_t frame[32];
    struct slu_span span;
    size_t n = s->ops->ping_frame(frame);
    if (!n || !slu_run_add(&s->worker->runs[s->adapter->wire], slu_bytes(frame, n), (struct slu_bytes){ 0 }, &span))
        return;
    span.msgs = 0;
    slu_out_span(s, &span);
}

bool slu_out_fits(const struct slu_session *s, size_t len)
{
    const struct slu_settings *set = slu_worker_settings(s->worker);
    if (!s->queue.bytes && !s->pending_n)
        return true;
    return s->queue.bytes + s->lib_bytes + s->pending_bytes + len <= set->queue_bytes &&
           s->queue.msgs + s->pending_n < set->queue_messages;
}

bool slu_out_is_low(const struct slu_session *s)
{
    const struct slu_settings *set = slu_worker_settings(s->worker);
    return s->queue.bytes + s->lib_bytes <= set->queue_bytes / 16 && s->queue.msgs <= set->queue_messages / 16;
}

bool slu_out_is_empty(const struct slu_session *s)
{
    return !s->queue.n && s->ops->writable(s->link);
}

void slu_out_drop_queue(struct slu_session *s)
{
    slu_count(s->worker->broker, SLU_COUNT_messages_dropped_overflow, s->queue.msgs);
    slu_queue_clear(&s->queue);
}

static void note_library(struct slu_session *s, size_t bytes)
{
    struct slu_account *a = &s->worker->broker->account;
    slu_account_sub(a, s->lib_bytes);
    s->lib_bytes = bytes;
    slu_account_add(a, bytes);
}

static void mark_stuck(struct slu_session *s)
{
    if (!slu_list_empty(&s->stuck))
        return;
    s->stuck_ms = s->worker->now_ms;
    slu_list_push_back(&s->worker->stuck, &s->stuck);
}

/* Large writes only for readers that are caught up; one write, and more only while the link takes them. */
static void write_out(struct slu_session *s)
{
    struct slu_worker *w = s->worker;
    const uint8_t *data;
    for (unsigned rounds = 0; s->queue.n && rounds < 4; rounds++) {
        size_t n = slu_queue_peek(&s->queue, w->gather, s->caught_up ? SLU_GATHER_BYTES : SLU_LAG_BATCH_BYTES, &data);
        if (s->ops->write(s->link, slu_bytes(data, n)) != SLU_OK) {
            slu_out_drop_queue(s);
            s->state = SLU_SESSION_CLOSED;
            return;
        }
        slu_worker_count(w, SLU_COUNT_messages_delivered, slu_queue_pop(&s->queue, n));
        slu_worker_count(w, SLU_COUNT_bytes_out, n);
        slu_worker_count(w, SLU_COUNT_writes, 1);
        s->last_tx_ms = w->now_ms;
        if (!s->ops->writable(s->link)) {
            note_library(s, n);
            break;
        }
    }
}

void slu_out_flush(struct slu_session *s)
{
    if (s->state >= SLU_SESSION_CLOSED)
        return;
    if (s->ops->writable(s->link)) {
        if (s->lib_bytes)
            note_library(s, 0);
        write_out(s);
    }
    if (s->state >= SLU_SESSION_CLOSED)
        return;
    bool taken = s->ops->writable(s->link);
    s->caught_up = taken && !s->queue.n;
    if (!taken) {
        mark_stuck(s);
    } else {
        if (s->ping_sent_ms && !slu_list_empty(&s->stuck))
            s->ping_sent_ms = s->worker->now_ms; /* only now can it hear the ping */
        slu_list_remove(&s->stuck);
        if (s->queue.n)
            s->ops->want_writable(s->link);
    }
    if (s->read_off_queue && slu_out_is_low(s)) {
        s->read_off_queue = false;
        slu_life_update_reading(s);
    }
    if (s->state == SLU_SESSION_CLOSING) {
        slu_sub_end_all(s);
        slu_life_try_finish(s);
    } else if (!slu_list_empty(&s->blocked) && slu_out_is_low(s)) {
        slu_sub_resume_blocked(s);
    }
}
