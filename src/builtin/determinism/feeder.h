/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipes that never end: what a process reads in place of /dev/urandom. One thread fills those that have room.
 */
#ifndef SLUICE_BUILTIN_DETERMINISM_FEEDER_H
#define SLUICE_BUILTIN_DETERMINISM_FEEDER_H

#include <stdint.h>

struct feeder;

struct feeder *feeder_new(void);
/* Ends the thread. */
struct feeder *feeder_free(struct feeder *f);
/* A new pipe with the stream of @key: the end to read from (CLOEXEC, the caller's), -ENFILE: there are too many, -errno. From an engine thread, whose confinement the feeder's has. */
int feeder_open(struct feeder *f, uint64_t key);

#endif
