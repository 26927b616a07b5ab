/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmocka.h"

static char program[4096];
static const struct guest_role *table;

static int call_role(const char *name, const char *arg)
{
	for (const struct guest_role *r = table; r->name; r++) {
		if (!strcmp(r->name, name))
			return r->fn(arg);
	}
	return GUEST_FAILED;
}

void guest_begin(int argc, char *argv[], const struct guest_role *roles)
{
	ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);

	if (n < 0)
		exit(GUEST_FAILED);
	program[n] = '\0';
	table = roles;
	if (argc >= 3 && !strcmp(argv[1], "--inside")) {
		int status = call_role(argv[2], argc > 3 ? argv[3] : "");

		/* no exit handlers: the leak sanitizer's traces its own process, which is refused inside */
		fflush(NULL);
		_exit(status);
	}
}

const char *guest_program(void)
{
	return program;
}

pid_t guest_fork_one(void)
{
	fflush(NULL);
	return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

int guest_bare(const char *role, const char *arg)
{
	pid_t pid, r;
	int status;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		execl(program, program, "--inside", role, arg, (char *)NULL);
		_exit(GUEST_FAILED);
	}
	/* a signal for the test may come meanwhile: thread sanitizers do not restart the call */
	do
		r = waitpid(pid, &status, 0);
	while (r < 0 && errno == EINTR);
	assert_int_equal(r, pid);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (fd >= 0)
		close(fd);
	return n < 0 ? -1 : 0;
}

int guest_unshare(int flags)
{
	char uids[64], gids[64];

	snprintf(uids, sizeof(uids), "%u %u 1", geteuid(), geteuid());
	snprintf(gids, sizeof(gids), "%u %u 1", getegid(), getegid());
	if (geteuid() == 0)
		return unshare(flags);
	return unshare(CLONE_NEWUSER | flags) < 0 ||
			       write_text("/proc/self/setgroups", "deny") < 0 ||
			       write_text("/proc/self/uid_map", uids) < 0 ||
			       write_text("/proc/self/gid_map", gids) < 0
		       ? -1
		       : 0;
}

bool guest_descriptors_can_be_got(void)
{
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	int fd = (int)syscall(SYS_pidfd_getfd, pidfd, pidfd, 0);

	close(pidfd);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

int guest_carried_out(int error)
{
	return guest_descriptors_can_be_got() ? error : EACCES;
}

struct sluice_policy *guest_policy(void)
{
	struct sluice_policy *p = sluice_policy_new();

	assert_non_null(p);
	assert_int_equal(sluice_policy_allow_read(p, "/", NULL), 0);
	return p;
}

struct sluice_result guest_run(struct sluice_policy *p, const struct sluice_handler *extras,
			       size_t n, const char *role, const char *arg)
{
	const char *const argv[] = { program, "--inside", role, arg, NULL };
	struct sluice_policy *policy = p ? sluice_policy_ref(p) : guest_policy();
	struct sluice_error err = { 0 };
	struct sluice_result res = { 0 };
	int r = sluice_run_with_extra_handlers(policy, argv, extras, n, &res, &err);

	sluice_policy_unref(policy);
	if (r < 0)
		fail_msg("run: %d: %s (%s)", r, err.text, err.hint);
	return res;
}

int guest_inside(struct sluice_policy *p, const char *role, const char *arg)
{
	struct sluice_result r = guest_run(p, NULL, 0, role, arg);

	return r.exit_code;
}

char *guest_text(struct sluice_policy *p, const struct sluice_handler *extras, size_t n,
		 const char *role, const char *arg)
{
	int fd = memfd_create("text", MFD_CLOEXEC), saved, r;
	off_t size;
	char *text;

	assert_true(fd >= 0);
	fflush(stdout);
	saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
	dup2(fd, STDOUT_FILENO);
	r = p ? guest_run(p, extras, n, role, arg).exit_code : guest_bare(role, arg);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	assert_int_equal(r, 0);
	size = lseek(fd, 0, SEEK_END);
	text = calloc(1, (size_t)size + 1);
	assert_int_equal(pread(fd, text, (size_t)size, 0), size);
	close(fd);
	return text;
}

int guest_text_differences(const char *name, const char *a, const char *b)
{
	int n = 0;

	while (*a && *b) {
		size_t la = strcspn(a, "\n"), lb = strcspn(b, "\n");

		if (la != lb || memcmp(a, b, la)) {
			if (n++ < 40)
				print_error("%s: %.*s | %.*s\n", name, (int)la, a, (int)lb, b);
		}
		a += la + 1;
		b += lb + 1;
	}
	return n + (*a || *b);
}

struct sluice_sandbox *guest_spawn(struct sluice_policy *p, const struct sluice_spawn_options *o,
				   const char *role, const char *arg)
{
	const char *const argv[] = { program, "--inside", role, arg, NULL };
	struct sluice_policy *policy = p ? sluice_policy_ref(p) : guest_policy();
	struct sluice_error err = { 0 };
	struct sluice_sandbox *s = NULL;
	int r = sluice_spawn(policy, argv, o, &s, &err);

	sluice_policy_unref(policy);
	if (r < 0)
		fail_msg("spawn: %d: %s (%s)", r, err.text, err.hint);
	return s;
}

const char *guest_dir(void)
{
	static char buf[8][4096];
	static unsigned next;
	char *path = buf[next++ % 8];
	const char *tmp = getenv("TMPDIR");

	snprintf(path, sizeof(buf[0]), "%s/sluice-test.XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(path));
	return path;
}

const char *guest_in(const char *dir, const char *name)
{
	static char buf[8][PATH_MAX + 64];
	static unsigned next;
	char path[sizeof(buf[0])];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return strcpy(buf[next++ % 8], path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static unsigned n_opened;

/* A directory that its owner took the rights on from itself. */
static int open_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)ftw;
	if ((type == FTW_D || type == FTW_DNR) && (st->st_mode & 0700) != 0700)
		n_opened += chmod(path, 0700) == 0;
	return 0;
}

void guest_remove(const char *dir)
{
	/* each pass gets one level deeper */
	do {
		n_opened = 0;
		nftw(dir, open_one, 16, FTW_PHYS);
	} while (n_opened);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int guest_entries(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int n = 0;

	if (!d)
		return -1;
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static int count_threads(void)
{
	return guest_entries("/proc/self/task");
}

int guest_threads_left(int most)
{
	int n = count_threads();

	for (int i = 0; i < 5000 && n > most; i++) {
		usleep(1000);
		n = count_threads();
	}
	return n;
}

long long guest_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000LL + ts.tv_nsec / 1000;
}

long long guest_now_ms(void)
{
	return guest_now_us() / 1000;
}
