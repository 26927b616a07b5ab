/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUs that the command counts: in sysfs, and in sched_getaffinity(2) and sched_setaffinity(2).
 *
 * CPU i of the command is CPU i modulo n of the n that the caller may use and the policy's cores leave. So nothing has to be remembered: what a thread was given is the
 * kernel's to keep, to copy at fork and to show, and reads back as it was set as long as the command has no more CPUs than the machine.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builtin/procfs/internal.h"
#include "policy/policy.h"
#include "sys/fd.h"
#include "util/cleanup.h"
#include "util/fail.h"

#define SYSTEM_DIR "/sys/devices/system"
#define MASK_BYTES (POLICY_CPUS_MAX / 8)

int cpus_init(struct ownproc *o, const struct sluice_policy *p, struct sluice_error *err)
{
	cpu_set_t set;
	struct stat st;

	o->system_dir = -1;
	o->cpus = p->num_cpus;
	if (!o->cpus)
		return 0;
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return fail_errno(err, -errno, "number of CPUs: sched_getaffinity");
	if (p->cores)
		CPU_AND(&set, &set, p->cores);
	if (!CPU_COUNT(&set)) /* the start will fail for the same reason */
		return fail_errno(err, -EINVAL,
				  "number of CPUs: none of the CPU cores may be used");
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (CPU_ISSET(i, &set))
			o->cpu_set[o->n_cpu_set++] = i;
	}
	/* where there is no sysfs nobody reads of CPUs there */
	o->system_dir = open(SYSTEM_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (o->system_dir < 0)
		return 0;
	if (fstat(o->system_dir, &st) < 0)
		return fail_errno(err, -errno, SYSTEM_DIR);
	o->system_dev = st.st_dev;
	return fd_path(o->system_dir, o->system_path, sizeof(o->system_path)) < 0
		       ? fail_errno(err, -EIO, SYSTEM_DIR)
		       : 0;
}

/* ---- sysfs ---- */

bool cpus_name_of(const struct ownproc *o, int fd, const struct stat *st, char name[PATH_MAX])
{
	const size_t n = strlen(o->system_path);

	if (o->system_dir < 0 || st->st_dev != o->system_dev || fd_path(fd, name, PATH_MAX) < 0 ||
	    strncmp(name, o->system_path, n) != 0 || (name[n] && name[n] != '/'))
		return false;
	memmove(name, name + n + (name[n] == '/'), strlen(name + n + (name[n] == '/')) + 1);
	return true;
}

/* The number of the CPU whose directory @name is or is in, or -1. */
static long cpu_of(const char *name)
{
	size_t digits;

	if (strncmp(name, "cpu/cpu", 7) != 0)
		return -1;
	digits = strspn(name + 7, "0123456789");
	return digits && (!name[7 + digits] || name[7 + digits] == '/') ? strtol(name + 7, NULL, 10)
									: -1;
}

bool cpus_hides(const struct ownproc *o, const char *name)
{
	return cpu_of(name) >= (long)o->cpus;
}

static bool ends(const char *name, const char *end)
{
	size_t n = strlen(name), e = strlen(end);

	return n >= e && !strcmp(name + n - e, end);
}

/* One of the files that say which CPUs share something. */
static bool is_of_neighbours(const char *name)
{
	static const char *const of_cpu[] = { "_list", "_cpus", "_siblings", "_map" };

	if (!strncmp(name, "node/node", 9))
		return ends(name, "/cpulist") || ends(name, "/cpumap");
	if (cpu_of(name) < 0 || !(strstr(name, "/topology/") || strstr(name, "/cache/")))
		return false;
	for (size_t i = 0; i < sizeof(of_cpu) / sizeof(of_cpu[0]); i++) {
		if (ends(name, of_cpu[i]))
			return true;
	}
	return false;
}

int cpus_show(const struct ownproc *o, int fd, const char *name, FILE *out)
{
	_cleanup_free_ char *native = NULL;
	int r;

	if (!strcmp(name, "cpu/online") || !strcmp(name, "cpu/possible") ||
	    !strcmp(name, "cpu/present")) {
		fprintf(out, o->cpus > 1 ? "0-%u\n" : "%u\n", o->cpus - 1);
		return 0;
	}
	if (!strcmp(name, "cpu/offline")) {
		fputc('\n', out);
		return 0;
	}
	if (!is_of_neighbours(name))
		return -ENODATA;
	r = content_read(fd, &native);
	if (r < 0)
		return r;
	if (ends(name, "list"))
		render_list(out, native, o->cpus);
	else
		render_mask(out, native, o->cpus);
	return 0;
}

/* ---- the calls ---- */

/* Bytes of a mask of ours, as the kernel counts them. */
static size_t mask_bytes(const struct ownproc *o)
{
	return (o->cpus + 63) / 64 * 8;
}

int cpus_of_thread(const struct ownproc *o, pid_t thread, uint32_t mask[POLICY_CPUS_MAX / 32])
{
	cpu_set_t set;

	memset(mask, 0, MASK_BYTES);
	if (sched_getaffinity(thread, sizeof(set), &set) < 0)
		return -errno;
	for (unsigned i = 0; i < o->cpus; i++) {
		if (CPU_ISSET(o->cpu_set[i % (unsigned)o->n_cpu_set], &set))
			mask[i / 32] |= 1u << i % 32;
	}
	return 0;
}

/* The thread that the call is about. */
static int thread_of(struct sluice_request *req, const struct ownproc *o, pid_t *ret)
{
	*ret = (pid_t)sluice_request_arg(req, 0);
	if (!*ret)
		*ret = sluice_request_tid(req);
	else if (*ret < 0 || procfs_sees_process(&o->view, *ret) < 0)
		return -ESRCH;
	return 0;
}

static struct sluice_verdict get(struct sluice_request *req, const struct ownproc *o)
{
	uint32_t mask[POLICY_CPUS_MAX / 32];
	size_t size = (uint32_t)sluice_request_arg(req, 1);
	pid_t thread;
	int r;

	if (size * 8 < o->cpus || size % sizeof(long))
		return sluice_errno(EINVAL);
	r = thread_of(req, o, &thread);
	if (r == 0)
		r = cpus_of_thread(o, thread, mask);
	if (size > mask_bytes(o))
		size = mask_bytes(o);
	if (r == 0)
		r = request_plan_reply(req, "procfs", (int64_t)size, sluice_request_arg(req, 2),
				       mask, size);
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

struct affinity {
	pid_t thread;
	cpu_set_t set;
};

static struct request_act set_act(struct sluice_request *req, const void *data)
{
	const struct affinity *a = data;
	int r = sched_setaffinity(a->thread, sizeof(a->set), &a->set) < 0 ? -errno : 0;

	(void)req;
	return (struct request_act){ .value = r, .fd = -1 };
}

static struct sluice_verdict set(struct sluice_request *req, const struct ownproc *o)
{
	struct affinity a;
	struct request_plan p = {
		.builtin = "procfs",
		.act = set_act,
		.layer = SLUICE_LAYER_NONE,
		REQUEST_PLAN_NO_FILES,
		.data = &a,
		.size = sizeof(a),
	};
	uint32_t mask[POLICY_CPUS_MAX / 32] = { 0 };
	size_t size = (uint32_t)sluice_request_arg(req, 1);
	int r;

	CPU_ZERO(&a.set);
	if (size > mask_bytes(o))
		size = mask_bytes(o);
	r = size ? sluice_request_read(req, sluice_request_arg(req, 2), mask, size) : 0;
	if (r == 0)
		r = thread_of(req, o, &a.thread);
	if (r == 0)
		r = request_compare_credentials(req);
	for (unsigned i = 0; i < o->cpus; i++) {
		if (mask[i / 32] >> i % 32 & 1)
			CPU_SET(o->cpu_set[i % (unsigned)o->n_cpu_set], &a.set);
	}
	if (r == 0)
		r = request_plan_act(req, &p);
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

struct sluice_verdict cpus_handle(struct sluice_request *req, void *ownproc)
{
	return sluice_request_nr(req) == SYS_sched_getaffinity ? get(req, ownproc)
							       : set(req, ownproc);
}

const int cpus_calls[] = { SYS_sched_getaffinity, SYS_sched_setaffinity, -1 };
