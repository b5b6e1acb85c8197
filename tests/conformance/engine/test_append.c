/* Appending: positions, order, expectations, and that what goes in comes out. */
#include "tests/conformance/engine/suite.h"

#include "broker/base/buf.h"

#include <stdio.h>
#include <stdlib.h>

ENGINE_TEST(append, offsets_are_dense_in_each_topic)
{
    struct slu_pos a1 = PUB(s, .topic = "a", .data = "1"), b1 = PUB(s, .topic = "b", .data = "1");
    struct slu_pos a2 = PUB(s, .topic = "a", .data = "2"), a3 = PUB(s, .topic = "a", .data = "3");
    EXPECT_U64(a1.offset, 1);
    EXPECT_U64(a2.offset, 2);
    EXPECT_U64(a3.offset, 3);
    EXPECT_U64(b1.offset, 1);
    EXPECT_U64(a2.epoch, a1.epoch);
    EXPECT_U64(a3.epoch, a1.epoch);
}

/* The sim checks the feed's order and that it precedes done; here: each publisher's order within each topic. */
ENGINE_TEST(append, many_publishers_keep_their_order_in_each_topic)
{
    enum { TOPICS = 7, N = 3000 };
    char topic[TOPICS][16], data[32];
    for (int i = 0; i < TOPICS; i++)
        snprintf(topic[i], sizeof(topic[i]), "t/%d", i);
    for (unsigned i = 0; i < N; i++) {
        unsigned worker = (unsigned)sim_random(s, s->workers);
        snprintf(data, sizeof(data), "%u %u", worker, i);
        sim_append(s, (struct sim_pub){ .topic = topic[sim_random(s, TOPICS)], .data = data, .worker = worker });
        for (uint64_t steps = sim_random(s, 4); steps; steps--)
            sim_step(s);
    }
    sim_wait(s, NULL);
    EXPECT_U64(s->n_fed, N);
    for (int i = 0; i < TOPICS; i++) {
        unsigned newest[SIM_WORKERS_MAX] = { 0 };
        const struct slu_scan *page = SCAN(s, topic[i], .max_items = N);
        uint64_t at = 0;
        for (; page->n; page = SCAN(s, topic[i], .after_seq = at, .max_items = N)) {
            for (size_t j = 0; j < page->n; j++) {
                unsigned worker, number;
                snprintf(data, sizeof(data), "%.*s", (int)page->msgs[j]->payload.len,
                         (const char *)page->msgs[j]->payload.data);
                EXPECT_U64(sscanf(data, "%u %u", &worker, &number), 2);
                EXPECT_TRUE(number + 1 > newest[worker]);
                newest[worker] = number + 1;
            }
            at = page->next_seq;
            if (page->at_head)
                break;
        }
    }
}

ENGINE_TEST(append, expect_takes_only_the_newest_position)
{
    struct slu_pos none = { 0, 0 };
    struct slu_pos one = PUB(s, .topic = "a", .data = "1", .expect = &none);
    EXPECT_ERR(PUB_ERR(s, .topic = "a", .data = "x", .expect = &none), SLU_EEXPECT_FAILED);
    struct slu_pos two = PUB(s, .topic = "a", .data = "2", .expect = &one);
    EXPECT_U64(two.offset, 2);
    EXPECT_ERR(PUB_ERR(s, .topic = "a", .data = "x", .expect = &one), SLU_EEXPECT_FAILED);
    struct slu_pos other_epoch = { two.epoch + 1, 2 }, ahead = { two.epoch, 3 };
    EXPECT_ERR(PUB_ERR(s, .topic = "a", .data = "x", .expect = &other_epoch), SLU_EEXPECT_FAILED);
    EXPECT_ERR(PUB_ERR(s, .topic = "a", .data = "x", .expect = &ahead), SLU_EEXPECT_FAILED);
    EXPECT_ERR(PUB_ERR(s, .topic = "new", .data = "x", .expect = &two), SLU_EEXPECT_FAILED);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "1 2");
    EXPECT_U64(s->n_fed, 2);
}

ENGINE_TEST(append, of_concurrent_appends_with_one_expectation_one_wins)
{
    struct slu_pos at = PUB(s, .topic = "a", .data = "0");
    struct sim_op *ops[SIM_WORKERS_MAX * 2];
    size_t n = s->workers * 2, won = 0;
    for (size_t i = 0; i < n; i++)
        ops[i] = sim_append(
            s, (struct sim_pub){ .topic = "a", .data = "x", .expect = &at, .worker = (unsigned)(i % s->workers) });
    sim_wait(s, NULL);
    for (size_t i = 0; i < n; i++) {
        EXPECT_TRUE(ops[i]->append.req.err == SLU_OK || ops[i]->append.req.err == SLU_EEXPECT_FAILED);
        won += ops[i]->append.req.err == SLU_OK;
    }
    EXPECT_U64(won, 1);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "0 x");
}

ENGINE_TEST(append, without_a_log_nothing_is_kept_or_fed)
{
    struct slu_pos pos = PUB(s, .topic = "a", .data = "1", .rule = &sim_rule_none);
    EXPECT_U64(pos.offset, 0);
    EXPECT_U64(s->n_fed, 0);
    EXPECT_TEXT(SCAN_TEXT(s, "a"), "");
    struct slu_pos none = { 0, 0 };
    EXPECT_ERR(PUB_ERR(s, .topic = "a", .data = "1", .rule = &sim_rule_none, .expect = &none), SLU_EUNSUPPORTED);
    EXPECT_ERR(PUB_ERR(s, .topic = "a", .data = "1", .rule = &sim_rule_none, .dedup = "k"), SLU_EUNSUPPORTED);
}

ENGINE_TEST(append, a_topic_that_is_none_is_refused)
{
    static char long_topic[1026];
    memset(long_topic, 'x', 1025);
    EXPECT_ERR(PUB_ERR(s, .raw_topic = SLU_LIT(""), .data = "1"), SLU_EBAD_TOPIC);
    EXPECT_ERR(PUB_ERR(s, .topic = long_topic, .data = "1"), SLU_EBAD_TOPIC);
    long_topic[1024] = 0;
    EXPECT_ERR(PUB_ERR(s, .topic = long_topic, .data = "1"), SLU_OK);
    EXPECT_TEXT(SCAN_TEXT(s, long_topic), "1");
}

ENGINE_TEST(append, strange_topics_and_payloads_come_back_as_they_were)
{
    static const char *const topics[] = {
        "%",        "_",         "'; DROP TABLE",
        "\"",       "\\",        "*",
        "[a]",      "a?c",       "{x}",
        "\xc3\xa9", "e\xcc\x81", "\xf4\x8f\xbf\xbf",
        "/",        "//",        "a/",
        "/a",       " ",         "a b",
        "A",        "a",         "$x/y",
    };
    uint8_t bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    size_t n = sizeof(topics) / sizeof(topics[0]);
    for (size_t i = 0; i < n; i++)
        PUB(s, .topic = topics[i], .raw_data = slu_bytes(bytes, 256 - i), .worker = (unsigned)(i % s->workers));
    for (size_t i = 0; i < n; i++) {
        const struct slu_scan *page = SCAN(s, topics[i]);
        EXPECT_U64(page->n, 1);
        EXPECT_TRUE(slu_bytes_eq(page->msgs[0]->payload, slu_bytes(bytes, 256 - i)));
        EXPECT_TRUE(slu_bytes_eq(page->msgs[0]->topic, slu_str(topics[i])));
    }
}

ENGINE_TEST(append, every_part_of_a_message_is_kept)
{
    struct slu_buf headers;
    slu_buf_init(&headers, 0);
    EXPECT_TRUE(slu_headers_add(&headers, SLU_LIT("region"), SLU_LIT("eu")));
    struct slu_msg_spec spec = {
        .topic = SLU_LIT("a/b"),
        .payload = SLU_LIT("{}"),
        .key = SLU_LIT("k"),
        .reply = SLU_LIT("r/1"),
        .headers = slu_buf_bytes(&headers),
        .kind = SLU_KIND_JSON,
        .form = SLU_FORM_JSON,
        .ts_ms = s->wall_ms - 5,
        .expires_ms = s->wall_ms + 1000,
    };
    struct sim_op *op = sim_append(s, (struct sim_pub){ .topic = "other", .data = "x" });
    sim_wait(s, op);
    /* The same request again, with a message of our own. */
    slu_msg_unref(op->append.msg);
    op->append.msg = slu_msg_new(&s->account, &spec);
    op->done = 0;
    s->running = 0;
    slu_store_append(s->store, &op->append);
    s->running = SLU_NO_WORKER;
    sim_wait(s, op);
    const struct slu_scan *page = SCAN(s, "a/b");
    EXPECT_U64(page->n, 1);
    const struct slu_msg *m = page->msgs[0];
    EXPECT_TRUE(slu_bytes_eq(m->payload, spec.payload) && slu_bytes_eq(m->key, spec.key));
    EXPECT_TRUE(slu_bytes_eq(m->reply, spec.reply) && slu_bytes_eq(m->headers, spec.headers));
    EXPECT_U64(m->kind, SLU_KIND_JSON);
    EXPECT_U64(m->form, SLU_FORM_JSON);
    EXPECT_U64(m->ts_ms, spec.ts_ms);
    EXPECT_U64(m->expires_ms, spec.expires_ms);
    EXPECT_U64(m->pos.offset, 1);
    EXPECT_U64(m->home, sim_home(s, "a/b"));
    EXPECT_TRUE(m->seq > 0);
    slu_buf_fini(&headers);
}

ENGINE_TEST(append, an_empty_payload_is_a_message)
{
    PUB(s, .topic = "a", .data = "");
    const struct slu_scan *page = SCAN(s, "a");
    EXPECT_U64(page->n, 1);
    EXPECT_U64(page->msgs[0]->payload.len, 0);
}

ENGINE_TEST(append, large_payloads_pass)
{
    size_t size = (size_t)4 << 20;
    uint8_t *data = malloc(size);
    EXPECT_TRUE(data != NULL);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 31 >> 3);
    for (unsigned i = 0; i < 3; i++)
        PUB(s, .topic = "a", .raw_data = slu_bytes(data, size - i), .worker = i % s->workers);
    uint64_t at = 0;
    for (unsigned i = 0; i < 3; i++) {
        const struct slu_scan *page = SCAN(s, "a", .after_seq = at, .max_bytes = 10);
        EXPECT_U64(page->n, 1);
        EXPECT_TRUE(slu_bytes_eq(page->msgs[0]->payload, slu_bytes(data, size - i)));
        at = page->next_seq;
    }
    free(data);
}

ENGINE_TEST(append, each_home_counts_for_itself)
{
    for (unsigned home = 0; home < s->homes; home++) {
        unsigned from = 0;
        const char *topic = sim_topic_at(s, home, "h/", &from);
        uint64_t before = LOCATE(s, topic, .from = SLU_FROM_NEW)->head_seq;
        PUB(s, .topic = topic, .data = "1");
        const struct slu_locate *l = LOCATE(s, topic, .from = SLU_FROM_NEW);
        EXPECT_TRUE(l->head_seq > before);
        EXPECT_U64(SCAN(s, topic)->msgs[0]->seq, l->head_seq);
    }
}
