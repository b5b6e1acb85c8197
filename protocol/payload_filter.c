/* A filter is compiled into conditions that stand, with the text they compare with, in one allocation. Matching walks
 * the headers or the payload's top level once, notes what each condition's field holds, and then judges; it takes no
 * memory but for text that is written with escapes or in chunks. */
#include "protocol/payload_filter.h"

#include "broker/base/cbor.h"
#include "broker/base/json.h"
#include "broker/base/list.h"

#include <stdlib.h>

enum op { OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE, OP_IN, OP_EXISTS };
enum type { ABSENT, NONE, BOOLEAN, NUMBER, TEXT, COMPOSITE };

struct operand {
    enum type type;
    bool flag;
    double number;
    struct slu_bytes text;
};

struct condition {
    bool on_header;
    enum op op;
    struct slu_bytes field;
    const struct operand *values; /* one, or those of `in` */
    size_t n_values;
};

struct filter {
    struct slu_content_filter base;
    bool needs_headers, needs_payload;
    size_t n;
    struct condition conditions[SLU_FILTER_CONDITIONS];
    struct operand *operands;
    size_t n_operands, max_operands;
    struct slu_buf text; /* fields and text operands; never grows after it was made, so that spans into it hold */
};

/* ---- matching ---- */

/* Text in a message may need decoding: then it lives in `scratch` for the time of one match. */
struct found {
    struct operand value;
    struct slu_buf scratch;
};

static void free_all(struct found *found, size_t n)
{
    for (size_t i = 0; i < n; i++)
        slu_buf_fini(&found[i].scratch);
}

static void take_json(struct found *f, const struct slu_json_value *v)
{
    struct operand o = { .type = COMPOSITE };

    slu_buf_clear(&f->scratch);
    switch (v->type) {
    case SLU_JSON_NULL:
        o.type = NONE;
        break;
    case SLU_JSON_TRUE:
    case SLU_JSON_FALSE:
        o.type = BOOLEAN;
        o.flag = v->type == SLU_JSON_TRUE;
        break;
    case SLU_JSON_NUMBER:
        if (slu_json_double(v, &o.number))
            o.type = NUMBER;
        break;
    case SLU_JSON_STRING:
        if (slu_json_string(v, &f->scratch, &o.text))
            o.type = TEXT;
        break;
    default:
        break;
    }
    f->value = o;
}

static void take_cbor(struct found *f, struct slu_bytes item)
{
    struct operand o = { .type = COMPOSITE };

    slu_buf_clear(&f->scratch);
    switch (slu_cbor_type(item)) {
    case SLU_CBOR_NULL:
    case SLU_CBOR_UNDEFINED:
        o.type = NONE;
        break;
    case SLU_CBOR_TRUE:
    case SLU_CBOR_FALSE:
        o.type = BOOLEAN;
        slu_cbor_bool(item, &o.flag);
        break;
    case SLU_CBOR_TEXT:
        if (slu_cbor_text(item, &f->scratch, &o.text))
            o.type = TEXT;
        break;
    default:
        if (slu_cbor_double(item, &o.number))
            o.type = NUMBER;
        break;
    }
    f->value = o;
}

static void find_headers(const struct filter *f, const struct slu_msg *m, struct found *found)
{
    struct slu_bytes rest = m->headers, name, value;

    while (slu_headers_next(&rest, &name, &value))
        for (size_t i = 0; i < f->n; i++)
            if (f->conditions[i].on_header && slu_bytes_eq(name, f->conditions[i].field))
                found[i].value = (struct operand){ .type = TEXT, .text = value };
}

static void find_in_json(const struct filter *f, struct slu_bytes payload, struct found *found)
{
    struct slu_json_iter it;
    struct slu_json_member m;

    slu_json_iter_init(&it, payload);
    if (it.close != '}')
        return;
    while (slu_json_next_member(&it, &m))
        for (size_t i = 0; i < f->n; i++)
            if (!f->conditions[i].on_header && slu_json_key_is(&m, f->conditions[i].field))
                take_json(&found[i], &m.value);
}

static void find_in_cbor(const struct filter *f, struct slu_bytes payload, struct found *found)
{
    struct slu_cbor_iter it;
    struct slu_cbor_member m;

    if (slu_cbor_type(payload) != SLU_CBOR_MAP || !slu_cbor_iter_init(&it, payload))
        return;
    while (slu_cbor_next_member(&it, &m))
        for (size_t i = 0; i < f->n; i++)
            if (!f->conditions[i].on_header && m.key_type == SLU_CBOR_TEXT &&
                slu_bytes_eq(m.text, f->conditions[i].field))
                take_cbor(&found[i], m.value);
}

static int compare_text(struct slu_bytes a, struct slu_bytes b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.data, b.data, n) : 0;

    return c ? c : (a.len > b.len) - (a.len < b.len);
}

static bool equal(const struct operand *a, const struct operand *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case NONE:
        return true;
    case BOOLEAN:
        return a->flag == b->flag;
    case NUMBER:
        return !(a->number < b->number) && !(a->number > b->number);
    case TEXT:
        return slu_bytes_eq(a->text, b->text);
    default:
        return false;
    }
}

static bool is_ordered(enum op op, const struct operand *a, const struct operand *b)
{
    int c;

    if (a->type == NUMBER)
        c = (a->number > b->number) - (a->number < b->number);
    else if (a->type == TEXT)
        c = compare_text(a->text, b->text);
    else
        return false;
    return op == OP_LT ? c < 0 : op == OP_LE ? c <= 0 : op == OP_GT ? c > 0 : c >= 0;
}

static bool holds(const struct condition *c, const struct operand *v)
{
    if (c->op == OP_EXISTS)
        return (v->type != ABSENT) == c->values[0].flag;
    for (size_t i = 0; i < c->n_values; i++) {
        const struct operand *want = &c->values[i];
        if (v->type != want->type)
            continue;
        if (c->op == OP_EQ || c->op == OP_IN ? equal(v, want)
            : c->op == OP_NE                 ? !equal(v, want)
                                             : is_ordered(c->op, v, want))
            return true;
    }
    return false;
}

static bool matches(const struct slu_content_filter *base, const struct slu_msg *m)
{
    const struct filter *f = slu_container_of(base, const struct filter, base);
    struct found found[SLU_FILTER_CONDITIONS];
    bool all = true;

    for (size_t i = 0; i < f->n; i++) {
        found[i].value = (struct operand){ .type = ABSENT };
        slu_buf_init(&found[i].scratch, 0);
    }
    if (f->needs_headers)
        find_headers(f, m, found);
    if (f->needs_payload && m->form == SLU_FORM_CBOR)
        find_in_cbor(f, m->payload, found);
    else if (f->needs_payload && (m->kind == SLU_KIND_JSON || m->kind == SLU_KIND_UNTYPED) &&
             (m->form == SLU_FORM_JSON || slu_json_is_container(m->payload)))
        find_in_json(f, m->payload, found);
    for (size_t i = 0; i < f->n && all; i++)
        all = holds(&f->conditions[i], &found[i].value);
    free_all(found, f->n);
    return all;
}

/* ---- compiling ---- */

static void filter_free(struct slu_content_filter *base)
{
    struct filter *f = slu_container_of(base, struct filter, base);

    slu_buf_fini(&f->text);
    free(f->operands);
    free(f);
}

static struct slu_bytes keep_text(struct filter *f, struct slu_bytes inner)
{
    size_t before = f->text.len;

    slu_json_unescape(inner, &f->text, NULL);
    return slu_bytes(f->text.data + before, f->text.len - before);
}

static enum slu_err bad(const char **why, const char *text)
{
    *why = text;
    return SLU_EBAD_FILTER;
}

static enum slu_err add_operand(struct filter *f, const struct slu_json_value *v, const char **why)
{
    struct operand *o = &f->operands[f->n_operands];

    if (f->n_operands == f->max_operands)
        return bad(why, "too many values in the filter");
    switch (v->type) {
    case SLU_JSON_NULL:
        o->type = NONE;
        break;
    case SLU_JSON_TRUE:
    case SLU_JSON_FALSE:
        o->type = BOOLEAN;
        o->flag = v->type == SLU_JSON_TRUE;
        break;
    case SLU_JSON_NUMBER:
        o->type = NUMBER;
        if (!slu_json_double(v, &o->number))
            return bad(why, "a number in the filter is too large");
        break;
    case SLU_JSON_STRING:
        o->type = TEXT;
        o->text = keep_text(f, slu_json_inner(v));
        break;
    default:
        return bad(why, "a filter compares with text, numbers, true, false or null");
    }
    f->n_operands++;
    return SLU_OK;
}

static enum slu_err add_in_values(struct filter *f, const struct slu_json_value *list, const char **why)
{
    struct slu_json_iter it;
    struct slu_json_value v;
    enum slu_err rc = SLU_OK;
    size_t before = f->n_operands;

    if (list->type != SLU_JSON_ARRAY)
        return bad(why, "in takes a list");
    slu_json_iter_init(&it, list->raw);
    while (rc == SLU_OK && slu_json_next(&it, &v))
        rc = add_operand(f, &v, why);
    if (rc == SLU_OK && f->n_operands == before)
        return bad(why, "in takes a list that is not empty");
    return rc;
}

static bool op_of(const struct slu_json_member *m, enum op *op)
{
    static const char *const names[] = { [OP_EQ] = "eq", [OP_NE] = "ne", [OP_LT] = "lt", [OP_LE] = "le",
                                         [OP_GT] = "gt", [OP_GE] = "ge", [OP_IN] = "in", [OP_EXISTS] = "exists" };

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (slu_json_key_is(m, slu_str(names[i]))) {
            *op = (enum op)i;
            return true;
        }
    }
    return false;
}

static enum slu_err add_condition(struct filter *f, bool on_header, struct slu_bytes field, enum op op,
                                  const struct slu_json_value *v, const char **why)
{
    struct condition *c = &f->conditions[f->n];
    size_t first = f->n_operands;
    enum slu_err rc;

    if (f->n == SLU_FILTER_CONDITIONS)
        return bad(why, "too many comparisons in the filter");
    rc = op == OP_IN ? add_in_values(f, v, why) : add_operand(f, v, why);
    if (rc != SLU_OK)
        return rc;
    *c = (struct condition){ on_header, op, field, &f->operands[first], f->n_operands - first };
    if (op == OP_EXISTS && c->values[0].type != BOOLEAN)
        return bad(why, "exists takes true or false");
    if (op >= OP_LT && op <= OP_GE && c->values[0].type != NUMBER && c->values[0].type != TEXT)
        return bad(why, "lt, le, gt and ge take a number or text");
    f->needs_headers = f->needs_headers || on_header;
    f->needs_payload = f->needs_payload || !on_header;
    f->n++;
    return SLU_OK;
}

/* One member of the filter: a field and what it is compared with. */
static enum slu_err add_field(struct filter *f, const struct slu_json_member *m, const char **why)
{
    static const struct slu_bytes headers = { (const uint8_t *)"headers.", 8 }, data = { (const uint8_t *)"data.", 5 };
    struct slu_bytes field = keep_text(f, m->key);
    bool on_header = slu_bytes_starts(field, headers);
    size_t prefix = on_header ? headers.len : data.len;
    struct slu_json_member ops[8];
    size_t n;
    enum op op;
    enum slu_err rc = SLU_OK;

    if ((!on_header && !slu_bytes_starts(field, data)) || field.len == prefix)
        return bad(why, "a filter's fields are named headers.<name> or data.<name>");
    field = slu_bytes(field.data + prefix, field.len - prefix);
    if (m->value.type != SLU_JSON_OBJECT)
        return add_condition(f, on_header, field, OP_EQ, &m->value, why);
    if (!slu_json_scan_object(m->value.raw, ops, 8, &n, NULL) || n == 0)
        return bad(why, "a comparison is a map of one to eight of eq, ne, lt, le, gt, ge, in, exists");
    for (size_t i = 0; i < n && rc == SLU_OK; i++) {
        if (!op_of(&ops[i], &op))
            return bad(why, "comparisons are eq, ne, lt, le, gt, ge, in, exists");
        rc = add_condition(f, on_header, field, op, &ops[i].value, why);
    }
    return rc;
}

/* Values in the text: a bound for the operands, from commas and colons. */
static size_t count_values(struct slu_bytes json)
{
    size_t n = 1;

    for (size_t i = 0; i < json.len; i++)
        n += json.data[i] == ',' || json.data[i] == ':';
    return n < SLU_FILTER_IN_VALUES ? n : SLU_FILTER_IN_VALUES;
}

enum slu_err slu_payload_filter_new(struct slu_bytes json, struct slu_content_filter **out, const char **why)
{
    struct slu_json_member members[SLU_FILTER_CONDITIONS];
    enum slu_err rc = SLU_ENOMEM;
    struct filter *f = calloc(1, sizeof(*f));
    size_t n;

    *why = NULL;
    if (!f)
        return SLU_ENOMEM;
    f->base = (struct slu_content_filter){ matches, filter_free };
    f->max_operands = count_values(json);
    f->operands = calloc(f->max_operands, sizeof(*f->operands));
    slu_buf_init(&f->text, 0);
    if (!f->operands || !slu_buf_reserve(&f->text, json.len ? json.len : 1))
        goto fail;
    if (!slu_json_scan_object(json, members, SLU_FILTER_CONDITIONS, &n, NULL)) {
        rc = bad(why, "a filter is a map of up to 32 fields");
        goto fail;
    }
    rc = n ? SLU_OK : bad(why, "the filter is empty");
    for (size_t i = 0; i < n && rc == SLU_OK; i++)
        rc = add_field(f, &members[i], why);
    if (rc != SLU_OK)
        goto fail;
    *out = &f->base;
    return SLU_OK;
fail:
    filter_free(&f->base);
    return rc;
}
