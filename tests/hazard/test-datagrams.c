/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagram sockets of AF_UNIX, which send to an address at each message: there are none where nobody judges that, and where messages are judged they get where connect gets (test-unix.c),
 * and what is said with them is as bare.
 *
 * Under a container's profile, which refuses pidfd_getfd, a send that would be carried out is EACCES instead.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "../support/unix.h"

#define FLIPS 20000

/* ---- inside ---- */

/* "TYPE PATH": a socket of TYPE, and a byte sent to PATH with it. */
static int guest_send(const char *arg)
{
	int type = atoi(arg), fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa;
	socklen_t len = unix_address(&sa, strchr(arg, ' ') + 1);

	if (fd < 0)
		return errno;
	return sendto(fd, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&sa, len) == 1 ? 0 : errno;
}

static int guest_send_pair(const char *arg)
{
	int type = atoi(arg), fds[2];
	struct sockaddr_un sa;
	socklen_t len = unix_address(&sa, strchr(arg, ' ') + 1);

	if (socketpair(AF_UNIX, type, 0, fds) < 0)
		return errno;
	if (sendto(fds[0], "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&sa, len) != 1)
		return errno;
	/* a byte in the pair itself was not sent to the address */
	return recv(fds[1], &sa, 1, MSG_DONTWAIT) == 1 ? ENOTCONN : 0;
}

/* Three messages in one call, the last of which has the address. */
static int guest_sendmmsg(const char *arg)
{
	int type = atoi(arg), fds[2];
	struct iovec iov = { (void *)(uintptr_t) "x", 1 };
	struct mmsghdr m[2] = { { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } },
				{ .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } } };
	struct sockaddr_un sa;
	char buf[8];

	if (socketpair(AF_UNIX, type, 0, fds) < 0)
		return errno;
	m[1].msg_hdr.msg_name = &sa;
	m[1].msg_hdr.msg_namelen = unix_address(&sa, strchr(arg, ' ') + 1);
	if (sendmmsg(fds[0], m, 2, MSG_NOSIGNAL) != 2)
		return EISCONN;
	return recv(fds[1], buf, 8, MSG_DONTWAIT) == 1 && recv(fds[1], buf, 8, MSG_DONTWAIT) == 1
		       ? ENOTCONN
		       : 0;
}

/* ---- inside: what is said with them ---- */

static void say(const char *what, long r)
{
	printf("%s: %ld", what, r < 0 ? -(long)errno : r);
	putchar('\n');
}

static int datagram(void)
{
	return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static long send_to(int fd, const char *path, const char *text)
{
	struct sockaddr_un sa;
	socklen_t len = unix_address(&sa, path);

	return sendto(fd, text, strlen(text), MSG_DONTWAIT, (struct sockaddr *)&sa, len);
}

/* What came, and from whom; a message waits already, or never comes. */
static void say_received(const char *what, int fd)
{
	struct sockaddr_un sa = { 0 };
	socklen_t len = sizeof(sa);
	char buf[64] = "";
	long n = recvfrom(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT, (struct sockaddr *)&sa, &len);

	say(what, n);
	printf("  \"%s\" from %u \"%s\"\n", n > 0 ? buf : "", len, len > 2 ? sa.sun_path : "");
}

/* A message of two pieces, with a descriptor along with it, to @path or (NULL) to whom @fd is connected to. */
static long send_descriptor(int fd, const char *path, int along)
{
	struct sockaddr_un sa;
	struct iovec iov[2] = { { (void *)(uintptr_t) "one ", 4 },
				{ (void *)(uintptr_t) "two", 3 } };
	union {
		struct cmsghdr h;
		char bytes[CMSG_SPACE(sizeof(int))];
	} c = { .h = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct msghdr m = {
		.msg_iov = iov, .msg_iovlen = 2, .msg_control = &c, .msg_controllen = sizeof(c)
	};

	memcpy(CMSG_DATA(&c.h), &along, sizeof(along));
	if (path) {
		m.msg_name = &sa;
		m.msg_namelen = unix_address(&sa, path);
	}
	return sendmsg(fd, &m, MSG_DONTWAIT);
}

static void say_descriptor(const char *what, int fd)
{
	char text[16] = "", data[16] = "",
	     control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec iov = { text, sizeof(text) - 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	int got = -1;

	say(what, recvmsg(fd, &m, MSG_DONTWAIT));
	if (CMSG_FIRSTHDR(&m))
		memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(got));
	say("  its file", pread(got, data, sizeof(data) - 1, 0));
	printf("  \"%s\" \"%s\"\n", text, data);
	close(got);
}

static void talk_in_pairs(void)
{
	int fds[2], type = 0, file = open("file", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	socklen_t len = sizeof(type);

	say("pair", socketpair(AF_UNIX, SOCK_DGRAM, 0, fds));
	say("its type", getsockopt(fds[0], SOL_SOCKET, SO_TYPE, &type, &len) ? -1 : type);
	say("written", write(fds[0], "abc", 3));
	say_received("in a pair", fds[1]);
	say("empty", send(fds[1], "", 0, 0));
	say_received("empty in a pair", fds[0]);
	say("of the file", write(file, "content", 7));
	say("with a descriptor", send_descriptor(fds[0], NULL, file));
	say_descriptor("a descriptor", fds[1]);
	close(fds[1]);
	say("to nobody", send(fds[0], "x", 1, 0));
	say("raw", socket(AF_UNIX, SOCK_RAW, 0) < 0 ? -1 : 0);
	close(fds[0]);
	close(file);
}

static void talk_by_names(void)
{
	static const char *const others[] = { "none", "plain", ".",	   "none/x",
					      "l/x",  "link",  "dangling", "stream" };
	int server = unix_listen("l", SOCK_DGRAM, 0), client = unix_listen("c", SOCK_DGRAM, 0),
	    fd = datagram();
	int stream = unix_listen("stream", SOCK_STREAM, 1),
	    plain = open("plain", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	say("places", symlink("l", "link") + symlink("gone", "dangling"));
	say("by name", send_to(client, "l", "hello"));
	say_received("by name", server);
	say("back", send_to(server, "c", "answer"));
	say_received("back", client);
	say("without a name", send_to(fd, "./l", "anonymous"));
	say_received("without a name", server);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		say(others[i], send_to(fd, others[i], "x"));
	say_received("by a link", server);
	say("a descriptor by name", send_descriptor(client, "l", server));
	say_descriptor("a descriptor", server);
	say("too much", send(fd, "x", 1, 0));
	close(plain);
	close(stream);
	close(server);
	say("to the dead", send_to(fd, "l", "x"));
	close(client);
	close(fd);
}

static void talk_connected(void)
{
	int server = unix_listen("s2", SOCK_DGRAM, 0), fd = datagram();
	struct sockaddr_un sa;
	socklen_t len = unix_address(&sa, "s2");
	struct iovec iov = { (void *)(uintptr_t) "m", 1 };
	struct mmsghdr m[3] = { { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } },
				{ .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } },
				{ .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } } };
	char *much = calloc(1, 1 << 20);

	say("connected", connect(fd, (struct sockaddr *)&sa, len));
	say("sent", send(fd, "conn", 4, 0));
	say_received("connected", server);
	m[1].msg_hdr.msg_name = &sa;
	m[1].msg_hdr.msg_namelen = len;
	say("three", sendmmsg(fd, m, 3, 0));
	say("  their lengths", m[0].msg_len + 10 * m[1].msg_len + 100 * m[2].msg_len);
	for (int i = 0; i < 3; i++)
		say_received("of three", server);
	say("elsewhere", send_to(fd, "none", "x"));
	say("too long", sendto(fd, much, 1 << 20, 0, (struct sockaddr *)&sa, len));
	free(much);
	sa.sun_family = AF_UNSPEC;
	say("let go", connect(fd, (struct sockaddr *)&sa, sizeof(sa)));
	say("unconnected", send(fd, "x", 1, 0));
	say("shut", shutdown(server, SHUT_RD));
	say("to the shut", send_to(fd, "s2", "x"));
	close(fd);
	close(server);
}

static void talk_until_full(void)
{
	int server = unix_listen("full", SOCK_DGRAM, 0), fd = datagram(), n = 0;

	while (send_to(fd, "full", "x") == 1)
		n++;
	say("full", errno == EAGAIN ? n : -1);
	close(server);
	close(fd);
}

/* In directory @dir. Printed, and compared with the same of a bare run. */
static int guest_talk(const char *dir)
{
	if (chdir(dir) < 0)
		return 200;
	talk_in_pairs();
	talk_by_names();
	talk_connected();
	talk_until_full();
	return fflush(stdout) ? 201 : 0;
}

/* ---- inside: waiting, and the race ---- */

static void *take_one(void *server)
{
	char c;

	recv(*(int *)server, &c, 1, 0);
	return NULL;
}

/* A receiver that is full makes the sender wait until somebody takes one. */
static int guest_waits(const char *path)
{
	int server = unix_listen(path, SOCK_DGRAM, 0), fd = datagram();
	struct sockaddr_un sa;
	socklen_t len = unix_address(&sa, path);
	pthread_t thread;
	long r;

	while (send_to(fd, path, "x") == 1)
		continue;
	if (errno != EAGAIN)
		return 200;
	if (pthread_create(&thread, NULL, take_one, &server))
		return 201;
	r = sendto(fd, "y", 1, 0, (struct sockaddr *)&sa, len);
	pthread_join(thread, NULL);
	return r == 1 ? 0 : 202;
}

/* "GRANTED REFUSED": a thread exchanges them, which the thread sanitizer need not see. Returns 0 if both answers came. */
static int guest_race(const char *arg)
{
	static char paths[2][200];
	const struct sockaddr_un *to;
	int seen[2] = { 0, 0 }, fd = datagram();
	struct iovec iov = { (void *)(uintptr_t) "x", 1 };
	struct msghdr m = { .msg_namelen = sizeof(*to), .msg_iov = &iov, .msg_iovlen = 1 };

	sscanf(arg, "%199s %199s", paths[0], paths[1]);
	to = unix_flip_begin(paths[0], paths[1]);
	if (!to)
		return 200;
	m.msg_name = (void *)(uintptr_t)to;
	for (int i = 0; i < FLIPS; i++) {
		long n = i & 1 ? syscall(SYS_sendmsg, fd, &m, MSG_DONTWAIT)
			       : sendto(fd, "x", 1, MSG_DONTWAIT, (const struct sockaddr *)to,
					sizeof(*to));

		seen[0] += n == 1 || errno == EAGAIN;
		seen[1] += n < 0 && errno == EACCES;
	}
	unix_flip_end();
	return seen[0] && seen[1] ? 0 : seen[1] ? 201 : 202;
}

static const struct guest_role roles[] = {
	{ "send", guest_send }, { "send-pair", guest_send_pair }, { "sendmmsg", guest_sendmmsg },
	{ "talk", guest_talk }, { "waits", guest_waits },	  { "race", guest_race },
	{ NULL, NULL },
};

/* ---- outside ---- */

enum judged {
	NOT_JUDGED,
	BY_FLAG,
	BY_RULE
};

/* All may be read; writing below @write. */
static struct sluice_policy *policy(const char *write, enum judged judged)
{
	struct sluice_policy *p = guest_policy();

	assert_int_equal(sluice_policy_allow_write(p, write, NULL), 0);
	if (judged == BY_FLAG)
		assert_int_equal(sluice_policy_set_unix_datagrams(p, true), 0);
	if (judged == BY_RULE)
		assert_int_equal(sluice_policy_allow_net(p, "udp://127.0.0.1:9", NULL), 0);
	return p;
}

static int inside(const char *write, enum judged judged, const char *role, const char *arg)
{
	struct sluice_policy *p = policy(write, judged);
	int r = guest_inside(p, role, arg);

	sluice_policy_unref(p);
	return r;
}

static bool got_datagram(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_DONTWAIT) == 1;
}

static void hazard_B7_none_where_nobody_judges(void **state)
{
	static const char *const ways[] = { "send", "send-pair", "sendmmsg" };
	static const int types[] = { SOCK_DGRAM, SOCK_RAW };
	const char *dir = guest_dir(), *path = guest_in(dir, "l");
	int fd = unix_listen_outside(path, SOCK_DGRAM);
	char arg[4300];

	(void)state;
	for (size_t i = 0; i < 6; i++) /* each way with each type */ {
		const char *way = ways[i / 2];

		snprintf(arg, sizeof(arg), "%d %s", types[i % 2], path);
		assert_int_equal(guest_bare(way, arg), 0);
		assert_true(got_datagram(fd));
		assert_int_equal(inside(dir, NOT_JUDGED, way, arg), EACCES);
		assert_false(got_datagram(fd));
		assert_int_equal(inside("/", NOT_JUDGED, way, arg), 0);
		assert_true(got_datagram(fd));
	}
	close(fd);
	guest_remove(dir);
}

/* What is left can't send to an address, bare either: the claim that the rule above stands on. */
static void hazard_B7_streams_send_to_nobody(void **state)
{
	static const char *const ways[] = { "send", "send-pair", "sendmmsg" };
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET };
	static const int listeners[] = { SOCK_DGRAM, SOCK_STREAM, SOCK_SEQPACKET };
	const char *dir = guest_dir();
	char arg[4300];

	(void)state;
	for (size_t i = 0; i < 18; i++) {
		const char *way = ways[i / 6], *path = guest_in(dir, "l");
		int fd = unix_listen_outside(path, listeners[i / 2 % 3]), bare, in_it;

		snprintf(arg, sizeof(arg), "%d %s", types[i % 2], path);
		bare = guest_bare(way, arg);
		in_it = inside(dir, NOT_JUDGED, way, arg);
		assert_int_equal(in_it, bare);
		if (bare != ENOTCONN && bare != EOPNOTSUPP && bare != EISCONN)
			fail_msg("%s %s: %d", way, arg, bare);
		assert_false(got_datagram(fd));
		assert_int_equal(unix_accepted(fd), 0);
		close(fd);
		unlink(path);
	}
	guest_remove(dir);
}

static void judged(enum judged by)
{
	static const char *const ways[] = { "send", "send-pair", "sendmmsg" };
	const char *dir = guest_dir(), *other = guest_dir(), *path = guest_in(dir, "l");
	int fd = unix_listen_outside(path, SOCK_DGRAM);
	char arg[4300];

	for (size_t i = 0; i < 3; i++) {
		/* of sendmmsg the last one alone goes there, and its error is not heard */
		int refused = i < 2 ? EACCES : EISCONN;

		snprintf(arg, sizeof(arg), "%d %s", SOCK_DGRAM, path);
		assert_int_equal(guest_bare(ways[i], arg), 0);
		assert_true(got_datagram(fd));
		assert_int_equal(inside(other, by, ways[i], arg), refused);
		assert_false(got_datagram(fd));
		assert_int_equal(inside(dir, by, ways[i], arg), i < 2 ? guest_carried_out(0)
								: guest_carried_out(0) ? EISCONN
										       : 0);
		assert_int_equal(got_datagram(fd), guest_carried_out(0) == 0);
	}
	close(fd);
	guest_remove(dir);
	guest_remove(other);
}

static void hazard_B7_each_message_is_judged(void **state)
{
	(void)state;
	judged(BY_FLAG);
	judged(BY_RULE);
}

static void hazard_B7_abstract_names_outside(void **state)
{
	char path[64], arg[80];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "@sluice-datagrams-%d", getpid());
	snprintf(arg, sizeof(arg), "%d %s", SOCK_DGRAM, path);
	fd = unix_listen_outside(path, SOCK_DGRAM);
	assert_int_equal(guest_bare("send", arg), 0);
	assert_true(got_datagram(fd));
	assert_int_equal(inside("/tmp", BY_FLAG, "send", arg), guest_carried_out(EPERM));
	assert_false(got_datagram(fd));
	close(fd);
}

/* The path is that of the command's own tree. */
static void hazard_B7_datagrams_stay_in_the_tree(void **state)
{
	const char *dir = guest_dir(), *elsewhere = guest_dir();
	int fd = unix_listen_outside(guest_in(dir, "l"), SOCK_DGRAM),
	    own = unix_listen_outside(guest_in(elsewhere, "l"), SOCK_DGRAM);
	struct sluice_policy *p = policy("/", BY_FLAG);
	char arg[4300];

	(void)state;
	snprintf(arg, sizeof(arg), "%d %s", SOCK_DGRAM, guest_in(dir, "l"));
	assert_int_equal(guest_inside(p, "send", arg), 0);
	assert_true(got_datagram(fd));
	assert_int_equal(sluice_policy_add_mount(p, dir, elsewhere, SLUICE_MOUNT_READ_WRITE, NULL),
			 0);
	assert_int_equal(guest_inside(p, "send", arg), guest_carried_out(0));
	assert_false(got_datagram(fd));
	assert_int_equal(got_datagram(own), guest_carried_out(0) == 0);
	sluice_policy_unref(p);
	close(fd);
	close(own);
	guest_remove(dir);
	guest_remove(elsewhere);
}

static void hazard_A1_a_destination_that_flips(void **state)
{
	const char *granted = guest_dir(), *dir = guest_dir();
	int fd = unix_listen_outside(guest_in(dir, "l"), SOCK_DGRAM),
	    own = unix_listen_outside(guest_in(granted, "l"), SOCK_DGRAM);
	char arg[9000];

	(void)state;
	assert_int_equal(strlen(granted), strlen(dir));
	snprintf(arg, sizeof(arg), "%s/l %s/l", granted, dir);
	assert_int_equal(inside(granted, BY_FLAG, "race", arg),
			 guest_descriptors_can_be_got() ? 0 : 201);
	assert_false(got_datagram(fd));
	assert_int_equal(got_datagram(own), guest_descriptors_can_be_got());
	close(own);
	close(fd);
	guest_remove(granted);
	guest_remove(dir);
}

static void hazard_C4_a_full_receiver_holds_up_its_sender_alone(void **state)
{
	const char *dir = guest_dir();

	(void)state;
	assert_int_equal(guest_bare("waits", guest_in(dir, "bare")), 0);
	if (guest_descriptors_can_be_got())
		assert_int_equal(inside(dir, BY_FLAG, "waits", guest_in(dir, "l")), 0);
	guest_remove(dir);
}

/* ---- as bare ---- */

static void talk_as_bare(const char *name, struct sluice_policy *p, const char *dir,
			 const char *bare)
{
	char *text = guest_text(p, NULL, 0, "talk", dir);

	assert_int_equal(guest_text_differences(name, bare, text), 0);
	free(text);
	sluice_policy_unref(p);
	guest_remove(dir);
}

static void test_what_is_said_is_as_bare(void **state)
{
	const char *dir = guest_dir(), *storage = guest_dir();
	char *bare = guest_text(NULL, NULL, 0, "talk", dir);
	struct sluice_policy *p;

	(void)state;
	guest_remove(dir);
	assert_non_null(strstr(bare, "\"hello\" from 4 \"c\"")); /* the guest does say something */
	if (!guest_descriptors_can_be_got()) {
		free(bare);
		guest_remove(storage);
		return;
	}
	dir = guest_dir();
	talk_as_bare("by flag", policy(dir, BY_FLAG), dir, bare);
	dir = guest_dir();
	talk_as_bare("by rule", policy(dir, BY_RULE), dir, bare);
	dir = guest_dir();
	p = policy("/", BY_FLAG);
	assert_int_equal(sluice_policy_set_chroot(p, ROOT_BY_ANOTHER_NAME, NULL), 0);
	talk_as_bare("chroot", p, dir, bare);
	dir = guest_dir();
	p = policy("/", BY_FLAG);
	assert_int_equal(sluice_policy_set_workdir(p, dir, NULL), 0);
	assert_int_equal(sluice_policy_set_storage(p, storage, NULL), 0);
	talk_as_bare("copy-on-write", p, dir, bare);
	free(bare);
	guest_remove(storage);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hazard_B7_none_where_nobody_judges),
		cmocka_unit_test(hazard_B7_streams_send_to_nobody),
		cmocka_unit_test(hazard_B7_each_message_is_judged),
		cmocka_unit_test(hazard_B7_abstract_names_outside),
		cmocka_unit_test(hazard_B7_datagrams_stay_in_the_tree),
		cmocka_unit_test(hazard_A1_a_destination_that_flips),
		cmocka_unit_test(hazard_C4_a_full_receiver_holds_up_its_sender_alone),
		cmocka_unit_test(test_what_is_said_is_as_bare),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests_name("datagrams", tests, NULL, NULL);
}
