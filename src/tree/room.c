/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quota: bytes of the upper directory's files, counted by blocks as they come and go.
 *
 * What passes through here (creating, opening for writing, truncating, copying up) is refused with ENOSPC once the quota is used up. A write through a descriptor that is open is not seen as it
 * happens: write(2) must not be trapped (programs do not retry it), and no quota of the kernel's can be had without privilege. So there are three bounds for it:
 *
 * 1. RLIMIT_FSIZE of the tasks, which their launcher sets to the quota: no one file grows past it, at no cost.
 * 2. Files that somebody has open for writing, and files without a name that somebody has open at all, are kept as O_PATH descriptors ("watched") and measured: when something asks for room, and by
 *    branch_room_check, each time after what the fastest disk (ROOM_BYTES_PER_MS) would need for what is left. When that is nothing, branch_room_hold sets the soft RLIMIT_FSIZE of each
 *    process to 0, and their next write to any file fails (EFBIG instead of ENOSPC, which nobody can make the kernel say); it takes that back when there is room again or nobody has a file open any
 *    more. What gets through is what is written within one such time: 1 to 20 MB measured on tmpfs and ext4 with a writer that does nothing else.
 * 3. What no limit of a process bounds (pages of a mapping over a hole) goes on: branch_room_is_past says so, and the caller ends it.
 *
 * Whether a file is open is asked of the kernel by trying for a lease on it: one for reading is refused while anybody writes, one for writing while anybody has it open, mappings included. So what is
 * watched are the files that are really open, and no close has to be seen. There is room for ROOM_WATCHED of them: the open of one more for writing fails (ENFILE).
 *
 * Not counted: directories and attributes. Only branches with a quota pay for any of it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tree/branch_internal.h"
#include "sys/fd.h"
#include "util/bell.h"
#include "util/clock.h"
#include "util/fail.h"

#define ROOM_BYTES_PER_MS (4u << 20)
#define ROOM_LONGEST_MS 60000u
#define ROOM_LOOK_AFTER_MS 100u /* asking whether a file is open costs more than measuring it */
#define ROOM_HELD_MS \
	20u /* until it is looked whether there is room again; more where nothing changes */
#define ROOM_HELD_LONGEST_MS 1000u
#define ROOM_PAST_BYTES (UINT64_C(16) << 20)

static uint64_t used_bytes(const struct branch *b)
{
	return atomic_load_explicit(&b->used_bytes, memory_order_relaxed);
}

static uint64_t bytes_of(const struct stat *st)
{
	return (uint64_t)st->st_blocks * 512;
}

/* ---- life ---- */

/*
 * 1: somebody has the file behind @fd open for writing (@at_all: open at all, but for O_PATH), or nobody may look. 0: nobody has. -errno: leases can't be had. Who opens it in this very moment waits
 * until ours is gone, and the signal that is sent to tell us so is one that does nothing.
 */
static int is_open(int fd, bool at_all)
{
	char link[FD_LINK_BYTES];
	int r, own = open(fd_link(fd, link), O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (own < 0)
		return 1;
	if (fcntl(own, F_SETSIG, SIGURG) < 0)
		r = -errno;
	else if (fcntl(own, F_SETLEASE, at_all ? F_WRLCK : F_RDLCK) == 0)
		r = 0;
	else
		r = errno == EAGAIN ? 1 : -errno;
	if (r == 0)
		fcntl(own, F_SETLEASE, F_UNLCK);
	close(own);
	return r;
}

/* Both answers of is_open, on a file of our own. */
static int check_leases(struct branch *b)
{
	_cleanup_close_ int path = -1;
	char link[FD_LINK_BYTES];
	int r, fd = openat(b->work_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	path = open(fd_link(fd, link), O_PATH | O_CLOEXEC);
	r = path < 0 ? -errno : is_open(path, false);
	close(fd);
	if (r == 1)
		r = is_open(path, true);
	return r == 1 ? -ENOLCK : r;
}

int room_init(struct branch *b, struct sluice_error *err)
{
	int r;

	if (!b->max_bytes)
		return 0;
	r = check_leases(b);
	if (r < 0) {
		fail_errno(err, r, "branch %s: quota: leases of files in its storage", b->name);
		return fail_hint(err, r, "another storage, or fs.leases-enable=1; or no quota");
	}
	b->watched = calloc(ROOM_WATCHED, sizeof(*b->watched));
	if (!b->watched)
		return fail_errno(err, -ENOMEM, "branch %s: quota", b->name);
	b->room_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return b->room_fd < 0 ? fail_errno(err, -errno, "branch %s: quota", b->name) : 0;
}

void room_fini(struct branch *b)
{
	while (b->n_watched)
		close(b->watched[--b->n_watched].fd);
	free(b->watched);
	if (b->room_fd >= 0)
		close(b->room_fd);
}

int branch_room_fd(const struct branch *b)
{
	return b->room_fd;
}

/* ---- when to look ---- */

/* How long the room that is left takes to fill, at least. */
static unsigned ms_to_fill(const struct branch *b)
{
	uint64_t used = used_bytes(b);
	uint64_t ms = used < b->max_bytes ? (b->max_bytes - used) / ROOM_BYTES_PER_MS : 0;

	return ms < ROOM_LONGEST_MS ? (unsigned)ms : ROOM_LONGEST_MS;
}

static void ring_locked(struct branch *b, uint64_t look_ns)
{
	b->look_ns = look_ns;
	bell_ring(b->room_fd);
}

/* Does somebody have to look before it was meant to be looked? A little later is soon enough: else each copy-up would ring. */
static void ring_if_due_locked(struct branch *b, uint64_t now_ns)
{
	uint64_t due_ns = now_ns + ms_to_fill(b) * UINT64_C(1000000);

	if (b->n_watched && !b->holding && due_ns + (due_ns - now_ns) / 4 < b->look_ns)
		ring_locked(b, due_ns);
}

/* ---- counting ---- */

void room_give(struct branch *b, uint64_t bytes)
{
	uint64_t used = used_bytes(b), left;

	do {
		left = used > bytes ? used - bytes : 0;
	} while (!atomic_compare_exchange_weak_explicit(
		&b->used_bytes, &used, left, memory_order_relaxed, memory_order_relaxed));
}

static void count(struct branch *b, uint64_t was, uint64_t is)
{
	if (is > was)
		atomic_fetch_add_explicit(&b->used_bytes, is - was, memory_order_relaxed);
	else if (is < was)
		room_give(b, was - is);
}

/* Back to those who are held, at once. */
static void room_is_back_locked(struct branch *b)
{
	if (b->holding && b->look_ns && (used_bytes(b) < b->max_bytes || !b->n_watched))
		ring_locked(b, 0);
}

static void unwatch_locked(struct branch *b, struct watched *f)
{
	close(f->fd);
	*f = b->watched[--b->n_watched];
}

/* Returns st_nlink. */
static unsigned measure_one_locked(struct branch *b, struct watched *f)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return 1;
	count(b, f->counted, bytes_of(&st));
	f->counted = bytes_of(&st);
	return (unsigned)st.st_nlink;
}

/* The same, and false when nobody can make it grow any more and it is not watched from now on. What has no name goes with the last who has it open. */
static bool look_after_one_locked(struct branch *b, struct watched *f)
{
	unsigned nlink = measure_one_locked(b, f);

	if (f->pins || is_open(f->fd, nlink == 0) > 0)
		return true;
	/* once more: the last write may have come in between */
	if (measure_one_locked(b, f) == 0)
		room_give(b, f->counted);
	unwatch_locked(b, f);
	return false;
}

static void measure_locked(struct branch *b)
{
	for (unsigned i = 0; i < b->n_watched; i++)
		measure_one_locked(b, &b->watched[i]);
	b->measured_ns = clock_now_ns();
}

static void look_after_locked(struct branch *b)
{
	for (unsigned i = 0; i < b->n_watched;)
		i += look_after_one_locked(b, &b->watched[i]);
	b->looked_after_ns = b->measured_ns = clock_now_ns();
}

static void measure_when_due(struct branch *b)
{
	pthread_mutex_lock(&b->room_lock);
	if (clock_now_ns() - b->measured_ns >= ms_to_fill(b) * UINT64_C(1000000))
		measure_locked(b);
	room_is_back_locked(b);
	pthread_mutex_unlock(&b->room_lock);
}

static int try_to_take(struct branch *b, uint64_t more)
{
	uint64_t used = used_bytes(b);

	do {
		if (b->max_bytes && (used >= b->max_bytes || more > b->max_bytes - used))
			return -ENOSPC;
	} while (!atomic_compare_exchange_weak_explicit(
		&b->used_bytes, &used, used + more, memory_order_relaxed, memory_order_relaxed));
	return 0;
}

int room_take(struct branch *b, uint64_t more)
{
	int r;

	if (!b->max_bytes)
		return try_to_take(b, more);
	measure_when_due(b);
	r = try_to_take(b, more);
	if (r < 0) { /* unless somebody has let go of something by now */
		branch_used_bytes(b);
		r = try_to_take(b, more);
	}
	if (r == 0 && more) {
		pthread_mutex_lock(&b->room_lock);
		ring_if_due_locked(b, clock_now_ns());
		pthread_mutex_unlock(&b->room_lock);
	}
	return r;
}

/* ---- watching ---- */

static struct watched *find_watched(struct branch *b, ino_t ino)
{
	for (unsigned i = 0; i < b->n_watched; i++) {
		if (b->watched[i].ino == ino)
			return &b->watched[i];
	}
	return NULL;
}

static bool has_place_locked(struct branch *b)
{
	if (b->n_watched == ROOM_WATCHED)
		look_after_locked(b);
	return b->n_watched < ROOM_WATCHED;
}

/* @f->fd is consumed when it succeeds. */
static int add_locked(struct branch *b, const struct watched *f)
{
	if (!has_place_locked(b))
		return -ENFILE;
	b->watched[b->n_watched++] = *f;
	ring_if_due_locked(b, clock_now_ns());
	return 0;
}

int room_take_file(struct branch *b)
{
	int r = room_take(b, 0);

	if (r < 0 || !b->max_bytes)
		return r;
	pthread_mutex_lock(&b->room_lock);
	r = has_place_locked(b) ? 0 : -ENFILE;
	pthread_mutex_unlock(&b->room_lock);
	return r;
}

/* What it has by now was counted when it was made or copied up, or measured last. */
static int pin_new_locked(struct branch *b, int fd, const struct stat *st)
{
	struct watched f = { .ino = st->st_ino, .counted = bytes_of(st), .pins = 1 };
	char link[FD_LINK_BYTES];
	int r;

	f.fd = open(fd_link(fd, link), O_PATH | O_CLOEXEC);
	if (f.fd < 0)
		return -ENFILE;
	r = add_locked(b, &f);
	if (r < 0)
		close(f.fd);
	return r;
}

int room_pin(struct branch *b, int fd, ino_t *ret)
{
	struct watched *f;
	struct stat st;
	int r = 0;

	*ret = 0;
	if (!b->max_bytes || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	pthread_mutex_lock(&b->room_lock);
	f = find_watched(b, st.st_ino);
	if (f)
		f->pins++;
	else
		r = pin_new_locked(b, fd, &st);
	pthread_mutex_unlock(&b->room_lock);
	if (r == 0)
		*ret = st.st_ino;
	return r;
}

void room_unpin(struct branch *b, ino_t pinned)
{
	if (!pinned)
		return;
	pthread_mutex_lock(&b->room_lock);
	find_watched(b, pinned)->pins--;
	pthread_mutex_unlock(&b->room_lock);
}

int room_watch(struct branch *b, int fd)
{
	ino_t pinned;
	int r = room_pin(b, fd, &pinned);

	room_unpin(b, pinned);
	return r;
}

/* ---- the last name of a file ---- */

void room_last_begin(struct branch *b, int dir_fd, const char *name, const struct stat *st,
		     struct room_last *ret)
{
	*ret = (struct room_last){ -1, st->st_ino, bytes_of(st) };
	if (b->max_bytes && S_ISREG(st->st_mode))
		ret->fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

/* Somebody has it open: from now on it is watched, or (where there is no place for it) counts for ever. */
static bool keeps_blocks_locked(struct branch *b, const struct room_last *last)
{
	const struct watched f = { last->fd, last->ino, last->bytes, 0 };

	if (last->fd < 0 || !last->bytes || is_open(last->fd, true) <= 0)
		return false;
	if (add_locked(b, &f) < 0)
		close(last->fd);
	return true;
}

void room_last_end(struct branch *b, struct room_last *last, bool gone)
{
	struct watched *f;

	if (!b->max_bytes) {
		if (gone)
			room_give(b, last->bytes);
		return;
	}
	pthread_mutex_lock(&b->room_lock);
	f = gone ? find_watched(b, last->ino) : NULL;
	if (f)
		look_after_one_locked(b, f);
	else if (gone && keeps_blocks_locked(b, last))
		last->fd = -1;
	else if (gone)
		room_give(b, last->bytes);
	room_is_back_locked(b);
	pthread_mutex_unlock(&b->room_lock);
	if (last->fd >= 0)
		close(last->fd);
}

/* ---- for who runs the tasks ---- */

uint64_t branch_used_bytes(struct branch *b)
{
	pthread_mutex_lock(&b->room_lock);
	look_after_locked(b);
	room_is_back_locked(b);
	pthread_mutex_unlock(&b->room_lock);
	return used_bytes(b);
}

/* What a look found; the time of the next one. */
static unsigned next_ms_locked(struct branch *b, uint64_t used)
{
	unsigned ms;

	if (!b->n_watched)
		return 0;
	if (b->holding) {
		ms = b->held_ms && used == b->held_bytes ? b->held_ms * 2 : ROOM_HELD_MS;
		b->held_ms = ms < ROOM_HELD_LONGEST_MS ? ms : ROOM_HELD_LONGEST_MS;
		b->held_bytes = used;
		return b->held_ms;
	}
	b->held_ms = 0;
	ms = ms_to_fill(b);
	return ms ? ms : 1;
}

void branch_room_check(struct branch *b, struct branch_room *ret)
{
	*ret = (struct branch_room){ .max = b->max_bytes, .used = used_bytes(b) };
	if (!b->max_bytes)
		return;
	pthread_mutex_lock(&b->room_lock);
	measure_locked(b);
	if (used_bytes(b) >= ret->max ||
	    b->measured_ns - b->looked_after_ns >= ROOM_LOOK_AFTER_MS * UINT64_C(1000000))
		look_after_locked(b);
	ret->used = used_bytes(b);
	ret->hold = ret->used >= ret->max && b->n_watched;
	if (!ret->hold)
		b->held_since_bytes = 0;
	b->holding = ret->hold;
	ret->next_ms = next_ms_locked(b, ret->used);
	b->look_ns = ret->next_ms ? clock_now_ns() + ret->next_ms * UINT64_C(1000000) : UINT64_MAX;
	pthread_mutex_unlock(&b->room_lock);
}

bool branch_room_is_past(struct branch *b, bool quiet)
{
	uint64_t past = b->max_bytes / 4 > ROOM_PAST_BYTES ? b->max_bytes / 4 : ROOM_PAST_BYTES;
	uint64_t used = branch_used_bytes(b);
	bool is_past;

	pthread_mutex_lock(&b->room_lock);
	if (!quiet || !b->held_since_bytes)
		b->held_since_bytes = used;
	is_past = used > b->held_since_bytes + past;
	pthread_mutex_unlock(&b->room_lock);
	return is_past;
}

int branch_room_hold(struct branch *b, pid_t pid)
{
	struct rlimit limit;
	int r = 0;

	pthread_mutex_lock(&b->room_lock);
	if (prlimit(pid, RLIMIT_FSIZE, NULL, &limit) < 0)
		r = -errno;
	/* what is to be had again is the hard limit, which this leaves alone */
	if (r == 0 && limit.rlim_max && (limit.rlim_cur == 0) != b->holding) {
		limit.rlim_cur = b->holding ? 0 : limit.rlim_max;
		r = prlimit(pid, RLIMIT_FSIZE, &limit, NULL) < 0 ? -errno : 1;
	}
	pthread_mutex_unlock(&b->room_lock);
	return r;
}

int branch_room_limit(struct branch *b, pid_t pid, const struct rlimit *limit,
		      struct rlimit *ret_old)
{
	struct rlimit set = *limit;
	int r;

	if (set.rlim_cur > set.rlim_max)
		return -EINVAL;
	pthread_mutex_lock(&b->room_lock);
	if (b->holding)
		set.rlim_cur = 0;
	r = prlimit(pid, RLIMIT_FSIZE, &set, ret_old) < 0 ? -errno : 0;
	pthread_mutex_unlock(&b->room_lock);
	return r;
}

/* A file of the branch that is open for writing is always watched. */
static bool is_watched(struct branch *b, const struct stat *st)
{
	bool found;

	pthread_mutex_lock(&b->room_lock);
	found = st->st_dev == b->upper_dev && find_watched(b, st->st_ino);
	pthread_mutex_unlock(&b->room_lock);
	return found;
}

int branch_room_allocate(struct branch *b, int fd, int mode, off_t offset, off_t length)
{
	bool grows = length > 0 && offset >= 0 &&
		     !(mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE));
	struct stat st;
	int r = 0;

	if (fstat(fd, &st) < 0)
		return -errno;
	/* what is there already needs no room; a file that may have holes is taken to need all */
	if (grows && is_watched(b, &st) && bytes_of(&st) < (uint64_t)offset + (uint64_t)length)
		r = room_take(b, (uint64_t)length);
	else
		grows = false;
	if (r < 0)
		return r;
	r = fallocate(fd, mode, offset, length) < 0 ? -errno : 0;
	if (grows) { /* by as much as it did */
		room_give(b, (uint64_t)length);
		branch_used_bytes(b);
	}
	return r;
}
