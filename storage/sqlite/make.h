/* Making files so that a crash never leaves a half one: under another name first, flushed, then renamed. */
#pragma once

#include "broker/base/buf.h"
#include "broker/base/err.h"

#include <limits.h>
#include <sqlite3.h>

enum { SQL_NAME_ROOM = 32 }; /* what is added to a folder's name, at most */

/* With its parents; only what is missing is made (0700). */
bool sql_make_folder(const char *folder);
/* After a rename in it. */
bool sql_sync_folder_of(const char *path);
/* A database, and what SQLite keeps beside it. */
void sql_remove(const char *path);

/* How the database file keeps its journal, in its header. A backup is in the plain form: so a -wal that stands beside it
 * when it was put back is known to be of another file. Written by hand, since SQLite would need a journal for it; nothing
 * may have the file open. */
enum sql_journal { SQL_JOURNAL_PLAIN = 1, SQL_JOURNAL_WAL = 2 };
bool sql_set_journal(const char *path, enum sql_journal form);

/* A new FOLDER/sluice.db with the current schema and what `fill` (may be NULL) puts into it. Nothing is there yet, or an
 * empty file. `why` is set on failure, unless fill has. */
typedef enum slu_err sql_fill_fn(void *arg, sqlite3 *db, struct slu_buf *why);
enum slu_err sql_make_database(const char *folder, sql_fill_fn *fill, void *arg, struct slu_buf *why);

/* A file that a tool writes: FILE.tmp, which becomes FILE when it is whole. */
struct sql_target {
    char path[PATH_MAX], tmp[PATH_MAX];
    bool replace;
    int fd; /* keeps the lock on tmp; -1: not open */
};
enum slu_err sql_target_open(struct sql_target *t, const char *path, bool replace, struct slu_buf *why);
/* Flushes and renames. Ends the target in any case. */
enum slu_err sql_target_finish(struct sql_target *t, struct slu_buf *why);
void sql_target_drop(struct sql_target *t); /* removes the half file; a finished one is fine */
