/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of the machine as a sandbox sees it, from samples of what kernels say.
 */
#include <stdlib.h>
#include <string.h>

#include "builtin/procfs/render.h"

#include "../support/cmocka.h"

/* What is written between RENDER and SAYS. */
static char *text;
static size_t size;

static FILE *begin(void)
{
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	return out;
}

static void says(FILE *out, const char *expected)
{
	assert_int_equal(fclose(out), 0);
	assert_string_equal(text, expected);
	free(text);
	text = NULL;
}

#define RENDER(expected, function, ...)      \
	do {                                 \
		FILE *out_ = begin();        \
		function(out_, __VA_ARGS__); \
		says(out_, expected);        \
	} while (0)

/* ---- CPUs ---- */

static const char cpuinfo[] =
	"processor\t: 0\nmodel name\t: A\nphysical id\t: 3\nsiblings\t: 2\n"
	"core id\t\t: 4\ncpu cores\t: 2\napicid\t\t: 8\nflags\t\t: fpu vme\n\n"
	"processor\t: 1\nmodel name\t: B\nphysical id\t: 3\nsiblings\t: 2\n"
	"core id\t\t: 5\ncpu cores\t: 2\napicid\t\t: 9\nflags\t\t: fpu\n\n";

static void test_cpuinfo(void **state)
{
	(void)state;
	RENDER("processor\t: 0\nmodel name\t: A\nphysical id\t: 0\nsiblings\t: 1\ncore id\t\t: 0\n"
	       "cpu cores\t: 1\napicid\t\t: 0\nflags\t\t: fpu vme\n\n",
	       render_cpuinfo, cpuinfo, 1);
	RENDER("processor\t: 0\nmodel name\t: A\nphysical id\t: 0\nsiblings\t: 3\ncore id\t\t: 0\n"
	       "cpu cores\t: 3\napicid\t\t: 0\nflags\t\t: fpu vme\n\n"
	       "processor\t: 1\nmodel name\t: B\nphysical id\t: 0\nsiblings\t: 3\ncore id\t\t: 1\n"
	       "cpu cores\t: 3\napicid\t\t: 1\nflags\t\t: fpu\n\n"
	       "processor\t: 2\nmodel name\t: A\nphysical id\t: 0\nsiblings\t: 3\ncore id\t\t: 2\n"
	       "cpu cores\t: 3\napicid\t\t: 2\nflags\t\t: fpu vme\n\n",
	       render_cpuinfo, cpuinfo, 3);
	RENDER("", render_cpuinfo, "Hardware: something else\n", 2);
	RENDER("processor\t: 0\n\n", render_cpuinfo, "processor\t: 0", 1);
}

static void test_stat(void **state)
{
	static const char native[] =
		"cpu  9 0 9 9 0 0 0 0 0 0\ncpu0 4 0 4 4 0 0 0 0 0 0\ncpu1 5 0 5 5 0 0 0 0 0 0\n"
		"intr 77 1 2 3\nctxt 5\nbtime 6\nprocesses 7\nsoftirq 12 3 4\n";
	const int64_t boot_s = -8;

	(void)state;
	RENDER("cpu  9 0 9 9 0 0 0 0 0 0\ncpu0 4 0 4 4 0 0 0 0 0 0\nintr 77\nctxt 5\nbtime 6\n"
	       "processes 7\nsoftirq 12\n",
	       render_stat, native, 1, NULL);
	RENDER("cpu  9 0 9 9 0 0 0 0 0 0\ncpu0 4 0 4 4 0 0 0 0 0 0\ncpu1 5 0 5 5 0 0 0 0 0 0\n"
	       "cpu2 0 0 0 0 0 0 0 0 0 0\nintr 77\nctxt 5\nbtime 6\nprocesses 7\nsoftirq 12\n",
	       render_stat, native, 3, NULL);
	RENDER("cpu  9 0 9 9 0 0 0 0 0 0\ncpu0 4 0 4 4 0 0 0 0 0 0\ncpu1 5 0 5 5 0 0 0 0 0 0\n"
	       "intr 77 1 2 3\nctxt 5\nbtime -8\nprocesses 7\nsoftirq 12 3 4\n",
	       render_stat, native, 0, &boot_s);
}

static void test_masks_and_lists(void **state)
{
	const uint32_t some[] = { 0x8000000d, 0x3 };

	(void)state;
	RENDER("0,2-3,31-33", render_bits, some, 64);
	RENDER("0,2", render_bits, some, 3);
	RENDER("0-1\n", render_list, "0-3,8\n", 2);
	RENDER("0-3,8\n", render_list, "0-3,8\n", 9);
	RENDER("\n", render_list, "4-7\n", 4);
	RENDER("\n", render_list, "\n", 4);
	RENDER("3\n", render_mask, "f\n", 2);
	RENDER("00000000,00000003\n", render_mask, "ffffffff,ffffffff\n", 2);
	RENDER("00000001,ffffffff\n", render_mask, "ffffffff,ffffffff\n", 33);
	RENDER("ffffffff,ffffffff\n", render_mask, "ffffffff,ffffffff\n", 64);
}

static void test_status(void **state)
{
	const uint32_t one[] = { 1, 0 }, many[] = { 0xffffffff, 0x1 };
	static const char native[] =
		"Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7\nMems_allowed:\t1\n";

	(void)state;
	RENDER("Name:\tx\nCpus_allowed:\t1\nCpus_allowed_list:\t0\nMems_allowed:\t1\n",
	       render_status, native, one, 1);
	RENDER("Name:\tx\nCpus_allowed:\t1,ffffffff\nCpus_allowed_list:\t0-32\nMems_allowed:\t1\n",
	       render_status, native, many, 33);
}

/* ---- memory, load, cgroups ---- */

static void test_meminfo(void **state)
{
	static const char native[] = "MemTotal:       24683656 kB\nMemFree:        20000000 kB\n"
				     "MemAvailable:   22000000 kB\nBuffers:             5 kB\n"
				     "SwapTotal:        100 kB\nDirty:                 7 kB\n";

	(void)state;
	RENDER("MemTotal:           1024 kB\nMemFree:             768 kB\nMemAvailable:        768 kB\n"
	       "Buffers:               0 kB\nSwapTotal:             0 kB\nDirty:                 7 kB\n",
	       render_meminfo, native, 1 << 20, 1 << 18);
	/* more is taken than there is */
	RENDER("MemTotal:           1024 kB\nMemFree:               0 kB\n", render_meminfo,
	       "MemTotal: 5 kB\nMemFree: 5 kB\n", 1 << 20, 1 << 21);
}

static void test_load_and_cgroups(void **state)
{
	(void)state;
	RENDER("0.10 0.20 0.30 1/7 4242\n", render_loadavg, "0.10 0.20 0.30 3/812 99999\n", 1, 7,
	       4242L);
	RENDER("9:name=systemd:/\n4:memory,cpu:/\n0::/\n", render_cgroup,
	       "9:name=systemd:/user.slice\n4:memory,cpu:/a:b/c\n0::/system.slice/x.service\n");
	RENDER("0::/\n", render_cgroup, "nonsense\n0::/x\n");
}

/* ---- the network ---- */

static void test_sockets(void **state)
{
	const uint64_t inodes[] = { 12, 1159 };
	static const char tcp[] =
		"  sl  local rem st tx rx tr tm->when retrnsmt uid  timeout inode\n"
		"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1159 1 x 100\n"
		"   1: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11590 1 x 100\n";
	static const char names[] =
		"Num       RefCount Protocol Flags    Type St Inode Path\n"
		"0000000097f90fde: 00000003 00000000 00000000 0005 03 13 /run/s\n"
		"0000000097f90fdf: 00000003 00000000 00000000 0005 03    12 /run/12\n";

	(void)state;
	RENDER("  sl  local rem st tx rx tr tm->when retrnsmt uid  timeout inode\n"
	       "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1159 1 x 100\n",
	       render_sockets, tcp, 9, inodes, 2, NULL);
	RENDER("Num       RefCount Protocol Flags    Type St Inode Path\n"
	       "0000000097f90fdf: 00000003 00000000 00000000 0005 03    12 /run/12\n",
	       render_sockets, names, 6, inodes, 2, NULL);
	RENDER("Num       RefCount Protocol Flags    Type St Inode Path\n", render_sockets, names,
	       6, NULL, 0, NULL);
	RENDER("", render_sockets, "", 6, inodes, 2, NULL);
}

/* Port 8080 of 127.0.0.1, ::1 and any address is 80, where it is the socket's own; 8081 of a peer is 81. */
static uint16_t shown(void *arg, int protocol, uint64_t inode, bool peer,
		      const struct in6_addr *address, uint16_t port)
{
	const bool v4 = IN6_IS_ADDR_V4MAPPED(address) &&
			!memcmp(address->s6_addr + 12, (uint8_t[]){ 127, 0, 0, 1 }, 4);

	(*(int *)arg)++;
	assert_int_equal(protocol, IPPROTO_TCP);
	assert_int_equal(inode, 1159);
	if (!v4 && !IN6_IS_ADDR_LOOPBACK(address) && !IN6_IS_ADDR_UNSPECIFIED(address))
		return port;
	if (port == 8081)
		return peer ? 81 : port;
	return port == 8080 && !peer ? 80 : port;
}

static void test_ports_of_sockets(void **state)
{
	const uint64_t inodes[] = { 1159 };
	int n = 0;
	const struct render_ports ports = { shown, &n, IPPROTO_TCP };

	(void)state;
	RENDER("h\n"
	       "   0: 0100007F:0050 0100007F:1F90 01 a:b 00:0 0 0 0 1159 1 x 100\n"
	       "   1: 0200007F:1F90 00000000:0051 01 a:b 00:0 0 0 0 1159 1\n"
	       "   2: 00000000000000000000000001000000:0050 00000000000000000000000001000000:0051 01 a:b 00:0 0 0 0 1159 1\n"
	       "   3: nonsense 0100007F:FFFF 01 a:b 00:0 0 0 0 1159 1\n",
	       render_sockets,
	       "h\n"
	       "   0: 0100007F:1F90 0100007F:1F90 01 a:b 00:0 0 0 0 1159 1 x 100\n"
	       "   1: 0200007F:1F90 00000000:1F91 01 a:b 00:0 0 0 0 1159 1\n"
	       "   2: 00000000000000000000000001000000:1F90 00000000000000000000000001000000:1F91 01 a:b 00:0 0 0 0 1159 1\n"
	       "   3: nonsense 0100007F:FFFF 01 a:b 00:0 0 0 0 1159 1\n"
	       "   4: 0100007F:1F90 00000000:0000 0A a:b 00:0 0 0 0 1160 1\n",
	       9, inodes, 1, &ports);
	assert_int_equal(n, 7);
}

static void test_loopback(void **state)
{
	(void)state;
	RENDER("Inter-|\n face |\n    lo: 1 2\n", render_loopback,
	       "Inter-|\n face |\n    lo: 1 2\n  eth0: 3 4\n lomax0: 5\n", 2);
	RENDER("00000001 01 80 10 80       lo\n", render_loopback,
	       "00000001 01 80 10 80       lo\nfe80 02 40 20 80     eth0\n", 0);
}

/* ---- mapped files ---- */

/* "/h/" is "/in/", and "/gone" a path with a newline. */
static bool inside(void *arg, const char *path, char buf[PATH_MAX])
{
	unsigned *calls = arg;

	++*calls;
	if (!strcmp(path, "/gone"))
		return snprintf(buf, PATH_MAX, "/a\nb c") > 0;
	return !strncmp(path, "/h/", 3) && snprintf(buf, PATH_MAX, "/in/%s", path + 3) > 0;
}

static void test_maps(void **state)
{
	unsigned calls = 0;

	(void)state;
	RENDER("1000-2000 r--p 00000000 fe:00 12                         /in/lib/x.so\n"
	       "2000-3000 r-xp 00001000 fe:00 12                         /in/lib/x.so\n"
	       "3000-4000 rw-p 00000000 00:00 0 \n"
	       "4000-5000 rw-p 00000000 00:00 0                          [anon:/h/x]\n"
	       "5000-6000 rw-s 00000000 00:01 7                          /memfd:jit (deleted)\n"
	       "6000-7000 r--p 00000000 fe:00 13                         /in/a b\\012c\\101 (deleted)\n"
	       "7000-8000 r--p 00000000 fe:00 13                         /a\\012b c\n",
	       render_maps,
	       "1000-2000 r--p 00000000 fe:00 12                         /h/lib/x.so\n"
	       "2000-3000 r-xp 00001000 fe:00 12                         /h/lib/x.so\n"
	       "3000-4000 rw-p 00000000 00:00 0 \n"
	       "4000-5000 rw-p 00000000 00:00 0                          [anon:/h/x]\n"
	       "5000-6000 rw-s 00000000 00:01 7                          /memfd:jit (deleted)\n"
	       "6000-7000 r--p 00000000 fe:00 13                         /h/a b\\012c\\101 (deleted)\n"
	       "7000-8000 r--p 00000000 fe:00 13                         /gone\n",
	       inside, &calls);
	assert_int_equal(calls, 4); /* once for what follows itself */
	/* smaps, whose further lines may hold a slash; numa_maps */
	RENDER("1000-2000 r--p 00000000 fe:00 12                         /in/x\nSize: 4 kB\n"
	       "VmFlags: rd /h/x\n",
	       render_maps,
	       "1000-2000 r--p 00000000 fe:00 12                         /h/x\nSize: 4 kB\n"
	       "VmFlags: rd /h/x\n",
	       inside, &calls);
	RENDER("1000 default file=/in/a\\040b mapped=2 N0=2\n2000 default heap anon=1 N0=1\n"
	       "3000 default file=/a\\012b\\040c mapped=2\n",
	       render_maps,
	       "1000 default file=/h/a\\040b mapped=2 N0=2\n2000 default heap anon=1 N0=1\n"
	       "3000 default file=/gone mapped=2\n",
	       inside, &calls);
	RENDER("", render_maps, "", inside, &calls);
	RENDER("cut short", render_maps, "cut short", inside, &calls);
}

/* ---- hosts ---- */

static void test_hosts(void **state)
{
	(void)state;
	RENDER("127.0.0.1\tlocalhost\n127.0.1.1\tbox.example box # myhost\n", render_hosts,
	       "127.0.0.1\tlocalhost\n127.0.1.1\tbox.example myhost # myhost\n", "myhost", "box");
	RENDER("127.0.0.1 localhost\n10.0.0.1 myhost2\n127.0.1.1\tbox\n", render_hosts,
	       "127.0.0.1 localhost\n10.0.0.1 myhost2\n", "myhost", "box");
	RENDER("127.0.0.1 localhost\n127.0.1.1\tbox\n", render_hosts, "127.0.0.1 localhost",
	       "myhost", "box");
	RENDER("127.0.1.1\tbox\n", render_hosts, "", "", "box");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpuinfo),	 cmocka_unit_test(test_stat),
		cmocka_unit_test(test_status),	 cmocka_unit_test(test_masks_and_lists),
		cmocka_unit_test(test_meminfo),	 cmocka_unit_test(test_load_and_cgroups),
		cmocka_unit_test(test_sockets),	 cmocka_unit_test(test_ports_of_sockets),
		cmocka_unit_test(test_loopback), cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_maps),
	};

	return cmocka_run_group_tests_name("render", tests, NULL, NULL);
}
