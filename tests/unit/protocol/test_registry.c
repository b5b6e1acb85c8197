/* Choosing an adapter, queries of addresses, epochs as text. */
#include "protocol/adapter.h"
#include "protocol/position.h"
#include "protocol/query.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

Test(registry, adapters_are_found_by_subprotocol_and_path)
{
    cr_assert(eq(ptr, (void *)slu_adapter_by_subprotocol(SLU_LIT("sluice.v1.json"), false),
                 (void *)&slu_adapter_native_json));
    cr_assert(eq(ptr, (void *)slu_adapter_by_subprotocol(SLU_LIT("sluice.v1.cbor"), false),
                 (void *)&slu_adapter_native_cbor));
    cr_assert(eq(ptr, (void *)slu_adapter_by_subprotocol(SLU_LIT("sluice.echo"), false), NULL));
    cr_assert(eq(ptr, (void *)slu_adapter_by_subprotocol(SLU_LIT("sluice.echo"), true), (void *)&slu_adapter_echo));
    cr_assert(eq(ptr, (void *)slu_adapter_by_subprotocol(SLU_LIT("sluice.v1"), true), NULL));
    cr_assert(eq(ptr, (void *)slu_adapter_by_path(SLU_LIT("/ws")), (void *)&slu_adapter_native_json));
    cr_assert(eq(ptr, (void *)slu_adapter_by_path(SLU_LIT("/")), (void *)&slu_adapter_native_json));
    cr_assert(eq(ptr, (void *)slu_adapter_by_path(SLU_LIT("/wsx")), NULL));
}

Test(registry, wires_are_distinct_and_fit)
{
    unsigned seen = 0;

    for (const struct slu_adapter *const *a = slu_adapters; *a; a++) {
        cr_assert(lt(uint, (*a)->wire, SLU_WIRES));
        cr_assert(eq(uint, seen & 1u << (*a)->wire, 0));
        seen |= 1u << (*a)->wire;
    }
}

Test(query, pairs_are_cut_and_decoded)
{
    struct slu_bytes rest = SLU_LIT("sub=sensors/%23&&ticket=a%2Bb&flag&sub=a+b/%C3%A9&x=%4&y=%zz"), name, value;
    static const char *const want[][2] = { { "sub", "sensors/#" },    { "ticket", "a+b" }, { "flag", "" },
                                           { "sub", "a+b/\xc3\xa9" }, { "x", NULL },       { "y", NULL } };
    struct slu_buf b;
    size_t n = 0;

    slu_buf_init(&b, 0);
    while (slu_query_next(&rest, &name, &value)) {
        slu_buf_clear(&b);
        cr_assert(slu_bytes_eq(name, slu_str(want[n][0])));
        cr_assert(eq(int, slu_query_decode(value, &b), want[n][1] != NULL));
        cr_assert(want[n][1] == NULL || slu_bytes_eq(slu_buf_bytes(&b), slu_str(want[n][1])));
        n++;
    }
    cr_assert(eq(sz, n, 6));
    rest = (struct slu_bytes){ NULL, 0 };
    cr_assert(not(slu_query_next(&rest, &name, &value)));
    slu_buf_fini(&b);
}

Test(position, epochs_survive_as_text_and_other_text_names_no_epoch)
{
    static const uint64_t epochs[] = { 0, 1, 35, 36, 723, 1763670000000, UINT64_MAX - 1, UINT64_MAX };
    static const char *const other[] = {
        "", "K3", "k-3", "01", "zzzzzzzzzzzzz", "3w5e11264sgsg", "aaaaaaaaaaaaaaaaaaaa"
    };
    char text[SLU_EPOCH_TEXT];

    for (size_t i = 0; i < sizeof(epochs) / sizeof(epochs[0]); i++)
        cr_assert(eq(u64, slu_epoch_parse(slu_bytes(text, slu_epoch_print(epochs[i], text))), epochs[i]));
    cr_assert(eq(sz, slu_epoch_print(723, text), 2));
    cr_assert(eq(str, text, "k3"));
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
        cr_assert(eq(u64, slu_epoch_parse(slu_str(other[i])), UINT64_MAX), "%s", other[i]);
}
