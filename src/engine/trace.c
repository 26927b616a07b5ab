/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing every trapped call and its verdict to a descriptor: lines of text, or events that Chrome's trace viewer and Perfetto read.
 *
 * One write(2) an event, so that events of several threads never mix; only when asked for. A reader that is slow slows the run down.
 * Chrome's JSON array may lack its end, so a run that was killed leaves a readable file.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine_internal.h"
#include "task/family.h"
#include "util/quote.h"

#define EVENT_BYTES 1536
/* Quoted; longer ones are cut, so that an event always fits. */
#define PATH_BYTES 1024
#define NAME_BYTES 128

/* Microseconds by whole numbers: the embedder's locale may write a comma into a %f. */
#define US "%llu.%03llu"
#define US_OF(ns) (unsigned long long)(ns) / 1000, (unsigned long long)(ns) % 1000

static const char *verdict_word(uint32_t kind)
{
	static const char *const words[] = {
		[SLUICE_DENY] = "deny",
		[SLUICE_CONTINUE] = "continue",
		[SLUICE_AS_SEEN] = "as-seen",
		[SLUICE_ERRNO] = "errno",
		[SLUICE_VALUE] = "value",
		[SLUICE_INJECT_FD] = "inject-fd",
		[SLUICE_INJECT_BYTES] = "inject-bytes",
		[SLUICE_KILL] = "kill",
		[SLUICE_DEFER] = "defer",
	};

	return kind < sizeof(words) / sizeof(words[0]) ? words[kind] : "nonsense";
}

static void trace_write(struct engine *e, const char *text, size_t size)
{
	ssize_t n = write(e->config.trace_fd, text, size);

	(void)n; /* a trace that can't be written must not fail the run */
}

typedef size_t (*quote_fn)(const void *bytes, size_t n, char *buf, size_t size);

/* The path if a handler decoded it; tracing itself never looks at the task. */
static void path_text(const struct sluice_request *req, quote_fn quote, char *buf, size_t size)
{
	buf[0] = '\0';
	if (req->decoded[0].done && req->decoded[0].result >= 0)
		quote(req->buffers.path[0], (size_t)req->decoded[0].result, buf, size);
}

void trace_begin(struct engine *e)
{
	if (e->config.trace_fd < 0 || !e->config.trace_chrome)
		return;
	e->trace_begun = true;
	trace_write(e, "[\n", 2);
}

void trace_end(struct engine *e)
{
	static const char end[] =
		"{\"name\":\"end\",\"ph\":\"i\",\"s\":\"g\",\"ts\":0,\"pid\":0,\"tid\":0}\n]\n";

	if (e->trace_begun)
		trace_write(e, end, sizeof(end) - 1);
}

const char *trace_call_name(const struct engine *e, int nr, char buf[CALL_NAME_BYTES])
{
	const char *name = e->config.call_name ? e->config.call_name(nr) : NULL;

	if (name)
		return name;
	snprintf(buf, CALL_NAME_BYTES, "syscall-%d", nr);
	return buf;
}

void trace_request(struct engine *e, const struct sluice_request *req)
{
	const struct sluice_outcome *o = &req->outcome;
	quote_fn quote = e->config.trace_chrome ? quote_json : quote_bytes;
	char text[EVENT_BYTES], path[PATH_BYTES], by[NAME_BYTES], number[CALL_NAME_BYTES];
	const char *call = trace_call_name(e, req->notif.data.nr, number);
	int n;

	path_text(req, quote, path, sizeof(path));
	quote(o->by, strlen(o->by), by, sizeof(by));
	if (e->config.trace_chrome)
		n = snprintf(
			text, sizeof(text),
			"{\"name\":\"%s\",\"ph\":\"X\",\"ts\":" US ",\"dur\":" US
			",\"pid\":1,\"tid\":%d,"
			"\"args\":{\"verdict\":\"%s\",\"result\":%lld,\"by\":\"%s\",\"path\":\"%s\"}},\n",
			call, US_OF(req->received_ns), US_OF(o->elapsed_ns), (int)req->task.tid,
			verdict_word(o->kind), (long long)o->result, by, path);
	else
		n = snprintf(text, sizeof(text), "%d %s %s%s%s = %lld (%s by %s, " US " us)\n",
			     (int)req->task.tid, call, path[0] ? "\"" : "", path,
			     path[0] ? "\"" : "", (long long)o->result, verdict_word(o->kind), by,
			     US_OF(o->elapsed_ns));
	if (n > 0)
		trace_write(e, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}
