/* A payload published by any protocol, as JSON and CBOR readers get it. */
#include "protocol/payload.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

struct row {
    enum slu_kind kind;
    enum slu_form form;
    struct slu_bytes payload;
    const char *json; /* "64:" before it: travels as base64 */
    struct slu_bytes cbor, bytes;
};

#define L SLU_LIT

#undef L
#define L(s)                                \
    {                                       \
        (const uint8_t *)(s), sizeof(s) - 1 \
    }

static const struct row rows[] = {
    { SLU_KIND_JSON, SLU_FORM_JSON, L("{ \"a\":1.50}"), "{ \"a\":1.50}",
      L("\xa1\x61"
        "a\xf9\x3e\x00"),
      L("{ \"a\":1.50}") },
    { SLU_KIND_TEXT, SLU_FORM_JSON, L("\"\\u0041\""), "\"\\u0041\"",
      L("\x61"
        "A"),
      L("A") },
    { SLU_KIND_TEXT, SLU_FORM_JSON, L("\"\\ud800\""), "\"\\ud800\"", L("\x63\xef\xbf\xbd"), L("\xef\xbf\xbd") },
    { SLU_KIND_JSON, SLU_FORM_CBOR,
      L("\xa1\x61"
        "a\xf9\x3e\x00"),
      "{\"a\":1.5}",
      L("\xa1\x61"
        "a\xf9\x3e\x00"),
      L("{\"a\":1.5}") },
    { SLU_KIND_TEXT, SLU_FORM_CBOR,
      L("\x61"
        "A"),
      "\"A\"",
      L("\x61"
        "A"),
      L("A") },
    { SLU_KIND_TEXT, SLU_FORM_CBOR,
      L("\x7f\x61"
        "A\x61"
        "B\xff"),
      "\"AB\"",
      L("\x7f\x61"
        "A\x61"
        "B\xff"),
      L("AB") },
    { SLU_KIND_BINARY, SLU_FORM_RAW, L("\x00\xff"), "64:\"AP8=\"", L("\x42\x00\xff"), L("\x00\xff") },
    { SLU_KIND_BINARY, SLU_FORM_RAW, L(""), "64:\"\"", L("\x40"), L("") },
    { SLU_KIND_BINARY, SLU_FORM_RAW, L("{}"), "64:\"e30=\"", L("\x42{}"), L("{}") },
    { SLU_KIND_TEXT, SLU_FORM_RAW, L("a\"b"), "\"a\\\"b\"",
      L("\x63"
        "a\"b"),
      L("a\"b") },
    { SLU_KIND_TEXT, SLU_FORM_RAW, L("{}"), "\"{}\"", L("\x62{}"), L("{}") },
    { SLU_KIND_TEXT, SLU_FORM_RAW, L("\xff"), "64:\"/w==\"", L("\x41\xff"), L("\xff") },
    { SLU_KIND_JSON, SLU_FORM_RAW, L("21.5"), "21.5", L("\xf9\x4d\x60"), L("21.5") },
    { SLU_KIND_JSON, SLU_FORM_RAW, L("{broken"), "\"{broken\"", L("\x67{broken"), L("{broken") },
    { SLU_KIND_UNTYPED, SLU_FORM_RAW, L("21.5"), "\"21.5\"",
      L("\x64"
        "21.5"),
      L("21.5") },
    { SLU_KIND_UNTYPED, SLU_FORM_RAW, L("[1]"), "[1]", L("\x81\x01"), L("[1]") },
    { SLU_KIND_UNTYPED, SLU_FORM_RAW, L("[1"), "\"[1\"", L("\x62[1"), L("[1") },
    { SLU_KIND_UNTYPED, SLU_FORM_RAW, L("\xc3"), "64:\"ww==\"", L("\x41\xc3"), L("\xc3") },
    { SLU_KIND_UNTYPED, SLU_FORM_RAW, L(""), "\"\"", L("\x60"), L("") },
    /* what a damaged store might give back */
    { SLU_KIND_JSON, SLU_FORM_JSON, L("{\"op\":"), "64:\"eyJvcCI6\"", L("\x46{\"op\":"), L("{\"op\":") },
    { SLU_KIND_JSON, SLU_FORM_CBOR, L("\x82\x01"), "64:\"ggE=\"", L("\x42\x82\x01"), L("\x82\x01") },
    /* not to be said in JSON: a map as a key in a map as a key */
    { SLU_KIND_JSON, SLU_FORM_CBOR, L("\xa1\xa1\xa0\x01\x02"), "\"oaGgAQI=\"", L("\xa1\xa1\xa0\x01\x02"),
      L("\xa1\xa1\xa0\x01\x02") },
};
#undef L
#define L SLU_LIT

Test(payload, reaches_every_reader_in_its_own_form)
{
    struct slu_account account = { .budget = 1 << 20 };
    struct slu_buf out;

    slu_buf_init(&out, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slu_msg_spec spec = {
            .topic = L("a"), .payload = rows[i].payload, .kind = rows[i].kind, .form = rows[i].form
        };
        struct slu_msg *m = slu_msg_new(&account, &spec);
        enum slu_payload_shape shape = slu_payload_json_shape(m);
        bool as_bytes = strncmp(rows[i].json, "64:", 3) == 0;
        struct slu_bytes bytes;

        cr_assert(eq(int, shape, as_bytes ? SLU_PAYLOAD_BYTES : SLU_PAYLOAD_VALUE), "row %zu", i);
        slu_buf_clear(&out);
        slu_payload_add_json(&out, m, shape);
        cr_assert(slu_bytes_eq(slu_buf_bytes(&out), slu_str(rows[i].json + (as_bytes ? 3 : 0))), "row %zu: %.*s", i,
                  (int)out.len, (char *)out.data);
        slu_buf_clear(&out);
        slu_payload_add_cbor(&out, m);
        cr_assert(slu_bytes_eq(slu_buf_bytes(&out), rows[i].cbor), "row %zu", i);
        slu_buf_clear(&out);
        cr_assert(slu_payload_bytes(m, &out, &bytes) && slu_bytes_eq(bytes, rows[i].bytes), "row %zu", i);
        slu_msg_unref(m);
    }
    slu_buf_fini(&out);
    cr_assert(eq(sz, atomic_load(&account.used), 0));
}
