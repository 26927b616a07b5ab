/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream of each process: its key follows from the seed, the command line of the process when it first asks, and how many asked before it under the same one. So what a process gets does not
 * depend on who else runs. Any thread.
 */
#ifndef SLUICE_BUILTIN_DETERMINISM_STREAMS_H
#define SLUICE_BUILTIN_DETERMINISM_STREAMS_H

#include <stddef.h>
#include <stdint.h>

struct sluice_request;
struct streams;

struct streams *streams_new(uint64_t seed);
struct streams *streams_free(struct streams *s);
/* The next @n bytes of the caller's stream. 0, -ESRCH. */
int streams_take(struct streams *s, struct sluice_request *req, void *to, size_t n);

#endif
