/* Each test of the suite runs in worlds of different size: with one worker nothing travels, with more most does. */
#pragma once

#include "tests/conformance/engine/sim.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#define ENGINE_TEST_ON(suite, name, n)                  \
    Test(suite, name##_on_##n##_workers, .timeout = 60) \
    {                                                   \
        struct sim *s = sim_new(n);                     \
        name(s);                                        \
        sim_free(s);                                    \
    }

#define ENGINE_TEST(suite, name)     \
    static void name(struct sim *s); \
    ENGINE_TEST_ON(suite, name, 1)   \
    ENGINE_TEST_ON(suite, name, 2)   \
    ENGINE_TEST_ON(suite, name, 4)   \
    static void name(struct sim *s)

#define EXPECT_TEXT(got, want) cr_assert(eq(str, (char *)(uintptr_t)(got), (char *)(uintptr_t)(want)))
#define EXPECT_U64(got, want)  cr_assert(eq(u64, (uint64_t)(got), (uint64_t)(want)))
#define EXPECT_ERR(got, want)  cr_assert(eq(int, (int)(got), (int)(want)))
#define EXPECT_TRUE(what)              \
    do {                               \
        bool holds = (what);           \
        cr_assert(holds, "%s", #what); \
    } while (0)
