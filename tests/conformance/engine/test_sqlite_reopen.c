/* What a restart keeps: everything. */
#include "tests/conformance/engine/sqlite_file.h"

#include <stdio.h>

static const struct slu_rule three = { .log = SLU_LOG_DISK, .max_count = 3, .last_value = true };
static const struct slu_rule aging = { .log = SLU_LOG_DISK, .max_age_ms = 1000, .last_value = true };

ENGINE_TEST(sqlite_reopen, positions_and_messages_are_as_they_were)
{
    for (int i = 0; i < 5; i++)
        PUB(s, .topic = "a/b", .data = "x", .rule = &three, .worker = i % s->workers);
    struct slu_pos at = PUB(s, .topic = "a/b", .data = "6", .key = "k", .rule = &three);
    const struct slu_locate *before = LOCATE(s, "a/b", .from = SLU_FROM_FIRST);
    for (int round = 0; round < 3; round++) {
        sim_reopen(s);
        const struct slu_locate *l = LOCATE(s, "a/b", .from = SLU_FROM_FIRST);
        EXPECT_U64(l->head.epoch, at.epoch);
        EXPECT_U64(l->head.offset, 6);
        EXPECT_U64(l->first.offset, 4);
        EXPECT_U64(l->epoch, before->epoch);
        EXPECT_U64(l->head_seq, before->head_seq);
        EXPECT_U64(l->after_seq, before->after_seq);
        const struct slu_scan *page = SCAN(s, "a/+", .after_seq = l->after_seq);
        EXPECT_U64(page->n, 3);
        EXPECT_TRUE(slu_bytes_eq(page->msgs[2]->key, SLU_LIT("k")));
        EXPECT_U64(page->msgs[2]->publisher, 0);
        EXPECT_TRUE(SCAN(s, "a/+")->trimmed);
        struct slu_pos old = { at.epoch, 2 };
        l = LOCATE(s, "a/b", .from = SLU_FROM_OFFSET, .after = old);
        EXPECT_TRUE(!l->recovered && l->lost == 1);
    }
    EXPECT_U64(PUB(s, .topic = "a/b", .data = "7", .expect = &at).offset, 7);
    EXPECT_TEXT(SCAN_TEXT(s, "a/b"), "x x 6 7");
}

ENGINE_TEST(sqlite_reopen, publishers_are_known_only_to_their_own_process)
{
    struct slu_msg_spec spec = { .topic = SLU_LIT("a"), .payload = SLU_LIT("1"), .ts_ms = s->wall_ms, .publisher = 77 };
    struct sim_op *op = sim_append(s, (struct sim_pub){ .topic = "other", .data = "x" });
    sim_wait(s, op);
    slu_msg_unref(op->append.msg);
    op->append.msg = slu_msg_new(&s->account, &spec);
    op->done = 0;
    s->running = 0;
    slu_store_append(s->store, &op->append);
    s->running = SLU_NO_WORKER;
    sim_wait(s, op);
    EXPECT_U64(SCAN(s, "a")->msgs[0]->publisher, 77);
    sim_reopen(s);
    EXPECT_U64(SCAN(s, "a")->msgs[0]->publisher, 0);
}

ENGINE_TEST(sqlite_reopen, cursors_go_on_and_are_told_what_was_lost)
{
    PUB(s, .topic = "a/1", .data = "1", .rule = &three);
    PUB(s, .topic = "a/2", .data = "2", .rule = &three);
    const struct slu_locate *c = LOCATE(s, "a/#", .from = SLU_FROM_NEW);
    PUB(s, .topic = "a/2", .data = "3", .rule = &three);
    sim_reopen(s);
    const struct slu_locate *l = LOCATE(s, "a/#", .from = SLU_FROM_CUR, .cur_epoch = c->epoch, .cur_seq = c->head_seq);
    EXPECT_TRUE(l->recovered);
    EXPECT_TEXT(SCAN_TEXT(s, "a/#", .after_seq = l->after_seq), "3");
    for (int i = 0; i < 3; i++)
        PUB(s, .topic = "a/2", .data = "x", .rule = &three);
    sim_reopen(s);
    EXPECT_TRUE(LOCATE(s, "a/1", .from = SLU_FROM_CUR, .cur_epoch = c->epoch, .cur_seq = c->head_seq)->recovered);
    l = LOCATE(s, "a/#", .from = SLU_FROM_CUR, .cur_epoch = c->epoch, .cur_seq = c->head_seq);
    EXPECT_TRUE(!l->recovered && l->gone == SLU_EHISTORY_GONE);
}

ENGINE_TEST(sqlite_reopen, retained_and_last_values_stay)
{
    PUB(s, .topic = "logged", .data = "1", .retain = true, .rule = &aging);
    PUB(s, .topic = "plain", .data = "2", .retain = true, .rule = &sim_rule_none);
    PUB(s, .topic = "cleared", .data = "3", .retain = true, .rule = &sim_rule_none);
    PUB(s, .topic = "cleared", .data = "", .retain = true, .clear = true, .rule = &sim_rule_none);
    PUB(s, .topic = "last", .data = "4", .rule = &aging);
    PUB(s, .topic = "short", .data = "5", .retain = true, .rule = &sim_rule_none, .expires_ms = s->wall_ms + 100);
    sim_reopen(s);
    EXPECT_TEXT(sim_tail_text(TAIL(s, "#", .latest = true, .last = 1)), "last=4 logged=1* plain=2* short=5*");
    s->wall_ms += 5000;
    sim_reopen(s);
    for (int round = 0; round < 2; round++) {
        EXPECT_TEXT(sim_tail_text(TAIL(s, "#", .latest = true, .last = 1)), "last=4 logged=1* plain=2*");
        EXPECT_TEXT(SCAN_TEXT(s, "#"), "");
        push(s);
    }
    EXPECT_TRUE(SCAN(s, "plain")->n == 0);
    PUB(s, .topic = "plain", .data = "", .retain = true, .clear = true, .rule = &sim_rule_none);
    sim_reopen(s);
    EXPECT_TEXT(sim_tail_text(TAIL(s, "plain", .latest = true, .last = 1)), "");
}

ENGINE_TEST(sqlite_reopen, times_to_live_go_on_while_it_is_closed)
{
    PUB(s, .topic = "a", .data = "1");
    PUB(s, .topic = "a", .data = "2", .expires_ms = s->wall_ms + 100);
    PUB(s, .topic = "a", .data = "3");
    s->wall_ms += 100;
    sim_reopen(s);
    for (int round = 0; round < 3; round++) {
        EXPECT_TEXT(SCAN_TEXT(s, "a"), "1 3");
        EXPECT_U64(SCAN(s, "a")->expired, 1);
        push(s);
    }
    EXPECT_U64(PUB(s, .topic = "a", .data = "4").offset, 4);
}

ENGINE_TEST(sqlite_reopen, dedup_keys_are_known)
{
    PUB(s, .topic = "a", .data = "0");
    struct slu_pos first = PUB(s, .topic = "a", .data = "1", .dedup = "k");
    atomic_store(&s->fed[1]->matched, 42);
    s->wall_ms += 6000;
    push(s); /* by now the number of readers is settled, and in the file */
    push(s);
    sim_reopen(s);
    struct sim_op *again = sim_append(s, (struct sim_pub){ .topic = "a", .data = "x", .dedup = "k" });
    sim_wait(s, again);
    EXPECT_TRUE(again->append.duplicate);
    EXPECT_U64(again->append.pos.offset, first.offset);
    EXPECT_U64(again->append.pos.epoch, first.epoch);
    EXPECT_U64(again->append.matched, 42);
    s->wall_ms += 300000;
    sim_reopen(s);
    EXPECT_U64(PUB(s, .topic = "a", .data = "2", .dedup = "k").offset, 3);
}

static struct sim_op *state(struct sim *s, enum slu_state_op op, const char *key, const char *value,
                            uint64_t generation, uint64_t expires_ms)
{
    struct sim_op *o = sim_state(s, (struct slu_state){ .op = op,
                                                        .key = slu_str(key),
                                                        .value = slu_str(value),
                                                        .generation = generation,
                                                        .expires_ms = expires_ms });
    sim_wait(s, o);
    return o;
}

ENGINE_TEST(sqlite_reopen, states_and_their_generations_stay)
{
    uint64_t a = state(s, SLU_STATE_CLAIM, "a", NULL, 0, 0)->state.generation;
    uint64_t b = state(s, SLU_STATE_CLAIM, "b", NULL, 0, 0)->state.generation;
    uint64_t c = state(s, SLU_STATE_CLAIM, "c", NULL, 0, 0)->state.generation;
    EXPECT_ERR(state(s, SLU_STATE_PUT, "a", "value", a, 0)->state.req.err, SLU_OK);
    EXPECT_ERR(state(s, SLU_STATE_PUT, "b", "value", b, s->wall_ms + 10)->state.req.err, SLU_OK);
    EXPECT_ERR(state(s, SLU_STATE_DELETE, "c", NULL, c, 0)->state.req.err, SLU_OK);
    s->wall_ms += 10;
    sim_reopen(s);
    EXPECT_ERR(state(s, SLU_STATE_PUT, "a", "newer", a, 0)->state.req.err, SLU_OK);
    EXPECT_ERR(state(s, SLU_STATE_PUT, "b", "newer", b, 0)->state.req.err, SLU_EEXPECT_FAILED);
    const struct slu_state *again = &state(s, SLU_STATE_CLAIM, "a", NULL, 0, 0)->state;
    EXPECT_TRUE(again->generation > c && slu_bytes_eq(again->found, SLU_LIT("newer")));
    EXPECT_U64(state(s, SLU_STATE_CLAIM, "b", NULL, 0, 0)->state.found.len, 0);
    EXPECT_TRUE(state(s, SLU_STATE_CLAIM, "c", NULL, 0, 0)->state.generation > again->generation);
}

/* A seq never comes back, even when its message is gone: old cursors would fit new messages. */
ENGINE_TEST(sqlite_reopen, the_sequence_goes_on_where_it_was)
{
    struct slu_rule rule = { .log = SLU_LOG_DISK, .max_age_ms = 1000 };
    for (int i = 0; i < 10; i++)
        PUB(s, .topic = "a", .data = "x", .rule = &rule);
    uint64_t seq = LOCATE(s, "a", .from = SLU_FROM_NEW)->head_seq;
    s->wall_ms += 2000;
    while (file_number("SELECT count(*) FROM message"))
        push(s);
    sim_reopen(s);
    EXPECT_U64(LOCATE(s, "a", .from = SLU_FROM_NEW)->head_seq, seq);
    EXPECT_U64(PUB(s, .topic = "a", .data = "y", .rule = &rule).offset, 11);
    EXPECT_U64(LOCATE(s, "a", .from = SLU_FROM_NEW)->head_seq, seq + 1);
}

static const char *memory_values(struct sim *s, unsigned home)
{
    return sim_tail_text(TAIL(s, "#", .home = home, .latest = true, .last = 1));
}

/* Retained values of topics that are in memory only. */
Test(sqlite_reopen, retained_values_of_other_engines_are_mirrored, .timeout = 60)
{
    struct sim *s = sim_new(1);
    s->with_memory = true;
    sim_reopen(s);
    PUB(s, .topic = "a", .data = "1", .retain = true, .rule = &sim_rule_none);
    PUB(s, .topic = "b", .data = "2", .retain = true, .rule = &sim_rule_none);
    PUB(s, .topic = "b", .data = "3", .key = "k", .retain = true, .rule = &sim_rule_none);
    PUB(s, .topic = "c", .data = "4", .retain = true, .rule = &sim_rule_none, .expires_ms = s->wall_ms + 10);
    PUB(s, .topic = "d", .data = "5", .retain = true, .rule = &sim_rule_none);
    PUB(s, .topic = "d", .data = "", .retain = true, .clear = true, .rule = &sim_rule_none);
    sim_reopen(s);
    EXPECT_TEXT(memory_values(s, 1), "a=1* b=3* c=4*");
    EXPECT_TRUE(slu_bytes_eq(TAIL(s, "b", .home = 1, .latest = true, .last = 1)->msgs[0]->key, SLU_LIT("k")));
    s->wall_ms += 10;
    sim_reopen(s);
    EXPECT_TEXT(memory_values(s, 1), "a=1* b=3*");
    while (file_number("SELECT count(*) FROM mirror") != 2)
        push(s);
    PUB(s, .topic = "a", .data = "", .retain = true, .clear = true, .rule = &sim_rule_none);
    sim_reopen(s);
    EXPECT_TEXT(memory_values(s, 1), "b=3*");
    sim_free(s);
}

/* Many at once, replaced while they are being written. */
Test(sqlite_reopen, the_newest_of_many_mirrored_values_stays, .timeout = 60)
{
    enum { TOPICS = 3000, ROUNDS = 5 };
    struct sim *s = sim_new(1);
    s->with_memory = true;
    sim_reopen(s);
    char topic[16], data[16];
    for (int round = 1; round <= ROUNDS; round++) {
        for (int i = 0; i < TOPICS; i++) {
            snprintf(topic, sizeof(topic), "t/%d", i);
            snprintf(data, sizeof(data), "%d", round);
            bool clears = round == ROUNDS && i % 10 == 0;
            sim_append(s, (struct sim_pub){
                              .topic = topic, .data = data, .retain = true, .clear = clears, .rule = &sim_rule_none });
        }
        sim_wait(s, NULL);
    }
    sim_reopen(s);
    EXPECT_U64(file_number("SELECT count(*) FROM mirror WHERE payload = x'35'"), TOPICS - TOPICS / 10);
    EXPECT_U64(file_number("SELECT count(*) FROM mirror"), TOPICS - TOPICS / 10);
    sim_free(s);
}

/* The folder under another database, as after a restore: no position fits any more. */
ENGINE_TEST(sqlite_reopen, an_older_file_begins_new_epochs)
{
    struct slu_pos at = PUB(s, .topic = "a", .data = "1");
    const struct slu_locate *c = LOCATE(s, "a", .from = SLU_FROM_NEW), *l;
    sim_close(s);
    file_run("UPDATE meta SET value = 5 WHERE key = 'stamp'; UPDATE meta SET value = 6 WHERE key = 'stamp_before'");
    sim_open(s);
    l = LOCATE(s, "a", .from = SLU_FROM_OFFSET, .after = at);
    EXPECT_TRUE(!l->recovered && l->gone == SLU_EEXPECT_FAILED && l->head.epoch != at.epoch);
    l = LOCATE(s, "a", .from = SLU_FROM_CUR, .cur_epoch = c->epoch, .cur_seq = c->head_seq);
    EXPECT_TRUE(!l->recovered && l->gone == SLU_EEXPECT_FAILED);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "1");
}
