/* Topic rules: the most specific matching rule says what a topic keeps and how its readers are treated.
 * A rule set is immutable; a reload makes a new one. */
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/err.h"

enum slu_log_kind { SLU_LOG_NONE, SLU_LOG_MEMORY, SLU_LOG_DISK };
enum slu_overflow {
    SLU_OVERFLOW_DEFAULT,
    SLU_OVERFLOW_PAUSE,
    SLU_OVERFLOW_CONFLATE,
    SLU_OVERFLOW_DROP_OLDEST,
    SLU_OVERFLOW_CLOSE
};
enum slu_ack { SLU_ACK_DEFAULT, SLU_ACK_NONE, SLU_ACK_ACCEPTED, SLU_ACK_STORED, SLU_ACK_REPLICATED };
enum slu_payload_rule { SLU_PAYLOAD_AUTO, SLU_PAYLOAD_JSON, SLU_PAYLOAD_TEXT, SLU_PAYLOAD_BINARY };

struct slu_rule {
    struct slu_bytes filter; /* owned by the set */
    enum slu_log_kind log;
    uint64_t max_count, max_bytes, max_age_ms; /* bounds of the log; 0 = unbounded */
    bool last_value;                           /* keep the newest message when the log has lost it */
    bool presence;
    enum slu_overflow overflow; /* DEFAULT: pause with a log, close without */
    enum slu_ack ack;
    uint64_t max_size; /* payload bytes; 0 = the broker's limit */
    uint64_t max_rate; /* messages a second for each topic and worker; 0 = unlimited */
    enum slu_payload_rule payload;
};

struct slu_rules;

/* The built-in default: memory log of 100 messages and 10 minutes, last value, presence. Bytes: 8 MiB. */
extern const struct slu_rule slu_rule_default;

/* Copies the rules. Filters must be valid and distinct. */
enum slu_err slu_rules_new(const struct slu_rule *rules, size_t n, struct slu_rules **out);
void slu_rules_free(struct slu_rules *r);
/* Which logs the topics that a filter matches may have: bits 1 << enum slu_log_kind. May name one too many. */
unsigned slu_rules_logs(const struct slu_rules *r, struct slu_bytes filter);
/* Never NULL; lives as long as the set. */
const struct slu_rule *slu_rules_find(const struct slu_rules *r, struct slu_bytes topic);
