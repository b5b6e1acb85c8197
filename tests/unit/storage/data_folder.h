/* A data folder for one test: made empty under TMPDIR, filled through plain SQL, photographed to prove that nothing
 * changed. */
#pragma once

#include "broker/base/buf.h"
#include "broker/base/err.h"
#include "storage/sqlite/file.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <stdlib.h>
#include <unistd.h>

/* The folder's name, malloc'ed; folder_remove frees it. */
char *folder_new(void);
void folder_remove(char *folder);
/* FOLDER/NAME in one of a few buffers that are used in turn. */
const char *in_folder(const char *folder, const char *name);

void file_write(const char *path, const void *data, size_t n);
void file_copy(const char *from, const char *to);
/* Everything of the folder but the lock: names, modes, sizes, sums of the contents. malloc'ed. */
char *folder_photo(const char *folder);

/* Through a connection of its own, with SQLite's defaults. */
void db_run(const char *path, const char *sql);
/* Leaves what it wrote in the -wal, as a process that was killed does. */
void db_run_killed(const char *path, const char *sql);
/* The first column of the first row; malloc'ed; NULL: no row, or NULL. */
char *db_text(const char *path, const char *sql);
int64_t db_number(const char *path, const char *sql);
/* A text file of tests/vectors, run as SQL. */
void db_run_vector(const char *path, const char *name);

/* sql_file_open that must succeed. */
struct sql_file *folder_open(const char *folder);
/* sql_file_open that must fail; why, malloc'ed. */
char *folder_refused(const char *folder);
/* Opens and closes once. */
void folder_settle(const char *folder);
/* A settled folder with the content of tests/vectors/storage/content.sql. */
char *folder_filled(void);
/* Counts what a tool told; the last of it is kept. */
struct told {
    unsigned n;
    char text[8192];
};
void told_add(void *told, const char *text);
