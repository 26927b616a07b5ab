/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an engine thread in domain A to a command in domain B with its filter, under an init process of its own.
 *
 *   engine thread --clone(CLONE_VM, no exit signal)--> init --clone(CLONE_VM)--> command: domain B, filter, exec
 *
 * Init shares the caller's memory but nothing else (own descriptor table, own fs, own signal actions, all signals blocked); it is the subreaper of the tree,
 * lives outside domain B's signal scope, and kills the whole tree (one kill(-1) inside domain A's signal scope, which is atomic; a walk
 * over children where the kernel has no such scope) when the command ends, when it is told to, and when the thread that launched it ends.
 * Between clone and exec only raw system calls are made: no malloc, no errno, no locks.
 */
#ifndef SLUICE_CONFINE_LAUNCH_H
#define SLUICE_CONFINE_LAUNCH_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <sluice/error.h>

struct confinement;

/* All borrowed until LAUNCH_EXECED, LAUNCH_FAILED or the end of the channel. */
struct launch_spec {
	const struct confinement *confinement;
	char *const *
		candidates; /* paths to try with execve in turn, as execvp would; NULL-terminated, at least one */
	char *const *argv;
	char *const *envp;
	const char *cwd; /* NULL: the caller's */
	int stdio[3];	 /* descriptors for 0, 1, 2; -1: as the caller's */
	unsigned umask;
	uint64_t sigmask;	 /* kernel sigset of the command */
	uint64_t max_open_files; /* 0: as the caller's */
	uint64_t
		max_file_bytes; /* RLIMIT_FSIZE, if that is lower than the caller's; 0: as the caller's */
	bool fixed_addresses; /* no randomization */
	int group; /* cgroup.procs, above 2, of the group of cgroup v2 that the command is to be in; -1: none */
	const cpu_set_t *cores; /* processors that it may use; NULL: as the caller */
};

enum launch_event_kind {
	LAUNCH_LISTENER =
		1, /* carries the listener and the command's pidfd; execed: and LAUNCH_EXECED in one */
	LAUNCH_EXECED = 2,
	LAUNCH_FAILED = 3, /* before or in exec: stage, error; nothing runs */
	LAUNCH_EXITED =
		4, /* the command ended: status, usage; the rest of the tree is being killed */
	LAUNCH_STOPPED = 6, /* a signal stopped the command: status */
	LAUNCH_EMPTY =
		5, /* the whole tree is gone and reaped; init is about to end; usage of all of it */
};

enum launch_stage {
	LAUNCH_STAGE_FORK = 1,
	LAUNCH_STAGE_GROUP,
	LAUNCH_STAGE_STDIO,
	LAUNCH_STAGE_CWD,
	LAUNCH_STAGE_LIMITS,
	LAUNCH_STAGE_CORES,
	LAUNCH_STAGE_LANDLOCK,
	LAUNCH_STAGE_FILTER,
	LAUNCH_STAGE_EXEC,
};

/* One datagram on launch->channel. */
struct launch_event {
	uint32_t kind;
	uint32_t stage;
	int32_t error;	/* positive errno */
	int32_t status; /* as wait4 gives it */
	/* nobody is left: usage is that of the whole tree, nothing comes after this event; of EXITED (then there is no EMPTY) and EMPTY */
	bool tree_gone;
	bool execed; /* of LISTENER */
	struct rusage usage;
};

struct launch {
	pid_t init_pid;
	int init_pidfd;
	pid_t pid; /* command */
	int pidfd; /* of the command */
	int listener;
	int channel; /* SOCK_SEQPACKET: launch events; end of file: init is gone */
	bool signal_scope;
	bool execed; /* the command had executed when launch_start returned: no LAUNCH_EXECED will come */
	bool empty; /* an event of tree_gone has been read */
	/* owned by who asked for the sandbox, so that an engine thread needs no heap arena of its own */
	void *memory;	     /* shared with init: see init.h */
	void *command_stack; /* NULL once the command has executed */
};

/* Make what launch_start needs of memory: 0 or -ENOMEM. Thread: any, before launch_start. */
int launch_init(struct launch *l, char *const *argv);
/* The command has executed: give back what only it used. Thread: that of launch_init. */
void launch_trim(struct launch *l);
/* Free the memory. Thread: that of launch_init, once launch_fini has returned, or in place of a start. */
void launch_free(struct launch *l);

/*
 * Start, after launch_init. Thread: an engine thread in domain A, which must live as long as the sandbox (its end is init's sign to kill). Returns 0 once the
 * listener is here; whether the exec succeeded comes as an event when a handler may have to answer the exec first, or it takes long.
 * On failure nothing is left behind and @err says which stage failed.
 */
int launch_start(struct launch *l, const struct launch_spec *spec, struct sluice_error *err);

/* Read one event if there is one. Returns 1, 0 (none now), -EPIPE (init is gone), or another negative errno. Thread: any one at a time. */
int launch_next_event(struct launch *l, struct launch_event *ret);

/* The error of a LAUNCH_FAILED other than of LAUNCH_STAGE_CWD and _EXEC. Returns the negative errno. */
int launch_failure(uint32_t stage, int error, struct sluice_error *err);

/* The command is about to be stopped, or has been let go on, by us: that is no news for whoever asked about stops. Any thread. */
void launch_hold(struct launch *l, bool on);

/* Tell init to kill the whole tree. Async-signal-safe; any thread. */
int launch_kill_tree(const struct launch *l);

/* After EMPTY or end of file: reap init, close all. Kills what is left when init died early. Thread: the one that started. */
void launch_fini(struct launch *l);

#endif
