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
};
/* Carry out the plan that @data (the copy in the request) describes. */
typedef struct request_act (*request_act_fn)(struct sluice_request *req, const void *data);

/* What a plan of kind SLUICE_PLAN_ACT keeps. */
struct request_plan {
	const char *builtin;
	request_act_fn act;
	enum sluice_layer layer;
	/* the files that the call's paths name, and the directories and names by which; consumed in every case, and closed with the request */
	int fds[2], dirs[2]; /* -1: none */
	const char *names
		[2]; /* of what is to be made in dirs, for those who ask where; NULL: none. Point into data */
	const void *data; /* copied, at most REQUEST_PLAN_BYTES */
	size_t size;
};
/* 0 or -E2BIG. */
int request_plan_act(struct sluice_request *req, const struct request_plan *plan);
/* Descriptor @which of the plan, borrowed. */
int request_plan_fd(const struct sluice_request *req, unsigned which);
int request_plan_dir(const struct sluice_request *req, unsigned which);
/* The copy of the plan's data. */
const void *request_plan_data(const struct sluice_request *req);

struct resolve_open;
/* Open the file, with what the engine makes of the call's flags and mode. A descriptor or a negative errno. */
typedef int (*request_open_fn)(struct sluice_request *req, const struct resolve_open *how);
/*
 * An act that opens as the task would (umask, FIFOs, terminals): asks @open, perhaps more than once, without blocking.
 */
struct request_act request_open_as_task(struct sluice_request *req, request_open_fn open);

/* The stopped task, for what the public accessors do not offer. */
const struct task *request_task(const struct sluice_request *req);
/* May the command read procfs? */
bool request_proc_granted(const struct sluice_request *req);

#endif
