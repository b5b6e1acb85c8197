/* sluice.echo: every message comes back as it went in, same kind. For conformance suites; offered only where the
 * configuration says so. It asks nothing of the core but to carry the bytes. */
#include "broker/core/session.h"
#include "broker/base/buf.h"
#include "protocol/adapter.h"

struct echo_conn {
    struct slu_session *session;
};

static enum slu_err on_open(void *conn, struct slu_session *s, const struct slu_peer *peer)
{
    struct echo_conn *c = conn;

    (void)peer;
    c->session = s;
    return SLU_OK;
}

static void on_message(void *conn, bool is_text, struct slu_bytes in)
{
    struct echo_conn *c = conn;
    struct slu_event ev = { .type = SLU_EV_RAW, .raw = { is_text, in } };

    slu_session_emit(c->session, &ev);
}

static enum slu_err encode(void *conn, const struct slu_event *ev, struct slu_buf *out)
{
    (void)conn;
    if (ev->type != SLU_EV_RAW)
        return SLU_EUNSUPPORTED;
    slu_buf_add_bytes(out, ev->raw.bytes);
    return out->failed ? SLU_ENOMEM : SLU_OK;
}

static void on_close(void *conn)
{
    (void)conn;
}

const struct slu_adapter slu_adapter_echo = {
    .name = "sluice.echo",
    .conn_size = sizeof(struct echo_conn),
    .wire = 2,
    .is_text = true,
    .dev_only = true,
    .needs_login = false,
    .on_open = on_open,
    .on_message = on_message,
    .encode = encode,
    .on_close = on_close,
};
