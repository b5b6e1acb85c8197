#include "tests/support/core_bench.h"

#include "broker/core/link.h"
#include "protocol/adapter.h"
#include "tests/support/faulty_alloc.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

struct slu_link {
    struct peer peer;
};

static struct peer *peer_of(struct slu_link *l)
{
    return &l->peer;
}

/* --- the link ----------------------------------------------------------------------------------------------------- */

static size_t link_header(bool is_text, size_t len, uint8_t out[14])
{
    (void)is_text;
    for (unsigned i = 0; i < 4; i++)
        out[i] = (uint8_t)(len >> 8 * i);
    return 4;
}

static size_t link_ping(uint8_t out[32])
{
    memcpy(out, "\4\0\0\0PING", 8);
    return 8;
}

static bool link_writable(struct slu_link *l)
{
    return peer_of(l)->held.len == 0;
}

static enum slu_err link_write(struct slu_link *l, struct slu_bytes frames)
{
    struct peer *p = peer_of(l);
    cr_assert(p->held.len == 0 && !p->closed, "written to a link that takes nothing");
    if (p->dead)
        return SLU_EUNAVAILABLE;
    faulty_alloc_spare(true);
    slu_buf_add_bytes(p->stopped || p->takes ? &p->held : &p->got, frames);
    faulty_alloc_spare(false);
    return SLU_OK;
}

static void link_want_writable(struct slu_link *l)
{
    peer_of(l)->wants_writable = true;
}

static void link_read(struct slu_link *l, bool on)
{
    peer_of(l)->is_read_on = on;
}

static void link_close(struct slu_link *l, enum slu_close code, const char *reason)
{
    struct peer *p = peer_of(l);
    cr_assert(!p->closed);
    cr_assert(!reason || strlen(reason) <= 123);
    p->closed = true;
    p->close_code = (int)code;
}

static size_t link_held(struct slu_link *l)
{
    return peer_of(l)->held.len;
}

static const struct slu_link_ops link_ops = {
    .frame_header = link_header,
    .ping_frame = link_ping,
    .writable = link_writable,
    .write = link_write,
    .want_writable = link_want_writable,
    .read = link_read,
    .close = link_close,
    .held = link_held,
};

/* What the socket took since the last turn. */
static void link_move(struct peer *p)
{
    if (!p->session)
        return;
    size_t n = p->stopped ? 0 : p->takes && p->takes < p->held.len ? p->takes : p->held.len;
    bool was_held = p->held.len != 0;
    if (n) {
        faulty_alloc_spare(true);
        slu_buf_add(&p->got, p->held.data, n);
        memmove(p->held.data, p->held.data + n, p->held.len - n);
        p->held.len -= n;
        faulty_alloc_spare(false);
    }
    if (p->closed && !p->manual_gone) {
        slu_session_gone(p->session);
        p->session = NULL;
    } else if (!p->held.len && (was_held || p->wants_writable)) {
        p->wants_writable = false;
        slu_session_writable(p->session);
    }
}

/* --- the adapter -------------------------------------------------------------------------------------------------- */

static enum slu_err on_open(void *conn, struct slu_session *s, const struct slu_peer *peer)
{
    (void)s, (void)peer;
    *(struct peer **)conn = NULL;
    return SLU_OK;
}

static void on_message(void *conn, bool is_text, struct slu_bytes in)
{
    (void)conn, (void)is_text, (void)in;
}

static void on_close(void *conn)
{
    (void)conn;
}

static void add_id(struct slu_buf *out, const struct slu_reqid *id)
{
    if (id && id->type == SLU_ID_INT)
        slu_buf_addf(out, " %lld", (long long)id->number);
}

static void add_named(struct slu_buf *out, const char *name, struct slu_bytes v)
{
    if (v.len)
        slu_buf_addf(out, " %s=%.*s", name, (int)v.len, (const char *)v.data);
}

static void add_ok(struct slu_buf *out, const struct slu_event *ev)
{
    slu_buf_add_str(out, "ok");
    add_id(out, ev->id);
    if (ev->ok.what == SLU_OK_SUB)
        slu_buf_addf(out, " sub=%llu rec=%d", (unsigned long long)ev->ok.sub, ev->ok.recovered);
    if (ev->ok.pos.epoch)
        slu_buf_addf(out, " pos=%llx.%llu", (unsigned long long)ev->ok.pos.epoch,
                     (unsigned long long)ev->ok.pos.offset);
    add_named(out, "cur", ev->ok.cur);
    if (ev->ok.what == SLU_OK_PUB)
        slu_buf_addf(out, " matched=%u", ev->ok.matched);
    if (ev->ok.what == SLU_OK_REQ)
        add_named(out, "data", ev->ok.data->payload);
    if (ev->ok.what == SLU_OK_PRESENCE) {
        slu_buf_addf(out, " count=%llu members=", (unsigned long long)ev->ok.count);
        for (size_t i = 0; i < ev->ok.n_members; i++)
            slu_buf_addf(out, "%s%s", i ? "," : "", ev->ok.members[i].conn);
        add_named(out, "next", ev->ok.next_member);
    }
    if (ev->ok.what == SLU_OK_HISTORY) {
        slu_buf_add_str(out, " items=");
        for (size_t i = 0; i < ev->ok.n_items; i++)
            slu_buf_addf(out, "%s%.*s", i ? "," : "", (int)ev->ok.items[i]->payload.len,
                         (const char *)ev->ok.items[i]->payload.data);
        if (ev->ok.next.offset)
            slu_buf_addf(out, " next=%llu", (unsigned long long)ev->ok.next.offset);
    }
}

static void add_msg(struct slu_buf *out, const struct slu_event *ev)
{
    const struct slu_msg *m = ev->msg.msg;
    slu_buf_add_str(out, "msg ");
    slu_buf_add_bytes(out, m->topic);
    slu_buf_add_str(out, " ");
    slu_buf_add_bytes(out, m->payload);
    if (m->pos.offset)
        slu_buf_addf(out, " @%llu", (unsigned long long)m->pos.offset);
    if (ev->msg.has_sub)
        slu_buf_addf(out, " sub=%llu", (unsigned long long)ev->msg.sub);
    if (ev->msg.retained)
        slu_buf_add_str(out, " retained");
    if (ev->msg.try_no)
        slu_buf_addf(out, " try=%u", ev->msg.try_no);
    add_named(out, "key", m->key);
    add_named(out, "reply", m->reply);
}

static const char *reason_of(enum slu_gap_reason r)
{
    static const char *const names[] = { "overflow", "trimmed", "epoch", "expired", "cluster", "shed" };
    return names[r];
}

static void add_presence(struct slu_buf *out, const char *op, const struct slu_event *ev)
{
    slu_buf_addf(out, "%s %.*s %s", op, (int)ev->presence.topic.len, (const char *)ev->presence.topic.data,
                 ev->presence.who.conn);
    add_named(out, "user", ev->presence.who.user);
}

static enum slu_err encode(void *conn, const struct slu_event *ev, struct slu_buf *out)
{
    (void)conn;
    switch (ev->type) {
    case SLU_EV_HELLO:
        slu_buf_addf(out, "hello %s user=%.*s", ev->hello.conn, (int)ev->hello.user.len,
                     (const char *)ev->hello.user.data);
        break;
    case SLU_EV_OK:
        add_ok(out, ev);
        break;
    case SLU_EV_ERR:
        slu_buf_add_str(out, "err");
        add_id(out, ev->id);
        slu_buf_addf(out, " %s", slu_err_info(ev->err.code)->code);
        break;
    case SLU_EV_MSG:
        add_msg(out, ev);
        break;
    case SLU_EV_GAP:
        slu_buf_addf(out, "gap %llu", (unsigned long long)ev->gap.sub);
        if (ev->gap.topic.len)
            slu_buf_addf(out, " %.*s", (int)ev->gap.topic.len, (const char *)ev->gap.topic.data);
        slu_buf_addf(out, " lost=%llu %s", (unsigned long long)ev->gap.lost, reason_of(ev->gap.reason));
        break;
    case SLU_EV_CUR:
        slu_buf_addf(out, "cur %llu %.*s", (unsigned long long)ev->cur.sub, (int)ev->cur.cur.len,
                     (const char *)ev->cur.cur.data);
        break;
    case SLU_EV_JOIN:
        add_presence(out, "join", ev);
        break;
    case SLU_EV_LEAVE:
        add_presence(out, "leave", ev);
        break;
    case SLU_EV_END:
        slu_buf_addf(out, "end %llu %s", (unsigned long long)ev->end.sub, slu_err_info(ev->end.code)->code);
        break;
    case SLU_EV_PONG:
        slu_buf_add_str(out, "pong");
        add_id(out, ev->id);
        if (ev->ping.has_t)
            slu_buf_addf(out, " t=%llu", (unsigned long long)ev->ping.t);
        break;
    case SLU_EV_PING:
        slu_buf_add_str(out, "ping");
        break;
    case SLU_EV_BYE:
        slu_buf_addf(out, "bye %d %s", (int)ev->bye.close, slu_close_info(ev->bye.close)->word);
        break;
    case SLU_EV_RAW:
        slu_buf_add_bytes(out, ev->raw.bytes);
        break;
    }
    return out->failed ? SLU_ENOMEM : SLU_OK;
}

static enum slu_err encode_other(void *conn, const struct slu_event *ev, struct slu_buf *out)
{
    slu_buf_add_str(out, "~");
    return encode(conn, ev, out);
}

static const struct slu_adapter adapter_first = {
    .name = "test.1",
    .conn_size = sizeof(void *),
    .wire = 0,
    .is_text = true,
    .needs_login = true,
    .has_bye = true,
    .on_open = on_open,
    .on_message = on_message,
    .encode = encode,
    .on_close = on_close,
};

static const struct slu_adapter adapter_other = {
    .name = "test.2",
    .conn_size = sizeof(void *),
    .wire = 1,
    .is_text = false,
    .needs_login = true,
    .has_bye = true,
    .on_open = on_open,
    .on_message = on_message,
    .encode = encode_other,
    .on_close = on_close,
};

/* --- the bench ---------------------------------------------------------------------------------------------------- */

static const struct slu_bytes all_filters[] = { { (const uint8_t *)"#", 1 },
                                                { (const uint8_t *)"$DEAD/#", 7 },
                                                { (const uint8_t *)"$SYS/#", 6 } };
static const struct slu_bytes few_filters[] = { { (const uint8_t *)"a/#", 3 } };

static enum slu_err auth_login(void *arg, const struct slu_credentials *c, struct slu_identity *out, const char **why)
{
    struct bench *b = arg;
    if (slu_bytes_eq(c->token, SLU_LIT("bad"))) {
        *why = "no such token";
        return SLU_ETOKEN_INVALID;
    }
    if (!c->token.len && b->no_anonymous)
        return SLU_EAUTH_REQUIRED;
    *out = (struct slu_identity){ .pub = all_filters, .n_pub = 3, .sub = all_filters, .n_sub = 3 };
    if (slu_bytes_eq(c->token, SLU_LIT("ro"))) {
        out->n_pub = 0;
        out->sub = few_filters;
        out->n_sub = 1;
        out->user = SLU_LIT("eve");
    } else if (slu_bytes_eq(c->token, SLU_LIT("short"))) {
        out->user = SLU_LIT("eve");
        out->expires_ms = b->wall_ms + 60000;
    } else if (slu_bytes_eq(c->token, SLU_LIT("eve"))) {
        out->user = SLU_LIT("eve");
    } else if (c->token.len) {
        out->user = SLU_LIT("user");
    }
    return SLU_OK;
}

static void wake(void *arg)
{
    *(bool *)arg = true;
}

struct bench *bench_new_with(const struct bench_options *o)
{
    struct bench *b = calloc(1, sizeof(*b));
    struct slu_settings set;
    slu_settings_default(&set);
    set.node = "bench";
    set.workers = o->workers ? o->workers : 1;
    if (o->set)
        o->set(&set);
    struct slu_auth auth = { auth_login, b };
    b->n = set.workers;
    b->now_ms = 1000;
    b->wall_ms = 1763670000000;
    b->rng = 88172645463325252u;
    struct slu_store_engines engines = { .durable = o->durable, .memory = o->engine ? o->engine : &slu_engine_memory };
    struct slu_buf why;
    slu_buf_init(&why, 0);
    cr_assert(slu_broker_new(&set, &auth, &engines, &why, &b->broker) == SLU_OK, "%.*s", (int)why.len,
              (const char *)why.data);
    slu_buf_fini(&why);
    if (o->rules) {
        struct slu_rules *rules;
        cr_assert(slu_rules_new(o->rules, o->n_rules, &rules) == SLU_OK);
        slu_broker_set_rules(b->broker, rules);
    }
    for (unsigned i = 0; i < b->n; i++)
        cr_assert(slu_worker_new(b->broker, i, wake, &b->woken[i], &b->workers[i]) == SLU_OK);
    bench_settle(b);
    b->used_at_start = bench_used(b);
    return b;
}

struct bench *bench_new(unsigned workers)
{
    return bench_new_with(&(struct bench_options){ .workers = workers });
}

static void peer_free(struct peer *p)
{
    slu_buf_fini(&p->held);
    slu_buf_fini(&p->got);
    free(slu_container_of(p, struct slu_link, peer));
}

void bench_free(struct bench *b)
{
    for (struct peer *p = b->peers; p; p = p->next)
        peer_cut(p);
    bench_settle(b);
    cr_assert(slu_broker_sessions(b->broker) == 0);
    for (unsigned i = 0; i < b->n; i++)
        slu_worker_free(b->workers[i]);
    slu_broker_free(b->broker);
    while (b->peers) {
        struct peer *p = b->peers;
        b->peers = p->next;
        peer_free(p);
    }
    free(b);
}

static void turn_begin(struct bench *b, unsigned worker)
{
    b->woken[worker] = false;
    slu_worker_turn_begin(b->workers[worker], b->now_ms, b->wall_ms);
}

static void turn_end(struct bench *b, unsigned worker)
{
    b->idle_ms[worker] = slu_worker_turn_end(b->workers[worker]);
}

void bench_turn(struct bench *b, unsigned worker)
{
    turn_begin(b, worker);
    for (struct peer *p = b->peers; p; p = p->next)
        if (p->worker == worker)
            link_move(p);
    turn_end(b, worker);
}

static bool peer_is_busy(const struct peer *p)
{
    return p->session && ((p->held.len && !p->stopped) || p->wants_writable || (p->closed && !p->manual_gone));
}

static bool is_busy(const struct bench *b)
{
    for (unsigned i = 0; i < b->n; i++)
        if (b->woken[i] || b->idle_ms[i] == 0)
            return true;
    for (struct peer *p = b->peers; p; p = p->next)
        if (peer_is_busy(p))
            return true;
    return false;
}

void bench_settle(struct bench *b)
{
    unsigned rounds = 0;
    do {
        for (unsigned i = 0; i < b->n; i++)
            bench_turn(b, i);
        cr_assert(rounds++ < 1000000, "the bench does not settle");
    } while (is_busy(b));
}

void bench_advance(struct bench *b, uint64_t ms)
{
    uint64_t until = b->now_ms + ms;
    bench_settle(b);
    while (b->now_ms < until) {
        uint64_t step = until - b->now_ms;
        for (unsigned i = 0; i < b->n; i++)
            if (b->idle_ms[i] < step)
                step = b->idle_ms[i] ? b->idle_ms[i] : 1;
        b->now_ms += step;
        b->wall_ms += step;
        bench_settle(b);
    }
}

uint64_t bench_random(struct bench *b, uint64_t bound)
{
    b->rng ^= b->rng << 13;
    b->rng ^= b->rng >> 7;
    b->rng ^= b->rng << 17;
    return b->rng % bound;
}

size_t bench_used(const struct bench *b)
{
    return atomic_load(&slu_broker_account(b->broker)->used);
}

/* --- peers -------------------------------------------------------------------------------------------------------- */

static struct peer *open_with(struct bench *b, unsigned worker, const char *user, const struct slu_adapter *a)
{
    faulty_alloc_spare(true);
    struct slu_link *l = calloc(1, sizeof(*l));
    faulty_alloc_spare(false);
    struct peer *p = &l->peer;
    p->bench = b;
    p->worker = worker;
    p->is_read_on = true;
    p->is_other_wire = a == &adapter_other;
    p->next = b->peers;
    b->peers = p;
    struct slu_peer who = { .address = "192.0.2.1",
                            .path = SLU_LIT("/ws"),
                            .bearer = user ? slu_str(user) : (struct slu_bytes){ 0 } };
    turn_begin(b, worker);
    if (slu_session_open(b->workers[worker], a, &link_ops, l, &who, &p->session) != SLU_OK)
        p->session = NULL;
    if (p->session && user)
        slu_session_login_implicit(p->session, NULL);
    turn_end(b, worker);
    return p;
}

struct peer *peer_open(struct bench *b, unsigned worker, const char *user)
{
    return open_with(b, worker, user, &adapter_first);
}

struct peer *peer_open_other(struct bench *b, unsigned worker, const char *user)
{
    return open_with(b, worker, user, &adapter_other);
}

void peer_stop(struct peer *p)
{
    p->stopped = true;
}

void peer_go(struct peer *p)
{
    p->stopped = false;
    p->takes = 0;
}

void peer_cut(struct peer *p)
{
    if (!p->session)
        return;
    turn_begin(p->bench, p->worker);
    slu_session_gone(p->session);
    p->session = NULL;
    turn_end(p->bench, p->worker);
}

struct slu_reqid bench_id(int64_t id)
{
    return (struct slu_reqid){ .type = id ? SLU_ID_INT : SLU_ID_NONE, .number = id };
}

/* A call in a turn of the peer's worker; what a closed connection asks is not heard. */
#define IN_TURN(p, id, call)                                     \
    do {                                                         \
        struct slu_reqid reqid = bench_id(id);                   \
        turn_begin((p)->bench, (p)->worker);                     \
        if ((p)->session) {                                      \
            (p)->frames_in++;                                    \
            if ((id) > 0 && (id) < BENCH_IDS)                    \
                (p)->asked[id]++;                                \
            slu_session_input((p)->session, true, SLU_LIT("…")); \
            call;                                                \
        }                                                        \
        turn_end((p)->bench, (p)->worker);                       \
    } while (0)

void peer_login(struct peer *p, int64_t id, const char *token, const char *name)
{
    IN_TURN(p, id, slu_session_login(p->session, &reqid, slu_str(token), slu_str(name)));
}

void(peer_sub)(struct peer *p, int64_t id, const char *filter, struct sub_options o)
{
    struct slu_subscribe q = {
        .filter = slu_str(filter),
        .has_sub = o.sub != 0,
        .sub = o.sub,
        .from = o.from,
        .from_n = o.n,
        .from_pos = o.pos,
        .from_cur = slu_str(o.cur),
        .content = o.content,
        .conflate = o.conflate,
        .conflate_by_key = o.by_key,
        .hz = o.hz,
        .has_credit = o.credit != 0,
        .credit = o.credit > 0 ? (uint64_t)o.credit : 0,
        .has_overflow = o.overflow != SLU_OVERFLOW_DEFAULT,
        .overflow = o.overflow,
        .durable = slu_str(o.durable),
        .group = slu_str(o.group),
        .ack = o.ack,
        .ack_wait_ms = o.ack_wait_ms,
        .max_try = o.max_try,
        .presence = o.presence,
        .no_echo = o.no_echo,
    };
    IN_TURN(p, id, slu_session_subscribe(p->session, &reqid, &q));
}

void peer_unsub(struct peer *p, int64_t id, uint64_t sub, const char *filter)
{
    IN_TURN(p, id, slu_session_unsubscribe(p->session, &reqid, sub != 0, sub, slu_str(filter)));
}

void peer_flow(struct peer *p, int64_t id, uint64_t sub, uint64_t credit)
{
    IN_TURN(p, id, slu_session_flow(p->session, &reqid, sub, credit));
}

/* text, then dots up to pad bytes; the caller frees. */
static struct slu_bytes padded(const char *text, size_t pad)
{
    size_t len = text ? strlen(text) : 0;
    size_t n = pad > len ? pad : len;
    faulty_alloc_spare(true);
    uint8_t *p = malloc(n + 1);
    faulty_alloc_spare(false);
    memset(p, '.', n + 1);
    if (len)
        memcpy(p, text, len);
    return slu_bytes(p, n);
}

void(peer_pub)(struct peer *p, int64_t id, const char *topic, const char *data, struct pub_options o)
{
    struct slu_bytes payload = padded(data, o.pad);
    struct slu_publish q = {
        .topic = slu_str(topic),
        .payload = payload,
        .key = slu_str(o.key),
        .dedup = slu_str(o.dedup),
        .kind = SLU_KIND_UNTYPED,
        .form = SLU_FORM_RAW,
        .retain = o.retain || o.clear,
        .clear = o.clear,
        .ttl_ms = o.ttl_ms,
        .has_expect = o.expect != NULL,
        .ack = o.ack,
    };
    if (o.expect)
        q.expect = *o.expect;
    IN_TURN(p, id, slu_session_publish(p->session, &reqid, &q));
    free((void *)(uintptr_t)payload.data);
}

void peer_req(struct peer *p, int64_t id, const char *topic, const char *data, uint64_t timeout_ms)
{
    struct slu_publish q = { .topic = slu_str(topic), .payload = slu_str(data), .kind = SLU_KIND_UNTYPED };
    IN_TURN(p, id, slu_session_request(p->session, &reqid, &q, timeout_ms));
}

void peer_ack(struct peer *p, int64_t id, uint64_t sub, const char *topic, struct slu_pos pos, bool upto)
{
    IN_TURN(p, id, slu_session_ack(p->session, &reqid, sub, slu_str(topic), pos, upto));
}

void peer_nack(struct peer *p, int64_t id, uint64_t sub, const char *topic, struct slu_pos pos, uint64_t delay_ms,
               bool drop)
{
    IN_TURN(p, id, slu_session_nack(p->session, &reqid, sub, slu_str(topic), pos, delay_ms, drop));
}

void peer_presence(struct peer *p, int64_t id, const char *topic, uint64_t limit, const char *after)
{
    IN_TURN(p, id, slu_session_presence(p->session, &reqid, slu_str(topic), limit, slu_str(after)));
}

void peer_history(struct peer *p, int64_t id, const char *topic, enum slu_from from, uint64_t n, struct slu_pos pos,
                  uint64_t limit, bool reverse)
{
    IN_TURN(p, id, slu_session_history(p->session, &reqid, slu_str(topic), from, n, pos, limit, reverse));
}

/* --- what came ---------------------------------------------------------------------------------------------------- */

static void count_answer(struct peer *p, const char *line)
{
    long id = 0;
    if (line[0] == '~')
        line++;
    if (strncmp(line, "ok ", 3) == 0)
        id = strtol(line + 3, NULL, 10);
    else if (strncmp(line, "err ", 4) == 0)
        id = strtol(line + 4, NULL, 10);
    if (id > 0 && id < BENCH_IDS)
        p->answered[id]++;
}

static char *next_line(struct peer *p, char *out)
{
    if (p->got.len - p->read_at < 4)
        return NULL;
    const uint8_t *at = p->got.data + p->read_at;
    size_t len = at[0] | (size_t)at[1] << 8 | (size_t)at[2] << 16 | (size_t)at[3] << 24;
    if (p->got.len - p->read_at - 4 < len)
        return NULL;
    size_t shown = len < BENCH_LINE - 1 ? len : BENCH_LINE - 1;
    memcpy(out, at + 4, shown);
    out[shown] = 0;
    p->read_at += 4 + len;
    count_answer(p, out);
    return out;
}

const char *peer_line(struct peer *p)
{
    static char lines[4][BENCH_LINE];
    static unsigned at;
    return next_line(p, lines[at++ % 4]);
}

static bool is_like(const char *line, const char *want)
{
    size_t n = strlen(want);
    if (n && want[n - 1] == '*')
        return strncmp(line, want, n - 1) == 0;
    return strcmp(line, want) == 0;
}

void(peer_expect)(struct peer *p, const char *const *lines)
{
    bench_settle(p->bench);
    for (unsigned i = 0; lines[i]; i++) {
        const char *line = peer_line(p);
        cr_assert(line && is_like(line, lines[i]), "line %u: got '%s', want '%s'", i, line ? line : "nothing",
                  lines[i]);
    }
    const char *line = peer_line(p);
    cr_assert(!line, "after all: got '%s'", line);
}

void peer_skip(struct peer *p)
{
    bench_settle(p->bench);
    while (peer_line(p))
        ;
}

void peer_answered(struct peer *p)
{
    peer_skip(p);
    for (unsigned i = 0; i < BENCH_IDS && p->session && !p->closed; i++)
        cr_assert(p->asked[i] == p->answered[i], "id %u: asked %u, answered %u", i, p->asked[i], p->answered[i]);
}

unsigned peer_count(struct peer *p, const char *prefix)
{
    unsigned n = 0;
    const char *line;
    bench_settle(p->bench);
    while ((line = peer_line(p)))
        n += strncmp(line, prefix, strlen(prefix)) == 0;
    return n;
}

struct slu_pos line_pos(const char *line)
{
    struct slu_pos pos = { 0 };
    const char *at = strstr(line, " pos=");
    if (at) {
        char *end;
        pos.epoch = strtoull(at + 5, &end, 16);
        pos.offset = strtoull(end + 1, NULL, 10);
    } else if ((at = strstr(line, " @"))) {
        pos.offset = strtoull(at + 2, NULL, 10);
    }
    return pos;
}

const char *line_field(const char *line, const char *name)
{
    static char out[BENCH_LINE];
    char key[64];
    int n = snprintf(key, sizeof(key), " %s=", name);
    const char *at = strstr(line, key);
    if (!at)
        return NULL;
    at += n;
    size_t len = strcspn(at, " ");
    memcpy(out, at, len);
    out[len] = 0;
    return out;
}
