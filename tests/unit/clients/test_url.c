/* URLs, the opening handshake, and when to come back. */
#include "clients/c/src/backoff.h"
#include "clients/c/src/handshake.h"
#include "clients/c/src/topic.h"
#include "clients/c/src/url.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

Test(url, valid_forms, .timeout = 5)
{
    static const struct {
        const char *text, *host, *path;
        int port;
        bool tls, local, default_port;
    } rows[] = {
        { "ws://localhost:8080/ws", "localhost", "/ws", 8080, false, false, false },
        { "ws://h", "h", "/", 80, false, false, true },
        { "wss://example.org", "example.org", "/", 443, true, false, true },
        { "wss://example.org:443/a?b=c", "example.org", "/a?b=c", 443, true, false, true },
        { "ws://h:1?sub=a", "h", "/?sub=a", 1, false, false, false },
        { "ws://[::1]:9/x", "::1", "/x", 9, false, false, false },
        { "ws+unix:/run/s.sock", "/run/s.sock", "/ws", 0, false, true, false },
        { "ws+unix:/run/s.sock:/other", "/run/s.sock", "/other", 0, false, true, false },
        { "ws+unix:///run/s.sock", "/run/s.sock", "/ws", 0, false, true, false },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slu_url u;
        const char *why = "";
        cr_assert(slu_url_parse(&u, rows[i].text, &why), "%s: %s", rows[i].text, why);
        cr_expect(eq(str, u.host, (char *)rows[i].host));
        cr_expect(eq(str, u.path, (char *)rows[i].path));
        cr_expect(eq(int, u.port, rows[i].port));
        cr_expect(eq(int, u.tls, rows[i].tls));
        cr_expect(eq(int, u.local, rows[i].local));
        cr_expect(eq(int, u.default_port, rows[i].default_port), "%s", rows[i].text);
        slu_url_fini(&u);
    }
}

Test(url, what_is_not_a_broker_is_refused, .timeout = 5)
{
    static const char *const rows[] = {
        "",          "http://h",         "h:8080",        "ws://",
        "ws://:80",  "ws://h:0",         "ws://h:65536",  "ws://h:8x",
        "ws://h:/x", "ws://u:p@h/",      "ws://h/#f",     "ws://h/a b",
        "ws://[::1", "ws+unix:rel.sock", "ws://h\r\nX:1", "ws+unix:/s:x",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slu_url u;
        const char *why = NULL;
        cr_expect(not(slu_url_parse(&u, rows[i], &why)), "%s", rows[i]);
        cr_expect(why && !u.host && !u.path, "%s", rows[i]);
    }
}

/* The example of RFC 6455, section 1.3. */
static const char key[] = "dGhlIHNhbXBsZSBub25jZQ==";
#define GOOD_HEAD                                                                                   \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" \
    "Sec-WebSocket-Protocol: sluice.v1.json\r\n"
#define GOOD_ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

static enum slu_handshake_rc answer(const char *text, size_t *used, int *status)
{
    const char *why;
    return slu_handshake_answer(slu_str(text), key, used, status, &why);
}

Test(handshake, the_rfc_example_is_accepted_and_frames_behind_it_are_left, .timeout = 5)
{
    size_t used = 0;
    int status;
    cr_assert(eq(int, answer(GOOD_HEAD GOOD_ACCEPT "\r\n\x81", &used, &status), SLU_HANDSHAKE_DONE));
    cr_assert(eq(sz, used, sizeof(GOOD_HEAD GOOD_ACCEPT "\r\n") - 1));
}

Test(handshake, bad_answers_are_told_apart, .timeout = 5)
{
    static const struct {
        const char *text;
        enum slu_handshake_rc want;
    } rows[] = {
        { GOOD_HEAD GOOD_ACCEPT, SLU_HANDSHAKE_MORE },
        { GOOD_HEAD "\r\n", SLU_HANDSHAKE_BAD },
        { GOOD_HEAD "Sec-WebSocket-Accept: AAAA\r\n\r\n", SLU_HANDSHAKE_BAD },
        { GOOD_HEAD GOOD_ACCEPT "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", SLU_HANDSHAKE_BAD },
        { "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" GOOD_ACCEPT "\r\n", SLU_HANDSHAKE_BAD },
        { "HTTP/1.1 404 Not Found\r\n\r\n", SLU_HANDSHAKE_REFUSED },
        { "HTTP/1.0 101 x\r\n\r\n", SLU_HANDSHAKE_BAD },
        { "SSH-2.0-OpenSSH\r\n\r\n", SLU_HANDSHAKE_BAD },
        { "\r\n\r\n", SLU_HANDSHAKE_BAD },
        { "HTTP/1.1 101 x\r\nno colon\r\n\r\n", SLU_HANDSHAKE_BAD },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t used;
        int status = 0;
        cr_expect(eq(int, answer(rows[i].text, &used, &status), rows[i].want), "row %zu", i);
    }
}

Test(handshake, an_endless_head_is_given_up, .timeout = 5)
{
    static char text[SLU_HANDSHAKE_HEAD_MAX + 1];
    size_t used;
    int status;
    memset(text, 'a', sizeof(text) - 1);
    cr_assert(eq(int, answer(text, &used, &status), SLU_HANDSHAKE_BAD));
}

Test(backoff, full_jitter_stays_below_a_bound_that_doubles_up_to_the_maximum, .timeout = 5)
{
    static const uint32_t bounds[] = { 250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000 };
    for (uint32_t attempt = 1; attempt <= 9; attempt++) {
        uint32_t low = UINT32_MAX, high = 0;
        for (uint64_t r = 0; r <= bounds[attempt - 1]; r++) {
            uint32_t ms = slu_backoff_ms(250, 30000, attempt, r);
            low = ms < low ? ms : low;
            high = ms > high ? ms : high;
        }
        cr_expect(eq(u32, low, 0));
        cr_expect(eq(u32, high, bounds[attempt - 1]));
    }
    cr_expect(le(u32, slu_backoff_ms(250, 30000, UINT32_MAX, UINT64_MAX), 30000));
}

Test(backoff, close_codes_say_whether_to_come_back, .timeout = 5)
{
    cr_expect(eq(int, slu_after_close(4300), SLU_AFTER_NOW));
    cr_expect(eq(int, slu_after_close(4399), SLU_AFTER_NOW));
    cr_expect(eq(int, slu_after_close(4401), SLU_AFTER_STOP));
    cr_expect(eq(int, slu_after_close(4504), SLU_AFTER_BACKOFF));
    cr_expect(eq(int, slu_after_close(1006), SLU_AFTER_BACKOFF));
    cr_expect(eq(int, slu_after_close(1001), SLU_AFTER_BACKOFF));
    cr_expect(eq(int, slu_after_close(1012), SLU_AFTER_BACKOFF));
    cr_expect(eq(int, slu_after_close(1011), SLU_AFTER_BACKOFF));
    cr_expect(eq(int, slu_after_close(1000), SLU_AFTER_STOP));
    cr_expect(eq(int, slu_after_close(1002), SLU_AFTER_STOP));
    cr_expect(eq(int, slu_after_close(1009), SLU_AFTER_STOP));
    cr_expect(eq(int, slu_after_close(3000), SLU_AFTER_BACKOFF));
}

Test(topic, filters_match_as_in_mqtt_5, .timeout = 5)
{
    static const struct {
        const char *filter, *topic;
        bool want;
    } rows[] = {
        { "a/b", "a/b", true },     { "a/b", "a/c", false },     { "a/b", "a", false },
        { "a", "a/b", false },      { "a/+", "a/b", true },      { "a/+", "a/b/c", false },
        { "a/+", "a/", true },      { "a/+", "a", false },       { "a/#", "a", true },
        { "a/#", "a/b/c", true },   { "a/#", "ab", false },      { "#", "a/b", true },
        { "+/+", "/x", true },      { "+", "/x", false },        { "/+", "/x", true },
        { "#", "$SYS/x", false },   { "+/x", "$SYS/x", false },  { "$SYS/#", "$SYS/x", true },
        { "a/+/c", "a/b/c", true }, { "a/+/c", "a/b/d", false }, { "a/", "a", false },
        { "a", "a/", false },       { "a/", "a/", true },        { "+/#", "a", true },
        { "ab", "a", false },       { "a", "ab", false },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect(eq(int, slu_filter_takes(slu_str(rows[i].filter), slu_str(rows[i].topic)), rows[i].want), "%s %s",
                  rows[i].filter, rows[i].topic);
}

Test(topic, names_that_the_broker_would_refuse_are_refused_here, .timeout = 5)
{
    cr_expect(slu_topic_ok(slu_str("a/b")) && slu_topic_ok(slu_str("/")) && slu_topic_ok(slu_str("ž/🐎")));
    cr_expect(not(slu_topic_ok(slu_str(""))));
    cr_expect(not(slu_topic_ok(slu_str("a/+"))));
    cr_expect(not(slu_topic_ok(slu_str("a\nb"))));
    cr_expect(not(slu_topic_ok(slu_str("a\xff"))));
    cr_expect(not(slu_topic_ok(slu_str("a\xc2\x85"))));
    cr_expect(slu_filter_ok(slu_str("#")) && slu_filter_ok(slu_str("a/+/#")));
    cr_expect(not(slu_filter_ok(slu_str("a#"))));
    cr_expect(not(slu_filter_ok(slu_str("a/#/b"))));
    cr_expect(not(slu_filter_ok(slu_str("a+/b"))));
}
