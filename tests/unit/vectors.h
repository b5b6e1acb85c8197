/* Reads a vector file of tests/vectors for the unit tests. */
#pragma once

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* name is relative to tests/vectors; json_decref the result. */
static inline json_t *load_vectors(const char *name)
{
    char path[4096];
    json_error_t error;
    const char *file = __FILE__, *slash = strrchr(file, '/');

    snprintf(path, sizeof(path), "%.*s/../vectors/%s", (int)(slash - file), file, name);
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, &error);
    cr_assert_not_null(root, "%s:%d: %s", path, error.line, error.text);
    return root;
}

static inline unsigned hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

/* Bytes of a hex string; returns their number. */
static inline size_t from_hex(const char *hex, unsigned char *out, size_t room)
{
    size_t n = strlen(hex) / 2;

    cr_assert(n <= room);
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)(hex_value(hex[2 * i]) << 4 | hex_value(hex[2 * i + 1]));
    return n;
}

/* A reproducible random number: xorshift. */
static inline unsigned long next_random(unsigned long *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}
