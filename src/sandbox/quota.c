/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which processes are to be held is found by walking down from init, whose descendants are the sandbox and nobody else. One that forks meanwhile hands its limit down, so what was held
 * before the fork holds the child; a child of one that was not held yet is found by the next walk, and they go on until one has nothing to change.
 */
#define _GNU_SOURCE
#include "sandbox/quota.h"

#include <errno.h>
#include <unistd.h>

#include "sandbox/cow.h"
#include "sandbox/sandbox.h"
#include "task/descendants.h"
#include "tree/branch.h"
#include "util/fail.h"

#define WALKS_MAX 100u /* the next look goes on */
#define QUIET_WALKS 2u

static int hold_one(pid_t pid, void *branch)
{
	int r = branch_room_hold(branch, pid);

	/* who is gone may have left a child that was not seen yet */
	return r == 1 || r == -ESRCH;
}

/* True: all of them were as they should be already. */
static bool hold_all(struct sluice_sandbox *s, struct branch *b)
{
	unsigned quiet = 0, i;

	for (i = 0; i < WALKS_MAX && quiet < QUIET_WALKS; i++)
		quiet = descendants_each(s->launch.init_pid, hold_one, b) ? 0 : quiet + 1;
	return i == QUIET_WALKS;
}

static void look(struct engine *e, void *sandbox)
{
	struct sluice_sandbox *s = sandbox;
	struct branch *b = cow_branch(s->tree->cow);
	struct branch_room room;
	bool quiet = true;

	branch_room_check(b, &room);
	if (room.hold || s->quota_holds)
		quiet = hold_all(s, b);
	if (room.hold && branch_room_is_past(b, quiet)) {
		sandbox_kill_tree(s, SLUICE_ENDED_QUOTA);
		return;
	}
	s->quota_holds = room.hold;
	engine_set_timer(e, TIMER_QUOTA, room.next_ms ? room.next_ms : UINT64_MAX, look, s);
}

static void on_room(struct engine *e, void *sandbox)
{
	struct sluice_sandbox *s = sandbox;
	uint64_t count;

	if (read(branch_room_fd(cow_branch(s->tree->cow)), &count, sizeof(count)) < 0)
		return;
	look(e, sandbox);
}

int quota_start(struct sluice_sandbox *s, struct sluice_error *err)
{
	struct branch *b = s->tree && s->tree->cow ? cow_branch(s->tree->cow) : NULL;
	int fd = b ? branch_room_fd(b) : -1, r;

	s->quota_source = -1;
	if (fd < 0)
		return 0;
	r = descendants_check();
	if (r < 0) {
		fail_errno(err, r, "max-disk: /proc/thread-self/children");
		return fail_hint(err, r, "a kernel with CONFIG_PROC_CHILDREN; or no quota");
	}
	s->quota_source = engine_add_source(s->engine, fd, on_room, s);
	return s->quota_source < 0 ? fail_errno(err, s->quota_source, "max-disk") : 0;
}

void quota_stop(struct sluice_sandbox *s)
{
	engine_set_timer(s->engine, TIMER_QUOTA, UINT64_MAX, NULL, NULL);
	if (s->quota_source >= 0)
		engine_remove_source(s->engine, s->quota_source);
	s->quota_source = -1;
}
