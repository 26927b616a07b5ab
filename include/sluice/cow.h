/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copy-on-write branches: what a command changed in a directory that it could only read (sluice_policy_set_workdir).
 *
 * A branch is a directory STORAGE/NAME on disk, in the format of the kernel's overlayfs. It survives crashes, and exists until it is aborted, or committed
 * without anything left. A sandbox settles its own when it has ended; a kept one is opened by name. Paths are relative to the directory and any bytes but NUL.
 *
 * One handle is for one thread at a time. A branch can be open once; opening one that a sandbox uses gives -EBUSY.
 */
#ifndef SLUICE_COW_H
#define SLUICE_COW_H

#include <stddef.h>
#include <stdint.h>

#include <sluice/error.h>
#include <sluice/export.h>
#include <sluice/sandbox.h>

SLUICE_BEGIN_DECLS

struct sluice_cow;

/* One changed path. A directory that was deleted stands for all in it. */
struct sluice_cow_change {
	char kind;     /* 'A' added, 'M' modified (content, metadata, or replaced), 'D' deleted */
	uint32_t mode; /* as st_mode: of what is there now; of what was deleted */
	uint64_t size; /* bytes, of the same */
	const char *path; /* borrowed for the call */
	uint64_t reserved[4];
};

/* Called for each change; a value other than 0 stops. */
typedef int (*sluice_cow_change_fn)(const struct sluice_cow_change *change, void *userdata);
/*
 * Called for each change that was carried out (@error 0) or stays in the branch: -ESTALE when the directory was changed there meanwhile by somebody else, or
 * why it failed.
 */
typedef void (*sluice_cow_commit_fn)(const struct sluice_cow_change *change, int error,
				     void *userdata);

/* ---- of a sandbox ---- */

/* The branch of a sandbox whose tree has ended, borrowed until it is settled; NULL: it has none, or still runs, or was settled. */
SLUICE_API struct sluice_cow *sluice_sandbox_cow(struct sluice_sandbox *s);
/*
 * Once it has ended, do with its branch as @action says (enum sluice_cow_action), or as the policy says (-1); only the first call does anything.
 * Must be called from a thread that may write to the directory, sluice_sandbox_free does it if nobody has; sluice_run does it before it returns.
 * @fn may be NULL. Returns the number of changes that could not be committed and are kept (see @err), or a negative errno: -EAGAIN it still runs.
 */
SLUICE_API int sluice_sandbox_settle(struct sluice_sandbox *s, int action, sluice_cow_commit_fn fn,
				     void *userdata, struct sluice_error *err);

/* ---- kept ones ---- */

/*
 * @storage: NULL: the user's own place (see sluice_policy_set_storage). -ENOENT, -EBUSY: in use, -ESTALE: its directory is another one now.
 */
SLUICE_API int sluice_cow_open(const char *storage, const char *name, struct sluice_cow **ret,
			       struct sluice_error *err);
/* Let go of it; it stays on disk. NULL is fine. Returns NULL. */
SLUICE_API struct sluice_cow *sluice_cow_close(struct sluice_cow *cow);
/* Close it and remove it from the disk. */
SLUICE_API int sluice_cow_abort(struct sluice_cow *cow, struct sluice_error *err);
SLUICE_API const char *sluice_cow_name(const struct sluice_cow *cow);
/*
 * What a commit would do: parents first, siblings by byte order. Returns 0, the value that @fn stopped with, or a negative errno.
 */
SLUICE_API int sluice_cow_changes(struct sluice_cow *cow, sluice_cow_change_fn fn, void *userdata);
/*
 * Carry the changes out. Each is one rename, so that a crash leaves the old or the new; it goes on after a failure. @fn may be NULL. Returns how many changes are kept (0:
 * the branch is empty), or a negative errno when it could not begin.
 */
SLUICE_API int sluice_cow_commit(struct sluice_cow *cow, sluice_cow_commit_fn fn, void *userdata,
				 struct sluice_error *err);

/*
 * A descriptor for reading, the caller's, of the file that @path had before the change: of the directory that the branch belongs to, or a further lower tree. -ENOENT: there was none.
 */
SLUICE_API int sluice_cow_open_original(struct sluice_cow *cow, const char *path);
/* What its commit promises, COMMIT where nobody says otherwise. -EINVAL. */
SLUICE_API int sluice_cow_set_durability(struct sluice_cow *cow, enum sluice_durability durability);

enum sluice_cow_format {
	SLUICE_COW_TAR = 1, /* what is new or changed, and the directories above it */
	SLUICE_COW_OCI = 2, /* an image layer: the same with whiteouts for what was deleted */
};
/*
 * Write an archive of the changes to @fd (borrowed, from its position on; may be a pipe): in the order of the paths, numeric owners, hard links and extended attributes
 * kept, so that two of one branch are the same bytes. @mtime: seconds since 1970 for every entry; NULL: its own time. -EINVAL: a name that begins with ".wh." cannot be in a layer. Needs
 * libarchive at run time: -ENOSYS.
 */
SLUICE_API int sluice_cow_export(struct sluice_cow *cow, enum sluice_cow_format format, int fd,
				 const int64_t *mtime, struct sluice_error *err);

/* Where branches are: @storage itself, or the user's own place, which is made. -ENOENT: there is no HOME. */
SLUICE_API int sluice_cow_storage(const char *storage, char *buf, size_t size,
				  struct sluice_error *err);

struct sluice_cow_info {
	const char *name;
	const char *directory; /* that it belongs to */
	int64_t created;       /* seconds since 1970 */
	uint32_t live;	       /* 1: somebody has it open */
	uint32_t committing;   /* 1: a commit was begun and did not end; another one goes on */
	uint32_t broken;       /* 1: its description can't be read */
	uint32_t reserved[5];
};
/* Call @fn for each branch in @storage, by name; it stops at a value other than 0, which is returned. Else 0 or a negative errno. */
SLUICE_API int sluice_cow_each(const char *storage,
			       int (*fn)(const struct sluice_cow_info *info, void *userdata),
			       void *userdata, struct sluice_error *err);

SLUICE_END_DECLS

#endif
