/* 1. Nothing is allocated for a message that comes in one piece, nothing is kept between messages.
 * 2. A frame's declared length counts as soon as its first byte is here; memory follows what has arrived.
 * 3. The session may close the link in any call: the state is looked at again after each. */
#include "broker/net/receive.h"

#include "broker/core/session.h"
#include "protocol/adapter.h"

#include <stdlib.h>
#include <sys/ioctl.h>

/* A masked client frame's header is at most this long, and a header cut in two hides at most that much of a read. */
enum { HEADER_MAX = 14, FIRST_CAP = 2048 };

void slu_receive_reset(struct slu_link *l)
{
    if (l->message) {
        slu_account_sub(slu_broker_account(l->loop->net->broker), l->message_cap);
        free(l->message);
        l->message = NULL;
    }
    l->message_len = l->message_cap = 0;
    if (l->in_message)
        slu_link_deadline(l, 0);
    l->in_message = false;
}

static void refuse(struct slu_link *l, enum slu_close code, const char *message)
{
    slu_count(l->loop->net->broker, SLU_COUNT_frames_bad, 1);
    slu_receive_reset(l);
    slu_session_fail(l->session, code, message);
}

/* OpenSSL gives one record at a time, however small: the socket knows whether another one waits. */
static bool has_more_records(const struct slu_link *l)
{
    int n = 0;
    return ioctl(lws_get_socket_fd(l->wsi), FIONREAD, &n) == 0 && n > 0;
}

/* lws reads a little at a time; a full read means that more is waiting. */
static void note_bytes(struct slu_link *l, size_t n, bool new_frame)
{
    struct slu_loop *loop = l->loop;
    if (l->round != loop->round) {
        l->round = loop->round;
        l->round_bytes = 0;
    }
    l->round_bytes += (uint32_t)n + (new_frame ? 6 : 0);
    if (l->round_bytes >= SLU_RX_BYTES + LWS_PRE - HEADER_MAX || (l->is_tls && has_more_records(l)))
        loop->more_input = true;
}

static size_t limit_of(const struct slu_link *l)
{
    const struct slu_settings *s = slu_broker_settings(l->loop->net->broker);
    return slu_session_is_open(l->session) || !l->adapter->needs_login ? s->frame_max : s->login_frame_max;
}

/* Room for n more bytes, which have arrived. */
static bool reserve(struct slu_link *l, size_t n, size_t limit)
{
    size_t need = l->message_len + n;
    if (need <= l->message_cap)
        return true;
    size_t cap = l->message_cap ? l->message_cap * 2 : FIRST_CAP;
    if (cap > limit)
        cap = limit;
    if (cap < need)
        cap = need;
    struct slu_account *account = slu_broker_account(l->loop->net->broker);
    if (slu_account_pressure(account) >= SLU_PRESSURE_READERS)
        return false;
    uint8_t *message = realloc(l->message, cap);
    if (!message)
        return false;
    slu_account_add(account, cap - l->message_cap);
    l->message = message;
    l->message_cap = cap;
    return true;
}

/* False when the frame that begins here makes the message too large or too finely cut. */
static bool check_frame(struct slu_link *l, size_t piece, uint64_t rest)
{
    if (rest > SIZE_MAX - piece || l->message_len + piece + rest > limit_of(l) || rest > limit_of(l)) {
        refuse(l, SLU_CLOSE_TOO_LARGE, NULL);
        return false;
    }
    if (++l->fragments > l->loop->view->settings.fragments) {
        refuse(l, SLU_CLOSE_TOO_LARGE, "the message has too many fragments");
        return false;
    }
    return true;
}

static void collect(struct slu_link *l, struct slu_bytes piece, bool is_last)
{
    if (l->is_text && !(slu_utf8_feed(&l->utf8, piece) && (!is_last || slu_utf8_done(&l->utf8)))) {
        refuse(l, SLU_CLOSE_BAD_UTF8, NULL);
        return;
    }
    if (piece.len > 0 && !reserve(l, piece.len, limit_of(l))) {
        refuse(l, SLU_CLOSE_OVERLOADED, NULL);
        return;
    }
    if (piece.len > 0)
        memcpy(l->message + l->message_len, piece.data, piece.len);
    l->message_len += piece.len;
    if (!is_last)
        return;
    uint8_t *message = l->message; /* out of the link: the session may end it from inside */
    size_t len = l->message_len, cap = l->message_cap;
    l->message = NULL;
    slu_receive_reset(l);
    slu_session_input(l->session, l->is_text, slu_bytes(message, len));
    slu_account_sub(slu_broker_account(l->loop->net->broker), cap);
    free(message);
}

void slu_receive(struct slu_link *l, struct slu_bytes piece)
{
    if (l->state != SLU_LINK_OPEN)
        return;
    slu_session_alive(l->session);
    uint64_t rest = lws_remaining_packet_payload(l->wsi);
    bool new_frame = l->frame_left == 0, is_last = lws_is_final_fragment(l->wsi);
    note_bytes(l, piece.len, new_frame);
    if (!l->in_message) {
        l->is_text = lws_frame_is_binary(l->wsi) == 0;
        l->fragments = 0;
    }
    if (new_frame && !check_frame(l, piece.len, rest))
        return;
    l->frame_left = rest;
    if (!l->in_message && is_last) {
        if (l->is_text && !slu_utf8_valid(piece))
            refuse(l, SLU_CLOSE_BAD_UTF8, NULL);
        else
            slu_session_input(l->session, l->is_text, piece);
        return;
    }
    if (!l->in_message) {
        l->in_message = true;
        l->utf8 = (struct slu_utf8){ 0 };
        slu_link_deadline(l, l->loop->view->settings.message_ms);
    }
    collect(l, piece, is_last);
}
