/* The static files of the dashboard: read whole at start into a fixed table, so that a request only ever looks a path up
 * and cannot name anything else on this machine. */
#pragma once

#include "broker/base/buf.h"
#include "broker/base/err.h"

struct slu_file {
    char *path; /* as requested: "/", "/app.js" */
    const char *type;
    char etag[24]; /* with quotes */
    uint8_t *data;
    size_t len;
};

struct slu_files;

/* Reads every regular file below the folder that is no dot file and has a known type. Links are not followed. */
enum slu_err slu_files_load(const char *folder, struct slu_files **out, struct slu_buf *error);
void slu_files_free(struct slu_files *f); /* NULL is fine */
/* NULL when there is none. */
const struct slu_file *slu_files_get(const struct slu_files *f, struct slu_bytes path);
