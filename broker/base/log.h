/* One line per event on stderr: time, level, area, event name, key=value fields; control characters are escaped and
 * long values shortened. Never payloads or secrets. A failing log write never stops service. Any thread. */
#pragma once

#include "broker/base/bytes.h"

enum slu_level { SLU_LOG_ERROR, SLU_LOG_WARN, SLU_LOG_INFO, SLU_LOG_DEBUG };

void slu_log_set_level(enum slu_level lvl);
bool slu_log_enabled(enum slu_level lvl);
/* fmt gives the fields: "conn=%s bytes=%zu"; NULL for none. A value that a peer chose goes through slu_log_quote, so
 * that it cannot pose as further fields; control characters anywhere in the line are escaped in any case. */
void slu_log(enum slu_level lvl, const char *area, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Writes v in double quotes, escaped, into out and returns out. What does not fit in cap (at least 8, with the NUL) is cut
 * and marked by "..." before the closing quote. */
const char *slu_log_quote(char *out, size_t cap, struct slu_bytes v);

/* At most `per_second` lines a second from one call site: `if (slu_log_allowed(&limit, 5)) slu_log(…)`. What was held back
 * stands as held_back=N in the thread's next line. */
struct slu_log_limit {
    _Atomic long second;
    _Atomic unsigned count; /* calls within `second` */
};
bool slu_log_allowed(struct slu_log_limit *l, unsigned per_second);
