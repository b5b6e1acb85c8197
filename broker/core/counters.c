/* Process-wide counters: plain numbers, refusals by error code, closes by close code; and their text for metrics. */
#include "broker/core/broker_state.h"

static const struct {
    const char *name, *help;
} counter_rows[] = {
#define X(name, help) { #name, help },
    SLU_COUNTERS(X)
#undef X
};

static const enum slu_close close_rows[] = {
#define SLU_CLOSE(name, number, word, reason, retry) SLU_CLOSE_##name,
#include "protocol/closes.def"
};
enum { CLOSES = sizeof(close_rows) / sizeof(close_rows[0]) };
_Static_assert((int)CLOSES <= (int)SLU_CLOSES_MAX, "room for every close code");

void slu_count(struct slu_broker *b, enum slu_counter c, uint64_t n)
{
    atomic_fetch_add_explicit(&b->counters[c], n, memory_order_relaxed);
}

uint64_t slu_counter_get(const struct slu_broker *b, enum slu_counter c)
{
    return atomic_load_explicit(&((struct slu_broker *)b)->counters[c], memory_order_relaxed);
}

void slu_count_close(struct slu_broker *b, enum slu_close code)
{
    for (unsigned i = 0; i < CLOSES; i++)
        if (close_rows[i] == code)
            atomic_fetch_add_explicit(&b->closes[i], 1, memory_order_relaxed);
}

void slu_count_error(struct slu_broker *b, enum slu_err e)
{
    if (e < SLU_ERR_COUNT)
        atomic_fetch_add_explicit(&b->errors[e], 1, memory_order_relaxed);
}

uint64_t slu_count_error_get(const struct slu_broker *b, enum slu_err e)
{
    return e < SLU_ERR_COUNT ? atomic_load_explicit(&((struct slu_broker *)b)->errors[e], memory_order_relaxed) : 0;
}

/* Two internal errors may travel under one wire code: rows of the same code are added up. */
static uint64_t errors_of_code(const struct slu_broker *b, enum slu_err first)
{
    uint64_t n = 0;
    for (int e = 1; e < SLU_ERR_COUNT; e++)
        if (!strcmp(slu_err_info((enum slu_err)e)->code, slu_err_info(first)->code))
            n += slu_count_error_get(b, (enum slu_err)e);
    return n;
}

static bool is_first_of_code(int e)
{
    for (int i = 1; i < e; i++)
        if (!strcmp(slu_err_info((enum slu_err)i)->code, slu_err_info((enum slu_err)e)->code))
            return false;
    return true;
}

void slu_broker_metrics(const struct slu_broker *b, struct slu_buf *out)
{
    for (unsigned i = 0; i < SLU_COUNTERS_N; i++)
        slu_buf_addf(out, "# HELP sluice_%s_total %s\n# TYPE sluice_%s_total counter\nsluice_%s_total %llu\n",
                     counter_rows[i].name, counter_rows[i].help, counter_rows[i].name, counter_rows[i].name,
                     (unsigned long long)slu_counter_get(b, (enum slu_counter)i));
    slu_buf_add_str(out, "# HELP sluice_errors_total errors answered, by code\n# TYPE sluice_errors_total counter\n");
    for (int e = 1; e < SLU_ERR_COUNT; e++)
        if (is_first_of_code(e))
            slu_buf_addf(out, "sluice_errors_total{code=\"%s\"} %llu\n", slu_err_info((enum slu_err)e)->code,
                         (unsigned long long)errors_of_code(b, (enum slu_err)e));
    slu_buf_add_str(out, "# HELP sluice_closes_total connections closed by the broker, by code\n"
                         "# TYPE sluice_closes_total counter\n");
    for (unsigned i = 0; i < CLOSES; i++)
        slu_buf_addf(out, "sluice_closes_total{code=\"%d\"} %llu\n", (int)close_rows[i],
                     (unsigned long long)atomic_load(&((struct slu_broker *)b)->closes[i]));
    slu_buf_addf(out,
                 "# HELP sluice_connections open connections\n# TYPE sluice_connections gauge\nsluice_connections %zu\n"
                 "# HELP sluice_memory_bytes memory accounted for\n# TYPE sluice_memory_bytes gauge\n"
                 "sluice_memory_bytes %zu\n"
                 "# HELP sluice_memory_budget_bytes configured bound\n# TYPE sluice_memory_budget_bytes gauge\n"
                 "sluice_memory_budget_bytes %zu\n",
                 slu_broker_sessions(b), atomic_load(&((struct slu_broker *)b)->account.used), b->account.budget);
}
