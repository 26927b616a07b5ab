/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs bare and inside: the same exit status, the same standard output and error. Inside means once without handlers and once with every open made on
 * behalf.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../hazard/as_seen.h"
#include "../support/cmocka.h"
#include "../support/guest.h"

/* Run by /bin/sh in an empty directory of its own. */
static const char *const scripts[] = {
	/* exit statuses */
	"exit 0",
	"exit 37",
	"exit 255",
	"kill -TERM $$",
	"kill -KILL $$",
	"kill -SEGV $$",
	"/nonexistent; echo $?; exec /nonexistent",
	"echo x >f; ./f; echo $?; exec ./f",
	"printf 'echo script\\n' >s; chmod 755 s; ./s; echo $?",
	"(exit 3); echo $?; (kill -9 $(sh -c 'echo $PPID')); echo $?",
	/* signals */
	"trap 'echo usr1' USR1; kill -USR1 $$; echo after",
	"trap '' TERM; kill -TERM $$; echo still here",
	"trap 'echo bye' EXIT; exit 4",
	"sleep 10 & kill -INT $!; kill -TERM $!; wait $! 2>/dev/null; echo $?",
	/* pipes */
	"yes | head -n 3",
	"seq 20000 | sort -n | tail -n 1",
	"mkfifo p; echo through >p & cat p; wait",
	"mkfifo p q; cat <p >q & echo round >p & cat q; wait",
	"cat; echo end",
	"cat <&9; echo nine >&9; wc -c </dev/fd/9",
	"echo err >&2; echo out",
	/* files */
	"umask; umask 077; >f; mkdir d; stat -c '%a %F' f d; umask 0; >g; stat -c %a g",
	"echo a >f; echo b >>f; cat f; : >f; wc -c <f; ln f g; ln -s f l; stat -c %h f; readlink l; rm f; cat l",
	"mkdir -p a/b/c; cd a/b/c; pwd -P | tail -c 7; cd ..; ls; rmdir c; ls | wc -l",
	"echo x >f; chmod 000 f; [ $(id -u) = 0 ] || cat f",
	"set -C; echo a >f; echo b >f; cat f",
	"tar -cf t.tar /etc/passwd 2>/dev/null && tar -tf t.tar",
	"cp /etc/passwd a; cp -p a b; cmp a b && mv b c && diff a c && echo same",
	"find /etc -maxdepth 1 -name 'pass*' | sort",
	"dd if=/dev/zero of=z bs=4k count=3 2>/dev/null; truncate -s 100 z; stat -c %s z",
	"cat /dev/null; head -c 4 /dev/zero | od -c; echo x >/dev/full; echo $?",
	"cat <<'X'\nhere\nX",
	/* surroundings */
	"env | grep -vE '^(_|PWD|OLDPWD)=' | sort",
	"ulimit -a",
	"ulimit -n 20; ulimit -n; ulimit -c 0; ulimit -c",
	"ls /proc/self/fd | wc -l",
	"cat /proc/self/comm /proc/thread-self/comm",
	"grep -E 'SigBlk|SigIgn|SigCgt' /proc/self/status",
	"nice; nice -n 3 nice",
	"id; groups; tty; echo $-",
	/* Unix sockets: by name, by abstract name, a pair, an event loop, a library that is built on them */
	"python3 - <<'X'\n"
	"import os, socket, threading\n"
	"def serve(l):\n"
	"    for _ in range(3):\n"
	"        c, _ = l.accept(); c.sendall(c.recv(99)[::-1]); c.close()\n"
	"for kind in socket.SOCK_STREAM, socket.SOCK_SEQPACKET:\n"
	"    for name in 'named%d' % kind, '\\0sluice-%d' % os.getpid():\n"
	"        l = socket.socket(socket.AF_UNIX, kind); l.bind(name); l.listen()\n"
	"        t = threading.Thread(target=serve, args=[l]); t.start()\n"
	"        for i in range(3):\n"
	"            s = socket.socket(socket.AF_UNIX, kind); s.connect(name); s.sendall(b'abc%d' % i)\n"
	"            print(kind, s.recv(99), s.getpeername() == l.getsockname(), s.getsockname()); s.close()\n"
	"        t.join(); l.close()\n"
	"    a, b = socket.socketpair(socket.AF_UNIX, kind); a.send(b'x'); print(b.recv(9))\n"
	"X",
	"python3 - <<'X'\n"
	"import asyncio\n"
	"async def serve(r, w):\n"
	"    w.write((await r.readline()).upper()); await w.drain(); w.close()\n"
	"async def ask(i):\n"
	"    r, w = await asyncio.open_unix_connection('sock')\n"
	"    w.write(b'hello %d\\n' % i); line = await r.readline(); w.close(); return line\n"
	"async def main():\n"
	"    s = await asyncio.start_unix_server(serve, 'sock')\n"
	"    print(await asyncio.gather(*[ask(i) for i in range(50)])); s.close()\n"
	"    try: await asyncio.open_unix_connection('none')\n"
	"    except OSError as e: print(e)\n"
	"asyncio.run(main())\n"
	"X",
	"cat >m.py <<'X'\n"
	"import multiprocessing as m\n"
	"def add(d, i): d[i] = i * i\n"
	"if __name__ == '__main__':\n"
	"    with m.Manager() as g:\n"
	"        d = g.dict(); p = [m.Process(target=add, args=(d, i)) for i in range(4)]\n"
	"        [x.start() for x in p]; [x.join() for x in p]; print(sorted(d.items()))\n"
	"X\n"
	"TMPDIR=$PWD python3 m.py",
	/* jobs */
	"for i in 1 2 3 4 5 6 7 8; do (exit $i) & done; wait; echo done",
	"sleep 0.02 & a=$!; sleep 0.01 & wait $a; echo $?; wait; echo $?",
	"i=0; while [ $i -lt 30 ]; do echo $(echo $(echo $i)); i=$((i+1)); done",
	"timeout 0.1 sleep 5; echo $?",
	"setsid sh -c 'ps -o sid= -p $$ | grep -qw $$ && echo leader'",
	"nohup echo kept 2>/dev/null",
	"flock f echo locked; echo $?",
};

static char world[PATH_MAX]; /* where scripts run */

static int guest_script(const char *index)
{
	const char *script = scripts[atoi(index)];
	const char *dir = strchr(index, ' ') + 1;

	if (chdir(dir) < 0)
		return 200;
	execl("/bin/sh", "sh", "-c", script, (char *)NULL);
	return 201;
}

/* What a process inherits and a shell does not show, as relations where numbers differ. ARG: process group and session of the test. */
static int guest_inherited(const char *arg)
{
	int group = 0, session = 0;
	struct rlimit lim;
	char cwd[PATH_MAX];
	cpu_set_t cpus;

	sscanf(arg, "%d %d", &group, &session);
	printf("group %d session %d\n", getpgrp() == group, getsid(0) == session);
	printf("cwd %s umask %o\n", getcwd(cwd, sizeof(cwd)), (unsigned)umask(0));
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		getrlimit((enum __rlimit_resource)i, &lim);
		printf("limit %d %llx %llx\n", i, (unsigned long long)lim.rlim_cur,
		       (unsigned long long)lim.rlim_max);
	}
	sched_getaffinity(0, sizeof(cpus), &cpus);
	printf("cpus %d nice %d policy %d\n", CPU_COUNT(&cpus), getpriority(PRIO_PROCESS, 0),
	       sched_getscheduler(0));
	printf("dumpable %d subreaper personality %x\n", prctl(PR_GET_DUMPABLE),
	       (unsigned)personality(0xffffffff));
	for (int fd = 0; fd < 100; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			printf("descriptor %d %x\n", fd, (unsigned)fcntl(fd, F_GETFL));
	}
	return fflush(stdout) ? 1 : 0;
}

static const struct guest_role roles[] = {
	{ "script", guest_script },
	{ "inherited", guest_inherited },
	{ NULL, NULL },
};

/* ---- */

enum way {
	BARE,
	INSIDE,
	ON_BEHALF
};

/* Exit status and everything said; the caller frees the text. */
static int outcome(enum way way, const char *role, const char *arg, char **ret_text)
{
	static const char input[] = "input\n";
	struct sluice_policy *p = guest_policy();
	int saved[3], out = memfd_create("out", MFD_CLOEXEC), in[2], r;
	off_t size;

	assert_int_equal(sluice_policy_allow_write(p, world, NULL), 0);
	assert_int_equal(sluice_policy_set_timeout_ms(p, 20000), 0);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(write(in[1], input, sizeof(input) - 1), sizeof(input) - 1);
	close(in[1]);
	fflush(stdout);
	for (int i = 0; i < 3; i++) {
		saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 20);
		dup2(i ? out : in[0], i);
	}
	if (way == BARE)
		r = guest_bare(role, arg);
	else
		r = guest_run(p, as_seen_opens, way == ON_BEHALF ? N_AS_SEEN_OPENS : 0, role, arg)
			    .exit_code;
	for (int i = 0; i < 3; i++) {
		dup2(saved[i], i);
		close(saved[i]);
	}
	close(in[0]);
	size = lseek(out, 0, SEEK_END);
	*ret_text = calloc(1, (size_t)size + 1);
	assert_int_equal(pread(out, *ret_text, (size_t)size, 0), size);
	close(out);
	sluice_policy_unref(p);
	return r;
}

static int run_script(enum way way, size_t i, char **ret_text)
{
	char arg[PATH_MAX + 16];
	int r, nine;

	snprintf(world, sizeof(world), "%s", guest_dir());
	snprintf(arg, sizeof(arg), "%zu %s", i, world);
	nine = memfd_create("nine", 0);
	assert_int_equal(write(nine, "ninth\n", 6), 6);
	lseek(nine, 0, SEEK_SET);
	dup2(nine, 9);
	close(nine);
	r = outcome(way, "script", arg, ret_text);
	close(9);
	guest_remove(world);
	return r;
}

static void conformance_scripts(void **state)
{
	int different = 0;

	(void)state;
	for (size_t i = 0; i < N_OF(scripts); i++) {
		char *bare, *inside;
		int want = run_script(BARE, i, &bare);

		for (enum way way = INSIDE; way <= ON_BEHALF; way++) {
			int got = run_script(way, i, &inside);

			if (got != want || strcmp(bare, inside) != 0) {
				different++;
				print_error("%s\n  (%d) bare: %d %.400s\n  inside: %d %.400s\n",
					    scripts[i], way, want, bare, got, inside);
			}
			free(inside);
		}
		free(bare);
	}
	assert_int_equal(different, 0);
}

static void conformance_what_is_inherited(void **state)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, old;
	sigset_t block, mask;
	char *bare, *inside, arg[64];
	int was = personality(0xffffffff);

	(void)state;
	personality((unsigned)was | ADDR_NO_RANDOMIZE);
	sigaction(SIGUSR2, &ignore, &old);
	sigemptyset(&block);
	sigaddset(&block, SIGWINCH);
	sigprocmask(SIG_BLOCK, &block, &mask);
	umask(031);
	snprintf(world, sizeof(world), "%s", guest_dir());
	snprintf(arg, sizeof(arg), "%d %d", getpgrp(), getsid(0));
	assert_int_equal(outcome(BARE, "inherited", arg, &bare), 0);
	assert_int_equal(outcome(INSIDE, "inherited", arg, &inside), 0);
	assert_string_equal(bare, inside);
	free(inside);
	free(bare);
	personality((unsigned)was);
	umask(022);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	sigaction(SIGUSR2, &old, NULL);
	guest_remove(world);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conformance_scripts),
		cmocka_unit_test(conformance_what_is_inherited),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("programs", tests, NULL, NULL);
}
