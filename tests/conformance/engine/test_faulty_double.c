/* The test double itself: it fails, loses and holds what it is told to, and nothing else. */
#include "tests/conformance/engine/suite.h"

#include "tests/support/faulty_engine.h"

static struct slu_faulty *faulty(struct sim *s)
{
    return (struct slu_faulty *)(void *)(uintptr_t)slu_store_engine(s->store,
                                                                    SLU_LOG_DISK); /* its table is its first member */
}

ENGINE_TEST(faulty, the_nth_append_fails_and_no_other)
{
    slu_faulty_set(faulty(s), SLU_FAULTY_APPEND, SLU_FAULT_FAIL, 3, SLU_EUNAVAILABLE);
    for (int i = 1; i <= 5; i++)
        EXPECT_ERR(PUB_ERR(s, .topic = "a", .data = "x"), i == 3 ? SLU_EUNAVAILABLE : SLU_OK);
    EXPECT_U64(SCAN(s, "a")->n, 4);
    EXPECT_U64(slu_faulty_calls(faulty(s), SLU_FAULTY_APPEND), 5);
}

ENGINE_TEST(faulty, a_lost_answer_is_of_work_that_was_done)
{
    slu_faulty_set(faulty(s), SLU_FAULTY_SCAN, SLU_FAULT_LOSE, 0, SLU_EUNAVAILABLE);
    PUB(s, .topic = "a", .data = "x");
    struct sim_op *op =
        sim_scan(s, (struct slu_scan){ .home = sim_home(s, "a"), .filter = SLU_LIT("a"), .max_items = 9 });
    sim_wait(s, op);
    EXPECT_ERR(op->scan.req.err, SLU_EUNAVAILABLE);
    EXPECT_U64(SCAN(s, "a")->n, 1);
}

ENGINE_TEST(faulty, what_is_held_goes_on_in_order)
{
    slu_faulty_set(faulty(s), SLU_FAULTY_APPEND, SLU_FAULT_HOLD, 2, SLU_OK);
    struct sim_op *ops[4];
    static const char *const data[] = { "1", "2", "3", "4" };
    for (int i = 0; i < 4; i++)
        ops[i] = sim_append(s, (struct sim_pub){ .topic = "a", .data = data[i] });
    while (sim_step(s))
        ;
    EXPECT_TRUE(ops[0]->done && !ops[1]->done && !ops[2]->done && !ops[3]->done);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "1");
    slu_faulty_release(faulty(s));
    sim_wait(s, NULL);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "1 2 3 4");
}

ENGINE_TEST(faulty, closing_ends_what_is_held)
{
    slu_faulty_set(faulty(s), SLU_FAULTY_APPEND, SLU_FAULT_HOLD, 0, SLU_OK);
    struct sim_op *op = sim_append(s, (struct sim_pub){ .topic = "a", .data = "1" });
    sim_close(s);
    sim_wait(s, op);
    EXPECT_ERR(op->append.req.err, SLU_ECLOSED);
}
