/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bench's side of an area: making one and running rounds. Futexes are shared ones, since guests are other processes.
 */
#include "area.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"

/* Over and above what a round should take: a machine can be busy, and 64 clients can all wait for one slow handler. */
#define ROUND_GRACE_NS UINT64_C(30000000000)

int area_new(struct area **ret)
{
	int fd = memfd_create("bench", MFD_CLOEXEC);
	struct area *a;

	if (fd < 0 || ftruncate(fd, sizeof(*a)) < 0)
		goto fail;
	a = mmap(NULL, sizeof(*a), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (a == MAP_FAILED)
		goto fail;
	*ret = a;
	return fd;
fail:
	if (fd >= 0)
		close(fd);
	return -errno;
}

void area_free(struct area *a, int fd)
{
	munmap(a, sizeof(*a));
	close(fd);
}

/* Until *word >= @wanted or @until_ns has come. */
static int wait_count(_Atomic uint32_t *word, uint32_t wanted, uint64_t until_ns)
{
	for (;;) {
		uint32_t seen = atomic_load(word);
		uint64_t now = clock_now_ns();
		struct timespec left;

		if (seen >= wanted)
			return 0;
		if (now >= until_ns)
			return -ETIMEDOUT;
		left.tv_sec = (time_t)((until_ns - now) / 1000000000u);
		left.tv_nsec = (long)((until_ns - now) % 1000000000u);
		syscall(SYS_futex, word, FUTEX_WAIT, seen, &left, NULL, 0);
	}
}

void area_begin(struct area *a, uint32_t active)
{
	a->active = active;
	atomic_store(&a->ended, 0);
	for (uint32_t i = 0; i < active; i++) {
		atomic_fetch_add(&a->clients[i].go, 1);
		syscall(SYS_futex, &a->clients[i].go, FUTEX_WAKE, 1, NULL, NULL, 0);
	}
}

int area_wait_end(struct area *a)
{
	return wait_count(&a->ended, a->active, clock_now_ns() + a->duration_ns + ROUND_GRACE_NS);
}

int area_round(struct area *a, uint32_t active)
{
	area_begin(a, active);
	return area_wait_end(a);
}

int area_wait_ready(struct area *a, uint32_t n)
{
	return wait_count(&a->ready, n, clock_now_ns() + ROUND_GRACE_NS);
}
