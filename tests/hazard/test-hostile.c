/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that wants out: each of its attempts touches something outside what the policy grants, by the kernel's own calls and by opens on behalf. Each
 * attempt is first made without a sandbox, where it works.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "as_seen.h"

/* BASE/in may be written, BASE/seen may be read, BASE/out is nobody's business. */
static char base[PATH_MAX];

static const char *at(const char *name)
{
	static char buf[4][PATH_MAX + 64];
	static unsigned next;
	char *path = buf[next++ % 4];

	snprintf(path, sizeof(buf[0]), "%s/%s", base, name);
	return path;
}

/* ---- attempts: 0 when they succeed ---- */

static int result(long r)
{
	return r < 0 ? errno : 0;
}

static int reads(int fd)
{
	char c;

	return fd < 0 ? errno : read(fd, &c, 1) == 1 ? 0 : EIO;
}

static int writes(int fd)
{
	return fd < 0 ? errno : write(fd, "x", 1) == 1 ? 0 : errno;
}

static int read_outside(void)
{
	return reads(open(at("out/f"), O_RDONLY));
}

static int read_dotdot(void)
{
	return reads(openat(open(at("in"), O_PATH), "../out/f", O_RDONLY));
}

static int read_link(void)
{
	symlink(at("out/f"), at("in/link"));
	return reads(open(at("in/link"), O_RDONLY));
}

static int read_root_link(void)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/proc/self/root%s", at("out/f"));
	return reads(open(path, O_RDONLY));
}

static int read_cwd(void)
{
	if (chdir(at("out")) < 0)
		return errno;
	return reads(open("f", O_RDONLY));
}

static int read_cwd_link(void)
{
	return chdir(at("out")) < 0 ? errno : reads(open("/proc/self/cwd/f", O_RDONLY));
}

static int read_named(void)
{
	int fd = open(at("out/f"), O_PATH);
	char path[64];

	if (fd < 0)
		return errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return reads(open(path, O_RDONLY));
}

static int read_in_root(void)
{
	struct open_how how = { .flags = O_RDONLY, .resolve = RESOLVE_IN_ROOT };
	int fd = open(at("out"), O_PATH);

	if (fd < 0)
		return errno;
	return reads((int)syscall(SYS_openat2, fd, "/f", &how, sizeof(how)));
}

static int list_outside(void)
{
	return result(open(at("out"), O_RDONLY | O_DIRECTORY));
}

static int hard_link_in(void)
{
	if (link(at("out/f"), at("in/hard")) < 0)
		return errno;
	return reads(open(at("in/hard"), O_RDONLY));
}

static int rename_in(void)
{
	return result(rename(at("out/moved"), at("in/moved")));
}

static int write_seen(void)
{
	return writes(open(at("seen/f"), O_WRONLY));
}

static int append_seen(void)
{
	return writes(open(at("seen/f"), O_WRONLY | O_APPEND));
}

static int truncate_seen_by_reading(void)
{
	return result(open(at("seen/f"), O_RDONLY | O_TRUNC));
}

static int create_by_reading(void)
{
	return result(open(at("seen/new"), O_RDONLY | O_CREAT, 0600));
}

static int truncate_seen(void)
{
	return result(truncate(at("seen/f"), 1));
}

static int unnamed_in_seen(void)
{
	return result(open(at("seen"), O_TMPFILE | O_RDWR, 0600));
}

static int remove_seen(void)
{
	return result(unlink(at("seen/gone")));
}

static int make_in_seen(void)
{
	return result(mkdir(at("seen/dir"), 0700));
}

static int write_again(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", open(at("seen/f"), O_RDONLY));
	return writes(open(path, O_WRONLY));
}

static int map_shared(void)
{
	int fd = open(at("seen/f"), O_RDWR);
	char *p = fd < 0 ? MAP_FAILED : mmap(NULL, 1, PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return errno;
	*p = 'x';
	return 0;
}

static int chmod_seen(void)
{
	return result(chmod(at("seen/f"), 04777));
}

static int chmod_open_seen(void)
{
	return result(fchmod(open(at("seen/f"), O_RDONLY), 04777));
}

static int touch_seen(void)
{
	struct timeval t[2] = { { 1, 0 }, { 1, 0 } };

	return result(utimes(at("seen/f"), t));
}

static int execute_outside(void)
{
	char *argv[] = { (char *)(uintptr_t) "x", NULL };

	execv(at("out/run"), argv);
	return errno;
}

static pid_t outside; /* a process that is not ours */

static int signal_by_descriptor(void)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) || fcntl(sv[0], F_SETSIG, SIGUSR1) < 0 ||
	    fcntl(sv[0], F_SETOWN, outside) < 0 || fcntl(sv[0], F_SETFL, O_ASYNC | O_NONBLOCK) < 0)
		return errno;
	return write(sv[1], "x", 1) == 1 ? 0 : errno;
}

static const struct {
	const char *name;
	int (*fn)(void);
} attempts[] = {
	{ "read", read_outside },
	{ "read by ..", read_dotdot },
	{ "read by a link", read_link },
	{ "read by /proc/self/root", read_root_link },
	{ "read from a directory", read_cwd },
	{ "read by /proc/self/cwd", read_cwd_link },
	{ "read by a name", read_named },
	{ "read in a root", read_in_root },
	{ "list", list_outside },
	{ "link in", hard_link_in },
	{ "rename in", rename_in },
	{ "write", write_seen },
	{ "append", append_seen },
	{ "truncate by reading", truncate_seen_by_reading },
	{ "create by reading", create_by_reading },
	{ "truncate", truncate_seen },
	{ "unnamed file", unnamed_in_seen },
	{ "remove", remove_seen },
	{ "mkdir", make_in_seen },
	{ "write by a descriptor's link", write_again },
	{ "map", map_shared },
	{ "chmod", chmod_seen },
	{ "fchmod", chmod_open_seen },
	{ "utimes", touch_seen },
	{ "execute", execute_outside },
};

/* "INDEX BASE". */
static int guest_attempt(const char *arg)
{
	int i = atoi(arg);

	snprintf(base, sizeof(base), "%s", strchr(arg, ' ') + 1);
	return attempts[i].fn();
}

static int guest_sigio(const char *pid)
{
	outside = atoi(pid);
	return signal_by_descriptor();
}

/* Nothing of ours maps that much: the shadow memory of a sanitizer. */
#define SHADOW_BYTES (1ul << 30)

/* How often the @n bytes of @word are in [lo, hi), the memory at @word itself and what was read of it aside. */
static int count_in(int mem, unsigned long lo, unsigned long hi, const char *word, size_t n)
{
	static char chunk[1 << 16];
	ssize_t got;
	int found = 0;

	/* by pread: a page that can't be read is no fault, and a sanitizer does not mind */
	for (; lo < hi; lo += sizeof(chunk) - n) {
		size_t want = hi - lo < sizeof(chunk) ? hi - lo : sizeof(chunk);

		got = pread(mem, chunk, want, (off_t)lo);
		for (char *p = chunk; got > 0; p++) {
			unsigned long at;

			p = memmem(p, (size_t)(chunk + got - p), word, n);
			if (!p)
				break;
			/* numbers: the compiler knows that a pointer read from a file is not @word */
			at = lo + (unsigned long)(p - chunk);
			found += at != (unsigned long)word &&
				 at - (unsigned long)chunk >= sizeof(chunk);
		}
		if (want < sizeof(chunk))
			break;
	}
	memset(chunk, 0, sizeof(chunk));
	return found;
}

/* Whatever the embedder has in its environment and memory must not be here. The word is given backwards. */
static int guest_find(const char *drow)
{
	char word[64], line[512];
	size_t n = strlen(drow);
	unsigned long lo, hi;
	FILE *maps = fopen("/proc/self/maps", "re");
	int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	int found = 0;

	if (!maps || mem < 0)
		return 200;
	for (size_t i = 0; i < n; i++)
		word[i] = drow[n - 1 - i];
	while (fgets(line, sizeof(line), maps)) {
		char perms[8];

		if (sscanf(line, "%lx-%lx %7s", &lo, &hi, perms) != 3 || perms[0] != 'r' ||
		    hi - lo >= SHADOW_BYTES || strstr(line, "[vvar") || strstr(line, "[vsyscall"))
			continue;
		found += count_in(mem, lo, hi, word, n);
	}
	return found ? 1 : 0;
}

#define FORK_ROUNDS 5
#define FORK_THREADS 16
#define FORKS_EACH 3
#define FORKS_ALL (FORK_ROUNDS * FORK_THREADS * FORKS_EACH)
_Static_assert(FORKS_ALL > 200, "more than a role can return");

static atomic_int n_made;
static pid_t made[FORKS_ALL];

static void *fork_some(void *unused)
{
	(void)unused;
	for (unsigned i = 0; i < FORKS_EACH; i++) {
		pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

		if (pid == 0) {
			for (;;)
				pause();
		}
		if (pid > 0)
			made[atomic_fetch_add(&n_made, 1)] = pid;
	}
	return NULL;
}

/* Threads that fork at once and end, so that their children change parents all the time. Returns how many there are in the end, at most 200. */
static int role_forks(const char *arg)
{
	pthread_t threads[FORK_THREADS];

	(void)arg;
	for (unsigned round = 0; round < FORK_ROUNDS; round++) {
		for (unsigned i = 0; i < FORK_THREADS; i++)
			pthread_create(&threads[i], NULL, fork_some, NULL);
		for (unsigned i = 0; i < FORK_THREADS; i++)
			pthread_join(threads[i], NULL);
	}
	for (int i = 0; i < n_made; i++)
		kill(made[i], SIGKILL);
	return n_made < 200 ? n_made : 200;
}

static const struct guest_role roles[] = {
	{ "forks", role_forks },  { "attempt", guest_attempt },
	{ "sigio", guest_sigio }, { "find", guest_find },
	{ NULL, NULL },
};

/* ---- tests ---- */

static void put(const char *name, const char *text, mode_t mode)
{
	int fd = open(at(name), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	assert_int_equal(chmod(at(name), mode), 0);
}

static void world_new(void)
{
	snprintf(base, sizeof(base), "%s", guest_dir());
	assert_int_equal(mkdir(at("in"), 0755) | mkdir(at("seen"), 0755) | mkdir(at("out"), 0755),
			 0);
	put("out/f", "secret", 0644);
	put("out/moved", "secret", 0644);
	put("out/run", "#!/bin/sh\nexit 0\n", 0755);
	put("seen/f", "content", 0644);
	put("seen/gone", "", 0644);
}

static void assert_untouched(const char *name)
{
	char text[16] = "";
	struct stat st;
	int fd = open(at("seen/f"), O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) != 7 || strcmp(text, "content") != 0)
		fail_msg("%s: changed the content", name);
	close(fd);
	if (stat(at("seen/f"), &st) < 0 || st.st_mode != (S_IFREG | 0644) || st.st_mtime < 10)
		fail_msg("%s: changed the file", name);
	if (access(at("seen/gone"), F_OK) || access(at("out/moved"), F_OK) ||
	    !access(at("seen/new"), F_OK) || !access(at("seen/dir"), F_OK))
		fail_msg("%s: changed a directory", name);
}

static struct sluice_policy *world_policy(void)
{
	static const char *const system[] = { "/usr", "/bin", "/lib", "/etc", "/proc" };
	struct sluice_policy *p = sluice_policy_new();

	for (size_t i = 0; i < N_OF(system); i++)
		assert_int_equal(sluice_policy_allow_read(p, system[i], NULL), 0);
	if (!access("/lib64", F_OK))
		assert_int_equal(sluice_policy_allow_read(p, "/lib64", NULL), 0);
	assert_int_equal(sluice_policy_allow_read(p, guest_program(), NULL), 0);
	assert_int_equal(sluice_policy_allow_read(p, at("seen"), NULL), 0);
	assert_int_equal(sluice_policy_allow_write(p, at("in"), NULL), 0);
	return p;
}

static void check_attempt(size_t i)
{
	char arg[PATH_MAX + 16];
	struct sluice_policy *p;
	int r;

	world_new();
	snprintf(arg, sizeof(arg), "%zu %s", i, base);
	r = guest_bare("attempt", arg);
	if (r)
		fail_msg("%s: fails without a sandbox: %d", attempts[i].name, r);
	guest_remove(base);
	world_new();
	snprintf(arg, sizeof(arg), "%zu %s", i, base);
	p = world_policy();
	for (int behalf = 0; behalf < 2; behalf++) {
		r = guest_run(p, as_seen_opens, behalf ? N_AS_SEEN_OPENS : 0, "attempt", arg)
			    .exit_code;
		if (r != EACCES && r != EPERM && r != EXDEV)
			fail_msg("%s (%d): not refused: %d", attempts[i].name, behalf, r);
		assert_untouched(attempts[i].name);
	}
	sluice_policy_unref(p);
	guest_remove(base);
}

static void hazard_C1_nothing_beyond_the_grants(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(attempts); i++)
		check_attempt(i);
}

static volatile sig_atomic_t usr1;

static void on_usr1(int sig)
{
	(void)sig;
	usr1++;
}

static void hazard_G2_no_signal_by_a_descriptor(void **state)
{
	char pid[16];

	(void)state;
	signal(SIGUSR1, on_usr1);
	snprintf(pid, sizeof(pid), "%d", getpid());
	guest_inside(NULL, "sigio", pid);
	assert_int_equal(usr1, 0);
	assert_int_equal(guest_bare("sigio", pid), 0);
	assert_true(usr1 > 0);
	signal(SIGUSR1, SIG_DFL);
}

static void hazard_D7_threads_that_fork_at_once(void **state)
{
	struct sluice_policy *p = guest_policy();

	(void)state;
	assert_int_equal(guest_bare("forks", ""), 200);
	assert_int_equal(guest_inside(p, "forks", ""), 200);
	assert_int_equal(sluice_policy_set_max_processes(p, 12, NULL), 0);
	for (unsigned i = 0; i < 8; i++)
		assert_in_range(guest_inside(p, "forks", ""), 1, 11);
	sluice_policy_unref(p);
}

/* What the embedder keeps in memory is not found in the command's, which began as a process that shared it. */
static void hazard_H1_secrets_of_the_embedder(void **state)
{
	static const char backwards[] = "drowssap-5d21-eht-si-siht";
	char *secret = strdup(backwards), *env;
	struct sluice_policy *p = guest_policy();
	size_t n = strlen(secret);

	(void)state;
	for (size_t i = 0; i < n; i++)
		secret[i] = backwards[n - 1 - i];
	assert_int_equal(asprintf(&env, "SECRET=%s", secret), (int)n + 7);
	assert_int_equal(sluice_policy_set_clean_env(p, true), 0);
	assert_int_equal(guest_inside(p, "find", backwards), 0);
	/* it would be found */
	assert_int_equal(sluice_policy_set_env(p, env, NULL), 0);
	assert_int_equal(guest_inside(p, "find", backwards), 1);
	sluice_policy_unref(p);
	free(env);
	free(secret);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_C1_nothing_beyond_the_grants),
		cmocka_unit_test(hazard_D7_threads_that_fork_at_once),
		cmocka_unit_test(hazard_G2_no_signal_by_a_descriptor),
		cmocka_unit_test(hazard_H1_secrets_of_the_embedder),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
}
