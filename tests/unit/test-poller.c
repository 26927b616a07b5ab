/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The poller on io_uring, on epoll and on ppoll: the same answers, also after a change of the backend.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/poller.h"
#include "util/clock.h"

#include "../support/cmocka.h"

#define LONG_US 5000000

struct setup {
	struct poller *p;
	int fd[2]; /* a pipe */
};

static enum poller_backend backend(void **state)
{
	return *state ? *(const enum poller_backend *)*state : POLLER_RING;
}

static void setup(struct setup *s, void **state)
{
	assert_int_equal(poller_new(&s->p, backend(state)), 0);
	assert_int_equal(pipe2(s->fd, O_CLOEXEC), 0);
}

static void teardown(struct setup *s)
{
	poller_free(s->p);
	close(s->fd[0]);
	if (s->fd[1] >= 0)
		close(s->fd[1]);
}

static void test_level_triggered(void **state)
{
	struct poller_event ev[4];
	struct setup s;
	int slot;

	setup(&s, state);
	slot = poller_add(s.p, s.fd[0], POLLIN);
	assert_true(slot >= 0);
	assert_int_equal(poller_wait(s.p, 0, ev, 4), 0);
	assert_int_equal(write(s.fd[1], "x", 1), 1);
	for (int i = 0; i < 3; i++) { /* reported until it is read */
		assert_int_equal(poller_wait(s.p, LONG_US, ev, 4), 1);
		assert_int_equal(ev[0].slot, slot);
		assert_true(ev[0].events & POLLIN);
	}
	assert_int_equal(read(s.fd[0], &(char){ 0 }, 1), 1);
	assert_int_equal(poller_wait(s.p, 1000, ev, 4), 0);
	teardown(&s);
}

static void test_time_out(void **state)
{
	uint64_t start = clock_now_ns();
	struct poller_event ev;
	struct setup s;
	int waits = 0;

	setup(&s, state);
	/* the kernel may interrupt one wait, while it takes down the ring of the test before */
	do
		assert_int_equal(poller_wait(s.p, 20000, &ev, 1), 0);
	while (++waits < 3 && clock_now_ns() - start < 19000000);
	assert_true(clock_now_ns() - start >= 19000000);
	teardown(&s);
}

static void test_hang_up(void **state)
{
	struct poller_event ev;
	struct setup s;
	int slot;

	setup(&s, state);
	slot = poller_add(s.p, s.fd[0], 0); /* errors and hang-up come unasked */
	assert_int_equal(write(s.fd[1], "x", 1), 1);
	assert_int_equal(poller_wait(s.p, 1000, &ev, 1), 0);
	close(s.fd[1]);
	s.fd[1] = -1;
	assert_int_equal(poller_wait(s.p, LONG_US, &ev, 1), 1);
	assert_int_equal(ev.slot, slot);
	assert_true(ev.events & POLLHUP);
	teardown(&s);
}

static void test_removed_is_silent(void **state)
{
	struct poller_event ev[4];
	struct setup s;
	int slot, other = eventfd(0, EFD_CLOEXEC);

	setup(&s, state);
	slot = poller_add(s.p, s.fd[0], POLLIN);
	assert_int_equal(poller_wait(s.p, 0, ev, 4), 0); /* armed now */
	assert_int_equal(write(s.fd[1], "x", 1), 1);
	assert_int_equal(poller_remove(s.p, (unsigned)slot), 0);
	assert_int_equal(poller_wait(s.p, 1000, ev, 4), 0);
	/* the slot's next owner does not hear of what was before */
	assert_int_equal(poller_add(s.p, other, POLLIN), slot);
	assert_int_equal(poller_wait(s.p, 1000, ev, 4), 0);
	assert_int_equal(eventfd_write(other, 1), 0);
	assert_int_equal(poller_wait(s.p, LONG_US, ev, 4), 1);
	assert_int_equal(ev[0].slot, slot);
	close(other);
	teardown(&s);
}

static void test_modified(void **state)
{
	struct poller_event ev;
	struct setup s;
	int slot;

	setup(&s, state);
	slot = poller_add(s.p, s.fd[0], 0);
	assert_int_equal(write(s.fd[1], "x", 1), 1);
	assert_int_equal(poller_wait(s.p, 1000, &ev, 1), 0);
	assert_int_equal(poller_modify(s.p, (unsigned)slot, POLLIN), 0);
	assert_int_equal(poller_wait(s.p, LONG_US, &ev, 1), 1);
	assert_int_equal(poller_modify(s.p, (unsigned)slot, 0), 0);
	assert_int_equal(poller_wait(s.p, 1000, &ev, 1), 0);
	teardown(&s);
}

static void test_all_slots_and_no_more(void **state)
{
	struct poller_event ev[POLLER_MAX_FDS];
	int fds[POLLER_MAX_FDS], n = 0;
	bool seen[POLLER_MAX_FDS] = { false };
	struct setup s;

	setup(&s, state);
	for (int i = 0; i < POLLER_MAX_FDS; i++) {
		fds[i] = eventfd(1, EFD_CLOEXEC);
		assert_in_range(poller_add(s.p, fds[i], POLLIN), 0, POLLER_MAX_FDS - 1);
	}
	assert_int_equal(poller_add(s.p, s.fd[0], POLLIN), -ENOSPC);
	/* one at a time too: none is starved */
	for (int i = 0; i < 10 * POLLER_MAX_FDS; i++) {
		assert_int_equal(poller_wait(s.p, LONG_US, ev, 1), 1);
		n += !seen[ev[0].slot];
		seen[ev[0].slot] = true;
	}
	assert_int_equal(n, POLLER_MAX_FDS);
	for (int i = 0; i < POLLER_MAX_FDS; i++)
		close(fds[i]);
	teardown(&s);
}

static const char *const names[] = {
	[POLLER_RING] = "io_uring",
	[POLLER_EPOLL] = "epoll",
	[POLLER_PPOLL] = "ppoll",
};

static void test_which_backend(void **state)
{
	struct poller *p;

	assert_int_equal(poller_new(&p, backend(state)), 0);
	assert_string_equal(poller_name(p), names[backend(state)]);
	poller_free(p);
	assert_null(poller_free(NULL));
}

/* From ppoll to the backend and back: the watches go along, with their slots; a removed one does not. */
static void test_switched(void **state)
{
	const enum poller_backend way[] = { backend(state), POLLER_PPOLL };
	int gone[2], slot;
	struct poller_event ev[4];
	struct setup s;

	setup(&s, &(void *){ (void *)(uintptr_t)&way[1] });
	assert_int_equal(pipe2(gone, O_CLOEXEC), 0);
	assert_int_equal(poller_add(s.p, gone[0], POLLIN), 0);
	slot = poller_add(s.p, s.fd[0], POLLIN);
	assert_int_equal(poller_remove(s.p, 0), 0);
	assert_int_equal(write(gone[1], "x", 1), 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(poller_switch(s.p, way[i]), 0);
		assert_string_equal(poller_name(s.p), names[way[i]]);
		assert_int_equal(poller_wait(s.p, 0, ev, 4), 0);
		assert_int_equal(write(s.fd[1], "x", 1), 1);
		assert_int_equal(poller_wait(s.p, LONG_US, ev, 4), 1);
		assert_int_equal(ev[0].slot, slot);
		assert_int_equal(read(s.fd[0], &(char){ 0 }, 1), 1);
	}
	close(gone[0]);
	close(gone[1]);
	teardown(&s);
}

/* The limit of open files may be lower than the number of slots, and be lowered while we wait. */
static void test_few_files_allowed(void **state)
{
	struct rlimit saved, few;
	struct poller_event ev;
	struct setup s;
	int r;

	setup(&s, state);
	poller_add(s.p, s.fd[0], POLLIN);
	assert_int_equal(write(s.fd[1], "x", 1), 1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
	few = (struct rlimit){ POLLER_MAX_FDS / 2, saved.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	r = poller_wait(s.p, LONG_US, &ev, 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &saved), 0);
	assert_int_equal(r, 1);
	teardown(&s);
}

static enum poller_backend on_epoll = POLLER_EPOLL, on_ppoll = POLLER_PPOLL;

#define ALL(test)                                                   \
	{ #test "_on_io_uring", test, NULL, NULL, NULL },           \
		{ #test "_on_epoll", test, NULL, NULL, &on_epoll }, \
	{                                                           \
#test "_on_ppoll", test, NULL, NULL, &on_ppoll      \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALL(test_level_triggered),   ALL(test_time_out),
		ALL(test_hang_up),	     ALL(test_removed_is_silent),
		ALL(test_modified),	     ALL(test_which_backend),
		ALL(test_switched),	     ALL(test_all_slots_and_no_more),
		ALL(test_few_files_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
