/* What one reader thread works with, and the requests it does. */
#pragma once

#include "storage/sqlite/store.h"

/* A topic that a wildcard scan met; a small cache by id. */
struct sql_place {
    uint64_t id; /* 0: free */
    bool matches;
    struct sql_log log;
    size_t len;
    uint8_t name[1024];
};

struct sql_reader {
    struct sql_store *st;
    pthread_t thread;
    struct sql_db db; /* closed: to be opened with the next request */
    struct sql_place places[SQL_PLACES];
    uint8_t name[1024]; /* of the topic that a tail is at */
};
_Static_assert(sizeof(((struct sql_place *)0)->name) >= 1024, "the longest topic fits");

/* Begins to read: all rows that fed_seq and the topics say are there from now on are seen. False: it failed. */
bool sql_snapshot(struct sql_reader *r);
void sql_snapshot_end(struct sql_reader *r);
/* The same for one topic: what `v` says of it holds for the rows that are read. */
enum slu_err sql_look_at(struct sql_reader *r, struct slu_bytes topic, struct sql_view *v);
/* For rows that were looked for and not understood. */
enum slu_err sql_row_fault(const char *table);
/* SLU_OK, or why reading failed. */
static inline enum slu_err sql_reader_err(const struct sql_reader *r)
{
    return r->db.rc == SQLITE_OK ? SLU_OK : SLU_EUNAVAILABLE;
}

/* The topic's rows behind `after`, up to `upto`, by SQL_SCAN_TOPIC or SQL_SCAN_BACK. */
sqlite3_stmt *sql_rows_of(struct sql_reader *r, enum sql_text which, uint64_t id, uint64_t after, uint64_t upto);
/* One more row of it. False: no more, or *err; the statement has ended then. */
bool sql_next_row(struct sql_reader *r, sqlite3_stmt *st, struct sql_row *row, enum slu_err *err);

/* scan.c, locate.c, tail.c */
enum slu_err sql_scan(struct sql_reader *r, struct slu_scan *s);
enum slu_err sql_locate(struct sql_reader *r, struct slu_locate *l);
enum slu_err sql_tail(struct sql_reader *r, struct slu_tail *t);
/* How many messages after that seq trimming took; 0 = none or unknown, *lost says which. In a snapshot. */
uint64_t sql_lost(struct sql_reader *r, const struct sql_view *v, uint64_t after_seq, bool *lost);
