/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quota: bytes of the upper directory's files, counted by blocks as they come and go.
 *
 * What is written through a descriptor after its open is not seen as it happens. So the files that were opened for writing last (ROOM_WATCHED of them) are kept as
 * O_PATH descriptors and measured again whenever something asks for room, and whenever branch_used_bytes is asked. What this bounds: nothing new is made or opened for
 * writing once the quota is passed, by whatever way it was; a task that keeps writing through descriptors it has already is stopped by nobody here, but is seen by the next look. Files without a name (O_TMPFILE, unlinked ones) are not counted.
 * Only branches with a quota pay for it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree/branch_internal.h"
#include "sys/fd.h"

static void count(struct branch *b, uint64_t was, uint64_t is)
{
	if (is > was)
		atomic_fetch_add_explicit(&b->used_bytes, is - was, memory_order_relaxed);
	else if (is < was)
		room_give(b, was - is);
}

/* An unlinked file's blocks were given back by who unlinked it. */
static void measure_one_locked(struct branch *b, struct watched *f)
{
	struct stat st;

	if (f->fd < 0 || fstat(f->fd, &st) < 0)
		return;
	if (st.st_nlink == 0) {
		close(f->fd);
		f->fd = -1;
		return;
	}
	count(b, f->counted, (uint64_t)st.st_blocks * 512);
	f->counted = (uint64_t)st.st_blocks * 512;
}

static void measure(struct branch *b)
{
	pthread_mutex_lock(&b->room_lock);
	for (unsigned i = 0; i < ROOM_WATCHED; i++)
		measure_one_locked(b, &b->watched[i]);
	pthread_mutex_unlock(&b->room_lock);
}

static struct watched *find_watched(struct branch *b, ino_t ino)
{
	for (unsigned i = 0; i < ROOM_WATCHED; i++) {
		if (b->watched[i].fd >= 0 && b->watched[i].ino == ino)
			return &b->watched[i];
	}
	return NULL;
}

void room_watch(struct branch *b, int fd)
{
	struct watched *f;
	char link[FD_LINK_BYTES];
	struct stat st;

	if (!b->max_bytes || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	fd_link(fd, link);
	pthread_mutex_lock(&b->room_lock);
	if (!find_watched(b, st.st_ino)) {
		f = &b->watched[b->next_watched++ % ROOM_WATCHED];
		measure_one_locked(b, f);
		if (f->fd >= 0)
			close(f->fd);
		/* what it has now was counted when it was copied up, or measured last */
		f->fd = open(link, O_PATH | O_CLOEXEC);
		f->ino = st.st_ino;
		f->counted = (uint64_t)st.st_blocks * 512;
	}
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
		close(f->fd);
		f->fd = -1;
	}
	pthread_mutex_unlock(&b->room_lock);
	room_give(b, counted);
}

uint64_t branch_used_bytes(struct branch *b)
{
	measure(b);
	return atomic_load_explicit(&b->used_bytes, memory_order_relaxed);
}

int room_take(struct branch *b, uint64_t more)
{
	uint64_t used;

	if (b->max_bytes)
		measure(b);
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
