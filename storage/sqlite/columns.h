/* Between rows of the database and lines of an export: for each type of line one table of columns, from which both the
 * reading and the writing statement are made. */
#pragma once

#include "storage/sqlite/line.h"

#include <sqlite3.h>

enum { SQL_COLUMNS_QUERY_MAX = 512 };

/* Reads all rows whose key is greater than ?1, in the key's order; the key is column 0. Of a table without such a key: all
 * rows, and column 0 is 0. */
void sql_columns_query(enum sql_line_type type, char out[SQL_COLUMNS_QUERY_MAX]);
bool sql_columns_have_key(enum sql_line_type type);
/* The current row. `topic`: the topic's id, where it has one. Texts are borrowed from the statement. False: the values
 * make no sense. */
bool sql_columns_read(sqlite3_stmt *st, enum sql_line_type type, struct sql_line *out, int64_t *topic);

/* Writes a row; NULL key: there are no rows of that type. */
bool sql_columns_insert(enum sql_line_type type, char out[SQL_COLUMNS_QUERY_MAX]);
/* The line is borrowed until the statement has run. */
void sql_columns_bind(sqlite3_stmt *st, const struct sql_line *l, int64_t topic);
