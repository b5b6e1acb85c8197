/* FOLDER/lock: who has the folder, and a stamp by which a database is known that somebody else put there meanwhile. */
#pragma once

#include "broker/base/buf.h"
#include "broker/base/err.h"

/* What the folder last saw of its database. */
struct sql_stamp {
    uint64_t value;   /* the same number stands in the database; 0 = none yet */
    uint64_t born_ns; /* when that file was made; 0 = the file system does not say */
};

/* Makes and locks it. The lock goes with the descriptor. */
enum slu_err sql_lock_take(const char *folder, struct slu_buf *why, int *fd);
/* All 0 when it has none. False: the disk failed, and what it knows is not to be written over. */
bool sql_lock_read(int fd, struct sql_stamp *out);
bool sql_lock_write(int fd, const struct sql_stamp *stamp);
