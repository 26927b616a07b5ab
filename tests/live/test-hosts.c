/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of the network's rules in /etc/hosts: whatever the path, whatever the tree has there, and as a resolver reads it. The one name that every host can resolve
 * is localhost; the trees of these tests say of it what the test wants.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../support/cmocka.h"
#include "../support/guest.h"
#include "../support/root.h"

#define HOSTS "/etc/hosts"
#define PINNED "127.0.0.1\tlocalhost\n"
#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- inside ---- */

/* Its text, of a file like any other. */
static int guest_text_of(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[4096], *mapped;
	struct stat st;
	ssize_t n;

	if (fd < 0) {
		printf("errno %d\n", errno);
		return fflush(stdout) ? 200 : 0;
	}
	ROOT_CHECK(fstat(fd, &st) == 0 && S_ISREG(st.st_mode));
	ROOT_CHECK(lseek(fd, 0, SEEK_END) == st.st_size && lseek(fd, 0, SEEK_SET) == 0);
	ROOT_CHECK((n = read(fd, text, sizeof(text))) == st.st_size && n > 0);
	mapped = mmap(NULL, (size_t)n, PROT_READ, MAP_SHARED, fd, 0);
	ROOT_CHECK(mapped != MAP_FAILED && !memcmp(mapped, text, (size_t)n));
	ROOT_CHECK(write(fd, "x", 1) < 0 && errno == EBADF);
	ROOT_CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	ROOT_CHECK(fwrite(text, 1, (size_t)n, stdout) == (size_t)n);
	return fflush(stdout) ? 200 : 0;
}

static bool says_pinned(int fd)
{
	char text[256] = "";
	ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);

	close(fd);
	return n > 0 && strstr(text, PINNED);
}

static int guest_spellings(const char *arg)
{
	static const char *const paths[] = {
		"/etc/hosts", "/etc/../etc//./hosts", "/tmp/link",
		"/tmp/far",   "/tmp/dir/hosts",	      "../etc/hosts",
	};
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	int etc = open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)arg;
	ROOT_CHECK(etc >= 0 && chdir("/tmp") == 0);
	ROOT_CHECK(symlink("/etc/hosts", "/tmp/link") == 0 && symlink("link", "/tmp/far") == 0 &&
		   symlink("../etc", "/tmp/dir") == 0);
	for (size_t i = 0; i < N_OF(paths); i++)
		ROOT_CHECK(says_pinned(open(paths[i], O_RDONLY | O_CLOEXEC)));
#ifdef SYS_open
	ROOT_CHECK(says_pinned((int)syscall(SYS_open, HOSTS, O_RDONLY)));
#endif
	ROOT_CHECK(says_pinned(openat(etc, "hosts", O_RDONLY | O_NOFOLLOW)));
	ROOT_CHECK(says_pinned((int)syscall(SYS_openat2, etc, "hosts", &how, sizeof(how))));
	ROOT_CHECK(chdir("/etc") == 0 && says_pinned(open("hosts", O_RDONLY)));
	/* others of the name are not meant, nor is what is no open for reading */
	ROOT_CHECK(mkdir("/tmp/other", 0700) == 0);
	ROOT_CHECK(close(open("/tmp/other/hosts", O_RDWR | O_CREAT, 0600)) == 0);
	ROOT_CHECK(!says_pinned(open("/tmp/other/hosts", O_RDONLY)));
	ROOT_CHECK(open("/tmp/link", O_RDONLY | O_NOFOLLOW) < 0 && errno == ELOOP);
	ROOT_CHECK(open("/etc/hosts/", O_RDONLY) < 0 && (errno == ENOTDIR || errno == ENOENT));
	ROOT_CHECK(open(HOSTS, O_RDONLY | O_DIRECTORY) < 0);
	return 0;
}

/* The IPv4 address of NAME. */
static int guest_resolve(const char *name)
{
	const struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	char text[INET_ADDRSTRLEN] = "";
	int r = getaddrinfo(name, NULL, &hints, &found);

	if (r == 0) {
		const struct sockaddr_in *sa = (const struct sockaddr_in *)found->ai_addr;

		inet_ntop(AF_INET, &sa->sin_addr, text, sizeof(text));
		freeaddrinfo(found);
	}
	printf("%s\n", r ? "no" : text);
	return fflush(stdout) ? 200 : 0;
}

static const struct guest_role roles[] = {
	{ "text", guest_text_of },
	{ "spellings", guest_spellings },
	{ "resolve", guest_resolve },
	{ NULL, NULL },
};

/* ---- outside ---- */

static struct test_root root;

/* TOP/root/etc/NAME says @text; NULL: there is none. */
static void put(const char *name, const char *text)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "root/etc/%s", name);
	if (!text) {
		assert_true(unlink(root_path(&root, path)) == 0 || errno == ENOENT);
		return;
	}
	f = fopen(root_path(&root, path), "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

/* @p with a rule for @target; the program of the test is where it is outside. */
static struct sluice_policy *with_program(struct sluice_policy *p, const char *target)
{
	assert_int_equal(sluice_policy_add_mount(p, guest_program(), guest_program(),
						 SLUICE_MOUNT_READ_ONLY, NULL),
			 0);
	assert_int_equal(sluice_policy_allow_net(p, target, NULL), 0);
	return p;
}

/* With a /proc of its own the sandbox's name would be in the file too. */
static struct sluice_policy *policy(const char *target)
{
	struct sluice_policy *p = root_policy(&root);

	assert_int_equal(sluice_policy_set_proc(p, SLUICE_PROC_HOST), 0);
	return with_program(p, target);
}

/* What @path says in @p, which is consumed. */
static void assert_text(struct sluice_policy *p, const char *role, const char *arg,
			const char *expected, bool whole)
{
	char *text = guest_text(p, NULL, 0, role, arg);

	if (whole)
		assert_string_equal(text, expected);
	else
		assert_non_null(strstr(text, expected));
	free(text);
	sluice_policy_unref(p);
}

static void test_own_text(void **state)
{
	static const char own[] = "192.0.2.7 other # 127.0.0.1 localhost\n127.0.0.1 elsewhere\n";
	struct sluice_policy *p;
	char *text;

	(void)state;
	put("hosts", own);
	assert_text(policy("127.0.0.1:1"), "text", HOSTS, own, true);
	p = policy("localhost:1");
	text = guest_text(p, NULL, 0, "text", HOSTS);
	assert_non_null(strstr(text, PINNED));
	assert_string_equal(text + strlen(text) - strlen(own), own);
	free(text);
	/* read again when it is another one */
	put("hosts", "::1 LocalHost ip6\n127.0.0.1 a localhost\n");
	assert_text(p, "text", HOSTS, "::1 LocalHost ip6\n127.0.0.1 a localhost\n", true);
}

static void test_no_file(void **state)
{
	(void)state;
	put("hosts", NULL);
	assert_text(policy("127.0.0.1:1"), "text", HOSTS, "errno 2\n", true);
	assert_text(policy("localhost:1"), "text", HOSTS, PINNED, false);
}

static void test_no_directory(void **state)
{
	struct sluice_policy *p = sluice_policy_new();

	(void)state;
	assert_int_equal(sluice_policy_set_chroot(p, root_path(&root, "root"), NULL), 0);
	assert_int_equal(sluice_policy_allow_read(p, "/", NULL), 0);
	assert_int_equal(rename(root_path(&root, "root/etc"), root_path(&root, "root/no")), 0);
	assert_text(with_program(p, "localhost"), "text", HOSTS, PINNED, false);
	assert_int_equal(rename(root_path(&root, "root/no"), root_path(&root, "root/etc")), 0);
}

static void spell(void)
{
	struct sluice_policy *p = policy("localhost:1");

	assert_int_equal(root_inside(p, "spellings", ""), 0);
	sluice_policy_unref(p);
}

static void test_spellings(void **state)
{
	(void)state;
	put("hosts", "192.0.2.7 other\n");
	spell();
	put("hosts", NULL);
	put("elsewhere", "192.0.2.7 other\n");
	assert_int_equal(symlink("elsewhere", root_path(&root, "root/etc/hosts")), 0);
	assert_text(policy("localhost:1"), "text", "/etc/elsewhere", PINNED, false);
	assert_text(policy("localhost:1"), "text", HOSTS, PINNED, false);
	put("hosts", NULL);
}

static void test_resolver(void **state)
{
	(void)state;
	put("nsswitch.conf", "hosts: files\n");
	put("hosts", "192.0.2.7 localhost\n");
	assert_text(policy("127.0.0.1:1"), "resolve", "localhost", "192.0.2.7\n", true);
	assert_text(policy("localhost:1"), "resolve", "localhost", "127.0.0.1\n", true);
}

/* In the host's tree: with the text where it may be read, and without where not. */
static void test_host(void **state)
{
	struct sluice_policy *p = guest_policy();
	char *own, *text;

	(void)state;
	own = guest_text(p, NULL, 0, "text", HOSTS);
	assert_int_equal(sluice_policy_allow_net(p, "localhost", NULL), 0);
	text = guest_text(p, NULL, 0, "text", HOSTS);
	assert_true(strlen(text) >= strlen(own));
	assert_string_equal(text + strlen(text) - strlen(own), own);
	free(text);
	free(own);
	sluice_policy_unref(p);
}

static struct sluice_policy *without_etc(const char *target)
{
	static const char *const trees[] = { "/usr", "/lib", "/lib64" };
	struct sluice_policy *p = sluice_policy_new();

	for (size_t i = 0; i < N_OF(trees); i++) {
		if (access(trees[i], F_OK) == 0)
			assert_int_equal(sluice_policy_allow_read(p, trees[i], NULL), 0);
	}
	assert_int_equal(sluice_policy_allow_read(p, guest_program(), NULL), 0);
	assert_int_equal(sluice_policy_allow_net(p, target, NULL), 0);
	return p;
}

static void test_host_not_granted(void **state)
{
	struct sluice_policy *p = without_etc("localhost");
	char *text, *line;

	(void)state;
	assert_text(without_etc("127.0.0.1"), "text", HOSTS, "errno 13\n", true);
	text = guest_text(p, NULL, 0, "text", HOSTS);
	sluice_policy_unref(p);
	assert_non_null(strstr(text, PINNED));
	for (line = text; *line; line = strchr(line, '\n') + 1)
		assert_memory_equal(strchr(line, '\t'), "\tlocalhost\n", strlen("\tlocalhost\n"));
	free(text);
}

/* What is denied in the tree stays so. */
static void test_denied(void **state)
{
	struct sluice_policy *p = policy("localhost");

	(void)state;
	put("hosts", "192.0.2.7 other\n");
	assert_int_equal(sluice_policy_deny_path(p, HOSTS, NULL), 0);
	assert_text(p, "text", HOSTS, "errno 13\n", true);
}

/* Where no rule names a host, opens are the kernel's. */
static void test_not_trapped(void **state)
{
	static const struct {
		const char *target;
		bool trapped;
	} cases[] = { { "127.0.0.1", false }, { "localhost", true } };

	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		const struct sluice_spawn_options o = { .size = sizeof(o), .stats = true };
		struct sluice_policy *p = guest_policy();
		struct sluice_sandbox *s;
		char *json;

		assert_int_equal(sluice_policy_allow_net(p, cases[i].target, NULL), 0);
		s = guest_spawn(p, &o, "text", HOSTS);
		assert_int_equal(sluice_sandbox_wait(s, -1, NULL), 0);
		json = sluice_sandbox_stats_json(s);
		assert_non_null(json);
		assert_int_equal(strstr(json, "\"openat\"") != NULL, cases[i].trapped);
		free(json);
		sluice_sandbox_free(s);
		sluice_policy_unref(p);
	}
}

static int setup(void **state)
{
	(void)state;
	root_make(&root);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	root_remove(&root);
	return 0;
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_text),	 cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_no_directory),	 cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_resolver),	 cmocka_unit_test(test_host),
		cmocka_unit_test(test_host_not_granted), cmocka_unit_test(test_denied),
		cmocka_unit_test(test_not_trapped),
	};

	guest_begin(argc, argv, roles);
	return cmocka_run_group_tests(tests, setup, teardown);
}
