/* One connection and its prepared statements; for one thread at a time. The first failure stays in `rc` until the owner
 * has looked at it, so that a row of calls needs one check at its end. */
#pragma once

#include "broker/base/bytes.h"

#include <sqlite3.h>

enum sql_text {
#define SQL_STATEMENT(name, text) SQL_##name,
#include "storage/sqlite/statements.def"
    SQL_TEXTS
};

struct sql_db {
    sqlite3 *db;
    int rc; /* extended code of the first failure; SQLITE_OK: none */
    sqlite3_stmt *stmts[SQL_TEXTS];
};

/* Finalizes all and closes; a closed one is fine. */
void sql_close(struct sql_db *db);

/* A statement to bind and run, or NULL (see rc), which everything below takes. What it was bound to must live until it
 * has ended. */
sqlite3_stmt *sql_get(struct sql_db *db, enum sql_text which);
void sql_bind_u64(sqlite3_stmt *st, int at, uint64_t v);
/* 0 becomes NULL, as an empty text does */
void sql_bind_u64_or_null(sqlite3_stmt *st, int at, uint64_t v);
void sql_bind_bytes(sqlite3_stmt *st, int at, struct slu_bytes v);
/* One more row; false: there is none, or it failed, and the statement has ended. */
bool sql_row(struct sql_db *db, sqlite3_stmt *st);
/* To the end; false: it failed. */
bool sql_run(struct sql_db *db, sqlite3_stmt *st);
static inline bool sql_do(struct sql_db *db, enum sql_text which)
{
    return sql_run(db, sql_get(db, which));
}
/* Before the last row was read. */
void sql_end(sqlite3_stmt *st);

/* Columns are hostile: false when it is no integer from 0 to max. NULL counts as 0. */
bool sql_column_u64(sqlite3_stmt *st, int at, uint64_t max, uint64_t *out);
/* False when it is neither NULL (empty) nor a blob or text of at most max bytes. Borrowed until the next row. */
bool sql_column_bytes(sqlite3_stmt *st, int at, size_t max, struct slu_bytes *out);
