/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sandboxes under measurement. Handlers run on engine threads and share only what is constant while they do.
 */
#include "subject.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"

#define CHAIN_MAX 8u
#define HANDLERS_MAX (CHAIN_MAX + 3u)

struct subject {
	struct subject_config config;
	struct area *area;
	int area_fd;
	int file_fd; /* -1: none */
	struct sluice_policy *policy;
	struct sluice_handler handlers[HANDLERS_MAX];
	size_t n_handlers;
	struct sluice_sandbox *sandboxes[AREA_CLIENTS];
	uint32_t n_sandboxes;
};

/* ---- handlers ---- */

static void spin(uint32_t us)
{
	uint64_t end;

	if (!us)
		return;
	end = clock_now_ns() + us * UINT64_C(1000);
	while (clock_now_ns() < end)
		;
}

static struct sluice_verdict on_prompt_pass(struct sluice_request *req, void *userdata)
{
	return sluice_continue();
}

static struct sluice_verdict on_prompt(struct sluice_request *req, void *userdata)
{
	const struct subject *s = userdata;

	spin(s->config.handler_us);
	return sluice_value(AREA_ANSWER);
}

static struct sluice_verdict on_blocking(struct sluice_request *req, void *userdata)
{
	const struct timespec ts = { .tv_nsec = SUBJECT_BLOCK_NS };

	nanosleep(&ts, NULL);
	return sluice_value(AREA_ANSWER);
}

static struct sluice_verdict on_stuck(struct sluice_request *req, void *userdata)
{
	const struct timespec ts = { .tv_nsec = SUBJECT_STUCK_NS };

	nanosleep(&ts, NULL);
	return sluice_value(AREA_ANSWER);
}

/* Other paths than the area's are those of the guest's own start. */
static struct sluice_verdict on_open(struct sluice_request *req, void *userdata)
{
	static const char bytes[] = "a file of the bench\n";
	const struct subject *s = userdata;
	const char *path;

	if (sluice_request_path(req, 0, &path) < 0 || strcmp(path, s->area->path))
		return sluice_continue();
	switch (s->config.file) {
	case SUBJECT_FILE_REFUSE:
		return sluice_errno(EDOM);
	case SUBJECT_FILE_AS_SEEN:
		return sluice_as_seen();
	case SUBJECT_FILE_INJECT_FD:
		return sluice_inject_fd(fcntl(s->file_fd, F_DUPFD_CLOEXEC, 0), O_CLOEXEC);
	case SUBJECT_FILE_INJECT_BYTES:
		return sluice_inject_bytes(bytes, sizeof(bytes) - 1, O_CLOEXEC);
	default:
		return sluice_continue();
	}
}

static void add_handler(struct subject *s, int nr, sluice_handler_fn fn, uint32_t flags)
{
	s->handlers[s->n_handlers++] =
		(struct sluice_handler){ .nr = nr, .flags = flags, .fn = fn, .userdata = s };
}

static void add_handlers(struct subject *s)
{
	for (uint32_t i = 1; i < s->config.chain && i < CHAIN_MAX; i++)
		add_handler(s, AREA_NR_PROMPT, on_prompt_pass, 0);
	add_handler(s, AREA_NR_PROMPT, on_prompt, 0);
	if (s->config.file)
		add_handler(s, SYS_openat, on_open, 0);
	if (s->config.blocking)
		add_handler(s, AREA_NR_BLOCKING, on_blocking, SLUICE_MAY_BLOCK);
	if (s->config.stuck)
		add_handler(s, AREA_NR_STUCK, on_stuck, 0);
}

/* ---- life ---- */

/* The bench's own program as `--guest AREA FIRST COUNT`. */
static int spawn_one(struct subject *s, uint32_t first, uint32_t count, struct sluice_error *err)
{
	char program[4096], area[12], from[12], n[12];
	const char *argv[] = { program, "--guest", area, from, n, NULL };
	struct sluice_spawn_options options = {
		.size = sizeof(options),
		.extras = s->handlers,
		.n_extras = s->n_handlers,
	};
	ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);
	int r;

	if (len < 0)
		return -errno;
	program[len] = '\0';
	snprintf(area, sizeof(area), "%d", s->area_fd);
	snprintf(from, sizeof(from), "%u", first);
	snprintf(n, sizeof(n), "%u", count);
	/* inherited by this command only: no other is started meanwhile */
	fcntl(s->area_fd, F_SETFD, 0);
	r = sluice_spawn(s->policy, argv, &options, &s->sandboxes[s->n_sandboxes], err);
	fcntl(s->area_fd, F_SETFD, FD_CLOEXEC);
	if (r == 0)
		s->n_sandboxes++;
	return r;
}

static int make_policy(struct subject *s, struct sluice_error *err)
{
	int r;

	s->policy = sluice_policy_new();
	if (!s->policy)
		return -ENOMEM;
	r = sluice_policy_allow_read(s->policy, "/", err);
	return r < 0 ? r : sluice_policy_set_dispatch(s->policy, s->config.mode);
}

static int open_file(struct subject *s)
{
	if (!s->config.file)
		return 0;
	snprintf(s->area->path, sizeof(s->area->path), "%s", s->config.path);
	if (s->config.file != SUBJECT_FILE_INJECT_FD)
		return 0;
	s->file_fd = open(s->config.path, O_RDONLY | O_CLOEXEC);
	return s->file_fd < 0 ? -errno : 0;
}

static int start(struct subject *s, struct sluice_error *err)
{
	uint32_t each = s->config.clients / s->config.sandboxes;
	int r;

	s->area_fd = area_new(&s->area);
	if (s->area_fd < 0)
		return s->area_fd;
	r = open_file(s);
	if (r == 0)
		r = make_policy(s, err);
	add_handlers(s);
	for (uint32_t i = 0; i < s->config.sandboxes && r == 0; i++)
		r = spawn_one(s, i * each, each, err);
	return r == 0 ? area_wait_ready(s->area, each * s->config.sandboxes) : r;
}

int subject_start(const struct subject_config *config, struct subject **ret,
		  struct sluice_error *err)
{
	struct subject *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->config = *config;
	s->area_fd = -1;
	s->file_fd = -1;
	r = start(s, err);
	if (r < 0) {
		subject_stop(s);
		return r;
	}
	*ret = s;
	return 0;
}

struct area *subject_area(struct subject *s)
{
	return s->area;
}

void subject_stop(struct subject *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->n_sandboxes; i++)
		sluice_sandbox_free(s->sandboxes[i]);
	sluice_policy_unref(s->policy);
	if (s->file_fd >= 0)
		close(s->file_fd);
	if (s->area)
		area_free(s->area, s->area_fd);
	free(s);
}

const char *subject_mode_name(enum sluice_dispatch mode)
{
	switch (mode) {
	case SLUICE_DISPATCH_POOL:
		return "pool";
	case SLUICE_DISPATCH_INLINE:
		return "inline";
	default:
		return "adaptive";
	}
}
