/* Work queues: each message with one member at a time until it is acknowledged; over one worker and several. */
#include "tests/support/core_bench.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { MEMBERS = 4, MESSAGES = 300 };

static const struct slu_rule rules[] = {
    { .filter = SLU_LIT("#"), .log = SLU_LOG_MEMORY, .last_value = true },
    { .filter = SLU_LIT("nolog"), .log = SLU_LOG_NONE },
};

static struct bench *open_bench(unsigned workers)
{
    return bench_new_with(&(struct bench_options){ .workers = workers, .rules = rules, .n_rules = 2 });
}

static void publish_n(struct peer *p, const char *topic, unsigned first, unsigned last)
{
    char data[16];
    for (unsigned i = first; i <= last; i++) {
        snprintf(data, sizeof(data), "%u", i);
        peer_pub(p, 0, topic, data);
    }
    bench_settle(p->bench);
}

/* The epoch of a topic: what a member gets in its msg, which the bench's lines leave out. */
static struct slu_pos newest(struct bench *b, const char *topic)
{
    struct peer *p = peer_open(b, 0, "");
    peer_skip(p);
    peer_sub(p, 1, topic);
    bench_settle(b);
    struct slu_pos pos = line_pos(peer_line(p));
    peer_cut(p);
    return pos;
}

struct job {
    char topic[32];
    unsigned no, tries;
    struct slu_pos pos;
};

static bool parse(const char *line, struct job *j)
{
    unsigned long long offset;
    if (sscanf(line, "msg %31s %u @%llu", j->topic, &j->no, &offset) != 3)
        return false;
    j->tries = (unsigned)atoi(line_field(line, "try"));
    j->pos.offset = offset;
    return true;
}

Test(group, each_message_goes_to_one_member)
{
    for (unsigned n = 1; n <= 4; n++) {
        struct bench *b = open_bench(n);
        struct peer *m[MEMBERS], *w = peer_open(b, n - 1, "");
        for (unsigned i = 0; i < MEMBERS; i++) {
            m[i] = peer_open(b, i % n, "");
            peer_sub(m[i], 1, "jobs", .sub = 1, .group = "g", .ack = true);
            peer_expect(m[i], "hello *", "ok 1 sub=1 rec=1");
        }
        publish_n(w, "jobs", 1, 20);
        unsigned seen[21] = { 0 };
        for (unsigned i = 0; i < MEMBERS; i++) {
            const char *line;
            unsigned had = 0;
            while ((line = peer_line(m[i]))) {
                struct job j;
                cr_assert(parse(line, &j) && j.tries == 1, "%s", line);
                seen[j.no]++;
                had++;
            }
            cr_assert(had == 5, "shared evenly: %u", had);
        }
        for (unsigned i = 1; i <= 20; i++)
            cr_assert(seen[i] == 1);
        bench_free(b);
    }
}

Test(group, what_is_not_acknowledged_comes_again)
{
    for (unsigned n = 1; n <= 2; n++) {
        struct bench *b = open_bench(n);
        struct peer *m = peer_open(b, 0, ""), *w = peer_open(b, n - 1, "");
        peer_sub(m, 1, "jobs", .sub = 1, .group = "g", .ack = true, .ack_wait_ms = 1000);
        bench_settle(b);
        publish_n(w, "jobs", 1, 3);
        struct slu_pos pos = newest(b, "jobs");
        peer_expect(m, "hello *", "ok 1 sub=1 rec=1", "msg jobs 1 @1 sub=1 try=1", "msg jobs 2 @2 sub=1 try=1",
                    "msg jobs 3 @3 sub=1 try=1");
        pos.offset = 2;
        peer_ack(m, 2, 1, "jobs", pos, false);
        peer_expect(m, "ok 2");
        bench_advance(b, 1000);
        peer_expect(m, "msg jobs 1 @1 sub=1 try=2", "msg jobs 3 @3 sub=1 try=2");
        pos.offset = 3;
        peer_ack(m, 0, 1, "jobs", pos, true);
        bench_advance(b, 5000);
        peer_quiet(m);
        pos.offset = 3;
        peer_ack(m, 4, 9, "jobs", pos, true);
        peer_expect(m, "err 4 unknown_sub");
        bench_free(b);
    }
}

Test(group, a_nack_comes_again_after_its_delay_or_goes_to_dead)
{
    for (unsigned n = 1; n <= 3; n++) {
        struct bench *b = open_bench(n);
        struct peer *m = peer_open(b, 0, ""), *w = peer_open(b, n - 1, ""), *dead = peer_open(b, 0, "");
        peer_sub(dead, 1, "$DEAD/#");
        peer_sub(m, 1, "jobs", .sub = 1, .group = "g", .ack = true, .max_try = 3);
        bench_settle(b);
        publish_n(w, "jobs", 1, 1);
        struct slu_pos pos = newest(b, "jobs");
        peer_expect(m, "hello *", "ok 1 *", "msg jobs 1 @1 sub=1 try=1");
        peer_nack(m, 0, 1, "jobs", pos, 500, false);
        bench_advance(b, 499);
        peer_quiet(m);
        bench_advance(b, 1);
        peer_expect(m, "msg jobs 1 @1 sub=1 try=2");
        peer_nack(m, 0, 1, "jobs", pos, 0, false);
        peer_expect(m, "msg jobs 1 @1 sub=1 try=3");
        peer_skip(dead);
        peer_nack(m, 0, 1, "jobs", pos, 0, false);
        peer_quiet(m);
        peer_expect(dead, "msg $DEAD/jobs 1 @1");
        publish_n(w, "jobs", 2, 2);
        peer_expect(m, "msg jobs 2 @2 sub=1 try=1");
        pos.offset = 2;
        peer_nack(m, 0, 1, "jobs", pos, 0, true);
        peer_expect(dead, "msg $DEAD/jobs 2 @2");
        bench_free(b);
    }
}

Test(group, a_member_that_goes_leaves_its_work_to_others)
{
    for (unsigned n = 1; n <= 4; n++) {
        struct bench *b = open_bench(n);
        struct peer *a = peer_open(b, 0, ""), *c = peer_open(b, n - 1, ""), *w = peer_open(b, 0, "");
        peer_sub(a, 1, "jobs", .sub = 1, .group = "g", .ack = true);
        bench_settle(b);
        publish_n(w, "jobs", 1, 5);
        cr_assert(peer_count(a, "msg") == 5);
        peer_sub(c, 1, "jobs", .sub = 1, .group = "g", .ack = true);
        peer_expect(c, "hello *", "ok 1 *");
        peer_cut(a);
        cr_assert(peer_count(c, "msg jobs") == 5);
        bench_free(b);
    }
}

Test(group, with_nobody_there_the_log_holds_the_work)
{
    for (unsigned n = 1; n <= 2; n++) {
        struct bench *b = open_bench(n);
        struct peer *a = peer_open(b, 0, ""), *w = peer_open(b, n - 1, "");
        peer_sub(a, 1, "jobs", .sub = 1, .group = "g", .ack = true);
        bench_settle(b);
        peer_cut(a);
        publish_n(w, "jobs", 1, 500);
        a = peer_open(b, 0, "");
        peer_sub(a, 1, "jobs", .sub = 1, .group = "g", .ack = true);
        struct slu_pos pos = newest(b, "jobs");
        unsigned got = 0;
        const char *line;
        do {
            bench_settle(b);
            unsigned had = got;
            while ((line = peer_line(a))) {
                struct job j;
                if (!parse(line, &j))
                    continue;
                cr_assert(j.no == ++got && j.tries == 1, "%u: %s", got, line);
                pos.offset = j.pos.offset;
            }
            if (got == had)
                break;
            peer_ack(a, 0, 1, "jobs", pos, true);
        } while (true);
        cr_assert(got == 500, "%u", got);
        bench_free(b);
    }
}

Test(group, from_first_takes_the_log_along)
{
    for (unsigned n = 1; n <= 2; n++) {
        struct bench *b = open_bench(n);
        struct peer *a = peer_open(b, 0, ""), *w = peer_open(b, n - 1, "");
        publish_n(w, "jobs/a", 1, 5);
        publish_n(w, "jobs/b", 6, 9);
        peer_sub(a, 1, "jobs/+", .sub = 1, .group = "g", .ack = true, .from = SLU_FROM_FIRST);
        cr_assert(peer_count(a, "msg jobs/") == 9);
        bench_free(b);
    }
}

Test(group, credit_bounds_what_a_member_gets)
{
    for (unsigned n = 1; n <= 2; n++) {
        struct bench *b = open_bench(n);
        struct peer *a = peer_open(b, 0, ""), *w = peer_open(b, n - 1, "");
        peer_sub(a, 1, "jobs", .sub = 1, .group = "g", .ack = true, .credit = 2);
        peer_skip(a);
        publish_n(w, "jobs", 1, 10);
        cr_assert(peer_count(a, "msg") == 2);
        peer_flow(a, 0, 1, 3);
        cr_assert(peer_count(a, "msg") == 3);
        bench_free(b);
    }
}

Test(group, what_it_refuses)
{
    struct bench *b = open_bench(1);
    struct peer *a = peer_open(b, 0, "");
    peer_skip(a);
    peer_sub(a, 1, "jobs", .group = "g");
    peer_sub(a, 2, "jobs", .ack = true);
    peer_sub(a, 3, "nolog", .group = "g", .ack = true);
    peer_sub(a, 4, "jobs", .group = "g", .ack = true, .conflate = true);
    peer_sub(a, 5, "jobs", .group = "g", .ack = true, .from = SLU_FROM_CUR, .cur = "nonsense");
    peer_sub(a, 6, "jobs", .sub = 3);
    peer_ack(a, 7, 3, "jobs", (struct slu_pos){ 1, 1 }, false);
    peer_expect(a, "err 1 unsupported", "err 2 unsupported", "err 3 unsupported", "err 4 unsupported",
                "err 5 bad_frame", "ok 6 *", "err 7 unsupported");
    bench_free(b);
}

/* What is published after a member's ok is work, wherever it is published. */
Test(group, the_ok_comes_when_the_group_reads)
{
    for (unsigned n = 1; n <= 4; n++)
        for (unsigned round = 0; round < 40; round++) {
            struct bench *b = open_bench(n);
            b->rng += round * 31;
            struct peer *a = peer_open(b, bench_random(b, n), ""), *w = peer_open(b, bench_random(b, n), "");
            peer_skip(a);
            peer_sub(a, 1, "jobs", .sub = 1, .group = "g", .ack = true);
            while (!peer_line(a))
                bench_turn(b, bench_random(b, n));
            peer_pub(w, 0, "jobs", "1");
            peer_expect(a, "msg jobs 1 @1 sub=1 try=1");
            bench_free(b);
        }
}

/* Members that come, go, acknowledge, refuse and fall silent at random: every message is acknowledged in the end. */
Test(group, nothing_is_lost_whatever_members_do, .timeout = 60)
{
    for (unsigned round = 0; round < 40; round++) {
        struct bench *b = open_bench(1 + round % 4);
        b->rng += round * 104729;
        struct peer *m[MEMBERS] = { 0 }, *w = peer_open(b, 0, "");
        bool done[MESSAGES + 1] = { 0 };
        unsigned published = 0;
        publish_n(w, "jobs/a", 0, 0);
        publish_n(w, "jobs/b", 0, 0);
        struct slu_pos a = newest(b, "jobs/a"), c = newest(b, "jobs/b");
        peer_sub(w, 0, "jobs/#", .group = "g", .ack = true, .ack_wait_ms = 100, .credit = -1, .from = SLU_FROM_NEW);
        bench_settle(b);
        for (unsigned step = 0; step < 4000; step++) {
            unsigned i = (unsigned)bench_random(b, MEMBERS), what = (unsigned)bench_random(b, 20);
            char data[16];
            if (step > 3000 && what < 6)
                what = 9;
            if (what < 4 && published < MESSAGES) {
                snprintf(data, sizeof(data), "%u", ++published);
                peer_pub(w, 0, bench_random(b, 2) ? "jobs/a" : "jobs/b", data);
            } else if (what == 4 && bench_random(b, 5) == 0 && m[i]) {
                peer_cut(m[i]);
                m[i] = NULL;
            } else if (what >= 5 && what < 8 && !m[i]) {
                m[i] = peer_open(b, (unsigned)bench_random(b, b->n), "");
                peer_sub(m[i], 0, "jobs/#", .sub = 1, .group = "g", .ack = true, .ack_wait_ms = 100);
            } else if (what == 8) {
                bench_advance(b, bench_random(b, 60));
            } else if (what < 15 && m[i]) {
                const char *line = peer_line(m[i]);
                struct job j;
                if (!line || !parse(line, &j))
                    continue;
                j.pos.epoch = j.topic[5] == 'a' ? a.epoch : c.epoch;
                if (bench_random(b, 3) || step > 3000) {
                    peer_ack(m[i], 0, 1, j.topic, j.pos, false);
                    done[j.no] = true;
                } else if (bench_random(b, 2)) {
                    peer_nack(m[i], 0, 1, j.topic, j.pos, bench_random(b, 50), false);
                }
            } else {
                bench_turn(b, (unsigned)bench_random(b, b->n));
            }
        }
        struct peer *last = peer_open(b, 0, "");
        peer_sub(last, 0, "jobs/#", .sub = 1, .group = "g", .ack = true, .ack_wait_ms = 100);
        for (unsigned i = 0; i < 60; i++) {
            bench_advance(b, 100);
            for (unsigned k = 0; k <= MEMBERS; k++) {
                struct peer *p = k < MEMBERS ? m[k] : last;
                const char *line;
                struct job j;
                while (p && (line = peer_line(p)))
                    if (parse(line, &j)) {
                        j.pos.epoch = j.topic[5] == 'a' ? a.epoch : c.epoch;
                        peer_ack(p, 0, 1, j.topic, j.pos, false);
                        done[j.no] = true;
                    }
            }
        }
        for (unsigned i = 1; i <= published; i++)
            cr_assert(done[i], "round %u: %u of %u is lost", round, i, published);
        bench_advance(b, 1000);
        for (unsigned k = 0; k < MEMBERS; k++)
            if (m[k])
                cr_assert(peer_count(m[k], "msg") == 0);
        bench_free(b);
    }
}
