/* Content filters: what they match, on JSON and CBOR alike, and what does not compile. */
#include "broker/base/transcode.h"
#include "protocol/payload_filter.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static const char payload[] = "{\"px\":101.5,\"sym\":\"AB\\u0043\",\"live\":true,\"none\":null,\"deep\":{\"px\":1},"
                              "\"n\":5,\"twice\":1,\"twice\":2}";

static bool match(const char *filter, const struct slu_msg *m)
{
    struct slu_content_filter *f = NULL;
    const char *why = NULL;
    bool result;

    cr_assert(eq(int, slu_payload_filter_new(slu_str(filter), &f, &why), SLU_OK), "%s: %s", filter, why);
    result = f->matches(f, m);
    f->free(f);
    return result;
}

static struct slu_msg *sample(struct slu_account *a, struct slu_bytes data, enum slu_kind kind, enum slu_form form)
{
    struct slu_buf headers;
    struct slu_msg_spec spec = { .topic = SLU_LIT("a"), .payload = data, .kind = kind, .form = form };
    struct slu_msg *m;

    slu_buf_init(&headers, 0);
    slu_headers_add(&headers, SLU_LIT("region"), SLU_LIT("eu"));
    slu_headers_add(&headers, SLU_LIT("a.b"), SLU_LIT("5"));
    spec.headers = slu_buf_bytes(&headers);
    m = slu_msg_new(a, &spec);
    slu_buf_fini(&headers);
    return m;
}

static const struct {
    const char *filter;
    bool matches;
} rows[] = {
    { "{\"headers.region\":\"eu\"}", true },
    { "{\"headers.region\":\"us\"}", false },
    { "{\"headers.region\":{\"ne\":\"us\"}}", true },
    { "{\"headers.other\":{\"ne\":\"us\"}}", false },
    { "{\"headers.a.b\":\"5\"}", true },
    { "{\"headers.a.b\":5}", false },
    { "{\"headers.region\":{\"exists\":true}}", true },
    { "{\"headers.other\":{\"exists\":true}}", false },
    { "{\"headers.other\":{\"exists\":false}}", true },
    { "{\"headers.region\":{\"in\":[\"us\",\"eu\"]}}", true },
    { "{\"headers.region\":{\"in\":[\"us\",1]}}", false },
    { "{\"headers.region\":{\"gt\":\"eb\",\"lt\":\"ev\"}}", true },
    { "{\"data.px\":{\"gt\":100}}", true },
    { "{\"data.px\":{\"gt\":101.5}}", false },
    { "{\"data.px\":{\"ge\":101.50}}", true },
    { "{\"data.px\":{\"le\":1015e-1}}", true },
    { "{\"data.px\":{\"lt\":101.5}}", false },
    { "{\"data.px\":{\"gt\":100,\"lt\":101}}", false },
    { "{\"data.px\":{\"gt\":\"100\"}}", false },
    { "{\"data.px\":{\"ne\":\"x\"}}", false },
    { "{\"data.px\":{\"ne\":7}}", true },
    { "{\"data.sym\":\"ABC\"}", true },
    { "{\"data.sy\\u006d\":\"\\u0041BC\"}", true },
    { "{\"data.sym\":{\"lt\":\"ABCD\"}}", true },
    { "{\"data.live\":true}", true },
    { "{\"data.live\":{\"ne\":false}}", true },
    { "{\"data.live\":1}", false },
    { "{\"data.none\":null}", true },
    { "{\"data.none\":{\"ne\":null}}", false },
    { "{\"data.missing\":null}", false },
    { "{\"data.missing\":{\"exists\":false}}", true },
    { "{\"data.deep\":{\"exists\":true}}", true },
    { "{\"data.deep\":{\"ne\":1}}", false },
    { "{\"data.n\":{\"in\":[1,\"5\",5]}}", true },
    { "{\"data.twice\":2}", true },
    { "{\"headers.region\":\"eu\",\"data.px\":{\"gt\":100},\"data.sym\":\"ABC\"}", true },
    { "{\"headers.region\":\"eu\",\"data.px\":{\"gt\":200}}", false },
};

Test(payload_filter, compares_fields_of_json_and_cbor_alike)
{
    struct slu_account account = { .budget = 1 << 20 };
    struct slu_buf cbor;

    slu_buf_init(&cbor, 0);
    cr_assert(eq(int, slu_transcode_json_to_cbor(slu_str(payload), &cbor), SLU_OK));
    struct slu_msg *forms[] = {
        sample(&account, slu_str(payload), SLU_KIND_JSON, SLU_FORM_JSON),
        sample(&account, slu_buf_bytes(&cbor), SLU_KIND_JSON, SLU_FORM_CBOR),
        sample(&account, slu_str(payload), SLU_KIND_UNTYPED, SLU_FORM_RAW),
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (size_t k = 0; k < 3; k++)
            cr_assert(eq(int, match(rows[i].filter, forms[k]), rows[i].matches), "%s form %zu", rows[i].filter, k);
    for (size_t k = 0; k < 3; k++)
        slu_msg_unref(forms[k]);
    slu_buf_fini(&cbor);
}

Test(payload_filter, payloads_without_fields_have_none)
{
    struct slu_account account = { .budget = 1 << 20 };
    struct slu_msg *forms[] = {
        sample(&account, SLU_LIT("[{\"px\":500}]"), SLU_KIND_JSON, SLU_FORM_JSON),
        sample(&account, SLU_LIT("\"{}\""), SLU_KIND_TEXT, SLU_FORM_JSON),
        sample(&account, SLU_LIT("{\"px\":500}"), SLU_KIND_TEXT, SLU_FORM_RAW),
        sample(&account, SLU_LIT("{\"px\":500}"), SLU_KIND_BINARY, SLU_FORM_RAW),
        sample(&account, SLU_LIT("{\"px\":500"), SLU_KIND_UNTYPED, SLU_FORM_RAW),
        sample(&account, SLU_LIT("\x01"), SLU_KIND_JSON, SLU_FORM_CBOR),
        sample(&account, SLU_LIT(""), SLU_KIND_BINARY, SLU_FORM_RAW),
    };

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        cr_assert(not(match("{\"data.px\":{\"gt\":100}}", forms[i])), "form %zu", i);
        cr_assert(match("{\"data.px\":{\"exists\":false}}", forms[i]), "form %zu", i);
        slu_msg_unref(forms[i]);
    }
}

Test(payload_filter, mistakes_are_named)
{
    static const char *const broken[] = {
        "{}",
        "[]",
        "",
        "{\"region\":\"eu\"}",
        "{\"headers.\":\"eu\"}",
        "{\"data.\":1}",
        "{\"data\":1}",
        "{\"data.a\":[1]}",
        "{\"data.a\":{}}",
        "{\"data.a\":{\"like\":\"x\"}}",
        "{\"data.a\":{\"gt\":true}}",
        "{\"data.a\":{\"lt\":null}}",
        "{\"data.a\":{\"eq\":{\"b\":1}}}",
        "{\"data.a\":{\"in\":5}}",
        "{\"data.a\":{\"in\":[]}}",
        "{\"data.a\":{\"in\":[[1]]}}",
        "{\"data.a\":{\"exists\":1}}",
        "{\"data.a\":{\"gt\":1,\"gt\":2}}",
        "{\"data.a\":1,\"data.a\":2}",
        "{\"data.a\":1e999}",
    };
    struct slu_content_filter *f = NULL;
    const char *why;

    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        cr_assert(eq(int, slu_payload_filter_new(slu_str(broken[i]), &f, &why), SLU_EBAD_FILTER), "%s", broken[i]);
        cr_assert(ne(ptr, (void *)why, NULL));
    }
    cr_assert(eq(ptr, f, NULL));
}

Test(payload_filter, size_is_bounded)
{
    struct slu_content_filter *f = NULL;
    struct slu_buf b;
    const char *why;

    slu_buf_init(&b, 0);
    for (int n = 32; n <= 33; n++) {
        slu_buf_clear(&b);
        for (int i = 0; i < n; i++)
            slu_buf_addf(&b, "%c\"data.f%d\":%d", i ? ',' : '{', i, i);
        slu_buf_add_byte(&b, '}');
        cr_assert(eq(int, slu_payload_filter_new(slu_buf_bytes(&b), &f, &why), n == 32 ? SLU_OK : SLU_EBAD_FILTER));
        if (n == 32)
            f->free(f);
    }
    for (int n = SLU_FILTER_IN_VALUES; n <= SLU_FILTER_IN_VALUES + 1; n++) {
        slu_buf_clear(&b);
        slu_buf_add_str(&b, "{\"data.a\":{\"in\":[");
        for (int i = 0; i < n; i++)
            slu_buf_addf(&b, "%s\"v%d\"", i ? "," : "", i);
        slu_buf_add_str(&b, "]}}");
        cr_assert(eq(int, slu_payload_filter_new(slu_buf_bytes(&b), &f, &why),
                     n == SLU_FILTER_IN_VALUES ? SLU_OK : SLU_EBAD_FILTER));
        if (n == SLU_FILTER_IN_VALUES)
            f->free(f);
    }
    slu_buf_fini(&b);
}
