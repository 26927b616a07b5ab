/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths that a view denies: places of which every call says EACCES.
 *
 * A denial is known by what lies there (device and inode, so by all names of it, through whatever mount), and by its place: the directory that holds it, by identity, with
 * the name in it, and the virtual path. Below a denied directory everything is denied, by where it lies. What was not there when the view was made is known by its place alone; the
 * directories on the way there can then be made and removed, but are not renamed and are no links, so that the path stays what it says.
 *
 * The directories above what was there may be renamed: the denial goes with it. Only what is itself denied must not be moved by a task, so a way down that meets no denial by identity, and
 * a way up that meets none, lead to nothing that is denied, whatever is renamed meanwhile.
 *
 * Constant once the sandbox runs, but for what was found to be clean; any thread.
 */
#ifndef SLUICE_TREE_DENIAL_H
#define SLUICE_TREE_DENIAL_H

#include <stdbool.h>
#include <sys/stat.h>

#include <sluice/error.h>

struct denials;
struct view;

/*
 * Deny what the virtual @path names (a relative one from directory @here), and where that is a symbolic link what it leads to as well: before anything runs, once all is mounted. -EINVAL: the
 * root, a path of procfs that means another thing for each process, or in the way of a mount; -ELOOP, -ENAMETOOLONG, -ENOMEM; @err says which and why.
 */
int denial_add(struct view *v, int here, const char *path, struct sluice_error *err);
struct denials *denials_free(struct denials *d);

/* Those that follow return the virtual path of the denial that is in the way, or NULL: none. Where @v has no denial they do nothing. */

/* Is it the file itself that is denied? Makes no system call. */
const char *denial_of(const struct view *v, const struct stat *st);
/* Is @name in directory @dir (@st: of it, as shown), whatever is there? Makes no system call but for a name that is denied somewhere. */
const char *denial_of_name(const struct view *v, int dir, const struct stat *st, const char *name);
/* Does the file behind @fd lie at or below a denied one? A system call or so for each directory above it when it is met for the first time. "": that can't be told. */
const char *denial_above(const struct view *v, int fd);
/* What @st is of was opened at the end of a walk: denial_above need not look for it any more. */
void denial_found_clean(const struct view *v, const struct stat *st);
/* Is @name in directory @dir on the way to a denial of what was not there? */
const char *denial_beyond(const struct view *v, int dir, const char *name);

/* Is there any? */
bool view_has_denials(const struct view *v);

#endif
