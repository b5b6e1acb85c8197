/* See publish_check.h. */
#include "broker/core/publish_check.h"

#include "broker/core/broker_state.h"
#include "broker/core/rate.h"
#include "broker/core/rights.h"
#include "broker/core/topic.h"

/* Bytes of UTF-8 that the escape \uXXXX stands for; a surrogate pair has four in two of them. */
static size_t escape_size(const uint8_t *hex)
{
    if (hex[0] == '0' && hex[1] < '8')
        return hex[1] == '0' && hex[2] < '8' ? 1 : 2;
    return (hex[0] | 0x20) == 'd' && hex[1] >= '8' ? 2 : 3;
}

static size_t json_string_size(struct slu_bytes token)
{
    size_t n = 0;
    for (size_t i = 1; i + 1 < token.len; i++) {
        if (token.data[i] != '\\' || token.data[++i] != 'u') {
            n++;
            continue;
        }
        n += escape_size(token.data + i + 1);
        i += 4;
    }
    return n;
}

/* A text string, whole or in chunks. */
static size_t cbor_text_size(struct slu_bytes item)
{
    enum { CHUNKED = 0x7f, BREAK = 0xff };
    bool chunked = item.data[0] == CHUNKED;
    size_t n = 0, at = chunked;
    while (at < item.len && item.data[at] != BREAK) {
        unsigned info = item.data[at] & 0x1f, extra = info < 24 ? 0 : 1u << (info - 24);
        size_t len = info < 24 ? info : 0;
        for (unsigned i = 1; i <= extra; i++)
            len = len << 8 | item.data[at + i];
        at += 1 + extra + len;
        n += len;
        if (!chunked)
            break;
    }
    return n;
}

/* Text carries quotes and escapes, or a head, that do not count. What the adapter passes is well-formed. Looked at only
 * where the token is larger than the limit. */
bool slu_publish_is_too_large(const struct slu_publish *p, size_t max)
{
    if (p->payload.len <= max)
        return false; /* no form is shorter than what it stands for */
    if (p->kind == SLU_KIND_TEXT && p->form == SLU_FORM_JSON)
        return json_string_size(p->payload) > max;
    if (p->kind == SLU_KIND_TEXT && p->form == SLU_FORM_CBOR)
        return cbor_text_size(p->payload) > max;
    return p->payload.len > max;
}

static struct slu_refusal check_ack(const struct slu_engine *e, const struct slu_rule *rule,
                                    const struct slu_publish *p)
{
    bool durable = rule->log == SLU_LOG_DISK && e->durable;
    if (p->ack == SLU_ACK_STORED && !durable && !(e->shared && rule->log != SLU_LOG_NONE))
        return (struct slu_refusal){ SLU_EUNSUPPORTED,
                                     "this topic's log is not durable: ack \"stored\" cannot be given",
                                     "use ack \"accepted\", or a topic with log: disk" };
    if (p->ack == SLU_ACK_REPLICATED && !e->shared)
        return (struct slu_refusal){ SLU_EUNSUPPORTED, "this broker has no replica: ack \"replicated\" cannot be given",
                                     "use ack \"accepted\"" };
    if (rule->log == SLU_LOG_NONE && (p->has_expect || p->dedup.len))
        return (struct slu_refusal){ SLU_EUNSUPPORTED, "expect and dedup need a log, and this topic has none",
                                     "ask the operator for a topic rule with a log" };
    return (struct slu_refusal){ 0 };
}

struct slu_refusal slu_publish_check(struct slu_session *s, const struct slu_publish *p, const struct slu_rule **rule)
{
    struct slu_broker *b = s->worker->broker;
    if (!slu_topic_valid(p->topic))
        return (struct slu_refusal){ SLU_EBAD_TOPIC, NULL, NULL };
    if (!slu_rights_may_publish(&s->identity, p->topic))
        return (struct slu_refusal){ SLU_ETOPIC_FORBIDDEN, "you may not publish to that topic", NULL };
    *rule = slu_rules_find(slu_broker_rules(b), p->topic);
    size_t max = slu_worker_settings(s->worker)->payload_max;
    if ((*rule)->max_size && (*rule)->max_size < max)
        max = (size_t)(*rule)->max_size;
    if (slu_publish_is_too_large(p, max))
        return (struct slu_refusal){ SLU_ETOO_LARGE, NULL, NULL };
    struct slu_refusal no = check_ack(slu_store_engine(b->store, (*rule)->log), *rule, p);
    if (!no.err && (*rule)->max_rate &&
        !slu_rate_allows(&s->worker->rates, p->topic, (*rule)->max_rate, s->worker->now_ms))
        return (struct slu_refusal){ SLU_ERATE_LIMITED, "the topic takes fewer messages a second than that",
                                     "publish more slowly" };
    return no;
}

struct slu_msg *slu_publish_message(struct slu_session *s, const struct slu_publish *p, struct slu_bytes reply)
{
    struct slu_msg_spec spec = {
        .topic = p->topic,
        .payload = p->payload,
        .key = p->key,
        .reply = reply,
        .dedup = p->dedup,
        .headers = p->headers,
        .kind = p->kind,
        .form = p->form,
        .retain = p->retain,
        .clear = p->clear,
        .ts_ms = s->worker->wall_ms,
        .publisher = s->serial,
    };
    if (p->ttl_ms)
        spec.expires_ms = s->worker->wall_ms + p->ttl_ms;
    return slu_msg_new(&s->worker->broker->account, &spec);
}
