/* Beginning, end and what lies between. */
#include "tests/conformance/engine/suite.h"

ENGINE_TEST(life, opening_and_closing_leaves_nothing)
{
    EXPECT_TRUE(s->homes >= 1);
    for (unsigned w = 0; w < s->workers; w++)
        slu_store_tick(s->store, w);
}

ENGINE_TEST(life, closing_ends_what_is_pending)
{
    PUB(s, .topic = "a", .data = "1", .retain = true);
    struct sim_op *ops[64];
    size_t n = 0;
    for (unsigned w = 0; w < s->workers; w++) {
        for (unsigned home = 0; home < s->homes; home++) {
            unsigned from = 0;
            const char *topic = sim_topic_at(s, home, "c", &from);
            ops[n++] = sim_append(s, (struct sim_pub){ .topic = topic, .data = "x", .dedup = "k", .worker = w });
        }
        unsigned home = sim_home(s, "a");
        ops[n++] = sim_scan(
            s,
            (struct slu_scan){ .req.worker = w, .home = home, .filter = SLU_LIT("a"), .max_items = 9, .max_bytes = 9 });
        ops[n++] = sim_tail(s, (struct slu_tail){ .req.worker = w,
                                                  .home = home,
                                                  .filter = SLU_LIT("#"),
                                                  .last = 1,
                                                  .max_seq = UINT64_MAX,
                                                  .max_items = 9,
                                                  .max_bytes = 9 });
        ops[n++] = sim_locate(s, (struct slu_locate){ .req.worker = w, .home = home, .filter = SLU_LIT("a") });
    }
    /* Some are half-way, some done. */
    for (uint64_t steps = sim_random(s, n); steps; steps--)
        sim_step(s);
    bool done_before[64];
    for (size_t i = 0; i < n; i++)
        done_before[i] = ops[i]->done;
    sim_close(s);
    for (size_t i = 0; i < n; i++)
        EXPECT_U64(ops[i]->done, done_before[i]); /* not inside close */
    sim_wait(s, NULL);
    for (size_t i = 0; i < n; i++) {
        EXPECT_U64(ops[i]->done, 1);
        if (!done_before[i])
            EXPECT_ERR(ops[i]->append.req.err, SLU_ECLOSED);
    }
}

ENGINE_TEST(life, requests_are_counted)
{
    PUB(s, .topic = "a", .data = "1");
    PUB_ERR(s, .raw_topic = SLU_LIT(""), .data = "1");
    (void)SCAN(s, "a");
    (void)TAIL(s, "a", .last = 1);
    (void)LOCATE(s, "a", .from = SLU_FROM_NEW);
    struct slu_store_stats stats;
    slu_store_stats(s->store, &stats);
    EXPECT_U64(stats.appends, 1);
    EXPECT_U64(stats.scans, 1);
    EXPECT_U64(stats.tails, 1);
    EXPECT_U64(stats.locates, 1);
    EXPECT_U64(stats.refused, 1);
}

ENGINE_TEST(life, the_homes_sequence_has_one_epoch)
{
    const struct slu_locate *a = LOCATE(s, "#", .home = 0, .from = SLU_FROM_NEW);
    PUB(s, .topic = "a", .data = "1");
    const struct slu_locate *b = LOCATE(s, "a/+", .home = 0, .from = SLU_FROM_NEW);
    EXPECT_U64(a->epoch, b->epoch);
    EXPECT_TRUE(a->epoch > 0 && a->epoch < UINT64_C(1) << 53);
}

/* Everything at once, with small bounds, short lives and ticks; the sim watches, the sanitizers too. */
ENGINE_TEST(life, a_long_random_life)
{
    static const struct slu_rule rules[] = {
        { .log = SLU_LOG_DISK, .max_count = 4, .last_value = true },
        { .log = SLU_LOG_MEMORY, .max_age_ms = 300 },
        { .log = SLU_LOG_DISK, .max_bytes = 2000, .max_age_ms = 1000, .last_value = true },
        { .log = SLU_LOG_NONE },
    };
    static const char *const topics[] = { "r/1", "r/2", "r/3", "r/4", "r/5/6", "x", "$r" };
    static const char *const filters[] = { "#", "r/+", "r/#", "r/1", "x", "$r/#" };
    for (int i = 0; i < 6000; i++) {
        unsigned worker = (unsigned)sim_random(s, s->workers), home = (unsigned)sim_random(s, s->homes);
        size_t t = sim_random(s, 7);
        const char *filter = filters[sim_random(s, 6)];
        bool is_logged = t % 4 != 3;
        switch (sim_random(s, 8)) {
        case 0:
            sim_scan(s, (struct slu_scan){ .req.worker = worker,
                                           .home = home,
                                           .filter = slu_str(filter),
                                           .after_seq = sim_random(s, 500),
                                           .max_items = 5,
                                           .max_bytes = 1000 });
            break;
        case 1:
            sim_tail(s, (struct slu_tail){ .req.worker = worker,
                                           .home = home,
                                           .filter = slu_str(filter),
                                           .last = 3,
                                           .latest = sim_random(s, 2),
                                           .max_seq = UINT64_MAX,
                                           .max_items = 4,
                                           .max_bytes = 1000 });
            break;
        case 2:
            sim_locate(s, (struct slu_locate){ .req.worker = worker,
                                               .home = home,
                                               .filter = slu_str(filter),
                                               .n = 3,
                                               .from = (enum slu_from)sim_random(s, 5) });
            break;
        case 3:
            s->wall_ms += sim_random(s, 50);
            slu_store_tick(s->store, worker);
            break;
        default:
            sim_append(s, (struct sim_pub){ .topic = topics[t],
                                            .data = "some data",
                                            .rule = &rules[t % 4],
                                            .worker = worker,
                                            .retain = sim_random(s, 4) == 0,
                                            .clear = sim_random(s, 20) == 0,
                                            .dedup = is_logged && sim_random(s, 9) == 0 ? "k" : NULL,
                                            .expires_ms = sim_random(s, 4) ? 0 : s->wall_ms + sim_random(s, 200) });
        }
        for (uint64_t steps = sim_random(s, 3); steps; steps--)
            sim_step(s);
    }
    sim_wait(s, NULL);
}
