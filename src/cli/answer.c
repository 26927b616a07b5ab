/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/answer.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/running.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/jsontext.h"

#define MS UINT64_C(1000000)
#define PATIENCE_NS (2000 * MS)
#define REQUESTS 16 /* that are read at a time */
#define COMMAND_BYTES (32u << 10)
#define PORTS_MAX 4096u
#define PROCESSES_MAX 4096u

/* ---- what is told ---- */

/* The words of the command, up to a bound. */
static json_t *command_json(const char *const *argv)
{
	json_t *words = json_array();
	size_t bytes = 0;

	for (; words && *argv; argv++) {
		bytes += strlen(*argv) + 1;
		if (bytes > COMMAND_BYTES) {
			json_array_append_new(words, json_string("..."));
			break;
		}
		json_array_append_new(words, jsontext_string(*argv));
	}
	return words;
}

static uint64_t running_ms(const struct answers *a)
{
	return (clock_now_ns() - a->started_ns) / MS;
}

static json_t *summary_json(const struct answers *a)
{
	return json_pack("{s:s, s:i, s:i, s:f, s:I, s:o}", "name", sluice_sandbox_name(a->sandbox),
			 "pid", (int)getpid(), "command_pid", (int)sluice_sandbox_pid(a->sandbox),
			 "since", (double)a->since_ms / 1e3, "running_ms",
			 (json_int_t)running_ms(a), "command", command_json(a->argv));
}

static json_t *ports_json(struct sluice_sandbox *s)
{
	_cleanup_free_ struct sluice_port *ports = calloc(PORTS_MAX, sizeof(*ports));
	size_t n = ports ? sluice_sandbox_ports(s, ports, PORTS_MAX) : 0;
	json_t *all = ports ? json_array() : NULL;

	for (size_t i = 0; i < n && i < PORTS_MAX; i++)
		json_array_append_new(
			all, json_pack("{s:s, s:i, s:i}", "protocol",
				       ports[i].protocol == IPPROTO_UDP ? "udp" : "tcp", "virtual",
				       ports[i].virtual_port, "real", ports[i].real_port));
	return all;
}

static json_t *process_json(const struct sluice_process *p)
{
	const char state[2] = { p->state };

	return json_pack("{s:i, s:i, s:o, s:s, s:i, s:I, s:I}", "pid", (int)p->pid, "parent",
			 (int)p->parent, "name", jsontext_string(p->name), "state", state,
			 "threads", (int)p->threads, "cpu_us", (json_int_t)p->cpu_us,
			 "resident_bytes", (json_int_t)p->resident_bytes);
}

/* All of them are counted; a bound on those that are told. Null where this kernel does not list them. */
static json_t *processes_json(struct sluice_sandbox *s, int *ret_n)
{
	_cleanup_free_ struct sluice_process *list = calloc(PROCESSES_MAX, sizeof(*list));
	int n = list ? sluice_sandbox_processes(s, list, PROCESSES_MAX) : -ENOMEM;
	json_t *all;

	*ret_n = n > 0 ? n : 0;
	if (n < 0)
		return json_null();
	all = json_array();
	for (int i = 0; i < n && i < (int)PROCESSES_MAX; i++)
		json_array_append_new(all, process_json(&list[i]));
	return all;
}

/* The value of @text, which is freed. */
static json_t *parsed(char *text)
{
	json_t *value = text ? json_loads(text, 0, NULL) : NULL;

	free(text);
	return value;
}

static json_t *time_left_json(const struct answers *a, const json_t *policy)
{
	const json_t *limit = json_object_get(json_object_get(policy, "limits"), "timeout_ms");
	json_int_t left = json_integer_value(limit) - (json_int_t)running_ms(a);

	if (!json_is_integer(limit))
		return json_null();
	return json_integer(left > 0 ? left : 0);
}

/* Ours, from which relative paths of the policy count. */
static json_t *directory_json(void)
{
	_cleanup_free_ char *here = getcwd(NULL, 0);

	return jsontext_optional(here);
}

static json_t *all_json(struct answers *a)
{
	json_t *all = summary_json(a), *more, *policy = parsed(sluice_policy_json(a->policy));
	json_t *processes;
	int n;

	processes = processes_json(a->sandbox, &n);
	more = json_pack("{s:o, s:o, s:o, s:o, s:o, s:i, s:o}", "directory", directory_json(),
			 "time_left_ms", time_left_json(a, policy), "policy", policy, "ports",
			 ports_json(a->sandbox), "processes", processes, "n_processes", n, "stats",
			 parsed(sluice_sandbox_stats_json(a->sandbox)));
	if (!all || !more || json_object_update(all, more) < 0) {
		json_decref(all);
		all = NULL;
	}
	json_decref(more);
	return all;
}

static json_t *signal_json(struct answers *a, int signal)
{
	int e = signals_send(a->signals, a->sandbox, signal);

	return e < 0 ? json_pack("{s:s}", "error", strerror(-e)) : json_object();
}

/* ---- answers ---- */

/* True: it is done with, one way or the other. */
static bool answer_write(struct answer *w)
{
	while (w->at < w->bytes) {
		ssize_t n = write(w->fd, w->text + w->at, w->bytes - w->at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno != EAGAIN || clock_now_ns() > w->until_ns;
		w->at += (size_t)n;
	}
	return true;
}

static void answer_fini(struct answer *w)
{
	close(w->fd);
	free(w->text);
}

static void write_pending(struct answers *a)
{
	for (size_t i = 0; i < a->n_pending;) {
		if (!answer_write(&a->pending[i])) {
			i++;
			continue;
		}
		answer_fini(&a->pending[i]);
		a->pending[i] = a->pending[--a->n_pending];
	}
}

/* @text, heap, with what goes before it; NULL: no memory. */
static char *with_header(const char *text, size_t *ret_bytes)
{
	const size_t n = strlen(text);
	struct running_answer header = { RUNNING_MAGIC, (uint32_t)n };
	char *all = n <= RUNNING_ANSWER_MAX ? malloc(sizeof(header) + n + 1) : NULL;

	if (!all)
		return NULL;
	memcpy(all, &header, sizeof(header));
	memcpy(all + sizeof(header), text, n + 1);
	*ret_bytes = sizeof(header) + n;
	return all;
}

static char *answer_text(struct answers *a, const struct running_request *q, size_t *ret_bytes)
{
	_cleanup_free_ char *text = NULL;
	json_t *value = NULL;

	if (q->wish == RUNNING_SUMMARY)
		value = summary_json(a);
	else if (q->wish == RUNNING_ALL)
		value = all_json(a);
	else if (q->wish == RUNNING_SIGNAL)
		value = signal_json(a, q->signal);
	text = jsontext_dump(value);
	json_decref(value);
	return text ? with_header(text, ret_bytes) : NULL;
}

/*
 * Who asked must still be there, and one into whose descriptors we may look, before anything is done for it. For reading too: then there is a reader, and no
 * signal for a pipe that has none.
 */
static void answer_one(struct answers *a, const struct running_request *q)
{
	struct answer w = { .until_ns = clock_now_ns() + PATIENCE_NS };
	_cleanup_close_ int dir = -1;

	if (a->n_pending == ANSWERS_PENDING || q->pid <= 0 || !q->pipe)
		return;
	dir = running_descriptors(q->pid);
	w.fd = dir < 0 ? -1 : running_pipe(dir, q->fd, q->pipe, O_RDWR);
	if (w.fd < 0)
		return;
	w.text = answer_text(a, q, &w.bytes);
	if (!w.text)
		close(w.fd);
	else
		a->pending[a->n_pending++] = w;
}

size_t answers_watch(const struct answers *a, struct pollfd fds[ANSWERS_FDS])
{
	size_t n = 0;

	if (a->mark < 0)
		return 0;
	fds[n++] = (struct pollfd){ .fd = a->pipe[0], .events = POLLIN };
	for (size_t i = 0; i < a->n_pending; i++)
		fds[n++] = (struct pollfd){ .fd = a->pending[i].fd, .events = POLLOUT };
	return n;
}

void answers_serve(struct answers *a)
{
	struct running_request q[REQUESTS];
	ssize_t n;

	if (a->mark < 0)
		return;
	write_pending(a);
	n = read(a->pipe[0], q, sizeof(q));
	/* what does not look like one is dropped with all behind it, up to the next wake-up */
	for (ssize_t i = 0; (i + 1) * (ssize_t)sizeof(*q) <= n && q[i].magic == RUNNING_MAGIC; i++)
		answer_one(a, &q[i]);
	write_pending(a);
}

/* ---- being found ---- */

/* Not one of the standard three, if those are closed. Consumes @fd. */
static int above_standard(int fd)
{
	int high = fd;

	if (fd >= 0 && fd <= STDERR_FILENO) {
		high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		close(fd);
	}
	return high;
}

static int make_pipe(int ret[2])
{
	if (pipe2(ret, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	ret[0] = above_standard(ret[0]);
	ret[1] = above_standard(ret[1]);
	return ret[0] < 0 || ret[1] < 0 ? -EMFILE : 0;
}

int answers_begin(struct answers *a)
{
	char name[sizeof(RUNNING_MARK) + 12];
	struct timespec now;
	int e;

	a->mark = a->pipe[0] = a->pipe[1] = -1;
	a->n_pending = 0;
	clock_gettime(CLOCK_REALTIME, &now);
	a->since_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / MS;
	a->started_ns = clock_now_ns();
	e = make_pipe(a->pipe);
	if (e < 0)
		return e;
	/* the file may have another name */
	prctl(PR_SET_NAME, RUNNING_COMM);
	snprintf(name, sizeof(name), RUNNING_MARK "%d", a->pipe[0]);
	a->mark = above_standard(memfd_create(name, MFD_CLOEXEC));
	return a->mark < 0 ? -errno : 0;
}

void answers_end(struct answers *a)
{
	for (size_t i = 0; i < a->n_pending; i++)
		answer_fini(&a->pending[i]);
	a->n_pending = 0;
	if (a->mark >= 0)
		close(a->mark);
	a->mark = -1;
}
