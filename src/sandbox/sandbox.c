/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public face of a sandbox: spawn, wait, kill, free, and the two blocking calls on top.
 */
#define _GNU_SOURCE
#include "sandbox/sandbox.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "builtin/builtin.h"
#include "builtin/port_remap/remap.h"
#include "engine/dispatch.h"
#include <sluice/cow.h>

#include "policy/policy.h"
#include "sandbox/memory_group.h"
#include "sandbox/memory_limit.h"
#include "sandbox/port_map.h"
#include "sys/pidfd.h"
#include "task/credentials.h"
#include "task/ledger.h"
#include "tree/cwd.h"
#include "util/fail.h"
#include "util/thread.h"

/* The control thread calls no handler; its stack holds a few buffers of a page. */
#define CONTROL_STACK_BYTES (256u << 10)
#define WORKERS_LIMIT 256u

/* Sandboxes of this process so far: only makes default names differ. */
static _Atomic unsigned long spawned;

static int options_copy(const struct sluice_spawn_options *in, struct sluice_spawn_options *out,
			struct sluice_error *err)
{
	memset(out, 0, sizeof(*out));
	if (!in)
		return 0;
	if (in->size < sizeof(size_t) || in->size > sizeof(*out))
		return fail(err, -EINVAL, "options: size %zu: this library knows %zu", in->size,
			    sizeof(*out));
	memcpy(out, in, in->size);
	if (out->trace > 2)
		return fail(err, -EINVAL, "options: trace %u: unknown", out->trace);
	return 0;
}

/* CPUs that the calling thread may use. No look into /sys, which sysconf takes at each call. */
static int cpus_allowed(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : CPU_SETSIZE;
}

/*
 * In adaptive mode only what waits runs in the pool: more threads than CPUs can use are what lets it wait for several things at a time. With
 * 32 clients of whose calls 5 % block for 1 ms, 2 CPUs answer 77 k calls a second with 4 workers, 144 k with 8, 150 k with 16.
 */
static unsigned workers_default(enum sluice_dispatch mode)
{
	int cpus = cpus_allowed();
	unsigned n =
		(mode == SLUICE_DISPATCH_ADAPTIVE ? 4u : 2u) * (cpus > 2 ? (unsigned)cpus : 2u);

	return n < WORKERS_LIMIT ? n : WORKERS_LIMIT;
}

/* Filter and rulesets for the calls in @numbers. */
static int sandbox_confine(struct sluice_sandbox *s, const int *numbers, size_t n,
			   struct sluice_error *err)
{
	struct rules_tree rules;

	if (!s->tree)
		return confinement_get(s->policy, numbers, n, &s->confinement, err);
	s->tree->tree.proc_granted = policy_has_root(s->policy) || s->proc_granted;
	s->tree->tree.proc_writable = !s->proc && rules_grant_proc(s->policy, true);
	rules = (struct rules_tree){ &s->tree->tree, s->tree->branch_dir, s->tree->exec };
	return confinement_new(s->policy, numbers, n, &rules, &s->confinement, err);
}

static int umask_of(void *cwds, pid_t tid)
{
	return cwd_umask(cwds, tid);
}

/* Filter, rulesets and engine for @dispatch (consumed in every case). */
static int sandbox_compile(struct sluice_sandbox *s, struct dispatch *dispatch,
			   const struct sluice_spawn_options *o, struct sluice_error *err)
{
	const struct sluice_policy *p = s->policy;
	struct engine_config config = {
		.name = s->name,
		.dispatch = dispatch,
		.mode = p->dispatch,
		.workers_min = p->workers_min,
		.workers_max = p->workers_max ? p->workers_max : workers_default(p->dispatch),
		.histograms = o->stats,
		.ledger = s->ledger,
		.trace_fd = o->trace ? o->trace_fd : -1,
		.trace_chrome = o->trace == 2,
		.proc_granted = s->proc_granted,
		.proc_writable = !s->proc && rules_grant_proc(p, true),
		.proc = ownproc_view(s->proc),
		.call_name = syscall_name,
	};
	int numbers[DISPATCH_MAX_NR];
	size_t n = dispatch_numbers(dispatch, numbers, DISPATCH_MAX_NR);
	int r = sandbox_confine(s, numbers, n, err);

	if (r < 0) {
		dispatch_free(dispatch);
		return r;
	}
	if (s->proc)
		ownproc_confined(s->proc, s->confinement->rules.holes, s->confinement->private.fd);
	if (s->tree && s->tree->tree.cwds) {
		config.umask_of = umask_of;
		config.umask_userdata = s->tree->tree.cwds;
	}
	config.proc_memory = s->confinement->proc_memory;
	config.check_credentials = s->confinement->namespaces || !credentials_are_fixed();
	r = engine_new(&config, &s->engine);
	return r < 0 ? fail_errno(err, r, "engine") : 0;
}

static void sandbox_init(struct sluice_sandbox *s, struct sluice_policy *p)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &attr);
	pthread_condattr_destroy(&attr);
	for (int i = 0; i < 3; i++)
		s->stdio.child[i] = s->stdio.ours[i] = -1;
	s->stop_fd = -1;
	s->policy = sluice_policy_ref(p);
	if (p->name)
		snprintf(s->name, sizeof(s->name), "%s", p->name);
	else
		snprintf(s->name, sizeof(s->name), "sandbox-%d-%lu", (int)getpid(), ++spawned);
	s->end_fd = -1;
}

/* What is about copy-on-write only. */
static int check_workdir(const struct sluice_policy *p, struct sluice_error *err)
{
	if (p->workdir || (!p->n_lowers && !p->branch))
		return 0;
	if (p->n_lowers)
		fail(err, -EINVAL, "lower tree: %s: without a working directory", p->lowers[0]);
	else
		fail(err, -EINVAL, "branch: %s: without a working directory", p->branch);
	return fail_hint(err, -EINVAL, "--workdir DIR is %s",
			 p->n_lowers ? "where it is seen" : "whose changes it takes");
}

static int remap_prepare(struct sluice_sandbox *s, struct sluice_error *err)
{
	if (!s->policy->port_remap) {
		fail(err, -EINVAL, "port map: %s: no port is remapped", s->policy->port_map);
		return fail_hint(err, -EINVAL, "it goes with --port-remap");
	}
	if (!s->policy->network.n_binds) {
		fail(err, -EINVAL, "port remapping: no port may be bound");
		return fail_hint(err, -EINVAL, "say which with --net-allow-bind PORTS");
	}
	s->remap = remap_new();
	if (!s->remap)
		return fail_errno(err, -ENOMEM, "port remapping");
	return s->policy->port_map ? port_map_new(s->policy->port_map, s->remap, &s->port_map, err)
				   : 0;
}

/* Everything but the thread. On failure the caller frees @s all the same. */
static int sandbox_prepare(struct sluice_sandbox *s, struct sluice_policy *p,
			   const char *const argv[], const struct sluice_spawn_options *o,
			   struct sluice_error *err)
{
	struct builtin_sandbox shared = {
		.init = &s->launch.init_pid,
		.signal_scope = &s->launch.signal_scope,
		.network = &s->network,
	};
	struct dispatch *dispatch = NULL;
	int r;

	sandbox_init(s, p);
	if (o->stops)
		s->stop_fd = o->stop_fd;
	if (o->stats) {
		shared.ledger = s->ledger = ledger_new();
		if (!s->ledger)
			return fail_errno(err, -ENOMEM, "statistics");
	}
	r = command_init(&s->command, p, argv, err);
	if (r < 0)
		return r;
	r = check_workdir(p, err);
	if (r < 0)
		return r;
	if (p->max_memory) {
		s->memory_group = memory_group_new(p);
		shared.memfds_made = s->memory_group ? NULL : &s->memfds_made;
	}
	r = launch_init(&s->launch, s->command.argv);
	if (r < 0)
		return fail_errno(err, r, "sandbox");
	r = policy_has_tree(p) ? sandbox_tree_new(p, s->name, &s->tree, err) : 0;
	s->proc_granted = rules_grant_proc(p, false);
	if (r == 0)
		r = ownproc_new(p, s->name, s->tree ? &s->tree->tree : NULL, s->proc_granted,
				&s->proc, err);
	if (r < 0)
		return r;
	r = p->port_remap || p->port_map ? remap_prepare(s, err) : 0;
	if (r < 0)
		return r;
	shared.remap = s->remap;
	shared.proc = s->proc;
	if (s->proc && p->max_memory)
		ownproc_limit_memory(s->proc, p->max_memory, memory_limit_used, s);
	if (p->time_start_files) {
		file_times_begin(&s->times, p->time_start_s);
		shared.times = &s->times;
	}
	if (s->tree) {
		s->tree->tree.proc = ownproc_view(s->proc);
		s->tree->tree.times = shared.times;
	}
	r = dispatch_build(p, s->tree, &shared, o->extras, o->n_extras, &dispatch, err);
	if (r < 0)
		return r;
	r = sandbox_compile(s, dispatch, o, err);
	if (r < 0)
		return r;
	r = stdio_init(&s->stdio, o, err);
	if (r < 0)
		return r;
	if (o->supervisor) {
		r = supervisor_enter(o->supervisor, err);
		if (r == 0)
			s->supervisor = sluice_supervisor_ref(o->supervisor);
	}
	return r;
}

/* The new thread has all signals blocked from its first instruction; the caller's mask is what the command gets. */
static int sandbox_start_thread(struct sluice_sandbox *s)
{
	pthread_attr_t attr;
	sigset_t own;
	int r;

	pthread_sigmask(SIG_SETMASK, NULL, &own);
	memcpy(&s->sigmask, &own, sizeof(s->sigmask));
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, CONTROL_STACK_BYTES);
	r = thread_start(&s->thread, &attr, sandbox_main, s);
	pthread_attr_destroy(&attr);
	s->thread_started = r == 0;
	return r;
}

static int sandbox_error_locked(const struct sluice_sandbox *s, struct sluice_error *err)
{
	if (s->state != SANDBOX_FAILED)
		return 0;
	if (s->code < 0 && err)
		*err = s->error;
	return s->code;
}

/* Wait until the exec has succeeded or the start has failed. */
static int sandbox_started(struct sluice_sandbox *s, struct sluice_error *err)
{
	int r;

	pthread_mutex_lock(&s->lock);
	while (s->state == SANDBOX_STARTING)
		pthread_cond_wait(&s->changed, &s->lock);
	r = sandbox_error_locked(s, err);
	pthread_mutex_unlock(&s->lock);
	return r;
}

/* Wait for the end, and for nothing before it: the caller is woken once. */
static int sandbox_run(struct sluice_sandbox *s, struct sluice_result *ret_result,
		       struct sluice_error *err)
{
	int r;

	pthread_join(s->thread, NULL);
	s->thread_started = false;
	pthread_mutex_lock(&s->lock);
	r = sandbox_error_locked(s, err);
	if (r == 0 && ret_result)
		*ret_result = s->result;
	pthread_mutex_unlock(&s->lock);
	return r;
}

/*
 * Start the control thread: whether the command runs is still to be seen. @polled: somebody may wait for end_fd. NULL and *ret_error on failure.
 */
static struct sluice_sandbox *sandbox_begin(struct sluice_policy *policy, const char *const argv[],
					    const struct sluice_spawn_options *options, bool polled,
					    int *ret_error, struct sluice_error *err)
{
	struct sluice_spawn_options o;
	struct sluice_sandbox *s;
	int r = options_copy(options, &o, err);

	*ret_error = r;
	if (r < 0)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s) {
		*ret_error = fail_errno(err, -ENOMEM, "sandbox");
		return NULL;
	}
	r = sandbox_prepare(s, policy, argv, &o, err);
	if (r == 0 && polled) {
		s->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (s->end_fd < 0)
			r = fail_errno(err, -errno, "sandbox");
	}
	if (r == 0) {
		r = sandbox_start_thread(s);
		if (r < 0)
			fail_errno(err, r, "control thread");
	}
	*ret_error = r;
	return r < 0 ? sluice_sandbox_free(s) : s;
}

int sluice_spawn(struct sluice_policy *policy, const char *const argv[],
		 const struct sluice_spawn_options *options, struct sluice_sandbox **ret,
		 struct sluice_error *err)
{
	struct sluice_sandbox *s;
	int r;

	if (!policy || !ret)
		return fail(err, -EINVAL, "policy or result: NULL");
	s = sandbox_begin(policy, argv, options, true, &r, err);
	if (!s)
		return r;
	r = sandbox_started(s, err);
	if (r == 0) {
		launch_trim(&s->launch);
		command_fini(&s->command);
	}
	stdio_close_child(&s->stdio);
	if (r < 0)
		sluice_sandbox_free(s);
	else
		*ret = s;
	return r;
}

int sluice_sandbox_fd(const struct sluice_sandbox *s)
{
	return s->end_fd;
}

pid_t sluice_sandbox_pid(const struct sluice_sandbox *s)
{
	return s->launch.pid;
}

const char *sluice_sandbox_name(const struct sluice_sandbox *s)
{
	return s->name;
}

int sluice_sandbox_pipe(struct sluice_sandbox *s, int which)
{
	int fd;

	if (which < 0 || which > 2)
		return -EBADF;
	pthread_mutex_lock(&s->lock);
	fd = s->stdio.ours[which];
	s->stdio.ours[which] = -1;
	pthread_mutex_unlock(&s->lock);
	return fd < 0 ? -EBADF : fd;
}

static bool sandbox_over(const struct sluice_sandbox *s)
{
	return s->state == SANDBOX_ENDED || s->state == SANDBOX_FAILED;
}

int sluice_sandbox_wait(struct sluice_sandbox *s, int timeout_ms, struct sluice_result *ret_result)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&s->lock);
	while (!sandbox_over(s) && r == 0)
		r = timeout_ms < 0 ? pthread_cond_wait(&s->changed, &s->lock)
				   : pthread_cond_timedwait(&s->changed, &s->lock, &until);
	r = sandbox_over(s) ? 0 : -EAGAIN;
	if (r == 0 && ret_result)
		*ret_result = s->result;
	pthread_mutex_unlock(&s->lock);
	return r;
}

int sluice_sandbox_kill(struct sluice_sandbox *s, int signal)
{
	int r = -ESRCH;

	if (signal == SIGKILL)
		return sandbox_kill_tree(s, SLUICE_ENDED_KILLED);
	pthread_mutex_lock(&s->lock);
	if (s->signalable)
		r = pidfd_kill(s->launch.pidfd, signal);
	pthread_mutex_unlock(&s->lock);
	return r;
}

size_t sluice_sandbox_ports(struct sluice_sandbox *s, struct sluice_port *ret, size_t max)
{
	return s->remap ? remap_list(s->remap, ret, max) : 0;
}

char *sluice_sandbox_stats_json(struct sluice_sandbox *s)
{
	return engine_stats_json(s->engine);
}

struct sluice_sandbox *sluice_sandbox_free(struct sluice_sandbox *s)
{
	if (!s)
		return NULL;
	if (s->thread_started) {
		sandbox_kill_tree(s, SLUICE_ENDED_KILLED);
		pthread_join(s->thread, NULL);
	}
	if (s->supervisor) {
		supervisor_leave(s->supervisor, &s->result);
		sluice_supervisor_unref(s->supervisor);
	}
	sluice_sandbox_settle(s, -1, NULL, NULL, NULL);
	stdio_fini(&s->stdio);
	launch_free(&s->launch);
	engine_unref(s->engine);
	ledger_free(s->ledger);
	memory_group_free(s->memory_group);
	port_map_free(s->port_map);
	if (s->remap)
		remap_free(s->remap);
	ownproc_free(s->proc);
	confinement_unref(s->confinement);
	sandbox_tree_free(s->tree);
	command_fini(&s->command);
	sluice_policy_unref(s->policy);
	if (s->end_fd >= 0)
		close(s->end_fd);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
	return NULL;
}

int sluice_run_with_extra_handlers(struct sluice_policy *policy, const char *const argv[],
				   const struct sluice_handler *extras, size_t n_extras,
				   struct sluice_result *ret_result, struct sluice_error *err)
{
	struct sluice_spawn_options o = {
		.size = sizeof(o),
		.extras = extras,
		.n_extras = n_extras,
	};
	struct sluice_sandbox *s;
	int r;

	if (!policy)
		return fail(err, -EINVAL, "policy or result: NULL");
	s = sandbox_begin(policy, argv, &o, false, &r, err);
	if (!s)
		return r;
	r = sandbox_run(s, ret_result, err);
	if (r == 0)
		sluice_sandbox_settle(s, -1, NULL, NULL, err);
	sluice_sandbox_free(s);
	return r;
}

int sluice_run(struct sluice_policy *policy, const char *const argv[],
	       struct sluice_result *ret_result, struct sluice_error *err)
{
	return sluice_run_with_extra_handlers(policy, argv, NULL, 0, ret_result, err);
}

int sluice_syscall_number(const char *name)
{
	return name ? syscall_number(name) : -EINVAL;
}

const char *sluice_syscall_name(int nr)
{
	return syscall_name(nr);
}
