/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file tree of one's own: every call that takes a path is resolved in the sandbox's view and carried out on the descriptors that were found.
 *
 * The command's own Landlock domain grants none of these files, so a call that got past us finds nothing. Trapped only when the
 * policy has a root or mounts.
 */
#ifndef SLUICE_BUILTIN_FILES_FILES_H
#define SLUICE_BUILTIN_FILES_FILES_H

#include <limits.h>

struct dispatch;
struct exec;
struct sluice_error;
struct sluice_policy;
struct tree;

/*
 * Program @path is there, but it could not be executed for a file that is not (ENOENT): the name of that script interpreter or loader in @ret. 1, or 0: none is
 * missing, or it can't be told. @tree: NULL for the host's. Any thread.
 */
int files_missing_interpreter(const struct tree *tree, const char *path, char ret[PATH_MAX]);
/* What executes the programs of @tree, which has its private path; exec_free. Borrows @tree. Thread: any, outside of every domain. Negative errno. */
int files_exec_new(const struct tree *tree, struct exec **ret, struct sluice_error *err);
/* @tree, and what executes its programs: borrowed until the dispatch table is freed. Returns 0 or -errno. */
int builtin_files_register(struct dispatch *d, const struct tree *tree);
/* The resource limit that carries working directories and umasks. A call that @p refuses is left alone. Borrowed as above. 0 or -errno. */
int builtin_files_limit_register(struct dispatch *d, const struct sluice_policy *p,
				 const struct tree *tree);
/* What is trapped beside that where @tree, which may be the host's, has times of its own. Borrowed as above. 0 or -errno. */
int builtin_files_times_register(struct dispatch *d, const struct tree *tree);
/*
 * For a command in the host's own tree: nothing is trapped, but what an extra answers with AS_SEEN is carried out. Not open, which is the engine's own; nor
 * chdir and exec, which nobody can do for another process. @host: a tree without a view, borrowed as above. -ENOMEM.
 */
int builtin_files_plan_on_host(struct dispatch *d, const struct tree *host);

#endif
