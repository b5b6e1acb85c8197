/* `sluice bench`: connects, runs the load for a while, measures, reports. */
#include "clients/cli/bench.h"

#include "broker/base/rng.h"

#include <ev.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum {
    CONNS_MAX = 1000000,
    SIZE_MIN = BENCH_STAMP_BYTES + 8,
    SIZE_MAX_BYTES = 1 << 20,
    TICK_MS = 1,
    SETTLE_S = 1,
    DRAIN_S = 5,
    SAMPLE_ALL_BELOW = 50000, /* deliveries a second */
    SPREAD_ABOVE = 20000      /* connections: more need several source addresses */
};

static const struct cli_flag flags[] = {
    { "subs", 0, CLI_U64, offsetof(struct bench_args, subs), "N", "readers (100)" },
    { "pubs", 0, CLI_U64, offsetof(struct bench_args, pubs), "N", "publishers (1)" },
    { "topics", 0, CLI_U64, offsetof(struct bench_args, topics), "N",
      "topics; each reader reads one, publishers go round all (1)" },
    { "size", 0, CLI_U64, offsetof(struct bench_args, size), "BYTES", "payload (128)" },
    { "window", 0, CLI_U64, offsetof(struct bench_args, window), "N",
      "messages of a publisher that are on the way to the readers (24)" },
    { "rate", 0, CLI_DOUBLE, offsetof(struct bench_args, rate), "N",
      "publish so many a second in all, instead of as fast as the window allows" },
    { "duration", 'd', CLI_SECONDS, offsetof(struct bench_args, duration_s), "TIME", "measure for so long (10 s)" },
    { "warmup", 0, CLI_SECONDS, offsetof(struct bench_args, warmup_s), "TIME",
      "load before the measuring starts (1 s)" },
    { "stopped", 0, CLI_U64, offsetof(struct bench_args, stopped), "PERCENT",
      "share of the readers that subscribe and then never read" },
    { "idle", 0, CLI_U64, offsetof(struct bench_args, idle), "N",
      "further connections with one quiet subscription each" },
    { "pid", 'p', CLI_U64, offsetof(struct bench_args, pid), "PID",
      "the broker's process: measures its processor time and memory" },
    { "ack", 'a', CLI_STR, offsetof(struct bench_args, ack), "LEVEL",
      "wait for none, accepted, stored or replicated; the window counts answers too" },
    { "prefix", 0, CLI_STR, offsetof(struct bench_args, prefix), "TOPIC", "publish below this (bench/RANDOM)" },
    { "output", 'o', CLI_STR, offsetof(struct bench_args, output), "FORM", "text or json" },
    { NULL, 0, CLI_BOOL, 0, NULL, NULL },
};

static const struct cli_help help = {
    .name = "bench",
    .synopsis = "[options]",
    .about =
        "Publishes to readers of its own through a running broker and says what arrived: deliveries a second, the "
        "broker's\n"
        "processor time for each delivered message (--pid), latency from publisher to reader, memory of a connection.\n"
        "It runs on one core; when the line `this program` says that it was busy all the time, that was the limit.",
    .flags = flags,
    .examples = "  sluice bench --subs 1000 --pid $(pidof sluiced)\n"
                "  sluice bench --subs 100 --rate 1000 --duration 30s          latency at a steady rate\n"
                "  sluice bench --subs 200 --stopped 50                        half of the readers never read\n"
                "  sluice bench --idle 10000 --subs 10 --pid $(pidof sluiced)   bytes of a quiet connection\n"
                "  sluice bench --subs 0 --ack stored --window 64              durable publishes a second\n",
};

static void on_prepare(struct ev_loop *loop, ev_prepare *w, int events)
{
    (void)loop, (void)events;
    slu_bench_pump(w->data);
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)loop, (void)w, (void)events; /* wakes the loop, so that conditions are looked at */
}

bool slu_bench_run(struct bench *b, double seconds, bool (*until)(struct bench *b))
{
    struct ev_loop *loop = b->cli->loop;
    ev_timer tick;
    bool done = false;
    ev_now_update(loop);
    double end = ev_now(loop) + seconds;
    ev_timer_init(&tick, on_tick, TICK_MS / 1000., TICK_MS / 1000.);
    ev_timer_start(loop, &tick);
    while (!b->cli->interrupted && !(done = until && until(b)) && ev_now(loop) < end)
        ev_run(loop, EVRUN_ONCE);
    ev_timer_stop(loop, &tick);
    return !b->cli->interrupted && (done || !until);
}

static int check(struct bench *b, int n)
{
    static const char *const levels[] = { "", "none", "accepted", "stored", "replicated" };
    struct bench_args *a = &b->a;
    if (n > 0)
        return slu_cli_usage(&help, "takes no arguments");
    if (a->subs > CONNS_MAX || a->idle > CONNS_MAX || a->pubs > CONNS_MAX || a->topics < 1 || a->topics > CONNS_MAX)
        return slu_cli_usage(&help, "a number is out of range");
    if (a->size < SIZE_MIN || a->size > SIZE_MAX_BYTES)
        return slu_cli_usage(&help, "--size: %d to %d bytes", SIZE_MIN, SIZE_MAX_BYTES);
    if (a->stopped > 100 || a->window < 1 || a->window > 1000000 || a->duration_s <= 0)
        return slu_cli_usage(&help, "--stopped is a percentage, --window and --duration are more than nothing");
    if (a->output && strcmp(a->output, "json") != 0 && strcmp(a->output, "text") != 0)
        return slu_cli_usage(&help, "--output: text or json");
    for (unsigned i = 1; a->ack && i < sizeof(levels) / sizeof(levels[0]); i++)
        b->ack = strcmp(a->ack, levels[i]) == 0 ? (enum sluice_ack)i : b->ack;
    if (a->ack && !b->ack)
        return slu_cli_usage(&help, "--ack: '%s' is none of none, accepted, stored, replicated", a->ack);
    if (a->prefix && strlen(a->prefix) >= sizeof(b->prefix))
        return slu_cli_usage(&help, "--prefix is too long");
    return CLI_OK;
}

static bool is_loopback(const char *url)
{
    return strstr(url, "//127.") || strstr(url, "//localhost");
}

static void assign_roles(struct bench *b)
{
    size_t stopped = b->a.subs * b->a.stopped / 100, reading_end;
    b->idle_end = b->a.idle;
    b->readers_end = b->idle_end + b->a.subs;
    reading_end = b->readers_end - stopped;
    for (size_t i = 0; i < b->n_conns; i++) {
        struct bench_conn *c = &b->conns[i];
        c->bench = b;
        c->role = i < b->idle_end      ? BENCH_IDLE
                  : i < reading_end    ? BENCH_READER
                  : i < b->readers_end ? BENCH_STOPPED
                                       : BENCH_PUBLISHER;
        c->topic = i >= b->idle_end ? (uint32_t)((i - b->idle_end) % b->a.topics) : 0;
    }
}

static bool prepare(struct bench *b)
{
    struct sluice_client_options o;
    b->n_conns = b->a.idle + b->a.subs + b->a.pubs;
    b->conns = calloc(b->n_conns + 1, sizeof(*b->conns));
    b->readers_of = calloc(b->a.topics, sizeof(*b->readers_of));
    b->topics = calloc(b->a.topics, sizeof(*b->topics));
    b->payload = malloc(b->a.size + 1);
    b->latency = calloc(1, sizeof(*b->latency));
    if (!b->conns || !b->readers_of || !b->topics || !b->payload || !b->latency)
        return false;
    if (b->a.prefix)
        snprintf(b->prefix, sizeof(b->prefix), "%s", b->a.prefix);
    else
        snprintf(b->prefix, sizeof(b->prefix), "bench/%08x", (unsigned)slu_rng_u64());
    for (uint64_t t = 0; t < b->a.topics; t++)
        snprintf(b->topics[t], sizeof(b->topics[t]), "%.40s/%llu", b->prefix, (unsigned long long)t);
    memset(b->payload, 'x', b->a.size);
    memcpy(b->payload + b->a.size - 2, "\"}", 3);
    assign_roles(b);
    slu_cli_options(b->cli, &o);
    b->bind_base = b->n_conns > SPREAD_ABOVE && is_loopback(o.url) ? "127.0.0" : NULL;
    b->sample_all = b->a.rate > 0 && b->a.rate * (double)(b->a.subs + 1) / (double)b->a.topics < SAMPLE_ALL_BELOW;
    size_t need = b->n_conns + 64;
    if (slu_proc_raise_files(need) < need)
        slu_cli_note(b->cli, "the limit of open files is below %zu: see `ulimit -n`", need);
    return true;
}

static uint64_t own_cpu_ns(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000u +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000u;
}

static bool all_arrived(struct bench *b)
{
    return b->delivered >= b->expected;
}

static struct bench_totals totals_now(const struct bench *b)
{
    return (struct bench_totals){ b->published, b->delivered, b->bytes };
}

static bool measure(struct bench *b, struct bench_report *r)
{
    uint64_t server = 0, server_end = 0, own;
    long pid = (long)b->a.pid;
    b->started = ev_now(b->cli->loop);
    b->last_progress = b->started;
    b->publishing = true;
    if (!slu_bench_run(b, b->a.warmup_s, NULL))
        return false;
    struct bench_totals before = totals_now(b);
    if (r->has_pid)
        r->has_pid = slu_proc_cpu_ns(pid, &server);
    own = own_cpu_ns();
    uint64_t began = slu_bench_now_ns();
    b->measuring = true;
    bool whole = slu_bench_run(b, b->a.duration_s, NULL);
    b->measuring = false;
    r->seconds = (double)(slu_bench_now_ns() - began) / 1e9;
    struct bench_totals after = totals_now(b);
    r->client_cpu_ns = own_cpu_ns() - own;
    if (r->has_pid && slu_proc_cpu_ns(pid, &server_end))
        r->server_cpu_ns = server_end - server;
    if (r->has_pid)
        slu_proc_rss_bytes(pid, &r->rss_end);
    b->publishing = false;
    r->totals = (struct bench_totals){ after.published - before.published, after.delivered - before.delivered,
                                       after.bytes - before.bytes };
    if (whole)
        slu_bench_run(b, DRAIN_S, all_arrived);
    return true;
}

static int run_all(struct bench *b)
{
    struct bench_report r = { .has_pid = b->a.pid > 0 };
    long pid = (long)b->a.pid;
    if (r.has_pid && !slu_proc_rss_bytes(pid, &r.rss_before)) {
        slu_cli_error(b->cli, "there is no process %ld", pid);
        return CLI_USAGE;
    }
    if (!slu_bench_connect(b, b->idle_end))
        return b->cli->interrupted ? CLI_SIGNAL : CLI_CONNECT;
    if (b->a.idle)
        slu_bench_run(b, SETTLE_S, NULL);
    if (r.has_pid)
        slu_proc_rss_bytes(pid, &r.rss_idle);
    if (!slu_bench_connect(b, b->n_conns))
        return b->cli->interrupted ? CLI_SIGNAL : CLI_CONNECT;
    if (!measure(b, &r))
        return CLI_SIGNAL;
    slu_bench_print(b, &r);
    return b->refused ? CLI_BROKER : CLI_OK;
}

int slu_cli_bench(struct cli *cli, int argc, char **argv)
{
    struct bench b = { .cli = cli };
    ev_prepare pump;
    int n, code;
    b.a = (struct bench_args){
        .subs = 100, .pubs = 1, .topics = 1, .size = 128, .window = 24, .duration_s = 10, .warmup_s = 1
    };
    if (!slu_cli_parse(cli, &help, &b.a, argc, argv, &n, &code))
        return code;
    code = check(&b, n);
    if (code != CLI_OK)
        return code;
    code = CLI_LOCAL;
    if (slu_cli_make_loop(cli) && prepare(&b)) {
        ev_prepare_init(&pump, on_prepare);
        pump.data = &b;
        ev_prepare_start(cli->loop, &pump);
        code = run_all(&b);
        ev_prepare_stop(cli->loop, &pump);
    }
    slu_bench_free_conns(&b);
    free(b.conns);
    free(b.readers_of);
    free(b.topics);
    free(b.payload);
    free(b.latency);
    return code;
}
