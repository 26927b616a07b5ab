/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the network and /proc of a sandbox cost: single calls against the no-op floor and the bare call; clients and servers, connected sockets and whole programs
 * against the same bare; and whether connects that nobody answers hold up others.
 *
 * Bare and inside take turns in every round; figures are medians over the rounds, and so is the cost: what else the machine does changes from one round to
 * the next more than within one. Exit status 1 when something that is there could not be measured.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "floor.h"
#include "net_guest.h"
#include "place.h"
#include "report.h"
#include "stats.h"
#include "util/clock.h"

#define FLOOR_NS_FULL 500000000u
#define FLOOR_NS_QUICK 200000000u
#define ARGS_MAX 60
#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

enum way {
	BARE,
	INSIDE,
	WAYS
};

/* How the figure of a row comes about. */
enum kind {
	GUEST,	/* printed by net_guest.c */
	SCRIPT, /* printed by a script for sh, with PORT and N as arguments */
	WALL,	/* of such a script, in milliseconds, with the start of the sandbox */
};

/* What stands in $1 of a script, and for PORT of a guest. */
enum port {
	PORT_FREE,
	PORT_HTTP, /* of the bench's own server, which is outside */
};

/* How the two figures are compared. */
enum comparison {
	TIMES,	 /* inside / bare */
	SPEEDS,	 /* bare / inside */
	FLOORS,	 /* (inside - bare) / floor */
	OWN_PAIR /* the guest's two figures, of which only the inside ones count */
};

struct row {
	const char *name;
	enum kind kind;
	const char *what;    /* guest or script */
	const char *needs;   /* a program; NULL */
	unsigned n, n_quick; /* how many */
	unsigned port;	     /* enum port, or what stands there */
	bool with_all;	     /* flags: every built-in, or rules of the network alone */
	enum comparison compare;
	const char *unit;
	double bound;
	const char *skipped;
	double round[WAYS][STATS_ROUNDS_MAX];
	double median[WAYS];
	double cost; /* median of the rounds' */
};

/* A server inside that the client waits for by asking again. redis-tools has its server under another name. */
#define IPERF3                                                                        \
	"iperf3 -s -1 -p $1 >/dev/null & n=0\n"                                       \
	"until iperf3 -c 127.0.0.1 -p $1 -n ${2}M -f m >out 2>err; do\n"              \
	"	n=$((n+1)); [ $n -lt 100 ] || { cat err >&2; exit 1; }; sleep 0.05; done\n" \
	"wait; awk '/receiver/ { print $7 }' out"
#define REDIS                                                                                    \
	"ln -sf \"$(command -v redis-check-rdb)\" redis-server\n"                                \
	"./redis-server --port $1 --bind 127.0.0.1 --save '' --daemonize no >/dev/null & s=$!\n" \
	"n=0; until redis-cli -p $1 ping >/dev/null 2>&1; do\n"                                  \
	"	n=$((n+1)); [ $n -lt 100 ] || exit 1; sleep 0.05; done\n"                              \
	"redis-benchmark -p $1 -n $2 -t get --csv >out || exit 1\n"                              \
	"kill $s; wait $s; tr -d '\"' <out | awk -F, '$1 == \"GET\" { print $2 }'"
#define HTTP_PYTHON                                              \
	"exec \"$PYTHON\" -c 'import http.client, sys, time\n"   \
	"port, n = int(sys.argv[1]), int(sys.argv[2])\n"         \
	"def get():\n"                                           \
	"	c = http.client.HTTPConnection(\"127.0.0.1\", port)\n" \
	"	c.request(\"GET\", \"/\")\n"                           \
	"	assert c.getresponse().read() == b\"hello\\n\"\n"      \
	"	c.close()\n"                                           \
	"begin = time.monotonic()\n"                             \
	"for i in range(n): get()\n"                             \
	"print((time.monotonic() - begin) / n * 1e6)' $1 $2"
#define PYTHON \
	"i=0; while [ $i -lt $2 ]; do \"$PYTHON\" -c 'import json' || exit 1; i=$((i+1)); done"
#define NODE "i=0; while [ $i -lt $2 ]; do node -e 0 || exit 1; i=$((i+1)); done"

static struct row rows[] = {
	{ "connect", GUEST, "connect", NULL, 20000, 4000, PORT_FREE, false, FLOORS, "us", 4 },
	{ "connect_all", GUEST, "connect", NULL, 20000, 4000, PORT_FREE, true, FLOORS, "us", 4 },
	{ "http", GUEST, "http", NULL, 10000, 1000, PORT_HTTP, false, TIMES, "us", 1.15 },
	{ "http_both", GUEST, "http_both", NULL, 10000, 1000, PORT_FREE, false, TIMES, "us", 1.15 },
	{ "http_python", SCRIPT, HTTP_PYTHON, "python3", 10000, 1000, PORT_HTTP, false, TIMES, "us",
	  1.15 },
	{ "stream", GUEST, "stream", NULL, 8192, 1024, PORT_FREE, true, SPEEDS, "MB/s", 1.02 },
	{ "ping_pong", GUEST, "ping_pong", NULL, 100000, 20000, PORT_FREE, true, SPEEDS, "1/s",
	  1.02 },
	{ "iperf3", SCRIPT, IPERF3, "iperf3", 8192, 1024, PORT_FREE, true, SPEEDS, "Mbit/s", 1.02 },
	{ "redis", SCRIPT, REDIS, "redis-benchmark", 200000, 50000, PORT_FREE, true, SPEEDS, "1/s",
	  1.02 },
	{ "black_hole", GUEST, "black_hole", NULL, 20000, 4000, PORT_FREE, true, OWN_PAIR, "us",
	  2 },
	{ "python", WALL, PYTHON, "python3", 1, 1, PORT_FREE, true, TIMES, "ms", 1.05 },
	{ "python_x10", WALL, PYTHON, "python3", 10, 10, PORT_FREE, true, TIMES, "ms", 1.05 },
	{ "node", WALL, NODE, "node", 1, 1, PORT_FREE, true, TIMES, "ms", 1.05 },
	{ "node_x10", WALL, NODE, "node", 10, 10, PORT_FREE, true, TIMES, "ms", 1.05 },
	{ "maps", GUEST, "maps", NULL, 5000, 1000, 35, true, TIMES, "us", 1.1 },
	{ "maps_100", GUEST, "maps", NULL, 5000, 1000, 100, true, TIMES, "us", 1.1 },
	{ "maps_1000", GUEST, "maps", NULL, 1000, 300, 1000, true, TIMES, "us", 1.1 },
};

struct bench {
	struct place place;
	uint16_t http_port;
	double floor[STATS_ROUNDS_MAX];
	double floor_us;
};

/* ---- starting ---- */

/* What stands before a command inside; the number of words. */
static size_t put_flags(const struct bench *b, bool with_all, const char *argv[ARGS_MAX])
{
	const char *const network[] = {
		b->place.command,
		"run",
		"--quiet",
		"-r",
		"/",
		"-w",
		"/dev/null",
		"-w",
		b->place.dir,
		"--net-allow",
		"127.0.0.1",
		"--net-allow-bind",
		"*",
	};
	static const char *const others[] = {
		"--port-remap",
		"--proc",
		"own",
		"--num-cpus",
		"2",
		"-m",
		"16G",
		"-P",
		"2000",
		"-c",
		"6400",
		"--cpu-cores",
		"0-63",
		"-t",
		"600",
		"--max-open-files",
		"1024",
		"--random-seed",
		"1",
		"--no-randomize-memory",
		"--deterministic-dirs",
	};
	size_t n = 0;

	for (size_t i = 0; i < N_OF(network); i++)
		argv[n++] = network[i];
	for (size_t i = 0; with_all && i < N_OF(others); i++)
		argv[n++] = others[i];
	argv[n++] = "--";
	return n;
}

/* One round; @ret has room for what a guest prints. */
static int run_row(const struct bench *b, const struct options *o, const struct row *row,
		   enum way way, double ret[2])
{
	const char *argv[ARGS_MAX] = { NULL };
	size_t n = way == INSIDE ? put_flags(b, row->with_all, argv) : 0;
	unsigned port = row->port == PORT_FREE ? net_free_port() : row->port;
	char port_text[16], n_text[16];
	uint64_t begin;
	int r;

	if (row->port == PORT_HTTP)
		port = b->http_port;
	if (!port)
		return -1;
	snprintf(port_text, sizeof(port_text), "%u", port);
	snprintf(n_text, sizeof(n_text), "%u", o->quick ? row->n_quick : row->n);
	argv[n++] = row->kind == GUEST ? b->place.self : "sh";
	argv[n++] = row->kind == GUEST ? "--net" : "-c";
	argv[n++] = row->what;
	if (row->kind != GUEST)
		argv[n++] = "sh";
	argv[n++] = port_text;
	argv[n] = n_text;
	begin = clock_now_ns();
	r = row->kind == WALL ? place_run(argv, -1)
			      : place_figures(argv, ret, row->kind == GUEST ? 2 : 1);
	if (row->kind == WALL)
		ret[0] = (double)(clock_now_ns() - begin) / 1e6;
	if (r < 0)
		report_failure("%s, %s", row->name, way == BARE ? "bare" : "inside");
	return r;
}

/* ---- rounds ---- */

static bool is_wanted(const struct options *o, const struct row *row)
{
	return options_wants(o, row->name) && !row->skipped;
}

static int run_round(struct bench *b, const struct options *o, unsigned round)
{
	if (floor_p50_us(o->quick ? FLOOR_NS_QUICK : FLOOR_NS_FULL, &b->floor[round]) < 0)
		return -1;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct row *row = &rows[i];
		double got[2];

		for (unsigned k = 0; k < WAYS && is_wanted(o, row); k++) {
			enum way way = (k + round) % WAYS; /* in turns, who is first */

			if (way == BARE && row->compare == OWN_PAIR)
				continue;
			if (run_row(b, o, row, way, got) < 0)
				return -1;
			row->round[way][round] = got[0];
			if (row->compare == OWN_PAIR)
				row->round[BARE][round] = got[1];
		}
	}
	return 0;
}

/* Programs are read from the disk before anybody is timed. */
static int warm_up(const struct bench *b, const struct options *o)
{
	double unused[2];

	for (size_t i = 0; i < N_OF(rows); i++) {
		if (is_wanted(o, &rows[i]) && rows[i].kind == WALL &&
		    run_row(b, o, &rows[i], BARE, unused) < 0)
			return -1;
	}
	return 0;
}

/* What the bound is of, in one round. */
static double cost_of(const struct row *row, double bare, double inside, double floor_us)
{
	switch (row->compare) {
	case FLOORS:
		return stats_ratio(inside - bare, floor_us);
	case SPEEDS:
		return stats_ratio(bare, inside);
	default:
		return stats_ratio(inside, bare);
	}
}

/* Sorts the rounds. */
static void summarize(const struct bench *b, struct row *row, unsigned rounds)
{
	double costs[STATS_ROUNDS_MAX];

	for (unsigned i = 0; i < rounds; i++)
		costs[i] = cost_of(row, row->round[BARE][i], row->round[INSIDE][i], b->floor[i]);
	row->cost = stats_median_of(costs, rounds);
	for (enum way w = BARE; w < WAYS; w++)
		row->median[w] = stats_median_of(row->round[w], rounds);
}

static int run_rounds(struct bench *b, const struct options *o)
{
	int r = warm_up(b, o);

	for (unsigned round = 0; r == 0 && round < o->rounds; round++)
		r = run_round(b, o, round);
	if (r < 0)
		return r;
	for (size_t i = 0; i < N_OF(rows); i++)
		summarize(b, &rows[i], o->rounds);
	b->floor_us = stats_median_of(b->floor, o->rounds);
	return 0;
}

/* ---- report ---- */

static void report_rows(const struct bench *b, const struct options *o, json_t *list)
{
	printf("%-12s %-6s %12s %12s %8s   floor %.2f us\n", "", "unit", "bare", "inside", "cost",
	       b->floor_us);
	for (size_t i = 0; i < N_OF(rows); i++) {
		const struct row *row = &rows[i];

		if (!options_wants(o, row->name))
			continue;
		if (row->skipped) {
			printf("%-12s not measured: no %s\n", row->name, row->needs);
			json_array_append_new(list, json_pack("{s:s, s:s}", "name", row->name,
							      "skipped", row->skipped));
			continue;
		}
		printf("%-12s %-6s %12.2f %12.2f %8.2f\n", row->name, row->unit, row->median[BARE],
		       row->median[INSIDE], row->cost);
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:f, s:f, s:f, s:f}", "name", row->name,
						"unit", row->unit, "bare", row->median[BARE],
						"inside", row->median[INSIDE], "floor_us",
						b->floor_us, "cost", row->cost));
	}
}

static json_t *judge(const struct options *o)
{
	static const char *const relations[] = {
		[TIMES] = "inside / bare",
		[SPEEDS] = "bare / inside",
		[FLOORS] = "(inside - bare) / floor",
		[OWN_PAIR] = "p99 of an unrelated open, meanwhile / before",
	};
	static char what[N_OF(rows)][80];
	struct target t[N_OF(rows)];

	for (size_t i = 0; i < N_OF(rows); i++) {
		const struct row *row = &rows[i];

		snprintf(what[i], sizeof(what[i]), "%s: %s", row->name, relations[row->compare]);
		t[i] = (struct target){ what[i], row->bound, false, row->cost, is_wanted(o, row) };
	}
	return report_targets(t, N_OF(rows));
}

/* What was reached, in parts of the bound. */
static int plot_net(const char *png, const struct options *o)
{
	FILE *f = report_plot_begin(png);

	if (!f)
		return -1;
	fprintf(f, "$rows << E\n");
	for (size_t i = 0; i < N_OF(rows); i++) {
		if (is_wanted(o, &rows[i]))
			fprintf(f, "\"%s\" %f\n", rows[i].name,
				stats_ratio(rows[i].cost, rows[i].bound));
	}
	fprintf(f,
		"E\nset title 'what it costs, in parts of the bound (1 is met)'\n"
		"set xtics noenhanced rotate by -30\n"
		"plot $rows using 2:xtic(1) notitle, 1 with lines lw 2 dt 2 lc rgb 'black' title 'bound'\n");
	return report_plot_end(f);
}

/* ---- what is there ---- */

/* The interpreter itself: what is found first may be a script that looks for it. */
static void find_python(void)
{
	FILE *f = popen("python3 -c 'import sys; print(sys.executable)'", "r");
	char path[PATH_MAX] = "";

	if (!f)
		return;
	if (fgets(path, sizeof(path), f)) {
		path[strcspn(path, "\n")] = '\0';
		setenv("PYTHON", path, 1);
	}
	pclose(f);
}

static int find_programs(struct bench *b, struct options *o)
{
	for (size_t i = 0; i < N_OF(rows); i++) {
		if (rows[i].needs && !place_has(rows[i].needs))
			rows[i].skipped = "not installed";
	}
	if (place_has("python3"))
		find_python();
	b->http_port = net_serve_http();
	return b->http_port ? place_make(&b->place, o) : -1;
}

static int measure(struct bench *b, const struct options *o)
{
	json_t *meta = report_meta(o), *list = json_array();
	int r;

	report_heading(meta);
	r = run_rounds(b, o);
	if (r == 0) {
		report_rows(b, o, list);
		r = o->plot ? plot_net(o->plot, o) : 0;
	}
	if (r < 0) {
		json_decref(meta);
		json_decref(list);
		return r;
	}
	return report_write(o, meta, list, judge(o));
}

int main(int argc, char *argv[])
{
	static const char *names[N_OF(rows) + 1];
	static struct bench b;
	struct options o;
	int r;

	floor_be_guest(argc, argv);
	r = net_be_guest(argc, argv);
	if (r >= 0)
		return r;
	for (size_t i = 0; i < N_OF(rows); i++)
		names[i] = rows[i].name;
	options_parse(&o, argc, argv, names, true);
	r = find_programs(&b, &o);
	if (r == 0)
		r = measure(&b, &o);
	place_remove(&b.place);
	return r == 0 ? 0 : 1;
}
