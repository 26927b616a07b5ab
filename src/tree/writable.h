/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a policy grants writing: for what Landlock has no right for and a built-in bounds in its place.
 *
 * The granted directories and files are resolved once a policy, again where they have changed, and in the command's own tree once a sandbox; a file belongs to them by the path that the kernel prints for a
 * descriptor of it, never by the text that a task gave. Constant once made; any thread.
 */
#ifndef SLUICE_TREE_WRITABLE_H
#define SLUICE_TREE_WRITABLE_H

#include <stdbool.h>

struct sluice_policy;
struct tree;
struct writable;

/*
 * A reference, from the policy's cache or made now; NULL and *ret_error (-ENOMEM, or why a granted path has no name) on failure. @tree: the command's own,
 * where the grants' paths are looked up and mounts may be writable too; NULL: the host's.
 */
struct writable *writable_get(struct sluice_policy *p, const struct tree *tree, int *ret_error);
/* @writable: a struct writable. */
void writable_unref(void *writable);
/* Is writing granted on the host's "/"? */
bool writable_is_all(const struct writable *w);
/* Does the file behind @fd have a name at or below a granted path? */
bool writable_has(const struct writable *w, int fd);
/* The same, and yes for what has no name in any tree: pipes, sockets, memory files, files that were removed. */
bool writable_has_or_nameless(const struct writable *w, int fd);

#endif
