/* SQLite's way to the disk, made to fail on demand: the default VFS of this process from _install on. Any thread. */
#pragma once

#include <stdbool.h>

enum faulty_vfs {
    FAULTY_VFS_NONE,
    FAULTY_VFS_FULL, /* nothing can be written: the disk is full */
    FAULTY_VFS_SYNC, /* what is written is not flushed */
    FAULTY_VFS_READ, /* the database file cannot be read */
};

void faulty_vfs_install(void);
void faulty_vfs_set(enum faulty_vfs what);
/* How many calls have failed. */
unsigned faulty_vfs_failures(void);
