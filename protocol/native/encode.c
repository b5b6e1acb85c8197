/* One function for each frame; the order of members is that of frames.def, so that equal events give equal bytes. */
#include "protocol/native/encode.h"

#include "protocol/native/frame.h"
#include "protocol/position.h"

struct writer {
    const struct slu_wire *wire;
    struct slu_buf *out;
    size_t opened_at;
    unsigned n;
};

static struct writer open_map(const struct slu_wire *wire, struct slu_buf *out)
{
    struct writer w = { .wire = wire, .out = out, .opened_at = out->len };

    wire->open_map(out);
    return w;
}

static void close_map(struct writer *w)
{
    w->wire->close_map(w->out, w->opened_at, w->n);
}

static void put_key(struct writer *w, enum slu_name name)
{
    w->wire->key(w->out, name, w->n++);
}

static void put_text(struct writer *w, enum slu_name name, struct slu_bytes v)
{
    put_key(w, name);
    w->wire->text(w->out, v);
}

/* Text that is left out when empty. */
static void put_optional(struct writer *w, enum slu_name name, struct slu_bytes v)
{
    if (v.len)
        put_text(w, name, v);
}

static void put_number(struct writer *w, enum slu_name name, uint64_t v)
{
    put_key(w, name);
    w->wire->number(w->out, v);
}

static void put_bool(struct writer *w, enum slu_name name, bool v)
{
    put_key(w, name);
    w->wire->boolean(w->out, v);
}

static struct writer open_frame(const struct slu_wire *wire, struct slu_buf *out, enum slu_op op)
{
    struct writer w = open_map(wire, out);

    put_text(&w, SLU_NAME_OP, slu_ops[op].text);
    return w;
}

static void put_id(struct writer *w, const struct slu_reqid *id)
{
    if (!id || id->type == SLU_ID_NONE)
        return;
    put_key(w, SLU_NAME_ID);
    if (id->type == SLU_ID_INT)
        w->wire->integer(w->out, id->number);
    else
        w->wire->text(w->out, slu_bytes(id->text, id->len));
}

static void put_position(struct writer *w, struct slu_pos pos)
{
    char epoch[SLU_EPOCH_TEXT];

    put_number(w, SLU_NAME_OFFSET, pos.offset);
    put_text(w, SLU_NAME_EPOCH, slu_bytes(epoch, slu_epoch_print(pos.epoch, epoch)));
}

static void put_headers(struct writer *w, struct slu_bytes headers)
{
    struct slu_bytes name, value;
    struct writer map;

    if (headers.len == 0)
        return;
    put_key(w, SLU_NAME_HEADERS);
    map = open_map(w->wire, w->out);
    while (slu_headers_next(&headers, &name, &value)) {
        w->wire->text_key(w->out, name, map.n++);
        w->wire->text(w->out, value);
    }
    close_map(&map);
}

static void put_message(struct writer *w, const struct slu_msg *m)
{
    put_text(w, SLU_NAME_TOPIC, m->topic);
    if (!m->clear)
        w->wire->payload(w->out, m, w->n++);
    put_number(w, SLU_NAME_TS, m->ts_ms);
    if (m->pos.offset)
        put_position(w, m->pos);
    put_optional(w, SLU_NAME_KEY, m->key);
    put_headers(w, m->headers);
}

static void put_member(struct writer *w, const struct slu_member *m)
{
    put_text(w, SLU_NAME_CONN, slu_str(m->conn));
    put_optional(w, SLU_NAME_USER, m->user);
    put_optional(w, SLU_NAME_INFO, m->info);
}

static void encode_hello(const struct slu_wire *wire, const struct slu_event *ev, struct slu_buf *out)
{
    struct writer w = open_frame(wire, out, SLU_OP_HELLO), limits;

    put_id(&w, ev->id);
    put_text(&w, SLU_NAME_CONN, slu_str(ev->hello.conn));
    put_text(&w, SLU_NAME_NODE, slu_str(ev->hello.node));
    put_optional(&w, SLU_NAME_USER, ev->hello.user);
    put_text(&w, SLU_NAME_PROTOCOL, slu_str(wire->name));
    put_number(&w, SLU_NAME_PING_S, ev->hello.ping_s);
    if (ev->hello.expires_s)
        put_number(&w, SLU_NAME_EXPIRES_S, ev->hello.expires_s);
    put_key(&w, SLU_NAME_LIMITS);
    limits = open_map(wire, out);
    put_number(&limits, SLU_NAME_PAYLOAD, ev->hello.limits.payload);
    put_number(&limits, SLU_NAME_FRAME, ev->hello.limits.frame);
    put_number(&limits, SLU_NAME_SUBSCRIPTIONS, ev->hello.limits.subscriptions);
    put_number(&limits, SLU_NAME_QUEUE_BYTES, ev->hello.limits.queue_bytes);
    put_number(&limits, SLU_NAME_QUEUE_MESSAGES, ev->hello.limits.queue_messages);
    close_map(&limits);
    close_map(&w);
}

static void put_members(struct writer *w, const struct slu_event *ev)
{
    put_number(w, SLU_NAME_COUNT, ev->ok.count);
    put_key(w, SLU_NAME_MEMBERS);
    w->wire->open_list(w->out, ev->ok.n_members);
    for (size_t i = 0; i < ev->ok.n_members; i++) {
        w->wire->next_item(w->out, i);
        struct writer member = open_map(w->wire, w->out);
        put_member(&member, &ev->ok.members[i]);
        close_map(&member);
    }
    w->wire->close_list(w->out);
    put_optional(w, SLU_NAME_NEXT, ev->ok.next_member);
}

static void put_items(struct writer *w, const struct slu_event *ev)
{
    put_key(w, SLU_NAME_ITEMS);
    w->wire->open_list(w->out, ev->ok.n_items);
    for (size_t i = 0; i < ev->ok.n_items; i++) {
        w->wire->next_item(w->out, i);
        struct writer item = open_map(w->wire, w->out);
        put_message(&item, ev->ok.items[i]);
        close_map(&item);
    }
    w->wire->close_list(w->out);
    if (ev->ok.next.offset) {
        put_key(w, SLU_NAME_NEXT);
        struct writer next = open_map(w->wire, w->out);
        put_position(&next, ev->ok.next);
        close_map(&next);
    }
}

static void encode_ok(const struct slu_wire *wire, const struct slu_event *ev, struct slu_buf *out)
{
    struct writer w = open_frame(wire, out, SLU_OP_OK);

    put_id(&w, ev->id);
    switch (ev->ok.what) {
    case SLU_OK_PLAIN:
        break;
    case SLU_OK_AUTH:
        if (ev->ok.expires_s)
            put_number(&w, SLU_NAME_EXPIRES_S, ev->ok.expires_s);
        break;
    case SLU_OK_SUB:
        put_number(&w, SLU_NAME_SUB, ev->ok.sub);
        put_bool(&w, SLU_NAME_RECOVERED, ev->ok.recovered);
        if (ev->ok.pos.epoch)
            put_position(&w, ev->ok.pos);
        put_optional(&w, SLU_NAME_CUR, ev->ok.cur);
        break;
    case SLU_OK_PUB:
        if (ev->ok.pos.epoch)
            put_position(&w, ev->ok.pos);
        put_number(&w, SLU_NAME_MATCHED, ev->ok.matched);
        break;
    case SLU_OK_REQ:
        if (ev->ok.data && !ev->ok.data->clear)
            wire->payload(out, ev->ok.data, w.n++);
        break;
    case SLU_OK_PRESENCE:
        put_members(&w, ev);
        break;
    case SLU_OK_HISTORY:
        put_items(&w, ev);
        break;
    }
    close_map(&w);
}

static void encode_err(const struct slu_wire *wire, const struct slu_event *ev, struct slu_buf *out)
{
    const struct slu_err_info *info = slu_err_info(ev->err.code);
    const char *hint = ev->err.hint ? ev->err.hint : info->hint;
    struct writer w = open_frame(wire, out, SLU_OP_ERR);

    put_id(&w, ev->id);
    put_text(&w, SLU_NAME_CODE, slu_str(info->code));
    put_number(&w, SLU_NAME_STATUS, (uint64_t)info->status);
    put_text(&w, SLU_NAME_MESSAGE, slu_str(ev->err.message ? ev->err.message : info->message));
    put_optional(&w, SLU_NAME_HINT, slu_str(hint));
    put_bool(&w, SLU_NAME_RETRY, info->retry);
    close_map(&w);
}

static void encode_msg(const struct slu_wire *wire, const struct slu_event *ev, struct slu_buf *out)
{
    struct writer w = open_frame(wire, out, SLU_OP_MSG);

    put_message(&w, ev->msg.msg);
    if (ev->msg.retained)
        put_bool(&w, SLU_NAME_RETAINED, true);
    put_optional(&w, SLU_NAME_REPLY, ev->msg.msg->reply);
    if (ev->msg.has_sub)
        put_number(&w, SLU_NAME_SUB, ev->msg.sub);
    if (ev->msg.try_no)
        put_number(&w, SLU_NAME_TRY, ev->msg.try_no);
    close_map(&w);
}

static void encode_gap(const struct slu_wire *wire, const struct slu_event *ev, struct slu_buf *out)
{
    static const char *const reasons[] = {
        [SLU_GAP_OVERFLOW] = "overflow", [SLU_GAP_TRIMMED] = "trimmed", [SLU_GAP_EPOCH] = "epoch",
        [SLU_GAP_EXPIRED] = "expired",   [SLU_GAP_CLUSTER] = "cluster", [SLU_GAP_SHED] = "shed"
    };
    struct writer w = open_frame(wire, out, SLU_OP_GAP);

    put_number(&w, SLU_NAME_SUB, ev->gap.sub);
    put_optional(&w, SLU_NAME_TOPIC, ev->gap.topic);
    if (ev->gap.lost)
        put_number(&w, SLU_NAME_LOST, ev->gap.lost);
    put_text(&w, SLU_NAME_REASON, slu_str(reasons[ev->gap.reason]));
    close_map(&w);
}

static void encode_cur(const struct slu_wire *wire, const struct slu_event *ev, struct slu_buf *out)
{
    struct writer w = open_frame(wire, out, SLU_OP_CUR);

    put_number(&w, SLU_NAME_SUB, ev->cur.sub);
    put_text(&w, SLU_NAME_CUR, ev->cur.cur);
    close_map(&w);
}

static void encode_presence(const struct slu_wire *wire, const struct slu_event *ev, struct slu_buf *out)
{
    struct writer w = open_frame(wire, out, ev->type == SLU_EV_JOIN ? SLU_OP_JOIN : SLU_OP_LEAVE);

    put_text(&w, SLU_NAME_TOPIC, ev->presence.topic);
    put_member(&w, &ev->presence.who);
    close_map(&w);
}

static void encode_end(const struct slu_wire *wire, const struct slu_event *ev, struct slu_buf *out)
{
    const struct slu_err_info *info = slu_err_info(ev->end.code);
    struct writer w = open_frame(wire, out, SLU_OP_END);

    put_number(&w, SLU_NAME_SUB, ev->end.sub);
    put_text(&w, SLU_NAME_CODE, slu_str(info->code));
    put_text(&w, SLU_NAME_MESSAGE, slu_str(ev->end.message ? ev->end.message : info->message));
    close_map(&w);
}

static void encode_ping(const struct slu_wire *wire, const struct slu_event *ev, struct slu_buf *out)
{
    struct writer w = open_frame(wire, out, ev->type == SLU_EV_PING ? SLU_OP_SERVER_PING : SLU_OP_PONG);

    put_id(&w, ev->id);
    if (ev->ping.has_t)
        put_number(&w, SLU_NAME_T, ev->ping.t);
    close_map(&w);
}

static void encode_bye(const struct slu_wire *wire, const struct slu_event *ev, struct slu_buf *out)
{
    const struct slu_close_info *info = slu_close_info(ev->bye.close);
    struct writer w = open_frame(wire, out, SLU_OP_BYE);

    put_number(&w, SLU_NAME_CLOSE, (uint64_t)ev->bye.close);
    put_text(&w, SLU_NAME_CODE, slu_str(info->word));
    put_text(&w, SLU_NAME_MESSAGE, slu_str(ev->bye.message ? ev->bye.message : info->reason));
    put_bool(&w, SLU_NAME_RETRY, info->retry != SLU_RETRY_NEVER);
    put_number(&w, SLU_NAME_AFTER_MS, ev->bye.after_ms);
    close_map(&w);
}

enum slu_err slu_native_encode(const struct slu_wire *wire, const struct slu_event *ev, struct slu_buf *out)
{
    typedef void encode_fn(const struct slu_wire *, const struct slu_event *, struct slu_buf *);
    static encode_fn *const encoders[] = {
        [SLU_EV_HELLO] = encode_hello,   [SLU_EV_OK] = encode_ok,          [SLU_EV_ERR] = encode_err,
        [SLU_EV_MSG] = encode_msg,       [SLU_EV_GAP] = encode_gap,        [SLU_EV_CUR] = encode_cur,
        [SLU_EV_JOIN] = encode_presence, [SLU_EV_LEAVE] = encode_presence, [SLU_EV_END] = encode_end,
        [SLU_EV_PONG] = encode_ping,     [SLU_EV_PING] = encode_ping,      [SLU_EV_BYE] = encode_bye,
    };

    if ((size_t)ev->type >= sizeof(encoders) / sizeof(encoders[0]) || !encoders[ev->type])
        return SLU_EUNSUPPORTED;
    encoders[ev->type](wire, ev, out);
    return out->failed ? SLU_ENOMEM : SLU_OK;
}
