/* An engine around another that misbehaves on demand, for tests of whatever stands on a store. Each fault names an
 * operation and which call of it (from 1, counted since the engine was opened):
 * - FAIL: the call never reaches the inner engine and ends with the given error;
 * - LOSE: the inner engine does it, but the caller is told the error: the answer got lost on the way;
 * - HOLD: that call and all later ones of its operation wait, in order, until slu_faulty_release. */
#pragma once

#include "storage/engine.h"

#include <pthread.h>

enum slu_faulty_op {
    SLU_FAULTY_APPEND,
    SLU_FAULTY_LOCATE,
    SLU_FAULTY_SCAN,
    SLU_FAULTY_TAIL,
    SLU_FAULTY_STATE,
    SLU_FAULTY_OPS
};
enum slu_fault { SLU_FAULT_NONE, SLU_FAULT_FAIL, SLU_FAULT_LOSE, SLU_FAULT_HOLD };

struct slu_faulty {
    struct slu_engine engine; /* the table that open was called through */
    const struct slu_engine *inner;
    void *inner_st;
    struct slu_engine_env env;
    bool is_closed;
    pthread_mutex_t lock; /* what follows; calls come from every worker */
    struct {
        unsigned calls, nth;
        enum slu_fault fault;
        enum slu_err err;
    } ops[SLU_FAULTY_OPS];
    struct slu_mail *held, **held_end;
};

/* The wrapped engine, to be given to slu_store_open before the next one is wrapped. f is the caller's and outlives the
 * store and every request. */
const struct slu_engine *slu_faulty_init(struct slu_faulty *f, const struct slu_engine *inner);
void slu_faulty_fini(struct slu_faulty *f);
/* One fault for each operation at a time; nth = 0: the very next call. */
void slu_faulty_set(struct slu_faulty *f, enum slu_faulty_op op, enum slu_fault fault, unsigned nth, enum slu_err err);
/* Any thread. What was held goes on, each on its caller's worker; later calls are not held. */
void slu_faulty_release(struct slu_faulty *f);
/* How many calls of it came so far. */
unsigned slu_faulty_calls(struct slu_faulty *f, enum slu_faulty_op op);
