/* Work queues: each message with one member at a time until it is acknowledged; over one worker and several. */
#include "storage/engine.h"
#include "tests/support/core_bench.h"
#include "tests/support/faulty_engine.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { MEMBERS = 4, MESSAGES = 300 };

static const struct slu_rule rules[] = {
    { .filter = SLU_LIT("#"), .log = SLU_LOG_MEMORY, .last_value = true },
    { .filter = SLU_LIT("nolog"), .log = SLU_LOG_NONE },
    { .filter = SLU_LIT("short/#"), .log = SLU_LOG_MEMORY, .max_count = 5 },
};

static struct bench *open_bench(unsigned workers)
{
    return bench_new_with(&(struct bench_options){ .workers = workers, .rules = rules, .n_rules = 3 });
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

/* --- remembered --------------------------------------------------------------------------------------------------- */

/* Long enough for the memory of a group without members to be freed. Whoever is connected says nothing and is cut. */
static void rest(struct bench *b)
{
    for (struct peer *p = b->peers; p; p = p->next)
        peer_cut(p);
    bench_advance(b, 601000);
}

static struct peer *member(struct bench *b, unsigned worker, const char *filter)
{
    struct peer *p = peer_open(b, worker % b->n, "");
    peer_skip(p);
    peer_sub(p, 1, filter, .sub = 1, .group = "g", .ack = true, .max_try = 3);
    return p;
}

Test(group, a_queue_is_taken_up_where_it_stood)
{
    for (unsigned n = 1; n <= 4; n++) {
        struct bench *b = open_bench(n);
        struct peer *a = member(b, 0, "jobs"), *w = peer_open(b, n - 1, "");
        peer_expect(a, "ok 1 *");
        publish_n(w, "jobs", 1, 5);
        struct slu_pos pos = newest(b, "jobs");
        pos.offset = 2;
        peer_ack(a, 0, 1, "jobs", pos, false);
        pos.offset = 4;
        peer_ack(a, 0, 1, "jobs", pos, false);
        peer_expect(a, "msg jobs 1 @1 sub=1 try=1", "msg jobs 2 @2 sub=1 try=1", "msg jobs 3 @3 sub=1 try=1",
                    "msg jobs 4 @4 sub=1 try=1", "msg jobs 5 @5 sub=1 try=1");
        rest(b);
        w = peer_open(b, 0, "");
        publish_n(w, "jobs", 6, 6);
        a = member(b, n - 1, "jobs");
        peer_expect(a, "ok 1 sub=1 rec=1", "msg jobs 1 @1 sub=1 try=2", "msg jobs 3 @3 sub=1 try=2",
                    "msg jobs 5 @5 sub=1 try=2", "msg jobs 6 @6 sub=1 try=1");
        publish_n(w, "jobs", 7, 7);
        peer_expect(a, "msg jobs 7 @7 sub=1 try=1");
        pos.offset = 7;
        peer_ack(a, 0, 1, "jobs", pos, true);
        rest(b);
        a = member(b, 0, "jobs");
        peer_expect(a, "ok 1 sub=1 rec=1");
        bench_free(b);
    }
}

Test(group, a_wildcard_queue_too)
{
    for (unsigned n = 1; n <= 4; n++) {
        struct bench *b = open_bench(n);
        struct peer *a = member(b, 0, "jobs/+"), *w = peer_open(b, n - 1, "");
        peer_expect(a, "ok 1 *");
        char topic[16];
        for (unsigned i = 0; i < 8; i++) {
            snprintf(topic, sizeof(topic), "jobs/%u", i);
            publish_n(w, topic, 1, 3);
        }
        cr_assert(peer_count(a, "msg") == 24);
        for (unsigned i = 0; i < 8; i++) {
            snprintf(topic, sizeof(topic), "jobs/%u", i);
            struct slu_pos pos = newest(b, topic);
            pos.offset = 1 + i % 3;
            peer_ack(a, 0, 1, topic, pos, false);
        }
        rest(b);
        a = member(b, 1, "jobs/+");
        unsigned again = 0;
        bench_settle(b);
        for (const char *line; (line = peer_line(a));) {
            struct job j;
            if (!parse(line, &j))
                continue;
            again++;
            cr_assert(j.tries == 2 && j.pos.offset != 1 + (unsigned)(j.topic[5] - '0') % 3, "%s", line);
        }
        cr_assert(again == 16, "%u", again);
        bench_free(b);
    }
}

Test(group, tries_and_delays_are_remembered)
{
    struct bench *b = open_bench(2);
    struct peer *a = member(b, 0, "jobs"), *w = peer_open(b, 1, "");
    peer_expect(a, "ok 1 *");
    publish_n(w, "jobs", 1, 2);
    struct slu_pos pos = newest(b, "jobs");
    pos.offset = 1;
    peer_nack(a, 0, 1, "jobs", pos, 0, false);
    pos.offset = 2;
    peer_nack(a, 0, 1, "jobs", pos, 700000, false);
    peer_expect(a, "msg jobs 1 @1 sub=1 try=1", "msg jobs 2 @2 sub=1 try=1", "msg jobs 1 @1 sub=1 try=2");
    rest(b);
    struct peer *dead = peer_open(b, 0, "");
    peer_sub(dead, 1, "$DEAD/#");
    a = member(b, 1, "jobs");
    peer_expect(a, "ok 1 *", "msg jobs 1 @1 sub=1 try=3");
    peer_skip(dead);
    pos.offset = 1;
    peer_nack(a, 0, 1, "jobs", pos, 0, false);
    peer_expect(dead, "msg $DEAD/jobs 1 @1");
    for (unsigned i = 0; i < 10; i++) {
        slu_session_alive(a->session);
        bench_advance(b, 10000);
    }
    cr_assert(peer_count(a, "msg jobs 2 @2 sub=1 try=2") == 1);
    rest(b);
    a = member(b, 0, "jobs");
    peer_expect(a, "ok 1 *", "msg jobs 2 @2 sub=1 try=3"); /* that one was not acknowledged either */
    bench_free(b);
}

Test(group, what_the_log_has_lost_meanwhile_is_told)
{
    for (unsigned n = 1; n <= 2; n++) {
        struct bench *b = open_bench(n);
        struct peer *a = member(b, 0, "short/a"), *w = peer_open(b, 0, "");
        peer_expect(a, "ok 1 *");
        publish_n(w, "short/a", 1, 4);
        struct slu_pos pos = newest(b, "short/a");
        pos.offset = 3;
        peer_ack(a, 0, 1, "short/a", pos, false);
        peer_skip(a);
        rest(b);
        w = peer_open(b, 0, "");
        publish_n(w, "short/a", 5, 8); /* the log holds 4 to 8 */
        a = member(b, 0, "short/a");
        peer_expect(a, "ok 1 *", "msg short/a 4 @4 sub=1 try=2", "gap 1 short/a lost=2 trimmed",
                    "msg short/a 5 @5 sub=1 try=1", "msg short/a 6 @6 sub=1 try=1", "msg short/a 7 @7 sub=1 try=1",
                    "msg short/a 8 @8 sub=1 try=1");
        rest(b);
        w = peer_open(b, 0, "");
        publish_n(w, "short/a", 9, 20); /* nothing of what was handed out is left */
        a = member(b, 0, "short/a");
        bench_settle(b);
        unsigned got = 0, lost = 0;
        for (const char *line; (line = peer_line(a));) {
            got += strncmp(line, "msg", 3) == 0;
            if (strncmp(line, "gap 1 short/a", 13) == 0)
                lost += (unsigned)atoi(line_field(line, "lost"));
        }
        cr_assert(got == 5 && lost >= 5, "%u, lost %u", got, lost);
        bench_free(b);
    }
}

/* --- the store ---------------------------------------------------------------------------------------------------- */

static struct slu_faulty faulty;

static struct bench *open_faulty(unsigned workers)
{
    return bench_new_with(&(struct bench_options){
        .workers = workers, .rules = rules, .n_rules = 3, .engine = slu_faulty_init(&faulty, &slu_engine_memory) });
}

Test(group, an_ack_is_answered_when_it_is_kept)
{
    for (unsigned n = 1; n <= 3; n++) {
        struct bench *b = open_faulty(n);
        struct peer *a = member(b, 0, "jobs"), *w = peer_open(b, 0, "");
        bench_settle(b);
        publish_n(w, "jobs", 1, 3);
        struct slu_pos pos = newest(b, "jobs");
        bench_advance(b, 100);
        peer_skip(a);
        slu_faulty_set(&faulty, SLU_FAULTY_STATE, SLU_FAULT_HOLD, 0, 0);
        peer_ack(a, 2, 1, "jobs", pos, false);
        bench_advance(b, 500);
        pos.offset = 1;
        peer_ack(a, 3, 1, "jobs", pos, false);
        peer_quiet(a);
        slu_faulty_release(&faulty);
        peer_expect(a, "ok 2", "ok 3");
        slu_faulty_set(&faulty, SLU_FAULTY_STATE, SLU_FAULT_FAIL, 0, SLU_EUNAVAILABLE);
        pos.offset = 2;
        peer_ack(a, 4, 1, "jobs", pos, false);
        peer_expect(a, "err 4 unavailable");
        peer_ack(a, 5, 1, "jobs", pos, false);
        bench_advance(b, 600);
        peer_expect(a, "ok 5");
        peer_unsub(a, 0, 1, NULL);
        peer_answered(a);
        bench_free(b);
        slu_faulty_fini(&faulty);
    }
}

Test(group, without_the_store_there_is_no_ok)
{
    for (unsigned nth = 0; nth < 2; nth++) {
        struct bench *b = open_faulty(2);
        unsigned calls = slu_faulty_calls(&faulty, SLU_FAULTY_STATE);
        slu_faulty_set(&faulty, SLU_FAULTY_STATE, SLU_FAULT_FAIL, calls + 1 + nth, SLU_EUNAVAILABLE);
        struct peer *a = member(b, 0, "jobs");
        peer_expect(a, "err 1 unavailable");
        struct peer *c = peer_open(b, 1, "");
        peer_skip(c);
        peer_sub(c, 2, "jobs", .sub = 1, .group = "g", .ack = true);
        peer_expect(c, "ok 2 *");
        bench_free(b);
        slu_faulty_fini(&faulty);
    }
}

Test(group, a_queue_that_is_taken_over_elsewhere_ends_here)
{
    struct bench *b = open_faulty(2);
    struct peer *a = member(b, 0, "jobs"), *c = member(b, 1, "jobs"), *w = peer_open(b, 0, "");
    peer_expect(a, "ok 1 *");
    peer_expect(c, "ok 1 *");
    bench_advance(b, 100);
    slu_faulty_set(&faulty, SLU_FAULTY_STATE, SLU_FAULT_FAIL, 0, SLU_EEXPECT_FAILED);
    publish_n(w, "jobs", 1, 1);
    bench_advance(b, 100);
    cr_assert(peer_count(a, "end 1 unavailable") == 1 && peer_count(c, "end 1 unavailable") == 1);
    peer_sub(a, 2, "jobs", .sub = 1, .group = "g", .ack = true);
    peer_expect(a, "ok 2 *", "msg jobs 1 @1 sub=1 try=1"); /* its state was not written */
    bench_free(b);
    slu_faulty_fini(&faulty);
}

Test(group, a_dead_letter_stays_a_task_until_it_is_published)
{
    struct bench *b = open_faulty(2);
    struct peer *a = member(b, 0, "jobs"), *w = peer_open(b, 0, ""), *dead = peer_open(b, 1, "");
    peer_sub(dead, 1, "$DEAD/#");
    bench_settle(b);
    publish_n(w, "jobs", 1, 1);
    struct slu_pos pos = newest(b, "jobs");
    peer_skip(a);
    peer_skip(dead);
    slu_faulty_set(&faulty, SLU_FAULTY_APPEND, SLU_FAULT_FAIL, 0, SLU_EUNAVAILABLE);
    peer_nack(a, 2, 1, "jobs", pos, 0, true);
    bench_advance(b, 100);
    peer_expect(a, "ok 2");
    peer_quiet(dead);
    bench_advance(b, 1000);
    peer_expect(a, "msg jobs 1 @1 sub=1 try=2"); /* it is not lost: it is work again */
    peer_nack(a, 0, 1, "jobs", pos, 0, true);
    peer_expect(dead, "msg $DEAD/jobs 1 @1");
    peer_quiet(a);
    bench_free(b);
    slu_faulty_fini(&faulty);
}

/* --- what is written ---------------------------------------------------------------------------------------------- */

struct asked {
    struct slu_state state;
    bool done;
};

static void asked_done(struct slu_store_req *req)
{
    ((struct asked *)(void *)req)->done = true;
}

static void ask(struct bench *b, struct asked *a, enum slu_state_op op, struct slu_bytes value)
{
    a->state.req.done = asked_done;
    a->state.op = op;
    a->state.key = slu_bytes((const uint8_t *)"group\0g\0jobs/#", 14);
    a->state.value = value;
    a->done = false;
    bench_turn(b, 0);
    slu_store_state(slu_broker_store(b->broker), &a->state);
    bench_settle(b);
    cr_assert(a->done && a->state.req.err == SLU_OK);
}

Test(group, what_the_store_returns_is_not_trusted, .timeout = 60)
{
    struct bench *b = open_bench(2);
    struct peer *a = member(b, 0, "jobs/#"), *w = peer_open(b, 0, "");
    bench_settle(b);
    publish_n(w, "jobs/a", 1, 3);
    publish_n(w, "jobs/bbbbbbb", 1, 3);
    rest(b);
    struct asked real = { 0 }, put = { 0 };
    ask(b, &real, SLU_STATE_CLAIM, (struct slu_bytes){ 0 });
    struct slu_bytes value = real.state.found;
    cr_assert(value.len > 40);
    uint8_t *copy = malloc(value.len + 1);
    for (size_t i = 0; i < value.len * 2; i++) {
        bool cut = i < value.len;
        memcpy(copy, value.data, value.len);
        copy[value.len] = 0;
        if (!cut)
            copy[i - value.len] ^= (uint8_t)(1 + bench_random(b, 255));
        ask(b, &put, SLU_STATE_CLAIM, (struct slu_bytes){ 0 });
        free((void *)(uintptr_t)put.state.found.data);
        ask(b, &put, SLU_STATE_PUT, slu_bytes(copy, cut ? (i ? i : value.len + 1) : value.len));
        a = peer_open(b, 0, "");
        peer_skip(a);
        peer_sub(a, 1, "jobs/#", .sub = 1, .group = "g", .ack = true, .from = SLU_FROM_FIRST);
        unsigned got = peer_count(a, "msg jobs/");
        cr_assert(!cut || got == 6, "cut to %zu: %u", i, got); /* unreadable: from the first again */
        rest(b);
    }
    free(copy);
    free((void *)(uintptr_t)value.data);
    bench_free(b);
}

enum { MANY = 80 };

Test(group, what_does_not_fit_is_delivered_again, .timeout = 60)
{
    struct bench *b = open_bench(1);
    struct peer *m[MANY];
    static char topic[1000];
    memset(topic, 'x', sizeof(topic) - 1);
    memcpy(topic, "jobs/", 5);
    struct peer *w = peer_open(b, 0, "");
    for (unsigned i = 0; i < MANY; i++) {
        m[i] = peer_open(b, 0, "");
        peer_skip(m[i]);
        peer_sub(m[i], 1, "jobs/#", .sub = 1, .group = "g", .ack = true);
    }
    for (unsigned i = 0; i < MANY * 60; i++) {
        snprintf(topic + 900, 99, "%u", i);
        topic[900 + strlen(topic + 900)] = 'y';
        peer_pub(w, 0, topic, "x");
    }
    unsigned first = 0, again = 0;
    for (unsigned i = 0; i < MANY; i++)
        first += peer_count(m[i], "msg jobs/");
    cr_assert(first == MANY * 60, "%u", first);
    bench_advance(b, 2000);
    rest(b);
    for (unsigned i = 0; i < MANY; i++) {
        m[i] = peer_open(b, 0, "");
        peer_skip(m[i]);
        peer_sub(m[i], 1, "jobs/#", .sub = 1, .group = "g", .ack = true);
    }
    bench_settle(b);
    for (unsigned i = 0; i < MANY; i++)
        for (const char *line; (line = peer_line(m[i]));) {
            again += strncmp(line, "msg jobs/", 9) == 0;
            cr_assert(strncmp(line, "gap", 3) != 0);
        }
    cr_assert(again == first, "%u of %u", again, first);
    bench_free(b);
}

/* One member does all that is left; what was kept as done does not come. */
static void do_the_rest(struct bench *b, uint64_t epoch_a, uint64_t epoch_b, const bool *kept, bool *done)
{
    struct peer *last = peer_open(b, 0, "");
    peer_sub(last, 0, "jobs/+", .sub = 1, .group = "g", .ack = true, .ack_wait_ms = 100);
    for (unsigned i = 0; i < 60; i++) {
        const char *line;
        struct job j;
        bench_advance(b, 100);
        while ((line = peer_line(last)))
            if (parse(line, &j)) {
                cr_assert(!kept[j.no], "%s came again though its ack was answered", line);
                j.pos.epoch = j.topic[5] == 'a' ? epoch_a : epoch_b;
                peer_ack(last, 0, 1, j.topic, j.pos, false);
                done[j.no] = true;
            } else {
                cr_assert(strncmp(line, "gap", 3) != 0, "%s", line);
            }
    }
}

/* As above, and now and then everybody leaves for so long that the queue is freed. What was acknowledged, and the ok came,
 * does not come again. */
Test(group, nothing_is_lost_nor_comes_again_after_long_rests, .timeout = 120)
{
    for (unsigned round = 0; round < 30; round++) {
        struct bench *b = open_bench(1 + round % 4);
        b->rng += round * 7919;
        struct peer *m[MEMBERS] = { 0 }, *w;
        bool done[MESSAGES + 1] = { 0 }, kept[MESSAGES + 1] = { 0 };
        unsigned published = 0, rests = 0, asking[MEMBERS] = { 0 };
        w = peer_open(b, 0, "");
        publish_n(w, "jobs/a", 0, 0);
        publish_n(w, "jobs/b", 0, 0);
        struct slu_pos a = newest(b, "jobs/a"), c = newest(b, "jobs/b");
        m[0] = member(b, 0, "jobs/+");
        bench_settle(b);
        for (unsigned step = 0; step < 4000; step++) {
            unsigned i = (unsigned)bench_random(b, MEMBERS), what = (unsigned)bench_random(b, 20);
            char data[16];
            bool is_end = step > 3000;
            if (!is_end && step % 400 == 399) {
                bench_settle(b);
                rest(b);
                rests++;
                memset(m, 0, sizeof(m));
                memset(asking, 0, sizeof(asking));
                w = peer_open(b, 0, "");
            } else if (what < 4 && published < MESSAGES && !is_end) {
                snprintf(data, sizeof(data), "%u", ++published);
                peer_pub(w, 0, bench_random(b, 2) ? "jobs/a" : "jobs/b", data);
            } else if (what == 4 && bench_random(b, 5) == 0 && m[i]) {
                peer_cut(m[i]);
                m[i] = NULL;
                asking[i] = 0;
            } else if (what >= 5 && what < 8 && !m[i]) {
                m[i] = peer_open(b, (unsigned)bench_random(b, b->n), "");
                peer_sub(m[i], 0, "jobs/+", .sub = 1, .group = "g", .ack = true, .ack_wait_ms = 100);
            } else if (what == 8) {
                bench_advance(b, bench_random(b, 60));
            } else if (what < 17 && m[i]) {
                const char *line = peer_line(m[i]);
                struct job j;
                if (line && strcmp(line, "ok 2") == 0) {
                    kept[asking[i]] = true;
                    asking[i] = 0;
                }
                if (!line || !parse(line, &j) || !j.no)
                    continue;
                j.pos.epoch = j.topic[5] == 'a' ? a.epoch : c.epoch;
                if (bench_random(b, 3) || is_end) {
                    bool asks = !asking[i] && !done[j.no];
                    if (asks)
                        asking[i] = j.no;
                    peer_ack(m[i], asks ? 2 : 0, 1, j.topic, j.pos, false);
                    done[j.no] = true;
                } else if (bench_random(b, 2)) {
                    peer_nack(m[i], 0, 1, j.topic, j.pos, bench_random(b, 50), false);
                }
            } else {
                bench_turn(b, (unsigned)bench_random(b, b->n));
            }
        }
        cr_assert(rests > 5);
        rest(b);
        do_the_rest(b, a.epoch, c.epoch, kept, done);
        for (unsigned i = 1; i <= published; i++)
            cr_assert(done[i], "round %u: %u of %u is lost", round, i, published);
        bench_free(b);
    }
}
