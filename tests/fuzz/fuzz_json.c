/* Any bytes into the JSON scanner; what it accepts must walk, decode and compact without contradiction. */
#include "broker/base/json.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_value(const struct slu_json_value *v)
{
    struct slu_buf b;
    struct slu_bytes text;
    uint64_t u;
    int64_t i;
    double d;

    slu_buf_init(&b, 1 << 20);
    slu_json_u64(v, &u);
    slu_json_i64(v, &i);
    slu_json_double(v, &d);
    if (slu_json_string(v, &b, &text))
        assert(slu_json_string_is(v, text));
    slu_buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slu_json_member members[32];
    struct slu_json_value v, again;
    struct slu_json_member m;
    struct slu_json_iter it;
    struct slu_buf b;
    size_t n;
    struct slu_bytes in = slu_bytes(data, size);

    slu_json_iter_init(&it, in); /* unvalidated on purpose */
    while (slu_json_next_member(&it, &m))
        use_value(&m.value);
    if (slu_json_scan_object(in, members, 32, &n, NULL))
        for (size_t i = 0; i < n; i++)
            use_value(&members[i].value);
    if (!slu_json_scan(in, &v, NULL))
        return 0;
    use_value(&v);
    slu_json_iter_init(&it, v.raw);
    while (v.type == SLU_JSON_ARRAY && slu_json_next(&it, &again))
        use_value(&again);
    slu_buf_init(&b, 0);
    slu_json_compact(in, &b);
    if (!slu_json_scan(slu_buf_bytes(&b), &again, NULL) || again.type != v.type || b.len > size)
        abort();
    slu_buf_fini(&b);
    return 0;
}
