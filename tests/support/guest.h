/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests that run themselves inside a sandbox: `TEST --inside ROLE ARG` runs a function of the test's table and exits with what it returns (0-200).
 * The same function can be run bare in a forked child, which is how a test of a denial first shows that the act works.
 */
#ifndef SLUICE_TESTS_SUPPORT_GUEST_H
#define SLUICE_TESTS_SUPPORT_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <sluice/sluice.h>

struct guest_role {
	const char *name;
	int (*fn)(const char *arg);
};

/* How much longer things may take in this build than in an ordinary one; the build says so where it has sanitizers. */
#ifndef GUEST_SLOW
#define GUEST_SLOW 1
#endif

/* The guest could not tell: a role must not return it. */
#define GUEST_FAILED 255

/*
 * First statement of main: remembers the program's path and the roles, and never returns in a guest.
 * @roles ends with a NULL name.
 */
void guest_begin(int argc, char *argv[], const struct guest_role *roles);
const char *guest_program(void);

/* The role's value in a forked child of the test, without any sandbox; 128 + N when signal N ended it. */
int guest_bare(const char *role, const char *arg);
/* The role's value in a sandbox of @p (NULL: all of "/" may be read). The test fails when it can't be started. */
int guest_inside(struct sluice_policy *p, const char *role, const char *arg);
struct sluice_result guest_run(struct sluice_policy *p, const struct sluice_handler *extras,
			       size_t n, const char *role, const char *arg);
/* What the role says on standard output, where it must end with 0; NULL policy: bare. The caller frees it. */
char *guest_text(struct sluice_policy *p, const struct sluice_handler *extras, size_t n,
		 const char *role, const char *arg);
/* Prints each pair of lines that differ, up to a screen; the number of all that do. */
int guest_text_differences(const char *name, const char *a, const char *b);
/* Start the role and go on. */
struct sluice_sandbox *guest_spawn(struct sluice_policy *p, const struct sluice_spawn_options *o,
				   const char *role, const char *arg);

/* fork(2) of a process with one thread that stays one: user namespaces are for those alone, and the thread sanitizer's fork adds a thread. */
pid_t guest_fork_one(void);

/* unshare(2) of @flags, for the process of guest_fork_one: within a user namespace unless it is root's. 0 or -1. */
int guest_unshare(int flags);

/* Can another process's descriptors be got? Container profiles refuse it. */
bool guest_descriptors_can_be_got(void);
/* What a call on a socket that is carried out gives here: @error, or EACCES where the supervisor can't have the socket. */
int guest_carried_out(int error);

/*
 * The host's root by a name that a policy does not take for that: the same files, but in a tree of one's own. "/" itself is the host's own tree.
 */
#define ROOT_BY_ANOTHER_NAME "/usr/.."

/* A policy under which "/" may be read and executed. */
struct sluice_policy *guest_policy(void);

/* A new directory below $TMPDIR; the name lives until eight more were made. */
const char *guest_dir(void);
void guest_remove(const char *dir);
/* The path of @name in directory @dir, which may be such a path itself; it lives until eight more were made. */
const char *guest_in(const char *dir, const char *name);

/* Names in directory @path that do not begin with a dot; -1: it can't be listed. */
int guest_entries(const char *path);
/*
 * Threads of this process, once there are no more than @most or some seconds have passed: one that was joined may be on its last instructions, and is listed until then.
 */
int guest_threads_left(int most);

/* CLOCK_MONOTONIC. */
long long guest_now_us(void);
long long guest_now_ms(void);

#endif
