/* Client frames decode as tests/vectors/native/client_frames.json says, the same from both encodings; server frames
 * come out byte for byte as in server_frames.json. */
#include "broker/core/account.h"
#include "protocol/native/encode.h"
#include "protocol/native/frame.h"
#include "protocol/position.h"

#include "tests/unit/vectors.h"

#include <criterion/new/assert.h>
#include <stdlib.h>

/* ---- client frames ---- */

static struct slu_bytes exact_copy(const void *data, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    cr_assert(ne(ptr, copy, NULL));
    memcpy(copy, data, len);
    return slu_bytes(copy, len);
}

static struct slu_bytes bytes_of(const json_t *vector, const char *encoding)
{
    const char *text = json_string_value(json_object_get(vector, encoding));
    uint8_t bytes[4096];

    if (!text)
        return (struct slu_bytes){ NULL, 0 };
    if (strcmp(encoding, "json") == 0)
        return exact_copy(text, strlen(text));
    return exact_copy(bytes, from_hex(text, bytes, sizeof(bytes)));
}

static enum slu_err check(const json_t *vector, const char *encoding, const struct slu_wire *wire, struct slu_bytes in,
                          struct slu_frame *f)
{
    const char *name = json_string_value(json_object_get(vector, "name"));
    const char *error = json_string_value(json_object_get(vector, "error"));
    bool broken = json_is_true(json_object_get(vector, "broken"));
    enum slu_err rc;

    slu_frame_init(f);
    rc = slu_frame_decode(wire, in, f);
    cr_assert(eq(int, rc != SLU_OK, error != NULL), "%s %s: %s", name, encoding, f->why);
    if (error)
        cr_assert(eq(str, (char *)slu_err_info(rc)->code, (char *)error), "%s %s: %s", name, encoding, f->why);
    cr_assert(eq(int, f->broken != NULL, broken), "%s %s: %s", name, encoding, f->why);
    return rc;
}

static bool same_payload(const struct slu_payload_value *json, const struct slu_payload_value *cbor)
{
    if (json->kind != cbor->kind)
        return false;
    return json->form == SLU_FORM_JSON && (cbor->form == SLU_FORM_CBOR || cbor->form == SLU_FORM_RAW);
}

static bool same_value(enum slu_field_type type, const struct slu_field_value *a, const struct slu_field_value *b)
{
    switch (type) {
    case SLU_FIELD_TEXT:
    case SLU_FIELD_HEADERS:
    case SLU_FIELD_BASE64:
        return slu_bytes_eq(a->bytes, b->bytes);
    case SLU_FIELD_UINT:
    case SLU_FIELD_COUNT:
        return a->number == b->number;
    case SLU_FIELD_BOOL:
        return a->flag == b->flag;
    case SLU_FIELD_DATA:
        return same_payload(&a->payload, &b->payload);
    case SLU_FIELD_FROM:
        return a->from.from == b->from.from && a->from.n == b->from.n && a->from.pos.offset == b->from.pos.offset &&
               a->from.pos.epoch == b->from.pos.epoch && slu_bytes_eq(a->from.cur, b->from.cur);
    case SLU_FIELD_CONFLATE:
        return a->conflate.by_key == b->conflate.by_key && a->conflate.hz == b->conflate.hz;
    case SLU_FIELD_POSITION:
        return a->position.epoch == b->position.epoch && a->position.offset == b->position.offset;
    case SLU_FIELD_ACK:
        return a->ack == b->ack;
    case SLU_FIELD_OVERFLOW:
        return a->overflow == b->overflow;
    default:
        return true;
    }
}

/* Bytes travel as data64 in JSON and as data in CBOR. */
static bool is_bytes_twin(enum slu_name name, const struct slu_frame *json, const struct slu_frame *cbor)
{
    return (name == SLU_NAME_DATA || name == SLU_NAME_DATA64) && json->v[SLU_NAME_DATA64].present &&
           cbor->v[SLU_NAME_DATA].present && cbor->v[SLU_NAME_DATA].payload.kind == SLU_KIND_BINARY &&
           slu_bytes_eq(json->v[SLU_NAME_DATA64].bytes, cbor->v[SLU_NAME_DATA].payload.bytes);
}

static void compare(const char *name, const struct slu_frame *json, const struct slu_frame *cbor)
{
    size_t n;
    const struct slu_field_row *rows = slu_fields_of(json->op, &n);

    cr_assert(eq(int, json->op, cbor->op), "%s", name);
    for (size_t i = 0; i < n; i++) {
        const struct slu_field_value *a = &json->v[rows[i].name], *b = &cbor->v[rows[i].name];
        if (is_bytes_twin(rows[i].name, json, cbor))
            continue;
        cr_assert(eq(int, a->present, b->present), "%s %s", name, slu_names[rows[i].name].text.data);
        if (a->present)
            cr_assert(same_value(rows[i].type, a, b), "%s %s", name, slu_names[rows[i].name].text.data);
    }
    cr_assert(eq(int, json->id.type, cbor->id.type), "%s", name);
    cr_assert(eq(i64, json->id.number, cbor->id.number), "%s", name);
    cr_assert(eq(int, json->id.len, cbor->id.len), "%s", name);
}

Test(native_frames, client_vectors_decode_alike_from_both_encodings)
{
    json_t *root = load_vectors("native/client_frames.json"), *vector;
    size_t i;

    json_array_foreach(json_object_get(root, "frames"), i, vector)
    {
        struct slu_bytes json = bytes_of(vector, "json"), cbor = bytes_of(vector, "cbor");
        struct slu_frame a, b;
        enum slu_err rc_a = SLU_EBAD_FRAME, rc_b = SLU_EBAD_FRAME;

        slu_frame_init(&a);
        slu_frame_init(&b);
        if (json.data)
            rc_a = check(vector, "json", &slu_wire_json, json, &a);
        if (cbor.data)
            rc_b = check(vector, "cbor", &slu_wire_cbor, cbor, &b);
        if (rc_a == SLU_OK && rc_b == SLU_OK)
            compare(json_string_value(json_object_get(vector, "name")), &a, &b);
        slu_frame_fini(&a);
        slu_frame_fini(&b);
        free((void *)json.data);
        free((void *)cbor.data);
    }
    json_decref(root);
}

Test(native_frames, the_id_is_known_even_when_the_frame_is_refused)
{
    static const char *const frames[] = {
        "{\"op\":\"sub\",\"id\":17}",
        "{\"op\":\"fly\",\"id\":17}",
        "{\"topic\":\"a\",\"topic\":\"b\",\"op\":\"pub\",\"id\":17}",
        "{\"i\\u0064\":17}",
    };
    struct slu_frame f;

    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        slu_frame_init(&f);
        cr_assert(ne(int, slu_frame_decode(&slu_wire_json, slu_str(frames[i]), &f), SLU_OK));
        cr_assert(eq(int, f.id.type, SLU_ID_INT), "%s", frames[i]);
        cr_assert(eq(i64, f.id.number, 17));
        slu_frame_fini(&f);
    }
}

Test(native_frames, escaped_members_and_values_are_decoded_and_stay_where_they_are)
{
    struct slu_frame f;
    struct slu_bytes rest, name, value;

    slu_frame_init(&f);
    cr_assert(
        eq(int,
           slu_frame_decode(
               &slu_wire_json,
               slu_str("{\"\\u006fp\":\"p\\u0075b\",\"topic\":\"a\\/b\",\"key\":\"\\u00e9\",\"data64\":\"A\\/8=\","
                       "\"headers\":{\"\\u0061\":\"\\n\",\"b\":\"c\"},\"dedup\":\"\\ud800\",\"id\":\"\\u0000\"}"),
               &f),
           SLU_OK),
        "%s", f.why);
    cr_assert(slu_bytes_eq(f.v[SLU_NAME_TOPIC].bytes, SLU_LIT("a/b")));
    cr_assert(slu_bytes_eq(f.v[SLU_NAME_KEY].bytes, SLU_LIT("\xc3\xa9")));
    cr_assert(slu_bytes_eq(f.v[SLU_NAME_DATA64].bytes, SLU_LIT("\x03\xff")));
    cr_assert(slu_bytes_eq(f.v[SLU_NAME_DEDUP].bytes, SLU_LIT("\xef\xbf\xbd")));
    cr_assert(eq(int, f.id.len, 1));
    rest = f.v[SLU_NAME_HEADERS].bytes;
    cr_assert(slu_headers_next(&rest, &name, &value) && slu_bytes_eq(name, SLU_LIT("a")) &&
              slu_bytes_eq(value, SLU_LIT("\n")));
    cr_assert(slu_headers_next(&rest, &name, &value) && slu_bytes_eq(value, SLU_LIT("c")));
    cr_assert(not(slu_headers_next(&rest, &name, &value)));
    slu_frame_fini(&f);
}

Test(native_frames, payload_tokens_are_spans_of_the_input)
{
    static const char text[] = "{\"op\":\"pub\",\"topic\":\"a\",\"data\": { \"x\" : 1.50 , \"s\":\"\\u0041\" } }";
    struct slu_bytes in = exact_copy(text, sizeof(text) - 1);
    struct slu_frame f;

    slu_frame_init(&f);
    cr_assert(eq(int, slu_frame_decode(&slu_wire_json, in, &f), SLU_OK));
    cr_assert(slu_bytes_eq(f.v[SLU_NAME_DATA].payload.bytes, SLU_LIT("{ \"x\" : 1.50 , \"s\":\"\\u0041\" }")));
    cr_assert(f.v[SLU_NAME_DATA].payload.bytes.data >= in.data && f.scratch.data == NULL);
    slu_frame_fini(&f);
    free((void *)in.data);
}

Test(native_frames, every_name_and_op_is_distinct)
{
    for (unsigned a = 0; a < SLU_NAMES_N; a++) {
        for (unsigned b = 0; b < a; b++) {
            cr_assert(not(slu_bytes_eq(slu_names[a].text, slu_names[b].text)), "%s", slu_names[a].text.data);
            cr_assert(slu_names[a].cbor_key < 0 || slu_names[a].cbor_key != slu_names[b].cbor_key);
        }
    }
    for (unsigned a = 0; a < SLU_OPS_N; a++)
        for (unsigned b = 0; b < a; b++)
            cr_assert(slu_ops[a].direction != slu_ops[b].direction || !slu_bytes_eq(slu_ops[a].text, slu_ops[b].text));
}

/* ---- server frames ---- */

struct vectors {
    json_t *root;
    struct slu_account account;
};

static const json_t *vector_named(const json_t *root, const char *name)
{
    json_t *vector;
    size_t i;

    json_array_foreach(json_object_get(root, "frames"), i,
                       vector) if (strcmp(json_string_value(json_object_get(vector, "name")), name) == 0) return vector;
    cr_assert(0, "no vector %s", name);
    return NULL;
}

static void expect_frame(const struct vectors *v, const char *name, const struct slu_event *ev)
{
    const json_t *vector = vector_named(v->root, name);
    struct slu_bytes json = bytes_of(vector, "json"), cbor = bytes_of(vector, "cbor");
    struct slu_buf out;

    slu_buf_init(&out, 0);
    cr_assert(eq(int, slu_native_encode(&slu_wire_json, ev, &out), SLU_OK));
    cr_assert(slu_bytes_eq(slu_buf_bytes(&out), json), "%s: %.*s", name, (int)out.len, (char *)out.data);
    slu_buf_clear(&out);
    cr_assert(eq(int, slu_native_encode(&slu_wire_cbor, ev, &out), SLU_OK));
    cr_assert(slu_bytes_eq(slu_buf_bytes(&out), cbor), "%s in CBOR", name);
    slu_buf_fini(&out);
    slu_buf_init(&out, 5);
    cr_assert(eq(int, slu_native_encode(&slu_wire_json, ev, &out), SLU_ENOMEM));
    slu_buf_fini(&out);
    free((void *)json.data);
    free((void *)cbor.data);
}

static struct slu_msg *message(struct vectors *v, const struct slu_msg_spec *spec, struct slu_pos pos)
{
    struct slu_msg *m = slu_msg_new(&v->account, spec);

    cr_assert(ne(ptr, m, NULL));
    m->pos = pos;
    return m;
}

static struct slu_pos at(uint64_t offset)
{
    return (struct slu_pos){ slu_epoch_parse(SLU_LIT("k3")), offset };
}

static struct slu_msg_spec sample(const char *topic)
{
    return (struct slu_msg_spec){ .topic = slu_str(topic),
                                  .payload = SLU_LIT("{\"t\":21.5}"),
                                  .kind = SLU_KIND_JSON,
                                  .form = SLU_FORM_JSON,
                                  .ts_ms = 1763670000000 };
}

static struct slu_reqid int_id(int64_t n)
{
    return (struct slu_reqid){ .type = SLU_ID_INT, .number = n };
}

Test(native_frames, session_frames_are_as_in_the_vectors)
{
    struct vectors v = { .root = load_vectors("native/server_frames.json") };
    struct slu_reqid id = int_id(1), text_id = { .type = SLU_ID_TEXT, .len = 1, .text = "x" }, seven = int_id(7),
                     ten = int_id(10);
    struct slu_event ev = { .type = SLU_EV_HELLO, .id = &id };

    ev.hello.conn = "c1";
    ev.hello.node = "n1";
    ev.hello.user = SLU_LIT("ann");
    ev.hello.ping_s = 25;
    ev.hello.expires_s = 3600;
    ev.hello.limits.payload = 1048576;
    ev.hello.limits.frame = 2097152;
    ev.hello.limits.subscriptions = 1024;
    ev.hello.limits.queue_bytes = 1048576;
    ev.hello.limits.queue_messages = 16384;
    expect_frame(&v, "hello", &ev);
    ev = (struct slu_event){ .type = SLU_EV_ERR, .id = &seven };
    ev.err.code = SLU_ETOPIC_FORBIDDEN;
    ev.err.message = "user 42 may not publish to sensors/a";
    ev.err.hint = "add pub:[\"sensors/#\"] to the token";
    expect_frame(&v, "err", &ev);
    ev = (struct slu_event){ .type = SLU_EV_PONG, .id = &ten, .ping = { 123, true } };
    expect_frame(&v, "pong", &ev);
    ev = (struct slu_event){ .type = SLU_EV_PONG };
    expect_frame(&v, "pong_bare", &ev);
    ev = (struct slu_event){ .type = SLU_EV_PING, .ping = { 1763670000000, true } };
    expect_frame(&v, "ping", &ev);
    ev = (struct slu_event){ .type = SLU_EV_BYE, .bye = { SLU_CLOSE_DRAINING, NULL, 250 } };
    expect_frame(&v, "bye", &ev);
    ev = (struct slu_event){ .type = SLU_EV_OK, .id = &id };
    expect_frame(&v, "ok_plain", &ev);
    ev.id = &text_id;
    ev.ok.what = SLU_OK_AUTH;
    ev.ok.expires_s = 60;
    expect_frame(&v, "ok_auth", &ev);
    json_decref(v.root);
}

Test(native_frames, answers_are_as_in_the_vectors)
{
    struct vectors v = { .root = load_vectors("native/server_frames.json") };
    struct slu_reqid two = int_id(2), three = int_id(3), four = int_id(4), five = int_id(5);
    struct slu_member members[] = { { "c1", SLU_LIT("ann"), SLU_LIT("phone") }, { "c2", { NULL, 0 }, { NULL, 0 } } };
    struct slu_msg_spec spec = sample("a");
    struct slu_event ev = { .type = SLU_EV_OK, .id = &two };

    ev.ok.what = SLU_OK_SUB;
    ev.ok.sub = 7;
    expect_frame(&v, "ok_sub_bare", &ev);
    ev.ok.recovered = true;
    ev.ok.pos = at(411);
    ev.ok.cur = SLU_LIT("CUR");
    expect_frame(&v, "ok_sub", &ev);
    ev = (struct slu_event){ .type = SLU_EV_OK, .id = &three };
    ev.ok.what = SLU_OK_PUB;
    expect_frame(&v, "ok_pub_unlogged", &ev);
    ev.ok.pos = at(412);
    ev.ok.matched = 2;
    expect_frame(&v, "ok_pub", &ev);
    spec.payload = SLU_LIT("3");
    struct slu_msg *reply = message(&v, &spec, (struct slu_pos){ 0, 0 });
    ev = (struct slu_event){ .type = SLU_EV_OK, .id = &four };
    ev.ok.what = SLU_OK_REQ;
    ev.ok.data = reply;
    expect_frame(&v, "ok_req", &ev);
    slu_msg_unref(reply);
    ev = (struct slu_event){ .type = SLU_EV_OK, .id = &five };
    ev.ok.what = SLU_OK_PRESENCE;
    ev.ok.count = 3;
    ev.ok.members = members;
    ev.ok.n_members = 2;
    ev.ok.next_member = SLU_LIT("c2");
    expect_frame(&v, "ok_presence", &ev);
    json_decref(v.root);
}

static struct slu_buf headers_of(const char *const *pairs)
{
    struct slu_buf b;

    slu_buf_init(&b, 0);
    for (; *pairs; pairs += 2)
        cr_assert(slu_headers_add(&b, slu_str(pairs[0]), slu_str(pairs[1])));
    return b;
}

Test(native_frames, history_is_as_in_the_vectors)
{
    struct vectors v = { .root = load_vectors("native/server_frames.json") };
    struct slu_reqid six = int_id(6);
    struct slu_buf headers = headers_of((const char *const[]){ "region", "eu", NULL });
    struct slu_msg_spec spec = sample("a");
    struct slu_msg *items[2];
    struct slu_event ev = { .type = SLU_EV_OK, .id = &six };

    items[0] = message(&v, &spec, at(1));
    spec.payload = SLU_LIT("\x00\x01\x02\xff");
    spec.kind = SLU_KIND_BINARY;
    spec.form = SLU_FORM_RAW;
    spec.key = SLU_LIT("k");
    spec.headers = slu_buf_bytes(&headers);
    items[1] = message(&v, &spec, at(2));
    ev.ok.what = SLU_OK_HISTORY;
    ev.ok.items = items;
    ev.ok.n_items = 2;
    ev.ok.next = at(2);
    expect_frame(&v, "ok_history", &ev);
    slu_msg_unref(items[0]);
    slu_msg_unref(items[1]);
    slu_buf_fini(&headers);
    json_decref(v.root);
}

static void expect_message(struct vectors *v, const char *name, const struct slu_msg_spec *spec, struct slu_pos pos,
                           struct slu_event ev)
{
    struct slu_msg *m = message(v, spec, pos);

    ev.type = SLU_EV_MSG;
    ev.msg.msg = m;
    expect_frame(v, name, &ev);
    slu_msg_unref(m);
}

Test(native_frames, messages_are_as_in_the_vectors)
{
    struct vectors v = { .root = load_vectors("native/server_frames.json") };
    struct slu_buf headers = headers_of((const char *const[]){ "region", "eu", "event", "tick", NULL });
    struct slu_event plain = { .type = SLU_EV_MSG }, own = { .type = SLU_EV_MSG };
    struct slu_msg_spec spec = sample("sensors/a");

    expect_message(&v, "msg", &spec, (struct slu_pos){ 0, 0 }, plain);
    spec.key = SLU_LIT("k");
    spec.headers = slu_buf_bytes(&headers);
    expect_message(&v, "msg_logged", &spec, at(411), plain);
    spec = sample("a");
    spec.ts_ms = 1;
    spec.kind = SLU_KIND_TEXT;
    spec.payload = SLU_LIT("\"gr\xc3\xbc\xc3\x9f"
                           "e\"");
    expect_message(&v, "msg_text", &spec, (struct slu_pos){ 0, 0 }, plain);
    spec.form = SLU_FORM_RAW;
    spec.payload = SLU_LIT("gr\xc3\xbc\xc3\x9f"
                           "e");
    expect_message(&v, "msg_text", &spec, (struct slu_pos){ 0, 0 }, plain);
    spec.kind = SLU_KIND_BINARY;
    spec.payload = SLU_LIT("\x00\x01\x02\xff");
    expect_message(&v, "msg_bytes", &spec, (struct slu_pos){ 0, 0 }, plain);
    spec = sample("jobs/1");
    spec.ts_ms = 1;
    spec.reply = SLU_LIT("_r/1");
    own.msg.has_sub = own.msg.retained = true;
    own.msg.sub = 7;
    own.msg.try_no = 2;
    expect_message(&v, "msg_own", &spec, (struct slu_pos){ 0, 0 }, own);
    slu_buf_fini(&headers);
    json_decref(v.root);
}

Test(native_frames, notices_are_as_in_the_vectors)
{
    struct vectors v = { .root = load_vectors("native/server_frames.json") };
    struct slu_event ev = { .type = SLU_EV_GAP, .gap = { 7, SLU_LIT("a"), 12, SLU_GAP_OVERFLOW } };

    expect_frame(&v, "gap", &ev);
    ev = (struct slu_event){ .type = SLU_EV_GAP, .gap = { 7, { NULL, 0 }, 0, SLU_GAP_EPOCH } };
    expect_frame(&v, "gap_unknown", &ev);
    ev = (struct slu_event){ .type = SLU_EV_CUR, .cur = { 7, SLU_LIT("CUR") } };
    expect_frame(&v, "cur", &ev);
    ev = (struct slu_event){ .type = SLU_EV_JOIN };
    ev.presence.topic = SLU_LIT("room/1");
    ev.presence.who = (struct slu_member){ "c1", SLU_LIT("ann"), SLU_LIT("phone") };
    expect_frame(&v, "join", &ev);
    ev.type = SLU_EV_LEAVE;
    ev.presence.who = (struct slu_member){ "c1", { NULL, 0 }, { NULL, 0 } };
    expect_frame(&v, "leave", &ev);
    ev = (struct slu_event){ .type = SLU_EV_END, .end = { 7, SLU_ETOPIC_FORBIDDEN, "right revoked" } };
    expect_frame(&v, "end", &ev);
    json_decref(v.root);
}
