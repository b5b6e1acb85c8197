/* Reads a few files of /proc. */
#include "clients/cli/bench_proc.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

static bool read_text(const char *path, char *buf, size_t cap)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    size_t n = fread(buf, 1, cap - 1, f);
    buf[n] = '\0';
    fclose(f);
    return n > 0;
}

static bool ticks_ns(long pid, uint64_t *ns)
{
    char path[64], text[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    if (!read_text(path, text, sizeof(text)))
        return false;
    const char *behind = strrchr(text, ')'); /* the name may contain anything */
    if (!behind || sscanf(behind + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        return false;
    *ns = (uint64_t)(user + system) * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
    return true;
}

bool slu_proc_cpu_ns(long pid, uint64_t *ns)
{
    char path[320], text[128];
    uint64_t sum = 0, one;
    bool any = false;
    snprintf(path, sizeof(path), "/proc/%ld/task", pid);
    DIR *dir = opendir(path);
    const struct dirent *e;
    while (dir && (e = readdir(dir))) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/%ld/task/%s/schedstat", pid, e->d_name);
        if (read_text(path, text, sizeof(text)) && sscanf(text, "%" SCNu64, &one) == 1) {
            sum += one;
            any = true;
        }
    }
    if (dir)
        closedir(dir);
    if (!any || sum == 0)
        return ticks_ns(pid, ns);
    *ns = sum;
    return true;
}

bool slu_proc_rss_bytes(long pid, uint64_t *bytes)
{
    char path[64], text[128];
    unsigned long pages;
    snprintf(path, sizeof(path), "/proc/%ld/statm", pid);
    if (!read_text(path, text, sizeof(text)) || sscanf(text, "%*u %lu", &pages) != 1)
        return false;
    *bytes = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}

void slu_proc_machine(struct slu_machine *m)
{
    static char text[16 * 1024];
    struct utsname u;
    memset(m, 0, sizeof(*m));
    m->cores = sysconf(_SC_NPROCESSORS_ONLN);
    snprintf(m->model, sizeof(m->model), "unknown processor");
    if (read_text("/proc/cpuinfo", text, sizeof(text))) {
        const char *at = strstr(text, "model name");
        at = at ? strchr(at, ':') : NULL;
        if (at)
            snprintf(m->model, sizeof(m->model), "%.*s", (int)strcspn(at + 2, "\n"), at + 2);
    }
    if (uname(&u) == 0)
        snprintf(m->kernel, sizeof(m->kernel), "%.60s %.60s", u.sysname, u.release);
}

size_t slu_proc_raise_files(size_t need)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return 0;
    struct rlimit more = { .rlim_cur = need, .rlim_max = need > r.rlim_max ? need : r.rlim_max };
    if (r.rlim_cur < need && setrlimit(RLIMIT_NOFILE, &more) != 0) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
    getrlimit(RLIMIT_NOFILE, &r);
    return (size_t)r.rlim_cur;
}
