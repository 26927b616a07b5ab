/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of rules whose addresses come and go, by a clock of the test's own: when a question is due, what is gained, how long what has left is allowed, and that memory is bounded.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "builtin/network/hosts_file.h"
#include "builtin/network/names.h"
#include "builtin/network/scope.h"
#include "builtin/network/servers.h"
#include "util/versioned.h"

#include "../support/cmocka.h"

#define S 1000000000ull
#define BEGIN (100 * S)

static struct net_address address(const char *text)
{
	struct net_address a = { { [10] = 0xff, [11] = 0xff } };

	if (!strchr(text, ':'))
		assert_int_equal(inet_pton(AF_INET, text, a.bytes + 12), 1);
	else
		assert_int_equal(inet_pton(AF_INET6, text, a.bytes), 1);
	return a;
}

/* The @i th of 198.18.0.0/15. */
static struct net_address numbered(unsigned i)
{
	struct net_address a = address("198.18.0.0");

	a.bytes[14] = (uint8_t)(i >> 8);
	a.bytes[15] = (uint8_t)i;
	return a;
}

static bool nobody(const struct net_address *a)
{
	(void)a;
	return false;
}

static bool is_nine(const struct net_address *a)
{
	const struct net_address nine = address("203.0.113.9");

	return !memcmp(a, &nine, sizeof(nine));
}

/* ---- a name, and its two questions ---- */

static const struct net_target targets[] = {
	{ .kind = NET_NAME, .name = "a.test" },
	{ .kind = NET_ANY },
	{ .kind = NET_NAME, .name = "b.test" },
	{ .kind = NET_NAME, .name = "a.test" },
};
static const struct names_question v4 = { 0, false }, v6 = { 0, true };

static size_t list(const char *text, struct net_address *ret)
{
	char *copy = strdup(text), *rest;
	size_t n = 0;

	for (char *w = strtok_r(copy, " ", &rest); w; w = strtok_r(NULL, " ", &rest))
		ret[n++] = address(w);
	free(copy);
	return n;
}

/* "a.test" with @first, shown. */
static struct names *begun(const char *first)
{
	struct net_address found[NAMES_ANSWER_MAX];
	struct names *names;

	assert_int_equal(names_new(targets, N_OF(targets), &names), 0);
	names_begin(names, 0, found, list(first, found));
	assert_int_equal(names_publish(names, BEGIN), 0);
	return names;
}

static void answer(struct names *names, struct names_question q, const char *text, uint32_t ttl_s,
		   uint64_t now)
{
	struct net_address found[NAMES_ANSWER_MAX];

	names_answered(names, q, found, list(text, found), ttl_s, now, is_nine);
	assert_int_equal(names_publish(names, now), 0);
}

static bool has(struct names *names, const char *text)
{
	const struct net_address a = address(text);

	return names_have(names, 0, &a);
}

static void append(void *text, const char *name, const struct net_address *a)
{
	char written[INET6_ADDRSTRLEN];

	inet_ntop(AF_INET6, a->bytes, written, sizeof(written));
	sprintf((char *)text + strlen(text), "%s=%s ", name, written);
}

static void assert_present(struct names *names, const char *expected)
{
	char text[1024] = "";

	names_each(names, append, text);
	assert_string_equal(text, expected);
}

static void test_each_name_once(void **state)
{
	struct names *names = begun("203.0.113.1 203.0.113.1 2001:db8::1");

	(void)state;
	assert_int_equal(names_count(names), 2);
	assert_string_equal(names_name(names, 1), "b.test");
	assert_int_equal(names_find(names, "b.test"), 1);
	assert_int_equal(names_find(names, "c.test"), 2);
	assert_present(names, "a.test=::ffff:203.0.113.1 a.test=2001:db8::1 ");
	assert_true(has(names, "203.0.113.1"));
	assert_false(has(names, "203.0.113.2"));
	assert_false(names_have(names, 1, &(struct net_address){ 0 }));
	names_free(names);
}

/* At once after the start, then by the time to live within its bounds; one that is being asked is not due. */
static void test_time_to_live(void **state)
{
	static const struct {
		uint32_t ttl_s, due_s;
	} cases[] = {
		{ 0, NAMES_TTL_MIN_S },
		{ 1, 1 },
		{ 77, 77 },
		{ NAMES_TTL_MAX_S, NAMES_TTL_MAX_S },
		{ 86400, NAMES_TTL_MAX_S },
		{ UINT32_MAX, NAMES_TTL_MAX_S },
	};
	struct names *names = begun("203.0.113.1");
	uint64_t now = BEGIN;
	struct names_question q;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		assert_true(names_due(names, now, &q));
		assert_int_equal(q.name, i / 2);
		assert_int_equal(q.v6, i % 2);
	}
	assert_false(names_due(names, now + NAMES_TTL_MAX_S * S, &q));
	assert_int_equal(names_next(names), UINT64_MAX);
	for (size_t i = 0; i < N_OF(cases); i++) {
		uint64_t due = now + cases[i].due_s * S;

		answer(names, v4, "203.0.113.1", cases[i].ttl_s, now);
		assert_int_equal(names_next(names), due);
		assert_false(names_due(names, due - 1, &q));
		assert_true(names_due(names, due, &q));
		assert_int_equal(q.name, 0);
		assert_false(q.v6);
		now = due;
	}
	names_free(names);
}

static void test_failures(void **state)
{
	struct names *names = begun("203.0.113.1");
	const uint64_t generation = names_generation(names);
	uint64_t now = BEGIN;
	struct names_question q;

	(void)state;
	while (names_due(names, now, &q))
		;
	for (uint32_t wait = NAMES_RETRY_MIN_S, i = 0; i < 10; i++) {
		names_failed(names, v4, now);
		assert_int_equal(names_publish(names, now), 0);
		assert_int_equal(names_next(names), now + wait * S);
		now += wait * S;
		assert_true(names_due(names, now, &q));
		wait = 2 * wait < NAMES_RETRY_MAX_S ? 2 * wait : NAMES_RETRY_MAX_S;
	}
	assert_true(has(names, "203.0.113.1"));
	assert_int_equal(names_generation(names), generation);
	/* what comes then begins anew */
	answer(names, v4, "203.0.113.1", 5, now);
	assert_true(names_due(names, now + 5 * S, &q));
	names_failed(names, v4, now + 5 * S);
	assert_int_equal(names_next(names), now + 6 * S);
	names_free(names);
}

static void test_grace(void **state)
{
	const uint64_t over = BEGIN + (10 + NAMES_GRACE_S) * S;
	struct names *names = begun("203.0.113.1 2001:db8::1");
	uint64_t generation = names_generation(names);
	struct names_question q;

	(void)state;
	while (names_due(names, BEGIN, &q))
		;
	answer(names, v4, "203.0.113.2", 3600, BEGIN + 10 * S);
	assert_true(names_generation(names) > generation);
	generation = names_generation(names);
	assert_true(has(names, "203.0.113.1") && has(names, "203.0.113.2"));
	assert_true(has(names, "2001:db8::1")); /* the other family was not asked about */
	assert_present(names, "a.test=2001:db8::1 a.test=::ffff:203.0.113.2 ");
	assert_int_equal(names_next(names), over);
	assert_int_equal(names_publish(names, over - 1), 0);
	assert_true(has(names, "203.0.113.1"));
	assert_int_equal(names_publish(names, over), 0);
	assert_false(has(names, "203.0.113.1"));
	assert_true(has(names, "203.0.113.2") && has(names, "2001:db8::1"));
	assert_int_equal(names_generation(names), generation); /* nobody was shown it any more */
	assert_int_equal(names_next(names), BEGIN + 3610 * S);
	names_free(names);
}

static void test_back_in_time(void **state)
{
	struct names *names = begun("203.0.113.1");

	(void)state;
	answer(names, v4, "203.0.113.2", 60, BEGIN);
	answer(names, v4, "203.0.113.2 203.0.113.1", 60, BEGIN + 5 * S);
	assert_present(names, "a.test=::ffff:203.0.113.1 a.test=::ffff:203.0.113.2 ");
	assert_int_equal(names_publish(names, BEGIN + 2 * NAMES_GRACE_S * S), 0);
	assert_true(has(names, "203.0.113.1") && has(names, "203.0.113.2"));
	names_free(names);
}

/* Readers are shown nothing new where there is nothing new. */
static void test_order_is_none(void **state)
{
	struct names *names = begun("203.0.113.1 203.0.113.2");
	const uint64_t generation = names_generation(names);

	(void)state;
	answer(names, v4, "203.0.113.2 203.0.113.1", 60, BEGIN);
	assert_int_equal(names_generation(names), generation);
	names_free(names);
}

static void test_what_may_be_gained(void **state)
{
	static const struct {
		const char *first, *gained;
		bool may;
	} cases[] = {
		{ "203.0.113.1", "203.0.113.2", true },
		{ "203.0.113.1", "203.0.113.9", false }, /* the machine's own */
		{ "203.0.113.9", "203.0.113.9", true },
		{ "203.0.113.1", "127.0.0.1", false },
		{ "203.0.113.1", "10.0.0.1", false },
		{ "203.0.113.1", "169.254.169.254", false },
		{ "203.0.113.1", "0.0.0.0", false },
		{ "203.0.113.1", "255.255.255.255", false },
		{ "10.0.0.1", "192.168.0.1", true },
		{ "10.0.0.1", "203.0.113.1", true },
		{ "10.0.0.1", "127.0.0.1", false },
		{ "127.0.0.1", "127.0.0.2", false },
		{ "127.0.0.1", "10.0.0.1", false },
		{ "169.254.1.1", "169.254.1.2", false },
		{ "fd00::1", "10.0.0.1", true },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		struct names *names = begun(cases[i].first);

		answer(names, v4, cases[i].gained, 1, BEGIN);
		if (has(names, cases[i].gained) != cases[i].may)
			fail_msg("%s, then %s", cases[i].first, cases[i].gained);
		names_free(names);
	}
}

/* What was there at the start may come back however long it was gone. */
static void test_first_comes_back(void **state)
{
	struct names *names = begun("127.0.0.1");

	(void)state;
	answer(names, v4, "203.0.113.1", 1, BEGIN);
	assert_int_equal(names_publish(names, BEGIN + 3600 * S), 0);
	assert_false(has(names, "127.0.0.1"));
	answer(names, v4, "127.0.0.1", 1, BEGIN + 3600 * S);
	assert_true(has(names, "127.0.0.1"));
	names_free(names);
}

static void test_family(void **state)
{
	struct names *names = begun("203.0.113.1");

	(void)state;
	answer(names, v6, "203.0.113.2 ::ffff:203.0.113.3 2001:db8::2", 1, BEGIN);
	assert_present(names, "a.test=::ffff:203.0.113.1 a.test=2001:db8::2 ");
	names_free(names);
}

/* However many a resolver makes up. */
static void test_bounds(void **state)
{
	struct names *names = begun("203.0.113.1 2001:db8::1");
	struct net_address found[2 * NAMES_ANSWER_MAX], first = address("203.0.113.1");
	unsigned allowed = 0;

	(void)state;
	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < N_OF(found); i++)
			found[i] = numbered(round * 1000 + i);
		names_answered(names, v4, found, N_OF(found), 0, BEGIN + round, nobody);
		assert_int_equal(names_publish(names, BEGIN + round), 0);
	}
	for (unsigned i = 0; i < 65536; i++) {
		const struct net_address a = numbered(i);

		allowed += names_have(names, 0, &a);
	}
	assert_int_equal(allowed, NAMES_MAX - 1); /* and the one of the other family */
	assert_true(has(names, "2001:db8::1"));
	assert_false(names_have(names, 0, &first));
	for (unsigned i = 0; i < N_OF(found); i++)
		assert_int_equal(names_have(names, 0, &found[i]), i < NAMES_ANSWER_MAX);
	names_free(names);
}

/* ---- readers while it changes ---- */

#define READERS 3
#define CHANGES 300

struct reading {
	struct names *names;
	atomic_bool over;
	atomic_uint wrong, reads;
};

/* One of two is there at every moment, and the third never. */
static void *read_on(void *reading)
{
	const struct net_address always = address("203.0.113.1"), never = address("203.0.113.3");
	struct reading *r = reading;

	while (!atomic_load(&r->over)) {
		if (!names_have(r->names, 0, &always) || names_have(r->names, 0, &never))
			atomic_fetch_add(&r->wrong, 1);
		atomic_fetch_add(&r->reads, 1);
	}
	return NULL;
}

static void test_readers(void **state)
{
	struct reading r = { .names = begun("203.0.113.1") };
	pthread_t readers[READERS];

	(void)state;
	for (unsigned i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_on, &r), 0);
	for (unsigned i = 0; i < CHANGES || !atomic_load(&r.reads); i++)
		answer(r.names, v4, i % 2 ? "203.0.113.1" : "203.0.113.1 203.0.113.2", 1,
		       BEGIN + i * NAMES_GRACE_S * S);
	atomic_store(&r.over, true);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	assert_int_equal(atomic_load(&r.wrong), 0);
	names_free(r.names);
}

struct held {
	struct versioned *v;
	unsigned turn;
	void *old;
	atomic_bool replaced;
};

static void *replace(void *held)
{
	static int second = 2;
	struct held *h = held;

	h->old = versioned_replace(h->v, &second);
	atomic_store(&h->replaced, true);
	return NULL;
}

/* Who replaces waits for who has the old one, and not for who comes after. */
static void test_versioned(void **state)
{
	struct versioned v = { 0 };
	struct held h = { .v = &v };
	int first = 1;
	unsigned turn;
	pthread_t thread;

	(void)state;
	assert_null(versioned_replace(&v, &first));
	assert_ptr_equal(versioned_read(&v, &h.turn), &first);
	assert_int_equal(pthread_create(&thread, NULL, replace, &h), 0);
	for (int got = 1; got == 1;) {
		got = *(const int *)versioned_read(&v, &turn);
		versioned_done(&v, turn);
	}
	assert_false(atomic_load(&h.replaced));
	versioned_done(&v, h.turn);
	pthread_join(thread, NULL);
	assert_true(atomic_load(&h.replaced));
	assert_ptr_equal(h.old, &first);
}

/* ---- what is read ---- */

static void test_scopes(void **state)
{
	static const struct {
		const char *address;
		enum scope scope;
	} cases[] = {
		{ "8.8.8.8", SCOPE_GLOBAL },
		{ "172.15.0.1", SCOPE_GLOBAL },
		{ "172.16.0.1", SCOPE_PRIVATE },
		{ "172.31.255.255", SCOPE_PRIVATE },
		{ "172.32.0.1", SCOPE_GLOBAL },
		{ "10.255.255.255", SCOPE_PRIVATE },
		{ "11.0.0.0", SCOPE_GLOBAL },
		{ "192.168.255.1", SCOPE_PRIVATE },
		{ "192.169.0.1", SCOPE_GLOBAL },
		{ "100.64.0.1", SCOPE_PRIVATE },
		{ "100.127.255.255", SCOPE_PRIVATE },
		{ "100.128.0.1", SCOPE_GLOBAL },
		{ "127.255.255.254", SCOPE_NEAR },
		{ "169.254.169.254", SCOPE_NEAR },
		{ "0.1.2.3", SCOPE_NONE },
		{ "223.255.255.255", SCOPE_GLOBAL },
		{ "224.0.0.1", SCOPE_NONE },
		{ "255.255.255.255", SCOPE_NONE },
		{ "::", SCOPE_NONE },
		{ "::1", SCOPE_NEAR },
		{ "::7f00:1", SCOPE_NONE },
		{ "2001:db8::1", SCOPE_GLOBAL },
		{ "fe80::1", SCOPE_NEAR },
		{ "febf::1", SCOPE_NEAR },
		{ "fec0::1", SCOPE_PRIVATE },
		{ "fd00::1", SCOPE_PRIVATE },
		{ "fc00::1", SCOPE_PRIVATE },
		{ "fe00::1", SCOPE_GLOBAL },
		{ "ff02::1", SCOPE_NONE },
		{ "64:ff9b::7f00:1", SCOPE_NEAR },
		{ "64:ff9b::a00:1", SCOPE_PRIVATE },
		{ "64:ff9b::808:808", SCOPE_GLOBAL },
		{ "64:ff9b:1::1", SCOPE_PRIVATE },
		{ "2002:7f00:1::1", SCOPE_NEAR },
		{ "2002:808:808::1", SCOPE_GLOBAL },
		{ "::ffff:127.0.0.1", SCOPE_NEAR },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		const struct net_address a = address(cases[i].address);

		if (scope_of(&a) != cases[i].scope)
			fail_msg("%s: %d", cases[i].address, (int)scope_of(&a));
	}
}

static void test_resolv_conf(void **state)
{
	static const char text[] = "# nameserver 9.9.9.9\n"
				   "; search wrong\n"
				   "nameserver 10.0.0.53\n"
				   "\tnameserver\t2001:db8::53 and more\n"
				   "nameserver fe80::1%eth0\n"
				   "nameserver nonsense\n"
				   "nameserver\n"
				   "domain first.test\n"
				   "search a.test b.test .\n"
				   "options debug ndots:3 rotate\n"
				   "options ndots:99";
	struct net_address first = address("10.0.0.53"), second = address("2001:db8::53"),
			   local = address("127.0.0.1");
	char many[1000] = "";
	struct servers s;

	(void)state;
	servers_read(text, &s);
	assert_int_equal(s.n, 2);
	assert_memory_equal(&s.servers[0].address, &first, sizeof(first));
	assert_memory_equal(&s.servers[1].address, &second, sizeof(second));
	assert_int_equal(s.servers[0].port, 53);
	assert_int_equal(s.n_domains, 2);
	assert_string_equal(s.domains[0], "a.test");
	assert_string_equal(s.domains[1], "b.test");
	assert_int_equal(s.ndots, SERVERS_NDOTS_MAX);
	servers_read("", &s);
	assert_int_equal(s.n, 1);
	assert_memory_equal(&s.servers[0].address, &local, sizeof(local));
	assert_int_equal(s.ndots, 1);
	for (unsigned i = 0; i < 20; i++)
		strcat(many, "nameserver 10.0.0.1\n");
	strcat(many, "search");
	for (unsigned i = 0; i < 20; i++)
		strcat(many, " x.test");
	servers_read(many, &s);
	assert_int_equal(s.n, NET_SERVERS_MAX);
	assert_int_equal(s.n_domains, SERVERS_DOMAINS_MAX);
}

static void test_hosts_file(void **state)
{
	static const char text[] = "192.0.2.1 one two # three\n"
				   "nonsense three\n"
				   "#192.0.2.9 one\n"
				   "\n"
				   "::1\tOne\r\n"
				   "192.0.2.2 oneone\n"
				   "192.0.2.3 x one";
	const struct net_address expected[] = { address("192.0.2.1"), address("::1"),
						address("192.0.2.3") };
	const char *at = text;
	struct net_address a;

	(void)state;
	for (size_t i = 0; i < N_OF(expected); i++) {
		assert_true(hosts_file_next(&at, "one", &a));
		assert_memory_equal(&a, &expected[i], sizeof(a));
	}
	assert_false(hosts_file_next(&at, "one", &a));
	at = text;
	assert_false(hosts_file_next(&at, "three", &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_name_once),
		cmocka_unit_test(test_time_to_live),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_grace),
		cmocka_unit_test(test_back_in_time),
		cmocka_unit_test(test_order_is_none),
		cmocka_unit_test(test_what_may_be_gained),
		cmocka_unit_test(test_first_comes_back),
		cmocka_unit_test(test_family),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_readers),
		cmocka_unit_test(test_versioned),
		cmocka_unit_test(test_scopes),
		cmocka_unit_test(test_resolv_conf),
		cmocka_unit_test(test_hosts_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
