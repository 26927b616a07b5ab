/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- where ---- */

static int find_programs(struct place *p)
{
	ssize_t n = readlink("/proc/self/exe", p->self, sizeof(p->self) - 1);
	char dir[PATH_MAX - 64];

	if (n < 0)
		return report_failure("/proc/self/exe: %s", strerror(errno)), -1;
	p->self[n] = '\0';
	snprintf(dir, sizeof(dir), "%.4000s", p->self);
	snprintf(p->command, sizeof(p->command), "%s/../src/sluice", dirname(dir));
	if (access(p->command, X_OK) < 0)
		return report_failure("%s: %s", p->command, strerror(errno)), -1;
	return 0;
}

/* --json and --plot name files in the directory where we were started. */
static const char *absolute(const char *path)
{
	char here[PATH_MAX], *whole;

	if (!path || *path == '/' || !getcwd(here, sizeof(here)))
		return path;
	return asprintf(&whole, "%s/%s", here, path) < 0 ? path : whole;
}

int place_make(struct place *p, struct options *o)
{
	const char *tmp = getenv("TMPDIR");

	o->json = absolute(o->json);
	o->plot = absolute(o->plot);
	if (find_programs(p) < 0)
		return -1;
	snprintf(p->dir, sizeof(p->dir), "%s/sluice-bench.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(p->dir) || chdir(p->dir) < 0)
		return report_failure("%s: %s", p->dir, strerror(errno)), -1;
	setenv("TMPDIR", p->dir, 1); /* the one place that may be written */
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void place_remove(const struct place *p)
{
	if (chdir("/") == 0 && p->dir[0])
		nftw(p->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

bool place_has(const char *program)
{
	char command[100];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", program);
	return system(command) == 0;
}

/* ---- starting ---- */

int place_run(const char *const argv[], int out)
{
	posix_spawn_file_actions_t actions;
	int status, r;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	if (out >= 0)
		posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	/* posix_spawn changes none of the strings */
	r = posix_spawnp(&pid, argv[0], &actions, NULL, (char **)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0) {
		report_failure("%s: %s", argv[0], strerror(r));
		return -1;
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -1;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		report_failure("%s: status 0x%x", argv[0], status);
		return -1;
	}
	return 0;
}

int place_figures(const char *const argv[], double *ret, unsigned n)
{
	char text[256] = "", *at = text, *end;
	unsigned got = 0;
	int out[2], r;

	if (pipe2(out, O_CLOEXEC) < 0)
		return report_failure("pipe: %s", strerror(errno)), -1;
	r = place_run(argv, out[1]);
	close(out[1]);
	if (r == 0 && read(out[0], text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(out[0]);
	for (; got < n; got++, at = end) {
		ret[got] = strtod(at, &end);
		if (end == at)
			break;
	}
	if (r == 0 && got < n)
		return report_failure("no figure: %s", text), -1;
	return r;
}
