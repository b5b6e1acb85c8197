/* RFC 4648's vectors, strictness, and round trips. */
#include "broker/base/base64.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>

static const struct {
    const char *bytes, *text;
} vectors[] = {
    { "", "" },
    { "f", "Zg==" },
    { "fo", "Zm8=" },
    { "foo", "Zm9v" },
    { "foob", "Zm9vYg==" },
    { "fooba", "Zm9vYmE=" },
    { "foobar", "Zm9vYmFy" },
};

Test(base64, vectors_of_rfc_4648)
{
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct slu_bytes bytes = slu_str(vectors[i].bytes), text = slu_str(vectors[i].text);
        char out[16];
        uint8_t back[16];
        size_t n = 99;
        cr_assert(eq(sz, slu_base64_encoded_size(bytes.len), text.len));
        slu_base64_encode(out, bytes);
        cr_assert(slu_bytes_eq(slu_bytes(out, text.len), text));
        cr_assert(slu_base64_decoded_size(text, &n));
        cr_assert(eq(sz, n, bytes.len));
        cr_assert(slu_base64_decode(back, text));
        cr_assert(slu_bytes_eq(slu_bytes(back, n), bytes));
    }
}

Test(base64, anything_but_the_one_text_is_refused)
{
    static const char *const bad[] = {
        "Z",     "Zg",       "Zg=",  "Z===", "====", "=",        "Zh==",     "Zm9=",    "Zm9v\n",    "Zm 9",
        "Zm9v=", "Zm9vZg=a", "Zg=v", "Z=g=", "-_-_", "Zg==Zg==", "Zm9v====", "Zm9\xff", "Zm9v Zm9v",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t out[16];
        size_t n;
        struct slu_bytes text = slu_str(bad[i]);
        cr_expect(not(slu_base64_decoded_size(text, &n) && slu_base64_decode(out, text)), "%s", bad[i]);
    }
    uint8_t out[3];
    cr_assert(not(slu_base64_decode(out, SLU_LIT("Zm\0v"))));
}

Test(base64, every_length_and_byte_survives_also_in_place)
{
    srand(3);
    for (size_t len = 0; len < 300; len++) {
        uint8_t bytes[300], back[400];
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)rand();
        size_t size = slu_base64_encoded_size(len), n;
        slu_base64_encode((char *)back, slu_bytes(bytes, len));
        cr_assert(slu_base64_decoded_size(slu_bytes(back, size), &n));
        cr_assert(slu_base64_decode(back, slu_bytes(back, size)));
        cr_assert(slu_bytes_eq(slu_bytes(back, n), slu_bytes(bytes, len)));
    }
}
