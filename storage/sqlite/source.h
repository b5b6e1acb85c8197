/* A database as the tools read it: joined to whoever writes it, or alone. */
#pragma once

#include "storage/sqlite/tools.h"

#include <sqlite3.h>

/* Read-only. `path` is a database file. Close it with sqlite3_close. SQL_SALVAGE: also one whose end is missing. */
enum sql_source_use { SQL_WHOLE, SQL_SALVAGE };
enum slu_err sql_source_open(const char *path, enum sql_source_use use, struct slu_buf *why, sqlite3 **out);
/* The database of a folder, or the file itself where path is one. False: too long (told). */
bool sql_source_path(const char *path, char *out, size_t cap, struct slu_buf *why);
/* One number; 0 where it cannot be read. */
uint64_t sql_source_number(sqlite3 *db, const char *sql);
/* "PATH cannot be read (…)", with what to do about it; returns the error to end with. */
enum slu_err sql_source_failed(sqlite3 *db, const char *path, struct slu_buf *why);

static inline bool sql_watch_tick(const struct sql_watch *w, uint64_t done, uint64_t total)
{
    return !w->tick || w->tick(w->arg, done, total);
}
enum slu_err sql_watch_stopped(struct slu_buf *why);
