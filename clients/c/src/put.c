/* Writes the members of client frames. */
#include "clients/c/src/client.h"

void slu_put_name(struct slu_buf *b, const char *name)
{
    slu_buf_add(b, ",\"", 2);
    slu_buf_add_str(b, name);
    slu_buf_add(b, "\":", 2);
}

void slu_put_bytes_str(struct slu_buf *b, const char *name, struct slu_bytes value)
{
    slu_put_name(b, name);
    slu_json_add_string(b, value);
}

void slu_put_str(struct slu_buf *b, const char *name, const char *value)
{
    if (value)
        slu_put_bytes_str(b, name, slu_str(value));
}

void slu_put_u64(struct slu_buf *b, const char *name, uint64_t value)
{
    slu_put_name(b, name);
    slu_buf_add_u64(b, value);
}

void slu_put_json(struct slu_buf *b, const char *name, struct slu_bytes json)
{
    slu_put_name(b, name);
    slu_buf_add_bytes(b, json);
}

void slu_put_headers(struct slu_buf *b, const struct sluice_header *h, size_t n)
{
    if (n == 0)
        return;
    slu_put_name(b, "headers");
    for (size_t i = 0; i < n; i++) {
        slu_buf_add_byte(b, i ? ',' : '{');
        slu_json_add_string(b, slu_str(h[i].name));
        slu_buf_add_byte(b, ':');
        slu_json_add_string(b, slu_str(h[i].value));
    }
    slu_buf_add_byte(b, '}');
}

bool slu_put_data(struct slu_buf *b, enum sluice_kind kind, struct slu_bytes data)
{
    struct slu_json_value v;
    switch (kind) {
    case SLUICE_JSON:
        if (!slu_utf8_valid(data) || !slu_json_scan(data, &v, NULL))
            return false;
        slu_put_json(b, "data", v.raw);
        return true;
    case SLUICE_JSON_TRUSTED:
        slu_put_json(b, "data", data);
        return true;
    case SLUICE_TEXT:
        if (!slu_utf8_valid(data))
            return false;
        slu_put_bytes_str(b, "data", data);
        return true;
    case SLUICE_BINARY:
        slu_put_name(b, "data64");
        slu_buf_add_byte(b, '"');
        slu_buf_add_base64(b, data);
        slu_buf_add_byte(b, '"');
        return true;
    default:
        return false;
    }
}

static void put_position(struct slu_buf *b, uint64_t offset, const char *epoch)
{
    slu_buf_add_str(b, "{\"offset\":");
    slu_buf_add_u64(b, offset);
    slu_put_str(b, "epoch", epoch ? epoch : "");
    slu_buf_add_byte(b, '}');
}

bool slu_put_from(struct slu_buf *b, enum sluice_from from, uint32_t n, int64_t time_ms, uint64_t offset,
                  const char *epoch, const char *cursor)
{
    if (from == SLUICE_FROM_NEW)
        return true;
    slu_put_name(b, "from");
    switch (from) {
    case SLUICE_FROM_LATEST:
        slu_buf_add_str(b, "\"latest\"");
        return true;
    case SLUICE_FROM_FIRST:
        slu_buf_add_str(b, "\"first\"");
        return true;
    case SLUICE_FROM_LAST:
        slu_buf_addf(b, "{\"last\":%u}", n);
        return n > 0;
    case SLUICE_FROM_SINCE:
        slu_buf_add_str(b, "{\"since\":");
        slu_buf_add_i64(b, time_ms);
        slu_buf_add_byte(b, '}');
        return true;
    case SLUICE_FROM_OFFSET:
        put_position(b, offset, epoch);
        return epoch != NULL;
    case SLUICE_FROM_CURSOR:
        slu_buf_add_str(b, "{\"cur\":");
        slu_json_add_str(b, cursor ? cursor : "");
        slu_buf_add_byte(b, '}');
        return cursor != NULL;
    default:
        return false;
    }
}

bool slu_json_valid(const char *text, bool object)
{
    struct slu_json_value v;
    return slu_utf8_valid(slu_str(text)) && slu_json_scan(slu_str(text), &v, NULL) &&
           (!object || v.type == SLU_JSON_OBJECT);
}
