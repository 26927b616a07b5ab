/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A traced call with any path, name and figures: JSON that parses, or one line of text. See fuzz.h.
 */
#include <jansson.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/engine_internal.h"
#include "fuzz.h"

static char text[16384];

static size_t trace_into_text(struct engine *e, const struct sluice_request *req)
{
	ssize_t n;

	CHECK(ftruncate(e->config.trace_fd, 0) == 0 && lseek(e->config.trace_fd, 0, SEEK_SET) == 0);
	e->trace_begun = false;
	trace_begin(e);
	trace_request(e, req);
	trace_end(e);
	n = pread(e->config.trace_fd, text, sizeof(text) - 1, 0);
	CHECK(n > 0);
	text[n] = '\0';
	return (size_t)n;
}

static void check_chrome(void)
{
	json_t *all = json_loads(text, JSON_ALLOW_NUL, NULL);

	CHECK(all && json_array_size(all) == 2);
	CHECK(json_string_value(
		json_object_get(json_object_get(json_array_get(all, 0), "args"), "path")));
	json_decref(all);
}

static void check_line(size_t n)
{
	CHECK(text[n - 1] == '\n');
	for (size_t i = 0; i + 1 < n; i++)
		CHECK(text[i] >= 0x20 && text[i] < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct engine *e;
	static struct sluice_request *req;
	char by[300];
	size_t n = size > 16 ? size - 16 : 0, n_by;

	if (!e) {
		e = calloc(1, sizeof(*e));
		req = calloc(1, sizeof(*req));
		CHECK(e && req);
		e->config.trace_fd = memfd_create("trace", MFD_CLOEXEC);
	}
	if (n >= PATH_MAX)
		return 0;
	if (size >= 16) {
		memcpy(&req->outcome.result, data, 8);
		memcpy(&req->outcome.elapsed_ns, data + 8, 8);
		memcpy(req->buffers.path[0], data + 16, n);
	}
	n_by = n < sizeof(by) ? n : sizeof(by) - 1;
	memcpy(by, req->buffers.path[0], n_by);
	by[n_by] = '\0';
	req->outcome.by = by;
	req->outcome.kind = (uint32_t)size % 10;
	req->decoded[0].done = true;
	req->decoded[0].result = (ssize_t)n;
	e->config.trace_chrome = true;
	trace_into_text(e, req);
	check_chrome();
	e->config.trace_chrome = false;
	check_line(trace_into_text(e, req));
	return 0;
}
