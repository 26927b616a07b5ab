/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a running `sluice run` is found and asked, by `sluice ps`, `inspect` and `kill`.
 *
 * Nothing of it is on disk. A supervisor has a mark, an empty memfd whose name says which number a pipe of it has, and reads requests from that pipe. Whoever asks looks
 * for marks in /proc/PID/fd, opens the pipe through there, and says in the request which pipe of its own the answer goes to, which the supervisor opens in the same way. So
 * it ends when the supervisor ends, however that is, and there is nothing to be left over, to be written, or to be locked.
 *
 * The kernel lets a process through another's /proc/PID/fd where it might trace it, and Landlock lets nobody trace what is outside of his own domain. So no command
 * in a sandbox can send a request, whatever it may read and write; and one that makes a mark of its own can not answer, since it can not open the pipe of
 * who asks. What may be written of a pipe is looked at before it is opened, so that nobody is led to write into something else.
 */
#ifndef SLUICE_CLI_RUNNING_H
#define SLUICE_CLI_RUNNING_H

#include <stdint.h>
#include <sys/types.h>

/* The first thread of a supervisor has this name, so that not every process's descriptors have to be looked at. */
#define RUNNING_COMM "sluice"
/* Name of the mark before the number of the pipe; what is asked and answered has the version in it. */
#define RUNNING_MARK "sluice-running-1-"
#define RUNNING_MAGIC 0x736c7131u
#define RUNNING_ANSWER_MAX (64u << 20)

enum running_wish {
	RUNNING_SUMMARY = 1, /* what `sluice ps` shows */
	RUNNING_ALL = 2,     /* what `sluice inspect` shows */
	RUNNING_SIGNAL =
		3, /* `signal` as if it had been sent to the supervisor; SIGKILL: end the tree */
};

/* One write to the pipe, so that requests do not mix. */
struct running_request {
	uint32_t magic;
	uint32_t wish; /* enum running_wish */
	int32_t signal;
	int32_t pid; /* the answer goes to descriptor `fd` of that process, */
	int32_t fd;
	uint32_t zero;
	uint64_t pipe; /* which must be a pipe with this inode */
};

/* Before the answer's text, a JSON object. It is {"error": TEXT} where it could not be done. */
struct running_answer {
	uint32_t magic;
	uint32_t bytes; /* of the text */
};

/* O_PATH descriptor of /proc/PID/fd, which stays that process's; -errno. */
int running_descriptors(pid_t pid);
/*
 * Open descriptor @number of the process whose running_descriptors() @dir are, with @flags and without waiting. It must be a pipe, and where @inode is not 0 the one with that inode: -ENXIO
 * otherwise. -EACCES: we are not to look into it.
 */
int running_pipe(int dir, int number, ino_t inode, int flags);

#endif
