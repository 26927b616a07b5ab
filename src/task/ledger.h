/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each process of a sandbox took: processor time, memory, bytes, and what supervising it took. Kept only where somebody asked for statistics.
 *
 * ledger_count is on the way of every trapped call: atomics, no lock and no allocation. The rest is for the end of a process, and for looks from time to time.
 */
#ifndef SLUICE_TASK_LEDGER_H
#define SLUICE_TASK_LEDGER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct ledger;

struct ledger_entry {
	pid_t pid, parent;
	char name[16];	     /* of its last program */
	uint64_t cpu_ns;     /* of all its threads */
	uint64_t peak_kib;   /* largest resident set */
	uint64_t read_bytes; /* by read and its kind, from anything */
	uint64_t written_bytes;
	uint64_t calls;		/* trapped */
	uint64_t supervised_ns; /* of these */
	uint64_t start;		/* in the kernel's clock ticks: tells two with one number apart */
	uint64_t
		processes; /* 1; more in the entry that sums up those for which there was no room */
	bool whole; /* it was looked at when it exited, and not some time before it was killed */
};

struct ledger *ledger_new(void);
struct ledger *ledger_free(struct ledger *l);

/* A trapped call of process @pid; not above 0: it could not be told whose. Any thread. */
void ledger_count(struct ledger *l, pid_t pid, uint64_t supervised_ns);
/* What @pid took so far. @ends: it is about to exit. Any thread. */
void ledger_look(struct ledger *l, pid_t pid, bool ends);
/* Call @fn for each process, in the order of their ends, those that live last. Any thread; @fn must not call the ledger. */
void ledger_each(struct ledger *l, void (*fn)(const struct ledger_entry *e, void *arg), void *arg);

#endif
