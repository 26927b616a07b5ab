/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiling a policy, the cache of it, and entering domain A. See confinement.h.
 */
#define _GNU_SOURCE
#include "confine/confinement.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "confine/filter.h"
#include "policy/policy.h"
#include "sys/landlock.h"
#include "util/fail.h"

/* Container profiles refuse process_vm_readv for all tasks alike, so reading our own memory tells. */
static bool memory_reads_refused(void)
{
	char from = 1, to = 0;
	struct iovec local = { &to, 1 }, remote = { &from, 1 };

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != 1;
}

static void confinement_free(struct confinement *c)
{
	rules_free(&c->rules);
	private_dir_remove(&c->private);
	free(c->filter.filter);
	free(c->notify);
	free(c);
}

/* Refused always, or for those arguments that make one. */
static bool namespaces_allowed(const struct call_deny *deny)
{
	return !deny[SYS_clone].error || !deny[SYS_unshare].error || !deny[SYS_setns].error;
}

/* Where the sandbox's part of /proc is listed, if the command may read that. */
static int make_listings(const struct sluice_policy *p, struct confinement *c,
			 const struct rules_tree *tree, struct sluice_error *err)
{
	int r;

	c->private.fd = -1;
	if (!policy_proc_is_own(p) || !(tree || p->num_cpus || rules_grant_proc(p, false)))
		return 0;
	r = private_dir_make(PRIVATE_LISTINGS, &c->private);
	if (r == 0)
		r = rules_allow_listings(&c->rules, c->private.fd);
	if (r == 0)
		return 0;
	fail_errno(err, r, "private directory");
	return fail_hint(
		err, r,
		"one of XDG_RUNTIME_DIR, /dev/shm, TMPDIR, /tmp must be writable; or --proc host");
}

static int compile(const struct sluice_policy *p, struct confinement *c, const int *notify,
		   size_t n_notify, const struct rules_tree *tree, struct sluice_error *err)
{
	struct call_deny deny[CALL_MAX];
	int r;

	c->notify = malloc((n_notify + 1) * sizeof(*notify));
	if (!c->notify)
		return fail_errno(err, -ENOMEM, "policy");
	if (n_notify)
		memcpy(c->notify, notify, n_notify * sizeof(*notify));
	c->n_notify = n_notify;
	c->generation = p->generation;
	c->proc_memory = memory_reads_refused();
	r = calls_deny_list(p, deny, err);
	c->namespaces = r == 0 && namespaces_allowed(deny);
	if (r == 0 && tree)
		calls_keep_working_directories(deny);
	if (r == 0 && tree && p->workdir && p->max_disk)
		calls_bound_allocations(deny);
	if (r == 0)
		r = rules_make(p,
			       c->proc_memory || tree || p->seeded || p->time_start ||
					       policy_proc_is_own(p)
				       ? RULES_PROC_WRITE
				       : RULES_PROC_READ,
			       tree, &c->rules, err);
	if (r == 0)
		r = make_listings(p, c, tree, err);
	/* no Unix socket is out of bounds (in a tree of one's own the kernel would look for it in the host's), or each message is judged */
	if ((r == 0 && c->rules.all_writable && !tree) || policy_judges_sends(p))
		calls_allow_any_socket_type(deny);
	if (policy_has_network(p))
		calls_leave_sockets_to_handler(deny, policy_net_protocols(p) & NET_TCP);
	if (r == 0)
		r = filter_compile(deny, notify, n_notify, &c->filter, err);
	return r;
}

int confinement_new(const struct sluice_policy *p, const int *notify, size_t n_notify,
		    const struct rules_tree *tree, struct confinement **ret,
		    struct sluice_error *err)
{
	struct confinement *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return fail_errno(err, -ENOMEM, "policy");
	atomic_init(&c->refs, 1);
	c->rules.ruleset_a = c->rules.ruleset_b = -1;
	r = compile(p, c, notify, n_notify, tree, err);
	if (r < 0)
		confinement_free(c);
	else
		*ret = c;
	return r;
}

static bool fits(const struct confinement *c, const struct sluice_policy *p, const int *notify,
		 size_t n_notify)
{
	return c->generation == p->generation && c->n_notify == n_notify &&
	       (!n_notify || !memcmp(c->notify, notify, n_notify * sizeof(*notify))) &&
	       rules_current(&c->rules, p);
}

static void unref_compiled(void *compiled)
{
	confinement_unref(compiled);
}

int confinement_get(struct sluice_policy *p, const int *notify, size_t n_notify,
		    struct confinement **ret, struct sluice_error *err)
{
	struct confinement *made = NULL;
	int r = 0;

	pthread_mutex_lock(&p->lock);
	if (!p->compiled || !fits(p->compiled, p, notify, n_notify)) {
		r = confinement_new(p, notify, n_notify, NULL, &made, err);
		if (r == 0) {
			confinement_unref(p->compiled);
			p->compiled = made;
			p->compiled_unref = unref_compiled;
		}
	}
	if (r == 0)
		*ret = confinement_ref(p->compiled);
	pthread_mutex_unlock(&p->lock);
	return r;
}

struct confinement *confinement_ref(struct confinement *c)
{
	/* relaxed: who passes a reference on has one */
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

struct confinement *confinement_unref(struct confinement *c)
{
	/* acquire-release: the last one sees what all others did */
	if (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
		confinement_free(c);
	return NULL;
}

/* Of the calling thread alone: libc's wrapper has no broadcast either, but the raw call says so. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];

	memset(none, 0, sizeof(none));
	/*
	 * Root's exec would be given capabilities that no_new_privs then takes away again, which the kernel takes for a set-id program: flags of
	 * the personality are cleared. EPERM for those who have none to drop.
	 */
	prctl(PR_SET_SECUREBITS, prctl(PR_GET_SECUREBITS) | SECBIT_NOROOT);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* EINVAL before 4.3 */
	return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

int confine_engine_thread(const struct confinement *c, unsigned *ret_umask,
			  struct sluice_error *err)
{
	int r;

	/* umask and working directory of its own, not those of the embedder's threads */
	if (unshare(CLONE_FS) < 0)
		return fail_errno(err, -errno, "unshare(CLONE_FS)");
	*ret_umask = umask(0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail_errno(err, -errno, "no_new_privs");
	r = drop_capabilities();
	if (r < 0)
		return fail_errno(err, r, "dropping capabilities");
	r = landlock_enter(c->rules.ruleset_a);
	if (r < 0) {
		fail_errno(err, r, "Landlock domain of the engine");
		return r == -E2BIG ? fail_hint(err, r, "at most 16 domains can be nested") : r;
	}
	return 0;
}
