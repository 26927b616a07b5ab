/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots: how the kernel is made to execute an image. See exec.h for the idea.
 *
 * Life of a slot: free -> taken (a flight) -> window open (two bytes in the task's memory are the slot's name, we hold a write lease on the slot's file, the
 * call was let go) -> window closed (the kernel has opened the file: it waits for the lease, the bytes are put back, the lease is given up) ->
 * free once the launcher has asked. A slot whose exec failed in the kernel, or whose task died, is taken back when its thread executes again or when no
 * other is free.
 *
 * The memory is written through a descriptor of /proc/PID/mem, which stays with the address space that it was opened for: bytes are put back
 * in the right one even when the task has left it. What is there is only changed as long as it is ours.
 *
 * The kernel tells of the lease's break by a signal to this thread alone (SIGSTKFLT, which nothing else sends); the engine's threads have all signals
 * blocked, so it stays pending until it is taken. Locks: slots->lock guards the table and is held while the two bytes are written, so that
 * whoever holds it knows which bytes of a path are not the task's own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "builtin/files/exec_internal.h"
#include "engine/request.h"
#include "task/task.h"
#include "util/clock.h"

/* Bytes of a slot's file: below the 256 that the kernel looks at, and above what paths and argv[0] need on the launcher's stack. */
#define SLOT_BYTES 240u
/* How long the kernel may take from our answer to its open of the slot. */
#define WINDOW_MAX_MS 2000u
/* A slot that was not asked for by then may be taken away when no other is free. */
#define FLIGHT_MAX_MS 2000u
#define LEASE_SIGNAL SIGSTKFLT

/* ---- the file ---- */

static void slot_text(uint64_t image, char buf[SLOT_BYTES + 1])
{
	char number[24];
	int n = snprintf(number, sizeof(number), "%llu\n", (unsigned long long)image);

	memset(buf, '/', SLOT_BYTES);
	buf[0] = '#';
	buf[1] = '!';
	buf[2] = 'e';
	memcpy(buf + SLOT_BYTES - n, number, (size_t)n + 1);
}

static int slot_make(const struct exec_slots *s, struct exec_slot *slot)
{
	const char name[2] = { slot->name, '\0' };
	int fd = openat(s->private_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);

	if (fd < 0)
		return -errno;
	close(fd);
	slot->fd = openat(s->private_dir, name, O_RDONLY | O_CLOEXEC);
	return slot->fd < 0 ? -errno : 0;
}

/* Let the slot's file name @image. It must not be leased: our own open would wait for ourselves. */
static int slot_write(const struct exec_slots *s, struct exec_slot *slot, uint64_t image)
{
	const char name[2] = { slot->name, '\0' };
	char text[SLOT_BYTES + 1];
	int fd, r = slot->fd < 0 ? slot_make(s, slot) : 0;

	if (r < 0 || slot->image == image)
		return r;
	slot_text(image, text);
	fd = openat(s->private_dir, name, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	slot->image = 0;
	if (pwrite(fd, text, SLOT_BYTES, 0) != SLOT_BYTES)
		r = -EIO;
	close(fd);
	if (r == 0)
		slot->image = image;
	return r;
}

void slots_init(struct exec_slots *s, int private_dir)
{
	pthread_condattr_t attr;
	unsigned name = '!';

	memset(s, 0, sizeof(*s));
	s->private_dir = private_dir;
	for (size_t i = 0; i < EXEC_SLOTS; i++) {
		while (name == '.' || name == '/' || name == 'e')
			name++;
		s->slots[i].name = (char)name++;
		s->slots[i].fd = -1;
	}
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &attr);
	pthread_condattr_destroy(&attr);
}

void slots_fini(struct exec_slots *s)
{
	for (size_t i = 0; i < EXEC_SLOTS; i++) {
		if (s->slots[i].flight)
			flight_unref(s->slots[i].flight);
		if (s->slots[i].fd >= 0)
			close(s->slots[i].fd);
	}
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
}

/* ---- the lease ---- */

int exec_lease_take(int fd)
{
	struct f_owner_ex owner = { F_OWNER_TID, (pid_t)syscall(SYS_gettid) };

	/* first the signal and its one receiver: a break must never reach the process as a SIGIO */
	if (fcntl(fd, F_SETSIG, LEASE_SIGNAL) < 0 || fcntl(fd, F_SETOWN_EX, &owner) < 0 ||
	    fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
		return -errno;
	return 0;
}

void exec_lease_drop(int fd)
{
	fcntl(fd, F_SETLEASE, F_UNLCK);
}

/*
 * Has @thread come back from its exec, or is it gone? The kernel shows the number of the call that a thread is in, and of one on a CPU that it
 * is running, which tells nothing.
 */
static bool is_over(pid_t thread)
{
	char path[40], text[64];
	long nr;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/syscall", (int)thread);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return true;
	text[n] = '\0';
	if (sscanf(text, "%ld", &nr) != 1)
		return false;
	return nr != SYS_execve && nr != SYS_execveat;
}

/* Wait until somebody opens the file. False: @thread's exec came to nothing before. */
static bool lease_wait(int fd, pid_t thread)
{
	const struct timespec slice = { .tv_nsec = 5000000 };
	uint64_t until = clock_now_ns() + WINDOW_MAX_MS * 1000000ull;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, LEASE_SIGNAL);
	while (fcntl(fd, F_GETLEASE) == F_WRLCK) {
		if (clock_now_ns() >= until)
			return false;
		/* an older break's signal ends it early: the lease is what counts */
		if (sigtimedwait(&set, NULL, &slice) < 0 && is_over(thread))
			return fcntl(fd, F_GETLEASE) != F_WRLCK;
	}
	return true;
}

/* ---- taking a slot ---- */

static void slot_free_locked(struct exec_slot *slot)
{
	if (slot->flight)
		flight_unref(slot->flight);
	slot->flight = NULL;
}

/* A thread that executes anew has no exec under way. */
static void forget_thread_locked(struct exec_slots *s, pid_t thread)
{
	for (size_t i = 0; i < EXEC_SLOTS; i++) {
		struct exec_slot *slot = &s->slots[i];

		if (slot->flight && !slot->window && slot->flight->thread == thread)
			slot_free_locked(slot);
	}
}

/* Flights whose process is gone, or that have had their time. */
static void forget_lost_locked(struct exec_slots *s)
{
	uint64_t old = clock_now_ns() - FLIGHT_MAX_MS * 1000000ull;

	for (size_t i = 0; i < EXEC_SLOTS; i++) {
		struct exec_slot *slot = &s->slots[i];

		if (slot->flight && !slot->window &&
		    (slot->since_ns < old ||
		     (kill(slot->flight->process, 0) < 0 && errno == ESRCH)))
			slot_free_locked(slot);
	}
}

/* How much a slot lacks for @image: nothing, its file's text, the file. */
static int slot_suits(const struct exec_slot *slot, uint64_t image)
{
	return slot->image == image ? 0 : slot->fd >= 0 ? 1 : 2;
}

/* A free slot with its file written and leased: best one that has the image. NULL: none. */
static struct exec_slot *slot_claim_locked(struct exec_slots *s, uint64_t image)
{
	for (int pass = 0; pass < 3; pass++) {
		for (size_t i = 0; i < EXEC_SLOTS; i++) {
			struct exec_slot *slot = &s->slots[i];

			if (slot->flight || slot_suits(slot, image) != pass)
				continue;
			if (slot_write(s, slot, image) == 0 && exec_lease_take(slot->fd) == 0)
				return slot;
		}
	}
	return NULL;
}

static struct exec_slot *window_at_locked(struct exec_slots *s, uint64_t address)
{
	for (size_t i = 0; i < EXEC_SLOTS; i++) {
		struct exec_slot *slot = &s->slots[i];

		if (slot->window && slot->address < address + 2 && address < slot->address + 2)
			return slot;
	}
	return NULL;
}

static struct timespec wait_until(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += 2 * WINDOW_MAX_MS / 1000;
	return ts;
}

/* Until no window covers @address. 0 or -EAGAIN. */
static int await_address_locked(struct exec_slots *s, uint64_t address)
{
	struct timespec until = wait_until();

	while (window_at_locked(s, address)) {
		if (pthread_cond_timedwait(&s->changed, &s->lock, &until) == ETIMEDOUT)
			return -EAGAIN;
	}
	return 0;
}

/* Until a slot is free and no window covers @address. NULL: that took too long. */
static struct exec_slot *await_slot_locked(struct exec_slots *s, uint64_t image, uint64_t address)
{
	struct timespec until = wait_until();

	for (;;) {
		struct exec_slot *slot = NULL;

		if (!window_at_locked(s, address))
			slot = slot_claim_locked(s, image);
		if (slot)
			return slot;
		if (pthread_cond_timedwait(&s->changed, &s->lock, &until) == ETIMEDOUT)
			return NULL;
		forget_lost_locked(s);
	}
}

static struct exec_slot *slot_open_locked(struct exec_slots *s, struct exec_flight *f,
					  uint64_t address)
{
	struct exec_slot *slot;

	forget_thread_locked(s, f->thread);
	slot = await_slot_locked(s, f->image, address);
	if (!slot)
		return NULL;
	atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
	slot->flight = f;
	slot->since_ns = clock_now_ns();
	return slot;
}

/* ---- the window ---- */

struct window {
	int mem;
	uint64_t address;
	char saved[2], ours[2];
};

static int window_prepare(struct window *w, const struct task *t, uint64_t address)
{
	char path[32];

	w->address = address;
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)t->tid);
	w->mem = open(path, O_RDWR | O_CLOEXEC);
	if (w->mem < 0)
		return errno == ENOENT ? -ESRCH : -EACCES;
	if (task_check(t) == 0)
		return 0;
	close(w->mem);
	return -ESRCH;
}

static int window_write(struct window *w)
{
	if (pwrite(w->mem, w->ours, 2, (off_t)w->address) == 2)
		return 0;
	/* one of two pages may have taken its byte */
	if (pwrite(w->mem, w->saved, 1, (off_t)w->address) < 0)
		return -EACCES;
	return -EACCES;
}

static void window_restore(const struct window *w)
{
	char now[2];

	/* what somebody else has put there since is not ours to undo */
	if (pread(w->mem, now, 2, (off_t)w->address) == 2 && !memcmp(now, w->ours, 2) &&
	    pwrite(w->mem, w->saved, 2, (off_t)w->address) < 0)
		return; /* unmapped meanwhile: nobody sees it */
}

static void slot_close(struct exec_slots *s, struct exec_slot *slot, const struct window *w,
		       bool drop)
{
	pthread_mutex_lock(&s->lock);
	window_restore(w);
	slot->window = false;
	if (drop)
		slot_free_locked(slot);
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	/* last: the task goes on from here */
	exec_lease_drop(slot->fd);
	close(w->mem);
}

/* Write the slot's name, what was there being saved now that no other window is open there. On failure the slot is free again. */
static int window_open_locked(struct exec_slot *slot, struct window *w)
{
	int r;

	w->ours[0] = slot->name;
	w->ours[1] = '\0';
	r = pread(w->mem, w->saved, 2, (off_t)w->address) == 2 ? window_write(w) : -EFAULT;
	slot->address = w->address;
	slot->window = r == 0;
	if (r < 0) {
		slot_free_locked(slot);
		exec_lease_drop(slot->fd);
	}
	return r;
}

int slots_send(struct exec_slots *s, struct sluice_request *req, struct exec_flight *f,
	       uint64_t address)
{
	struct exec_slot *slot;
	struct window w;
	int r = window_prepare(&w, request_task(req), address);

	if (r < 0)
		return r;
	pthread_mutex_lock(&s->lock);
	slot = slot_open_locked(s, f, address);
	r = slot ? window_open_locked(slot, &w) : -EAGAIN;
	pthread_mutex_unlock(&s->lock);
	if (r < 0) {
		close(w.mem);
		return r;
	}
	/* gone before it could go on: nobody will ask */
	r = request_go_on(req);
	slot_close(s, slot, &w, r < 0 || !lease_wait(slot->fd, f->thread));
	return 0;
}

/* ---- afterwards ---- */

struct exec_flight *slots_take(struct exec_slots *s, pid_t process, char name)
{
	struct exec_flight *f = NULL;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < EXEC_SLOTS; i++) {
		struct exec_slot *slot = &s->slots[i];

		if (slot->name != name || !slot->flight || slot->flight->process != process ||
		    slot->window)
			continue;
		f = slot->flight;
		slot->flight = NULL;
		pthread_cond_broadcast(&s->changed);
	}
	pthread_mutex_unlock(&s->lock);
	return f;
}

void slots_put_back(struct exec_slots *s, char name, struct exec_flight *f)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < EXEC_SLOTS; i++) {
		struct exec_slot *slot = &s->slots[i];

		if (slot->name == name && !slot->flight) {
			slot->flight = f;
			f = NULL;
		}
	}
	pthread_mutex_unlock(&s->lock);
	if (f)
		flight_unref(f);
}

ssize_t slots_read_path(struct exec_slots *s, const struct task *t, uint64_t address, char *buf,
			size_t size)
{
	ssize_t n;

	pthread_mutex_lock(&s->lock);
	n = await_address_locked(s, address);
	if (n == 0)
		n = task_read_string(t, address, buf, size);
	pthread_mutex_unlock(&s->lock);
	return n;
}
