/* Any bytes as a line of an export; what is read must come out the same when it is written and read again. */
#include "storage/sqlite/line.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sql_line line, again;
    struct slu_buf scratch, more, why, text, second;
    slu_buf_init(&scratch, 0);
    slu_buf_init(&more, 0);
    slu_buf_init(&why, 0);
    slu_buf_init(&text, 0);
    slu_buf_init(&second, 0);
    if (sql_line_read(slu_bytes(data, size), &scratch, &line, &why)) {
        if (!sql_line_write(&text, &line) || !sql_line_read(slu_bytes(text.data, text.len - 1), &more, &again, &why) ||
            !sql_line_write(&second, &again) || !slu_bytes_eq(slu_buf_bytes(&text), slu_buf_bytes(&second)))
            abort();
        if (!slu_bytes_eq(line.payload, again.payload) || !slu_bytes_eq(line.headers, again.headers) ||
            !slu_bytes_eq(line.key, again.key) || line.has != again.has)
            abort();
    } else if (why.len == 0) {
        abort(); /* no reason */
    }
    slu_buf_fini(&scratch);
    slu_buf_fini(&more);
    slu_buf_fini(&why);
    slu_buf_fini(&text);
    slu_buf_fini(&second);
    return 0;
}
