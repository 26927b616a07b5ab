/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest: client threads that make calls and time them. The same code runs under the library, under the hand-written supervisors
 * and under none, so whatever it costs itself is in all figures alike.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "area.h"
#include "util/clock.h"

struct client {
	struct area *area;
	uint32_t index;
	uint64_t random; /* seeded by the index, so each run makes the same calls */
};

static uint64_t thread_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Should the next call be one that blocks? */
static bool draw_blocking(struct client *c)
{
	c->random = c->random * 6364136223846793005u + 1442695040888963407u;
	return (c->random >> 33) % 1000 < c->area->blocking_permille;
}

/* ---- one call each; *ret_ns is set to what it took. They return whether the answer was right. ---- */

static bool call_number(int nr, uint64_t *ret_ns)
{
	uint64_t begin = clock_now_ns();
	long got = syscall(nr, 0, 0);

	*ret_ns = clock_now_ns() - begin;
	return got == AREA_ANSWER;
}

static bool call_refused(const char *path, uint64_t *ret_ns)
{
	uint64_t begin = clock_now_ns();
	long got = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);

	*ret_ns = clock_now_ns() - begin;
	return got < 0 && errno == EDOM;
}

static bool call_open(const char *path, uint64_t *ret_ns)
{
	uint64_t begin = clock_now_ns();
	long got = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);

	*ret_ns = clock_now_ns() - begin;
	if (got < 0)
		return false;
	close((int)got);
	return true;
}

static bool call_getppid(uint64_t *ret_ns)
{
	uint64_t begin = clock_now_ns();
	long got = 0;

	for (unsigned i = 0; i < AREA_BATCH; i++)
		got = syscall(SYS_getppid);
	*ret_ns = clock_now_ns() - begin;
	return got >= 0;
}

/* Returns whether it was right; *ret_blocking whether it was a call that blocks. */
static bool client_call(struct client *c, uint64_t *ret_ns, bool *ret_blocking)
{
	const struct area *a = c->area;

	*ret_blocking = false;
	switch (a->op) {
	case AREA_REFUSED:
		return call_refused(a->path, ret_ns);
	case AREA_OPEN:
		return call_open(a->path, ret_ns);
	case AREA_GETPPID:
		return call_getppid(ret_ns);
	case AREA_STUCK:
		*ret_blocking = c->index == 0;
		return call_number(*ret_blocking ? AREA_NR_STUCK : AREA_NR_PROMPT, ret_ns);
	default:
		*ret_blocking = a->blocking_permille && draw_blocking(c);
		return call_number(*ret_blocking ? AREA_NR_BLOCKING : AREA_NR_PROMPT, ret_ns);
	}
}

static void client_round(struct client *c)
{
	struct area *a = c->area;
	struct area_client *mine = &a->clients[c->index];
	uint32_t *samples = area_samples(a, a->active, c->index);
	uint32_t n = 0, room = area_room(a->active);
	uint64_t cpu = thread_cpu_ns(), begin = clock_now_ns(), end = begin + a->duration_ns;
	uint64_t calls = 0, in_time = 0, wrong = 0, now = begin;

	while (now < end && n < room) {
		bool blocking, right;
		uint64_t ns;

		right = client_call(c, &ns, &blocking);
		wrong += !right;
		calls++;
		samples[n++] = (ns < INT32_MAX ? (uint32_t)ns : INT32_MAX) |
			       (blocking ? AREA_SAMPLE_BLOCKING : 0);
		if (blocking && a->op == AREA_STUCK)
			break; /* once is what is asked for */
		now = clock_now_ns();
		in_time += now < end;
	}
	mine->calls = calls;
	mine->calls_s =
		now > begin ? (double)in_time * 1e9 / (double)((now < end ? now : end) - begin) : 0;
	mine->wrong = wrong;
	mine->n_samples = n;
	mine->cpu_ns = thread_cpu_ns() - cpu;
}

static void *client_main(void *arg)
{
	struct client *c = arg;
	struct area *a = c->area;
	_Atomic uint32_t *go = &a->clients[c->index].go;
	uint32_t seen = 0;

	atomic_fetch_add(&a->ready, 1);
	syscall(SYS_futex, &a->ready, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	for (;;) {
		while (atomic_load(go) == seen)
			syscall(SYS_futex, go, FUTEX_WAIT, seen, NULL, NULL, 0);
		seen++;
		client_round(c);
		if (atomic_fetch_add(&a->ended, 1) + 1 == a->active)
			syscall(SYS_futex, &a->ended, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	}
	return NULL;
}

int area_guest(int fd, uint32_t first, uint32_t count)
{
	struct area *a = mmap(NULL, sizeof(*a), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	struct client *clients = calloc(count, sizeof(*clients));
	pthread_attr_t attr;

	if (a == MAP_FAILED || !clients || first + count > AREA_CLIENTS)
		return 1;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 128u << 10);
	for (uint32_t i = 0; i < count; i++) {
		pthread_t thread;

		clients[i] = (struct client){ a, first + i, first + i };
		/* the last one is this thread */
		if (i + 1 == count)
			client_main(&clients[i]);
		else if (pthread_create(&thread, &attr, client_main, &clients[i]) != 0)
			return 1;
	}
	return 1;
}
