/* A borrowed run of bytes: never owns, never ends in NUL by promise. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slu_bytes {
    const uint8_t *data;
    size_t len;
};

#define SLU_LIT(s) ((struct slu_bytes){ (const uint8_t *)("" s), sizeof(s) - 1 })

static inline struct slu_bytes slu_bytes(const void *data, size_t len)
{
    return (struct slu_bytes){ data, len };
}

static inline struct slu_bytes slu_str(const char *s)
{
    return (struct slu_bytes){ (const uint8_t *)s, s ? strlen(s) : 0 };
}

static inline bool slu_bytes_eq(struct slu_bytes a, struct slu_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool slu_bytes_starts(struct slu_bytes a, struct slu_bytes prefix)
{
    return a.len >= prefix.len && (prefix.len == 0 || memcmp(a.data, prefix.data, prefix.len) == 0);
}
