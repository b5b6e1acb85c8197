/* The disk fills up, or lies: nothing that was acknowledged is lost, nothing that was refused stays, and the engine comes
 * back unaided. */
#include "tests/conformance/engine/sqlite_file.h"

#include "storage/sqlite/sqlite.h"
#include "tests/support/faulty_vfs.h"

#include <stdio.h>

static struct sim *faulty_world(unsigned workers)
{
    faulty_vfs_set(FAULTY_VFS_NONE);
    faulty_vfs_install();
    return sim_new(workers);
}

static bool is_well(struct sim *s)
{
    return slu_store_trouble(s->store) == NULL;
}

static void until_well(struct sim *s)
{
    faulty_vfs_set(FAULTY_VFS_NONE);
    while (!is_well(s))
        push(s);
}

static void fail_with(struct sim *s, enum faulty_vfs what)
{
    faulty_vfs_set(what);
    EXPECT_ERR(PUB_ERR(s, .topic = "a", .data = "refused", .dedup = "r"), SLU_EUNAVAILABLE);
    EXPECT_TRUE(!is_well(s));
}

/* What a failed flush was about may be there afterwards: then it was fed, and its key is known. Never half of it. */
static bool was_found(struct sim *s)
{
    bool found = SCAN(s, "a")->n == 2;
    EXPECT_TEXT(SCAN_TEXT(s, "a"), found ? "1 refused" : "1");
    EXPECT_U64(LOCATE(s, "a", .from = SLU_FROM_NEW)->head.offset, found ? 2 : 1);
    return found;
}

static void trouble_and_back(struct sim *s, enum faulty_vfs what, const char *why)
{
    PUB(s, .topic = "a", .data = "1");
    PUB(s, .topic = "b", .data = "1", .retain = true);
    fail_with(s, what);
    EXPECT_TEXT(slu_store_trouble(s->store), why);
    /* All that writes is refused, new topics too, and leaves nothing. */
    EXPECT_ERR(PUB_ERR(s, .topic = "new", .data = "x"), SLU_EUNAVAILABLE);
    EXPECT_ERR(PUB_ERR(s, .topic = "b", .data = "", .retain = true, .clear = true), SLU_EUNAVAILABLE);
    struct slu_state st = { .op = SLU_STATE_CLAIM, .key = SLU_LIT("k") };
    EXPECT_ERR(sim_state_err(s, st), SLU_EUNAVAILABLE);
    until_well(s);
    bool found = was_found(s);
    EXPECT_TRUE(!found || what == FAULTY_VFS_SYNC);
    EXPECT_U64(s->n_fed, found ? 3 : 2);
    EXPECT_TEXT(SCAN_TEXT(s, "new"), "");
    EXPECT_TEXT(sim_tail_text(TAIL(s, "b", .latest = true, .last = 1)), "b=1*");
    EXPECT_U64(PUB(s, .topic = "a", .data = "2", .dedup = "r").offset, 2);
    EXPECT_U64(PUB(s, .topic = "new", .data = "1").offset, 1);
    EXPECT_ERR(sim_state_err(s, st), SLU_OK);
    sim_reopen(s);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), found ? "1 refused" : "1 2");
    EXPECT_U64(s->n_fed, 4);
}

Test(sqlite_failures, a_full_disk_refuses_and_heals_without_a_publisher, .timeout = 60)
{
    struct sim *s = faulty_world(2);
    trouble_and_back(s, FAULTY_VFS_FULL, "the disk is full");
    sim_free(s);
}

Test(sqlite_failures, after_a_failed_flush_nothing_is_stored_until_the_file_was_checked, .timeout = 60)
{
    struct sim *s = faulty_world(2);
    trouble_and_back(s, FAULTY_VFS_SYNC, "the last write to the disk failed; the file is being checked");
    sim_free(s);
}

Test(sqlite_failures, a_full_disk_can_still_be_read, .timeout = 60)
{
    struct sim *s = faulty_world(1);
    PUB(s, .topic = "a", .data = "1");
    fail_with(s, FAULTY_VFS_FULL);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "1");
    EXPECT_TEXT(SCAN_TEXT(s, "#"), "1");
    EXPECT_U64(LOCATE(s, "a", .from = SLU_FROM_NEW)->head.offset, 1);
    for (int i = 0; i < 5; i++)
        push(s);
    EXPECT_TRUE(!is_well(s));
    until_well(s);
    sim_free(s);
}

/* Trimming, cleaning and background work meet the full disk too. */
Test(sqlite_failures, a_disk_that_fills_up_now_and_then_loses_and_repeats_nothing, .timeout = 60)
{
    struct sim *s = faulty_world(2);
    static const struct slu_rule rules[] = { { .log = SLU_LOG_DISK, .max_count = 7, .last_value = true },
                                             { .log = SLU_LOG_DISK, .max_age_ms = 300 },
                                             { .log = SLU_LOG_DISK, .max_bytes = 3000 } };
    static const enum faulty_vfs faults[] = { FAULTY_VFS_NONE, FAULTY_VFS_FULL, FAULTY_VFS_SYNC };
    uint64_t acked[6] = { 0 };
    char topic[8], key[16];
    for (int i = 0; i < 3000; i++) {
        if (i % 50 == 0)
            faulty_vfs_set(faults[sim_random(s, 3)]);
        size_t t = sim_random(s, 6);
        snprintf(topic, sizeof(topic), "t/%zu", t);
        snprintf(key, sizeof(key), "%d", i);
        struct sim_op *op =
            sim_append(s, (struct sim_pub){ .topic = topic,
                                            .data = "some data",
                                            .rule = &rules[t % 3],
                                            .retain = t == 1,
                                            .dedup = i % 3 ? NULL : key,
                                            .worker = i % s->workers,
                                            .expires_ms = i % 4 ? 0 : s->wall_ms + sim_random(s, 200) });
        sim_wait(s, op);
        if (op->append.req.err == SLU_OK) {
            EXPECT_TRUE(op->append.pos.offset > acked[t]);
            acked[t] = op->append.pos.offset;
        } else {
            EXPECT_ERR(op->append.req.err, SLU_EUNAVAILABLE);
        }
        s->wall_ms += sim_random(s, 20);
        if (i % 10 == 0)
            push(s);
        if (i % 50 == 49)
            until_well(s);
    }
    until_well(s);
    /* What was refused may have been stored all the same, and then it was fed; the sim sees that no offset is missing. */
    uint64_t head[6], sum = 0;
    for (size_t t = 0; t < 6; t++) {
        snprintf(topic, sizeof(topic), "t/%zu", t);
        head[t] = LOCATE(s, topic, .from = SLU_FROM_NEW)->head.offset;
        EXPECT_TRUE(head[t] >= acked[t]);
        sum += head[t];
    }
    EXPECT_U64(s->n_fed, sum);
    EXPECT_TRUE(faulty_vfs_failures() > 20);
    sim_reopen(s);
    for (size_t t = 0; t < 6; t++) {
        snprintf(topic, sizeof(topic), "t/%zu", t);
        EXPECT_U64(LOCATE(s, topic, .from = SLU_FROM_NEW)->head.offset, head[t]);
    }
    sim_free(s);
}

/* A flush that failed may have reached the disk all the same: readers get what is found. */
Test(sqlite_failures, what_a_repair_finds_beyond_the_feed_is_fed, .timeout = 60)
{
    struct sim *s = faulty_world(1);
    struct slu_pos at = PUB(s, .topic = "a", .data = "1");
    fail_with(s, FAULTY_VFS_SYNC);
    faulty_vfs_set(FAULTY_VFS_NONE);
    file_run("INSERT INTO message (seq, topic, offset, ts, size, kind, form, flags, payload)"
             " SELECT seq + 1, topic, 2, ts, size, kind, form, flags, CAST('2' AS BLOB) FROM message;"
             "UPDATE topic SET head = 2, bytes = 2 * bytes");
    until_well(s);
    EXPECT_U64(s->n_fed, 2);
    EXPECT_TRUE(slu_bytes_eq(s->fed[1]->payload, SLU_LIT("2")));
    EXPECT_U64(s->fed[1]->pos.epoch, at.epoch);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "1 2");
    EXPECT_U64(PUB(s, .topic = "a", .data = "3").offset, 3);
    sim_free(s);
}

/* A disk that forgets what it flushed: what was given out must not name other messages. */
Test(sqlite_failures, positions_of_lost_messages_fit_no_more, .timeout = 60)
{
    struct sim *s = faulty_world(1);
    PUB(s, .topic = "a", .data = "1");
    struct slu_pos lost = PUB(s, .topic = "a", .data = "2");
    const struct slu_locate *c = LOCATE(s, "a", .from = SLU_FROM_NEW);
    fail_with(s, FAULTY_VFS_SYNC);
    faulty_vfs_set(FAULTY_VFS_NONE);
    file_run("DELETE FROM message WHERE offset = 2; UPDATE topic SET head = 1, bytes = bytes / 2");
    until_well(s);
    const struct slu_locate *l = LOCATE(s, "a", .from = SLU_FROM_OFFSET, .after = lost);
    EXPECT_TRUE(!l->recovered && l->gone == SLU_EEXPECT_FAILED && l->head.epoch != lost.epoch);
    l = LOCATE(s, "a", .from = SLU_FROM_CUR, .cur_epoch = c->epoch, .cur_seq = c->head_seq);
    EXPECT_TRUE(!l->recovered && l->gone == SLU_EEXPECT_FAILED);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "1");
    EXPECT_TRUE(l->head_seq >= c->head_seq); /* no seq comes back */
    sim_free(s);
}

Test(sqlite_failures, mirrored_values_wait_for_the_disk, .timeout = 60)
{
    struct sim *s = faulty_world(1);
    s->with_memory = true;
    sim_reopen(s);
    PUB(s, .topic = "a", .data = "1", .retain = true, .rule = &sim_rule_none);
    PUB(s, .topic = "b", .data = "1", .retain = true, .rule = &sim_rule_none);
    while (file_number("SELECT count(*) FROM mirror") != 2)
        push(s);
    fail_with(s, FAULTY_VFS_FULL);
    PUB(s, .topic = "a", .data = "2", .retain = true, .rule = &sim_rule_none);
    PUB(s, .topic = "a", .data = "3", .retain = true, .rule = &sim_rule_none);
    PUB(s, .topic = "b", .data = "", .retain = true, .clear = true, .rule = &sim_rule_none);
    for (int i = 0; i < 3; i++)
        push(s);
    until_well(s);
    sim_reopen(s);
    EXPECT_TEXT(sim_tail_text(TAIL(s, "#", .home = 1, .latest = true, .last = 1)), "a=3*");
    sim_free(s);
}

/* A damaged file stays shut: unavailable, but no crash, and closing works. */
Test(sqlite_failures, a_file_that_cannot_be_read_is_not_used_again, .timeout = 60)
{
    struct sim *s = faulty_world(1);
    PUB(s, .topic = "a", .data = "1");
    fail_with(s, FAULTY_VFS_SYNC);
    faulty_vfs_set(FAULTY_VFS_READ);
    for (int i = 0; i < 50; i++)
        push(s);
    EXPECT_TRUE(!is_well(s));
    struct sim_op *op = sim_scan(s, (struct slu_scan){ .filter = SLU_LIT("a"), .max_items = 9, .max_bytes = 9 });
    sim_wait(s, op);
    EXPECT_ERR(op->scan.req.err, SLU_EUNAVAILABLE);
    until_well(s);
    (void)was_found(s);
    sim_free(s);
}

/* Rows that a stranger wrote: a request may fail, nothing else does. */
Test(sqlite_failures, rows_that_make_no_sense_fail_one_request, .timeout = 60)
{
    static const char *const harm[] = {
        "UPDATE message SET kind = 99 WHERE offset = 2",        "UPDATE message SET form = -1 WHERE offset = 2",
        "UPDATE message SET payload = 3.5 WHERE offset = 2",    "UPDATE message SET ts = 'noon' WHERE offset = 2",
        "UPDATE message SET size = -5 WHERE offset = 2",        "UPDATE message SET headers = zeroblob(2000000)",
        "UPDATE message SET offset = x'00' WHERE offset = 2",   "UPDATE message SET topic = 77 WHERE offset = 2",
        "UPDATE message SET key = zeroblob(2000000)",           "UPDATE message SET max_ts = 'x'",
        "UPDATE message SET expires = 'soon' WHERE offset = 2", "DELETE FROM message WHERE offset < 3",
        "UPDATE dedup SET offset = 'x', at_ms = NULL",          "UPDATE retained SET kind = 8, place = 'x'",
        "UPDATE state SET generation = 'x', value = 7",         "DELETE FROM message",
    };
    for (size_t i = 0; i < sizeof(harm) / sizeof(harm[0]); i++) {
        struct sim *s = faulty_world(1);
        struct slu_rule rule = { .log = SLU_LOG_DISK, .max_count = 3, .max_age_ms = 1000 };
        for (int k = 0; k < 3; k++)
            PUB(s, .topic = "a", .data = "1", .rule = &rule, .retain = k == 2, .dedup = k == 1 ? "k" : NULL);
        PUB(s, .topic = "other", .data = "1", .retain = true);
        struct slu_state st = { .op = SLU_STATE_CLAIM, .key = SLU_LIT("k") };
        EXPECT_ERR(sim_state_err(s, st), SLU_OK);
        sim_reopen(s);
        file_run(harm[i]);
        for (int from = SLU_FROM_NEW; from <= SLU_FROM_CUR; from++)
            sim_locate(s, (struct slu_locate){ .filter = SLU_LIT("a"), .from = (enum slu_from)from, .n = 2 });
        sim_scan(s, (struct slu_scan){ .filter = SLU_LIT("a"), .max_items = 9, .max_bytes = 1 << 20 });
        sim_scan(s, (struct slu_scan){ .filter = SLU_LIT("#"), .max_items = 9, .max_bytes = 1 << 20 });
        sim_scan(s,
                 (struct slu_scan){
                     .filter = SLU_LIT("a"), .reverse = true, .after_seq = 99, .max_items = 9, .max_bytes = 1 << 20 });
        for (int latest = 0; latest < 2; latest++)
            sim_tail(s, (struct slu_tail){ .filter = SLU_LIT("#"),
                                           .latest = latest,
                                           .last = 5,
                                           .max_seq = UINT64_MAX,
                                           .max_items = 9,
                                           .max_bytes = 1 << 20 });
        (void)sim_state_err(s, st);
        (void)PUB_ERR(s, .topic = "a", .data = "x", .dedup = "k", .rule = &rule);
        for (int k = 0; k < 5; k++)
            sim_append(s, (struct sim_pub){ .topic = "a", .data = "x", .rule = &rule });
        push(s);
        s->wall_ms += 2000;
        push(s);
        EXPECT_TRUE(is_well(s));
        EXPECT_ERR(PUB_ERR(s, .topic = "fresh", .data = "1"), SLU_OK);
        EXPECT_TEXT(SCAN_TEXT(s, "fresh"), "1");
        sim_free(s);
    }
}
