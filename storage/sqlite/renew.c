/* A page whose write-back failed counts as clean: it can be read, a later flush says nothing, and it may never reach the
 * disk. Written once more it is dirty again, and the flush that follows tells the truth. Bytes that are on the disk
 * already are written over by the same bytes, so that a power failure meanwhile does no harm. */
#include "storage/sqlite/file.h"

#include "broker/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WAL_HEADER = 32, FRAME_HEADER = 24, AT_PAGE_SIZE = 8, CHUNK = 1 << 18 };

static bool write_again(int fd, off_t size, uint8_t *chunk)
{
    for (off_t at = 0; at < size;) {
        ssize_t n = pread(fd, chunk, CHUNK, at);
        if (n <= 0 || pwrite(fd, chunk, (size_t)n, at) != n)
            return false;
        at += n;
    }
    return fsync(fd) == 0;
}

static int open_wal(const char *path)
{
    char name[PATH_MAX + 8];
    snprintf(name, sizeof(name), "%s-wal", path);
    return open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
}

bool sql_renew_wal(const char *path)
{
    struct stat st;
    int fd = open_wal(path);
    if (fd < 0)
        return errno == ENOENT;
    uint8_t *chunk = malloc(CHUNK);
    bool ok = chunk && fstat(fd, &st) == 0 && write_again(fd, st.st_size, chunk);
    free(chunk);
    close(fd);
    return ok;
}

void sql_cut_wal(const char *path, uint64_t frames)
{
    uint8_t h[WAL_HEADER];
    struct stat st;
    int fd = open_wal(path);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && pread(fd, h, sizeof(h), 0) == sizeof(h)) {
        const uint8_t *p = h + AT_PAGE_SIZE;
        uint64_t page = (uint64_t)p[0] << 24 | (uint64_t)p[1] << 16 | (uint64_t)p[2] << 8 | p[3];
        uint64_t end = WAL_HEADER + frames * (FRAME_HEADER + page);
        if (end < (uint64_t)st.st_size && ftruncate(fd, (off_t)end) != 0)
            slu_log(SLU_LOG_WARN, "store", "refused_stay", "frames=%ju", (uintmax_t)frames);
    }
    close(fd);
}
