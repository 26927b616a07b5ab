/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tree/dirents.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sys/fd.h"
#include "tree/branch_internal.h"

#define READ_BYTES (64u << 10)
#define FIRST_POSITION 2u /* of names */
#define END_POSITION (INT64_C(1) << DIRENTS_POSITION_BITS)
#define TICK_NS 20000000 /* twice that of the slowest clock */

/* ---- one listing ---- */

/* In `bytes` at `at`. */
struct name {
	uint64_t hash;
	uint64_t ino;
	size_t at;
	uint8_t layer; /* 0: extras */
	uint8_t type;
	uint16_t len;
};

/* A directory as it was. */
struct state {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

struct listing {
	atomic_uint refs;
	struct state layers[DIRENTS_LAYERS_MAX];
	size_t n_layers;
	uint64_t version;
	uint64_t extras; /* a hash of them */
	bool fresh; /* changed within a tick of being read: cannot be told from what comes next */
	uint64_t from, to; /* positions; END_POSITION when nothing was left out */
	struct name *names;
	size_t n, room;
	char *bytes;
	size_t n_bytes, room_bytes;
};

struct dirents {
	uint64_t key[2];
	size_t listing_bytes;
	pthread_mutex_t lock;
	struct listing *listings[DIRENTS_LISTINGS]; /* guarded by lock; used last first */
};

static void listing_unref(struct listing *l)
{
	if (!l || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(l->names);
	free(l->bytes);
	free(l);
}

/* ---- positions: SipHash-1-3 of the name ---- */

static uint64_t rotated(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotated(v[1], 13) ^ v[0];
	v[0] = rotated(v[0], 32);
	v[2] += v[3];
	v[3] = rotated(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotated(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotated(v[1], 17) ^ v[2];
	v[2] = rotated(v[2], 32);
}

static uint64_t sip_hash(const uint64_t key[2], const char *bytes, size_t n)
{
	uint64_t v[4] = { key[0] ^ UINT64_C(0x736f6d6570736575),
			  key[1] ^ UINT64_C(0x646f72616e646f6d),
			  key[0] ^ UINT64_C(0x6c7967656e657261),
			  key[1] ^ UINT64_C(0x7465646279746573) };
	uint64_t last = (uint64_t)n << 56, word;

	for (; n >= 8; n -= 8, bytes += 8) {
		memcpy(&word, bytes, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	word = 0;
	memcpy(&word, bytes, n);
	last |= word;
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* From FIRST_POSITION to END_POSITION - 1. */
static uint64_t position_of(const struct dirents *d, const char *name, size_t len)
{
	uint64_t h = sip_hash(d->key, name, len) >> (64 - DIRENTS_POSITION_BITS);

	return h < FIRST_POSITION ? h + FIRST_POSITION : h;
}

/* ---- building one ---- */

static int by_position(const void *x, const void *y, void *arg)
{
	const struct name *a = x, *b = y;
	const char *bytes = arg;
	int r;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	r = memcmp(bytes + a->at, bytes + b->at, a->len < b->len ? a->len : b->len);
	if (r == 0)
		r = (int)a->len - (int)b->len;
	return r ? r : (int)a->layer - (int)b->layer;
}

static void sort(struct listing *l)
{
	if (l->n)
		qsort_r(l->names, l->n, sizeof(*l->names), by_position, l->bytes);
}

static bool same_name(const struct listing *l, const struct name *a, const struct name *b)
{
	return a->hash == b->hash && a->len == b->len &&
	       !memcmp(l->bytes + a->at, l->bytes + b->at, a->len);
}

/* Sorted by layer last, so the first of a name decides. Whiteouts have to stay until all layers are read. */
static void drop_covered(struct listing *l)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (kept && same_name(l, &l->names[kept - 1], &l->names[i]))
			continue;
		l->names[kept++] = l->names[i];
	}
	l->n = kept;
}

static void drop_whiteouts(struct listing *l)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (l->names[i].type != DT_WHT)
			l->names[kept++] = l->names[i];
	}
	l->n = kept;
}

static int reserve(void *array_pointer, size_t *room, size_t need, size_t each)
{
	void **array = array_pointer;
	size_t wider = *room ? *room : 64;
	void *p;

	if (need <= *room)
		return 0;
	while (wider < need)
		wider += wider / 2;
	p = realloc(*array, wider * each);
	if (!p)
		return -ENOMEM;
	*array = p;
	*room = wider;
	return 0;
}

/* It has become too large: the later half of the positions is left out. */
static int halve(struct listing *l)
{
	char *bytes = malloc(l->room_bytes + 1);
	size_t n_bytes = 0;

	if (!bytes)
		return -ENOMEM;
	sort(l);
	drop_covered(l);
	if (l->n > 1) {
		size_t half = l->n / 2;

		/* all names of one position, or none */
		while (half && l->names[half].hash == l->names[half - 1].hash)
			half--;
		if (half) {
			l->to = l->names[half].hash;
			l->n = half;
		}
	}
	for (size_t i = 0; i < l->n; i++) {
		memcpy(bytes + n_bytes, l->bytes + l->names[i].at, l->names[i].len);
		l->names[i].at = n_bytes;
		n_bytes += l->names[i].len;
	}
	free(l->bytes);
	l->bytes = bytes;
	l->n_bytes = n_bytes;
	return 0;
}

static int add(const struct dirents *d, struct listing *l, const char *name,
	       const struct name *head)
{
	struct name n = *head;
	int r = 0;

	n.len = (uint16_t)strlen(name);
	n.hash = position_of(d, name, n.len);
	if (n.len == 0 || n.hash < l->from || n.hash >= l->to)
		return 0;
	if (l->n && (l->n + 1) * sizeof(n) + l->n_bytes + n.len > d->listing_bytes)
		r = halve(l);
	if (r == 0 && n.hash >= l->to)
		return 0;
	if (r == 0)
		r = reserve(&l->bytes, &l->room_bytes, l->n_bytes + n.len, 1);
	if (r == 0)
		r = reserve(&l->names, &l->room, l->n + 1, sizeof(n));
	if (r < 0)
		return r;
	n.at = l->n_bytes;
	memcpy(l->bytes + l->n_bytes, name, n.len);
	l->n_bytes += n.len;
	l->names[l->n++] = n;
	return 0;
}

struct kernel_dirent {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

static uint8_t type_of(const struct dirents_source *s, size_t layer, int fd,
		       const struct kernel_dirent *e)
{
	struct stat st;

	if (e->type != DT_CHR && e->type != DT_UNKNOWN)
		return e->type;
	if (fstatat(fd, e->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return is_whiteout(&st) ? DT_WHT : (uint8_t)IFTODT(st.st_mode);
	/* what may be read but not searched is known by its layer alone */
	return errno == EACCES && s->hides && s->hides(s->arg, layer, e->name) ? DT_WHT : e->type;
}

static int add_record(const struct dirents *d, const struct dirents_source *s, struct listing *l,
		      size_t layer, int fd, const struct kernel_dirent *e)
{
	struct name n = { .layer = (uint8_t)(layer + 1) };

	if (e->name[0] == '.' && (e->name[1] == '\0' || !strcmp(e->name + 1, ".")))
		return 0;
	/* with one layer a whiteout hides nothing, but is none to see either */
	n.type = type_of(s, layer, fd, e);
	n.ino = s->shown_ino ? s->shown_ino(s->arg, layer, e->ino) : e->ino;
	return add(d, l, e->name, &n);
}

static int add_layer(const struct dirents *d, const struct dirents_source *s, struct listing *l,
		     size_t layer, int fd)
{
	char *buf = malloc(READ_BYTES);
	long n = buf ? 0 : -1;
	int r = buf ? 0 : -ENOMEM;

	while (r == 0 && (n = syscall(SYS_getdents64, fd, buf, READ_BYTES)) > 0) {
		for (long at = 0; r == 0 && at < n;) {
			const struct kernel_dirent *e = (const void *)(buf + at);

			r = add_record(d, s, l, layer, fd, e);
			at += e->reclen;
		}
	}
	if (r == 0 && n < 0)
		r = -errno;
	free(buf);
	return r;
}

static int add_layers(const struct dirents *d, const struct dirents_source *s, struct listing *l)
{
	bool opaque = false;
	int r = 0;

	for (size_t i = 0; r == 0 && !opaque && i < s->n_layers; i++) {
		char link[FD_LINK_BYTES];
		int fd;

		/* a description of our own: the position of the task's is the task's */
		fd_link(s->layers[i], link);
		fd = open(link, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		opaque = i + 1 < s->n_layers && has_opaque(fd);
		r = add_layer(d, s, l, i, fd);
		close(fd);
	}
	return r;
}

static int fill(const struct dirents *d, const struct dirents_source *s, struct listing *l)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->n_extras; i++) {
		const struct name n = { .type = s->extras[i].type, .ino = s->extras[i].ino };

		r = add(d, l, s->extras[i].name, &n);
	}
	if (r == 0)
		r = add_layers(d, s, l);
	if (r < 0)
		return r;
	sort(l);
	drop_covered(l);
	drop_whiteouts(l);
	return 0;
}

/* ---- is it still what it was? ---- */

static int64_t ns_of(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool same_state(const struct state *a, const struct state *b)
{
	return a->size == b->size && ns_of(a->mtime) == ns_of(b->mtime) &&
	       ns_of(a->ctime) == ns_of(b->ctime);
}

static uint64_t extras_hash(const struct dirents *d, const struct dirents_source *s)
{
	uint64_t h = s->n_extras;

	for (size_t i = 0; i < s->n_extras; i++) {
		const struct dirents_extra *e = &s->extras[i];

		h = rotated(h, 7) ^ sip_hash(d->key, e->name, strlen(e->name)) ^ e->ino ^ e->type;
	}
	return h;
}

static int look(const struct dirents *d, const struct dirents_source *s, struct listing *l)
{
	int64_t newest = 0;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	for (size_t i = 0; i < s->n_layers; i++) {
		struct state *state = &l->layers[i];
		struct stat st;

		if (fstat(s->layers[i], &st) < 0)
			return -errno;
		if (!S_ISDIR(st.st_mode))
			return -ENOTDIR;
		*state = (struct state){ st.st_dev, st.st_ino, st.st_size, st.st_mtim, st.st_ctim };
		newest = ns_of(st.st_mtim) > newest ? ns_of(st.st_mtim) : newest;
		newest = ns_of(st.st_ctim) > newest ? ns_of(st.st_ctim) : newest;
	}
	l->n_layers = s->n_layers;
	l->version = s->version;
	l->extras = extras_hash(d, s);
	l->fresh = newest > ns_of(now) - TICK_NS;
	return 0;
}

/* Of the same directories, whatever has become of them. */
static bool is_of(const struct listing *l, const struct listing *now)
{
	if (l->n_layers != now->n_layers || l->extras != now->extras)
		return false;
	for (size_t i = 0; i < l->n_layers; i++) {
		if (l->layers[i].dev != now->layers[i].dev ||
		    l->layers[i].ino != now->layers[i].ino)
			return false;
	}
	return true;
}

static bool is_current(const struct listing *l, const struct listing *now)
{
	if (l->fresh || l->version != now->version)
		return false;
	for (size_t i = 0; i < l->n_layers; i++) {
		if (!same_state(&l->layers[i], &now->layers[i]))
			return false;
	}
	return true;
}

/* ---- the ones that are kept ---- */

static void move_to_front(struct dirents *d, size_t i)
{
	struct listing *l = d->listings[i];

	memmove(&d->listings[1], &d->listings[0], i * sizeof(struct listing *));
	d->listings[0] = l;
}

/* One that answers for @position, with a reference; or NULL. */
static struct listing *find(struct dirents *d, const struct listing *now, uint64_t position)
{
	struct listing *l = NULL;

	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; !l && i < DIRENTS_LISTINGS; i++) {
		struct listing *at = d->listings[i];

		if (!at || !is_of(at, now) || position < at->from || position >= at->to)
			continue;
		if (position == 0 && !is_current(at, now))
			continue;
		l = at;
		atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
		move_to_front(d, i);
	}
	pthread_mutex_unlock(&d->lock);
	return l;
}

/* In the place of those of the same directories, or of the one that was not used for longest. */
static void keep(struct dirents *d, struct listing *l)
{
	size_t i = 0;

	atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
	pthread_mutex_lock(&d->lock);
	while (i < DIRENTS_LISTINGS - 1 && d->listings[i] && !is_of(d->listings[i], l))
		i++;
	listing_unref(d->listings[i]);
	d->listings[i] = l;
	move_to_front(d, i);
	pthread_mutex_unlock(&d->lock);
}

static int get(struct dirents *d, const struct dirents_source *s, uint64_t position,
	       struct listing **ret)
{
	struct listing now = { 0 }, *l;
	int r = look(d, s, &now);

	if (r < 0)
		return r;
	l = find(d, &now, position);
	if (!l) {
		l = calloc(1, sizeof(*l));
		if (!l)
			return -ENOMEM;
		memcpy(l->layers, now.layers, now.n_layers * sizeof(now.layers[0]));
		l->n_layers = now.n_layers;
		l->version = now.version;
		l->extras = now.extras;
		l->fresh = now.fresh;
		l->refs = 1;
		l->from = position;
		l->to = END_POSITION;
		r = fill(d, s, l);
		if (r < 0) {
			listing_unref(l);
			return r;
		}
		keep(d, l);
	}
	*ret = l;
	return 0;
}

/* ---- records ---- */

struct out {
	char *buf;
	size_t size, n;
	bool old;
	bool full;
};

/* linux_dirent64; or linux_dirent, whose type is its last byte. */
static void put(struct out *o, const char *name, size_t len, uint64_t ino, uint8_t type,
		uint64_t after)
{
	const size_t head = o->old ? 18 : 19;
	const size_t bytes = (head + len + (o->old ? 2 : 1) + 7) & ~(size_t)7;
	const uint16_t reclen = (uint16_t)bytes;
	char *at = o->buf + o->n;

	if (o->full || o->size - o->n < bytes) {
		o->full = true;
		return;
	}
	memset(at, 0, bytes);
	memcpy(at, &ino, 8);
	memcpy(at + 8, &after, 8);
	memcpy(at + 16, &reclen, 2);
	at[o->old ? bytes - 1 : 18] = (char)type;
	memcpy(at + head, name, len);
	o->n += bytes;
}

static size_t first_at(const struct listing *l, uint64_t position)
{
	size_t low = 0, high = l->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (l->names[mid].hash < position)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The names at one position, all of them or none. Returns how many; 0 when the buffer is full. */
static size_t put_position(struct out *o, const struct listing *l, size_t i)
{
	size_t end = i, was = o->n;

	while (end < l->n && l->names[end].hash == l->names[i].hash)
		end++;
	for (size_t k = i; k < end; k++) {
		const struct name *n = &l->names[k];

		put(o, l->bytes + n->at, n->len, n->ino, n->type, n->hash + (k + 1 == end));
	}
	if (!o->full)
		return end - i;
	o->n = was;
	return 0;
}

static void put_listing(struct out *o, const struct listing *l, uint64_t *position)
{
	size_t i = first_at(l, *position), n;

	while (i < l->n && (n = put_position(o, l, i))) {
		*position = l->names[i].hash + 1;
		i += n;
	}
	if (i == l->n && !o->full)
		*position = l->to;
}

static void put_dots(struct out *o, const struct dirents_source *s, uint64_t *position)
{
	if (*position == 0) {
		put(o, ".", 1, s->self_ino, DT_DIR, 1);
		*position += !o->full;
	}
	if (*position == 1) {
		put(o, "..", 2, s->parent_ino, DT_DIR, 2);
		*position += !o->full;
	}
}

ssize_t dirents_read(struct dirents *d, const struct dirents_source *s, int64_t *position,
		     void *buf, size_t size)
{
	struct out o = { .buf = buf, .size = size, .old = s->old };
	uint64_t at = (uint64_t)*position;

	if (*position < 0 || s->n_layers == 0 || s->n_layers > DIRENTS_LAYERS_MAX)
		return -EINVAL;
	while (at < (uint64_t)END_POSITION && !o.full) {
		struct listing *l;
		int r = get(d, s, at, &l);

		if (r < 0 && o.n == 0)
			return r;
		if (r < 0)
			break;
		put_dots(&o, s, &at);
		if (!o.full)
			put_listing(&o, l, &at);
		listing_unref(l);
	}
	if (o.full && o.n == 0)
		return -EINVAL;
	*position = (int64_t)at;
	return (ssize_t)o.n;
}

/* ---- life ---- */

struct dirents *dirents_new(size_t listing_bytes)
{
	struct dirents *d = calloc(1, sizeof(*d));

	if (!d || getrandom(d->key, sizeof(d->key), 0) != sizeof(d->key)) {
		free(d);
		return NULL;
	}
	d->listing_bytes = listing_bytes ? listing_bytes : DIRENTS_BYTES;
	pthread_mutex_init(&d->lock, NULL);
	return d;
}

void dirents_set_order(struct dirents *d)
{
	memset(d->key, 0, sizeof(d->key));
}

struct dirents *dirents_free(struct dirents *d)
{
	if (!d)
		return NULL;
	for (size_t i = 0; i < DIRENTS_LISTINGS; i++)
		listing_unref(d->listings[i]);
	pthread_mutex_destroy(&d->lock);
	free(d);
	return NULL;
}
