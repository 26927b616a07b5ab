/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/determinism/streams.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <sluice/handler.h>

#include "task/usage.h"
#include "util/stream.h"

/* Processes whose stream is kept; of more than that one may begin its stream anew. */
#define SLOTS 4096u
/* Command lines that are told apart by how many processes had them. */
#define LINES 4096u
#define LINE_BYTES 4096u

struct slot {
	pid_t pid; /* 0: free */
	uint64_t start;
	struct stream stream;
};

struct line {
	uint64_t key;
	uint64_t n;
};

struct streams {
	uint64_t seed;
	pthread_mutex_t lock;
	struct slot slots[SLOTS]; /* guarded by lock */
	struct line lines[LINES]; /* guarded by lock */
};

struct streams *streams_new(uint64_t seed)
{
	struct streams *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->seed = seed;
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

struct streams *streams_free(struct streams *s)
{
	if (!s)
		return NULL;
	pthread_mutex_destroy(&s->lock);
	free(s);
	return NULL;
}

/* How many processes had the command line of @key before. */
static uint64_t count_line(struct streams *s, uint64_t key)
{
	struct line *l = &s->lines[key % LINES];

	if (l->key != key)
		*l = (struct line){ key, 0 };
	return l->n++;
}

static int begin(struct streams *s, struct sluice_request *req, struct slot *slot, pid_t pid,
		 uint64_t start)
{
	char line[LINE_BYTES];
	ssize_t n = sluice_request_cmdline(req, line, sizeof(line));
	uint64_t key, before;

	if (n < 0)
		return (int)n;
	key = stream_key(s->seed, line, (size_t)n);
	before = count_line(s, key);
	*slot = (struct slot){ pid, start, { stream_key(key, &before, sizeof(before)) } };
	return 0;
}

int streams_take(struct streams *s, struct sluice_request *req, void *to, size_t n)
{
	pid_t pid = sluice_request_tgid(req);
	struct slot *slot = &s->slots[(uint32_t)pid % SLOTS];
	uint64_t start;
	int r;

	if (pid < 0)
		return pid;
	r = usage_start(pid, &start);
	if (r < 0)
		return -ESRCH;
	pthread_mutex_lock(&s->lock);
	if (slot->pid != pid || slot->start != start)
		r = begin(s, req, slot, pid, start);
	if (r == 0)
		stream_bytes(&slot->stream, to, n);
	pthread_mutex_unlock(&s->lock);
	return r;
}
