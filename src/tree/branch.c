/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A branch's life: made, opened again, listed, let go of, removed.
 *
 * The directory is made under a temporary name and renamed, so a branch that can be seen is whole. branch.json is replaced in the same way.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "sys/dir.h"
#include "sys/fd.h"
#include "tree/life.h"
#include "tree/remove.h"
#include "util/fail.h"
#include "util/jsontext.h"

#define META "branch.json"
#define META_NEXT "branch.json.next"
#define META_VERSION 2

/* ---- descriptors and memory ---- */

static struct branch *branch_alloc(const struct branch_spec *spec)
{
	struct branch *b = calloc(1, sizeof(*b));
	pthread_rwlockattr_t attr;

	if (!b)
		return NULL;
	b->storage_fd = b->dir_fd = b->upper_fd = b->work_fd = b->index_fd = b->lock_fd =
		b->log_fd = b->room_fd = -1;
	b->wide.journal = -1;
	b->look_ns = UINT64_MAX;
	b->durable = spec->durable;
	b->max_bytes = spec->max_bytes;
	b->name = strdup(spec->name);
	if (!b->name || nodes_init(&b->nodes) < 0) {
		free(b->name);
		free(b);
		return NULL;
	}
	pthread_rwlockattr_init(&attr);
	/* a stream of lookups must not hold up a change for ever */
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&b->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	pthread_mutex_init(&b->copying_lock, NULL);
	pthread_cond_init(&b->copied, NULL);
	pthread_mutex_init(&b->log_lock, NULL);
	pthread_mutex_init(&b->room_lock, NULL);
	return b;
}

static void close_all(struct branch *b)
{
	const int fds[] = { b->storage_fd, b->dir_fd,  b->upper_fd, b->work_fd,
			    b->index_fd,   b->lock_fd, b->log_fd };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	for (size_t i = 0; i < b->n_lowers; i++)
		close(b->lower_fds[i]);
	room_fini(b);
}

struct branch *branch_close(struct branch *b)
{
	if (!b)
		return NULL;
	close_all(b);
	nodes_fini(&b->nodes);
	links_fini(&b->links);
	identities_fini(&b->identities);
	identities_fini(&b->owners);
	wide_fini(b);
	pthread_rwlock_destroy(&b->lock);
	pthread_mutex_destroy(&b->copying_lock);
	pthread_cond_destroy(&b->copied);
	pthread_mutex_destroy(&b->log_lock);
	pthread_mutex_destroy(&b->room_lock);
	free(b->name);
	free(b);
	return NULL;
}

static int open_dir(int at, const char *name, int *ret)
{
	*ret = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret < 0 ? -errno : 0;
}

static bool is_name(const char *name)
{
	return *name && *name != '.' && !strchr(name, '/') && strlen(name) <= 200;
}

static int open_storage(struct branch *b, const struct branch_spec *spec, struct sluice_error *err)
{
	if (!is_name(spec->name))
		return fail(err, -EINVAL, "branch: %s: not a name", spec->name);
	b->storage_fd = open(spec->storage, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (b->storage_fd < 0)
		return fail_errno(err, -errno, "branch storage: %s", spec->storage);
	return 0;
}

static int keep_lowers(struct branch *b, const struct branch_spec *spec)
{
	for (size_t i = 0; i < spec->n_lowers; i++) {
		int fd = fcntl(spec->lower_fds[i], F_DUPFD_CLOEXEC, 3);

		if (fd < 0)
			return -errno;
		b->lower_fds[b->n_lowers++] = fd;
	}
	return 0;
}

/* ---- branch.json ---- */

/* Bytes as code points, so that any path survives. */
static json_t *json_bytes(const char *bytes)
{
	size_t n = strlen(bytes), at = 0;
	char *text = malloc(2 * n + 1);
	json_t *value;

	if (!text)
		return NULL;
	for (const unsigned char *c = (const unsigned char *)bytes; *c; c++) {
		if (*c < 0x80) {
			text[at++] = (char)*c;
		} else {
			text[at++] = (char)(0xc0 | *c >> 6);
			text[at++] = (char)(0x80 | (*c & 0x3f));
		}
	}
	value = json_stringn(text, at);
	free(text);
	return value;
}

static bool bytes_of(const json_t *value, char *buf, size_t size)
{
	const unsigned char *c = (const unsigned char *)json_string_value(value);
	size_t n = 0;

	for (; c && *c && n + 1 < size; c++) {
		if (*c >= 0x80) {
			buf[n++] = (char)((c[0] & 3) << 6 | (c[1] & 0x3f));
			c++;
		} else {
			buf[n++] = (char)*c;
		}
	}
	buf[n] = '\0';
	return c && !*c;
}

static json_t *lower_json(int fd)
{
	char link[FD_LINK_BYTES], path[PATH_MAX];
	struct stat st;
	ssize_t n;

	fd_link(fd, link);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0 || fstat(fd, &st) < 0)
		return NULL;
	path[n] = '\0';
	return json_pack("{s:o, s:I, s:I}", "path", json_bytes(path), "dev", (json_int_t)st.st_dev,
			 "ino", (json_int_t)st.st_ino);
}

static json_t *meta_json(const struct branch *b)
{
	json_t *lowers = json_array();

	for (size_t i = 0; i < b->n_lowers; i++) {
		if (json_array_append_new(lowers, lower_json(b->lower_fds[i])) < 0) {
			json_decref(lowers);
			return NULL;
		}
	}
	return json_pack("{s:i, s:I, s:s, s:o}", "version", META_VERSION, "created",
			 (json_int_t)b->created, "state", b->committing ? "committing" : "open",
			 "lowers", lowers);
}

int branch_write_meta(const struct branch *b)
{
	json_t *meta = meta_json(b);
	_cleanup_free_ char *text = jsontext_dump(meta);
	_cleanup_close_ int fd = -1;
	int r;

	json_decref(meta);
	if (!text)
		return -ENOMEM;
	fd = openat(b->dir_fd, META_NEXT, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, text, strlen(text));
	if (r == 0 && b->durable && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(b->dir_fd, META_NEXT, b->dir_fd, META) < 0)
		r = -errno;
	return r;
}

static json_t *load_meta(int dir_fd)
{
	int fd = openat(dir_fd, META, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	json_t *meta = fd < 0 ? NULL : json_loadfd(fd, JSON_REJECT_DUPLICATES, NULL);

	if (fd >= 0)
		close(fd);
	if (meta && json_integer_value(json_object_get(meta, "version")) != META_VERSION) {
		json_decref(meta);
		meta = NULL;
	}
	return meta;
}

static bool is_committing(const json_t *meta)
{
	const char *state = json_string_value(json_object_get(meta, "state"));

	return state && !strcmp(state, "committing");
}

/* A device's number may be another one after a boot, where the path is what tells. */
static bool is_lower(const json_t *lower, const char *path, int fd)
{
	char now[PATH_MAX];
	struct stat st;

	if (fstat(fd, &st) < 0 ||
	    st.st_ino != (ino_t)json_integer_value(json_object_get(lower, "ino")))
		return false;
	return st.st_dev == (dev_t)json_integer_value(json_object_get(lower, "dev")) ||
	       (fd_path(fd, now, sizeof(now)) >= 0 && !strcmp(now, path));
}

/* The lower directory that branch.json names, by path; or the caller's, which must be the same one, though it may have been moved. */
static int open_lower(struct branch *b, const json_t *lower, int given, struct sluice_error *err)
{
	char path[PATH_MAX], now[PATH_MAX] = "?";
	int fd;

	if (!bytes_of(json_object_get(lower, "path"), path, sizeof(path)))
		return fail(err, -EINVAL, "branch %s: %s: damaged", b->name, META);
	fd = given >= 0 ? fcntl(given, F_DUPFD_CLOEXEC, 3)
			: open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(err, -errno, "branch %s: lower directory %s", b->name, path);
	b->lower_fds[b->n_lowers++] = fd;
	if (is_lower(lower, path, fd))
		return 0;
	if (given < 0)
		return fail(err, -ESTALE, "branch %s: %s is not the directory it was made from",
			    b->name, path);
	fd_path(fd, now, sizeof(now));
	return fail(err, -ESTALE, "branch %s: it was made from %s, not from %s", b->name, path,
		    now);
}

static int open_lowers(struct branch *b, const json_t *meta, const struct branch_spec *spec,
		       struct sluice_error *err)
{
	const json_t *lowers = json_object_get(meta, "lowers");
	size_t n = json_array_size(lowers);
	int r = 0;

	if (n == 0 || n > BRANCH_LOWERS_MAX)
		return fail(err, -EINVAL, "branch %s: %s: damaged", b->name, META);
	if (spec->lower_fds && spec->n_lowers != n)
		return fail(err, -ESTALE,
			    "branch %s: it was made from %zu lower directories, not %zu", b->name,
			    n, spec->n_lowers);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = open_lower(b, json_array_get(lowers, i),
			       spec->lower_fds ? spec->lower_fds[i] : -1, err);
	return r;
}

/* ---- its own directories ---- */

/* Whiteouts by creation and by rename, exchange, and attributes: what everything here stands on. */
static int probe(int work_fd)
{
	char link[64];
	struct stat st;
	int r = 0, fd = openat(work_fd, "#probe", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	r = set_opaque(fd);
	fd_link(fd, link);
	close(fd);
	if (r == 0)
		r = make_whiteout(work_fd, "#probe.w");
	if (r == 0 && renameat2(work_fd, "#probe", work_fd, "#probe.w", RENAME_EXCHANGE) < 0)
		r = -errno;
	if (r == 0 && renameat2(work_fd, "#probe.w", work_fd, "#probe.d", RENAME_WHITEOUT) < 0)
		r = -errno;
	if (r == 0 &&
	    (fstatat(work_fd, "#probe.w", &st, AT_SYMLINK_NOFOLLOW) < 0 || !is_whiteout(&st)))
		r = -ENOTSUP;
	return r;
}

/* Left over by a crash, or by an overlayfs that was mounted in between. */
static void empty_work(int work_fd)
{
	const struct dirent *e;
	DIR *d;

	if (dir_open(work_fd, ".", 0, &d) < 0)
		return;
	while ((e = dir_next(d)))
		remove_tree(work_fd, e->d_name);
	closedir(d);
}

/* A mounted overlayfs leaves it with mode 0. */
static int open_inner(int outer, const char *name, int *ret)
{
	if ((mkdirat(outer, name, 0700) < 0 && errno != EEXIST) ||
	    fchmodat(outer, name, 0700, 0) < 0)
		return -errno;
	return open_dir(outer, name, ret);
}

static int open_own(struct branch *b)
{
	_cleanup_close_ int outer = -1;
	int r = open_dir(b->dir_fd, "upper", &b->upper_fd);
	struct stat st;

	if (r == 0)
		r = open_dir(b->dir_fd, "work", &outer);
	if (r == 0)
		r = open_inner(outer, "work", &b->work_fd);
	if (r == 0)
		r = open_inner(outer, "index", &b->index_fd);
	if (r == 0 && fstat(b->upper_fd, &st) < 0)
		r = -errno;
	if (r < 0)
		return r;
	b->upper_dev = st.st_dev;
	b->nodes.root->ino = st.st_ino;
	origins_learn(b);
	b->log_fd = openat(b->dir_fd, "covered.log",
			   O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return b->log_fd < 0 ? -errno : 0;
}

static int take_lock(struct branch *b)
{
	b->lock_fd = openat(b->dir_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (b->lock_fd < 0)
		return -errno;
	if (flock(b->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return 0;
}

/* It shows something else than one lower tree does, so nobody may take it for unchanged. */
static void set_changed(struct branch *b)
{
	atomic_store(&b->generation, 1);
}

/* The root shows the lower one's attributes and identity. */
static int copy_root(struct branch *b)
{
	struct stat st;
	int r = fstat(b->lower_fds[0], &st) < 0 ? -errno : 0;

	if (r == 0)
		r = copy_attributes(b->lower_fds[0], &st, b->upper_fd);
	return r;
}

static int identify_root(struct branch *b)
{
	struct stat st, own;
	int r = fstat(b->lower_fds[0], &st) < 0 || fstat(b->upper_fd, &own) < 0
			? -errno
			: identities_reserve(&b->identities, 1);

	if (r == 0)
		identities_set(&b->identities, own.st_ino, st.st_dev, st.st_ino);
	if (r == 0 && geteuid() != 0 && owner_differs(&st, &own)) {
		r = owner_reserve(b);
		if (r == 0)
			owner_set(b, own.st_ino, st.st_uid, st.st_gid);
	}
	return r;
}

/* ---- what is no branch, yet or any more ---- */

/* In front of the branch's name, the process's number behind it. */
#define COMING ".sluice-new."
#define GOING ".sluice-old."

static void hidden_name(const struct branch *b, const char *prefix, char buf[256])
{
	snprintf(buf, 256, "%s%s.%d", prefix, b->name, (int)getpid());
}

static bool has_prefix(const char *name, const char *prefix)
{
	return !strncmp(name, prefix, strlen(prefix));
}

/* The process that made it may be in another pid namespace, so its lock is asked too; without one nothing is in it. */
static bool is_abandoned(int storage_fd, const char *name)
{
	const char *number = strrchr(name, '.') + 1;
	_cleanup_close_ int fd = -1, lock = -1;

	if (kill((pid_t)atoi(number), 0) == 0 || errno != ESRCH ||
	    open_dir(storage_fd, name, &fd) < 0)
		return false;
	lock = openat(fd, "lock", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (lock < 0)
		unlinkat(storage_fd, name, AT_REMOVEDIR);
	return lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0;
}

bool branch_is_one(int storage_fd, const char *name)
{
	char meta[NAME_MAX + sizeof(META) + 2];

	if (has_prefix(name, GOING) || has_prefix(name, COMING))
		return true;
	snprintf(meta, sizeof(meta), "%s/%s", name, META);
	return faccessat(storage_fd, meta, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Remove what others left when they were killed while they made or removed a branch. */
static void remove_abandoned(int storage_fd)
{
	const struct dirent *e;
	DIR *d;

	if (dir_open(storage_fd, ".", 0, &d) < 0)
		return;
	while ((e = readdir(d))) {
		if (has_prefix(e->d_name, GOING) ||
		    (has_prefix(e->d_name, COMING) && is_abandoned(storage_fd, e->d_name)))
			remove_tree(storage_fd, e->d_name);
	}
	closedir(d);
}

/* ---- create ---- */

static int make_own(struct branch *b, const char *temporary)
{
	_cleanup_close_ int work = -1;
	int r;

	if (mkdirat(b->storage_fd, temporary, 0700) < 0)
		return -errno;
	r = open_dir(b->storage_fd, temporary, &b->dir_fd);
	if (r == 0)
		r = take_lock(b);
	if (r == 0 &&
	    (mkdirat(b->dir_fd, "upper", 0700) < 0 || mkdirat(b->dir_fd, "work", 0700) < 0))
		r = -errno;
	if (r == 0)
		r = open_own(b);
	if (r == 0 && mkdirat(b->work_fd, "#probe", 0700) < 0)
		r = -errno;
	if (r == 0)
		r = probe(b->work_fd) < 0 ? -ENOTSUP : 0;
	if (r == 0)
		empty_work(b->work_fd);
	return r;
}

static int create(struct branch *b, const struct branch_spec *spec, const char *temporary,
		  struct sluice_error *err)
{
	int r;

	if (!spec->lower_fds || spec->n_lowers == 0 || spec->n_lowers > BRANCH_LOWERS_MAX)
		return fail(err, -EINVAL, "branch %s: 1 to %u lower directories", spec->name,
			    BRANCH_LOWERS_MAX);
	b->created = time(NULL);
	r = keep_lowers(b, spec);
	if (r == 0)
		r = make_own(b, temporary);
	if (branch_merges_lowers(b))
		set_changed(b);
	if (r == -ENOTSUP)
		return fail(err, r,
			    "branch storage %s: no overlayfs whiteouts or user attributes there",
			    spec->storage);
	if (r == 0) {
		r = room_init(b, err);
		if (r < 0)
			return r;
		r = copy_root(b);
	}
	if (r == 0)
		r = identify_root(b);
	if (r == 0)
		r = branch_write_meta(b);
	if (r == 0 &&
	    renameat2(b->storage_fd, temporary, b->storage_fd, b->name, RENAME_NOREPLACE) < 0)
		r = -errno;
	return r < 0 ? fail_errno(err, r, "branch %s in %s", spec->name, spec->storage) : 0;
}

int branch_create(const struct branch_spec *spec, struct branch **ret, struct sluice_error *err)
{
	struct branch *b = branch_alloc(spec);
	char temporary[256];
	int r;

	if (!b)
		return fail(err, -ENOMEM, "branch %s: no memory", spec->name);
	hidden_name(b, COMING, temporary);
	r = open_storage(b, spec, err);
	if (r == 0) {
		remove_abandoned(b->storage_fd);
		r = create(b, spec, temporary, err);
		if (r < 0)
			remove_tree(b->storage_fd, temporary);
	}
	if (r < 0)
		branch_close(b);
	else
		*ret = b;
	return r;
}

/* ---- open ---- */

static int open_existing(struct branch *b, const struct branch_spec *spec, struct sluice_error *err)
{
	json_t *meta;
	int r = open_dir(b->storage_fd, b->name, &b->dir_fd);

	if (r < 0)
		return fail_errno(err, r, "branch %s in %s", b->name, spec->storage);
	r = take_lock(b);
	if (r == -EBUSY)
		return fail(err, r, "branch %s: in use", b->name);
	meta = r < 0 ? NULL : load_meta(b->dir_fd);
	if (r == 0 && !meta)
		return fail(err, -EINVAL, "branch %s: %s: missing or damaged", b->name, META);
	if (r == 0) {
		b->created = json_integer_value(json_object_get(meta, "created"));
		b->committing = is_committing(meta);
		r = open_lowers(b, meta, spec, err);
		json_decref(meta);
		if (r < 0)
			return r;
		r = open_own(b);
	}
	if (r == 0) {
		r = room_init(b, err);
		if (r < 0)
			return r;
		empty_work(b->work_fd);
		r = identify_root(b);
	}
	if (r == 0)
		r = branch_scan(b);
	if (r == 0 && spec->lower_fds) /* where the lower trees are by now */
		r = branch_write_meta(b);
	set_changed(b);
	return r < 0 ? fail_errno(err, r, "branch %s", b->name) : 0;
}

int branch_open(const struct branch_spec *spec, struct branch **ret, struct sluice_error *err)
{
	struct branch *b = branch_alloc(spec);
	int r;

	if (!b)
		return fail(err, -ENOMEM, "branch %s: no memory", spec->name);
	r = open_storage(b, spec, err);
	if (r == 0)
		r = open_existing(b, spec, err);
	if (r < 0)
		branch_close(b);
	else
		*ret = b;
	return r;
}

void branch_set_durable(struct branch *b, bool durable)
{
	b->durable = durable;
}

int branch_abort(struct branch *b)
{
	char name[256];
	int r = 0;

	if (b->committing)
		commit_clear(b);
	/* first out of sight: what is left after a crash is no branch any more */
	hidden_name(b, GOING, name);
	if (renameat(b->storage_fd, b->name, b->storage_fd, name) < 0)
		r = -errno;
	else
		remove_tree(b->storage_fd, name);
	branch_close(b);
	return r;
}

/* ---- list ---- */

static bool is_live(int dir_fd)
{
	int fd = openat(dir_fd, "lock", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	bool live = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0;

	if (fd >= 0)
		close(fd);
	return live;
}

static bool describe(int storage_fd, const char *name, struct branch_info *info)
{
	_cleanup_close_ int fd = -1;
	json_t *meta;

	memset(info, 0, sizeof(*info));
	if (!is_name(name) || open_dir(storage_fd, name, &fd) < 0 ||
	    faccessat(fd, "upper", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	snprintf(info->name, sizeof(info->name), "%s", name);
	info->live = is_live(fd);
	meta = load_meta(fd);
	info->broken = !meta ||
		       !bytes_of(json_object_get(json_array_get(json_object_get(meta, "lowers"), 0),
						 "path"),
				 info->lower, sizeof(info->lower));
	if (meta) {
		info->created = json_integer_value(json_object_get(meta, "created"));
		info->committing = is_committing(meta);
		json_decref(meta);
	}
	return true;
}

int branch_each(const char *storage, int (*fn)(const struct branch_info *info, void *arg),
		void *arg)
{
	struct dirent **names;
	int fd = open(storage, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int n = fd < 0 ? -1 : scandirat(fd, ".", &names, NULL, alphasort);
	int r = n < 0 ? -errno : 0;

	for (int i = 0; i < n; i++) {
		struct branch_info info;

		if (r == 0 && describe(fd, names[i]->d_name, &info))
			r = fn(&info, arg);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	if (fd >= 0)
		close(fd);
	return r;
}
