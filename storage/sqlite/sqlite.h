/* The embedded, durable engine: logs, retained values and named states in one SQLite file. */
#pragma once

#include "storage/engine.h"

extern const struct slu_engine slu_engine_sqlite;
