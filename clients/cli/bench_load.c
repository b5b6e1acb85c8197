/* The load of `sluice bench`: connections, the counting of what arrives, and the publishers.
 * Readers count frames as they come (on_raw) and look for the time stamp in some of them only: one core must take millions
 * a second. Publishers keep a window of messages on the way, measured by what the readers got: so a broker that answers
 * fast and delivers late gains nothing. */
#include "clients/cli/bench.h"

#include <ev.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CONNECTING_MAX = 256, PER_ADDRESS = 20000, SAMPLE_MASK = 15, BURST_MAX = 4096 };

static const double STALL_S = 2;

uint64_t slu_bench_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- readers ---- */

static void sample(struct bench *b, struct sluice_span frame)
{
    const char *at = memmem(frame.data, frame.len, "\"t\":", 4), *end = frame.data + frame.len;
    uint64_t sent = 0;
    if (!at)
        return;
    for (at += 4; at < end && *at >= '0' && *at <= '9'; at++)
        sent = sent * 10 + (uint64_t)(*at - '0');
    uint64_t now = slu_bench_now_ns();
    if (now > sent && b->measuring)
        slu_hist_add(b->latency, now - sent);
}

static void count(struct bench_conn *n, struct sluice_span frame)
{
    struct bench *b = n->bench;
    b->delivered++;
    b->bytes += frame.len;
    if (b->sample_all || (n->received++ & SAMPLE_MASK) == 0)
        sample(b, frame);
}

static bool on_raw(void *arg, sluice_client *c, struct sluice_span frame)
{
    (void)c;
    count(arg, frame);
    return true;
}

/* For frames that do not look as the raw path expects. */
static void on_message(void *arg, sluice_client_sub *sub, const struct sluice_message *m)
{
    (void)sub;
    count(arg, m->json);
}

static void on_gap(void *arg, sluice_client_sub *sub, const struct sluice_gap *g)
{
    struct bench_conn *n = arg;
    (void)sub;
    n->bench->gaps++;
    n->bench->lost += g->lost;
}

/* ---- connections ---- */

static void note_error(struct bench *b, const struct sluice_error *e)
{
    if (!b->error[0])
        snprintf(b->error, sizeof(b->error), "%.*s", (int)e->message.len, e->message.data ? e->message.data : "");
}

static void fail(struct bench_conn *n, const struct sluice_error *e)
{
    struct bench *b = n->bench;
    if (n->failed)
        return;
    n->failed = true;
    note_error(b, e);
    if (n->ready)
        b->n_lost++;
    else
        b->n_failed++;
    if (n->ready && n->role == BENCH_READER)
        b->readers_of[n->topic]--;
}

static void become_ready(struct bench_conn *n)
{
    if (n->ready || n->failed)
        return;
    n->ready = true;
    n->bench->n_ready++;
    if (n->role == BENCH_READER)
        n->bench->readers_of[n->topic]++;
    if (n->role == BENCH_STOPPED)
        sluice_client_read(n->client, false);
}

static void on_subscribed(void *arg, sluice_client_sub *sub, const struct sluice_result *r)
{
    (void)sub;
    if (r->error.status == SLUICE_OK)
        become_ready(arg);
    else
        fail(arg, &r->error);
}

static void on_end(void *arg, sluice_client_sub *sub, const struct sluice_error *why)
{
    (void)sub;
    fail(arg, why);
}

static void on_state(void *arg, sluice_client *c, const struct sluice_state_event *e)
{
    struct bench_conn *n = arg;
    (void)c;
    if (e->state == SLUICE_CONNECTED && n->role == BENCH_PUBLISHER)
        become_ready(n);
    else if (e->state == SLUICE_CLOSED)
        fail(n, &e->error);
}

static void on_error(void *arg, sluice_client *c, const struct sluice_error *e)
{
    struct bench_conn *n = arg;
    (void)c;
    n->bench->refused++;
    note_error(n->bench, e);
}

static bool start_conn(struct bench *b, size_t i)
{
    struct bench_conn *n = &b->conns[i];
    struct sluice_client_options o;
    char address[32], topic[96];
    slu_cli_options(b->cli, &o);
    o.loop = b->cli->loop;
    o.arg = n;
    o.on_state = on_state;
    o.on_error = on_error;
    o.on_raw = n->role == BENCH_PUBLISHER ? NULL : on_raw;
    o.no_reconnect = true;
    o.connect_timeout_ms = 30000;
    o.request_timeout_ms = 30000;
    if (b->bind_base) {
        snprintf(address, sizeof(address), "%s.%zu", b->bind_base, 2 + i / PER_ADDRESS);
        o.bind_address = address;
    }
    if (sluice_client_new(&n->client, &o) != SLUICE_OK)
        return false;
    if (n->role != BENCH_PUBLISHER) {
        struct sluice_sub_options s = {
            .arg = n, .on_message = on_message, .on_gap = on_gap, .on_ready = on_subscribed, .on_end = on_end
        };
        if (n->role == BENCH_IDLE)
            snprintf(topic, sizeof(topic), "%s/idle/%zu", b->prefix, i);
        else
            snprintf(topic, sizeof(topic), "%s", b->topics[n->topic]);
        if (sluice_client_subscribe(n->client, topic, &s, NULL) != SLUICE_OK)
            return false;
    }
    return sluice_client_connect(n->client) == SLUICE_OK;
}

static bool all_connected(struct bench *b)
{
    while (b->n_started < b->n_conns && b->n_started - b->n_ready - b->n_failed < CONNECTING_MAX) {
        if (!start_conn(b, b->n_started)) {
            b->conns[b->n_started].failed = true;
            b->n_failed++;
        }
        b->n_started++;
    }
    char text[80];
    snprintf(text, sizeof(text), "%zu of %zu connections", b->n_ready, b->n_conns);
    slu_cli_progress(b->cli, text);
    return b->n_ready + b->n_failed == b->n_started && b->n_started == b->n_conns;
}

bool slu_bench_connect(struct bench *b, size_t end)
{
    size_t all = b->n_conns;
    b->n_conns = end;
    bool done = slu_bench_run(b, 600, all_connected);
    b->n_conns = all;
    slu_cli_progress(b->cli, NULL);
    if (done && b->n_failed == 0)
        return true;
    if (!b->cli->interrupted)
        slu_cli_error(b->cli, "%zu of %zu connections failed: %s", b->n_failed ? b->n_failed : end - b->n_ready, end,
                      b->error[0] ? b->error : "no answer");
    return false;
}

void slu_bench_free_conns(struct bench *b)
{
    for (size_t i = 0; i < b->n_started; i++)
        sluice_client_free(b->conns[i].client);
}

/* ---- publishers ---- */

static void on_answer(void *arg, sluice_client *c, const struct sluice_result *r)
{
    struct bench *b = arg;
    (void)c;
    b->answered++;
    if (r->error.status != SLUICE_OK) {
        b->refused++;
        note_error(b, &r->error);
    }
}

/* {"t":NANOSECONDS,"p":"xxxx…"}: what the number's length changes, the filling makes good, so that every message has the
 * size that was asked for. */
static void stamp(struct bench *b, uint64_t ns)
{
    char head[48];
    int n = snprintf(head, sizeof(head), "{\"t\":%llu,\"p\":\"", (unsigned long long)ns);
    memcpy(b->payload, head, (size_t)n);
    memset(b->payload + n, 'x', BENCH_STAMP_BYTES - (size_t)n);
}

static struct bench_conn *publisher(struct bench *b)
{
    size_t n = b->n_conns - b->readers_end;
    for (size_t i = 0; i < n; i++) {
        struct bench_conn *c = &b->conns[b->readers_end + b->sequence++ % n];
        if (!c->failed)
            return c;
    }
    return NULL;
}

/* Messages that may be sent now. */
static uint64_t allowance(struct bench *b)
{
    double now = ev_now(b->cli->loop);
    uint64_t in_flight, limit = b->a.window * b->a.pubs, most = BURST_MAX;
    if (b->a.rate > 0) {
        double due = (now - b->started) * b->a.rate + 1; /* the first is due at once */
        most = due > (double)b->published ? (uint64_t)(due - (double)b->published) : 0;
        if (b->ack == SLUICE_ACK_DEFAULT)
            return most < BURST_MAX ? most : BURST_MAX;
    }
    uint64_t readers = 0;
    for (uint64_t t = 0; t < b->a.topics; t++)
        readers += b->readers_of[t];
    uint64_t each = readers / b->a.topics ? readers / b->a.topics : 1;
    uint64_t missing = b->expected - b->delivered - b->written_off;
    in_flight = readers ? (b->expected > b->delivered + b->written_off ? (missing + each - 1) / each : 0)
                        : b->published - b->answered;
    if (b->ack != SLUICE_ACK_DEFAULT && b->published - b->answered > in_flight)
        in_flight = b->published - b->answered;
    if (b->delivered + b->answered != b->last_delivered) {
        b->last_delivered = b->delivered + b->answered;
        b->last_progress = now;
    } else if (in_flight && now - b->last_progress > STALL_S) {
        b->written_off = b->expected > b->delivered ? b->expected - b->delivered : 0; /* lost: go on without */
        b->last_progress = now;
    }
    uint64_t free_places = in_flight < limit ? limit - in_flight : 0;
    return free_places < most ? free_places : most;
}

static uint64_t intended_ns(const struct bench *b)
{
    double since = (double)b->published / b->a.rate, late = ev_now(b->cli->loop) - b->started - since;
    return slu_bench_now_ns() - (late > 0 ? (uint64_t)(late * 1e9) : 0);
}

void slu_bench_pump(struct bench *b)
{
    if (!b->publishing)
        return;
    bool answers = b->ack != SLUICE_ACK_DEFAULT || b->a.subs == 0;
    struct sluice_publish_options o = { .kind = SLUICE_JSON_TRUSTED, .ack = b->ack, .only_connected = true };
    for (uint64_t n = allowance(b); n > 0; n--) {
        struct bench_conn *p = publisher(b);
        uint64_t t = b->next_topic;
        if (!p)
            return;
        /* With a rate, a message's time counts from when it was due: waiting in this program is waiting too. */
        stamp(b, b->a.rate > 0 ? intended_ns(b) : slu_bench_now_ns());
        if (sluice_client_publish(p->client, b->topics[t], b->payload, b->a.size, &o, answers ? on_answer : NULL, b) !=
            SLUICE_OK)
            return;
        b->next_topic = (t + 1) % b->a.topics;
        b->published++;
        b->expected += b->readers_of[t];
    }
}
