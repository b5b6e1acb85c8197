/* The one list of errors (protocol/errors.def) and of close codes (protocol/closes.def) as C enums with their text. */
#pragma once

#include <stdbool.h>

enum slu_err {
    SLU_OK = 0,
#define SLU_ERROR(name, code, status, retry, message, hint) SLU_E##name,
#include "protocol/errors.def"
    SLU_ERR_COUNT
};

struct slu_err_info {
    const char *code;    /* wire code, shared by the native protocol and the HTTP API */
    int status;          /* HTTP status */
    bool retry;          /* the same request may succeed later */
    const char *message; /* default sentence: what happened */
    const char *hint;    /* what to do next */
};

enum slu_close {
#define SLU_CLOSE(name, number, word, reason, retry) SLU_CLOSE_##name = number,
#include "protocol/closes.def"
};

enum slu_close_retry { SLU_RETRY_NEVER, SLU_RETRY_NOW, SLU_RETRY_BACKOFF };

struct slu_close_info {
    enum slu_close code;
    const char *word;   /* bye.code */
    const char *reason; /* close reason, at most 123 bytes */
    enum slu_close_retry retry;
};

/* Both return static rows and never NULL: an unknown number gives the row of INTERNAL. */
const struct slu_err_info *slu_err_info(enum slu_err e);
const struct slu_close_info *slu_close_info(enum slu_close c);
