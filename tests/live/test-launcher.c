/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launcher against the kernel's own exec: the same program with the same arguments, started both ways, must say the same and end the same.
 *
 * No sandbox here: a small supervisor of the test's own answers the launcher's one question. What the programs themselves execute is the kernel's to do.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "launcher/image.h"
#include "launcher/plan.h"
#include "launcher/program.h"
#include "launcher/protocol.h"
#include "sys/notif.h"
#include "task/task.h"

#define OUTPUT_MAX (1u << 20)

struct outcome {
	int status; /* as waitpid gives it; -errno of the exec as an exit of 200 */
	size_t size;
	char *output;
};

struct program {
	const char *path;
	char *const *argv, *const *envp;
};

#ifdef SYS_readlink
#define NR_READLINK SYS_readlink
#else
#define NR_READLINK SYS_readlinkat
#endif

static const char *private_dir; /* the child's working directory: "a", "e/1" */

/* ---- the supervisor's side ---- */

/* A regular file that may be executed. */
static int open_program(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0)
		return fd;
	close(fd);
	return -EACCES;
}

static int open_loader(const char *path)
{
	struct image_source s;
	int fd = open_program(path);

	if (fd < 0)
		return fd;
	s = image_source_fd(fd);
	return image_check_loader(&s) < 0 ? -ELIBBAD : fd;
}

/* What a supervisor finds out when the exec is asked for: descriptors, arguments. */
struct target {
	int exe, loader;
	const char *prefix[LAUNCHER_PREFIX_MAX];
	size_t n_prefix;
	struct image images[IMAGE_SCRIPTS_MAX + 1];
};

static int target_find(struct target *t, const struct program *p)
{
	const char *path = p->path;
	size_t n = 0;

	memset(t, 0, sizeof(*t));
	t->exe = t->loader = -1;
	for (unsigned depth = 0;; depth++) {
		struct image *im = &t->images[depth];
		struct image_source s;
		int r;

		if (depth > IMAGE_SCRIPTS_MAX)
			return -ELOOP;
		t->exe = open_program(path);
		if (t->exe < 0)
			return t->exe;
		s = image_source_fd(t->exe);
		r = image_read(&s, im);
		if (r < 0)
			return r;
		if (im->kind == IMAGE_ELF)
			break;
		close(t->exe);
		/* before what there is: interpreter, argument, script */
		if (!n)
			t->prefix[n++] = path;
		memmove(t->prefix + 1 + im->has_argument, t->prefix, n * sizeof(t->prefix[0]));
		t->prefix[0] = im->interp;
		if (im->has_argument)
			t->prefix[1] = im->argument;
		n += 1 + im->has_argument;
		path = im->interp;
	}
	if (!n)
		t->prefix[n++] = p->argv[0] ? p->argv[0] : "";
	t->n_prefix = n;
	for (unsigned i = 0; i <= IMAGE_SCRIPTS_MAX; i++) {
		if (t->images[i].kind == IMAGE_ELF && *t->images[i].interp)
			t->loader = open_loader(t->images[i].interp);
	}
	return t->loader < -1 ? t->loader : 0;
}

/* Answer the question of @n. 0 once the plan is there. */
static int answer(int listener, const struct seccomp_notif *n, const struct target *t,
		  const struct program *p)
{
	const char *base = strrchr(p->path, '/');
	struct plan_strings strings = {
		.execfn = p->path,
		.comm = base ? base + 1 : p->path,
		.prefix = t->prefix,
		.n_prefix = t->n_prefix,
	};
	size_t size = (size_t)n->data.args[3];
	static char buf[LAUNCHER_PLAN_MAX];
	struct launcher_plan *plan = (struct launcher_plan *)(void *)buf;
	struct iovec local = { buf, 0 };
	struct iovec remote = { (void *)(uintptr_t)n->data.args[2], 0 };
	ssize_t need = plan_write(&strings, buf, sizeof(buf));

	if (need < 0) {
		notif_send_reply(listener, n->id, E2BIG, 0);
		return (int)need;
	}
	if ((size_t)need > size) {
		notif_send_reply(listener, n->id, 0, need);
		return 1;
	}
	plan->exe_fd = notif_addfd(listener, n->id, t->exe, O_CLOEXEC);
	if (t->loader >= 0)
		plan->loader_fd = notif_addfd(listener, n->id, t->loader, O_CLOEXEC);
	local.iov_len = remote.iov_len = (size_t)need;
	if (process_vm_writev((pid_t)n->pid, &local, 1, &remote, 1, 0) != need)
		return -errno;
	notif_send_reply(listener, n->id, 0, 0);
	return 0;
}

/* /proc/self/exe of process @pid is the program; other links are the kernel's. */
static void answer_link(int listener, const struct seccomp_notif *n, pid_t pid, const char *path)
{
	unsigned at = n->data.nr == SYS_readlinkat ? 1 : 0;
	size_t size = (size_t)n->data.args[at + 1 + 1], length = strlen(path);
	struct task task = { .listener = listener, .tid = (pid_t)n->pid, .id = n->id };
	char link[32];

	if ((pid_t)n->pid != pid ||
	    task_read_string(&task, n->data.args[at], link, sizeof(link)) < 0 ||
	    strcmp(link, "/proc/self/exe") != 0) {
		notif_send_continue(listener, n->id);
		return;
	}
	if (length > size)
		length = size;
	if (task_write(&task, n->data.args[at + 1], path, length) < 0)
		notif_send_reply(listener, n->id, EFAULT, 0);
	else
		notif_send_reply(listener, n->id, 0, (int64_t)length);
}

static void supervise(int listener, pid_t pid, const struct target *t, const struct program *p)
{
	struct pollfd poll_fd = { .fd = listener, .events = POLLIN };
	char real[PATH_MAX], link[32];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", t->exe);
	length = readlink(link, real, sizeof(real) - 1);
	if (length < 0)
		_exit(GUEST_FAILED);
	real[length] = '\0';
	while (poll(&poll_fd, 1, -1) > 0 && !(poll_fd.revents & POLLHUP)) {
		struct seccomp_notif n;

		if (notif_recv(listener, &n) < 0)
			continue;
		if (n.data.nr == SYS_execveat)
			answer(listener, &n, t, p);
		else
			answer_link(listener, &n, pid, real);
	}
}

/* ---- the child's side ---- */

static int trap_questions(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NR_READLINK, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_readlinkat, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execveat, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)LAUNCHER_ASK_FD, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { N_OF(code), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			    &prog);
}

static void send_fd(int channel, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(channel, &msg, 0) < 0)
		_exit(201);
}

static int receive_fd(int channel)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	int fd = -1;

	if (recvmsg(channel, &msg, MSG_CMSG_CLOEXEC) > 0 && CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static _Noreturn void child(const struct program *p, bool launcher, int output, int channel)
{
	int null = open("/dev/null", O_RDONLY);
	int listener = -1;

	dup2(null, 0);
	dup2(output, 1);
	dup2(output, 2);
	if (launcher)
		listener = trap_questions();
	else
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (launcher && listener < 0)
		_exit(202);
	if (launcher)
		send_fd(channel, listener);
	if (chdir(private_dir) < 0)
		_exit(203);
	for (int fd = 3; fd < 64; fd++)
		close(fd);
	execve(launcher ? "a" : p->path, p->argv, p->envp);
	dprintf(2, "exec: %s\n", strerror(errno));
	_exit(200);
}

/* ---- both ways ---- */

static void read_all(int fd, struct outcome *ret)
{
	ssize_t n;

	ret->output = calloc(1, OUTPUT_MAX + 1);
	assert_non_null(ret->output);
	while ((n = read(fd, ret->output + ret->size, OUTPUT_MAX - ret->size)) > 0)
		ret->size += (size_t)n;
}

static struct outcome run(const struct program *p, bool launcher)
{
	struct outcome ret = { 0 };
	struct target t = { .exe = -1, .loader = -1 };
	int out[2], channel[2];
	pid_t pid, relay;

	int r = launcher ? target_find(&t, p) : 0;

	if (r < 0)
		fail_msg("%s: %d", p->path, r);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(p, launcher, out[1], channel[1]);
	close(channel[1]);
	/* the supervisor in a process of its own, so that the pipe can be read meanwhile */
	relay = launcher ? fork() : -1;
	if (relay == 0) {
		int listener = receive_fd(channel[0]);

		close(out[1]);
		if (listener >= 0)
			supervise(listener, pid, &t, p);
		_exit(0);
	}
	close(out[1]);
	close(channel[0]);
	read_all(out[0], &ret);
	close(out[0]);
	assert_int_equal(waitpid(pid, &ret.status, 0), pid);
	if (relay > 0)
		waitpid(relay, NULL, 0);
	if (t.exe >= 0)
		close(t.exe);
	if (t.loader >= 0)
		close(t.loader);
	return ret;
}

/* The first line in which the two differ, for people. */
static void show_difference(const struct outcome *bare, const struct outcome *ours)
{
	const char *a = bare->output, *b = ours->output;

	while (*a && *b) {
		size_t n = strcspn(a, "\n"), m = strcspn(b, "\n");

		if (n != m || memcmp(a, b, n) != 0)
			break;
		a += n + !!a[n];
		b += m + !!b[m];
	}
	print_error("bare:     %.*s\nlauncher: %.*s\n", (int)strcspn(a, "\n"), a,
		    (int)strcspn(b, "\n"), b);
}

static void same(const struct program *p)
{
	struct outcome bare = run(p, false), ours = run(p, true);
	bool equal = bare.size == ours.size && !memcmp(bare.output, ours.output, bare.size) &&
		     bare.status == ours.status;

	if (!equal)
		show_difference(&bare, &ours);
	if (!equal || WEXITSTATUS(bare.status) >= 200)
		fail_msg("%s: status %x bare, %x by the launcher; %zu and %zu bytes", p->path,
			 (unsigned)bare.status, (unsigned)ours.status, bare.size, ours.size);
	free(bare.output);
	free(ours.output);
}

/* ---- tests ---- */

static char *const default_env[] = { (char *)"PATH=/usr/local/bin:/usr/bin:/bin", (char *)"A=b",
				     (char *)"EMPTY=", (char *)"HOME=/", NULL };

static void same_argv(const char *path, char *const *argv)
{
	struct program p = { path, argv, default_env };

	same(&p);
}

static char **probes; /* paths; NULL-terminated */

static void test_probes(void **state)
{
	for (char **path = probes; *path; path++) {
		char *argv[] = { (char *)"probe", (char *)"one", (char *)"", (char *)"three",
				 NULL };

		same_argv(*path, argv);
		argv[1] = NULL;
		same_argv(*path, argv);
		argv[0] = (char *)"";
		same_argv(*path, argv);
		argv[0] = NULL;
		same_argv(*path, argv);
	}
}

/* A string of @n bytes; heap. */
static char *long_string(size_t n, char with)
{
	char *s = malloc(n + 1);

	assert_non_null(s);
	memset(s, with, n);
	s[n] = '\0';
	return s;
}

static void test_many_arguments(void **state)
{
	static const size_t counts[] = { 2, 3, 4, 5, 2000, 2001 };

	for (char **path = probes; *path; path++) {
		for (size_t i = 0; i < N_OF(counts); i++) {
			char **argv = calloc(counts[i] + 1, sizeof(*argv));

			assert_non_null(argv);
			for (size_t n = 0; n < counts[i]; n++)
				argv[n] = (char *)"argument";
			same_argv(*path, argv);
			free(argv);
		}
	}
}

static void test_long_arguments(void **state)
{
	char *longest = long_string((128u << 10) - 1, 'l');
	char *first[] = { longest, (char *)"two", NULL };
	char *second[] = { (char *)"one", longest, (char *)"three", NULL };

	for (size_t n = 1; n < 600; n += 7) {
		char *name = long_string(n, 'n');
		char *argv[] = { name, (char *)"two", NULL };

		same_argv(probes[0], argv);
		free(name);
	}
	same_argv(probes[0], first);
	same_argv(probes[0], second);
	free(longest);
}

static void test_environments(void **state)
{
	char *argv[] = { (char *)"probe", (char *)"x", NULL };
	char *none[] = { NULL };
	char **large = calloc(12, sizeof(*large));
	struct program p = { probes[0], argv, none };

	assert_non_null(large);
	for (int i = 0; i < 10; i++)
		large[i] = long_string(100000, (char)('a' + i));
	same(&p);
	p.envp = large;
	same(&p);
	for (int i = 0; i < 10; i++)
		free(large[i]);
	free(large);
	large = calloc(50001, sizeof(*large));
	assert_non_null(large);
	for (int i = 0; i < 50000; i++)
		large[i] = (char *)"VARIABLE=value of it";
	p.envp = large;
	same(&p);
	free(large);
}

/* AT_EXECFN of 4095 bytes. */
static void test_long_path(void **state)
{
	char *argv[] = { (char *)"probe", NULL };
	char path[PATH_MAX];
	size_t n = strlen(probes[0]);

	memset(path, '/', sizeof(path));
	memcpy(path + sizeof(path) - 1 - n, probes[0], n + 1);
	assert_int_equal(strlen(path), PATH_MAX - 1);
	same_argv(path, argv);
}

/* ---- scripts ---- */

static void write_file(const char *path, const void *data, size_t size, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	close(fd);
}

static void write_script(char path[PATH_MAX], unsigned number, const char *interp,
			 const char *argument)
{
	char text[PATH_MAX + 64];

	snprintf(path, PATH_MAX, "%s/script-%u", private_dir, number);
	snprintf(text, sizeof(text), "#!%s %s\necho \"$0\" \"$@\"\n", interp, argument);
	write_file(path, text, strlen(text), 0700);
}

static void test_scripts(void **state)
{
	char *argv[] = { (char *)"lost", (char *)"one", (char *)"two", NULL };
	char *alone[] = { (char *)"lost", NULL };
	char *none[] = { NULL };
	char path[PATH_MAX], before[PATH_MAX];

	write_script(path, 1, "/bin/sh", "");
	same_argv(path, argv);
	same_argv(path, none);
	write_script(path, 1, "/bin/sh", "-e");
	same_argv(path, argv);
	/* a blank before the file's end, and no newline: an empty argument */
	snprintf(before, sizeof(before), "#!%s ", probes[0]);
	write_file(path, before, strlen(before), 0700);
	same_argv(path, argv);
	for (unsigned i = 0; i < IMAGE_SCRIPTS_MAX; i++) {
		write_script(path, i, i ? before : probes[0], i % 2 ? "arg x" : "");
		same_argv(path, argv);
		same_argv(path, alone);
		memcpy(before, path, sizeof(before));
	}
}

/* What is a program, for the kernel and for image.h: each file of nonsense gives the same errno. */
static int bare_errno(const char *path)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		char *argv[] = { (char *)"x", NULL };
		int null = open("/dev/null", O_RDWR);

		dup2(null, 1);
		dup2(null, 2);
		execve(path, argv, default_env);
		_exit(errno);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void expect_errno(const void *data, size_t size)
{
	char path[PATH_MAX];
	struct program p = { path, default_env, default_env };
	struct target t;
	int kernel, ours;

	snprintf(path, sizeof(path), "%s/nonsense", private_dir);
	write_file(path, data, size, 0700);
	kernel = bare_errno(path);
	ours = -target_find(&t, &p);
	if (kernel != ours)
		fail_msg("\"%.40s\": the kernel says %d, image.c %d", (const char *)data, kernel,
			 ours);
}

static void test_errors(void **state)
{
	static const char *const texts[] = {
		"",
		"#",
		"#!",
		"#!\n",
		"#! \t\n",
		"#!   ",
		"echo\n",
		"\177ELF",
		"#!/nowhere\n",
		"#!/nowhere",
		"#!/tmp\n",
		"#!/etc/passwd\n",
		"#!\n/bin/true\n",
		"#!nowhere x\n",
	};
	char text[1024], path[PATH_MAX];
	static char head[20000];
	int fd;

	for (size_t i = 0; i < N_OF(texts); i++)
		expect_errno(texts[i], strlen(texts[i]));
	for (size_t n = 240; n < 270; n++) {
		memset(text, 'i', sizeof(text));
		memcpy(text, "#!/", 3);
		expect_errno(text, n);
		text[n] = '\n';
		expect_errno(text, n + 1);
		text[n] = ' ';
		expect_errno(text, n + 1);
	}
	/* scripts without end */
	snprintf(path, sizeof(path), "#!%s/nonsense\n", private_dir);
	expect_errno(path, strlen(path));
	/* a program that is cut, and one that has other values in its header */
	fd = open(probes[0], O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, head, sizeof(head)), sizeof(head));
	close(fd);
	for (size_t n = 4; n < 600; n += 20)
		expect_errno(head, n);
	for (size_t at = 16; at < 20; at++) { /* e_type, e_machine */
		char kept = head[at];

		head[at] = 77;
		expect_errno(head, sizeof(head));
		head[at] = kept;
	}
}

/* ---- programs of every day ---- */

/* The full path of @name in PATH; false: this machine does not have it. */
static bool which(const char *name, char path[PATH_MAX])
{
	const char *from = getenv("PATH");
	struct stat st;

	for (const char *at = from ? from : "/usr/bin:/bin"; *at;) {
		size_t n = strcspn(at, ":");

		snprintf(path, PATH_MAX, "%.*s/%s", (int)n, at, name);
		if (access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode))
			return true;
		at += n + !!at[n];
	}
	return false;
}

static void test_programs(void **state)
{
	static const char *const commands[][5] = {
		{ "bash", "-c", "x=$(ls /; cat /proc/self/comm); echo \"$x\"; exit 7" },
		{ "dash", "-c", "echo a | cat | cat; kill -TERM $$" },
		{ "perl", "-e", "print join(',', map { $_ * 2 } 1..20), \"$0\\n\"; exit 3" },
		{ "python3", "-c",
		  "import subprocess,sys,threading,ctypes\n"
		  "print(subprocess.run(['echo','inside'],capture_output=True).stdout, sys.argv)\n"
		  "print(sum(i*i for i in range(100000)), sys.executable)" },
		{ "java", "-version" },
		{ "node", "-e",
		  "console.log([1,2,3].map(x=>x*x), process.argv0); process.exit(5)" },
		{ "go", "version" },
		{ "cargo", "--version" },
		{ "rustc", "--version" },
		{ "busybox", "sh", "-c", "echo $0 $((6 * 7))" },
		{ "gcc", "-dumpversion" },
		{ "make", "--version" },
		{ "git", "--version" },
		{ "env" },
		{ "ls", "-la", "/etc" },
		{ "sha256sum", "/etc/passwd" },
	};
	unsigned n = 0;

	for (size_t i = 0; i < N_OF(commands); i++) {
		char *argv[6] = { NULL };
		char path[PATH_MAX];

		if (!which(commands[i][0], path))
			continue;
		for (size_t a = 0; a < 5; a++)
			argv[a] = (char *)(uintptr_t)commands[i][a];
		same_argv(path, argv);
		n++;
	}
	assert_true(n >= 6);
}

/* A compiler run that starts others: cc1, as, ld. */
static void test_compile(void **state)
{
	char path[PATH_MAX], source[PATH_MAX], object[PATH_MAX];
	char *argv[] = { (char *)"cc", (char *)"-v", (char *)"-o", object, source, NULL };
	struct stat st;

	assert_true(which("cc", path));
	snprintf(source, sizeof(source), "%s/p.c", private_dir);
	snprintf(object, sizeof(object), "%s/p", private_dir);
	write_file(source, "int main(void){return 0;}\n", 26, 0600);
	{
		struct program p = { path, argv, default_env };
		struct outcome o = run(&p, true);

		if (o.status || stat(object, &st) < 0)
			fail_msg("cc: %d\n%s", o.status, o.output);
		free(o.output);
	}
}

/* ---- set-up ---- */

static int set_up(void **state)
{
	char path[PATH_MAX], script[256];

	private_dir = guest_dir();
	snprintf(path, sizeof(path), "%s/e", private_dir);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/e/1", private_dir);
	write_file(path, launcher_program, launcher_program_size, 0700);
	snprintf(path, sizeof(path), "%s/a", private_dir);
	memset(script, '/', sizeof(script));
	memcpy(script, "#!e", 3);
	memcpy(script + 200, "1\n", 2);
	write_file(path, script, 202, 0700);
	return 0;
}

static int tear_down(void **state)
{
	guest_remove(private_dir);
	return 0;
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probes),	       cmocka_unit_test(test_many_arguments),
		cmocka_unit_test(test_long_arguments), cmocka_unit_test(test_environments),
		cmocka_unit_test(test_long_path),      cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_errors),	       cmocka_unit_test(test_programs),
		cmocka_unit_test(test_compile),
	};

	if (argc < 2) {
		fprintf(stderr, "which programs?\n");
		return 2;
	}
	probes = argv + 1;
	for (char **path = probes; *path; path++) {
		if (strstr(*path, ".so"))
			*path = NULL; /* a library: no program behind it */
		else
			*path = realpath(*path, NULL);
		if (!*path)
			break;
	}

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
