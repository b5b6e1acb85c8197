/* CBOR scanning and reading: RFC 8949 by table, maps, exact integers, and writers that libcbor reads back. */
#include "broker/base/cbor.h"

#include "tests/unit/vectors.h"

#include <cbor.h>
#include <criterion/new/assert.h>
#include <math.h>
#include <stdlib.h>

/* In memory of exactly its size, for the address sanitizer. free() the data. */
static struct slu_bytes item_of(const char *hex)
{
    size_t room = strlen(hex) / 2;
    uint8_t *data = malloc(room ? room : 1);
    cr_assert(ne(ptr, data, NULL));
    return slu_bytes(data, from_hex(hex, data, room));
}

Test(cbor, well_formed_items_pass_and_every_cut_of_them_is_refused, .timeout = 10)
{
    json_t *root = load_vectors("base/cbor.json"), *row;
    size_t i, size;

    json_array_foreach(json_object_get(root, "to_json"), i, row)
    {
        const char *hex = json_string_value(json_array_get(row, 0));
        struct slu_bytes item = item_of(hex);
        cr_assert(slu_cbor_is_item(item, NULL), "%s", hex);
        for (size_t len = 0; len < item.len; len++) {
            uint8_t *cut = malloc(len ? len : 1);
            cr_assert(ne(ptr, cut, NULL));
            memcpy(cut, item.data, len);
            cr_assert(not(slu_cbor_scan(slu_bytes(cut, len), &size, NULL)), "%s cut at %zu", hex, len);
            free(cut);
        }
        free((void *)item.data);
    }
    json_decref(root);
}

Test(cbor, malformed_bytes_are_refused)
{
    json_t *root = load_vectors("base/cbor.json"), *row;
    size_t i;

    json_array_foreach(json_object_get(root, "refuse"), i, row)
    {
        struct slu_bytes item = item_of(json_string_value(row));
        cr_assert(not(slu_cbor_is_item(item, NULL)), "%s", json_string_value(row));
        free((void *)item.data);
    }
    json_decref(root);
}

Test(cbor, depth_is_bounded_tags_included)
{
    uint8_t deep[100000];
    struct slu_cbor_error err;
    size_t size;

    memset(deep, 0x81, sizeof(deep));
    deep[SLU_CBOR_DEPTH] = 0;
    cr_assert(slu_cbor_scan(slu_bytes(deep, sizeof(deep)), &size, NULL));
    cr_assert(eq(sz, size, SLU_CBOR_DEPTH + 1));
    deep[SLU_CBOR_DEPTH] = 0x81;
    cr_assert(not(slu_cbor_scan(slu_bytes(deep, sizeof(deep)), &size, &err)));
    cr_assert(eq(str, (char *)err.reason, "nested too deeply"));
    cr_assert(eq(sz, err.offset, SLU_CBOR_DEPTH));
    for (unsigned c = 0; c < 3; c++) {
        memset(deep, (int[]){ 0xc1, 0x9f, 0xbf }[c], sizeof(deep));
        cr_assert(not(slu_cbor_scan(slu_bytes(deep, sizeof(deep)), &size, NULL)));
    }
}

Test(cbor, any_changed_byte_is_safe, .timeout = 20)
{
    struct slu_bytes item = item_of("a4006370756201190102020361f503a2617482f97e00c24101617f7f61616162ff");
    struct slu_cbor_member m[8];
    size_t n, size;

    for (size_t at = 0; at < item.len; at++) {
        uint8_t was = item.data[at];
        for (unsigned c = 0; c < 256; c++) {
            ((uint8_t *)item.data)[at] = (uint8_t)c;
            slu_cbor_scan_map(item, m, 8, &n, NULL);
            slu_cbor_scan(item, &size, NULL);
        }
        ((uint8_t *)item.data)[at] = was;
    }
    free((void *)item.data);
}

Test(cbor, map_members_have_integer_or_text_keys_and_spans)
{
    struct slu_bytes item = item_of("a40063707562646b657931f50182010220f6"), b = item_of("bf00f401f5ff"), value;
    struct slu_cbor_member m[4];
    size_t n = 0;
    uint64_t v = 0;

    cr_assert(slu_cbor_scan_map(item, m, 4, &n, NULL));
    cr_assert(eq(sz, n, 4));
    cr_assert(eq(u64, m[0].number, 0));
    cr_assert(eq(int, m[1].key_type, SLU_CBOR_TEXT));
    cr_assert(slu_bytes_eq(m[1].text, SLU_LIT("key1")));
    cr_assert(eq(sz, m[2].value.len, 3));
    cr_assert(eq(int, m[3].key_type, SLU_CBOR_NINT));
    cr_assert(not(slu_cbor_scan_map(item, m, 3, &n, NULL)));
    cr_assert(slu_cbor_scan_map(b, m, 4, &n, NULL));
    cr_assert(eq(sz, n, 2));
    cr_assert(slu_cbor_find(item, SLU_LIT("key1"), &value) && slu_cbor_type(value) == SLU_CBOR_TRUE);
    cr_assert(not(slu_cbor_u64(value, &v)));
    free((void *)item.data);
    free((void *)b.data);
}

Test(cbor, equal_keys_and_chunked_keys_are_refused_at_the_top_level_only)
{
    json_t *root = load_vectors("base/cbor.json"), *row;
    struct slu_cbor_member m[4];
    struct slu_bytes nested = item_of("a100a201000100"), chunked = item_of("a17f6161ff00");
    size_t i, n;

    json_array_foreach(json_object_get(root, "map_keys_twice"), i, row)
    {
        struct slu_bytes item = item_of(json_string_value(row));
        cr_assert(slu_cbor_is_item(item, NULL), "%s", json_string_value(row));
        cr_assert(not(slu_cbor_scan_map(item, m, 4, &n, NULL)), "%s", json_string_value(row));
        free((void *)item.data);
    }
    cr_assert(slu_cbor_scan_map(nested, m, 4, &n, NULL));
    cr_assert(not(slu_cbor_scan_map(chunked, m, 4, &n, NULL)));
    free((void *)nested.data);
    free((void *)chunked.data);
    json_decref(root);
}

Test(cbor, integers_are_exact_or_refused)
{
    static const struct {
        const char *hex;
        bool ok;
        int64_t value;
    } rows[] = {
        { "00", true, 0 },
        { "1b001fffffffffffff", true, 9007199254740991 },
        { "1b0020000000000000", false, 0 },
        { "1bffffffffffffffff", false, 0 },
        { "3b001ffffffffffffe", true, -9007199254740991 },
        { "3b001fffffffffffff", false, 0 },
        { "3bffffffffffffffff", false, 0 },
        { "f94500", true, 5 },
        { "fb4279aa2ec81a3000", true, 1763670000035 },
        { "f93e00", false, 0 },
        { "f97e00", false, 0 },
        { "f97c00", false, 0 },
        { "fb7e37e43c8800759c", false, 0 },
        { "6131", false, 0 },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slu_bytes item = item_of(rows[i].hex);
        int64_t got = 0;
        uint64_t u = 0;
        bool ok = slu_cbor_i64(item, &got);
        cr_assert(eq(int, ok, rows[i].ok), "%s", rows[i].hex);
        cr_assert(eq(i64, got, rows[i].value), "%s", rows[i].hex);
        cr_assert(eq(int, slu_cbor_u64(item, &u), ok &&got >= 0), "%s", rows[i].hex);
        free((void *)item.data);
    }
}

Test(cbor, chunked_strings_are_joined)
{
    struct slu_bytes text = item_of("7f657374726561646d696e67ff"), bytes = item_of("5f42010243030405ff"), out;
    struct slu_buf scratch;

    slu_buf_init(&scratch, 0);
    cr_assert(slu_cbor_text(text, &scratch, &out) && slu_bytes_eq(out, SLU_LIT("streaming")));
    cr_assert(slu_cbor_bytes(bytes, &scratch, &out) && slu_bytes_eq(out, SLU_LIT("\x01\x02\x03\x04\x05")));
    cr_assert(not(slu_cbor_bytes(text, &scratch, &out)));
    slu_buf_fini(&scratch);
    slu_buf_init(&scratch, 4);
    cr_assert(not(slu_cbor_text(text, &scratch, &out)));
    slu_buf_fini(&scratch);
    free((void *)text.data);
    free((void *)bytes.data);
}

static double read_back(const struct slu_buf *b)
{
    struct cbor_load_result r;
    cbor_item_t *item = cbor_load(b->data, b->len, &r);
    double v;

    cr_assert(ne(ptr, item, NULL));
    v = cbor_float_get_float(item);
    cbor_decref(&item);
    return v;
}

Test(cbor, doubles_take_the_shortest_float_that_keeps_them, .timeout = 20)
{
    struct slu_buf b;
    unsigned long state = 99;
    double v, got;

    slu_buf_init(&b, 0);
    for (unsigned half = 0; half < 0x10000; half++) { /* every half stays a half */
        uint8_t item[3] = { 0xf9, (uint8_t)(half >> 8), (uint8_t)half };
        cr_assert(slu_cbor_double(slu_bytes(item, 3), &v));
        slu_buf_clear(&b);
        slu_cbor_add_double(&b, v);
        cr_assert(eq(sz, b.len, 3));
        cr_assert(isnan(v) || memcmp(b.data, item, 3) == 0, "%04x", half);
    }
    for (int i = 0; i < 50000; i++) {
        uint64_t bits = next_random(&state);
        if (i % 2)
            bits &= UINT64_C(0xffffffffe0000000);
        memcpy(&v, &bits, sizeof(v));
        if (isnan(v))
            continue;
        slu_buf_clear(&b);
        slu_cbor_add_double(&b, v);
        got = read_back(&b);
        cr_assert(eq(int, memcmp(&got, &v, sizeof(v)), 0), "%a %a", v, got);
        if (fabs(v) < 3e38 && (double)(float)v == v)
            cr_assert(le(sz, b.len, 5));
    }
    slu_buf_fini(&b);
}

Test(cbor, heads_are_the_shortest_and_read_back)
{
    static const uint64_t numbers[] = { 0, 23, 24, 255, 256, 65535, 65536, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX };
    static const size_t sizes[] = { 1, 1, 2, 2, 3, 3, 5, 5, 9, 9 };
    struct slu_buf b;
    struct slu_cbor_head h;

    slu_buf_init(&b, 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        slu_buf_clear(&b);
        slu_cbor_add_uint(&b, numbers[i]);
        cr_assert(eq(sz, b.len, sizes[i]));
        cr_assert(slu_cbor_head(slu_buf_bytes(&b), &h) && h.type == SLU_CBOR_UINT);
        cr_assert(eq(u64, h.number, numbers[i]));
        slu_buf_clear(&b);
        slu_cbor_add_nint(&b, numbers[i]);
        cr_assert(slu_cbor_head(slu_buf_bytes(&b), &h) && h.type == SLU_CBOR_NINT);
        cr_assert(eq(u64, h.number, numbers[i]));
    }
    slu_buf_clear(&b);
    slu_cbor_add_int(&b, INT64_MIN);
    cr_assert(slu_cbor_head(slu_buf_bytes(&b), &h) && h.number == INT64_MAX);
    slu_buf_fini(&b);
}
