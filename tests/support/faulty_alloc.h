/* An allocator that fails on demand, for programs linked with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc:
 * counts the allocations of the project's own code (not of shared libraries), on all threads, and fails the n-th,
 * once. */
#pragma once

#include <stdbool.h>

void faulty_alloc_arm(unsigned nth); /* 1: the very next */
/* True when the armed failure has happened. */
bool faulty_alloc_disarm(void);
/* While on, the calling thread's allocations neither count nor fail: for the test's own code in callbacks. */
void faulty_alloc_spare(bool on);
