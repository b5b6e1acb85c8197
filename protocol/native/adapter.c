/* The native protocol's connections: client frames become calls of the core. Both encodings run the same code over
 * their own table. Refusals answer with err and leave the connection open; only bytes that are no frame at all end
 * it. */
#include "protocol/adapter.h"

#include "broker/base/utf8.h"
#include "broker/core/link.h"
#include "broker/core/session.h"
#include "protocol/native/encode.h"
#include "protocol/native/frame.h"
#include "protocol/payload_filter.h"
#include "protocol/position.h"
#include "protocol/query.h"

struct conn {
    struct slu_session *session;
    const struct slu_wire *wire;
};

static const struct slu_field_value *value(const struct slu_frame *f, enum slu_name name)
{
    return &f->v[name];
}

static bool flag(const struct slu_frame *f, enum slu_name name)
{
    return f->v[name].present && f->v[name].flag;
}

static uint64_t number(const struct slu_frame *f, enum slu_name name)
{
    return f->v[name].present ? f->v[name].number : 0;
}

static struct slu_bytes text(const struct slu_frame *f, enum slu_name name)
{
    return f->v[name].present ? f->v[name].bytes : (struct slu_bytes){ NULL, 0 };
}

static struct slu_pos position(const struct slu_frame *f)
{
    return (struct slu_pos){ slu_epoch_parse(text(f, SLU_NAME_EPOCH)), number(f, SLU_NAME_OFFSET) };
}

static void on_connect(struct conn *c, const struct slu_frame *f)
{
    slu_session_login(c->session, &f->id, text(f, SLU_NAME_TOKEN), text(f, SLU_NAME_NAME));
}

static void on_auth(struct conn *c, const struct slu_frame *f)
{
    slu_session_renew(c->session, &f->id, text(f, SLU_NAME_TOKEN));
}

/* Compiles the filter member. An error has been answered when this is false. */
static bool compile_filter(struct conn *c, const struct slu_frame *f, struct slu_content_filter **out)
{
    const struct slu_field_value *v = value(f, SLU_NAME_FILTER);
    struct slu_buf json;
    const char *why = NULL;
    enum slu_err rc;

    *out = NULL;
    if (!v->present)
        return true;
    slu_buf_init(&json, 0);
    rc =
        c->wire->to_json(&v->filter, &json) ? slu_payload_filter_new(slu_buf_bytes(&json), out, &why) : SLU_EBAD_FILTER;
    slu_buf_fini(&json);
    if (rc != SLU_OK)
        slu_session_error(c->session, &f->id, rc, why,
                          "{\"headers.region\":\"eu\",\"data.px\":{\"gt\":100}} is a filter");
    return rc == SLU_OK;
}

static void on_sub(struct conn *c, const struct slu_frame *f)
{
    const struct slu_field_value *from = value(f, SLU_NAME_FROM), *conflate = value(f, SLU_NAME_CONFLATE);
    const struct slu_field_value *overflow = value(f, SLU_NAME_OVERFLOW), *echo = value(f, SLU_NAME_ECHO);
    struct slu_subscribe q = {
        .filter = text(f, SLU_NAME_TOPIC),
        .has_sub = value(f, SLU_NAME_SUB)->present,
        .sub = number(f, SLU_NAME_SUB),
        .from = SLU_FROM_NEW,
        .has_credit = value(f, SLU_NAME_CREDIT)->present,
        .credit = number(f, SLU_NAME_CREDIT),
        .has_overflow = overflow->present,
        .durable = text(f, SLU_NAME_DURABLE),
        .group = text(f, SLU_NAME_GROUP),
        .ack = flag(f, SLU_NAME_ACK),
        .ack_wait_ms = number(f, SLU_NAME_ACK_WAIT_MS),
        .max_try = (unsigned)number(f, SLU_NAME_MAX_TRY),
        .presence = flag(f, SLU_NAME_PRESENCE),
        .no_echo = echo->present && !echo->flag,
    };

    if (from->present) {
        q.from = from->from.from;
        q.from_n = from->from.n;
        q.from_pos = from->from.pos;
        q.from_cur = from->from.cur;
    }
    if (conflate->present) {
        q.conflate = true;
        q.conflate_by_key = conflate->conflate.by_key;
        q.hz = conflate->conflate.hz;
    }
    if (overflow->present)
        q.overflow = overflow->overflow;
    if (compile_filter(c, f, &q.content))
        slu_session_subscribe(c->session, &f->id, &q);
}

static void on_unsub(struct conn *c, const struct slu_frame *f)
{
    slu_session_unsubscribe(c->session, &f->id, value(f, SLU_NAME_SUB)->present, number(f, SLU_NAME_SUB),
                            text(f, SLU_NAME_TOPIC));
}

static void on_flow(struct conn *c, const struct slu_frame *f)
{
    slu_session_flow(c->session, &f->id, number(f, SLU_NAME_SUB), number(f, SLU_NAME_CREDIT));
}

/* What pub and req have in common. */
static struct slu_publish publish_of(const struct slu_frame *f)
{
    const struct slu_field_value *data = value(f, SLU_NAME_DATA), *bytes = value(f, SLU_NAME_DATA64);
    struct slu_publish p = { .topic = text(f, SLU_NAME_TOPIC),
                             .headers = text(f, SLU_NAME_HEADERS),
                             .kind = SLU_KIND_BINARY,
                             .form = SLU_FORM_RAW,
                             .ack = SLU_ACK_DEFAULT };

    if (data->present) {
        p.payload = data->payload.bytes;
        p.kind = data->payload.kind;
        p.form = data->payload.form;
    } else if (bytes->present) {
        p.payload = bytes->bytes;
    }
    return p;
}

static void on_pub(struct conn *c, const struct slu_frame *f)
{
    const struct slu_field_value *expect = value(f, SLU_NAME_EXPECT), *ack = value(f, SLU_NAME_ACK);
    struct slu_publish p = publish_of(f);

    p.key = text(f, SLU_NAME_KEY);
    p.dedup = text(f, SLU_NAME_DEDUP);
    p.retain = flag(f, SLU_NAME_RETAIN);
    p.clear = p.retain && !value(f, SLU_NAME_DATA)->present && !value(f, SLU_NAME_DATA64)->present;
    p.ttl_ms = number(f, SLU_NAME_TTL_S) * 1000;
    p.has_expect = expect->present;
    if (expect->present)
        p.expect = expect->position;
    if (ack->present)
        p.ack = ack->ack;
    slu_session_publish(c->session, &f->id, &p);
}

static void on_req(struct conn *c, const struct slu_frame *f)
{
    struct slu_publish p = publish_of(f);

    slu_session_request(c->session, &f->id, &p, number(f, SLU_NAME_TIMEOUT_MS));
}

static void on_ack(struct conn *c, const struct slu_frame *f)
{
    slu_session_ack(c->session, &f->id, number(f, SLU_NAME_SUB), text(f, SLU_NAME_TOPIC), position(f),
                    flag(f, SLU_NAME_UPTO));
}

static void on_nack(struct conn *c, const struct slu_frame *f)
{
    slu_session_nack(c->session, &f->id, number(f, SLU_NAME_SUB), text(f, SLU_NAME_TOPIC), position(f),
                     number(f, SLU_NAME_DELAY_MS), flag(f, SLU_NAME_DROP));
}

static void on_presence(struct conn *c, const struct slu_frame *f)
{
    slu_session_presence(c->session, &f->id, text(f, SLU_NAME_TOPIC), number(f, SLU_NAME_LIMIT),
                         text(f, SLU_NAME_AFTER));
}

static void on_history(struct conn *c, const struct slu_frame *f)
{
    struct slu_from_value from = { .from = SLU_FROM_NEW };

    if (value(f, SLU_NAME_FROM)->present)
        from = value(f, SLU_NAME_FROM)->from;
    if (from.from == SLU_FROM_CUR) {
        slu_session_error(c->session, &f->id, SLU_EUNSUPPORTED, "history does not take a cur",
                          "use offset and epoch, since, last or first");
        return;
    }
    slu_session_history(c->session, &f->id, text(f, SLU_NAME_TOPIC), from.from, from.n, from.pos,
                        number(f, SLU_NAME_LIMIT), flag(f, SLU_NAME_REVERSE));
}

static void on_ping(struct conn *c, const struct slu_frame *f)
{
    slu_session_ping(c->session, &f->id, value(f, SLU_NAME_T)->present, number(f, SLU_NAME_T));
}

static void dispatch(struct conn *c, const struct slu_frame *f)
{
    typedef void handler_fn(struct conn *, const struct slu_frame *);
    static handler_fn *const handlers[SLU_OPS_N] = {
        [SLU_OP_CONNECT] = on_connect, [SLU_OP_AUTH] = on_auth, [SLU_OP_SUB] = on_sub,
        [SLU_OP_UNSUB] = on_unsub,     [SLU_OP_FLOW] = on_flow, [SLU_OP_PUB] = on_pub,
        [SLU_OP_ACK] = on_ack,         [SLU_OP_NACK] = on_nack, [SLU_OP_PRESENCE] = on_presence,
        [SLU_OP_HISTORY] = on_history, [SLU_OP_REQ] = on_req,   [SLU_OP_PING] = on_ping,
    };

    handlers[f->op](c, f);
}

/* A frame that could not be decoded. The login goes by it all the same, so that hello stays the first frame. */
static void refuse(struct conn *c, const struct slu_frame *f, enum slu_err rc)
{
    bool is_open = slu_session_is_open(c->session);

    if (!f->broken && !is_open)
        is_open = slu_session_login_implicit(c->session, &f->id);
    if (is_open)
        slu_session_error(c->session, &f->id, rc, f->why[0] ? f->why : NULL, NULL);
    if (f->broken)
        slu_session_close(c->session, SLU_CLOSE_BAD_FRAME, f->broken);
}

static void handle(struct conn *c, struct slu_bytes in)
{
    struct slu_frame f;
    enum slu_err rc;

    slu_frame_init(&f);
    rc = slu_frame_decode(c->wire, in, &f);
    if (rc != SLU_OK)
        refuse(c, &f, rc);
    else if (f.op == SLU_OP_CONNECT || slu_session_is_open(c->session) || slu_session_login_implicit(c->session, &f.id))
        dispatch(c, &f);
    slu_frame_fini(&f);
}

static void on_message(void *conn, bool is_text, struct slu_bytes in)
{
    struct conn *c = conn;

    if (is_text != c->wire->is_text)
        slu_session_close(c->session, SLU_CLOSE_DATA_TYPE,
                          is_text ? "sluice.v1.cbor takes binary messages" : "sluice.v1.json takes text messages");
    else
        handle(c, in);
}

/* ?sub=filter, as often as one likes: the handshake's identity subscribes before any frame. */
static void subscribe_from_query(struct conn *c, struct slu_bytes query)
{
    struct slu_bytes name, encoded;
    struct slu_reqid none = { .type = SLU_ID_NONE };
    struct slu_buf filter;

    slu_buf_init(&filter, 0);
    while (slu_query_next(&query, &name, &encoded)) {
        struct slu_subscribe q = { .from = SLU_FROM_NEW };
        if (!slu_bytes_eq(name, SLU_LIT("sub")))
            continue;
        if (!slu_session_is_open(c->session) && !slu_session_login_implicit(c->session, NULL))
            break;
        slu_buf_clear(&filter);
        if (slu_query_decode(encoded, &filter) && slu_utf8_valid(slu_buf_bytes(&filter))) {
            q.filter = slu_buf_bytes(&filter);
            slu_session_subscribe(c->session, &none, &q);
        } else {
            slu_session_error(c->session, &none, SLU_EBAD_FILTER, "?sub= is not percent-encoded UTF-8", NULL);
        }
    }
    slu_buf_fini(&filter);
}

static enum slu_err open_conn(void *conn, struct slu_session *s, const struct slu_peer *peer,
                              const struct slu_wire *wire)
{
    struct conn *c = conn;

    c->session = s;
    c->wire = wire;
    subscribe_from_query(c, peer->query);
    return SLU_OK;
}

static enum slu_err open_json(void *conn, struct slu_session *s, const struct slu_peer *peer)
{
    return open_conn(conn, s, peer, &slu_wire_json);
}

static enum slu_err open_cbor(void *conn, struct slu_session *s, const struct slu_peer *peer)
{
    return open_conn(conn, s, peer, &slu_wire_cbor);
}

static enum slu_err encode_json(void *conn, const struct slu_event *ev, struct slu_buf *out)
{
    (void)conn;
    return slu_native_encode(&slu_wire_json, ev, out);
}

static enum slu_err encode_cbor(void *conn, const struct slu_event *ev, struct slu_buf *out)
{
    (void)conn;
    return slu_native_encode(&slu_wire_cbor, ev, out);
}

static void on_close(void *conn)
{
    (void)conn;
}

const struct slu_adapter slu_adapter_native_json = {
    .name = "sluice.v1.json",
    .conn_size = sizeof(struct conn),
    .wire = 0,
    .is_text = true,
    .has_bye = true,
    .needs_login = true,
    .on_open = open_json,
    .on_message = on_message,
    .encode = encode_json,
    .on_close = on_close,
};

const struct slu_adapter slu_adapter_native_cbor = {
    .name = "sluice.v1.cbor",
    .conn_size = sizeof(struct conn),
    .wire = 1,
    .is_text = false,
    .has_bye = true,
    .needs_login = true,
    .on_open = open_cbor,
    .on_message = on_message,
    .encode = encode_cbor,
    .on_close = on_close,
};
