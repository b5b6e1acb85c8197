/* The life of a session after its start: signs of life, reading on and off, the way to its end. */
#pragma once

#include "broker/core/state.h"

enum slu_end_how {
    SLU_END_AFTER_QUEUE, /* what is queued goes out first */
    SLU_END_DROP_QUEUE,  /* queued frames are dropped, bye goes out at once */
};

/* BYE (where the protocol has one), then the close frame; the socket is cut after the close timeout. Marks only: safe
 * inside a delivery. after_ms goes into bye; message is static text (it is
 * the close reason, too, if it is short enough) or NULL. */
void slu_life_end(struct slu_session *s, enum slu_close code, const char *message, enum slu_end_how how,
                  uint64_t after_ms);
/* While closing: tells the link to close once everything is out. */
void slu_life_try_finish(struct slu_session *s);
void slu_life_timer(struct slu_timer *t, uint64_t now_ms);
void slu_life_arm(struct slu_session *s);
/* After one of the read_off flags changed. */
void slu_life_update_reading(struct slu_session *s);
/* One more, or less, of what the session has asked to be stored is under way: too much of it, and it is not read from
 * for a while. */
void slu_life_op_begins(struct slu_session *s);
void slu_life_op_ends(struct slu_session *s);
/* Frees a session that is gone (end of turn). */
void slu_life_reap(struct slu_session *s);
/* In session.c: the login that silence stands for, and the very end. */
bool slu_session_login_at_deadline(struct slu_session *s);
void slu_session_destroy(struct slu_session *s);
/* In session.c: rights as the auth hook gives them now, for every anonymous session of the worker. */
void slu_session_review_all(struct slu_worker *w);
