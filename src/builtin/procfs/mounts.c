/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounts, mountinfo and mountstats of a tree of the command's own: its root and what is mounted there, each with the type, device and options of the host's
 * mount that it lies on, and with no path of the host's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builtin/procfs/internal.h"
#include "tree/tree.h"
#include "util/cleanup.h"

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000u /* 5.8 */
#endif
#define FIELD_BYTES 256
#define SPECIAL " \t\n\\#"

/* A mount of the host's, as mountinfo has it. */
struct mount {
	char device[FIELD_BYTES], options[FIELD_BYTES], type[FIELD_BYTES], source[FIELD_BYTES];
};

static unsigned long long mount_id(int fd)
{
	struct statx stx;

	return statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) == 0 && stx.stx_mask & STATX_MNT_ID
		       ? stx.stx_mnt_id
		       : 0;
}

/* The line of mountinfo that begins with number @id. */
static const char *line_of(const char *mountinfo, unsigned long long id)
{
	const char *at = mountinfo;

	while (at && *at && strtoull(at, NULL, 10) != id) {
		at = strchr(at, '\n');
		at += at != NULL;
	}
	return at && *at ? at : NULL;
}

static bool parse(const char *line, struct mount *m)
{
	const char *end = strchr(line, '\n'), *dash = strstr(line, " - ");

	return end && dash && dash < end &&
	       sscanf(line, "%*s %*s %255s %*s %*s %255s", m->device, m->options) == 2 &&
	       sscanf(dash, " - %255s %255s", m->type, m->source) == 2;
}

/* Its options, without what a mount that is read-only for the command alone says of writing. */
static void put_options(FILE *out, const struct mount *m, bool read_only)
{
	const bool has_mode = !strncmp(m->options, "rw", 2) || !strncmp(m->options, "ro", 2);

	fputs(read_only ? "ro" : has_mode ? "" : "rw", out);
	fputs(read_only && has_mode ? m->options + 2 : m->options, out);
}

/*
 * The numbers of the view's mounts: those that the kernel says in fdinfo, statx and name_to_handle_at, but that each is one mount's alone. The first of several that lie on one of the host's has it, the
 * others get numbers beyond.
 */
static unsigned long long *numbers(const struct view *view)
{
	const size_t n = view_count(view);
	unsigned long long *ids = calloc(n, sizeof(*ids)), next = 0;

	for (size_t i = 0; ids && i < n; i++) {
		const struct view_mount *v = view_mount(view, (int)i);

		ids[i] = v->skeleton ? 0 : mount_id(v->fd);
		next = ids[i] >= next ? ids[i] + 1 : next;
	}
	for (size_t i = 0; ids && i < n; i++) {
		size_t first = 0;

		while (ids[first] != ids[i])
			first++;
		if (first < i || !ids[i])
			ids[i] = next++;
	}
	return ids;
}

/* @ids: of it and of the one that it lies in; the root lies in itself */
static void put_mount(FILE *out, const char *format, const struct view_mount *v,
		      const unsigned long long ids[2], const struct mount *m)
{
	if (!strcmp(format, "mountstats")) {
		fprintf(out, "device %s mounted on ", m->source);
		render_escaped(out, v->at, SPECIAL);
		fprintf(out, " with fstype %s\n", m->type);
	} else if (!strcmp(format, "mountinfo")) {
		fprintf(out, "%llu %llu %s / ", ids[0], ids[1], m->device);
		render_escaped(out, v->at, SPECIAL);
		fputc(' ', out);
		put_options(out, m, v->read_only);
		fprintf(out, " - %s %s %s\n", m->type, m->source, v->read_only ? "ro" : "rw");
	} else {
		fprintf(out, "%s ", m->source);
		render_escaped(out, v->at, SPECIAL);
		fprintf(out, " %s ", m->type);
		put_options(out, m, v->read_only);
		fputs(" 0 0\n", out);
	}
}

int content_mounts(const struct content *c, FILE *out)
{
	const struct view *view = c->o->tree->view;
	_cleanup_close_ int fd = openat(c->o->view.root, "self/mountinfo", O_RDONLY | O_CLOEXEC);
	unsigned long long *ids = numbers(view);
	_cleanup_free_ char *host = NULL;
	int r = fd < 0 ? -errno : !ids ? -ENOMEM : content_read(fd, &host);

	for (size_t i = 0; r == 0 && i < view_count(view); i++) {
		const struct view_mount *v = view_mount(view, (int)i);
		const char *line = v->skeleton ? NULL : line_of(host, mount_id(v->fd));
		struct mount m;

		if (line && parse(line, &m))
			put_mount(out, c->part.rest, v,
				  (const unsigned long long[2]){
					  ids[i], ids[v->in_mount < 0 ? (int)i : v->in_mount] },
				  &m);
	}
	free(ids);
	return r;
}
