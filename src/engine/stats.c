/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the engine counted, as JSON. Cold path; counters are read one by one, so a running engine's figures need not add up to the last digit.
 */
#include <jansson.h>

#include "engine/engine_internal.h"
#include "task/ledger.h"
#include "util/histogram.h"
#include "util/jsontext.h"

static double to_us(uint64_t ns)
{
	return (double)ns / 1e3;
}

static json_t *call_json(const struct engine *e, struct chain *c)
{
	char number[CALL_NAME_BYTES];
	const struct histogram *h = c->latency;

	return json_pack("{s:i, s:s, s:I, s:I, s:I, s:f, s:f, s:f, s:f}", "nr", c->nr, "name",
			 trace_call_name(e, c->nr, number), "count",
			 (json_int_t)atomic_load(&c->count), "errno",
			 (json_int_t)atomic_load(&c->failed), "dropped",
			 (json_int_t)atomic_load(&c->dropped), "supervised_us",
			 to_us(atomic_load(&c->supervised_ns)), "p50_us",
			 h ? to_us(histogram_percentile(h, 50.0)) : 0.0, "p99_us",
			 h ? to_us(histogram_percentile(h, 99.0)) : 0.0, "max_us",
			 h ? to_us(histogram_percentile(h, 100.0)) : 0.0);
}

static json_t *handler_json(const struct chain *c, struct chain_handler *h, bool observer)
{
	uint64_t calls = atomic_load(&h->calls);

	return json_pack("{s:o, s:i, s:b, s:b, s:I, s:f, s:f, s:I, s:b}", "name",
			 jsontext_string(h->name), "nr", c->nr, "builtin", (int)h->builtin,
			 "observer", (int)observer, "calls", (json_int_t)calls, "mean_us",
			 calls ? to_us(atomic_load(&h->total_ns)) / (double)calls : 0.0, "max_us",
			 to_us(atomic_load(&h->max_ns)), "late", (json_int_t)atomic_load(&h->late),
			 "slow", (int)atomic_load(&h->demoted));
}

struct process_list {
	json_t *processes;
	bool whole; /* false: memory is short */
};

struct lists {
	json_t *demoted, *calls, *handlers;
};

/* False when memory is short. */
static bool chain_json(const struct engine *e, struct chain *c, struct lists *l)
{
	bool whole = json_array_append_new(l->calls, call_json(e, c)) == 0;

	for (uint32_t i = 0; i < c->n_handlers; i++) {
		struct chain_handler *h = &c->handlers[i];

		whole &= json_array_append_new(l->handlers, handler_json(c, h, false)) == 0;
		if (atomic_load(&h->demoted))
			whole &= json_array_append_new(l->demoted, jsontext_string(h->name)) == 0;
	}
	for (uint32_t i = 0; i < c->n_observers; i++)
		whole &= json_array_append_new(l->handlers,
					       handler_json(c, &c->observers[i], true)) == 0;
	return whole;
}

static void add_process(const struct ledger_entry *p, void *list)
{
	json_t *one = json_pack("{s:i, s:i, s:o, s:I, s:f, s:I, s:I, s:I, s:I, s:f, s:b}", "pid",
				(int)p->pid, "parent", (int)p->parent, "name",
				jsontext_string(p->name), "processes", (json_int_t)p->processes,
				"cpu_us", to_us(p->cpu_ns), "peak_kib", (json_int_t)p->peak_kib,
				"read_bytes", (json_int_t)p->read_bytes, "written_bytes",
				(json_int_t)p->written_bytes, "calls", (json_int_t)p->calls,
				"supervised_us", to_us(p->supervised_ns), "whole", (int)p->whole);
	struct process_list *l = list;

	l->whole &= json_array_append_new(l->processes, one) == 0;
}

char *engine_stats_json(struct engine *e)
{
	struct lists l = { json_array(), json_array(), json_array() };
	struct process_list p = { json_array(), true };
	json_t *all;
	struct engine_counts n;
	char *text = NULL;
	bool whole = true;

	engine_counts(e, &n);
	for (int nr = 0; nr < DISPATCH_MAX_NR; nr++) {
		if (e->dispatch->chains[nr])
			whole &= chain_json(e, e->dispatch->chains[nr], &l);
	}
	if (e->config.ledger)
		ledger_each(e->config.ledger, add_process, &p);
	all = json_pack("{s:s, s:I, s:I, s:I, s:i, s:I, s:o, s:o, s:o, s:o}", "name", e->name,
			"notifications", (json_int_t)n.notifications, "denied",
			(json_int_t)n.denied, "dropped", (json_int_t)n.dropped, "workers",
			(int)atomic_load(&e->n_workers), "takeovers", (json_int_t)n.takeovers,
			"demoted", l.demoted, "calls", l.calls, "handlers", l.handlers, "processes",
			p.processes);
	if (all && whole && p.whole)
		text = jsontext_dump(all);
	json_decref(all);
	return text;
}
