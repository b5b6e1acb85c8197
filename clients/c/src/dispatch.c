/* Server frames: one handler for each op, found in one table. The peer is not trusted: what does not parse is a protocol
 * violation, what does not fit is ignored. */
#include "clients/c/src/message.h"

enum { SCRATCH_KEEP = 256 * 1024 };

typedef void frame_fn(sluice_client *c, const struct slu_frame *f);

static struct sluice_error read_error(sluice_client *c, const struct slu_frame *f)
{
    struct sluice_error e = { .status = SLUICE_EBROKER };
    uint64_t status = 0;
    e.code = slu_frame_str(f, "code", &c->scratch);
    e.message = slu_frame_str(f, "message", &c->scratch);
    e.hint = slu_frame_str(f, "hint", &c->scratch);
    e.retry = slu_frame_bool(f, "retry");
    if (slu_frame_u64(f, "status", &status) && status < 1000)
        e.http_status = (int)status;
    return e;
}

static struct slu_pending *answered(sluice_client *c, const struct slu_frame *f)
{
    uint64_t id;
    return slu_frame_u64(f, "id", &id) ? slu_pending_get(c, id) : NULL;
}

static void on_hello(sluice_client *c, const struct slu_frame *f)
{
    struct sluice_state_event e = { .state = SLUICE_CONNECTED };
    const struct slu_json_value *v = slu_frame_get(f, "ping_s");
    double ping_s = 0;
    e.conn = slu_frame_str(f, "conn", &c->scratch);
    e.node = slu_frame_str(f, "node", &c->scratch);
    e.user = slu_frame_str(f, "user", &c->scratch);
    if (!v || !slu_json_double(v, &ping_s))
        ping_s = 0;
    slu_conn_hello(c, &e, ping_s);
}

static void read_items(sluice_client *c, const struct slu_frame *f, struct slu_pending *p, struct sluice_result *r)
{
    const struct slu_json_value *items = slu_frame_get(f, "items");
    sluice_item_fn *item = p->item;
    void *arg = p->arg;
    struct slu_json_iter it;
    struct slu_json_value v;
    if (!items || items->type != SLU_JSON_ARRAY)
        return;
    slu_json_iter_init(&it, items->raw);
    while (!slu_is_over(c) && slu_json_next(&it, &v)) {
        struct slu_frame one;
        struct sluice_message m;
        uint64_t number;
        bool has_number;
        slu_buf_clear(&c->scratch);
        if (v.type != SLU_JSON_OBJECT || !slu_json_scan_object(v.raw, one.m, SLU_FRAME_MEMBERS, &one.n, NULL) ||
            !slu_message_read(one.m, one.n, &c->scratch, &m, &number, &has_number))
            continue;
        r->count++;
        if (item)
            item(arg, c, &m);
    }
    slu_buf_clear(&c->scratch);
}

static struct sluice_member read_member(sluice_client *c, const struct slu_frame *f)
{
    struct sluice_member who = { 0 };
    who.topic = slu_frame_str(f, "topic", &c->scratch);
    who.conn = slu_frame_str(f, "conn", &c->scratch);
    who.user = slu_frame_str(f, "user", &c->scratch);
    who.info = slu_frame_raw(f, "info");
    return who;
}

static void read_members(sluice_client *c, const struct slu_frame *f, struct slu_pending *p)
{
    const struct slu_json_value *members = slu_frame_get(f, "members");
    sluice_member_fn *member = p->member;
    void *arg = p->arg;
    struct slu_json_iter it;
    struct slu_json_value v;
    if (!members || members->type != SLU_JSON_ARRAY || !member)
        return;
    slu_json_iter_init(&it, members->raw);
    while (!slu_is_over(c) && slu_json_next(&it, &v)) {
        struct slu_frame one;
        slu_buf_clear(&c->scratch);
        if (v.type != SLU_JSON_OBJECT || !slu_json_scan_object(v.raw, one.m, SLU_FRAME_MEMBERS, &one.n, NULL))
            continue;
        struct sluice_member who = read_member(c, &one);
        who.joined = true;
        member(arg, c, &who);
    }
    slu_buf_clear(&c->scratch);
}

static void on_ok(sluice_client *c, const struct slu_frame *f)
{
    struct slu_pending *p = answered(c, f);
    struct sluice_result r = { .frame = slu_span(f->text) };
    uint64_t id;
    if (!p)
        return;
    id = p->id;
    if (p->kind == SLU_P_HISTORY)
        read_items(c, f, p, &r);
    else if (p->kind == SLU_P_PRESENCE)
        read_members(c, f, p);
    if (slu_is_over(c) || !(p = slu_pending_get(c, id)))
        return;
    const struct slu_json_value *recovered = slu_frame_get(f, "recovered");
    r.recovered = !recovered || recovered->type != SLU_JSON_FALSE;
    r.next = slu_frame_raw(f, "next");
    if (slu_frame_u64(f, "offset", &r.offset))
        r.epoch = slu_frame_str(f, "epoch", &c->scratch);
    (void)slu_frame_u64(f, "matched", &r.matched);
    if (p->kind == SLU_P_PRESENCE)
        (void)slu_frame_u64(f, "count", &r.count);
    uint64_t number;
    bool has_number;
    if (p->kind == SLU_P_REQUEST && !slu_message_read(f->m, f->n, &c->scratch, &r.reply, &number, &has_number))
        r.error = (struct sluice_error){ .status = SLUICE_EPROTO };
    if (p->kind == SLU_P_SUB) {
        uint32_t slot = p->sub_slot;
        uint64_t serial = p->sub_serial;
        struct sluice_span cur = slu_frame_str(f, "cur", &c->scratch);
        slu_pending_drop(c, p);
        slu_sub_answer(c, slot, serial, &r, slu_span_bytes(cur));
        return;
    }
    slu_pending_complete(c, p, &r);
}

static void on_err(sluice_client *c, const struct slu_frame *f)
{
    struct slu_pending *p = answered(c, f);
    struct sluice_result r = { .error = read_error(c, f), .frame = slu_span(f->text) };
    if (!p) {
        if (c->o.on_error)
            c->o.on_error(c->o.arg, c, &r.error);
        return;
    }
    if (p->kind == SLU_P_SUB) {
        uint32_t slot = p->sub_slot;
        uint64_t serial = p->sub_serial;
        slu_pending_drop(c, p);
        slu_sub_answer(c, slot, serial, &r, slu_bytes(NULL, 0));
        return;
    }
    slu_pending_complete(c, p, &r);
}

static void on_msg(sluice_client *c, const struct slu_frame *f)
{
    struct sluice_message m;
    uint64_t number = 0;
    bool has_number;
    if (slu_message_read(f->m, f->n, &c->scratch, &m, &number, &has_number))
        slu_sub_message(c, &m, number, has_number);
    else
        slu_conn_violation(c, 1002, "the broker sent a broken message");
}

static void on_gap(sluice_client *c, const struct slu_frame *f)
{
    struct sluice_gap g = { 0 };
    uint64_t number;
    if (!slu_frame_u64(f, "sub", &number))
        return;
    g.topic = slu_frame_str(f, "topic", &c->scratch);
    g.reason = slu_frame_str(f, "reason", &c->scratch);
    g.lost_known = slu_frame_u64(f, "lost", &g.lost);
    slu_sub_gap(c, &g, number);
}

static void on_cur(sluice_client *c, const struct slu_frame *f)
{
    uint64_t number;
    if (slu_frame_u64(f, "sub", &number))
        slu_sub_cur(c, number, slu_span_bytes(slu_frame_str(f, "cur", &c->scratch)));
}

static void on_presence(sluice_client *c, const struct slu_frame *f, bool joined)
{
    struct sluice_member who = read_member(c, f);
    who.joined = joined;
    if (who.topic.data)
        slu_sub_presence(c, &who);
}

static void on_join(sluice_client *c, const struct slu_frame *f)
{
    on_presence(c, f, true);
}

static void on_leave(sluice_client *c, const struct slu_frame *f)
{
    on_presence(c, f, false);
}

static void on_end(sluice_client *c, const struct slu_frame *f)
{
    struct sluice_error e = read_error(c, f);
    uint64_t number;
    if (slu_frame_u64(f, "sub", &number))
        slu_sub_end(c, number, &e);
}

static void on_pong(sluice_client *c, const struct slu_frame *f)
{
    struct slu_pending *p = answered(c, f);
    struct sluice_result r = { .frame = slu_span(f->text) };
    if (p)
        slu_pending_complete(c, p, &r);
}

static void on_ping(sluice_client *c, const struct slu_frame *f)
{
    (void)c, (void)f; /* a sign of life: noted when it was read */
}

static void on_bye(sluice_client *c, const struct slu_frame *f)
{
    uint64_t close = 0, after_ms = 0;
    struct sluice_error e = read_error(c, f);
    (void)slu_frame_u64(f, "close", &close);
    (void)slu_frame_u64(f, "after_ms", &after_ms);
    if (close < 1000 || close > 4999)
        return;
    c->bye_seen = true;
    c->bye_close = (int)close;
    c->bye_retry = e.retry;
    c->bye_after_ms = after_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)after_ms;
    slu_buf_clear(&c->bye_text);
    slu_buf_clear(&c->bye_code);
    slu_buf_add_bytes(&c->bye_text, slu_span_bytes(e.message));
    slu_buf_add_bytes(&c->bye_code, slu_span_bytes(e.code));
}

static const struct {
    struct slu_bytes op;
    frame_fn *fn;
} handlers[] = {
#define OP(name)                                                 \
    {                                                            \
        { (const uint8_t *)#name, sizeof(#name) - 1 }, on_##name \
    }
    OP(msg), OP(ok), OP(err), OP(cur), OP(gap), OP(join), OP(leave), OP(end), OP(pong), OP(ping), OP(bye), OP(hello),
#undef OP
};

void slu_rx_text(sluice_client *c, struct slu_bytes text)
{
    struct slu_frame f = { .text = text };
    if (!slu_utf8_valid(text)) {
        slu_conn_violation(c, 1007, "the broker sent text that is not UTF-8");
        return;
    }
    if (!slu_json_scan_object(text, f.m, SLU_FRAME_MEMBERS, &f.n, NULL)) {
        slu_conn_violation(c, 1002, "the broker sent a frame that is not valid JSON");
        return;
    }
    /* Decoded strings must not move once they are handed on. What is escaped may be decoded twice on the way. */
    bool escaped = memchr(text.data, '\\', text.len) != NULL;
    slu_buf_clear(&c->scratch);
    if (!slu_buf_reserve(&c->scratch, (escaped ? 3 : 1) * text.len + 1)) {
        slu_conn_lost(c, 1006, SLUICE_ENOMEM, "out of memory");
        return;
    }
    const struct slu_json_value *op = slu_frame_get(&f, "op");
    for (size_t i = 0; op && i < sizeof(handlers) / sizeof(handlers[0]); i++) {
        if (slu_json_string_is(op, handlers[i].op)) {
            handlers[i].fn(c, &f);
            break;
        }
    }
    if (c->scratch.cap > SCRATCH_KEEP && !slu_is_over(c)) {
        slu_buf_fini(&c->scratch);
        slu_buf_init(&c->scratch, 0);
    }
}
