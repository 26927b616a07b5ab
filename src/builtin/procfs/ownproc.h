/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sandbox sees of its machine: /proc, the CPUs in /sys, host name and hosts file, sched_getaffinity, sysinfo.
 *
 * The command is granted nothing on procfs (confine/holes.h), so the kernel refuses every open there that nobody carries out for it. Opens are trapped: one
 * that leads elsewhere costs the decoding of its path and one look at what it names, and is then the kernel's; one that ends on procfs, or in a file that shows
 * something else here, is carried out on behalf, after the file was found and by the descriptor that was found. What a file shows is decided in one place for
 * the host's tree and for trees of the command's own: the view (task/procfs.h), which this folder fills.
 *
 * General files that would tell of the host, or disagree with the sandbox's name and limits, are memory files made when they are opened; a listing of /proc is a
 * directory of ours that holds the names. stat, readlink, getdents and the rest are not trapped for it.
 */
#ifndef SLUICE_BUILTIN_PROCFS_OWNPROC_H
#define SLUICE_BUILTIN_PROCFS_OWNPROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <sluice/error.h>

#include "builtin/procfs/render.h"

struct dispatch;
struct holes;
struct ownproc;
struct procfs_view;
struct sluice_policy;
struct tree;

/*
 * What @p asks for, in *ret; NULL: the host's, and nothing is to be done. @name: of the sandbox; @tree: the command's own, or NULL; both borrowed for the whole
 * life. @granted: the policy lets the command read /proc. -EINVAL, -EOPNOTSUPP, -ENOMEM. Thread: the one that starts the sandbox.
 */
int ownproc_new(const struct sluice_policy *p, const char *name, const struct tree *tree,
		bool granted, struct ownproc **ret, struct sluice_error *err);
/* Once no engine thread is left. */
struct ownproc *ownproc_free(struct ownproc *o);
/* NULL of NULL. */
const struct procfs_view *ownproc_view(const struct ownproc *o);

/* Trap what is needed. 0 or -errno. */
int builtin_ownproc_register(struct dispatch *d, struct ownproc *o);
/*
 * Before anything is launched: what the command's domain leaves out, and a directory (borrowed descriptors; -1: none) where engine threads may make
 * listings.
 */
void ownproc_confined(struct ownproc *o, const struct holes *holes, int listings);
/* The command's init is process @init, before any call is answered. @signal_scope: the engine's domain confines signals. */
void ownproc_launched(struct ownproc *o, pid_t init, bool signal_scope);

/*
 * A limit of memory that /proc/meminfo and sysinfo(2) are to show: @bytes in all, of which @used() says how many are taken (any engine thread). Before
 * anything is launched, and before ownproc's calls are registered. For the built-in that enforces it.
 */
void ownproc_limit_memory(struct ownproc *o, uint64_t bytes, uint64_t (*used)(void *userdata),
			  void *userdata);
/* The ports that /proc/PID/net is to show, @shown of each (any engine thread). Before anything is launched. For the built-in that gives others. */
void ownproc_show_ports(struct ownproc *o, render_port_fn shown, void *arg);

#endif
