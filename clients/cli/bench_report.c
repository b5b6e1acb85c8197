/* What `sluice bench` found, for people or as one JSON object. */
#include "clients/cli/bench.h"

#include "broker/base/json.h"

#include <string.h>

static const double quantiles[] = { 0.5, 0.9, 0.99, 0.999 };
static const char *const quantile_names[] = { "p50", "p90", "p99", "p99.9" };

/* 1234567 as 1,234,567 */
static const char *grouped(char buf[32], uint64_t v)
{
    char digits[24];
    int n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)v);
    char *to = buf;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return buf;
}

struct figures {
    double published_s, delivered_s, cpu_us, cores, own_cores, bytes_s;
    double idle_bytes;
    uint64_t missing;
};

static struct figures figures_of(const struct bench *b, const struct bench_report *r)
{
    struct figures f = { 0 };
    uint64_t work = r->totals.delivered ? r->totals.delivered : r->totals.published;
    f.published_s = (double)r->totals.published / r->seconds;
    f.delivered_s = (double)r->totals.delivered / r->seconds;
    f.bytes_s = (double)r->totals.bytes / r->seconds;
    f.cpu_us = work ? (double)r->server_cpu_ns / 1e3 / (double)work : 0;
    f.cores = (double)r->server_cpu_ns / 1e9 / r->seconds;
    f.own_cores = (double)r->client_cpu_ns / 1e9 / r->seconds;
    f.missing = b->expected > b->delivered ? b->expected - b->delivered : 0;
    if (b->a.idle)
        f.idle_bytes = ((double)r->rss_idle - (double)r->rss_before) / (double)b->a.idle;
    return f;
}

static void print_text(const struct bench *b, const struct bench_report *r, const struct figures *f,
                       const struct slu_machine *m)
{
    char one[32], two[32];
    printf("load          %llu readers (%llu %% stopped), %llu publishers, %llu topics, %llu bytes, ",
           (unsigned long long)b->a.subs, (unsigned long long)b->a.stopped, (unsigned long long)b->a.pubs,
           (unsigned long long)b->a.topics, (unsigned long long)b->a.size);
    if (b->a.rate > 0)
        printf("%.0f/s, ", b->a.rate);
    else
        printf("window %llu, ", (unsigned long long)b->a.window);
    printf("%llu idle, %.1f s\n", (unsigned long long)b->a.idle, r->seconds);
    printf("published     %s/s\n", grouped(one, (uint64_t)f->published_s));
    printf("delivered     %s/s  (%s in all, %.1f MB/s)\n", grouped(one, (uint64_t)f->delivered_s),
           grouped(two, r->totals.delivered), f->bytes_s / 1e6);
    if (b->latency->n) {
        printf("latency      ");
        for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++)
            printf(" %s %.3f", quantile_names[i], (double)slu_hist_quantile(b->latency, quantiles[i]) / 1e6);
        printf(" max %.3f ms  (%s samples)\n", (double)b->latency->max / 1e6, grouped(one, b->latency->n));
    }
    if (r->has_pid) {
        printf("broker        %.3f us of processor time for each %s (%.2f cores busy)\n", f->cpu_us,
               r->totals.delivered ? "delivered message" : "published message", f->cores);
        printf("memory        %.1f MB", (double)r->rss_end / 1e6);
        if (b->a.idle)
            printf(", %.0f bytes for each idle connection", f->idle_bytes);
        printf("\n");
    }
    printf("this program  %.2f cores busy\n", f->own_cores);
    if (b->gaps || f->missing || b->refused || b->n_lost)
        printf("trouble       %llu gaps, %llu messages not delivered, %llu refused, %zu connections lost%s%s\n",
               (unsigned long long)b->gaps, (unsigned long long)f->missing, (unsigned long long)b->refused, b->n_lost,
               b->error[0] ? ": " : "", b->error);
    printf("machine       %s, %ld cores, %s\n", m->model, m->cores, m->kernel);
}

static void put(struct slu_buf *o, const char *name, double v)
{
    slu_buf_addf(o, "%s\"%s\":", o->len > 1 ? "," : "", name);
    slu_json_add_double(o, v);
}

static void put_text(struct slu_buf *o, const char *name, const char *v)
{
    slu_buf_addf(o, ",\"%s\":", name);
    slu_json_add_str(o, v);
}

static void print_json(const struct bench *b, const struct bench_report *r, const struct figures *f,
                       const struct slu_machine *m)
{
    struct slu_buf o;
    slu_buf_init(&o, 0);
    slu_buf_add_byte(&o, '{');
    put(&o, "subs", (double)b->a.subs);
    put(&o, "pubs", (double)b->a.pubs);
    put(&o, "topics", (double)b->a.topics);
    put(&o, "size_bytes", (double)b->a.size);
    put(&o, "window", (double)b->a.window);
    put(&o, "rate", b->a.rate);
    put(&o, "stopped_percent", (double)b->a.stopped);
    put(&o, "idle", (double)b->a.idle);
    put(&o, "seconds", r->seconds);
    put(&o, "published", (double)r->totals.published);
    put(&o, "delivered", (double)r->totals.delivered);
    put(&o, "published_per_s", f->published_s);
    put(&o, "delivered_per_s", f->delivered_s);
    put(&o, "bytes_per_s", f->bytes_s);
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]) && b->latency->n; i++) {
        char name[32];
        snprintf(name, sizeof(name), "latency_%s_ms", quantile_names[i]);
        put(&o, name, (double)slu_hist_quantile(b->latency, quantiles[i]) / 1e6);
    }
    if (b->latency->n)
        put(&o, "latency_max_ms", (double)b->latency->max / 1e6);
    if (r->has_pid) {
        put(&o, "server_cpu_us_per_message", f->cpu_us);
        put(&o, "server_cores", f->cores);
        put(&o, "server_rss_bytes", (double)r->rss_end);
        if (b->a.idle)
            put(&o, "server_bytes_per_idle_connection", f->idle_bytes);
    }
    put(&o, "client_cores", f->own_cores);
    put(&o, "gaps", (double)b->gaps);
    put(&o, "not_delivered", (double)f->missing);
    put(&o, "refused", (double)b->refused);
    put(&o, "connections_lost", (double)b->n_lost);
    put_text(&o, "error", b->error);
    put_text(&o, "cpu", m->model);
    put(&o, "cores", (double)m->cores);
    put_text(&o, "kernel", m->kernel);
    slu_buf_add_str(&o, "}\n");
    if (!o.failed)
        fwrite(o.data, 1, o.len, stdout);
    slu_buf_fini(&o);
}

void slu_bench_print(const struct bench *b, const struct bench_report *r)
{
    struct slu_machine m;
    struct figures f = figures_of(b, r);
    slu_proc_machine(&m);
    if (b->a.output && strcmp(b->a.output, "json") == 0)
        print_json(b, r, &f, &m);
    else
        print_text(b, r, &f, &m);
    fflush(stdout);
}
