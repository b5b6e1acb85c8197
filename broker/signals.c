/* Draining: not ready at once, still accepting for drain.settle; then no new connections, and the open ones are closed
 * evenly over drain.time. It ends early when nobody is left. */
#include "broker/signals.h"

#include "broker/base/log.h"
#include "broker/net/net.h"
#include "broker/wiring.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <time.h>

enum { TICK_MS = 50, LAST_WORDS_MS = 1000, AFTER_MS = 500 };

void slu_signals_init(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* The next signal, or 0 when none came in time. */
static int wait_signal(uint64_t ms)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (ms == UINT64_MAX) {
        int sig = 0;
        while (sigwait(&set, &sig) != 0)
            continue;
        return sig;
    }
    struct timespec ts = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };
    int sig = sigtimedwait(&set, NULL, &ts);
    return sig > 0 ? sig : 0;
}

/* Waits for `ms`, or until there is nobody left when asked so. True: told to end at once. */
static bool wait_until(struct slu_server *s, uint64_t end, bool while_sessions)
{
    for (uint64_t now = now_ms(); now < end; now = now_ms()) {
        if (while_sessions && slu_broker_sessions(slu_server_broker(s)) == 0)
            return false;
        int sig = wait_signal(end - now < TICK_MS ? end - now : TICK_MS);
        if (sig == SIGTERM || sig == SIGINT)
            return true;
    }
    return false;
}

static unsigned share_of(size_t sessions, uint64_t ticks, unsigned workers)
{
    uint64_t n = (sessions + ticks - 1) / ticks;
    n = (n + workers - 1) / workers;
    return n > UINT_MAX ? UINT_MAX : (unsigned)n;
}

/* True: told to end at once. */
static bool close_paced(struct slu_server *s, uint64_t time_ms)
{
    struct slu_broker *b = slu_server_broker(s);
    unsigned workers = slu_broker_settings(b)->workers;
    uint64_t end = now_ms() + time_ms;
    for (uint64_t now = now_ms(); now < end && slu_broker_sessions(b) > 0; now = now_ms()) {
        uint64_t ticks = (end - now + TICK_MS - 1) / TICK_MS;
        slu_net_drain(slu_server_net(s), share_of(slu_broker_sessions(b), ticks, workers), AFTER_MS);
        uint64_t tick_end = now + TICK_MS < end ? now + TICK_MS : end;
        if (wait_until(s, tick_end, true))
            return true;
    }
    if (slu_broker_sessions(b) == 0)
        return false;
    slu_net_drain(slu_server_net(s), UINT_MAX, AFTER_MS);
    return wait_until(s, now_ms() + LAST_WORDS_MS, true);
}

static void drain(struct slu_server *s)
{
    struct slu_broker *b = slu_server_broker(s);
    uint64_t settle_ms = slu_server_config(s)->drain.settle_ms, time_ms = slu_server_config(s)->drain.time_ms;
    slu_broker_set_draining(b, true);
    slu_log(SLU_LOG_INFO, "main", "draining", "sessions=%zu settle_ms=%llu time_ms=%llu", slu_broker_sessions(b),
            (unsigned long long)settle_ms, (unsigned long long)time_ms);
    bool at_once = wait_until(s, now_ms() + settle_ms, false);
    slu_net_stop_listening(slu_server_net(s));
    if (!at_once)
        at_once = close_paced(s, time_ms);
    slu_log(SLU_LOG_INFO, "main", "drained", "sessions_cut=%zu", slu_broker_sessions(b));
}

void slu_signals_serve(struct slu_server *s)
{
    for (;;) {
        int sig = wait_signal(UINT64_MAX);
        if (sig == SIGHUP) {
            slu_server_reload(s);
            continue;
        }
        drain(s);
        return;
    }
}
