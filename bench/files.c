/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tree of the command's own costs: single calls against the no-op floor and the bare call, under a root directory and under copy-on-write; whole commands
 * against the same commands bare and, where it is installed, under bubblewrap; and what copy-on-write does at a time (deeds.h). The root is a directory of its
 * own on which each directory of the host's "/" is mounted, so all see the same files ("--chroot /" would be the host's own tree, of which little is trapped).
 *
 * All take turns in every round; figures are medians over the rounds. Wall time of commands includes the start of the sandbox.
 * Exit status 1 when something that is there could not be measured.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "deeds.h"
#include "floor.h"
#include "place.h"
#include "report.h"
#include "stats.h"
#include "util/clock.h"

#define CALLS_FULL 20000u /* of each kind, a round */
#define CALLS_QUICK 4000u
#define FLOOR_NS_FULL 500000000u
#define FLOOR_NS_QUICK 200000000u
#define ARGS_MAX 100
#define MOUNTS_MAX 40
#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

enum way {
	BARE,
	CHROOT,
	COW, /* calls only */
	BWRAP,
	WAYS
};
static const char *const way_names[WAYS] = { "bare", "chroot", "cow", "bwrap" };

struct bench {
	struct place place;
	char lower[PATH_MAX], make[PATH_MAX], storage[PATH_MAX], deeds[PATH_MAX],
		root[PATH_MAX];			   /* in it */
	char file[PATH_MAX];			   /* in lower */
	char mounts[MOUNTS_MAX][2 * NAME_MAX + 4]; /* "/usr:/usr", on root */
	size_t n_mounts;
	bool has_bwrap;
	unsigned calls;
	double floor[STATS_ROUNDS_MAX];
	double floor_us;
};

/* Microseconds or, of commands, milliseconds. */
struct series {
	double round[WAYS][STATS_ROUNDS_MAX];
	double median[WAYS];
};

/* ---- single calls: how the bench starts itself ---- */

struct call {
	const char *name;
	int (*make)(const char *path);
	double bound; /* x floor */
	bool plus_bare;
	bool copied; /* of a file that is in the branch already */
	struct series s;
};

static int call_stat(const char *path)
{
	struct stat st;

	return (int)syscall(SYS_newfstatat, AT_FDCWD, path, &st, 0);
}

static int call_open(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Of what is no link, as compilers do it for each directory of a path. */
static int call_readlink(const char *path)
{
	char text[256];

	return readlink(path, text, sizeof(text)) < 0 && errno == EINVAL ? 0 : -1;
}

static int call_access(const char *path)
{
	return access(path, R_OK);
}

static struct call calls[] = {
	{ "stat", call_stat, 2.2, false },
	{ "open", call_open, 3.2, true },
	{ "open_copied", call_open, 3.2, true, true },
	{ "readlink", call_readlink, 2.2, false },
	{ "access", call_access, 2.2, false },
};

/* The branch has something to say from now on: of the file itself or of another one beside it. */
static int change(const char *path, bool itself)
{
	char other[PATH_MAX];
	int fd;

	snprintf(other, sizeof(other), "%s%s", path, itself ? "" : ".new");
	fd = open(other, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0)
		return -1;
	return write(fd, "x", 1) == 1 ? close(fd) : -1;
}

/* `--calls NAME PATH N WAY`: prints the median in nanoseconds. */
static int measure_calls(const char *name, const char *path, unsigned n, bool in_branch)
{
	double *ns = calloc(n, sizeof(*ns));
	const struct call *c = calls;

	while (c < calls + N_OF(calls) && strcmp(c->name, name) != 0)
		c++;
	if (!ns || !n || c == calls + N_OF(calls))
		return 2;
	if (in_branch && change(path, c->copied) < 0)
		return 5;
	for (unsigned i = 0; i < n; i++) {
		uint64_t begin = clock_now_ns();
		int r = c->make(path);

		ns[i] = (double)(clock_now_ns() - begin);
		if (r < 0)
			return 3;
		if (r > 2)
			close(r);
	}
	printf("%.1f\n", stats_median_of(ns, n));
	return fflush(stdout) == 0 ? 0 : 4;
}

/* ---- commands ---- */

struct job {
	const char *name;
	const char *script; /* in a shell, in our directory */
	const char *needs;  /* a program; NULL */
	double bound;	    /* x bare */
	bool in_branch;	    /* in make/, which is copy-on-write as well */
	const char *skipped;
	struct series s;
};

static struct job jobs[] = {
	{ "find", "find /usr/include >/dev/null", NULL, 3 },
	/* tar itself knows /dev/null, and then reads nothing */
	{ "tar", "tar -cf - /usr/include 2>/dev/null | cat >/dev/null", NULL, 3 },
	{ "grep", "grep -r no_such_word_anywhere /usr/include >/dev/null; true", NULL, 3 },
	{ "git_status", "cd repo && for i in 1 2 3 4 5; do git status >/dev/null || exit 1; done",
	  "git", 3 },
	{ "compileall", "python3 -m compileall -q -f py", "python3", 1.1 },
	{ "make", "rm -f *.o prog config.h; sh ./configure && make -s -j2", "gcc", 1.1,
	  .in_branch = true },
	{ "gcc",
	  "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do gcc -O1 -c t.c -o t.o || exit 1; done",
	  "gcc", 1.5 },
	{ "exec_small", "i=0; while [ $i -lt 50 ]; do ./small || exit 1; i=$((i+1)); done", NULL,
	  0 },
	{ "exec_100mb", "i=0; while [ $i -lt 50 ]; do ./big || exit 1; i=$((i+1)); done", NULL, 0 },
};

static const char prepare[] =
	"set -e; cp \"$1\" small; { cat small; head -c 100000000 /dev/urandom; } >big; chmod 755 small big\n"
	"printf '#include <stdio.h>\\nint main(void) { return puts(\"x\") < 0; }\\n' >t.c\n"
	"mkdir -p lower/usr/include make storage; head -c 30000 /dev/zero >lower/usr/include/file.h\n"
	"cd make; printf 'all: prog\\nprog: ' >Makefile; i=0\n"
	"while [ $i -lt 8 ]; do printf 'f%d.o ' $i >>Makefile\n"
	"	{ echo '#include <stdio.h>'; echo '#include <stdlib.h>'; echo '#include <string.h>'; echo '#include \"config.h\"'; j=0\n"
	"	while [ $j -lt 40 ]; do echo \"int f${i}_$j(char *s, int n) { for (int i = 0; i < n; i++) s[i] = (char)(s[i] * $j + strlen(s)); return printf(\\\"%s\\\", s); }\"; j=$((j+1)); done\n"
	"	} >f$i.c; i=$((i+1)); done\n"
	"echo 'int main(void) { return 0; }' >main.c\n"
	"printf 'main.o\\n\\tcc -o prog *.o\\n.c.o:\\n\\tcc -O2 -c $<\\n' >>Makefile\n"
	"printf 'for h in stdio stdlib string unistd fcntl errno limits sys/stat; do echo \"#include <$h.h>\" >conf.c; cc -c conf.c -o conf.o && echo \"/* $h */\" >>config.h; rm -f conf.c conf.o; done\\n' >configure; cd ..\n"
	"if command -v git >/dev/null; then mkdir repo; cd repo; git init -q; i=0\n"
	"	while [ $i -lt 500 ]; do echo $i >f$i; i=$((i+1)); done\n"
	"	git add .; git -c user.name=x -c user.email=x commit -qm x; cd ..; fi\n"
	"if command -v python3 >/dev/null; then\n"
	"	cp -r \"$(python3 -c 'import json,os; print(os.path.dirname(json.__file__))')/../email\" py; fi\n";

/* ---- the root ---- */

/* What a root has by itself, or should not have of the host. */
static bool is_made_by_itself(const char *name)
{
	static const char *const names[] = { ".", "..", "proc", "sys", "dev", "lost+found" };

	for (size_t i = 0; i < N_OF(names); i++) {
		if (!strcmp(name, names[i]))
			return true;
	}
	return false;
}

/* One entry of the host's "/": a link is made again, a directory is to be mounted. */
static int root_entry(struct bench *b, int root, const struct dirent *e)
{
	char target[PATH_MAX];
	ssize_t n;

	if (is_made_by_itself(e->d_name))
		return 0;
	if (e->d_type == DT_LNK) {
		n = readlinkat(root, e->d_name, target, sizeof(target) - 1);
		if (n < 0)
			return -1;
		target[n] = '\0';
		return symlink(target, e->d_name);
	}
	if (e->d_type != DT_DIR || b->n_mounts == MOUNTS_MAX)
		return 0;
	snprintf(b->mounts[b->n_mounts++], sizeof(b->mounts[0]), "/%s:/%s", e->d_name, e->d_name);
	return 0;
}

static int root_make(struct bench *b)
{
	DIR *d = mkdir(b->root, 0755) == 0 && chdir(b->root) == 0 ? opendir("/") : NULL;
	struct dirent *e;
	int r = 0;

	if (!d)
		return -1;
	while (r == 0 && (e = readdir(d)))
		r = root_entry(b, dirfd(d), e);
	closedir(d);
	return chdir(b->place.dir) < 0 ? -1 : r;
}

/* ---- starting ---- */

/* What stands before a command in each way; the number of words. @workdir: what is copy-on-write under --chroot; NULL. */
static size_t put_way(const struct bench *b, enum way way, const char *workdir,
		      const char *argv[ARGS_MAX])
{
	const char *const branch[] = { "--workdir", workdir, "--fs-storage", b->storage,
				       "--on-exit", "abort", "--on-error",   "abort" };
	const char *const cow[] = { b->place.command, "run", "-r", "/", "-w", "/dev/null" };
	const char *const chroot[] = {
		b->place.command, "run", "--chroot",  b->root, "-w",
		b->place.dir,	  "-w",	 "/dev/null", "--cwd", b->place.dir
	};
	const char *const bwrap[] = { "bwrap", "--bind", "/",	  "/",	     "--dev-bind", "/dev",
				      "/dev",  "--proc", "/proc", "--chdir", b->place.dir };
	size_t n = 0;

	if (way == CHROOT || way == COW) {
		const char *const *words = way == COW ? cow : chroot;

		for (; n < (way == COW ? N_OF(cow) : N_OF(chroot)); n++)
			argv[n] = words[n];
		for (size_t i = 0; way == CHROOT && i < b->n_mounts; i++) {
			argv[n++] = "--fs-mount";
			argv[n++] = b->mounts[i];
		}
		for (size_t i = 0; workdir && i < N_OF(branch); i++)
			argv[n++] = branch[i];
		argv[n++] = "--";
	} else if (way == BWRAP) {
		for (; n < N_OF(bwrap); n++)
			argv[n] = bwrap[n];
	}
	return n;
}

static int run_job(const struct bench *b, const struct job *j, enum way way, double *ret_ms)
{
	const char *argv[ARGS_MAX] = { NULL };
	size_t n = put_way(b, way, j->in_branch ? b->make : NULL, argv);
	char script[PATH_MAX + 1024];
	uint64_t begin;

	snprintf(script, sizeof(script), "%s%s", j->in_branch ? "cd make && " : "", j->script);
	argv[n++] = "sh";
	argv[n++] = "-c";
	argv[n] = script;
	begin = clock_now_ns();
	if (place_run(argv, -1) < 0)
		return report_failure("%s: %s", way_names[way], j->name), -1;
	*ret_ms = (double)(clock_now_ns() - begin) / 1e6;
	return 0;
}

static int run_call(const struct bench *b, const struct call *c, enum way way, double *ret_us)
{
	const char *argv[ARGS_MAX] = { NULL };
	size_t n = put_way(b, way, way == COW ? b->lower : NULL, argv);
	char number[16];

	snprintf(number, sizeof(number), "%u", b->calls);
	argv[n++] = b->place.self;
	argv[n++] = "--calls";
	argv[n++] = c->name;
	argv[n++] = b->file;
	argv[n++] = number;
	argv[n] = way_names[way];
	if (place_figures(argv, ret_us, 1) < 0)
		return report_failure("%s: %s", way_names[way], c->name), -1;
	*ret_us /= 1000;
	return 0;
}

/* ---- rounds ---- */

static bool job_has_way(const struct bench *b, enum way way)
{
	return way != COW && (way != BWRAP || b->has_bwrap);
}

static bool call_has_way(const struct call *c, enum way way)
{
	return way != BWRAP && (way != CHROOT || !c->copied);
}

static int run_round(struct bench *b, const struct options *o, unsigned round)
{
	if (floor_p50_us(o->quick ? FLOOR_NS_QUICK : FLOOR_NS_FULL, &b->floor[round]) < 0)
		return -1;
	for (size_t i = 0; i < N_OF(calls); i++) {
		for (enum way w = BARE; w < WAYS; w++) {
			if (options_wants(o, calls[i].name) && call_has_way(&calls[i], w) &&
			    run_call(b, &calls[i], w, &calls[i].s.round[w][round]) < 0)
				return -1;
		}
	}
	for (size_t i = 0; i < N_OF(jobs); i++) {
		for (enum way w = BARE; w < WAYS; w++) {
			if (options_wants(o, jobs[i].name) && !jobs[i].skipped &&
			    job_has_way(b, w) &&
			    run_job(b, &jobs[i], w, &jobs[i].s.round[w][round]) < 0)
				return -1;
		}
	}
	for (size_t i = 0; i < DEEDS; i++) {
		const struct deed_place place = { b->place.self, b->place.command, b->deeds,
						  o->quick };

		if (options_wants(o, deeds[i].name) && deed_round(&place, &deeds[i], round) < 0)
			return -1;
	}
	return 0;
}

static void summarize(struct series *s, unsigned rounds)
{
	for (enum way w = BARE; w < WAYS; w++)
		s->median[w] = stats_median_of(s->round[w], rounds);
}

/* Each median comes first. */
static void summarize_deed(struct deed *d, unsigned rounds)
{
	d->ms[0] = stats_median_of(d->ms, rounds);
	d->reference_ms[0] = stats_median_of(d->reference_ms, rounds);
	d->idle_p99_us[0] = stats_median_of(d->idle_p99_us, rounds);
	d->busy_p99_us[0] = stats_median_of(d->busy_p99_us, rounds);
}

static int run_rounds(struct bench *b, const struct options *o)
{
	double warm;

	for (size_t i = 0; i < N_OF(jobs); i++) {
		for (enum way w = BARE; w < WAYS; w++) {
			if (options_wants(o, jobs[i].name) && !jobs[i].skipped &&
			    job_has_way(b, w) && run_job(b, &jobs[i], w, &warm) < 0)
				return -1;
		}
	}
	for (unsigned round = 0; round < o->rounds; round++) {
		if (run_round(b, o, round) < 0)
			return -1;
	}
	b->floor_us = stats_median_of(b->floor, o->rounds);
	for (size_t i = 0; i < N_OF(calls); i++)
		summarize(&calls[i].s, o->rounds);
	for (size_t i = 0; i < N_OF(jobs); i++)
		summarize(&jobs[i].s, o->rounds);
	for (size_t i = 0; i < DEEDS; i++)
		summarize_deed(&deeds[i], o->rounds);
	return 0;
}

/* ---- report ---- */

static double job_ratio(const struct job *j, enum way w)
{
	return stats_ratio(j->s.median[w], j->s.median[BARE]);
}

static void report_calls(const struct bench *b, const struct options *o, json_t *rows)
{
	printf("%-12s %10s %10s %10s %8s %8s   floor %.2f us\n", "call", "bare us", "chroot us",
	       "cow us", "chroot x", "cow x", b->floor_us);
	for (size_t i = 0; i < N_OF(calls); i++) {
		const double *m = calls[i].s.median;

		if (!options_wants(o, calls[i].name))
			continue;
		printf("%-12s %10.2f %10.2f %10.2f %8.2f %8.2f\n", calls[i].name, m[BARE],
		       m[CHROOT], m[COW], stats_ratio(m[CHROOT], b->floor_us),
		       stats_ratio(m[COW], b->floor_us));
		json_array_append_new(
			rows, json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f}", "name",
					calls[i].name, "bare_us", m[BARE], "chroot_us", m[CHROOT],
					"cow_us", m[COW], "floor_us", b->floor_us, "ratio",
					stats_ratio(m[CHROOT], b->floor_us), "cow_ratio",
					stats_ratio(m[COW], b->floor_us)));
	}
}

static void report_deeds(const struct options *o, json_t *rows)
{
	printf("%-12s %10s %10s %8s %12s %12s\n", "deed", "plain ms", "cow ms", "cow x",
	       "idle p99 us", "busy p99 us");
	for (size_t i = 0; i < DEEDS; i++) {
		const struct deed *d = &deeds[i];

		if (!options_wants(o, d->name))
			continue;
		printf("%-12s %10.1f %10.1f %8.2f %12.1f %12.1f\n", d->name, d->reference_ms[0],
		       d->ms[0], stats_ratio(d->ms[0], d->reference_ms[0]), d->idle_p99_us[0],
		       d->busy_p99_us[0]);
		json_array_append_new(rows, json_pack("{s:s, s:f, s:f, s:f, s:f, s:f}", "name",
						      d->name, "reference_ms", d->reference_ms[0],
						      "cow_ms", d->ms[0], "ratio",
						      stats_ratio(d->ms[0], d->reference_ms[0]),
						      "idle_p99_us", d->idle_p99_us[0],
						      "busy_p99_us", d->busy_p99_us[0]));
	}
}

static void report_jobs(const struct bench *b, const struct options *o, json_t *rows)
{
	printf("%-12s %10s %10s %10s %8s %8s\n", "command", "bare ms", "chroot ms", "bwrap ms",
	       "chroot x", "bwrap x");
	for (size_t i = 0; i < N_OF(jobs); i++) {
		const struct job *j = &jobs[i];
		const double *m = j->s.median;

		if (!options_wants(o, j->name))
			continue;
		if (j->skipped) {
			printf("%-12s not measured: %s is not installed\n", j->name, j->needs);
			json_array_append_new(rows, json_pack("{s:s, s:s}", "name", j->name,
							      "skipped", j->skipped));
			continue;
		}
		printf("%-12s %10.1f %10.1f %10.1f %8.2f %8.2f\n", j->name, m[BARE], m[CHROOT],
		       m[BWRAP], job_ratio(j, CHROOT), job_ratio(j, BWRAP));
		json_array_append_new(rows, json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:b}", "name",
						      j->name, "bare_ms", m[BARE], "chroot_ms",
						      m[CHROOT], "bwrap_ms", m[BWRAP], "ratio",
						      job_ratio(j, CHROOT), "bwrap_ratio",
						      job_ratio(j, BWRAP), "bwrap", b->has_bwrap));
	}
}

static json_t *judge(const struct bench *b, const struct options *o)
{
	static char what[2 * N_OF(calls) + N_OF(jobs) + DEEDS][80];
	struct target t[2 * N_OF(calls) + N_OF(jobs) + DEEDS + 2] = { 0 };
	const struct job *small = &jobs[N_OF(jobs) - 2], *big = &jobs[N_OF(jobs) - 1];
	size_t n = 0;

	for (size_t i = 0; i < 2 * N_OF(calls); i++) {
		const struct call *c = &calls[i / 2];
		enum way w = i % 2 ? COW : CHROOT;
		double us = c->s.median[w] - (c->plus_bare ? c->s.median[BARE] : 0);

		if (!call_has_way(c, w))
			continue;
		snprintf(what[n], sizeof(what[n]), "%s under %s%s / floor", c->name,
			 w == COW ? "copy-on-write" : "--chroot",
			 c->plus_bare ? ", less the bare one," : "");
		t[n] = (struct target){ what[n], c->bound, false, stats_ratio(us, b->floor_us),
					options_wants(o, c->name) };
		n++;
	}
	for (size_t i = 0; i + 2 < N_OF(jobs); i++, n++) {
		snprintf(what[n], sizeof(what[n]), "%s under --chroot%s / bare", jobs[i].name,
			 jobs[i].in_branch ? " and copy-on-write" : "");
		t[n] = (struct target){ what[n], jobs[i].bound, false, job_ratio(&jobs[i], CHROOT),
					options_wants(o, jobs[i].name) && !jobs[i].skipped };
	}
	for (size_t i = 0; i < DEEDS; i++, n++) {
		snprintf(what[n], sizeof(what[n]), "%s / the plain way", deeds[i].name);
		t[n] = (struct target){ what[n], deeds[i].bound, false,
					stats_ratio(deeds[i].ms[0], deeds[i].reference_ms[0]),
					options_wants(o, deeds[i].name) };
	}
	t[n++] = (struct target){ "p99 of an unrelated open during copy_up / idle", 2, false,
				  stats_ratio(deeds[0].busy_p99_us[0], deeds[0].idle_p99_us[0]),
				  options_wants(o, deeds[0].name) };
	t[n] = (struct target){ "exec of 100 MB / of a small one, under --chroot", 1.1, false,
				stats_ratio(big->s.median[CHROOT], small->s.median[CHROOT]),
				options_wants(o, big->name) && options_wants(o, small->name) };
	return report_targets(t, n + 1);
}

/* Two panels: calls in floors, commands in bare runs. Needs gnuplot. 0, or -1 after a message. */
static int plot_files(const char *png, const struct bench *b)
{
	FILE *f = report_plot_begin(png);

	if (!f)
		return -1;
	fprintf(f, "set multiplot layout 1,2\n$calls << E\n");
	for (size_t i = 0; i < N_OF(calls); i++)
		fprintf(f, "\"%s\" %f %f %f\n", calls[i].name,
			stats_ratio(calls[i].s.median[BARE], b->floor_us),
			stats_ratio(calls[i].s.median[CHROOT], b->floor_us),
			stats_ratio(calls[i].s.median[COW], b->floor_us));
	fprintf(f, "E\n$jobs << E\n");
	for (size_t i = 0; i < N_OF(jobs); i++)
		fprintf(f, "\"%s\" %f %f\n", jobs[i].name, job_ratio(&jobs[i], CHROOT),
			job_ratio(&jobs[i], BWRAP));
	fprintf(f,
		"E\nset title 'calls, x no-op floor'\n"
		"set xtics noenhanced\n"
		"plot $calls using 2:xtic(1) title 'bare', '' using 3 title '--chroot', '' using 4 title '--workdir'\n"
		"set title 'commands, x bare'\nset rmargin 6; set xtics noenhanced rotate by -30\n"
		"plot $jobs using 2:xtic(1) title '--chroot', '' using 3 title 'bubblewrap'\n");
	return report_plot_end(f);
}

/* ---- what is there ---- */

static void find_programs(struct bench *b)
{
	b->has_bwrap =
		system("bwrap --bind / / --dev-bind /dev /dev --proc /proc true 2>/dev/null") == 0;
	for (size_t i = 0; i < N_OF(jobs); i++) {
		if (jobs[i].needs && !place_has(jobs[i].needs))
			jobs[i].skipped = "not installed";
	}
}

static int make_files(struct bench *b)
{
	char small[PATH_MAX], dir[PATH_MAX];
	const char *const argv[] = { "sh", "-c", prepare, "sh", small, NULL };

	snprintf(b->lower, sizeof(b->lower), "%s/lower", b->place.dir);
	snprintf(b->make, sizeof(b->make), "%s/make", b->place.dir);
	snprintf(b->storage, sizeof(b->storage), "%s/storage", b->place.dir);
	snprintf(b->deeds, sizeof(b->deeds), "%s/deeds", b->place.dir);
	snprintf(b->root, sizeof(b->root), "%s/root", b->place.dir);
	snprintf(b->file, sizeof(b->file), "%s/lower/usr/include/file.h", b->place.dir);
	snprintf(dir, sizeof(dir), "%s", b->place.self);
	snprintf(small, sizeof(small), "%.4000s/true", dirname(dir));
	if (place_run(argv, -1) < 0)
		return -1;
	return root_make(b) < 0 ? report_failure("%s: %s", b->root, strerror(errno)), -1 : 0;
}

static int measure(struct bench *b, const struct options *o)
{
	json_t *meta = report_meta(o), *rows = json_array();
	int r;

	report_heading(meta);
	r = run_rounds(b, o);
	if (r == 0) {
		report_calls(b, o, rows);
		report_jobs(b, o, rows);
		report_deeds(o, rows);
		r = o->plot ? plot_files(o->plot, b) : 0;
	}
	if (r < 0) {
		json_decref(meta);
		json_decref(rows);
		return r;
	}
	return report_write(o, meta, rows, judge(b, o));
}

int main(int argc, char *argv[])
{
	static const char *names[N_OF(calls) + N_OF(jobs) + DEEDS + 1];
	static struct bench b;
	struct options o;
	int r;

	floor_be_guest(argc, argv);
	if (argc == 6 && !strcmp(argv[1], "--calls"))
		return measure_calls(argv[2], argv[3], (unsigned)strtoul(argv[4], NULL, 10),
				     !strcmp(argv[5], way_names[COW]));
	r = deed_be_guest(argc, argv);
	if (r >= 0)
		return r;
	for (size_t i = 0; i < N_OF(calls); i++)
		names[i] = calls[i].name;
	for (size_t i = 0; i < N_OF(jobs); i++)
		names[N_OF(calls) + i] = jobs[i].name;
	for (size_t i = 0; i < DEEDS; i++)
		names[N_OF(calls) + N_OF(jobs) + i] = deeds[i].name;
	options_parse(&o, argc, argv, names, true);
	b.calls = o.quick ? CALLS_QUICK : CALLS_FULL;
	find_programs(&b);
	r = place_make(&b.place, &o);
	if (r == 0)
		r = make_files(&b);
	if (r == 0)
		r = measure(&b, &o);
	place_remove(&b.place);
	return r == 0 ? 0 : 1;
}
