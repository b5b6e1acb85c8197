/* Decoding is driven by the rows of frames.def: find op and id, then look at each member that the op has, by its
 * type. */
#include "protocol/native/frame.h"

#include "broker/base/json.h"
#include "protocol/position.h"

#include <stdio.h>

enum { FRAME_MEMBERS = 64, HZ_MAX = 1000, CUR_MAX = 4096, EPOCH_MAX = 64 };

const struct slu_op_row slu_ops[SLU_OPS_N] = {
#define SLU_FRAME(op, text, direction) \
    [SLU_OP_##op] = { { (const uint8_t *)text, sizeof(text) - 1 }, SLU_DIR_##direction },
#include "protocol/frames.def"
};

#define SLU_NEED_REQUIRED true
#define SLU_NEED_OPTIONAL false
static const struct slu_field_row fields[] = {
#define SLU_FIELD(op, name, type, need, max) { SLU_OP_##op, SLU_NAME_##name, SLU_FIELD_##type, SLU_NEED_##need, max },
#include "protocol/frames.def"
};

const struct slu_field_row *slu_fields_of(enum slu_op op, size_t *n)
{
    size_t first = 0, end;

    while (first < sizeof(fields) / sizeof(fields[0]) && fields[first].op != op)
        first++;
    for (end = first; end < sizeof(fields) / sizeof(fields[0]) && fields[end].op == op;)
        end++;
    *n = end - first;
    return &fields[first];
}

void slu_frame_init(struct slu_frame *f)
{
    memset(f, 0, offsetof(struct slu_frame, scratch));
    slu_buf_init(&f->scratch, 0);
    slu_buf_init(&f->headers, 0);
    f->broken = NULL;
    f->why[0] = '\0';
}

void slu_frame_fini(struct slu_frame *f)
{
    slu_buf_fini(&f->scratch);
    slu_buf_fini(&f->headers);
}

struct decoder {
    const struct slu_wire *wire;
    struct slu_frame *f;
    size_t frame_len;
    const char *field; /* the member being read, for messages */
};

static enum slu_err wrong(struct decoder *d, const char *what)
{
    if (d->f->scratch.failed || d->f->headers.failed)
        return SLU_ENOMEM;
    snprintf(d->f->why, sizeof(d->f->why), "%s %s", d->field, what);
    return SLU_EBAD_FRAME;
}

static bool is_named(const struct slu_wire_member *m, enum slu_name name)
{
    const struct slu_name_row *row = &slu_names[name];

    if (m->has_number)
        return row->cbor_key >= 0 && m->number == (uint64_t)row->cbor_key;
    if (!m->has_text)
        return false;
    if (m->escaped) {
        struct slu_json_member json = { .key = m->text, .key_escaped = true };
        return slu_json_key_is(&json, row->text);
    }
    return slu_bytes_eq(m->text, row->text);
}

/* Text that must be decoded goes to scratch, whose first reserve is enough for the whole frame: nothing in a frame
 * decodes to more bytes than it takes there, so that earlier spans into scratch stay good. */
static bool have_room(struct decoder *d)
{
    return d->f->scratch.data || slu_buf_reserve(&d->f->scratch, d->frame_len + 1);
}

static bool read_text(struct decoder *d, const struct slu_wire_value *v, struct slu_bytes *out)
{
    if (v->escaped && !have_room(d))
        return false;
    return v->type == SLU_WIRE_TEXT && d->wire->read_text(v, &d->f->scratch, out);
}

static bool read_number(struct decoder *d, const struct slu_wire_value *v, uint64_t min, uint64_t max, uint64_t *out)
{
    int64_t n;

    if (v->type != SLU_WIRE_NUMBER || !d->wire->read_int(v, &n) || n < 0 || (uint64_t)n < min || (uint64_t)n > max)
        return false;
    *out = (uint64_t)n;
    return true;
}

/* ---- fields of each type; value->present is set by the caller ---- */

struct word {
    const char *text;
    int value;
};

static bool read_word(struct decoder *d, const struct slu_wire_value *v, const struct word *words, int *out)
{
    struct slu_bytes text;

    if (!read_text(d, v, &text))
        return false;
    for (; words->text; words++) {
        if (slu_bytes_eq(text, slu_str(words->text))) {
            *out = words->value;
            return true;
        }
    }
    return false;
}

static enum slu_err decode_text(struct decoder *d, const struct slu_field_row *row, const struct slu_wire_value *v,
                                struct slu_field_value *out)
{
    if (!read_text(d, v, &out->bytes))
        return wrong(d, "must be text");
    if (out->bytes.len > row->max)
        return wrong(d, "is too long");
    return SLU_OK;
}

static enum slu_err decode_number(struct decoder *d, const struct slu_field_row *row, const struct slu_wire_value *v,
                                  struct slu_field_value *out)
{
    uint64_t min = row->type == SLU_FIELD_COUNT;
    char what[80];

    if (read_number(d, v, min, row->max, &out->number))
        return SLU_OK;
    snprintf(what, sizeof(what), "must be an integer from %u to %llu", (unsigned)min, (unsigned long long)row->max);
    return wrong(d, what);
}

static enum slu_err decode_headers(struct decoder *d, const struct slu_wire_value *v, struct slu_field_value *out)
{
    struct slu_wire_member members[SLU_HEADERS_MAX];
    struct slu_bytes name, text;
    const char *why;
    size_t n;

    if (v->type != SLU_WIRE_MAP)
        return wrong(d, "must be a map of text to text");
    if (!d->wire->scan(v->raw, members, SLU_HEADERS_MAX, &n, &why))
        return wrong(d, "has more than 64 names, or one of them twice");
    for (size_t i = 0; i < n; i++) {
        struct slu_wire_value key = { SLU_WIRE_TEXT, members[i].escaped, false, members[i].text };
        name = members[i].text;
        if (!members[i].has_text)
            return wrong(d, "must be a map of text to text");
        if (key.escaped) {
            size_t before = d->f->scratch.len;
            if (!have_room(d))
                return SLU_ENOMEM;
            slu_json_unescape(key.raw, &d->f->scratch, NULL);
            name = slu_bytes(d->f->scratch.data + before, d->f->scratch.len - before);
        }
        if (!read_text(d, &members[i].value, &text))
            return wrong(d, "must be a map of text to text");
        if (!slu_headers_add(&d->f->headers, name, text) || d->f->headers.len > SLU_HEADERS_BYTES)
            return wrong(d, "is larger than 16384 bytes");
    }
    out->bytes = slu_buf_bytes(&d->f->headers);
    return SLU_OK;
}

static const struct slu_wire_member *member_of(const struct slu_wire_member *members, size_t n, enum slu_name name)
{
    for (size_t i = 0; i < n; i++)
        if (is_named(&members[i], name))
            return &members[i];
    return NULL;
}

/* Under its number and its text form: the scanner takes those for two names. */
static bool stands_twice(const struct slu_wire_member *members, size_t n, enum slu_name name)
{
    const struct slu_wire_member *first = member_of(members, n, name);

    return first && member_of(first + 1, n - 1 - (size_t)(first - members), name);
}

/* {"offset":411,"epoch":"k3"}; offset 0 (an empty topic) may come without an epoch. */
static bool read_position(struct decoder *d, const struct slu_wire_member *members, size_t n, struct slu_pos *out)
{
    const struct slu_wire_member *offset = member_of(members, n, SLU_NAME_OFFSET);
    const struct slu_wire_member *epoch = member_of(members, n, SLU_NAME_EPOCH);
    struct slu_bytes text;

    if (!offset || !read_number(d, &offset->value, 0, SLU_UINT_MAX, &out->offset))
        return false;
    out->epoch = 0;
    if (!epoch)
        return out->offset == 0;
    if (!read_text(d, &epoch->value, &text) || text.len > EPOCH_MAX)
        return false;
    out->epoch = slu_epoch_parse(text);
    return true;
}

static enum slu_err decode_position(struct decoder *d, const struct slu_wire_value *v, struct slu_field_value *out)
{
    struct slu_wire_member members[FRAME_MEMBERS];
    const char *why;
    size_t n;

    if (v->type != SLU_WIRE_MAP || !d->wire->scan(v->raw, members, FRAME_MEMBERS, &n, &why) ||
        !read_position(d, members, n, &out->position))
        return wrong(d, "must be a map of offset and epoch");
    return SLU_OK;
}

static bool read_from_map(struct decoder *d, const struct slu_wire_value *v, struct slu_from_value *out)
{
    struct slu_wire_member members[FRAME_MEMBERS];
    const struct slu_wire_member *last, *since, *cur, *offset;
    const char *why;
    size_t n;

    if (v->type != SLU_WIRE_MAP || !d->wire->scan(v->raw, members, FRAME_MEMBERS, &n, &why))
        return false;
    last = member_of(members, n, SLU_NAME_LAST);
    since = member_of(members, n, SLU_NAME_SINCE);
    cur = member_of(members, n, SLU_NAME_CUR);
    offset = member_of(members, n, SLU_NAME_OFFSET);
    if (!!last + !!since + !!cur + !!offset != 1)
        return false;
    if (last) {
        out->from = SLU_FROM_LAST;
        return read_number(d, &last->value, 1, SLU_UINT_MAX, &out->n);
    }
    if (since) {
        out->from = SLU_FROM_SINCE;
        return read_number(d, &since->value, 0, SLU_UINT_MAX, &out->n);
    }
    if (cur) {
        out->from = SLU_FROM_CUR;
        return read_text(d, &cur->value, &out->cur) && out->cur.len <= CUR_MAX;
    }
    out->from = SLU_FROM_OFFSET;
    return read_position(d, members, n, &out->pos);
}

static enum slu_err decode_from(struct decoder *d, const struct slu_wire_value *v, struct slu_field_value *out)
{
    static const struct word words[] = {
        { "new", SLU_FROM_NEW }, { "latest", SLU_FROM_LATEST }, { "first", SLU_FROM_FIRST }, { NULL, 0 }
    };
    int word;

    out->from = (struct slu_from_value){ .from = SLU_FROM_NEW };
    if (read_word(d, v, words, &word)) {
        out->from.from = (enum slu_from)word;
        return SLU_OK;
    }
    if (!read_from_map(d, v, &out->from))
        return wrong(d, "must be new, latest, first or a map of last, since, cur, or offset and epoch");
    return SLU_OK;
}

static enum slu_err decode_conflate(struct decoder *d, const struct slu_wire_value *v, struct slu_field_value *out)
{
    struct slu_wire_member members[FRAME_MEMBERS];
    const struct slu_wire_member *hz, *by;
    const char *why;
    struct slu_bytes text;
    size_t n;

    if (v->type != SLU_WIRE_MAP || !d->wire->scan(v->raw, members, FRAME_MEMBERS, &n, &why))
        return wrong(d, "must be a map of hz and perhaps by");
    hz = member_of(members, n, SLU_NAME_HZ);
    by = member_of(members, n, SLU_NAME_BY);
    if (!hz || hz->value.type != SLU_WIRE_NUMBER || !d->wire->read_double(&hz->value, &out->conflate.hz) ||
        !(out->conflate.hz > 0 && out->conflate.hz <= HZ_MAX))
        return wrong(d, "needs hz, a number above 0 and up to 1000");
    out->conflate.by_key = by != NULL;
    if (by && (!read_text(d, &by->value, &text) || !slu_bytes_eq(text, SLU_LIT("key"))))
        return wrong(d, "takes by:\"key\" only");
    return SLU_OK;
}

static enum slu_err decode_word(struct decoder *d, const struct slu_field_row *row, const struct slu_wire_value *v,
                                struct slu_field_value *out)
{
    static const struct word acks[] = { { "none", SLU_ACK_NONE },
                                        { "accepted", SLU_ACK_ACCEPTED },
                                        { "stored", SLU_ACK_STORED },
                                        { "replicated", SLU_ACK_REPLICATED },
                                        { NULL, 0 } };
    static const struct word overflows[] = { { "pause", SLU_OVERFLOW_PAUSE },
                                             { "conflate", SLU_OVERFLOW_CONFLATE },
                                             { "drop_oldest", SLU_OVERFLOW_DROP_OLDEST },
                                             { "close", SLU_OVERFLOW_CLOSE },
                                             { NULL, 0 } };
    int word;

    if (row->type == SLU_FIELD_ACK) {
        if (!read_word(d, v, acks, &word))
            return wrong(d, "must be none, accepted, stored or replicated");
        out->ack = (enum slu_ack)word;
    } else {
        if (!read_word(d, v, overflows, &word))
            return wrong(d, "must be pause, conflate, drop_oldest or close");
        out->overflow = (enum slu_overflow)word;
    }
    return SLU_OK;
}

static enum slu_err decode_payload(struct decoder *d, const struct slu_field_row *row, const struct slu_wire_value *v,
                                   struct slu_field_value *out)
{
    if ((v->escaped || row->type == SLU_FIELD_BASE64) && !have_room(d))
        return SLU_ENOMEM;
    if (row->type == SLU_FIELD_BASE64)
        return d->wire->read_binary(v, &d->f->scratch, &out->bytes) ? SLU_OK : wrong(d, "must be base64 text");
    return d->wire->read_payload(v, &d->f->scratch, &out->payload) ? SLU_OK : wrong(d, "cannot be read");
}

static enum slu_err decode_field(struct decoder *d, const struct slu_field_row *row, const struct slu_wire_value *v)
{
    struct slu_field_value *out = &d->f->v[row->name];

    out->present = true;
    switch (row->type) {
    case SLU_FIELD_TEXT:
        return decode_text(d, row, v, out);
    case SLU_FIELD_UINT:
    case SLU_FIELD_COUNT:
        return decode_number(d, row, v, out);
    case SLU_FIELD_BOOL:
        out->flag = v->flag;
        return v->type == SLU_WIRE_BOOL ? SLU_OK : wrong(d, "must be true or false");
    case SLU_FIELD_DATA:
    case SLU_FIELD_BASE64:
        return decode_payload(d, row, v, out);
    case SLU_FIELD_HEADERS:
        return decode_headers(d, v, out);
    case SLU_FIELD_FROM:
        return decode_from(d, v, out);
    case SLU_FIELD_POSITION:
        return decode_position(d, v, out);
    case SLU_FIELD_CONFLATE:
        return decode_conflate(d, v, out);
    case SLU_FIELD_FILTER:
        out->filter = *v;
        return v->type == SLU_WIRE_MAP ? SLU_OK : wrong(d, "must be a map");
    case SLU_FIELD_ACK:
    case SLU_FIELD_OVERFLOW:
        return decode_word(d, row, v, out);
    default:
        return wrong(d, "is not for clients");
    }
}

/* ---- the frame ---- */

static enum slu_err decode_id(struct decoder *d, const struct slu_wire_value *v)
{
    struct slu_reqid *id = &d->f->id;
    struct slu_bytes text;

    d->field = "id";
    if (v->type == SLU_WIRE_NULL)
        return SLU_OK;
    if (v->type == SLU_WIRE_NUMBER && d->wire->read_int(v, &id->number)) {
        id->type = SLU_ID_INT;
        return SLU_OK;
    }
    if (!read_text(d, v, &text) || text.len > sizeof(id->text))
        return wrong(d, "must be an integer or text of at most 64 bytes");
    id->type = SLU_ID_TEXT;
    id->len = (uint8_t)text.len;
    memcpy(id->text, text.data, text.len);
    return SLU_OK;
}

static enum slu_err decode_op(struct decoder *d, const struct slu_wire_member *op)
{
    struct slu_bytes text;

    d->field = "op";
    if (!op)
        return wrong(d, "is missing");
    if (!read_text(d, &op->value, &text))
        return wrong(d, "must be text");
    for (unsigned i = 0; i < SLU_OPS_N; i++) {
        if (slu_ops[i].direction == SLU_DIR_CLIENT && slu_bytes_eq(text, slu_ops[i].text)) {
            d->f->op = (enum slu_op)i;
            return SLU_OK;
        }
    }
    return SLU_EBAD_OP;
}

static enum slu_err decode_fields(struct decoder *d, const struct slu_wire_member *members, size_t n)
{
    size_t n_rows;
    const struct slu_field_row *rows = slu_fields_of(d->f->op, &n_rows);

    for (size_t r = 0; r < n_rows; r++) {
        struct slu_field_value *value = &d->f->v[rows[r].name];
        d->field = (const char *)slu_names[rows[r].name].text.data;
        for (size_t i = 0; i < n; i++) {
            if (!is_named(&members[i], rows[r].name))
                continue;
            if (value->present)
                return wrong(d, "stands twice");
            /* null where no value may be: the way many languages say "left out" */
            if (members[i].value.type == SLU_WIRE_NULL && rows[r].type != SLU_FIELD_DATA)
                continue;
            enum slu_err rc = decode_field(d, &rows[r], &members[i].value);
            if (rc != SLU_OK)
                return rc;
        }
        if (rows[r].required && !value->present)
            return wrong(d, "is missing");
    }
    return SLU_OK;
}

/* What no single row can say. */
static enum slu_err check_together(struct decoder *d)
{
    const struct slu_frame *f = d->f;
    bool has_data = f->v[SLU_NAME_DATA].present, has_bytes = f->v[SLU_NAME_DATA64].present;
    bool clears = f->op == SLU_OP_PUB && f->v[SLU_NAME_RETAIN].present && f->v[SLU_NAME_RETAIN].flag;

    if (f->op == SLU_OP_UNSUB && f->v[SLU_NAME_SUB].present == f->v[SLU_NAME_TOPIC].present) {
        d->field = "unsub";
        return wrong(d, "needs sub or topic, one of them");
    }
    if (f->op == SLU_OP_PUB || f->op == SLU_OP_REQ) {
        d->field = "data";
        if (has_data && has_bytes)
            return wrong(d, "and data64 exclude each other");
        if (!has_data && !has_bytes && !clears)
            return wrong(d, "is missing");
    }
    return SLU_OK;
}

/* A well-formed map that is no frame (a member twice, too many of them) is answered like any other mistake; what is not
 * even that is broken. */
static enum slu_err refuse(struct decoder *d, struct slu_bytes in, const char *why)
{
    struct slu_wire_value id;

    if (!d->wire->find(in, SLU_NAME_ID, &id))
        d->f->broken = why;
    else if (id.type != SLU_WIRE_OTHER && decode_id(d, &id) != SLU_OK)
        d->f->id.type = SLU_ID_NONE;
    d->field = "frame:";
    return wrong(d, why);
}

enum slu_err slu_frame_decode(const struct slu_wire *wire, struct slu_bytes in, struct slu_frame *f)
{
    struct slu_wire_member members[FRAME_MEMBERS];
    struct decoder d = { .wire = wire, .f = f, .frame_len = in.len, .field = "frame:" };
    const struct slu_wire_member *op, *id;
    const char *why;
    size_t n;
    enum slu_err rc;

    if (!wire->scan(in, members, FRAME_MEMBERS, &n, &why))
        return refuse(&d, in, why);
    op = member_of(members, n, SLU_NAME_OP);
    id = member_of(members, n, SLU_NAME_ID);
    if (id) {
        rc = decode_id(&d, &id->value);
        if (rc != SLU_OK)
            return rc;
    }
    d.field = "frame:";
    if (stands_twice(members, n, SLU_NAME_OP) || stands_twice(members, n, SLU_NAME_ID))
        return wrong(&d, "member stands twice");
    rc = decode_op(&d, op);
    if (rc == SLU_OK)
        rc = decode_fields(&d, members, n);
    return rc == SLU_OK ? check_together(&d) : rc;
}
