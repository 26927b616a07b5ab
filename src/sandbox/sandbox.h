/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of a sandbox: where engine, confinement and policy meet.
 *
 * Life: STARTING -> RUNNING (the exec succeeded) -> ENDED, or STARTING -> FAILED. The control thread (sandbox_main) moves it on; `lock` guards what both
 * sides see.
 */
#ifndef SLUICE_SANDBOX_SANDBOX_H
#define SLUICE_SANDBOX_SANDBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <sluice/sandbox.h>
#include <sluice/supervisor.h>

#include "builtin/procfs/ownproc.h"
#include "confine/confinement.h"
#include "confine/launch.h"
#include "engine/engine.h"
#include "sandbox/tree.h"
#include "tree/file_times.h"

enum sandbox_state {
	SANDBOX_STARTING = 0,
	SANDBOX_RUNNING,
	SANDBOX_FAILED, /* nothing runs; error, code */
	SANDBOX_ENDED,
};

/* The engine's timers. */
enum sandbox_timer {
	TIMER_TIMEOUT,
	TIMER_QUOTA,
	TIMER_MEMORY,
	TIMER_CPU,
	TIMER_LEDGER,
};

/* The command line made ready for exec: all heap, owned. */
struct command {
	char **argv;	   /* one block with its strings */
	char **envp;	   /* one block with its strings */
	char **candidates; /* one block with its strings */
	char *cwd;	   /* NULL: the caller's */
};

/* The standard descriptors: what the command gets, and our ends of pipes. */
struct stdio_plan {
	int child[3];	     /* -1: inherit */
	bool close_child[3]; /* ours to close after the start */
	int ours[3];	     /* -1: none */
};

struct builtin_sandbox;
struct memory_group;

struct sluice_sandbox {
	char name[72];
	struct sluice_policy *policy;	      /* reference */
	struct sluice_supervisor *supervisor; /* reference or NULL */
	struct memory_group *memory_group; /* owned; NULL: no limit of memory, or a sampled one */
	struct confinement *confinement;   /* reference */
	struct sandbox_tree *tree;	   /* owned; NULL: the command sees the host's tree */
	struct remap *remap;		   /* owned; NULL: ports are the host's */
	struct network *network;	   /* the dispatch table's; NULL: no rules of the network */
	struct port_map *port_map;	   /* owned; NULL: no file tells of them */
	struct ownproc *proc;		   /* owned; NULL: the command sees the host's /proc */
	struct engine *engine;		   /* reference */
	struct command command;		   /* gone once the start has succeeded */
	struct stdio_plan stdio;
	uint64_t sigmask;	 /* of the command */
	struct file_times times; /* of files, where the policy has them go with the time of day */
	int stop_fd;		 /* borrowed; -1: nobody asked for stops */
	bool thread_started;
	bool proc_granted; /* the policy lets the command read /proc */
	pthread_t thread;  /* control thread; joined by free */
	int end_fd;	   /* eventfd; readable once ENDED; -1 in sluice_run */

	/* owned by the control thread */
	struct launch launch;
	bool launched;
	int channel_source;
	int quota_source;	     /* -1: no quota */
	bool quota_holds;	     /* the processes must not write */
	struct memory_limit *memory; /* NULL: none */
	_Atomic uint64_t
		memory_used; /* as the control thread found last, where it is limited; any thread */
	atomic_bool memfds_made; /* by the command, where memory is limited; any thread */
	struct cpu_limit *cpu;	 /* NULL: none */
	struct ledger *ledger;	 /* owned; NULL: nobody asked for statistics */

	pthread_mutex_t lock;
	pthread_cond_t changed;	     /* on CLOCK_MONOTONIC */
	enum sandbox_state state;    /* guarded by lock */
	int code;		     /* negative errno of FAILED; guarded by lock */
	struct sluice_error error;   /* guarded by lock */
	struct sluice_result result; /* guarded by lock */
	enum sluice_end kill_reason; /* the first one; 0: nobody killed it; guarded by lock */
	bool signalable; /* launch.pidfd and launch.init_pidfd may be used; guarded by lock */
	uint64_t started_ns;
};

/* command.c: build from policy, argv and the caller's environment. -ENOENT: nothing to execute. */
int command_init(struct command *c, const struct sluice_policy *p, const char *const argv[],
		 struct sluice_error *err);
void command_fini(struct command *c);

/* stdio.c */
int stdio_init(struct stdio_plan *s, const struct sluice_spawn_options *o,
	       struct sluice_error *err);
/* The command has them, or never will. */
void stdio_close_child(struct stdio_plan *s);
void stdio_fini(struct stdio_plan *s);

/* extras.c: built-ins and extras into a new dispatch table, checked against the policy. */
int dispatch_build(struct sluice_policy *p, const struct sandbox_tree *tree,
		   const struct builtin_sandbox *sandbox, const struct sluice_handler *extras,
		   size_t n_extras, struct dispatch **ret, struct sluice_error *err);

/* control.c: the control thread. */
void *sandbox_main(void *sandbox);
/* Kill the tree, for @reason. Any thread. -ESRCH when it has ended. */
int sandbox_kill_tree(struct sluice_sandbox *s, enum sluice_end reason);

/* supervisor.c */
int supervisor_enter(struct sluice_supervisor *v, struct sluice_error *err);
void supervisor_leave(struct sluice_supervisor *v, const struct sluice_result *r);

#endif
