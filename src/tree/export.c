/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "tree/export.h"

#include <archive.h>
#include <archive_entry.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys/fd.h"
#include "tree/diff.h"
#include "util/fail.h"
#include "util/path.h"

#define WHITEOUT ".wh."
#define OPAQUE_WHITEOUT ".wh..wh..opq"
#define CHUNK_BYTES (256u << 10)

/* ---- the library ---- */

#define FUNCTIONS(X)                               \
	X(archive_write_new)                       \
	X(archive_write_free)                      \
	X(archive_write_close)                     \
	X(archive_write_open_fd)                   \
	X(archive_write_set_format_pax_restricted) \
	X(archive_write_set_options)               \
	X(archive_write_set_bytes_in_last_block)   \
	X(archive_write_header)                    \
	X(archive_write_data)                      \
	X(archive_error_string)                    \
	X(archive_errno)                           \
	X(archive_entry_new)                       \
	X(archive_entry_free)                      \
	X(archive_entry_clear)                     \
	X(archive_entry_set_pathname)              \
	X(archive_entry_set_hardlink)              \
	X(archive_entry_set_symlink)               \
	X(archive_entry_set_mode)                  \
	X(archive_entry_set_uid)                   \
	X(archive_entry_set_gid)                   \
	X(archive_entry_set_size)                  \
	X(archive_entry_set_mtime)                 \
	X(archive_entry_set_rdevmajor)             \
	X(archive_entry_set_rdevminor)             \
	X(archive_entry_xattr_add_entry)           \
	X(archive_entry_sparse_add_entry)

#define MEMBER(name) __typeof__(&(name)) name;
static struct {
	FUNCTIONS(MEMBER)
} lib; /* constant once `loaded` is true */
static bool loaded;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
	void *h = dlopen("libarchive.so.13", RTLD_NOW | RTLD_LOCAL);
	bool all = h;

#define FIND(name) all = all && (*(void **)&lib.name = dlsym(h, #name));
	FUNCTIONS(FIND)
	loaded = all;
}

/* ---- one export ---- */

struct export
{
	struct branch *b;
	const struct branch_export_spec *spec;
	struct sluice_error *err;
	struct changes changes;
	struct archive *a;
	struct archive_entry *e;
	char *buf;
};

static int failed(struct export *x, const char *path)
{
	const char *text = lib.archive_error_string(x->a);
	int r = lib.archive_errno(x->a);

	return fail(x->err, r > 0 ? -r : -EIO, "export: %s: %s", path, text ? text : "failed");
}

static int write_header(struct export *x, const char *path)
{
	int r = lib.archive_write_header(x->a, x->e);

	/* ARCHIVE_WARN is about names that are no text, and they are written as they are */
	return r < ARCHIVE_WARN ? failed(x, path) : 0;
}

static void set_times(struct export *x, const struct stat *st)
{
	const struct timespec *t = x->spec->mtime ? x->spec->mtime : &st->st_mtim;

	lib.archive_entry_set_mtime(x->e, t->tv_sec, t->tv_nsec);
}

static void begin(struct export *x, const char *name, const struct stat *st, mode_t mode)
{
	lib.archive_entry_clear(x->e);
	lib.archive_entry_set_pathname(x->e, name);
	lib.archive_entry_set_mode(x->e, mode);
	lib.archive_entry_set_uid(x->e, st->st_uid);
	lib.archive_entry_set_gid(x->e, st->st_gid);
	lib.archive_entry_set_size(x->e, 0);
	set_times(x, st);
}

/* An empty file of a layer. */
static int write_mark(struct export *x, const char *dir, size_t dir_len, const char *prefix,
		      const char *name)
{
	const struct stat st = { .st_mtim = { 0, 0 } };
	char path[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%.*s%s%s", (int)dir_len, dir, prefix, name);
	begin(x, path, &st, S_IFREG | 0644);
	return write_header(x, path);
}

static int write_deletion(struct export *x, const struct change_item *i)
{
	const char *slash = strrchr(i->path, '/');
	const char *name = slash ? slash + 1 : i->path;

	return write_mark(x, i->path, (size_t)(name - i->path), WHITEOUT, name);
}

static int add_xattrs(struct export *x, int fd)
{
	char link[FD_LINK_BYTES], names[65536];
	ssize_t n;

	fd_link(fd, link);
	n = listxattr(link, names, sizeof(names));
	if (n < 0)
		return errno == EOPNOTSUPP ? 0 : -errno;
	for (const char *at = names; at < names + n; at += strlen(at) + 1) {
		ssize_t len;

		if (!strncmp(at, XATTR_HIDDEN, strlen(XATTR_HIDDEN)))
			continue;
		/* labels are the machine's, not the file's */
		if (strncmp(at, "user.", 5) != 0 && strcmp(at, "security.capability") != 0 &&
		    strncmp(at, XATTR_ACL, strlen(XATTR_ACL)) != 0)
			continue;
		len = getxattr(link, at, x->buf, CHUNK_BYTES);
		if (len < 0)
			return -errno;
		lib.archive_entry_xattr_add_entry(x->e, at, x->buf, (size_t)len);
	}
	return 0;
}

/* The parts that are no holes, when there are holes. */
static void add_extents(struct export *x, int fd, off_t size)
{
	off_t at = 0;

	if (x->spec->format == BRANCH_EXPORT_OCI || lseek(fd, 0, SEEK_HOLE) >= size)
		return;
	while (at < size) {
		off_t data = lseek(fd, at, SEEK_DATA), hole;

		if (data < 0 || data >= size)
			break;
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0 || hole > size)
			hole = size;
		lib.archive_entry_sparse_add_entry(x->e, data, hole - data);
		at = hole;
	}
	if (at < size) /* ends in a hole; an extent of nothing says how far it goes */
		lib.archive_entry_sparse_add_entry(x->e, size, 0);
}

/* The library takes the extents from the whole; a file that shrinks meanwhile is filled up with zeros, as its header says. */
static int write_content(struct export *x, const char *path, int fd, off_t size)
{
	off_t at = 0;

	while (at < size) {
		size_t len = size - at < CHUNK_BYTES ? (size_t)(size - at) : CHUNK_BYTES;
		ssize_t n = pread(fd, x->buf, len, at);

		if (n < 0)
			return fail_errno(x->err, -errno, "export: %s", path);
		if (n == 0) {
			memset(x->buf, 0, len);
			n = (ssize_t)len;
		}
		if (lib.archive_write_data(x->a, x->buf, (size_t)n) < 0)
			return failed(x, path);
		at += n;
	}
	return 0;
}

/* The name under which the same file was written already, or NULL. */
static const char *first_name(const struct export *x, const struct change_item *i)
{
	const struct changes *c = &x->changes;
	const struct change_link *links;

	if (S_ISDIR(i->st.st_mode) || i->st.st_nlink < 2 || !changes_links(c, i->st.st_ino, &links))
		return NULL;
	return &c->items[links->item] == i ? NULL : c->items[links->item].path;
}

static int describe(struct export *x, const struct change_item *i, int at, int fd)
{
	char target[PATH_MAX];
	ssize_t n;

	if (S_ISLNK(i->st.st_mode)) {
		n = readlinkat(at, "", target, sizeof(target) - 1);
		if (n < 0)
			return -errno;
		target[n] = '\0';
		lib.archive_entry_set_symlink(x->e, target);
	}
	if (S_ISCHR(i->st.st_mode) || S_ISBLK(i->st.st_mode)) {
		lib.archive_entry_set_rdevmajor(x->e, major(i->st.st_rdev));
		lib.archive_entry_set_rdevminor(x->e, minor(i->st.st_rdev));
	}
	if (S_ISREG(i->st.st_mode)) {
		lib.archive_entry_set_size(x->e, i->st.st_size);
		add_extents(x, fd, i->st.st_size);
	}
	return add_xattrs(x, at);
}

/* To read the content, whatever its mode lets its owner do. */
static int open_content(int at)
{
	char link[FD_LINK_BYTES];
	struct stat st;
	int fd;

	fd_link(at, link);
	fd = open(link, O_RDONLY | O_CLOEXEC | O_NOATIME);
	if (fd < 0 && errno == EPERM)
		fd = open(link, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == EACCES && fstat(at, &st) == 0 &&
	    chmod(link, (st.st_mode & 07777) | S_IRUSR) == 0) {
		fd = open(link, O_RDONLY | O_CLOEXEC);
		chmod(link, st.st_mode & 07777);
	}
	return fd < 0 ? -errno : fd;
}

static int write_entry(struct export *x, const struct change_item *i)
{
	_cleanup_close_ int at = upper_open_locked(x->b, i->path), fd = -1;
	char name[PATH_MAX + 2];
	const char *first = first_name(x, i);
	int r = at < 0 ? at : 0;

	snprintf(name, sizeof(name), "%s%s", *i->path ? i->path : ".",
		 S_ISDIR(i->st.st_mode) ? "/" : "");
	begin(x, name, &i->st, i->st.st_mode);
	if (r == 0 && first) {
		lib.archive_entry_set_hardlink(x->e, first);
		return write_header(x, i->path);
	}
	if (r == 0 && S_ISREG(i->st.st_mode))
		fd = r = open_content(at);
	if (r >= 0)
		r = describe(x, i, at, fd);
	if (r < 0)
		return fail_errno(x->err, r, "export: %s", i->path);
	r = write_header(x, i->path);
	return r == 0 && fd >= 0 ? write_content(x, i->path, fd, i->st.st_size) : r;
}

/* ---- which of them ---- */

static bool is_written(const struct export *x, const struct change_item *i)
{
	if (i->kind == BRANCH_DELETED)
		return x->spec->format == BRANCH_EXPORT_OCI;
	return i->kind != BRANCH_SAME && !S_ISSOCK(i->st.st_mode);
}

/* A directory that is the same counts when something in it does. */
static bool leads_to_changes(const struct export *x, size_t n)
{
	const struct change_item *dir = &x->changes.items[n];

	if (dir->opaque)
		return true;
	for (n++; n < x->changes.n && path_is_below(x->changes.items[n].path, dir->path); n++) {
		if (is_written(x, &x->changes.items[n]) || x->changes.items[n].opaque)
			return true;
	}
	return false;
}

/* Has the path a part that a layer's reader takes for a whiteout? */
static bool has_reserved_name(const char *path)
{
	const char *slash = path;

	for (; path; path = slash ? slash + 1 : NULL) {
		if (!strncmp(path, WHITEOUT, strlen(WHITEOUT)))
			return true;
		slash = strchr(path, '/');
	}
	return false;
}

/* A command could else have files of lower layers deleted that it did not touch. */
static int check_names(struct export *x)
{
	for (size_t n = 0; n < x->changes.n && x->spec->format == BRANCH_EXPORT_OCI; n++) {
		const struct change_item *i = &x->changes.items[n];

		if (!is_written(x, i) || !has_reserved_name(i->path))
			continue;
		fail(x->err, -EINVAL, "export: %s: in a layer such a name is a whiteout", i->path);
		return fail_hint(x->err, -EINVAL, "another name, or --format tar");
	}
	return 0;
}

static int write_one(struct export *x, size_t n, const char **hidden)
{
	const struct change_item *i = &x->changes.items[n];
	bool dir = i->kind != BRANCH_DELETED && S_ISDIR(i->st.st_mode);
	int r;

	if (i->kind == BRANCH_DELETED) {
		/* what a replaced directory had needs no word of its own */
		if (!is_written(x, i) || (*hidden && path_is_below(i->path, *hidden)))
			return 0;
		return write_deletion(x, i);
	}
	if (!is_written(x, i) && !(dir && *i->path && leads_to_changes(x, n)))
		return 0;
	r = write_entry(x, i);
	if (r == 0 && i->opaque && x->spec->format == BRANCH_EXPORT_OCI) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/", i->path);
		if (!*hidden || !path_is_below(i->path, *hidden))
			*hidden = i->path;
		r = write_mark(x, path, strlen(path), OPAQUE_WHITEOUT, "");
	}
	return r;
}

static int write_all(struct export *x)
{
	const char *hidden = NULL;
	int r = 0;

	for (size_t n = 0; r == 0 && n < x->changes.n; n++)
		r = write_one(x, n, &hidden);
	if (r == 0 && lib.archive_write_close(x->a) != ARCHIVE_OK)
		r = failed(x, "end");
	return r;
}

/* ---- */

static int open_archive(struct export *x)
{
	x->buf = malloc(CHUNK_BYTES);
	x->a = lib.archive_write_new();
	x->e = lib.archive_entry_new();
	if (!x->buf || !x->a || !x->e)
		return fail(x->err, -ENOMEM, "export: no memory");
	/* names are bytes: as they are, in whatever locale */
	if (lib.archive_write_set_format_pax_restricted(x->a) != ARCHIVE_OK ||
	    lib.archive_write_set_options(x->a, "hdrcharset=BINARY,xattrheader=SCHILY") !=
		    ARCHIVE_OK ||
	    lib.archive_write_set_bytes_in_last_block(x->a, 1) != ARCHIVE_OK ||
	    lib.archive_write_open_fd(x->a, x->spec->fd) != ARCHIVE_OK)
		return failed(x, "begin");
	return 0;
}

static int export_rdlocked(struct export *x)
{
	int r = changes_collect_locked(x->b, &x->changes);

	if (r < 0)
		return fail_errno(x->err, r, "export: what has changed");
	r = check_names(x);
	if (r == 0)
		r = open_archive(x);
	return r < 0 ? r : write_all(x);
}

int branch_export(struct branch *b, const struct branch_export_spec *spec, struct sluice_error *err)
{
	struct export x = { .b = b, .spec = spec, .err = err };
	int r;

	pthread_once(&once, load);
	if (!loaded)
		return fail(err, -ENOSYS, "export: libarchive.so.13 is not to be had");
	r = branch_reading_begin(b);
	if (r < 0)
		return fail_errno(err, r, "export: what has changed");
	r = export_rdlocked(&x);
	branch_reading_end(b);
	changes_fini(&x.changes);
	if (x.e)
		lib.archive_entry_free(x.e);
	if (x.a)
		lib.archive_write_free(x.a);
	free(x.buf);
	return r;
}
