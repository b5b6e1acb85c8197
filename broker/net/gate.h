/* Who may come in: bounds on connections and on new connections a second, in total and for each address. One table for
 * all workers. An IPv6 address stands for its /64. */
#pragma once

#include "broker/net/address.h"

struct slu_gate;

struct slu_gate_bounds {
    uint64_t total, per_address;     /* connections at once; 0 = no bound */
    uint64_t rate, rate_per_address; /* new ones a second, also the size of a burst; 0 = no bound */
};

enum slu_gate_answer { SLU_GATE_OPEN, SLU_GATE_TOTAL, SLU_GATE_ADDRESS, SLU_GATE_RATE };

struct slu_gate *slu_gate_new(void);
void slu_gate_free(struct slu_gate *g);

/* Any thread. OPEN: counted until slu_gate_leave with the same address; otherwise nothing was counted. */
enum slu_gate_answer slu_gate_enter(struct slu_gate *g, const struct slu_gate_bounds *b, const struct slu_ip *ip,
                                    uint64_t now_ms);
/* A connection that came in as `from` turns out to speak for `to`. Not OPEN: it stays counted as `from`. */
enum slu_gate_answer slu_gate_move(struct slu_gate *g, const struct slu_gate_bounds *b, const struct slu_ip *from,
                                   const struct slu_ip *to, uint64_t now_ms);
void slu_gate_leave(struct slu_gate *g, const struct slu_ip *ip);
size_t slu_gate_count(const struct slu_gate *g);
