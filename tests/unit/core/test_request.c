/* Request and reply, over one worker and several. */
#include "tests/support/core_bench.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static char *reply_topic(struct peer *responder, char out[128])
{
    bench_settle(responder->bench);
    const char *line;
    while ((line = peer_line(responder)))
        if (line_field(line, "reply"))
            return snprintf(out, 128, "%s", line_field(line, "reply")) > 0 ? out : NULL;
    return NULL;
}

Test(request, the_first_reply_answers)
{
    for (unsigned n = 1; n <= 4; n++) {
        struct bench *b = bench_new(n);
        struct peer *asker = peer_open(b, 0, ""), *answerer = peer_open(b, n - 1, "");
        char topic[128];
        peer_sub(answerer, 1, "rpc/add");
        peer_skip(answerer);
        peer_skip(asker);
        peer_req(asker, 7, "rpc/add", "1+2", 0);
        cr_assert(reply_topic(answerer, topic));
        peer_quiet(asker);
        peer_pub(answerer, 8, topic, "3");
        peer_expect(asker, "ok 7 data=3");
        peer_expect(answerer, "ok 8 matched=1");
        peer_pub(answerer, 9, topic, "4");
        peer_quiet(asker);
        peer_expect(answerer, "ok 9 matched=0");
        bench_free(b);
    }
}

Test(request, nobody_there_is_told_at_once)
{
    for (unsigned n = 1; n <= 4; n++) {
        struct bench *b = bench_new(n);
        struct peer *asker = peer_open(b, 0, ""), *group = peer_open(b, n - 1, "");
        peer_sub(group, 0, "rpc/#", .group = "g", .ack = true);
        peer_skip(asker);
        peer_req(asker, 7, "other", "x", 0);
        peer_expect(asker, "err 7 no_responder");
        peer_req(asker, 8, "rpc/x", "x", 0);
        peer_expect(asker, "err 8 no_responder");
        bench_free(b);
    }
}

Test(request, no_answer_times_out)
{
    struct bench *b = bench_new(2);
    struct peer *asker = peer_open(b, 0, ""), *answerer = peer_open(b, 1, "");
    char topic[128];
    peer_sub(answerer, 1, "rpc/+");
    peer_skip(asker);
    peer_req(asker, 7, "rpc/x", "x", 300);
    cr_assert(reply_topic(answerer, topic));
    bench_advance(b, 299);
    peer_quiet(asker);
    bench_advance(b, 1);
    peer_expect(asker, "err 7 req_timeout");
    peer_pub(answerer, 8, topic, "late");
    peer_quiet(asker);
    peer_expect(answerer, "ok 8 matched=0");
    bench_free(b);
}

Test(request, one_that_asked_and_left_is_forgotten)
{
    for (unsigned n = 1; n <= 2; n++)
        for (unsigned turns = 0; turns < 6; turns++) {
            struct bench *b = bench_new(n);
            struct peer *asker = peer_open(b, 0, ""), *answerer = peer_open(b, n - 1, "");
            char topic[128];
            peer_sub(answerer, 1, "rpc/+");
            bench_settle(b);
            peer_req(asker, 7, "rpc/x", "x", 0);
            for (unsigned i = 0; i < turns; i++)
                bench_turn(b, i % n);
            peer_cut(asker);
            if (reply_topic(answerer, topic)) {
                peer_pub(answerer, 8, topic, "y");
                peer_skip(answerer);
            }
            bench_free(b);
        }
}

Test(request, reply_topics_cannot_be_made_up)
{
    struct bench *b = bench_new(2);
    struct peer *p = peer_open(b, 0, "");
    peer_skip(p);
    peer_pub(p, 1, "$REPLY/", "x");
    peer_pub(p, 2, "$REPLY/99.abc", "x");
    peer_pub(p, 3, "$REPLY/1.abc", "x");
    peer_pub(p, 4, "$REPLY/18446744073709551617.abc", "x");
    peer_expect(p, "err 1 bad_topic", "err 2 bad_topic", "err 4 bad_topic", "ok 3 matched=0");
    peer_sub(p, 5, "$REPLY/#");
    peer_expect(p, "err 5 topic_forbidden");
    bench_free(b);
}

static void few_requests(struct slu_settings *s)
{
    s->requests_in_flight_max = 3;
}

Test(request, too_many_at_once_are_refused)
{
    struct bench *b = bench_new_with(&(struct bench_options){ .set = few_requests });
    struct peer *asker = peer_open(b, 0, ""), *answerer = peer_open(b, 0, "");
    peer_sub(answerer, 1, "rpc/+");
    peer_skip(asker);
    for (int64_t i = 1; i <= 4; i++)
        peer_req(asker, i, "rpc/x", "x", 100);
    peer_expect(asker, "err 4 limit_reached");
    bench_advance(b, 100);
    peer_expect(asker, "err 1 req_timeout", "err 2 req_timeout", "err 3 req_timeout");
    bench_free(b);
}

/* A responder without room must not cost the reader its connection, and is told. */
static void tiny_queues(struct slu_settings *s)
{
    s->queue_bytes = 2048;
    s->queue_messages = 10;
}

Test(request, a_responder_without_room_gets_a_gap)
{
    struct bench *b = bench_new_with(&(struct bench_options){ .set = tiny_queues });
    struct peer *asker = peer_open(b, 0, ""), *answerer = peer_open(b, 0, "");
    peer_sub(answerer, 0, "rpc/+", .sub = 1);
    peer_skip(answerer);
    peer_stop(answerer);
    for (int64_t i = 1; i <= 30; i++)
        peer_req(asker, i, "rpc/x", "x", 100);
    bench_settle(b);
    cr_assert(answerer->session && !answerer->closed);
    peer_go(answerer);
    bench_settle(b);
    unsigned got = 0, lost = 0;
    const char *line;
    while ((line = peer_line(answerer))) {
        got += line[0] == 'm';
        if (line[0] == 'g')
            lost += (unsigned)atoi(line_field(line, "lost"));
    }
    cr_assert(got + lost == 30 && lost > 0, "%u + %u", got, lost);
    bench_free(b);
}
