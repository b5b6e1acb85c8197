/* Any bytes as a configuration file. What loads must print, and what is printed must load as the same. */
#include "broker/config/config.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slu_config *load(const void *text, size_t len, bool dev)
{
    static const char nothing[] = "";
    struct slu_config_sources src = {
        .file = "fuzz.yaml",
        .text = len ? text : nothing,
        .text_len = len,
        .dev = dev,
        .has_disk = true,
        .has_redis = false,
        .has_rule_users = true,
    };
    struct slu_config *c = NULL;
    struct slu_buf error;
    slu_buf_init(&error, 1 << 20);
    bool ok = slu_config_load(&src, &c, &error);
    if (ok != (error.len == 0))
        abort();
    slu_buf_fini(&error);
    return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool dev = size > 0 && data[0] % 2 == 0;
    struct slu_config *c = load(data, size, dev);
    if (!c)
        return 0;
    struct slu_buf text, diff;
    slu_buf_init(&text, 0);
    slu_buf_init(&diff, 0);
    slu_config_print(c, &text);
    /* the printed form can be longer than a file may be */
    struct slu_config *again = text.len <= 1 << 20 ? load(text.data, text.len, dev) : NULL;
    if (text.len <= 1 << 20 && (!again || slu_config_diff(c, again, true, &diff).changed != 0))
        abort();
    slu_buf_fini(&text);
    slu_buf_fini(&diff);
    slu_config_free(again);
    slu_config_free(c);
    return 0;
}
