/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy-on-write tree: lower directories that are only read, and one upper directory that takes every change.
 *
 * Model. STORAGE/NAME/ holds upper/ and work/, which are what the kernel's overlayfs (mount option userxattr) would have written: 0:0 character
 * devices hide lower names, user.overlay.opaque hides a lower directory's content, user.overlay.origin names a copied-up file's source. Next to
 * them branch.json says what the branch is, covered.log which lower file each path of the upper hid (what commit compares), and lock is
 * flock'ed by whoever has the branch open. Every change is one rename or one creation in upper/, so a crash leaves the old or the new.
 *
 * Paths are relative to the root, canonical ("" is the root, "a/b"; no "..", no "//"), at most PATH_MAX; the caller has resolved all but the last name: parents are directories
 * and no symbolic links. Nothing here follows a symbolic link. Modes come with the umask applied already, and the calling thread's own
 * umask is 0.
 *
 * Threads: any, at any time, except branch_close. One lock guards names; the copying of file contents is done outside of it, and
 * two copy-ups of one file wait for each other only. Who holds the lock makes short system calls on the upper directory, never ones that wait
 * for a FIFO or for data.
 *
 * Errors: all functions return 0 (or what they say) or the negative errno that overlayfs would give; a failed one has changed nothing that is
 * seen. Descriptors returned are O_CLOEXEC and the caller's.
 */
#ifndef SLUICE_TREE_BRANCH_H
#define SLUICE_TREE_BRANCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include <sluice/error.h>

#define BRANCH_LOWERS_MAX 16u

struct branch;
struct dirents_source;

struct branch_spec {
	const char *storage; /* a directory that exists */
	const char *name;    /* of the branch: one path component */
	const int *
		lower_fds; /* borrowed; topmost first. NULL for branch_open: where branch.json says */
	size_t n_lowers;
	uint64_t max_bytes; /* 0: no quota */
	bool durable; /* commit reaches the disk before it returns; else nothing is waited for */
};

/* ---- life ---- */

/*
 * A new branch. -EEXIST when there is one of the name, -ENOTSUP when the storage cannot hold whiteouts or user.* attributes. What was made is removed when it fails, and what others left in the storage when
 * they were killed while they made or removed a branch.
 */
int branch_create(const struct branch_spec *spec, struct branch **ret, struct sluice_error *err);
/* One that exists. -EBUSY while another process has it open, -ESTALE when a lower directory is another one now, or than the one given. */
int branch_open(const struct branch_spec *spec, struct branch **ret, struct sluice_error *err);
/* Let go of it; it stays on disk. NULL is fine. No other call may be running. Returns NULL. */
struct branch *branch_close(struct branch *b);
/* Close it and remove it from the disk. */
int branch_abort(struct branch *b);
/* As branch_spec has it, from the next commit on. No other call may be running. */
void branch_set_durable(struct branch *b, bool durable);

struct branch_info {
	char name[256];
	int64_t created; /* seconds of CLOCK_REALTIME */
	bool live;	 /* somebody has it open */
	bool committing; /* a commit was begun and did not end */
	bool broken;	 /* branch.json cannot be read */
	char lower[4096];
};

/* Call @fn for each branch in @storage, by name; stops at the first non-zero value, and returns it. */
int branch_each(const char *storage, int (*fn)(const struct branch_info *info, void *arg),
		void *arg);

/* Is @name in the directory @storage_fd a branch, or one that is being made or removed? */
bool branch_is_one(int storage_fd, const char *name);

/* ---- looking ---- */

enum branch_kind {
	BRANCH_NONE = 0,
	BRANCH_LOWER,  /* unchanged */
	BRANCH_UPPER,  /* new, copied up, or a directory that hides the lower one */
	BRANCH_MERGED, /* a directory with an upper and a lower part */
};

struct branch_entry {
	enum branch_kind kind;
	int fd;		/* O_PATH, of the topmost part; -1 for BRANCH_NONE and after branch_stat */
	struct stat st; /* as shown: a copied-up file keeps its lower device and inode */
};

/* 0 with BRANCH_NONE where nothing is. -ENOTDIR, -ENAMETOOLONG, -EACCES and what else an open gives. */
int branch_lookup(struct branch *b, const char *path, struct branch_entry *ret);
/* The same without keeping a descriptor. */
int branch_stat(struct branch *b, const char *path, struct branch_entry *ret);
/*
 * Is @path, and all above and below it, what the (only) lower tree shows, so that the kernel may resolve it there by itself? Makes no
 * system call. Always false with several lower trees, once the rights on any directory were changed, and while a file that was copied up may have other
 * names that nobody has met yet.
 */
bool branch_is_unchanged(struct branch *b, const char *path);
/* A directory that a path was begun from. */
struct branch_base {
	size_t length; /* of the path: so much of it names the directory */
	bool lower;    /* the descriptor is of the lower tree, else of the upper one */
	ino_t ino;     /* of what the descriptor names */
};

/*
 * A descriptor of @path where the upper directory has it, and all above it, so that one call finds it: as branch_lookup would. With @flags O_PATH (and O_NOFOLLOW), or of a
 * regular file for reading. @base: what must still be at the path's beginning; NULL: nothing. -ENODATA: not so, and other errors of openat2.
 */
int branch_open_upper(struct branch *b, const char *path, const struct branch_base *base,
		      uint64_t flags);

/* A name and the directory that it is in. The descriptors are O_PATH and the caller's. */
struct branch_name {
	int dir;
	int fd;		/* -1: nothing is there */
	struct stat st; /* as it is shown */
};
/* As branch_open_upper, for who wants @path's last name and the directory, which is the upper one. */
int branch_open_name(struct branch *b, const char *path, const struct branch_base *base,
		     struct branch_name *ret);
/* Changes whenever any name of the tree changes; for caches of the caller's. 0: it is what its one lower tree is. */
uint64_t branch_generation(const struct branch *b);
/* Bytes of the upper directory's files, those that grew through open descriptors included as far as they are watched (src/tree/room.c). */
uint64_t branch_used_bytes(struct branch *b);

struct branch_room {
	uint64_t used, max;
	unsigned next_ms; /* look again after so long; 0: when branch_room_fd becomes readable */
	bool hold; /* it is full, and there are open files: processes must not write any more */
};

/*
 * The quota for descriptors that are open already (src/tree/room.c has the model): whoever runs the tasks, on one thread, calls branch_room_check whenever the last one's time is over and whenever
 * branch_room_fd (an eventfd, read by the caller; -1 without a quota) becomes readable; while it says `hold`, and once after it, branch_room_hold for every process until none is left that it changes.
 */
void branch_room_check(struct branch *b, struct branch_room *ret);
int branch_room_fd(const struct branch *b);
/* Let the process @pid of this user write to files, or not, as branch_room_check said last. 1: that is new to it, 0: it was so already; -ESRCH it is gone, -EPERM it is another user's now. */
int branch_room_hold(struct branch *b, pid_t pid);
/*
 * After that: do they go on writing all the same, by far? @quiet: all were held before this look, so that it was no process that was missed.
 */
bool branch_room_is_past(struct branch *b, bool quiet);

struct rlimit;
/* setrlimit(RLIMIT_FSIZE) by the process @pid: what it asks for, but not while it is held. 0 or -errno; @ret_old may be NULL. */
int branch_room_limit(struct branch *b, pid_t pid, const struct rlimit *limit,
		      struct rlimit *ret_old);
/* fallocate(2) on any open file: -ENOSPC where the quota does not have it. */
int branch_room_allocate(struct branch *b, int fd, int mode, off_t offset, off_t length);
/* A descriptor for reading of what the lower trees show at @path. -ENOENT, -ELOOP a symbolic link, -ENXIO ... */
int branch_open_lower(struct branch *b, const char *path);
/* Does it consist of several lower trees? Then none of them is what it shows, not even before the first change. */
bool branch_merges_lowers(const struct branch *b);
/* Borrowed; -1 when there is no such layer. */
int branch_lower_fd(const struct branch *b, size_t layer);
int branch_upper_fd(const struct branch *b);
/* All that stat shows otherwise than fstat of a descriptor that came from here did: @st is changed in place. */
void branch_show(struct branch *b, struct stat *st);
/* As faccessat2(2) of the descriptor @fd that came from here, by the rights that are shown. @flags: AT_EACCESS. 0 or -errno. */
int branch_access(struct branch *b, int fd, int mode, int flags);
/* As readlink(2); -EINVAL on what is no symbolic link. */
ssize_t branch_readlink(struct branch *b, const char *path, char *buf, size_t size);
/* user.overlay.* is not there. Sizes and errors as getxattr(2), listxattr(2). */
ssize_t branch_getxattr(struct branch *b, const char *path, const char *name, void *buf,
			size_t size);
ssize_t branch_listxattr(struct branch *b, const char *path, char *buf, size_t size);
/* The same of a file of any branch, by its descriptor, which may be O_PATH. */
ssize_t branch_fgetxattr(int fd, const char *name, void *buf, size_t size);
ssize_t branch_flistxattr(int fd, char *buf, size_t size);

/* ---- directories ---- */

/*
 * The directories that merge at one path, opened with @flags: O_RDONLY or O_PATH. parent_ino is the directory's own number at the root.
 */
struct branch_layers {
	struct branch *b;
	const char *path;		/* borrowed */
	int fds[BRANCH_LOWERS_MAX + 1]; /* topmost first */
	size_t n;
	bool has_upper; /* the first one */
	uint64_t ino, parent_ino;
};
int branch_layers_open(struct branch *b, const char *path, int flags, struct branch_layers *ret);
void branch_layers_close(struct branch_layers *l);
/* As a source of src/tree/dirents.h, which holds on to @l. */
struct dirents_source branch_layers_source(struct branch_layers *l);

/* ---- changing ---- */

/*
 * As open(2) with O_NOFOLLOW: returns a descriptor for *ret_fd. O_PATH is not for here (branch_lookup), O_TMPFILE is. May block as open does
 * (a FIFO), and for as long as a copy-up takes.
 */
int branch_open_file(struct branch *b, const char *path, int flags, mode_t mode, int *ret_fd);
int branch_mkdir(struct branch *b, const char *path, mode_t mode);
int branch_rmdir(struct branch *b, const char *path);
int branch_unlink(struct branch *b, const char *path);
int branch_symlink(struct branch *b, const char *target, const char *path);
int branch_link(struct branch *b, const char *from, const char *to);
/* Give a name to a file of O_TMPFILE (or one that still has a name) in the upper directory; -EXDEV for others. */
int branch_link_fd(struct branch *b, int fd, const char *to);
int branch_mknod(struct branch *b, const char *path, mode_t mode, dev_t dev);
/* Makes an entry @name in directory @dir_fd, which is put in its place afterwards. -errno: nothing was made. */
typedef int (*branch_make_fn)(int dir_fd, const char *name, void *arg);
/* A new name whose file @fn makes; it runs under the branch's lock and must not wait. */
int branch_make(struct branch *b, const char *path, branch_make_fn fn, void *arg);
/* @flags: RENAME_NOREPLACE, RENAME_EXCHANGE. -EXDEV for directories that have a lower part. */
int branch_rename(struct branch *b, const char *from, const char *to, unsigned flags);
int branch_chmod(struct branch *b, const char *path, mode_t mode);
int branch_chown(struct branch *b, const char *path, uid_t uid, gid_t gid);
int branch_utimens(struct branch *b, const char *path, const struct timespec times[2]);
int branch_truncate(struct branch *b, const char *path, off_t length);
int branch_setxattr(struct branch *b, const char *path, const char *name, const void *value,
		    size_t size, int flags);
int branch_removexattr(struct branch *b, const char *path, const char *name);
/*
 * What has to be watched to hear of changes of @path: an O_PATH descriptor of it in upper/, where it is copied to first. -EACCES: the sandbox's user may not write to it, and nothing is copied; what else a copy-up gives.
 */
int branch_open_watched(struct branch *b, const char *path);

/* ---- what has changed, and carrying it out ---- */

enum branch_change_kind {
	BRANCH_SAME = 0, /* a directory that only leads to changes; never reported alone */
	BRANCH_ADDED = 'A',
	BRANCH_MODIFIED = 'M',
	BRANCH_DELETED = 'D', /* a directory: with all in it */
};

struct branch_change {
	enum branch_change_kind kind;
	const char *path; /* any bytes */
	struct stat st;	  /* real: the upper's; the lower's for what is deleted */
};

/*
 * Call @fn for each change, parents first and siblings by byte order; stops at the first non-zero value, and returns it. This is what a commit would do.
 */
int branch_diff(struct branch *b, int (*fn)(const struct branch_change *change, void *arg),
		void *arg);

/* @error: 0 committed; -ESTALE the lower tree was changed there meanwhile; or why it failed. With an error the change stays in the branch. */
typedef void (*branch_commit_fn)(const struct branch_change *change, int error, void *arg);

/*
 * Carry the changes out in the topmost lower tree, which the caller must be able to write. Goes on after errors. Returns how many entries were kept (0: the branch is
 * empty now), or a negative errno when it could not begin or end; what was committed stays so, and another commit goes on. Nobody else can use the branch
 * meanwhile: calls wait. Deeper lower trees are left alone: what is taken away of them leaves a whiteout or an opaque directory in the topmost one, in overlayfs's form.
 *
 * A file of several names is committed under all that lie in the lower trees, as one file; names of it outside of them keep the old one. A branch with a commit that has not come to its end
 * (branch_is_committing) shares files with the lower tree by then: commit it again or drop it, and let no task write to it.
 */
int branch_commit(struct branch *b, branch_commit_fn fn, void *arg);
/* A commit was begun and did not end, or kept something. */
bool branch_is_committing(const struct branch *b);

#endif
