#include "broker/base/buf.h"
#include "broker/core/message.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static struct slu_account account;

static size_t used(void)
{
    return atomic_load(&account.used);
}

Test(message, keeps_a_copy_of_everything, .timeout = 5)
{
    char topic[] = "a/b", payload[] = "{\"x\":1}", key[] = "k", reply[] = "r", dedup[] = "d", headers[] = "\1\0a\1\0b";
    struct slu_msg_spec spec = {
        .topic = slu_str(topic),
        .payload = slu_str(payload),
        .key = slu_str(key),
        .reply = slu_str(reply),
        .dedup = slu_str(dedup),
        .headers = slu_bytes(headers, 6),
        .kind = SLU_KIND_JSON,
        .form = SLU_FORM_CBOR,
        .retain = true,
        .clear = true,
        .ts_ms = 1,
        .expires_ms = 2,
        .publisher = 3,
    };
    struct slu_msg *m = slu_msg_new(&account, &spec);
    memset(topic, 'x', 3);
    memset(payload, 'x', 7);
    memset(headers, 'x', 6);
    key[0] = reply[0] = dedup[0] = 'x';
    bool kept = slu_bytes_eq(m->topic, SLU_LIT("a/b")) && slu_bytes_eq(m->payload, SLU_LIT("{\"x\":1}")) &&
                slu_bytes_eq(m->key, SLU_LIT("k")) && slu_bytes_eq(m->reply, SLU_LIT("r")) &&
                slu_bytes_eq(m->dedup, SLU_LIT("d")) && slu_bytes_eq(m->headers, SLU_LIT("\1\0a\1\0b"));
    cr_assert(kept);
    bool plain = m->kind == SLU_KIND_JSON && m->form == SLU_FORM_CBOR && m->retain && m->clear && m->ts_ms == 1 &&
                 m->expires_ms == 2 && m->publisher == 3 && m->pos.offset == 0 && m->seq == 0 && !m->fan;
    cr_assert(plain);
    slu_msg_unref(m);
}

Test(message, is_charged_until_its_last_reference_goes, .timeout = 5)
{
    struct slu_msg_spec spec = { .topic = SLU_LIT("a"), .payload = SLU_LIT("12345") };
    struct slu_msg *m = slu_msg_new(&account, &spec);
    cr_assert(eq(sz, used(), m->size));
    cr_assert(eq(sz, m->size, sizeof(*m) + 6));
    slu_msg_ref(m);
    slu_msg_unref(m);
    cr_assert(ne(sz, used(), 0));
    slu_msg_unref(m);
    cr_assert(eq(sz, used(), 0));
    slu_msg_unref(NULL);
}

Test(message, empty_parts_are_empty_and_not_null, .timeout = 5)
{
    struct slu_msg_spec spec = { .topic = SLU_LIT("a") };
    struct slu_msg *m = slu_msg_new(&account, &spec);
    cr_assert(eq(sz, m->payload.len, 0));
    cr_assert(ne(ptr, (void *)(uintptr_t)m->payload.data, NULL));
    slu_msg_unref(m);
}

Test(message, an_impossible_size_is_refused, .timeout = 5)
{
    struct slu_msg_spec spec = { .topic = SLU_LIT("a"), .payload = { (const uint8_t *)"", SIZE_MAX } };
    cr_assert(eq(ptr, slu_msg_new(&account, &spec), NULL));
    cr_assert(eq(sz, used(), 0));
}

Test(message, expires_at_its_time_or_never, .timeout = 5)
{
    struct slu_msg_spec spec = { .topic = SLU_LIT("a"), .expires_ms = 100 };
    struct slu_msg *m = slu_msg_new(&account, &spec);
    bool right = !slu_msg_expired(m, 99) && slu_msg_expired(m, 100) && slu_msg_expired(m, 101);
    slu_msg_unref(m);
    cr_assert(right);
    spec.expires_ms = 0;
    m = slu_msg_new(&account, &spec);
    right = !slu_msg_expired(m, UINT64_MAX);
    slu_msg_unref(m);
    cr_assert(right);
}

Test(headers, come_back_in_order, .timeout = 5)
{
    struct slu_buf b;
    slu_buf_init(&b, 0);
    bool added = slu_headers_add(&b, SLU_LIT("region"), SLU_LIT("eu")) &&
                 slu_headers_add(&b, SLU_LIT(""), SLU_LIT("")) && slu_headers_add(&b, SLU_LIT("region"), SLU_LIT("us"));
    cr_assert(added);
    struct slu_bytes rest = slu_buf_bytes(&b), name, value;
    bool first = slu_headers_next(&rest, &name, &value) && slu_bytes_eq(name, SLU_LIT("region")) &&
                 slu_bytes_eq(value, SLU_LIT("eu"));
    bool second = slu_headers_next(&rest, &name, &value) && name.len == 0 && value.len == 0;
    bool third = slu_headers_next(&rest, &name, &value) && slu_bytes_eq(value, SLU_LIT("us"));
    bool end = !slu_headers_next(&rest, &name, &value) && rest.len == 0;
    cr_assert(first);
    cr_assert(second);
    cr_assert(third);
    cr_assert(end);
    slu_buf_fini(&b);
}

Test(headers, are_limited_in_number, .timeout = 5)
{
    struct slu_buf b;
    slu_buf_init(&b, 0);
    int n = 0;
    while (n < 1000 && slu_headers_add(&b, SLU_LIT("a"), SLU_LIT("b")))
        n++;
    cr_assert(eq(int, n, SLU_HEADERS_MAX));
    cr_assert(eq(sz, b.len, SLU_HEADERS_MAX * 6));
    cr_assert(not(b.failed));
    slu_buf_fini(&b);
}

Test(headers, are_limited_in_bytes, .timeout = 5)
{
    static uint8_t large[70000];
    struct slu_buf b;
    slu_buf_init(&b, 0);
    bool none = !slu_headers_add(&b, SLU_LIT("a"), slu_bytes(large, 70000)) &&
                !slu_headers_add(&b, slu_bytes(large, SLU_HEADERS_BYTES), SLU_LIT("")) &&
                !slu_headers_add(&b, slu_bytes(large, 0x10001), slu_bytes(large, SIZE_MAX)) && b.len == 0;
    cr_assert(none);
    bool full = slu_headers_add(&b, SLU_LIT("a"), slu_bytes(large, SLU_HEADERS_BYTES - 5)) &&
                b.len == SLU_HEADERS_BYTES && !slu_headers_add(&b, SLU_LIT(""), SLU_LIT(""));
    cr_assert(full);
    slu_buf_fini(&b);
}

Test(headers, broken_bytes_end_the_walk, .timeout = 5)
{
    static const char *const broken[] = { "\1",
                                          "\1\0",
                                          "\1\0a",
                                          "\1\0a\1",
                                          "\1\0a\1\0",
                                          "\xff\xff",
                                          "\1\0a\xff\xff"
                                          "bc" };
    static const size_t len[] = { 1, 2, 3, 4, 5, 2, 7 };
    for (int i = 0; i < 7; i++) {
        struct slu_bytes rest = slu_bytes(broken[i], len[i]), name, value;
        bool got = slu_headers_next(&rest, &name, &value);
        cr_assert(not(got), "%d", i);
        cr_assert(eq(sz, rest.len, len[i]));
    }
}
