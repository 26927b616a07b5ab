/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long it takes to start a program, let it end and know that it did: bare, in a sandbox of the library, with the command, and with
 * bubblewrap where that is installed. All take turns, one start each.
 *
 * The policy is that of `sluice run` without flags. A cold one is made, compiled and dropped for each start; a warm one has been used before.
 * Single-threaded but for the library's own threads. Exit status 1 when something that is there could not be started.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sluice/sluice.h>

#include "report.h"
#include "stats.h"
#include "util/clock.h"

#define STARTS_FULL 60u /* of each, a round */
#define STARTS_QUICK 12u

struct bench {
	char helper[PATH_MAX];	/* the static program */
	char command[PATH_MAX]; /* sluice */
	struct sluice_policy *warm;
};

struct start {
	const char *name;
	int (*run)(struct bench *b); /* 0, or -1 after a message */
	const char *skipped;	     /* why, or NULL */
	double *us;		     /* of this round */
	double p50[STATS_ROUNDS_MAX], p90[STATS_ROUNDS_MAX], max[STATS_ROUNDS_MAX];
	double p50_us, p90_us, max_us;
};

/* ---- ways to start ---- */

static int spawn_and_wait(const char *file, const char *const argv[])
{
	int status, r;
	pid_t pid;

	/* posix_spawn changes none of the strings */
	r = posix_spawnp(&pid, file, NULL, NULL, (char **)(uintptr_t)argv, environ);
	if (r != 0) {
		report_failure("%s: %s", file, strerror(r));
		return -1;
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status)) {
		report_failure("%s failed", file);
		return -1;
	}
	return 0;
}

static int run_bare(struct bench *b)
{
	const char *const argv[] = { b->helper, NULL };

	return spawn_and_wait(b->helper, argv);
}

static int run_bare_true(struct bench *b)
{
	const char *const argv[] = { "true", NULL };

	return spawn_and_wait("true", argv);
}

static struct sluice_policy *new_policy(void)
{
	struct sluice_policy *p = sluice_policy_new();
	struct sluice_error err = { 0 };

	if (p && sluice_policy_allow_system(p, &err) == 0)
		return p;
	report_failure("policy: %s", err.text);
	return sluice_policy_unref(p);
}

/* The helper may be anywhere: readable by name, in any policy. */
static int run_policy(struct bench *b, struct sluice_policy *p)
{
	const char *const argv[] = { b->helper, NULL };
	struct sluice_error err = { 0 };
	struct sluice_result result;
	int r = sluice_run(p, argv, &result, &err);

	if (r == 0 && result.end == SLUICE_ENDED_EXIT && result.exit_code == 0)
		return 0;
	report_failure("sandbox: %s", r < 0 ? err.text : "the command failed");
	return -1;
}

static struct sluice_policy *new_policy_for(struct bench *b)
{
	struct sluice_policy *p = new_policy();
	struct sluice_error err = { 0 };

	if (!p || sluice_policy_allow_read(p, b->helper, &err) == 0)
		return p;
	report_failure("policy: %s", err.text);
	return sluice_policy_unref(p);
}

static int run_cold(struct bench *b)
{
	struct sluice_policy *p = new_policy_for(b);
	int r = p ? run_policy(b, p) : -1;

	sluice_policy_unref(p);
	return r;
}

static int run_warm(struct bench *b)
{
	return run_policy(b, b->warm);
}

static int run_command(struct bench *b)
{
	const char *const argv[] = { "sluice", "run", "--", "true", NULL };

	return spawn_and_wait(b->command, argv);
}

static int run_bwrap(struct bench *b)
{
	const char *const argv[] = { "bwrap", "--ro-bind", "/", "/", "true", NULL };

	return spawn_and_wait("bwrap", argv);
}

enum {
	BARE,
	COLD,
	WARM,
	BARE_TRUE,
	COMMAND,
	BWRAP,
	N_STARTS
};

static struct start starts[N_STARTS] = {
	[BARE] = { "posix_spawn", run_bare },
	[COLD] = { "library_cold", run_cold },
	[WARM] = { "library_warm", run_warm },
	[BARE_TRUE] = { "posix_spawn_true", run_bare_true },
	[COMMAND] = { "sluice_run_true", run_command },
	[BWRAP] = { "bwrap_true", run_bwrap },
};

/* ---- rounds ---- */

static int compare_doubles(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int one_start(struct start *s, struct bench *b, double *ret_us)
{
	uint64_t begin = clock_now_ns();

	if (s->run(b) < 0)
		return -1;
	*ret_us = (double)(clock_now_ns() - begin) / 1000.0;
	return 0;
}

static int run_round(struct bench *b, unsigned round, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		for (unsigned k = 0; k < N_STARTS; k++) {
			struct start *s = &starts[(k + i) % N_STARTS];

			if (!s->skipped && one_start(s, b, &s->us[i]) < 0)
				return -1;
		}
	}
	for (unsigned k = 0; k < N_STARTS; k++) {
		struct start *s = &starts[k];

		if (s->skipped)
			continue;
		qsort(s->us, n, sizeof(*s->us), compare_doubles);
		s->p50[round] = s->us[n / 2];
		s->p90[round] = s->us[n * 9 / 10];
		s->max[round] = s->us[n - 1];
	}
	return 0;
}

static int run_rounds(struct bench *b, const struct options *o)
{
	unsigned n = o->quick ? STARTS_QUICK : STARTS_FULL;
	double us;

	for (unsigned k = 0; k < N_STARTS; k++) {
		starts[k].us = calloc(n, sizeof(double));
		if (!starts[k].us)
			return report_failure("%s", strerror(ENOMEM)), -1;
		for (int i = 0; i < 3 && !starts[k].skipped; i++) {
			if (one_start(&starts[k], b, &us) < 0)
				return -1;
		}
	}
	for (unsigned round = 0; round < o->rounds; round++) {
		if (run_round(b, round, n) < 0)
			return -1;
	}
	for (unsigned k = 0; k < N_STARTS; k++) {
		struct start *s = &starts[k];

		s->p50_us = stats_median_of(s->p50, o->rounds);
		s->p90_us = stats_median_of(s->p90, o->rounds);
		s->max_us = stats_median_of(s->max, o->rounds);
	}
	return 0;
}

/* ---- report ---- */

static double ratio(unsigned a, unsigned b)
{
	return starts[b].p50_us > 0 ? starts[a].p50_us / starts[b].p50_us : 0;
}

static json_t *report_rows(void)
{
	json_t *rows = json_array();

	printf("%-18s %10s %10s %10s %8s\n", "start", "p50 us", "p90", "max", "ratio");
	for (unsigned k = 0; k < N_STARTS; k++) {
		const struct start *s = &starts[k];

		if (s->skipped) {
			printf("%-18s not measured: %s\n", s->name, s->skipped);
			json_array_append_new(rows, json_pack("{s:s, s:s}", "name", s->name,
							      "skipped", s->skipped));
			continue;
		}
		printf("%-18s %10.0f %10.0f %10.0f %8.2f\n", s->name, s->p50_us, s->p90_us,
		       s->max_us, ratio(k, BARE));
		json_array_append_new(rows,
				      json_pack("{s:s, s:f, s:f, s:f, s:f}", "name", s->name,
						"p50_us", s->p50_us, "p90_us", s->p90_us, "max_us",
						s->max_us, "ratio", ratio(k, BARE)));
	}
	return rows;
}

static json_t *judge(void)
{
	const struct target t[] = {
		{ "library, warm policy / posix_spawn of the same program", 1.3, false,
		  ratio(WARM, BARE), true },
		{ "sluice run -- true / bwrap --ro-bind / / true", 1, false, ratio(COMMAND, BWRAP),
		  !starts[COMMAND].skipped && !starts[BWRAP].skipped },
	};

	return report_targets(t, sizeof(t) / sizeof(t[0]));
}

/* ---- what is there ---- */

/* Helper and command lie where the build has put them, seen from this program. */
static int find_programs(struct bench *b)
{
	char self[PATH_MAX - 64];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *dir;

	if (n < 0)
		return report_failure("/proc/self/exe: %s", strerror(errno)), -1;
	self[n] = '\0';
	dir = dirname(self);
	snprintf(b->helper, sizeof(b->helper), "%s/true", dir);
	snprintf(b->command, sizeof(b->command), "%s/../src/sluice", dir);
	if (access(b->helper, X_OK) < 0)
		return report_failure("%s: %s", b->helper, strerror(errno)), -1;
	if (access(b->command, X_OK) < 0)
		starts[COMMAND].skipped = "the sluice command is not built";
	return 0;
}

/* Installed, and allowed to work here: it needs a user namespace or root. */
static void probe_bwrap(void)
{
	const char *const argv[] = { "sh", "-c", "bwrap --ro-bind / / true 2>/dev/null", NULL };
	int status;
	pid_t pid;

	if (posix_spawnp(&pid, "sh", NULL, NULL, (char **)(uintptr_t)argv, environ) != 0 ||
	    waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status))
		starts[BWRAP].skipped = "bubblewrap is not installed or may not run here";
}

int main(int argc, char *argv[])
{
	static struct bench b;
	struct options o;
	json_t *meta;
	int r;

	options_parse(&o, argc, argv, NULL, false);
	if (find_programs(&b) < 0)
		return 1;
	probe_bwrap();
	b.warm = new_policy_for(&b);
	if (!b.warm)
		return 1;
	meta = report_meta(&o);
	report_heading(meta);
	r = run_rounds(&b, &o);
	if (r == 0) {
		json_t *rows = report_rows();

		r = report_write(&o, meta, rows, judge());
	}
	sluice_policy_unref(b.warm);
	for (unsigned k = 0; k < N_STARTS; k++)
		free(starts[k].us);
	return r == 0 ? 0 : 1;
}
