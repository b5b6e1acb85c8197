/* Any bytes as a cursor; what is read must come out the same when it is written and read again. */
#include "broker/core/cursor.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slu_cursor_place places[4] = { { 0, 0 } }, again[4] = { { 0, 0 } };
    bool fits;
    if (!slu_cursor_read(slu_bytes(data, size), places, 4, &fits) || !fits)
        return 0;
    struct slu_buf text;
    slu_buf_init(&text, 0);
    slu_cursor_write(&text, places, 4);
    if (!slu_cursor_read(slu_buf_bytes(&text), again, 4, &fits) || !fits || memcmp(places, again, sizeof(places)) != 0)
        abort();
    slu_buf_fini(&text);
    return 0;
}
