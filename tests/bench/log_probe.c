/* A ping every millisecond, in turns on a few connections, answered or not: the time to its pong is how long the worker
 * could not answer. The probe runs before other programs if it may, and says how late it came itself. */
#include "tests/bench/log_load.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { PROBES_MAX = 64, ON_THE_WAY_MAX = 65536, OUT_MAX = 64 * 1024, NICE = -15, DRAIN_S = 10 };

struct probe {
    struct log_loop loop;
    struct log_conn conns[PROBES_MAX];
    uint64_t sent_ns[ON_THE_WAY_MAX]; /* by number of the ping; 0 = answered */
    uint64_t sent, answered;
    struct cli_hist latency, late;
};

static bool on_frame(struct log_conn *c, const char *text, size_t len)
{
    struct probe *p = c->arg;
    uint64_t id;
    if (!log_number_after(text, len, "{\"op\":\"pong\",\"id\":", &id))
        return log_begins(text, len, "{\"op\":\"ping\"") || log_refuse(c->loop, text, len);
    uint64_t *sent = &p->sent_ns[id % ON_THE_WAY_MAX];
    if (id >= p->sent || *sent == 0)
        return log_refuse(c->loop, "a pong to nothing", 17);
    slu_hist_add(&p->latency, log_now_ns() - *sent);
    *sent = 0;
    p->answered++;
    return true;
}

static bool ping(struct probe *p, size_t conns)
{
    char text[64];
    uint64_t *sent = &p->sent_ns[p->sent % ON_THE_WAY_MAX];
    if (*sent != 0)
        return log_refuse(&p->loop, "no pong for 65,536 pings", 24);
    snprintf(text, sizeof(text), "{\"op\":\"ping\",\"id\":%llu}", (unsigned long long)p->sent);
    *sent = log_now_ns();
    return log_conn_say(&p->conns[p->sent++ % conns], text);
}

/* Takes in what comes until it is time for the next ping. */
static bool wait_until(struct probe *p, uint64_t due)
{
    struct pollfd fd = { .fd = p->loop.epoll, .events = POLLIN };
    for (uint64_t now; (now = log_now_ns()) < due;) {
        struct timespec left = { .tv_sec = (time_t)((due - now) / 1000000000),
                                 .tv_nsec = (long)((due - now) % 1000000000) };
        if (ppoll(&fd, 1, &left, NULL) > 0 && !log_loop_turn(&p->loop, 0))
            return false;
    }
    return true;
}

/* Pings that were slept through are left out, and counted as lateness. */
static bool probe_for(struct probe *p, const struct log_args *a)
{
    uint64_t step = a->interval_us * 1000, due = log_now_ns(), end = due + (uint64_t)(a->duration_s * 1e9);
    for (uint64_t now = due; now < end; due = now + step) {
        if (!wait_until(p, due))
            return false;
        now = log_now_ns();
        slu_hist_add(&p->late, now - due);
        if (!ping(p, a->publish.conns))
            return false;
    }
    return true;
}

static bool drain(struct probe *p)
{
    uint64_t end = log_now_ns() + DRAIN_S * UINT64_C(1000000000);
    while (p->answered < p->sent && log_now_ns() < end)
        if (!log_loop_turn(&p->loop, 10))
            return false;
    return p->answered == p->sent;
}

static void print(const struct probe *p, const struct log_cost *spent)
{
    printf("{\"pings\":%llu,\"pong_p50_ms\":%.4f,\"pong_p99_ms\":%.4f,\"pong_p99.9_ms\":%.4f,\"pong_max_ms\":%.4f,"
           "\"late_p99.9_ms\":%.4f,\"late_max_ms\":%.4f,\"not_delivered\":%llu,",
           (unsigned long long)p->sent, (double)slu_hist_quantile(&p->latency, 0.5) / 1e6,
           (double)slu_hist_quantile(&p->latency, 0.99) / 1e6, (double)slu_hist_quantile(&p->latency, 0.999) / 1e6,
           (double)p->latency.max / 1e6, (double)slu_hist_quantile(&p->late, 0.999) / 1e6, (double)p->late.max / 1e6,
           (unsigned long long)(p->sent - p->answered));
    log_cost_print(spent, p->sent, &p->loop);
    puts("}");
}

int log_probe_load(const struct log_args *a)
{
    static struct probe p;
    bool ok = a->publish.conns <= PROBES_MAX && log_loop_init(&p.loop, a->port);
    for (size_t i = 0; ok && i < a->publish.conns; i++) {
        p.conns[i] = (struct log_conn){ .on_frame = on_frame, .arg = &p };
        ok = log_conn_open(&p.conns[i], &p.loop, i, OUT_MAX);
    }
    if (!ok)
        return 1;
    setpriority(PRIO_PROCESS, 0, NICE); /* what it may not, it does without */
    struct log_cost before = log_cost_now(a);
    ok = probe_for(&p, a) && drain(&p);
    struct log_cost spent = log_cost_since(a, &before);
    print(&p, &spent);
    for (size_t i = 0; i < a->publish.conns; i++)
        log_conn_close(&p.conns[i]);
    return ok ? 0 : 1;
}
