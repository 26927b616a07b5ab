/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the files of this folder.
 */
#ifndef SLUICE_BUILTIN_PROCFS_INTERNAL_H
#define SLUICE_BUILTIN_PROCFS_INTERNAL_H

#include <limits.h>
#include <sched.h>
#include <sys/stat.h>

#include "builtin/procfs/ownproc.h"
#include "builtin/procfs/render.h"
#include "engine/dispatch.h"
#include "engine/request.h"
#include "policy/policy.h"
#include "task/procfs.h"
#include "task/task.h"

/* A file outside procfs that shows something else, as long as nobody has changed it. */
struct substitute {
	dev_t dev;
	ino_t ino;
	struct timespec ctime;
	const char *name; /* as its descriptors' links show it */
	int (*render)(const struct ownproc *o, FILE *out, const char *native);
};

struct listings;

struct ownproc {
	struct procfs_view view; /* first: it is what its functions are given */
	const char *name;
	const struct tree *tree; /* NULL: the host's */
	bool granted;		 /* the policy lets the command read /proc */
	struct sluice_memory_limit {
		uint64_t bytes; /* 0: none */
		uint64_t (*used)(void *userdata);
		void *userdata;
	} memory;

	struct render_ports ports; /* shown NULL: they are the kernel's; set before anything runs */

	bool clock;		  /* the time of day is the command's own */
	int64_t boot_s;		  /* then: when the machine was started, by that */
	unsigned cpus;		  /* 0: the machine's */
	int cpu_set[CPU_SETSIZE]; /* those that the command may use, in order */
	int n_cpu_set;
	int system_dir; /* O_PATH descriptor of their part of sysfs, which "cpu" and "node" are in; -1 */
	dev_t system_dev;
	char system_path[64];

	struct substitute substitutes[2];
	unsigned n_substitutes;

	const struct holes *holes; /* in the command's domain; set before anything runs */
	bool every; /* what can't be granted may be anywhere: each open is carried out on behalf */
	struct listings *listings;
};

static inline const struct ownproc *ownproc_of(const struct procfs_view *v)
{
	return (const struct ownproc *)v;
}

/* ---- show.c: view functions ---- */

int show_open(const struct procfs_view *v, const struct task *t, int fd, const struct stat *st,
	      uint64_t flags);
/* Open general file or file of the task's own process @name, whose content is the kernel's. -ELOOP: a link. */
int show_open_simple(const struct ownproc *o, const char *name, uint64_t flags);
/* May @st be of a file that shows something else here? Cheap, and right for all that are not in sysfs. */
bool show_may_differ(const struct ownproc *o, const struct stat *st);
/* The same for the file itself. -ENOENT: it is not there for the command. */
int show_differs(const struct ownproc *o, int fd, const struct stat *st);

/* ---- content.c ---- */

/* What a file on procfs shows in place of its own content. */
struct content {
	const struct ownproc *o;
	const struct task *t;
	int fd;		  /* of the file, O_PATH or open */
	const char *name; /* below procfs */
	struct procfs_name part;
};
typedef int (*content_fn)(const struct content *c, FILE *out);
/* NULL: its own. */
content_fn content_of(const struct ownproc *o, const struct procfs_name *part);
/* All of the file behind @fd, NUL-terminated, on the heap. -errno. */
int content_read(int fd, char **ret);
/* net.c, mounts.c: tables of those that content_of knows. */
int content_net_table(const struct content *c, FILE *out);
int content_mounts(const struct content *c, FILE *out);

/* ---- cpus.c ---- */

int cpus_init(struct ownproc *o, const struct sluice_policy *p, struct sluice_error *err);
/* A file that sysfs has of CPUs and nodes: its name below their directories' parent. False: it is none. */
bool cpus_name_of(const struct ownproc *o, int fd, const struct stat *st, char name[PATH_MAX]);
/* Is it the directory of a CPU that the command does not have? */
bool cpus_hides(const struct ownproc *o, const char *name);
/* What the file shows, into @out; -ENODATA: its own content. */
int cpus_show(const struct ownproc *o, int fd, const char *name, FILE *out);
/* The CPUs that a thread may use, as the command counts them: bit i % 32 of word i / 32. */
int cpus_of_thread(const struct ownproc *o, pid_t thread, uint32_t mask[POLICY_CPUS_MAX / 32]);
extern const int cpus_calls[];
struct sluice_verdict cpus_handle(struct sluice_request *req, void *ownproc);

/* ---- list.c ---- */

struct listings *listings_new(void);
/* With the directories that were made. */
struct listings *listings_free(struct listings *l);
/* They may be made in directory @parent (borrowed; -1: nowhere). Before anything runs. */
void listings_allow(struct listings *l, int parent);
bool listings_are_made(const struct ownproc *o);
/* Could what @st says be one, or in one? Cheap. */
bool listings_may_have(const struct ownproc *o, const struct stat *st);
/* A descriptor for reading of a listing of /proc, or of the CPUs' directory. -errno. */
int listings_open_proc(const struct ownproc *o, uint64_t flags);
int listings_open_cpus(const struct ownproc *o, uint64_t flags);
int listings_stand_for(const struct procfs_view *v, int fd);

/* ---- sysinfo.c ---- */

struct sluice_verdict sysinfo_handle(struct sluice_request *req, void *ownproc);
/* Threads of the sandbox, how many of its processes run, and the last process. */
struct load {
	unsigned threads, running;
	pid_t last;
};
int load_count(const struct ownproc *o, struct load *ret);

/* ---- open.c ---- */

struct sluice_verdict open_handle(struct sluice_request *req, void *ownproc);

#endif
