/* SPDX-License-Identifier: Apache-2.0 */
#include "task/family.h"

#include <stddef.h>
#include <sys/syscall.h>

#include "sys/newer.h"

#define PATH_AT(nr, family, dirfd, path)        \
	{                                       \
		nr, family, dirfd, path, -1, -1 \
	}
#define PATH_OR_NONE(nr, family, flags)         \
	{                                       \
		nr, family, 0, 1, -1, -1, flags \
	}
#define PATH_1(nr, family)                \
	{                                 \
		nr, family, -1, 0, -1, -1 \
	}

/* Looked up once a chain, when its dispatch entry is made; so order does not matter. */
static const struct family_call calls[] = {
#ifdef SYS_open
	PATH_1(SYS_open, FAMILY_OPEN),
	PATH_1(SYS_creat, FAMILY_OPEN),
	PATH_1(SYS_stat, FAMILY_STAT),
	PATH_1(SYS_lstat, FAMILY_STAT),
	PATH_1(SYS_access, FAMILY_ACCESS),
	PATH_1(SYS_chmod, FAMILY_CHMOD),
	PATH_1(SYS_chown, FAMILY_CHOWN),
	PATH_1(SYS_lchown, FAMILY_CHOWN),
	{ SYS_rename, FAMILY_RENAME, -1, 0, -1, 1 },
	{ SYS_link, FAMILY_LINK, -1, 0, -1, 1 },
	{ SYS_symlink, FAMILY_SYMLINK, -1, 0, -1, 1 },
	PATH_1(SYS_mknod, FAMILY_MKNOD),
	PATH_1(SYS_mkdir, FAMILY_MKDIR),
	PATH_1(SYS_rmdir, FAMILY_UNLINK),
	PATH_1(SYS_unlink, FAMILY_UNLINK),
	PATH_1(SYS_readlink, FAMILY_READLINK),
	PATH_1(SYS_utime, FAMILY_UTIME),
	PATH_1(SYS_utimes, FAMILY_UTIME),
	PATH_AT(SYS_futimesat, FAMILY_UTIME, 0, 1),
	PATH_1(SYS_uselib, FAMILY_OTHER),
#endif
	PATH_AT(SYS_openat, FAMILY_OPEN, 0, 1),
	PATH_AT(SYS_openat2, FAMILY_OPEN, 0, 1),
	PATH_OR_NONE(SYS_newfstatat, FAMILY_STAT, 3),
	PATH_OR_NONE(SYS_statx, FAMILY_STAT, 2),
	PATH_AT(SYS_faccessat, FAMILY_ACCESS, 0, 1),
	PATH_AT(SYS_faccessat2, FAMILY_ACCESS, 0, 1),
	PATH_AT(SYS_fchmodat, FAMILY_CHMOD, 0, 1),
	PATH_AT(NR_FCHMODAT2, FAMILY_CHMOD, 0, 1),
	PATH_AT(SYS_fchownat, FAMILY_CHOWN, 0, 1),
#ifdef SYS_renameat
	{ SYS_renameat, FAMILY_RENAME, 0, 1, 2, 3 },
#endif
	{ SYS_renameat2, FAMILY_RENAME, 0, 1, 2, 3 },
	{ SYS_linkat, FAMILY_LINK, 0, 1, 2, 3 },
	{ SYS_symlinkat, FAMILY_SYMLINK, -1, 0, 1, 2 },
	PATH_AT(SYS_mknodat, FAMILY_MKNOD, 0, 1),
	PATH_AT(SYS_mkdirat, FAMILY_MKDIR, 0, 1),
	PATH_AT(SYS_unlinkat, FAMILY_UNLINK, 0, 1),
	PATH_AT(SYS_readlinkat, FAMILY_READLINK, 0, 1),
	PATH_AT(SYS_utimensat, FAMILY_UTIME, 0, 1),
	PATH_1(SYS_setxattr, FAMILY_XATTR),
	PATH_1(SYS_lsetxattr, FAMILY_XATTR),
	PATH_1(SYS_getxattr, FAMILY_XATTR),
	PATH_1(SYS_lgetxattr, FAMILY_XATTR),
	PATH_1(SYS_listxattr, FAMILY_XATTR),
	PATH_1(SYS_llistxattr, FAMILY_XATTR),
	PATH_1(SYS_removexattr, FAMILY_XATTR),
	PATH_1(SYS_lremovexattr, FAMILY_XATTR),
	PATH_OR_NONE(NR_SETXATTRAT, FAMILY_XATTR, 2),
	PATH_OR_NONE(NR_GETXATTRAT, FAMILY_XATTR, 2),
	PATH_OR_NONE(NR_LISTXATTRAT, FAMILY_XATTR, 2),
	PATH_OR_NONE(NR_REMOVEXATTRAT, FAMILY_XATTR, 2),
	PATH_OR_NONE(NR_FILE_GETATTR, FAMILY_XATTR, 4),
	PATH_OR_NONE(NR_FILE_SETATTR, FAMILY_XATTR, 4),
	PATH_AT(NR_OPEN_TREE_ATTR, FAMILY_OTHER, 0, 1),
	PATH_1(SYS_truncate, FAMILY_TRUNCATE),
	PATH_1(SYS_chdir, FAMILY_CHDIR),
	PATH_1(SYS_chroot, FAMILY_OTHER),
	PATH_1(SYS_acct, FAMILY_OTHER),
	PATH_1(SYS_swapon, FAMILY_OTHER),
	PATH_1(SYS_swapoff, FAMILY_OTHER),
	{ SYS_pivot_root, FAMILY_OTHER, -1, 0, -1, 1 },
	{ SYS_mount, FAMILY_OTHER, -1, 1, -1, 0 },
	PATH_1(SYS_umount2, FAMILY_OTHER),
	PATH_AT(SYS_open_tree, FAMILY_OTHER, 0, 1),
	PATH_AT(SYS_fspick, FAMILY_OTHER, 0, 1),
	{ SYS_move_mount, FAMILY_OTHER, 0, 1, 2, 3 },
	PATH_AT(SYS_mount_setattr, FAMILY_OTHER, 0, 1),
	PATH_AT(SYS_name_to_handle_at, FAMILY_OTHER, 0, 1),
	PATH_1(SYS_statfs, FAMILY_STATFS),
	PATH_AT(SYS_inotify_add_watch, FAMILY_WATCH, -1, 1),
	PATH_AT(SYS_fanotify_mark, FAMILY_WATCH, 3, 4),
	PATH_1(SYS_execve, FAMILY_EXEC),
	PATH_AT(SYS_execveat, FAMILY_EXEC, 0, 1),
	PATH_AT(SYS_quotactl, FAMILY_OTHER, -1, 1),
	{ SYS_connect, FAMILY_SOCKADDR, -1, -1, -1, -1 },
	{ SYS_bind, FAMILY_SOCKADDR, -1, -1, -1, -1 },
	{ SYS_sendto, FAMILY_SOCKADDR, -1, -1, -1, -1 },
};

const struct family_call *family_of(int nr)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (calls[i].nr == nr)
			return &calls[i];
	}
	return NULL;
}
