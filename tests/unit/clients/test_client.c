/* libsluice against a server that does exactly what the test says. */
#include "clients/c/include/sluice.h"
#include "tests/unit/clients/fake_server.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double LIMIT_S = 20;

struct world {
    struct ev_loop *loop;
    struct fake_server server;
    sluice_client *client;
    char log[4096];  /* what the client was told, in short */
    char wire[8192]; /* what the server heard: ops */
    int states[8], closed_code;
    unsigned rooms;
    uint32_t delay_ms;
    char sub_frame[1024];
    bool silent; /* the server answers nothing */
    const char *ok_extra;
    sluice_client_sub *sub;
};

static void note(char *log, size_t cap, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void note(char *log, size_t cap, const char *fmt, ...)
{
    size_t l = strlen(log);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(log + l, cap - l, fmt, ap);
    va_end(ap);
}
#define LOG(w, ...) note((w)->log, sizeof((w)->log), __VA_ARGS__)

static void on_text(struct fake_server *s, const char *text)
{
    struct world *w = s->arg;
    char op[16] = "";
    long id = fake_number(text, "id");
    sscanf(text, "{\"op\":\"%15[a-z]\"", op);
    note(w->wire, sizeof(w->wire), "%s;", op);
    if (strcmp(op, "sub") == 0)
        snprintf(w->sub_frame, sizeof(w->sub_frame), "%s", text);
    if (strcmp(op, "connect") == 0)
        fake_server_send(s, "{\"op\":\"hello\",\"conn\":\"c1\",\"node\":\"n1\",\"ping_s\":25,\"protocol\":1}");
    else if (id >= 0 && !w->silent && strcmp(op, "sub") == 0)
        fake_server_send(s, "{\"op\":\"ok\",\"id\":%ld,\"sub\":1,\"recovered\":true%s}", id,
                         w->ok_extra ? w->ok_extra : "");
    else if (id >= 0 && !w->silent && strcmp(op, "ping") == 0)
        fake_server_send(s, "{\"op\":\"pong\",\"id\":%ld,\"t\":1}", id);
    else if (id >= 0 && !w->silent)
        fake_server_send(s, "{\"op\":\"ok\",\"id\":%ld,\"matched\":1,\"offset\":7,\"epoch\":\"e\"}", id);
}

static void on_state(void *arg, sluice_client *c, const struct sluice_state_event *e)
{
    struct world *w = arg;
    (void)c;
    w->states[e->state]++;
    if (e->close_code)
        w->closed_code = e->close_code;
    w->delay_ms = e->delay_ms;
}

static void on_room(void *arg, sluice_client *c)
{
    struct world *w = arg;
    (void)c;
    w->rooms++;
}

static void on_message(void *arg, sluice_client_sub *sub, const struct sluice_message *m)
{
    (void)sub;
    LOG((struct world *)arg, "%.*s=%.*s;", (int)m->topic.len, m->topic.data, (int)m->payload.len, m->payload.data);
}

static void on_gap(void *arg, sluice_client_sub *sub, const struct sluice_gap *g)
{
    (void)sub;
    LOG((struct world *)arg, "gap %llu %.*s;", (unsigned long long)g->lost, (int)g->reason.len, g->reason.data);
}

static void on_end(void *arg, sluice_client_sub *sub, const struct sluice_error *e)
{
    (void)sub;
    LOG((struct world *)arg, "end %.*s;", (int)e->code.len, e->code.data);
}

static void on_done(void *arg, sluice_client *c, const struct sluice_result *r)
{
    (void)c;
    LOG((struct world *)arg, "done %d;", r->error.status);
}

static struct world *open_world(struct sluice_client_options o)
{
    struct world *w = calloc(1, sizeof(*w));
    w->loop = ev_loop_new(EVFLAG_AUTO);
    w->server.arg = w;
    w->server.on_text = on_text;
    fake_server_start(&w->server, w->loop);
    o.url = w->server.url;
    o.loop = w->loop;
    o.arg = w;
    o.on_state = on_state;
    o.on_room = on_room;
    o.backoff_min_ms = o.backoff_min_ms ? o.backoff_min_ms : 10;
    cr_assert(eq(int, sluice_client_new(&w->client, &o), SLUICE_OK));
    return w;
}

static void close_world(struct world *w)
{
    sluice_client_free(w->client);
    fake_server_stop(&w->server);
    ev_loop_destroy(w->loop);
    free(w);
}

static void tick(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)loop, (void)t, (void)events;
}

#define UNTIL(w, condition)                                 \
    do {                                                    \
        ev_timer t_;                                        \
        ev_timer_init(&t_, tick, 0.005, 0.005);             \
        ev_timer_start((w)->loop, &t_);                     \
        double end_ = ev_time() + LIMIT_S;                  \
        int met_ = 0;                                       \
        while (!(met_ = !!(condition)) && ev_time() < end_) \
            ev_run((w)->loop, EVRUN_ONCE);                  \
        ev_timer_stop((w)->loop, &t_);                      \
        cr_assert(met_, "not in time: %s\n", (w)->log);     \
    } while (0)

static void connect_and_subscribe(struct world *w, const char *filter, struct sluice_sub_options o)
{
    o.arg = w;
    o.on_message = on_message;
    o.on_gap = on_gap;
    o.on_end = on_end;
    cr_assert(eq(int, sluice_client_subscribe(w->client, filter, &o, &w->sub), SLUICE_OK));
    cr_assert(eq(int, sluice_client_connect(w->client), SLUICE_OK));
    UNTIL(w, w->states[SLUICE_CONNECTED] == 1 && strstr(w->wire, "sub;"));
}

static void msg(struct world *w, const char *topic, int offset, int data)
{
    fake_server_send(&w->server, "{\"op\":\"msg\",\"topic\":\"%s\",\"data\":%d,\"ts\":1,\"offset\":%d,\"epoch\":\"e\"}",
                     topic, data, offset);
}

static void own(struct world *w, const char *topic, int offset, int data, int sub)
{
    fake_server_send(&w->server,
                     "{\"op\":\"msg\",\"topic\":\"%s\",\"data\":%d,\"ts\":1,\"offset\":%d,\"epoch\":\"e\",\"sub\":%d}",
                     topic, data, offset, sub);
}

Test(client, publishes_made_offline_go_out_in_order_once_connected, .timeout = 60)
{
    struct world *w = open_world((struct sluice_client_options){ 0 });
    cr_assert(eq(int, sluice_client_publish(w->client, "a", "1", 1, NULL, on_done, w), SLUICE_OK));
    cr_assert(eq(int, sluice_client_publish(w->client, "a", "2", 1, NULL, on_done, w), SLUICE_OK));
    cr_assert(eq(int, sluice_client_publish(w->client, "a", "no json", 7, NULL, NULL, NULL), SLUICE_EINVAL));
    cr_assert(eq(int, sluice_client_publish(w->client, "a/#", "1", 1, NULL, NULL, NULL), SLUICE_EINVAL));
    connect_and_subscribe(w, "a", (struct sluice_sub_options){ 0 });
    UNTIL(w, strcmp(w->log, "done 0;done 0;") == 0);
    cr_assert(strcmp(w->wire, "connect;sub;pub;pub;") == 0, "%s", w->wire);
    close_world(w);
}

Test(client, the_offline_queue_is_bounded_and_tells_when_there_is_room, .timeout = 60)
{
    struct world *w = open_world((struct sluice_client_options){ .max_offline = 4000 });
    int taken = 0;
    while (sluice_client_publish(w->client, "a", "\"some text\"", 11, NULL, NULL, NULL) == SLUICE_OK)
        taken++;
    cr_assert(taken > 5 && taken < 200, "took %d", taken);
    cr_assert(le(sz, sluice_client_unsent(w->client), 4000));
    sluice_client_connect(w->client);
    UNTIL(w, w->rooms == 1);
    cr_assert(eq(sz, sluice_client_unsent(w->client), 0));
    close_world(w);
}

Test(client, a_server_that_does_not_read_makes_publishes_wait, .timeout = 60)
{
    struct world *w = open_world((struct sluice_client_options){ .max_unsent = 100000 });
    static char big[50000];
    memset(big, '1', sizeof(big));
    sluice_client_connect(w->client);
    UNTIL(w, w->states[SLUICE_CONNECTED]);
    fake_server_pause(&w->server, true);
    enum sluice_status rc = SLUICE_OK;
    for (int i = 0; i < 2000 && rc == SLUICE_OK; i++) {
        rc = sluice_client_publish(w->client, "a", big, sizeof(big),
                                   &(struct sluice_publish_options){ .kind = SLUICE_TEXT }, NULL, NULL);
        ev_run(w->loop, EVRUN_NOWAIT);
    }
    cr_assert(eq(int, rc, SLUICE_EAGAIN));
    fake_server_pause(&w->server, false);
    UNTIL(w, w->rooms == 1);
    close_world(w);
}

Test(client, an_exact_topic_resumes_after_the_last_position_and_repeats_are_dropped, .timeout = 60)
{
    struct world *w = open_world((struct sluice_client_options){ 0 });
    w->ok_extra = ",\"epoch\":\"e\",\"offset\":4";
    connect_and_subscribe(w, "t", (struct sluice_sub_options){ 0 });
    msg(w, "t", 5, 5);
    msg(w, "t", 6, 6);
    UNTIL(w, strcmp(w->log, "t=5;t=6;") == 0);
    fake_server_drop(&w->server);
    UNTIL(w, w->states[SLUICE_CONNECTED] == 2 && strstr(w->wire, "sub;connect;sub;"));
    cr_assert(strstr(w->sub_frame, "\"from\":{\"offset\":6,\"epoch\":\"e\"}") != NULL, "%s", w->sub_frame);
    own(w, "t", 6, 6, 1);
    own(w, "t", 7, 7, 1);
    msg(w, "t", 7, 7);
    msg(w, "t", 8, 8);
    UNTIL(w, strcmp(w->log, "t=5;t=6;t=7;t=8;") == 0);
    cr_assert(eq(int, w->states[SLUICE_RECONNECTING], 1));
    close_world(w);
}

Test(client, without_a_message_the_position_of_the_ok_counts, .timeout = 60)
{
    struct world *w = open_world((struct sluice_client_options){ 0 });
    w->ok_extra = ",\"epoch\":\"e\",\"offset\":4";
    connect_and_subscribe(w, "t", (struct sluice_sub_options){ 0 });
    fake_server_send(&w->server, "{\"op\":\"ping\",\"t\":1}");
    msg(w, "other", 1, 1);
    UNTIL(w, sluice_client_unsent(w->client) == 0);
    ev_run(w->loop, EVRUN_NOWAIT);
    fake_server_drop(&w->server);
    UNTIL(w, w->states[SLUICE_CONNECTED] == 2 && strstr(w->wire, "sub;connect;sub;"));
    cr_assert(strstr(w->sub_frame, "\"from\":{\"offset\":4,\"epoch\":\"e\"}") != NULL, "%s", w->sub_frame);
    close_world(w);
}

Test(client, a_wildcard_resumes_by_cursor_and_drops_what_it_has_seen, .timeout = 60)
{
    struct world *w = open_world((struct sluice_client_options){ 0 });
    w->ok_extra = ",\"cur\":\"A\"";
    connect_and_subscribe(w, "t/#", (struct sluice_sub_options){ 0 });
    msg(w, "t/1", 1, 1);
    msg(w, "t/2", 9, 9);
    fake_server_send(&w->server, "{\"op\":\"cur\",\"sub\":1,\"cur\":\"B\"}");
    msg(w, "t/1", 2, 2);
    UNTIL(w, strcmp(w->log, "t/1=1;t/2=9;t/1=2;") == 0);
    fake_server_drop(&w->server);
    UNTIL(w, w->states[SLUICE_CONNECTED] == 2 && strstr(w->wire, "sub;connect;sub;"));
    cr_assert(strstr(w->sub_frame, "\"from\":{\"cur\":\"B\"}") != NULL, "%s", w->sub_frame);
    own(w, "t/2", 9, 9, 1);
    own(w, "t/1", 2, 2, 1);
    own(w, "t/1", 3, 3, 1);
    UNTIL(w, strcmp(w->log, "t/1=1;t/2=9;t/1=2;t/1=3;") == 0);
    close_world(w);
}

Test(client, a_position_that_is_gone_starts_anew_and_is_announced, .timeout = 60)
{
    struct world *w = open_world((struct sluice_client_options){ 0 });
    w->ok_extra = ",\"epoch\":\"e\",\"offset\":4";
    connect_and_subscribe(w, "t", (struct sluice_sub_options){ 0 });
    msg(w, "t", 5, 5);
    UNTIL(w, strcmp(w->log, "t=5;") == 0);
    w->silent = true;
    fake_server_drop(&w->server);
    UNTIL(w, strstr(w->wire, "sub;connect;sub;"));
    fake_server_send(&w->server,
                     "{\"op\":\"ok\",\"id\":%ld,\"sub\":1,\"recovered\":false,\"epoch\":\"f\",\"offset\":2}",
                     fake_number(w->sub_frame, "id"));
    fake_server_send(&w->server, "{\"op\":\"gap\",\"sub\":1,\"topic\":\"t\",\"lost\":3,\"reason\":\"epoch\"}");
    fake_server_send(&w->server,
                     "{\"op\":\"msg\",\"topic\":\"t\",\"data\":2,\"offset\":2,\"epoch\":\"f\",\"sub\":1,\"ts\":1}");
    UNTIL(w, strcmp(w->log, "t=5;gap 3 epoch;t=2;") == 0);
    close_world(w);
}

Test(client, a_replay_beside_a_live_subscription_is_neither_torn_nor_doubled, .timeout = 60)
{
    struct world *w = open_world((struct sluice_client_options){ 0 });
    struct world second = { 0 };
    connect_and_subscribe(w, "t/#", (struct sluice_sub_options){ 0 });
    sluice_client_sub *replayed;
    struct sluice_sub_options o = { .arg = &second, .on_message = on_message, .from = SLUICE_FROM_FIRST };
    cr_assert(eq(int, sluice_client_subscribe(w->client, "t/1", &o, &replayed), SLUICE_OK));
    UNTIL(w, strstr(w->wire, "sub;sub;"));
    own(w, "t/1", 1, 1, 2);
    msg(w, "t/1", 3, 3); /* live, for the first subscription: the second is still at 1 */
    own(w, "t/1", 2, 2, 2);
    own(w, "t/1", 3, 3, 2);
    msg(w, "t/1", 4, 4); /* both are live */
    UNTIL(w, strstr(second.log, "t/1=4;"));
    cr_assert(strcmp(second.log, "t/1=1;t/1=2;t/1=3;t/1=4;") == 0, "%s", second.log);
    cr_assert(strcmp(w->log, "t/1=3;t/1=4;") == 0, "%s", w->log);
    close_world(w);
}

Test(client, bye_decides_about_the_next_attempt, .timeout = 60)
{
    static const struct {
        int close, retry, after_ms;
        enum sluice_state want;
    } rows[] = { { 4300, 1, 20, SLUICE_RECONNECTING },
                 { 4401, 0, 0, SLUICE_CLOSED },
                 { 4503, 1, 0, SLUICE_RECONNECTING } };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world *w = open_world((struct sluice_client_options){ 0 });
        sluice_client_connect(w->client);
        UNTIL(w, w->states[SLUICE_CONNECTED]);
        fake_server_send(&w->server,
                         "{\"op\":\"bye\",\"close\":%d,\"code\":\"x\",\"message\":\"m\",\"retry\":%s,\"after_ms\":%d}",
                         rows[i].close, rows[i].retry ? "true" : "false", rows[i].after_ms);
        fake_server_close(&w->server, rows[i].close);
        UNTIL(w, w->states[rows[i].want] > 0);
        cr_assert(eq(int, w->closed_code, rows[i].close));
        if (rows[i].after_ms)
            cr_assert(eq(u32, w->delay_ms, rows[i].after_ms));
        if (rows[i].want == SLUICE_RECONNECTING)
            UNTIL(w, w->states[SLUICE_CONNECTED] == 2);
        else
            cr_assert(eq(int, sluice_client_publish(w->client, "a", "1", 1, NULL, NULL, NULL), SLUICE_ESTATE));
        close_world(w);
    }
}

Test(client, answers_lost_with_the_connection_are_unknown_but_dedup_publishes_are_sent_again, .timeout = 60)
{
    struct world *w = open_world((struct sluice_client_options){ 0 });
    w->silent = true;
    sluice_client_connect(w->client);
    UNTIL(w, w->states[SLUICE_CONNECTED]);
    sluice_client_publish(w->client, "a", "1", 1, NULL, on_done, w);
    sluice_client_publish(w->client, "a", "2", 1, &(struct sluice_publish_options){ .dedup = "k" }, on_done, w);
    UNTIL(w, strstr(w->wire, "pub;pub;"));
    w->silent = false;
    fake_server_drop(&w->server);
    char want[64];
    snprintf(want, sizeof(want), "done %d;done 0;", SLUICE_EUNKNOWN);
    UNTIL(w, strcmp(w->log, want) == 0);
    cr_assert(strcmp(w->wire, "connect;pub;pub;connect;pub;") == 0, "%s", w->wire);
    close_world(w);
}

Test(client, requests_end_in_time, .timeout = 60)
{
    struct world *w = open_world((struct sluice_client_options){ .request_timeout_ms = 30 });
    w->silent = true;
    sluice_client_connect(w->client);
    UNTIL(w, w->states[SLUICE_CONNECTED]);
    sluice_client_request(w->client, "a", "1", 1, &(struct sluice_request_options){ .timeout_ms = 10 }, on_done, w);
    sluice_client_ping(w->client, on_done, w);
    char want[64];
    snprintf(want, sizeof(want), "done %d;done %d;", SLUICE_ETIMEOUT, SLUICE_ETIMEOUT);
    UNTIL(w, strcmp(w->log, want) == 0);
    close_world(w);
}

Test(client, a_refused_subscription_ends_and_a_passing_refusal_is_tried_again, .timeout = 60)
{
    struct world *w = open_world((struct sluice_client_options){ 0 });
    w->silent = true;
    connect_and_subscribe(w, "t", (struct sluice_sub_options){ 0 });
    fake_server_send(
        &w->server,
        "{\"op\":\"err\",\"id\":%ld,\"code\":\"unavailable\",\"status\":503,\"message\":\"m\",\"retry\":true}",
        fake_number(w->sub_frame, "id"));
    UNTIL(w, strstr(w->wire, "sub;sub;"));
    fake_server_send(
        &w->server,
        "{\"op\":\"err\",\"id\":%ld,\"code\":\"topic_forbidden\",\"status\":403,\"message\":\"m\",\"retry\":false}",
        fake_number(w->sub_frame, "id"));
    UNTIL(w, strcmp(w->log, "end topic_forbidden;") == 0);
    close_world(w);
}

Test(client, broken_frames_of_the_peer_end_the_connection, .timeout = 60)
{
    static const struct {
        const char *bytes;
        size_t len;
        int code;
    } rows[] = {
        { "\x81\x02{]", 4, 1002 },
        { "\x81\x01\xff", 3, 1007 },
        { "\x82\x01x", 3, 1003 },
        { "\xc1\x00", 2, 1002 },
        { "\x81\x7f\x00\x00\x00\x7f\x00\x00\x00\x00", 10, 1009 },
        { "\x88\x01x", 3, 1002 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world *w = open_world((struct sluice_client_options){ 0 });
        sluice_client_connect(w->client);
        UNTIL(w, w->states[SLUICE_CONNECTED]);
        fake_server_send_raw(&w->server, rows[i].bytes, rows[i].len);
        UNTIL(w, w->states[SLUICE_CLOSED] || w->states[SLUICE_RECONNECTING]);
        cr_expect(eq(int, w->closed_code, rows[i].code), "row %zu", i);
        close_world(w);
    }
}

static void free_client(void *arg, sluice_client_sub *sub, const struct sluice_message *m)
{
    struct world *w = arg;
    (void)m;
    LOG(w, "freed;");
    sluice_client_free(sluice_client_sub_client(sub));
    w->client = NULL;
}

Test(client, may_be_freed_inside_a_callback, .timeout = 60)
{
    struct world *w = open_world((struct sluice_client_options){ 0 });
    struct sluice_sub_options o = { .arg = w, .on_message = free_client };
    sluice_client_subscribe(w->client, "t", &o, NULL);
    sluice_client_publish(w->client, "a", "1", 1, NULL, on_done, w);
    w->silent = true;
    sluice_client_connect(w->client);
    UNTIL(w, strstr(w->wire, "pub;"));
    fake_server_send(&w->server, "{\"op\":\"ok\",\"id\":%ld,\"sub\":1}", fake_number(w->sub_frame, "id"));
    msg(w, "t", 1, 1);
    msg(w, "t", 2, 2);
    char want[64];
    snprintf(want, sizeof(want), "freed;done %d;", SLUICE_ECLOSED);
    UNTIL(w, strcmp(w->log, want) == 0);
    close_world(w);
}

static void leave(void *arg, sluice_client_sub *sub, const struct sluice_message *m)
{
    struct world *w = arg;
    (void)m;
    LOG(w, "left;");
    sluice_client_unsubscribe(sub);
    if (w->sub && w->sub != sub)
        sluice_client_unsubscribe(w->sub);
    w->sub = NULL;
}

Test(client, subscriptions_may_end_each_other_while_a_message_is_handed_out, .timeout = 60)
{
    struct world *w = open_world((struct sluice_client_options){ 0 });
    struct sluice_sub_options o = { .arg = w, .on_message = leave };
    sluice_client_subscribe(w->client, "t", &o, NULL);
    sluice_client_subscribe(w->client, "t", &o, &w->sub);
    sluice_client_connect(w->client);
    UNTIL(w, strstr(w->wire, "sub;sub;"));
    ev_run(w->loop, EVRUN_NOWAIT);
    msg(w, "t", 1, 1);
    msg(w, "t", 2, 2);
    UNTIL(w, strstr(w->wire, "unsub;unsub;"));
    cr_assert(strcmp(w->log, "left;") == 0, "%s", w->log);
    close_world(w);
}

static bool on_raw(void *arg, sluice_client *c, struct sluice_span frame)
{
    (void)c, (void)frame;
    LOG((struct world *)arg, "raw;");
    return true;
}

static void count_raw(struct world *w)
{
    struct sluice_client_options o = {
        .url = w->server.url, .loop = w->loop, .arg = w, .on_state = on_state, .on_raw = on_raw
    };
    sluice_client_free(w->client);
    cr_assert(eq(int, sluice_client_new(&w->client, &o), SLUICE_OK));
}

Test(client, the_raw_path_takes_messages_and_nothing_else, .timeout = 60)
{
    struct world *w = open_world((struct sluice_client_options){ 0 });
    count_raw(w);
    connect_and_subscribe(w, "t", (struct sluice_sub_options){ 0 });
    msg(w, "t", 1, 1);
    fake_server_send(&w->server, "{\"op\":\"gap\",\"sub\":1,\"reason\":\"shed\"}");
    msg(w, "t", 2, 2);
    UNTIL(w, strcmp(w->log, "raw;gap 0 shed;raw;") == 0);
    close_world(w);
}

static void on_item(void *arg, sluice_client *c, const struct sluice_message *m)
{
    struct sluice_span h = { NULL, 0 };
    char buf[16];
    (void)c;
    bool found = sluice_client_header(m, "n", buf, sizeof(buf), &h);
    LOG((struct world *)arg, "%d:%.*s:%.*s;", m->kind, (int)m->payload.len, m->payload.data, found ? (int)h.len : 0,
        h.data);
}

Test(client, payload_kinds_and_headers_are_decoded, .timeout = 60)
{
    struct world *w = open_world((struct sluice_client_options){ 0 });
    w->silent = true;
    sluice_client_connect(w->client);
    UNTIL(w, w->states[SLUICE_CONNECTED]);
    sluice_client_history(w->client, "t", NULL, on_item, on_done, w);
    UNTIL(w, strstr(w->wire, "history;"));
    fake_server_send(
        &w->server,
        "{\"op\":\"ok\",\"id\":%d,\"items\":[{\"data\":{\"a\":1},\"headers\":{\"n\":\"x\"}},{\"data\":\"b\\u0021\","
        "\"headers\":{\"n\":\"\\\"\"}},{\"data64\":\"YWJj\"}]}",
        1 << 20);
    UNTIL(w, strstr(w->log, "done 0;"));
    cr_assert(strcmp(w->log, "0:{\"a\":1}:x;1:b!:\";2:abc:;done 0;") == 0, "%s", w->log);
    close_world(w);
}

Test(client, disconnect_sends_what_is_left_and_closes_for_good, .timeout = 60)
{
    struct world *w = open_world((struct sluice_client_options){ 0 });
    sluice_client_connect(w->client);
    UNTIL(w, w->states[SLUICE_CONNECTED]);
    for (int i = 0; i < 3; i++)
        sluice_client_publish(w->client, "a", "1", 1, NULL, NULL, NULL);
    sluice_client_disconnect(w->client);
    UNTIL(w, w->states[SLUICE_CLOSED] == 1);
    cr_assert(strcmp(w->wire, "connect;pub;pub;pub;") == 0, "%s", w->wire);
    cr_assert(eq(int, w->states[SLUICE_RECONNECTING], 0));
    close_world(w);
}

Test(client, gives_up_after_the_asked_number_of_first_attempts, .timeout = 60)
{
    struct world *w = open_world((struct sluice_client_options){ .connect_attempts = 2 });
    fake_server_stop(&w->server);
    sluice_client_connect(w->client);
    UNTIL(w, w->states[SLUICE_CLOSED] == 1);
    cr_assert(eq(int, w->states[SLUICE_CONNECTING], 1));
    sluice_client_free(w->client);
    ev_loop_destroy(w->loop);
    free(w);
}
