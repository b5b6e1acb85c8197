/* Figures to JSON. Numbers are written by printf in the C locale and are finite by construction; text goes through the
 * JSON writer, which takes any bytes. */
#include "clients/cli/feed_json.h"

#include "broker/base/json.h"

void slu_feed_json_cpu(const struct slu_cpu_sample *before, const struct slu_cpu_sample *now, struct slu_buf *out)
{
    const struct slu_cpu_times *a = &before->all, *b = &now->all;
    slu_buf_addf(out, "{\"total\":%.1f,\"user\":%.1f,\"system\":%.1f,\"iowait\":%.1f,\"cores\":[",
                 slu_host_load_percent(a, b), slu_host_percent(a->user, b->user, a->total, b->total),
                 slu_host_percent(a->system, b->system, a->total, b->total),
                 slu_host_percent(a->iowait, b->iowait, a->total, b->total));
    for (size_t i = 0; i < now->count; i++)
        slu_buf_addf(out, "%s%.1f", i ? "," : "", slu_host_load_percent(&before->core[i], &now->core[i]));
    slu_buf_add_str(out, "]}");
}

static void add_bytes(struct slu_buf *out, const char *name, uint64_t v)
{
    slu_buf_addf(out, ",\"%s\":", name);
    slu_buf_add_u64(out, v);
}

void slu_feed_json_memory(const struct slu_memory *m, struct slu_buf *out)
{
    uint64_t used = m->total - m->available;
    uint64_t swap_used = m->swap_total > m->swap_free ? m->swap_total - m->swap_free : 0;
    slu_buf_addf(out, "{\"percent\":%.1f", slu_host_percent(0, used, 0, m->total));
    add_bytes(out, "total", m->total);
    add_bytes(out, "used", used);
    add_bytes(out, "available", m->available);
    add_bytes(out, "free", m->free);
    add_bytes(out, "buffers", m->buffers);
    add_bytes(out, "cached", m->cached);
    add_bytes(out, "swap_total", m->swap_total);
    add_bytes(out, "swap_used", swap_used);
    slu_buf_add_byte(out, '}');
}

void slu_feed_json_load(const struct slu_load *l, struct slu_buf *out)
{
    slu_buf_addf(out, "{\"one\":%.2f,\"five\":%.2f,\"fifteen\":%.2f", l->one, l->five, l->fifteen);
    add_bytes(out, "running", l->running);
    add_bytes(out, "tasks", l->tasks);
    slu_buf_add_byte(out, '}');
}

void slu_feed_json_disk(const struct slu_disk *before, const struct slu_disk *now, double seconds, struct slu_buf *out)
{
    double busy = slu_host_rate(before->busy_ms, now->busy_ms, seconds) / 10.0;
    slu_buf_addf(out, "{\"read\":%.0f,\"write\":%.0f,\"read_iops\":%.1f,\"write_iops\":%.1f,\"busy\":%.1f}",
                 slu_host_rate(before->read_sectors, now->read_sectors, seconds) * 512.0,
                 slu_host_rate(before->write_sectors, now->write_sectors, seconds) * 512.0,
                 slu_host_rate(before->reads, now->reads, seconds), slu_host_rate(before->writes, now->writes, seconds),
                 busy > 100.0 ? 100.0 : busy);
}

void slu_feed_json_net(const struct slu_net *before, const struct slu_net *now, double seconds, struct slu_buf *out)
{
    slu_buf_addf(out, "{\"rx\":%.0f,\"tx\":%.0f,\"rx_packets\":%.1f,\"tx_packets\":%.1f",
                 slu_host_rate(before->rx_bytes, now->rx_bytes, seconds),
                 slu_host_rate(before->tx_bytes, now->tx_bytes, seconds),
                 slu_host_rate(before->rx_packets, now->rx_packets, seconds),
                 slu_host_rate(before->tx_packets, now->tx_packets, seconds));
    /* since the machine started: seldom more than 0, and then the sum is what one asks for */
    add_bytes(out, "rx_errors", now->rx_errors);
    add_bytes(out, "tx_errors", now->tx_errors);
    add_bytes(out, "rx_drops", now->rx_drops);
    add_bytes(out, "tx_drops", now->tx_drops);
    slu_buf_add_byte(out, '}');
}

void slu_feed_json_processes(const struct slu_process_share *top, size_t n, size_t in_all, uint64_t page_bytes,
                             struct slu_buf *out)
{
    slu_buf_addf(out, "{\"count\":%zu,\"top\":[", in_all);
    for (size_t i = 0; i < n; i++) {
        slu_buf_addf(out, "%s{\"pid\":%d,\"name\":", i ? "," : "", top[i].p->pid);
        slu_json_add_str(out, top[i].p->name);
        slu_buf_addf(out, ",\"cpu\":%.1f", top[i].cpu);
        add_bytes(out, "rss", top[i].p->rss_pages * page_bytes);
        slu_buf_add_byte(out, '}');
    }
    slu_buf_add_str(out, "]}");
}

void slu_feed_json_info(const struct slu_host_info *i, double hz, struct slu_buf *out)
{
    const struct {
        const char *name, *value;
    } texts[] = {
        { "host", i->host }, { "os", i->os }, { "kernel", i->kernel }, { "arch", i->arch }, { "model", i->model },
    };
    for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++) {
        slu_buf_addf(out, "%c\"%s\":", k ? ',' : '{', texts[k].name);
        slu_json_add_str(out, texts[k].value);
    }
    add_bytes(out, "cores", i->cores);
    add_bytes(out, "memory", i->memory);
    slu_buf_addf(out, ",\"uptime\":%.0f,\"hz\":%g}", i->uptime_s, hz);
}
