/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "engine/dispatch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/chain.h"
#include "sys/notif.h"
#include "task/family.h"

#define HANDLER_FLAGS (SLUICE_MAY_BLOCK | SLUICE_OBSERVER | SLUICE_INSIST)
#define DEADLINE_MAX_MS 3600000u

struct dispatch_owned {
	struct dispatch_owned *next;
	void *data;
	void (*fn)(void *data);
};

struct dispatch *dispatch_new(void)
{
	return calloc(1, sizeof(struct dispatch));
}

static void handlers_free(struct chain_handler *h, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		free(h[i].name);
	free(h);
}

struct dispatch *dispatch_free(struct dispatch *d)
{
	if (!d)
		return NULL;
	for (int nr = 0; nr < DISPATCH_MAX_NR; nr++) {
		struct chain *c = d->chains[nr];

		if (!c)
			continue;
		handlers_free(c->handlers, c->n_handlers);
		handlers_free(c->observers, c->n_observers);
		free(c->latency);
		free(c);
	}
	free(d->planners);
	while (d->owned) {
		struct dispatch_owned *o = d->owned;

		d->owned = o->next;
		o->fn(o->data);
		free(o);
	}
	free(d);
	return NULL;
}

int dispatch_own(struct dispatch *d, void *data, void (*fn)(void *data))
{
	struct dispatch_owned *o = malloc(sizeof(*o));

	if (!o) {
		fn(data);
		return -ENOMEM;
	}
	*o = (struct dispatch_owned){ d->owned, data, fn };
	d->owned = o;
	return 0;
}

int dispatch_add_planner(struct dispatch *d, int nr, sluice_handler_fn fn, void *userdata)
{
	struct planner *grown = reallocarray(d->planners, d->n_planners + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	d->planners = grown;
	grown[d->n_planners++] = (struct planner){ nr, fn, userdata };
	if (d->chains[nr])
		d->chains[nr]->planner = grown[d->n_planners - 1];
	return 0;
}

static struct planner planner_of(const struct dispatch *d, int nr)
{
	for (size_t i = 0; i < d->n_planners; i++) {
		if (d->planners[i].nr == nr)
			return d->planners[i];
	}
	return (struct planner){ .nr = nr };
}

static struct chain *dispatch_get_chain(struct dispatch *d, int nr)
{
	struct chain *c = d->chains[nr];

	if (c)
		return c;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->nr = nr;
	c->only_with = -1;
	c->family = family_of(nr);
	c->planner = planner_of(d, nr);
	d->chains[nr] = c;
	return c;
}

static bool handler_valid(const struct sluice_handler *h)
{
	return h->nr >= 0 && h->nr < DISPATCH_MAX_NR && h->fn && !(h->flags & ~HANDLER_FLAGS) &&
	       h->deadline_ms <= DEADLINE_MAX_MS && h->deadline_errno >= 0 &&
	       h->deadline_errno <= 4095 && !h->reserved[0] && !h->reserved[1];
}

static char *handler_name(struct dispatch *d, const struct sluice_handler *h, bool builtin)
{
	char text[32];

	if (!builtin)
		d->n_extras++;
	if (h->name)
		return strdup(h->name);
	snprintf(text, sizeof(text), "extra-%u", d->n_extras);
	return strdup(text);
}

/* Room for one more at the end of *list, zeroed; NULL when memory is short. */
static struct chain_handler *handlers_grow(struct chain_handler **list, uint32_t n)
{
	struct chain_handler *grown = realloc(*list, (n + 1) * sizeof(*grown));

	if (!grown)
		return NULL;
	*list = grown;
	memset(&grown[n], 0, sizeof(grown[n]));
	return &grown[n];
}

static int add(struct dispatch *d, const struct sluice_handler *h, bool builtin, bool where_refused)
{
	bool observer = h->flags & SLUICE_OBSERVER;
	struct chain_handler *slot;
	struct chain *c;
	uint32_t *n;

	if (!handler_valid(h) || (builtin && d->extras_begun))
		return -EINVAL;
	c = dispatch_get_chain(d, h->nr);
	if (!c)
		return -ENOMEM;
	if (c->n_handlers + c->n_observers >= DISPATCH_MAX_CHAIN)
		return -E2BIG;
	n = observer ? &c->n_observers : &c->n_handlers;
	slot = handlers_grow(observer ? &c->observers : &c->handlers, *n);
	if (!slot)
		return -ENOMEM;
	slot->name = handler_name(d, h, builtin);
	if (!slot->name)
		return -ENOMEM;
	slot->fn = h->fn;
	slot->userdata = h->userdata;
	slot->flags = h->flags;
	slot->deadline_ms = h->deadline_ms ? h->deadline_ms : SLUICE_DEADLINE_DEFAULT_MS;
	slot->deadline_errno = h->deadline_errno ? h->deadline_errno : EPERM;
	slot->builtin = builtin;
	(*n)++;
	if (h->flags & SLUICE_MAY_BLOCK)
		atomic_store_explicit(&c->to_pool, true, memory_order_relaxed);
	if (slot->deadline_ms > c->deadline_ms)
		c->deadline_ms = slot->deadline_ms;
	d->extras_begun |= !builtin;
	c->everywhere |= !where_refused;
	if (!where_refused)
		c->only_with = -1;
	c->where_refused |= where_refused;
	return 0;
}

int dispatch_add(struct dispatch *d, const struct sluice_handler *h, bool builtin)
{
	return add(d, h, builtin, false);
}

int dispatch_add_builtins(struct dispatch *d, const struct sluice_handler *handlers, size_t n)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = dispatch_add(d, &handlers[i], true);
	return r;
}

int dispatch_add_where_refused(struct dispatch *d, const struct sluice_handler *h)
{
	return add(d, h, true, true);
}

void dispatch_trap_only_with(struct dispatch *d, int nr, int arg)
{
	struct chain *c = d->chains[nr];

	if (c->n_handlers + c->n_observers == 1)
		c->only_with = arg;
}

size_t dispatch_numbers(const struct dispatch *d, int *ret, size_t max)
{
	size_t n = 0;

	for (int i = 0; i < 2 * DISPATCH_MAX_NR; i++) {
		const struct chain *c = d->chains[i % DISPATCH_MAX_NR];
		bool everywhere = i < DISPATCH_MAX_NR;

		if (!c || !(everywhere ? c->everywhere : c->where_refused))
			continue;
		if (n < max)
			ret[n] = c->nr |
				 (everywhere ? NOTIF_WITH(c->only_with) : NOTIF_WHERE_REFUSED);
		n++;
	}
	return n;
}

void chain_demote(struct chain *c, struct chain_handler *h)
{
	uint32_t probation;

	if (h && !atomic_exchange(&h->demoted, true)) {
		probation = atomic_load(&h->probation);
		atomic_store(&h->prompt, 0);
		atomic_store(&h->probation, !probation ? CHAIN_PROMPT_AGAIN
					    : probation < CHAIN_PROMPT_AGAIN_MAX ? 2 * probation
										 : probation);
	}
	atomic_store(&c->to_pool, true);
}

static bool any_for_pool(struct chain_handler *handlers, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (handlers[i].flags & SLUICE_MAY_BLOCK || atomic_load(&handlers[i].demoted))
			return true;
	}
	return false;
}

static bool is_for_pool(struct chain *c)
{
	return any_for_pool(c->handlers, c->n_handlers) ||
	       any_for_pool(c->observers, c->n_observers);
}

/* A call of demoted built-in @h took @ns. */
static void chain_reconsider(struct chain *c, struct chain_handler *h, uint64_t ns)
{
	if (ns > CHAIN_SLOW_MEAN_NS) {
		atomic_store(&h->prompt, 0);
		return;
	}
	if (atomic_fetch_add(&h->prompt, 1) + 1 < atomic_load(&h->probation))
		return;
	atomic_store(&h->demoted, false);
	if (is_for_pool(c))
		return;
	atomic_store(&c->to_pool, false);
	if (is_for_pool(c)) /* another one was demoted meanwhile */
		atomic_store(&c->to_pool, true);
}

void chain_account(struct chain *c, struct chain_handler *h, uint64_t ns)
{
	uint64_t calls = atomic_fetch_add_explicit(&h->calls, 1, memory_order_relaxed) + 1;
	uint64_t mean = atomic_load_explicit(&h->mean_ns, memory_order_relaxed);
	uint64_t max = atomic_load_explicit(&h->max_ns, memory_order_relaxed);

	atomic_fetch_add_explicit(&h->total_ns, ns, memory_order_relaxed);
	if (ns > max) /* a lost race loses one maximum: statistics only */
		atomic_store_explicit(&h->max_ns, ns, memory_order_relaxed);
	/* exponential mean with weight 1/16; one call during which the thread was preempted says little about the handler */
	if (ns > CHAIN_SAMPLE_MAX_NS)
		ns = CHAIN_SAMPLE_MAX_NS;
	mean = mean - mean / 16 + ns / 16;
	atomic_store_explicit(&h->mean_ns, mean, memory_order_relaxed);
	if (mean > CHAIN_SLOW_MEAN_NS && calls > CHAIN_SLOW_AFTER)
		chain_demote(c, h);
	else if (h->builtin && atomic_load_explicit(&h->demoted, memory_order_relaxed))
		chain_reconsider(c, h, ns);
}
