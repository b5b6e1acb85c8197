/* Parsers for the texts under /proc that `sluice feed system` reads: load of each core, memory, load averages, disks,
 * network cards, processes. Pure: text in, numbers out; no file is opened here. Whatever the text holds (cut off, newer
 * fields, names with spaces, numbers too large), every result is bounded and nothing is read past its end. */
#pragma once

#include "broker/base/bytes.h"

enum {
    SLU_PROCFS_CORES = 1024,
    SLU_PROCFS_DISKS = 64,
    SLU_PROCFS_NETS = 64,
    SLU_PROCFS_NAME = 64, /* bytes of a device, card or process name, its NUL included */
};

/* Jiffies since the start. guest time is part of user already and not counted twice. */
struct slu_cpu_times {
    uint64_t user, system, iowait, idle, total;
};

struct slu_cpu_sample {
    struct slu_cpu_times all;
    size_t count; /* one more than the highest core seen; a core that is offline stays zero */
    struct slu_cpu_times core[SLU_PROCFS_CORES];
};

/* Bytes. */
struct slu_memory {
    uint64_t total, free, available, buffers, cached, swap_total, swap_free;
};

struct slu_load {
    double one, five, fifteen;
    uint64_t running, tasks;
};

struct slu_disk {
    char name[SLU_PROCFS_NAME];
    uint64_t reads, writes;               /* finished operations */
    uint64_t read_sectors, write_sectors; /* of 512 bytes, whatever the device's own size is */
    uint64_t busy_ms;                     /* time with at least one operation under way */
};

struct slu_net {
    char name[SLU_PROCFS_NAME];
    uint64_t rx_bytes, rx_packets, rx_errors, rx_drops;
    uint64_t tx_bytes, tx_packets, tx_errors, tx_drops;
};

struct slu_process {
    char name[SLU_PROCFS_NAME];
    int pid;
    uint64_t ticks;     /* user and system time in clock ticks */
    uint64_t start;     /* ticks after boot; tells a reused pid */
    uint64_t rss_pages; /* resident */
};

/* /proc/stat. False without a line for the whole machine. */
bool slu_procfs_stat(struct slu_bytes text, struct slu_cpu_sample *out);
/* /proc/meminfo. False without MemTotal. Old kernels without MemAvailable get free + buffers + cached. */
bool slu_procfs_meminfo(struct slu_bytes text, struct slu_memory *out);
/* /proc/loadavg */
bool slu_procfs_loadavg(struct slu_bytes text, struct slu_load *out);
/* /proc/uptime: seconds since boot */
bool slu_procfs_uptime(struct slu_bytes text, double *seconds);
/* /proc/diskstats: every line, partitions included; `wanted` (may be NULL) says which names to keep. Returns how many
 * were stored, at most cap. */
size_t slu_procfs_diskstats(struct slu_bytes text, bool (*wanted)(const char *name), struct slu_disk *out, size_t cap);
/* Devices whose figures say nothing about a disk: loop, ram, zram, floppy, optical and mapped devices. */
bool slu_procfs_disk_is_virtual(const char *name);
/* /proc/net/dev: every card, the loopback too. */
size_t slu_procfs_net(struct slu_bytes text, struct slu_net *out, size_t cap);
/* /proc/<pid>/stat. The name may hold spaces and parentheses; it ends at the last ')'. */
bool slu_procfs_process(struct slu_bytes text, struct slu_process *out);
/* First "model name" of /proc/cpuinfo; false when there is none (most ARM boards). */
bool slu_procfs_cpu_model(struct slu_bytes text, char *out, size_t cap);
/* PRETTY_NAME of os-release, without quotes. */
bool slu_procfs_os_name(struct slu_bytes text, char *out, size_t cap);

/* One topic level made from a name: '/', '+', '#', spaces, control characters and broken UTF-8 become '-', a leading
 * '$' too; never empty. cap at least 2. */
void slu_procfs_topic_level(const char *name, char *out, size_t cap);
