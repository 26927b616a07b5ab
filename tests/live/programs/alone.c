/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only file of a root: a static program that looks around and starts itself again. Exit code 0, or the number of what does not hold.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int start(const char *path, int with_vfork)
{
	char *const argv[] = { (char *)"alone", (char *)"again", NULL };
	pid_t pid = with_vfork ? vfork() : fork();
	int status;

	if (pid == 0) {
		execv(path, argv);
		_exit(errno);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Names in "/" without "." and "..". */
static int count_root(void)
{
	DIR *d = opendir("/");
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static int look_around(void)
{
	char text[4096];
	struct stat st;
	ssize_t n;

	if (!getcwd(text, sizeof(text)) || strcmp(text, "/") != 0)
		return 1;
	n = readlink("/proc/self/exe", text, sizeof(text));
	if (n != 6 || memcmp(text, "/alone", 6) != 0)
		return 2;
	if (stat("/etc", &st) == 0 || errno != ENOENT)
		return 3;
	if (stat("/../../alone", &st) < 0 || !S_ISREG(st.st_mode))
		return 4;
	/* alone, dev, proc; where no descriptor of ours can be had, the kernel lists what is really there */
	if (count_root() != (getenv("SLUICE_TEST_CONTAINER") ? 1 : 3))
		return 5;
	if (open("/dev/null", O_WRONLY) < 0)
		return 6;
	if (open("/x", O_CREAT | O_WRONLY, 0600) >= 0 || errno != EACCES)
		return 7;
	return 0;
}

int main(int argc, char *argv[])
{
	int r = look_around();

	if (r || argc > 1)
		return r;
	if (start("/alone", 0) != 0)
		return 10;
	if (start("./alone", 1) != 0)
		return 11;
	if (start("/proc/self/exe", 1) != 0)
		return 12;
	if (start("/alone/", 0) != ENOTDIR || start("/bin/sh", 1) != ENOENT)
		return 13;
	(void)argv;
	return 0;
}
