/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/procfs/ownproc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "builtin/procfs/internal.h"
#include "confine/holes.h"
#include "tree/tree.h"
#include "util/fail.h"

/* ---- names ---- */

static int show_hostname(const struct ownproc *o, FILE *out, const char *native)
{
	(void)native;
	fprintf(out, "%s\n", o->name);
	return 0;
}

static int show_hosts(const struct ownproc *o, FILE *out, const char *native)
{
	struct utsname u;

	if (uname(&u) < 0)
		return -errno;
	render_hosts(out, native, u.nodename, o->name);
	return 0;
}

/* What @path names for the command, unless the caller mounted it. */
static bool find(const struct tree *tree, const char *path, struct stat *ret)
{
	struct walk_end end;
	bool found;

	if (!tree)
		return stat(path, ret) == 0;
	if (tree_walk_grant(tree, path, &end) < 0)
		return false;
	*ret = end.st;
	found = end.mount <= 0 && view_mount_of(tree->view, end.fd) == 0;
	walk_end_close(&end);
	return found;
}

static void add_substitute(struct ownproc *o, const char *path,
			   int (*render)(const struct ownproc *, FILE *, const char *))
{
	struct stat st;

	if (find(o->tree, path, &st) && S_ISREG(st.st_mode))
		o->substitutes[o->n_substitutes++] =
			(struct substitute){ st.st_dev, st.st_ino, st.st_ctim, path + 1, render };
}

/* ---- life ---- */

static int make(struct ownproc *o, const struct sluice_policy *p, struct sluice_error *err)
{
	int r = procfs_view_init(&o->view);

	if (r < 0) {
		fail_errno(err, r, "/proc");
		return fail_hint(
			err, r,
			"a procfs of this process's own pid namespace must be mounted there");
	}
	r = cpus_init(o, p, err);
	if (r < 0)
		return r;
	add_substitute(o, "/etc/hostname", show_hostname);
	add_substitute(o, "/etc/hosts", show_hosts);
	return 0;
}

int ownproc_new(const struct sluice_policy *p, const char *name, const struct tree *tree,
		bool granted, struct ownproc **ret, struct sluice_error *err)
{
	struct ownproc *o;
	struct timespec up;
	int r;

	*ret = NULL;
	if (!policy_proc_is_own(p) && p->num_cpus) {
		fail(err, -EINVAL, "number of CPUs: the host's /proc shows the host's");
		return fail_hint(err, -EINVAL, "--num-cpus goes with --proc own");
	}
	if (!policy_proc_is_own(p))
		return 0;
	o = calloc(1, sizeof(*o));
	if (o)
		o->listings = listings_new();
	if (!o || !o->listings) {
		free(o);
		return fail_errno(err, -ENOMEM, "procfs");
	}
	o->view.root = o->system_dir = -1;
	o->view.open = show_open;
	o->view.stands_for = listings_stand_for;
	o->name = name;
	o->tree = tree;
	o->granted = granted;
	if (p->time_start) {
		clock_gettime(CLOCK_BOOTTIME, &up);
		o->clock = true;
		o->boot_s = p->time_start_s - up.tv_sec;
	}
	r = make(o, p, err);
	if (r < 0)
		ownproc_free(o);
	else
		*ret = o;
	return r;
}

struct ownproc *ownproc_free(struct ownproc *o)
{
	if (!o)
		return NULL;
	listings_free(o->listings);
	procfs_view_fini(&o->view);
	if (o->system_dir >= 0)
		close(o->system_dir);
	free(o);
	return NULL;
}

const struct procfs_view *ownproc_view(const struct ownproc *o)
{
	return o ? &o->view : NULL;
}

void ownproc_confined(struct ownproc *o, const struct holes *holes, int listings)
{
	listings_allow(o->listings, listings);
	o->holes = holes;
	o->every = holes_broken_for_writing(holes);
}

void ownproc_launched(struct ownproc *o, pid_t init, bool signal_scope)
{
	/* relaxed: whoever answers a call was handed the listener after this */
	atomic_store_explicit(&o->view.signal_scope, signal_scope, memory_order_relaxed);
	atomic_store_explicit(&o->view.init, init, memory_order_relaxed);
}

void ownproc_limit_memory(struct ownproc *o, uint64_t bytes, uint64_t (*used)(void *userdata),
			  void *userdata)
{
	o->memory.bytes = bytes;
	o->memory.used = used;
	o->memory.userdata = userdata;
}

void ownproc_show_ports(struct ownproc *o, render_port_fn shown, void *arg)
{
	o->ports = (struct render_ports){ .shown = shown, .arg = arg };
}

/* ---- registration ---- */

static int add(struct dispatch *d, int nr, sluice_handler_fn fn, struct ownproc *o)
{
	const struct sluice_handler h = sluice_handler_make("procfs", nr, fn, o);

	return dispatch_add(d, &h, true);
}

int builtin_ownproc_register(struct dispatch *d, struct ownproc *o)
{
	static const int opens[] = {
#ifdef SYS_open
		SYS_open,
		SYS_creat,
#endif
		SYS_openat,
		SYS_openat2,
	};
	int r = add(d, SYS_sysinfo, sysinfo_handle, o);

	for (size_t i = 0;
	     r == 0 && !o->tree && (o->granted || o->cpus) && i < sizeof(opens) / sizeof(opens[0]);
	     i++)
		r = add(d, opens[i], open_handle, o);
	for (const int *nr = cpus_calls; r == 0 && o->cpus && *nr >= 0; nr++)
		r = add(d, *nr, cpus_handle, o);
	return r;
}
