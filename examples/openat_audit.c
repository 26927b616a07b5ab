/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openat_audit [-o FILE] [CMD [ARGS...]]: print each open of CMD and all its descendants; `python3 -c 'import json'` if none is given.
 *
 * Two handlers on each call that opens: one lets it be carried out as seen, so that the path that is printed is the path that was opened, whatever
 * another thread writes over it meanwhile; the observer prints what became of it, also of an open that the policy refused. The exit status is CMD's.
 *
 *	cc openat_audit.c $(pkg-config --cflags --libs sluice) -o openat_audit
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include <sluice/sluice.h>

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))
#define KERNEL_O_LARGEFILE 0100000 /* libc's is 0 where it is always on */

static const struct {
	unsigned bit;
	const char *name;
} flag_names[] = {
	{ O_CREAT, "O_CREAT" },	      { O_EXCL, "O_EXCL" },	  { O_NOCTTY, "O_NOCTTY" },
	{ O_TRUNC, "O_TRUNC" },	      { O_APPEND, "O_APPEND" },	  { O_NONBLOCK, "O_NONBLOCK" },
	{ O_DIRECT, "O_DIRECT" },     { O_NOATIME, "O_NOATIME" }, { O_CLOEXEC, "O_CLOEXEC" },
	{ O_NOFOLLOW, "O_NOFOLLOW" }, { O_PATH, "O_PATH" },	  { O_TMPFILE, "O_TMPFILE" },
	{ O_SYNC, "O_SYNC" },	      { O_DSYNC, "O_DSYNC" },	  { O_DIRECTORY, "O_DIRECTORY" },
};

/* "O_RDONLY|O_CLOEXEC"; bits without a name as one number. O_TMPFILE and O_SYNC come before the flags that they contain. */
static void flags_text(uint64_t flags, char *out, size_t size)
{
	static const char *const modes[] = { "O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE" };
	size_t n = (size_t)snprintf(out, size, "%s", modes[flags & O_ACCMODE]);
	uint64_t rest = flags & ~(uint64_t)(O_ACCMODE | KERNEL_O_LARGEFILE);

	for (size_t i = 0; i < N_OF(flag_names) && n < size; i++) {
		if ((rest & flag_names[i].bit) != flag_names[i].bit)
			continue;
		n += (size_t)snprintf(out + n, size - n, "|%s", flag_names[i].name);
		rest &= ~(uint64_t)flag_names[i].bit;
	}
	if (rest && n < size)
		snprintf(out + n, size - n, "|0x%llx", (unsigned long long)rest);
}

/* A path is bytes that the sandbox chose: nothing of it may reach the terminal as it is. */
static void path_text(const char *path, char *out, size_t size)
{
	size_t n = 0;

	for (; *path && n + 5 < size; path++) {
		unsigned char c = (unsigned char)*path;

		if (c > 0x20 && c < 0x7f && c != '"' && c != '\\')
			out[n++] = (char)c;
		else
			n += (size_t)snprintf(out + n, size - n, "\\x%02x", c);
	}
	out[n] = '\0';
}

static struct sluice_verdict carry_out(struct sluice_request *req, void *userdata)
{
	(void)req;
	(void)userdata;
	return sluice_as_seen();
}

static struct sluice_verdict print_open(struct sluice_request *req, void *log)
{
	char path[4 * PATH_MAX] = "?", exe[PATH_MAX] = "?", flags[256] = "?", result[64];
	struct sluice_open_args args;
	struct sluice_outcome o;
	const char *raw;

	if (sluice_request_path(req, 0, &raw) >= 0)
		path_text(raw, path, sizeof(path));
	if (sluice_request_open_args(req, &args) == 0)
		flags_text(args.flags, flags, sizeof(flags));
	if (sluice_request_exe(req, exe, sizeof(exe)) < 0)
		strcpy(exe, "?");
	sluice_request_outcome(req, &o);
	if (o.result < 0)
		snprintf(result, sizeof(result), "%s", strerrorname_np((int)-o.result));
	else
		snprintf(result, sizeof(result), "fd %lld", (long long)o.result);
	/* one call: lines of several threads never mix */
	fprintf(log, "%s %s \"%s\" %s -> %s by %s, %d %s\n", o.result < 0 ? "failed" : "opened",
		sluice_syscall_name(sluice_request_nr(req)), path, flags, result, o.by,
		(int)sluice_request_tgid(req), exe);
	return sluice_continue();
}

int main(int argc, char *argv[])
{
	static const char *const calls[] = { "open", "openat", "openat2", "creat" };
	const char *const standard[] = { "python3", "-c", "import json", NULL };
	const char *const *command = standard;
	struct sluice_handler handlers[2 * N_OF(calls)] = { { 0 } };
	struct sluice_policy *policy = sluice_policy_new();
	struct sluice_error err = { 0 };
	struct sluice_result result;
	FILE *log = stderr;
	size_t n = 0;
	int r, at = 1;

	if (at + 1 < argc && !strcmp(argv[at], "-o")) {
		log = fopen(argv[at + 1], "we"); /* here: a handler could not open it */
		at += 2;
	}
	if (at < argc && !strcmp(argv[at], "--"))
		at++;
	if (at < argc)
		command = (const char *const *)&argv[at];
	if (!policy || !log) {
		perror("openat_audit");
		return 125;
	}
	for (size_t i = 0; i < N_OF(calls); i++) {
		int nr = sluice_syscall_number(calls[i]);

		if (nr < 0)
			continue; /* not on this architecture */
		handlers[n].name = "carry-out";
		handlers[n].nr = nr;
		handlers[n++].fn = carry_out;
		handlers[n].name = "audit";
		handlers[n].nr = nr;
		handlers[n].flags = SLUICE_OBSERVER;
		handlers[n].fn = print_open;
		handlers[n++].userdata = log;
	}
	r = sluice_policy_allow_system(policy, &err);
	if (r == 0)
		r = sluice_run_with_extra_handlers(policy, command, handlers, n, &result, &err);
	sluice_policy_unref(policy);
	if (r < 0) {
		fprintf(stderr, "openat_audit: %s\n%s\n", err.text, err.hint);
		return 125;
	}
	return result.exit_code;
}
