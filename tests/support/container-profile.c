/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container-profile PROGRAM ARGS...: run a program under a filter that refuses what default container profiles refuse and what a supervisor would like to use:
 * io_uring, process_vm_readv and process_vm_writev, pidfd_getfd, and new namespaces.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <unistd.h>

#define NR_PIDFD_GETFD 438
#define NR_IO_URING_SETUP 425

int main(int argc, char *argv[])
{
	const int refused[] = { SCMP_SYS(process_vm_readv),
				SCMP_SYS(process_vm_writev),
				NR_PIDFD_GETFD,
				NR_IO_URING_SETUP,
				NR_IO_URING_SETUP + 1,
				NR_IO_URING_SETUP + 2,
				SCMP_SYS(mount),
				SCMP_SYS(ptrace) };
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < sizeof(refused) / sizeof(refused[0]); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
	if (r == 0)
		r = seccomp_load(ctx);
	if (r < 0 || argc < 2) {
		fprintf(stderr, "container-profile: %d\n", r);
		return 1;
	}
	execv(argv[1], argv + 1);
	perror(argv[1]);
	return 1;
}
