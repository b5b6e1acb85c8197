/* The load of `sluice bench`, for servers that it does not speak to: N readers, publishers with so many messages on
 * the way, one message to all readers of its topic. One generator for the floor, for Sluice and for its peers, so that
 * their figures compare. Prints one JSON object; exit code 1 when a message is missing or comes twice, or a connection
 * ends. */
#include "clients/cli/bench_proc.h"
#include "tests/bench/peer_conn.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 1024, DRAIN_S = 10, OUT_MAX = 1 << 20, OPENING_MAX = 128 };

struct publisher {
    struct peer_conn conn;
    uint8_t *out; /* OUT_MAX + one frame */
    size_t len, sent;
};

struct load {
    const struct peer *peer;
    unsigned port;
    long pid;
    size_t subs, pubs, topics, size, window;
    double duration_s, warmup_s;
    bool is_wild;

    int epoll;
    struct peer_conn *readers;
    struct publisher *publishers;
    uint8_t *frame; /* a published message, ready to send; only the topic's digits change */
    size_t frame_len, topic_at;
    uint64_t published, next;
    size_t n_lost;
};

struct setup_cost {
    uint64_t cpu_ns, rss_bytes;
};

static uint64_t now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct progress {
    uint64_t filling, delivered;
    uint64_t least; /* of one reader: messages */
};

static struct progress progress(const struct load *l)
{
    struct progress p = { .least = UINT64_MAX };
    for (size_t i = 0; i < l->subs; i++) {
        uint64_t n = l->readers[i].filling;
        p.filling += n;
        p.least = n < p.least ? n : p.least;
    }
    p.delivered = p.filling / l->size;
    p.least /= l->size;
    return p;
}

static uint64_t delivered(const struct load *l)
{
    return progress(l).delivered;
}

static uint64_t readers_of(const struct load *l, uint64_t topic)
{
    return l->is_wild ? l->subs : l->subs / l->topics + (topic < l->subs % l->topics);
}

/* Publishers go round all topics, so what was published says what must arrive. */
static uint64_t expected(const struct load *l)
{
    uint64_t rounds = l->published / l->topics, rest = l->published % l->topics;
    uint64_t extra = rest < l->subs % l->topics ? rest : l->subs % l->topics;
    return l->is_wild ? l->published * l->subs : rounds * l->subs + rest * (l->subs / l->topics) + extra;
}

/* ---- setting up ---- */

static void topic_name(const struct load *l, size_t index, char out[64])
{
    snprintf(out, 64, "bench%s%0*zu", l->peer->separator, PEER_TOPIC_DIGITS, index);
}

static bool make_frame(struct load *l)
{
    char head[PEER_HEAD_MAX], topic[64];
    uint8_t frame_head[14];
    topic_name(l, 0, topic);
    size_t head_len = l->peer->publish_head(head, sizeof(head), topic, l->size), tail = strlen(l->peer->publish_tail);
    size_t body = head_len + l->size + tail, n = peer_frame_head(l->peer, body, frame_head);
    l->frame_len = n + body;
    l->frame = malloc(l->frame_len);
    if (!l->frame)
        return false;
    memcpy(l->frame, frame_head, n);
    memcpy(l->frame + n, head, head_len);
    memset(l->frame + n + head_len, PEER_FILLING, l->size);
    memcpy(l->frame + n + head_len + l->size, l->peer->publish_tail, tail);
    const uint8_t *digits = memmem(l->frame + n, head_len, "00000", PEER_TOPIC_DIGITS);
    l->topic_at = digits ? (size_t)(digits - l->frame) : 0;
    return true;
}

static bool watch(const struct load *l, struct peer_conn *c)
{
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
    return epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e) == 0;
}

/* What connection i says first. */
static size_t greeting(const struct load *l, size_t i, char *out, size_t cap)
{
    char filter[64];
    if (i >= l->subs)
        return l->peer->login(out, cap);
    if (l->is_wild)
        snprintf(filter, sizeof(filter), "bench%s%s", l->peer->separator, l->peer->any_level);
    else
        topic_name(l, i % l->topics, filter);
    return l->peer->subscribe(out, cap, filter);
}

static struct peer_conn *conn_at(const struct load *l, size_t i)
{
    return i < l->subs ? &l->readers[i] : &l->publishers[i - l->subs].conn;
}

/* Connections from `at` to `end`, readers or publishers, step by step. */
static bool open_some(const struct load *l, size_t at, size_t end)
{
    const struct peer *p = l->peer;
    bool reads = at < l->subs;
    char first[512];
    for (size_t i = at; i < end; i++)
        if (!peer_conn_connect(conn_at(l, i), p, l->port, i))
            return false;
    for (size_t i = at; i < end; i++)
        if (!peer_conn_greet(conn_at(l, i), p, first, greeting(l, i, first, sizeof(first))))
            return false;
    for (size_t i = at; i < end; i++)
        if (!peer_conn_enter(conn_at(l, i), p, reads ? p->subscribed : p->logged_in,
                             reads ? p->subscribed_len : p->logged_in_len) ||
            !watch(l, conn_at(l, i)))
            return false;
    return true;
}

static bool open_all(const struct load *l, size_t at, size_t end)
{
    /* The floor takes one after the other. */
    size_t most = l->peer->path ? OPENING_MAX : 1;
    for (size_t next; at < end; at = next) {
        next = end - at < most ? end : at + most;
        if (!open_some(l, at, next))
            return false;
    }
    return true;
}

/* ---- the load ---- */

static bool flush(struct publisher *p)
{
    if (p->sent < p->len) {
        ssize_t n = send(p->conn.fd, p->out + p->sent, p->len - p->sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return false;
        p->sent += n > 0 ? (size_t)n : 0;
    }
    if (p->sent == p->len)
        p->sent = p->len = 0;
    return true;
}

static void append(struct load *l, struct publisher *p, uint64_t topic)
{
    char digits[24];
    memcpy(p->out + p->len, l->frame, l->frame_len);
    if (l->topic_at && l->topics > 1) {
        snprintf(digits, sizeof(digits), "%0*llu", PEER_TOPIC_DIGITS, (unsigned long long)topic);
        memcpy(p->out + p->len + l->topic_at, digits, PEER_TOPIC_DIGITS);
    }
    p->len += l->frame_len;
}

/* Messages that not all their readers have; with several topics their number on the average. */
static uint64_t messages_on_the_way(const struct load *l)
{
    struct progress now = progress(l);
    uint64_t each = readers_of(l, l->topics - 1), want = expected(l);
    if (l->subs > 0 && (l->topics == 1 || l->is_wild))
        return l->published > now.least ? l->published - now.least : 0;
    each = each ? each : 1;
    return want > now.delivered ? (want - now.delivered + each - 1) / each : 0;
}

static bool pump(struct load *l)
{
    uint64_t on_the_way = messages_on_the_way(l), limit = l->window * l->pubs;
    for (; on_the_way < limit; on_the_way++) {
        struct publisher *p = &l->publishers[l->next++ % l->pubs];
        if (p->len > OUT_MAX)
            break;
        append(l, p, l->published % l->topics);
        l->published++;
    }
    for (size_t i = 0; i < l->pubs; i++)
        if (!flush(&l->publishers[i]))
            return false;
    return true;
}

static bool turn(struct load *l, int wait_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(l->epoll, events, EVENTS_MAX, wait_ms);
    for (int i = 0; i < n; i++) {
        struct peer_conn *c = events[i].data.ptr;
        if (!peer_conn_read(c)) {
            epoll_ctl(l->epoll, EPOLL_CTL_DEL, c->fd, NULL);
            l->n_lost++;
        }
    }
    return l->n_lost == 0;
}

static bool run_for(struct load *l, double seconds)
{
    uint64_t end = now_ns(CLOCK_MONOTONIC) + (uint64_t)(seconds * 1e9);
    while (now_ns(CLOCK_MONOTONIC) < end) {
        if (!pump(l) || !turn(l, 1))
            return false;
    }
    return true;
}

static bool drain(struct load *l)
{
    uint64_t end = now_ns(CLOCK_MONOTONIC) + DRAIN_S * UINT64_C(1000000000);
    bool waiting = true;
    while (waiting && now_ns(CLOCK_MONOTONIC) < end) {
        waiting = delivered(l) < expected(l);
        for (size_t i = 0; i < l->pubs; i++)
            if (!flush(&l->publishers[i]))
                return false;
        if (!turn(l, 1))
            return false;
    }
    return turn(l, 20); /* what comes now comes twice */
}

static void sample(const struct load *l, uint64_t *cpu_ns, uint64_t *rss)
{
    *cpu_ns = *rss = 0;
    if (l->pid > 0) {
        slu_proc_cpu_ns(l->pid, cpu_ns);
        slu_proc_rss_bytes(l->pid, rss);
    }
}

static int measure(struct load *l, const struct setup_cost *setup)
{
    uint64_t cpu0, cpu1, rss, before, began, own, published;
    bool whole = l->pubs == 0 || run_for(l, l->warmup_s);
    sample(l, &cpu0, &rss);
    before = delivered(l);
    published = l->published;
    own = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    began = now_ns(CLOCK_MONOTONIC);
    whole = whole && (l->pubs == 0 || run_for(l, l->duration_s));
    double seconds = (double)(now_ns(CLOCK_MONOTONIC) - began) / 1e9;
    own = now_ns(CLOCK_PROCESS_CPUTIME_ID) - own;
    sample(l, &cpu1, &rss);
    uint64_t got = delivered(l) - before;
    published = l->published - published;
    whole = whole && drain(l);
    struct progress all = progress(l);
    int64_t missing = (int64_t)expected(l) - (int64_t)all.delivered;
    if (all.filling % l->size)
        missing = missing ? missing : 1;
    double n = (double)(got ? got : 1), conns = (double)(l->subs ? l->subs : 1);
    seconds = seconds > 0 ? seconds : 1e-9;
    printf("{\"peer\":\"%s\",\"subs\":%zu,\"pubs\":%zu,\"topics\":%zu,\"size_bytes\":%zu,\"window\":%zu,"
           "\"seconds\":%.3f,\"published\":%llu,\"delivered\":%llu,\"published_per_s\":%.0f,\"delivered_per_s\":%.0f,"
           "\"server_cpu_us_per_message\":%.4f,\"server_cores\":%.3f,\"client_cores\":%.3f,\"server_rss_bytes\":%llu,"
           "\"setup_cpu_us_per_connection\":%.2f,\"setup_bytes_per_connection\":%.0f,"
           "\"not_delivered\":%lld,\"connections_lost\":%zu}\n",
           l->peer->name, l->subs, l->pubs, l->topics, l->size, l->window, seconds, (unsigned long long)published,
           (unsigned long long)got, (double)published / seconds, (double)got / seconds, (double)(cpu1 - cpu0) / 1e3 / n,
           (double)(cpu1 - cpu0) / 1e9 / seconds, (double)own / 1e9 / seconds, (unsigned long long)rss,
           (double)setup->cpu_ns / 1e3 / conns, (double)setup->rss_bytes / conns, (long long)missing, l->n_lost);
    return whole && missing == 0 ? 0 : 1;
}

static int run(struct load *l)
{
    uint64_t cpu0, cpu1, rss0, rss1;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->readers = calloc(l->subs + 1, sizeof(*l->readers));
    l->publishers = calloc(l->pubs + 1, sizeof(*l->publishers));
    if (l->epoll < 0 || !l->readers || !l->publishers || !make_frame(l)) {
        perror("bench_peer");
        return 1;
    }
    for (size_t i = 0; i < l->pubs; i++)
        if (!(l->publishers[i].out = malloc(OUT_MAX + l->frame_len)))
            return 1;
    slu_proc_raise_files(l->subs + l->pubs + 64);
    sample(l, &cpu0, &rss0);
    if (!open_all(l, 0, l->subs))
        return 1;
    sample(l, &cpu1, &rss1);
    struct setup_cost setup = { cpu1 - cpu0, rss1 > rss0 ? rss1 - rss0 : 0 };
    return open_all(l, l->subs, l->subs + l->pubs) ? measure(l, &setup) : 1;
}

static void clean_up(struct load *l)
{
    for (size_t i = 0; l->publishers && i < l->pubs; i++)
        free(l->publishers[i].out);
    free(l->publishers);
    free(l->readers);
    free(l->frame);
}

static const char usage[] =
    "usage: bench_peer floor|sluice|nats|mqtt PORT [--subs N] [--pubs N] [--topics N] [--size BYTES] [--window N]\n"
    "                  [--duration SECONDS] [--warmup SECONDS] [--pid SERVER] [--wild]\n";

static bool parse(struct load *l, int argc, char **argv)
{
    static const struct option options[] = {
        { "subs", 1, NULL, 's' },   { "pubs", 1, NULL, 'p' },     { "topics", 1, NULL, 't' }, { "size", 1, NULL, 'b' },
        { "window", 1, NULL, 'w' }, { "duration", 1, NULL, 'd' }, { "warmup", 1, NULL, 'u' }, { "pid", 1, NULL, 'i' },
        { "wild", 0, NULL, '*' },   { NULL, 0, NULL, 0 },
    };
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        size_t *count = o == 's'   ? &l->subs
                        : o == 'p' ? &l->pubs
                        : o == 't' ? &l->topics
                        : o == 'b' ? &l->size
                                   : &l->window;
        if (o == '?')
            return false;
        if (o == '*')
            l->is_wild = true;
        else if (o == 'd' || o == 'u')
            *(o == 'd' ? &l->duration_s : &l->warmup_s) = strtod(optarg, NULL);
        else if (o == 'i')
            l->pid = strtol(optarg, NULL, 10);
        else
            *count = strtoul(optarg, NULL, 10);
    }
    if (optind + 2 != argc)
        return false;
    l->peer = peer_find(argv[optind]);
    l->port = (unsigned)strtoul(argv[optind + 1], NULL, 10);
    return l->peer && l->port > 0 && l->port < 65536 && l->topics > 0 && l->topics <= PEER_TOPICS_MAX &&
           l->window > 0 && l->size > 0 && l->size <= OUT_MAX;
}

int main(int argc, char **argv)
{
    struct load l = { .subs = 1000, .pubs = 1, .topics = 1, .size = 128, .window = 24, .duration_s = 5, .warmup_s = 1 };
    if (!parse(&l, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    int code = run(&l);
    clean_up(&l);
    return code;
}
