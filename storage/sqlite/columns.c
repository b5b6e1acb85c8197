#include "storage/sqlite/columns.h"

#include <stdio.h>

enum column_kind { NUMBER, BOOL, BYTES, TOPIC_ID };

struct column {
    const char *name; /* NULL ends a table */
    enum column_kind kind;
    size_t at;
    unsigned has; /* 0: NOT NULL */
};

#define AT(member) offsetof(struct sql_line, member)
#define COLUMN(member)                 \
    {                                  \
#member, NUMBER, AT(member), 0 \
    }
#define COLUMN_IF(member, kind, has)   \
    {                                  \
#member, kind, AT(member), has \
    }
#define COLUMN_NAME(member)          \
    {                                \
        "name", BYTES, AT(member), 0 \
    }
#define COLUMN_TOPIC            \
    {                           \
        "topic", TOPIC_ID, 0, 0 \
    }
#define COLUMN_END         \
    {                      \
        NULL, NUMBER, 0, 0 \
    }

#define MESSAGE_COLUMNS                                                                                               \
    COLUMN(seq), COLUMN(offset), COLUMN(ts), COLUMN_IF(expires, NUMBER, SQL_HAS_EXPIRES), COLUMN(size), COLUMN(kind), \
        COLUMN(form), COLUMN(flags), COLUMN_IF(publisher, NUMBER, SQL_HAS_PUBLISHER),                                 \
        COLUMN_IF(key, BYTES, SQL_HAS_KEY), COLUMN_IF(reply, BYTES, SQL_HAS_REPLY),                                   \
        COLUMN_IF(headers, BYTES, SQL_HAS_HEADERS), COLUMN_IF(payload, BYTES, SQL_HAS_PAYLOAD), COLUMN_END

static const struct column topic_columns[] = {
    COLUMN_NAME(topic), COLUMN(epoch),     COLUMN(head),       COLUMN(first),
    COLUMN(bytes),      COLUMN(born_seq),  COLUMN(floor_seq),  COLUMN(trimmed_seq),
    COLUMN(max_count),  COLUMN(max_bytes), COLUMN(max_age_ms), { "last_value", BOOL, AT(last_value), 0 },
    COLUMN_END,
};
static const struct column message_columns[] = { COLUMN_TOPIC, COLUMN_IF(max_ts, NUMBER, SQL_HAS_MAX_TS),
                                                 MESSAGE_COLUMNS };
static const struct column retained_columns[] = { COLUMN_TOPIC, COLUMN(place), MESSAGE_COLUMNS };
static const struct column mirror_columns[] = { COLUMN_NAME(topic), MESSAGE_COLUMNS };
static const struct column state_columns[] = {
    { "key", BYTES, AT(key), 0 },           COLUMN(generation), COLUMN_IF(expires, NUMBER, SQL_HAS_EXPIRES),
    COLUMN_IF(value, BYTES, SQL_HAS_VALUE), COLUMN_END,
};
static const struct column gone_columns[] = { COLUMN(bucket), COLUMN(seq), COLUMN_END };
static const struct column rebirth_columns[] = { COLUMN(bucket), COLUMN(generation), COLUMN_END };

/* In the order of `key` an import writes them again, so the next export has the same order. */
static const struct {
    const char *name, *key;
    const struct column *columns;
} tables[SQL_LINE_TYPES] = {
    [SQL_LINE_TOPIC] = { "topic", "id", topic_columns },
    [SQL_LINE_MESSAGE] = { "message", "seq", message_columns },
    [SQL_LINE_RETAINED] = { "retained", "topic", retained_columns },
    [SQL_LINE_MIRROR] = { "mirror", "rowid", mirror_columns },
    [SQL_LINE_STATE] = { "state", NULL, state_columns },
    [SQL_LINE_GONE] = { "gone", "bucket", gone_columns },
    [SQL_LINE_REBIRTH] = { "rebirth", "bucket", rebirth_columns },
};

bool sql_columns_have_key(enum sql_line_type type)
{
    return tables[type].key != NULL;
}

static size_t add(char *out, size_t n, const char *a, const char *b)
{
    return n + (size_t)snprintf(out + n, SQL_COLUMNS_QUERY_MAX - n, "%s%s", a, b);
}

void sql_columns_query(enum sql_line_type type, char out[SQL_COLUMNS_QUERY_MAX])
{
    const char *key = tables[type].key;
    size_t n = add(out, 0, "SELECT ", key ? key : "0");
    for (const struct column *c = tables[type].columns; c->name; c++)
        n = add(out, n, ", ", c->name);
    n = add(out, n, " FROM ", tables[type].name);
    if (key) {
        n = add(out, n, " WHERE ", key);
        n = add(out, n, " > ?1 ORDER BY ", key);
    }
}

bool sql_columns_insert(enum sql_line_type type, char out[SQL_COLUMNS_QUERY_MAX])
{
    if (!tables[type].name)
        return false;
    size_t n = add(out, 0, "INSERT INTO ", tables[type].name);
    for (const struct column *c = tables[type].columns; c->name; c++)
        n = add(out, n, c == tables[type].columns ? " (" : ", ", c->name);
    for (const struct column *c = tables[type].columns; c->name; c++)
        n = add(out, n, c == tables[type].columns ? ") VALUES (" : ", ", "?");
    add(out, n, ")", "");
    return true;
}

static bool read_number(sqlite3_stmt *st, int at, uint64_t *out)
{
    sqlite3_int64 v = sqlite3_column_int64(st, at);
    *out = (uint64_t)v;
    return sqlite3_column_type(st, at) == SQLITE_INTEGER && v >= 0;
}

static bool read_bytes(sqlite3_stmt *st, int at, struct slu_bytes *out)
{
    int type = sqlite3_column_type(st, at);
    const void *data = sqlite3_column_blob(st, at);
    size_t n = (size_t)sqlite3_column_bytes(st, at);
    *out = slu_bytes(n ? data : "", n);
    return (type == SQLITE_BLOB || type == SQLITE_TEXT) && (data || n == 0);
}

static bool read_column(sqlite3_stmt *st, int at, const struct column *c, struct sql_line *out, int64_t *topic)
{
    char *into = (char *)out + c->at;
    uint64_t v;
    switch (c->kind) {
    case NUMBER:
        return read_number(st, at, (uint64_t *)(void *)into);
    case BOOL:
        if (!read_number(st, at, &v))
            return false;
        *(bool *)into = v != 0;
        return v <= 1;
    case BYTES:
        return read_bytes(st, at, (struct slu_bytes *)(void *)into);
    case TOPIC_ID:
        *topic = sqlite3_column_int64(st, at);
        return true;
    }
    return false;
}

bool sql_columns_read(sqlite3_stmt *st, enum sql_line_type type, struct sql_line *out, int64_t *topic)
{
    int at = 1;
    *out = (struct sql_line){ .type = type };
    for (const struct column *c = tables[type].columns; c->name; c++, at++) {
        if (c->has && sqlite3_column_type(st, at) == SQLITE_NULL)
            continue;
        if (!read_column(st, at, c, out, topic))
            return false;
        out->has |= c->has;
    }
    return true;
}

static void bind_column(sqlite3_stmt *st, int at, const struct column *c, const struct sql_line *l, int64_t topic)
{
    const char *from = (const char *)l + c->at;
    const struct slu_bytes *bytes = (const struct slu_bytes *)(const void *)from;
    switch (c->kind) {
    case NUMBER:
        sqlite3_bind_int64(st, at, (sqlite3_int64) * (const uint64_t *)(const void *)from);
        break;
    case BOOL:
        sqlite3_bind_int(st, at, *(const bool *)from);
        break;
    case BYTES: /* an empty one is not NULL */
        sqlite3_bind_blob64(st, at, bytes->len ? (const void *)bytes->data : "", bytes->len, SQLITE_STATIC);
        break;
    case TOPIC_ID:
        sqlite3_bind_int64(st, at, topic);
        break;
    }
}

void sql_columns_bind(sqlite3_stmt *st, const struct sql_line *l, int64_t topic)
{
    int at = 1;
    sqlite3_clear_bindings(st);
    for (const struct column *c = tables[l->type].columns; c->name; c++, at++) {
        if (!c->has || l->has & c->has)
            bind_column(st, at, c, l, topic);
    }
}
