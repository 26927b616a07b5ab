/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handlers: code of the embedder that answers system calls of the sandbox, after the built-in handlers.
 *
 * A handler is called for each trapped call of its number with the stopped task's request and returns a verdict. Handlers
 * of one call form a chain: the built-ins, then the extras in the order in which they were given. The first verdict that is
 * not SLUICE_CONTINUE ends the chain; when all continue, the built-in's plan (if one was made) is carried out, else the kernel
 * runs the call. So an extra can refuse or answer what the built-ins let pass, and can never undo what they refused.
 *
 * Threads: a handler is called on an engine thread, with all signals blocked, umask 0, no capabilities, and inside the
 * sandbox's own Landlock bounds (a file that the policy does not grant cannot be opened there: open logs beforehand). The same handler
 * can run on several threads at once, for different tasks; for one task calls come one after the other.
 * Time: a handler not marked SLUICE_MAY_BLOCK should return within microseconds. One that does not holds up others for at most 2 ms,
 * once; one that proves slow on average is moved to the pool. Past its deadline the call is denied and what the handler returns later is dropped.
 * A handler must not exit, must not unwind through the library, and must not call sluice_sandbox_wait() or _free() of its own sandbox.
 */
#ifndef SLUICE_HANDLER_H
#define SLUICE_HANDLER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <sluice/error.h>
#include <sluice/export.h>

SLUICE_BEGIN_DECLS

/* The stopped call. Valid only while the handler runs (see sluice_request_defer for later). */
struct sluice_request;
/*
 * The right to answer a call later: a plain value, to be copied and kept anywhere. It keeps what it needs of the engine alive until it is
 * answered.
 */
struct sluice_deferral {
	void *engine;
	uint64_t token;
};

/* ---- verdicts ---- */

enum sluice_verdict_kind {
	SLUICE_DENY = 0,     /* EPERM: what a zeroed struct means */
	SLUICE_CONTINUE = 1, /* no objection */
	SLUICE_AS_SEEN =
		2, /* carry the call out on behalf, with the arguments as this handler saw them */
	SLUICE_ERRNO = 3,	 /* fail with `error` */
	SLUICE_VALUE = 4,	 /* return `value` */
	SLUICE_INJECT_FD = 5,	 /* return a new descriptor for the file that `fd` refers to */
	SLUICE_INJECT_BYTES = 6, /* return a new read-only descriptor of a file that holds `data` */
	SLUICE_KILL =
		7, /* send signal `error` to the process; the call fails with EPERM if that does not end it */
	SLUICE_DEFER = 8, /* answered later, see sluice_request_defer */
};

/*
 * kind:  one of the above; any other number is a denial.
 *        AS_SEEN is for the calls that take a path or an address: what sluice_request_path, _open_args and _sockaddr give is what is acted on, whatever the
 *        caller's memory says by then; other memory (names and values of attributes, times, buffers) is read when it is done. EOPNOTSUPP for other calls, for
 *        sendto, for those that change what paths are resolved in (chroot, mount ...), and, in the host's own tree, for chdir, execve and execveat, which
 *        nobody can do for another process.
 * error: ERRNO: 1-4095. KILL: signal 1-64. Out of range is a denial.
 * value: VALUE: what the call returns; -4095..-1 would read as an errno and is a denial.
 * fd:    INJECT_FD: consumed by the engine in every case (closed after use).
 * flags: INJECT_*: O_CLOEXEC or 0.
 * data, size: INJECT_BYTES: borrowed until the handler's chain ended; copied; at most 16 MiB.
 */
struct sluice_verdict {
	uint32_t kind;
	int32_t error;
	int64_t value;
	int32_t fd;
	uint32_t flags;
	const void *data;
	size_t size;
};

static inline struct sluice_verdict sluice_verdict_make(uint32_t kind, int32_t error, int64_t value)
{
	struct sluice_verdict v;

	v.kind = kind;
	v.error = error;
	v.value = value;
	v.fd = -1;
	v.flags = 0;
	v.data = NULL;
	v.size = 0;
	return v;
}

static inline struct sluice_verdict sluice_continue(void)
{
	return sluice_verdict_make(SLUICE_CONTINUE, 0, 0);
}

static inline struct sluice_verdict sluice_as_seen(void)
{
	return sluice_verdict_make(SLUICE_AS_SEEN, 0, 0);
}

static inline struct sluice_verdict sluice_errno(int error)
{
	return sluice_verdict_make(SLUICE_ERRNO, error, 0);
}

static inline struct sluice_verdict sluice_value(int64_t value)
{
	return sluice_verdict_make(SLUICE_VALUE, 0, value);
}

static inline struct sluice_verdict sluice_kill(int signal)
{
	return sluice_verdict_make(SLUICE_KILL, signal, 0);
}

static inline struct sluice_verdict sluice_defer(void)
{
	return sluice_verdict_make(SLUICE_DEFER, 0, 0);
}

static inline struct sluice_verdict sluice_inject_fd(int fd, uint32_t flags)
{
	struct sluice_verdict v = sluice_verdict_make(SLUICE_INJECT_FD, 0, 0);

	v.fd = fd;
	v.flags = flags;
	return v;
}

static inline struct sluice_verdict sluice_inject_bytes(const void *data, size_t size,
							uint32_t flags)
{
	struct sluice_verdict v = sluice_verdict_make(SLUICE_INJECT_BYTES, 0, 0);

	v.data = data;
	v.size = size;
	v.flags = flags;
	return v;
}

typedef struct sluice_verdict (*sluice_handler_fn)(struct sluice_request *req, void *userdata);

/* ---- registration ---- */

enum {
	SLUICE_MAY_BLOCK = 1u << 0, /* runs in the pool, may take its time (up to the deadline) */
	SLUICE_OBSERVER =
		1u
		<< 1, /* called after the verdict, denials by built-ins included; its return value is ignored */
	SLUICE_INSIST =
		1u
		<< 2, /* register also for a call that programs never retry (close, futex, wait4, read ...) */
};

#define SLUICE_DEADLINE_DEFAULT_MS 10000u

/*
 * One extra handler. Zero what is not needed.
 * name:        for errors and statistics; borrowed until the sandbox is freed; NULL reads as "extra-N".
 * nr:          system call number of the native ABI (SYS_openat ...).
 * flags:       SLUICE_MAY_BLOCK | SLUICE_OBSERVER | SLUICE_INSIST.
 * deadline_ms: 1-3600000; 0 = SLUICE_DEADLINE_DEFAULT_MS.
 * deadline_errno: what a call whose handler missed the deadline fails with; 0 = EPERM.
 */
struct sluice_handler {
	const char *name;
	int nr;
	uint32_t flags;
	sluice_handler_fn fn;
	void *userdata;
	uint32_t deadline_ms;
	int deadline_errno;
	uint64_t reserved[2];
};

static inline struct sluice_handler sluice_handler_make(const char *name, int nr,
							sluice_handler_fn fn, void *userdata)
{
	struct sluice_handler h;

	h.name = name;
	h.nr = nr;
	h.flags = 0;
	h.fn = fn;
	h.userdata = userdata;
	h.deadline_ms = 0;
	h.deadline_errno = 0;
	h.reserved[0] = 0;
	h.reserved[1] = 0;
	return h;
}

/* Number of the native call @name, or -EINVAL; name of @nr, or NULL. */
SLUICE_API int sluice_syscall_number(const char *name);
SLUICE_API const char *sluice_syscall_name(int nr);

/* ---- the request, as the kernel reported it ---- */

SLUICE_API int sluice_request_nr(const struct sluice_request *req);
/* Argument 0-5; others read as 0. */
SLUICE_API uint64_t sluice_request_arg(const struct sluice_request *req, unsigned index);
/* Thread id of the caller, in the embedder's pid namespace. */
SLUICE_API pid_t sluice_request_tid(const struct sluice_request *req);
/* The kernel's id of this notification; unique within the sandbox. */
SLUICE_API uint64_t sluice_request_id(const struct sluice_request *req);
/* Name of the sandbox; valid while the request is. */
SLUICE_API const char *sluice_request_sandbox_name(const struct sluice_request *req);

/* ---- the caller; each answer is checked to be about the task that is stopped in this call ----
 * -ESRCH: the task is gone (any verdict will do then). -EACCES: the kernel does not let us look. */

/* Process id (thread group id), or a negative errno. */
SLUICE_API pid_t sluice_request_tgid(struct sluice_request *req);
/* Path of its program, NUL-terminated. Returns the length, or -ENAMETOOLONG when it does not fit. */
SLUICE_API ssize_t sluice_request_exe(struct sluice_request *req, char *buf, size_t size);
/* Its working directory. */
SLUICE_API ssize_t sluice_request_cwd(struct sluice_request *req, char *buf, size_t size);
/* Its command line: arguments separated by NUL, as in /proc/PID/cmdline, cut at @size. Returns the bytes written. */
SLUICE_API ssize_t sluice_request_cmdline(struct sluice_request *req, char *buf, size_t size);

/* ---- memory of the caller: private copies only ---- */

/* Read exactly @size bytes (at most 1 MiB). Returns 0, -EFAULT, -ESRCH, -EACCES or -E2BIG. On failure @buf is zeroed. */
SLUICE_API int sluice_request_read(struct sluice_request *req, uint64_t addr, void *buf,
				   size_t size);
/* Write exactly @size bytes, honouring page protection. Same errors. */
SLUICE_API int sluice_request_write(struct sluice_request *req, uint64_t addr, const void *buf,
				    size_t size);
/* Read a NUL-terminated string of at most @size-1 bytes. Returns its length, or -EFAULT, -ENAMETOOLONG, ... */
SLUICE_API ssize_t sluice_request_read_string(struct sluice_request *req, uint64_t addr, char *buf,
					      size_t size);

/*
 * The call's path (@which 0) or second path (@which 1: rename, link, symlink's new name ...), read once and shared by the whole chain.
 * *ret_path is a private, NUL-terminated copy, valid while the request is; bytes, not text. Returns its length, or:
 * -EINVAL the call has no such path, -EFAULT unreadable, -ENAMETOOLONG as the kernel would say, -ESRCH, -EACCES.
 */
SLUICE_API ssize_t sluice_request_path(struct sluice_request *req, unsigned which,
				       const char **ret_path);
/* The directory descriptor that goes with it (AT_FDCWD where the call has none), or a negative errno other than AT_FDCWD (-100). */
SLUICE_API int sluice_request_dirfd(struct sluice_request *req, unsigned which);

/* open, openat, openat2 and creat as one shape; what lies in memory is read once, as paths are. Returns 0, -EINVAL (another call), -EFAULT, -E2BIG, -ESRCH. */
struct sluice_open_args {
	uint64_t flags; /* O_* */
	uint64_t mode;
	uint64_t resolve; /* RESOLVE_*, openat2 only */
	int openat2;	  /* 1: the call is openat2, which refuses flags that the others ignore */
};
SLUICE_API int sluice_request_open_args(struct sluice_request *req, struct sluice_open_args *ret);

/* The socket address of connect, bind, sendto, read once, as paths are. Returns its length (0-128), -EINVAL, -EFAULT, ... */
SLUICE_API ssize_t sluice_request_sockaddr(struct sluice_request *req,
					   struct sockaddr_storage *ret);

/* ---- what the built-ins made of it ---- */

enum sluice_plan_kind {
	SLUICE_PLAN_KERNEL = 0, /* the kernel runs the call as it stands */
	SLUICE_PLAN_REPLY =
		1, /* a built-in answers: the call returns value and `data` is written to the caller's memory at `addr` */
	SLUICE_PLAN_ACT = 2, /* a built-in acts on behalf: host_path (host_path2), layer */
};

/* Where the call's first file lies. */
enum sluice_layer {
	SLUICE_LAYER_NONE = 0,
	SLUICE_LAYER_HOST = 1,	/* in the host's tree, or the root of a chroot */
	SLUICE_LAYER_MOUNT = 2, /* on a mount */
	SLUICE_LAYER_LOWER =
		3, /* in a copy-on-write directory, unchanged so far: what changes it will copy it first */
	SLUICE_LAYER_UPPER = 4, /* in its branch, or to be made there */
};

/*
 * The plan as it stands when an extra runs. Pointers are borrowed and valid while the request is. Of SLUICE_PLAN_ACT for connect, bind, sendto, sendmsg and
 * sendmmsg: `data` are the `size` bytes of the address (struct sockaddr ...) that will be used, after what built-ins make of it; NULL where there is none, or a
 * file that host_path names.
 */
struct sluice_plan {
	uint32_t kind;	       /* enum sluice_plan_kind */
	uint32_t layer;	       /* enum sluice_layer */
	const char *builtin;   /* who made it; NULL for SLUICE_PLAN_KERNEL */
	const char *host_path; /* NULL where none */
	const char *host_path2;
	int64_t value;
	uint64_t addr;
	const void *data;
	size_t size;
};
SLUICE_API void sluice_request_plan(struct sluice_request *req, struct sluice_plan *ret);

/* ---- observers ---- */

/* What became of the call. kind as answered; result: errno (negative), value, or descriptor number; by: who decided. */
struct sluice_outcome {
	uint32_t kind;
	int64_t result;
	const char *by;
	uint64_t elapsed_ns; /* from its receipt until now */
};
SLUICE_API void sluice_request_outcome(const struct sluice_request *req,
				       struct sluice_outcome *ret);

/* ---- answering later ---- */

/*
 * Take the right to answer this call later, from any thread; then return sluice_defer(). It must be given back with
 * sluice_deferral_answer, also when the task or the whole sandbox is gone by then. The handler's deadline goes on.
 * -EAGAIN: too many calls are deferred (1024 per sandbox). -EALREADY: taken already.
 */
SLUICE_API int sluice_request_defer(struct sluice_request *req, struct sluice_deferral *ret);
/*
 * Answer. CONTINUE goes on with the rest of the chain; any other verdict is final. Returns 0; -ENOENT when nobody waits any more (deadline,
 * death of the task, end of the sandbox); -EALREADY at a second answer, which changes nothing (it must not come after
 * sluice_sandbox_free). A verdict's descriptor is closed in every case. A handler that answers its deferral and then returns another
 * verdict than sluice_defer() has answered twice: the call is denied.
 */
SLUICE_API int sluice_deferral_answer(const struct sluice_deferral *d,
				      struct sluice_verdict verdict);

SLUICE_END_DECLS

#endif
