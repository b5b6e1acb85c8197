#include "storage/sqlite/sql.h"

#include "broker/base/log.h"

static const char *const texts[] = {
#define SQL_STATEMENT(name, text) text,
#include "storage/sqlite/statements.def"
};

void sql_close(struct sql_db *db)
{
    for (int i = 0; i < SQL_TEXTS; i++)
        sqlite3_finalize(db->stmts[i]);
    sqlite3_close(db->db);
    *db = (struct sql_db){ 0 };
}

static void fail(struct sql_db *db, int rc)
{
    static struct slu_log_limit limit;
    if (db->rc == SQLITE_OK)
        db->rc = rc;
    if (slu_log_allowed(&limit, 2))
        slu_log(SLU_LOG_ERROR, "store", "sql_failed", "code=%d why=\"%s\"", rc,
                db->db ? sqlite3_errmsg(db->db) : "no connection");
}

sqlite3_stmt *sql_get(struct sql_db *db, enum sql_text which)
{
    sqlite3_stmt **st = &db->stmts[which];
    if (*st)
        return *st;
    int rc =
        db->db ? sqlite3_prepare_v3(db->db, texts[which], -1, SQLITE_PREPARE_PERSISTENT, st, NULL) : SQLITE_CANTOPEN;
    if (rc != SQLITE_OK)
        fail(db, rc);
    return *st;
}

void sql_bind_u64(sqlite3_stmt *st, int at, uint64_t v)
{
    sqlite3_bind_int64(st, at, v > INT64_MAX ? INT64_MAX : (sqlite3_int64)v);
}

void sql_bind_u64_or_null(sqlite3_stmt *st, int at, uint64_t v)
{
    if (v)
        sql_bind_u64(st, at, v);
    else
        sqlite3_bind_null(st, at);
}

void sql_bind_bytes(sqlite3_stmt *st, int at, struct slu_bytes v)
{
    if (v.len)
        sqlite3_bind_blob64(st, at, v.data, v.len, SQLITE_STATIC);
    else
        sqlite3_bind_null(st, at);
}

bool sql_row(struct sql_db *db, sqlite3_stmt *st)
{
    if (!st)
        return false;
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        return true;
    if (rc != SQLITE_DONE)
        fail(db, rc);
    sqlite3_reset(st);
    return false;
}

bool sql_run(struct sql_db *db, sqlite3_stmt *st)
{
    if (!st)
        return false;
    int rc;
    do
        rc = sqlite3_step(st);
    while (rc == SQLITE_ROW);
    if (rc != SQLITE_DONE)
        fail(db, rc);
    sqlite3_reset(st);
    return rc == SQLITE_DONE;
}

void sql_end(sqlite3_stmt *st)
{
    sqlite3_reset(st);
}

bool sql_column_u64(sqlite3_stmt *st, int at, uint64_t max, uint64_t *out)
{
    int type = sqlite3_column_type(st, at);
    sqlite3_int64 v = type == SQLITE_INTEGER ? sqlite3_column_int64(st, at) : 0;
    *out = (uint64_t)v;
    return (type == SQLITE_INTEGER || type == SQLITE_NULL) && v >= 0 && (uint64_t)v <= max;
}

bool sql_column_bytes(sqlite3_stmt *st, int at, size_t max, struct slu_bytes *out)
{
    int type = sqlite3_column_type(st, at);
    *out = (struct slu_bytes){ NULL, 0 };
    if (type == SQLITE_NULL)
        return true;
    if (type != SQLITE_BLOB && type != SQLITE_TEXT)
        return false;
    const void *data = sqlite3_column_blob(st, at);
    size_t len = (size_t)sqlite3_column_bytes(st, at);
    if (len > max || (len && !data))
        return false;
    *out = slu_bytes(data, len);
    return true;
}
