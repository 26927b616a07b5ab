/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data and drawing commands go to gnuplot in one temporary file: each panel's data is a block of its own in it.
 */
#include "plot.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const modes[] = { "adaptive", "pool", "inline" };
#define N_MODES (sizeof(modes) / sizeof(modes[0]))

static bool is_one_client(const struct row *r)
{
	return r->scenario->clients == 1 && strcmp(r->scenario->name, "clients") &&
	       strcmp(r->scenario->name, "untrapped");
}

/* A label of at most two words: "chain 8", "busy 10 us", "noop io_uring". */
static void label(const struct row *r, char *buf, size_t size)
{
	const struct scenario *s = r->scenario;

	if (s->chain > 1 || !strcmp(s->name, "chain"))
		snprintf(buf, size, "chain of %u", s->chain);
	else if (s->handler_us)
		snprintf(buf, size, "%u us busy", s->handler_us);
	else if (!strcmp(r->mode, "adaptive"))
		snprintf(buf, size, "%s", s->name);
	else
		snprintf(buf, size, "%s", r->mode);
}

static bool in_latencies(const struct row *r)
{
	bool by_hand =
		strcmp(r->mode, "pool") && strcmp(r->mode, "inline") && strcmp(r->mode, "adaptive");

	return is_one_client(r) && (!strcmp(r->mode, "adaptive") || by_hand);
}

static unsigned data_latencies(FILE *f, const struct rows *rows)
{
	unsigned n = 0;

	fprintf(f, "$latency << EOD\n");
	for (size_t i = 0; i < rows->n; i++) {
		const struct row *r = &rows->row[i];
		char name[64];

		if (!in_latencies(r))
			continue;
		label(r, name, sizeof(name));
		fprintf(f, "\"%s\" %g %g %g %g\n", name, r->sum.p50_us, r->sum.p99_us,
			r->sum.p999_us, r->floor1.p50_us);
		n++;
	}
	fprintf(f, "EOD\n");
	return n;
}

/* x, then what @value says for each mode and for the floor; one line an x. */
static unsigned data_by(FILE *f, const struct rows *rows, const char *block, const char *scenario,
			bool by_clients, bool p99)
{
	unsigned n = 0;

	for (size_t m = 0; m < N_MODES + 1; m++) {
		bool floor = m == N_MODES;

		fprintf(f, "$%s_%s << EOD\n", block, floor ? "floor" : modes[m]);
		for (size_t i = 0; i < rows->n; i++) {
			const struct row *r = &rows->row[i];
			const struct summary *s = floor ? &r->floor : &r->sum;

			if (strcmp(r->scenario->name, scenario) ||
			    strcmp(r->mode, floor ? modes[0] : modes[m]))
				continue;
			fprintf(f, "%u %g\n",
				by_clients ? r->scenario->clients : r->scenario->blocking_pct,
				p99 ? s->p99_us : s->ops_s / 1000);
			n++;
		}
		fprintf(f, "EOD\n");
	}
	return n;
}

static void draw_lines(FILE *f, const char *block, bool with_floor)
{
	fprintf(f, "plot ");
	for (size_t m = 0; m < N_MODES; m++)
		fprintf(f, "%s$%s_%s using 1:2 with linespoints lw 2 pt 7 lc %zu title \"%s\"",
			m ? ", " : "", block, modes[m], m + 1, modes[m]);
	if (with_floor)
		fprintf(f,
			", $%s_floor using 1:2 with lines lw 2 dt 2 lc rgb \"black\" title "
			"\"floor (RECV + SEND)\"",
			block);
	fprintf(f, "\n");
}

static void draw_latencies(FILE *f)
{
	fprintf(f,
		"set title \"one client, adaptive, and hand-written supervisors\"\n"
		"set ylabel \"microseconds\"\nset logscale y\nset xtics rotate by -35\n"
		"set style data points\nset key top left Left reverse\nset xrange [-0.5:*]\nset offsets 0, 0.5, 0, 0\nset rmargin 8\n"
		"plot $latency using 0:2:xtic(1) pt 7 ps 1.2 lc 1 title \"p50\", "
		"'' using 0:3 pt 9 ps 1.2 lc 2 title \"p99\", "
		"'' using 0:4 pt 5 ps 1 lc 3 title \"p99.9\", "
		"'' using 0:5 with lines lw 2 dt 2 lc rgb \"black\" title \"floor p50\"\n"
		"unset logscale\nset xtics norotate autofreq\nset xrange [*:*]\nset offsets\nset rmargin 3\n");
}

static void draw_clients(FILE *f)
{
	fprintf(f, "set title \"no-op handler: throughput by clients\"\n"
		   "set xlabel \"clients\"\nset ylabel \"thousand calls per second\"\n"
		   "set logscale x 2\nset yrange [0:*]\nset key bottom right\n");
	draw_lines(f, "clients", true);
	fprintf(f, "unset logscale\nset yrange [*:*]\n");
}

static void draw_blocking(FILE *f)
{
	fprintf(f,
		"set title \"32 clients, some calls block 1 ms: throughput\"\n"
		"set xlabel \"per cent of calls that block\"\nset ylabel \"thousand calls per second\"\n"
		"set logscale y\nset key top right\n");
	draw_lines(f, "blocking", false);
	fprintf(f, "set title \"32 clients, some calls block 1 ms: p99 of the others\"\n"
		   "set ylabel \"microseconds\"\nset key top left\n");
	draw_lines(f, "prompt", false);
}

static void write_script(FILE *f, const char *png, const struct rows *rows, const json_t *meta)
{
	unsigned latencies = data_latencies(f, rows);
	unsigned clients = data_by(f, rows, "clients", "clients", true, false);
	unsigned blocking = data_by(f, rows, "blocking", "blocking", false, false);

	data_by(f, rows, "prompt", "blocking", false, true);
	fprintf(f,
		"set terminal pngcairo size 1500,1000 noenhanced font \"sans,11\"\nset output \"%s\"\n"
		"set grid\nset multiplot layout 2,2 title \"notify_latency %s, %s, %s\"\n",
		png, json_string_value(json_object_get(meta, "commit")),
		json_string_value(json_object_get(meta, "kernel")),
		json_string_value(json_object_get(meta, "cpu")));
	if (latencies)
		draw_latencies(f);
	if (clients)
		draw_clients(f);
	if (blocking)
		draw_blocking(f);
	fprintf(f, "unset multiplot\n");
}

static int run_gnuplot(const char *script)
{
	char program[] = "gnuplot", file[64];
	char *argv[] = { program, file, NULL };
	int status, r;
	pid_t pid;

	snprintf(file, sizeof(file), "%s", script);
	r = posix_spawnp(&pid, program, NULL, NULL, argv, environ);
	if (r != 0)
		return report_failure("gnuplot: %s", strerror(r)), -1;
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status))
		return report_failure("gnuplot failed"), -1;
	return 0;
}

int plot(const char *png, const struct rows *rows, const json_t *meta)
{
	char script[] = "/tmp/sluice-plot.XXXXXX";
	int fd = mkstemp(script), r;
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

	if (!f)
		return report_failure("%s: %s", script, strerror(errno)), -1;
	write_script(f, png, rows, meta);
	r = fclose(f) == 0 ? run_gnuplot(script) : -1;
	unlink(script);
	return r;
}
