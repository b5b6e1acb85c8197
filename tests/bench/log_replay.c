/* One reader of everything that is stored, again and again on new connections until the time is over; if asked, while
 * somebody publishes to the same topics. Each message must come once. */
#include "tests/bench/log_load.h"

#include <stdio.h>
#include <string.h>

enum { OUT_MAX = 1024, ROUNDS_MAX = 1000, PATIENCE_S = 60, QUIET_MS = 20 };

struct replay {
    const struct log_args *args;
    struct log_loop loop;
    struct log_conn reader;
    struct log_publishers live;
    bool has_live;
    uint64_t received, gaps;
    size_t rounds;
    uint64_t took_ns; /* all rounds together, each until the last stored message was there */
};

static bool on_frame(struct log_conn *c, const char *text, size_t len)
{
    struct replay *r = c->arg;
    if (log_begins(text, len, "{\"op\":\"msg\""))
        r->received++;
    else if (log_begins(text, len, "{\"op\":\"gap\""))
        r->gaps++;
    else if (!log_begins(text, len, "{\"op\":\"ok\"") && !log_begins(text, len, "{\"op\":\"cur\"") &&
             !log_begins(text, len, "{\"op\":\"ping\""))
        return log_refuse(c->loop, text, len);
    return true;
}

static uint64_t published(const struct replay *r)
{
    return r->has_live ? r->live.acked : 0;
}

/* Until so many have come. */
static bool read_until(struct replay *r, uint64_t count)
{
    uint64_t end = log_now_ns() + PATIENCE_S * UINT64_C(1000000000), seen = 0;
    while (r->received < count) {
        if ((r->has_live && !log_publishers_pump(&r->live)) || !log_loop_turn(&r->loop, r->has_live ? 1 : 100))
            return false;
        if (r->received != seen)
            end = r->loop.now_ns + PATIENCE_S * UINT64_C(1000000000);
        else if (r->loop.now_ns > end)
            return false;
        seen = r->received;
    }
    return true;
}

static bool drain(struct replay *r)
{
    r->live.is_stopped = true;
    bool ok = true;
    while (ok && r->has_live && r->live.acked < r->live.published)
        ok = log_publishers_pump(&r->live) && log_loop_turn(&r->loop, 10);
    ok = ok && read_until(r, r->args->count + published(r));
    ok = ok && log_loop_turn(&r->loop, QUIET_MS); /* what comes now comes twice */
    r->live.is_stopped = false;
    return ok;
}

static bool one_round(struct replay *r)
{
    const struct log_publish *w = &r->args->publish;
    char text[256], topic[96];
    snprintf(topic, sizeof(topic), w->topics == 1 ? "%.64s/00000" : "%.64s/+", w->prefix);
    snprintf(text, sizeof(text), "{\"op\":\"sub\",\"id\":1,\"topic\":\"%s\",\"from\":\"first\"}", topic);
    r->received = 0;
    r->reader = (struct log_conn){ .on_frame = on_frame, .arg = r };
    bool ok = log_conn_open(&r->reader, &r->loop, w->conns, OUT_MAX);
    uint64_t began = log_now_ns();
    ok = ok && log_conn_say(&r->reader, text) && read_until(r, r->args->count);
    r->took_ns += log_now_ns() - began;
    r->rounds++;
    /* What is live now is stored in the next round: only the first is exact, so live traffic has one. */
    ok = ok && drain(r);
    log_conn_close(&r->reader);
    return ok;
}

/* Until the next round may begin. */
static bool rest(struct replay *r, uint64_t began_ns)
{
    uint64_t due = began_ns + (uint64_t)(r->args->every_s * 1e9 * (double)r->rounds);
    while (log_now_ns() < due)
        if (!log_loop_turn(&r->loop, 1))
            return false;
    return true;
}

static void print(const struct replay *r, const struct log_cost *spent)
{
    const struct log_args *a = r->args;
    double seconds = (double)(r->took_ns ? r->took_ns : 1) / 1e9;
    int64_t missing = (int64_t)(a->count + published(r)) - (int64_t)r->received;
    printf("{\"count\":%llu,\"rounds\":%zu,\"replay_seconds\":%.3f,\"replayed_per_s\":%.0f,\"live\":%llu,"
           "\"live_per_s\":%.0f,\"gaps\":%llu,\"not_delivered\":%lld,",
           (unsigned long long)a->count, r->rounds, seconds, (double)(a->count * r->rounds) / seconds,
           (unsigned long long)published(r), (double)published(r) / seconds, (unsigned long long)r->gaps,
           (long long)missing);
    log_cost_print(spent, a->count * r->rounds, &r->loop);
    puts("}");
}

int log_replay_load(const struct log_args *a)
{
    static struct replay r;
    struct log_publish live = a->publish;
    r.args = a;
    if (!log_loop_init(&r.loop, a->port))
        return 1;
    live.rate = a->live_rate;
    r.has_live = live.rate > 0;
    bool ok = !r.has_live || log_publishers_init(&r.live, &live, &r.loop);
    struct log_cost before = log_cost_now(a);
    uint64_t end = before.at_ns + (uint64_t)(a->duration_s * 1e9);
    do {
        ok = ok && rest(&r, before.at_ns) && one_round(&r);
    } while (ok && !r.has_live && log_now_ns() < end && r.rounds < ROUNDS_MAX);
    struct log_cost spent = log_cost_since(a, &before);
    print(&r, &spent);
    ok = ok && r.received == a->count + published(&r) && r.gaps == 0;
    if (r.has_live)
        log_publishers_fini(&r.live);
    return ok ? 0 : 1;
}
