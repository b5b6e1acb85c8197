/* Reads the forms of --from. */
#include "clients/cli/start.h"

#include "clients/cli/flags.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { YEAR_2001_S = 1000000000 };

static bool parse_since(const char *text, int64_t *ms)
{
    static const char *const forms[] = { "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d" };
    struct timespec now;
    uint64_t number;
    double ago_s;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct tm tm = { 0 };
        const char *end = strptime(text, forms[i], &tm);
        if (end && !*end) {
            *ms = (int64_t)timegm(&tm) * 1000;
            return true;
        }
    }
    /* A plain number that large is a time of day, not a duration. */
    if (slu_cli_parse_u64(text, &number) && number > YEAR_2001_S) {
        *ms = (int64_t)(number > (uint64_t)YEAR_2001_S * 1000 ? number : number * 1000);
        return number < INT64_MAX / 1000;
    }
    if (!slu_cli_parse_seconds(text, &ago_s) || ago_s > 1e10)
        return false;
    clock_gettime(CLOCK_REALTIME, &now);
    *ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - (int64_t)(ago_s * 1000);
    return true;
}

static bool parse_position(const char *text, struct cli_start *out)
{
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text || !slu_cli_parse_u64(colon + 1, &out->offset))
        return false;
    out->from = SLUICE_FROM_OFFSET;
    out->epoch = strndup(text, (size_t)(colon - text));
    return out->epoch != NULL;
}

bool slu_cli_start_parse(const char *text, struct cli_start *out)
{
    static const struct {
        const char *name;
        enum sluice_from from;
    } words[] = { { "new", SLUICE_FROM_NEW }, { "latest", SLUICE_FROM_LATEST }, { "first", SLUICE_FROM_FIRST } };
    uint64_t n;
    *out = (struct cli_start){ .from = SLUICE_FROM_NEW };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(text, words[i].name) == 0) {
            out->from = words[i].from;
            return true;
        }
    }
    if (strncmp(text, "last:", 5) == 0) {
        bool ok = slu_cli_parse_u64(text + 5, &n) && n > 0 && n <= UINT32_MAX;
        out->from = SLUICE_FROM_LAST;
        out->n = ok ? (uint32_t)n : 0;
        return ok;
    }
    if (strncmp(text, "since:", 6) == 0) {
        out->from = SLUICE_FROM_SINCE;
        return parse_since(text + 6, &out->time_ms);
    }
    if (strncmp(text, "cur:", 4) == 0) {
        out->from = SLUICE_FROM_CURSOR;
        out->cursor = strdup(text + 4);
        return text[4] && out->cursor;
    }
    return parse_position(text, out);
}
