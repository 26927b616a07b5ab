/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tree/nodes.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BUCKETS 64u
#define FIRST_SLOTS 64u

static uint32_t hash_of(const struct node *parent, const char *name, size_t len)
{
	uint64_t h = (uint64_t)(uintptr_t)parent * UINT64_C(0x9e3779b97f4a7c15);

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
	return (uint32_t)(h ^ h >> 32);
}

static struct node **bucket(const struct nodes *t, uint32_t hash)
{
	return &t->table[hash & (t->n_buckets - 1)];
}

/* Twice the buckets. Without memory for them chains are longer, and that is all. */
static void grow(struct nodes *t)
{
	struct nodes wider = { .n_buckets = t->n_buckets * 2 };

	wider.table = calloc(wider.n_buckets, sizeof(struct node *));
	if (!wider.table)
		return;
	for (size_t i = 0; i < t->n_buckets; i++) {
		struct node *n, *next;

		for (n = t->table[i]; n; n = next) {
			struct node **to = bucket(&wider, n->hash);

			next = n->hash_next;
			n->hash_next = *to;
			*to = n;
		}
	}
	free(t->table);
	t->table = wider.table;
	t->n_buckets = wider.n_buckets;
}

int nodes_init(struct nodes *t)
{
	memset(t, 0, sizeof(*t));
	t->n_buckets = FIRST_BUCKETS;
	t->table = calloc(t->n_buckets, sizeof(struct node *));
	t->root = node_new("", 0);
	if (!t->table || !t->root) {
		nodes_fini(t);
		return -ENOMEM;
	}
	t->root->type = DT_DIR;
	return 0;
}

static void detach_from_parent(struct node *n)
{
	*n->pprev = n->next;
	if (n->next)
		n->next->pprev = n->pprev;
	n->parent = NULL;
	n->next = NULL;
	n->pprev = NULL;
}

static void detach_from_table(struct nodes *t, struct node *n)
{
	struct node **at = bucket(t, n->hash);

	while (*at != n)
		at = &(*at)->hash_next;
	*at = n->hash_next;
	n->hash_next = NULL;
	t->n--;
}

void nodes_detach(struct nodes *t, struct node *n)
{
	detach_from_table(t, n);
	detach_from_parent(n);
}

/* Recursion is as deep as a path has names. */
void nodes_remove(struct nodes *t, struct node *n)
{
	struct node *below, *next;

	for (below = n->child; below; below = next) {
		next = below->next;
		nodes_remove(t, below);
	}
	nodes_detach(t, n);
	node_free(n);
}

void nodes_fini(struct nodes *t)
{
	struct node *below, *next;

	for (below = t->root ? t->root->child : NULL; below; below = next) {
		next = below->next;
		nodes_remove(t, below);
	}
	node_free(t->root);
	free(t->table);
	memset(t, 0, sizeof(*t));
}

struct node *node_new(const char *name, size_t len)
{
	struct node *n = calloc(1, sizeof(*n) + len + 1);

	if (!n)
		return NULL;
	memcpy(n->name, name, len);
	n->name_len = (uint16_t)len;
	return n;
}

void node_free(struct node *n)
{
	free(n);
}

void nodes_insert(struct nodes *t, struct node *parent, struct node *n)
{
	struct node **at;

	if (t->n >= t->n_buckets)
		grow(t);
	n->hash = hash_of(parent, n->name, n->name_len);
	at = bucket(t, n->hash);
	n->hash_next = *at;
	*at = n;
	t->n++;
	n->parent = parent;
	n->next = parent->child;
	n->pprev = &parent->child;
	if (n->next)
		n->next->pprev = &n->next;
	parent->child = n;
}

void nodes_adopt(struct nodes *t, struct node *from, struct node *to)
{
	while (from->child) {
		struct node *n = from->child;

		nodes_detach(t, n);
		nodes_insert(t, to, n);
	}
}

struct node *nodes_find(const struct nodes *t, const struct node *parent, const char *name,
			size_t len)
{
	uint32_t hash = hash_of(parent, name, len);
	struct node *n;

	for (n = *bucket(t, hash); n; n = n->hash_next) {
		if (n->hash == hash && n->parent == parent && n->name_len == len &&
		    !memcmp(n->name, name, len))
			return n;
	}
	return NULL;
}

void nodes_walk(const struct nodes *t, const char *path, struct nodes_walk *ret)
{
	*ret = (struct nodes_walk){ .node = t->root, .name = path };
	while (*path) {
		size_t len = strcspn(path, "/");
		struct node *up = ret->node;

		if (up && up->type != DT_DIR)
			ret->missing = true;
		if (up && up->flags & NODE_OPAQUE)
			ret->hidden = true;
		ret->parent = up;
		ret->name = path;
		ret->node = up ? nodes_find(t, up, path, len) : NULL;
		path += len;
		path += *path == '/';
	}
}

bool node_merges(const struct node *n)
{
	for (; n; n = n->parent) {
		if (n->flags & NODE_OPAQUE)
			return false;
	}
	return true;
}

int node_path(const struct node *n, char *buf, size_t size)
{
	size_t len = 0, at;
	const struct node *up;

	for (up = n; up->parent; up = up->parent)
		len += up->name_len + (up->parent->parent ? 1u : 0u);
	if (len + 1 > size)
		return -ENAMETOOLONG;
	buf[len] = '\0';
	at = len;
	for (up = n; up->parent; up = up->parent) {
		at -= up->name_len;
		memcpy(buf + at, up->name, up->name_len);
		if (at)
			buf[--at] = '/';
	}
	return (int)len;
}

struct node *nodes_next(struct node *n)
{
	if (n->child)
		return n->child;
	while (n && !n->next)
		n = n->parent;
	return n ? n->next : NULL;
}

/* ---- identities: linear probing, at most half full ---- */

static size_t slot_of(const struct identities *t, uint64_t upper_ino)
{
	size_t i = (size_t)(upper_ino * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (t->n_slots - 1);

	while (t->slots[i].upper_ino && t->slots[i].upper_ino != upper_ino)
		i = (i + 1) & (t->n_slots - 1);
	return i;
}

void identities_fini(struct identities *t)
{
	free(t->slots);
	memset(t, 0, sizeof(*t));
}

int identities_reserve(struct identities *t, size_t more)
{
	struct identities wider = { .n_slots = t->n_slots ? t->n_slots : FIRST_SLOTS };

	if (t->n_slots && (t->n + more) * 2 <= t->n_slots)
		return 0;
	while ((t->n + more) * 2 > wider.n_slots)
		wider.n_slots *= 2;
	wider.slots = calloc(wider.n_slots, sizeof(*wider.slots));
	if (!wider.slots)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_slots; i++) {
		if (t->slots[i].upper_ino)
			wider.slots[slot_of(&wider, t->slots[i].upper_ino)] = t->slots[i];
	}
	wider.n = t->n;
	free(t->slots);
	*t = wider;
	return 0;
}

void identities_set(struct identities *t, uint64_t upper_ino, dev_t dev, uint64_t ino)
{
	struct identity_slot *s = &t->slots[slot_of(t, upper_ino)];

	t->n += !s->upper_ino;
	*s = (struct identity_slot){ .upper_ino = upper_ino, .ino = ino, .dev = dev };
}

void identities_drop(struct identities *t, uint64_t upper_ino)
{
	size_t i;

	if (!t->n_slots)
		return;
	i = slot_of(t, upper_ino);
	if (!t->slots[i].upper_ino)
		return;
	t->slots[i].upper_ino = 0;
	t->n--;
	/* what was pushed past the freed slot takes its place again */
	for (i = (i + 1) & (t->n_slots - 1); t->slots[i].upper_ino;
	     i = (i + 1) & (t->n_slots - 1)) {
		struct identity_slot moved = t->slots[i];

		t->slots[i].upper_ino = 0;
		t->slots[slot_of(t, moved.upper_ino)] = moved;
	}
}

bool identities_get(const struct identities *t, uint64_t upper_ino, dev_t *dev, uint64_t *ino)
{
	const struct identity_slot *s;

	if (!t->n_slots)
		return false;
	s = &t->slots[slot_of(t, upper_ino)];
	if (!s->upper_ino)
		return false;
	*dev = s->dev;
	*ino = s->ino;
	return true;
}
