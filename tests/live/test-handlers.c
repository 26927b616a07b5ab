/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of extra handlers, one test a clause, through the public interface and a real command.
 *
 * Handlers run on engine threads: they record into atomics, the main thread asserts.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <sluice/sluice.h>

/* ---- running ourselves inside ---- */

static char self_path[4096];

static struct sluice_policy *open_policy(void)
{
	struct sluice_policy *p = sluice_policy_new();

	assert_non_null(p);
	assert_int_equal(sluice_policy_allow_read(p, "/", NULL), 0);
	return p;
}

static struct sluice_result run_inside(const struct sluice_handler *extras, size_t n,
				       const char *role, const char *arg)
{
	const char *const argv[] = { self_path, "--inside", role, arg, NULL };
	struct sluice_policy *p = open_policy();
	struct sluice_error err = { 0 };
	struct sluice_result res;
	int r = sluice_run_with_extra_handlers(p, argv, extras, n, &res, &err);

	if (r < 0)
		fail_msg("run: %d: %s (%s)", r, err.text, err.hint);
	sluice_policy_unref(p);
	return res;
}

/* What the child does: makes one call and exits with its errno (0: it succeeded), or says more through the exit code. */
static int inside_getpriority(const char *arg)
{
	int n = arg ? atoi(arg) : 1, bad = 0;

	for (int i = 0; i < n; i++) {
		errno = 0;
		if (syscall(SYS_getpriority, 0, 0) < 0)
			bad = errno;
	}
	return bad;
}

static int inside_value(const char *arg)
{
	return syscall(SYS_getpriority, 0, 0) == atol(arg) ? 0 : 1;
}

static int inside_open(const char *arg)
{
	int fd = open(arg, O_RDONLY);

	return fd < 0 ? errno : 0;
}

static int inside_read_all(const char *arg)
{
	char buf[64] = "";
	int fd = open("/nonexistent/virtual", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

	if (n < 0)
		return errno;
	if (write(fd, "x", 1) >= 0)
		return 201; /* must be read-only */
	if (!(fcntl(fd, F_GETFD) & FD_CLOEXEC))
		return 202;
	return strcmp(buf, arg) ? 203 : 0;
}

static int inside_uname(const char *arg)
{
	struct utsname u;

	if (uname(&u) < 0)
		return errno;
	return strcmp(u.nodename, arg) ? 200 : 0;
}

static int inside_pause(const char *arg)
{
	(void)arg;
	syscall(SYS_getpriority, 0, 0);
	return 0;
}

static const struct {
	const char *name;
	int (*fn)(const char *arg);
} roles[] = {
	{ "getpriority", inside_getpriority }, { "value", inside_value }, { "open", inside_open },
	{ "read", inside_read_all },	       { "uname", inside_uname }, { "pause", inside_pause },
};

static int inside(const char *role, const char *arg)
{
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (!strcmp(roles[i].name, role))
			return roles[i].fn(arg);
	}
	return 99;
}

/* ---- handlers ---- */

struct log {
	_Atomic int calls;
	_Atomic int order[8];
};

struct note {
	struct log *log;
	int id;
	struct sluice_verdict verdict;
};

static struct sluice_verdict note_handle(struct sluice_request *req, void *userdata)
{
	struct note *n = userdata;
	int at = atomic_fetch_add(&n->log->calls, 1);

	(void)req;
	if (at < 8)
		atomic_store(&n->log->order[at], n->id);
	return n->verdict;
}

static struct sluice_handler on_getpriority(struct note *n)
{
	return (struct sluice_handler){ .nr = SYS_getpriority, .fn = note_handle, .userdata = n };
}

static void test_without_extras_the_call_works(void **state)
{
	(void)state;
	assert_int_equal(run_inside(NULL, 0, "getpriority", NULL).exit_code, 0);
}

static void test_insertion_order(void **state)
{
	struct log log = { 0 };
	struct note a = { &log, 1, sluice_continue() }, b = { &log, 2, sluice_continue() },
		    c = { &log, 3, sluice_continue() };
	struct sluice_handler extras[] = { on_getpriority(&a), on_getpriority(&b),
					   on_getpriority(&c) };

	(void)state;
	assert_int_equal(run_inside(extras, 3, "getpriority", NULL).exit_code, 0);
	assert_int_equal(log.calls, 3);
	assert_int_equal(log.order[0], 1);
	assert_int_equal(log.order[1], 2);
	assert_int_equal(log.order[2], 3);
}

static void test_first_verdict_ends_the_chain(void **state)
{
	struct log log = { 0 };
	struct note a = { &log, 1, sluice_continue() }, b = { &log, 2, sluice_errno(EDOM) },
		    c = { &log, 3, sluice_continue() };
	struct sluice_handler extras[] = { on_getpriority(&a), on_getpriority(&b),
					   on_getpriority(&c) };

	(void)state;
	assert_int_equal(run_inside(extras, 3, "getpriority", NULL).exit_code, EDOM);
	assert_int_equal(log.calls, 2);
}

static void test_value(void **state)
{
	struct log log = { 0 };
	struct note a = { &log, 1, sluice_value(4242) };
	struct sluice_handler extra = on_getpriority(&a);

	(void)state;
	assert_int_equal(run_inside(&extra, 1, "value", "4242").exit_code, 0);
}

static void test_zeroed_verdict_denies(void **state)
{
	struct log log = { 0 };
	struct note a = { &log, 1, { 0 } };
	struct sluice_handler extra = on_getpriority(&a);

	(void)state;
	assert_int_equal(run_inside(&extra, 1, "getpriority", NULL).exit_code, EPERM);
}

static void test_garbage_verdicts_deny_and_the_engine_goes_on(void **state)
{
	static const uint32_t kinds[] = { 9, 77, UINT32_MAX };
	struct log log = { 0 };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct note a = { &log, 1, sluice_verdict_make(kinds[i], -1, -7) };
		struct sluice_handler extra = on_getpriority(&a);

		assert_int_equal(run_inside(&extra, 1, "getpriority", "3").exit_code, EPERM);
	}
	assert_int_equal(log.calls, 9);
	struct note e = { &log, 1, sluice_errno(5000) }, v = { &log, 1, sluice_value(-1) },
		    f = { &log, 1, sluice_inject_fd(-1, 0) }, k = { &log, 1, sluice_kill(0) },
		    d = { &log, 1, sluice_defer() };
	struct note *const odd[] = { &e, &v, &f, &k, &d };

	for (size_t i = 0; i < 5; i++) {
		struct sluice_handler extra = on_getpriority(odd[i]);

		assert_int_equal(run_inside(&extra, 1, "getpriority", NULL).exit_code, EPERM);
	}
}

static void test_kill_verdict(void **state)
{
	struct log log = { 0 };
	struct note a = { &log, 1, sluice_kill(SIGKILL) };
	struct sluice_handler extra = on_getpriority(&a);
	struct sluice_result res = run_inside(&extra, 1, "getpriority", NULL);

	(void)state;
	assert_int_equal(res.end, SLUICE_ENDED_SIGNAL);
	assert_int_equal(res.signal, SIGKILL);
}

/* ---- refused before fork ---- */

static void assert_refused(int nr, uint32_t flags, int code, const char *needle)
{
	struct log log = { 0 };
	struct note a = { &log, 1, sluice_continue() };
	struct sluice_handler extra = on_getpriority(&a);
	const char *const argv[] = { "/bin/true", NULL };
	struct sluice_policy *p = open_policy();
	struct sluice_error err = { 0 };

	extra.nr = nr;
	extra.flags = flags;
	extra.name = "my-handler";
	assert_int_equal(sluice_run_with_extra_handlers(p, argv, &extra, 1, NULL, &err), code);
	assert_non_null(strstr(err.text, needle));
	assert_non_null(strstr(err.text, "my-handler"));
	sluice_policy_unref(p);
}

static void test_refused_registrations(void **state)
{
	(void)state;
	assert_refused(-1, 0, -EINVAL, "-1");
	assert_refused(100000, 0, -EINVAL, "100000");
	assert_refused(999, 0, -EINVAL, "999");
	assert_refused(SYS_ptrace, 0, -EPERM, "ptrace");
	assert_refused(SYS_clone3, 0, -EPERM, "clone3");
	assert_refused(SYS_close, 0, -ENOTSUP, "close");
	assert_refused(SYS_wait4, 0, -ENOTSUP, "wait4");
	assert_refused(SYS_futex, 0, -ENOTSUP, "futex");
	assert_refused(SYS_exit_group, 0, -ENOTSUP, "exit_group");
}

static void test_insist_traps_a_never_retried_call(void **state)
{
	struct log log = { 0 };
	struct note a = { &log, 1, sluice_continue() };
	struct sluice_handler extra = on_getpriority(&a);

	(void)state;
	extra.nr = SYS_close;
	extra.flags = SLUICE_INSIST;
	assert_int_equal(run_inside(&extra, 1, "open", "/etc/passwd").exit_code, 0);
	assert_true(log.calls > 0);
}

/* ---- built-ins first ---- */

struct plan_seen {
	_Atomic int calls;
	_Atomic int reply_plan;
	char node[65];
	bool refuse;
};

static struct sluice_verdict plan_handle(struct sluice_request *req, void *userdata)
{
	struct plan_seen *s = userdata;
	struct sluice_plan plan;

	sluice_request_plan(req, &plan);
	atomic_fetch_add(&s->calls, 1);
	if (plan.kind == SLUICE_PLAN_REPLY && plan.builtin && !strcmp(plan.builtin, "uname") &&
	    plan.size == sizeof(struct utsname)) {
		const struct utsname *u = plan.data;

		atomic_store(&s->reply_plan, 1);
		memcpy(s->node, u->nodename, sizeof(s->node));
	}
	return s->refuse ? sluice_errno(EACCES) : sluice_continue();
}

static void test_extra_sees_what_the_builtin_planned(void **state)
{
	const char *const argv[] = { self_path, "--inside", "uname", "the-box", NULL };
	struct plan_seen seen = { 0 };
	struct sluice_handler extra = { .nr = SYS_uname, .fn = plan_handle, .userdata = &seen };
	struct sluice_policy *p = open_policy();
	struct sluice_result res;

	(void)state;
	assert_int_equal(sluice_policy_set_name(p, "the-box", NULL), 0);
	assert_int_equal(sluice_run(p, argv, &res, NULL), 0);
	assert_int_equal(res.exit_code, 0);
	assert_int_equal(sluice_run_with_extra_handlers(p, argv, &extra, 1, &res, NULL), 0);
	assert_int_equal(res.exit_code, 0);
	assert_int_equal(seen.reply_plan, 1);
	assert_string_equal(seen.node, "the-box");
	seen.refuse = true;
	assert_int_equal(sluice_run_with_extra_handlers(p, argv, &extra, 1, &res, NULL), 0);
	assert_int_equal(res.exit_code, EACCES);
	sluice_policy_unref(p);
}

/* ---- paths and descriptors ---- */

struct path_seen {
	const char *want;
	_Atomic int seen;
	struct sluice_verdict verdict;
};

static struct sluice_verdict path_handle(struct sluice_request *req, void *userdata)
{
	struct path_seen *s = userdata;
	const char *path;

	if (sluice_request_path(req, 0, &path) < 0 || strcmp(path, s->want) != 0)
		return sluice_continue();
	atomic_fetch_add(&s->seen, 1);
	if (s->verdict.kind == SLUICE_INJECT_FD)
		return sluice_inject_fd(dup(s->verdict.fd), O_CLOEXEC);
	return s->verdict;
}

static void test_path_errno(void **state)
{
	struct path_seen s = { .want = "/etc/passwd", .verdict = sluice_errno(ENOANO) };
	struct sluice_handler extra = { .nr = SYS_openat, .fn = path_handle, .userdata = &s };

	(void)state;
	assert_int_equal(run_inside(NULL, 0, "open", "/etc/passwd").exit_code, 0);
	assert_int_equal(run_inside(&extra, 1, "open", "/etc/passwd").exit_code, ENOANO);
	assert_int_equal(s.seen, 1);
	assert_int_equal(run_inside(&extra, 1, "open", "/etc/hosts").exit_code, 0);
}

static void test_inject_bytes(void **state)
{
	struct path_seen s = { .want = "/nonexistent/virtual",
			       .verdict = sluice_inject_bytes("hello", 5, O_CLOEXEC) };
	struct sluice_handler extra = { .nr = SYS_openat, .fn = path_handle, .userdata = &s };

	(void)state;
	assert_int_equal(run_inside(NULL, 0, "read", "hello").exit_code, ENOENT);
	assert_int_equal(run_inside(&extra, 1, "read", "hello").exit_code, 0);
}

static void test_inject_fd(void **state)
{
	FILE *f = tmpfile();
	char path[64];
	struct path_seen s = { .want = "/nonexistent/virtual" };
	struct sluice_handler extra = { .nr = SYS_openat, .fn = path_handle, .userdata = &s };

	(void)state;
	assert_non_null(f);
	assert_true(fputs("file", f) >= 0 && fflush(f) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fileno(f));
	s.verdict = sluice_inject_fd(open(path, O_RDONLY | O_CLOEXEC), 0);
	assert_true(s.verdict.fd >= 0);
	assert_int_equal(run_inside(&extra, 1, "read", "file").exit_code, 0);
	close(s.verdict.fd);
	fclose(f);
}

static struct sluice_verdict as_seen_handle(struct sluice_request *req, void *userdata)
{
	(void)req;
	(void)userdata;
	return sluice_as_seen();
}

static void test_as_seen_open(void **state)
{
	struct sluice_handler extra = { .nr = SYS_openat, .fn = as_seen_handle };
	const char *const paths[] = {
		"/etc/passwd",	  "/proc/self/status", "/dev/fd/0",
		"/nonexistent/x", "/etc/passwd/x",     "/root/../etc/passwd"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		int bare = run_inside(NULL, 0, "open", paths[i]).exit_code;

		assert_int_equal(run_inside(&extra, 1, "open", paths[i]).exit_code, bare);
	}
}

/* ---- time ---- */

static struct sluice_verdict sleep_handle(struct sluice_request *req, void *userdata)
{
	struct timespec ts = { .tv_nsec = (long)(intptr_t)userdata * 1000000 };

	(void)req;
	nanosleep(&ts, NULL);
	return sluice_value(7);
}

static void test_deadline_denies(void **state)
{
	struct sluice_handler extra = {
		.nr = SYS_getpriority,
		.fn = sleep_handle,
		.userdata = (void *)(intptr_t)300,
		.deadline_ms = 20,
		.deadline_errno = ETIME,
	};

	(void)state;
	assert_int_equal(run_inside(&extra, 1, "getpriority", NULL).exit_code, ETIME);
	extra.flags = SLUICE_MAY_BLOCK;
	assert_int_equal(run_inside(&extra, 1, "getpriority", NULL).exit_code, ETIME);
}

/* ---- answering later ---- */

struct later {
	struct sluice_deferral d;
	struct sluice_verdict verdict;
	_Atomic int taken, result, second;
	pthread_t thread;
	bool in_handler; /* answer before the handler returns */
	bool never;
};

static void *later_answer(void *arg)
{
	struct later *l = arg;

	l->result = sluice_deferral_answer(&l->d, l->verdict);
	if (l->in_handler) /* elsewhere the sandbox may have been freed by now */
		l->second = sluice_deferral_answer(&l->d, sluice_value(1));
	return NULL;
}

static struct sluice_verdict later_handle(struct sluice_request *req, void *userdata)
{
	struct later *l = userdata;

	if (sluice_request_defer(req, &l->d) < 0)
		return sluice_errno(EAGAIN);
	if (atomic_fetch_add(&l->taken, 1))
		return sluice_errno(EDOM);
	if (l->in_handler)
		later_answer(l);
	else if (!l->never)
		pthread_create(&l->thread, NULL, later_answer, l);
	return sluice_defer();
}

static void test_deferred(void **state)
{
	struct later l = { .verdict = sluice_value(55) };
	struct sluice_handler extra = { .nr = SYS_getpriority, .fn = later_handle, .userdata = &l };

	(void)state;
	assert_int_equal(run_inside(&extra, 1, "value", "55").exit_code, 0);
	pthread_join(l.thread, NULL);
	assert_int_equal(l.result, 0);
	struct later in = { .verdict = sluice_value(56), .in_handler = true };

	extra.userdata = &in;
	assert_int_equal(run_inside(&extra, 1, "value", "56").exit_code, 0);
	assert_int_equal(in.result, 0);
	assert_int_equal(in.second, -EALREADY);
}

static void test_deferred_deadline(void **state)
{
	struct later l = { .verdict = sluice_value(55), .never = true };
	struct sluice_handler extra = {
		.nr = SYS_getpriority,
		.fn = later_handle,
		.userdata = &l,
		.deadline_ms = 30,
	};

	(void)state;
	assert_int_equal(run_inside(&extra, 1, "getpriority", NULL).exit_code, EPERM);
	/* the sandbox is long gone */
	assert_int_equal(sluice_deferral_answer(&l.d, l.verdict), -ENOENT);
}

/* ---- observers ---- */

struct observed {
	_Atomic int calls, kind, result;
};

static struct sluice_verdict observe(struct sluice_request *req, void *userdata)
{
	struct observed *o = userdata;
	struct sluice_outcome out;

	sluice_request_outcome(req, &out);
	atomic_store(&o->kind, (int)out.kind);
	atomic_store(&o->result, (int)out.result);
	atomic_fetch_add(&o->calls, 1);
	return sluice_errno(EXDEV); /* changes nothing */
}

static void test_observer(void **state)
{
	struct log log = { 0 };
	struct observed o = { 0 };
	struct note a = { &log, 1, sluice_errno(EDOM) };
	struct sluice_handler extras[] = {
		{ .nr = SYS_getpriority, .fn = observe, .userdata = &o, .flags = SLUICE_OBSERVER },
		on_getpriority(&a),
	};

	(void)state;
	assert_int_equal(run_inside(extras, 2, "getpriority", NULL).exit_code, EDOM);
	assert_int_equal(o.calls, 1);
	assert_int_equal(o.kind, SLUICE_ERRNO);
	assert_int_equal(o.result, -EDOM);
	assert_int_equal(run_inside(extras, 1, "getpriority", NULL).exit_code, 0);
	assert_int_equal(o.calls, 2);
	assert_int_equal(o.kind, SLUICE_CONTINUE);
}

/* ---- who calls ---- */

struct who {
	_Atomic int tgid_ok, exe_ok, cmdline_ok;
	pid_t pid;
};

static struct sluice_verdict who_handle(struct sluice_request *req, void *userdata)
{
	struct who *w = userdata;
	char buf[4096];
	ssize_t n;

	w->tgid_ok = sluice_request_tgid(req) == sluice_request_tid(req);
	w->exe_ok = sluice_request_exe(req, buf, sizeof(buf)) > 0 && !strcmp(buf, self_path);
	n = sluice_request_cmdline(req, buf, sizeof(buf));
	w->cmdline_ok = n > 0 && memmem(buf, (size_t)n, "--inside", 9) != NULL;
	return sluice_continue();
}

static void test_who_calls(void **state)
{
	struct who w = { 0 };
	struct sluice_handler extra = { .nr = SYS_getpriority, .fn = who_handle, .userdata = &w };

	(void)state;
	assert_int_equal(run_inside(&extra, 1, "getpriority", NULL).exit_code, 0);
	assert_int_equal(w.tgid_ok, 1);
	assert_int_equal(w.exe_ok, 1);
	assert_int_equal(w.cmdline_ok, 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_extras_the_call_works),
		cmocka_unit_test(test_insertion_order),
		cmocka_unit_test(test_first_verdict_ends_the_chain),
		cmocka_unit_test(test_value),
		cmocka_unit_test(test_zeroed_verdict_denies),
		cmocka_unit_test(test_garbage_verdicts_deny_and_the_engine_goes_on),
		cmocka_unit_test(test_kill_verdict),
		cmocka_unit_test(test_refused_registrations),
		cmocka_unit_test(test_insist_traps_a_never_retried_call),
		cmocka_unit_test(test_extra_sees_what_the_builtin_planned),
		cmocka_unit_test(test_path_errno),
		cmocka_unit_test(test_inject_bytes),
		cmocka_unit_test(test_inject_fd),
		cmocka_unit_test(test_as_seen_open),
		cmocka_unit_test(test_deadline_denies),
		cmocka_unit_test(test_deferred),
		cmocka_unit_test(test_deferred_deadline),
		cmocka_unit_test(test_observer),
		cmocka_unit_test(test_who_calls),
	};

	if (argc > 2 && !strcmp(argv[1], "--inside"))
		_exit(inside(argv[2], argc > 3 ? argv[3] : NULL));
	if (readlink("/proc/self/exe", self_path, sizeof(self_path) - 1) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
