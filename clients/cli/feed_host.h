/* What `sluice feed system` knows about this machine: samples read from /proc and /sys, and the figures between two of
 * them. Reading takes the clock; the arithmetic takes the time from the samples, so that tests can make their own. */
#pragma once

#include "clients/cli/procfs.h"

enum {
    SLU_HOST_PROCESSES = 16384, /* looked at in one sample */
    SLU_HOST_TOP = 10,          /* reported */
    SLU_HOST_WINDOW = 8,        /* process lists kept, so that a share is taken over about a second */
    SLU_HOST_TEXT = 160,
};

struct slu_process_list {
    uint64_t at_ns;
    struct slu_process *v; /* by pid */
    size_t n, cap;
};

struct slu_process_share {
    const struct slu_process *p; /* in the newest list */
    double cpu;                  /* percent of one core */
};

/* The last few process lists. Zeroed is empty. */
struct slu_process_window {
    struct slu_process_list list[SLU_HOST_WINDOW];
    size_t newest, n;
};

struct slu_host_sample {
    uint64_t at_ns; /* monotonic */
    bool has_cpu, has_memory, has_load;
    struct slu_cpu_sample cpu;
    struct slu_memory memory;
    struct slu_load load;
    size_t n_disks, n_nets;
    struct slu_disk disk[SLU_PROCFS_DISKS];
    struct slu_net net[SLU_PROCFS_NETS];
};

/* What hardly changes. */
struct slu_host_info {
    char host[SLU_HOST_TEXT], os[SLU_HOST_TEXT], kernel[SLU_HOST_TEXT], arch[SLU_HOST_TEXT], model[SLU_HOST_TEXT];
    size_t cores;
    uint64_t memory;
    double uptime_s;
};

/* Open files and scratch memory for reading. */
struct slu_host_reader {
    int proc_fd; /* /proc; -1 = closed */
    char *text;
    size_t cap;
};

bool slu_host_reader_init(struct slu_host_reader *r); /* false: no /proc or no memory; errno says */
void slu_host_reader_fini(struct slu_host_reader *r);

/* Reads one sample. What this machine does not offer is left out (has_… false, counts 0). */
void slu_host_read(struct slu_host_reader *r, struct slu_host_sample *out);
/* Reads the process list into the window's oldest place, which becomes the newest. False: out of memory. */
bool slu_host_read_processes(struct slu_host_reader *r, struct slu_process_window *w);
void slu_host_read_info(struct slu_host_reader *r, struct slu_host_info *out);
void slu_process_window_fini(struct slu_process_window *w);

/* The busiest by CPU between the list that is `back` places old (or the oldest there is) and the newest, then by memory.
 * Returns how many, at most cap. clock_hz: ticks a second. */
size_t slu_host_busiest(const struct slu_process_window *w, size_t back, double clock_hz, struct slu_process_share *out,
                        size_t cap);

/* Percent of 100 between two readings; a counter that went back gives 0. */
double slu_host_percent(uint64_t before, uint64_t now, uint64_t total_before, uint64_t total_now);
/* Units a second between two readings. */
double slu_host_rate(uint64_t before, uint64_t now, double seconds);
/* Percent of time that was not idle or waiting for disks. */
double slu_host_load_percent(const struct slu_cpu_times *before, const struct slu_cpu_times *now);
