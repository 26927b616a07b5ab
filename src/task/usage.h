/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process takes of memory and of the processors, from procfs. For limits and ledgers, which look now and then: nothing of a call's way comes here.
 *
 * All return 0 or -errno (-ESRCH, -ENOENT: it has ended); any thread.
 */
#ifndef SLUICE_TASK_USAGE_H
#define SLUICE_TASK_USAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Bytes that it keeps from being free. */
struct usage_memory {
	uint64_t anonymous; /* with what of it was swapped out: RssAnon, VmSwap of proc(5) */
	uint64_t shared;    /* mapped memory of no file on disk: RssShmem */
};

/* Pages that several processes share are counted whole, so a sum over processes is an upper bound. Some 20 us. */
int usage_memory(pid_t pid, struct usage_memory *ret);
/* The same, each page divided by the number of processes that map it (smaps_rollup): takes 1 ms for each GiB. As usage_memory where it may not be read. */
int usage_memory_share(pid_t pid, struct usage_memory *ret);
/* Call @fn for each of its descriptors of a memfd_create(2), mapped or not. Some 3 us for every descriptor it has. */
int usage_memfds(pid_t pid, void (*fn)(const struct stat *st, void *arg), void *arg);
/* Do both use one memory, as a vfork child and its parent do? */
bool usage_same_memory(pid_t a, pid_t b);

struct usage_cpu {
	uint64_t own_ns; /* of all its threads, those that have ended included */
	uint64_t
		children_ns; /* of the children it has waited for, and theirs; steps of a clock tick */
	pid_t parent;
	char state; /* of its first thread: R S D T t Z X ... */
};

int usage_cpu(pid_t pid, struct usage_cpu *ret);
/* What a thread does, as /proc/PID/stat has it: R, S, D ... -ESRCH. */
int usage_state(pid_t tid);

/* All that one may want to know in the end; what may not be read of it is 0. */
struct usage_whole {
	pid_t parent;
	char name[16];
	uint64_t start; /* clock ticks since the machine's start */
	uint64_t cpu_ns, peak_kib, read_bytes, written_bytes;
};

int usage_whole(pid_t pid, struct usage_whole *ret);
/* What it is doing at the moment. Some 20 us. */
struct usage_now {
	pid_t parent;
	char name[16];
	char state; /* of its first thread, as above */
	uint32_t threads;
	uint64_t cpu_ns, resident_bytes;
};

int usage_now(pid_t pid, struct usage_now *ret);
/* When it was started, alone. */
int usage_start(pid_t pid, uint64_t *ret_ticks);

#endif
