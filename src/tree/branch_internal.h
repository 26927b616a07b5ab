/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of a branch share.
 *
 * Locks, outermost first: lock (names: readers look, writers change upper/ and the nodes), then log_lock (appends to covered.log). room_lock (files that are measured) and copying_lock (the list of
 * copy-ups under way) are leaves. No content is copied under `lock`.
 */
#ifndef SLUICE_TREE_BRANCH_INTERNAL_H
#define SLUICE_TREE_BRANCH_INTERNAL_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/types.h>

#include "tree/branch.h"
#include "tree/links.h"
#include "tree/nodes.h"
#include "util/cleanup.h"

#define XATTR_OPAQUE "user.overlay.opaque"
#define XATTR_ORIGIN "user.overlay.origin"
#define XATTR_NLINK "user.overlay.nlink"
#define XATTR_ACL "system.posix_acl_"
#define XATTR_HIDDEN "user.overlay." /* never shown, never set by a task */
#define WORK_NAME_BYTES 24

#define ROOM_WATCHED 512u

#define FS_UUID_BYTES 16

struct copying;

/* A file system of lower trees. */
struct lower_fs {
	dev_t dev;
	uint8_t uuid[FS_UUID_BYTES]; /* zero where there is none, as overlayfs has it */
};

/* A file that is open for writing, or open and without a name, and the bytes of it that are in used_bytes. */
struct watched {
	int fd; /* O_PATH */
	ino_t ino;
	uint64_t counted;
	unsigned pins; /* it is being opened or changed: stays watched */
};

/* Directories whose owner was given them for a while (src/tree/wide.c). */
struct wide {
	char **paths; /* parents first */
	size_t n, room;
	struct identities modes; /* upper inode -> the mode that it shows and gets back */
	int journal;		 /* -1: nothing is noted */
	unsigned users;
};

struct branch {
	char *name;
	int storage_fd;
	int dir_fd;   /* STORAGE/NAME */
	int upper_fd; /* O_PATH, all three */
	int work_fd;  /* work/work, as overlayfs keeps its own there */
	int index_fd; /* work/index */
	int lock_fd;
	int log_fd;
	int lower_fds[BRANCH_LOWERS_MAX];	     /* O_PATH, ours */
	struct lower_fs lower_fs[BRANCH_LOWERS_MAX]; /* constant after open */
	size_t n_lowers;
	dev_t upper_dev;
	bool durable;
	bool committing; /* guarded by lock */
	_Atomic bool
		dirs_changed; /* rights on a directory may differ from those in the lower tree */
	int64_t created;
	uint64_t max_bytes;
	_Atomic uint64_t used_bytes;
	_Atomic uint64_t generation;
	_Atomic uint64_t next_work; /* for names in work/ */

	pthread_rwlock_t lock;
	struct nodes nodes;	      /* guarded by lock */
	struct identities identities; /* guarded by lock */
	struct identities owners;     /* guarded by lock; as src/tree/owner.c has it */
	struct links links;	      /* guarded by lock */
	struct wide wide;	      /* guarded by lock */

	pthread_mutex_t copying_lock;
	pthread_cond_t copied;
	struct copying *copying; /* guarded by copying_lock */

	pthread_mutex_t log_lock;

	pthread_mutex_t room_lock;
	int room_fd; /* eventfd; -1 without a quota */
	/* guarded by room_lock; with a quota only */
	struct watched *watched; /* ROOM_WATCHED of them */
	unsigned n_watched;
	uint64_t measured_ns, looked_after_ns;
	uint64_t
		look_ns; /* when branch_room_check will be called; UINT64_MAX: when room_fd asks for it; 0: it was asked */
	bool holding;		   /* processes shall not write */
	unsigned held_ms;	   /* the last pause while they are held, */
	uint64_t held_bytes;	   /* and what was used then */
	uint64_t held_since_bytes; /* used when the last of them was held; 0: they are not yet */
};

void branch_rdlock(struct branch *b);
void branch_wrlock(struct branch *b);
void branch_unlock(struct branch *b);

/* ---- lower trees; any thread, no lock ---- */

/* What the lower trees together show at a path. */
struct lower_hit {
	int fd; /* O_PATH, of the topmost; -1: nothing there */
	struct stat st;
	size_t n_dirs; /* layers whose directories merge here; 1 or more when it is a directory */
	uint8_t dirs[BRANCH_LOWERS_MAX];
};

/* 0, also when nothing is there (fd -1), or a negative errno. */
int lower_find(const struct branch *b, const char *path, struct lower_hit *ret);
void lower_close(struct lower_hit *hit);
/* Openat in a layer without following any link. */
int lower_open(const struct branch *b, size_t layer, const char *path, int flags);
bool is_whiteout(const struct stat *st);

/* ---- the merged view; the caller holds the lock for reading or writing ---- */

struct merged {
	struct nodes_walk walk;
	enum branch_kind kind;
	struct lower_hit lower; /* filled where lower trees show through, else fd -1 */
	struct stat st;		/* as shown; nothing for BRANCH_NONE */
	struct stat upper_st;	/* real; for UPPER and MERGED, and LOWER with a link */
	/* the file of several names that this is one of; with LOWER the name is the lower tree's, and what it shows is this */
	struct link_group *link;
};

/* Whatever is at @path, NONE included. merged_close afterwards, also when it fails. */
int merged_find_locked(struct branch *b, const char *path, struct merged *ret);
void merged_close(struct merged *v);
/* An O_PATH descriptor of @path in upper/. */
int upper_open_locked(struct branch *b, const char *path);
/* Of its parent directory. */
int upper_open_parent_locked(struct branch *b, const char *path);
void merged_show(const struct branch *b, struct stat *st);
/*
 * Of what is made in upper/: where that lies on another file system than the directory @parent, it shows the device of that one, or whoever stays on one file system (find
 * -xdev, git) would not go there. Its number is then one that no file of the lower tree has. Needs room for one identity.
 */
void identity_of_new_locked(struct branch *b, const struct node *parent, uint64_t upper_ino);
/* The same of an inode whose number may have been another's, which showed an owner. */
void identity_new_locked(struct branch *b, const struct node *parent, uint64_t upper_ino);
/* The file's last name is gone. A copied one keeps its identity for who has it open. */
void identity_forget_locked(struct branch *b, uint64_t upper_ino);

/* ---- copy-up ---- */

#define COPY_UP_EMPTY 1u /* the content is about to be thrown away */

/* Make sure that @path is in upper/. The caller holds no lock. */
int copy_up(struct branch *b, const char *path, unsigned flags);
/* Directories down to and including the parent of @path. The caller holds the lock for writing. */
int copy_up_parents_locked(struct branch *b, const char *path);
int copy_up_dir_locked(struct branch *b, const char *path);
/* Owner, mode, attributes and times of one open file on another of the same kind. @from and @to are O_PATH or better. */
int copy_attributes(int from, const struct stat *st, int to);
/* Content of one regular file, holes kept. */
int copy_data(int from, int to, off_t size);

/* ---- the origin, as overlayfs writes it (struct ovl_fb of fs/overlayfs/overlayfs.h) ---- */

#define FB_HANDLE_BYTES 64

struct origin {
	uint8_t version, magic, len, flags, type;
	uint8_t uuid[FS_UUID_BYTES];
	uint8_t handle[FB_HANDLE_BYTES];
} __attribute__((packed));

/* The uuids of the lower trees' file systems; once, before anything is copied. */
void origins_learn(struct branch *b);
/* Bytes of the attribute for the lower file @fd; 0 ("copied up, from where is not known") where file handles are not to be had. */
size_t origin_of(const struct branch *b, int fd, dev_t dev, struct origin *o);

/* ---- work/ ---- */

void work_name(struct branch *b, char buf[WORK_NAME_BYTES]);
int make_whiteout(int dir_fd, const char *name);
int set_opaque(int fd);
bool has_opaque(int fd);
/* An attribute of our own, on an O_PATH descriptor, whatever the file's mode lets its owner do. */
int set_own_xattr(int fd, const char *name, const void *value, size_t size);
int remove_own_xattr(int fd, const char *name);

/* ---- commit ---- */

/* Remove what a commit that was killed has left in the topmost lower tree beside what it was about to commit. */
void commit_clear(struct branch *b);

/* ---- covered.log: which lower file a path hid first ---- */

struct covered {
	dev_t dev;
	uint64_t ino;
	uint64_t size;
	struct timespec mtime;
	struct timespec ctime;
	mode_t mode;
	uint32_t nlink;
	uint64_t upper_ino;  /* of the copied-up file; 0 when it was not copied up */
	uint64_t upper_born; /* ns, tells a reused inode; 0 where it is not known */
	/* where the copy could not be given the owner: that owner, and whose it is instead */
	uint32_t has_owner, uid, gid, upper_uid;
};

void covered_from(struct covered *c, const struct stat *lower);
int covered_append(struct branch *b, const char *path, const struct covered *c);
/* Calls @fn for every whole record. */
int covered_each(struct branch *b, void (*fn)(void *arg, const char *path, const struct covered *c),
		 void *arg);
uint64_t born_ns(int fd);

/* ---- room ---- */

/* Once work_fd is there. -ENOLCK, -ENOMEM ... and @err where a quota can't be had. */
int room_init(struct branch *b, struct sluice_error *err);
void room_fini(struct branch *b);
/* 0, or -ENOSPC when @more bytes would pass the quota. */
int room_take(struct branch *b, uint64_t more);
/* The same before a file is opened for writing: -ENFILE when too many are open. */
int room_take_file(struct branch *b);
void room_give(struct branch *b, uint64_t bytes);
/* @fd was just made: watch it while somebody writes there. -ENFILE. */
int room_watch(struct branch *b, int fd);
/* @fd is about to be opened for writing, or to change its size: from before to after. *ret is for room_unpin, also when it fails. -ENFILE. */
int room_pin(struct branch *b, int fd, ino_t *ret);
void room_unpin(struct branch *b, ino_t pinned);

/* The last name of a file is taken away: its bytes come back when nobody has it open any more. */
struct room_last {
	int fd; /* O_PATH; -1 */
	ino_t ino;
	uint64_t bytes;
};
/* Before, while @name in @dir_fd is still there; @st is its own. */
void room_last_begin(struct branch *b, int dir_fd, const char *name, const struct stat *st,
		     struct room_last *ret);
/* After, in every case. @gone: it was, and it was the last one. */
void room_last_end(struct branch *b, struct room_last *last, bool gone);

/* ---- owners and rights (src/tree/owner.c) ---- */

/* Rights of the calling thread on a file: 0 or -EACCES. */
int may_access(int fd, int mode);
/* On one that shows as @st, whose owner is not the file's own. */
int may_access_as(int fd, const struct stat *st, int mode);
/* On one that shows as @shown. */
int may_access_shown(const struct branch *b, int fd, const struct stat *shown, int mode);
bool owner_differs(const struct stat *a, const struct stat *b);
/* Room for one more. The caller of these holds the lock, for writing but for owner_show. */
int owner_reserve(struct branch *b);
void owner_set(struct branch *b, ino_t upper_ino, uid_t uid, gid_t gid);
void owner_drop(struct branch *b, ino_t upper_ino);
/* Does the upper directory's file @st show another owner? It is put in its place. */
bool owner_show(const struct branch *b, struct stat *st);

/* ---- directories that their owner may not use (src/tree/wide.c); the lock is held for writing but for wide_show ---- */

/* Until wide_end_locked, which comes in every case, the caller may do @want (R_OK ...) in all of the upper directory. */
int wide_begin_locked(struct branch *b, int want);
void wide_end_locked(struct branch *b);
/* Without a look at any directory. */
void wide_fini(struct branch *b);
/* The mode that the upper directory's file @st shows. */
void wide_show(const struct branch *b, struct stat *st);

/*
 * For who reads the branch as a whole: hard links are complete, all directories can be read, and the lock is held for reading. A negative errno: nothing is to be ended.
 */
int branch_reading_begin(struct branch *b);
void branch_reading_end(struct branch *b);

/* A scan, which comes to the directories parents first: what a crash left wide is known from wide_left_begin to wide_left_end, which comes in every case. */
struct wide_left {
	struct identities modes; /* upper inode -> mode, and when it was born */
};
int wide_left_begin(struct branch *b, struct wide_left *ret);
/* The scan comes to @path, and may do @want in it until the end. */
int wide_left_take(struct branch *b, const struct wide_left *left, const char *path, int want);
/* @all: it came to each. */
void wide_left_end(struct branch *b, struct wide_left *left, bool all);

/* The inode is another file from now on: it shows itself. The caller holds the lock for writing. */
void identity_drop(struct branch *b, ino_t upper_ino);

#endif
