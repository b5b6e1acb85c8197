/* A disk that fails on demand: preloaded into a program (LD_PRELOAD), it stands before the calls on files below one folder,
 * counts them, and makes the n-th of a kind fail. What the program does to other files and to sockets passes untouched.
 *
 *   DISK_FAULTS_DIR      the folder
 *   DISK_FAULTS_CONTROL  a file of a page, mapped here and by the test: struct control
 *   DISK_FAULTS_TRACE    optional: a file that gets everything that was done, for power cuts
 *
 * Where a sanitizer's runtime is preloaded too it must stand first, so that its interceptors call these. */
#include "tests/support/disk_record.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* The order is known to tests/support/disk.py. */
enum kind { OPEN, READ, WRITE, SYNC, TRUNCATE, ALLOCATE, UNLINK, RENAME, MKDIR, KINDS };
enum fault { INPUT_OUTPUT = 1, SHORT, LOSE, FULL, DROP, FAULTS };

static const int errno_of[FAULTS] = {
    [INPUT_OUTPUT] = EIO, [SHORT] = EIO, [LOSE] = EIO, [FULL] = ENOSPC, [DROP] = EIO
};

struct control {
    _Atomic uint64_t kinds; /* bits 1 << enum kind: the calls that are counted and may fail */
    _Atomic uint64_t at;    /* which of them fails, from 1; 0: none does */
    _Atomic uint64_t fault;
    _Atomic uint64_t stays; /* all later ones fail too, until `at` is 0 */
    _Atomic uint64_t seen;  /* of the kinds, since `at` was set */
    _Atomic uint64_t hits;
    _Atomic uint64_t calls[KINDS];
};

enum { SECTOR = 512 };

static struct control *control;

static struct control *map_control(const char *path)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    void *page = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) {
        fprintf(stderr, "disk_faults: %s cannot be mapped: %s\n", path, strerror(errno));
        _exit(97);
    }
    syscall(SYS_close, fd);
    return page;
}

__attribute__((constructor)) static void start(void)
{
    static char folder[PATH_MAX];
    const char *given = getenv("DISK_FAULTS_DIR"), *path = getenv("DISK_FAULTS_CONTROL");
    if (!given || !path)
        return;
    if (!realpath(given, folder)) {
        fprintf(stderr, "disk_faults: %s: %s\n", given, strerror(errno));
        _exit(97);
    }
    disk_record_start(folder, getenv("DISK_FAULTS_TRACE"));
    control = map_control(path);
}

static bool is_watched(const char *path)
{
    return control && path && disk_record_name(path);
}

/* Counts the call; 0: it goes through. */
static enum fault fault_for(enum kind kind)
{
    atomic_fetch_add(&control->calls[kind], 1);
    uint64_t at = atomic_load(&control->at);
    if (at == 0 || !(atomic_load(&control->kinds) & UINT64_C(1) << kind))
        return 0;
    uint64_t n = atomic_fetch_add(&control->seen, 1) + 1;
    if (n < at || (n > at && !atomic_load(&control->stays)))
        return 0;
    atomic_fetch_add(&control->hits, 1);
    return (enum fault)atomic_load(&control->fault);
}

/* For calls that fail in one way only. */
static bool fails(enum kind kind)
{
    enum fault fault = fault_for(kind);
    if (fault)
        errno = errno_of[fault];
    return fault != 0;
}

/* ---- opening ---- */

static int open_any(const char *path, int flags, mode_t mode)
{
    if (!is_watched(path))
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    /* a full disk still opens what is there */
    bool is_full = control->fault == FULL;
    if ((!is_full || flags & O_CREAT) && fails(OPEN))
        return -1;
    return disk_record_open(path, flags, mode);
}

#define MODE_OF(flags, mode)                                       \
    do {                                                           \
        if ((flags)&O_CREAT || ((flags)&O_TMPFILE) == O_TMPFILE) { \
            va_list args;                                          \
            va_start(args, flags);                                 \
            mode = va_arg(args, mode_t);                           \
            va_end(args);                                          \
        }                                                          \
    } while (0)

EXPORT int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    MODE_OF(flags, mode);
    return open_any(path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
{
    mode_t mode = 0;
    MODE_OF(flags, mode);
    return open_any(path, flags, mode);
}

static int openat_any(int dir, const char *path, int flags, mode_t mode)
{
    if (dir == AT_FDCWD || path[0] == '/')
        return open_any(path, flags, mode);
    return (int)syscall(SYS_openat, dir, path, flags, mode);
}

EXPORT int openat(int dir, const char *path, int flags, ...)
{
    mode_t mode = 0;
    MODE_OF(flags, mode);
    return openat_any(dir, path, flags, mode);
}

EXPORT int openat64(int dir, const char *path, int flags, ...)
{
    mode_t mode = 0;
    MODE_OF(flags, mode);
    return openat_any(dir, path, flags, mode);
}

EXPORT int close(int fd)
{
    disk_record_closed(fd);
    return (int)syscall(SYS_close, fd);
}

/* ---- bytes ---- */

static ssize_t pread_any(int fd, void *into, size_t n, off_t at)
{
    if (disk_record_of(fd) && fails(READ))
        return -1;
    return syscall(SYS_pread64, fd, into, n, at);
}

EXPORT ssize_t pread(int fd, void *into, size_t n, off_t at)
{
    return pread_any(fd, into, n, at);
}

EXPORT ssize_t pread64(int fd, void *into, size_t n, off_t at)
{
    return pread_any(fd, into, n, at);
}

/* As far as a short write goes: it never ends within a sector. 0: nothing of it is written. */
static size_t half_of(off_t at, size_t n)
{
    off_t end = (at + (off_t)(n / 2)) / SECTOR * SECTOR;
    return end > at ? (size_t)(end - at) : 0;
}

static ssize_t put(struct disk_file *f, int fd, const void *data, size_t n, off_t at)
{
    enum fault fault = fault_for(WRITE);
    if (disk_record_take_fail(f))
        fault = INPUT_OUTPUT;
    size_t half = half_of(at, n);
    if (fault == SHORT && half > 0) {
        disk_record_fail_next(f);
        return disk_record_write(f, fd, data, half, at);
    }
    if (fault) {
        errno = errno_of[fault];
        return -1;
    }
    return disk_record_write(f, fd, data, n, at);
}

static ssize_t pwrite_any(int fd, const void *data, size_t n, off_t at)
{
    struct disk_file *f = disk_record_of(fd);
    return f ? put(f, fd, data, n, at) : syscall(SYS_pwrite64, fd, data, n, at);
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    return pwrite_any(fd, data, n, at);
}

EXPORT ssize_t pwrite64(int fd, const void *data, size_t n, off_t at)
{
    return pwrite_any(fd, data, n, at);
}

/* At the descriptor's place, or at the end if it appends. */
static ssize_t put_here(struct disk_file *f, int fd, const void *data, size_t n)
{
    bool appends = syscall(SYS_fcntl, fd, F_GETFL) & O_APPEND;
    off_t at = (off_t)syscall(SYS_lseek, fd, 0, appends ? SEEK_END : SEEK_CUR);
    ssize_t done = put(f, fd, data, n, at);
    if (done > 0)
        syscall(SYS_lseek, fd, at + done, SEEK_SET);
    return done;
}

EXPORT ssize_t write(int fd, const void *data, size_t n)
{
    struct disk_file *f = disk_record_of(fd);
    return f ? put_here(f, fd, data, n) : syscall(SYS_write, fd, data, n);
}

/* A short count after the first part is an answer that writev may give. */
EXPORT ssize_t writev(int fd, const struct iovec *v, int n)
{
    struct disk_file *f = disk_record_of(fd);
    if (!f)
        return syscall(SYS_writev, fd, v, n);
    while (n > 1 && v->iov_len == 0)
        v++, n--;
    return n > 0 ? put_here(f, fd, v->iov_base, v->iov_len) : 0;
}

/* ---- the rest ---- */

static int sync_any(int fd, bool data_only)
{
    struct disk_file *f = disk_record_of(fd);
    if (!f)
        return (int)syscall(data_only ? SYS_fdatasync : SYS_fsync, fd);
    enum fault fault = fault_for(SYNC);
    if (fault == LOSE)
        disk_record_lose(f, fd);
    if (fault == DROP)
        disk_record_drop(f, fd);
    if (fault) {
        errno = errno_of[fault];
        return -1;
    }
    return disk_record_sync(f, fd, data_only);
}

EXPORT int fsync(int fd)
{
    return sync_any(fd, false);
}

EXPORT int fdatasync(int fd)
{
    return sync_any(fd, true);
}

static int truncate_any(int fd, off_t size)
{
    struct disk_file *f = disk_record_of(fd);
    if (!f)
        return (int)syscall(SYS_ftruncate, fd, size);
    return fails(TRUNCATE) ? -1 : disk_record_truncate(f, fd, size);
}

EXPORT int ftruncate(int fd, off_t size)
{
    return truncate_any(fd, size);
}

EXPORT int ftruncate64(int fd, off_t size)
{
    return truncate_any(fd, size);
}

static int allocate_any(int fd, int mode, off_t at, off_t n)
{
    struct disk_file *f = disk_record_of(fd);
    if (!f)
        return (int)syscall(SYS_fallocate, fd, mode, at, n);
    return fails(ALLOCATE) ? -1 : disk_record_allocate(f, fd, mode, at, n);
}

EXPORT int fallocate(int fd, int mode, off_t at, off_t n)
{
    return allocate_any(fd, mode, at, n);
}

EXPORT int fallocate64(int fd, int mode, off_t at, off_t n)
{
    return allocate_any(fd, mode, at, n);
}

/* These return the error and leave errno alone. */
static int posix_allocate_any(int fd, off_t at, off_t n)
{
    int before = errno, rc = allocate_any(fd, 0, at, n) == 0 ? 0 : errno;
    errno = before;
    return rc;
}

EXPORT int posix_fallocate(int fd, off_t at, off_t n)
{
    return posix_allocate_any(fd, at, n);
}

EXPORT int posix_fallocate64(int fd, off_t at, off_t n)
{
    return posix_allocate_any(fd, at, n);
}

EXPORT int unlink(const char *path)
{
    if (!is_watched(path))
        return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    return fails(UNLINK) ? -1 : disk_record_unlink(path);
}

EXPORT int rename(const char *from, const char *to)
{
    if (!is_watched(from))
        return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    return fails(RENAME) ? -1 : disk_record_rename(from, to);
}

EXPORT int mkdir(const char *path, mode_t mode)
{
    if (is_watched(path) && fails(MKDIR))
        return -1;
    return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}
