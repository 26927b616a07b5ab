/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a built-in may do with a request beyond the public accessors: record the plan, and carry it out when it is asked to.
 *
 * A handler that decides on what lies behind a pointer looks once, keeps what it found (descriptors, a private copy) in the plan, and
 * returns CONTINUE. Extras then see the plan and may refuse. Only when all of them agree is it carried out, with what was kept. Thread: the
 * runner of the request.
 */
#ifndef SLUICE_ENGINE_REQUEST_H
#define SLUICE_ENGINE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <sluice/handler.h>

struct task;

/* Bytes that a plan can carry along without allocating: a path. */
#define REQUEST_PLAN_BYTES 4096

/*
 * Plan: the call returns @value, and @size bytes of @data (copied, at most REQUEST_PLAN_BYTES) are written to the caller's memory at @addr
 * (EFAULT for the caller when that fails). The built-in then returns CONTINUE; extras may still refuse. -E2BIG.
 */
int request_plan_reply(struct sluice_request *req, const char *builtin, int64_t value,
		       uint64_t addr, const void *data, size_t size);

/*
 * What an act gave: the call's value, or a descriptor to inject in its place.
 */
struct request_act {
	int64_t value; /* or a negative errno */
	int fd;	       /* -1: none; consumed */
	uint32_t fd_flags;
	bool go_on; /* nothing was done: the kernel runs the call */
};
/* Carry out the plan that @data (the copy in the request) describes. */
typedef struct request_act (*request_act_fn)(struct sluice_request *req, const void *data);

/*
 * Let the kernel run the call, where that takes more than saying so: called last of all, once nobody can refuse any more, and at most once. It either answers the
 * notification itself (request_go_on) and returns 0, or returns the negative errno that the call fails with. It may go on after the answer, but
 * not for long. Thread: the runner, or the control thread where an observer is late.
 */
typedef int (*request_send_fn)(struct sluice_request *req, const void *data);
/* The request's life ends: release what @data refers to. */
typedef void (*request_drop_fn)(const void *data);

/* What a plan of kind SLUICE_PLAN_ACT keeps. */
struct request_plan {
	const char *builtin;
	request_act_fn act;   /* or */
	request_send_fn send; /* instead of an act */
	request_drop_fn
		drop; /* may be NULL; called in every case, also when the plan is not taken */
	enum sluice_layer layer;
	/* the files that the call's paths name, and the directories and names by which; consumed in every case, and closed with the request */
	int fds[2], dirs[2]; /* -1: none */
	const char *names
		[2]; /* of what is to be made in dirs, for those who ask where; NULL: none. Point into data */
	/* whom a socket is to reach or what it is bound to, for those who ask; points into data; 0 bytes: nothing, or what fds name */
	const void *address;
	size_t address_bytes;
	const void *data; /* copied, at most REQUEST_PLAN_BYTES */
	size_t size;
};
/* For the initializer of one that names no file. */
#define REQUEST_PLAN_NO_FILES .fds = { -1, -1 }, .dirs = { -1, -1 }

/* 0 or -E2BIG. */
int request_plan_act(struct sluice_request *req, const struct request_plan *plan);
/*
 * The verdict of a built-in that made @plan. @r: 0, or the negative errno that the call fails with; then the plan's descriptors are closed and @plan->drop has been
 * called.
 */
struct sluice_verdict request_plan_or_errno(struct sluice_request *req,
					    const struct request_plan *plan, int r);
/* Descriptor @which of the plan, borrowed. */
int request_plan_fd(const struct sluice_request *req, unsigned which);
int request_plan_dir(const struct sluice_request *req, unsigned which);
/* The descriptor itself: the caller's from now on, and the plan has none any more. */
int request_plan_take_fd(struct sluice_request *req, unsigned which);
/* The copy of the plan's data. */
const void *request_plan_data(const struct sluice_request *req);

struct resolve_open;
/* Open the file, with what the engine makes of the call's flags and mode. A descriptor and its fstat, or a negative errno. */
struct stat;
typedef int (*request_open_fn)(struct sluice_request *req, const struct resolve_open *how,
			       struct stat *ret_st);
/*
 * An act that opens as the task would (umask, FIFOs, terminals): asks @open, perhaps more than once, without blocking.
 */
struct request_act request_open_as_task(struct sluice_request *req, request_open_fn open);

/*
 * A structure that may grow, of @size bytes in the task's memory, as copy_struct_from_user() has it: the first @known bytes to @ret. -EINVAL: it is shorter; -E2BIG: longer than a page, or not 0 behind
 * that; -EFAULT, -ESRCH.
 */
int request_read_struct(struct sluice_request *req, uint64_t addr, uint64_t size, void *ret,
			size_t known);
/* Answer: the kernel runs the call. 0, or -ENOENT: the task is gone. For a request_send_fn only. */
int request_go_on(struct sluice_request *req);
/* Install @fd (borrowed) in the task as its lowest free number, which is returned. @flags: O_CLOEXEC or 0. -EMFILE, -ENOENT ... */
int request_inject(struct sluice_request *req, int fd, uint32_t flags);

/* Will anybody but built-ins look at the plan? */
bool request_has_extras(const struct sluice_request *req);
/*
 * As sluice_request_path, for who looks at more of the task and asks once whether all of it is this task's: request_check_path, after the last look and before anything is
 * used. 0 or -ESRCH.
 */
ssize_t request_peek_path(struct sluice_request *req, unsigned which, const char **ret_path);
int request_check_path(struct sluice_request *req, unsigned which);
/* The stopped task, for what the public accessors do not offer. */
const struct task *request_task(const struct sluice_request *req);
/* May the command read procfs? */
bool request_proc_granted(const struct sluice_request *req);
/* Would an act on behalf be done with the task's own credentials? 0, or as credentials_compare, which is only asked where they may differ. */
int request_compare_credentials(const struct sluice_request *req);
/* The task's umask, or a negative errno. */
int request_umask(const struct sluice_request *req);

/*
 * Give the caller a socket's address as the kernel does: as much of the @size bytes as there is room for at @addr, by the length at @len, and there how many they
 * are. 0 or -errno. From within an act only.
 */
int request_give_address(struct sluice_request *req, uint64_t addr, uint64_t len, const void *name,
			 socklen_t size);

/*
 * The @n buffers of the list at @addr: addresses of the task's, in *ret on the heap, together no more than one call transfers; *ret_bytes: how many that are.
 * -EMSGSIZE (more than 1024), -EINVAL, -EFAULT, -ENOMEM.
 */
int request_read_iov(struct sluice_request *req, uint64_t addr, size_t n, struct iovec **ret,
		     size_t *ret_bytes);
/* So much of @bytes as one call transfers. */
size_t request_iov_cap(uint64_t bytes);
/* @size bytes, from @offset in the buffers on, to @buf or (@out) from it. 0 or -errno. */
int request_copy_iov(struct sluice_request *req, const struct iovec *iov, size_t n_iov,
		     size_t offset, void *buf, size_t size, bool out);

/*
 * Wait, as the task would, until poll(2) has @events of @fd to tell, without holding up anybody else. 0; -ETIME at @until_ns (CLOCK_MONOTONIC; UINT64_MAX: never);
 * -ERESTARTSYS: a signal for the task, or it or the engine goes; -EAGAIN: too many wait. From within an act only.
 */
int request_await(struct sluice_request *req, int fd, short events, uint64_t until_ns);
/* 0: not yet; 1: it is there; negative errno. */
typedef int (*request_look_fn)(struct sluice_request *req, const void *data);
/*
 * Wait, as the task would, until @look (NULL: nothing) finds what it looks for, without holding up anybody else. It is asked again and again: at first at once, later after a
 * 32nd of the time that it has been, at most 8 ms. 0; what @look fails with; else as request_await, -ETIME on time.
 */
int request_await_look(struct sluice_request *req, request_look_fn look, const void *data,
		       uint64_t until_ns);
/* When a call that sends by @fd is to give up, by its SO_SNDTIMEO; one that receives, by SO_RCVTIMEO. */
uint64_t request_send_deadline_ns(int fd);
uint64_t request_receive_deadline_ns(int fd);

/*
 * connect(2) of @fd, the caller's descriptor of the task's socket. Waits as the task would, without holding up anybody else, until the task or the
 * engine goes. Returns 0 or the negative errno for the task; -EACCES: there is no io_uring to wait with. From within an act only.
 */
int request_connect(struct sluice_request *req, int fd, const struct sockaddr *addr, socklen_t len);

/*
 * accept4(2) by @fd, the caller's descriptor of the task's socket, which never waits, whatever the flags of that say. The new descriptor is the caller's; -EAGAIN: there
 * is no connection; -EACCES: there is no io_uring to try with. From within an act only.
 */
int request_accept(struct sluice_request *req, int fd, struct sockaddr_storage *addr,
		   socklen_t *len, int flags);

#endif
