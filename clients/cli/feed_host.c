/* Reads /proc into samples. Every file is read into one bounded buffer; a file that is larger is cut at its last whole
 * line. Processes come and go while they are read: one that is gone is left out. */
#include "clients/cli/feed_host.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_CAP = 256 * 1024, PROCESS_TEXT = 1024, FIRST_PROCESSES = 256 };

static uint64_t monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

bool slu_host_reader_init(struct slu_host_reader *r)
{
    *r = (struct slu_host_reader){ .proc_fd = -1, .cap = TEXT_CAP };
    r->text = malloc(r->cap);
    if (r->text)
        r->proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return r->proc_fd >= 0;
}

void slu_host_reader_fini(struct slu_host_reader *r)
{
    if (r->proc_fd >= 0)
        close(r->proc_fd);
    free(r->text);
    *r = (struct slu_host_reader){ .proc_fd = -1 };
}

/* Whole file into text; empty when it cannot be read. */
static struct slu_bytes read_text(int dir_fd, const char *path, char *text, size_t cap)
{
    int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return slu_bytes(text, 0);
    size_t len = 0;
    while (len < cap) {
        ssize_t n = read(fd, text + len, cap - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    close(fd);
    if (len == cap) {
        const char *end = memrchr(text, '\n', len);
        len = end ? (size_t)(end + 1 - text) : 0;
    }
    return slu_bytes(text, len);
}

static struct slu_bytes proc_text(struct slu_host_reader *r, const char *path)
{
    return read_text(r->proc_fd, path, r->text, r->cap);
}

/* A whole disk has an entry of its own in /sys/block; a partition has not. Where /sys is not mounted all are taken. */
static bool is_disk(const char *name)
{
    if (slu_procfs_disk_is_virtual(name))
        return false;
    char path[SLU_PROCFS_NAME + 16];
    int n = snprintf(path, sizeof(path), "/sys/block/%s", name);
    for (char *c = path + strlen("/sys/block/"); n > 0 && *c; c++) {
        if (*c == '/')
            *c = '!';
    }
    return access(path, F_OK) == 0 || access("/sys/block", F_OK) != 0;
}

/* Drops disks that never did anything, and cards too; the loopback stays only where it is the only one. */
static void drop_unused(struct slu_host_sample *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_disks; i++) {
        if (s->disk[i].reads || s->disk[i].writes)
            s->disk[n++] = s->disk[i];
    }
    s->n_disks = n;
    n = 0;
    for (size_t i = 0; i < s->n_nets; i++) {
        if (strcmp(s->net[i].name, "lo") != 0 && (s->net[i].rx_bytes || s->net[i].tx_bytes))
            s->net[n++] = s->net[i];
    }
    for (size_t i = 0; n == 0 && i < s->n_nets; i++) {
        if (strcmp(s->net[i].name, "lo") == 0)
            s->net[n++] = s->net[i];
    }
    s->n_nets = n;
}

void slu_host_read(struct slu_host_reader *r, struct slu_host_sample *out)
{
    out->at_ns = monotonic_ns();
    out->has_cpu = slu_procfs_stat(proc_text(r, "stat"), &out->cpu);
    out->has_memory = slu_procfs_meminfo(proc_text(r, "meminfo"), &out->memory);
    out->has_load = slu_procfs_loadavg(proc_text(r, "loadavg"), &out->load);
    out->n_disks = slu_procfs_diskstats(proc_text(r, "diskstats"), is_disk, out->disk, SLU_PROCFS_DISKS);
    out->n_nets = slu_procfs_net(proc_text(r, "net/dev"), out->net, SLU_PROCFS_NETS);
    drop_unused(out);
}

void slu_host_read_info(struct slu_host_reader *r, struct slu_host_info *out)
{
    *out = (struct slu_host_info){ 0 };
    struct utsname u;
    if (uname(&u) == 0) {
        snprintf(out->host, sizeof(out->host), "%s", u.nodename);
        snprintf(out->kernel, sizeof(out->kernel), "%s %s", u.sysname, u.release);
        snprintf(out->arch, sizeof(out->arch), "%s", u.machine);
    }
    if (!slu_procfs_os_name(read_text(AT_FDCWD, "/etc/os-release", r->text, r->cap), out->os, sizeof(out->os)))
        snprintf(out->os, sizeof(out->os), "%s", out->kernel);
    if (!slu_procfs_cpu_model(proc_text(r, "cpuinfo"), out->model, sizeof(out->model)))
        snprintf(out->model, sizeof(out->model), "%s", out->arch);
    struct slu_memory memory;
    if (slu_procfs_meminfo(proc_text(r, "meminfo"), &memory))
        out->memory = memory.total;
    (void)slu_procfs_uptime(proc_text(r, "uptime"), &out->uptime_s);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    out->cores = cores > 0 ? (size_t)cores : 1;
}

/* ---- processes ---- */

static bool add_process(struct slu_process_list *l, const struct slu_process *p)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : FIRST_PROCESSES;
        struct slu_process *v = realloc(l->v, cap * sizeof(*v));
        if (!v)
            return false;
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = *p;
    return true;
}

static int by_pid(const void *a, const void *b)
{
    const struct slu_process *x = a, *y = b;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

static bool read_process_dir(DIR *dir, struct slu_process_list *l)
{
    char text[PROCESS_TEXT], path[SLU_PROCFS_NAME];
    struct dirent *e;
    while (l->n < SLU_HOST_PROCESSES && (e = readdir(dir)) != NULL) {
        if (e->d_name[0] < '1' || e->d_name[0] > '9' || strlen(e->d_name) > 10)
            continue;
        snprintf(path, sizeof(path), "%.10s/stat", e->d_name);
        struct slu_process p;
        if (slu_procfs_process(read_text(dirfd(dir), path, text, sizeof(text)), &p) && !add_process(l, &p))
            return false;
    }
    return true;
}

bool slu_host_read_processes(struct slu_host_reader *r, struct slu_process_window *w)
{
    size_t at = w->n ? (w->newest + 1) % SLU_HOST_WINDOW : 0;
    struct slu_process_list *l = &w->list[at];
    int fd = openat(r->proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    l->n = 0;
    l->at_ns = monotonic_ns();
    bool ok = read_process_dir(dir, l);
    closedir(dir);
    if (l->n > 1)
        qsort(l->v, l->n, sizeof(*l->v), by_pid);
    w->newest = at;
    if (w->n < SLU_HOST_WINDOW)
        w->n++;
    return ok;
}

void slu_process_window_fini(struct slu_process_window *w)
{
    for (size_t i = 0; i < SLU_HOST_WINDOW; i++)
        free(w->list[i].v);
    *w = (struct slu_process_window){ 0 };
}

static bool is_busier(const struct slu_process_share *a, const struct slu_process_share *b)
{
    if (a->cpu < b->cpu || a->cpu > b->cpu)
        return a->cpu > b->cpu;
    return a->p->rss_pages > b->p->rss_pages;
}

/* Keeps `top` sorted, busiest first. */
static size_t insert_share(struct slu_process_share *top, size_t n, size_t cap, struct slu_process_share s)
{
    size_t at = n;
    while (at > 0 && is_busier(&s, &top[at - 1]))
        at--;
    if (at == cap)
        return n;
    if (n < cap)
        n++;
    memmove(&top[at + 1], &top[at], (n - 1 - at) * sizeof(*top));
    top[at] = s;
    return n;
}

size_t slu_host_busiest(const struct slu_process_window *w, size_t back, double clock_hz, struct slu_process_share *out,
                        size_t cap)
{
    if (w->n < 2 || cap == 0)
        return 0;
    if (back < 1)
        back = 1;
    if (back > w->n - 1)
        back = w->n - 1;
    const struct slu_process_list *now = &w->list[w->newest];
    const struct slu_process_list *before = &w->list[(w->newest + SLU_HOST_WINDOW - back) % SLU_HOST_WINDOW];
    double seconds = (double)(now->at_ns - before->at_ns) / 1e9;
    size_t n = 0, old = 0;
    for (size_t i = 0; i < now->n; i++) {
        const struct slu_process *p = &now->v[i];
        while (old < before->n && before->v[old].pid < p->pid)
            old++;
        const struct slu_process *q = old < before->n ? &before->v[old] : NULL;
        /* one that is new since then worked all its ticks in between */
        bool same = q && q->pid == p->pid && q->start == p->start;
        double cpu = slu_host_rate(same ? q->ticks : 0, p->ticks, seconds) / clock_hz * 100.0;
        n = insert_share(out, n, cap, (struct slu_process_share){ p, cpu });
    }
    return n;
}

/* ---- arithmetic ---- */

double slu_host_percent(uint64_t before, uint64_t now, uint64_t total_before, uint64_t total_now)
{
    if (now <= before || total_now <= total_before)
        return 0;
    double v = (double)(now - before) / (double)(total_now - total_before) * 100.0;
    return v > 100.0 ? 100.0 : v;
}

double slu_host_rate(uint64_t before, uint64_t now, double seconds)
{
    return now <= before || seconds <= 0 ? 0 : (double)(now - before) / seconds;
}

double slu_host_load_percent(const struct slu_cpu_times *before, const struct slu_cpu_times *now)
{
    uint64_t rest_before = before->idle + before->iowait, rest_now = now->idle + now->iowait;
    if (before->total < rest_before || now->total < rest_now)
        return 0;
    return slu_host_percent(before->total - rest_before, now->total - rest_now, before->total, now->total);
}
