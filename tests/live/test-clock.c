/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A time of day of the command's own: every way to ask for it agrees with every other, and waits until it take as long as they should, whether it lies before the host's or behind. Each role passes bare,
 * too, with the host's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"

#define NS_PER_S 1000000000LL
#define MS 1000000LL
#define COARSE_NS (500 * MS) /* a tick, and what a machine may be late with it */
#define RUN_S 300	     /* no test takes longer */

static const int64_t starts[] = { 0, 1000000000, 4000000000 };

/* ---- inside: reading ---- */

static long long ns_of(struct timespec ts)
{
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static long long wall(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ns_of(ts);
}

static long long read_clock(void *id)
{
	struct timespec ts;

	return clock_gettime((clockid_t)(intptr_t)id, &ts) ? -1 : ns_of(ts);
}

static long long read_clock_by_call(void *id)
{
	struct timespec ts;

	return syscall(SYS_clock_gettime, (clockid_t)(intptr_t)id, &ts) ? -1 : ns_of(ts);
}

static long long read_timeofday(void *zone)
{
	struct timezone tz;
	struct timeval tv;

	return gettimeofday(&tv, zone ? &tz : NULL) ? -1
						    : tv.tv_sec * NS_PER_S + tv.tv_usec * 1000LL;
}

static long long read_timeofday_by_call(void *unused)
{
	struct timeval tv;

	(void)unused;
	return syscall(SYS_gettimeofday, &tv, NULL) ? -1
						    : tv.tv_sec * NS_PER_S + tv.tv_usec * 1000LL;
}

static long long read_time(void *unused)
{
	time_t t = 0, same = time(&t);

	(void)unused;
	return t == same && time(NULL) >= t ? t * NS_PER_S : -1;
}

#ifdef SYS_time
static long long read_time_by_call(void *unused)
{
	time_t t = 0, same = syscall(SYS_time, &t);

	(void)unused;
	return t == same && syscall(SYS_time, NULL) >= t ? t * NS_PER_S : -1;
}
#endif

static long long read_adjtimex(void *unused)
{
	struct timex t = { .modes = 0 };

	(void)unused;
	if (adjtimex(&t) < 0)
		return -1;
	return t.time.tv_sec * NS_PER_S + t.time.tv_usec * (t.status & STA_NANO ? 1 : 1000LL);
}

static long long read_clock_adjtime(void *unused)
{
	struct timex t = { .modes = 0 };

	(void)unused;
	if (clock_adjtime(CLOCK_REALTIME, &t) < 0)
		return -1;
	return t.time.tv_sec * NS_PER_S + t.time.tv_usec * (t.status & STA_NANO ? 1 : 1000LL);
}

static const struct way {
	long long (*read)(void *arg);
	intptr_t arg;
	long long coarse; /* so much may it lag behind */
} ways[] = {
	{ read_clock, CLOCK_REALTIME, 0 },
	{ read_clock, CLOCK_REALTIME_COARSE, COARSE_NS },
	{ read_clock_by_call, CLOCK_REALTIME, 0 },
	{ read_clock_by_call, CLOCK_REALTIME_COARSE, COARSE_NS },
	{ read_timeofday, 0, 1000 },
	{ read_timeofday, 1, 1000 },
	{ read_timeofday_by_call, 0, 1000 },
	{ read_time, 0, NS_PER_S + COARSE_NS },
#ifdef SYS_time
	{ read_time_by_call, 0, NS_PER_S + COARSE_NS },
#endif
	{ read_adjtimex, 0, 1000 },
	{ read_clock_adjtime, 0, 1000 },
};

/* Each way, between two looks at the clock. ARG: what it began with. */
static int role_read(const char *arg)
{
	long long begin = strtoll(arg, NULL, 10) * NS_PER_S, tai;
	struct timex t = { .modes = 0 };

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		long long before = wall(), at = ways[i].read((void *)ways[i].arg), after = wall();

		if (before < begin || after > begin + RUN_S * NS_PER_S)
			return 100;
		if (at < before - ways[i].coarse || at > after)
			return 10 + (int)i;
	}
	if (adjtimex(&t) < 0)
		return 1;
	for (int by_call = 0; by_call < 2; by_call++) {
		long long before = wall() + t.tai * NS_PER_S;

		tai = by_call ? read_clock_by_call((void *)CLOCK_TAI)
			      : read_clock((void *)CLOCK_TAI);
		if (tai < before || tai > wall() + t.tai * NS_PER_S)
			return 2 + by_call;
	}
	return 0;
}

/* It goes on at the pace of CLOCK_MONOTONIC, in threads, children and programs that they execute. */
static void *read_in_thread(void *arg)
{
	return (void *)(intptr_t)role_read(arg);
}

/* Time of day - CLOCK_MONOTONIC, to a millisecond. */
static long long distance(void)
{
	long long before, at, after;

	do {
		before = read_clock((void *)CLOCK_MONOTONIC);
		at = wall();
		after = read_clock((void *)CLOCK_MONOTONIC);
	} while (after - before > MS);
	return at - before;
}

static int role_everywhere(const char *arg)
{
	long long at_first = distance();
	pthread_t thread;
	void *result;
	int status;

	if (pthread_create(&thread, NULL, read_in_thread, (void *)(uintptr_t)arg) ||
	    pthread_join(thread, &result) || result)
		return 1;
	for (int i = 0; i < 2; i++) {
		pid_t child = i ? fork() : vfork();

		if (child == 0 && i)
			_exit(role_read(arg));
		if (child == 0) {
			execl(guest_program(), guest_program(), "--inside", "read", arg, NULL);
			_exit(99);
		}
		if (waitpid(child, &status, 0) != child || status)
			return 2 + i;
	}
	return llabs(distance() - at_first) < 3 * MS ? 0 : 4;
}

/* ---- inside: waits ---- */

static struct timespec in_ms(clockid_t id, long long ms)
{
	struct timespec ts;
	long long ns;

	clock_gettime(id, &ts);
	ns = ns_of(ts) + ms * MS;
	return (struct timespec){ ns / NS_PER_S, ns % NS_PER_S };
}

static void set_flag(int signal)
{
	(void)signal;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static sem_t semaphore;
static bool told;

static int wait_asleep(const struct timespec *until)
{
	return clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, until, NULL);
}

static int wait_tai(const struct timespec *until)
{
	struct timespec tai = in_ms(CLOCK_TAI, 0), real = in_ms(CLOCK_REALTIME, 0);

	tai.tv_sec = until->tv_sec + (tai.tv_sec - real.tv_sec + (tai.tv_nsec < real.tv_nsec));
	tai.tv_nsec = until->tv_nsec;
	return clock_nanosleep(CLOCK_TAI, TIMER_ABSTIME, &tai, NULL);
}

static int wait_semaphore(const struct timespec *until)
{
	return sem_timedwait(&semaphore, until) ? errno == ETIMEDOUT ? 0 : errno : -1;
}

static int wait_cond(const struct timespec *until)
{
	int r = 0;

	pthread_mutex_lock(&mutex);
	while (r == 0 && !told)
		r = pthread_cond_timedwait(&cond, &mutex, until);
	pthread_mutex_unlock(&mutex);
	return r == ETIMEDOUT ? 0 : -1;
}

static int wait_mutex(const struct timespec *until)
{
	int r;

	pthread_mutex_lock(&mutex);
	r = pthread_mutex_timedlock(&mutex, until);
	pthread_mutex_unlock(&mutex);
	return r == ETIMEDOUT ? 0 : r;
}

static int wait_timerfd(const struct timespec *until)
{
	struct itimerspec set = { .it_value = *until }, left;
	int fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC);
	uint64_t n = 0;

	if (timerfd_settime(fd, TFD_TIMER_ABSTIME, &set, NULL) || timerfd_gettime(fd, &left) ||
	    left.it_value.tv_sec > 1)
		return 1;
	if (read(fd, &n, sizeof(n)) != sizeof(n) || n != 1)
		return 2;
	/* what was set is told to who sets anew, and nothing is no time */
	set = (struct itimerspec){ .it_value = in_ms(CLOCK_REALTIME, 5000) };
	if (timerfd_settime(fd, TFD_TIMER_ABSTIME, &set, NULL))
		return 3;
	set = (struct itimerspec){ .it_value = { 0 } };
	if (timerfd_settime(fd, TFD_TIMER_ABSTIME, &set, &left) || !left.it_value.tv_sec ||
	    left.it_value.tv_sec > 4)
		return 4;
	set.it_value.tv_nsec = NS_PER_S;
	if (timerfd_settime(fd, TFD_TIMER_ABSTIME, &set, NULL) != -1 || errno != EINVAL)
		return 5;
	return timerfd_gettime(fd, &left) || left.it_value.tv_sec || left.it_value.tv_nsec
		       ? 6
		       : close(fd);
}

typedef int (*wait_fn)(const struct timespec *until);

static const wait_fn waits[] = { wait_asleep, wait_tai, wait_semaphore, wait_cond, wait_mutex };

/* It ends when it should: not before, and not long after; one until a time that has been at once. */
static int is_as_long(wait_fn wait)
{
	static const int lengths_ms[] = { 60, -60 };

	for (int k = 0; k < 2; k++) {
		struct timespec until = in_ms(CLOCK_REALTIME, lengths_ms[k]);
		long long began = guest_now_us(), took;

		if (wait(&until))
			return 1 + k;
		took = guest_now_us() - began;
		if (took < 1000LL * lengths_ms[k] - 1000 || took > 5000000LL * GUEST_SLOW)
			return 3 + k;
	}
	return 0;
}

static int role_waits(const char *unused)
{
	(void)unused;
	sem_init(&semaphore, 0, 0);
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		int r = is_as_long(waits[i]);

		if (r)
			return 10 + 10 * (int)i + r;
	}
	return 0;
}

/* What setting one to a time of day fails with. */
static int role_timerfd_set(const char *unused)
{
	const struct itimerspec set = { .it_value.tv_sec = 1 };
	int fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC);

	(void)unused;
	return timerfd_settime(fd, TFD_TIMER_ABSTIME, &set, NULL) < 0 ? errno : 0;
}

static int role_timerfd(const char *unused)
{
	struct itimerspec set = { .it_value = in_ms(CLOCK_REALTIME, 60000) };

	(void)unused;
	if (timerfd_settime(77, TFD_TIMER_ABSTIME, &set, NULL) != -1 || errno != EBADF)
		return 10;
	if (timerfd_settime(0, TFD_TIMER_ABSTIME, &set, NULL) != -1 || errno != EINVAL)
		return 11;
	return is_as_long(wait_timerfd);
}

static void *wake_all(void *unused)
{
	const struct timespec pause = { .tv_nsec = 100 * MS };

	nanosleep(&pause, NULL);
	pthread_mutex_lock(&mutex);
	told = true;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&mutex);
	nanosleep(&pause, NULL);
	sem_post(&semaphore);
	return unused;
}

/* Who is woken, or gets a signal, does not wait until the end. */
static int role_woken(const char *unused)
{
	const struct sigaction action = { .sa_handler = set_flag };
	const struct itimerval alarm = { .it_value = { 0, 80000 } };
	struct timespec until = in_ms(CLOCK_REALTIME, 60000);
	long long began = guest_now_ms();
	pthread_t thread;

	(void)unused;
	sem_init(&semaphore, 0, 0);
	if (pthread_create(&thread, NULL, wake_all, NULL))
		return 1;
	if (wait_cond(&until) != -1)
		return 2;
	if (wait_semaphore(&until) != -1)
		return 3;
	if (pthread_timedjoin_np(thread, NULL, &until))
		return 4;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &alarm, NULL);
	if (wait_semaphore(&until) != EINTR)
		return 5;
	setitimer(ITIMER_REAL, &alarm, NULL);
	if (wait_asleep(&until) != EINTR)
		return 6;
	return guest_now_ms() - began < 30000 ? 0 : 7;
}

/* Errors of calls that wait are the kernel's. */
static int role_errors(const char *unused)
{
	const int op = FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME;
	struct timespec good = in_ms(CLOCK_REALTIME, 60000), bad = { 1, NS_PER_S };
	const struct {
		long nr;
		unsigned long args[6];
		int error;
	} cases[] = {
		{ SYS_futex, { 0, op, 1, (unsigned long)&good, 0, 1 }, EAGAIN },
		{ SYS_futex, { 0, op, 0, (unsigned long)&good, 0, 0 }, EINVAL },
		{ SYS_futex, { 0, op, 0, (unsigned long)&bad, 0, 1 }, EINVAL },
		{ SYS_futex, { 0, op, 0, 1, 0, 1 }, EFAULT },
		{ SYS_futex, { 64, op, 0, (unsigned long)&good, 0, 1 }, EFAULT },
		{ SYS_clock_nanosleep,
		  { CLOCK_REALTIME, TIMER_ABSTIME, (unsigned long)&bad },
		  EINVAL },
		{ SYS_clock_nanosleep, { CLOCK_REALTIME, TIMER_ABSTIME, 1 }, EFAULT },
		{ SYS_clock_gettime, { CLOCK_REALTIME, 1 }, EFAULT },
		{ SYS_clock_gettime, { 15, 1 }, EINVAL },
		{ SYS_gettimeofday, { 1, 0 }, EFAULT },
		{ SYS_adjtimex, { 1 }, EFAULT },
	};
	uint32_t word = 0;

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const unsigned long *a = cases[i].args;
		unsigned long first =
			cases[i].nr == SYS_futex && !a[0] ? (unsigned long)&word : a[0];

		if (syscall(cases[i].nr, first, a[1], a[2], a[3], a[4], a[5]) != -1 ||
		    errno != cases[i].error)
			return 1 + (int)i;
	}
	return 0;
}

/* ---- inside: what there is not; the first that is there all the same ---- */

static int role_absent(const char *unused)
{
	struct itimerspec set = { .it_value = in_ms(CLOCK_REALTIME, 60000) };
	struct timespec until = set.it_value;
	struct timex t = { .modes = ADJ_TICK, .tick = 10000 };
	uint32_t word = 1;
	timer_t timer;

	(void)unused;
	if (timer_create(CLOCK_REALTIME, &(struct sigevent){ .sigev_notify = SIGEV_NONE }, &timer))
		return 1;
	if (timer_settime(timer, TIMER_ABSTIME, &set, NULL) != -1 || errno != EOPNOTSUPP)
		return 2;
	set.it_value = (struct timespec){ 60, 0 };
	if (timer_settime(timer, 0, &set, NULL))
		return 3;
	if (timer_create(CLOCK_MONOTONIC, &(struct sigevent){ .sigev_notify = SIGEV_NONE }, &timer))
		return 4;
	set.it_value = in_ms(CLOCK_MONOTONIC, 60000);
	if (timer_settime(timer, TIMER_ABSTIME, &set, NULL))
		return 5;
	if (syscall(SYS_futex, &word, FUTEX_LOCK_PI, 0, &until, NULL, 0) != -1 || errno != EINVAL)
		return 6;
	if (adjtimex(&t) != -1 || errno != EPERM)
		return 7;
	if (syscall(SYS_mq_timedsend, -1, "", 0, 0, &until) != -1 || errno != ENOSYS)
		return 8;
	return syscall(SYS_mq_timedsend, -1, "", 0, 0, NULL) == -1 && errno == EBADF ? 0 : 9;
}

/* When the machine was started, as /proc says it, is when it says that it was. */
static int role_started(const char *unused)
{
	FILE *in = fopen("/proc/stat", "re");
	long long boot = -1, expected;
	char line[4096];

	(void)unused;
	while (in && boot == -1 && fgets(line, sizeof(line), in))
		sscanf(line, "btime %lld", &boot);
	if (!in || fclose(in))
		return 1;
	expected = (wall() - read_clock((void *)CLOCK_BOOTTIME)) / NS_PER_S;
	return llabs(boot - expected) <= 1 ? 0 : 2;
}

static const struct guest_role roles[] = {
	{ "read", role_read },
	{ "everywhere", role_everywhere },
	{ "waits", role_waits },
	{ "timerfd", role_timerfd },
	{ "timerfd_set", role_timerfd_set },
	{ "woken", role_woken },
	{ "errors", role_errors },
	{ "absent", role_absent },
	{ "started", role_started },
	{ NULL, NULL },
};

/* ---- outside ---- */

static struct sluice_policy *policy_of(int64_t start, bool tree)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_set_time_start(p, &start, NULL), 0);
	if (tree)
		assert_int_equal(sluice_policy_set_chroot(p, ROOT_BY_ANOTHER_NAME, NULL), 0);
	return p;
}

static const char *text_of(int64_t seconds, char buf[32])
{
	snprintf(buf, 32, "%lld", (long long)seconds);
	return buf;
}

static int inside(int64_t start, bool tree, const char *role, const char *arg)
{
	struct sluice_policy *p = policy_of(start, tree);
	int r = guest_inside(p, role, arg);

	sluice_policy_unref(p);
	return r;
}

static void run_with_each_start(const char *role)
{
	char now[32], start[32];

	assert_int_equal(guest_bare(role, text_of(time(NULL) - 1, now)), 0);
	for (int i = 0; i < 6; i++) {
		int r = inside(starts[i / 2], i % 2, role, text_of(starts[i / 2], start));

		if (r)
			fail_msg("%s from %s on, tree %d: %d", role, start, i % 2, r);
	}
}

static void test_all_ways_to_read_agree(void **state)
{
	(void)state;
	run_with_each_start("read");
}

static void test_threads_children_and_programs(void **state)
{
	(void)state;
	run_with_each_start("everywhere");
}

static void test_waits_are_as_long_as_they_should(void **state)
{
	(void)state;
	run_with_each_start("waits");
}

/* It is set on the task's own descriptor. */
static void test_timer_descriptors(void **state)
{
	(void)state;
	if (guest_descriptors_can_be_got()) {
		run_with_each_start("timerfd");
		return;
	}
	assert_int_equal(guest_bare("timerfd_set", ""), 0);
	assert_int_equal(inside(1000000000, false, "timerfd_set", ""), EACCES);
}

static void test_waits_end_before_when_they_should(void **state)
{
	(void)state;
	run_with_each_start("woken");
}

static void test_errors_are_the_kernels(void **state)
{
	(void)state;
	run_with_each_start("errors");
}

static void test_what_is_refused(void **state)
{
	(void)state;
	assert_int_equal(guest_bare("absent", ""), 2); /* such a timer can be set */
	assert_int_equal(inside(1000000000, false, "absent", ""), 0);
}

static void test_proc_says_when_the_machine_was_started(void **state)
{
	struct sluice_policy *p = policy_of(1000000000, false);

	(void)state;
	assert_int_equal(guest_bare("started", ""), 0);
	assert_int_equal(sluice_policy_set_proc(p, SLUICE_PROC_OWN), 0);
	assert_int_equal(guest_inside(p, "started", ""), 0);
	sluice_policy_unref(p);
}

static void test_times_that_are_none(void **state)
{
	static const int64_t bad[] = { -1, INT64_MIN, INT64_MAX, SLUICE_TIME_START_MAX + 1 };
	const int64_t last = SLUICE_TIME_START_MAX;
	struct sluice_policy *p = policy_of(7, false);
	struct sluice_error err = { 0 };
	char now[32];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(sluice_policy_set_time_start(p, &bad[i], &err), -ERANGE);
	assert_int_equal(sluice_policy_set_time_start(p, &last, &err), 0);
	/* and off again */
	assert_int_equal(sluice_policy_set_time_start(p, NULL, &err), 0);
	assert_int_equal(guest_inside(p, "read", text_of(time(NULL) - 1, now)), 0);
	sluice_policy_unref(p);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_ways_to_read_agree),
		cmocka_unit_test(test_threads_children_and_programs),
		cmocka_unit_test(test_waits_are_as_long_as_they_should),
		cmocka_unit_test(test_timer_descriptors),
		cmocka_unit_test(test_waits_end_before_when_they_should),
		cmocka_unit_test(test_errors_are_the_kernels),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_proc_says_when_the_machine_was_started),
		cmocka_unit_test(test_times_that_are_none),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
