/* SPDX-License-Identifier: Apache-2.0 */
/*
 * covered.log: for each path of the upper directory that hid something of the lower trees, what that was at the time.
 *
 * Commit compares it with what is there by then. It also brings the identities of copied-up files over a restart, keyed by the upper inode and the time of its birth. Records are appended by one write before the change they
 * speak of; the last one of a path counts; one without its change is harmless, and a torn one at the end (it does not match its checksum) ends the log.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tree/branch_internal.h"

#define RECORD_MAGIC 0x636f7665u

struct record {
	uint32_t magic;
	uint32_t path_bytes;
	uint64_t sum; /* of all that follows, path included */
	struct covered covered;
};

static uint64_t sum_of(const void *bytes, size_t n, uint64_t h)
{
	const unsigned char *at = bytes;

	for (size_t i = 0; i < n; i++)
		h = (h ^ at[i]) * UINT64_C(0x100000001b3);
	return h;
}

static uint64_t record_sum(const struct record *r, const char *path)
{
	uint64_t h = sum_of(&r->covered, sizeof(r->covered), UINT64_C(0xcbf29ce484222325));

	return sum_of(path, r->path_bytes, h);
}

void covered_from(struct covered *c, const struct stat *lower)
{
	memset(c, 0, sizeof(*c));
	c->dev = lower->st_dev;
	c->ino = lower->st_ino;
	c->size = (uint64_t)lower->st_size;
	c->mtime = lower->st_mtim;
	c->ctime = lower->st_ctim;
	c->mode = lower->st_mode;
	c->nlink = (uint32_t)lower->st_nlink;
}

uint64_t born_ns(int fd)
{
	struct statx x;

	if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BTIME, &x) < 0 ||
	    !(x.stx_mask & STATX_BTIME))
		return 0;
	return (uint64_t)x.stx_btime.tv_sec * 1000000000u + x.stx_btime.tv_nsec;
}

int covered_append(struct branch *b, const char *path, const struct covered *c)
{
	struct record r = { .magic = RECORD_MAGIC, .path_bytes = (uint32_t)strlen(path) };
	struct iovec v[2] = { { &r, sizeof(r) }, { (void *)path, r.path_bytes } };
	int result = 0;
	ssize_t n;

	r.covered = *c;
	r.sum = record_sum(&r, path);
	pthread_mutex_lock(&b->log_lock);
	n = writev(b->log_fd, v, 2);
	if (n < 0) {
		result = -errno;
	} else if ((size_t)n != sizeof(r) + r.path_bytes) {
		/* the disk is full: take the half back, or the rest of the log is lost behind it */
		off_t end = lseek(b->log_fd, 0, SEEK_END);

		result = end < n || ftruncate(b->log_fd, end - n) < 0 ? -EIO : -ENOSPC;
	}
	pthread_mutex_unlock(&b->log_lock);
	return result;
}

/* The path is copied to get its NUL. */
static size_t one_record(const char *at, size_t left,
			 void (*fn)(void *, const char *, const struct covered *), void *arg)
{
	char path[PATH_MAX];
	struct record r;

	if (left < sizeof(r))
		return 0;
	memcpy(&r, at, sizeof(r));
	if (r.magic != RECORD_MAGIC || r.path_bytes >= sizeof(path) ||
	    left - sizeof(r) < r.path_bytes)
		return 0;
	memcpy(path, at + sizeof(r), r.path_bytes);
	path[r.path_bytes] = '\0';
	if (record_sum(&r, path) != r.sum)
		return 0;
	fn(arg, path, &r.covered);
	return sizeof(r) + r.path_bytes;
}

int covered_each(struct branch *b, void (*fn)(void *arg, const char *path, const struct covered *c),
		 void *arg)
{
	size_t at = 0, n;
	struct stat st;
	char *map;

	if (fstat(b->log_fd, &st) < 0)
		return -errno;
	if (st.st_size == 0)
		return 0;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, b->log_fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	do {
		n = one_record(map + at, (size_t)st.st_size - at, fn, arg);
		at += n;
	} while (n);
	munmap(map, (size_t)st.st_size);
	/* what comes after is torn; the next record must not land behind it */
	if (at < (size_t)st.st_size && ftruncate(b->log_fd, (off_t)at) < 0)
		return -errno;
	return 0;
}
