/* Memory runs out at the n-th allocation, for every n that a request makes: the request fails, nothing else does. */
#include "tests/conformance/engine/suite.h"

/* What a request may answer when memory was short. */
static bool is_answer(enum slu_err err)
{
    return err == SLU_OK || err == SLU_ENOMEM || err == SLU_EUNAVAILABLE || err == SLU_EINTERNAL;
}

ENGINE_TEST(alloc, an_append_without_memory_is_refused_and_leaves_nothing)
{
    unsigned stored = 0, failed = 0;
    for (unsigned nth = 1; nth < 40; nth++) {
        unsigned from = nth * 100;
        const char *topic = sim_topic_at(s, nth % s->homes, "m/", &from);
        size_t fed = s->n_fed;
        s->fail_alloc = nth;
        struct sim_pub p = { .topic = topic, .data = "x", .dedup = "k", .retain = nth % 2, .worker = nth % s->workers };
        struct sim_op *op = sim_append(s, p);
        sim_wait(s, op);
        EXPECT_TRUE(is_answer(op->append.req.err));
        bool is_stored = op->append.req.err == SLU_OK;
        EXPECT_U64(s->n_fed, fed + is_stored);
        EXPECT_U64(SCAN(s, topic)->n, is_stored);
        /* And it works when memory is back; a key that was not stored is not known. */
        EXPECT_U64(PUB(s, .topic = topic, .data = "y", .dedup = "k").offset, 1);
        EXPECT_U64(PUB(s, .topic = topic, .data = "z").offset, 2);
        stored += is_stored;
        failed += !is_stored;
    }
    EXPECT_TRUE(stored > 0 && failed > 0);
}

ENGINE_TEST(alloc, reading_without_memory_fails_alone)
{
    for (int i = 0; i < 40; i++)
        PUB(s, .topic = "a", .data = "x", .retain = i == 39);
    unsigned home = sim_home(s, "a");
    for (unsigned nth = 1; nth < 8; nth++) {
        struct slu_scan sc = { .filter = SLU_LIT("a"), .home = home, .max_items = 100, .max_bytes = 1 << 20 };
        struct slu_tail t = { .filter = SLU_LIT("#"),
                              .home = home,
                              .max_items = 100,
                              .max_bytes = 1 << 20,
                              .max_seq = UINT64_MAX,
                              .last = 30 };
        s->fail_alloc = nth;
        struct sim_op *op = sim_scan(s, sc);
        sim_wait(s, op);
        EXPECT_TRUE(is_answer(op->scan.req.err));
        s->fail_alloc = nth;
        op = sim_tail(s, t);
        sim_wait(s, op);
        EXPECT_TRUE(is_answer(op->tail.req.err));
        EXPECT_U64(SCAN(s, "a")->n, 40);
        EXPECT_U64(TAIL(s, "a", .last = 30)->n, 30);
    }
}
