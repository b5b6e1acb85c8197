/* The native adapter against a core that writes down what it is asked. The calls of session.h are defined here, so that
 * the library's are not linked. */
#include "broker/base/buf.h"
#include "broker/core/link.h"
#include "broker/core/session.h"
#include "protocol/adapter.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct slu_session {
    bool open, refuse, closing;
    char calls[2048];
};

__attribute__((format(printf, 2, 3))) static void note(struct slu_session *s, const char *fmt, ...)
{
    size_t n = strlen(s->calls);
    va_list args;

    va_start(args, fmt);
    vsnprintf(s->calls + n, sizeof(s->calls) - n, fmt, args);
    va_end(args);
}

static const char *id_text(const struct slu_reqid *id)
{
    static char text[80];

    text[0] = '\0';
    if (id && id->type == SLU_ID_INT)
        snprintf(text, sizeof(text), "#%lld", (long long)id->number);
    else if (id && id->type == SLU_ID_TEXT)
        snprintf(text, sizeof(text), "#%.*s", id->len, id->text);
    return text;
}

#define B(v) (int)(v).len, (v).len ? (const char *)(v).data : ""

void slu_session_login(struct slu_session *s, const struct slu_reqid *id, struct slu_bytes token, struct slu_bytes name)
{
    note(s, "login%s %.*s %.*s;", id_text(id), B(token), B(name));
    s->open = true;
}

bool slu_session_login_implicit(struct slu_session *s, const struct slu_reqid *asked)
{
    (void)asked;
    note(s, "implicit;");
    s->open = !s->refuse;
    return s->open;
}

bool slu_session_is_open(const struct slu_session *s)
{
    return s->open && !s->closing;
}

void slu_session_renew(struct slu_session *s, const struct slu_reqid *id, struct slu_bytes token)
{
    note(s, "renew%s %.*s;", id_text(id), B(token));
}

void slu_session_subscribe(struct slu_session *s, const struct slu_reqid *id, struct slu_subscribe *q)
{
    note(s, "sub%s %.*s", id_text(id), B(q->filter));
    if (q->has_sub)
        note(s, " sub=%llu", (unsigned long long)q->sub);
    note(s, " from=%d/%llu/%llu/%llu/%.*s", q->from, (unsigned long long)q->from_n,
         (unsigned long long)q->from_pos.epoch, (unsigned long long)q->from_pos.offset, B(q->from_cur));
    note(s, "%s%s%s%s%s%s;", q->content ? " filter" : "", q->conflate ? " conflate" : "",
         q->conflate_by_key ? " key" : "", q->has_credit ? " credit" : "", q->presence ? " presence" : "",
         q->no_echo ? " noecho" : "");
    if (q->content)
        q->content->free(q->content);
}

void slu_session_unsubscribe(struct slu_session *s, const struct slu_reqid *id, bool has_sub, uint64_t sub,
                             struct slu_bytes filter)
{
    note(s, "unsub%s %d %llu %.*s;", id_text(id), has_sub, (unsigned long long)sub, B(filter));
}

void slu_session_flow(struct slu_session *s, const struct slu_reqid *id, uint64_t sub, uint64_t credit)
{
    note(s, "flow%s %llu %llu;", id_text(id), (unsigned long long)sub, (unsigned long long)credit);
}

static void note_publish(struct slu_session *s, const struct slu_publish *p)
{
    note(s, " %.*s k%d f%d '%.*s'%s%s ttl=%llu ack=%d", B(p->topic), p->kind, p->form, B(p->payload),
         p->retain ? " retain" : "", p->clear ? " clear" : "", (unsigned long long)p->ttl_ms, p->ack);
}

void slu_session_publish(struct slu_session *s, const struct slu_reqid *id, const struct slu_publish *p)
{
    note(s, "pub%s", id_text(id));
    note_publish(s, p);
    note(s, " key=%.*s dedup=%.*s expect=%d/%llu;", B(p->key), B(p->dedup), p->has_expect,
         (unsigned long long)p->expect.offset);
}

void slu_session_request(struct slu_session *s, const struct slu_reqid *id, const struct slu_publish *p,
                         uint64_t timeout_ms)
{
    note(s, "req%s", id_text(id));
    note_publish(s, p);
    note(s, " timeout=%llu;", (unsigned long long)timeout_ms);
}

void slu_session_ack(struct slu_session *s, const struct slu_reqid *id, uint64_t sub, struct slu_bytes topic,
                     struct slu_pos pos, bool upto)
{
    note(s, "ack%s %llu %.*s %llu/%llu %d;", id_text(id), (unsigned long long)sub, B(topic),
         (unsigned long long)pos.epoch, (unsigned long long)pos.offset, upto);
}

void slu_session_nack(struct slu_session *s, const struct slu_reqid *id, uint64_t sub, struct slu_bytes topic,
                      struct slu_pos pos, uint64_t delay_ms, bool drop)
{
    note(s, "nack%s %llu %.*s %llu/%llu %llu %d;", id_text(id), (unsigned long long)sub, B(topic),
         (unsigned long long)pos.epoch, (unsigned long long)pos.offset, (unsigned long long)delay_ms, drop);
}

void slu_session_presence(struct slu_session *s, const struct slu_reqid *id, struct slu_bytes topic, uint64_t limit,
                          struct slu_bytes after)
{
    note(s, "presence%s %.*s %llu %.*s;", id_text(id), B(topic), (unsigned long long)limit, B(after));
}

void slu_session_history(struct slu_session *s, const struct slu_reqid *id, struct slu_bytes topic, enum slu_from from,
                         uint64_t n, struct slu_pos pos, uint64_t limit, bool reverse)
{
    note(s, "history%s %.*s %d %llu %llu %llu %d;", id_text(id), B(topic), from, (unsigned long long)n,
         (unsigned long long)pos.offset, (unsigned long long)limit, reverse);
}

void slu_session_ping(struct slu_session *s, const struct slu_reqid *id, bool has_t, uint64_t t)
{
    note(s, "ping%s %d %llu;", id_text(id), has_t, (unsigned long long)t);
}

void slu_session_error(struct slu_session *s, const struct slu_reqid *id, enum slu_err code, const char *message,
                       const char *hint)
{
    (void)message;
    (void)hint;
    note(s, "err%s %s;", id_text(id), slu_err_info(code)->code);
}

void slu_session_close(struct slu_session *s, enum slu_close code, const char *message)
{
    (void)message;
    note(s, "close %d;", code);
    s->closing = true;
}

void slu_session_emit(struct slu_session *s, const struct slu_event *ev)
{
    note(s, "emit %d %d %.*s;", ev->type, ev->raw.is_text, B(ev->raw.bytes));
}

/* ---- driving it ---- */

struct client {
    const struct slu_adapter *adapter;
    struct slu_session session;
    void *conn;
};

static void client_open(struct client *c, const struct slu_adapter *a, const char *query)
{
    struct slu_peer peer = { .query = slu_str(query) };

    c->adapter = a;
    c->conn = calloc(1, a->conn_size);
    cr_assert(ne(ptr, c->conn, NULL));
    cr_assert(eq(int, a->on_open(c->conn, &c->session, &peer), SLU_OK));
}

static void client_close(struct client *c)
{
    c->adapter->on_close(c->conn);
    free(c->conn);
}

static void expect_calls(struct client *c, const char *message, const char *want)
{
    c->session.calls[0] = '\0';
    c->adapter->on_message(c->conn, true, slu_str(message));
    cr_assert(eq(str, c->session.calls, (char *)want), "%s", message);
}

Test(native_adapter, a_first_frame_other_than_connect_logs_in_by_the_handshake)
{
    struct client c = { 0 };

    client_open(&c, &slu_adapter_native_json, "");
    expect_calls(&c, "{\"op\":\"ping\",\"id\":1}", "implicit;ping#1 0 0;");
    expect_calls(&c, "{\"op\":\"ping\",\"t\":5}", "ping 1 5;");
    client_close(&c);
}

Test(native_adapter, connect_logs_in_and_a_second_one_is_the_cores_to_refuse)
{
    struct client c = { 0 };

    client_open(&c, &slu_adapter_native_json, "");
    expect_calls(&c, "{\"op\":\"connect\",\"id\":1,\"token\":\"t\",\"name\":\"n\"}", "login#1 t n;");
    expect_calls(&c, "{\"op\":\"connect\"}", "login  ;");
    expect_calls(&c, "{\"op\":\"auth\",\"id\":2,\"token\":\"u\"}", "renew#2 u;");
    client_close(&c);
}

Test(native_adapter, who_is_not_let_in_gets_nothing_done)
{
    struct client c = { .session = { .refuse = true } };

    client_open(&c, &slu_adapter_native_json, "sub=a");
    cr_assert(eq(str, c.session.calls, "implicit;"));
    expect_calls(&c, "{\"op\":\"pub\",\"topic\":\"a\",\"data\":1}", "implicit;");
    expect_calls(&c, "{\"op\":\"nonsense\",\"id\":1}", "implicit;");
    client_close(&c);
}

Test(native_adapter, the_query_subscribes_at_once)
{
    struct client c = { 0 };

    client_open(&c, &slu_adapter_native_json, "sub=sensors/%23&x=1&sub=a/+/b&sub=%ff");
    cr_assert(eq(str, c.session.calls, "implicit;sub sensors/# from=0/0/0/0/;sub a/+/b from=0/0/0/0/;err bad_filter;"));
    client_close(&c);
}

Test(native_adapter, mistakes_are_answered_and_only_broken_frames_close)
{
    struct client c = { .session = { .open = true } };

    client_open(&c, &slu_adapter_native_json, "");
    expect_calls(&c, "{\"op\":\"sub\",\"id\":1}", "err#1 bad_frame;");
    expect_calls(&c, "{\"op\":\"fly\",\"id\":\"x\"}", "err#x bad_op;");
    expect_calls(&c, "{\"op\":\"ping\",\"id\":7,\"op\":\"ping\"}", "err#7 bad_frame;");
    expect_calls(&c, "{\"op\":\"sub\",\"id\":2,\"topic\":\"a\",\"filter\":{\"x\":1}}", "err#2 bad_filter;");
    expect_calls(&c, "{\"op\":\"history\",\"id\":3,\"topic\":\"a\",\"from\":{\"cur\":\"x\"}}", "err#3 unsupported;");
    expect_calls(&c, "not json", "err bad_frame;close 4400;");
    client_close(&c);
}

Test(native_adapter, a_broken_first_frame_closes_without_login)
{
    struct client c = { 0 };

    client_open(&c, &slu_adapter_native_json, "");
    expect_calls(&c, "{", "close 4400;");
    client_close(&c);
}

Test(native_adapter, the_wrong_kind_of_message_closes_with_1003)
{
    struct client c = { 0 };

    client_open(&c, &slu_adapter_native_json, "");
    c.adapter->on_message(c.conn, false, SLU_LIT("{}"));
    cr_assert(eq(str, c.session.calls, "close 1003;"));
    client_close(&c);
    c = (struct client){ 0 };
    client_open(&c, &slu_adapter_native_cbor, "");
    expect_calls(&c, "{}", "close 1003;");
    client_close(&c);
}

Test(native_adapter, frames_become_calls)
{
    static const char *const rows[][2] = {
        { "{\"op\":\"sub\",\"id\":1,\"topic\":\"a/"
          "#\",\"sub\":0,\"filter\":{\"data.x\":1},\"conflate\":{\"by\":\"key\",\"hz\":2},"
          "\"credit\":0,\"presence\":true,\"echo\":false,\"from\":{\"offset\":4,\"epoch\":\"k3\"}}",
          "sub#1 a/# sub=0 from=5/0/723/4/ filter conflate key credit presence noecho;" },
        { "{\"op\":\"sub\",\"topic\":\"a\",\"from\":{\"cur\":\"xyz\"},\"echo\":true}", "sub a from=6/0/0/0/xyz;" },
        { "{\"op\":\"unsub\",\"sub\":3}", "unsub 1 3 ;" },
        { "{\"op\":\"unsub\",\"topic\":\"a\"}", "unsub 0 0 a;" },
        { "{\"op\":\"flow\",\"sub\":3,\"credit\":9}", "flow 3 9;" },
        { "{\"op\":\"pub\",\"topic\":\"a\",\"data\":{\"x\":1}}",
          "pub a k0 f1 '{\"x\":1}' ttl=0 ack=0 key= dedup= expect=0/0;" },
        { "{\"op\":\"pub\",\"topic\":\"a\",\"data\":\"x\",\"key\":\"k\",\"dedup\":\"d\",\"ttl_s\":2,\"ack\":\"stored\","
          "\"expect\":{\"offset\":3,\"epoch\":\"a\"}}",
          "pub a k1 f1 '\"x\"' ttl=2000 ack=3 key=k dedup=d expect=1/3;" },
        { "{\"op\":\"pub\",\"topic\":\"a\",\"data64\":\"aGk=\",\"retain\":true}",
          "pub a k2 f0 'hi' retain ttl=0 ack=0 key= dedup= expect=0/0;" },
        { "{\"op\":\"pub\",\"topic\":\"a\",\"retain\":true}",
          "pub a k2 f0 '' retain clear ttl=0 ack=0 key= dedup= expect=0/0;" },
        { "{\"op\":\"pub\",\"topic\":\"a\",\"retain\":true,\"data\":null}",
          "pub a k0 f1 'null' retain ttl=0 ack=0 key= dedup= expect=0/0;" },
        { "{\"op\":\"req\",\"id\":1,\"topic\":\"a\",\"data\":1,\"timeout_ms\":50}",
          "req#1 a k0 f1 '1' ttl=0 ack=0 timeout=50;" },
        { "{\"op\":\"ack\",\"sub\":1,\"topic\":\"a\",\"offset\":2,\"epoch\":\"k3\",\"upto\":true}",
          "ack 1 a 723/2 1;" },
        { "{\"op\":\"nack\",\"sub\":1,\"topic\":\"a\",\"offset\":2,\"epoch\":\"k3\",\"delay_ms\":10,\"drop\":true}",
          "nack 1 a 723/2 10 1;" },
        { "{\"op\":\"presence\",\"id\":1,\"topic\":\"a\",\"limit\":5,\"after\":\"c\"}", "presence#1 a 5 c;" },
        { "{\"op\":\"history\",\"id\":1,\"topic\":\"a\",\"from\":{\"last\":5},\"limit\":2,\"reverse\":true}",
          "history#1 a 3 5 0 2 1;" },
        { "{\"op\":\"history\",\"id\":1,\"topic\":\"a\"}", "history#1 a 0 0 0 0 0;" },
    };
    struct client c = { .session = { .open = true } };

    client_open(&c, &slu_adapter_native_json, "");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_calls(&c, rows[i][0], rows[i][1]);
    client_close(&c);
}

Test(echo, messages_come_back_as_they_were)
{
    struct client c = { 0 };
    struct slu_event ev = { .type = SLU_EV_RAW, .raw = { false, SLU_LIT("xyz") } };
    struct slu_buf out;

    client_open(&c, &slu_adapter_echo, "");
    expect_calls(&c, "hi", "emit 12 1 hi;");
    slu_buf_init(&out, 0);
    cr_assert(eq(int, c.adapter->encode(c.conn, &ev, &out), SLU_OK));
    cr_assert(slu_bytes_eq(slu_buf_bytes(&out), SLU_LIT("xyz")));
    ev.type = SLU_EV_PING;
    cr_assert(eq(int, c.adapter->encode(c.conn, &ev, &out), SLU_EUNSUPPORTED));
    slu_buf_fini(&out);
    client_close(&c);
}
