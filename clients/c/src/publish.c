/* Publishing, asking, answering, acknowledging. */
#include "clients/c/src/client.h"
#include "clients/c/src/topic.h"

enum { FRAME_OVERHEAD = 256 };

/* A first estimate of the frame, so that the queue's bound is judged before anything is encoded. */
static size_t estimate(const char *topic, size_t len, enum sluice_kind kind)
{
    return strlen(topic) + FRAME_OVERHEAD + (kind == SLUICE_BINARY ? len / 3 * 4 + 4 : len);
}

static bool put_options(struct slu_buf *b, const struct sluice_publish_options *o)
{
    static const char *const acks[] = { NULL, "none", "accepted", "stored", "replicated" };
    if ((unsigned)o->ack > SLUICE_ACK_REPLICATED || (o->expect && !o->expect_epoch))
        return false;
    if (o->retain)
        slu_put_json(b, "retain", SLU_LIT("true"));
    slu_put_str(b, "key", o->key);
    slu_put_headers(b, o->headers, o->n_headers);
    if (o->ttl_s)
        slu_put_u64(b, "ttl_s", o->ttl_s);
    slu_put_str(b, "dedup", o->dedup);
    if (o->expect) {
        slu_put_name(b, "expect");
        slu_buf_add_str(b, "{\"offset\":");
        slu_buf_add_u64(b, o->expect_offset);
        slu_put_str(b, "epoch", o->expect_epoch);
        slu_buf_add_byte(b, '}');
    }
    slu_put_str(b, "ack", acks[o->ack]);
    return true;
}

/* Ends the frame under construction and ties the pending answer to it; undoes both on failure. */
static enum sluice_status finish(sluice_client *c, bool valid, struct slu_pending *p, bool resend, uint32_t flags)
{
    enum sluice_status rc = SLUICE_EINVAL;
    size_t start = c->tx_to->start + sizeof(struct slu_record);
    if (valid)
        rc = slu_tx_end(c, p ? p->id : 0, flags);
    else
        slu_outq_cancel(c->tx_to);
    if (rc == SLUICE_OK && p && resend) {
        slu_buf_add(&p->resend, c->tx_to->buf.data + start, c->tx_to->buf.len - start);
        if (p->resend.failed)
            slu_buf_fini(&p->resend); /* then it is not sent again */
    }
    if (rc != SLUICE_OK && p)
        slu_pending_drop(c, p);
    return rc;
}

enum sluice_status sluice_client_publish(sluice_client *c, const char *topic, const void *data, size_t len,
                                         const struct sluice_publish_options *o, sluice_result_fn *done, void *arg)
{
    static const struct sluice_publish_options none;
    o = o ? o : &none;
    if (!topic || !slu_topic_ok(slu_str(topic)) || (!data && (len || !o->retain)))
        return SLUICE_EINVAL;
    enum sluice_status rc = slu_tx_admit(c, estimate(topic, len, o->kind), o->only_connected);
    if (rc != SLUICE_OK)
        return rc;
    /* A repeatable publish keeps an answer awaited even when nobody asked: to know whether to repeat it. */
    struct slu_pending *p = NULL;
    if ((done || o->dedup) && !(p = slu_pending_new(c, SLU_P_PUBLISH, done, arg)))
        return SLUICE_ENOMEM;
    struct slu_buf *b = slu_tx_begin(c, "pub");
    slu_put_bytes_str(b, "topic", slu_str(topic));
    bool valid = (!data || slu_put_data(b, o->kind, slu_bytes(data, len))) && put_options(b, o);
    return finish(c, valid, p, o->dedup != NULL, 0);
}

enum sluice_status sluice_client_request(sluice_client *c, const char *topic, const void *data, size_t len,
                                         const struct sluice_request_options *o, sluice_result_fn *done, void *arg)
{
    static const struct sluice_request_options none;
    enum { GRACE_MS = 250 }; /* the broker's own time-out says more than ours */
    o = o ? o : &none;
    if (!topic || !data || !done || !slu_topic_ok(slu_str(topic)))
        return SLUICE_EINVAL;
    enum sluice_status rc = slu_tx_admit(c, estimate(topic, len, o->kind), false);
    if (rc != SLUICE_OK)
        return rc;
    struct slu_pending *p = slu_pending_new(c, SLU_P_REQUEST, done, arg);
    if (!p)
        return SLUICE_ENOMEM;
    uint32_t timeout_ms = o->timeout_ms ? o->timeout_ms : c->o.request_timeout_ms;
    slu_pending_overall(c, p, timeout_ms + GRACE_MS > timeout_ms ? timeout_ms + GRACE_MS : timeout_ms);
    struct slu_buf *b = slu_tx_begin(c, "req");
    slu_put_bytes_str(b, "topic", slu_str(topic));
    bool valid = slu_put_data(b, o->kind, slu_bytes(data, len));
    slu_put_headers(b, o->headers, o->n_headers);
    slu_put_u64(b, "timeout_ms", timeout_ms);
    return finish(c, valid, p, false, 0);
}

enum sluice_status sluice_client_reply(sluice_client *c, const struct sluice_message *m, const void *data, size_t len,
                                       enum sluice_kind kind)
{
    if (!m->reply.data || !data)
        return SLUICE_EINVAL;
    enum sluice_status rc = slu_tx_admit(c, m->reply.len + len + FRAME_OVERHEAD, false);
    if (rc != SLUICE_OK)
        return rc;
    struct slu_buf *b = slu_tx_begin(c, "pub");
    slu_put_bytes_str(b, "topic", slu_span_bytes(m->reply));
    return finish(c, slu_put_data(b, kind, slu_bytes(data, len)), NULL, false, 0);
}

/* ---- per subscription ---- */

static enum sluice_status begin_for(sluice_client_sub *s, const char *op)
{
    sluice_client *c = s->client;
    enum sluice_status rc = slu_tx_admit(c, FRAME_OVERHEAD, true);
    if (rc != SLUICE_OK)
        return rc;
    slu_put_u64(slu_tx_begin(c, op), "sub", (uint64_t)s->slot + 1);
    return SLUICE_OK;
}

enum sluice_status sluice_client_flow(sluice_client_sub *s, uint32_t credit)
{
    if (!s->o.use_credit || s->freed)
        return SLUICE_EINVAL;
    enum sluice_status rc = begin_for(s, "flow");
    if (rc != SLUICE_OK)
        return rc;
    slu_put_u64(&s->client->tx_to->buf, "credit", credit);
    return finish(s->client, true, NULL, false, SLU_REC_BOUND);
}

struct settlement {
    bool upto, drop;
    uint32_t delay_ms;
};

static enum sluice_status settle(sluice_client_sub *s, const char *op, const struct sluice_message *m,
                                 struct settlement how)
{
    if ((!s->o.ack && !s->o.durable) || s->freed || !m->topic.data || !m->epoch.data)
        return SLUICE_EINVAL;
    enum sluice_status rc = begin_for(s, op);
    if (rc != SLUICE_OK)
        return rc;
    struct slu_buf *b = &s->client->tx_to->buf;
    slu_put_bytes_str(b, "topic", slu_span_bytes(m->topic));
    slu_put_u64(b, "offset", m->offset);
    slu_put_bytes_str(b, "epoch", slu_span_bytes(m->epoch));
    if (how.upto)
        slu_put_json(b, "upto", SLU_LIT("true"));
    if (how.drop)
        slu_put_json(b, "drop", SLU_LIT("true"));
    if (how.delay_ms)
        slu_put_u64(b, "delay_ms", how.delay_ms);
    return finish(s->client, true, NULL, false, SLU_REC_BOUND);
}

enum sluice_status sluice_client_ack(sluice_client_sub *s, const struct sluice_message *m, bool upto)
{
    return settle(s, "ack", m, (struct settlement){ .upto = upto });
}

enum sluice_status sluice_client_nack(sluice_client_sub *s, const struct sluice_message *m, uint32_t delay_ms,
                                      bool drop)
{
    return settle(s, "nack", m, (struct settlement){ .delay_ms = delay_ms, .drop = drop });
}
