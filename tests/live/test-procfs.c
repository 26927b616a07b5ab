/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine that a sandbox sees: all that tells of CPUs, of the host name, of memory and load says the same; a process's own files are as bare.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/root.h"
#include "recorder.h"

static char *slurp(const char *path)
{
	static char text[4][1 << 21]; /* of 1024 CPUs */
	static unsigned next;
	char *to = text[next++ % 4];
	size_t done = 0;
	int fd = open(path, O_RDONLY);
	ssize_t n;

	while (fd >= 0 && (n = read(fd, to + done, sizeof(text[0]) - 1 - done)) > 0)
		done += (size_t)n;
	to[done] = '\0';
	if (fd >= 0)
		close(fd);
	return to;
}

static unsigned count(const char *text, const char *line)
{
	unsigned n = 0;

	for (const char *at = strstr(text, line); at; at = strstr(at + 1, line))
		n += at == text || at[-1] == '\n';
	return n;
}

static unsigned lines_of_cpus(const char *text)
{
	unsigned n = 0;

	for (const char *at = strstr(text, "\ncpu"); at; at = strstr(at + 1, "\ncpu"))
		n += isdigit((unsigned char)at[4]) != 0;
	return n;
}

/* ---- guests ---- */

/* N CPUs, by every way of counting. */
static int role_cpus(const char *arg)
{
	const unsigned n = (unsigned)atoi(arg);
	char list[32];
	cpu_set_t set;

	snprintf(list, sizeof(list), n > 1 ? "0-%u" : "%u", n - 1);
	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof(set), &set) < 0 || (unsigned)CPU_COUNT(&set) != n)
		return 1;
	for (unsigned i = 0; i < n; i++) {
		if (!CPU_ISSET(i, &set))
			return 2;
	}
	if (sysconf(_SC_NPROCESSORS_ONLN) != (long)n)
		return 3;
	if (count(slurp("/proc/cpuinfo"), "processor") != n)
		return 4;
	if (lines_of_cpus(slurp("/proc/stat")) != n)
		return 5;
	if (strncmp(slurp("/sys/devices/system/cpu/online"), list, strlen(list)) != 0)
		return 6;
	if (strncmp(slurp("/sys/devices/system/cpu/possible"), list, strlen(list)) != 0)
		return 7;
	if (!strstr(slurp("/proc/self/status"), list))
		return 8;
	return 0;
}

/* CPU directories that are listed, and the first one that is not there. */
static int role_cpu_directories(const char *arg)
{
	const int n = atoi(arg);
	DIR *d = opendir("/sys/devices/system/cpu");
	char path[64];
	struct dirent *e;
	int found = 0, fd;

	while (d && (e = readdir(d)))
		found += !strncmp(e->d_name, "cpu", 3) && isdigit((unsigned char)e->d_name[3]);
	if (!d || found != n)
		return 1;
	fd = openat(dirfd(d), "online", O_RDONLY);
	if (fd < 0)
		return 2;
	close(fd);
	closedir(d);
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/uevent", n);
	if (open(path, O_RDONLY) >= 0 || errno != ENOENT)
		return 3;
	snprintf(path, sizeof(path), "/sys/bus/cpu/devices/cpu%d/uevent", n);
	if (open(path, O_RDONLY) >= 0 || errno != ENOENT)
		return 4;
	return open("/sys/devices/system/cpu/cpu0/uevent", O_RDONLY) >= 0 ? 0 : 5;
}

/* A thread can be given fewer of them, and its child has what it has. */
static int role_affinity(const char *arg)
{
	const unsigned n = (unsigned)atoi(arg);
	cpu_set_t one, got;
	char list[40];
	int status;

	CPU_ZERO(&one);
	CPU_SET(n - 1, &one);
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		return 1;
	if (sched_getaffinity(getpid(), sizeof(got), &got) < 0 || !CPU_ISSET(n - 1, &got))
		return 2;
	if (n <= (unsigned)get_nprocs_conf() && CPU_COUNT(&got) > (int)n)
		return 3;
	if (!fork()) {
		cpu_set_t child;

		_exit(sched_getaffinity(0, sizeof(child), &child) == 0 && CPU_EQUAL(&child, &got)
			      ? 0
			      : 1);
	}
	if (wait(&status) < 0 || status)
		return 4;
	snprintf(list, sizeof(list), "\nCpus_allowed_list:\t%u\n", n - 1);
	return n > 1 || strstr(slurp("/proc/self/status"), list) ? 0 : 5;
}

static int error_of(long r)
{
	return r < 0 ? errno : 0;
}

/* Every call that fails, as one number, and its errno. */
static int role_affinity_errors(const char *arg)
{
	const cpu_set_t none = { { 0 } };
	const int calls[] = {
		error_of(syscall(SYS_sched_getaffinity, 0, 0, NULL)),
		error_of(syscall(SYS_sched_getaffinity, 0, 7, NULL)),
		error_of(syscall(SYS_sched_getaffinity, 0, 128, NULL)),
		error_of(syscall(SYS_sched_getaffinity, -1, 128, NULL)),
		error_of(syscall(SYS_sched_getaffinity, 4194303, 128, &(cpu_set_t){ { 0 } })),
		error_of(syscall(SYS_sched_setaffinity, 0, 128, NULL)),
		error_of(syscall(SYS_sched_setaffinity, 0, 128, &none)),
		error_of(syscall(SYS_sched_setaffinity, 0, 0, NULL)),
		error_of(syscall(SYS_sched_setaffinity, -1, 128, &none)),
	};
	const int expected[] = {
		EINVAL, EINVAL, EFAULT, ESRCH, ESRCH, EFAULT, EINVAL, EINVAL, ESRCH
	};

	(void)arg;
	for (size_t i = 0; i < N_OF(calls); i++) {
		if (calls[i] != expected[i])
			return 1 + (int)i;
	}
	/* the kernel returns how many bytes its mask has, and touches no more */
	return syscall(SYS_sched_getaffinity, 0, 4096, slurp("/dev/null")) % (long)sizeof(long)
		       ? 100
		       : 0;
}

/* One name, everywhere. */
static int role_name(const char *name)
{
	char line[80], host[80];

	snprintf(line, sizeof(line), "%s\n", name);
	if (gethostname(host, sizeof(host)) < 0 || strcmp(host, name) != 0)
		return 1;
	if (strcmp(slurp("/proc/sys/kernel/hostname"), line) != 0)
		return 2;
	if (access("/etc/hostname", F_OK) == 0 && strcmp(slurp("/etc/hostname"), line) != 0)
		return 3;
	if (access("/etc/hosts", F_OK) == 0 && !strstr(slurp("/etc/hosts"), name))
		return 4;
	return strcmp(slurp("/proc/self/root/proc/sys/kernel/hostname"), line) != 0 ? 5 : 0;
}

/* Processes, memory and load of the machine agree. */
static int role_load(const char *arg)
{
	struct sysinfo info;
	unsigned running, threads, last;
	unsigned long long total;
	int status, held[2];
	char c;

	(void)arg;
	if (pipe(held) < 0)
		return 1;
	if (!guest_fork_one()) {
		close(held[1]);
		_exit(read(held[0], &c, 1) == 0 ? 0 : 1);
	}
	if (sysinfo(&info) < 0 ||
	    sscanf(slurp("/proc/loadavg"), "%*s %*s %*s %u/%u %u", &running, &threads, &last) != 3)
		return 2;
	if (info.procs != 2 || threads != 2)
		return 3;
	if (sscanf(slurp("/proc/meminfo"), "MemTotal: %llu", &total) != 1 ||
	    total != info.totalram * info.mem_unit / 1024)
		return 4;
	close(held[0]);
	close(held[1]);
	return wait(&status) < 0 || status ? 5 : 0;
}

/* ---- guests: a process's own ---- */

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(text) ? 0 : -1;
}

static int holds(const char *path, const char *text)
{
	return strstr(slurp(path), text) != NULL;
}

static int role_own_files(const char *arg)
{
	static const char *const readable[] = {
		"status",
		"maps",
		"smaps",
		"stat",
		"statm",
		"cmdline",
		"environ",
		"limits",
		"comm",
		"auxv",
		"mounts",
		"mountinfo",
		"mountstats",
		"oom_score",
		"oom_score_adj",
		"oom_adj",
		"io",
		"sched",
		"coredump_filter",
		"cgroup",
		"timerslack_ns",
		"schedstat",
		"uid_map",
		"fdinfo/0",
		"task/%d/status",
		"task/%d/comm",
		"task/%d/stat",
		"net/unix",
	};
	static const char *const directories[] = { "fd", "fdinfo", "task", "ns", "net", "." };
	char path[PATH_MAX], pid[32];
	unsigned bad = 0;

	(void)arg;
	for (size_t i = 0; i < N_OF(readable); i++) {
		char name[64];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(name, sizeof(name), readable[i], getpid());
#pragma GCC diagnostic pop
		snprintf(path, sizeof(path), "/proc/self/%s", name);
		if (!*slurp(path))
			return 1 + (int)i;
		snprintf(path, sizeof(path), "/proc/%d/%s", getpid(), name);
		if (!*slurp(path))
			return 40 + (int)i;
	}
	for (size_t i = 0; i < N_OF(directories); i++) {
		int fd;

		snprintf(path, sizeof(path), "/proc/self/%s", directories[i]);
		fd = open(path, O_RDONLY | O_DIRECTORY);
		if (fd < 0)
			return 80 + (int)i;
		close(fd);
	}
	snprintf(pid, sizeof(pid), "\nPid:\t%d\n", getpid());
	bad |= !holds("/proc/self/status", pid);
	bad |= !holds("/proc/thread-self/status", pid);
	bad |= (unsigned)(put("/proc/self/comm", "renamed") < 0 ||
			  !holds("/proc/self/comm", "renamed"))
	       << 1;
	bad |= (unsigned)(put("/proc/self/oom_score_adj", "500") < 0 ||
			  !holds("/proc/self/oom_score_adj", "500"))
	       << 2;
	bad |= (unsigned)(put("/proc/self/coredump_filter", "0x11") < 0 ||
			  !holds("/proc/self/coredump_filter", "00000011"))
	       << 3;
	bad |= (unsigned)(put("/proc/self/timerslack_ns", "60000") < 0 ||
			  prctl(PR_GET_TIMERSLACK) != 60000)
	       << 4;
	bad |= (unsigned)(put("/proc/self/clear_refs", "1") < 0) << 5;
	return bad ? 100 + (int)bad : 0;
}

/* What a process has of itself, read by another one of the sandbox. */
static int role_child(const char *arg)
{
	int ready[2], status, r = 0;
	char path[64], c;
	pid_t pid;

	(void)arg;
	if (pipe(ready) < 0)
		return 1;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_NAME, "offspring");
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(0);
	}
	if (read(ready[0], &c, 1) != 1)
		return 2;
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	r = holds(path, "offspring") ? r : 3;
	snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	r = *slurp(path) ? r : 4;
	snprintf(path, sizeof(path), "/proc/%d/fd/0", pid);
	close(ready[0]);
	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid)
		return 5;
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	return r ? r : open(path, O_RDONLY) >= 0 || errno != ENOENT ? 6 : 0;
}

/* Which of the process's files name @top, a directory of the host: 1 maps, 2 smaps, 4 numa_maps, 8 links in map_files. */
static int role_mapped(const char *top)
{
	static const char *const files[] = { "maps", "smaps", "numa_maps" };
	char path[PATH_MAX], text[PATH_MAX];
	int r = 0, fd = open("/ro/f", O_RDONLY);
	struct dirent *e;
	DIR *d;

	if (fd < 0 || mmap(NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED)
		return 100;
	for (size_t i = 0; i < N_OF(files); i++) {
		snprintf(path, sizeof(path), "/proc/self/%s", files[i]);
		if (access(path, F_OK) < 0 && i == 2) /* a kernel without NUMA */
			continue;
		r |= (strstr(slurp(path), top) != NULL) << i;
		if (!(r >> i & 1) && !holds(path, i < 2 ? " /ro/f\n" : "file=/ro/f"))
			return 101;
	}
	d = opendir("/proc/self/map_files");
	while (d && (e = readdir(d))) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, text, sizeof(text) - 1);

		text[n > 0 ? n : 0] = '\0';
		r |= (strstr(text, top) != NULL) << 3;
	}
	return d ? r : 102;
}

/* "TOTAL CPU": memory as the limit has it, in each place; CPUs within the cores. */
static int role_limits(const char *arg)
{
	unsigned long total, cpu;
	struct sysinfo info;
	char line[64];
	cpu_set_t set;

	if (sscanf(arg, "%lu %lu", &total, &cpu) != 2 || sysinfo(&info) < 0)
		return 1;
	snprintf(line, sizeof(line), "MemTotal:       %8lu kB\n", total >> 10);
	if (!holds("/proc/meminfo", line) || info.totalram * info.mem_unit != total)
		return 2;
	/* until the first sample is taken */
	for (int i = 0; info.freeram >= info.totalram && i < 20000; i++) {
		usleep(1000);
		if (sysinfo(&info) < 0)
			return 3;
	}
	if (info.freeram >= info.totalram || info.totalswap)
		return 3;
	if ((unsigned long)sysconf(_SC_PHYS_PAGES) * (unsigned long)getpagesize() != total)
		return 4;
	/* all three are one of the machine's, and stay so whatever is asked for */
	if (sched_getaffinity(0, sizeof(set), &set) < 0 || CPU_COUNT(&set) != 3)
		return 5;
	CPU_ZERO(&set);
	CPU_SET(2, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		return 6;
	for (int i = 0; i < 200; i++) {
		if (sched_getcpu() != (int)cpu)
			return 7;
	}
	return 0;
}

/* Is each number of mountinfo one mount's alone, and is that of "/" what the kernel tells of it? */
static int role_mount_numbers(const char *arg)
{
	struct {
		struct file_handle h;
		unsigned char bytes[MAX_HANDLE_SZ];
	} u = { .h = { .handle_bytes = MAX_HANDLE_SZ } };
	int ids[512], n = 0, root = -1;
	char *save, *text = slurp("/proc/self/mountinfo");

	(void)arg;
	if (name_to_handle_at(AT_FDCWD, "/", &u.h, &root, 0) < 0 && errno != EOPNOTSUPP)
		return 1;
	for (char *line = strtok_r(text, "\n", &save); line && n < (int)N_OF(ids);
	     line = strtok_r(NULL, "\n", &save)) {
		ids[n] = atoi(line);
		for (int i = 0; i < n; i++) {
			if (ids[i] == ids[n])
				return 2;
		}
		if (strstr(line, " / / ") && root >= 0 && ids[n] != root)
			return 3;
		n++;
	}
	return n > 3 ? 0 : 4;
}

static const struct guest_role roles[] = {
	{ "mount-numbers", role_mount_numbers },
	{ "limits", role_limits },
	{ "mapped", role_mapped },
	{ "cpus", role_cpus },
	{ "directories", role_cpu_directories },
	{ "affinity", role_affinity },
	{ "affinity-errors", role_affinity_errors },
	{ "name", role_name },
	{ "load", role_load },
	{ "own", role_own_files },
	{ "child", role_child },
	{ "getpriority", role_getpriority },
	{ NULL, NULL },
};

/* ---- tests ---- */

static struct sluice_policy *policy(bool root)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_set_proc(p, SLUICE_PROC_OWN), 0);
	if (root)
		assert_int_equal(sluice_policy_set_chroot(p, ROOT_BY_ANOTHER_NAME, NULL), 0);
	if (root) /* which a root does not have of itself */
		assert_int_equal(
			sluice_policy_add_mount(p, "/sys", "/sys", SLUICE_MOUNT_READ_ONLY, NULL),
			0);
	return p;
}

static void test_cpus(void **state)
{
	static const unsigned numbers[] = { 1, 2, 3, 64, 65, 1024 };
	char arg[16];

	(void)state;
	for (int root = 0; root < 2; root++) {
		for (size_t i = 0; i < N_OF(numbers); i++) {
			struct sluice_policy *p = policy(root);

			assert_int_equal(sluice_policy_set_num_cpus(p, 1025), -EINVAL);
			assert_int_equal(sluice_policy_set_num_cpus(p, numbers[i]), 0);
			snprintf(arg, sizeof(arg), "%u", numbers[i]);
			assert_int_equal(guest_inside(p, "cpus", arg), 0);
			assert_int_equal(guest_inside(p, "directories", arg), 0);
			assert_int_equal(guest_inside(p, "affinity", arg), 0);
			sluice_policy_unref(p);
		}
	}
	snprintf(arg, sizeof(arg), "%d", get_nprocs());
	assert_int_equal(guest_bare("cpus", arg), 0);
	for (int root = 0; root < 2; root++) {
		struct sluice_policy *p = policy(root);

		assert_int_equal(guest_inside(p, "cpus", arg), 0);
		sluice_policy_unref(p);
	}
}

static void test_affinity_fails_as_bare(void **state)
{
	struct sluice_policy *p = policy(false);

	(void)state;
	assert_int_equal(guest_bare("affinity-errors", ""), 0);
	assert_int_equal(sluice_policy_set_num_cpus(p, 2), 0);
	assert_int_equal(guest_inside(p, "affinity-errors", ""), 0);
	sluice_policy_unref(p);
}

static void test_one_name(void **state)
{
	(void)state;
	for (int root = 0; root < 2; root++) {
		struct sluice_policy *p = policy(root);

		assert_int_equal(sluice_policy_set_name(p, "builder-7", NULL), 0);
		assert_int_equal(guest_inside(p, "name", "builder-7"), 0);
		assert_int_not_equal(guest_inside(p, "name", "builder-8"), 0);
		sluice_policy_unref(p);
	}
}

static void test_load(void **state)
{
	(void)state;
	assert_int_not_equal(guest_bare("load", ""), 0);
	for (int root = 0; root < 2; root++) {
		struct sluice_policy *p = policy(root);

		assert_int_equal(guest_inside(p, "load", ""), 0);
		sluice_policy_unref(p);
	}
}

static void test_own_files_are_as_bare(void **state)
{
	(void)state;
	assert_int_equal(guest_bare("own", ""), 0);
	assert_int_equal(guest_bare("child", ""), 0);
	for (int root = 0; root < 2; root++) {
		struct sluice_policy *p = policy(root);

		assert_int_equal(guest_inside(p, "own", ""), 0);
		assert_int_equal(guest_inside(p, "child", ""), 0);
		assert_int_equal(sluice_policy_set_num_cpus(p, 2), 0);
		assert_int_equal(guest_inside(p, "own", ""), 0);
		sluice_policy_unref(p);
	}
}

static void test_a_policy_says_so(void **state)
{
	struct sluice_policy *p = policy(false);
	struct sluice_error err = { 0 };
	const char *const argv[] = { "true", NULL };

	(void)state;
	assert_int_equal(sluice_policy_set_proc(p, (enum sluice_proc)7), -EINVAL);
	assert_int_equal(sluice_policy_set_proc(p, SLUICE_PROC_HOST), 0);
	assert_int_equal(guest_inside(p, "name", "builder-7"), 1);
	assert_int_equal(sluice_policy_set_num_cpus(p, 1), 0);
	assert_int_equal(sluice_run(p, argv, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.hint, "--proc own"));
	assert_int_equal(sluice_policy_set_proc(p, SLUICE_PROC_OWN), 0);
	assert_int_equal(guest_inside(p, "cpus", "1"), 0);
	sluice_policy_unref(p);
}

/* What @p, which may read @grant, traps of the calls that "load" and its start make. */
static void check_trapped(struct sluice_policy *p, const char *grant, bool opens, bool sysinfo)
{
	struct sluice_spawn_options o = { .size = sizeof(o), .stats = 1 };
	struct sluice_sandbox *s;
	struct sluice_result r;
	char *json;

	assert_int_equal(sluice_policy_allow_read(p, grant, NULL), 0);
	s = guest_spawn(p, &o, "load", "");
	assert_int_equal(sluice_sandbox_wait(s, 20000, &r), 0);
	json = sluice_sandbox_stats_json(s);
	assert_int_equal(strstr(json, "\"openat\"") != NULL, opens);
	assert_int_equal(strstr(json, "\"sysinfo\"") != NULL, sysinfo);
	assert_null(strstr(json, "\"sched_getaffinity\""));
	free(json);
	sluice_sandbox_free(s);
	sluice_policy_unref(p);
}

static void test_mapped_files_have_inside_paths(void **state)
{
	struct test_root root;
	struct sluice_policy *p;
	int shown;

	(void)state;
	root_make(&root);
	p = root_policy(&root);
	assert_int_equal(root_inside(p, "mapped", root.top),
			 0); /* with a root that is the default */
	assert_int_equal(sluice_policy_set_proc(p, SLUICE_PROC_HOST), 0);
	shown = root_inside(p, "mapped", root.top); /* the host's paths */
	assert_true((shown & 3) == 3 && shown < 8);
	assert_int_equal(sluice_policy_set_proc(p, SLUICE_PROC_OWN), 0);
	assert_int_equal(root_inside(p, "mapped", root.top), 0);
	sluice_policy_unref(p);
	root_remove(&root);
}

static void test_mounts_have_the_numbers_that_the_kernel_tells(void **state)
{
	struct sluice_policy *p = policy(true);

	(void)state;
	assert_int_equal(guest_inside(p, "mount-numbers", ""), 0);
	sluice_policy_unref(p);
}

static void test_limits_are_what_is_shown(void **state)
{
	int cpu = sched_getcpu();
	char arg[64], cores[16];

	(void)state;
	snprintf(cores, sizeof(cores), "%d", cpu);
	snprintf(arg, sizeof(arg), "%u %d", 512u << 20, cpu);
	for (int root = 0; root < 2; root++) {
		struct sluice_policy *p = policy(root);

		assert_int_equal(sluice_policy_set_num_cpus(p, 3), 0);
		assert_int_not_equal(guest_inside(p, "limits", arg), 0);
		assert_int_equal(sluice_policy_set_max_memory(p, 512u << 20, NULL), 0);
		assert_int_equal(sluice_policy_set_cpu_cores(p, cores, NULL), 0);
		assert_int_equal(guest_inside(p, "limits", arg), 0);
		sluice_policy_unref(p);
	}
}

static void test_parts_cannot_be_granted(void **state)
{
	static const char *const parts[] = { "/proc/sys", "/proc/self", "/proc/uptime" };
	const char *const argv[] = { "true", NULL };

	(void)state;
	for (size_t i = 0; i < N_OF(parts); i++) {
		struct sluice_policy *p = guest_policy();
		struct sluice_error err = { 0 };

		assert_int_equal(sluice_policy_allow_read(p, parts[i], NULL), 0);
		assert_int_equal(sluice_run(p, argv, NULL, &err), 0);
		assert_int_equal(sluice_policy_set_proc(p, SLUICE_PROC_OWN), 0);
		assert_int_equal(sluice_run(p, argv, NULL, &err), -EINVAL);
		assert_non_null(strstr(err.text, parts[i]));
		assert_non_null(strstr(err.hint, "--proc host"));
		sluice_policy_unref(p);
	}
}

static void test_unused_it_traps_nothing(void **state)
{
	struct sluice_policy *p = sluice_policy_new();

	(void)state;
	check_trapped(p, "/", false, false);
	p = sluice_policy_new();
	assert_int_equal(sluice_policy_set_proc(p, SLUICE_PROC_HOST), 0);
	check_trapped(p, "/", false, false);
	p = sluice_policy_new();
	assert_int_equal(sluice_policy_set_proc(p, SLUICE_PROC_OWN), 0);
	check_trapped(p, "/", true, true);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpus),
		cmocka_unit_test(test_affinity_fails_as_bare),
		cmocka_unit_test(test_one_name),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_own_files_are_as_bare),
		cmocka_unit_test(test_a_policy_says_so),
		cmocka_unit_test(test_mapped_files_have_inside_paths),
		cmocka_unit_test(test_mounts_have_the_numbers_that_the_kernel_tells),
		cmocka_unit_test(test_limits_are_what_is_shown),
		cmocka_unit_test(test_parts_cannot_be_granted),
		cmocka_unit_test(test_unused_it_traps_nothing),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("procfs", tests, NULL, NULL);
}
