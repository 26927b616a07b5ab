/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sandboxes cost while nothing happens in them, and what a busy one costs its neighbour.
 *
 * Memory: N sandboxes of a guest that sleeps, against N bare processes of the same guest in the same run, so what the guest itself takes goes out of
 * the figure. Ours is what this process has more (private pages: heap, stacks) and what the kernel has more (slabs, stacks, page tables,
 * programs, per machine: on a busy machine others are in it, hence medians). The init process of a sandbox shares our memory.
 * Sandboxes that were never called and such as have answered one call are measured apart: the second have a receiver.
 * Neighbours: the latency of one client alone, beside a second sandbox that makes calls all the time, and beside the N idle ones; the same
 * for hand-written supervisors, which is what the machine itself does to neighbours.
 */
#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <malloc.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sluice/sluice.h>

#include "floor.h"
#include "report.h"
#include "stats.h"
#include "subject.h"
#include "util/clock.h"

#define SANDBOXES_FULL 500u
#define SANDBOXES_QUICK 100u
#define MEMORY_ROUNDS 3u /* at most: each starts 3 N processes */
#define ROUND_NS_FULL 200000000u
#define ROUND_NS_QUICK 40000000u

static char helper[PATH_MAX];

/* ---- what is in use ---- */

enum {
	USER_KIB,
	KERNEL_KIB,
	THREADS,
	FDS,
	N_USES
};

struct use {
	double of[N_USES];
};

/* The number after @key in a file of "Key:  N kB" lines; 0 where there is none. */
static double file_kib(const char *path, const char *key)
{
	FILE *f = fopen(path, "re");
	size_t n = strlen(key);
	double value = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, key, n) && line[n] == ':')
			value = strtod(line + n + 1, NULL);
	}
	if (f)
		fclose(f);
	return value;
}

static double count_entries(const char *path)
{
	DIR *d = opendir(path);
	double n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static struct use use_now(void)
{
	static const char meminfo[] = "/proc/meminfo", ours[] = "/proc/self/smaps_rollup";
	double stacks = file_kib(meminfo, "KernelStack"), mapped = file_kib(meminfo, "VmallocUsed");
	struct use u;

	u.of[USER_KIB] = file_kib(ours, "Private_Dirty") + file_kib(ours, "Private_Clean");
	/* kernel stacks are in the mapped part where they are mapped, and that is where filters are too */
	u.of[KERNEL_KIB] = file_kib(meminfo, "Slab") + file_kib(meminfo, "PageTables") +
			   file_kib(meminfo, "Percpu") + (mapped > stacks ? mapped : stacks);
	u.of[THREADS] = count_entries("/proc/self/task");
	u.of[FDS] = count_entries("/proc/self/fd");
	return u;
}

static struct use use_less(struct use a, const struct use *b, unsigned n)
{
	for (int i = 0; i < N_USES; i++)
		a.of[i] = (a.of[i] - b->of[i]) / n;
	return a;
}

/* ---- many sandboxes ---- */

struct crowd {
	unsigned n;
	struct sluice_policy *policy;
	struct sluice_sandbox **sandboxes;
	pid_t *bare;
	sem_t answered;
};

static struct sluice_verdict on_call(struct sluice_request *req, void *userdata)
{
	sem_post(userdata);
	return sluice_value(AREA_ANSWER);
}

static int crowd_init(struct crowd *c, unsigned n)
{
	memset(c, 0, sizeof(*c));
	c->n = n;
	c->policy = sluice_policy_new();
	c->sandboxes = calloc(n, sizeof(struct sluice_sandbox *));
	c->bare = calloc(n, sizeof(pid_t));
	sem_init(&c->answered, 0, 0);
	if (!c->policy || !c->sandboxes || !c->bare ||
	    sluice_policy_allow_read(c->policy, "/", NULL) < 0)
		return report_failure("%s", strerror(ENOMEM)), -1;
	return 0;
}

/* Start them all and, where @what is `call`, wait for the call of each. */
static int crowd_start(struct crowd *c, const char *what)
{
	const char *const argv[] = { helper, what, NULL };
	const struct sluice_handler handler = { .nr = AREA_NR_PROMPT,
						.fn = on_call,
						.userdata = &c->answered };
	const struct sluice_spawn_options options = { .size = sizeof(options),
						      .extras = &handler,
						      .n_extras = 1 };
	struct sluice_error err = { 0 };

	for (unsigned i = 0; i < c->n; i++) {
		if (sluice_spawn(c->policy, argv, &options, &c->sandboxes[i], &err) < 0)
			return report_failure("sandbox %u of %u: %s", i + 1, c->n, err.text), -1;
	}
	for (unsigned i = 0; i < c->n && !strcmp(what, "call"); i++) {
		while (sem_wait(&c->answered) < 0)
			;
	}
	return 0;
}

static int crowd_start_bare(struct crowd *c)
{
	const char *const argv[] = { helper, "pause", NULL };

	for (unsigned i = 0; i < c->n; i++) {
		int r = posix_spawn(&c->bare[i], helper, NULL, NULL, (char **)(uintptr_t)argv,
				    environ);

		if (r != 0) {
			c->bare[i] = 0;
			return report_failure("process %u of %u: %s", i + 1, c->n, strerror(r)), -1;
		}
	}
	return 0;
}

static void crowd_stop(struct crowd *c)
{
	for (unsigned i = 0; i < c->n; i++) {
		c->sandboxes[i] = sluice_sandbox_free(c->sandboxes[i]);
		if (c->bare[i] > 0) {
			kill(c->bare[i], SIGKILL);
			waitpid(c->bare[i], NULL, 0);
		}
		c->bare[i] = 0;
	}
	malloc_trim(0); /* else the next ones find our heap in place and seem to take none */
}

static void crowd_fini(struct crowd *c)
{
	crowd_stop(c);
	sluice_policy_unref(c->policy);
	sem_destroy(&c->answered);
	free(c->sandboxes);
	free(c->bare);
}

/* ---- memory ---- */

enum {
	BARE,
	UNCALLED,
	CALLED,
	N_STATES
};
static const char *const state_names[N_STATES] = { "bare", "never called", "called once" };

static int measure_state(struct crowd *c, int state, struct use *ret)
{
	struct use before = use_now();
	int r = state == BARE ? crowd_start_bare(c)
			      : crowd_start(c, state == CALLED ? "call" : "pause");

	if (r == 0)
		*ret = use_less(use_now(), &before, c->n);
	crowd_stop(c);
	return r;
}

/* Uses of each sandbox, medians, less what a bare guest takes of the kernel. */
static int measure_memory(struct crowd *c, unsigned rounds, struct use ret[N_STATES])
{
	struct use seen[N_STATES][MEMORY_ROUNDS], warm_up;

	/* the first of all also pays for what stays: arenas of threads, slabs */
	if (measure_state(c, UNCALLED, &warm_up) < 0)
		return -1;
	for (unsigned i = 0; i < rounds; i++) {
		for (int state = BARE; state < N_STATES; state++) {
			if (measure_state(c, state, &seen[state][i]) < 0)
				return -1;
		}
	}
	for (int state = BARE; state < N_STATES; state++) {
		for (int k = 0; k < N_USES; k++) {
			double values[MEMORY_ROUNDS];

			for (unsigned i = 0; i < rounds; i++)
				values[i] = seen[state][i].of[k];
			ret[state].of[k] = stats_median_of(values, rounds);
		}
		if (state != BARE)
			ret[state].of[KERNEL_KIB] -= ret[BARE].of[KERNEL_KIB];
	}
	return 0;
}

/* ---- neighbours ---- */

enum {
	ALONE,
	BESIDE,
	FLOOR_ALONE,
	FLOOR_BESIDE,
	N_SITUATIONS
};

struct pair {
	struct area *area[2]; /* whose latency counts; the busy neighbour */
	struct subject *subject[2];
	struct floor *floor[2];
};

static int pair_start(struct pair *p, bool library)
{
	const struct subject_config config = {
		.mode = SLUICE_DISPATCH_ADAPTIVE,
		.clients = 1,
		.sandboxes = 1,
		.chain = 1,
	};
	struct sluice_error err = { 0 };

	memset(p, 0, sizeof(*p));
	for (int i = 0; i < 2; i++) {
		int r = library ? subject_start(&config, &p->subject[i], &err)
				: floor_start(FLOOR_RAW, 1, &p->floor[i]);

		if (r < 0)
			return report_failure("neighbours: %s",
					      err.text[0] ? err.text : strerror(-r)),
			       -1;
		p->area[i] = library ? subject_area(p->subject[i]) : floor_area(p->floor[i]);
		p->area[i]->op = AREA_PROMPT;
	}
	return 0;
}

static void pair_stop(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		subject_stop(p->subject[i]);
		floor_stop(p->floor[i]);
	}
}

/* p50 of the first, while the second is busy or not. */
static int pair_round(struct pair *p, bool busy, uint64_t ns, double *ret_us)
{
	int r;

	p->area[0]->duration_ns = ns;
	p->area[1]->duration_ns = ns + ns / 2;
	if (busy)
		area_begin(p->area[1], 1);
	r = area_round(p->area[0], 1);
	if (busy && r == 0)
		r = area_wait_end(p->area[1]);
	if (r < 0)
		return report_failure("neighbours: a guest does not come to an end"), -1;
	*ret_us = stats_round(p->area[0], 0).p50_us;
	return 0;
}

static int measure_pairs(struct pair pairs[2], const struct options *o, double ret[N_SITUATIONS])
{
	uint64_t ns = o->quick ? ROUND_NS_QUICK : ROUND_NS_FULL;
	double seen[N_SITUATIONS][STATS_ROUNDS_MAX], warm_up;

	for (int k = 0; k < N_SITUATIONS; k++) {
		if (pair_round(&pairs[k / 2], k & 1, ns / 2, &warm_up) < 0)
			return -1;
	}
	for (unsigned i = 0; i < o->rounds; i++) {
		for (unsigned k = 0; k < N_SITUATIONS; k++) {
			unsigned who = (k + i) % N_SITUATIONS;

			if (pair_round(&pairs[who / 2], who & 1, ns, &seen[who][i]) < 0)
				return -1;
		}
	}
	for (int k = 0; k < N_SITUATIONS; k++)
		ret[k] = stats_median_of(seen[k], o->rounds);
	return 0;
}

static int measure_neighbours(struct crowd *c, const struct options *o, double ret[N_SITUATIONS],
			      double *ret_with_idle)
{
	double with_idle[N_SITUATIONS];
	struct pair pairs[2];
	int r = pair_start(&pairs[0], true);

	if (r == 0)
		r = pair_start(&pairs[1], false);
	else
		memset(&pairs[1], 0, sizeof(pairs[1]));
	if (r == 0)
		r = measure_pairs(pairs, o, ret);
	if (r == 0)
		r = crowd_start(c, "call");
	if (r == 0)
		r = measure_pairs(pairs, o, with_idle);
	crowd_stop(c);
	pair_stop(&pairs[0]);
	pair_stop(&pairs[1]);
	*ret_with_idle = with_idle[ALONE];
	return r;
}

/* ---- report ---- */

static json_t *report_rows(const struct use use[N_STATES], unsigned n,
			   const double p50[N_SITUATIONS], double with_idle)
{
	json_t *rows = json_array();

	printf("%-14s %10s %10s %10s %9s %9s\n", "of each", "user KiB", "kernel KiB", "together",
	       "threads", "fds");
	for (int s = BARE; s < N_STATES; s++) {
		const double *of = use[s].of;

		printf("%-14s %10.1f %10.1f %10.1f %9.1f %9.1f\n", state_names[s], of[USER_KIB],
		       of[KERNEL_KIB], of[USER_KIB] + of[KERNEL_KIB], of[THREADS], of[FDS]);
		json_array_append_new(rows, json_pack("{s:s, s:s, s:i, s:f, s:f, s:f, s:f, s:f}",
						      "name", "memory", "state", state_names[s],
						      "sandboxes", (int)n, "user_kib", of[USER_KIB],
						      "kernel_kib", of[KERNEL_KIB], "total_kib",
						      of[USER_KIB] + of[KERNEL_KIB], "threads",
						      of[THREADS], "fds", of[FDS]));
	}
	printf("\np50 us: alone %.2f, beside a busy sandbox %.2f, beside %u idle ones %.2f; "
	       "floor alone %.2f, beside a busy one %.2f\n",
	       p50[ALONE], p50[BESIDE], n, with_idle, p50[FLOOR_ALONE], p50[FLOOR_BESIDE]);
	json_array_append_new(rows,
			      json_pack("{s:s, s:i, s:f, s:f, s:f, s:f, s:f}", "name", "neighbour",
					"sandboxes", (int)n, "alone_p50_us", p50[ALONE],
					"beside_busy_p50_us", p50[BESIDE], "beside_idle_p50_us",
					with_idle, "floor_p50_us", p50[FLOOR_ALONE],
					"floor_beside_busy_p50_us", p50[FLOOR_BESIDE]));
	return rows;
}

static json_t *judge(const struct use use[N_STATES], const double p50[N_SITUATIONS],
		     double with_idle)
{
	const double *un = use[UNCALLED].of, *called = use[CALLED].of;
	const struct target t[] = {
		{ "idle sandbox, never called: KiB of ours, user and kernel", 64, false,
		  un[USER_KIB] + un[KERNEL_KIB], true },
		{ "idle sandbox, called once: KiB of ours, user and kernel", 64, false,
		  called[USER_KIB] + called[KERNEL_KIB], true },
		{ "p50 beside a busy sandbox / alone", 1.1, false, p50[BESIDE] / p50[ALONE], true },
		{ "p50 beside idle sandboxes / without", 1.1, false, with_idle / p50[ALONE], true },
	};

	return report_targets(t, sizeof(t) / sizeof(t[0]));
}

static int find_helper(void)
{
	char self[PATH_MAX - 8];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return -1;
	self[n] = '\0';
	snprintf(helper, sizeof(helper), "%s/true", dirname(self));
	return access(helper, X_OK);
}

static void raise_limits(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

int main(int argc, char *argv[])
{
	struct use use[N_STATES];
	double p50[N_SITUATIONS], with_idle = 0;
	struct crowd crowd;
	struct options o;
	json_t *meta;
	unsigned n;
	int r;

	floor_be_guest(argc, argv);
	options_parse(&o, argc, argv, NULL, false);
	if (find_helper() < 0)
		return report_failure("%s: %s", helper, strerror(errno));
	raise_limits();
	n = o.quick ? SANDBOXES_QUICK : SANDBOXES_FULL;
	meta = report_meta(&o);
	report_heading(meta);
	r = crowd_init(&crowd, n);
	if (r == 0)
		r = measure_memory(&crowd, o.rounds < MEMORY_ROUNDS ? o.rounds : MEMORY_ROUNDS,
				   use);
	if (r == 0)
		r = measure_neighbours(&crowd, &o, p50, &with_idle);
	crowd_fini(&crowd);
	if (r == 0) {
		json_t *rows = report_rows(use, n, p50, with_idle);

		r = report_write(&o, json_incref(meta), rows, judge(use, p50, with_idle));
	}
	json_decref(meta);
	return r == 0 ? 0 : 1;
}
