/* A turn: slu_worker_turn_begin right after the loop has looked for events (ev_check), all callbacks, then
 * slu_worker_turn_end before it looks again (ev_prepare).
 *
 * A connection is read by small pieces, so that ten thousand idle ones cost little memory. While some connection's piece
 * was full, there is probably more: the turn goes on for a few further looks, and what a publisher sent in one go leaves
 * in one write for each reader. */
#include "broker/net/loop.h"

#include "broker/base/log.h"
#include "broker/net/callback.h"
#include "broker/net/link.h"
#include "broker/net/listener.h"
#include "broker/net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { MERGE_MAX = 16, PT_SERV_BUF = 16384, STOP_TURNS = 4, WATCH_MS = 500, SPIN_ROUNDS = 1024, SPIN_WINDOW_MS = 250 };

/* secs_since_valid_hangup = 0 turns lws's own timer for each connection off: its lists are linear. */
static const lws_retry_bo_t no_validity = { .secs_since_valid_ping = 1 };

static uint64_t clock_ms(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void slu_view_unref(struct slu_view *v)
{
    if (!v || atomic_fetch_sub(&v->refs, 1) != 1)
        return;
    slu_files_free(v->files);
    slu_tls_pair_free(v->pair);
    free(v);
}

void slu_loop_turn_begin(struct slu_loop *l)
{
    if (l->in_turn)
        return;
    l->in_turn = true;
    l->merged = 0;
    l->now_ms = clock_ms(CLOCK_MONOTONIC);
    slu_worker_turn_begin(l->worker, l->now_ms, clock_ms(CLOCK_REALTIME));
}

static void on_after(struct ev_loop *ev, ev_check *w, int events)
{
    (void)ev, (void)events;
    slu_loop_turn_begin(w->data);
    slu_link_settle_reading(w->data);
    slu_link_read_resumed(w->data);
}

static void set_sleep(struct slu_loop *l, uint64_t ms)
{
    if (ms == 0) {
        ev_idle_start(l->ev, &l->spin);
        return;
    }
    ev_idle_stop(l->ev, &l->spin);
    uint64_t until = ms == UINT64_MAX ? UINT64_MAX : l->now_ms + ms;
    if (until == l->sleep_until_ms && (until == UINT64_MAX || ev_is_active(&l->sleep)))
        return;
    l->sleep_until_ms = until;
    ev_timer_stop(l->ev, &l->sleep);
    if (until != UINT64_MAX) {
        ev_timer_set(&l->sleep, (double)ms / 1000.0, 0.0);
        ev_timer_start(l->ev, &l->sleep);
    }
}

/* Some states of lws keep its watchers firing with nobody to do anything about it. */
static void look_for_spin(struct slu_loop *l)
{
    uint64_t now_ms = clock_ms(CLOCK_MONOTONIC);
    bool is_fast = now_ms - l->spin_ms < SPIN_WINDOW_MS, is_idle = l->events < SPIN_ROUNDS / 4;
    l->spin_ms = now_ms;
    l->events = 0;
    if (is_fast && is_idle && l->in_turn)
        slu_link_find_spinners(l);
}

static void on_before(struct ev_loop *ev, ev_prepare *w, int events)
{
    (void)events;
    struct slu_loop *l = w->data;
    if (++l->round % SPIN_ROUNDS == 0)
        look_for_spin(l);
    slu_link_settle_reading(l);
    if (l->in_turn && l->more_input && !l->must_flush && l->merged < MERGE_MAX) {
        l->more_input = false;
        l->merged++;
        ev_idle_start(ev, &l->spin);
        return;
    }
    slu_loop_turn_begin(l);
    l->more_input = l->must_flush = false;
    uint64_t sleep_ms = slu_worker_turn_end(l->worker);
    slu_link_settle_reading(l);
    l->in_turn = false;
    if (l->wants_kick) {
        l->wants_kick = false;
        lws_cancel_service(l->context);
    }
    set_sleep(l, slu_list_empty(&l->reading) ? sleep_ms : 0);
}

/* These only end the wait: ev_check does the work. */
static void on_wake(struct ev_loop *ev, ev_async *w, int events)
{
    (void)ev, (void)w, (void)events;
}

static void on_sleep_over(struct ev_loop *ev, ev_timer *w, int events)
{
    (void)ev, (void)w, (void)events;
}

static void on_spin(struct ev_loop *ev, ev_idle *w, int events)
{
    (void)ev, (void)w, (void)events;
}

static void wake(void *arg)
{
    struct slu_loop *l = arg;
    ev_async_send(l->ev, &l->wake);
}

static void on_watch(struct slu_timer *t, uint64_t now_ms)
{
    (void)now_ms;
    slu_link_watch_stuck(slu_container_of(t, struct slu_loop, watch));
}

void slu_loop_watch(struct slu_loop *l)
{
    if (l->watch.due_ms == 0)
        slu_wheel_set(slu_worker_wheel(l->worker), &l->watch, slu_worker_now(l->worker) + WATCH_MS);
}

bool slu_loop_init(struct slu_loop *l, struct slu_net *net, unsigned index)
{
    l->net = net;
    l->index = index;
    l->sleep_until_ms = UINT64_MAX;
    slu_list_init(&l->listeners);
    slu_list_init(&l->links);
    slu_list_init(&l->reading);
    slu_timer_init(&l->watch, on_watch);
    l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    l->ev = ev_loop_new(EVFLAG_NOENV | EVFLAG_NOSIGMASK | EVBACKEND_EPOLL);
    if (!l->ev)
        return false;
    ev_prepare_init(&l->before, on_before);
    ev_check_init(&l->after, on_after);
    ev_async_init(&l->wake, on_wake);
    ev_timer_init(&l->sleep, on_sleep_over, 0.0, 0.0);
    ev_idle_init(&l->spin, on_spin);
    ev_set_priority(&l->after, EV_MAXPRI);
    ev_set_priority(&l->spin, EV_MINPRI);
    l->before.data = l->after.data = l;
    ev_prepare_start(l->ev, &l->before);
    ev_check_start(l->ev, &l->after);
    ev_async_start(l->ev, &l->wake);
    if (slu_worker_new(net->broker, index, wake, l, &l->worker) != SLU_OK)
        return false;

    void *loops[1] = { l->ev };
    struct lws_context_creation_info info = {
        .options = LWS_SERVER_OPTION_LIBEV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .foreign_loops = loops,
        .pt_serv_buf_size = PT_SERV_BUF,
        .max_http_header_data2 = net->header_bytes,
        .max_http_header_pool2 = UINT16_MAX,
        .retry_and_idle_policy = &no_validity,
        .user = l,
    };
    if (net->view->pair)
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    l->context = lws_create_context(&info);
    return l->context != NULL;
}

bool slu_loop_make_vhost(struct slu_loop *l)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = l->net->protocols,
        .vhost_name = "sluice",
        .retry_and_idle_policy = &no_validity,
        .alpn = "http/1.1",
        .user = l,
    };
    const struct slu_net_settings *s = &l->net->view->settings;
    if (l->net->view->pair) {
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.ssl_cert_filepath = s->certificate;
        info.ssl_private_key_filepath = s->key;
    }
    l->vhost = lws_create_vhost(l->context, &info);
    return l->vhost != NULL;
}

static void *run(void *arg)
{
    struct slu_loop *l = arg;
    while (!l->is_stopping)
        ev_run(l->ev, 0);
    slu_loop_turn_begin(l);
    slu_listener_close_all(l);
    slu_link_cut_all(l);
    lws_context_destroy(l->context);
    l->context = NULL;
    for (int i = 0; i < STOP_TURNS; i++) {
        slu_loop_turn_begin(l);
        slu_worker_turn_end(l->worker);
        l->in_turn = false;
    }
    return NULL;
}

bool slu_loop_start(struct slu_loop *l)
{
    l->has_thread = pthread_create(&l->thread, NULL, run, l) == 0;
    return l->has_thread;
}

static void stop_now(struct slu_loop *l, void *arg)
{
    (void)arg;
    l->is_stopping = true;
    ev_break(l->ev, EVBREAK_ALL);
}

void slu_loop_stop(struct slu_loop *l)
{
    if (l->has_thread && !slu_loop_post(l, stop_now, NULL))
        slu_log(SLU_LOG_ERROR, "net", "stop_failed", "worker=%u", l->index);
}

void slu_loop_join(struct slu_loop *l)
{
    if (l->has_thread)
        pthread_join(l->thread, NULL);
    l->has_thread = false;
}

void slu_loop_end_worker(struct slu_loop *l)
{
    if (l->context) { /* never ran */
        slu_listener_close_all(l);
        lws_context_destroy(l->context);
        l->context = NULL;
    }
    if (l->worker)
        slu_worker_free(l->worker);
    l->worker = NULL;
}

void slu_loop_fini(struct slu_loop *l)
{
    if (l->ev)
        ev_loop_destroy(l->ev);
    if (l->reserve_fd >= 0)
        close(l->reserve_fd);
    slu_view_unref(l->view);
}

struct posted {
    struct slu_mail mail;
    struct slu_loop *loop;
    void (*fn)(struct slu_loop *l, void *arg);
    void *arg;
};

static void run_posted(struct slu_mail *mail, void *owner)
{
    (void)owner;
    struct posted *p = slu_container_of(mail, struct posted, mail);
    p->fn(p->loop, p->arg);
    free(p);
}

bool slu_loop_post(struct slu_loop *l, void (*fn)(struct slu_loop *l, void *arg), void *arg)
{
    struct posted *p = malloc(sizeof(*p));
    if (!p)
        return false;
    *p = (struct posted){ .mail.run = run_posted, .loop = l, .fn = fn, .arg = arg };
    slu_worker_post(l->worker, &p->mail);
    return true;
}
