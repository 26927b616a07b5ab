/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/changes.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "util/fail.h"
#include "util/quote.h"

struct writing {
	enum changes_format format;
	FILE *out;
	bool any;
};

static const char *type_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	case S_IFCHR:
	case S_IFBLK:
		return "device";
	default:
		return "file";
	}
}

static int write_one(const struct sluice_cow_change *c, void *userdata)
{
	struct writing *w = userdata;
	char quoted[6 * PATH_MAX];

	switch (w->format) {
	case CHANGES_NUL:
		fprintf(w->out, "%c %s%c", c->kind, c->path, '\0');
		break;
	case CHANGES_JSON:
		quote_json(c->path, strlen(c->path), quoted, sizeof(quoted));
		fprintf(w->out,
			"%s\n  {\"change\": \"%c\", \"path\": \"%s\", \"type\": \"%s\", \"mode\": \"%04o\", "
			"\"size\": %llu}",
			w->any ? "," : "", c->kind, quoted, type_of(c->mode), c->mode & 07777u,
			(unsigned long long)c->size);
		break;
	default:
		quote_text(c->path, strlen(c->path), quoted, sizeof(quoted));
		fprintf(w->out, "%c %s\n", c->kind, quoted);
	}
	w->any = true;
	return ferror(w->out) ? -EIO : 0;
}

int changes_write(struct sluice_cow *cow, enum changes_format format, FILE *out,
		  struct sluice_error *err)
{
	struct writing w = { format, out, false };
	int r;

	if (format == CHANGES_JSON)
		fputc('[', out);
	r = sluice_cow_changes(cow, write_one, &w);
	if (format == CHANGES_JSON)
		fputs(w.any ? "\n]\n" : "]\n", out);
	if (r == 0 && fflush(out) != 0)
		r = -errno;
	return r < 0 ? fail_errno(err, r, "changes of branch %s", sluice_cow_name(cow)) : 0;
}
