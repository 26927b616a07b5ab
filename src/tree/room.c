/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quota: bytes of the upper directory's files, counted by blocks as they come and go.
 *
 * What passes through here (creating, opening for writing, truncating, copying up) is refused with ENOSPC once the quota is used up. A write through a descriptor that is open is not seen as it
 * happens: write(2) must not be trapped (programs do not retry it), and no quota of the kernel's can be had without privilege. So there are three bounds for it:
 *
 * 1. RLIMIT_FSIZE of the tasks, which their launcher sets to the quota: no one file grows past it, at no cost.
 * 2. Files that were opened for writing (the last ROOM_WATCHED to grow) are kept as O_PATH descriptors and measured: when something asks for room, and by branch_room_check, each time after
 *    what the fastest disk (ROOM_BYTES_PER_MS) would need for what is left. When that is nothing, branch_room_hold sets the soft RLIMIT_FSIZE of each process to 0, and their next write to
 *    any file fails (EFBIG and SIGXFSZ instead of ENOSPC, which nobody can make the kernel say); it takes that back when there is room again. What gets through is what is written within one
 *    such time: 1 to 20 MB measured on tmpfs and ext4 with a writer that does nothing else.
 * 3. A process that raises its soft limit itself goes on: the caller sees `used` grow past `max`, and may end it.
 *
 * Not counted: files without a name (O_TMPFILE until linked, unlinked ones), blocks that a shared mapping fills after its file was pushed out of the watched ones, directories and attributes.
 * Only branches with a quota pay for any of it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree/branch_internal.h"
#include "sys/fd.h"
#include "util/clock.h"

#define ROOM_BYTES_PER_MS (4u << 20)
#define ROOM_LONGEST_MS 1000u
#define ROOM_FULL_MS 20u /* until it is looked whether there is room again */

static void count(struct branch *b, uint64_t was, uint64_t is)
{
	if (is > was)
		atomic_fetch_add_explicit(&b->used_bytes, is - was, memory_order_relaxed);
	else if (is < was)
		room_give(b, was - is);
}

static void unwatch_locked(struct branch *b, struct watched *f)
{
	close(f->fd);
	*f = b->watched[--b->n_watched];
}

/* False: it is watched no more. An unlinked file's blocks were given back by who unlinked it, and a descriptor of ours would keep them. */
static bool measure_one_locked(struct branch *b, struct watched *f, uint64_t now_ns)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0 || st.st_nlink == 0) {
		unwatch_locked(b, f);
		return false;
	}
	if ((uint64_t)st.st_blocks * 512 > f->counted)
		f->grown_ns = now_ns;
	count(b, f->counted, (uint64_t)st.st_blocks * 512);
	f->counted = (uint64_t)st.st_blocks * 512;
	return true;
}

static void measure(struct branch *b)
{
	uint64_t now_ns = clock_now_ns();

	pthread_mutex_lock(&b->room_lock);
	for (unsigned i = 0; i < b->n_watched;)
		i += measure_one_locked(b, &b->watched[i], now_ns);
	b->measured_ns = now_ns;
	pthread_mutex_unlock(&b->room_lock);
}

static uint64_t used_bytes(const struct branch *b)
{
	return atomic_load_explicit(&b->used_bytes, memory_order_relaxed);
}

/* How long the room that is left takes to fill, at least. */
static unsigned ms_to_fill(const struct branch *b)
{
	uint64_t used = used_bytes(b);
	uint64_t ms = used < b->max_bytes ? (b->max_bytes - used) / ROOM_BYTES_PER_MS : 0;

	return ms < ROOM_LONGEST_MS ? (unsigned)ms : ROOM_LONGEST_MS;
}

static void measure_when_due(struct branch *b)
{
	uint64_t measured_ns;

	pthread_mutex_lock(&b->room_lock);
	measured_ns = b->measured_ns;
	pthread_mutex_unlock(&b->room_lock);
	if (clock_now_ns() - measured_ns >= ms_to_fill(b) * UINT64_C(1000000))
		measure(b);
}

static struct watched *find_watched(struct branch *b, ino_t ino)
{
	for (unsigned i = 0; i < b->n_watched; i++) {
		if (b->watched[i].ino == ino)
			return &b->watched[i];
	}
	return NULL;
}

/* A place for one more; that of the file that has not grown for longest, when there is none. */
static struct watched *place_locked(struct branch *b, uint64_t now_ns)
{
	struct watched *oldest;

	if (!b->watched)
		b->watched = calloc(ROOM_WATCHED, sizeof(*b->watched));
	if (!b->watched)
		return NULL;
	if (b->n_watched < ROOM_WATCHED)
		return &b->watched[b->n_watched++];
	oldest = &b->watched[0];
	for (unsigned i = 1; i < b->n_watched; i++) {
		if (b->watched[i].grown_ns < oldest->grown_ns)
			oldest = &b->watched[i];
	}
	if (measure_one_locked(b, oldest, now_ns))
		unwatch_locked(b, oldest);
	return &b->watched[b->n_watched++];
}

/* Without memory or descriptors for it the file is not watched; the next open of it tries again. */
static void watch_locked(struct branch *b, int fd, const struct stat *st)
{
	uint64_t now_ns = clock_now_ns();
	struct watched *f = find_watched(b, st->st_ino);
	char link[FD_LINK_BYTES];
	int own;

	if (f) {
		f->grown_ns = now_ns;
		return;
	}
	fd_link(fd, link);
	own = open(link, O_PATH | O_CLOEXEC);
	f = own < 0 ? NULL : place_locked(b, now_ns);
	if (!f) {
		if (own >= 0)
			close(own);
		return;
	}
	/* what it has now was counted when it was copied up, or measured last */
	*f = (struct watched){ .fd = own,
			       .ino = st->st_ino,
			       .counted = (uint64_t)st->st_blocks * 512,
			       .grown_ns = now_ns };
}

void room_watch(struct branch *b, int fd)
{
	struct stat st;

	if (!b->max_bytes || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	pthread_mutex_lock(&b->room_lock);
	watch_locked(b, fd, &st);
	pthread_mutex_unlock(&b->room_lock);
}

void room_forget(struct branch *b, const struct stat *st)
{
	struct watched *f;
	uint64_t counted = (uint64_t)st->st_blocks * 512;

	pthread_mutex_lock(&b->room_lock);
	f = find_watched(b, st->st_ino);
	if (f) {
		counted = f->counted;
		unwatch_locked(b, f);
	}
	pthread_mutex_unlock(&b->room_lock);
	room_give(b, counted);
}

void room_fini(struct branch *b)
{
	while (b->n_watched)
		close(b->watched[--b->n_watched].fd);
	free(b->watched);
}

uint64_t branch_used_bytes(struct branch *b)
{
	measure(b);
	return used_bytes(b);
}

void branch_room_check(struct branch *b, struct branch_room *ret)
{
	unsigned ms;

	*ret = (struct branch_room){ .max = b->max_bytes };
	if (b->max_bytes)
		measure(b);
	ret->used = used_bytes(b);
	if (!b->max_bytes)
		return;
	ret->full = ret->used >= ret->max;
	ms = ret->full ? ROOM_FULL_MS : ms_to_fill(b);
	ret->next_ms = ms ? ms : 1;
}

int branch_room_hold(pid_t pid, bool full)
{
	struct rlimit limit;

	if (prlimit(pid, RLIMIT_FSIZE, NULL, &limit) < 0)
		return -errno;
	/* what is to be had again is the hard limit, which this leaves alone */
	limit.rlim_cur = full ? 0 : limit.rlim_max;
	return prlimit(pid, RLIMIT_FSIZE, &limit, NULL) < 0 ? -errno : 0;
}

int room_take(struct branch *b, uint64_t more)
{
	uint64_t used;

	if (b->max_bytes)
		measure_when_due(b);
	used = atomic_load_explicit(&b->used_bytes, memory_order_relaxed);
	do {
		if (b->max_bytes && (used >= b->max_bytes || more > b->max_bytes - used))
			return -ENOSPC;
	} while (!atomic_compare_exchange_weak_explicit(
		&b->used_bytes, &used, used + more, memory_order_relaxed, memory_order_relaxed));
	return 0;
}

void room_give(struct branch *b, uint64_t bytes)
{
	uint64_t used = atomic_load_explicit(&b->used_bytes, memory_order_relaxed);

	while (!atomic_compare_exchange_weak_explicit(&b->used_bytes, &used,
						      used > bytes ? used - bytes : 0,
						      memory_order_relaxed, memory_order_relaxed))
		;
}
