/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders are layers and includes only go down:
 *
 *	util < sys < policy < task < tree < engine, confine < builtin < sandbox          cli: util and the public headers only
 *	util < sys < launcher < builtin
 *
 * engine and confine do not know each other, and no built-in knows another. libseccomp is for tests, liburing is included in engine/ only,
 * ck in engine/ and task/ only, libarchive in tree/ only, c-ares in builtin/ only; a public header includes no internal one. Reads the #include lines of src/ and include/.
 */
#define _GNU_SOURCE
#include <ftw.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../support/cmocka.h"

#define LINE_BYTES 1024

struct layer {
	const char *name;
	const char *may; /* layers below it that it may include, each between blanks */
};

static const struct layer layers[] = {
	{ "util", " util " },
	{ "sys", " sys util " },
	{ "launcher", " launcher sys util " },
	{ "policy", " policy sys util " },
	{ "task", " task policy sys util " },
	{ "tree", " tree task policy sys util " },
	{ "engine", " engine tree task policy sys util " },
	{ "confine", " confine tree task policy sys util " },
	{ "builtin", " builtin engine confine tree task policy launcher sys util " },
	{ "sandbox", " sandbox builtin engine confine tree task policy sys util " },
	{ "cli", " cli util " },
};

static const struct {
	const char *prefix; /* of an <include> */
	const char *may;    /* folders that may have it */
} libraries[] = {
	{ "seccomp.h", " " },	 { "liburing", " engine " }, { "ck_", " engine task " },
	{ "archive", " tree " }, { "ares", " builtin " },
};

/* The first path component of @path in @buf; false when there is only one. */
static bool first_component(const char *path, char *buf, size_t size)
{
	size_t n = strcspn(path, "/");

	if (!path[n] || n >= size)
		return false;
	memcpy(buf, path, n);
	buf[n] = '\0';
	return true;
}

static bool is_among(const char *word, const char *words)
{
	char between[80];

	snprintf(between, sizeof(between), " %s ", word);
	return strstr(words, between);
}

static const struct layer *layer_of(const char *folder)
{
	for (size_t i = 0; i < N_OF(layers); i++) {
		if (!strcmp(layers[i].name, folder))
			return &layers[i];
	}
	return NULL;
}

/* May a file of built-in @file ("builtin/x/y.c") include "builtin/..." @target? builtin/builtin.c may include all of them. */
static const char *check_builtin(const char *file, const char *target)
{
	char own[64], other[64];

	if (!first_component(file + strlen("builtin/"), own, sizeof(own)) ||
	    !first_component(target + strlen("builtin/"), other, sizeof(other)))
		return NULL;
	return strcmp(own, other) ? "a built-in knows another" : NULL;
}

static const char *check_quoted(const char *file, const char *target)
{
	const struct layer *from;
	char folder[64], to[64];

	if (!first_component(file, folder, sizeof(folder)))
		return "a source outside the layers";
	from = layer_of(folder);
	if (!from)
		return "a folder that is no layer";
	if (!first_component(target, to, sizeof(to)))
		return "an include without its layer";
	if (!is_among(to, from->may))
		return "an import that does not go down";
	if (!strcmp(folder, "builtin") && !strcmp(to, "builtin"))
		return check_builtin(file, target);
	return NULL;
}

static const char *check_library(const char *file, const char *target)
{
	char folder[64] = "";

	first_component(file, folder, sizeof(folder));
	for (size_t i = 0; i < N_OF(libraries); i++) {
		if (!strncmp(target, libraries[i].prefix, strlen(libraries[i].prefix)) &&
		    !is_among(folder, libraries[i].may))
			return "a library outside its folder";
	}
	return NULL;
}

/* @target of an #include line, and its opening quote; false for other lines. */
static bool parse_include(const char *line, char *quote, char *target, size_t size)
{
	size_t n;

	line += strspn(line, " \t");
	if (*line++ != '#')
		return false;
	line += strspn(line, " \t");
	if (strncmp(line, "include", 7))
		return false;
	line += 7;
	line += strspn(line, " \t");
	*quote = *line++;
	n = strcspn(line, "\">");
	if ((*quote != '"' && *quote != '<') || n >= size)
		return false;
	memcpy(target, line, n);
	target[n] = '\0';
	return true;
}

/* What is wrong with @line of @file (below src/, or "include/..."), or NULL. */
static const char *check_line(const char *file, const char *line)
{
	bool is_public = !strncmp(file, "include/", 8);
	char target[256], quote;

	if (!parse_include(line, &quote, target, sizeof(target)))
		return NULL;
	if (quote == '<')
		return check_library(file, target);
	return is_public ? "a public header includes an internal one" : check_quoted(file, target);
}

/* ---- the tree; nftw has no argument for these ---- */

static unsigned n_files, n_wrong;
static size_t skip_bytes; /* of SOURCE_ROOT/ or SOURCE_ROOT/src/ */

static int check_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *dot = strrchr(path, '.');
	char line[LINE_BYTES];
	unsigned number = 0;
	FILE *f;

	if (type != FTW_F || !dot || (strcmp(dot, ".c") && strcmp(dot, ".h")))
		return 0;
	f = fopen(path, "re");
	assert_non_null(f);
	n_files++;
	while (fgets(line, sizeof(line), f)) {
		const char *wrong = check_line(path + skip_bytes, line);

		number++;
		if (wrong) {
			print_error("%s:%u: %s: %s", path + skip_bytes, number, wrong, line);
			n_wrong++;
		}
	}
	fclose(f);
	return 0;
}

static void check_tree(const char *root, size_t skip)
{
	n_files = 0;
	n_wrong = 0;
	skip_bytes = skip;
	assert_int_equal(nftw(root, check_file, 16, FTW_PHYS), 0);
	assert_true(n_files > 0);
	assert_int_equal(n_wrong, 0);
}

static void test_planted_violations(void **state)
{
	static const struct {
		const char *file, *line;
	} wrong[] = {
		{ "util/x.c", "#include \"sys/notif.h\"" },
		{ "util/x.c", "#include \"x.h\"" },
		{ "sys/x.c", "#include \"policy/policy.h\"" },
		{ "task/x.h", "# include \"engine/engine.h\"" },
		{ "tree/x.c", "#include \"engine/engine.h\"" },
		{ "task/x.c", "#include \"tree/branch.h\"" },
		{ "engine/x.c", "#include \"confine/launch.h\"" },
		{ "confine/x.c", "\t#include \"engine/engine.h\"" },
		{ "confine/x.c", "#include \"sandbox/sandbox.h\"" },
		{ "builtin/a/x.c", "#include \"builtin/b/b.h\"" },
		{ "builtin/a/x.c", "#include \"sandbox/sandbox.h\"" },
		{ "launcher/x.c", "#include \"task/task.h\"" },
		{ "engine/x.c", "#include \"launcher/image.h\"" },
		{ "sandbox/x.c", "#include \"cli/cli.h\"" },
		{ "cli/x.c", "#include \"engine/engine.h\"" },
		{ "cli/x.c", "#include \"sandbox/sandbox.h\"" },
		{ "new/x.c", "#include \"util/fail.h\"" },
		{ "x.c", "#include \"util/fail.h\"" },
		{ "engine/x.c", "#include <seccomp.h>" },
		{ "confine/x.c", "#include <seccomp.h>" },
		{ "confine/x.c", "#include <liburing.h>" },
		{ "sandbox/x.c", "#include <ck_ring.h>" },
		{ "include/sluice/x.h", "#include <ck_pr.h>" },
		{ "include/sluice/x.h", "#include \"util/fail.h\"" },
	};

	for (size_t i = 0; i < N_OF(wrong); i++) {
		if (!check_line(wrong[i].file, wrong[i].line))
			fail_msg("%s: %s: not found", wrong[i].file, wrong[i].line);
	}
}

static void test_allowed(void **state)
{
	static const struct {
		const char *file, *line;
	} right[] = {
		{ "util/x.c", "#include \"util/fail.h\"" },
		{ "engine/x.c", "#include \"task/task.h\"" },
		{ "engine/x.c", "#include <liburing.h>" },
		{ "engine/x.c", "#include <ck_ring.h>" },
		{ "engine/x.c", "#include <linux/seccomp.h>" },
		{ "builtin/a/x.c", "#include \"builtin/a/a.h\"" },
		{ "builtin/a/x.c", "#include \"builtin/builtin.h\"" },
		{ "builtin/builtin.c", "#include \"builtin/a/a.h\"" },
		{ "sandbox/x.c", "#include \"engine/engine.h\"" },
		{ "cli/x.c", "#include \"util/parse.h\"" },
		{ "cli/x.c", "#include <sluice/sluice.h>" },
		{ "util/x.c", "/* #include \"sys/notif.h\" */" },
		{ "include/sluice/x.h", "#include <sluice/error.h>" },
	};

	for (size_t i = 0; i < N_OF(right); i++) {
		const char *wrong = check_line(right[i].file, right[i].line);

		if (wrong)
			fail_msg("%s: %s: %s", right[i].file, right[i].line, wrong);
	}
}

static void test_sources(void **state)
{
	check_tree(SOURCE_ROOT "/src", strlen(SOURCE_ROOT "/src/"));
}

static void test_public_headers(void **state)
{
	check_tree(SOURCE_ROOT "/include", strlen(SOURCE_ROOT "/"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_planted_violations),
		cmocka_unit_test(test_allowed),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_public_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
