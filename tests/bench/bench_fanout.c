/* What the core itself costs for each delivered message, without sockets: 1 publisher, N subscribers of one topic, the
 * native JSON adapter, the memory engine, links that throw their bytes away. `batch` publishes share one loop turn. */
#include "broker/core/broker.h"
#include "broker/core/link.h"
#include "broker/core/worker.h"
#include "protocol/adapter.h"
#include "storage/engine.h"
#include "tests/bench/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct slu_link {
    size_t bytes, writes;
};

static size_t frame_header(bool is_text, size_t len, uint8_t out[14])
{
    out[0] = is_text ? 0x81 : 0x82;
    if (len < 126) {
        out[1] = (uint8_t)len;
        return 2;
    }
    out[1] = 126;
    out[2] = (uint8_t)(len >> 8);
    out[3] = (uint8_t)len;
    return 4;
}

static size_t ping_frame(uint8_t out[32])
{
    (void)out;
    return 0;
}

static bool writable(struct slu_link *l)
{
    (void)l;
    return true;
}

static enum slu_err write_frames(struct slu_link *l, struct slu_bytes frames)
{
    l->bytes += frames.len;
    l->writes++;
    return SLU_OK;
}

static void want_writable(struct slu_link *l)
{
    (void)l;
}

static void read_on(struct slu_link *l, bool on)
{
    (void)l;
    (void)on;
}

static void close_link(struct slu_link *l, enum slu_close code, const char *reason)
{
    (void)l;
    (void)code;
    (void)reason;
}

static size_t held(struct slu_link *l)
{
    (void)l;
    return 0;
}

static const struct slu_link_ops ops = { frame_header,  ping_frame, writable,   write_frames,
                                         want_writable, read_on,    close_link, held };

static enum slu_err login(void *arg, const struct slu_credentials *c, struct slu_identity *out, const char **why)
{
    static const struct slu_bytes all[] = { { (const uint8_t *)"#", 1 } };
    (void)arg;
    (void)c;
    (void)why;
    *out = (struct slu_identity){ .pub = all, .n_pub = 1, .sub = all, .n_sub = 1 };
    return SLU_OK;
}

static void wake(void *arg)
{
    (void)arg;
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct slu_session *open_session(struct slu_worker *w, struct slu_link *l, const char *first)
{
    struct slu_peer peer = { .address = "bench" };
    struct slu_session *s = NULL;
    if (slu_session_open(w, &slu_adapter_native_json, &ops, l, &peer, &s))
        abort();
    slu_session_input(s, true, slu_str(first));
    return s;
}

static void run(unsigned readers, unsigned batch, size_t size, const char *filter)
{
    struct slu_settings set;
    slu_settings_default(&set);
    struct slu_auth auth = { login, NULL };
    struct slu_broker *b;
    struct slu_worker *w;
    struct slu_store_engines engines = { .memory = &slu_engine_memory };
    if (slu_broker_new(&set, &auth, &engines, NULL, &b) || slu_worker_new(b, 0, wake, NULL, &w))
        abort();
    uint64_t now = 1000;
    slu_worker_turn_begin(w, now, now);
    struct slu_link *links = calloc(readers + 1, sizeof(*links));
    struct slu_session **sessions = calloc(readers + 1, sizeof(struct slu_session *));
    char text[4096];
    snprintf(text, sizeof(text), "{\"op\":\"sub\",\"id\":1,\"topic\":\"%s\"}", filter);
    for (unsigned i = 0; i < readers; i++)
        sessions[i] = open_session(w, &links[i], text);
    sessions[readers] = open_session(w, &links[readers], "{\"op\":\"ping\"}");
    slu_worker_turn_end(w);
    size_t before = links[0].bytes;
    int n = snprintf(text, sizeof(text), "{\"op\":\"pub\",\"id\":7,\"topic\":\"bench/one\",\"data\":\"%0*d\"}",
                     (int)size, 7);
    unsigned turns = 4000000 / readers / batch + 1;
    uint64_t start = cpu_ns();
    for (unsigned t = 0; t < turns; t++) {
        slu_worker_turn_begin(w, now, now);
        for (unsigned i = 0; i < batch; i++)
            slu_session_input(sessions[readers], true, slu_bytes(text, (size_t)n));
        slu_worker_turn_end(w);
        now++;
    }
    double delivered = (double)turns * batch * readers;
    printf("%6u readers  %3u a turn  %4zu B  filter %-10s %7.1f ns a delivery  (%.0f B each)\n", readers, batch, size,
           filter, (double)(cpu_ns() - start) / delivered, (double)(links[0].bytes - before) / turns / batch);
    slu_worker_turn_begin(w, now, now);
    for (unsigned i = 0; i <= readers; i++)
        slu_session_gone(sessions[i]);
    slu_worker_turn_end(w);
    slu_worker_free(w);
    slu_broker_free(b);
    free(links);
    free(sessions);
}

int main(void)
{
    bench_print_machine();
    run(1000, 1, 128, "bench/one");
    run(1000, 12, 128, "bench/one");
    run(1000, 24, 128, "bench/one");
    run(1000, 24, 128, "bench/+");
    run(10, 24, 128, "bench/one");
    run(1000, 24, 3000, "bench/one");
    return 0;
}
