/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a command in a sandbox.
 *
 * The short way: sluice_run or sluice_run_with_extra_handlers, which block until the whole tree has ended. The long way, for programs
 * with an event loop of their own: sluice_spawn, poll sluice_sandbox_fd, sluice_sandbox_wait, sluice_sandbox_free.
 *
 * A sandbox has threads of its own in the calling process and one small init process beside the command. The caller's own threads, signal
 * dispositions, umask, working directory and wait(-1) are left as they were: the init process has no exit signal.
 * All calls on one sandbox may come from any thread; free must be the last. After fork() without exec the child must not
 * use sandboxes of its parent.
 */
#ifndef SLUICE_SANDBOX_H
#define SLUICE_SANDBOX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <sluice/error.h>
#include <sluice/export.h>
#include <sluice/handler.h>
#include <sluice/policy.h>

SLUICE_BEGIN_DECLS

struct sluice_sandbox;
struct sluice_supervisor;

enum sluice_end {
	SLUICE_ENDED_EXIT = 1,	  /* the command exited: exit_code */
	SLUICE_ENDED_SIGNAL = 2,  /* a signal ended it: signal */
	SLUICE_ENDED_TIMEOUT = 3, /* the policy's timeout killed it */
	SLUICE_ENDED_KILLED = 4,  /* sluice_sandbox_kill or _free ended it */
	SLUICE_ENDED_FAULT =
		5, /* sluice itself could not go on; the tree was killed; error says why */
	SLUICE_ENDED_QUOTA =
		6, /* it went on writing, by a mapping, far past sluice_policy_set_max_disk; the tree was killed */
};

/* How it ended. Times of the command and all its reaped descendants. */
struct sluice_result {
	uint32_t end;	     /* enum sluice_end */
	int32_t exit_code;   /* 0-255, of the command; 128 + signal otherwise; 124 for a timeout */
	int32_t signal;	     /* 0 or the signal that ended the command */
	int32_t core_dumped; /* 0 or 1 */
	uint64_t wall_ns;
	uint64_t user_us;
	uint64_t system_us;
	uint64_t max_rss_kib; /* largest of any one process */
	uint64_t notifications;
	uint64_t denied; /* calls answered with an errno by a handler or by the engine */
	uint64_t
		memory_peak; /* bytes, as sampled, or memory.peak of a cgroup; 0: no limit of memory was set */
	uint64_t memory_kills; /* processes killed for that limit */
	uint64_t stopped_us;   /* time for which the sandbox was held for its limit of CPU */
	uint64_t reserved[3];
};

/*
 * Run @argv (argv[0] is looked up in PATH of the command's environment) and wait for the end of its whole tree.
 * Returns 0 and *ret_result (may be NULL), or a negative errno with @err, in which case the command was never started:
 * -ENOENT, -EACCES, -ENOEXEC ... from its exec (err->text begins "exec:"), -EINVAL a bad policy or handler, -EOPNOTSUPP a kernel feature is
 * missing, -EMFILE, -ENOMEM, -EAGAIN resources.
 */
SLUICE_API int sluice_run(struct sluice_policy *policy, const char *const argv[],
			  struct sluice_result *ret_result, struct sluice_error *err);

/*
 * The same with extra handlers. Beside the above: -EINVAL for a number that is no system call, -EPERM for a call that the policy denies,
 * -ENOTSUP for a call that programs never retry (unless SLUICE_INSIST): @err names handler and call; nothing was forked.
 * @extras is borrowed for the call, the userdata until the call returns.
 */
SLUICE_API int sluice_run_with_extra_handlers(struct sluice_policy *policy,
					      const char *const argv[],
					      const struct sluice_handler *extras, size_t n_extras,
					      struct sluice_result *ret_result,
					      struct sluice_error *err);

enum sluice_stdio {
	SLUICE_STDIO_INHERIT = 0,
	SLUICE_STDIO_NULL = 1,	 /* /dev/null */
	SLUICE_STDIO_PIPE = 2,	 /* a pipe whose other end sluice_sandbox_pipe gives */
	SLUICE_STDIO_FD = 3,	 /* the descriptor in stdio_fd, borrowed */
	SLUICE_STDIO_STDOUT = 4, /* stderr only: the same as stdout */
};

/* Options of sluice_spawn; zero it, then set `size` to sizeof and what is wanted. */
struct sluice_spawn_options {
	size_t size;
	const struct sluice_handler
		*extras; /* borrowed for the call; names and userdata until sluice_sandbox_free */
	size_t n_extras;
	uint32_t stdio[3]; /* enum sluice_stdio */
	int stdio_fd[3];
	int trace_fd; /* used if trace is not 0: every trapped call and its verdict is written there; borrowed until _free */
	uint32_t trace; /* 0 none, 1 lines of text, 2 Chrome trace JSON */
	/*
	 * 1: keep latency histograms per call, and what each process took, for sluice_sandbox_stats_json. Traps exit_group too, for that is when the latter can be read.
	 */
	uint32_t stats;
	struct sluice_supervisor
		*supervisor; /* NULL: the sandbox stands alone; else a reference is taken */
	/*
	 * Used if stops is not 0: the number of the signal is written there, as 8 bytes, each time that one stops the command (job control). A pipe or an
	 * eventfd that does not block; borrowed until _free.
	 */
	int stop_fd;
	uint32_t stops;
	uint64_t reserved[3];
};

/*
 * Start @argv. Returns 0 and *ret when the command's exec has succeeded, else a negative errno as sluice_run does.
 * Handlers may be called before this returns.
 */
SLUICE_API int sluice_spawn(struct sluice_policy *policy, const char *const argv[],
			    const struct sluice_spawn_options *options, struct sluice_sandbox **ret,
			    struct sluice_error *err);

/* Readable (POLLIN) once the whole tree has ended. Borrowed; don't read from it. */
SLUICE_API int sluice_sandbox_fd(const struct sluice_sandbox *s);
/* Pid of the command. */
SLUICE_API pid_t sluice_sandbox_pid(const struct sluice_sandbox *s);
SLUICE_API const char *sluice_sandbox_name(const struct sluice_sandbox *s);
/* Our end of the pipe for descriptor @which (0: to write, 1 and 2: to read), once; the caller closes it. -EBADF: none, or taken already. */
SLUICE_API int sluice_sandbox_pipe(struct sluice_sandbox *s, int which);
/* Wait up to @timeout_ms (-1: for ever, 0: just look). Returns 0 and *ret_result, -EAGAIN when it still runs. */
SLUICE_API int sluice_sandbox_wait(struct sluice_sandbox *s, int timeout_ms,
				   struct sluice_result *ret_result);
/* Send @signal to the command; SIGKILL ends the whole tree. Returns 0 or -ESRCH when it has ended. */
SLUICE_API int sluice_sandbox_kill(struct sluice_sandbox *s, int signal);
/* A port that is another one than the command sees; IPPROTO_TCP or IPPROTO_UDP. */
struct sluice_port {
	int protocol;
	uint16_t virtual_port; /* that it asked for */
	uint16_t real_port;    /* by which it is reached from outside */
};
/* The ports that sluice_policy_set_port_remap has changed, of sockets that are open now: at most @max are written. Returns how many there are. Any thread. */
SLUICE_API size_t sluice_sandbox_ports(struct sluice_sandbox *s, struct sluice_port *ret,
				       size_t max);
/* A process of a sandbox, as it was a moment ago. */
struct sluice_process {
	pid_t pid, parent;
	char name[16];	  /* of its program, any bytes */
	char state;	  /* as in /proc/PID/stat: R S D T t Z ... */
	uint32_t threads; /* 0: it has ended and is not yet waited for */
	uint64_t cpu_us;  /* of all its threads */
	uint64_t resident_bytes;
	uint64_t reserved[2];
};
/*
 * The processes that the sandbox has now, parents before their children: at most @max are written. Returns how many there are, 0 when it has ended; one whose
 * parent ends meanwhile may be missed. Takes some 30 us for each. -ENOENT: this kernel does not list children (CONFIG_PROC_CHILDREN); -ENOMEM. Any thread.
 */
SLUICE_API int sluice_sandbox_processes(struct sluice_sandbox *s, struct sluice_process *ret,
					size_t max);

/*
 * What supervision did so far, as one JSON object that the caller frees with free(), or NULL when memory is short.
 * Shape: {"name","notifications","denied","dropped","workers","takeovers","demoted":[names of handlers],"calls":[{"nr","name","count","errno",
 * "dropped","supervised_us","p50_us","p99_us","max_us"}],"handlers":[{"name","nr","builtin","observer","calls","mean_us","max_us","late",
 * "slow"}],"processes":[{"pid","parent","name","processes","cpu_us","peak_kib","read_bytes","written_bytes","calls","supervised_us","whole"}]}
 * supervised_us and the percentiles: from the receipt of a call until its answer is ready; what the kernel takes to hand over both comes on top.
 * processes: each one that has been, if `stats` was asked for. name: of its last program; processes: 1, and more in the entry with pid 0 that sums up those beyond 10000;
 * read_bytes, written_bytes: by read(2), write(2) and their kind, from and to anything; whole: false where it was killed, and the figures are those of up to some 100 ms before.
 * A name that is not UTF-8 is given with its bytes as \xNN.
 */
SLUICE_API char *sluice_sandbox_stats_json(struct sluice_sandbox *s);
/* Kill what still runs, wait for its end, free everything. NULL is fine. Returns NULL. */
SLUICE_API struct sluice_sandbox *sluice_sandbox_free(struct sluice_sandbox *s);

SLUICE_END_DECLS

#endif
