/* What is remembered under a name: one claims it, writes it, and is refused as soon as somebody else has claimed it. */
#include "tests/conformance/engine/suite.h"

#include <stdio.h>
#include <stdlib.h>

ENGINE_TEST(state, a_new_name_holds_nothing_and_then_what_was_put)
{
    const struct slu_state *c = CLAIM(s, "a");
    EXPECT_TEXT(sim_found(c), "-");
    EXPECT_TRUE(c->generation > 0);
    EXPECT_ERR(PUT(s, "a", "one", c->generation), SLU_OK);
    EXPECT_ERR(PUT(s, "a", "two", c->generation), SLU_OK);
    c = CLAIM(s, "a");
    EXPECT_TEXT(sim_found(c), "two");
    EXPECT_TEXT(sim_found(CLAIM(s, "b")), "-");
    EXPECT_TEXT(sim_found(CLAIM(s, "a", .req.worker = s->workers - 1)), "two");
}

ENGINE_TEST(state, whoever_claims_takes_the_name_over)
{
    uint64_t first = CLAIM(s, "a")->generation;
    EXPECT_ERR(PUT(s, "a", "mine", first), SLU_OK);
    uint64_t second = CLAIM(s, "a", .req.worker = s->workers - 1)->generation;
    EXPECT_TRUE(second > first);
    EXPECT_ERR(PUT(s, "a", "still mine", first), SLU_EEXPECT_FAILED);
    EXPECT_ERR(DELETE(s, "a", first), SLU_EEXPECT_FAILED);
    EXPECT_ERR(PUT(s, "a", "of the future", second + 1), SLU_EEXPECT_FAILED);
    EXPECT_TEXT(sim_found(CLAIM(s, "a")), "mine");
    EXPECT_ERR(PUT(s, "a", "too late", second), SLU_EEXPECT_FAILED);
}

ENGINE_TEST(state, what_was_never_claimed_is_not_written)
{
    EXPECT_ERR(PUT(s, "a", "x", 0), SLU_EEXPECT_FAILED);
    EXPECT_ERR(PUT(s, "a", "x", 1), SLU_EEXPECT_FAILED);
    EXPECT_ERR(DELETE(s, "a", 1), SLU_OK);
    EXPECT_TEXT(sim_found(CLAIM(s, "a")), "-");
}

ENGINE_TEST(state, a_deleted_name_starts_anew_and_no_generation_comes_back)
{
    uint64_t newest = 0;
    for (int i = 0; i < 10; i++) {
        const struct slu_state *c = CLAIM(s, "a", .req.worker = (unsigned)i % s->workers);
        EXPECT_TEXT(sim_found(c), "-");
        EXPECT_TRUE(c->generation > newest);
        uint64_t old = newest;
        newest = c->generation;
        EXPECT_ERR(PUT(s, "a", "x", newest), SLU_OK);
        if (old)
            EXPECT_ERR(PUT(s, "a", "y", old), SLU_EEXPECT_FAILED);
        EXPECT_ERR(DELETE(s, "a", newest), SLU_OK);
        EXPECT_ERR(PUT(s, "a", "z", newest), SLU_EEXPECT_FAILED);
        EXPECT_ERR(DELETE(s, "a", newest), SLU_OK);
        (void)CLAIM(s, "b");
    }
}

static void pass(struct sim *s, uint64_t ms, bool tick)
{
    s->wall_ms += ms;
    for (unsigned w = 0; tick && w < s->workers; w++)
        slu_store_tick(s->store, w);
}

/* Once with the engine's own tidying up between, once without. */
static void expires(struct sim *s, bool tick)
{
    uint64_t gen = CLAIM(s, "a")->generation;
    EXPECT_ERR(PUT(s, "a", "x", gen, .expires_ms = s->wall_ms + 1000), SLU_OK);
    pass(s, 999, tick);
    const struct slu_state *c = CLAIM(s, "a");
    EXPECT_TEXT(sim_found(c), "x");
    gen = c->generation;
    EXPECT_ERR(PUT(s, "a", "y", gen, .expires_ms = s->wall_ms + 1000), SLU_OK); /* it lives on from here */
    pass(s, 1000, tick);
    EXPECT_ERR(PUT(s, "a", "z", gen, .expires_ms = s->wall_ms + 1000), SLU_EEXPECT_FAILED);
    c = CLAIM(s, "a");
    EXPECT_TEXT(sim_found(c), "-");
    EXPECT_TRUE(c->generation > gen);
    EXPECT_ERR(DELETE(s, "a", c->generation), SLU_OK);
}

ENGINE_TEST(state, what_has_expired_is_as_if_it_never_was)
{
    expires(s, false);
    expires(s, true);
    expires(s, false);
}

ENGINE_TEST(state, a_put_without_an_expiry_stays)
{
    uint64_t gen = CLAIM(s, "a")->generation;
    EXPECT_ERR(PUT(s, "a", "x", gen, .expires_ms = s->wall_ms + 1000), SLU_OK);
    EXPECT_ERR(PUT(s, "a", "y", gen), SLU_OK);
    pass(s, UINT64_C(10) * 365 * 86400 * 1000, true);
    EXPECT_ERR(PUT(s, "a", "z", gen), SLU_OK);
    EXPECT_TEXT(sim_found(CLAIM(s, "a")), "z");
}

ENGINE_TEST(state, a_put_that_has_expired_already_leaves_nothing)
{
    uint64_t gen = CLAIM(s, "a")->generation;
    EXPECT_ERR(PUT(s, "a", "x", gen), SLU_OK);
    EXPECT_ERR(PUT(s, "a", "y", gen, .expires_ms = s->wall_ms), SLU_OK);
    EXPECT_TEXT(sim_found(CLAIM(s, "a")), "-");
}

ENGINE_TEST(state, an_empty_value_is_none)
{
    uint64_t gen = CLAIM(s, "a")->generation;
    EXPECT_ERR(PUT(s, "a", "x", gen), SLU_OK);
    EXPECT_ERR(PUT(s, "a", "", gen), SLU_OK);
    const struct slu_state *c = CLAIM(s, "a");
    EXPECT_U64(c->found.len, 0);
    EXPECT_ERR(PUT(s, "a", "y", c->generation), SLU_OK);
    EXPECT_TEXT(sim_found(CLAIM(s, "a")), "y");
}

ENGINE_TEST(state, keys_and_values_are_bytes)
{
    static const uint8_t keys[][4] = { "a", "a\0b", "a\0c", "\0a", { 0xff, 0xfe, 0x80, 0 }, "%_*" };
    enum { N = sizeof(keys) / sizeof(keys[0]) };
    for (unsigned i = 0; i < N; i++) {
        struct slu_state st = { .op = SLU_STATE_CLAIM, .key = { keys[i], 3 } };
        st.generation = sim_state_now(s, st)->state.generation;
        st.op = SLU_STATE_PUT;
        st.value = slu_bytes(keys[i], 4);
        EXPECT_ERR(sim_state_err(s, st), SLU_OK);
    }
    EXPECT_TEXT(sim_found(CLAIM(s, "a")), "-");
    for (unsigned i = 0; i < N; i++) {
        struct slu_state st = { .op = SLU_STATE_CLAIM, .key = { keys[i], 3 } };
        struct slu_bytes found = sim_state_now(s, st)->state.found;
        EXPECT_U64(found.len, 4);
        EXPECT_TRUE(memcmp(found.data, keys[i], 4) == 0);
    }
}

ENGINE_TEST(state, the_largest_are_kept_and_larger_ones_refused)
{
    uint8_t *bytes = malloc(SLU_STATE_VALUE_MAX + 1);
    for (size_t i = 0; i <= SLU_STATE_VALUE_MAX; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 251);
    struct slu_state st = { .op = SLU_STATE_CLAIM, .key = { bytes, SLU_STATE_KEY_MAX } };
    st.generation = sim_state_now(s, st)->state.generation;
    st.op = SLU_STATE_PUT;
    st.value = slu_bytes(bytes, SLU_STATE_VALUE_MAX);
    EXPECT_ERR(sim_state_err(s, st), SLU_OK);
    st.value = slu_bytes(bytes, SLU_STATE_VALUE_MAX + 1);
    EXPECT_ERR(sim_state_err(s, st), SLU_ETOO_LARGE);
    st.value = (struct slu_bytes){ 0 };
    st.op = SLU_STATE_CLAIM;
    struct slu_bytes found = sim_state_now(s, st)->state.found;
    EXPECT_U64(found.len, SLU_STATE_VALUE_MAX);
    EXPECT_TRUE(memcmp(found.data, bytes, found.len) == 0);
    st.key = slu_bytes(bytes, SLU_STATE_KEY_MAX + 1);
    EXPECT_ERR(sim_state_err(s, st), SLU_ETOO_LARGE);
    st.key = (struct slu_bytes){ 0 };
    EXPECT_ERR(sim_state_err(s, st), SLU_ETOO_LARGE);
    free(bytes);
}

ENGINE_TEST(state, many_names_do_not_touch_each_other)
{
    enum { N = 500 };
    static uint64_t gens[N];
    char key[32], value[32];
    for (unsigned i = 0; i < N; i++) {
        snprintf(key, sizeof(key), "name %u", i);
        snprintf(value, sizeof(value), "value %u", i);
        gens[i] = CLAIM(s, key, .req.worker = i % s->workers)->generation;
        EXPECT_ERR(PUT(s, key, value, gens[i], .expires_ms = s->wall_ms + (i % 3 ? 1000 : 9000)), SLU_OK);
        if (i % 5 == 0)
            EXPECT_ERR(DELETE(s, key, gens[i]), SLU_OK);
    }
    for (int i = 0; i < 20; i++)
        pass(s, 100, true);
    for (unsigned i = 0; i < N; i++) {
        snprintf(key, sizeof(key), "name %u", i);
        snprintf(value, sizeof(value), "value %u", i);
        bool is_there = i % 5 && i % 3 == 0;
        const struct slu_state *c = CLAIM(s, key, .req.worker = (i + 1) % s->workers);
        EXPECT_TEXT(sim_found(c), is_there ? value : "-");
        EXPECT_TRUE(c->generation > gens[i]);
    }
}

/* Claims from everywhere at once: each has a generation of its own, and only the newest writes. */
ENGINE_TEST(state, of_many_claims_at_once_one_wins)
{
    enum { N = 32 };
    struct sim_op *claims[N];
    for (unsigned i = 0; i < N; i++) {
        claims[i] = sim_state(
            s, (struct slu_state){ .req.worker = i % s->workers, .op = SLU_STATE_CLAIM, .key = SLU_LIT("a") });
        if (sim_random(s, 3) == 0)
            sim_step(s);
    }
    sim_wait(s, NULL);
    uint64_t newest = 0;
    for (unsigned i = 0; i < N; i++) {
        uint64_t gen = claims[i]->state.generation;
        for (unsigned k = 0; k < i; k++)
            EXPECT_TRUE(claims[k]->state.generation != gen);
        newest = gen > newest ? gen : newest;
    }
    unsigned written = 0;
    for (unsigned i = 0; i < N; i++) {
        uint64_t gen = claims[i]->state.generation;
        enum slu_err err = PUT(s, "a", gen == newest ? "newest" : "older", gen, .req.worker = (i + 1) % s->workers);
        EXPECT_ERR(err, gen == newest ? SLU_OK : SLU_EEXPECT_FAILED);
        written += !err;
    }
    EXPECT_U64(written, 1);
    EXPECT_TEXT(sim_found(CLAIM(s, "a")), "newest");
}

static bool is_answer(enum slu_err err)
{
    return err == SLU_OK || err == SLU_ENOMEM || err == SLU_EUNAVAILABLE || err == SLU_EINTERNAL;
}

ENGINE_TEST(state, without_memory_it_stays_as_it_was)
{
    unsigned failed = 0;
    char key[16];
    for (unsigned nth = 1; nth < 12; nth++) {
        struct slu_state st = { .req.worker = nth % s->workers, .op = SLU_STATE_CLAIM };
        snprintf(key, sizeof(key), "k%u", nth);
        st.key = slu_str(key);
        s->fail_alloc = nth;
        enum slu_err err = sim_state_err(s, st);
        EXPECT_TRUE(is_answer(err));
        failed += err != SLU_OK;
        uint64_t gen = CLAIM(s, key)->generation;
        EXPECT_ERR(PUT(s, key, "kept", gen), SLU_OK);
        s->fail_alloc = nth;
        err = PUT(s, key, "new", gen);
        EXPECT_TRUE(is_answer(err));
        failed += err != SLU_OK;
        bool is_new = err == SLU_OK;
        s->fail_alloc = nth;
        err = sim_state_err(s, st); /* finds something: that takes memory */
        EXPECT_TRUE(is_answer(err));
        failed += err != SLU_OK;
        const struct slu_state *c = CLAIM(s, key);
        EXPECT_TEXT(sim_found(c), is_new ? "new" : "kept");
        s->fail_alloc = nth;
        err = DELETE(s, key, c->generation);
        EXPECT_TRUE(is_answer(err));
        EXPECT_TEXT(sim_found(CLAIM(s, key)), err == SLU_OK ? "-" : is_new ? "new" : "kept");
    }
    EXPECT_TRUE(failed > 0);
}

ENGINE_TEST(state, closing_ends_what_is_pending)
{
    uint64_t gen = CLAIM(s, "a")->generation;
    EXPECT_ERR(PUT(s, "a", "x", gen), SLU_OK);
    struct sim_op *ops[16];
    size_t n = 0;
    for (unsigned w = 0; w < s->workers; w++) {
        ops[n++] = sim_state(s, (struct slu_state){ .req.worker = w, .op = SLU_STATE_CLAIM, .key = SLU_LIT("a") });
        ops[n++] = sim_state(s, (struct slu_state){ .req.worker = w, .op = SLU_STATE_CLAIM, .key = SLU_LIT("b") });
        ops[n++] = sim_state(
            s,
            (struct slu_state){
                .req.worker = w, .op = SLU_STATE_PUT, .key = SLU_LIT("a"), .value = SLU_LIT("y"), .generation = gen });
    }
    for (uint64_t steps = sim_random(s, n); steps; steps--)
        sim_step(s);
    bool done_before[16];
    for (size_t i = 0; i < n; i++)
        done_before[i] = ops[i]->done;
    sim_close(s);
    for (size_t i = 0; i < n; i++)
        EXPECT_U64(ops[i]->done, done_before[i]);
    sim_wait(s, NULL);
    for (size_t i = 0; i < n; i++) {
        if (!done_before[i])
            EXPECT_ERR(ops[i]->state.req.err, SLU_ECLOSED);
    }
}

ENGINE_TEST(state, requests_are_counted)
{
    uint64_t gen = CLAIM(s, "a")->generation;
    EXPECT_ERR(PUT(s, "a", "x", gen), SLU_OK);
    EXPECT_ERR(DELETE(s, "", gen), SLU_ETOO_LARGE);
    struct slu_store_stats stats;
    slu_store_stats(s->store, &stats);
    EXPECT_U64(stats.states, 2);
    EXPECT_U64(stats.refused, 1);
}
