/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of memory, processes and processors: each act is shown to work without its limit first, then to be held, whichever way it is done.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"

#define MIB (UINT64_C(1) << 20)
#define PROCESSES 6
#define MEMORY (64 * MIB * GUEST_SLOW)
#define TOO_MUCH (4 * MEMORY)
#define BUSY_MS 100
#define PERCENT 5

/* ---- processes, inside ---- */

static int __attribute__((noreturn)) sleeper(void *unused)
{
	(void)unused;
	for (;;)
		pause();
}

/* A child that sleeps until it is killed, made in the way that @how names; -1 and errno. */
static pid_t make_child(const char *how)
{
	static char stack[1 << 16];
	char *const argv[] = { "sleep", "1000", NULL };
	pid_t pid = -1;

	if (!strcmp(how, "fork"))
		pid = (pid_t)syscall(SYS_fork);
	else if (!strcmp(how, "clone"))
		return clone(sleeper, stack + sizeof(stack), CLONE_FS | SIGCHLD, NULL);
	else if (!strcmp(how, "libc"))
		pid = fork();
	else if ((errno = posix_spawn(&pid, "/bin/sleep", NULL, NULL, argv, environ)))
		return -1;
	if (pid == 0)
		sleeper(NULL);
	return pid;
}

/* How many children can be made, at most 50; again once all of these are gone. 200: not as many as before, 201: not EAGAIN. */
static int role_children(const char *how)
{
	pid_t pids[50];
	int n, first = -1;

	for (int round = 0; round < 2; round++) {
		for (n = 0; n < 50; n++) {
			pids[n] = make_child(how);
			if (pids[n] < 0 && errno != EAGAIN)
				return 201;
			if (pids[n] < 0)
				break;
		}
		for (int i = 0; i < n; i++) {
			kill(pids[i], SIGKILL);
			waitpid(pids[i], NULL, 0);
		}
		if (round == 0)
			first = n;
	}
	return n == first ? n : 200;
}

/* A child that has ended is there until somebody waits for it. */
static int role_zombies(const char *arg)
{
	int n = 0;

	(void)arg;
	for (; n < 50; n++) {
		pid_t pid = fork();
		siginfo_t info;

		if (pid < 0)
			break;
		if (pid == 0)
			_exit(0);
		waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
	}
	return n;
}

/* Forks as often as it may, and so do all of its children: how many of these there come to be. */
static int role_bomb(const char *arg)
{
	pid_t first = getpid();
	int ends[2], n = 0;
	char byte;

	(void)arg;
	if (pipe(ends) < 0)
		return 202;
	for (int i = 0; i < 5; i++) {
		if (fork() == 0 && write(ends[1], "", 1) != 1)
			_exit(1);
	}
	if (getpid() != first)
		sleeper(NULL);
	/* all have tried when nobody has come for a while */
	for (;;) {
		struct pollfd p = { .fd = ends[0], .events = POLLIN };

		if (poll(&p, 1, 300 * GUEST_SLOW) == 0)
			return n;
		n += (int)read(ends[0], &byte, 1);
	}
}

static void *idle_thread(void *barrier)
{
	pthread_barrier_wait(barrier);
	return NULL;
}

/* Threads are not processes: 0 when 20 of them can be there. */
static int role_threads(const char *arg)
{
	pthread_t threads[20];
	pthread_barrier_t all;

	(void)arg;
	pthread_barrier_init(&all, NULL, 21);
	for (int i = 0; i < 20; i++) {
		if (pthread_create(&threads[i], NULL, idle_thread, &all))
			return 1;
	}
	pthread_barrier_wait(&all);
	for (int i = 0; i < 20; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

/* A thousand children one after the other. */
static int role_many(const char *arg)
{
	for (int i = 0; i < 1000; i++) {
		pid_t pid = make_child(arg);

		if (pid < 0)
			return 1;
		kill(pid, SIGKILL);
		if (waitpid(pid, NULL, 0) != pid)
			return 2;
	}
	return 0;
}

/* ---- memory, inside ---- */

static void touch(char *at, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i += 4096)
		at[i] = 1;
}

static void *map(int flags, uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		_exit(100);
	return p;
}

static int fill_memfd(void)
{
	static char block[1 << 16];
	int fd = memfd_create("filled", MFD_CLOEXEC);

	for (uint64_t n = 0; n < TOO_MUCH; n += sizeof(block)) {
		if (write(fd, block, sizeof(block)) != sizeof(block))
			return 101;
	}
	return 0;
}

/* Several children that have a part each, none of which is too much. 0: all of them live on; 1: not all. */
static int share_among_children(void)
{
	int ready[8], lost = 0, status;
	pid_t pids[8];
	char byte;

	for (int i = 0; i < 8; i++) {
		int ends[2];

		if (pipe(ends) < 0)
			return 102;
		pids[i] = fork();
		if (pids[i] == 0) {
			touch(map(MAP_PRIVATE, TOO_MUCH / 8), TOO_MUCH / 8);
			if (write(ends[1], "", 1) != 1)
				_exit(103);
			sleeper(NULL);
		}
		close(ends[1]);
		ready[i] = ends[0];
	}
	/* each has all of its part, or was killed, which closes its end */
	for (int i = 0; i < 8; i++)
		lost += read(ready[i], &byte, 1) == 0;
	for (int i = 0; i < 8; i++)
		kill(pids[i], SIGTERM);
	for (int i = 0; i < 8; i++) {
		waitpid(pids[i], &status, 0);
		lost += WTERMSIG(status) == SIGKILL;
	}
	return lost > 0;
}

static int role_memory(const char *how)
{
	if (!strcmp(how, "private"))
		touch(map(MAP_PRIVATE, TOO_MUCH), TOO_MUCH);
	else if (!strcmp(how, "shared"))
		touch(map(MAP_SHARED, TOO_MUCH), TOO_MUCH);
	else if (!strcmp(how, "brk") && sbrk((intptr_t)TOO_MUCH) != (void *)-1)
		touch((char *)sbrk(0) - TOO_MUCH, TOO_MUCH);
	else if (!strcmp(how, "undumpable") && prctl(PR_SET_DUMPABLE, 0) == 0)
		touch(map(MAP_PRIVATE, TOO_MUCH), TOO_MUCH);
	else if (!strcmp(how, "memfd"))
		return fill_memfd();
	else if (!strcmp(how, "children"))
		return share_among_children();
	return 0;
}

/* A part of the limit (a sanitizer takes several times as much), then children that share it with their parent: the sum of what each of them maps is beyond. */
static int role_forked(const char *arg)
{
	struct timespec ts = { .tv_nsec = 300000000 };
	int status, bad = 0;

	(void)arg;
	touch(map(MAP_PRIVATE, MEMORY / 16), MEMORY / 16);
	for (int i = 0; i < 24; i++) {
		if (fork() == 0) {
			nanosleep(&ts, NULL);
			_exit(0);
		}
	}
	while (wait(&status) > 0)
		bad |= status;
	return bad != 0;
}

/* Reserving is not having. */
static int role_reserve(const char *arg)
{
	(void)arg;
	touch(map(MAP_PRIVATE | MAP_NORESERVE, 64 * TOO_MUCH), 4096);
	return 0;
}

/* ---- processors, inside ---- */

static long long cpu_ms(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void burn(long long ms)
{
	long long end = cpu_ms(CLOCK_PROCESS_CPUTIME_ID) + ms;

	while (cpu_ms(CLOCK_PROCESS_CPUTIME_ID) < end)
		continue;
}

/* BUSY_MS of work, done in the way that @how names. */
static bool work(const char *how)
{
	int ends[2];

	if (!strcmp(how, "one")) {
		burn(BUSY_MS);
		return true;
	}
	if (!strcmp(how, "children")) {
		for (int i = 0; i < 2; i++) {
			if (fork() == 0) {
				burn(BUSY_MS / 2);
				_exit(0);
			}
		}
		while (wait(NULL) > 0)
			continue;
		return true;
	}
	/* each lives for a moment, and nobody waits for it */
	signal(SIGCHLD, SIG_IGN);
	if (pipe(ends) < 0)
		return false;
	for (int i = 0; i < BUSY_MS / 5; i++) {
		char byte;
		pid_t pid = fork();

		if (pid == 0) {
			burn(5);
			_exit(write(ends[1], "", 1) != 1);
		}
		if (pid < 0 || read(ends[0], &byte, 1) != 1)
			return false;
	}
	return true;
}

static int hundredths_since(long long begin_ms)
{
	long long n = (guest_now_ms() - begin_ms) / 10;

	return n < 199 ? (int)n : 199;
}

/* The wall time that the work takes, in hundredths of a second. */
static int role_busy(const char *how)
{
	long long begin = guest_now_ms();

	return work(how) ? hundredths_since(begin) : 200;
}

/* And until a look has come that was late, too. */
static int role_busy_then_idle(const char *how)
{
	const struct timespec idle = { .tv_nsec = 400000000 };
	long long begin = guest_now_ms();

	if (!work(how))
		return 200;
	nanosleep(&idle, NULL);
	return hundredths_since(begin);
}

/* Does a parent that asks about stopped children hear of any? */
static int role_stops(const char *arg)
{
	int status = 0, stops = 0;
	pid_t pid = fork();

	(void)arg;
	if (pid == 0) {
		burn(BUSY_MS);
		_exit(0);
	}
	do {
		if (waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status))
			stops++;
	} while (!WIFEXITED(status) && !WIFSIGNALED(status));
	return stops;
}

/* Its own stop is its own: only who stopped it lets it go on. */
static int role_stays_stopped(const char *arg)
{
	pid_t pid = fork();
	int status;

	(void)arg;
	if (pid == 0) {
		raise(SIGSTOP);
		_exit(7);
	}
	waitpid(pid, &status, WUNTRACED);
	burn(BUSY_MS);
	if (waitpid(pid, &status, WNOHANG) != 0)
		return 1;
	kill(pid, SIGCONT);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 7 ? 0 : 2;
}

static int affinity(pid_t pid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(pid, sizeof(set), &set) < 0 ? errno : 0;
}

/* ARG: the one processor it has. The number of the first step that went otherwise than with a cpuset of that. */
static int role_cores(const char *arg)
{
	int own = atoi(arg), other = !own;
	cpu_set_t set;
	pid_t pid;

	if (sched_getaffinity(0, sizeof(set), &set) < 0 || CPU_COUNT(&set) != 1 ||
	    !CPU_ISSET(own, &set))
		return 1;
	if (affinity(0, other) != EINVAL)
		return 2;
	CPU_ZERO(&set);
	CPU_SET(own, &set);
	CPU_SET(other, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0 ||
	    sched_getaffinity(0, sizeof(set), &set) < 0 || CPU_COUNT(&set) != 1)
		return 3;
	pid = make_child("fork");
	if (affinity(pid, other) != EINVAL || affinity(pid, own) != 0)
		return 4;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (affinity(pid, own) != ESRCH)
		return 5;
	if (affinity(getppid(), own) != EPERM)
		return 6;
	return syscall(SYS_sched_setaffinity, 0, 8, 1) == -1 && errno == EFAULT ? 0 : 7;
}

static const struct guest_role roles[] = {
	{ "children", role_children }, { "zombies", role_zombies },
	{ "bomb", role_bomb },	       { "threads", role_threads },
	{ "many", role_many },	       { "memory", role_memory },
	{ "forked", role_forked },     { "reserve", role_reserve },
	{ "busy", role_busy },	       { "busy-then-idle", role_busy_then_idle },
	{ "stops", role_stops },       { "stays-stopped", role_stays_stopped },
	{ "cores", role_cores },       { NULL, NULL },
};

/* ---- outside ---- */

/* Exit code of @role; @p is consumed. */
static int inside(struct sluice_policy *p, const char *role, const char *arg)
{
	int r = guest_inside(p, role, arg);

	sluice_policy_unref(p);
	return r;
}

static int with_processes(uint64_t n, const char *role, const char *arg)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_set_max_processes(p, n, NULL), 0);
	return inside(p, role, arg);
}

static void test_children_are_counted_however_they_are_made(void **state)
{
	static const char *const ways[] = { "fork", "clone", "libc", "spawn" };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(guest_inside(NULL, "children", ways[i]), 50);
		assert_int_equal(with_processes(PROCESSES, "children", ways[i]), PROCESSES - 1);
	}
}

static void test_the_dead_count_until_they_are_waited_for(void **state)
{
	(void)state;
	assert_int_equal(guest_inside(NULL, "zombies", ""), 50);
	assert_int_equal(with_processes(PROCESSES, "zombies", ""), PROCESSES - 1);
}

static void test_a_fork_bomb_ends_at_the_limit(void **state)
{
	(void)state;
	assert_int_equal(with_processes(PROCESSES, "bomb", ""), PROCESSES - 1);
}

static void test_threads_are_not_processes(void **state)
{
	(void)state;
	assert_int_equal(with_processes(1, "threads", ""), 0);
	assert_int_equal(with_processes(1, "children", "fork"), 0);
}

static void test_children_that_were_waited_for_are_gone(void **state)
{
	(void)state;
	assert_int_equal(with_processes(2, "many", "fork"), 0);
	assert_int_equal(with_processes(2, "many", "spawn"), 0);
}

static struct sluice_result run_with_memory(const char *role, const char *arg)
{
	struct sluice_policy *p = guest_policy();
	struct sluice_result r;

	assert_int_equal(sluice_policy_set_max_memory(p, MEMORY, NULL), 0);
	assert_int_equal(sluice_policy_allow_syscall(p, "prctl", NULL), 0); /* "undumpable" is */
	r = guest_run(p, NULL, 0, role, arg);
	sluice_policy_unref(p);
	return r;
}

static void test_memory_is_bounded_however_it_is_had(void **state)
{
	static const char *const ways[] = { "private", "shared", "brk", "memfd", "undumpable" };

	(void)state;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct sluice_result r;

		assert_int_equal(guest_inside(NULL, "memory", ways[i]), 0);
		r = run_with_memory("memory", ways[i]);
		if (r.end != SLUICE_ENDED_SIGNAL || r.signal != SIGKILL || r.memory_kills != 1)
			fail_msg("%s: end %u, exit %d, %llu killed", ways[i], r.end, r.exit_code,
				 (unsigned long long)r.memory_kills);
		assert_true(r.memory_peak >= MEMORY);
	}
}

static void test_memory_of_several_is_added_up(void **state)
{
	struct sluice_result r;

	(void)state;
	assert_int_equal(guest_inside(NULL, "memory", "children"), 0);
	r = run_with_memory("memory", "children");
	assert_int_equal(r.end, SLUICE_ENDED_EXIT);
	assert_int_equal(r.exit_code, 1); /* some were killed, and the others lived on */
	assert_in_range(r.memory_kills, 1, 7);
}

static void test_memory_that_is_shared_counts_once(void **state)
{
	struct sluice_result r;

	(void)state;
	r = run_with_memory("forked", "");
	assert_int_equal(r.exit_code, 0);
	assert_int_equal(r.memory_kills, 0);
	assert_true(r.memory_peak >= MEMORY / 16);
	r = run_with_memory("reserve", "");
	assert_int_equal(r.exit_code, 0);
}

/* What @role says of BUSY_MS of work. */
static int busy(unsigned percent, const char *role, const char *how, uint64_t *ret_stopped_us)
{
	struct sluice_policy *p = guest_policy();
	struct sluice_result r;

	assert_int_equal(sluice_policy_set_cpu_percent(p, percent, NULL), 0);
	r = guest_run(p, NULL, 0, role, how);
	sluice_policy_unref(p);
	assert_int_equal(r.end, SLUICE_ENDED_EXIT);
	*ret_stopped_us = r.stopped_us;
	return r.exit_code;
}

/* In hundredths of a second: two seconds, less what it may have at once and what a look may miss. */
static const struct busy_way {
	const char *name;
	int least, least_in_all;
} busy_ways[] = {
	{ "one", 140, 170 },
	{ "children", 140, 170 },
	/* nobody hears what those used who live for moments, but for what was seen of them */
	{ "moments", 80, 80 },
};

static void test_processor_time_is_bounded_however_it_is_used(void **state)
{
	uint64_t stopped;

	(void)state;
	for (size_t i = 0; i < N_OF(busy_ways); i++) {
		const struct busy_way *way = &busy_ways[i];
		int time;

		busy(100 * CPU_SETSIZE, "busy", way->name, &stopped);
		assert_int_equal(stopped, 0);
		time = busy(PERCENT, "busy-then-idle", way->name, &stopped);
		if (time < way->least_in_all)
			fail_msg("%s: %d hundredths in all", way->name, time);
		assert_true(stopped > 0);
	}
}

/*
 * Who works is held itself, and not only whoever is left. Where the supervisor does not get a processor for some hundredths of a second all the work may be done by then, so one of several has to do.
 */
static void test_who_works_is_held(void **state)
{
	uint64_t stopped;

	(void)state;
	for (size_t i = 0; i < N_OF(busy_ways); i++) {
		const struct busy_way *way = &busy_ways[i];
		int time = 0;

		for (int n = 0; n < 5 && time < way->least; n++) {
			time = busy(PERCENT, "busy", way->name, &stopped);
			if (time < way->least)
				print_message("%s: %d hundredths\n", way->name, time);
		}
		assert_true(time >= way->least);
		assert_true(stopped > 0);
	}
}

static int inside_with_cpu(const char *role)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_set_cpu_percent(p, PERCENT, NULL), 0);
	return inside(p, role, "");
}

static void test_stops_for_the_limit_are_not_seen(void **state)
{
	(void)state;
	assert_int_equal(inside_with_cpu("stops"), 0);
	assert_int_equal(inside_with_cpu("stays-stopped"), 0);
}

/* The command itself is stopped, which is no news for whoever asked to be told. */
static void test_stops_for_the_limit_are_not_told(void **state)
{
	struct sluice_policy *p = guest_policy();
	struct sluice_spawn_options o = { .size = sizeof(o), .stops = 1 };
	struct sluice_sandbox *s;
	struct sluice_result r;
	int ends[2];
	char byte;

	(void)state;
	assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
	o.stop_fd = ends[1];
	assert_int_equal(sluice_policy_set_cpu_percent(p, PERCENT, NULL), 0);
	s = guest_spawn(p, &o, "busy", "one");
	sluice_policy_unref(p);
	assert_int_equal(sluice_sandbox_wait(s, 20000, &r), 0);
	assert_true(r.stopped_us > 0);
	assert_int_equal(read(ends[0], &byte, 1), -1);
	assert_int_equal(errno, EAGAIN);
	sluice_sandbox_free(s);
	close(ends[0]);
	close(ends[1]);
}

/* A sandbox that is being held can be killed at once. */
static void test_a_held_sandbox_can_be_killed(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		struct sluice_policy *p = guest_policy();
		struct sluice_sandbox *s;
		struct sluice_result r;
		long long begin;

		assert_int_equal(sluice_policy_set_cpu_percent(p, 1, NULL), 0);
		s = guest_spawn(p, NULL, "busy", "children");
		sluice_policy_unref(p);
		usleep(20000 + 7000 * (unsigned)i);
		begin = guest_now_ms();
		assert_int_equal(sluice_sandbox_kill(s, SIGKILL), 0);
		assert_int_equal(sluice_sandbox_wait(s, 20000, &r), 0);
		assert_int_equal(r.end, SLUICE_ENDED_KILLED);
		assert_true(guest_now_ms() - begin < 2000 * GUEST_SLOW);
		sluice_sandbox_free(s);
	}
}

static void test_affinity_stays_within_the_cores(void **state)
{
	cpu_set_t set;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
	for (int i = 0; i < 2; i++) {
		struct sluice_policy *p = guest_policy();
		char list[8];

		if (!CPU_ISSET(i, &set) || CPU_COUNT(&set) < 2) {
			print_message("processors 0 and 1 are needed\n");
			skip();
		}
		snprintf(list, sizeof(list), "%d", i);
		assert_int_equal(sluice_policy_set_cpu_cores(p, list, NULL), 0);
		assert_int_equal(inside(p, "cores", list), 0);
	}
}

static void test_cores_that_are_not_there(void **state)
{
	const char *const argv[] = { guest_program(), "--inside", "threads", "", NULL };
	struct sluice_policy *p = guest_policy();
	struct sluice_error err = { 0 };

	(void)state;
	assert_int_equal(sluice_policy_set_cpu_cores(p, "1000-1023", NULL), 0);
	assert_int_equal(sluice_run(p, argv, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.text, "processors"));
	assert_non_null(strstr(err.hint, "--cpu-cores"));
	sluice_policy_unref(p);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_children_are_counted_however_they_are_made),
		cmocka_unit_test(test_the_dead_count_until_they_are_waited_for),
		cmocka_unit_test(test_a_fork_bomb_ends_at_the_limit),
		cmocka_unit_test(test_threads_are_not_processes),
		cmocka_unit_test(test_children_that_were_waited_for_are_gone),
		cmocka_unit_test(test_memory_is_bounded_however_it_is_had),
		cmocka_unit_test(test_memory_of_several_is_added_up),
		cmocka_unit_test(test_memory_that_is_shared_counts_once),
		cmocka_unit_test(test_processor_time_is_bounded_however_it_is_used),
		cmocka_unit_test(test_who_works_is_held),
		cmocka_unit_test(test_stops_for_the_limit_are_not_seen),
		cmocka_unit_test(test_stops_for_the_limit_are_not_told),
		cmocka_unit_test(test_a_held_sandbox_can_be_killed),
		cmocka_unit_test(test_affinity_stays_within_the_cores),
		cmocka_unit_test(test_cores_that_are_not_there),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
