/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "commit.h"
#include "stats.h"

#define ROUNDS_QUICK 5
#define ROUNDS_FULL 7

int report_failure(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return 1;
}

/* ---- options ---- */

static void usage(FILE *to, const char *const *names, bool can_plot)
{
	fprintf(to,
		"usage: %s [--quick] [--rounds N] [--json FILE]%s%s\n"
		"  --quick       short rounds: shows the shape, not the last percent\n"
		"  --rounds N    1-%u; default %d, with --quick %d\n"
		"  --json FILE   write all figures\n",
		program_invocation_short_name, can_plot ? " [--plot FILE.png]" : "",
		names ? " [--only NAME,...]" : "", STATS_ROUNDS_MAX, ROUNDS_FULL, ROUNDS_QUICK);
	if (can_plot)
		fprintf(to, "  --plot FILE   draw them (gnuplot)\n");
	if (!names)
		return;
	fprintf(to, "  --only NAMES  of");
	for (; *names; names++)
		fprintf(to, " %s", *names);
	fputc('\n', to);
}

static bool is_named(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = list; p; p = strchr(p, ',')) {
		p += *p == ',';
		if (!strncmp(p, name, n) && (p[n] == ',' || !p[n]))
			return true;
	}
	return false;
}

bool options_wants(const struct options *o, const char *name)
{
	return !o->only || is_named(o->only, name);
}

/* Every name of @list must be one of @names. */
static void check_only(const char *list, const char *const *names)
{
	char *copy = strdup(list), *save = NULL;

	for (char *name = strtok_r(copy, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
		const char *const *known = names;

		while (*known && strcmp(*known, name))
			known++;
		if (!*known)
			exit(report_failure("--only: %s: no such part, see --help", name));
	}
	free(copy);
}

static unsigned parse_rounds(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*end || end == text || n < 1 || n > STATS_ROUNDS_MAX)
		exit(report_failure("--rounds: %s: 1 to %u, please", text, STATS_ROUNDS_MAX));
	return (unsigned)n;
}

static void note_options(struct options *o, int argc, char *argv[])
{
	size_t at = 0;

	for (int i = 1; i < argc && at < sizeof(o->text); i++) {
		int n = snprintf(o->text + at, sizeof(o->text) - at, "%s%s", i > 1 ? " " : "",
				 argv[i]);

		at += n > 0 ? (size_t)n : 0;
	}
}

void options_parse(struct options *o, int argc, char *argv[], const char *const *names,
		   bool can_plot)
{
	enum {
		JSON = 1,
		PLOT,
		ONLY,
		ROUNDS,
		QUICK,
		HELP
	};
	const struct option known[] = {
		{ "json", required_argument, NULL, JSON },
		{ "rounds", required_argument, NULL, ROUNDS },
		{ "quick", no_argument, NULL, QUICK },
		{ "help", no_argument, NULL, HELP },
		{ names ? "only" : NULL, required_argument, NULL, ONLY },
		{ can_plot ? "plot" : NULL, required_argument, NULL, PLOT },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	memset(o, 0, sizeof(*o));
	note_options(o, argc, argv);
	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case JSON:
			o->json = optarg;
			break;
		case PLOT:
			o->plot = optarg;
			break;
		case ONLY:
			o->only = optarg;
			check_only(optarg, names);
			break;
		case ROUNDS:
			o->rounds = parse_rounds(optarg);
			break;
		case QUICK:
			o->quick = true;
			break;
		case HELP:
			usage(stdout, names, can_plot);
			exit(0);
		default:
			usage(stderr, names, can_plot);
			exit(2);
		}
	}
	if (optind < argc)
		exit(report_failure("%s: not understood, see --help", argv[optind]));
	if (!o->rounds)
		o->rounds = o->quick ? ROUNDS_QUICK : ROUNDS_FULL;
}

/* ---- meta ---- */

/* The value of the first line of /proc/cpuinfo that begins with @key. */
static bool cpuinfo(const char *key, char *buf, size_t size)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[512];
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		const char *colon = strchr(line, ':');

		if (strncmp(line, key, strlen(key)) || !colon)
			continue;
		snprintf(buf, size, "%s", colon + 1 + strspn(colon + 1, " \t"));
		buf[strcspn(buf, "\n")] = '\0';
		found = true;
	}
	if (f)
		fclose(f);
	return found;
}

static int n_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) < 0 ? 0 : CPU_COUNT(&set);
}

json_t *report_meta(const struct options *o)
{
	char cpu[256] = "unknown", date[32];
	time_t now = time(NULL);
	double load[3] = { 0 };
	struct utsname u;
	struct tm tm;

	uname(&u);
	if (!cpuinfo("model name", cpu, sizeof(cpu)))
		cpuinfo("CPU part", cpu, sizeof(cpu));
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	if (getloadavg(load, 3) < 1)
		load[0] = -1;
	return json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:b, s:i, s:f}", "bench",
			 program_invocation_short_name, "kernel", u.release, "machine", u.machine,
			 "cpu", cpu, "cpus", n_cpus(), "commit", SLUICE_COMMIT, "options", o->text,
			 "date", date, "quick", o->quick, "rounds", (int)o->rounds, "load_before",
			 load[0]);
}

static const char *meta_text(const json_t *meta, const char *key)
{
	return json_string_value(json_object_get(meta, key));
}

void report_heading(const json_t *meta)
{
	printf("%s %s, %s, %s\n", meta_text(meta, "bench"), meta_text(meta, "commit"),
	       meta_text(meta, "kernel"), meta_text(meta, "date"));
	printf("%s, %d CPUs, load %.1f, medians of %d rounds%s\n\n", meta_text(meta, "cpu"),
	       (int)json_integer_value(json_object_get(meta, "cpus")),
	       json_real_value(json_object_get(meta, "load_before")),
	       (int)json_integer_value(json_object_get(meta, "rounds")),
	       json_is_true(json_object_get(meta, "quick")) ? " (quick)" : "");
}

/* ---- targets ---- */

json_t *report_targets(const struct target *t, size_t n)
{
	json_t *list = json_array();

	printf("\n%-72s %9s %9s\n", "target", "bound", "reached");
	for (size_t i = 0; i < n; i++) {
		bool met = t[i].at_least ? t[i].reached >= t[i].bound : t[i].reached <= t[i].bound;

		if (!t[i].measured) {
			printf("%-72s %s %7.2f %9s  not measured\n", t[i].what,
			       t[i].at_least ? ">=" : "<=", t[i].bound, "-");
			continue;
		}
		printf("%-72s %s %6.2f %9.2f  %s\n", t[i].what,
		       t[i].at_least ? ">=" : "<=", t[i].bound, t[i].reached,
		       met ? "met" : "MISSED");
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:f, s:f, s:b}", "what", t[i].what,
						"relation", t[i].at_least ? ">=" : "<=", "bound",
						t[i].bound, "reached", t[i].reached, "met", met));
	}
	return list;
}

int report_write(const struct options *o, json_t *meta, json_t *rows, json_t *targets)
{
	json_t *all = json_pack("{s:o, s:o, s:o}", "meta", meta, "rows", rows, "targets", targets);
	int r = 0;

	if (!all)
		r = -ENOMEM;
	else if (o->json &&
		 json_dump_file(all, o->json, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) < 0)
		r = errno ? -errno : -EIO;
	if (r < 0)
		report_failure("%s: %s", o->json ? o->json : "report", strerror(-r));
	json_decref(all);
	return r;
}

/* ---- drawing ---- */

FILE *report_plot_begin(const char *png)
{
	FILE *f = popen("gnuplot", "w");

	if (!f)
		return report_failure("gnuplot: %s", strerror(errno)), NULL;
	fprintf(f,
		"set terminal pngcairo size 1200,500\nset output '%s'\nset style data histogram\n"
		"set style fill solid 0.7\nset boxwidth 0.9\nset yrange [0:]\nset grid ytics\n",
		png);
	return f;
}

int report_plot_end(FILE *f)
{
	return pclose(f) == 0 ? 0 : (report_failure("gnuplot failed"), -1);
}
