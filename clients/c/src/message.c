/* Reads members by name. Strings without escapes are borrowed from the frame; the others, and base64, are decoded into
 * scratch, which was made large enough for all of them before: spans stay valid. */
#include "clients/c/src/message.h"

#include "broker/base/base64.h"

const struct slu_json_value *slu_frame_get(const struct slu_frame *f, const char *name)
{
    struct slu_bytes key = slu_str(name);
    for (size_t i = 0; i < f->n; i++) {
        if (slu_json_key_is(&f->m[i], key))
            return &f->m[i].value;
    }
    return NULL;
}

static struct sluice_span string_of(const struct slu_json_value *v, struct slu_buf *scratch)
{
    struct slu_bytes out;
    if (!v || !slu_json_string(v, scratch, &out))
        return (struct sluice_span){ NULL, 0 };
    if (!out.data)
        out = SLU_LIT("");
    return slu_span(out);
}

struct sluice_span slu_frame_str(const struct slu_frame *f, const char *name, struct slu_buf *scratch)
{
    return string_of(slu_frame_get(f, name), scratch);
}

bool slu_frame_u64(const struct slu_frame *f, const char *name, uint64_t *out)
{
    const struct slu_json_value *v = slu_frame_get(f, name);
    return v && slu_json_u64(v, out);
}

bool slu_frame_bool(const struct slu_frame *f, const char *name)
{
    const struct slu_json_value *v = slu_frame_get(f, name);
    return v && v->type == SLU_JSON_TRUE;
}

struct sluice_span slu_frame_raw(const struct slu_frame *f, const char *name)
{
    const struct slu_json_value *v = slu_frame_get(f, name);
    return v && v->type != SLU_JSON_NULL ? slu_span(v->raw) : (struct sluice_span){ NULL, 0 };
}

static bool read_data(const struct slu_json_value *v, struct slu_buf *scratch, struct sluice_message *m)
{
    m->json = slu_span(v->raw);
    m->payload = m->json;
    m->kind = SLUICE_JSON;
    if (v->type != SLU_JSON_STRING)
        return true;
    m->kind = SLUICE_TEXT;
    m->payload = string_of(v, scratch);
    return m->payload.data != NULL;
}

static bool read_data64(const struct slu_json_value *v, struct slu_buf *scratch, struct sluice_message *m)
{
    struct slu_bytes text;
    size_t n;
    if (!slu_json_string(v, scratch, &text) || !slu_base64_decoded_size(text, &n))
        return false;
    uint8_t *to = slu_buf_reserve(scratch, n + 1);
    if (!to || !slu_base64_decode(to, text))
        return false;
    scratch->len += n;
    m->kind = SLUICE_BINARY;
    m->payload = slu_span(slu_bytes(to, n));
    return true;
}

enum member {
    M_TOPIC,
    M_DATA,
    M_DATA64,
    M_TS,
    M_OFFSET,
    M_EPOCH,
    M_KEY,
    M_HEADERS,
    M_RETAINED,
    M_REPLY,
    M_SUB,
    M_TRY,
    M_OTHER
};

static enum member member_of(const struct slu_json_member *m)
{
    static const struct {
        const char *name;
        size_t len;
    } names[] = {
        [M_TOPIC] = { "topic", 5 }, [M_DATA] = { "data", 4 },       [M_DATA64] = { "data64", 6 },
        [M_TS] = { "ts", 2 },       [M_OFFSET] = { "offset", 6 },   [M_EPOCH] = { "epoch", 5 },
        [M_KEY] = { "key", 3 },     [M_HEADERS] = { "headers", 7 }, [M_RETAINED] = { "retained", 8 },
        [M_REPLY] = { "reply", 5 }, [M_SUB] = { "sub", 3 },         [M_TRY] = { "try", 3 },
    };
    for (unsigned i = 0; i < M_OTHER; i++) {
        if (m->key_escaped ? slu_json_key_is(m, slu_str(names[i].name))
                           : m->key.len == names[i].len && memcmp(m->key.data, names[i].name, m->key.len) == 0)
            return (enum member)i;
    }
    return M_OTHER;
}

bool slu_message_read(const struct slu_json_member *members, size_t n, struct slu_buf *scratch,
                      struct sluice_message *m, uint64_t *number, bool *has_number)
{
    memset(m, 0, sizeof(*m));
    *has_number = false;
    bool ok = true, has_offset = false;
    uint64_t try = 0, ts = 0;
    for (size_t i = 0; i < n && ok; i++) {
        const struct slu_json_value *v = &members[i].value;
        switch (member_of(&members[i])) {
        case M_TOPIC:
            m->topic = string_of(v, scratch);
            break;
        case M_DATA:
            ok = read_data(v, scratch, m);
            break;
        case M_DATA64:
            ok = read_data64(v, scratch, m);
            break;
        case M_TS:
            if (slu_json_u64(v, &ts))
                m->ts_ms = (int64_t)ts;
            break;
        case M_OFFSET:
            has_offset = slu_json_u64(v, &m->offset);
            break;
        case M_EPOCH:
            m->epoch = string_of(v, scratch);
            break;
        case M_KEY:
            m->key = string_of(v, scratch);
            break;
        case M_HEADERS:
            if (v->type == SLU_JSON_OBJECT)
                m->headers = slu_span(v->raw);
            break;
        case M_RETAINED:
            m->retained = v->type == SLU_JSON_TRUE;
            break;
        case M_REPLY:
            m->reply = string_of(v, scratch);
            break;
        case M_SUB:
            *has_number = slu_json_u64(v, number);
            break;
        case M_TRY:
            if (slu_json_u64(v, &try))
                m->attempt = try > UINT32_MAX ? UINT32_MAX : (uint32_t)try;
            break;
        default:
            break;
        }
    }
    if (!has_offset)
        m->epoch = (struct sluice_span){ NULL, 0 };
    return ok && !scratch->failed;
}

bool sluice_client_header(const struct sluice_message *m, const char *name, char *buf, size_t cap,
                          struct sluice_span *out)
{
    struct slu_json_iter it;
    struct slu_json_member h;
    struct slu_bytes key = slu_str(name);
    if (!m->headers.data)
        return false;
    slu_json_iter_init(&it, slu_span_bytes(m->headers));
    while (slu_json_next_member(&it, &h)) {
        if (h.value.type != SLU_JSON_STRING || !slu_json_key_is(&h, key))
            continue;
        if (!h.value.escaped) {
            *out = slu_span(slu_json_inner(&h.value));
            return true;
        }
        struct slu_buf b;
        slu_buf_init(&b, 0);
        slu_json_unescape(slu_json_inner(&h.value), &b, NULL);
        bool fits = buf && !b.failed && b.len <= cap;
        if (fits) {
            if (b.len)
                memcpy(buf, b.data, b.len);
            *out = (struct sluice_span){ buf, b.len };
        }
        slu_buf_fini(&b);
        return fits;
    }
    return false;
}
