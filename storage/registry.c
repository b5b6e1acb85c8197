#include "storage/registry.h"

#ifdef SLUICE_HAS_SQLITE
#include "storage/sqlite/sqlite.h"
const struct slu_engine *const slu_engine_for_disk = &slu_engine_sqlite;
#else
const struct slu_engine *const slu_engine_for_disk = NULL;
#endif
