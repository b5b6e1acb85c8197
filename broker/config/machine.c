/* How much memory this process may use: the machine's, or the least that a control group above it allows. */
#include "broker/config/config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096 };

/* The file's beginning as text; false when there is none. */
static bool read_text(const char *path, char text[LINE_MAX_BYTES])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, LINE_MAX_BYTES - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* A bound in a file of one number; none, "max" and unreadable files leave it as it is. */
static uint64_t lower(uint64_t least, const char *path)
{
    char text[LINE_MAX_BYTES], *end;
    if (!read_text(path, text))
        return least;
    unsigned long long v = strtoull(text, &end, 10);
    return end != text && v > 0 && v < least ? v : least;
}

/* Version 2: the bound of this group and of each one above it. */
static uint64_t lower_by_groups(uint64_t least)
{
    char text[LINE_MAX_BYTES], path[LINE_MAX_BYTES + 64];
    if (!read_text("/proc/self/cgroup", text))
        return least;
    char *group = strstr(text, "0::/");
    if (!group)
        return least;
    group += 3;
    group[strcspn(group, "\n")] = '\0';
    for (;;) {
        snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", group);
        least = lower(least, path);
        char *slash = strrchr(group, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

uint64_t slu_machine_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGE_SIZE);
    uint64_t machine = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
    uint64_t least = machine ? machine : UINT64_MAX;
    least = lower_by_groups(least);
    least = lower(least, "/sys/fs/cgroup/memory/memory.limit_in_bytes"); /* version 1 */
    return least == UINT64_MAX ? 0 : least;
}
