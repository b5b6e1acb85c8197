/* What /proc says about a process and this machine, for `sluice bench`. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Nanoseconds on a processor, all threads; from schedstat, or in ticks where the kernel has none. False: no such process. */
bool slu_proc_cpu_ns(long pid, uint64_t *ns);
bool slu_proc_rss_bytes(long pid, uint64_t *bytes);
struct slu_machine {
    char model[128], kernel[128];
    long cores;
};
void slu_proc_machine(struct slu_machine *m);
/* Raises the limit of open files as far as allowed, at least tries for `need`; returns what it is now. */
size_t slu_proc_raise_files(size_t need);
