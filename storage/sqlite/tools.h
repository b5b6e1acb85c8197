/* The tools on a data folder: backup, check, export, import. They work on the files, so the right to read those is the
 * right to use them; the daemon may go on meanwhile, but for import. Each opens the file for itself, reads one state of it
 * and changes nothing. No file is open in this process when one is called. */
#pragma once

#include "broker/base/buf.h"
#include "broker/base/err.h"

#include <stdio.h>

/* Told now and then how far it is; total 0: unknown. False: stop (SLU_ECLOSED). tick may be NULL. */
struct sql_watch {
    bool (*tick)(void *arg, uint64_t done, uint64_t total);
    void *arg;
};

struct sql_counts {
    uint64_t bytes, topics, messages, retained, states;
    uint64_t left_out; /* of an export: what could not be read or written */
};

/* FOLDER/sluice.db copied to `to`, page by page, while the daemon writes; checked, then renamed to its name. The copy is
 * marked: whoever opens it begins new epochs. */
struct sql_backup {
    const char *folder, *to;
    bool replace; /* a file that is there */
    uint64_t now_ms;
    struct sql_watch watch;
};
enum slu_err sql_backup(const struct sql_backup *b, struct sql_counts *out, struct slu_buf *why);

/* What is wrong with a database: SQLite's own integrity_check, then what must hold between its tables. `path` is a folder
 * or a file. found: one sentence each. *n: how many there were; SLU_OK says only that it could be looked at. */
struct sql_check {
    const char *path;
    void (*found)(void *arg, const char *text);
    struct sql_watch watch; /* its arg is found's too */
};
enum slu_err sql_check(const struct sql_check *c, struct sql_counts *counts, uint64_t *n, struct slu_buf *why);

/* Everything as lines of JSON, from one state of the file. What cannot be read of a damaged file is left out and told. */
struct sql_export {
    const char *folder;
    const char *filter; /* of topics; NULL: everything, states too */
    FILE *out;
    void (*lost)(void *arg, const char *text); /* what had to be left out; watch.arg */
    struct sql_watch watch;
};
enum slu_err sql_export(const struct sql_export *e, struct sql_counts *out, struct slu_buf *why);

/* An export into a folder without a database: all of it or nothing. Positions and epochs are those of the export, unless
 * that is not whole or new_epochs asks for others. */
struct sql_import {
    const char *folder;
    FILE *in;
    bool new_epochs;
    uint64_t now_ms;
    struct sql_watch watch;
};
enum slu_err sql_import(const struct sql_import *i, struct sql_counts *out, struct slu_buf *why);
