/* SPDX-License-Identifier: Apache-2.0 */
/*
 * many [N]: N sandboxes (64) at a time in one process, held by one poll loop.
 *
 * Each runs a small shell script with its output in a pipe. The loop polls the pipes, and for each sandbox the descriptor that becomes readable at the end of its tree.
 * One policy serves all: it is compiled for the first and reused by the others. One handler serves all too, on the engine threads of
 * every sandbox, so what it counts is atomic. No thread, signal handler or wait(2) of this program's own.
 *
 *	cc many.c $(pkg-config --cflags --libs sluice) -o many
 */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sluice/sluice.h>

#define SANDBOXES 64
#define SANDBOXES_MAX 1000

struct job {
	struct sluice_sandbox *sandbox; /* NULL once it has ended */
	int pipe;			/* of its stdout; -1 at its end */
	char output[256];
	size_t length;
	struct sluice_result result;
};

static struct sluice_verdict count_call(struct sluice_request *req, void *counter)
{
	(void)req;
	atomic_fetch_add((atomic_ulong *)counter, 1);
	return sluice_continue();
}

static int job_start(struct job *job, unsigned index, struct sluice_policy *policy,
		     struct sluice_spawn_options *options, struct sluice_error *err)
{
	char script[128];
	const char *const argv[] = { "sh", "-c", script, NULL };
	int r;

	snprintf(script, sizeof(script), "echo job %u; uname -s; exit %u", index, index % 8);
	r = sluice_spawn(policy, argv, options, &job->sandbox, err);
	job->pipe = r == 0 ? sluice_sandbox_pipe(job->sandbox, 1) : -1;
	return r;
}

/* Take what is in the pipe; at its end, close it. */
static void job_read(struct job *job)
{
	char rest[256];
	size_t room = sizeof(job->output) - 1 - job->length;
	ssize_t n = read(job->pipe, room ? job->output + job->length : rest,
			 room ? room : sizeof(rest));

	if (n > 0 && room)
		job->length += (size_t)n;
	if (n > 0 || (n < 0 && errno == EINTR))
		return;
	close(job->pipe);
	job->pipe = -1;
}

static void job_end(struct job *job)
{
	if (sluice_sandbox_wait(job->sandbox, 0, &job->result) == 0)
		job->sandbox = sluice_sandbox_free(job->sandbox);
}

/* Until every tree has ended and every pipe is empty. A negative descriptor is one that poll(2) passes over. */
static int jobs_run(struct job *jobs, unsigned n)
{
	struct pollfd *fds = calloc(n, 2 * sizeof(*fds));
	unsigned left = n;

	if (!fds)
		return -ENOMEM;
	while (left) {
		left = 0;
		for (unsigned i = 0; i < n; i++) {
			const struct job *job = &jobs[i];
			int end = job->sandbox ? sluice_sandbox_fd(job->sandbox) : -1;

			fds[2 * i] = (struct pollfd){ .fd = job->pipe, .events = POLLIN };
			fds[2 * i + 1] = (struct pollfd){ .fd = end, .events = POLLIN };
			left += job->pipe >= 0 || end >= 0;
		}
		if (left && poll(fds, 2 * n, -1) < 0)
			continue;
		for (unsigned i = 0; left && i < n; i++) {
			if (fds[2 * i].revents)
				job_read(&jobs[i]);
			if (fds[2 * i + 1].revents)
				job_end(&jobs[i]);
		}
	}
	free(fds);
	return 0;
}

/* How many gave the output and the exit status that they should. */
static unsigned jobs_good(const struct job *jobs, unsigned n)
{
	unsigned good = 0;

	for (unsigned i = 0; i < n; i++) {
		char expected[64];

		snprintf(expected, sizeof(expected), "job %u\nLinux\n", i);
		if (jobs[i].result.end == SLUICE_ENDED_EXIT &&
		    jobs[i].result.exit_code == (int)(i % 8) && !strcmp(jobs[i].output, expected))
			good++;
		else
			printf("job %u: end %u, status %d, output: %s\n", i, jobs[i].result.end,
			       jobs[i].result.exit_code, jobs[i].output);
	}
	return good;
}

int main(int argc, char *argv[])
{
	char *rest = "";
	unsigned long n = argc > 1 ? strtoul(argv[1], &rest, 10) : SANDBOXES;
	unsigned good, started = 0;
	atomic_ulong calls = 0;
	struct sluice_handler handler = {
		.name = "count",
		.nr = sluice_syscall_number("uname"),
		.fn = count_call,
		.userdata = &calls,
	};
	struct sluice_spawn_options options = {
		.size = sizeof(options),
		.extras = &handler,
		.n_extras = 1,
		.stdio = { SLUICE_STDIO_NULL, SLUICE_STDIO_PIPE, SLUICE_STDIO_INHERIT },
	};
	struct sluice_policy *policy;
	struct sluice_error err = { 0 };
	struct sluice_totals totals;
	struct job *jobs;
	int r;

	if (!n || n > SANDBOXES_MAX || *rest) {
		fprintf(stderr, "usage: many [1-%d]\n", SANDBOXES_MAX);
		return 125;
	}
	options.supervisor = sluice_supervisor_new(SANDBOXES_MAX);
	policy = sluice_policy_new();
	jobs = calloc(n, sizeof(*jobs));
	if (!jobs || !policy || !options.supervisor) {
		fprintf(stderr, "many: out of memory\n");
		return 125;
	}
	r = sluice_policy_allow_system(policy, &err);
	while (r == 0 && started < n) {
		r = job_start(&jobs[started], started, policy, &options, &err);
		started += r == 0;
	}
	if (r < 0)
		fprintf(stderr, "many: sandbox %u: %s\n%s\n", started, err.text, err.hint);
	sluice_supervisor_totals(options.supervisor, &totals);
	printf("%u sandboxes started, %llu of them running\n", started,
	       (unsigned long long)totals.running);
	if (jobs_run(jobs, started) < 0)
		return 125;
	good = jobs_good(jobs, started);
	sluice_supervisor_totals(options.supervisor, &totals);
	printf("%u of %lu good, %llu running, %llu notifications, %lu calls of uname\n", good, n,
	       (unsigned long long)totals.running, (unsigned long long)totals.notifications,
	       atomic_load(&calls));
	sluice_supervisor_unref(options.supervisor);
	sluice_policy_unref(policy);
	free(jobs);
	return good == n ? 0 : 1;
}
