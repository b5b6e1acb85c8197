/* The database file's life: the folder and its lock, opening what is there, connections. A file that is not ours, newer
 * or damaged stays byte for byte as it is, with its -wal and -shm; everything about it is decided before the first
 * write. The names beside it: FOLDER/sluice.db, FOLDER/lock. */
#pragma once

#include "broker/base/buf.h"
#include "broker/base/err.h"

#include <sqlite3.h>

#define SQL_FILE_NAME "sluice.db"
#define SQL_LOCK_NAME "lock"

struct sql_file; /* the folder's lock and the path */

/* Makes the folder if it is missing (0700), takes the lock, then creates, checks, migrates, and gives new epochs to a
 * restored file. On failure `why` has one plain sentence with what to do. */
enum slu_err sql_file_open(const char *folder, struct slu_buf *why, struct sql_file **out);
/* After all connections are closed. NULL is fine. */
void sql_file_close(struct sql_file *f);

/* A configured connection (WAL, FULL, cache size, busy time-out); read_only ones cannot write. It is for one thread at
 * a time. The caller closes it with sqlite3_close; nothing is checkpointed but by the caller and by the last close. */
enum slu_err sql_file_connect(struct sql_file *f, bool read_only, sqlite3 **out);
/* After a commit that failed: takes what follows so many frames out of the -wal, so that what was refused is not found
 * there. Others never read so far. It may fail; then that is found, and fed. */
void sql_cut_wal(const char *path, uint64_t frames);
/* After a failed flush, in this process or one before, all connections being closed: what the -wal holds is brought to
 * the disk. */
bool sql_renew_wal(const char *path);
/* Then: is the file sound (quick_check)? */
enum slu_err sql_file_check(struct sql_file *f, struct slu_buf *why);
const char *sql_file_path(const struct sql_file *f);
