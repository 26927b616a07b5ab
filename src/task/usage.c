/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "task/usage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TEXT_BYTES 4096
#define NAME_BYTES 16 /* of a process, with the NUL */
#define NS_PER_S UINT64_C(1000000000)

/* /proc/PID/NAME as a string: what fits into @buf. */
static int read_text(pid_t pid, const char *name, char buf[TEXT_BYTES])
{
	char path[64];
	ssize_t n;
	int fd, r;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, buf, TEXT_BYTES - 1);
	r = n < 0 ? -errno : 0;
	close(fd);
	if (r == 0)
		buf[n] = '\0';
	return r;
}

/* The number behind @key ("\nRssAnon:" ...); 0: there is none. */
static uint64_t number_of(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

/* The same in bytes, where procfs gives KiB. */
static uint64_t bytes_of(const char *text, const char *key)
{
	return number_of(text, key) * 1024;
}

int usage_memory(pid_t pid, struct usage_memory *ret)
{
	char text[TEXT_BYTES];
	int r = read_text(pid, "status", text);

	if (r == 0)
		*ret = (struct usage_memory){
			.anonymous = bytes_of(text, "\nRssAnon:") + bytes_of(text, "\nVmSwap:"),
			.shared = bytes_of(text, "\nRssShmem:"),
		};
	return r;
}

int usage_memory_share(pid_t pid, struct usage_memory *ret)
{
	char text[TEXT_BYTES];
	int r = read_text(pid, "smaps_rollup", text);

	if (r < 0 || !strstr(text, "\nPss_Anon:"))
		return usage_memory(pid, ret);
	*ret = (struct usage_memory){
		.anonymous = bytes_of(text, "\nPss_Anon:") + bytes_of(text, "\nSwapPss:"),
		.shared = bytes_of(text, "\nPss_Shmem:"),
	};
	return 0;
}

static bool is_memfd(int dir, const char *name)
{
	static const char begin[] = "/memfd:";
	char link[sizeof(begin)];

	return readlinkat(dir, name, link, sizeof(link)) == sizeof(link) &&
	       !memcmp(link, begin, sizeof(begin) - 1);
}

int usage_memfds(pid_t pid, void (*fn)(const struct stat *st, void *arg), void *arg)
{
	char path[64];
	struct dirent *e;
	struct stat st;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(path);
	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		if (e->d_name[0] != '.' && is_memfd(dirfd(d), e->d_name) &&
		    fstatat(dirfd(d), e->d_name, &st, 0) == 0)
			fn(&st, arg);
	}
	closedir(d);
	return 0;
}

bool usage_same_memory(pid_t a, pid_t b)
{
	return syscall(SYS_kcmp, a, b, KCMP_VM, 0, 0) == 0;
}

/* Processor time of a whole process, by the clock that clock_getcpuclockid(3) names. */
static int own_time(pid_t pid, uint64_t *ret_ns)
{
	struct timespec t;
	clockid_t clock;
	int r = clock_getcpuclockid(pid, &clock);

	if (r)
		return -r;
	if (clock_gettime(clock, &t) < 0)
		return -errno;
	*ret_ns = (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
	return 0;
}

/* What follows the name in /proc/PID/stat, which may hold anything; NULL: that is none. */
static const char *behind_name(const char *text)
{
	const char *at = strrchr(text, ')');

	return at ? at + 1 : NULL;
}

int usage_cpu(pid_t pid, struct usage_cpu *ret)
{
	unsigned long long user = 0, system = 0;
	char text[TEXT_BYTES];
	const char *at;
	int r = read_text(pid, "stat", text);

	if (r == 0)
		r = own_time(pid, &ret->own_ns);
	if (r < 0)
		return r;
	at = behind_name(text);
	/* state, ppid ... cutime, cstime */
	if (!at || sscanf(at, " %c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu",
			  &ret->state, &ret->parent, &user, &system) != 4)
		return -EPROTO;
	ret->children_ns = (user + system) * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
	return 0;
}

int usage_state(pid_t tid)
{
	char text[TEXT_BYTES], state;
	const char *at;
	int r = read_text(tid, "stat", text);

	if (r < 0)
		return r;
	at = behind_name(text);
	return at && sscanf(at, " %c", &state) == 1 ? state : -EPROTO;
}

/* /proc/PID/stat in @text: the name, which may hold anything, and what is behind it. */
static int read_stat(pid_t pid, char text[TEXT_BYTES], char ret_name[NAME_BYTES],
		     const char **ret_behind)
{
	const char *name, *behind;
	size_t n;
	int r = read_text(pid, "stat", text);

	if (r < 0)
		return r;
	name = strchr(text, '(');
	behind = behind_name(text);
	if (!name || !behind)
		return -EPROTO;
	n = (size_t)(behind - 2 - name);
	memcpy(ret_name, name + 1, n < NAME_BYTES ? n : NAME_BYTES - 1);
	*ret_behind = behind;
	return 0;
}

/* Parent, name and start. */
static int read_start(pid_t pid, struct usage_whole *ret)
{
	char text[TEXT_BYTES];
	unsigned long long start = 0;
	const char *at;
	int r = read_stat(pid, text, ret->name, &at);

	/* state, ppid ... starttime, the 22nd */
	if (r == 0 &&
	    sscanf(at,
		   " %*c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
		   &ret->parent, &start) != 2)
		r = -EPROTO;
	ret->start = start;
	return r;
}

int usage_start(pid_t pid, uint64_t *ret_ticks)
{
	struct usage_whole u = { 0 };
	int r = read_start(pid, &u);

	if (r == 0)
		*ret_ticks = u.start;
	return r;
}

int usage_whole(pid_t pid, struct usage_whole *ret)
{
	char text[TEXT_BYTES];
	int r;

	*ret = (struct usage_whole){ 0 };
	r = read_start(pid, ret);
	if (r < 0)
		return r;
	own_time(pid, &ret->cpu_ns);
	if (read_text(pid, "status", text) == 0)
		ret->peak_kib = number_of(text, "\nVmHWM:");
	if (read_text(pid, "io", text) == 0) {
		ret->read_bytes = number_of(text, "rchar:");
		ret->written_bytes = number_of(text, "\nwchar:");
	}
	return 0;
}

int usage_now(pid_t pid, struct usage_now *ret)
{
	char text[TEXT_BYTES];
	unsigned long long pages = 0;
	const char *at;
	int r;

	*ret = (struct usage_now){ 0 };
	r = read_stat(pid, text, ret->name, &at);
	/* state, ppid ... num_threads, the 20th ... rss, the 24th */
	if (r == 0 &&
	    sscanf(at,
		   " %c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %u %*s %*s %*s %llu",
		   &ret->state, &ret->parent, &ret->threads, &pages) != 4)
		r = -EPROTO;
	if (r < 0)
		return r;
	ret->resident_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
	own_time(pid, &ret->cpu_ns);
	return 0;
}
