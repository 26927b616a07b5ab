/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of flags: each spelling, and that words of nonsense are either refused with a text that names them or handed on unchanged.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"

#include "../support/cmocka.h"

struct seen {
	char log[4096]; /* "name=value;" of each call */
	bool refuse;
};

static int record(struct seen *s, const char *name, const char *value, struct sluice_error *err)
{
	size_t n = strlen(s->log);

	if (s->refuse) {
		snprintf(err->text, sizeof(err->text), "no");
		snprintf(err->hint, sizeof(err->hint), "never");
		return -EDOM;
	}
	snprintf(s->log + n, sizeof(s->log) - n, "%s=%s;", name, value ? value : "(none)");
	return 0;
}

static int set_flag(void *target, const char *value, struct sluice_error *err)
{
	return record(target, "flag", value, err);
}

static int set_other(void *target, const char *value, struct sluice_error *err)
{
	return record(target, "other", value, err);
}

static int set_word(void *target, const char *value, struct sluice_error *err)
{
	return record(target, "word", value, err);
}

static int set_maybe(void *target, const char *value, struct sluice_error *err)
{
	return record(target, "maybe", value, err);
}

static const struct option_entry entries[] = {
	{ "flag", 'f', false, false, NULL, "off", "a flag", set_flag },
	{ "other", 'o', false, false, NULL, "off", "another", set_other },
	{ "word", 'w', true, false, "WORD", "none", "a value", set_word },
	{ "maybe", 0, false, true, "FILE", "none", "a value or none", set_maybe },
};
static const struct option_table table = { "test", entries, N_OF(entries) };

#define WORDS_MAX 16

/* Parse the words of @line, which are separated by blanks ("''" is an empty word). */
static int parse(const char *line, struct seen *s, int *ret_argc, struct sluice_error *err)
{
	char copy[512], *save = NULL, empty[] = "", name[] = "test";
	char *argv[WORDS_MAX + 1] = { name };
	int argc = 1;

	memset(err, 0, sizeof(*err));
	s->log[0] = '\0';
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		assert_true(argc < WORDS_MAX);
		argv[argc++] = strcmp(w, "''") != 0 ? w : empty;
	}
	*ret_argc = argc;
	return options_parse(&table, argc, argv, s, err);
}

static void test_spellings(void **state)
{
	static const struct {
		const char *line, *log;
		int rest;
	} samples[] = {
		{ "", "", 1 },
		{ "cmd", "", 1 },
		{ "--", "", 2 },
		{ "-- --flag", "", 2 },
		{ "-", "", 1 },
		{ "''", "", 1 },
		{ "--flag cmd --flag", "flag=(none);", 2 },
		{ "-f -o", "flag=(none);other=(none);", 3 },
		{ "-fo", "flag=(none);other=(none);", 2 },
		{ "-fow x", "flag=(none);other=(none);word=x;", 3 },
		{ "-fwx y", "flag=(none);word=x;", 2 },
		{ "-w x -wy --word z --word=a=b --word=", "word=x;word=y;word=z;word=a=b;word=;",
		  8 },
		{ "--word -x", "word=-x;", 3 },
		{ "--word '' c", "word=;", 3 },
		{ "--word=--flag", "word=--flag;", 2 },
		{ "--maybe", "maybe=(none);", 2 },
		{ "--maybe cmd", "maybe=(none);", 2 },
		{ "--maybe cmd -x", "maybe=(none);", 2 },
		{ "--maybe file -- cmd", "maybe=file;", 4 },
		{ "--maybe -- cmd", "maybe=(none);", 3 },
		{ "--maybe=file cmd", "maybe=file;", 2 },
		{ "--maybe= cmd", "maybe=;", 2 },
		{ "--maybe -f -- cmd", "maybe=(none);flag=(none);", 4 },
	};

	for (size_t i = 0; i < N_OF(samples); i++) {
		struct seen s = { .refuse = false };
		struct sluice_error err;
		int argc, r = parse(samples[i].line, &s, &argc, &err);

		if (r != samples[i].rest || strcmp(s.log, samples[i].log) != 0)
			fail_msg("%s: %d \"%s\" %s", samples[i].line, r, s.log, err.text);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *line, *text, *hint;
	} samples[] = {
		{ "--flga", "--flga: no such flag",
		  "did you mean --flag? `sluice help test` lists all" },
		{ "--nothing-like-it", "--nothing-like-it: no such flag",
		  "`sluice help test` lists the flags; CMD follows after --" },
		{ "--=x", "--: no such flag", NULL },
		{ "--fla", "--fla: no such flag", NULL },
		{ "--flag=x", "--flag: takes no value, x was given", "" },
		{ "--flag=", "--flag: takes no value,  was given", "" },
		{ "-fx", "-x: no such flag", NULL },
		{ "-f-", "--: no such flag", NULL },
		{ "--word", "--word: its value is missing", NULL },
		{ "-w", "--word: its value is missing", NULL },
		{ "--word --", "--word: its value is missing", NULL },
		{ "--word --flag", "--word: its value is missing",
		  "write --word WORD (--word=WORD if it begins with --)" },
		{ "---flag", "---flag: no such flag", NULL },
	};

	for (size_t i = 0; i < N_OF(samples); i++) {
		struct seen s = { .refuse = false };
		struct sluice_error err;
		int argc, r = parse(samples[i].line, &s, &argc, &err);

		if (r != -EINVAL || strcmp(err.text, samples[i].text) != 0 ||
		    (samples[i].hint && strcmp(err.hint, samples[i].hint) != 0))
			fail_msg("%s: %d \"%s\" \"%s\"", samples[i].line, r, err.text, err.hint);
	}
}

static void test_setters_error_names_the_flag(void **state)
{
	struct seen s = { .refuse = true };
	struct sluice_error err;
	int argc;

	assert_int_equal(parse("-wx", &s, &argc, &err), -EDOM);
	assert_string_equal(err.text, "--word: no");
	assert_string_equal(err.hint, "never");
}

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* Words made of what matters to the parser, and any byte. */
static void random_word(uint64_t *seed, char *buf, size_t size)
{
	static const char *const pieces[] = { "-",  "--",   "=", "flag", "word", "maybe",
					      "f",  "w",    "o", "fla",	 "\xff", "\x1b[2J",
					      "\n", "%s%n", " ", "" };
	size_t n = next_random(seed) % 6, at = 0;

	buf[0] = '\0';
	while (n-- && at + 8 < size)
		at += (size_t)snprintf(buf + at, size - at, "%s",
				       pieces[next_random(seed) % N_OF(pieces)]);
	if (next_random(seed) % 50 == 0) {
		memset(buf, 'x', size - 1);
		buf[0] = buf[1] = '-';
		buf[size - 1] = '\0';
	}
}

static void check_outcome(int r, int argc, const struct sluice_error *err)
{
	if (r >= 0) {
		assert_true(r >= 1 && r <= argc);
		assert_string_equal(err->text, "");
		return;
	}
	assert_int_equal(r, -EINVAL);
	assert_true(err->text[0]);
	for (const char *c = err->text; *c; c++)
		assert_true(*c >= ' ' && *c < 0x7f);
}

static void test_nonsense(void **state)
{
	static char words[WORDS_MAX][700];
	uint64_t seed = 88172645463325252u;
	unsigned refused = 0;

	for (unsigned round = 0; round < 200000; round++) {
		struct seen s = { .refuse = false };
		struct sluice_error err = { 0 };
		char *argv[WORDS_MAX + 1];
		int argc = 1 + (int)(next_random(&seed) % 5), r;

		for (int i = 0; i < argc; i++) {
			random_word(&seed, words[i], sizeof(words[i]));
			argv[i] = words[i];
		}
		argv[argc] = NULL;
		r = options_parse(&table, argc, argv, &s, &err);
		check_outcome(r, argc, &err);
		refused += r < 0;
	}
	assert_in_range(refused, 1000, 199000);
}

static void test_help(void **state)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	options_help(&table, out);
	fclose(out);
	for (size_t i = 0; i < table.n; i++)
		assert_non_null(strstr(text, entries[i].name));
	assert_non_null(strstr(text, "  -w, --word WORD "));
	assert_non_null(strstr(text, "      --maybe[=FILE] "));
	assert_non_null(strstr(text, "(repeatable)"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_setters_error_names_the_flag),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
