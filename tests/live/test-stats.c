/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The statistics of a sandbox: every key that sandbox.h documents and no other, of the right type, with figures that follow from what the guest did.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

#include "recorder.h"

/* Five calls of getpriority and one of uname. */
static int role_calls(const char *arg)
{
	struct utsname u;

	role_getpriority("5");
	return arg && uname(&u) < 0;
}

/* Run @role to its end and take the statistics. */
static json_t *stats_of(const struct sluice_handler *h, size_t n, uint32_t histograms,
			const char *role, const char *arg)
{
	struct sluice_spawn_options o = {
		.size = sizeof(o), .extras = h, .n_extras = n, .stats = histograms
	};
	struct sluice_policy *p = guest_policy();
	struct sluice_sandbox *s;
	json_t *all;
	char *text;

	assert_int_equal(sluice_policy_set_name(p, "counted", NULL), 0);
	s = guest_spawn(p, &o, role, arg);
	assert_int_equal(sluice_sandbox_wait(s, 60000, NULL), 0);
	text = sluice_sandbox_stats_json(s);
	assert_non_null(text);
	all = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(all);
	free(text);
	sluice_sandbox_free(s);
	sluice_policy_unref(p);
	return all;
}

/* @keys: "NAME:T ...", T the first letter of integer, real, string, boolean or array. */
static void check_keys(const json_t *object, const char *keys)
{
	size_t n = 0;

	for (const char *at = keys; *at; n++) {
		const char *colon = strchr(at, ':');
		char name[32];
		const json_t *v;

		snprintf(name, sizeof(name), "%.*s", (int)(colon - at), at);
		v = json_object_get(object, name);
		if (!(colon[1] == 'i'	? json_is_integer(v)
		      : colon[1] == 'r' ? json_is_real(v)
		      : colon[1] == 's' ? json_is_string(v)
		      : colon[1] == 'b' ? json_is_boolean(v)
					: json_is_array(v)))
			fail_msg("%s is not there, or of another type", name);
		at = colon + 2 + (colon[2] == ' ');
	}
	assert_int_equal(json_object_size(object), n);
}

static json_int_t integer(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static double real(const json_t *o, const char *key)
{
	return json_real_value(json_object_get(o, key));
}

/* The element of list @list whose @key is @value. */
static json_t *find(const json_t *all, const char *list, const char *key, const char *value)
{
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(all, list), i, one) {
		if (!strcmp(json_string_value(json_object_get(one, key)), value))
			return one;
	}
	fail_msg("%s: no %s", list, value);
	return NULL;
}

static void check_call(const json_t *c)
{
	double p50 = real(c, "p50_us"), p99 = real(c, "p99_us"), max = real(c, "max_us");

	check_keys(
		c,
		"nr:i name:s count:i errno:i dropped:i supervised_us:r p50_us:r p99_us:r max_us:r");
	assert_string_equal(json_string_value(json_object_get(c, "name")),
			    sluice_syscall_name((int)integer(c, "nr")));
	assert_true(p50 <= p99 && p99 <= max);
	assert_true((p50 > 0) == (integer(c, "count") > 0));
	assert_true(max <= real(c, "supervised_us") + 0.001);
	assert_true(real(c, "supervised_us") <= (double)integer(c, "count") * max + 0.001);
}

static void check_handler(const json_t *h)
{
	check_keys(h, "name:s nr:i builtin:b observer:b calls:i mean_us:r max_us:r late:i slow:b");
	assert_true(real(h, "mean_us") <= real(h, "max_us"));
}

static void test_every_key(void **state)
{
	struct record record = { 0 };
	struct answer go_on = { &record, 1, sluice_continue() },
		      no = { &record, 2, sluice_errno(EDOM) },
		      ear = { &record, 3, sluice_continue() };
	struct sluice_handler h[] = {
		sluice_handler_make("first", SYS_getpriority, answer_handle, &go_on),
		sluice_handler_make(NULL, SYS_getpriority, answer_handle, &no),
		sluice_handler_make("ear", SYS_getpriority, answer_handle, &ear)
	};
	json_int_t count = 0, failed = 0;
	json_t *all, *one;
	size_t i;

	(void)state;
	h[2].flags = SLUICE_OBSERVER;
	all = stats_of(h, N_OF(h), 1, "calls", "");
	check_keys(
		all,
		"name:s notifications:i denied:i dropped:i workers:i takeovers:i demoted:a calls:a handlers:a processes:a");
	assert_string_equal(json_string_value(json_object_get(all, "name")), "counted");
	json_array_foreach(json_object_get(all, "calls"), i, one) {
		check_call(one);
		count += integer(one, "count");
		failed += integer(one, "errno");
	}
	assert_int_equal(count, integer(all, "notifications"));
	assert_int_equal(failed, integer(all, "denied"));
	json_array_foreach(json_object_get(all, "handlers"), i, one)
		check_handler(one);
	assert_true(i >= 4);
	one = find(all, "calls", "name", "getpriority");
	assert_int_equal(integer(one, "count"), 5);
	assert_int_equal(integer(one, "errno"), 5);
	assert_int_equal(integer(find(all, "calls", "name", "uname"), "count"), 1);
	assert_int_equal(integer(find(all, "handlers", "name", "first"), "calls"), 5);
	assert_int_equal(integer(find(all, "handlers", "name", "extra-2"), "calls"), 5);
	assert_true(
		json_is_true(json_object_get(find(all, "handlers", "name", "ear"), "observer")));
	assert_true(
		json_is_true(json_object_get(find(all, "handlers", "name", "uname"), "builtin")));
	json_decref(all);
}

static void test_percentiles_are_kept_when_asked_for(void **state)
{
	struct record record = { 0 };
	struct answer go_on = { &record, 1, sluice_continue() };
	struct sluice_handler h = answers(SYS_getpriority, &go_on);
	json_t *all = stats_of(&h, 1, 0, "calls", "");
	const json_t *c = find(all, "calls", "name", "getpriority");

	(void)state;
	assert_int_equal(integer(c, "count"), 5);
	assert_true(real(c, "supervised_us") > 0);
	assert_true(real(c, "p50_us") == 0 && real(c, "max_us") == 0);
	json_decref(all);
}

/* Names are bytes: those that are not UTF-8 are shown, and cost nothing else. */
static void test_names(void **state)
{
	static const struct {
		const char *name, *shown;
	} cases[] = {
		{ "\xff\"\x80", "\\xff\\\"\\x80" },
		{ "quote \" and \\", "quote \" and \\" },
		{ "na\xc3\xafve", "na\xc3\xafve" },
		{ "line\nend", "line\nend" },
		{ "", "" },
	};
	struct record record = { 0 };
	struct answer go_on = { &record, 1, sluice_continue() };
	struct sluice_handler h[N_OF(cases)];
	json_t *all;

	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++)
		h[i] = sluice_handler_make(cases[i].name, SYS_getpriority, answer_handle, &go_on);
	all = stats_of(h, N_OF(cases), 1, "getpriority", "");
	for (size_t i = 0; i < N_OF(cases); i++)
		assert_int_equal(integer(find(all, "handlers", "name", cases[i].shown), "calls"),
				 1);
	json_decref(all);
}

static struct sluice_verdict sleep_handle(struct sluice_request *req, void *userdata)
{
	const struct timespec ts = { 0, *(long *)userdata };

	(void)req;
	nanosleep(&ts, NULL);
	return sluice_continue();
}

/* A time that is known beforehand is found again. */
static void test_times(void **state)
{
	long sleep_ns = 3000000;
	struct sluice_handler h =
		sluice_handler_make("sleepy", SYS_getpriority, sleep_handle, &sleep_ns);
	json_t *all;
	const json_t *c, *one;

	(void)state;
	h.flags = SLUICE_MAY_BLOCK;
	all = stats_of(&h, 1, 1, "getpriority", "5");
	c = find(all, "calls", "name", "getpriority");
	one = find(all, "handlers", "name", "sleepy");
	assert_true(real(c, "p50_us") >= 3000);
	assert_true(real(c, "supervised_us") >= 5 * 3000);
	assert_true(real(one, "mean_us") >= 3000);
	assert_true(real(one, "max_us") <= real(c, "max_us"));
	assert_int_equal(json_array_size(json_object_get(all, "demoted")),
			 0); /* it said so itself */
	json_decref(all);
}

static void test_who_proved_slow(void **state)
{
	long sleep_ns = 3000000;
	struct record record = { 0 };
	struct answer go_on = { &record, 1, sluice_continue() };
	struct sluice_handler h[] = { answers(SYS_getpriority, &go_on),
				      sluice_handler_make("slow\xfe", SYS_getpriority, sleep_handle,
							  &sleep_ns) };
	json_t *all = stats_of(h, 2, 0, "getpriority", "40"), *demoted;

	(void)state;
	demoted = json_object_get(all, "demoted");
	assert_int_equal(json_array_size(demoted), 1);
	assert_string_equal(json_string_value(json_array_get(demoted, 0)), "slow\\xfe");
	assert_true(
		json_is_true(json_object_get(find(all, "handlers", "name", "slow\\xfe"), "slow")));
	assert_true(
		json_is_false(json_object_get(find(all, "handlers", "name", "answer"), "slow")));
	/* a slow machine may hold up the receiver elsewhere too */
	assert_true(integer(all, "takeovers") >= 1);
	json_decref(all);
}

/* ---- processes ---- */

#define MIB (1u << 20)

static void burn(void)
{
	struct timespec ts;

	do
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	while (ts.tv_nsec < 50000000 && ts.tv_sec == 0);
}

static void take_memory(void)
{
	volatile char *p = malloc(32 * MIB);

	for (size_t i = 0; p && i < 32 * MIB; i += 4096)
		p[i] = 1;
}

static void write_much(void)
{
	static char block[MIB];
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	for (int i = 0; i < 3; i++) {
		if (write(fd, block, sizeof(block)) != sizeof(block))
			_exit(1);
	}
}

static void *call(void *unused)
{
	role_calls("");
	return unused;
}

static void call_in_a_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, call, NULL) == 0)
		pthread_join(thread, NULL);
}

static void be_killed(void)
{
	burn();
	raise(SIGKILL);
}

/* A child for each way of taking something, which has the way's name. */
static const struct {
	const char *name;
	void (*fn)(void);
} takers[] = {
	{ "burner", burn },	  { "holder", take_memory },
	{ "writer", write_much }, { "caller", call_in_a_thread },
	{ "victim", be_killed },
};

static int role_children(const char *arg)
{
	(void)arg;
	for (size_t i = 0; i < N_OF(takers); i++) {
		pid_t pid = fork();

		if (pid == 0) {
			prctl(PR_SET_NAME, takers[i].name);
			takers[i].fn();
			_exit(0);
		}
		if (waitpid(pid, NULL, 0) != pid)
			return 1;
	}
	return 0;
}

/* A child that has two threads and waits, and one that has ended. */
static void *wait_for_a_byte(void *fd)
{
	char byte;

	return read(*(int *)fd, &byte, 1) < 0 ? fd : NULL;
}

static void family_child(int fd)
{
	pthread_t t;

	prctl(PR_SET_NAME, "two (threads) S");
	if (pthread_create(&t, NULL, wait_for_a_byte, &fd) == 0) {
		puts("ready");
		fflush(stdout);
		pthread_join(t, NULL);
	}
	_exit(0);
}

static int role_family(const char *arg)
{
	siginfo_t ended;
	int fd = STDIN_FILENO;
	pid_t first = fork(), second;

	(void)arg;
	if (!first)
		_exit(0);
	waitid(P_PID, (id_t)first, &ended, WEXITED | WNOWAIT);
	second = fork();
	if (!second)
		family_child(fd);
	waitpid(second, NULL, 0);
	return 0;
}

static const struct guest_role roles[] = {
	{ "getpriority", role_getpriority }, { "calls", role_calls }, { "children", role_children },
	{ "family", role_family },	     { NULL, NULL },
};

static bool is_whole(const json_t *process)
{
	return json_is_true(json_object_get(process, "whole"));
}

static void test_processes(void **state)
{
	json_t *all = stats_of(NULL, 0, 1, "children", ""), *one;
	size_t i, whole = 0;

	(void)state;
	json_array_foreach(json_object_get(all, "processes"), i, one) {
		check_keys(
			one,
			"pid:i parent:i name:s processes:i cpu_us:r peak_kib:i read_bytes:i written_bytes:i calls:i supervised_us:r whole:b");
		assert_int_equal(integer(one, "processes"), 1);
		whole += is_whole(one);
		if (is_whole(one))
			assert_true(integer(one, "calls") >= 1); /* the exit */
	}
	/* the command, its children but the one that was killed; that one has an entry if it was seen at all */
	assert_int_equal(whole, N_OF(takers));
	assert_in_range(i, N_OF(takers), N_OF(takers) + 1);
	one = find(all, "processes", "name", "burner");
	assert_true(is_whole(one) && real(one, "cpu_us") >= 50000);
	assert_true(integer(find(all, "processes", "name", "holder"), "peak_kib") >= 32 * 1024);
	one = find(all, "processes", "name", "writer");
	assert_true(integer(one, "written_bytes") >= 3 * MIB);
	assert_true(integer(one, "peak_kib") < 32 * 1024);
	assert_int_equal(integer(find(all, "processes", "name", "caller"), "calls"),
			 2); /* uname in a thread, and the exit */
	json_decref(all);
	all = stats_of(NULL, 0, 0, "children", "");
	assert_int_equal(json_array_size(json_object_get(all, "processes")), 0);
	json_decref(all);
}

static const struct sluice_process *process_named(const struct sluice_process *list, int n,
						  const char *name)
{
	for (int i = 0; i < n; i++) {
		if (!strcmp(list[i].name, name))
			return &list[i];
	}
	return NULL;
}

/* A sanitizer has one of its own in each. */
static unsigned threads_of(pid_t pid)
{
	char path[40];
	int n;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	n = guest_entries(path);
	assert_true(n > 0);
	return (unsigned)n;
}

static void test_processes_now(void **state)
{
	struct sluice_spawn_options o = {
		.size = sizeof(o),
		.stdio = { SLUICE_STDIO_PIPE, SLUICE_STDIO_PIPE },
	};
	struct sluice_sandbox *s = guest_spawn(NULL, &o, "family", "");
	int in = sluice_sandbox_pipe(s, 0), out = sluice_sandbox_pipe(s, 1);
	struct sluice_process list[8];
	const struct sluice_process *p;
	long long end = guest_now_ms() + 20000;
	char byte;

	(void)state;
	assert_int_equal(read(out, &byte, 1), 1);
	assert_int_equal(sluice_sandbox_processes(s, NULL, 0), 3);
	memset(list, 0xa5, sizeof(list));
	assert_int_equal(sluice_sandbox_processes(s, list, 1), 3);
	assert_int_equal(list[1].pid, (pid_t)0xa5a5a5a5);
	do { /* until it has come to wait */
		assert_int_equal(sluice_sandbox_processes(s, list, N_OF(list)), 3);
		p = process_named(list, 3, "two (threads) S");
		assert_non_null(p);
		assert_true(guest_now_ms() < end);
	} while (p->state != 'S');
	assert_int_equal(p->parent, list[0].pid);
	assert_int_equal(p->threads, threads_of(p->pid));
	assert_true(p->threads > list[0].threads);
	assert_int_equal(list[0].pid, sluice_sandbox_pid(s));
	assert_true(list[0].resident_bytes >= 4096 && list[0].threads == threads_of(list[0].pid));
	assert_true(list[0].cpu_us > 0);
	p = p == &list[1] ? &list[2] : &list[1];
	assert_int_equal(p->state, 'Z');
	assert_int_equal(p->resident_bytes, 0);
	close(in);
	assert_int_equal(sluice_sandbox_wait(s, 20000, NULL), 0);
	assert_int_equal(sluice_sandbox_processes(s, list, N_OF(list)), 0);
	close(out);
	sluice_sandbox_free(s);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_percentiles_are_kept_when_asked_for),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_who_proved_slow),
		cmocka_unit_test(test_processes),
		cmocka_unit_test(test_processes_now),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
