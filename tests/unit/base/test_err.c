/* The tables of errors and close codes as the protocol states them. */
#include "broker/base/err.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

Test(err, rows_belong_to_their_codes)
{
    cr_assert(eq(str, (char *)slu_err_info(SLU_EBAD_TOPIC)->code, "bad_topic"));
    cr_assert(eq(int, slu_err_info(SLU_ETOPIC_FORBIDDEN)->status, 403));
    cr_assert(slu_err_info(SLU_ERATE_LIMITED)->retry);
    cr_assert(eq(str, (char *)slu_err_info(SLU_ENOMEM)->code, "unavailable"));
    cr_assert(eq(str, (char *)slu_err_info(SLU_OK)->code, "ok"));
}

Test(err, every_row_is_complete)
{
    for (int e = SLU_OK + 1; e < SLU_ERR_COUNT; e++) {
        const struct slu_err_info *i = slu_err_info((enum slu_err)e);
        cr_expect(i->code && i->message && i->hint && strlen(i->hint) > 0, "%d", e);
        cr_expect(i->status >= 400 && i->status < 600, "%d", e);
    }
}

Test(err, unknown_numbers_are_internal_errors)
{
    cr_assert(slu_err_info((enum slu_err)9999) == slu_err_info(SLU_EINTERNAL));
    cr_assert(slu_err_info((enum slu_err) - 1) == slu_err_info(SLU_EINTERNAL));
    cr_assert(slu_close_info((enum slu_close)1) == slu_close_info(SLU_CLOSE_INTERNAL));
}

Test(err, close_codes_say_what_the_client_should_do)
{
    static const enum slu_close all[] = {
#define SLU_CLOSE(name, number, word, reason, retry) SLU_CLOSE_##name,
#include "protocol/closes.def"
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const struct slu_close_info *c = slu_close_info(all[i]);
        cr_assert(eq(int, c->code, all[i]));
        if (all[i] < 4300)
            continue;
        enum slu_close_retry want = all[i] < 4400 ? SLU_RETRY_NOW : all[i] < 4500 ? SLU_RETRY_NEVER : SLU_RETRY_BACKOFF;
        cr_expect(c->retry == want, "%d", (int)all[i]);
    }
}
