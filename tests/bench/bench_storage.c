/* The disk engine alone, without a broker: appends with so many in flight, then the log read back page by page.
 *
 *   bench_storage FOLDER [in_flight [size [topics [seconds [max_count]]]]]
 *
 * Prints one JSON object; removes what it made in the folder. */
#include "broker/base/mailbox.h"
#include "clients/cli/hist.h"
#include "storage/engine.h"
#include "storage/registry.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { MAILS = 1024, PAGE = 512, TOPIC_ROOM = 32 };

struct bench {
    struct slu_store *store;
    struct slu_account account;
    struct slu_rule rule;
    struct slu_mailbox box;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool has_mail;
    uint8_t *payload;
    size_t size;
    unsigned topics, in_flight;
    uint64_t until_ns, appended;
    struct cli_hist latency;
};

struct append {
    struct slu_append a;
    uint64_t began_ns;
    struct bench *bench;
};

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "bench_storage: %s\n", what);
    exit(1);
}

static void wake(void *arg)
{
    struct bench *b = arg;
    pthread_mutex_lock(&b->lock);
    b->has_mail = true;
    pthread_cond_signal(&b->woken);
    pthread_mutex_unlock(&b->lock);
}

static void post(void *arg, unsigned worker, struct slu_mail *mail)
{
    (void)worker;
    slu_mailbox_post(&((struct bench *)arg)->box, mail);
}

static void feed(void *arg, unsigned worker, struct slu_msg *m)
{
    (void)arg, (void)worker, (void)m;
}

static uint64_t wall_ms(void *arg)
{
    (void)arg;
    return clock_ns(CLOCK_REALTIME) / 1000000;
}

static void turn(struct bench *b)
{
    pthread_mutex_lock(&b->lock);
    while (!b->has_mail)
        pthread_cond_wait(&b->woken, &b->lock);
    b->has_mail = false;
    pthread_mutex_unlock(&b->lock);
    while (slu_mailbox_run(&b->box, NULL, MAILS))
        ;
}

static void publish(struct append *r)
{
    struct bench *b = r->bench;
    char topic[TOPIC_ROOM];
    snprintf(topic, sizeof(topic), "bench/%u", (unsigned)(b->appended % b->topics));
    struct slu_msg_spec spec = { .topic = slu_str(topic),
                                 .payload = slu_bytes(b->payload, b->size),
                                 .kind = SLU_KIND_TEXT,
                                 .ts_ms = wall_ms(NULL) };
    r->a.msg = slu_msg_new(&b->account, &spec);
    if (!r->a.msg)
        fail("out of memory");
    r->began_ns = clock_ns(CLOCK_MONOTONIC);
    slu_store_append(b->store, &r->a);
}

static void appended(struct slu_store_req *req)
{
    struct append *r = (struct append *)(void *)req;
    struct bench *b = r->bench;
    if (req->err)
        fail(slu_err_info(req->err)->message);
    slu_msg_unref(r->a.msg);
    b->appended++;
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    slu_hist_add(&b->latency, now - r->began_ns);
    if (now < b->until_ns)
        publish(r);
    else
        b->in_flight--;
}

static void append_all(struct bench *b, unsigned in_flight)
{
    struct append *rs = calloc(in_flight, sizeof(*rs));
    if (!rs)
        fail("out of memory");
    b->in_flight = in_flight;
    for (unsigned i = 0; i < in_flight; i++) {
        rs[i].bench = b;
        rs[i].a = (struct slu_append){ .req.done = appended, .rule = &b->rule };
        publish(&rs[i]);
    }
    while (b->in_flight)
        turn(b);
    free(rs);
}

static void scanned(struct slu_store_req *req)
{
    struct slu_scan *s = (struct slu_scan *)(void *)req;
    if (req->err)
        fail(slu_err_info(req->err)->message);
    s->home = 1; /* it has ended */
}

static double scan_all(struct bench *b, const char *filter)
{
    struct slu_scan s = { .req.done = scanned, .max_items = PAGE, .max_bytes = 1 << 20, .filter = slu_str(filter) };
    uint64_t began = clock_ns(CLOCK_MONOTONIC), n = 0;
    do {
        s.home = 0;
        slu_store_scan(b->store, &s);
        while (!s.home)
            turn(b);
        n += s.n;
        slu_page_free(s.msgs, s.n);
        s.after_seq = s.next_seq;
    } while (!s.at_head);
    return (double)n / ((double)(clock_ns(CLOCK_MONOTONIC) - began) / 1e9);
}

static unsigned argument(int argc, char **argv, int i, unsigned otherwise)
{
    return i < argc ? (unsigned)strtoul(argv[i], NULL, 10) : otherwise;
}

static void clean(const char *folder)
{
    static const char *const names[] = { "sluice.db", "sluice.db-wal", "sluice.db-shm", "lock" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
}

int main(int argc, char **argv)
{
    static struct bench b; /* its histogram is large */
    b = (struct bench){ .size = argument(argc, argv, 3, 128), .topics = argument(argc, argv, 4, 1) };
    unsigned in_flight = argument(argc, argv, 2, 1024), seconds = argument(argc, argv, 5, 5);
    if (argc < 2 || !slu_engine_for_disk || !b.topics || !in_flight)
        fail("usage: bench_storage FOLDER [in_flight [size [topics [seconds [max_count]]]]]");
    b.account.budget = (size_t)1 << 32;
    b.rule = (struct slu_rule){ .log = SLU_LOG_DISK, .max_count = argument(argc, argv, 6, 0) };
    b.payload = calloc(1, b.size + 1);
    pthread_mutex_init(&b.lock, NULL);
    pthread_cond_init(&b.woken, NULL);
    slu_mailbox_init(&b.box, wake, &b);
    struct slu_engine_env env = { .workers = 1,
                                  .arg = &b,
                                  .account = &b.account,
                                  .post = post,
                                  .feed = feed,
                                  .wall_ms = wall_ms,
                                  .epoch_seed = 1,
                                  .dedup_window_ms = 300000 };
    struct slu_buf why;
    slu_buf_init(&why, 0);
    clean(argv[1]);
    if (!b.payload || slu_store_open(&(struct slu_store_engines){ .durable = slu_engine_for_disk, .path = argv[1] },
                                     &env, &why, &b.store))
        fail(why.len ? (const char *)why.data : "open");
    uint64_t began = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    b.until_ns = began + (uint64_t)seconds * 1000000000u;
    append_all(&b, in_flight);
    double took = (double)(clock_ns(CLOCK_MONOTONIC) - began) / 1e9;
    double cpu_us = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / 1e3 / (double)b.appended;
    double wild = scan_all(&b, "bench/#"), exact = scan_all(&b, "bench/0");
    printf("{\"in_flight\":%u,\"size\":%zu,\"topics\":%u,\"appends\":%ju,\"appends_s\":%.0f,\"cpu_us\":%.2f,"
           "\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.2f,"
           "\"scan_wild_s\":%.0f,\"scan_topic_s\":%.0f}\n",
           in_flight, b.size, b.topics, (uintmax_t)b.appended, (double)b.appended / took, cpu_us,
           (double)slu_hist_quantile(&b.latency, 0.5) / 1e6, (double)slu_hist_quantile(&b.latency, 0.99) / 1e6,
           (double)b.latency.max / 1e6, wild, exact);
    slu_store_close(b.store);
    slu_buf_fini(&why);
    free(b.payload);
    clean(argv[1]);
    return 0;
}
