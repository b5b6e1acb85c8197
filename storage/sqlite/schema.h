/* What stands in the database: the current schema, the steps from earlier ones, and the check that a file has it. */
#pragma once

#include "broker/base/buf.h"
#include "broker/base/err.h"

#include <sqlite3.h>

#define SQL_APPLICATION_ID 0x534c5543 /* "SLUC" */
enum { SQL_SCHEMA_VERSION = 2 };

/* Everything of the current version, into an empty database. As below: when it failed, close the connection. */
enum slu_err sql_schema_create(sqlite3 *db);
/* Forward from `version` to the current one: each step in a transaction of its own, together with user_version. */
enum slu_err sql_schema_migrate(sqlite3 *db, int version);
/* Whether all tables, columns and indexes of that version are there and can be read at their ends. `why` gets what is
 * not, as the end of a sentence. Nothing is written. */
bool sql_schema_check(sqlite3 *db, int version, struct slu_buf *why);
