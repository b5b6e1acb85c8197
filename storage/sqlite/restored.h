/* Recognizes a database that is not the one this folder last worked with, and begins new epochs in it: readers' positions
 * then fit no more, instead of fitting other messages. */
#pragma once

#include "broker/base/err.h"

#include <sqlite3.h>
#include <stdbool.h>

/* Key in `meta` of a copy that `sluice admin backup` made. */
#define SQL_BACKUP_MARK "backup"

/* At each opening: compares the stamps of the database and of the lock, gives new epochs if they say so, and sets a new
 * stamp in both. One transaction; when it failed, close the connection, which undoes it. */
enum slu_err sql_restored_check(sqlite3 *db, const char *path, int lock);
/* At the end: a copy made while the file was open is told from the file as it is left now. */
void sql_restored_close(sqlite3 *db, const char *path, int lock);
