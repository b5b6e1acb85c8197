/* Messages as rows. What comes from the file is checked as if a stranger had written it. */
#include "storage/sqlite/store.h"

enum column { SEQ, TOPIC, OFFSET, TS, EXPIRES, SIZE, KIND, FORM, FLAGS, PUBLISHER, KEY, REPLY, HEADERS, PAYLOAD };

bool sql_row_read(sqlite3_stmt *s, struct sql_row *out)
{
    return sql_column_u64(s, SEQ, INT64_MAX, &out->seq) && sql_column_u64(s, TOPIC, INT64_MAX, &out->topic) &&
           sql_column_u64(s, OFFSET, INT64_MAX, &out->offset) && sql_column_u64(s, TS, INT64_MAX, &out->ts_ms) &&
           sql_column_u64(s, EXPIRES, INT64_MAX, &out->expires_ms) && sql_column_u64(s, SIZE, INT64_MAX, &out->size) &&
           sql_column_u64(s, KIND, SLU_KIND_UNTYPED, &out->kind) &&
           sql_column_u64(s, FORM, SLU_FORM_CBOR, &out->form) && sql_column_u64(s, FLAGS, UINT32_MAX, &out->flags) &&
           sql_column_u64(s, PUBLISHER, INT64_MAX, &out->publisher) &&
           sql_column_bytes(s, KEY, SQL_PART_BYTES, &out->key) &&
           sql_column_bytes(s, REPLY, SQL_PART_BYTES, &out->reply) &&
           sql_column_bytes(s, HEADERS, SQL_PART_BYTES, &out->headers) &&
           sql_column_bytes(s, PAYLOAD, SQL_PAYLOAD_BYTES, &out->payload);
}

size_t sql_row_size(const struct sql_row *r, struct slu_bytes topic)
{
    return sizeof(struct slu_msg) + topic.len + r->payload.len + r->key.len + r->reply.len + r->headers.len;
}

struct slu_msg *sql_row_message(const struct sql_store *st, const struct sql_row *r, struct slu_bytes topic,
                                uint64_t epoch)
{
    struct slu_msg_spec spec = {
        .topic = topic,
        .payload = r->payload,
        .key = r->key,
        .reply = r->reply,
        .headers = r->headers,
        .kind = (enum slu_kind)r->kind,
        .form = (enum slu_form)r->form,
        .retain = r->flags & SQL_FLAG_RETAIN,
        .ts_ms = r->ts_ms,
        .expires_ms = r->expires_ms,
        .publisher = r->seq > st->started_seq ? r->publisher : 0,
    };
    struct slu_msg *m = slu_msg_new(st->env.account, &spec);
    if (!m)
        return NULL;
    if (r->offset)
        m->pos = (struct slu_pos){ epoch, r->offset };
    m->seq = r->seq;
    m->home = (uint16_t)st->env.home_base;
    atomic_store_explicit(&m->matched, 0, memory_order_relaxed);
    return m;
}

void sql_row_bind(sqlite3_stmt *s, const struct slu_msg *m, uint64_t topic)
{
    sql_bind_u64(s, SEQ + 1, m->seq);
    sql_bind_u64(s, TOPIC + 1, topic);
    sql_bind_u64(s, OFFSET + 1, m->pos.offset);
    sql_bind_u64(s, TS + 1, m->ts_ms);
    sql_bind_u64_or_null(s, EXPIRES + 1, m->expires_ms);
    sql_bind_u64(s, SIZE + 1, m->size);
    sql_bind_u64(s, KIND + 1, m->kind);
    sql_bind_u64(s, FORM + 1, m->form);
    sql_bind_u64(s, FLAGS + 1, m->retain ? SQL_FLAG_RETAIN : 0);
    sql_bind_u64_or_null(s, PUBLISHER + 1, m->publisher);
    sql_bind_bytes(s, KEY + 1, m->key);
    sql_bind_bytes(s, REPLY + 1, m->reply);
    sql_bind_bytes(s, HEADERS + 1, m->headers);
    sql_bind_bytes(s, PAYLOAD + 1, m->payload);
}
