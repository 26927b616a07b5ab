/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/metadata/metadata.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builtin/metadata/change.h"
#include "engine/dispatch.h"
#include "policy/policy.h"

_Static_assert(sizeof(struct change) <= REQUEST_PLAN_BYTES, "a plan holds a change");

/* Where metadata may be changed: real paths, as the kernel prints them for a descriptor. Constant. */
struct writable {
	size_t n;
	char *roots[];
};

static void writable_free(void *data)
{
	struct writable *w = data;

	for (size_t i = 0; i < w->n; i++)
		free(w->roots[i]);
	free(w);
}

/* What the descriptor's link says, or NULL. */
static const char *fd_path(int fd, char buf[PATH_MAX])
{
	char link[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, buf, PATH_MAX - 1);
	if (n < 0)
		return NULL;
	buf[n] = '\0';
	return buf;
}

/* Does @path lie at or below @root? */
static bool is_below(const char *path, const char *root)
{
	size_t n = strlen(root);

	if (n == 1) /* "/" */
		return true;
	return !strncmp(path, root, n) && (path[n] == '/' || path[n] == '\0');
}

/*
 * May the file behind @fd be changed? What has no name in any tree (pipes, sockets, memory files, files that were removed) is nobody else's to lose.
 */
static bool may_change(const struct writable *w, int fd)
{
	char buf[PATH_MAX];
	const char *path = fd_path(fd, buf);
	struct stat st;

	if (!path)
		return false;
	if (path[0] != '/' || (fstat(fd, &st) == 0 && st.st_nlink == 0))
		return true;
	for (size_t i = 0; i < w->n; i++) {
		if (is_below(path, w->roots[i]))
			return true;
	}
	return false;
}

static struct sluice_verdict plan(struct sluice_request *req, const struct writable *w)
{
	struct change_target target;
	struct request_plan p = {
		.builtin = "metadata",
		.act = change_make,
		.layer = SLUICE_LAYER_HOST,
		.fds = { -1, -1 },
	};
	struct change change;
	int r = change_decode(req, &change, &target);

	if (r == 0)
		p.fds[0] = r = change_open(req, &target);
	if (r < 0)
		return sluice_errno(-r);
	if (!may_change(w, p.fds[0])) {
		close(p.fds[0]);
		return sluice_errno(EACCES);
	}
	p.data = &change;
	p.size = sizeof(change);
	r = request_plan_act(req, &p);
	return r < 0 ? sluice_errno(-r) : sluice_continue();
}

static struct sluice_verdict metadata_handle(struct sluice_request *req, void *userdata)
{
	return plan(req, userdata);
}

/* ---- registration ---- */

static int writable_add(struct writable *w, const char *path)
{
	int fd = open(path, O_PATH | O_CLOEXEC);
	char buf[PATH_MAX];
	const char *real;

	if (fd < 0) /* a grant that must be there is reported where its rule is made */
		return 0;
	real = fd_path(fd, buf);
	close(fd);
	if (!real)
		return -errno;
	w->roots[w->n] = strdup(real);
	return w->roots[w->n++] ? 0 : -ENOMEM;
}

static int writable_new(const struct sluice_policy *p, struct writable **ret)
{
	struct writable *w = calloc(1, sizeof(*w) + (p->n_grants + 1) * sizeof(w->roots[0]));
	int r = 0;

	if (!w)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < p->n_grants; i++) {
		const struct policy_grant *g = &p->grants[i];
		struct stat st, root;

		if (g->access != POLICY_WRITE)
			continue;
		if (g->not_root && stat(g->path, &st) == 0 && stat("/", &root) == 0 &&
		    st.st_dev == root.st_dev && st.st_ino == root.st_ino)
			continue;
		r = writable_add(w, g->path);
	}
	if (r == 0 && p->default_devices) /* a terminal of one's own: mesg, grantpt */
		r = writable_add(w, "/dev/pts");
	if (r < 0)
		writable_free(w);
	else
		*ret = w;
	return r;
}

static bool all_is_writable(const struct writable *w)
{
	for (size_t i = 0; i < w->n; i++) {
		if (!strcmp(w->roots[i], "/"))
			return true;
	}
	return false;
}

int builtin_metadata_register(struct dispatch *d, const struct sluice_policy *p)
{
	struct writable *w = NULL;
	bool trapped;
	int r = writable_new(p, &w);

	if (r < 0)
		return r;
	trapped = !all_is_writable(w);
	r = dispatch_own(d, w, writable_free);
	for (const int *nr = change_calls; r == 0 && *nr >= 0; nr++) {
		struct sluice_handler h = sluice_handler_make("metadata", *nr, metadata_handle, w);

		r = dispatch_add_planner(d, *nr, metadata_handle, w);
		if (r == 0 && trapped)
			r = dispatch_add(d, &h, true);
	}
	return r;
}
