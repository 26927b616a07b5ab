/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "families.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* Newer than the headers of Debian 12; the same on every architecture. */
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#define NR_SETXATTRAT 463
#define NR_GETXATTRAT 464
#define NR_LISTXATTRAT 465
#define NR_REMOVEXATTRAT 466
#define NR_FILE_GETATTR 468

struct xattr_args_v0 {
	uint64_t value;
	uint32_t size, flags;
};

enum {
	OPEN,
	OPEN_WRITE,
	OPEN_CREATE,
	OPEN_TRUNC,
	OPEN_DIRECTORY,
	OPEN_TMPFILE,
	OPEN_PATH,
	OPENAT2,
	FSTATAT,
	FSTATAT_LINK,
	STATX,
	FACCESSAT,
	FACCESSAT2,
	READLINKAT,
	STATFS,
	LISTXATTR,
	FCHMODAT,
	FCHMODAT2,
	FCHOWNAT,
	UTIMENSAT,
	SETXATTR,
	REMOVEXATTR,
	TRUNCATE,
	MKDIRAT,
	MKNODAT,
	SYMLINKAT,
	LINKAT,
	RENAMEAT2,
	LINK_OUT,
	CHDIR,
	INOTIFY,
	EXECVEAT,
	BIND,
	CONNECT,
	HANDLE,
	GETXATTR,
	LGETXATTR,
	LLISTXATTR,
	LSETXATTR,
	LREMOVEXATTR,
	SETXATTRAT,
	GETXATTRAT,
	LISTXATTRAT,
	REMOVEXATTRAT,
	FILE_GETATTR,
	FANOTIFY,
	EXECVE,
	OPEN_LINK,
	LCHOWN_LINK,
	UNLINKAT,
	RENAME_OUT,
	RENAME_IN,
	LINK_IN,
	EXCHANGE,
	FCHDIR,
#ifdef SYS_open
	OLD_OPEN,
	OLD_STAT,
	OLD_LSTAT,
	OLD_ACCESS,
	OLD_READLINK,
	OLD_CHMOD,
	OLD_CHOWN,
	OLD_UTIME,
	OLD_CREAT,
	OLD_MKDIR,
	OLD_LINK,
	OLD_LCHOWN,
	OLD_UTIMES,
	OLD_FUTIMESAT,
	OLD_MKNOD,
	OLD_SYMLINK,
	OLD_RENAME,
#endif
};

static const struct {
	const char *name;
	unsigned uses;
} families[] = {
	[OPEN] = { "openat O_RDONLY", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[OPEN_WRITE] = { "openat O_WRONLY", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[OPEN_CREATE] = { "openat O_CREAT", FAMILY_USES_NEW | FAMILY_TAKES_DIRFD },
	[OPEN_TRUNC] = { "openat O_TRUNC", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[OPEN_DIRECTORY] = { "openat O_DIRECTORY", FAMILY_USES_DIR | FAMILY_TAKES_DIRFD },
	[OPEN_TMPFILE] = { "openat O_TMPFILE", FAMILY_USES_DIR | FAMILY_TAKES_DIRFD },
	[OPEN_PATH] = { "openat O_PATH", FAMILY_USES_DIR | FAMILY_TAKES_DIRFD },
	[OPENAT2] = { "openat2", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[FSTATAT] = { "newfstatat", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[FSTATAT_LINK] = { "newfstatat AT_SYMLINK_NOFOLLOW",
			   FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[STATX] = { "statx", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[FACCESSAT] = { "faccessat", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[FACCESSAT2] = { "faccessat2", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[READLINKAT] = { "readlinkat", FAMILY_USES_LINK | FAMILY_TAKES_DIRFD },
	[STATFS] = { "statfs", FAMILY_USES_FILE },
	[LISTXATTR] = { "listxattr", FAMILY_USES_FILE },
	[FCHMODAT] = { "fchmodat", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[FCHMODAT2] = { "fchmodat2", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[FCHOWNAT] = { "fchownat", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[UTIMENSAT] = { "utimensat", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[SETXATTR] = { "setxattr", FAMILY_USES_FILE },
	[REMOVEXATTR] = { "removexattr", FAMILY_USES_FILE },
	[TRUNCATE] = { "truncate", FAMILY_USES_FILE },
	[MKDIRAT] = { "mkdirat", FAMILY_USES_NEW | FAMILY_TAKES_DIRFD },
	[MKNODAT] = { "mknodat", FAMILY_USES_NEW | FAMILY_TAKES_DIRFD },
	[SYMLINKAT] = { "symlinkat", FAMILY_USES_NEW | FAMILY_TAKES_DIRFD },
	[LINKAT] = { "linkat", FAMILY_USES_FILE | FAMILY_USES_NEW | FAMILY_TAKES_DIRFD },
	[RENAMEAT2] = { "renameat2", FAMILY_USES_FILE | FAMILY_USES_NEW | FAMILY_TAKES_DIRFD },
	[LINK_OUT] = { "linkat to where the task is", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[CHDIR] = { "chdir", FAMILY_USES_DIR },
	[INOTIFY] = { "inotify_add_watch", FAMILY_USES_DIR },
	[EXECVEAT] = { "execveat", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[BIND] = { "bind", FAMILY_USES_NEW },
	[CONNECT] = { "connect", FAMILY_USES_FILE },
	[HANDLE] = { "name_to_handle_at", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[GETXATTR] = { "getxattr", FAMILY_USES_FILE },
	[LGETXATTR] = { "lgetxattr", FAMILY_USES_FILE },
	[LLISTXATTR] = { "llistxattr", FAMILY_USES_LINK },
	[LSETXATTR] = { "lsetxattr", FAMILY_USES_FILE },
	[LREMOVEXATTR] = { "lremovexattr", FAMILY_USES_FILE },
	[SETXATTRAT] = { "setxattrat", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[GETXATTRAT] = { "getxattrat", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[LISTXATTRAT] = { "listxattrat", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[REMOVEXATTRAT] = { "removexattrat", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[FILE_GETATTR] = { "file_getattr", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[FANOTIFY] = { "fanotify_mark", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[EXECVE] = { "execve", FAMILY_USES_FILE },
	[OPEN_LINK] = { "openat O_NOFOLLOW of a link", FAMILY_USES_LINK | FAMILY_TAKES_DIRFD },
	[LCHOWN_LINK] = { "fchownat of a link", FAMILY_USES_LINK | FAMILY_TAKES_DIRFD },
	[UNLINKAT] = { "unlinkat, symlinkat", FAMILY_USES_LINK | FAMILY_TAKES_DIRFD },
	[RENAME_OUT] = { "renameat2 to where the task is", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[RENAME_IN] = { "renameat2 from where the task is", FAMILY_USES_NEW | FAMILY_TAKES_DIRFD },
	[LINK_IN] = { "linkat from where the task is", FAMILY_USES_NEW | FAMILY_TAKES_DIRFD },
	[EXCHANGE] = { "renameat2 RENAME_EXCHANGE", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[FCHDIR] = { "fchdir", FAMILY_USES_DIR | FAMILY_TAKES_DIRFD },
#ifdef SYS_open
	[OLD_OPEN] = { "open", FAMILY_USES_FILE },
	[OLD_STAT] = { "stat", FAMILY_USES_FILE },
	[OLD_LSTAT] = { "lstat", FAMILY_USES_FILE },
	[OLD_ACCESS] = { "access", FAMILY_USES_FILE },
	[OLD_READLINK] = { "readlink", FAMILY_USES_LINK },
	[OLD_CHMOD] = { "chmod", FAMILY_USES_FILE },
	[OLD_CHOWN] = { "chown", FAMILY_USES_FILE },
	[OLD_UTIME] = { "utime", FAMILY_USES_FILE },
	[OLD_CREAT] = { "creat", FAMILY_USES_NEW },
	[OLD_MKDIR] = { "mkdir, rmdir", FAMILY_USES_NEW },
	[OLD_LINK] = { "link, unlink", FAMILY_USES_FILE | FAMILY_USES_NEW },
	[OLD_LCHOWN] = { "lchown", FAMILY_USES_LINK },
	[OLD_UTIMES] = { "utimes", FAMILY_USES_FILE },
	[OLD_FUTIMESAT] = { "futimesat", FAMILY_USES_FILE | FAMILY_TAKES_DIRFD },
	[OLD_MKNOD] = { "mknod", FAMILY_USES_NEW },
	[OLD_SYMLINK] = { "symlink", FAMILY_USES_NEW },
	[OLD_RENAME] = { "rename, renameat", FAMILY_USES_FILE | FAMILY_USES_NEW },
#endif
};

const unsigned family_count = sizeof(families) / sizeof(families[0]);

const char *family_name(unsigned family)
{
	return families[family].name;
}

unsigned family_uses(unsigned family)
{
	return families[family].uses;
}

void family_fill(struct family_target *t, int dirfd, const char *dir)
{
	t->dirfd = dirfd;
	snprintf(t->dir, sizeof(t->dir), "%s", dir);
	snprintf(t->file, sizeof(t->file), "%.4000s/secret", dir);
	snprintf(t->new, sizeof(t->new), "%.4000s/new", dir);
	snprintf(t->link, sizeof(t->link), "%.4000s/link", dir);
}

/* Of a call that gives a length and no descriptor. */
static long length(long r)
{
	return r < 0 ? r : 0;
}

static char buffer[PATH_MAX];
static const struct timespec times[2] = { { 1000000, 0 }, { 1000000, 0 } };

long family_attempt(unsigned family, const struct family_target *t)
{
	const int d = t->dirfd;
	struct open_how how = { .flags = O_RDONLY };
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const char *const argv[] = { "x", NULL };
	long fd, r;

	switch (family) {
	case OPEN:
		return syscall(SYS_openat, d, t->file, O_RDONLY, 0);
	case OPEN_WRITE:
		return syscall(SYS_openat, d, t->file, O_WRONLY, 0);
	case OPEN_CREATE:
		return syscall(SYS_openat, d, t->new, O_CREAT | O_WRONLY, 0600);
	case OPEN_TRUNC:
		return syscall(SYS_openat, d, t->file, O_RDONLY | O_TRUNC, 0);
	case OPEN_DIRECTORY:
		return syscall(SYS_openat, d, t->dir, O_RDONLY | O_DIRECTORY, 0);
	case OPEN_TMPFILE:
		return syscall(SYS_openat, d, t->dir, O_TMPFILE | O_RDWR, 0600);
	case OPEN_PATH:
		return syscall(SYS_openat, d, t->dir, O_PATH, 0);
	case OPENAT2:
		return syscall(SYS_openat2, d, t->file, &how, sizeof(how));
	case FSTATAT:
		return syscall(SYS_newfstatat, d, t->file, buffer, 0);
	case FSTATAT_LINK:
		return syscall(SYS_newfstatat, d, t->file, buffer, AT_SYMLINK_NOFOLLOW);
	case STATX:
		return syscall(SYS_statx, d, t->file, 0, 0x7ff, buffer);
	case FACCESSAT:
		return syscall(SYS_faccessat, d, t->file, R_OK);
	case FACCESSAT2:
		return syscall(SYS_faccessat2, d, t->file, W_OK, AT_EACCESS);
	case READLINKAT:
		return length(syscall(SYS_readlinkat, d, t->link, buffer, sizeof(buffer)));
	case STATFS:
		return syscall(SYS_statfs, t->file, buffer);
	case LISTXATTR:
		return length(syscall(SYS_listxattr, t->file, buffer, sizeof(buffer)));
	case FCHMODAT:
		return syscall(SYS_fchmodat, d, t->file, 0777);
	case FCHMODAT2:
		return syscall(SYS_fchmodat2, d, t->file, 0777, AT_SYMLINK_NOFOLLOW);
	case FCHOWNAT:
		return syscall(SYS_fchownat, d, t->file, getuid(), getgid(), 0);
	case UTIMENSAT:
		return syscall(SYS_utimensat, d, t->file, times, 0);
	case SETXATTR:
		return syscall(SYS_setxattr, t->file, "user.x", "x", 1, 0);
	case REMOVEXATTR:
		return syscall(SYS_removexattr, t->file, "user.x");
	case TRUNCATE:
		return syscall(SYS_truncate, t->file, 3);
	case MKDIRAT:
		r = syscall(SYS_mkdirat, d, t->new, 0700);
		return r < 0 ? r : syscall(SYS_unlinkat, d, t->new, AT_REMOVEDIR);
	case MKNODAT:
		r = syscall(SYS_mknodat, d, t->new, S_IFREG | 0600, 0);
		return r < 0 ? r : syscall(SYS_unlinkat, d, t->new, 0);
	case SYMLINKAT:
		r = syscall(SYS_symlinkat, "x", d, t->new);
		return r < 0 ? r : syscall(SYS_unlinkat, d, t->new, 0);
	case LINKAT:
		r = syscall(SYS_linkat, d, t->file, d, t->new, 0);
		return r < 0 ? r : syscall(SYS_unlinkat, d, t->new, 0);
	case RENAMEAT2:
		r = syscall(SYS_renameat2, d, t->file, d, t->new, 0);
		return r < 0 ? r : syscall(SYS_renameat2, d, t->new, d, t->file, RENAME_NOREPLACE);
	case LINK_OUT: /* into what is ours */
		return syscall(SYS_linkat, d, t->file, AT_FDCWD, "taken", AT_SYMLINK_FOLLOW);
	case CHDIR:
		return syscall(SYS_chdir, t->dir);
	case INOTIFY:
		fd = inotify_init1(IN_CLOEXEC);
		r = syscall(SYS_inotify_add_watch, fd, t->dir, IN_MODIFY);
		close((int)fd);
		return r;
	case EXECVEAT: /* no program, but found */
		r = syscall(SYS_execveat, d, t->file, argv, environ, 0);
		return r < 0 && errno == ENOEXEC ? 0 : r;
	case BIND:
		if (strlen(t->new) >= sizeof(sun.sun_path)) {
			errno = ENAMETOOLONG;
			return -1;
		}
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		strcpy(sun.sun_path, t->new);
		r = syscall(SYS_bind, fd, &sun, sizeof(sun));
		close((int)fd);
		return r < 0 ? r : syscall(SYS_unlinkat, AT_FDCWD, t->new, 0);
	case CONNECT: /* found, but nobody listens */
		if (strlen(t->file) >= sizeof(sun.sun_path)) {
			errno = ENAMETOOLONG;
			return -1;
		}
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		strcpy(sun.sun_path, t->file);
		r = syscall(SYS_connect, fd, &sun, sizeof(sun));
		close((int)fd);
		return r < 0 && errno == ECONNREFUSED ? 0 : r;
	case HANDLE:
		return syscall(SYS_name_to_handle_at, d, t->file, memset(buffer, 0, 8),
			       buffer + 200, 0) < 0 &&
				       errno == EOVERFLOW
			       ? 0
			       : -1;
	case GETXATTR:
		r = syscall(SYS_getxattr, t->file, "user.none", buffer, 10);
		return r < 0 && errno == ENODATA ? 0 : r;
	case LGETXATTR:
		r = syscall(SYS_lgetxattr, t->file, "user.none", buffer, 10);
		return r < 0 && errno == ENODATA ? 0 : r;
	case LLISTXATTR:
		return length(syscall(SYS_llistxattr, t->link, buffer, sizeof(buffer)));
	case LSETXATTR:
		return syscall(SYS_lsetxattr, t->file, "user.y", "y", 1, 0);
	case LREMOVEXATTR:
		return syscall(SYS_lremovexattr, t->file, "user.y");
	case SETXATTRAT:
		return syscall(NR_SETXATTRAT, d, t->file, 0, "user.z",
			       &(struct xattr_args_v0){ (uintptr_t) "z", 1, 0 }, 16);
	case GETXATTRAT:
		r = syscall(NR_GETXATTRAT, d, t->file, 0, "user.none",
			    &(struct xattr_args_v0){ (uintptr_t)buffer, 10, 0 }, 16);
		return r < 0 && errno == ENODATA ? 0 : r;
	case LISTXATTRAT:
		return length(syscall(NR_LISTXATTRAT, d, t->file, 0, buffer, sizeof(buffer)));
	case REMOVEXATTRAT:
		return syscall(NR_REMOVEXATTRAT, d, t->file, 0, "user.z");
	case FILE_GETATTR:
		return syscall(NR_FILE_GETATTR, d, t->file, buffer, 24, 0);
	case FANOTIFY:
		fd = syscall(SYS_fanotify_init, FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_CLOEXEC, 0);
		r = syscall(SYS_fanotify_mark, fd, FAN_MARK_ADD, FAN_MODIFY, d, t->file);
		close((int)fd);
		return r;
	case EXECVE: /* no program, but found */
		r = syscall(SYS_execve, t->file, argv, environ);
		return r < 0 && errno == ENOEXEC ? 0 : r;
	case OPEN_LINK: /* found, and no file */
		r = syscall(SYS_openat, d, t->link, O_RDONLY | O_NOFOLLOW, 0);
		return r < 0 && errno == ELOOP ? 0 : r;
	case LCHOWN_LINK:
		return syscall(SYS_fchownat, d, t->link, getuid(), getgid(), AT_SYMLINK_NOFOLLOW);
	case UNLINKAT:
		r = syscall(SYS_unlinkat, d, t->link, 0);
		return r < 0 ? r : syscall(SYS_symlinkat, "x", d, t->link);
	case RENAME_OUT:
		r = syscall(SYS_renameat2, d, t->file, AT_FDCWD, "taken2", RENAME_NOREPLACE);
		return r < 0 ? r
			     : syscall(SYS_renameat2, AT_FDCWD, "taken2", d, t->file,
				       RENAME_NOREPLACE);
	case RENAME_IN:
		syscall(SYS_mkdirat, AT_FDCWD, "given", 0700);
		r = syscall(SYS_renameat2, AT_FDCWD, "given", d, t->new, 0);
		return r < 0 ? r : syscall(SYS_unlinkat, d, t->new, AT_REMOVEDIR);
	case LINK_IN:
		close((int)syscall(SYS_openat, AT_FDCWD, "given.f", O_CREAT | O_WRONLY | O_CLOEXEC,
				   0600));
		r = syscall(SYS_linkat, AT_FDCWD, "given.f", d, t->new, 0);
		return r < 0 ? r : syscall(SYS_unlinkat, d, t->new, 0);
	case EXCHANGE:
		close((int)syscall(SYS_openat, AT_FDCWD, "given.x", O_CREAT | O_WRONLY | O_CLOEXEC,
				   0600));
		r = syscall(SYS_renameat2, AT_FDCWD, "given.x", d, t->file, RENAME_EXCHANGE);
		return r < 0 ? r
			     : syscall(SYS_renameat2, AT_FDCWD, "given.x", d, t->file,
				       RENAME_EXCHANGE);
	case FCHDIR:
		fd = syscall(SYS_openat, d, t->dir, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		if (fd < 0)
			return -1;
		r = syscall(SYS_openat, AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		if (syscall(SYS_fchdir, fd) < 0 || syscall(SYS_fchdir, r) < 0)
			return -1;
		close((int)fd);
		close((int)r);
		return 0;
#ifdef SYS_open
	case OLD_OPEN:
		return syscall(SYS_open, t->file, O_RDONLY, 0);
	case OLD_STAT:
		return syscall(SYS_stat, t->file, buffer);
	case OLD_LSTAT:
		return syscall(SYS_lstat, t->file, buffer);
	case OLD_ACCESS:
		return syscall(SYS_access, t->file, F_OK);
	case OLD_READLINK:
		return length(syscall(SYS_readlink, t->link, buffer, sizeof(buffer)));
	case OLD_CHMOD:
		return syscall(SYS_chmod, t->file, 0777);
	case OLD_CHOWN:
		return syscall(SYS_chown, t->file, getuid(), getgid());
	case OLD_UTIME:
		return syscall(SYS_utime, t->file, NULL);
	case OLD_CREAT:
		return syscall(SYS_creat, t->new, 0600);
	case OLD_MKDIR:
		r = syscall(SYS_mkdir, t->new, 0700);
		return r < 0 ? r : syscall(SYS_rmdir, t->new);
	case OLD_LINK:
		r = syscall(SYS_link, t->file, t->new);
		return r < 0 ? r : syscall(SYS_unlink, t->new);
	case OLD_LCHOWN:
		return syscall(SYS_lchown, t->link, getuid(), getgid());
	case OLD_UTIMES:
		return syscall(SYS_utimes, t->file, NULL);
	case OLD_FUTIMESAT:
		return syscall(SYS_futimesat, d, t->file, NULL);
	case OLD_MKNOD:
		r = syscall(SYS_mknod, t->new, S_IFREG | 0600, 0);
		return r < 0 ? r : syscall(SYS_unlink, t->new);
	case OLD_SYMLINK:
		r = syscall(SYS_symlink, "x", t->new);
		return r < 0 ? r : syscall(SYS_unlink, t->new);
	case OLD_RENAME:
		r = syscall(SYS_rename, t->file, t->new);
		return r < 0 ? r : syscall(SYS_renameat, AT_FDCWD, t->new, AT_FDCWD, t->file);
#endif
	default:
		errno = ENOSYS;
		return -1;
	}
}

int family_try(unsigned family, const struct family_target *t)
{
	long r = family_attempt(family, t);

	if (r > 2)
		close((int)r);
	return r < 0 ? errno : 0;
}

bool family_is_unknown(int error)
{
	return error == EOPNOTSUPP || error == ENOSYS;
}
