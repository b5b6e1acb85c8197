/* See log_publish.h. The id of a request is its place among those of its connection that are on the way, so an answer
 * finds its request at once; an answer to a place that waits for none is a mistake of the server's. */
#include "tests/bench/log_publish.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID_BASE = 10000, ID_DIGITS = 5, FRAME_EXTRA = 320 };

struct log_publisher {
    struct log_conn conn;
    uint64_t *sent_ns; /* by place; 0 = free */
    uint32_t *free;
    size_t n_free;
};

static void put_digits(uint8_t *at, size_t digits, uint64_t n)
{
    for (size_t i = digits; i > 0; i--, n /= 10)
        at[i - 1] = (uint8_t)('0' + n % 10);
}

static bool make_frame(struct log_publishers *p)
{
    const struct log_publish *w = &p->want;
    size_t cap = w->size + FRAME_EXTRA;
    uint8_t head[14];
    char *text = malloc(cap), *filling = malloc(w->size + 1);
    p->frame = malloc(cap);
    if (text && filling && p->frame) {
        memset(filling, PEER_FILLING, w->size);
        filling[w->size] = '\0';
        int n = snprintf(text, cap, "{\"op\":\"pub\",\"id\":%d,\"topic\":\"%.64s/%0*d\",%s%.16s%s\"data\":\"%s\"}",
                         ID_BASE, w->prefix, PEER_TOPIC_DIGITS, 0, w->ack ? "\"ack\":\"" : "", w->ack ? w->ack : "",
                         w->ack ? "\"," : "", filling);
        size_t at = peer_frame_head(peer_find("sluice"), (size_t)n, head);
        memcpy(p->frame, head, at);
        memcpy(p->frame + at, text, (size_t)n);
        p->frame_len = at + (size_t)n;
        p->id_at = at + strlen("{\"op\":\"pub\",\"id\":");
        p->topic_at = p->id_at + ID_DIGITS + strlen(",\"topic\":\"") + strlen(w->prefix) + 1;
    }
    free(text);
    free(filling);
    return p->frame_len > 0;
}

static bool may_publish(const struct log_publishers *p)
{
    const struct log_publish *w = &p->want;
    if (p->is_stopped || (w->count && p->published >= w->count))
        return false;
    double due = w->rate * (double)(p->loop->now_ns - p->began_ns) / 1e9;
    return w->rate <= 0 || (double)p->published < due;
}

static bool publish(struct log_publishers *p, struct log_publisher *one)
{
    uint8_t *at = log_conn_add(&one->conn, p->frame_len);
    if (!at)
        return false;
    uint32_t place = one->free[--one->n_free];
    one->sent_ns[place] = p->loop->now_ns;
    memcpy(at, p->frame, p->frame_len);
    put_digits(at + p->id_at, ID_DIGITS, ID_BASE + place);
    put_digits(at + p->topic_at, PEER_TOPIC_DIGITS, p->published % p->want.topics);
    p->published++;
    return true;
}

static bool on_frame(struct log_conn *c, const char *text, size_t len)
{
    struct log_publishers *p = c->arg;
    struct log_publisher *one = (struct log_publisher *)c; /* its first member */
    uint64_t id;
    if (!log_number_after(text, len, "{\"op\":\"ok\",\"id\":", &id))
        return log_begins(text, len, "{\"op\":\"ping\"") || log_refuse(c->loop, text, len);
    if (id < ID_BASE || id - ID_BASE >= p->want.window || one->sent_ns[id - ID_BASE] == 0)
        return log_refuse(c->loop, "an answer to nothing", 20);
    if (p->is_measuring)
        slu_hist_add(&p->latency, c->loop->now_ns - one->sent_ns[id - ID_BASE]);
    one->sent_ns[id - ID_BASE] = 0;
    one->free[one->n_free++] = (uint32_t)(id - ID_BASE);
    p->acked++;
    return p->want.rate > 0 || !may_publish(p) || publish(p, one);
}

bool log_publishers_pump(struct log_publishers *p)
{
    size_t full = 0;
    while (full < p->want.conns && may_publish(p)) {
        struct log_publisher *one = &p->all[p->next++ % p->want.conns];
        full = one->n_free > 0 ? 0 : full + 1;
        if (one->n_free > 0 && !publish(p, one))
            return false;
    }
    for (size_t i = 0; i < p->want.conns; i++)
        if (p->all[i].conn.out_len > 0 && !log_conn_flush(&p->all[i].conn))
            return false;
    return true;
}

static bool open_one(struct log_publishers *p, struct log_publisher *one, size_t index)
{
    size_t window = p->want.window;
    one->conn.on_frame = on_frame;
    one->conn.arg = p;
    one->sent_ns = calloc(window, sizeof(*one->sent_ns));
    one->free = malloc(window * sizeof(*one->free));
    if (!one->sent_ns || !one->free)
        return false;
    for (size_t i = 0; i < window; i++)
        one->free[one->n_free++] = (uint32_t)(window - 1 - i);
    return log_conn_open(&one->conn, p->loop, index, window * p->frame_len);
}

bool log_publishers_init(struct log_publishers *p, const struct log_publish *want, struct log_loop *l)
{
    *p = (struct log_publishers){ .want = *want, .loop = l };
    p->all = calloc(want->conns, sizeof(*p->all));
    bool ok = p->all && make_frame(p);
    for (size_t i = 0; ok && i < want->conns; i++)
        ok = open_one(p, &p->all[i], i);
    l->now_ns = p->began_ns = log_now_ns();
    return ok;
}

void log_publishers_fini(struct log_publishers *p)
{
    for (size_t i = 0; p->all && i < p->want.conns; i++) {
        log_conn_close(&p->all[i].conn);
        free(p->all[i].sent_ns);
        free(p->all[i].free);
    }
    free(p->all);
    free(p->frame);
    *p = (struct log_publishers){ 0 };
}
