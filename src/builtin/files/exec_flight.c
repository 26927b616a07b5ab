/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an exec names, found as fs/exec.c, fs/binfmt_script.c and fs/binfmt_elf.c would: the program behind a chain of scripts, its loader, and
 * the arguments that stand before those which the kernel keeps. Thread: a runner.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "builtin/files/exec_internal.h"
#include "engine/request.h"
#include "task/task.h"

#define ARGUMENT_MAX (128u << 10) /* MAX_ARG_STRLEN */

struct looking {
	struct sluice_request *req;
	exec_resolve_fn resolve;
	void *ctx;
	int dirfd, flags; /* of the call */
};

/* Put @script (as it was named) and its interpreter before what there is. */
static void prefix_script(struct exec_flight *f, const struct image *im, const char *script)
{
	size_t n = f->strings.n_prefix, more = 1 + im->has_argument;

	if (!n)
		f->prefix[n++] = script;
	memmove(f->prefix + more, f->prefix, n * sizeof(f->prefix[0]));
	f->prefix[0] = im->interp;
	if (im->has_argument)
		f->prefix[1] = im->argument;
	f->strings.n_prefix = n + more;
}

/* The program at the end of the chain: f->exe, *ret_loader (a name in f, "": static). */
static int find_program(const struct looking *l, struct exec_flight *f, const char **ret_loader)
{
	const char *path = f->execfn;
	int dirfd = l->dirfd, flags = l->flags;

	for (unsigned depth = 0; depth <= IMAGE_SCRIPTS_MAX; depth++) {
		struct image *im = &f->images[depth];
		bool native = false;
		struct image_source s;
		int r;

		f->exe = l->resolve(l->ctx, l->req, dirfd, path, flags, f->path, &native);
		if (f->exe < 0)
			return f->exe;
		f->native &= native;
		s = image_source_fd(f->exe);
		r = image_read(&s, im);
		if (r < 0)
			return r;
		if (im->kind == IMAGE_ELF) {
			*ret_loader = im->interp;
			return 0;
		}
		close(f->exe);
		f->exe = -1;
		prefix_script(f, im, path);
		path = im->interp;
		dirfd = AT_FDCWD;
		flags = 0;
	}
	return -ELOOP;
}

static int find_loader(const struct looking *l, struct exec_flight *f, const char *path)
{
	char unused[PATH_MAX];
	struct image_source s;
	bool native = false;

	if (!*path)
		return 0;
	f->loader = l->resolve(l->ctx, l->req, AT_FDCWD, path, 0, unused, &native);
	if (f->loader < 0)
		return f->loader;
	f->native &= native;
	s = image_source_fd(f->loader);
	return image_check_loader(&s);
}

/* argv[0], which the kernel drops for a script's sake: the empty string where there is none, as Linux has it since 5.18. */
static int read_first_argument(const struct task *t, uint64_t argv, struct exec_flight *f)
{
	char small[256];
	uint64_t at = 0;
	ssize_t n;
	int r = argv ? task_read(t, argv, &at, sizeof(at)) : 0;

	if (r < 0)
		return r;
	small[0] = '\0';
	n = at ? task_read_string(t, at, small, sizeof(small)) : 0;
	if (n != -ENAMETOOLONG) {
		f->first_argument = n < 0 ? NULL : strdup(small);
		return n < 0 ? (int)n : f->first_argument ? 0 : -ENOMEM;
	}
	f->first_argument = malloc(ARGUMENT_MAX);
	if (!f->first_argument)
		return -ENOMEM;
	n = task_read_string(t, at, f->first_argument, ARGUMENT_MAX);
	return n == -ENAMETOOLONG ? -E2BIG : n < 0 ? (int)n : 0;
}

static int look(const struct looking *l, struct exec_flight *f, uint64_t argv)
{
	const char *loader = "", *base = strrchr(f->execfn, '/');
	int r = find_program(l, f, &loader);

	if (r == 0)
		r = find_loader(l, f, loader);
	if (r < 0)
		return r;
	if (!f->strings.n_prefix) {
		r = read_first_argument(request_task(l->req), argv, f);
		if (r < 0)
			return r;
		f->prefix[f->strings.n_prefix++] = f->first_argument;
	}
	f->strings.prefix = f->prefix;
	f->strings.execfn = f->execfn;
	f->strings.comm = base ? base + 1 : f->execfn;
	f->thread = sluice_request_tid(l->req);
	f->process = sluice_request_tgid(l->req);
	return f->process < 0 ? f->process : 0;
}

int flight_new(struct sluice_request *req, exec_resolve_fn resolve, void *ctx, const char *path,
	       const struct exec_args *args, struct exec_flight **ret)
{
	const struct looking l = { req, resolve, ctx, args->dirfd,
				   args->flags & (AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) };
	struct exec_flight *f = malloc(sizeof(*f)); /* most of it is paths: no zeroes for those */
	int r;

	if (!f)
		return -ENOMEM;
	atomic_init(&f->refs, 1);
	f->exe = f->loader = -1;
	f->native = true;
	f->image = 0;
	f->process = f->thread = 0;
	memset(&f->strings, 0, sizeof(f->strings));
	f->first_argument = NULL;
	memcpy(f->execfn, path, strlen(path) + 1);
	r = look(&l, f, args->argv);
	if (r < 0)
		flight_unref(f);
	else
		*ret = f;
	return r;
}

void flight_unref(struct exec_flight *f)
{
	/* acquire-release: the last one sees what all others did */
	if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (f->exe >= 0)
		close(f->exe);
	if (f->loader >= 0)
		close(f->loader);
	free(f->first_argument);
	free(f);
}
