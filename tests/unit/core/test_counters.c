/* What is counted, and its text for metrics. */
#include "tests/support/core_bench.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static const char *metrics(struct bench *b)
{
    static char text[65536];
    struct slu_buf out;
    slu_buf_init(&out, 0);
    slu_broker_metrics(b->broker, &out);
    cr_assert(!out.failed && out.len < sizeof(text));
    memcpy(text, out.data, out.len);
    text[out.len] = '\0';
    slu_buf_fini(&out);
    return text;
}

#define EXPECT_METRIC(b, line) cr_expect(strstr(metrics(b), "\n" line "\n"), "no line: %s", line)

Test(counters, publishes_readers_and_refusals_are_counted, .timeout = 5)
{
    struct bench *b = bench_new(1);
    struct peer *w = peer_open(b, 0, ""), *r = peer_open(b, 0, "");
    peer_sub(r, 1, "a/+");
    peer_pub(w, 1, "a/b", "1");
    peer_pub(w, 2, "a/b", "2", .dedup = "k");
    peer_pub(w, 3, "a/b", "3", .dedup = "k");
    peer_pub(w, 4, "a/+", "4");
    bench_settle(b);
    cr_assert(slu_counter_get(b->broker, SLU_COUNT_messages_published) == 2);
    EXPECT_METRIC(b, "sluice_messages_published_total 2");
    EXPECT_METRIC(b, "sluice_messages_duplicate_total 1");
    EXPECT_METRIC(b, "sluice_messages_refused_total 1");
    EXPECT_METRIC(b, "sluice_errors_total{code=\"bad_topic\"} 1");
    EXPECT_METRIC(b, "sluice_connections 2");
    peer_skip(w);
    peer_skip(r);
    bench_free(b);
}

Test(counters, closes_are_counted_by_code_and_unknown_numbers_by_none, .timeout = 5)
{
    struct bench *b = bench_new(1);
    slu_count_close(b->broker, SLU_CLOSE_KICKED);
    slu_count_close(b->broker, SLU_CLOSE_KICKED);
    slu_count_close(b->broker, (enum slu_close)4999);
    slu_count_error(b->broker, SLU_ERR_COUNT);
    EXPECT_METRIC(b, "sluice_closes_total{code=\"4410\"} 2");
    EXPECT_METRIC(b, "sluice_closes_total{code=\"4500\"} 0");
    cr_assert(slu_count_error_get(b->broker, SLU_ERR_COUNT) == 0);
    bench_free(b);
}

/* Each name stands once: two rows of one code would be a broken exposition. */
Test(counters, every_series_stands_once, .timeout = 5)
{
    struct bench *b = bench_new(1);
    char text[65536];
    snprintf(text, sizeof(text), "%s", metrics(b));
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char needle[256];
        size_t n = line[0] == '#' ? strlen(line) : strcspn(line, " ");
        snprintf(needle, sizeof(needle), "\n%.*s%s", (int)n, line, line[0] == '#' ? "\n" : " ");
        const char *all = metrics(b), *first = strstr(all, needle);
        cr_assert(!first || !strstr(first + 1, needle), "twice: %s", line);
    }
    bench_free(b);
}
