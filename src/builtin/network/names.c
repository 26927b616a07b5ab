/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/network/names.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "builtin/network/scope.h"
#include "util/versioned.h"

#define NS_PER_S 1000000000ull
#define FAMILIES 2u /* 0: IPv4, 1: IPv6 */

struct entry {
	struct net_address address;
	uint64_t until; /* when it is dropped; 0: it is present */
};

struct name {
	const char *text; /* the owner's of the targets */
	struct entry entries[NAMES_MAX];
	size_t n;
	/* at the start; constant then */
	struct net_address first[NAMES_ANSWER_MAX];
	size_t n_first;
	bool first_private;
	struct {
		uint64_t due;
		bool asked;
		uint32_t retry_s; /* of the last failure; 0: there was none since the last answer */
	} families[FAMILIES];
};

/* What readers see: constant. Of each name those that are present, then those that have left. */
struct seen {
	uint64_t generation;
	struct {
		size_t at, n, n_present; /* of `addresses` */
	} * names;
	struct net_address *addresses;
};

struct names {
	size_t n;
	struct name *names;
	bool changed, changed_present; /* since the last names_publish */
	uint64_t publish_again;	       /* when it failed; 0 */
	uint64_t generation;
	struct versioned seen; /* struct seen */
};

void names_free(struct names *names)
{
	if (!names)
		return;
	free(atomic_load(&names->seen.now));
	free(names->names);
	free(names);
}

int names_new(const struct net_target *targets, size_t n_targets, struct names **ret)
{
	struct names *made = calloc(1, sizeof(*made));
	size_t n = 0;

	if (!made)
		return -ENOMEM;
	for (size_t i = 0; i < n_targets; i++)
		n += targets[i].kind == NET_NAME;
	made->names = calloc(n + 1, sizeof(*made->names));
	for (size_t i = 0; made->names && i < n_targets; i++) {
		if (targets[i].kind == NET_NAME && names_find(made, targets[i].name) == made->n)
			made->names[made->n++].text = targets[i].name;
	}
	if (!made->names || names_publish(made, 0) < 0) {
		names_free(made);
		return -ENOMEM;
	}
	*ret = made;
	return 0;
}

size_t names_count(const struct names *names)
{
	return names->n;
}

const char *names_name(const struct names *names, size_t name)
{
	return names->names[name].text;
}

size_t names_find(const struct names *names, const char *name)
{
	size_t i = 0;

	while (i < names->n && strcmp(names->names[i].text, name) != 0)
		i++;
	return i;
}

/* ---- addresses of a name ---- */

static bool is_same(const struct net_address *a, const struct net_address *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static bool is_among(const struct net_address *list, size_t n, const struct net_address *a)
{
	for (size_t i = 0; i < n; i++) {
		if (is_same(&list[i], a))
			return true;
	}
	return false;
}

static struct entry *find(struct name *name, const struct net_address *a)
{
	for (size_t i = 0; i < name->n; i++) {
		if (is_same(&name->entries[i].address, a))
			return &name->entries[i];
	}
	return NULL;
}

/* Room for one more: at the end, or that of the first that left. NULL: all are present. */
static struct entry *room(struct name *name)
{
	struct entry *first = NULL;

	if (name->n < NAMES_MAX)
		return &name->entries[name->n++];
	for (size_t i = 0; i < name->n; i++) {
		struct entry *e = &name->entries[i];

		if (e->until && (!first || e->until < first->until))
			first = e;
	}
	return first;
}

static void gain(struct names *names, struct name *name, const struct net_address *a)
{
	struct entry *e = room(name);

	if (!e)
		return;
	*e = (struct entry){ .address = *a };
	names->changed = names->changed_present = true;
}

void names_begin(struct names *names, size_t which, const struct net_address *found, size_t n)
{
	struct name *name = &names->names[which];

	for (size_t i = 0; i < n && name->n_first < NAMES_ANSWER_MAX; i++) {
		if (is_among(name->first, name->n_first, &found[i]))
			continue;
		name->first[name->n_first++] = found[i];
		name->first_private |= scope_of(&found[i]) == SCOPE_PRIVATE;
		gain(names, name, &found[i]);
	}
}

static bool may_gain(const struct name *name, const struct net_address *a,
		     bool (*is_own)(const struct net_address *a))
{
	const enum scope scope = scope_of(a);

	if (is_among(name->first, name->n_first, a))
		return true;
	if (scope != SCOPE_GLOBAL && !(scope == SCOPE_PRIVATE && name->first_private))
		return false;
	return !is_own(a);
}

/* Those of the family that @found has not leave. */
static void leave(struct names *names, struct name *name, bool v6, const struct net_address *found,
		  size_t n, uint64_t until)
{
	for (size_t i = 0; i < name->n; i++) {
		struct entry *e = &name->entries[i];

		if (e->until || net_address_is_v4(&e->address) == v6 ||
		    is_among(found, n, &e->address))
			continue;
		e->until = until;
		names->changed = names->changed_present = true;
	}
}

/* ---- questions ---- */

bool names_due(struct names *names, uint64_t now, struct names_question *ret)
{
	for (size_t i = 0; i < names->n * FAMILIES; i++) {
		struct name *name = &names->names[i / FAMILIES];
		const size_t family = i % FAMILIES;

		if (name->families[family].asked || name->families[family].due > now)
			continue;
		name->families[family].asked = true;
		*ret = (struct names_question){ i / FAMILIES, family == 1 };
		return true;
	}
	return false;
}

void names_answered(struct names *names, struct names_question q, const struct net_address *found,
		    size_t n, uint32_t ttl_s, uint64_t now,
		    bool (*is_own)(const struct net_address *a))
{
	struct name *name = &names->names[q.name];

	n = n < NAMES_ANSWER_MAX ? n : NAMES_ANSWER_MAX;
	leave(names, name, q.v6, found, n, now + NAMES_GRACE_S * NS_PER_S);
	for (size_t i = 0; i < n; i++) {
		struct entry *e = find(name, &found[i]);

		if (net_address_is_v4(&found[i]) == q.v6)
			continue;
		if (!e && may_gain(name, &found[i], is_own)) {
			gain(names, name, &found[i]);
		} else if (e && e->until) { /* it is back */
			e->until = 0;
			names->changed = names->changed_present = true;
		}
	}
	ttl_s = ttl_s < NAMES_TTL_MIN_S ? NAMES_TTL_MIN_S : ttl_s;
	ttl_s = ttl_s > NAMES_TTL_MAX_S ? NAMES_TTL_MAX_S : ttl_s;
	name->families[q.v6].asked = false;
	name->families[q.v6].retry_s = 0;
	name->families[q.v6].due = now + ttl_s * NS_PER_S;
}

void names_failed(struct names *names, struct names_question q, uint64_t now)
{
	struct name *name = &names->names[q.name];
	uint32_t *retry_s = &name->families[q.v6].retry_s;

	*retry_s = *retry_s ? 2 * *retry_s : NAMES_RETRY_MIN_S;
	*retry_s = *retry_s > NAMES_RETRY_MAX_S ? NAMES_RETRY_MAX_S : *retry_s;
	name->families[q.v6].asked = false;
	name->families[q.v6].due = now + *retry_s * NS_PER_S;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t names_next(const struct names *names)
{
	uint64_t next = UINT64_MAX;

	if (names->changed)
		next = names->publish_again;
	for (size_t i = 0; i < names->n; i++) {
		const struct name *name = &names->names[i];

		for (size_t f = 0; f < FAMILIES; f++) {
			if (!name->families[f].asked)
				next = earlier(next, name->families[f].due);
		}
		for (size_t e = 0; e < name->n; e++) {
			if (name->entries[e].until)
				next = earlier(next, name->entries[e].until);
		}
	}
	return next;
}

/* ---- what readers see ---- */

static void expire(struct names *names, struct name *name, uint64_t now)
{
	size_t kept = 0;

	for (size_t i = 0; i < name->n; i++) {
		const struct entry *e = &name->entries[i];

		if (!e->until || e->until > now)
			name->entries[kept++] = *e;
	}
	names->changed |= kept < name->n;
	name->n = kept;
}

/* In one block; NULL: no memory. */
static struct seen *seen_new(const struct names *names)
{
	struct seen *seen;
	size_t total = 0, at = 0;

	for (size_t i = 0; i < names->n; i++)
		total += names->names[i].n;
	seen = malloc(sizeof(*seen) + names->n * sizeof(*seen->names) +
		      total * sizeof(*seen->addresses));
	if (!seen)
		return NULL;
	seen->generation = names->generation + names->changed_present;
	seen->names = (void *)(seen + 1);
	seen->addresses = (void *)(seen->names + names->n);
	for (size_t i = 0; i < names->n; i++) {
		const struct name *name = &names->names[i];
		size_t present = 0, left = name->n;

		for (size_t e = 0; e < name->n; e++) {
			size_t place = name->entries[e].until ? --left : present++;

			seen->addresses[at + place] = name->entries[e].address;
		}
		seen->names[i].at = at;
		seen->names[i].n = name->n;
		seen->names[i].n_present = present;
		at += name->n;
	}
	return seen;
}

int names_publish(struct names *names, uint64_t now)
{
	struct seen *seen;

	for (size_t i = 0; i < names->n; i++)
		expire(names, &names->names[i], now);
	if (!names->changed && atomic_load(&names->seen.now))
		return 0;
	seen = seen_new(names);
	if (!seen) {
		names->publish_again = now + NAMES_RETRY_MIN_S * NS_PER_S;
		return -ENOMEM;
	}
	names->generation = seen->generation;
	free(versioned_replace(&names->seen, seen));
	names->changed = names->changed_present = false;
	names->publish_again = 0;
	return 0;
}

bool names_have(struct names *names, size_t name, const struct net_address *a)
{
	unsigned turn;
	const struct seen *seen = versioned_read(&names->seen, &turn);
	bool have = is_among(seen->addresses + seen->names[name].at, seen->names[name].n, a);

	versioned_done(&names->seen, turn);
	return have;
}

uint64_t names_generation(struct names *names)
{
	unsigned turn;
	const struct seen *seen = versioned_read(&names->seen, &turn);
	const uint64_t generation = seen->generation;

	versioned_done(&names->seen, turn);
	return generation;
}

void names_each(struct names *names, names_each_fn fn, void *arg)
{
	unsigned turn;
	const struct seen *seen = versioned_read(&names->seen, &turn);

	for (size_t i = 0; i < names->n; i++) {
		for (size_t k = 0; k < seen->names[i].n_present; k++)
			fn(arg, names->names[i].text, &seen->addresses[seen->names[i].at + k]);
	}
	versioned_done(&names->seen, turn);
}
