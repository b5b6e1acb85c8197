/* The JSON scanner and readers: RFC 8259 by table, jansson as oracle on mutated texts, and the bounds. */
#include "broker/base/json.h"
#include "broker/base/utf8.h"

#include "tests/unit/vectors.h"

#include <criterion/new/assert.h>
#include <stdlib.h>

static bool accepts(struct slu_bytes in)
{
    struct slu_json_value v;
    return slu_json_scan(in, &v, NULL);
}

/* In memory of exactly its size, so that the address sanitizer sees a read beyond the end. */
static struct slu_bytes tight_copy(const char *text, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    cr_assert(ne(ptr, copy, NULL));
    memcpy(copy, text, len);
    return slu_bytes(copy, len);
}

static struct slu_bytes text_of(const json_t *s)
{
    return slu_bytes(json_string_value(s), json_string_length(s));
}

static struct slu_json_value parse(const char *text)
{
    struct slu_json_value v;
    cr_assert(slu_json_scan(slu_str(text), &v, NULL), "%s", text);
    return v;
}

Test(json, accepts_and_refuses_as_rfc_8259_says, .timeout = 10)
{
    json_t *root = load_vectors("base/json.json"), *item;
    size_t i;

    json_array_foreach(json_object_get(root, "accept"), i, item)
        cr_assert(accepts(text_of(item)), "should accept %s", json_string_value(item));
    json_array_foreach(json_object_get(root, "refuse"), i, item)
        cr_assert(not(accepts(text_of(item))), "should refuse %s", json_string_value(item));
    json_array_foreach(json_object_get(root, "duplicates"), i, item)
    {
        struct slu_json_member members[8];
        size_t n;
        cr_assert(accepts(text_of(item)), "a payload is not searched: %s", json_string_value(item));
        cr_assert(not(slu_json_scan_object(text_of(item), members, 8, &n, NULL)), "%s", json_string_value(item));
    }
    json_decref(root);
}

Test(json, every_cut_and_every_wrong_byte_is_safe, .timeout = 20)
{
    static const char text[] =
        "{\"a\":[1,-2.5e3,\"x\\u00e9\\n\",{\"b\":null}],\"c\":{\"d\":true,\"e\":false},\"f\":\"long enough text\"}";

    for (size_t len = 0; len < sizeof(text) - 1; len++) {
        struct slu_bytes in = tight_copy(text, len);
        cr_assert(not(accepts(in)), "cut at %zu", len);
        free((void *)in.data);
    }
    for (size_t at = 0; at < sizeof(text) - 1; at++) {
        for (unsigned c = 0; c < 256; c++) {
            struct slu_bytes in = tight_copy(text, sizeof(text) - 1);
            struct slu_json_member members[8];
            size_t n;
            ((uint8_t *)in.data)[at] = (uint8_t)c;
            slu_json_scan_object(in, members, 8, &n, NULL);
            free((void *)in.data);
        }
    }
}

Test(json, depth_is_bounded_and_deep_text_is_refused_not_crashed_on, .timeout = 10)
{
    enum { N = 1000000 };
    char *text = malloc(N);
    struct slu_json_error err;
    struct slu_json_value v;
    cr_assert(ne(ptr, text, NULL));

    memset(text, '[', SLU_JSON_DEPTH);
    memset(text + SLU_JSON_DEPTH, ']', SLU_JSON_DEPTH);
    cr_assert(accepts(slu_bytes(text, 2 * SLU_JSON_DEPTH)));
    memset(text, '[', SLU_JSON_DEPTH + 1);
    memset(text + SLU_JSON_DEPTH + 1, ']', SLU_JSON_DEPTH + 1);
    cr_assert(not(slu_json_scan(slu_bytes(text, 2 * SLU_JSON_DEPTH + 2), &v, &err)));
    cr_assert(eq(str, (char *)err.reason, "nested too deeply"));
    cr_assert(eq(sz, err.offset, SLU_JSON_DEPTH));
    memset(text, '[', N);
    cr_assert(not(accepts(slu_bytes(text, N))));
    for (size_t i = 0; i + 5 <= N; i += 5)
        memcpy(text + i, "{\"a\":", 5);
    cr_assert(not(accepts(slu_bytes(text, N))));
    free(text);
}

Test(json, number_length_member_count_and_name_length_are_bounded, .timeout = 10)
{
    struct slu_buf b;
    struct slu_json_member members[4];
    size_t n;

    slu_buf_init(&b, 0);
    for (unsigned i = 0; i < SLU_JSON_NUMBER_LEN; i++)
        slu_buf_add_byte(&b, '7');
    cr_assert(accepts(slu_buf_bytes(&b)));
    slu_buf_add_byte(&b, '7');
    cr_assert(not(accepts(slu_buf_bytes(&b))));

    cr_assert(slu_json_scan_object(slu_str("{\"a\":1,\"b\":1,\"c\":1,\"d\":1}"), members, 4, &n, NULL));
    cr_assert(not(slu_json_scan_object(slu_str("{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1}"), members, 4, &n, NULL)));

    slu_buf_clear(&b);
    slu_buf_add_str(&b, "{\"a\":0");
    for (unsigned i = 0; i < SLU_JSON_MEMBERS; i++)
        slu_buf_add_str(&b, ",\"a\":0");
    slu_buf_add_byte(&b, '}');
    cr_assert(not(accepts(slu_buf_bytes(&b))));

    slu_buf_clear(&b);
    slu_buf_add_str(&b, "{\"");
    for (unsigned i = 0; i < SLU_JSON_KEY_LEN + 1; i++)
        slu_buf_add_byte(&b, 'k');
    slu_buf_add_str(&b, "\":1}");
    cr_assert(accepts(slu_buf_bytes(&b)));
    cr_assert(not(slu_json_scan_object(slu_buf_bytes(&b), members, 4, &n, NULL)));
    slu_buf_fini(&b);
}

Test(json, top_level_spans_are_the_tokens_as_written)
{
    struct slu_json_member m[8];
    size_t n;

    cr_assert(slu_json_scan_object(slu_str(" { \"op\" : \"pub\" , \"da\\u0074a\" : [ 1.50 , {} ] ,\"x\":-0e1 } "), m, 8,
                                   &n, NULL));
    cr_assert(eq(sz, n, 3));
    cr_assert(slu_bytes_eq(m[0].value.raw, SLU_LIT("\"pub\"")));
    cr_assert(slu_json_key_is(&m[1], SLU_LIT("data")));
    cr_assert(not(slu_json_key_is(&m[1], SLU_LIT("dat"))));
    cr_assert(not(slu_json_key_is(&m[1], SLU_LIT("datab"))));
    cr_assert(slu_bytes_eq(m[1].value.raw, SLU_LIT("[ 1.50 , {} ]")));
    cr_assert(slu_bytes_eq(m[2].value.raw, SLU_LIT("-0e1")));
    cr_assert(slu_json_scan_object(m[1].value.type == SLU_JSON_ARRAY ? SLU_LIT("{}") : SLU_LIT(""), m, 8, &n, NULL));
    cr_assert(eq(sz, n, 0));
}

Test(json, errors_name_the_reason_and_the_byte)
{
    struct slu_json_member m[8];
    struct slu_json_error err;
    size_t n;

    cr_assert(not(slu_json_scan_object(slu_str("{\"a\":1,\"a\":2}"), m, 8, &n, &err)));
    cr_assert(eq(str, (char *)err.reason, "member stands twice"));
    cr_assert(eq(sz, err.offset, 7));
    cr_assert(not(slu_json_scan_object(slu_str("[1]"), m, 8, &n, &err)));
    cr_assert(eq(str, (char *)err.reason, "expected an object"));
    cr_assert(not(slu_json_scan_object(slu_str("{\"a\":1} x"), m, 8, &n, &err)));
    cr_assert(eq(sz, err.offset, 8));
    cr_assert(not(slu_json_scan_object(slu_bytes(NULL, 0), m, 8, &n, &err)));
}

Test(json, walks_arrays_and_objects)
{
    struct slu_json_iter it;
    struct slu_json_value v;
    struct slu_json_member m;
    int n = 0;

    slu_json_iter_init(&it, SLU_LIT("[ 1 ,[2,3], \"x\" ]"));
    while (slu_json_next(&it, &v))
        n++;
    cr_assert(eq(int, n, 3));
    cr_assert(not(slu_json_next(&it, &v)));
    slu_json_iter_init(&it, SLU_LIT("[]"));
    cr_assert(not(slu_json_next(&it, &v)));
    slu_json_iter_init(&it, SLU_LIT("{\"a\":1, \"b\" : {\"a\":2}}"));
    for (n = 0; slu_json_next_member(&it, &m); n++)
        ;
    cr_assert(eq(int, n, 2));
    cr_assert(slu_json_find(SLU_LIT("{\"a\":1,\"b\":2,\"a\":3}"), SLU_LIT("a"), &v));
    cr_assert(slu_bytes_eq(v.raw, SLU_LIT("3")));
    cr_assert(not(slu_json_find(SLU_LIT("{\"a\":{\"b\":1}}"), SLU_LIT("b"), &v)));
    cr_assert(not(slu_json_find(SLU_LIT("[1]"), SLU_LIT("a"), &v)));
}

Test(json, strings_decode_and_lone_surrogates_become_replacement_characters)
{
    static const struct {
        const char *in, *out;
        bool lossy;
    } rows[] = {
        { "\"\"", "", false },
        { "\"plain\"", "plain", false },
        { "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", false },
        { "\"\\u0041\\u00e9\\u20AC\"", "A\xc3\xa9\xe2\x82\xac", false },
        { "\"\\ud83d\\ude00!\"", "\xf0\x9f\x98\x80!", false },
        { "\"\\ud83d\"", "\xef\xbf\xbd", true },
        { "\"\\ude00x\"", "\xef\xbf\xbdx", true },
        { "\"\\ud83d\\ud83d\\ude00\"", "\xef\xbf\xbd\xf0\x9f\x98\x80", true },
        { "\"\\ud83d\\n\"", "\xef\xbf\xbd\n", true },
    };
    struct slu_buf b;

    slu_buf_init(&b, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slu_json_value v = parse(rows[i].in);
        struct slu_bytes text;
        bool lossy = false;
        slu_buf_clear(&b);
        slu_json_unescape(slu_json_inner(&v), &b, &lossy);
        cr_assert(slu_bytes_eq(slu_buf_bytes(&b), slu_str(rows[i].out)), "%s", rows[i].in);
        cr_assert(eq(int, lossy, rows[i].lossy), "%s", rows[i].in);
        cr_assert(slu_json_string_is(&v, slu_str(rows[i].out)));
        cr_assert(slu_json_string(&v, &b, &text) && slu_bytes_eq(text, slu_str(rows[i].out)));
    }
    slu_buf_fini(&b);
}

Test(json, a_string_that_does_not_fit_is_refused)
{
    struct slu_buf b;
    struct slu_bytes text;
    struct slu_json_value v = parse("\"\\n0123456789\"");

    slu_buf_init(&b, 8);
    cr_assert(not(slu_json_string(&v, &b, &text)));
    slu_buf_fini(&b);
}

Test(json, integers_are_exact_or_refused)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } rows[] = {
        { "0", true, 0 },
        { "-0", true, 0 },
        { "7", true, 7 },
        { "-7", true, -7 },
        { "5.0", true, 5 },
        { "1e3", true, 1000 },
        { "1.5e1", true, 15 },
        { "1500e-2", true, 15 },
        { "1.5", false, 0 },
        { "1e-1", false, 0 },
        { "0e999999999", true, 0 },
        { "0.000", true, 0 },
        { "1e16", false, 0 },
        { "1e999999", false, 0 },
        { "1e-999999", false, 0 },
        { "9007199254740991", true, 9007199254740991 },
        { "9007199254740992", false, 0 },
        { "-9007199254740991", true, -9007199254740991 },
        { "-9007199254740992", false, 0 },
        { "18446744073709551616", false, 0 },
        { "99999999999999999999999", false, 0 },
        { "9007199254740991.0000000000000000000000000001", false, 0 },
        { "42.0000000000000000000000000000", true, 42 },
        { "\"5\"", false, 0 },
        { "true", false, 0 },
        { "[5]", false, 0 },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slu_json_value v = parse(rows[i].text);
        int64_t got = 0;
        uint64_t u = 0;
        cr_assert(eq(int, slu_json_i64(&v, &got), rows[i].ok), "%s", rows[i].text);
        cr_assert(eq(i64, got, rows[i].value), "%s", rows[i].text);
        cr_assert(eq(int, slu_json_u64(&v, &u), rows[i].ok &&rows[i].value >= 0), "%s", rows[i].text);
    }
}

Test(json, doubles_are_the_nearest_and_print_as_the_shortest, .timeout = 20)
{
    unsigned long state = 42;
    struct slu_buf b;

    slu_buf_init(&b, 0);
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = next_random(&state);
        double want, got;
        struct slu_json_value v;
        if (i % 3 == 0)
            want = (double)(int64_t)(bits >> (bits % 50)) / 1000;
        else
            memcpy(&want, &bits, sizeof(want));
        if (!(want - want == 0))
            continue;
        slu_buf_clear(&b);
        slu_json_add_double(&b, want);
        cr_assert(slu_json_scan(slu_buf_bytes(&b), &v, NULL));
        cr_assert(slu_json_double(&v, &got));
        cr_assert(eq(int, memcmp(&got, &want, sizeof(got)), 0), "%a %.*s", want, (int)b.len, (char *)b.data);
    }
    static const struct {
        double v;
        const char *text;
    } rows[] = { { 0.1, "0.1" },           { 5, "5" },
                 { -0.0, "-0" },           { 1e21, "1e+21" },
                 { 1.5, "1.5" },           { 1e-7, "1e-07" },
                 { 5e-324, "5e-324" },     { 0.1 + 0.2, "0.30000000000000004" },
                 { 1e300 * 1e300, "null" } };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        slu_buf_clear(&b);
        slu_json_add_double(&b, rows[i].v);
        cr_assert(slu_bytes_eq(slu_buf_bytes(&b), slu_str(rows[i].text)), "%s %.*s", rows[i].text, (int)b.len,
                  (char *)b.data);
    }
    slu_buf_fini(&b);
}

Test(json, numbers_compare_by_value)
{
    struct slu_json_value one = parse("1"), also = parse("10e-1"), big = parse("1e999"), small = parse("-1e999");

    cr_assert(eq(int, slu_json_number_cmp(&one, &also), 0));
    cr_assert(eq(int, slu_json_number_cmp(&one, &big), -1));
    cr_assert(eq(int, slu_json_number_cmp(&one, &small), 1));
    cr_assert(eq(int, slu_json_number_cmp(&big, &big), 0));
}

Test(json, written_strings_are_json_whatever_the_bytes)
{
    struct slu_buf b;
    struct slu_json_value v;
    unsigned long state = 7;

    slu_buf_init(&b, 0);
    slu_json_add_string(&b, SLU_LIT("a\"\\\n\x01\x7f\xc3\xa9\xff\xe2\x82z\xed\xa0\x80"));
    cr_assert(slu_bytes_eq(slu_buf_bytes(&b), SLU_LIT("\"a\\\"\\\\\\n\\u0001\x7f\xc3\xa9\xef\xbf\xbd\xef\xbf\xbdz"
                                                      "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"")));
    for (int i = 0; i < 20000; i++) {
        uint8_t raw[24];
        size_t len = next_random(&state) % sizeof(raw);
        for (size_t k = 0; k < len; k++)
            raw[k] = (uint8_t)next_random(&state);
        slu_buf_clear(&b);
        slu_json_add_string(&b, slu_bytes(raw, len));
        cr_assert(slu_json_scan(slu_buf_bytes(&b), &v, NULL) && slu_utf8_valid(slu_buf_bytes(&b)));
        if (slu_utf8_valid(slu_bytes(raw, len)))
            cr_assert(slu_json_string_is(&v, slu_bytes(raw, len)));
    }
    slu_buf_fini(&b);
}

Test(json, compaction_removes_only_insignificant_space)
{
    struct slu_buf b;

    slu_buf_init(&b, 0);
    slu_json_compact(SLU_LIT(" { \"a b\\\" c\" : [ 1.0 ,\t2 ] ,\r\n\"\\\\\" : null } "), &b);
    cr_assert(slu_bytes_eq(slu_buf_bytes(&b), SLU_LIT("{\"a b\\\" c\":[1.0,2],\"\\\\\":null}")));
    slu_buf_fini(&b);
}

Test(json, containers_are_told_from_other_bodies)
{
    cr_assert(slu_json_is_container(SLU_LIT(" {\"a\":1} ")));
    cr_assert(slu_json_is_container(SLU_LIT("[]")));
    cr_assert(not(slu_json_is_container(SLU_LIT("21.5"))));
    cr_assert(not(slu_json_is_container(SLU_LIT("{\"a\":1} trailing"))));
    cr_assert(not(slu_json_is_container(SLU_LIT(""))));
    cr_assert(not(slu_json_is_container(slu_bytes(NULL, 0))));
}

/* ---- jansson as oracle ---- */

static bool same(const struct slu_json_value *v, const json_t *want)
{
    struct slu_json_value child;
    struct slu_json_iter it;
    const char *key;
    json_t *item;
    size_t i = 0;
    double real;

    switch (v->type) {
    case SLU_JSON_STRING:
        return json_is_string(want) && slu_json_string_is(v, text_of(want));
    case SLU_JSON_NUMBER:
        return json_is_number(want) && slu_json_double(v, &real) && real == json_number_value(want);
    case SLU_JSON_TRUE:
        return json_is_true(want);
    case SLU_JSON_FALSE:
        return json_is_false(want);
    case SLU_JSON_NULL:
        return json_is_null(want);
    case SLU_JSON_ARRAY:
        slu_json_iter_init(&it, v->raw);
        for (; slu_json_next(&it, &child); i++)
            if (!same(&child, json_array_get(want, i)))
                return false;
        return json_is_array(want) && i == json_array_size(want);
    case SLU_JSON_OBJECT:
        json_object_foreach((json_t *)want, key,
                            item) if (!slu_json_find(v->raw, slu_str(key), &child) || !same(&child, item)) return false;
        return json_is_object(want);
    }
    return false;
}

/* What jansson refuses although RFC 8259 allows it: numbers beyond a double, surrogates without partner, NUL in
 * keys. */
static bool is_jansson_limit(const json_error_t *e)
{
    return json_error_code(e) == json_error_numeric_overflow || strstr(e->text, "invalid Unicode") ||
           strstr(e->text, "NUL byte in object key");
}

Test(json, agrees_with_jansson_on_mutated_texts, .timeout = 60)
{
    static const char *const seeds[] = {
        "{\"op\":\"pub\",\"id\":1,\"topic\":\"a/"
        "b\",\"data\":{\"t\":21.50,\"x\":[1,2,{\"y\":null}],\"s\":\"\\u00e9\\ud83d\\ude00\"}}",
        "[true,false,null,0,-1,1.5e-3,\"\",{},[],[[1]],\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]",
        " { \"a\" : [ 1 , 2 ] , \"b\" : { \"c\" : \"d\" } } ",
        "[123456789012,0.1,1E5,2e+2,-0.0,\"long plain text without anything special in it\"]",
    };
    static const char alphabet[] = "{}[]:,\"\\/ \n\t0123456789-+.eEtrufalsnbd\x01\x1f\x7fxu";
    unsigned long state = 20240517;
    unsigned accepted = 0;

    for (int round = 0; round < 60000; round++) {
        char text[256];
        const char *seed = seeds[round % 4];
        size_t len = strlen(seed);
        memcpy(text, seed, len);
        for (unsigned k = 0, n = next_random(&state) % 4; k <= n && len > 1; k++) {
            size_t at = next_random(&state) % len;
            unsigned how = next_random(&state) % 3;
            if (how == 0) {
                text[at] = alphabet[next_random(&state) % (sizeof(alphabet) - 1)];
            } else if (how == 1) {
                memmove(text + at, text + at + 1, len - at - 1);
                len--;
            } else if (len < sizeof(text) - 1) {
                memmove(text + at + 1, text + at, len - at);
                text[at] = alphabet[next_random(&state) % (sizeof(alphabet) - 1)];
                len++;
            }
        }
        struct slu_bytes in = tight_copy(text, len);
        struct slu_json_value v;
        json_error_t err;
        bool utf8 = slu_utf8_valid(in), ours = slu_json_scan(in, &v, NULL);
        json_t *theirs = json_loadb(text, len, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &err);
        if (utf8 && (theirs || !is_jansson_limit(&err))) {
            cr_assert(eq(int, ours, theirs != NULL), "%.*s (%s)", (int)len, text, theirs ? "accepted" : err.text);
            cr_assert(theirs == NULL || same(&v, theirs), "%.*s", (int)len, text);
            accepted += ours;
        }
        json_decref(theirs);
        free((void *)in.data);
    }
    cr_assert(gt(uint, accepted, 1000));
}
