/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs that can be repeated: random numbers from a seed (--random-seed), a time of day that begins where it is told to (--time-start), and directories listed in an order of their names (--deterministic-dirs). All are optional, and trap nothing where
 * they are off.
 */
#ifndef SLUICE_BUILTIN_DETERMINISM_DETERMINISM_H
#define SLUICE_BUILTIN_DETERMINISM_DETERMINISM_H

#include <stdbool.h>
#include <stdint.h>

struct dispatch;
struct file_times;

/* getrandom, /dev/random and /dev/urandom, AT_RANDOM. @tree: opens are resolved by the sandbox's own. After the built-ins that resolve paths. 0 or -errno. */
int builtin_random_register(struct dispatch *d, uint64_t seed, bool tree);
/* Clocks and timers that show the time of day, which is @start_s seconds after 1970 now, or (@times not NULL) agrees with those of files. 0 or -errno. */
int builtin_clock_register(struct dispatch *d, int64_t start_s, const struct file_times *times);
/* getdents64 of directories that no other built-in lists. After those. 0 or -errno. */
int builtin_directories_register(struct dispatch *d);

#endif
