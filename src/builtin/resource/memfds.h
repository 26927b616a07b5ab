/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --max-memory: has the sandbox made a memfd? Only then need descriptors be looked through for memory that nobody maps.
 */
#ifndef SLUICE_BUILTIN_RESOURCE_MEMFDS_H
#define SLUICE_BUILTIN_RESOURCE_MEMFDS_H

#include <stdatomic.h>
#include <stdbool.h>

struct dispatch;

/* Traps nothing where @made (borrowed until @d is freed) is NULL. 0 or -errno. */
int builtin_memfds_register(struct dispatch *d, atomic_bool *made);

#endif
