/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control thread of a sandbox: confines itself, launches the command, runs the engine, and follows the launch events to the end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "builtin/files/files.h"
#include "builtin/network/rules.h"
#include "policy/policy.h"
#include "sandbox/cpu_limit.h"
#include "sandbox/memory_group.h"
#include "sandbox/memory_limit.h"
#include "sandbox/quota.h"
#include "sandbox/sandbox.h"
#include "sys/pidfd.h"
#include "task/descendants.h"
#include "task/ledger.h"
#include "tree/cwd.h"
#include "util/clock.h"
#include "util/fail.h"

#define LEDGER_LOOK_MS 100

static void set_state(struct sluice_sandbox *s, enum sandbox_state state, int code,
		      const struct sluice_error *err)
{
	pthread_mutex_lock(&s->lock);
	s->state = state;
	s->code = code;
	if (err)
		s->error = *err;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

int sandbox_kill_tree(struct sluice_sandbox *s, enum sluice_end reason)
{
	int r = -ESRCH;

	pthread_mutex_lock(&s->lock);
	if (s->signalable) {
		if (!s->kill_reason)
			s->kill_reason = reason;
		r = launch_kill_tree(&s->launch);
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

static void on_timeout(struct engine *e, void *userdata)
{
	(void)e;
	sandbox_kill_tree(userdata, SLUICE_ENDED_TIMEOUT);
}

/* ---- statistics of processes ---- */

static int look_at_one(pid_t pid, void *ledger)
{
	ledger_look(ledger, pid, false);
	return 1;
}

/* Of who is killed this is all that will be known. */
static void look_at_all(struct engine *e, void *sandbox)
{
	struct sluice_sandbox *s = sandbox;
	int n = descendants_each(s->launch.init_pid, look_at_one, s->ledger);

	/* some 50 us for each, so a two-hundredth of the time at most */
	engine_set_timer(e, TIMER_LEDGER, LEDGER_LOOK_MS + (uint64_t)(n > 0 ? n : 0) * 10,
			 look_at_all, s);
}

/* ---- launch events ---- */

static int exec_failed(struct sluice_sandbox *s, int error, struct sluice_error *err)
{
	const struct tree *tree = s->tree ? &s->tree->tree : NULL;
	const char *name = s->command.argv[0];
	char missing[PATH_MAX];

	for (char *const *c = s->command.candidates; error == ENOENT && *c; c++) {
		if (!files_missing_interpreter(tree, *c, missing))
			continue;
		fail_errno(err, -error, "exec: %s: %s", *c, missing);
		return fail_hint(err, -error,
				 "that is the interpreter or loader which the file names");
	}
	if (error == ENOENT && !strchr(name, '/'))
		return fail(err, -error, "exec: %s: not found in PATH", name);
	fail_errno(err, -error, "exec: %s", name);
	if (error == EACCES)
		fail_hint(
			err, -error,
			"is the program's path (and its interpreter's) granted for reading? (-r PATH)");
	return -error;
}

/* What samples the processes finds them by the kernel's lists of children. */
static int limits_check(const struct sluice_policy *p, struct sluice_error *err)
{
	int r = p->max_memory || p->max_processes || p->cpu_percent ? descendants_check() : 0;

	if (r == 0)
		return 0;
	fail_errno(err, r, "limits of memory, processes and CPU: /proc/thread-self/children");
	return fail_hint(err, r, "a kernel with CONFIG_PROC_CHILDREN; or none of these limits");
}

static void launch_failed(struct sluice_sandbox *s, const struct launch_event *ev)
{
	struct sluice_error err = { 0 };
	int code = -ev->error;

	switch (ev->stage) {
	case LAUNCH_STAGE_EXEC:
		code = exec_failed(s, ev->error, &err);
		break;
	case LAUNCH_STAGE_CWD:
		fail_errno(&err, code, "working directory: %s",
			   s->command.cwd ? s->command.cwd : ".");
		break;
	default:
		launch_failure(ev->stage, ev->error, &err);
	}
	set_state(s, SANDBOX_FAILED, code, &err);
}

static void command_exited(struct sluice_sandbox *s, const struct launch_event *ev)
{
	struct sluice_result *r = &s->result;

	pthread_mutex_lock(&s->lock);
	r->wall_ns = clock_now_ns() - s->started_ns;
	if (WIFSIGNALED(ev->status)) {
		r->end = SLUICE_ENDED_SIGNAL;
		r->signal = WTERMSIG(ev->status);
		r->exit_code = 128 + r->signal;
		r->core_dumped = WCOREDUMP(ev->status) ? 1 : 0;
	} else {
		r->end = SLUICE_ENDED_EXIT;
		r->exit_code = WEXITSTATUS(ev->status);
	}
	pthread_mutex_unlock(&s->lock);
}

static uint64_t micros(const struct timeval *tv)
{
	return (uint64_t)tv->tv_sec * 1000000u + (uint64_t)tv->tv_usec;
}

static void tree_gone(struct sluice_sandbox *s, const struct launch_event *ev)
{
	pthread_mutex_lock(&s->lock);
	s->result.user_us = micros(&ev->usage.ru_utime);
	s->result.system_us = micros(&ev->usage.ru_stime);
	s->result.max_rss_kib = (uint64_t)ev->usage.ru_maxrss;
	pthread_mutex_unlock(&s->lock);
}

static void command_stopped(struct sluice_sandbox *s, const struct launch_event *ev)
{
	uint64_t signal = (uint64_t)WSTOPSIG(ev->status);

	if (s->stop_fd >= 0 && write(s->stop_fd, &signal, sizeof(signal)) < 0)
		return; /* full or closed: whoever reads there has not seen the last one yet, or does not want to */
}

static void on_launch_event(struct sluice_sandbox *s, const struct launch_event *ev)
{
	switch (ev->kind) {
	case LAUNCH_EXECED:
		set_state(s, SANDBOX_RUNNING, 0, NULL);
		break;
	case LAUNCH_FAILED:
		launch_failed(s, ev);
		break;
	case LAUNCH_EXITED:
		command_exited(s, ev);
		break;
	case LAUNCH_STOPPED:
		command_stopped(s, ev);
		break;
	default:
		break;
	}
	if (ev->tree_gone)
		tree_gone(s, ev);
}

/* Reap init and release what the launch holds; also kills what is left when init died before its time. */
static void launch_end(struct sluice_sandbox *s)
{
	if (!s->launched)
		return;
	pthread_mutex_lock(&s->lock);
	s->signalable = false;
	pthread_mutex_unlock(&s->lock);
	launch_fini(&s->launch);
	s->launched = false;
}

static void on_channel(struct engine *e, void *userdata)
{
	struct sluice_sandbox *s = userdata;
	struct launch_event ev;
	int r = 0;

	while (!s->launch.empty && (r = launch_next_event(&s->launch, &ev)) == 1)
		on_launch_event(s, &ev);
	if (!s->launch.empty && r == 0)
		return;
	engine_remove_source(e, s->channel_source);
	quota_stop(s);
	memory_limit_stop(s);
	cpu_limit_stop(s);
	if (s->network)
		network_settle(s->network);
	engine_set_timer(e, TIMER_LEDGER, UINT64_MAX, NULL, NULL);
	launch_end(s);
	engine_stop(e);
}

/* ---- the thread ---- */

static int control_start(struct sluice_sandbox *s, struct sluice_error *err)
{
	struct launch_spec spec = {
		.confinement = s->confinement,
		.candidates = s->command.candidates,
		.argv = s->command.argv,
		.envp = s->command.envp,
		.cwd = s->tree ? s->tree->exec_path : s->command.cwd,
		.stdio = { s->stdio.child[0], s->stdio.child[1], s->stdio.child[2] },
		.sigmask = s->sigmask,
		.max_open_files = s->policy->max_open_files,
		.max_file_bytes = s->policy->workdir ? s->policy->max_disk : 0,
		.fixed_addresses = s->policy->fixed_addresses,
		.group = memory_group_entrance(s->memory_group),
		.cores = s->policy->cores,
	};
	int r = confine_engine_thread(s->confinement, &spec.umask, err);

	if (r == 0 && s->tree)
		cwd_begin_umask(s->tree->tree.cwds, (mode_t)spec.umask);
	if (r == 0)
		r = quota_start(s, err);
	if (r == 0)
		r = limits_check(s->policy, err);
	if (r < 0)
		return r;
	s->started_ns = clock_now_ns();
	r = launch_start(&s->launch, &spec, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&s->lock);
	s->launched = true;
	s->signalable = true;
	pthread_mutex_unlock(&s->lock);
	if (s->proc)
		ownproc_launched(s->proc, s->launch.init_pid, s->launch.signal_scope);
	r = engine_serve(s->engine, s->launch.listener);
	s->launch.listener = -1;
	s->channel_source = engine_add_source(s->engine, s->launch.channel, on_channel, s);
	if (r == 0 && s->channel_source < 0)
		r = s->channel_source;
	if (r < 0)
		return fail_errno(err, r, "engine: watching the listener");
	if (s->policy->timeout_ms)
		engine_set_timer(s->engine, TIMER_TIMEOUT, s->policy->timeout_ms, on_timeout, s);
	r = memory_limit_start(s, err);
	if (r == 0)
		r = cpu_limit_start(s, err);
	if (r < 0)
		return r;
	if (s->ledger)
		engine_set_timer(s->engine, TIMER_LEDGER, LEDGER_LOOK_MS, look_at_all, s);
	if (s->launch.execed)
		set_state(s, SANDBOX_RUNNING, 0, NULL);
	return 0;
}

static void sandbox_ended(struct sluice_sandbox *s)
{
	struct engine_counts counts;
	struct sluice_result *r = &s->result;
	uint64_t one = 1;

	engine_counts(s->engine, &counts);
	pthread_mutex_lock(&s->lock);
	r->notifications = counts.notifications;
	r->denied = counts.denied;
	if (!r->end) { /* init ended without a word about the command */
		r->end = SLUICE_ENDED_FAULT;
		r->exit_code = 125;
		r->wall_ns = clock_now_ns() - s->started_ns;
	} else if (s->kill_reason) {
		r->end = s->kill_reason;
		if (r->end == SLUICE_ENDED_TIMEOUT)
			r->exit_code = 124;
	}
	if (s->state != SANDBOX_FAILED)
		s->state = SANDBOX_ENDED;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	if (s->end_fd >= 0 && write(s->end_fd, &one, sizeof(one)) < 0)
		return; /* an eventfd that is 0 takes a 1 */
}

void *sandbox_main(void *sandbox)
{
	struct sluice_sandbox *s = sandbox;
	struct sluice_error err = { 0 };
	int r = control_start(s, &err);

	if (r == 0) {
		engine_run(s->engine);
	} else {
		if (s->launched)
			launch_kill_tree(&s->launch);
		set_state(s, SANDBOX_FAILED, r, &err);
	}
	launch_end(s);
	pthread_mutex_lock(&s->lock);
	if (s->state == SANDBOX_STARTING) { /* init is gone before it could say anything */
		s->code = -ECHILD;
		fail(&s->error, -ECHILD, "start of the command: its init process ended early");
		s->state = SANDBOX_FAILED;
	}
	pthread_mutex_unlock(&s->lock);
	sandbox_ended(s);
	engine_join(s->engine);
	return NULL;
}
