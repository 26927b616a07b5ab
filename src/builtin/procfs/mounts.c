/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mounts, mountinfo and mountstats of a tree of the command's own: its root and what is mounted there, each with the type, device and options of the host's
 * mount that it lies on, and with no path of the host's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builtin/procfs/internal.h"
#include "sys/fd.h"
#include "tree/tree.h"
#include "util/cleanup.h"

#define FIELD_BYTES 256
#define SPECIAL " \t\n\\#"

/* A mount of the host's, as mountinfo has it. */
struct mount {
	char device[FIELD_BYTES], options[FIELD_BYTES], type[FIELD_BYTES], source[FIELD_BYTES];
};

/* The line of mountinfo that begins with number @id. */
static const char *line_of(const char *mountinfo, uint64_t id)
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

/* Of a mount of the view. */
struct number {
	uint64_t host; /* of the host's mount that it lies on; 0: it is nowhere */
	uint64_t
		shown; /* that one, but each is one mount's alone: the first has it, others on the same get numbers beyond */
};

/* So that most are found by what the kernel says in fdinfo, statx and name_to_handle_at. NULL: no memory. */
static struct number *numbers(const struct view *view)
{
	const size_t n = view_count(view);
	struct number *ids = calloc(n, sizeof(*ids));
	uint64_t next = 0;

	for (size_t i = 0; ids && i < n; i++) {
		const struct view_mount *v = view_mount(view, (int)i);

		ids[i].host = v->skeleton ? 0 : fd_mount_id(v->fd);
		next = ids[i].host >= next ? ids[i].host + 1 : next;
	}
	for (size_t i = 0; ids && i < n; i++) {
		size_t first = 0;

		while (ids[first].host != ids[i].host)
			first++;
		ids[i].shown = first < i || !ids[i].host ? next++ : ids[i].host;
	}
	return ids;
}

/* @id, @parent: the root lies in itself */
static void put_mount(FILE *out, const char *format, const struct view_mount *v, uint64_t id,
		      uint64_t parent, const struct mount *m)
{
	if (!strcmp(format, "mountstats")) {
		fprintf(out, "device %s mounted on ", m->source);
		render_escaped(out, v->at, SPECIAL);
		fprintf(out, " with fstype %s\n", m->type);
	} else if (!strcmp(format, "mountinfo")) {
		fprintf(out, "%" PRIu64 " %" PRIu64 " %s / ", id, parent, m->device);
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
	struct number *ids = numbers(view);
	_cleanup_free_ char *host = NULL;
	int r = fd < 0 ? -errno : !ids ? -ENOMEM : content_read(fd, &host);

	for (size_t i = 0; r == 0 && i < view_count(view); i++) {
		const struct view_mount *v = view_mount(view, (int)i);
		const char *line = v->skeleton ? NULL : line_of(host, ids[i].host);
		struct mount m;

		if (line && parse(line, &m))
			put_mount(out, c->part.rest, v, ids[i].shown,
				  ids[v->in_mount < 0 ? (int)i : v->in_mount].shown, &m);
	}
	free(ids);
	return r;
}
