/* Any bytes as the query of a URL: pairs lie inside the input, what is decoded is never longer than what was encoded. */
#include "broker/base/buf.h"
#include "protocol/query.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slu_bytes rest = slu_bytes(data, size), name, value;
    struct slu_buf out;
    slu_buf_init(&out, 0);
    while (slu_query_next(&rest, &name, &value)) {
        slu_buf_clear(&out);
        if (value.len && (value.data < data || value.data + value.len > data + size))
            abort();
        if (slu_query_decode(value, &out) && out.len > value.len)
            abort();
    }
    slu_buf_fini(&out);
    return 0;
}
