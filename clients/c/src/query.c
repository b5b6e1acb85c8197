/* Requests that read: history, presence, ping; and the renewal of the token. */
#include "clients/c/src/client.h"
#include "clients/c/src/topic.h"

#include <stdlib.h>

enum { QUERY_BYTES = 256 };

static enum sluice_status begin(sluice_client *c, enum slu_pending_kind kind, size_t bytes, sluice_result_fn *done,
                                void *arg, struct slu_pending **p)
{
    enum sluice_status rc = slu_tx_admit(c, QUERY_BYTES + bytes, false);
    if (rc != SLUICE_OK)
        return rc;
    *p = slu_pending_new(c, kind, done, arg);
    return *p ? SLUICE_OK : SLUICE_ENOMEM;
}

static enum sluice_status end(sluice_client *c, bool valid, struct slu_pending *p, uint32_t flags)
{
    enum sluice_status rc = SLUICE_EINVAL;
    if (valid)
        rc = slu_tx_end(c, p->id, flags);
    else
        slu_outq_cancel(c->tx_to);
    if (rc != SLUICE_OK)
        slu_pending_drop(c, p);
    return rc;
}

enum sluice_status sluice_client_ping(sluice_client *c, sluice_result_fn *done, void *arg)
{
    struct slu_pending *p;
    enum sluice_status rc = begin(c, SLU_P_PING, 0, done, arg, &p);
    if (rc != SLUICE_OK)
        return rc;
    slu_pending_overall(c, p, c->o.request_timeout_ms);
    slu_tx_begin(c, "ping");
    return end(c, true, p, 0);
}

enum sluice_status sluice_client_auth(sluice_client *c, const char *token, sluice_result_fn *done, void *arg)
{
    struct slu_pending *p;
    char *copy = token ? strdup(token) : NULL;
    if (!token)
        return SLUICE_EINVAL;
    if (!copy)
        return SLUICE_ENOMEM;
    enum sluice_status rc = c->doomed ? SLUICE_ESTATE : SLUICE_OK;
    if (rc == SLUICE_OK && c->phase == SLU_PH_UP) {
        rc = begin(c, SLU_P_AUTH, strlen(token), done, arg, &p);
        if (rc == SLUICE_OK) {
            slu_put_str(slu_tx_begin(c, "auth"), "token", token);
            rc = end(c, true, p, SLU_REC_BOUND);
        }
    } else if (rc == SLUICE_OK && done) {
        rc = SLUICE_ESTATE; /* it will be used at the next connection, and nothing is there to answer */
    }
    if (rc == SLUICE_OK || rc == SLUICE_ESTATE) {
        free((void *)(uintptr_t)c->o.token);
        c->o.token = copy;
    } else {
        free(copy);
    }
    return rc;
}

enum sluice_status sluice_client_history(sluice_client *c, const char *topic, const struct sluice_history_options *o,
                                         sluice_item_fn *item, sluice_result_fn *done, void *arg)
{
    static const struct sluice_history_options none;
    struct slu_pending *p;
    o = o ? o : &none;
    if (!topic || !done || !slu_topic_ok(slu_str(topic)))
        return SLUICE_EINVAL;
    if (o->from_json && !slu_json_valid(o->from_json, false))
        return SLUICE_EINVAL;
    enum sluice_status rc =
        begin(c, SLU_P_HISTORY, strlen(topic) + (o->from_json ? strlen(o->from_json) : 0), done, arg, &p);
    if (rc != SLUICE_OK)
        return rc;
    p->item = item;
    struct slu_buf *b = slu_tx_begin(c, "history");
    bool valid = true;
    slu_put_str(b, "topic", topic);
    if (o->from_json)
        slu_put_json(b, "from", slu_str(o->from_json));
    else
        valid = slu_put_from(b, o->from, o->from_n, o->from_time_ms, o->from_offset, o->from_epoch, o->from_cursor);
    if (o->limit)
        slu_put_u64(b, "limit", o->limit);
    if (o->reverse)
        slu_put_json(b, "reverse", SLU_LIT("true"));
    return end(c, valid, p, 0);
}

enum sluice_status sluice_client_presence(sluice_client *c, const char *topic, const struct sluice_presence_options *o,
                                          sluice_member_fn *member, sluice_result_fn *done, void *arg)
{
    static const struct sluice_presence_options none;
    struct slu_pending *p;
    o = o ? o : &none;
    if (!topic || !done || !slu_topic_ok(slu_str(topic)))
        return SLUICE_EINVAL;
    if (o->after_json && !slu_json_valid(o->after_json, false))
        return SLUICE_EINVAL;
    enum sluice_status rc =
        begin(c, SLU_P_PRESENCE, strlen(topic) + (o->after_json ? strlen(o->after_json) : 0), done, arg, &p);
    if (rc != SLUICE_OK)
        return rc;
    p->member = member;
    struct slu_buf *b = slu_tx_begin(c, "presence");
    slu_put_str(b, "topic", topic);
    if (o->limit)
        slu_put_u64(b, "limit", o->limit);
    if (o->after_json)
        slu_put_json(b, "after", slu_str(o->after_json));
    return end(c, true, p, 0);
}
