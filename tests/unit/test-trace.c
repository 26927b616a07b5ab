/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trace events: one whole line each, and JSON that parses, whatever a path or a handler's name holds.
 */
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/engine_internal.h"

#include "../support/cmocka.h"

struct traced {
	struct engine *e;
	struct sluice_request *req;
	FILE *file;
};

static void traced_init(struct traced *t, bool chrome)
{
	t->e = calloc(1, sizeof(*t->e));
	t->req = calloc(1, sizeof(*t->req));
	t->file = tmpfile();
	assert_true(t->e && t->req && t->file);
	t->e->config.trace_fd = fileno(t->file);
	t->e->config.trace_chrome = chrome;
	t->req->notif.data.nr = SYS_openat;
	t->req->task.tid = 42;
	t->req->received_ns = 1234567;
	t->req->outcome.by = "test";
}

static void traced_path(struct traced *t, const void *path, size_t n)
{
	memcpy(t->req->buffers.path[0], path, n);
	t->req->decoded[0].done = true;
	t->req->decoded[0].result = (ssize_t)n;
}

/* All that was written; the caller frees it. */
static char *traced_text(struct traced *t)
{
	off_t size = lseek(fileno(t->file), 0, SEEK_END);
	char *text = calloc(1, (size_t)size + 1);

	assert_int_equal(pread(fileno(t->file), text, (size_t)size, 0), size);
	return text;
}

static void traced_fini(struct traced *t)
{
	fclose(t->file);
	free(t->e);
	free(t->req);
}

static json_t *traced_json(struct traced *t)
{
	char *text = traced_text(t);
	json_error_t error;
	json_t *all = json_loads(text, 0, &error);

	if (!all)
		fail_msg("%s at %d: %s", error.text, error.position, text);
	free(text);
	return all;
}

static void test_chrome_is_json_for_every_verdict(void **state)
{
	struct traced t;
	json_t *all;

	(void)state;
	traced_init(&t, true);
	traced_path(&t, "/etc/passwd", 11);
	trace_begin(t.e);
	for (uint32_t kind = 0; kind <= SLUICE_DEFER + 1; kind++) {
		t.req->outcome.kind = kind;
		t.req->outcome.result = -(int64_t)kind;
		trace_request(t.e, t.req);
	}
	trace_end(t.e);
	all = traced_json(&t);
	assert_int_equal(json_array_size(all), SLUICE_DEFER + 3);
	for (size_t i = 0; i <= SLUICE_DEFER; i++) {
		json_t *args = json_object_get(json_array_get(all, i), "args");

		assert_string_equal(json_string_value(json_object_get(args, "path")),
				    "/etc/passwd");
		assert_int_equal(json_integer_value(json_object_get(args, "result")), -(int)i);
	}
	json_decref(all);
	traced_fini(&t);
}

static void test_chrome_with_every_byte_in_path_and_name(void **state)
{
	char name[256], bytes[255];
	struct traced t;
	json_t *all;

	(void)state;
	for (int i = 0; i < 255; i++)
		bytes[i] = name[i] = (char)(i + 1);
	name[255] = '\0';
	traced_init(&t, true);
	traced_path(&t, bytes, sizeof(bytes));
	t.req->outcome.by = name;
	trace_begin(t.e);
	trace_request(t.e, t.req);
	trace_end(t.e);
	all = traced_json(&t);
	assert_int_equal(json_array_size(all), 2);
	json_decref(all);
	traced_fini(&t);
}

/* The longest path and a name of any length: cut, never half an event. */
static void test_chrome_cuts_what_is_long(void **state)
{
	static char name[8192], path[PATH_MAX - 1];
	struct traced t;
	json_t *all;

	(void)state;
	memset(name, '"', sizeof(name) - 1);
	memset(path, '\n', sizeof(path));
	traced_init(&t, true);
	traced_path(&t, path, sizeof(path));
	t.req->outcome.by = name;
	trace_begin(t.e);
	trace_request(t.e, t.req);
	trace_request(t.e, t.req);
	trace_end(t.e);
	all = traced_json(&t);
	assert_int_equal(json_array_size(all), 3);
	json_decref(all);
	traced_fini(&t);
}

static void test_text_is_one_line_an_event(void **state)
{
	static char name[8192];
	struct traced t;
	char *text, *at;
	int lines = 0;

	(void)state;
	memset(name, '\n', sizeof(name) - 1);
	traced_init(&t, false);
	traced_path(&t, "a\nb\x1b[2J", 7);
	trace_begin(t.e);
	trace_request(t.e, t.req);
	t.req->outcome.by = name;
	trace_request(t.e, t.req);
	trace_end(t.e);
	text = traced_text(&t);
	for (at = text; *at; at++) {
		lines += *at == '\n';
		assert_true(*at == '\n' || (*at >= 0x20 && *at < 0x7f));
	}
	assert_int_equal(lines, 2);
	assert_int_equal(at[-1], '\n');
	assert_non_null(strstr(text, "\"a\\x0ab\\x1b[2J\""));
	free(text);
	traced_fini(&t);
}

static void test_no_trace_no_bytes(void **state)
{
	struct engine *e = calloc(1, sizeof(*e));

	(void)state;
	e->config.trace_fd = -1;
	trace_begin(e);
	trace_end(e);
	free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chrome_is_json_for_every_verdict),
		cmocka_unit_test(test_chrome_with_every_byte_in_path_and_name),
		cmocka_unit_test(test_chrome_cuts_what_is_long),
		cmocka_unit_test(test_text_is_one_line_an_event),
		cmocka_unit_test(test_no_trace_no_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
