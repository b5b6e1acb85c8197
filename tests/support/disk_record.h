/* What the fault library remembers of the files it watches: undo lists, so that a failed flush can take unsynced data
 * back, or a trace of everything that was done to them, from which a test makes up what a disk might hold after a power
 * cut. Not both: a traced run is a long one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct disk_file;

/* folder: real path, absolute. trace: a file that gets the records; NULL: undo lists instead. */
void disk_record_start(const char *folder, const char *trace);
/* The name below the folder (empty: the folder itself), or NULL: none of ours. */
const char *disk_record_name(const char *path);

/* Of a descriptor that was opened below the folder; NULL: not watched. */
struct disk_file *disk_record_of(int fd);
void disk_record_closed(int fd);

/* These do the call itself and note it, so that the notes have the order of the calls. */
int disk_record_open(const char *path, int flags, mode_t mode);
ssize_t disk_record_write(struct disk_file *f, int fd, const void *data, size_t n, off_t at);
int disk_record_truncate(struct disk_file *f, int fd, off_t size);
int disk_record_allocate(struct disk_file *f, int fd, int mode, off_t at, off_t n);
int disk_record_sync(struct disk_file *f, int fd, bool data_only);
int disk_record_unlink(const char *path);
int disk_record_rename(const char *from, const char *to);

/* What was done to the file since its last sync is undone. As in the kernel, whoever else has the file open is told at
 * the next sync. */
void disk_record_lose(struct disk_file *f, int fd);
/* The other way it goes: what was done since stays, can be read, and is noted as not on the disk for good. */
void disk_record_drop(struct disk_file *f, int fd);
/* The write after a short one fails: set by the short one, taken by the next. */
void disk_record_fail_next(struct disk_file *f);
bool disk_record_take_fail(struct disk_file *f);
