/* Decides what a database file is without changing a byte of it, of its -wal or of its -shm. */
#pragma once

#include "broker/base/buf.h"
#include "broker/base/err.h"

#include <sqlite3.h>

struct sql_look {
    bool is_there; /* false: no file, or an empty one */
    int version;   /* of the schema */
};

/* SLU_OK: it may be created, or opened and migrated. Otherwise `why` has the sentence to stop with. */
enum slu_err sql_look(const char *path, struct slu_buf *why, struct sql_look *out);

/* Whether it is a database of ours and not newer, by its header: for tools. Nothing of this process has it open. */
enum slu_err sql_look_header(const char *path, struct slu_buf *why);

/* A connection that reads and leaves everything as it is: for a file that may be damaged. It sees what an unfinished
 * -wal holds. May be NULL when memory ran out; close it in any case. */
int sql_look_open(const char *path, sqlite3 **out);
/* The first finding of quick_check, or nothing when all is well. */
bool sql_look_sound(sqlite3 *db, struct slu_buf *finding);
