/* Any bytes into the CBOR scanner and readers; a map's members must lie inside the input and be items themselves. */
#include "broker/base/cbor.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_item(struct slu_bytes item)
{
    struct slu_buf b;
    struct slu_bytes text;
    uint64_t u;
    int64_t i;
    double d;
    bool flag;

    slu_buf_init(&b, 1 << 20);
    slu_cbor_u64(item, &u);
    slu_cbor_i64(item, &i);
    slu_cbor_double(item, &d);
    slu_cbor_bool(item, &flag);
    slu_cbor_text(item, &b, &text);
    slu_cbor_bytes(item, &b, &text);
    slu_buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slu_cbor_member members[32], m;
    struct slu_cbor_iter it;
    struct slu_bytes in = slu_bytes(data, size), item;
    size_t n;

    use_item(in); /* unvalidated on purpose */
    if (slu_cbor_iter_init(&it, in))
        while (slu_cbor_next_member(&it, &m))
            use_item(m.value);
    if (slu_cbor_iter_init(&it, in))
        while (slu_cbor_next(&it, &item))
            use_item(item);
    if (slu_cbor_scan_map(in, members, 32, &n, NULL)) {
        for (size_t i = 0; i < n; i++)
            if (!slu_cbor_is_item(members[i].value, NULL) || !slu_cbor_is_item(members[i].key, NULL))
                abort();
    }
    if (slu_cbor_scan(in, &n, NULL) && n > size)
        abort();
    return 0;
}
