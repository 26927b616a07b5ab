/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delivery of calls and answers while signals come, tasks stop, exec or die, and parents wait in vfork; and that signals do not go out of the sandbox.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "as_seen.h"

#define LONG_MS 30000 /* nothing here takes that long unless it hangs */

static struct sluice_verdict slow_value(struct sluice_request *req, void *userdata)
{
	struct timespec ts = { .tv_nsec = (long)(intptr_t)userdata * 1000000 };

	(void)req;
	nanosleep(&ts, NULL);
	return sluice_value(4242);
}

static struct sluice_policy *in_time(void)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_set_timeout_ms(p, LONG_MS), 0);
	return p;
}

/* ---- E2: signals all the time ---- */

static atomic_long alarms;

static void on_alarm(int sig)
{
	(void)sig;
	atomic_fetch_add(&alarms, 1);
}

static void storm(int flags)
{
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = flags };
	struct itimerval every = { { 0, 1000 }, { 0, 1000 } };

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
}

/*
 * Calls of 3 ms under a timer of 1 ms until ARG of them gave the value; how many did not (at most 200). "r" in front: with SA_RESTART, and without it
 * EINTR does not count: it is what becomes of a call that nobody has received yet.
 */
static int guest_storm(const char *arg)
{
	bool restart = *arg == 'r';
	int n = atoi(arg + (restart ? 1 : 0)), bad = 0;

	storm(restart ? SA_RESTART : 0);
	while (n > 0) {
		if (syscall(SYS_getpriority, 0, 0) == 4242)
			n--;
		else if ((restart || errno != EINTR) && ++bad == 200)
			break;
	}
	return atomic_load(&alarms) ? bad : 201;
}

/* The same with opens on behalf, which have no signal to fail with. */
static int guest_storm_open(const char *path)
{
	int bad = 0;

	storm(SA_RESTART);
	for (int i = 0; i < 20000; i++) {
		int fd = open(path, O_RDONLY);

		if (fd != 3)
			bad++;
		close(fd);
	}
	return bad < 200 ? bad : 200;
}

static void hazard_E2_signals_do_not_undo_a_call(void **state)
{
	struct sluice_handler h = {
		.nr = SYS_getpriority,
		.fn = slow_value,
		.userdata = (void *)(intptr_t)3,
	};
	struct sluice_policy *p = in_time();

	(void)state;
	for (int i = 0; i < 2; i++) {
		h.flags = i ? SLUICE_MAY_BLOCK : 0;
		assert_int_equal(guest_run(p, &h, 1, "storm", "r200").exit_code, 0);
		/* were a received call interrupted too, none would ever be done */
		assert_int_equal(guest_run(p, &h, 1, "storm", "200").exit_code, 0);
	}
	assert_int_equal(guest_bare("storm-open", "/etc/passwd"), 0);
	assert_int_equal(
		guest_run(p, as_seen_opens, N_AS_SEEN_OPENS, "storm-open", "/etc/passwd").exit_code,
		0);
	sluice_policy_unref(p);
}

static void hazard_E2_pipelines_of_a_shell(void **state)
{
	const char *const argv[] = {
		"/bin/sh", "-c",
		"i=0; while [ $i -lt 300 ]; do echo a | cat | cat >/dev/null || exit 1; i=$((i+1)); done",
		NULL
	};
	struct sluice_policy *p = in_time();
	struct sluice_result res;

	(void)state;
	assert_int_equal(
		sluice_run_with_extra_handlers(p, argv, as_seen_opens, N_AS_SEEN_OPENS, &res, NULL),
		0);
	assert_int_equal(res.end, SLUICE_ENDED_EXIT);
	assert_int_equal(res.exit_code, 0);
	sluice_policy_unref(p);
}

/* ---- E1: stop and go ---- */

static int guest_stop(const char *arg)
{
	pid_t pid = fork();
	int status, stops = 0;

	(void)arg;
	if (pid == 0) {
		for (int i = 0; i < 200; i++) {
			if (syscall(SYS_getpriority, 0, 0) != 4242)
				_exit(1);
		}
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		kill(pid, SIGSTOP);
		usleep(500);
		kill(pid, SIGCONT);
		usleep(500);
		stops++;
	}
	return !WIFEXITED(status) ? 200 : WEXITSTATUS(status) ? 201 : stops > 10 ? 0 : 202;
}

static void hazard_E1_stopped_in_a_call(void **state)
{
	struct sluice_handler h = {
		.nr = SYS_getpriority,
		.fn = slow_value,
		.userdata = (void *)(intptr_t)1,
		.flags = SLUICE_MAY_BLOCK,
	};
	struct sluice_policy *p = in_time();

	(void)state;
	assert_int_equal(guest_run(p, &h, 1, "stop", "").exit_code, 0);
	sluice_policy_unref(p);
}

/* ---- exec and death of threads in calls ---- */

static void *call_for_ever(void *arg)
{
	for (;;)
		syscall(SYS_getpriority, 0, 0);
	return arg;
}

/* Exec again and again while threads are in calls; ARG counts down. */
static int guest_exec_with_threads(const char *arg)
{
	int left = atoi(arg);
	char next[16];
	pthread_t t;

	if (!left)
		return syscall(SYS_getpriority, 0, 0) == 4242 ? 0 : 1;
	for (int i = 0; i < 8; i++) {
		if (pthread_create(&t, NULL, call_for_ever, NULL))
			return 200;
	}
	usleep(500);
	snprintf(next, sizeof(next), "%d", left - 1);
	execl(guest_program(), guest_program(), "--inside", "exec", next, (char *)NULL);
	return 201;
}

static void *exec_from_thread(void *arg)
{
	execl(guest_program(), guest_program(), "--inside", "exec", "0", (char *)NULL);
	return arg;
}

/* The thread that execs becomes the first one, and keeps being served. */
static int guest_exec_from_thread(const char *arg)
{
	pthread_t t;

	(void)arg;
	if (pthread_create(&t, NULL, call_for_ever, NULL) ||
	    pthread_create(&t, NULL, exec_from_thread, NULL))
		return 200;
	pthread_join(t, NULL);
	return 201;
}

static void hazard_E4_exec_while_threads_are_in_calls(void **state)
{
	struct sluice_handler h = {
		.nr = SYS_getpriority,
		.fn = slow_value,
		.userdata = (void *)(intptr_t)2,
		.flags = SLUICE_MAY_BLOCK,
	};
	struct sluice_policy *p = in_time();

	(void)state;
	assert_int_equal(guest_run(p, &h, 1, "exec", "20").exit_code, 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(guest_run(p, &h, 1, "thread-exec", "").exit_code, 0);
	sluice_policy_unref(p);
}

/* ---- E5: vfork ---- */

static int guest_spawn_many(const char *arg)
{
	char *argv[] = { (char *)(uintptr_t) "true", NULL };

	(void)arg;
	for (volatile int i = 0; i < 100; i++) {
		int status;
		pid_t pid;

		if (i % 2) {
			pid = vfork();
			if (pid == 0) {
				execv("/bin/true", argv);
				_exit(127);
			}
		} else if (posix_spawnp(&pid, "true", NULL, NULL, argv, environ)) {
			return 1;
		}
		if (waitpid(pid, &status, 0) != pid || status)
			return 2;
	}
	return 0;
}

struct execs {
	atomic_int seen;
};

static struct sluice_verdict look_at_exec(struct sluice_request *req, void *userdata)
{
	struct execs *x = userdata;
	char text[256];
	const char *path;

	if (sluice_request_path(req, 0, &path) > 0 && strstr(path, "true") &&
	    sluice_request_tgid(req) > 0 && sluice_request_cwd(req, text, sizeof(text)) > 0)
		atomic_fetch_add(&x->seen, 1);
	return sluice_continue();
}

static void hazard_E5_exec_of_a_vfork_child(void **state)
{
	struct execs x = { 0 };
	struct sluice_handler h = { .nr = SYS_execve, .fn = look_at_exec, .userdata = &x };
	struct sluice_policy *p = in_time();

	(void)state;
	assert_int_equal(guest_bare("spawn", ""), 0);
	assert_int_equal(guest_run(p, &h, 1, "spawn", "").exit_code, 0);
	assert_true(x.seen >= 100);
	h.flags = SLUICE_MAY_BLOCK;
	assert_int_equal(guest_run(p, &h, 1, "spawn", "").exit_code, 0);
	sluice_policy_unref(p);
}

/* ---- G2: signals and memory of others ---- */

#define NR_PIDFD_OPEN 434
#define NR_PIDFD_SEND_SIGNAL 424

/* "WAY PID" or "WAY" for our parent, which is init inside. */
static int guest_reach(const char *arg)
{
	siginfo_t info = { .si_code = SI_QUEUE };
	char byte = 0;
	struct iovec local = { &byte, 1 }, remote = { &byte, 1 };
	pid_t pid = arg[1] ? atoi(arg + 1) : getppid();
	long r = -1;

	switch (*arg) {
	case 'k':
		r = kill(pid, 0);
		break;
	case 't':
		r = syscall(SYS_tgkill, pid, pid, 0);
		break;
	case 'q':
		r = syscall(SYS_rt_sigqueueinfo, pid, 0, &info);
		break;
	case 'p':
		r = syscall(NR_PIDFD_SEND_SIGNAL, syscall(NR_PIDFD_OPEN, pid, 0), 0, NULL, 0);
		break;
	case 'm':
		r = process_vm_readv(pid, &local, 1, &remote, 1, 0);
		if (r < 0 && errno == EFAULT) /* allowed, only nothing is there */
			r = 0;
		break;
	default:
		return 200;
	}
	return r < 0 ? errno : 0;
}

static void hazard_G2_others_are_out_of_reach(void **state)
{
	static const char ways[] = "ktqpm";
	char arg[32];

	(void)state;
	for (const char *way = ways; *way; way++) {
		snprintf(arg, sizeof(arg), "%c%d", *way, getpid());
		if (*way != 'm') /* which Yama or a container's profile may refuse as well */
			assert_int_equal(guest_bare("reach", arg), 0);
		assert_int_equal(guest_inside(NULL, "reach", arg), EPERM);
		snprintf(arg, sizeof(arg), "%c", *way);
		assert_int_equal(guest_inside(NULL, "reach", arg), EPERM);
	}
}

static const struct guest_role roles[] = {
	{ "storm", guest_storm },
	{ "storm-open", guest_storm_open },
	{ "stop", guest_stop },
	{ "exec", guest_exec_with_threads },
	{ "thread-exec", guest_exec_from_thread },
	{ "spawn", guest_spawn_many },
	{ "reach", guest_reach },
	{ NULL, NULL },
};

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_E2_signals_do_not_undo_a_call),
		cmocka_unit_test(hazard_E2_pipelines_of_a_shell),
		cmocka_unit_test(hazard_E1_stopped_in_a_call),
		cmocka_unit_test(hazard_E4_exec_while_threads_are_in_calls),
		cmocka_unit_test(hazard_E5_exec_of_a_vfork_child),
		cmocka_unit_test(hazard_G2_others_are_out_of_reach),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("delivery", tests, NULL, NULL);
}
