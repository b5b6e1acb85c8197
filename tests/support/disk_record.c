/* One lock is held over each call and its note, so that a trace has the order in which the files changed; only a sync runs
 * outside it, between two notes, since writes go on meanwhile and are not covered by it. Calls go to the kernel
 * directly: by name they would come back to the fault library. The -shm of SQLite is not noted: it is written through a
 * mapping and means nothing after a restart. */
#include "tests/support/disk_record.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { DESCRIPTORS_MAX = 65536 };

/* The trace: a head, then `name` bytes of text, then `data` bytes. Host byte order. */
enum trace_op { OP_CREATE = 1, OP_WRITE, OP_TRUNCATE, OP_SYNC_BEGIN, OP_SYNC_END, OP_UNLINK, OP_RENAME, OP_DROP };
struct trace_head {
    uint32_t op, name;
    uint64_t file; /* inode */
    uint64_t at;   /* WRITE: place; TRUNCATE: size; SYNC: number of the sync */
    uint64_t data;
};

struct undo {
    struct undo *older;
    uint64_t number;
    off_t at, size; /* size: of the file before */
    size_t n;
    uint8_t old[];
};

struct disk_file {
    struct disk_file *next;
    dev_t dev;
    ino_t ino;
    bool is_noted;
    atomic_bool fail_next;
    unsigned losses;
    struct undo *newest;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct disk_file *) by_fd[DESCRIPTORS_MAX];
static unsigned losses_told[DESCRIPTORS_MAX]; /* of those of its file */
static struct disk_file *files;
static uint64_t numbers;
static int trace_fd = -1;
static char folder[PATH_MAX];
static size_t folder_len;

void disk_record_start(const char *path, const char *trace)
{
    folder_len = (size_t)snprintf(folder, sizeof(folder), "%s", path);
    if (trace)
        trace_fd = (int)syscall(SYS_openat, AT_FDCWD, trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

const char *disk_record_name(const char *path)
{
    if (folder_len == 0 || strncmp(path, folder, folder_len) != 0)
        return NULL;
    if (path[folder_len] == 0)
        return path + folder_len;
    return path[folder_len] == '/' ? path + folder_len + 1 : NULL;
}

/* ---- the trace ---- */

static void put_all(struct iovec *v, int n)
{
    while (n > 0) {
        ssize_t done = syscall(SYS_writev, trace_fd, v, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            abort(); /* a trace with holes would accuse the broker of our own fault */
        for (; n > 0 && (size_t)done >= v->iov_len; v++, n--)
            done -= (ssize_t)v->iov_len;
        if (n > 0) {
            v->iov_base = (char *)v->iov_base + done;
            v->iov_len -= (size_t)done;
        }
    }
}

static void note(enum trace_op op, uint64_t file, uint64_t at, const char *name, const void *data, size_t n)
{
    if (trace_fd < 0)
        return;
    int before = errno;
    struct trace_head head = { op, (uint32_t)strlen(name), file, at, n };
    struct iovec v[] = { { &head, sizeof(head) },
                         { (void *)(uintptr_t)name, head.name },
                         { (void *)(uintptr_t)data, n } };
    put_all(v, 3);
    errno = before;
}

/* ---- undo ---- */

/* The old bytes from `at` on, as many of n as there were. */
static void remember(struct disk_file *f, int fd, off_t at, size_t n)
{
    struct stat st;
    if (trace_fd >= 0 || !f->is_noted || fstat(fd, &st) != 0)
        return;
    size_t held = st.st_size > at ? (size_t)(st.st_size - at) : 0;
    n = n < held ? n : held;
    struct undo *u = malloc(sizeof(*u) + n);
    if (!u)
        abort();
    *u = (struct undo){ f->newest, ++numbers, at, st.st_size, n };
    for (size_t have = 0; have < n;) {
        ssize_t got = syscall(SYS_pread64, fd, u->old + have, n - have, at + (off_t)have);
        if (got <= 0)
            abort();
        have += (size_t)got;
    }
    f->newest = u;
}

/* Those up to that number are on the disk now. */
static void forget(struct disk_file *f, uint64_t number)
{
    struct undo **from = &f->newest;
    while (*from && (*from)->number > number)
        from = &(*from)->older;
    struct undo *u = *from;
    *from = NULL;
    while (u) {
        struct undo *older = u->older;
        free(u);
        u = older;
    }
}

/* Through a descriptor of our own: the caller's may be read only. */
static int open_again(int fd)
{
    char name[64];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    return (int)syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC, 0);
}

void disk_record_lose(struct disk_file *f, int fd)
{
    pthread_mutex_lock(&lock);
    int own = open_again(fd);
    for (struct undo *u = f->newest; u && own >= 0; u = u->older) {
        if (u->n && syscall(SYS_pwrite64, own, u->old, u->n, u->at) != (long)u->n)
            abort();
        if (syscall(SYS_ftruncate, own, u->size) != 0)
            abort();
    }
    if (own >= 0) {
        syscall(SYS_close, own);
        forget(f, UINT64_MAX);
    }
    losses_told[fd] = ++f->losses;
    pthread_mutex_unlock(&lock);
}

void disk_record_drop(struct disk_file *f, int fd)
{
    pthread_mutex_lock(&lock);
    note(OP_DROP, f->ino, 0, "", NULL, 0);
    losses_told[fd] = ++f->losses;
    pthread_mutex_unlock(&lock);
}

/* ---- files ---- */

static bool is_shared_memory(const char *path)
{
    size_t n = strlen(path);
    return n > 4 && strcmp(path + n - 4, "-shm") == 0;
}

static struct disk_file *file_with(const struct stat *st, const char *path)
{
    for (struct disk_file *f = files; f; f = f->next)
        if (f->dev == st->st_dev && f->ino == st->st_ino)
            return f;
    struct disk_file *f = calloc(1, sizeof(*f));
    if (!f)
        abort();
    f->dev = st->st_dev;
    f->ino = st->st_ino;
    f->is_noted = !is_shared_memory(path);
    f->next = files;
    files = f;
    return f;
}

/* An inode's number comes back after unlink; what was known under it is no more. */
static void begin_anew(struct disk_file *f, const char *path)
{
    forget(f, UINT64_MAX);
    f->is_noted = !is_shared_memory(path);
}

struct disk_file *disk_record_of(int fd)
{
    return fd >= 0 && fd < DESCRIPTORS_MAX ? atomic_load(&by_fd[fd]) : NULL;
}

void disk_record_closed(int fd)
{
    if (fd >= 0 && fd < DESCRIPTORS_MAX)
        atomic_store(&by_fd[fd], NULL);
}

void disk_record_fail_next(struct disk_file *f)
{
    atomic_store(&f->fail_next, true);
}

bool disk_record_take_fail(struct disk_file *f)
{
    return atomic_exchange(&f->fail_next, false);
}

/* ---- calls ---- */

int disk_record_open(const char *path, int flags, mode_t mode)
{
    struct stat st;
    pthread_mutex_lock(&lock);
    bool was_there = lstat(path, &st) == 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    int before = errno;
    if (fd >= 0 && fd < DESCRIPTORS_MAX && fstat(fd, &st) == 0) {
        struct disk_file *f = file_with(&st, path);
        if (!was_there)
            begin_anew(f, path);
        losses_told[fd] = f->losses;
        atomic_store(&by_fd[fd], f);
        if (!was_there && f->is_noted)
            note(OP_CREATE, st.st_ino, 0, disk_record_name(path), NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = before;
    return fd;
}

ssize_t disk_record_write(struct disk_file *f, int fd, const void *data, size_t n, off_t at)
{
    pthread_mutex_lock(&lock);
    remember(f, fd, at, n);
    ssize_t done = syscall(SYS_pwrite64, fd, data, n, at);
    if (done > 0 && f->is_noted)
        note(OP_WRITE, f->ino, (uint64_t)at, "", data, (size_t)done);
    pthread_mutex_unlock(&lock);
    return done;
}

int disk_record_truncate(struct disk_file *f, int fd, off_t size)
{
    pthread_mutex_lock(&lock);
    remember(f, fd, size, SIZE_MAX);
    int rc = (int)syscall(SYS_ftruncate, fd, size);
    if (rc == 0 && f->is_noted)
        note(OP_TRUNCATE, f->ino, (uint64_t)size, "", NULL, 0);
    pthread_mutex_unlock(&lock);
    return rc;
}

int disk_record_allocate(struct disk_file *f, int fd, int mode, off_t at, off_t n)
{
    struct stat st;
    pthread_mutex_lock(&lock);
    remember(f, fd, at, (size_t)n);
    int rc = (int)syscall(SYS_fallocate, fd, mode, at, n);
    if (rc == 0 && f->is_noted && fstat(fd, &st) == 0)
        note(OP_TRUNCATE, f->ino, (uint64_t)st.st_size, "", NULL, 0);
    pthread_mutex_unlock(&lock);
    return rc;
}

int disk_record_sync(struct disk_file *f, int fd, bool data_only)
{
    pthread_mutex_lock(&lock);
    uint64_t number = ++numbers;
    note(OP_SYNC_BEGIN, f->ino, number, "", NULL, 0);
    pthread_mutex_unlock(&lock);
    int rc = (int)syscall(data_only ? SYS_fdatasync : SYS_fsync, fd);
    pthread_mutex_lock(&lock);
    if (losses_told[fd] != f->losses) {
        losses_told[fd] = f->losses;
        errno = EIO;
        rc = -1;
    }
    if (rc == 0) {
        forget(f, number);
        note(OP_SYNC_END, f->ino, number, "", NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

int disk_record_unlink(const char *path)
{
    pthread_mutex_lock(&lock);
    int rc = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (rc == 0 && !is_shared_memory(path))
        note(OP_UNLINK, 0, 0, disk_record_name(path), NULL, 0);
    pthread_mutex_unlock(&lock);
    return rc;
}

int disk_record_rename(const char *from, const char *to)
{
    pthread_mutex_lock(&lock);
    int rc = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    const char *target = disk_record_name(to);
    if (rc == 0 && target)
        note(OP_RENAME, 0, 0, disk_record_name(from), target, strlen(target));
    pthread_mutex_unlock(&lock);
    return rc;
}
