/* JSON <-> CBOR: the tables of tests/vectors, round trips against jansson, and the bounds. */
#include "broker/base/transcode.h"

#include "broker/base/cbor.h"
#include "broker/base/json.h"

#include "tests/unit/vectors.h"

#include <criterion/new/assert.h>
#include <stdlib.h>

Test(transcode, cbor_becomes_the_json_of_the_table)
{
    json_t *root = load_vectors("base/cbor.json"), *row;
    struct slu_buf out;
    uint8_t item[256];
    size_t i;

    slu_buf_init(&out, 0);
    json_array_foreach(json_object_get(root, "to_json"), i, row)
    {
        const char *hex = json_string_value(json_array_get(row, 0)), *want = json_string_value(json_array_get(row, 1));
        slu_buf_clear(&out);
        cr_assert(eq(int, slu_transcode_cbor_to_json(slu_bytes(item, from_hex(hex, item, sizeof(item))), &out), SLU_OK),
                  "%s", hex);
        cr_assert(slu_bytes_eq(slu_buf_bytes(&out), slu_str(want)), "%s: %.*s, not %s", hex, (int)out.len,
                  (char *)out.data, want);
    }
    json_array_foreach(json_object_get(root, "refuse"), i, row) cr_assert(
        eq(int, slu_transcode_cbor_to_json(slu_bytes(item, from_hex(json_string_value(row), item, sizeof(item))), &out),
           SLU_EBAD_FRAME));
    json_array_foreach(json_object_get(root, "not_for_json"), i, row) cr_assert(
        eq(int, slu_transcode_cbor_to_json(slu_bytes(item, from_hex(json_string_value(row), item, sizeof(item))), &out),
           SLU_EBAD_FRAME),
        "%s", json_string_value(row));
    slu_buf_fini(&out);
    json_decref(root);
}

Test(transcode, json_becomes_the_cbor_of_the_table)
{
    json_t *root = load_vectors("base/cbor.json"), *row;
    struct slu_buf out;
    uint8_t want[256];
    size_t i;

    slu_buf_init(&out, 0);
    json_array_foreach(json_object_get(root, "from_json"), i, row)
    {
        const char *json = json_string_value(json_array_get(row, 0)), *hex = json_string_value(json_array_get(row, 1));
        slu_buf_clear(&out);
        cr_assert(eq(int, slu_transcode_json_to_cbor(slu_str(json), &out), SLU_OK), "%s", json);
        cr_assert(slu_bytes_eq(slu_buf_bytes(&out), slu_bytes(want, from_hex(hex, want, sizeof(want)))), "%s", json);
    }
    cr_assert(eq(int, slu_transcode_json_to_cbor(SLU_LIT("[1,]"), &out), SLU_EBAD_FRAME));
    cr_assert(eq(int, slu_transcode_json_to_cbor(SLU_LIT(""), &out), SLU_EBAD_FRAME));
    slu_buf_fini(&out);
    json_decref(root);
}

static json_t *random_json(unsigned long *state, int depth)
{
    char text[64];
    json_t *v;
    unsigned n = next_random(state) % 30;

    switch (next_random(state) % (depth ? 7 : 5)) {
    case 0:
        return json_integer((json_int_t)(next_random(state) >> (next_random(state) % 64)));
    case 1:
        return json_real((double)(int64_t)next_random(state) / 1e6);
    case 2:
        return json_boolean(next_random(state) % 2);
    case 3:
        return json_null();
    case 4:
        for (unsigned i = 0; i < n; i++)
            text[i] = (char)(next_random(state) % 0x60 + 0x20);
        return json_stringn(text, n);
    case 5:
        v = json_array();
        for (unsigned i = 0; i < n; i++)
            json_array_append_new(v, random_json(state, depth - 1));
        return v;
    default:
        v = json_object();
        for (unsigned i = 0; i < n; i++) {
            snprintf(text, sizeof(text), "k\n%lu", next_random(state) % 1000);
            json_object_set_new(v, text, random_json(state, depth - 1));
        }
        return v;
    }
}

Test(transcode, values_survive_there_and_back, .timeout = 60)
{
    unsigned long state = 31337;
    struct slu_buf cbor, json;

    slu_buf_init(&cbor, 0);
    slu_buf_init(&json, 0);
    for (int i = 0; i < 1500; i++) {
        json_t *v = random_json(&state, 3), *back;
        char *text =
            json_dumps(v, JSON_ENCODE_ANY | (i % 2 ? JSON_ENSURE_ASCII : 0) | (i % 3 ? JSON_COMPACT : JSON_INDENT(2)));
        slu_buf_clear(&cbor);
        slu_buf_clear(&json);
        cr_assert(eq(int, slu_transcode_json_to_cbor(slu_str(text), &cbor), SLU_OK), "%s", text);
        cr_assert(slu_cbor_is_item(slu_buf_bytes(&cbor), NULL));
        cr_assert(eq(int, slu_transcode_cbor_to_json(slu_buf_bytes(&cbor), &json), SLU_OK), "%s", text);
        back = json_loadb((char *)json.data, json.len, JSON_DECODE_ANY, NULL);
        cr_assert(ne(ptr, back, NULL));
        /* whole doubles print without a point, so compare everything as real */
        char *a = json_dumps(v, JSON_ENCODE_ANY | JSON_SORT_KEYS),
             *b = json_dumps(back, JSON_ENCODE_ANY | JSON_SORT_KEYS);
        json_t *ra = json_loads(a, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
        json_t *rb = json_loads(b, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
        cr_assert(json_equal(ra, rb), "%s\n%s", a, b);
        json_decref(ra);
        json_decref(rb);
        json_decref(v);
        json_decref(back);
        free(a);
        free(b);
        free(text);
    }
    slu_buf_fini(&cbor);
    slu_buf_fini(&json);
}

Test(transcode, output_beyond_the_bound_is_refused)
{
    struct slu_buf out;
    uint8_t big[64] = { 0x58, 62 };

    for (size_t max = 1; max < 40; max++) {
        slu_buf_init(&out, max);
        cr_assert(eq(
            int, slu_transcode_json_to_cbor(SLU_LIT("{\"a\":[1,2,\"\\n0123456789abcdefghijklmnop\"],\"b\":1.1}"), &out),
            SLU_ETOO_LARGE));
        slu_buf_fini(&out);
        slu_buf_init(&out, max);
        cr_assert(eq(int, slu_transcode_cbor_to_json(slu_bytes(big, sizeof(big)), &out), SLU_ETOO_LARGE));
        cr_assert(le(sz, out.len, max));
        slu_buf_fini(&out);
    }
}

Test(transcode, wide_containers_get_long_heads_at_every_level)
{
    struct slu_buf json, cbor, back;

    slu_buf_init(&json, 0);
    slu_buf_init(&cbor, 0);
    slu_buf_init(&back, 0);
    slu_buf_add_byte(&json, '[');
    for (int i = 0; i < 300; i++) {
        slu_buf_add_str(&json, i ? ",[" : "[");
        for (int k = 0; k < 30; k++)
            slu_buf_addf(&json, "%s%d", k ? "," : "", k);
        slu_buf_add_byte(&json, ']');
    }
    slu_buf_add_byte(&json, ']');
    cr_assert(eq(int, slu_transcode_json_to_cbor(slu_buf_bytes(&json), &cbor), SLU_OK));
    cr_assert(eq(int, cbor.data[0], 0x99));
    cr_assert(eq(int, slu_transcode_cbor_to_json(slu_buf_bytes(&cbor), &back), SLU_OK));
    cr_assert(slu_bytes_eq(slu_buf_bytes(&json), slu_buf_bytes(&back)));
    slu_buf_fini(&json);
    slu_buf_fini(&cbor);
    slu_buf_fini(&back);
}

Test(transcode, the_deepest_items_are_taken)
{
    uint8_t item[SLU_CBOR_DEPTH + 1];
    static const uint8_t inner[] = { 0x80, 0xa0, 0x00 };
    struct slu_buf out;

    slu_buf_init(&out, 0);
    for (size_t i = 0; i < sizeof(inner); i++) {
        memset(item, i == 1 ? 0xc4 : 0x81, SLU_CBOR_DEPTH);
        item[SLU_CBOR_DEPTH] = inner[i];
        slu_buf_clear(&out);
        cr_assert(eq(int, slu_transcode_cbor_to_json(slu_bytes(item, sizeof(item)), &out), SLU_OK));
    }
    slu_buf_fini(&out);
}
