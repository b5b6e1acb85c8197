#include "tests/conformance/engine/sim.h"

static const struct slu_engine *make(void)
{
    return &slu_engine_memory;
}

const struct engine_factory engine_factory = { .name = "memory", .make = make };
