/* The lock is flock's: it ends with the process, however that ends. The text is one line of fixed width, written in
 * place by one call, so that a power failure leaves the old or the new one. */
#include "storage/sqlite/lock.h"

#include "storage/sqlite/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_CAP = 128 };

/* False: the disk failed. */
static bool read_line(int fd, char line[LINE_CAP])
{
    ssize_t n = pread(fd, line, LINE_CAP - 1, 0);
    line[n > 0 ? n : 0] = 0;
    return n >= 0;
}

static void say_in_use(int fd, const char *folder, struct slu_buf *why)
{
    char line[LINE_CAP];
    int pid = 0;
    if (read_line(fd, line) && sscanf(line, "%d", &pid) == 1 && pid > 0)
        slu_buf_addf(why, "%s is in use by another sluiced (process %d): stop it or choose another --data", folder,
                     pid);
    else
        slu_buf_addf(why, "%s is in use by another sluiced: stop it or choose another --data", folder);
}

enum slu_err sql_lock_take(const char *folder, struct slu_buf *why, int *fd)
{
    char path[PATH_MAX];
    struct stat st;
    snprintf(path, sizeof(path), "%s/" SQL_LOCK_NAME, folder);
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (lock < 0) {
        slu_buf_addf(why, "%s cannot be opened (%s): give this user the right to write in the folder", path,
                     strerror(errno));
        return SLU_EUNAVAILABLE;
    }
    if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        say_in_use(lock, folder, why);
        close(lock);
        return SLU_EUNAVAILABLE;
    }
    if (fstat(lock, &st) == 0 && (st.st_mode & 07777) != 0600)
        fchmod(lock, 0600);
    struct sql_stamp stamp;
    /* now with our process */
    if (!sql_lock_read(lock, &stamp) || !sql_lock_write(lock, &stamp)) {
        slu_buf_addf(why, "%s cannot be read or written (%s): look after the disk and its space", path,
                     strerror(errno));
        close(lock);
        return SLU_EUNAVAILABLE;
    }
    *fd = lock;
    return SLU_OK;
}

bool sql_lock_read(int fd, struct sql_stamp *out)
{
    char line[LINE_CAP];
    int pid;
    *out = (struct sql_stamp){ 0 };
    if (!read_line(fd, line))
        return false;
    if (sscanf(line, "%d %" SCNx64 " %" SCNu64, &pid, &out->value, &out->born_ns) != 3)
        *out = (struct sql_stamp){ 0 };
    return true;
}

bool sql_lock_write(int fd, const struct sql_stamp *s)
{
    char line[LINE_CAP];
    int n = snprintf(line, sizeof(line), "%-10d %016" PRIx64 " %020" PRIu64 "\n", (int)getpid(), s->value, s->born_ns);
    return pwrite(fd, line, (size_t)n, 0) == n && fsync(fd) == 0;
}
