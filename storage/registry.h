/* The engines that this build has. One that lacks its library is left out here and nowhere else. */
#pragma once

#include "storage/engine.h"

/* For topics with log: disk. NULL: this build has none. */
extern const struct slu_engine *const slu_engine_for_disk;
