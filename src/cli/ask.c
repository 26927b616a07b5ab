/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A question is one write to a supervisor's pipe and one pipe of ours for the answer. Those to several supervisors are on their way together, so one that does not answer
 * costs the same time as ten. SIGPIPE is ignored meanwhile: that a supervisor has ended is told by the error of the write.
 */
#define _GNU_SOURCE
#include "cli/ask.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/clock.h"
#include "util/fail.h"
#include "util/grow.h"
#include "util/parse.h"

#define MS UINT64_C(1000000)
#define AT_A_TIME 64u	   /* questions, each with three descriptors */
#define PID_MAX (1u << 22) /* PID_MAX_LIMIT of the kernel */
#define FIRST_ROOM 8192u
/* States of processes. */
#define ENDED 'X'
#define STOPPED 'T'

/* ---- finding ---- */

/* The number of the pipe that the name of a mark has; -1: @name of @dir is none. */
static int number_of_mark(int dir, const char *name)
{
	static const char before[] = "/memfd:" RUNNING_MARK, behind[] = " (deleted)";
	char link[sizeof(before) + sizeof(behind) + 12];
	ssize_t n = readlinkat(dir, name, link, sizeof(link) - 1);
	unsigned number;
	char *end;

	if (n <= 0)
		return -1;
	link[n] = '\0';
	end = strstr(link, behind);
	if (strncmp(link, before, sizeof(before) - 1) != 0 || !end)
		return -1;
	*end = '\0';
	return parse_uint(link + sizeof(before) - 1, INT32_MAX, &number) == 0 ? (int)number : -1;
}

static bool has_name(pid_t pid)
{
	char path[40], name[sizeof(RUNNING_COMM) + 1] = "";
	_cleanup_close_ int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, name, sizeof(name) - 1) > 0 && !strcmp(name, RUNNING_COMM "\n");
}

/* The letter behind the name in /proc/PID/stat. */
static char state_of(pid_t pid)
{
	char path[40], text[512];
	_cleanup_close_ int fd = -1;
	const char *end;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	end = strrchr(text, ')');
	return end && end[1] == ' ' && end[2] ? end[2] : '?';
}

/* True: process @pid, of whose descriptors @d are, has a mark, and the pipe that it names is open in *ret_wake. */
static bool find_mark(DIR *d, int *ret_wake)
{
	struct dirent *e;

	while ((e = readdir(d))) {
		int number = e->d_name[0] == '.' ? -1 : number_of_mark(dirfd(d), e->d_name);

		if (number < 0)
			continue;
		*ret_wake = running_pipe(dirfd(d), number, 0, O_WRONLY);
		return *ret_wake >= 0;
	}
	return false;
}

static bool open_running(const char *name, struct running *ret)
{
	char path[40];
	struct stat st;
	unsigned pid;
	bool found;
	DIR *d;

	if (parse_uint(name, PID_MAX, &pid) < 0 || !has_name((pid_t)pid))
		return false;
	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	d = opendir(path);
	if (!d)
		return false;
	*ret = (struct running){ .pid = (pid_t)pid, .wake = -1 };
	/* another user's supervisor could not look into us */
	found = fstat(dirfd(d), &st) == 0 && st.st_uid == geteuid() && find_mark(d, &ret->wake);
	closedir(d);
	return found;
}

void running_fini(struct running *r)
{
	if (r->wake >= 0)
		close(r->wake);
	r->wake = -1;
	json_decref(r->summary);
	r->summary = NULL;
}

void running_list_fini(struct running_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		running_fini(&l->items[i]);
	free(l->items);
	*l = (struct running_list){ 0 };
}

/* ---- questions ---- */

struct question {
	const struct running *to;
	int ends[2]; /* of the pipe for the answer */
	char *text;  /* heap: the header, and what is behind it */
	size_t room, got;
	bool over;
	int error;
};

/* Our number as /proc has it, which those that we ask go by. */
static pid_t own_pid(void)
{
	char text[16];
	ssize_t n = readlink("/proc/self", text, sizeof(text) - 1);
	unsigned pid = 0;

	text[n > 0 ? n : 0] = '\0';
	return parse_uint(text, PID_MAX, &pid) == 0 ? (pid_t)pid : getpid();
}

static void question_over(struct question *q, int error)
{
	q->over = true;
	q->error = error;
}

static void question_begin(struct question *q, const struct running *to, enum running_wish wish,
			   int signal)
{
	struct running_request r = {
		.magic = RUNNING_MAGIC, .wish = wish, .signal = signal, .pid = own_pid()
	};
	struct stat st;

	*q = (struct question){ .to = to, .ends = { -1, -1 } };
	if (pipe2(q->ends, O_CLOEXEC | O_NONBLOCK) < 0 || fstat(q->ends[1], &st) < 0) {
		question_over(q, -errno);
		return;
	}
	r.fd = q->ends[1];
	r.pipe = st.st_ino;
	q->room = FIRST_ROOM;
	q->text = malloc(q->room);
	if (!q->text)
		question_over(q, -ENOMEM);
	else if (state_of(to->pid) == STOPPED)
		question_over(q, -ETIMEDOUT);
	else if (write(to->wake, &r, sizeof(r)) != sizeof(r))
		question_over(q, errno == EPIPE ? -ESRCH : -ETIMEDOUT); /* full: it reads nothing */
}

/* How much there must be: what the header says, once it is there. 0: it is none of ours. */
static size_t question_wants(const struct question *q)
{
	struct running_answer header;

	if (q->got < sizeof(header))
		return sizeof(header);
	memcpy(&header, q->text, sizeof(header));
	if (header.magic != RUNNING_MAGIC || header.bytes > RUNNING_ANSWER_MAX)
		return 0;
	return sizeof(header) + header.bytes;
}

static int question_grow(struct question *q, size_t wants)
{
	char *grown;

	if (wants <= q->room)
		return 0;
	grown = realloc(q->text, wants);
	if (!grown)
		return -ENOMEM;
	q->text = grown;
	q->room = wants;
	return 0;
}

/* Take what is there. */
static void question_read(struct question *q)
{
	while (!q->over) {
		size_t wants = question_wants(q);
		ssize_t n;
		int e = wants ? question_grow(q, wants) : -EPROTO;

		if (e < 0 || q->got == wants) {
			question_over(q, e);
			return;
		}
		n = read(q->ends[0], q->text + q->got, wants - q->got);
		if (n > 0)
			q->got += (size_t)n;
		else if (n == 0 || errno != EINTR)
			return;
	}
}

static void question_fini(struct question *q)
{
	for (int i = 0; i < 2; i++) {
		if (q->ends[i] >= 0)
			close(q->ends[i]);
	}
	free(q->text);
}

/* What was answered, or NULL and q->error. */
static json_t *question_answer(struct question *q)
{
	const size_t header = sizeof(struct running_answer);
	json_t *value = NULL;

	if (q->error == 0) {
		value = json_loadb(q->text + header, q->got - header, 0, NULL);
		if (!json_is_object(value)) {
			json_decref(value);
			value = NULL;
			q->error = -EPROTO;
		}
	}
	return value;
}

/* Until all are answered, or not to be answered. */
static void questions_wait(struct question *q, size_t n)
{
	const uint64_t end = clock_now_ns() + ASK_PATIENCE_MS * MS;

	for (;;) {
		struct pollfd fds[2 * AT_A_TIME];
		uint64_t now = clock_now_ns();
		size_t open = 0;

		for (size_t i = 0; i < n; i++) {
			bool over = q[i].over;

			fds[2 * i] = (struct pollfd){ over ? -1 : q[i].ends[0], POLLIN, 0 };
			fds[2 * i + 1] = (struct pollfd){ over ? -1 : q[i].to->wake, 0, 0 };
			open += !over;
		}
		if (!open)
			return;
		if (now < end && poll(fds, 2 * n, (int)((end - now) / MS) + 1) < 0)
			continue;
		for (size_t i = 0; i < n; i++) {
			question_read(&q[i]);
			if (!q[i].over && now >= end)
				question_over(&q[i], -ETIMEDOUT);
			else if (!q[i].over && fds[2 * i + 1].revents)
				question_over(&q[i], -ESRCH);
		}
	}
}

/* @fn of each answer, or NULL and why there is none. */
static void ask_some(struct running *list, size_t n, enum running_wish wish, int signal,
		     void (*fn)(struct running *r, json_t *answer, int error, void *arg), void *arg)
{
	struct sigaction old, ignore = { .sa_handler = SIG_IGN };
	struct question q[AT_A_TIME];

	sigaction(SIGPIPE, &ignore, &old);
	for (size_t i = 0; i < n; i++)
		question_begin(&q[i], &list[i], wish, signal);
	questions_wait(q, n);
	sigaction(SIGPIPE, &old, NULL);
	for (size_t i = 0; i < n; i++) {
		json_t *answer = question_answer(&q[i]);

		fn(&list[i], answer, q[i].error, arg);
		question_fini(&q[i]);
	}
}

struct asked {
	json_t *answer;
	int error;
};

static void keep_answer(struct running *r, json_t *answer, int error, void *asked)
{
	(void)r;
	*(struct asked *)asked = (struct asked){ answer, error };
}

static int silence(const struct running *r, int error, struct sluice_error *err)
{
	if (error == -ESRCH)
		return fail(err, error, "process %d has ended", (int)r->pid);
	if (error != -ETIMEDOUT)
		return fail_errno(err, error, "process %d", (int)r->pid);
	fail(err, error, "process %d does not answer", (int)r->pid);
	if (state_of(r->pid) == STOPPED)
		return fail_hint(err, error, "it is stopped: kill -CONT %d", (int)r->pid);
	return error;
}

int ask(const struct running *r, enum running_wish wish, int signal, json_t **ret,
	struct sluice_error *err)
{
	struct running copy = *r;
	struct asked asked;
	const char *why;

	ask_some(&copy, 1, wish, signal, keep_answer, &asked);
	if (!asked.answer)
		return silence(r, asked.error, err);
	why = json_string_value(json_object_get(asked.answer, "error"));
	if (why) {
		fail(err, -EPROTO, "process %d: %s", (int)r->pid, why);
		json_decref(asked.answer);
		return -EPROTO;
	}
	*ret = asked.answer;
	return 0;
}

int ask_failed(const char *command, const char *name, int error, const struct sluice_error *inner,
	       struct sluice_error *err)
{
	fail(err, error, "%s: %s: %s", command, name, inner->text);
	return inner->hint[0] ? fail_hint(err, error, "%s", inner->hint) : error;
}

/* ---- everybody ---- */

static void take_summary(struct running *r, json_t *answer, int error, void *arg)
{
	(void)arg;
	r->summary = answer;
	r->state = answer ? '\0' : state_of(r->pid);
	if (error == -ESRCH)
		r->state = ENDED;
}

static int compare_pids(const void *a, const void *b)
{
	const struct running *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

/* Whether to keep one that was asked. What is not wanted of it any more is closed: there may be more of them than descriptors. */
typedef bool (*keep_fn)(struct running *r, const void *arg);

static void ask_and_keep(struct running_list *l, size_t first, keep_fn keep, const void *arg)
{
	size_t kept = first;

	ask_some(l->items + first, l->n - first, RUNNING_SUMMARY, 0, take_summary, NULL);
	for (size_t i = first; i < l->n; i++) {
		if (l->items[i].state != ENDED && keep(&l->items[i], arg))
			l->items[kept++] = l->items[i];
		else
			running_fini(&l->items[i]);
	}
	l->n = kept;
}

/* Those of @d, /proc, AT_A_TIME together. False: memory is short. */
static bool ask_all_of(DIR *d, keep_fn keep, const void *arg, struct running_list *l)
{
	struct dirent *e;
	size_t first = 0;

	do {
		struct running *grown = grow_list(l->items, l->n, &l->room, sizeof(*grown));

		if (!grown)
			return false;
		l->items = grown;
		e = readdir(d);
		if (e && open_running(e->d_name, &l->items[l->n]))
			l->n++;
		if (!e || l->n - first == AT_A_TIME) {
			ask_and_keep(l, first, keep, arg);
			first = l->n;
		}
	} while (e);
	return true;
}

static int ask_matching(keep_fn keep, const void *arg, struct running_list *ret,
			struct sluice_error *err)
{
	struct running_list l = { 0 };
	DIR *d = opendir("/proc");
	bool whole;

	if (!d)
		return fail_errno(err, -errno, "/proc");
	whole = ask_all_of(d, keep, arg, &l);
	closedir(d);
	if (!whole) {
		running_list_fini(&l);
		return fail_errno(err, -ENOMEM, "list of sandboxes");
	}
	if (l.n)
		qsort(l.items, l.n, sizeof(*l.items), compare_pids);
	*ret = l;
	return 0;
}

static bool keep_all(struct running *r, const void *arg)
{
	(void)arg;
	close(r->wake);
	r->wake = -1;
	return true;
}

int ask_everybody(struct running_list *ret, struct sluice_error *err)
{
	return ask_matching(keep_all, NULL, ret, err);
}

/* Those that do not answer are kept too: they may be the one that is meant. */
static bool is_named(struct running *r, const void *name)
{
	const char *own = json_string_value(json_object_get(r->summary, "name"));
	unsigned pid;

	if (!r->summary || (own && !strcmp(own, name)))
		return true;
	return parse_uint(name, PID_MAX, &pid) == 0 && (pid_t)pid == r->pid;
}

/* Which process numbers @l has, of those that did (not) answer. */
static void numbers_of(const struct running_list *l, bool answered, char *buf, size_t size)
{
	size_t at = 0;

	*buf = '\0';
	for (size_t i = 0; i < l->n && at + 1 < size; i++) {
		if ((l->items[i].summary != NULL) == answered)
			at += (size_t)snprintf(buf + at, size - at, at ? ", %d" : "%d",
					       (int)l->items[i].pid);
	}
}

static int one_of(const struct running_list *l, const char *command, const char *name, size_t n,
		  struct sluice_error *err)
{
	char numbers[160];

	if (n > 1) {
		numbers_of(l, true, numbers, sizeof(numbers));
		fail(err, -ENOTUNIQ, "%s: %s: %zu sandboxes: processes %s", command, name, n,
		     numbers);
		return fail_hint(err, -ENOTUNIQ, "write the number of the process instead of NAME");
	}
	if (n == 1)
		return 0;
	fail(err, -ENOENT, "%s: %s: no such sandbox runs", command, name);
	if (!l->n)
		return fail_hint(err, -ENOENT, "`sluice ps` lists those of this user");
	numbers_of(l, false, numbers, sizeof(numbers));
	return fail_hint(err, -ENOENT, "process %s may be its supervisor, but does not answer",
			 numbers);
}

int ask_for(const char *command, const char *name, struct running *ret, struct sluice_error *err)
{
	struct running_list l = { 0 };
	struct running *it = NULL;
	size_t n = 0;
	int r = ask_matching(is_named, name, &l, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < l.n; i++) {
		if (!l.items[i].summary)
			continue;
		n++;
		it = &l.items[i];
	}
	r = one_of(&l, command, name, n, err);
	if (r == 0 && it) {
		*ret = *it;
		*it = l.items[--l.n];
	}
	running_list_fini(&l);
	return r;
}

int ask_name(const char *command, int argc, char *const *argv, struct sluice_error *err)
{
	if (argc == 1)
		return 0;
	if (argc > 1)
		fail(err, -EINVAL, "%s: %s: one NAME at a time", command, argv[1]);
	else
		fail(err, -EINVAL, "%s: which sandbox?", command);
	return fail_hint(err, -EINVAL, "`sluice ps` lists them");
}
