/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sandbox may do: an opaque policy, built step by step.
 *
 * A new policy grants nothing but the default devices; the network is refused. A policy may serve any number of
 * sandboxes, also at the same time and from different threads, as long as no setter runs meanwhile: setters
 * are not synchronised. What is costly (filter, Landlock rulesets) is compiled at the first use and kept
 * inside the policy until a setter changes it.
 *
 * All strings are borrowed for the call and copied. Setters return 0 or a negative errno:
 *   -EINVAL   nonsense (empty, out of range, a name that is not known)
 *   -ENAMETOOLONG, -ENOMEM
 * Paths are looked up when a sandbox is started: relative ones from the caller's working directory at that moment; one that
 * can't be used makes the start fail with -ENOENT, -ENOTDIR, -EACCES or -ELOOP and an error that names it.
 */
#ifndef SLUICE_POLICY_H
#define SLUICE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include <sluice/error.h>
#include <sluice/export.h>

SLUICE_BEGIN_DECLS

struct sluice_policy;

/* A new policy with one reference, or NULL when memory is short. */
SLUICE_API struct sluice_policy *sluice_policy_new(void);
/* Takes a further reference and returns @p. */
SLUICE_API struct sluice_policy *sluice_policy_ref(struct sluice_policy *p);
/* Drops a reference; NULL is fine. Running sandboxes hold references of their own. Returns NULL. */
SLUICE_API struct sluice_policy *sluice_policy_unref(struct sluice_policy *p);

/*
 * What @p grants and limits, as one JSON object that the caller frees with free(), or NULL when memory is short. What was not set is null, or an empty list.
 * Shape: {"name","grants":[{"path","access","optional"}],"default_devices","denials":[PATH],"root","mounts":[{"at","host","access"}],"cow":{"workdir","lowers":[PATH],"storage",
 * "branch","on_exit","on_error","durability","max_disk"},"cwd","network":{"targets":[{"protocols":[NAME],"host","ports"}],"targets_are","binds":[PORTS],"binds_are",
 * "resolve","name_servers":[ADDRESS],"port_remap","port_map"},"proc","num_cpus","limits":{"timeout_ms","open_files","memory","processes","cpu_percent","cpu_cores"},
 * "clean_env","env":[KEY],"random_seed","time_start","time_start_files","randomize_memory","deterministic_dirs","unix_datagrams","calls":[{"name","denied"}],"degraded":[FEATURE],
 * "disabled":[FEATURE],"dispatch"}
 * access: read, write, list, device; of a mount as_granted, read, write. targets_are, binds_are: allowed or denied. Values of the environment are left out: they may be
 * secrets. Paths that are not UTF-8 are given with their bytes as \xNN.
 */
SLUICE_API char *sluice_policy_json(const struct sluice_policy *p);

/* ---- files ---- */

/* Grant reading, listing and executing of @path and all below it. */
SLUICE_API int sluice_policy_allow_read(struct sluice_policy *p, const char *path,
					struct sluice_error *err);
/* Grant reading and writing (create, remove, rename, truncate, link, device ioctls included) of @path and below. */
SLUICE_API int sluice_policy_allow_write(struct sluice_policy *p, const char *path,
					 struct sluice_error *err);
/*
 * Grant what a command needs on an ordinary system: the system trees that exist (/usr, /bin, /sbin, /lib*, /etc,
 * /opt, /proc, /sys) for reading, listing of every directory, and reading and writing of the current
 * directory (unless it is "/"), /tmp and /var/tmp; of the home directory only git's settings (~/.gitconfig, ~/.config/git), which git insists on
 * reading. This is what `sluice run` does when no -r, -w or profile is given.
 */
SLUICE_API int sluice_policy_allow_system(struct sluice_policy *p, struct sluice_error *err);
/* /dev/{null,zero,full,random,urandom,tty,ptmx,pts}: granted by default. */
SLUICE_API int sluice_policy_set_default_devices(struct sluice_policy *p, bool on);

/* ---- a tree of the command's own ---- */

/*
 * Make @dir what the command sees as "/". All of it may be read and executed; what may be written is what sluice_policy_allow_write grants, whose
 * paths are then those that the command sees, as are those of allow_read, allow_system and set_cwd. /proc appears at /proc (see set_proc), and the default
 * devices in /dev. Needs no privilege and no namespace: each call with a path is carried out on behalf. "/" is the host's own tree, in which nothing is trapped for paths: then all
 * of it may be read, what the command sees of /proc is its own (see set_proc), and the rest is as without.
 */
SLUICE_API int sluice_policy_set_chroot(struct sluice_policy *p, const char *dir,
					struct sluice_error *err);

enum sluice_mount_mode {
	SLUICE_MOUNT_AS_GRANTED = 0, /* may be read; written where a write grant covers it */
	SLUICE_MOUNT_READ_ONLY = 1,  /* EROFS for every change */
	SLUICE_MOUNT_READ_WRITE = 2, /* may be read and written */
};
/*
 * Show the host's file or directory @host at the virtual path @at (absolute, without ".."; it need not exist), also without a chroot. A later mount may lie
 * on an earlier one.
 */
SLUICE_API int sluice_policy_add_mount(struct sluice_policy *p, const char *at, const char *host,
				       enum sluice_mount_mode mode, struct sluice_error *err);

/*
 * Deny @path (one that the command sees, as those of the grants are) and all below it, whatever is granted, also without a chroot: every call that names it says EACCES, whether
 * anything is there or not, by whatever other name or mount it is reached. Where it is a symbolic link, what that leads to is denied too. A grant or a mount
 * at or below it that was asked for by name makes the start fail with -EINVAL, as "/" does; so does a working directory in it, with -EACCES.
 * Which paths are denied, and what of them can still be seen: docs/chroot.md.
 */
SLUICE_API int sluice_policy_deny_path(struct sluice_policy *p, const char *path,
				       struct sluice_error *err);

/*
 * Copy-on-write: every change that the command makes at or below @dir (a path that it sees) goes to a branch, and @dir itself is only read, whatever
 * is granted there; all of it may be changed. Also the command's working directory, unless set_cwd says otherwise. What becomes of the branch: sluice/cow.h.
 */
SLUICE_API int sluice_policy_set_workdir(struct sluice_policy *p, const char *dir,
					 struct sluice_error *err);
/*
 * A further lower tree: what the host's directory @dir has is seen at or below the directory of sluice_policy_set_workdir wherever that has nothing, directories of one name as one; the first one
 * added is the topmost after that directory. Never written: commits go to set_workdir's. Whiteouts (0:0 character devices) and user.overlay.opaque in these directories count as in overlayfs. Where the
 * command would see @dir itself, it sees an empty directory. At most 15 (-EINVAL); they and the working directory must not lie in one another.
 */
SLUICE_API int sluice_policy_add_lower(struct sluice_policy *p, const char *dir,
				       struct sluice_error *err);
/*
 * Where branches are kept: an existing directory of the host, on a file system with user attributes (ext4, xfs, btrfs, tmpfs since 6.6). Default:
 * $XDG_STATE_HOME/sluice/branches or ~/.local/state/sluice/branches, which are made.
 */
SLUICE_API int sluice_policy_set_storage(struct sluice_policy *p, const char *dir,
					 struct sluice_error *err);
/*
 * Changes go to the branch of that name in the storage: what an earlier sandbox left there is seen, and added to; if there is none it is made. It stays on disk at the end, unless set_on_exit or
 * set_on_error was called. The working directory and further lower trees must be those that it was made from (-ESTALE), nobody else may have it open (-EBUSY), and none of it may have been committed
 * already without the rest (-EINPROGRESS): what the start of a sandbox fails with. max_disk counts all of it. Up to 200 bytes, no '/', and no '.' in front (-EINVAL). Default: a new branch, called as the sandbox is.
 */
SLUICE_API int sluice_policy_set_branch(struct sluice_policy *p, const char *name,
					struct sluice_error *err);
enum sluice_cow_action {
	SLUICE_COW_COMMIT = 0, /* carry the changes out in the directory itself */
	SLUICE_COW_ABORT = 1,  /* forget them */
	SLUICE_COW_KEEP = 2,   /* leave the branch on disk */
};
/* What becomes of the branch when the command exits with 0 (default COMMIT), and when it ends in any other way (default ABORT); of one with a name the default is KEEP. -EINVAL. */
SLUICE_API int sluice_policy_set_on_exit(struct sluice_policy *p, enum sluice_cow_action action);
SLUICE_API int sluice_policy_set_on_error(struct sluice_policy *p, enum sluice_cow_action action);
enum sluice_durability {
	SLUICE_DURABILITY_COMMIT =
		0, /* a commit is on disk before it returns, and before it takes anything from the branch */
	SLUICE_DURABILITY_NONE =
		1, /* nothing is waited for: after the end of power either may be in any state */
};
/* What a commit of the branch promises; default COMMIT. A crash of processes leaves the old or the new of each file with both. -EINVAL. */
SLUICE_API int sluice_policy_set_durability(struct sluice_policy *p,
					    enum sluice_durability durability);
/*
 * Bytes that a branch may take; 0 = no bound (default). What would pass it gets ENOSPC, a write through a descriptor that is open already EFBIG: the command's processes have RLIMIT_FSIZE at
 * that, and at 0 while the branch is full and files in it are open; SIGXFSZ is ignored when the command starts. At most 512 files of the branch may be open for writing at a time (ENFILE). Who goes on past it
 * by 16 MiB, or a quarter, which only a mapping can, is killed: SLUICE_ENDED_QUOTA.
 */
SLUICE_API int sluice_policy_set_max_disk(struct sluice_policy *p, uint64_t bytes);

/* ---- the network ---- */

/*
 * Without any of these no socket of the internet can be made. @target: [tcp://|udp://|icmp://]HOST[:PORTS], where HOST is a name, an address, a prefix
 * (10.0.0.0/8) or "*", an IPv6 address in brackets where PORTS follow, and PORTS are "*" or like "80,8000-8010"; all ports where there are none.
 *
 * allow_net: may be connected and sent to; tcp where no protocol is named. A name is resolved when a sandbox is started, and only what it meant then is
 * allowed (but see set_net_resolve); one that can't be resolved makes the start fail (-ENOENT, -EAGAIN, -ETIMEDOUT). What opens /etc/hosts inside finds the name and these addresses there.
 * deny_net: all but that may be; every protocol where none is named. A name is -EINVAL. Either of the two excludes the other (-EINVAL).
 */
SLUICE_API int sluice_policy_allow_net(struct sluice_policy *p, const char *target,
				       struct sluice_error *err);
SLUICE_API int sluice_policy_deny_net(struct sluice_policy *p, const char *target,
				      struct sluice_error *err);
enum sluice_net_resolve {
	SLUICE_NET_RESOLVE_PINNED = 1, /* once, at the start */
	SLUICE_NET_RESOLVE_LIVE =
		2, /* and again when its time to live is over, as long as the command runs */
};
/*
 * When names of rules are resolved; pinned by default. Live: the time to live is taken as 1 s to 1 h. An address that a name gains is allowed from then on, but
 * not one of loopback, of a link or of this machine that it had not at the start, nor a private one where it had none. One that it loses is allowed for
 * 30 s more; connections stay. A resolver that fails changes nothing. -EINVAL: unknown.
 */
SLUICE_API int sluice_policy_set_net_resolve(struct sluice_policy *p, enum sluice_net_resolve how);
/*
 * Ask @server (ADDRESS[:PORT], an IPv6 address in brackets where PORT follows; port 53) for names of rules, at the start and later, in place of the host's resolver; names are
 * complete then. At most 8 (-E2BIG), in the order of their adding. -EINVAL, -ERANGE: not one; @err says the column.
 */
SLUICE_API int sluice_policy_add_name_server(struct sluice_policy *p, const char *server,
					     struct sluice_error *err);
/*
 * Ports that may be bound or listened on, at any local address; 0 stands for a port of the kernel's choice. deny_bind: all but these. Either of the two
 * excludes the other (-EINVAL). Without them none may. A port that a socket gets by connecting or sending needs no rule.
 */
SLUICE_API int sluice_policy_allow_bind(struct sluice_policy *p, const char *ports,
					struct sluice_error *err);
SLUICE_API int sluice_policy_deny_bind(struct sluice_policy *p, const char *ports,
				       struct sluice_error *err);

/*
 * A port that somebody outside of the sandbox has becomes a free one when it is bound, and the command goes on seeing the one that it asked for
 * (sluice_sandbox_ports tells which). Needs a rule of allow_bind or deny_bind; ports are then no longer held by Landlock.
 */
SLUICE_API int sluice_policy_set_port_remap(struct sluice_policy *p, bool on);
/*
 * Datagram sockets of AF_UNIX, in pairs too (default false: EACCES for socket and socketpair). They send where connect may go: to named sockets below a write grant, and to what the sandbox itself has made. Each
 * sendmsg and sendmmsg of the command, by whatever socket, is carried out on behalf then, as each sendto with an address. They are there without this where a rule of the network names udp or icmp, for which that is
 * done anyway, and where writing is granted on "/" of the host's tree, where nothing needs to be judged.
 */
SLUICE_API int sluice_policy_set_unix_datagrams(struct sluice_policy *p, bool on);
/*
 * The file @path says which ports of a sandbox have become others: a line "tcp VIRTUAL REAL" or "udp VIRTUAL REAL" for each socket, in decimal. It is there, and empty, when
 * the command starts; it is replaced as a whole (temporary file in its directory, rename) within milliseconds after such a port was bound, within about a second after the
 * socket was closed, and when the sandbox is freed, when it is empty again. Default: no file. A start fails without port remapping (-EINVAL), or when the file can't
 * be made. Each sandbox of a policy writes it: with several at a time the last one wins. -EINVAL: no path; -ENAMETOOLONG.
 */
SLUICE_API int sluice_policy_set_port_map(struct sluice_policy *p, const char *path,
					  struct sluice_error *err);

/* ---- identity and surroundings of the command ---- */

/* Name of its sandboxes, 1-64 bytes of [A-Za-z0-9._-]; what uname(2) shows as node name. Default "sandbox-PID-N". */
SLUICE_API int sluice_policy_set_name(struct sluice_policy *p, const char *name,
				      struct sluice_error *err);
/* Working directory of the command; default the caller's. */
SLUICE_API int sluice_policy_set_cwd(struct sluice_policy *p, const char *path,
				     struct sluice_error *err);
/* Start from an empty environment (PATH excepted, which is set to the system's default) instead of the caller's. */
SLUICE_API int sluice_policy_set_clean_env(struct sluice_policy *p, bool on);
/* Set "KEY=VALUE" in the command's environment; the last one of a key wins. */
SLUICE_API int sluice_policy_set_env(struct sluice_policy *p, const char *key_value,
				     struct sluice_error *err);

enum sluice_proc {
	SLUICE_PROC_HOST = 0, /* as far as the grants go, what the host has */
	/*
	 * The sandbox's own: its processes and no others, general files that agree with its name and limits, and none that tells of the host's kernel or
	 * keys (ENOENT). What of /proc may be read at all is a matter of the grants, as ever.
	 */
	SLUICE_PROC_OWN = 1,
};
/*
 * What of /proc the command sees. Default OWN where the command has a tree of its own (a root, mounts, denials, copy-on-write) or a number of CPUs, and
 * HOST otherwise, since OWN looks at every open. -EINVAL.
 */
SLUICE_API int sluice_policy_set_proc(struct sluice_policy *p, enum sluice_proc which);
/*
 * CPUs that the command counts, 1-1024, whatever the machine has: in /proc, /sys, sched_getaffinity(2). Where it runs is not changed. 0 = those of
 * the machine (default). -EINVAL: out of range. Where SLUICE_PROC_HOST was set, a start fails with -EINVAL then.
 */
SLUICE_API int sluice_policy_set_num_cpus(struct sluice_policy *p, unsigned n);

/* ---- limits ---- */

/* Milliseconds of wall time until the whole tree is killed; 0 = none (default). */
SLUICE_API int sluice_policy_set_timeout_ms(struct sluice_policy *p, uint64_t ms);
/* RLIMIT_NOFILE of the command, 1 to the hard limit; 0 = the caller's own (default). */
SLUICE_API int sluice_policy_set_max_open_files(struct sluice_policy *p, uint64_t n,
						struct sluice_error *err);

/*
 * Bytes of memory that all processes of the sandbox may have together: anonymous and shared memory, and what of it was swapped out; pages that several share count once. Files
 * that are cached, and memory of the kernel, do not count. Sampled, from once in 100 ms far from the limit to once in 1 ms near it: past the limit the process that has most is killed (SIGKILL),
 * as the kernel's own killer does, and again until it fits; sluice_result has memory_kills and memory_peak. Where this process is in a group of cgroup v2 that was handed over to its user, with
 * the memory controller, a group below bounds it instead, cached files included as long as they are; a process that is alone in its group moves to one below for that (docs/resources.md). 0 = none (default); else at least 1 MiB (-EINVAL).
 */
SLUICE_API int sluice_policy_set_max_memory(struct sluice_policy *p, uint64_t bytes,
					    struct sluice_error *err);
/*
 * Processes that the sandbox may have at a time, the command included, and those that ended but are not waited for: fork, vfork and clone get EAGAIN beyond. Threads are not
 * counted. 0 = no limit (default), at most 4194304 (-EINVAL).
 */
SLUICE_API int sluice_policy_set_max_processes(struct sluice_policy *p, uint64_t n,
					       struct sluice_error *err);
/*
 * Processor time of the whole sandbox in percent of one processor: 50, or 250 for two and a half. Held on the average of 100 ms, by stopping all of its processes (SIGSTOP, SIGCONT)
 * for the rest; waitpid(2) inside does not show these stops, but calls that a stop interrupts (epoll_wait, semop ...: signal(7)) return EINTR. 0 = no limit (default), at most 102400 (-EINVAL).
 */
SLUICE_API int sluice_policy_set_cpu_percent(struct sluice_policy *p, unsigned percent,
					     struct sluice_error *err);
/*
 * Processors that the command may use: numbers and ranges ("0-3,6", each below 1024), or NULL for those of the caller (default). sched_setaffinity(2) inside does not get
 * beyond them. -EINVAL says which column; a list that names no processor of this machine fails when the sandbox is started.
 */
SLUICE_API int sluice_policy_set_cpu_cores(struct sluice_policy *p, const char *list,
					   struct sluice_error *err);

/* ---- runs that can be repeated ---- */

/*
 * Random numbers that follow from *@seed (copied; NULL: the kernel's own, the default): getrandom(2), what is read from /dev/random and /dev/urandom, AT_RANDOM, and the vDSO's getrandom. Each
 * process has a stream of its own, which follows from its command line and from how many had the same one before. Not random at all for anybody who knows the seed.
 */
SLUICE_API int sluice_policy_set_random_seed(struct sluice_policy *p, const uint64_t *seed);
/* Randomize addresses of programs (default true); false: personality(2)'s ADDR_NO_RANDOMIZE, which programs can see and take back. */
SLUICE_API int sluice_policy_set_randomize_memory(struct sluice_policy *p, bool on);
/*
 * The time of day begins at *@seconds since 1970 (0 to SLUICE_TIME_START_MAX, else -ERANGE; copied) when a sandbox is started, and goes on at the pace of CLOCK_MONOTONIC; NULL: the host's (default).
 * All clocks and timers of it agree: CLOCK_REALTIME, _COARSE, CLOCK_TAI, what the vDSO answers, and waits until a time of day. docs/determinism.md says what does not.
 */
#define SLUICE_TIME_START_MAX INT64_C(7258118399)
SLUICE_API int sluice_policy_set_time_start(struct sluice_policy *p, const int64_t *seconds,
					    struct sluice_error *err);
/*
 * Times of files go with that time of day (default false): what is written in the sandbox is shown as of its own time, older files as they are, and where that would be in the future, as from just before the start. On disk are the
 * host's times. Traps every call that shows or sets one. -EINVAL where no start is set; it is off again when the start is taken back.
 */
SLUICE_API int sluice_policy_set_time_start_files(struct sluice_policy *p, bool on,
						  struct sluice_error *err);
/* List directories in an order that follows from the names in them alone, on whatever file system (default false); procfs and sysfs as they are. */
SLUICE_API int sluice_policy_set_deterministic_dirs(struct sluice_policy *p, bool on);

/* ---- system calls ---- */

/*
 * Refuse a call beside the built-in deny list, or take one off it. @name is a kernel name ("ptrace") or a group
 * ("@io_uring", "@keyring", "@mount", "@module", "@ptrace", "@bpf", "@swap", "@reboot", "@clock", "@namespace").
 * A later setting of the same call wins. clone3 and calls of other ABIs can't be allowed (-EPERM).
 */
SLUICE_API int sluice_policy_deny_syscall(struct sluice_policy *p, const char *name,
					  struct sluice_error *err);
SLUICE_API int sluice_policy_allow_syscall(struct sluice_policy *p, const char *name,
					   struct sluice_error *err);

/* ---- what may be missing ---- */

/*
 * Features: fs-refer fs-truncate net-tcp fs-ioctl-dev signal-scope abstract-unix-socket-scope.
 * allow_degraded: run also where the kernel lacks the feature. disable: don't use it even where it is there.
 */
SLUICE_API int sluice_policy_allow_degraded(struct sluice_policy *p, const char *feature,
					    struct sluice_error *err);
SLUICE_API int sluice_policy_disable(struct sluice_policy *p, const char *feature,
				     struct sluice_error *err);

/* ---- the engine ---- */

/*
 * adaptive: prompt handlers run where the notification was received, handlers that may block or have proved slow in the pool.
 * pool: every chain runs in the pool. inline: every chain runs where it was received, one at a time.
 */
enum sluice_dispatch {
	SLUICE_DISPATCH_ADAPTIVE = 1,
	SLUICE_DISPATCH_POOL = 2,
	SLUICE_DISPATCH_INLINE = 3,
};
SLUICE_API int sluice_policy_set_dispatch(struct sluice_policy *p, enum sluice_dispatch mode);
/* Threads of the pool, 0 <= min <= max, 1 <= max <= 256. Default 0 and max(8, 4 x CPUs), in pool mode max(4, 2 x CPUs). */
SLUICE_API int sluice_policy_set_workers(struct sluice_policy *p, unsigned min, unsigned max);

SLUICE_END_DECLS

#endif
