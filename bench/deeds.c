/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "deeds.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "place.h"
#include "util/clock.h"

#define BIG_MB_FULL 1024u
#define BIG_MB_QUICK 64u
#define FILES_FULL 10000u
#define FILES_QUICK 1000u
#define IDLE_OPENS 2000u
#define OPENS_MAX 1000000u

/* ---- inside ---- */

static double *opens_us;
static atomic_uint n_opens;
static atomic_bool copied;

static bool open_once(const char *path)
{
	uint64_t begin = clock_now_ns();
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned n = atomic_load(&n_opens);

	if (fd < 0 || n == OPENS_MAX)
		return false;
	opens_us[n] = (double)(clock_now_ns() - begin) / 1e3;
	atomic_store(&n_opens, n + 1);
	close(fd);
	return true;
}

static void *open_until_copied(void *path)
{
	while (!atomic_load(&copied)) {
		if (!open_once(path))
			break;
	}
	return NULL;
}

/* Of the opens from @first on. */
static double p99(unsigned first)
{
	return stats_quantile_of(opens_us + first, atomic_load(&n_opens) - first, 0.99);
}

/* Milliseconds of the first open for writing of @big, and p99 of opens of @other before it and meanwhile. */
static int guest_copy_up(const char *big, char *other)
{
	double idle, ms;
	pthread_t thread;
	uint64_t begin;
	int fd;

	opens_us = calloc(OPENS_MAX, sizeof(*opens_us));
	if (!opens_us)
		return 2;
	while (atomic_load(&n_opens) < IDLE_OPENS) {
		if (!open_once(other))
			return 3;
	}
	idle = p99(0);
	if (pthread_create(&thread, NULL, open_until_copied, other) != 0)
		return 4;
	begin = clock_now_ns();
	fd = open(big, O_WRONLY | O_CLOEXEC);
	ms = (double)(clock_now_ns() - begin) / 1e6;
	atomic_store(&copied, true);
	pthread_join(thread, NULL);
	if (fd < 0 || write(fd, "x", 1) != 1)
		return 5;
	printf("%f %f %f\n", ms, idle, p99(IDLE_OPENS));
	return fflush(stdout) == 0 ? 0 : 6;
}

static int make_many(const char *dir, unsigned n)
{
	char path[PATH_MAX];

	if (mkdir(dir, 0755) < 0)
		return -1;
	for (unsigned i = 0; i < n; i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/%u", dir, i);
		fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
		if (fd < 0 || write(fd, path, 16) != 16)
			return -1;
		close(fd);
	}
	return 0;
}

static int command(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int command(const char *format, ...)
{
	char text[4 * PATH_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return system(text) == 0 ? 0 : -1;
}

/* Milliseconds of a `rm -rf` of @n new files. */
static int guest_rm(const char *dir, unsigned n)
{
	uint64_t begin;

	if (make_many(dir, n) < 0)
		return 2;
	begin = clock_now_ns();
	if (command("rm -rf '%s'", dir) < 0)
		return 3;
	printf("%f\n", (double)(clock_now_ns() - begin) / 1e6);
	return fflush(stdout) == 0 ? 0 : 4;
}

int deed_be_guest(int argc, char *argv[])
{
	if (argc == 4 && !strcmp(argv[1], "--copy-up"))
		return guest_copy_up(argv[2], argv[3]);
	if (argc == 4 && !strcmp(argv[1], "--rm"))
		return guest_rm(argv[2], (unsigned)strtoul(argv[3], NULL, 10));
	if (argc == 4 && !strcmp(argv[1], "--many"))
		return make_many(argv[2], (unsigned)strtoul(argv[3], NULL, 10)) < 0 ? 2 : 0;
	return -1;
}

/* ---- outside ---- */

static unsigned files_of(const struct deed_place *p)
{
	return p->quick ? FILES_QUICK : FILES_FULL;
}

/* Run the command and read @n numbers from what it prints. */
static int numbers_of(const char *text, double *ret, unsigned n)
{
	const char *const argv[] = { "sh", "-c", text, NULL };

	return place_figures(argv, ret, n);
}

/* Of the same command, under copy-on-write of DIR/lower. */
static int inside(const struct deed_place *p, const char *end, const char *args, double *ret,
		  unsigned n)
{
	char text[5 * PATH_MAX];

	snprintf(text, sizeof(text),
		 "'%s' run --quiet --workdir '%s/lower' --fs-storage '%s/storage' --name deed "
		 "--on-exit %s -r / -w /dev/null -- '%s' %s",
		 p->command, p->dir, p->dir, end, p->self, args);
	return numbers_of(text, ret, n);
}

static int timed(const char *text, double *ret_ms)
{
	uint64_t begin = clock_now_ns();

	if (command("%s", text) < 0)
		return report_failure("failed: %s", text), -1;
	*ret_ms = (double)(clock_now_ns() - begin) / 1e6;
	return 0;
}

static int copy_up_round(const struct deed_place *p, struct deed *d, unsigned round)
{
	char args[3 * PATH_MAX];
	double figures[3];

	if (command("head -c %uM /dev/urandom >'%s/lower/big' && echo x >'%s/lower/small' && sync -f '%s'",
		    p->quick ? BIG_MB_QUICK : BIG_MB_FULL, p->dir, p->dir, p->dir) < 0)
		return report_failure("no room for a large file in %s", p->dir), -1;
	snprintf(args, sizeof(args), "cp --reflink=auto '%s/lower/big' '%s/copy'", p->dir, p->dir);
	if (timed(args, &d->reference_ms[round]) < 0)
		return -1;
	command("rm '%s/copy' && sync -f '%s'", p->dir, p->dir);
	snprintf(args, sizeof(args), "--copy-up '%s/lower/big' '%s/lower/small'", p->dir, p->dir);
	if (inside(p, "abort", args, figures, 3) < 0)
		return -1;
	d->ms[round] = figures[0];
	d->idle_p99_us[round] = figures[1];
	d->busy_p99_us[round] = figures[2];
	return 0;
}

static int commit_round(const struct deed_place *p, struct deed *d, unsigned round)
{
	char text[4 * PATH_MAX];
	double nothing;

	if (command("'%s' --many '%s/new' %u && mkdir '%s/moved'", p->self, p->dir, files_of(p),
		    p->dir) < 0)
		return report_failure("no room for files in %s", p->dir), -1;
	snprintf(text, sizeof(text), "cd '%s' && mv new/* moved && sync -f .", p->dir);
	if (timed(text, &d->reference_ms[round]) < 0)
		return -1;
	snprintf(text, sizeof(text), "--many '%s/lower/new' %u", p->dir, files_of(p));
	if (inside(p, "keep", text, &nothing, 0) < 0)
		return -1;
	snprintf(text, sizeof(text), "'%s' cow commit --quiet --fs-storage '%s/storage' deed",
		 p->command, p->dir);
	return timed(text, &d->ms[round]);
}

static int rm_round(const struct deed_place *p, struct deed *d, unsigned round)
{
	char text[4 * PATH_MAX];

	snprintf(text, sizeof(text), "'%s' --rm '%s/plain' %u", p->self, p->dir, files_of(p));
	if (numbers_of(text, &d->reference_ms[round], 1) < 0)
		return -1;
	snprintf(text, sizeof(text), "--rm '%s/lower/new' %u", p->dir, files_of(p));
	return inside(p, "abort", text, &d->ms[round], 1);
}

struct deed deeds[DEEDS] = {
	{ .name = "copy_up", .run = copy_up_round, .bound = 1.1 },
	{ .name = "commit", .run = commit_round, .bound = 1.5 },
	{ .name = "rm", .run = rm_round, .bound = 3 },
};

int deed_round(const struct deed_place *p, struct deed *d, unsigned round)
{
	int r = command("mkdir -p '%s/lower' '%s/storage'", p->dir, p->dir);

	if (r < 0)
		return report_failure("%s: no directory", p->dir), -1;
	r = d->run(p, d, round);
	command("rm -rf '%s'", p->dir);
	return r;
}
