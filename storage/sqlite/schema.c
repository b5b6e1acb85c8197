/* The schema as SQL text, and as a table of what must be there. Columns are always named in statements, never counted:
 * a migrated file has them in another order than a new one. */
#include "storage/sqlite/schema.h"

#include <stdio.h>

/* auto_vacuum must be said before the first table. A seq never comes back: it is counted in memory and starts behind
 * the greatest of the message table, topic.trimmed_seq and gone. */
static const char create[] =
    "PRAGMA auto_vacuum=INCREMENTAL;"
    "PRAGMA journal_mode=WAL;"
    "BEGIN IMMEDIATE;"
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE topic (id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, epoch INTEGER NOT NULL,"
    " head INTEGER NOT NULL, first INTEGER NOT NULL, bytes INTEGER NOT NULL, born_seq INTEGER NOT NULL,"
    " floor_seq INTEGER NOT NULL, trimmed_seq INTEGER NOT NULL, max_count INTEGER NOT NULL,"
    " max_bytes INTEGER NOT NULL, max_age_ms INTEGER NOT NULL, last_value INTEGER NOT NULL);"
    /* max_ts: the greatest ts up to here, where that is not ts itself: sorted, as ts need not be */
    "CREATE TABLE message (seq INTEGER PRIMARY KEY, topic INTEGER NOT NULL, offset INTEGER NOT NULL,"
    " ts INTEGER NOT NULL, max_ts INTEGER, expires INTEGER, size INTEGER NOT NULL, kind INTEGER NOT NULL,"
    " form INTEGER NOT NULL, flags INTEGER NOT NULL, publisher INTEGER, key BLOB, reply BLOB, headers BLOB,"
    " payload BLOB);"
    /* the rowid is part of every index, so these are (topic, seq) and (expires, seq) */
    "CREATE INDEX message_topic ON message(topic);"
    "CREATE INDEX message_expiry ON message(expires) WHERE expires IS NOT NULL;"
    /* of topics whose log is here; place: its own seq, or where the log was when an unlogged one came */
    "CREATE TABLE retained (topic INTEGER PRIMARY KEY, place INTEGER NOT NULL, seq INTEGER NOT NULL,"
    " offset INTEGER NOT NULL, ts INTEGER NOT NULL, expires INTEGER, size INTEGER NOT NULL,"
    " kind INTEGER NOT NULL, form INTEGER NOT NULL, flags INTEGER NOT NULL, publisher INTEGER, key BLOB,"
    " reply BLOB, headers BLOB, payload BLOB);"
    "CREATE INDEX retained_expiry ON retained(expires) WHERE expires IS NOT NULL;"
    /* retained values of topics whose log is elsewhere */
    "CREATE TABLE mirror (name BLOB PRIMARY KEY, seq INTEGER NOT NULL, offset INTEGER NOT NULL,"
    " ts INTEGER NOT NULL, expires INTEGER, size INTEGER NOT NULL, kind INTEGER NOT NULL, form INTEGER NOT NULL,"
    " flags INTEGER NOT NULL, publisher INTEGER, key BLOB, reply BLOB, headers BLOB, payload BLOB);"
    "CREATE INDEX mirror_expiry ON mirror(expires) WHERE expires IS NOT NULL;"
    "CREATE TABLE dedup (topic INTEGER, key BLOB, offset INTEGER, matched INTEGER, at_ms INTEGER,"
    " PRIMARY KEY(topic, key)) WITHOUT ROWID;"
    "CREATE INDEX dedup_age ON dedup(at_ms);"
    "CREATE TABLE state (key BLOB PRIMARY KEY, generation INTEGER NOT NULL, expires INTEGER,"
    " value BLOB) WITHOUT ROWID;"
    "CREATE INDEX state_expiry ON state(expires) WHERE expires IS NOT NULL;"
    /* newest seq lost by forgotten topics, by hash bucket */
    "CREATE TABLE gone (bucket INTEGER PRIMARY KEY, seq INTEGER NOT NULL);"
    /* how often topics of a bucket were forgotten: their next epochs follow from it */
    "CREATE TABLE rebirth (bucket INTEGER PRIMARY KEY, generation INTEGER NOT NULL);"
    "INSERT INTO meta VALUES ('cursor_epoch', (random() & 9007199254740991) | 1), ('generation', 0);";

struct step {
    int from;
    const char *sql;
};

/* Each goes one version forward. A step once released never changes. */
static const struct step steps[] = {
    /* Version 1 had no reply topics, no order of time, and knew nothing of topics that it had forgotten. */
    { 1, "ALTER TABLE message ADD COLUMN reply BLOB;"
         "ALTER TABLE retained ADD COLUMN reply BLOB;"
         "ALTER TABLE mirror ADD COLUMN reply BLOB;"
         "ALTER TABLE message ADD COLUMN max_ts INTEGER;"
         "UPDATE message SET max_ts = upto FROM (SELECT seq AS at, max(ts) OVER (ORDER BY seq) AS upto FROM message)"
         " WHERE seq = at AND upto > ts;"
         "ALTER TABLE retained ADD COLUMN place INTEGER NOT NULL DEFAULT 0;"
         "UPDATE retained SET place = seq;"
         "CREATE INDEX retained_expiry ON retained(expires) WHERE expires IS NOT NULL;"
         "CREATE INDEX mirror_expiry ON mirror(expires) WHERE expires IS NOT NULL;"
         "CREATE INDEX state_expiry ON state(expires) WHERE expires IS NOT NULL;"
         "CREATE TABLE gone (bucket INTEGER PRIMARY KEY, seq INTEGER NOT NULL);"
         "CREATE TABLE rebirth (bucket INTEGER PRIMARY KEY, generation INTEGER NOT NULL);" },
};

/* What a reader of a version relies on. `where` leads the read to the index where one is named. */
struct part {
    int since;
    const char *columns, *from;
};

static const struct part parts[] = {
    { 1, "key, value", "meta" },
    { 1,
      "id, name, epoch, head, first, bytes, born_seq, floor_seq, trimmed_seq, max_count, max_bytes, max_age_ms, "
      "last_value",
      "topic" },
    { 1, "seq, topic, offset, ts, expires, size, kind, form, flags, publisher, key, headers, payload", "message" },
    { 1, "topic, seq, offset, ts, expires, size, kind, form, flags, publisher, key, headers, payload", "retained" },
    { 1, "name, seq, offset, ts, expires, size, kind, form, flags, publisher, key, headers, payload", "mirror" },
    { 1, "topic, key, offset, matched, at_ms", "dedup" },
    { 1, "key, generation, expires, value", "state" },
    { 1, "seq", "message ORDER BY seq DESC" },
    { 1, "seq", "message INDEXED BY message_topic WHERE topic > 0" },
    { 1, "seq", "message INDEXED BY message_expiry WHERE expires > 0" },
    { 1, "key", "dedup INDEXED BY dedup_age WHERE at_ms > 0" },
    { 2, "reply", "message" },
    { 2, "reply", "retained" },
    { 2, "reply", "mirror" },
    { 2, "bucket, seq", "gone" },
    { 2, "bucket, generation", "rebirth" },
    { 2, "max_ts", "message" },
    { 2, "place", "retained" },
    { 2, "topic", "retained INDEXED BY retained_expiry WHERE expires > 0" },
    { 2, "name", "mirror INDEXED BY mirror_expiry WHERE expires > 0" },
    { 2, "key", "state INDEXED BY state_expiry WHERE expires > 0" },
};

enum { N_STEPS = sizeof(steps) / sizeof(steps[0]), N_PARTS = sizeof(parts) / sizeof(parts[0]) };

/* Ends the transaction that sql runs in, with the version. What failed is undone when the connection closes: a rollback
 * here would hide its message. */
static enum slu_err settle(sqlite3 *db, const char *sql, int version)
{
    char end[96];
    snprintf(end, sizeof(end), "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT", SQL_APPLICATION_ID, version);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK && sqlite3_exec(db, end, NULL, NULL, NULL) == SQLITE_OK)
        return SLU_OK;
    return SLU_EINTERNAL;
}

enum slu_err sql_schema_create(sqlite3 *db)
{
    return settle(db, create, SQL_SCHEMA_VERSION);
}

enum slu_err sql_schema_migrate(sqlite3 *db, int version)
{
    for (size_t i = 0; i < N_STEPS; i++) {
        if (steps[i].from != version)
            continue;
        if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK ||
            settle(db, steps[i].sql, version + 1) != SLU_OK)
            return SLU_EINTERNAL;
        version++;
    }
    return version == SQL_SCHEMA_VERSION ? SLU_OK : SLU_EINTERNAL;
}

bool sql_schema_check(sqlite3 *db, int version, struct slu_buf *why)
{
    for (size_t i = 0; i < N_PARTS; i++) {
        char sql[512];
        sqlite3_stmt *st = NULL;
        if (parts[i].since > version)
            continue;
        snprintf(sql, sizeof(sql), "SELECT %s FROM %s LIMIT 1", parts[i].columns, parts[i].from);
        int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_step(st);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
            slu_buf_add_str(why, sqlite3_errmsg(db));
            sqlite3_finalize(st);
            return false;
        }
        sqlite3_finalize(st);
    }
    return true;
}
