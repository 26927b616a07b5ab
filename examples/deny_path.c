/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deny_path PATTERN... -- CMD [ARGS...]: run CMD; opening a path that matches a PATTERN fails with EACCES.
 *
 * A pattern is one of fnmatch(3), compared with the path as the program gave it and with its last component. All other opens are answered AS_SEEN: the library
 * opens the very bytes that were compared, with the rights of the sandbox, and gives the descriptor to the program. Had the handler said CONTINUE,
 * the kernel would read the path from the program's memory again, and a second thread could have written another one there.
 *
 * What is compared is a name. Another name of the same file (a symbolic link, a relative path through "..") is another name: files
 * that must not be read by anyone inside are not granted by the policy in the first place.
 *
 *	cc deny_path.c $(pkg-config --cflags --libs sluice) -o deny_path
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include <sluice/sluice.h>

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

struct patterns {
	char **list;
	int n;
};

static struct sluice_verdict check_open(struct sluice_request *req, void *userdata)
{
	const struct patterns *patterns = userdata;
	const char *path, *last;
	ssize_t n = sluice_request_path(req, 0, &path);

	if (n < 0)
		return sluice_errno((int)-n);
	last = strrchr(path, '/');
	last = last ? last + 1 : path;
	for (int i = 0; i < patterns->n; i++) {
		if (!fnmatch(patterns->list[i], path, 0) || !fnmatch(patterns->list[i], last, 0))
			return sluice_errno(EACCES);
	}
	return sluice_as_seen();
}

/* One handler for each spelling of the call. Returns how many. */
static size_t make_handlers(struct sluice_handler *handlers, struct patterns *patterns)
{
	static const char *const calls[] = { "open", "openat", "openat2", "creat" };
	size_t n = 0;

	for (size_t i = 0; i < N_OF(calls); i++) {
		int nr = sluice_syscall_number(calls[i]);

		if (nr < 0)
			continue; /* not on this architecture */
		memset(&handlers[n], 0, sizeof(handlers[n]));
		handlers[n].name = "deny-path";
		handlers[n].nr = nr;
		handlers[n].fn = check_open;
		handlers[n++].userdata = patterns;
	}
	return n;
}

int main(int argc, char *argv[])
{
	struct sluice_policy *policy = sluice_policy_new();
	struct patterns patterns = { argv + 1, 0 };
	struct sluice_handler handlers[4];
	struct sluice_error err = { 0 };
	struct sluice_result result;
	int r;

	while (1 + patterns.n < argc && strcmp(argv[1 + patterns.n], "--") != 0)
		patterns.n++;
	if (2 + patterns.n >= argc || !policy) {
		fprintf(stderr, "usage: deny_path PATTERN... -- CMD [ARGS...]\n");
		return 125;
	}
	r = sluice_policy_allow_system(policy, &err);
	if (r == 0)
		r = sluice_run_with_extra_handlers(
			policy, (const char *const *)&argv[2 + patterns.n], handlers,
			make_handlers(handlers, &patterns), &result, &err);
	sluice_policy_unref(policy);
	if (r < 0) {
		fprintf(stderr, "deny_path: %s\n%s\n", err.text, err.hint);
		return 125;
	}
	return result.exit_code;
}
