/* `sluice feed system`: publishes this machine's own figures to topics below host/<name>/, so that there is something
 * real to look at. Nothing is kept while the broker is away: figures are published as they are, never late. */
#include "clients/cli/cli.h"
#include "clients/cli/feed_json.h"

#include <errno.h>
#include <ev.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    TOPIC_MAX = 256,
    LEVEL_MAX = 65, /* a host's or device's level, its NUL included */
    PAYLOAD_MAX = 64 * 1024,
    NETS_MAX = 16, /* cards published; machines with containers have hundreds */
};

static const double INFO_EVERY_S = 30, ONCE_TIMEOUT_S = 10, HZ_MIN = 0.1, HZ_MAX = 50;

struct feed_args {
    double hz;
    bool once;
};

struct feed {
    struct cli *cli;
    struct slu_host_reader reader;
    struct slu_host_sample sample[2]; /* one is the newest, the other the one before */
    size_t newest, taken;
    struct slu_process_window processes;
    struct slu_buf payload;
    char prefix[LEVEL_MAX];
    double hz, clock_hz;
    uint64_t page_bytes, info_at_ns, ticks;
    bool once, info_due;
    size_t waiting; /* --once: publishes without an answer yet */
    int code;
    ev_timer timer;
};

static const struct cli_flag feed_flags[] = {
    { "hz", 0, CLI_DOUBLE, offsetof(struct feed_args, hz), "N", "samples a second, 0.1 to 50 (4)" },
    { "once", 0, CLI_BOOL, offsetof(struct feed_args, once), NULL, "publish one sample of everything, then exit" },
    { NULL, 0, CLI_BOOL, 0, NULL, NULL },
};

static const struct cli_help feed_help = {
    .name = "feed",
    .synopsis = "[options] system",
    .about =
        "Publishes this machine's own figures: host/<name>/cpu, memory, load, disk/<device>, net/<card>, processes\n"
        "(the ten busiest) and, retained, info. Runs until Ctrl-C and goes on by itself after the broker was away.\n"
        "<name> is the host name, or what --name says.",
    .flags = feed_flags,
    .examples = "  sluice feed system\n"
                "  sluice feed system --server ws://broker:8080/ws --name web-1 --hz 1\n",
};

/* --once: the answer to one publish. */
static void on_published(void *arg, sluice_client *c, const struct sluice_result *r)
{
    struct feed *f = arg;
    (void)c;
    if (r->error.status != SLUICE_OK)
        f->code = slu_cli_refused(f->cli, "publish", &r->error);
    if (--f->waiting == 0)
        slu_cli_stop(f->cli, f->code);
}

/* Publishes f->payload and empties it. */
static void publish(struct feed *f, bool retain, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void publish(struct feed *f, bool retain, const char *fmt, ...)
{
    char topic[TOPIC_MAX];
    int n = snprintf(topic, sizeof(topic), "host/%s/", f->prefix);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(topic + n, sizeof(topic) - (size_t)n, fmt, ap);
    va_end(ap);

    const struct sluice_publish_options o = { .kind = SLUICE_JSON_TRUSTED, .retain = retain, .only_connected = true };
    enum sluice_status rc = SLUICE_ENOMEM;
    if (!f->payload.failed)
        rc = sluice_client_publish(f->cli->client, topic, f->payload.data, f->payload.len, &o,
                                   f->once ? on_published : NULL, f);
    slu_buf_clear(&f->payload);
    if (rc == SLUICE_OK)
        f->waiting += f->once ? 1 : 0;
    else if (rc != SLUICE_EAGAIN || f->once) /* no room or no connection: this sample is let go, the next one counts */
        slu_cli_debug(f->cli, "%s: %s", topic, sluice_client_strerror(rc));
}

static void publish_disks(struct feed *f, const struct slu_host_sample *a, const struct slu_host_sample *b, double s)
{
    for (size_t i = 0; i < b->n_disks; i++) {
        char level[LEVEL_MAX];
        for (size_t k = 0; k < a->n_disks; k++) {
            if (strcmp(a->disk[k].name, b->disk[i].name) != 0)
                continue;
            slu_procfs_topic_level(b->disk[i].name, level, sizeof(level));
            slu_feed_json_disk(&a->disk[k], &b->disk[i], s, &f->payload);
            publish(f, false, "disk/%s", level);
        }
    }
}

static void publish_nets(struct feed *f, const struct slu_host_sample *a, const struct slu_host_sample *b, double s)
{
    for (size_t i = 0; i < b->n_nets && i < NETS_MAX; i++) {
        char level[LEVEL_MAX];
        for (size_t k = 0; k < a->n_nets; k++) {
            if (strcmp(a->net[k].name, b->net[i].name) != 0)
                continue;
            slu_procfs_topic_level(b->net[i].name, level, sizeof(level));
            slu_feed_json_net(&a->net[k], &b->net[i], s, &f->payload);
            publish(f, false, "net/%s", level);
        }
    }
}

static void publish_processes(struct feed *f)
{
    struct slu_process_share top[SLU_HOST_TOP];
    size_t back = f->hz < 1 ? 1 : (size_t)f->hz;
    size_t n = slu_host_busiest(&f->processes, back, f->clock_hz, top, SLU_HOST_TOP);
    if (n == 0)
        return;
    slu_feed_json_processes(top, n, f->processes.list[f->processes.newest].n, f->page_bytes, &f->payload);
    publish(f, false, "processes");
}

static void publish_info(struct feed *f, uint64_t now_ns)
{
    if (!f->info_due && (double)(now_ns - f->info_at_ns) / 1e9 < INFO_EVERY_S)
        return;
    struct slu_host_info info;
    slu_host_read_info(&f->reader, &info);
    slu_feed_json_info(&info, f->hz, &f->payload);
    publish(f, true, "info");
    f->info_at_ns = now_ns;
    f->info_due = false;
}

static void publish_all(struct feed *f)
{
    const struct slu_host_sample *b = &f->sample[f->newest], *a = &f->sample[1 - f->newest];
    double seconds = (double)(b->at_ns - a->at_ns) / 1e9;
    publish_info(f, b->at_ns);
    if (a->has_cpu && b->has_cpu) {
        slu_feed_json_cpu(&a->cpu, &b->cpu, &f->payload);
        publish(f, false, "cpu");
    }
    if (b->has_memory) {
        slu_feed_json_memory(&b->memory, &f->payload);
        publish(f, false, "memory");
    }
    if (b->has_load) {
        slu_feed_json_load(&b->load, &f->payload);
        publish(f, false, "load");
    }
    publish_disks(f, a, b, seconds);
    publish_nets(f, a, b, seconds);
    publish_processes(f);
}

static void take_sample(struct feed *f)
{
    f->newest = 1 - f->newest;
    slu_host_read(&f->reader, &f->sample[f->newest]);
    if (!slu_host_read_processes(&f->reader, &f->processes))
        slu_cli_debug(f->cli, "the process list could not be read: %s", strerror(errno));
    f->taken++;
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int events)
{
    struct feed *f = w->data;
    (void)events;
    take_sample(f);
    if (f->taken < 2)
        return;
    f->ticks++;
    publish_all(f);
    if (!f->once)
        return;
    ev_timer_stop(loop, w);
    if (f->waiting == 0) {
        slu_cli_error(f->cli, "nothing could be published");
        slu_cli_stop(f->cli, CLI_LOCAL);
    }
}

static void on_up(struct cli *cli)
{
    struct feed *f = cli->arg;
    f->info_due = true;
    slu_cli_note(cli, "publishing to host/%s/ %g times a second", f->prefix, f->hz);
}

static bool feed_init(struct feed *f, struct cli *cli, const struct feed_args *args)
{
    long clock_hz = sysconf(_SC_CLK_TCK), page = sysconf(_SC_PAGESIZE);
    f->cli = cli;
    f->hz = args->hz;
    f->once = args->once;
    f->info_due = true;
    f->clock_hz = clock_hz > 0 ? (double)clock_hz : 100.0;
    f->page_bytes = page > 0 ? (uint64_t)page : 4096;
    slu_buf_init(&f->payload, PAYLOAD_MAX);
    if (!slu_host_reader_init(&f->reader)) {
        slu_cli_error(cli, "/proc cannot be read: %s", strerror(errno));
        return false;
    }
    struct slu_host_info info;
    slu_host_read_info(&f->reader, &info);
    const char *name = cli->name && cli->name[0] ? cli->name : info.host;
    slu_procfs_topic_level(name[0] ? name : "host", f->prefix, sizeof(f->prefix));
    return true;
}

static int feed_run(struct feed *f)
{
    struct cli *cli = f->cli;
    cli->arg = f;
    cli->on_up = on_up;
    int code = slu_cli_open(cli);
    if (code == CLI_OK) {
        ev_timer_init(&f->timer, on_tick, 0.0, 1.0 / f->hz);
        f->timer.data = f;
        ev_timer_start(cli->loop, &f->timer);
        code = slu_cli_run(cli, f->once ? ONCE_TIMEOUT_S : 0);
        ev_timer_stop(cli->loop, &f->timer);
    }
    /* completions that are still due run in here and count down f->waiting */
    return slu_cli_close(cli, code, !f->once);
}

int slu_cli_feed(struct cli *cli, int argc, char **argv)
{
    struct feed_args args = { .hz = 4 };
    int n, code;
    if (!slu_cli_parse(cli, &feed_help, &args, argc, argv, &n, &code))
        return code;
    if (n != 1 || strcmp(argv[0], "system") != 0)
        return slu_cli_usage(&feed_help, n == 0 ? "say what to feed: system" : "the only source is 'system'");
    if (args.hz < HZ_MIN || args.hz > HZ_MAX)
        return slu_cli_usage(&feed_help, "--hz takes 0.1 to 50");
    struct feed *f = calloc(1, sizeof(*f));
    if (!f) {
        slu_cli_error(cli, "out of memory");
        return CLI_LOCAL;
    }
    code = feed_init(f, cli, &args) ? feed_run(f) : CLI_LOCAL;
    slu_process_window_fini(&f->processes);
    slu_host_reader_fini(&f->reader);
    slu_buf_fini(&f->payload);
    free(f);
    return code;
}
