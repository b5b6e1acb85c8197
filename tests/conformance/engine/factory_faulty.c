/* The memory engine behind the test double that makes engines fail: without a fault it must change nothing. */
#include "tests/conformance/engine/sim.h"

#include "tests/support/faulty_engine.h"

static struct slu_faulty faulty;

static const struct slu_engine *make(void)
{
    return slu_faulty_init(&faulty, &slu_engine_memory);
}

static void clean(void)
{
    slu_faulty_fini(&faulty);
}

const struct engine_factory engine_factory = { .name = "faulty", .make = make, .clean = clean };
