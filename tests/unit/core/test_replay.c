/* The past and the join with the present: every start, pauses, cursors, what can no longer be had; and at random, with
 * messages published at every step on the way. */
#include "tests/support/core_bench.h"
#include "tests/support/faulty_engine.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static const struct slu_rule long_log[] = {
    { .filter = SLU_LIT("#"), .log = SLU_LOG_MEMORY, .last_value = true, .presence = true },
    { .filter = SLU_LIT("short/#"), .log = SLU_LOG_MEMORY, .max_count = 5, .last_value = true },
    { .filter = SLU_LIT("nolog/#"), .log = SLU_LOG_NONE },
};

static void small_queues(struct slu_settings *s)
{
    s->queue_bytes = 4096;
    s->queue_messages = 160;
}

static struct bench *open_with(unsigned workers, const struct slu_engine *engine)
{
    return bench_new_with(&(struct bench_options){
        .workers = workers, .rules = long_log, .n_rules = 3, .set = small_queues, .engine = engine });
}

static struct bench *open_bench(unsigned workers)
{
    return open_with(workers, NULL);
}

static void publish_n(struct peer *p, const char *topic, unsigned first, unsigned last)
{
    char data[16];
    for (unsigned i = first; i <= last; i++) {
        snprintf(data, sizeof(data), "%u", i);
        peer_pub(p, 0, topic, data);
        bench_settle(p->bench);
    }
}

/* --- at random ---------------------------------------------------------------------------------------------------- */

enum { TOPICS = 5, READERS = 6 };

struct reader {
    struct peer *peer;
    bool wild, has_ok, skips_old, credit;
    uint64_t cur_from;           /* offsets begin behind this (exact), known by the ok */
    uint64_t next[TOPICS];       /* 0: nothing yet */
    uint64_t head_at_ok[TOPICS]; /* published by then */
    unsigned topic;
};

struct world {
    struct bench *b;
    struct peer *writers[4];
    uint64_t head[TOPICS];
    struct reader readers[READERS];
};

static void topic_name(char out[16], unsigned i)
{
    snprintf(out, 16, "t/%u", i);
}

static void publish_one(struct world *w)
{
    unsigned i = bench_random(w->b, TOPICS);
    char topic[16], data[16];
    topic_name(topic, i);
    /* One writer for each topic, so that the payloads count as the offsets do. */
    snprintf(data, sizeof(data), "%llu", (unsigned long long)++w->head[i]);
    (peer_pub)(w->writers[i % w->b->n], 0, topic, data, (struct pub_options){ .pad = bench_random(w->b, 100) });
}

static void read_line(struct world *w, struct reader *r, const char *line)
{
    unsigned i;
    char data[256];
    unsigned long long offset;
    if (sscanf(line, "msg t/%u %255s @%llu", &i, data, &offset) == 3) {
        cr_assert(r->has_ok, "before the ok: %s", line);
        cr_assert(offset == strtoull(data, NULL, 10), "%s", line);
        if (r->next[i])
            cr_assert(offset == r->next[i], "want @%llu, got %s", (unsigned long long)r->next[i], line);
        else if (!r->wild && r->cur_from != UINT64_MAX)
            cr_assert(offset == r->cur_from + 1, "want to begin behind %llu, got %s", (unsigned long long)r->cur_from,
                      line);
        else
            cr_assert(offset <= r->head_at_ok[i] + 1, "begins too late (%llu at ok): %s",
                      (unsigned long long)r->head_at_ok[i], line);
        r->next[i] = offset + 1;
    } else if (strncmp(line, "ok 1 ", 5) == 0) {
        cr_assert(!r->has_ok);
        r->has_ok = true;
        cr_assert(strstr(line, "rec=1"), "%s", line);
        if (!r->skips_old && !r->wild)
            r->cur_from = line_pos(line).offset;
        memcpy(r->head_at_ok, w->head, sizeof(w->head));
    } else {
        cr_assert(strncmp(line, "hello", 5) == 0 || strncmp(line, "cur ", 4) == 0, "%s", line);
    }
}

static void read_all(struct world *w)
{
    for (unsigned i = 0; i < READERS; i++) {
        struct reader *r = &w->readers[i];
        const char *line;
        while (r->peer && (line = peer_line(r->peer)))
            read_line(w, r, line);
    }
}

static void subscribe_one(struct world *w, struct reader *r)
{
    struct bench *b = w->b;
    char filter[16];
    struct sub_options o = { 0 };
    if (r->peer)
        peer_cut(r->peer);
    memset(r, 0, sizeof(*r));
    r->peer = peer_open(b, bench_random(b, b->n), "");
    r->wild = bench_random(b, 2);
    r->topic = bench_random(b, TOPICS);
    if (r->wild)
        snprintf(filter, sizeof(filter), "%s", bench_random(b, 2) ? "t/+" : "#");
    else
        topic_name(filter, r->topic);
    static const enum slu_from froms[] = { SLU_FROM_NEW, SLU_FROM_FIRST, SLU_FROM_LATEST, SLU_FROM_LAST,
                                           SLU_FROM_SINCE };
    o.from = froms[bench_random(b, 5)];
    o.n = o.from == SLU_FROM_LAST    ? 1 + bench_random(b, 20)
          : o.from == SLU_FROM_SINCE ? b->wall_ms - bench_random(b, 50)
                                     : 0;
    r->skips_old = o.from == SLU_FROM_LATEST || o.from == SLU_FROM_SINCE;
    r->cur_from = UINT64_MAX;
    if (bench_random(b, 2)) {
        o.credit = 1 + bench_random(b, 10);
        r->credit = true;
    }
    o.sub = 1;
    (peer_sub)(r->peer, 1, filter, o);
}

static void one_step(struct world *w)
{
    struct bench *b = w->b;
    struct reader *r = &w->readers[bench_random(b, READERS)];
    switch (bench_random(b, 12)) {
    case 0:
    case 1:
    case 2:
    case 3:
        publish_one(w);
        break;
    case 4:
        if (bench_random(b, 20) == 0)
            subscribe_one(w, r);
        break;
    case 5:
        if (r->peer && bench_random(b, 4) == 0) {
            peer_stop(r->peer);
            r->peer->takes = bench_random(b, 2) ? 300 : 0;
        }
        break;
    case 6:
        if (r->peer)
            peer_go(r->peer);
        break;
    case 7:
        if (r->peer && r->credit)
            peer_flow(r->peer, 0, 1, 1 + bench_random(b, 30));
        break;
    case 8:
        b->now_ms++;
        b->wall_ms++;
        break;
    default:
        bench_turn(b, bench_random(b, b->n));
    }
}

static void check_end(struct world *w)
{
    for (unsigned i = 0; i < READERS; i++) {
        struct reader *r = &w->readers[i];
        if (!r->peer)
            continue;
        peer_go(r->peer);
        if (r->credit)
            peer_flow(r->peer, 0, 1, 1000000);
    }
    bench_settle(w->b);
    read_all(w);
    for (unsigned i = 0; i < READERS; i++) {
        const struct reader *r = &w->readers[i];
        for (unsigned t = 0; r->peer && t < TOPICS; t++) {
            if (!r->wild && t != r->topic)
                continue;
            cr_assert(r->has_ok);
            if (w->head[t] > r->head_at_ok[t] || r->next[t])
                cr_assert(r->next[t] == w->head[t] + 1, "reader %u of t/%u ends before %llu of %llu", i, t,
                          (unsigned long long)r->next[t], (unsigned long long)w->head[t]);
        }
    }
}

/* An engine that feeds as those with a thread of their own do. */
static void (*feed_inside)(void *arg, unsigned worker, struct slu_msg *msg);

static void feed_from_elsewhere(void *arg, unsigned worker, struct slu_msg *msg)
{
    (void)worker;
    feed_inside(arg, SLU_NO_WORKER, msg);
}

static enum slu_err open_threaded(void **st, const struct slu_engine_env *env, struct slu_buf *why)
{
    struct slu_engine_env other = *env;
    feed_inside = env->feed;
    other.feed = feed_from_elsewhere;
    return slu_engine_memory.open(st, &other, why);
}

static void random_world(unsigned workers, uint64_t seed, const struct slu_engine *engine)
{
    struct world w = { .b = open_with(workers, engine) };
    w.b->rng ^= seed * 2654435761u;
    for (unsigned i = 0; i < workers && i < 4; i++)
        w.writers[i] = peer_open(w.b, i, "");
    for (unsigned i = 0; i < READERS; i++)
        subscribe_one(&w, &w.readers[i]);
    for (unsigned i = 0; i < 3000; i++) {
        one_step(&w);
        read_all(&w);
    }
    check_end(&w);
    bench_free(w.b);
}

Test(replay, joins_without_hole_or_repeat_one_worker, .timeout = 100)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        random_world(1, seed, NULL);
}

Test(replay, joins_without_hole_or_repeat_two_workers, .timeout = 100)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        random_world(2, seed, NULL);
}

Test(replay, joins_without_hole_or_repeat_four_workers, .timeout = 100)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        random_world(4, seed, NULL);
}

Test(replay, joins_where_the_engine_feeds_from_its_own_thread, .timeout = 100)
{
    struct slu_engine engine = slu_engine_memory;
    engine.open = open_threaded;
    for (uint64_t seed = 1; seed <= 30; seed++)
        random_world(1 + seed % 4, seed, &engine);
}

/* --- each start --------------------------------------------------------------------------------------------------- */

static void each_start(unsigned workers)
{
    struct bench *b = open_bench(workers);
    struct peer *w = peer_open(b, 0, ""), *r = peer_open(b, workers - 1, "");
    publish_n(w, "a", 1, 2);
    bench_advance(b, 10);
    uint64_t since = b->wall_ms;
    publish_n(w, "a", 3, 4);
    peer_skip(r);
    peer_sub(r, 1, "a", .sub = 1);
    peer_expect(r, "ok 1 sub=1 rec=1 *");
    peer_sub(r, 1, "a", .sub = 2, .from = SLU_FROM_LATEST);
    peer_expect(r, "ok 1 sub=2 rec=1 *", "msg a 4 @4 sub=2");
    peer_sub(r, 1, "a", .sub = 3, .from = SLU_FROM_FIRST);
    peer_expect(r, "ok 1 sub=3 rec=1 *", "msg a 1 @1 sub=3", "msg a 2 @2 sub=3", "msg a 3 @3 sub=3",
                "msg a 4 @4 sub=3");
    peer_sub(r, 1, "a", .sub = 4, .from = SLU_FROM_LAST, .n = 2);
    peer_expect(r, "ok 1 sub=4 rec=1 *", "msg a 3 @3 sub=4", "msg a 4 @4 sub=4");
    peer_sub(r, 1, "a", .sub = 5, .from = SLU_FROM_SINCE, .n = since);
    peer_expect(r, "ok 1 sub=5 rec=1 *", "msg a 3 @3 sub=5", "msg a 4 @4 sub=5");
    peer_sub(r, 1, "a", .sub = 6, .from = SLU_FROM_LAST, .n = 1);
    bench_settle(b);
    struct slu_pos pos = line_pos(peer_line(r));
    peer_skip(r);
    pos.offset = 2;
    peer_sub(r, 1, "a", .sub = 7, .from = SLU_FROM_OFFSET, .pos = pos);
    peer_expect(r, "ok 1 sub=7 rec=1 *", "msg a 3 @3 sub=7", "msg a 4 @4 sub=7");
    pos.epoch++;
    peer_sub(r, 1, "a", .sub = 8, .from = SLU_FROM_OFFSET, .pos = pos);
    peer_expect(r, "ok 1 sub=8 rec=0 *", "gap 8 a lost=0 epoch", "msg a 4 @4 sub=8");
    publish_n(w, "a", 5, 5);
    peer_expect(r, "msg a 5 @5");
    bench_free(b);
}

Test(replay, from_each_start)
{
    each_start(1);
    each_start(2);
    each_start(4);
}

Test(replay, from_each_start_by_wildcard)
{
    for (unsigned n = 1; n <= 4; n *= 2) {
        struct bench *b = open_bench(n);
        struct peer *w = peer_open(b, 0, ""), *r = peer_open(b, n - 1, "");
        publish_n(w, "d/a", 1, 3);
        publish_n(w, "d/b", 1, 3);
        publish_n(w, "d/c", 1, 1);
        peer_skip(r);
        peer_sub(r, 1, "d/+", .sub = 1, .from = SLU_FROM_LATEST);
        cr_assert(peer_count(r, "msg") == 3);
        peer_sub(r, 1, "d/#", .sub = 2, .from = SLU_FROM_LAST, .n = 2);
        cr_assert(peer_count(r, "msg") == 5);
        peer_sub(r, 1, "d/#", .sub = 3, .from = SLU_FROM_FIRST);
        cr_assert(peer_count(r, "msg") == 7);
        peer_sub(r, 1, "d/#", .sub = 4, .from = SLU_FROM_OFFSET, .pos = { 1, 1 });
        peer_expect(r, "err 1 bad_filter");
        bench_free(b);
    }
}

/* --- cursors and what has gone ------------------------------------------------------------------------------------ */

static char *copy_field(const char *line, const char *name, char out[BENCH_LINE])
{
    const char *v = line ? line_field(line, name) : NULL;
    cr_assert(v, "no %s in '%s'", name, line ? line : "nothing");
    snprintf(out, BENCH_LINE, "%s", v);
    return out;
}

Test(replay, a_cursor_resumes_behind_what_was_seen)
{
    for (unsigned n = 1; n <= 4; n++) {
        struct bench *b = open_bench(n);
        struct peer *w = peer_open(b, n - 1, ""), *r = peer_open(b, 0, "");
        char cur[BENCH_LINE];
        peer_skip(r);
        publish_n(w, "d/a", 1, 2);
        peer_sub(r, 1, "d/+", .sub = 1);
        bench_settle(b);
        copy_field(peer_line(r), "cur", cur);
        publish_n(w, "d/a", 3, 3);
        publish_n(w, "d/b", 1, 1);
        peer_skip(r);
        peer_sub(r, 2, "d/+", .sub = 2, .from = SLU_FROM_CUR, .cur = cur);
        bench_settle(b);
        cr_assert(strstr(peer_line(r), "ok 2 sub=2 rec=1"));
        cr_assert(peer_count(r, "msg d/") == 2);
        bench_advance(b, 1000);
        const char *line = peer_line(r);
        cr_assert(line && strncmp(line, "cur 1 ", 6) == 0, "%s", line ? line : "nothing");
        snprintf(cur, sizeof(cur), "%s", line + 6);
        peer_skip(r);
        bench_advance(b, 5000);
        peer_quiet(r);
        publish_n(w, "d/c", 1, 3);
        peer_cut(r);
        r = peer_open(b, 0, "");
        peer_skip(r);
        peer_sub(r, 3, "d/+", .sub = 3, .from = SLU_FROM_CUR, .cur = cur);
        peer_expect(r, "ok 3 sub=3 rec=1 *", "msg d/c 1 @1 sub=3", "msg d/c 2 @2 sub=3", "msg d/c 3 @3 sub=3");
        bench_free(b);
    }
}

Test(replay, a_cursor_of_another_broker_is_told_and_goes_on_as_latest)
{
    static const char *const cursors[] = { "1.5", "1.5-2.6", "1.2-3.4-5.6-7.8-9.a" };
    for (unsigned n = 1; n <= 3; n++)
        for (unsigned i = 0; i < 3; i++) {
            struct bench *b = open_bench(n);
            struct peer *w = peer_open(b, n - 1, ""), *r = peer_open(b, 0, "");
            peer_skip(r);
            publish_n(w, "d/a", 1, 3);
            peer_sub(r, 1, "d/#", .sub = 1, .from = SLU_FROM_CUR, .cur = cursors[i]);
            peer_expect(r, "ok 1 sub=1 rec=0 *", "gap 1 lost=0 epoch", "msg d/a 3 @3 sub=1");
            publish_n(w, "d/a", 4, 4);
            peer_expect(r, "msg d/a 4 @4");
            bench_free(b);
        }
}

Test(replay, a_trimmed_position_is_told_with_its_number)
{
    for (unsigned n = 1; n <= 2; n++) {
        struct bench *b = open_bench(n);
        struct peer *w = peer_open(b, n - 1, ""), *r = peer_open(b, 0, "");
        peer_skip(r);
        publish_n(w, "short/a", 1, 2);
        peer_sub(r, 1, "short/a", .sub = 1);
        bench_settle(b);
        struct slu_pos pos = line_pos(peer_line(r));
        peer_unsub(r, 0, 1, NULL);
        publish_n(w, "short/a", 3, 7);
        peer_sub(r, 2, "short/a", .sub = 2, .from = SLU_FROM_OFFSET, .pos = pos);
        peer_expect(r, "ok 2 sub=2 rec=1 *", "msg short/a 3 @3 sub=2", "msg short/a 4 @4 sub=2",
                    "msg short/a 5 @5 sub=2", "msg short/a 6 @6 sub=2", "msg short/a 7 @7 sub=2");
        peer_unsub(r, 0, 2, NULL);
        publish_n(w, "short/a", 8, 20);
        peer_sub(r, 3, "short/a", .sub = 3, .from = SLU_FROM_OFFSET, .pos = pos);
        peer_expect(r, "ok 3 sub=3 rec=0 *", "gap 3 short/a lost=17 trimmed", "msg short/a 20 @20 sub=3");
        bench_free(b);
    }
}

Test(replay, a_long_log_comes_page_by_page_through_a_small_queue)
{
    for (unsigned n = 1; n <= 2; n++) {
        struct bench *b = open_bench(n);
        struct peer *w = peer_open(b, n - 1, ""), *r = peer_open(b, 0, "");
        for (unsigned i = 1; i <= 1000; i++)
            peer_pub(w, 0, i % 2 ? "d/a" : "d/b", "x", .pad = 30);
        bench_settle(b);
        peer_skip(r);
        peer_sub(r, 1, "d/+", .sub = 1, .from = SLU_FROM_FIRST);
        peer_stop(r);
        bench_settle(b);
        size_t used = bench_used(b);
        r->stopped = false;
        r->takes = 100;
        cr_assert(peer_count(r, "msg") == 1000);
        cr_assert(bench_used(b) <= used + 65536 + 8192);
        bench_free(b);
    }
}

/* --- a store that fails ------------------------------------------------------------------------------------------- */

static struct bench *open_faulty(unsigned workers, struct slu_faulty *f)
{
    return bench_new_with(&(struct bench_options){
        .workers = workers, .rules = long_log, .n_rules = 3, .engine = slu_faulty_init(f, &slu_engine_memory) });
}

Test(replay, a_place_that_cannot_be_found_is_an_error_not_an_ok)
{
    for (unsigned n = 1; n <= 2; n++) {
        struct slu_faulty f;
        struct bench *b = open_faulty(n, &f);
        struct peer *r = peer_open(b, 0, ""), *w = peer_open(b, 0, "");
        peer_skip(r);
        slu_faulty_set(&f, SLU_FAULTY_LOCATE, SLU_FAULT_FAIL, 0, SLU_EUNAVAILABLE);
        peer_sub(r, 1, "a", .sub = 1);
        peer_expect(r, "err 1 unavailable");
        slu_faulty_set(&f, SLU_FAULTY_LOCATE, SLU_FAULT_FAIL, 0, SLU_EUNAVAILABLE);
        peer_sub(r, 2, "a", .sub = 1, .group = "g", .ack = true);
        peer_expect(r, "err 2 unavailable");
        peer_sub(r, 3, "a", .sub = 1, .group = "g", .ack = true);
        peer_sub(r, 4, "a", .sub = 2);
        cr_assert(peer_count(r, "ok") == 2);
        publish_n(w, "a", 1, 1);
        cr_assert(peer_count(r, "msg a 1 @1") == 2);
        bench_free(b);
        slu_faulty_fini(&f);
    }
}

Test(replay, a_page_that_cannot_be_read_is_asked_for_again)
{
    for (unsigned n = 1; n <= 2; n++) {
        struct slu_faulty f;
        struct bench *b = open_faulty(n, &f);
        struct peer *r = peer_open(b, 0, ""), *w = peer_open(b, n - 1, "");
        publish_n(w, "d/a", 1, 3);
        publish_n(w, "d/b", 1, 3);
        peer_skip(r);
        slu_faulty_set(&f, SLU_FAULTY_SCAN, SLU_FAULT_FAIL, 0, SLU_EUNAVAILABLE);
        slu_faulty_set(&f, SLU_FAULTY_TAIL, SLU_FAULT_FAIL, 0, SLU_EUNAVAILABLE);
        peer_sub(r, 1, "d/a", .sub = 1, .from = SLU_FROM_FIRST);
        peer_sub(r, 1, "d/#", .sub = 2, .from = SLU_FROM_LATEST);
        cr_assert(peer_count(r, "ok 1") == 2);
        publish_n(w, "d/a", 4, 4);
        bench_advance(b, 1000);
        cr_assert(peer_count(r, "msg d/") >= 5);
        publish_n(w, "d/a", 5, 5);
        cr_assert(peer_count(r, "msg d/a 5 @5") == 1, "both are live and plain again");
        bench_free(b);
        slu_faulty_fini(&f);
    }
}

Test(replay, one_that_ends_while_the_store_is_busy_is_let_go)
{
    struct slu_faulty f;
    struct bench *b = open_faulty(2, &f);
    struct peer *r = peer_open(b, 0, ""), *q = peer_open(b, 1, "");
    slu_faulty_set(&f, SLU_FAULTY_LOCATE, SLU_FAULT_HOLD, 0, SLU_OK);
    peer_sub(r, 1, "a", .sub = 1);
    peer_sub(r, 2, "#", .sub = 2);
    peer_sub(q, 1, "b", .sub = 1, .group = "g", .ack = true);
    peer_history(q, 3, "b", SLU_FROM_FIRST, 0, (struct slu_pos){ 0 }, 0, false);
    bench_settle(b);
    peer_unsub(r, 3, 1, NULL);
    peer_cut(q);
    bench_settle(b);
    peer_cut(r);
    slu_faulty_release(&f);
    bench_free(b);
    slu_faulty_fini(&f);
}
