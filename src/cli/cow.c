/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sluice cow: the branches that were kept. One verb, then flags and a branch.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sluice/sluice.h>

#include "cli/changes.h"
#include "cli/cli.h"
#include "cli/run.h"
#include "util/fail.h"
#include "util/parse.h"
#include "util/quote.h"

/* What the flags asked for; borrowed from argv. */
struct cow_options {
	const char *storage;
	const char *output; /* NULL: standard output */
	enum sluice_cow_format format;
	enum sluice_durability durability;
	bool json, nul, quiet, has_mtime;
	int64_t mtime;
};

static int set_storage(void *target, const char *value, struct sluice_error *err)
{
	(void)err;
	((struct cow_options *)target)->storage = value;
	return 0;
}

static int set_output(void *target, const char *value, struct sluice_error *err)
{
	(void)err;
	((struct cow_options *)target)->output = value;
	return 0;
}

static int set_format(void *target, const char *value, struct sluice_error *err)
{
	struct cow_options *o = target;

	if (!strcmp(value, "tar"))
		o->format = SLUICE_COW_TAR;
	else if (!strcmp(value, "oci"))
		o->format = SLUICE_COW_OCI;
	else
		return fail(err, -EINVAL, "%s: not tar or oci", value);
	return 0;
}

static int set_mtime(void *target, const char *value, struct sluice_error *err)
{
	struct cow_options *o = target;
	uint64_t seconds;

	if (parse_u64(value, &seconds) < 0 || seconds > INT64_MAX)
		return fail(err, -EINVAL, "%s: not a number of seconds since 1970", value);
	o->mtime = (int64_t)seconds;
	o->has_mtime = true;
	return 0;
}

static int set_durability(void *target, const char *value, struct sluice_error *err)
{
	return parse_durability(value, &((struct cow_options *)target)->durability, err);
}

static const struct option_entry entries[] = {
	{ "fs-storage", 0, false, false, "DIR", "~/.local/state/sluice/branches",
	  "where branches are kept", set_storage },
	{ "json", 0, false, false, NULL, "off, text", "list and show: one JSON array", NULL,
	  offsetof(struct cow_options, json) },
	{ "null", 'z', false, false, NULL, "off",
	  "show: end each entry with a NUL, and quote nothing", NULL,
	  offsetof(struct cow_options, nul) },
	{ "format", 0, false, false, "tar|oci", "tar",
	  "export: changed files, or an image layer with whiteouts", set_format },
	{ "output", 'o', false, false, "FILE", "standard output", "export: where to", set_output },
	{ "mtime", 0, false, false, "SECONDS", "its own", "export: time of every entry, since 1970",
	  set_mtime },
	{ "durability", 0, false, false, "commit|none", "commit",
	  "commit: on disk before it is done with, or left to the kernel", set_durability },
	{ "quiet", 0, false, false, NULL, "off", "commit: don't list what is committed", NULL,
	  offsetof(struct cow_options, quiet) },
};
static const struct option_table table = { "cow", entries, sizeof(entries) / sizeof(entries[0]) };

/* ---- list ---- */

struct listing {
	const struct cow_options *options;
	bool any;
};

static const char *state_of(const struct sluice_cow_info *i)
{
	return i->broken ? "broken" : i->live ? "in use" : i->committing ? "committing" : "kept";
}

static int print_branch(const struct sluice_cow_info *i, void *userdata)
{
	struct listing *l = userdata;
	char directory[6 * PATH_MAX], name[6 * sizeof(i->name)], when[32] = "";
	time_t t = (time_t)i->created;
	struct tm tm;

	if (gmtime_r(&t, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (l->options->json) {
		quote_json(i->name, strlen(i->name), name, sizeof(name));
		quote_json(i->directory, strlen(i->directory), directory, sizeof(directory));
		printf("%s\n  {\"name\": \"%s\", \"state\": \"%s\", \"created\": \"%s\", \"directory\": "
		       "\"%s\"}",
		       l->any ? "," : "", name, state_of(i), when, directory);
	} else {
		quote_text(i->name, strlen(i->name), name, sizeof(name));
		quote_text(i->directory, strlen(i->directory), directory, sizeof(directory));
		printf("%-32s %-10s %s %s\n", name, state_of(i), when, directory);
	}
	l->any = true;
	return 0;
}

static int list(const struct cow_options *o, struct sluice_error *err)
{
	struct listing l = { o, false };
	int r;

	if (o->json)
		putchar('[');
	r = sluice_cow_each(o->storage, print_branch, &l, err);
	if (o->json)
		fputs(l.any ? "\n]\n" : "]\n", stdout);
	return r;
}

/* ---- one branch ---- */

static int show(struct sluice_cow *cow, const struct cow_options *o, struct sluice_error *err)
{
	const enum changes_format format = o->json  ? CHANGES_JSON
					   : o->nul ? CHANGES_NUL
						    : CHANGES_LINES;

	return changes_write(cow, format, stdout, err);
}

#define PATCH_NAME_BYTES (4 * PATH_MAX + 8)

/* Of a branch whose changes are shown as a patch. */
struct patch {
	struct sluice_cow *cow;
	char upper[PATH_MAX];
};

/* diff -u of two files, either of which may be /dev/null. */
static int run_diff(const char *old_label, const char *old_file, const char *new_label,
		    const char *new_file)
{
	const char *const argv[] = { "diff",	"-u",	   "-a",     "--label", old_label,
				     "--label", new_label, old_file, new_file,	NULL };
	pid_t pid;
	int status, r;

	fflush(stdout);
	r = posix_spawnp(&pid, "diff", NULL, NULL, (char *const *)(uintptr_t)argv, environ);
	if (r != 0)
		return -r;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) <= 1 ? 0 : -EIO;
}

/* The old file of @c, by a name that the child has for it too; *ret_fd is to be closed. "/dev/null": there was none. */
static int old_file(struct sluice_cow *cow, const struct sluice_cow_change *c, char buf[32],
		    int *ret_fd)
{
	struct stat st;
	int fd = c->kind == 'A' ? -ENOENT : sluice_cow_open_original(cow, c->path);

	*ret_fd = fd;
	snprintf(buf, 32, "/dev/null");
	if (fd < 0)
		return fd == -ENOENT || fd == -ELOOP || fd == -ENXIO ? 0 : fd;
	if (fstat(fd, &st) < 0 || fcntl(fd, F_SETFD, 0) < 0)
		return -errno;
	if (S_ISREG(st.st_mode))
		snprintf(buf, 32, "/proc/self/fd/%d", fd);
	return 0;
}

/* The name of @path in a patch, as git writes and patch(1) reads it: between quotes where it has bytes that would end the line, or that a terminal obeys. */
static void patch_name(char side, const char *path, char buf[PATCH_NAME_BYTES])
{
	int n = snprintf(buf, PATCH_NAME_BYTES, "\"%c/", side);

	n += (int)quote_octal(path, strlen(path), buf + n, PATCH_NAME_BYTES - 1 - (size_t)n);
	if (strcmp(buf + 3, path) != 0) {
		strcpy(buf + n, "\"");
		return;
	}
	snprintf(buf, PATCH_NAME_BYTES, "%c/%s", side, path);
}

static int diff_one(const struct sluice_cow_change *c, void *userdata)
{
	const struct patch *p = userdata;
	char upper[2 * PATH_MAX], old[32], a[PATCH_NAME_BYTES], b[PATCH_NAME_BYTES];
	bool was;
	int fd, r;

	if (!S_ISREG(c->mode)) {
		quote_text(c->path, strlen(c->path), a, sizeof(a));
		printf("%c %s\n", c->kind, a);
		return 0;
	}
	snprintf(upper, sizeof(upper), "%s/%s", p->upper, c->path);
	patch_name('a', c->path, a);
	patch_name('b', c->path, b);
	r = old_file(p->cow, c, old, &fd);
	was = strcmp(old, "/dev/null") != 0;
	if (r == 0 && c->kind == 'D')
		r = run_diff(a, old, "/dev/null", "/dev/null");
	else if (r == 0)
		r = run_diff(was ? a : "/dev/null", old, b, upper);
	if (fd >= 0)
		close(fd);
	return r;
}

static int diff(struct sluice_cow *cow, const struct cow_options *o, struct sluice_error *err)
{
	const char *name = sluice_cow_name(cow);
	struct patch p = { .cow = cow };
	char storage[PATH_MAX];
	int r = sluice_cow_storage(o->storage, storage, sizeof(storage), err);

	if (r < 0)
		return r;
	if ((size_t)snprintf(p.upper, sizeof(p.upper), "%s/%s/upper", storage, name) >=
	    sizeof(p.upper))
		return fail_errno(err, -ENAMETOOLONG, "branch: %s", name);
	r = sluice_cow_changes(cow, diff_one, &p);
	return r < 0 ? fail_errno(err, r, "diff of branch %s", name) : 0;
}

static int export_branch(struct sluice_cow *cow, const struct cow_options *o,
			 struct sluice_error *err)
{
	int fd = o->output ? open(o->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)
			   : STDOUT_FILENO;
	int r;

	if (fd < 0)
		return fail_errno(err, -errno, "--output: %s", o->output);
	if (!o->output && isatty(fd)) {
		fail(err, -EINVAL, "export: an archive on a terminal");
		return fail_hint(err, -EINVAL, "-o FILE");
	}
	r = sluice_cow_export(cow, o->format ? o->format : SLUICE_COW_TAR, fd,
			      o->has_mtime ? &o->mtime : NULL, err);
	if (o->output && close(fd) < 0 && r == 0)
		r = fail_errno(err, -errno, "--output: %s", o->output);
	return r;
}

static void print_committed(const struct sluice_cow_change *c, int error, void *userdata)
{
	const struct cow_options *o = userdata;
	char quoted[4 * PATH_MAX];

	quote_text(c->path, strlen(c->path), quoted, sizeof(quoted));
	if (error == -ESTALE)
		fprintf(stderr, "sluice: %s: changed by somebody else meanwhile: kept\n", quoted);
	else if (error < 0)
		fprintf(stderr, "sluice: %s: %s: kept\n", quoted, strerror(-error));
	else if (!o->quiet)
		printf("%c %s\n", c->kind, quoted);
}

/* Consumes @cow, as abort_branch does. */
static int commit(struct sluice_cow *cow, struct cow_options *o, struct sluice_error *err)
{
	struct sluice_error first = { 0 };
	int kept = sluice_cow_set_durability(cow, o->durability);

	if (kept == 0)
		kept = sluice_cow_commit(cow, print_committed, o, &first);

	if (kept == 0)
		return sluice_cow_abort(cow, err);
	sluice_cow_close(cow);
	if (kept < 0) {
		*err = first;
		return kept;
	}
	fail(err, -ESTALE, "commit: %d change%s kept in the branch", kept,
	     kept > 1 ? "s are" : " is");
	return fail_hint(err, -ESTALE, "mend what stands in the way and commit again, or abort");
}

static int with_branch(const char *verb, const char *name, struct cow_options *o,
		       struct sluice_error *err)
{
	struct sluice_cow *cow;
	int r = sluice_cow_open(o->storage, name, &cow, err);

	if (r < 0)
		return r;
	if (!strcmp(verb, "commit"))
		return commit(cow, o, err);
	if (!strcmp(verb, "abort"))
		return sluice_cow_abort(cow, err);
	if (!strcmp(verb, "export"))
		r = export_branch(cow, o, err);
	else
		r = !strcmp(verb, "diff") ? diff(cow, o, err) : show(cow, o, err);
	sluice_cow_close(cow);
	return r;
}

static bool takes_branch(const char *verb)
{
	return !strcmp(verb, "show") || !strcmp(verb, "diff") || !strcmp(verb, "commit") ||
	       !strcmp(verb, "abort") || !strcmp(verb, "export");
}

static int dispatch_verb(int argc, char *argv[], struct sluice_error *err)
{
	struct cow_options o = { 0 };
	const char *verb = argc > 1 ? argv[1] : "";
	int rest;

	if (strcmp(verb, "list") != 0 && !takes_branch(verb)) {
		fail(err, -EINVAL, "cow: %s: not list, show, diff, commit, abort or export",
		     *verb ? verb : "no verb");
		return fail_hint(err, -EINVAL, "sluice cow list, or sluice cow VERB BRANCH");
	}
	rest = options_parse(&table, argc - 1, argv + 1, &o, err);
	if (rest < 0)
		return rest;
	argv += 1 + rest;
	argc -= 1 + rest;
	if (argc != takes_branch(verb)) {
		fail(err, -EINVAL, "cow %s: %s", verb, argc ? "too many words" : "which branch?");
		return fail_hint(err, -EINVAL, "`sluice cow list` names them");
	}
	return takes_branch(verb) ? with_branch(verb, argv[0], &o, err) : list(&o, err);
}

int cli_cow(int argc, char *argv[])
{
	struct sluice_error err = { 0 };
	int r = dispatch_verb(argc, argv, &err);

	if (r >= 0 && fflush(stdout) != 0)
		r = fail_errno(&err, -errno, "standard output");
	return r < 0 ? cli_fail(&err) : CLI_OK;
}

void cli_cow_help(void)
{
	fputs("Usage: sluice cow list [FLAGS]\n"
	      "       sluice cow show|diff|commit|abort|export [FLAGS] BRANCH\n"
	      "\n"
	      "Branches that `sluice run --workdir` kept.\n"
	      "\n"
	      "  list    name, state, age and directory of each\n"
	      "  show    what a commit would do: A (added), M (modified) or D (deleted), and a path\n"
	      "  diff    the same as a patch\n"
	      "  commit  carry it out in the directory, and remove the branch\n"
	      "  abort   remove the branch\n"
	      "  export  write an archive of the changes\n"
	      "\n"
	      "Flags:\n",
	      stdout);
	options_help(&table, stdout);
	fputs("\nExit status: 0; 125 when it failed, or a commit left something.\n", stdout);
}
