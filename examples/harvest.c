/* SPDX-License-Identifier: Apache-2.0 */
/*
 * harvest DIR CMD [ARGS...]: run a build step on DIR and take what it made, without a scan of the tree.
 *
 * The command sees DIR as it is and writes to a branch of it. Afterwards each change is a line of output (kind, size, path), the whole of them an archive
 * "harvest.tar" in the current directory whose bytes depend on nothing but the outputs, and DIR itself is what it was. A step that deletes or changes what was there before is refused:
 * a hermetic step only adds.
 *
 *	cc harvest.c $(pkg-config --cflags --libs sluice) -o harvest
 *	./harvest src sh -c 'cc -c *.c && ar rcs lib.a *.o'
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sluice/sluice.h>

struct harvest {
	unsigned added, other;
	unsigned long long bytes;
};

static int take(const struct sluice_cow_change *change, void *userdata)
{
	struct harvest *h = userdata;

	printf("%c %10llu %s\n", change->kind, (unsigned long long)change->size, change->path);
	if (change->kind != 'A') {
		/* a directory changes when something is made in it */
		h->other += !S_ISDIR(change->mode);
		return 0;
	}
	h->added++;
	if (S_ISREG(change->mode))
		h->bytes += change->size;
	return 0;
}

static int fail_with(const char *what, const struct sluice_error *err)
{
	fprintf(stderr, "harvest: %s: %s\n", what, err->text);
	return 125;
}

/* The archive; every file has the same time, so that equal outputs are equal bytes. */
static int keep(struct sluice_cow *branch, struct sluice_error *err)
{
	const int64_t mtime = 0;
	int fd = open("harvest.tar", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int r = fd < 0 ? -1 : sluice_cow_export(branch, SLUICE_COW_TAR, fd, &mtime, err);

	if (fd < 0)
		snprintf(err->text, sizeof(err->text), "harvest.tar can't be written");
	else
		close(fd);
	return r;
}

static int after(struct sluice_sandbox *s, const struct sluice_result *result)
{
	struct sluice_cow *branch = sluice_sandbox_cow(s);
	struct sluice_error err = { 0 };
	struct harvest h = { 0 };

	if (result->exit_code != 0)
		return result->exit_code;
	if (sluice_cow_changes(branch, take, &h) < 0)
		return fail_with("changes", &err);
	if (h.other) {
		fprintf(stderr, "harvest: %u changes of what was there before\n", h.other);
		return 1;
	}
	if (keep(branch, &err) < 0)
		return fail_with("export", &err);
	printf("%u outputs, %llu bytes\n", h.added, h.bytes);
	return 0;
}

int main(int argc, char *argv[])
{
	struct sluice_spawn_options options = { .size = sizeof(options) };
	struct sluice_error err = { 0 };
	struct sluice_policy *policy = sluice_policy_new();
	struct sluice_sandbox *sandbox = NULL;
	struct sluice_result result;
	int status;

	if (argc < 3) {
		fputs("usage: harvest DIR CMD [ARGS...]\n", stderr);
		return 125;
	}
	if (!policy || sluice_policy_allow_system(policy, &err) < 0 ||
	    sluice_policy_set_workdir(policy, argv[1], &err) < 0 ||
	    sluice_spawn(policy, (const char *const *)argv + 2, &options, &sandbox, &err) < 0) {
		sluice_policy_unref(policy);
		return fail_with("start", &err);
	}
	sluice_sandbox_wait(sandbox, -1, &result);
	status = after(sandbox, &result);
	sluice_sandbox_settle(sandbox, SLUICE_COW_ABORT, NULL, NULL, NULL);
	sluice_sandbox_free(sandbox);
	sluice_policy_unref(policy);
	return status;
}
