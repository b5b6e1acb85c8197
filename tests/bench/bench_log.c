/* Loads on a log, for Sluice: publishers that wait for each answer, a reader of everything that is stored, and a probe
 * of how long the server cannot answer. Prints one JSON object; exit code 1 when a message is missing or comes twice, a
 * request is refused or a connection ends. */
#include "clients/cli/bench_proc.h"
#include "tests/bench/log_load.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { DRAIN_S = 30, SIZE_MAX_BYTES = 1 << 16, WINDOW_MAX = 65536, CONNS_MAX = 4096 };

/* ---- what it cost ---- */

/* SQLite counts transactions in the header of its shared memory, to tell readers that something has changed: the third
 * number. A file that is not there counts none. */
static uint64_t commits_in(const char *path)
{
    uint32_t head[3] = { 0 };
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return 0;
    bool ok = read(fd, head, sizeof(head)) == (ssize_t)sizeof(head);
    close(fd);
    return ok ? head[2] : 0;
}

struct log_cost log_cost_now(const struct log_args *a)
{
    struct timespec own;
    struct log_cost c = { .at_ns = log_now_ns(), .commits = commits_in(a->commits) };
    if (a->pid > 0)
        slu_proc_cpu_ns(a->pid, &c.cpu_ns);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
    c.own_ns = (uint64_t)own.tv_sec * 1000000000u + (uint64_t)own.tv_nsec;
    return c;
}

struct log_cost log_cost_since(const struct log_args *a, const struct log_cost *then)
{
    struct log_cost c = log_cost_now(a);
    c.at_ns -= then->at_ns;
    c.cpu_ns -= then->cpu_ns;
    c.own_ns -= then->own_ns;
    c.commits = (uint32_t)(c.commits - then->commits);
    return c;
}

void log_cost_print(const struct log_cost *spent, uint64_t messages, const struct log_loop *l)
{
    double seconds = (double)(spent->at_ns ? spent->at_ns : 1) / 1e9, n = (double)(messages ? messages : 1);
    printf("\"seconds\":%.3f,\"server_cpu_us_per_message\":%.4f,\"server_cores\":%.3f,\"client_cores\":%.3f,"
           "\"commits\":%llu,\"connections_lost\":%zu,\"refused\":%d,\"error\":\"",
           seconds, (double)spent->cpu_ns / 1e3 / n, (double)spent->cpu_ns / 1e9 / seconds,
           (double)spent->own_ns / 1e9 / seconds, (unsigned long long)spent->commits, l->n_lost, l->error[0] != '\0');
    for (const char *at = l->error; *at; at++)
        putchar(*at == '"' || *at == '\\' || (unsigned char)*at < ' ' ? '\'' : *at);
    putchar('"');
}

/* ---- publishers ---- */

static bool run_for(struct log_publishers *p, double seconds)
{
    uint64_t end = log_now_ns() + (uint64_t)(seconds * 1e9);
    bool ok = true;
    while (ok && p->loop->now_ns < end && (p->want.count == 0 || p->acked < p->want.count))
        ok = log_publishers_pump(p) && log_loop_turn(p->loop, 1);
    return ok;
}

static bool drain(struct log_publishers *p)
{
    uint64_t end = log_now_ns() + DRAIN_S * UINT64_C(1000000000);
    bool ok = true;
    p->is_stopped = true;
    while (ok && p->acked < p->published && p->loop->now_ns < end)
        ok = log_publishers_pump(p) && log_loop_turn(p->loop, 10);
    return ok && p->acked == p->published;
}

static void print(const struct log_publishers *p, const struct log_cost *spent, uint64_t acked)
{
    double seconds = (double)(spent->at_ns ? spent->at_ns : 1) / 1e9;
    const struct cli_hist *h = &p->latency;
    printf("{\"acked\":%llu,\"acked_per_s\":%.0f,\"all_acked\":%llu,\"ack_p50_ms\":%.4f,\"ack_p99_ms\":%.4f,"
           "\"ack_p99.9_ms\":%.4f,\"ack_max_ms\":%.4f,\"not_delivered\":%llu,",
           (unsigned long long)acked, (double)acked / seconds, (unsigned long long)p->acked,
           (double)slu_hist_quantile(h, 0.5) / 1e6, (double)slu_hist_quantile(h, 0.99) / 1e6,
           (double)slu_hist_quantile(h, 0.999) / 1e6, (double)h->max / 1e6,
           (unsigned long long)(p->published - p->acked));
    log_cost_print(spent, acked, p->loop);
    puts("}");
}

/* With a count the clock runs until all are answered; otherwise for the given time, and what is on its way then is not
 * in the rate. */
int log_publish_load(const struct log_args *a)
{
    static struct log_publishers p;
    struct log_loop loop;
    struct log_publish want = a->publish;
    want.count = a->count;
    if (!log_loop_init(&loop, a->port))
        return 1;
    slu_proc_raise_files(want.conns + 16);
    bool ok = log_publishers_init(&p, &want, &loop) && (want.count > 0 || run_for(&p, a->warmup_s));
    struct log_cost before = log_cost_now(a);
    uint64_t acked = p.acked;
    p.is_measuring = true;
    ok = ok && run_for(&p, want.count > 0 ? 1e6 : a->duration_s);
    p.is_measuring = false;
    struct log_cost spent = log_cost_since(a, &before);
    acked = p.acked - acked;
    ok = ok && drain(&p);
    print(&p, &spent, acked);
    log_publishers_fini(&p);
    return ok ? 0 : 1;
}

/* ---- command line ---- */

static const char usage[] =
    "usage: bench_log publish|replay|probe PORT [--pid SERVER] [--duration SECONDS] [--prefix NAME] [--topics N]\n"
    "                 [--size BYTES] [--conns N] [--count N] [--commits SHM]\n"
    "       publish   [--window N] [--rate N] [--warmup SECONDS] [--ack LEVEL]\n"
    "       replay    [--live RATE] [--every SECONDS]\n"
    "       probe     [--interval MICROSECONDS]\n";

static const struct {
    const char *name;
    int (*run)(const struct log_args *a);
} loads[] = { { "publish", log_publish_load }, { "replay", log_replay_load }, { "probe", log_probe_load } };

enum { N_LOADS = sizeof(loads) / sizeof(loads[0]) };

struct flag {
    const char *name;
    size_t *count;
    uint64_t *number;
    double *real;
    const char **text;
};

static bool set_flag(const struct flag *f, const char *value)
{
    char *end = NULL;
    if (f->text) {
        *f->text = value;
        return true;
    }
    if (f->real)
        *f->real = strtod(value, &end);
    else if (f->number)
        *f->number = strtoull(value, &end, 10);
    else
        *f->count = strtoul(value, &end, 10);
    return *value != '\0' && *end == '\0' && *value != '-';
}

static bool parse(struct log_args *a, int argc, char **argv)
{
    uint64_t port = strtoul(argv[2], NULL, 10), pid = 0;
    const struct flag flags[] = {
        { .name = "--pid", .number = &pid },
        { .name = "--duration", .real = &a->duration_s },
        { .name = "--warmup", .real = &a->warmup_s },
        { .name = "--prefix", .text = &a->publish.prefix },
        { .name = "--ack", .text = &a->publish.ack },
        { .name = "--commits", .text = &a->commits },
        { .name = "--topics", .count = &a->publish.topics },
        { .name = "--size", .count = &a->publish.size },
        { .name = "--conns", .count = &a->publish.conns },
        { .name = "--window", .count = &a->publish.window },
        { .name = "--count", .number = &a->count },
        { .name = "--rate", .real = &a->publish.rate },
        { .name = "--live", .real = &a->live_rate },
        { .name = "--every", .real = &a->every_s },
        { .name = "--interval", .number = &a->interval_us },
    };
    enum { N_FLAGS = sizeof(flags) / sizeof(flags[0]) };
    for (int i = 3; i < argc; i += 2) {
        size_t k = 0;
        while (k < N_FLAGS && strcmp(flags[k].name, argv[i]) != 0)
            k++;
        if (k == N_FLAGS || i + 1 == argc || !set_flag(&flags[k], argv[i + 1]))
            return false;
    }
    a->port = (unsigned)port;
    a->pid = (long)pid;
    const struct log_publish *p = &a->publish;
    return port > 0 && port < 65536 && strlen(p->prefix) <= 64 && p->topics > 0 && p->topics <= PEER_TOPICS_MAX &&
           p->size > 0 && p->size <= SIZE_MAX_BYTES && p->conns > 0 && p->conns <= CONNS_MAX && p->window > 0 &&
           p->window <= WINDOW_MAX && a->interval_us > 0;
}

int main(int argc, char **argv)
{
    struct log_args a = { .publish = { .prefix = "bench", .conns = 1, .window = 16, .topics = 1, .size = 128 },
                          .duration_s = 5,
                          .warmup_s = 1,
                          .interval_us = 1000 };
    for (size_t i = 0; argc > 2 && i < N_LOADS; i++)
        if (strcmp(argv[1], loads[i].name) == 0 && parse(&a, argc, argv))
            return loads[i].run(&a);
    fputs(usage, stderr);
    return 2;
}
