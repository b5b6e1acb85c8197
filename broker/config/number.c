/* Numbers with units, for options. Each parser takes the whole text or nothing. */
#include "broker/config/number.h"

#include <ctype.h>
#include <strings.h>

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit sizes[] = {
    { "B", 1 },
    { "kB", 1000 },
    { "KB", 1000 },
    { "KiB", UINT64_C(1) << 10 },
    { "MB", UINT64_C(1000000) },
    { "MiB", UINT64_C(1) << 20 },
    { "GB", UINT64_C(1000000000) },
    { "GiB", UINT64_C(1) << 30 },
    { "TB", UINT64_C(1000000000000) },
    { "TiB", UINT64_C(1) << 40 },
};

static const struct unit times[] = {
    { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
};

/* Takes digits from the front of *text. */
static bool take_number(struct slu_bytes *text, uint64_t *out)
{
    size_t i = 0;
    uint64_t v = 0;
    for (; i < text->len && isdigit(text->data[i]); i++)
        if (__builtin_mul_overflow(v, UINT64_C(10), &v) ||
            __builtin_add_overflow(v, (uint64_t)(text->data[i] - '0'), &v))
            return false;
    if (i == 0)
        return false;
    *text = slu_bytes(text->data + i, text->len - i);
    *out = v;
    return true;
}

/* Takes the letters at the front of *text; NULL when they are no unit. */
static const struct unit *take_unit(struct slu_bytes *text, const struct unit *units, size_t n)
{
    size_t len = 0;
    while (len < text->len && isalpha(text->data[len]))
        len++;
    for (size_t i = 0; i < n; i++) {
        if (!slu_bytes_eq(slu_str(units[i].name), slu_bytes(text->data, len)))
            continue;
        *text = slu_bytes(text->data + len, text->len - len);
        return &units[i];
    }
    return NULL;
}

bool slu_parse_int(struct slu_bytes text, uint64_t *out)
{
    uint64_t v;
    if (!take_number(&text, &v) || text.len > 0)
        return false;
    *out = v;
    return true;
}

bool slu_parse_size(struct slu_bytes text, uint64_t *out)
{
    uint64_t v;
    if (!take_number(&text, &v))
        return false;
    if (text.len > 1 && text.data[0] == ' ')
        text = slu_bytes(text.data + 1, text.len - 1);
    if (text.len > 0) {
        const struct unit *u = take_unit(&text, sizes, sizeof(sizes) / sizeof(*sizes));
        if (!u || text.len > 0 || __builtin_mul_overflow(v, u->factor, &v))
            return false;
    }
    *out = v;
    return true;
}

bool slu_parse_duration(struct slu_bytes text, uint64_t *ms)
{
    uint64_t sum = 0;
    if (slu_bytes_eq(text, SLU_LIT("0"))) {
        *ms = 0;
        return true;
    }
    do {
        uint64_t v;
        if (!take_number(&text, &v))
            return false;
        const struct unit *u = take_unit(&text, times, sizeof(times) / sizeof(*times));
        if (!u || __builtin_mul_overflow(v, u->factor, &v) || __builtin_add_overflow(sum, v, &sum))
            return false;
    } while (text.len > 0);
    *ms = sum;
    return true;
}

bool slu_parse_rate(struct slu_bytes text, uint64_t *per_second)
{
    uint64_t v, seconds = 1;
    if (!take_number(&text, &v))
        return false;
    if (text.len > 0) {
        if (text.data[0] != '/')
            return false;
        text = slu_bytes(text.data + 1, text.len - 1);
        const struct unit *u = take_unit(&text, times, sizeof(times) / sizeof(*times));
        if (!u || text.len > 0 || u->factor < 1000)
            return false;
        seconds = u->factor / 1000;
    }
    if (v % seconds != 0)
        return false;
    *per_second = v / seconds;
    return true;
}

bool slu_parse_bool(struct slu_bytes text, bool *out)
{
    static const char *const words[2][3] = { { "false", "no", "off" }, { "true", "yes", "on" } };
    for (int value = 0; value < 2; value++) {
        for (size_t i = 0; i < 3; i++) {
            const char *w = words[value][i];
            if (text.len != strlen(w) || strncasecmp((const char *)text.data, w, text.len) != 0)
                continue;
            *out = value == 1;
            return true;
        }
    }
    return false;
}
