/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into the sluice command: the process is killed before the N-th call that changes a file system, where SLUICE_KILL_AT is N. What it forks is not, and neither is what is
 * executed with another environment.
 */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

static unsigned long at;
static pid_t whom;
static _Atomic unsigned long calls;

__attribute__((constructor)) static void begin(void)
{
	const char *text = getenv("SLUICE_KILL_AT");

	at = text ? strtoul(text, NULL, 10) : 0;
	whom = getpid();
}

/* Here it may end. */
static void point(void)
{
	if (at && getpid() == whom && ++calls == at)
		kill(whom, SIGKILL);
}

#define WRAP(type, name, params, args)                                             \
	type name params                                                           \
	{                                                                          \
		static type(*_Atomic real) params;                                 \
                                                                                   \
		point();                                                           \
		if (!real)                                                         \
			real = (type(*) params)(uintptr_t)dlsym(RTLD_NEXT, #name); \
		return real args;                                                  \
	}

WRAP(int, rename, (const char *a, const char *b), (a, b))
WRAP(int, renameat, (int a, const char *b, int c, const char *d), (a, b, c, d))
WRAP(int, renameat2, (int a, const char *b, int c, const char *d, unsigned e), (a, b, c, d, e))
WRAP(int, linkat, (int a, const char *b, int c, const char *d, int e), (a, b, c, d, e))
WRAP(int, unlink, (const char *a), (a))
WRAP(int, rmdir, (const char *a), (a))
WRAP(int, unlinkat, (int a, const char *b, int c), (a, b, c))
WRAP(int, mkdir, (const char *a, mode_t b), (a, b))
WRAP(int, mkdirat, (int a, const char *b, mode_t c), (a, b, c))
WRAP(int, mknodat, (int a, const char *b, mode_t c, dev_t d), (a, b, c, d))
WRAP(int, symlinkat, (const char *a, int b, const char *c), (a, b, c))
WRAP(int, fchownat, (int a, const char *b, uid_t c, gid_t d, int e), (a, b, c, d, e))
WRAP(int, chmod, (const char *a, mode_t b), (a, b))
WRAP(int, fchmod, (int a, mode_t b), (a, b))
WRAP(int, fchmodat, (int a, const char *b, mode_t c, int d), (a, b, c, d))
WRAP(int, utimensat, (int a, const char *b, const struct timespec c[2], int d), (a, b, c, d))
WRAP(int, setxattr, (const char *a, const char *b, const void *c, size_t d, int e), (a, b, c, d, e))
WRAP(int, removexattr, (const char *a, const char *b), (a, b))
WRAP(ssize_t, write, (int a, const void *b, size_t c), (a, b, c))
WRAP(ssize_t, writev, (int a, const struct iovec *b, int c), (a, b, c))
WRAP(ssize_t, copy_file_range, (int a, off64_t *b, int c, off64_t *d, size_t e, unsigned f),
     (a, b, c, d, e, f))
WRAP(int, ftruncate64, (int a, off64_t b), (a, b))
WRAP(int, fsync, (int a), (a))
WRAP(int, syncfs, (int a), (a))

int openat64(int dir, const char *path, int flags, ...)
{
	static int (*_Atomic real)(int, const char *, int, ...);
	mode_t mode = 0;
	va_list ap;

	if (flags & (O_CREAT | O_TRUNC)) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
		point();
	}
	if (!real)
		real = (int (*)(int, const char *, int, ...))(uintptr_t)dlsym(RTLD_NEXT,
									      "openat64");
	return real(dir, path, flags, mode);
}

int ioctl(int fd, unsigned long request, ...)
{
	static int (*_Atomic real)(int, unsigned long, ...);
	unsigned long arg;
	va_list ap;

	va_start(ap, request);
	arg = va_arg(ap, unsigned long);
	va_end(ap);
	if (request == FICLONE)
		point();
	if (!real)
		real = (int (*)(int, unsigned long, ...))(uintptr_t)dlsym(RTLD_NEXT, "ioctl");
	return real(fd, request, arg);
}
