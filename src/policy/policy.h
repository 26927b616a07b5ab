/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of a policy: plain data that confine/, engine/ and sandbox/ read.
 *
 * Pure: nothing here makes a system call. Fields are written by the public setters only and are constant while a
 * sandbox is being started from the policy. The compiled form belongs to confine/, where metadata may be changed to its built-in;
 * `lock` guards both.
 */
#ifndef SLUICE_POLICY_POLICY_H
#define SLUICE_POLICY_POLICY_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sluice/policy.h>

#include "policy/net_rule.h"

enum policy_access {
	POLICY_READ = 1,   /* read, list, execute */
	POLICY_WRITE = 2,  /* POLICY_READ and every change */
	POLICY_LIST = 3,   /* list directories only */
	POLICY_DEVICE = 4, /* read, write and ioctl of a device node or a directory of them */
};

struct policy_grant {
	char *path;
	enum policy_access access;
	bool optional; /* skipped in silence when the path does not exist */
	bool not_root; /* skipped in silence when the path turns out to be "/" */
};

/* A host file or directory at a virtual path. */
struct policy_mount {
	char *at;
	char *host;
	enum sluice_mount_mode mode;
};

#define POLICY_LOWERS_MAX 15u
#define POLICY_BRANCH_BYTES 200u

enum policy_feature {
	POLICY_FS_REFER = 0,
	POLICY_FS_TRUNCATE,
	POLICY_NET_TCP,
	POLICY_FS_IOCTL_DEV,
	POLICY_SIGNAL_SCOPE,
	POLICY_ABSTRACT_UNIX_SCOPE,
	POLICY_N_FEATURES,
};

/* One later setting of a call, in the order given; `name` is a kernel name or "@group". */
struct policy_call_rule {
	char *name;
	bool deny;
};

/* Whom the command may talk to, and which ports it may bind. Nothing of it set: no network. */
struct policy_network {
	struct net_target *targets; /* allowed ones, or (deny) those that are not */
	size_t n_targets;
	bool deny;
	struct net_ports *binds;
	size_t n_binds;
	bool deny_binds;
	bool live;		    /* names are asked for again */
	struct net_server *servers; /* that are asked for names; none: as the host does */
	size_t n_servers;
};

#define NET_SERVERS_MAX 8u

struct sluice_policy {
	atomic_uint refs;
	struct policy_grant *grants;
	size_t n_grants;
	bool default_devices, clean_env, port_remap;
	bool unix_datagrams; /* asked for; see policy_judges_sends */
	bool proc_set;
	bool seeded;	      /* random numbers follow from `seed` */
	bool fixed_addresses; /* no randomization of addresses */
	bool deterministic_dirs;
	char *port_map;	       /* file that tells of remapped ports; NULL: none */
	bool time_start;       /* the time of day begins at `time_start_s` */
	bool time_start_files; /* ... and times of files go with it */
	char *root;	       /* NULL: the host's own */
	struct policy_mount *mounts;
	size_t n_mounts;
	char **denials; /* paths of the command's tree, n_denials of them */
	size_t n_denials;
	char *workdir; /* NULL: no copy-on-write */
	char **lowers; /* n_lowers of them, topmost first, below workdir */
	size_t n_lowers;
	char *storage;	       /* NULL: the user's own place */
	char *branch;	       /* NULL: a new one for each sandbox */
	int on_exit, on_error; /* enum sluice_cow_action; -1: nobody has said */
	enum sluice_durability durability;
	enum sluice_proc proc;
	uint64_t max_disk;
	char *name; /* NULL: sandbox-PID-N */
	char *cwd;  /* NULL: the caller's */
	char **env; /* KEY=VALUE, n_env of them */
	size_t n_env;
	uint64_t timeout_ms;
	uint64_t max_open_files;
	struct policy_network network;
	uint64_t max_memory, max_processes; /* 0: none */
	unsigned num_cpus;		    /* that are shown; 0: the machine's */
	unsigned cpu_percent;		    /* of one processor; 0: all there is */
	cpu_set_t *cores;		    /* NULL: as the caller */
	uint64_t seed;			    /* where it is `seeded` */
	int64_t time_start_s;
	struct policy_call_rule *call_rules;
	size_t n_call_rules;
	uint32_t degraded; /* bits of enum policy_feature */
	uint32_t disabled;
	enum sluice_dispatch dispatch;
	unsigned workers_min, workers_max; /* workers_max 0: the default */

	uint64_t generation; /* raised by every setter */
	pthread_mutex_t lock;
	void *compiled; /* guarded by lock; owned by confine/ */
	void (*compiled_unref)(void *compiled);
	void *writable; /* guarded by lock; owned by tree/ */
	void (*writable_unref)(void *writable);
};

/* CPUs that a command can be shown. */
#define POLICY_CPUS_MAX 1024u

/* Is what the command sees as "/" another directory than the host's? */
bool policy_has_root(const struct sluice_policy *p);
/* Has the command a file tree of its own: a root, mounts, denials or a working directory with copy-on-write? */
bool policy_has_tree(const struct sluice_policy *p);
/* Does the command see a /proc of its own? */
bool policy_proc_is_own(const struct sluice_policy *p);

/* The stable word of a feature ("fs-refer" ...). */
const char *policy_feature_name(enum policy_feature f);

/* What becomes of the branch when the command has ended, as it should or otherwise. */
enum sluice_cow_action policy_on_end(const struct sluice_policy *p, bool success);

/*
 * Environment of the command: @base (the caller's, NULL-terminated) or, with clean_env, PATH only, with the policy's settings laid over.
 * Returns a NULL-terminated heap array whose strings live in the same block (one free()), or NULL when memory is short.
 */
char **policy_build_env(const struct sluice_policy *p, char *const *base);

/* mounts.c: a copy of @path is *@place of @p from now on; @what it is, for errors. -EINVAL, -ENAMETOOLONG, -ENOMEM. */
int policy_keep_path(struct sluice_policy *p, char **place, const char *what, const char *path,
		     struct sluice_error *err);

/* network.c: may it make sockets of the internet at all? */
bool policy_has_network(const struct sluice_policy *p);
/* Which protocols its sockets may have, since a target names them or (TCP) ports may be bound: bits of enum net_protocol. */
unsigned policy_net_protocols(const struct sluice_policy *p);
/* Is each message judged that goes to an address of its own? Then there may be datagram sockets. */
bool policy_judges_sends(const struct sluice_policy *p);

/* grants.c: append a grant (@path is copied). -EINVAL, -ENAMETOOLONG, -ENOMEM. */
int policy_grant(struct sluice_policy *p, const struct policy_grant *grant,
		 struct sluice_error *err);
/* grants.c: what default_devices stands for. */
#define POLICY_DEVICES 8
extern const char *const policy_devices[POLICY_DEVICES];
/* Grow @list of *@n items of @size bytes by one. Returns the list, in which the new item is not yet counted, or NULL (the old one stays). */
void *policy_grow(void *list, size_t n, size_t size);

#endif
