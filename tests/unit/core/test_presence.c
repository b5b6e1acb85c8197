/* Who is there, and who comes and goes. */
#include "tests/support/core_bench.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

Test(presence, counts_connections_on_all_workers_page_by_page)
{
    for (unsigned n = 1; n <= 4; n++) {
        struct bench *b = bench_new(n);
        struct peer *asker = peer_open(b, 0, "");
        for (unsigned i = 0; i < 10; i++) {
            struct peer *p = peer_open(b, i % n, "");
            peer_sub(p, 0, "room");
            peer_sub(p, 0, "room", .sub = 99, .credit = 1);
            peer_sub(p, 0, "room/#");
        }
        peer_skip(asker);
        char after[64] = "", all[512] = "";
        for (unsigned page = 0; page < 4; page++) {
            peer_presence(asker, 1, "room", 3, after);
            bench_settle(b);
            char line[BENCH_LINE];
            snprintf(line, sizeof(line), "%s", peer_line(asker));
            cr_assert_str_eq(line_field(line, "count"), "10");
            strcat(strcat(all, line_field(line, "members")), ",");
            const char *next = line_field(line, "next");
            cr_assert((next != NULL) == (page < 3), "page %u: %s", page, line);
            if (next)
                snprintf(after, sizeof(after), "%s", next);
        }
        unsigned members = 0;
        for (const char *c = all; *c; c++)
            members += *c == ',';
        cr_assert(members == 10, "%s", all);
        peer_presence(asker, 2, "room", 0, NULL);
        cr_assert(peer_count(asker, "ok 2 count=10") == 1);
        peer_presence(asker, 3, "nobody", 0, NULL);
        peer_expect(asker, "ok 3 count=0 members=");
        peer_presence(asker, 4, "room/+", 0, NULL);
        peer_expect(asker, "err 4 bad_topic");
        bench_free(b);
    }
}

Test(presence, watchers_hear_joins_and_leaves)
{
    for (unsigned n = 1; n <= 4; n++) {
        struct bench *b = bench_new(n);
        struct peer *watcher = peer_open(b, 0, ""), *p = peer_open(b, n - 1, "eve");
        peer_sub(watcher, 1, "room/+", .presence = true);
        peer_skip(watcher);
        peer_sub(p, 1, "room/a", .sub = 1);
        peer_sub(p, 1, "room/a", .sub = 2);
        bench_settle(b);
        const char *line = peer_line(watcher);
        cr_assert(line && strncmp(line, "join room/a ", 12) == 0 && strstr(line, "user=eve"), "%s", line);
        peer_unsub(p, 2, 1, NULL);
        bench_advance(b, 3000);
        peer_quiet(watcher);
        peer_unsub(p, 2, 2, NULL);
        bench_advance(b, 1999);
        peer_quiet(watcher);
        bench_advance(b, 1);
        peer_expect(watcher, "leave room/a *");
        bench_free(b);
    }
}

Test(presence, a_quick_reconnect_does_not_flap)
{
    for (unsigned n = 1; n <= 4; n++) {
        struct bench *b = bench_new(n);
        struct peer *watcher = peer_open(b, 0, ""), *p = peer_open(b, n - 1, "eve");
        peer_sub(watcher, 1, "room", .presence = true);
        peer_sub(p, 1, "room");
        peer_skip(watcher);
        peer_cut(p);
        bench_advance(b, 1000);
        p = peer_open(b, 0, "eve");
        peer_sub(p, 1, "room");
        bench_advance(b, 5000);
        peer_quiet(watcher);
        peer_cut(p);
        bench_advance(b, 2000);
        peer_expect(watcher, "leave room *");
        bench_free(b);
    }
}

/* One that leaves before its ok was heard of: its join must not stay behind. */
Test(presence, a_join_is_always_followed_by_its_leave)
{
    for (unsigned n = 1; n <= 3; n++)
        for (unsigned turns = 0; turns < 8; turns++) {
            struct bench *b = bench_new(n);
            struct peer *watcher = peer_open(b, 0, ""), *p = peer_open(b, n - 1, "eve");
            peer_sub(watcher, 1, "room", .presence = true);
            peer_skip(watcher);
            peer_sub(p, 1, "room", .sub = 1);
            for (unsigned i = 0; i < turns; i++)
                bench_turn(b, i % n);
            peer_cut(p);
            bench_advance(b, 5000);
            unsigned joins = 0, leaves = 0;
            const char *line;
            while ((line = peer_line(watcher))) {
                joins += line[0] == 'j';
                leaves += line[0] == 'l';
            }
            cr_assert(joins == 1 && leaves == 1, "%u joins, %u leaves", joins, leaves);
            bench_free(b);
        }
}

static void tiny_queues(struct slu_settings *s)
{
    s->queue_bytes = 2048;
    s->queue_messages = 10;
}

Test(presence, a_slow_watcher_is_bounded_and_told)
{
    struct bench *b = bench_new_with(&(struct bench_options){ .set = tiny_queues });
    struct peer *watcher = peer_open(b, 0, "");
    peer_sub(watcher, 1, "room/+", .sub = 1, .presence = true);
    peer_skip(watcher);
    peer_stop(watcher);
    struct peer *p = peer_open(b, 0, "eve");
    char topic[32];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(topic, sizeof(topic), "room/%u", i);
        peer_sub(p, 0, topic);
    }
    bench_settle(b);
    peer_go(watcher);
    bench_settle(b);
    unsigned joins = 0, lost = 0;
    const char *line;
    while ((line = peer_line(watcher))) {
        joins += line[0] == 'j';
        if (line[0] == 'g')
            lost += (unsigned)atoi(line_field(line, "lost"));
    }
    cr_assert(joins + lost == 1000 && joins < 100, "%u + %u", joins, lost);
    bench_free(b);
}
