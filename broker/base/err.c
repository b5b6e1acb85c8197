/* Expands the two tables of errors and close codes into rows; a lookup never fails. */
#include "broker/base/err.h"

#include <stddef.h>

static const struct slu_err_info errors[SLU_ERR_COUNT] = {
    [SLU_OK] = { "ok", 200, false, "done", "" },
#define SLU_ERROR(name, code, status, retry, message, hint) [SLU_E##name] = { code, status, retry, message, hint },
#include "protocol/errors.def"
};

static const struct slu_close_info closes[] = {
#define SLU_CLOSE(name, number, word, reason, retry) { SLU_CLOSE_##name, word, reason, SLU_RETRY_##retry },
#include "protocol/closes.def"
};

#define SLU_CLOSE(name, number, word, reason, retry) \
    _Static_assert(sizeof(reason) - 1 <= 123, "a close reason has at most 123 bytes: " #name);
#include "protocol/closes.def"

const struct slu_err_info *slu_err_info(enum slu_err e)
{
    return (unsigned)e < SLU_ERR_COUNT ? &errors[e] : &errors[SLU_EINTERNAL];
}

const struct slu_close_info *slu_close_info(enum slu_close c)
{
    const struct slu_close_info *internal = NULL;
    for (size_t i = 0; i < sizeof(closes) / sizeof(closes[0]); i++) {
        if (closes[i].code == c)
            return &closes[i];
        if (closes[i].code == SLU_CLOSE_INTERNAL)
            internal = &closes[i];
    }
    return internal;
}
