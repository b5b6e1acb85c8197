/* A folder of its own for each test, below $TMPDIR. */
#include "tests/conformance/engine/sim.h"

#include "storage/sqlite/sqlite.h"

#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[256];

static const struct slu_engine *make(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof(folder), "%s/sluice-engine-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder))
        abort();
    return &slu_engine_sqlite;
}

static const char *path(void)
{
    return folder;
}

static void clean(void)
{
    DIR *dir = opendir(folder);
    assert(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        char name[600];
        snprintf(name, sizeof(name), "%s/%s", folder, e->d_name);
        if (e->d_name[0] != '.')
            unlink(name);
    }
    closedir(dir);
    rmdir(folder);
}

const struct engine_factory engine_factory = { .name = "sqlite", .make = make, .clean = clean, .path = path };
