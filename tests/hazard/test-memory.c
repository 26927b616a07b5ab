/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stopped task's memory: what another thread rewrites, lengths that the task chose, strings at the edge of a mapping, results into memory that
 * can't take them, and tasks that are killed while they are looked at.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "as_seen.h"

#define PAGE ((size_t)sysconf(_SC_PAGESIZE))

/* Two readable pages, then one that is not mapped. */
static char *edge(void)
{
	char *p = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(p + 2 * PAGE, PAGE);
	return p;
}

/* ---- A1 ---- */

#define RACE_TRIES 100000
#define RACE_MOST 2000000

static atomic_int stop;

/* The letter of the directory changes all the time. */
static void *flip_letter(void *arg)
{
	volatile char *letter = arg;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		*letter = 'b';
		*letter = 'a';
	}
	return NULL;
}

/* Open DIR/{a,b}/f over and over. 1: the content of b was seen; 0: never, and both answers were given. */
static int guest_race(const char *dir)
{
	char path[PATH_MAX], seen[2] = { 0 };
	int opened = 0, refused = 0, leaked = 0;
	pthread_t t;

	snprintf(path, sizeof(path), "%s/a/f", dir);
	if (pthread_create(&t, NULL, flip_letter, path + strlen(dir) + 1))
		return 200;
	/* on and on until the other thread has had its turn */
	for (int i = 0; (i < RACE_TRIES || !opened || !refused) && i < RACE_MOST && !leaked; i++) {
		int fd = open(path, O_RDONLY);

		if (fd < 0) {
			refused += errno == EACCES;
			continue;
		}
		opened++;
		leaked = read(fd, seen, 1) == 1 && *seen == 'b';
		close(fd);
	}
	atomic_store(&stop, 1);
	pthread_join(t, NULL);
	if (leaked)
		return 1;
	return opened && refused ? 0 : 201;
}

/* The verdict on a path that is not in b, in userdata. */
static struct sluice_verdict refuse_b(struct sluice_request *req, void *userdata)
{
	const char *path;

	if (sluice_request_path(req, 0, &path) < 0)
		return sluice_errno(EFAULT);
	if (strstr(path, "/b/f"))
		return sluice_errno(EACCES);
	return *(const struct sluice_verdict *)userdata;
}

static void put(const char *dir, const char *name)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/%s/f", dir, name);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, name, 1), 1);
	close(fd);
}

static void hazard_A1_as_seen_is_not_raced(void **state)
{
	struct sluice_verdict go_on = sluice_continue(), as_seen = sluice_as_seen();
	struct sluice_handler h = { .nr = SYS_openat, .fn = refuse_b, .userdata = &go_on };
	const char *dir = guest_dir();

	(void)state;
	put(dir, "a");
	put(dir, "b");
	assert_int_equal(guest_bare("race", dir), 1);
	/* a decision by path that lets the kernel read the path again is lost */
	assert_int_equal(guest_run(NULL, &h, 1, "race", dir).exit_code, 1);
	h.userdata = &as_seen;
	assert_int_equal(guest_run(NULL, &h, 1, "race", dir).exit_code, 0);
	guest_remove(dir);
}

/* ---- A2 ---- */

#define VICTIMS 400

/* Children open a path that holds their own number, until they are killed at any moment of it; every tenth after its first call at the earliest. */
static int guest_victims(const char *arg)
{
	unsigned seed = 1;
	int called[2];
	char c;

	(void)arg;
	if (pipe(called) < 0)
		return 202;
	for (int i = 0; i < VICTIMS; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			char path[64];

			snprintf(path, sizeof(path), "/nonexistent/%d", getpid());
			syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);
			if (i % 10 == 0 && write(called[1], "x", 1) != 1)
				_exit(1);
			for (;;)
				syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);
		}
		if (pid < 0)
			return 200;
		if (i % 10 == 0 && read(called[0], &c, 1) != 1)
			return 203;
		for (unsigned n = (unsigned)rand_r(&seed) % 200; n; n--)
			sched_yield();
		kill(pid, SIGKILL);
		if (waitpid(pid, NULL, 0) != pid)
			return 201;
	}
	return 0;
}

struct victims {
	atomic_long right, gone, wrong;
};

static struct sluice_verdict name_of_the_caller(struct sluice_request *req, void *userdata)
{
	struct victims *v = userdata;
	char path[64];
	ssize_t n = sluice_request_read_string(req, sluice_request_arg(req, 1), path, sizeof(path));
	int r;

	if (n == -ESRCH) {
		atomic_fetch_add(&v->gone, 1);
		return sluice_errno(ESRCH);
	}
	if (n < 0 || strncmp(path, "/nonexistent/", 13) != 0)
		return sluice_continue(); /* of the loader or a shell */
	r = sluice_request_tgid(req);
	if (atoi(path + 13) != sluice_request_tid(req) || (r >= 0 && r != atoi(path + 13)))
		atomic_fetch_add(&v->wrong, 1);
	else
		atomic_fetch_add(&v->right, 1);
	return sluice_as_seen();
}

static void hazard_A2_killed_while_looked_at(void **state)
{
	struct victims v = { 0 };
	struct sluice_handler h = { .nr = SYS_openat, .fn = name_of_the_caller, .userdata = &v };

	(void)state;
	assert_int_equal(guest_run(NULL, &h, 1, "victims", "").exit_code, 0);
	assert_true(atomic_load(&v.right) >= VICTIMS / 10);
	assert_int_equal(atomic_load(&v.wrong), 0);
	h.flags = SLUICE_MAY_BLOCK;
	assert_int_equal(guest_run(NULL, &h, 1, "victims", "").exit_code, 0);
	assert_int_equal(atomic_load(&v.wrong), 0);
}

/* ---- A3 ---- */

static const long sockaddr_lengths[] = { 0,	     1,		  2,	      3,
					 110,	     127,	  128,	      129,
					 255,	     256,	  0x7fffffff, 0x80000000,
					 0xffffffff, 0x100000000, 0x10000006e };

/* connect with length number ARG, and the address at the start or before the edge of a mapping. */
static int guest_connect(const char *arg)
{
	long len = sockaddr_lengths[atoi(arg) / 2];
	char *at = edge();
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (atoi(arg) % 2)
		at += 2 * PAGE - 2;
	at[0] = AF_UNIX;
	return syscall(SYS_connect, fd, at, len) < 0 ? errno : 0;
}

static struct sluice_verdict look_at_sockaddr(struct sluice_request *req, void *userdata)
{
	struct sockaddr_storage sa;
	ssize_t n = sluice_request_sockaddr(req, &sa);

	(void)userdata;
	return n < 0 ? sluice_errno((int)-n) : sluice_continue();
}

static void hazard_A3_address_lengths(void **state)
{
	struct sluice_handler h = { .nr = SYS_connect, .fn = look_at_sockaddr };
	struct sluice_policy *p = guest_policy();
	char arg[16];

	(void)state;
	/* no built-in answers before the extra looks */
	assert_int_equal(sluice_policy_allow_write(p, "/", NULL), 0);
	for (size_t i = 0; i < 2 * N_OF(sockaddr_lengths); i++) {
		int bare;

		snprintf(arg, sizeof(arg), "%zu", i);
		bare = guest_bare("connect", arg);
		assert_int_not_equal(bare, 0);
		assert_int_equal(guest_run(p, &h, 1, "connect", arg).exit_code, bare);
	}
	sluice_policy_unref(p);
}

static const uint64_t how_sizes[] = { 0,
				      1,
				      23,
				      24,
				      25,
				      32,
				      4095,
				      4096,
				      4097,
				      8192,
				      1u << 31,
				      UINT64_C(1) << 32,
				      UINT64_C(1) << 63,
				      UINT64_MAX };

/* openat2 with size number ARG / 3; zeros, a non-zero byte behind what is known, or the edge of the mapping right behind it. */
static int guest_how(const char *arg)
{
	uint64_t size = how_sizes[atoi(arg) / 3];
	char *how = edge();

	if (atoi(arg) % 3 == 1)
		how[sizeof(struct open_how)] = 1;
	if (atoi(arg) % 3 == 2)
		how += 2 * PAGE - sizeof(struct open_how);
	return syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", how, size) < 0 ? errno : 0;
}

static void hazard_A3_open_how_sizes(void **state)
{
	char arg[16];

	(void)state;
	for (size_t i = 0; i < 3 * N_OF(how_sizes); i++) {
		int bare;

		snprintf(arg, sizeof(arg), "%zu", i);
		bare = guest_bare("how", arg);
		assert_int_equal(
			guest_run(NULL, as_seen_opens, N_AS_SEEN_OPENS, "how", arg).exit_code,
			bare);
	}
}

/* ---- A4 ---- */

/* What the handler made of one look; the call returns it. */
enum {
	WHOLE = 1,   /* every byte is the task's */
	NOTHING = 2, /* an error, and nothing in the buffer */
	MIXED = 3,   /* something else */
	LENGTH = 10, /* + length of the string */
};

#define LOOK_MAX 70000u
#define TASKS_BYTE 'y'
#define STALE_BYTE 's' /* what the buffer held before */

static bool all_are(const char *buf, char c, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (buf[i] != c)
			return false;
	}
	return true;
}

/* getpriority(ADDRESS, SIZE) is answered with what reading there gives; size 0: a string. */
static struct sluice_verdict look_at_memory(struct sluice_request *req, void *userdata)
{
	uint64_t addr = sluice_request_arg(req, 0), size = sluice_request_arg(req, 1);
	char buf[LOOK_MAX];
	ssize_t n;

	(void)userdata;
	/* behind a string that has no end there is one at once */
	memset(buf, size ? STALE_BYTE : 0, LOOK_MAX);
	if (size) {
		n = sluice_request_read(req, addr, buf, size);
		if (n == 0)
			return sluice_value(all_are(buf, TASKS_BYTE, size) ? WHOLE : MIXED);
		return sluice_value(n == -EFAULT && all_are(buf, 0, size) ? NOTHING : MIXED);
	}
	n = sluice_request_read_string(req, addr, buf, LOOK_MAX);
	if (n < 0)
		return sluice_value(n == -EFAULT && !*buf ? NOTHING : MIXED);
	return sluice_value(all_are(buf, TASKS_BYTE, (size_t)n) && !buf[n] ? LENGTH + n : MIXED);
}

/* Distances from the edge, and sizes. */
static const size_t backs[] = { 0,   1,	   7,	 8,    100,  255,  256,	 257,  511,  512,
				513, 1000, 4095, 4096, 4097, 4352, 5000, 8000, 8191, 8192 };

static int guest_short_reads(const char *arg)
{
	char *end = edge() + 2 * PAGE;

	(void)arg;
	memset(end - 2 * PAGE, TASKS_BYTE, 2 * PAGE);
	for (size_t i = 0; i < N_OF(backs); i++) {
		for (size_t j = 1; j < N_OF(backs); j++) {
			long got = syscall(SYS_getpriority, end - backs[i], backs[j]);

			if (got != (backs[j] <= backs[i] ? WHOLE : NOTHING))
				return 10 + (int)i;
		}
		if (syscall(SYS_getpriority, end - backs[i], LOOK_MAX) != NOTHING ||
		    syscall(SYS_getpriority, end - backs[i], 0) != NOTHING)
			return 50 + (int)i;
	}
	/* the same with an end to the string */
	end[-1] = '\0';
	for (size_t i = 1; i < N_OF(backs); i++) {
		long got = syscall(SYS_getpriority, end - backs[i], 0);

		if (got != LENGTH + (long)backs[i] - 1)
			return 100 + (int)i;
	}
	return 0;
}

/* The second of two pages comes and goes. */
static void *flip_page(void *arg)
{
	char *page = arg;
	int fd = memfd_create("page", 0);
	char byte[1] = { TASKS_BYTE };

	for (size_t i = 0; i < PAGE; i++) {
		if (write(fd, byte, 1) != 1)
			return NULL;
	}
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		if (mmap(page, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
			return NULL;
		sched_yield();
		munmap(page, PAGE);
		sched_yield();
	}
	return arg;
}

/* Reads that run into a page which is there at times: all or nothing, and both of them. */
static int guest_short_race(const char *arg)
{
	char *p = edge();
	int whole = 0, nothing = 0, tries;
	void *flipped;
	pthread_t t;

	(void)arg;
	memset(p, TASKS_BYTE, PAGE);
	munmap(p + PAGE, PAGE);
	if (pthread_create(&t, NULL, flip_page, p + PAGE))
		return 200;
	for (tries = 0; tries < RACE_TRIES && (whole < 500 || nothing < 500); tries++) {
		long got = syscall(SYS_getpriority, p + PAGE - 64, 2048);

		whole += got == WHOLE;
		nothing += got == NOTHING;
		if (got != WHOLE && got != NOTHING)
			return 1;
	}
	atomic_store(&stop, 1);
	pthread_join(t, &flipped);
	if (!flipped)
		return 201;
	return whole && nothing ? 0 : 202;
}

/* A path that was decoded before must not be what is behind the mapped part of the next one. */
static int guest_short_path(const char *arg)
{
	static const char tail[] = "/etc/passwd";
	char *end = edge() + 2 * PAGE, *at = end - (sizeof(tail) - 1);

	(void)arg;
	for (int i = 0; i < 100; i++) {
		int fd = open(tail, O_RDONLY);

		if (fd < 0)
			return 1;
		close(fd);
		memcpy(at, tail, sizeof(tail) - 1);
		if (syscall(SYS_openat, AT_FDCWD, at, O_RDONLY) >= 0 || errno != EFAULT)
			return 2;
		/* all of it: the last byte ends it */
		memcpy(at - 1, tail, sizeof(tail));
		fd = (int)syscall(SYS_openat, AT_FDCWD, at - 1, O_RDONLY);
		if (fd < 0)
			return 3;
		close(fd);
	}
	return 0;
}

static void hazard_A4_a_short_read_is_not_a_whole_one(void **state)
{
	static char buf[LOOK_MAX];
	struct sluice_handler h = { .nr = SYS_getpriority, .fn = look_at_memory, .userdata = buf };

	(void)state;
	assert_int_equal(guest_run(NULL, &h, 1, "short-reads", "").exit_code, 0);
	assert_int_equal(guest_run(NULL, &h, 1, "short-race", "").exit_code, 0);
}

static void hazard_A4_a_short_path_has_no_rest(void **state)
{
	(void)state;
	assert_int_equal(guest_bare("short-path", ""), 0);
	assert_int_equal(
		guest_run(NULL, as_seen_opens, N_AS_SEEN_OPENS, "short-path", "").exit_code, 0);
}

/* ---- A5 ---- */

/* Bytes of a string, and how far from the edge of a mapping its NUL (or, if it has none, its last byte) lies. */
static const struct {
	size_t length, from_edge;
	int nul;
} strings[] = {
	{ 11, 0, 1 },	{ 11, 1, 1 },	{ 11, 4096, 1 }, { 11, 4090, 1 }, { 11, 0, 0 },
	{ 0, 0, 1 },	{ 255, 0, 1 },	{ 256, 0, 1 },	 { 257, 0, 1 },	  { 4094, 0, 1 },
	{ 4095, 0, 1 }, { 4096, 0, 1 }, { 4095, 1, 1 },	 { 4095, 0, 0 },  { 4096, 0, 0 },
	{ 4097, 0, 0 }, { 5000, 0, 1 }, { 8000, 0, 0 },
};

/* Open /etc/passwd as string number ARG: slashes in front make it as long as wanted. */
static int guest_string(const char *arg)
{
	static const char tail[] = "/etc/passwd";
	int i = atoi(arg), fd;
	size_t n = strings[i].length;
	char *end = edge() + 2 * PAGE - strings[i].from_edge;
	char *at = end - n - (strings[i].nul ? 1 : 0);

	memset(at, '/', n);
	if (n >= sizeof(tail) - 1)
		memcpy(at + n - (sizeof(tail) - 1), tail, sizeof(tail) - 1);
	if (strings[i].nul)
		at[n] = '\0';
	fd = (int)syscall(SYS_openat, AT_FDCWD, at, O_RDONLY);
	return fd < 0 ? errno : 0;
}

static const uint64_t pointers[] = { 0,
				     1,
				     4095,
				     UINT64_C(1) << 46,
				     UINT64_C(1) << 47,
				     INT64_MAX,
				     UINT64_C(1) << 63,
				     UINT64_MAX - 4096,
				     UINT64_MAX };

static int guest_pointer(const char *arg)
{
	return syscall(SYS_openat, AT_FDCWD, pointers[atoi(arg)], O_RDONLY) < 0 ? errno : 0;
}

/* Open /etc/passwd by a string in a page that the caller itself may not read, and by one that runs into such a page. */
static int guest_protected(const char *arg)
{
	static const char path[] = "/etc/passwd";
	char *p = edge(), *cut = p + PAGE - 4;
	int fd;

	(void)arg;
	memcpy(p + PAGE, path, sizeof(path));
	fd = (int)syscall(SYS_openat, AT_FDCWD, p + PAGE, O_RDONLY);
	if (fd < 0)
		return 1;
	mprotect(p + PAGE, PAGE, PROT_NONE);
	if (syscall(SYS_openat, AT_FDCWD, p + PAGE, O_RDONLY) >= 0 || errno != EFAULT)
		return 2;
	mprotect(p + PAGE, PAGE, PROT_READ | PROT_WRITE);
	memcpy(cut, path, sizeof(path));
	mprotect(p + PAGE, PAGE, PROT_NONE);
	if (syscall(SYS_openat, AT_FDCWD, cut, O_RDONLY) >= 0 || errno != EFAULT)
		return 3;
	mprotect(p + PAGE, PAGE, PROT_READ);
	return syscall(SYS_openat, AT_FDCWD, cut, O_RDONLY) < 0 ? 4 : 0;
}

/* Create and open again a name of all bytes that a name can have, in the directory ARG. */
static int guest_bytes(const char *dir)
{
	char path[PATH_MAX];
	size_t n = (size_t)snprintf(path, sizeof(path), "%s/", dir);

	for (int c = 1; c < 256; c++) {
		if (c != '/')
			path[n++] = (char)c;
	}
	path[n] = '\0';
	if (open(path, O_CREAT | O_EXCL | O_RDWR, 0600) < 0)
		return errno;
	return access(path, R_OK) < 0 || open(path, O_RDONLY) < 0 ? errno : 0;
}

static int as_seen(struct sluice_policy *p, const char *role, const char *arg)
{
	return guest_run(p, as_seen_opens, N_AS_SEEN_OPENS, role, arg).exit_code;
}

static void hazard_A5_strings_at_the_edge(void **state)
{
	char arg[16];

	(void)state;
	for (size_t i = 0; i < N_OF(strings); i++) {
		snprintf(arg, sizeof(arg), "%zu", i);
		assert_int_equal(as_seen(NULL, "string", arg), guest_bare("string", arg));
	}
	for (size_t i = 0; i < N_OF(pointers); i++) {
		snprintf(arg, sizeof(arg), "%zu", i);
		assert_int_equal(guest_bare("pointer", arg), EFAULT);
		assert_int_equal(as_seen(NULL, "pointer", arg), EFAULT);
	}
}

/* Looking through /proc must not see more than the caller does. */
static void hazard_A5_pages_that_may_not_be_read(void **state)
{
	(void)state;
	assert_int_equal(guest_bare("protected", ""), 0);
	assert_int_equal(as_seen(NULL, "protected", ""), 0);
}

static void hazard_A5_names_are_bytes(void **state)
{
	struct sluice_policy *p = guest_policy();
	const char *one = guest_dir(), *two = guest_dir();

	(void)state;
	assert_int_equal(sluice_policy_allow_write(p, two, NULL), 0);
	assert_int_equal(guest_bare("bytes", one), 0);
	assert_int_equal(as_seen(p, "bytes", two), 0);
	sluice_policy_unref(p);
	guest_remove(one);
	guest_remove(two);
}

/* ---- A6 ---- */

struct own {
	const char *dir; /* its working directory */
	int umask, result;
};

static int create_here(const char *name, mode_t want)
{
	struct stat st;
	int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0666);

	if (fd < 0)
		return errno;
	if (fstat(fd, &st) < 0 || (st.st_mode & 0777) != want)
		return 220;
	close(fd);
	return 0;
}

/* A thread with a umask, a working directory and descriptors of its own. */
static void *own_surroundings(void *arg)
{
	struct own *o = arg;
	int at;

	o->result = 221;
	if (unshare(CLONE_FS | CLONE_FILES) < 0 || chdir(o->dir) < 0)
		return NULL;
	umask((mode_t)o->umask);
	o->result = create_here("in-thread", 0666 & ~(mode_t)o->umask);
	at = open(".", O_PATH | O_DIRECTORY);
	if (!o->result && (dup2(at, 77) != 77 || openat(77, "in-thread", O_RDONLY) < 0))
		o->result = 222;
	return NULL;
}

static int guest_threads(const char *dir)
{
	char sub[PATH_MAX];
	struct own o = { .dir = sub, .umask = 077 };
	pthread_t t;
	int r;

	snprintf(sub, sizeof(sub), "%s/sub", dir);
	umask(022);
	if (mkdir(sub, 0777) < 0 || chdir(dir) < 0)
		return 200;
	if (pthread_create(&t, NULL, own_surroundings, &o))
		return 201;
	pthread_join(t, NULL);
	if (o.result)
		return o.result;
	r = create_here("in-main", 0644);
	if (r)
		return r;
	/* what the thread has is not ours */
	if (openat(77, "in-thread", O_RDONLY) >= 0 || errno != EBADF)
		return 202;
	return open("in-thread", O_RDONLY) < 0 && errno == ENOENT ? 0 : 203;
}

static void hazard_A6_each_thread_its_own_surroundings(void **state)
{
	struct sluice_policy *p = guest_policy();
	const char *one = guest_dir(), *two = guest_dir();

	(void)state;
	assert_int_equal(sluice_policy_allow_write(p, two, NULL), 0);
	assert_int_equal(guest_bare("threads", one), 0);
	assert_int_equal(as_seen(p, "threads", two), 0);
	sluice_policy_unref(p);
	guest_remove(one);
	guest_remove(two);
}

/* ---- A9 ---- */

/* uname into: 0 memory that fits exactly, 1 half mapped, 2 read-only, 3 not mapped, 4 half read-only. What lies before it stays. */
static int guest_uname(const char *arg)
{
	char *p = edge(), *at = p + 2 * PAGE - sizeof(struct utsname);
	int i = atoi(arg);

	memset(p, 0x55, 2 * PAGE);
	if (i == 1)
		at += sizeof(struct utsname) / 2;
	if (i == 4)
		at = p + PAGE - sizeof(struct utsname) / 2;
	if (i == 2 || i == 4)
		mprotect(p + PAGE, PAGE, PROT_READ);
	if (i == 3)
		at = p + 2 * PAGE;
	if (uname((struct utsname *)(void *)at) < 0)
		return errno;
	return at[-1] == 0x55 ? 0 : 200;
}

static void hazard_A9_results_into_bad_memory(void **state)
{
	char arg[16];

	(void)state;
	for (int i = 0; i < 5; i++) {
		snprintf(arg, sizeof(arg), "%d", i);
		assert_int_equal(guest_bare("uname", arg), i ? EFAULT : 0);
		assert_int_equal(guest_inside(NULL, "uname", arg), i ? EFAULT : 0);
	}
}

static const struct guest_role roles[] = {
	{ "race", guest_race },
	{ "victims", guest_victims },
	{ "connect", guest_connect },
	{ "how", guest_how },
	{ "string", guest_string },
	{ "pointer", guest_pointer },
	{ "bytes", guest_bytes },
	{ "threads", guest_threads },
	{ "uname", guest_uname },
	{ "protected", guest_protected },
	{ "short-reads", guest_short_reads },
	{ "short-race", guest_short_race },
	{ "short-path", guest_short_path },
	{ NULL, NULL },
};

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_A1_as_seen_is_not_raced),
		cmocka_unit_test(hazard_A2_killed_while_looked_at),
		cmocka_unit_test(hazard_A3_address_lengths),
		cmocka_unit_test(hazard_A3_open_how_sizes),
		cmocka_unit_test(hazard_A4_a_short_read_is_not_a_whole_one),
		cmocka_unit_test(hazard_A4_a_short_path_has_no_rest),
		cmocka_unit_test(hazard_A5_strings_at_the_edge),
		cmocka_unit_test(hazard_A5_pages_that_may_not_be_read),
		cmocka_unit_test(hazard_A5_names_are_bytes),
		cmocka_unit_test(hazard_A6_each_thread_its_own_surroundings),
		cmocka_unit_test(hazard_A9_results_into_bad_memory),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
