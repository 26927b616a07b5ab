/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the launching thread, init and the command share between clone and exec: one mapping, laid out by launch.c.
 *
 * init.c is compiled without sanitizers and stack protector, and uses nothing of libc: it runs in processes that share the embedder's memory.
 */
#ifndef SLUICE_CONFINE_INIT_H
#define SLUICE_CONFINE_INIT_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "confine/launch.h"

#define INIT_STACK_BYTES 2048 /* they need 400, which the build looks after */

/* Where the command is. The kernel writes the 0 when it leaves the shared memory, by exec or by its end (CLONE_CHILD_CLEARTID). */
enum init_here {
	INIT_GONE = 0,
	INIT_STARTING = 1,
	INIT_FILTERED = 2,
};

struct init_shared {
	/* written by the launching thread before the clone, constant after it */
	struct launch_spec spec;
	struct sock_fprog filter;
	int ruleset_b;
	bool signal_scope;
	bool early; /* hand the listener over before the exec: it is trapped, or waits for `go` */
	bool handlers_dropped; /* init began without the embedder's signal handlers */
	int channel;	       /* init's end; above 2 */
	pid_t parent;	       /* process that launches */
	const char **
		script_argv; /* {"/bin/sh", candidate, argv[1] ..., NULL}: for a file that the kernel can't execute */
	char *command_stack_top;

	/* between init and command */
	uint32_t here; /* futex: enum init_here; init is woken for FILTERED only when `early` */
	uint32_t go;   /* futex: the limits are set, exec */
	bool filtered; /* listener is set */
	int listener;
	int stage, error;    /* of a command that did not get to its exec */
	uint64_t sigchld[4]; /* the kernel's sigaction as the embedder had it */

	/* between init and the engine */
	bool held; /* the sandbox is stopped for its limit of CPU */

	/* init's own */
	pid_t command;
	int pidfd;
	int children_fd;
	bool killing;
	bool tree_gone; /* nobody is left, and that has been said */
	struct launch_event event;
	struct rusage usage;
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control;

	char children[2048]; /* what it holds; not cleared before the clone */
};

/* Entry of the init process. Never returns. */
int init_main(void *shared);

#endif
