/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the embedder has of its own stays as it was, while a sandbox runs and after: what the kernel says about each of its threads, signal
 * actions, descriptors, children, timers, directory, locale.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "recorder.h"

static int role_echo(const char *arg)
{
	char c;

	(void)arg;
	while (read(0, &c, 1) == 1)
		syscall(SYS_getpriority, 0, 0);
	return 0;
}

static const struct guest_role roles[] = {
	{ "echo", role_echo },
	{ "getpriority", role_getpriority },
	{ NULL, NULL },
};

/* ---- what the kernel says about a thread ---- */

struct thread_state {
	char status[4096]; /* lines of /proc/thread-self/status that must not change */
	char name[32], cwd[4096], root[4096];
	int subreaper, dumpable, death_signal, keep_caps, securebits, session, group, nice;
	struct rlimit files;
};

/* These may differ from one moment to the next; all others may not. */
static const char *const moving[] = { "State",
				      "VmPeak",
				      "VmSize",
				      "VmHWM",
				      "VmRSS",
				      "RssAnon",
				      "RssFile",
				      "RssShmem",
				      "VmData",
				      "VmStk",
				      "VmPTE",
				      "VmSwap",
				      "VmLib",
				      "VmExe",
				      "Threads",
				      "FDSize",
				      "SigPnd",
				      "ShdPnd",
				      "SigQ",
				      "Cpus_allowed",
				      "voluntary_ctxt_switches",
				      "nonvoluntary_ctxt_switches",
				      "VmLck",
				      "VmPin" };

static bool moves(const char *line)
{
	size_t n = strcspn(line, ":");

	for (size_t i = 0; i < N_OF(moving); i++) {
		if (strlen(moving[i]) == n && !strncmp(line, moving[i], n))
			return true;
	}
	return false;
}

static void thread_look(struct thread_state *t)
{
	FILE *f = fopen("/proc/thread-self/status", "re");
	char line[1024];
	ssize_t n;

	memset(t, 0, sizeof(*t));
	while (f && fgets(line, sizeof(line), f)) {
		if (!moves(line) && strlen(t->status) + strlen(line) < sizeof(t->status))
			strcat(t->status, line);
	}
	if (f)
		fclose(f);
	prctl(PR_GET_NAME, t->name);
	n = readlink("/proc/thread-self/cwd", t->cwd, sizeof(t->cwd) - 1);
	n += readlink("/proc/thread-self/root", t->root, sizeof(t->root) - 1);
	prctl(PR_GET_CHILD_SUBREAPER, &t->subreaper);
	prctl(PR_GET_PDEATHSIG, &t->death_signal);
	t->dumpable = prctl(PR_GET_DUMPABLE);
	t->keep_caps = prctl(PR_GET_KEEPCAPS);
	t->securebits = prctl(PR_GET_SECUREBITS);
	t->session = getsid(0);
	t->group = getpgrp();
	t->nice = getpriority(PRIO_PROCESS, 0);
	getrlimit(RLIMIT_NOFILE, &t->files);
	if (n < 2)
		t->session = -1;
}

static void assert_same_thread(const struct thread_state *a, const struct thread_state *b)
{
	assert_string_equal(a->status, b->status);
	assert_non_null(strstr(a->status, "\nCapEff:"));
	assert_non_null(strstr(a->status, "\nUmask:"));
	assert_non_null(strstr(a->status, "\nNoNewPrivs:"));
	assert_non_null(strstr(a->status, "\nSigBlk:"));
	assert_memory_equal(a, b, sizeof(*a));
}

/* ---- what belongs to the process ---- */

#define SIGNALS 65
#define FDS_MAX 256

struct process_state {
	void (*action[SIGNALS])(int);
	int action_flags[SIGNALS];
	char locale[256];
	char fds[FDS_MAX][128]; /* what each descriptor names */
	int n_threads;
	struct itimerval timer;
};

/* @most_threads: as many as there are to be. */
static void process_look(struct process_state *p, int most_threads)
{
	memset(p, 0, sizeof(*p));
	for (int i = 1; i < SIGNALS; i++) {
		struct sigaction a;

		if (sigaction(i, NULL, &a) == 0) {
			p->action[i] = a.sa_handler;
			p->action_flags[i] = a.sa_flags;
		}
	}
	snprintf(p->locale, sizeof(p->locale), "%s", setlocale(LC_ALL, NULL));
	for (int fd = 0; fd < FDS_MAX; fd++) {
		char path[32];

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (readlink(path, p->fds[fd], sizeof(p->fds[fd]) - 1) < 0)
			p->fds[fd][0] = '\0';
	}
	p->n_threads = guest_threads_left(most_threads);
}

static void assert_same_descriptors(const struct process_state *a, const struct process_state *b)
{
	for (int fd = 0; fd < FDS_MAX; fd++) {
		if (strcmp(a->fds[fd], b->fds[fd]) != 0)
			fail_msg("descriptor %d: was '%s', is '%s'", fd, a->fds[fd], b->fds[fd]);
	}
}

/* ---- a second thread of the embedder, with a mask and a name of its own ---- */

struct other {
	pthread_t thread;
	pthread_barrier_t before, after; /* around each look */
	struct thread_state states[3];
};

static void *other_main(void *arg)
{
	struct other *o = arg;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	prctl(PR_SET_NAME, "embedder-2");
	for (int i = 0; i < 3; i++) {
		pthread_barrier_wait(&o->before);
		thread_look(&o->states[i]);
		pthread_barrier_wait(&o->after);
	}
	return NULL;
}

static void other_look(struct other *o)
{
	pthread_barrier_wait(&o->before);
	pthread_barrier_wait(&o->after);
}

static volatile sig_atomic_t n_child_signals;

static void on_child(int sig)
{
	(void)sig;
	n_child_signals++;
}

static void on_nothing(int sig)
{
	(void)sig;
}

static void peculiar_embedder(void)
{
	struct sigaction a = { .sa_handler = on_child, .sa_flags = SA_NOCLDSTOP };
	sigset_t set;

	sigaction(SIGCHLD, &a, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, on_nothing);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGRTMIN + 3);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	umask(0137);
	assert_int_equal(chdir("/usr"), 0);
	setlocale(LC_ALL, "C.UTF-8");
	prctl(PR_SET_NAME, "embedder-1");
}

static int bad_close_on_exec(const struct process_state *before)
{
	int bad = 0;

	for (int fd = 0; fd < FDS_MAX; fd++) {
		int flags = fcntl(fd, F_GETFD);

		bad += flags >= 0 && !before->fds[fd][0] && !(flags & FD_CLOEXEC);
	}
	return bad;
}

static void test_everything_is_as_it_was(void **state)
{
	static struct thread_state mine[3];
	static struct process_state before, during, after;
	static struct other other;
	struct record record = { 0 };
	struct answer a = { &record, 1, sluice_continue() };
	struct sluice_handler h = answers(SYS_getpriority, &a);
	struct sluice_spawn_options o = {
		.size = sizeof(o), .extras = &h, .n_extras = 1, .stdio = { SLUICE_STDIO_PIPE, 0, 0 }
	};
	struct sluice_sandbox *s;
	struct sluice_policy *p;
	int in;

	(void)state;
	peculiar_embedder();
	pthread_barrier_init(&other.before, NULL, 2);
	pthread_barrier_init(&other.after, NULL, 2);
	assert_int_equal(pthread_create(&other.thread, NULL, other_main, &other), 0);
	process_look(&before, 2);
	thread_look(&mine[0]);
	other_look(&other);

	p = guest_policy();
	s = guest_spawn(p, &o, "echo", "");
	in = sluice_sandbox_pipe(s, 0);
	assert_int_equal(write(in, "xyz", 3), 3);
	while (record.calls < 3)
		usleep(1000);
	process_look(&during, INT_MAX);
	thread_look(&mine[1]);
	other_look(&other);
	assert_int_equal(bad_close_on_exec(&before), 0);
	assert_true(during.n_threads > before.n_threads); /* it does run here */
	/* there is no child to wait for, and no word of one */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	close(in);
	assert_int_equal(sluice_sandbox_wait(s, 20000, NULL), 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	sluice_sandbox_free(s);
	sluice_policy_unref(p);

	process_look(&after, before.n_threads);
	thread_look(&mine[2]);
	other_look(&other);
	pthread_join(other.thread, NULL);
	assert_int_equal(n_child_signals, 0);
	for (int i = 1; i < 3; i++) {
		assert_same_thread(&mine[0], &mine[i]);
		assert_same_thread(&other.states[0], &other.states[i]);
	}
	assert_memory_equal(before.action, during.action, sizeof(before.action));
	assert_memory_equal(before.action, after.action, sizeof(before.action));
	assert_memory_equal(before.action_flags, after.action_flags, sizeof(before.action_flags));
	assert_string_equal(before.locale, after.locale);
	assert_int_equal(before.n_threads, after.n_threads);
	assert_same_descriptors(&before, &after);
	pthread_barrier_destroy(&other.before);
	pthread_barrier_destroy(&other.after);
}

/* A child of the embedder's own is still its own, and the only one that it hears of. */
static void test_its_own_children_are_still_its_own(void **state)
{
	struct sluice_sandbox *s;
	struct sluice_spawn_options o = { .size = sizeof(o), .stdio = { SLUICE_STDIO_PIPE, 0, 0 } };
	int status = 0;
	pid_t pid;

	(void)state;
	n_child_signals = 0;
	signal(SIGCHLD, on_child);
	s = guest_spawn(NULL, &o, "echo", "");
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(13);
	assert_int_equal(waitpid(-1, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 13);
	assert_int_equal(n_child_signals, 1);
	sluice_sandbox_free(s);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(n_child_signals, 1);
	signal(SIGCHLD, SIG_DFL);
}

/* With SIGCHLD ignored the kernel reaps at once: the sandbox's end must be seen all the same. */
static void test_sigchld_ignored(void **state)
{
	(void)state;
	signal(SIGCHLD, SIG_IGN);
	assert_int_equal(guest_inside(NULL, "getpriority", ""), 0);
	signal(SIGCHLD, SIG_DFL);
	assert_int_equal(guest_inside(NULL, "getpriority", ""), 0);
}

static volatile sig_atomic_t n_alarms;
static volatile sig_atomic_t wrong_thread;
static pthread_t main_thread;

static void on_alarm(int sig)
{
	(void)sig;
	n_alarms++;
	wrong_thread |= !pthread_equal(pthread_self(), main_thread);
}

/* Its timers go on, their signals reach its own threads, and starting and waiting bear to be interrupted. */
static void test_a_timer_every_millisecond(void **state)
{
	const struct itimerval every = { { 0, 1000 }, { 0, 1000 } }, off = { { 0, 0 }, { 0, 0 } };
	struct sigaction a = { .sa_handler = on_alarm }; /* no SA_RESTART */
	struct record record = { 0 };
	struct answer answer = { &record, 1, sluice_continue() };
	struct sluice_handler h = answers(SYS_getpriority, &answer);

	(void)state;
	main_thread = pthread_self();
	sigaction(SIGALRM, &a, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	for (int i = 0; i < 10; i++)
		assert_int_equal(guest_run(NULL, &h, 1, "getpriority", "20").exit_code, 0);
	setitimer(ITIMER_REAL, &off, NULL);
	assert_true(n_alarms >= 5);
	assert_int_equal(wrong_thread, 0);
	assert_int_equal(record.calls, 200);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_is_as_it_was),
		cmocka_unit_test(test_its_own_children_are_still_its_own),
		cmocka_unit_test(test_sigchld_ignored),
		cmocka_unit_test(test_a_timer_every_millisecond),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
