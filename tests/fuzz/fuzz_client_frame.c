/* libsluice's receiving side: the frame decoder with the input cut into pieces of every size, and what it makes of whole
 * text messages. Whatever the cuts, the same messages must come out. The first byte chooses the size of the pieces. */
#include "clients/c/src/client.h"

#include <stdlib.h>

enum { MESSAGE_MAX = 4096 };

struct outcome {
    uint64_t digest;
    unsigned messages;
    int close_code;
};

static void digest(struct outcome *o, const void *data, size_t len)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < len; i++)
        o->digest = (o->digest ^ p[i]) * UINT64_C(1099511628211);
}

/* Feeds pieces as the reader does: what is not used is kept and offered again with more behind it. */
static struct outcome decode(const uint8_t *data, size_t size, size_t piece)
{
    struct slu_ws_rx rx;
    struct outcome o = { .digest = 1 };
    size_t at = 0, have = 0;
    slu_ws_rx_init(&rx, MESSAGE_MAX);
    for (;;) {
        struct slu_ws_message m;
        size_t used = 0, need = 0;
        enum slu_ws_rc rc = slu_ws_rx_next(&rx, slu_bytes(data + at, have), &m, &used, &need);
        if (used > have)
            abort();
        at += used;
        have -= used;
        if (rc == SLU_WS_BROKEN) {
            o.close_code = rx.close_code;
            break;
        }
        if (rc == SLU_WS_MESSAGE) {
            uint8_t op = (uint8_t)m.op;
            o.messages++;
            digest(&o, &op, 1);
            digest(&o, m.data.data, m.data.len);
            continue;
        }
        if (need <= have)
            abort(); /* more was asked for than is there, or the reader would spin */
        if (at + have == size)
            break;
        have = have + piece < size - at ? have + piece : size - at;
    }
    slu_ws_rx_fini(&rx);
    return o;
}

static void on_message(void *arg, sluice_client_sub *sub, const struct sluice_message *m)
{
    struct outcome *o = arg;
    struct sluice_span value;
    char buf[64];
    (void)sub;
    digest(o, m->payload.data, m->payload.len);
    if (sluice_client_header(m, "a", buf, sizeof(buf), &value))
        digest(o, value.data, value.len);
}

static void on_item(void *arg, sluice_client *c, const struct sluice_message *m)
{
    (void)c;
    digest(arg, m->payload.data, m->payload.len);
}

static void on_done(void *arg, sluice_client *c, const struct sluice_result *r)
{
    (void)c;
    digest(arg, r->frame.data, r->frame.len);
}

/* A client that believes to be connected reads the rest as one text message. */
static void read_text(const uint8_t *data, size_t size)
{
    static struct ev_loop *loop; /* one for all inputs: making one costs more than the rest */
    loop = loop ? loop : ev_loop_new(EVFLAG_AUTO);
    struct sluice_client_options o = { .url = "ws://127.0.0.1:1/", .loop = loop };
    struct outcome out = { .digest = 1 };
    struct sluice_sub_options s = { .arg = &out, .on_message = on_message, .presence = true };
    sluice_client *c;
    if (sluice_client_new(&c, &o) != SLUICE_OK)
        return;
    sluice_client_subscribe(c, "a", &s, NULL);
    sluice_client_subscribe(c, "a/#", &s, NULL);
    c->phase = SLU_PH_UP;
    slu_subs_send_all(c);
    sluice_client_history(c, "a", NULL, on_item, on_done, &out);
    sluice_client_request(c, "a", "1", 1, NULL, on_done, &out);
    slu_rx_text(c, slu_bytes(data, size));
    sluice_client_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t piece = (size_t)data[0] + 1;
    struct outcome whole = decode(data + 1, size - 1, size), cut = decode(data + 1, size - 1, piece);
    if (whole.digest != cut.digest || whole.messages != cut.messages || whole.close_code != cut.close_code)
        abort();
    read_text(data + 1, size - 1);
    return 0;
}
