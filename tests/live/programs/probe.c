/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Says what a program can see of how it was started, without what differs between two starts: addresses as offsets or as true statements. Built in
 * many ways (static, position independent, other alignments ...); what it prints bare is what it must print when the launcher starts it.
 *
 *	probe ...	all of it
 */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PROBE_BSS
#define PROBE_BSS 70000
#endif

extern const char __ehdr_start[] __attribute__((weak, visibility("hidden")));
extern char _end[];

static char bss[PROBE_BSS];
static int data[5000] = { 1, 2, 3, [4999] = 77 };
static const int *relocated = &data[4999];
static _Thread_local int thread_data = 4711;
static _Thread_local char thread_bss[3000];
static int constructed;

__attribute__((constructor)) static void construct(void)
{
	constructed++;
}

__attribute__((destructor)) static void destruct(void)
{
	static const char text[] = "destructed\n";

	if (write(1, text, sizeof(text) - 1) < 0)
		_exit(9);
}

static uint64_t hash(uint64_t h, const char *s)
{
	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211u;
	return h * 31 + 1;
}

static void strings(const char *what, char **list)
{
	size_t n = 0, bytes = 0;
	uint64_t h = 14695981039346656037u;

	for (; list[n]; n++) {
		if (n < 8)
			printf("%s[%zu] %.60s\n", what, n, list[n]);
		h = hash(h, list[n]);
		bytes += strlen(list[n]) + 1;
	}
	printf("%s: %zu strings, %zu bytes, %016llx\n", what, n, bytes, (unsigned long long)h);
}

/* ---- the auxiliary vector ---- */

static void auxv_entry(const ElfW(auxv_t) * a)
{
	uint64_t v = a->a_un.a_val;

	switch (a->a_type) {
	case AT_EXECFN:
		printf("auxv execfn %s\n", (const char *)v);
		break;
	case AT_PLATFORM:
		printf("auxv platform %s\n", (const char *)v);
		break;
	case AT_RANDOM:
	case AT_SYSINFO_EHDR:
		printf("auxv %lu %d\n", (unsigned long)a->a_type, v != 0);
		break;
	case AT_PHDR:
	case AT_ENTRY:
	case AT_BASE:
		printf("auxv %lu ...%03lx %d\n", (unsigned long)a->a_type, (unsigned long)v & 0xfff,
		       v != 0);
		break;
	default:
		printf("auxv %lu %lx\n", (unsigned long)a->a_type, (unsigned long)v);
	}
}

static size_t slurp(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY);
	size_t done = 0;
	ssize_t n;

	if (fd < 0)
		return 0;
	while (done < size && (n = read(fd, buf + done, size - done)) > 0)
		done += (size_t)n;
	close(fd);
	return done;
}

static void auxv(void)
{
	char **at = environ;
	const ElfW(auxv_t) * a;
	char kept[2048];
	size_t n, own;

	while (*at)
		at++;
	a = (const ElfW(auxv_t) *)(const void *)(at + 1);
	for (own = 0; a[own].a_type != AT_NULL; own++)
		auxv_entry(&a[own]);
	n = slurp("/proc/self/auxv", kept, sizeof(kept));
	own = (own + 1) * sizeof(*a);
	printf("/proc/self/auxv: %zu bytes, same %d\n", n, n >= own && !memcmp(kept, a, own));
	if (__ehdr_start) {
		const ElfW(Ehdr) *e = (const ElfW(Ehdr) *)(const void *)__ehdr_start;

		printf("phdr right %d, entry right %d\n",
		       getauxval(AT_PHDR) == (uintptr_t)__ehdr_start + e->e_phoff,
		       getauxval(AT_ENTRY) - e->e_entry ==
			       (e->e_type == ET_DYN ? (uintptr_t)__ehdr_start : 0));
	}
}

/* ---- the process as the kernel shows it ---- */

static char big[4 << 20];

static void proc(void)
{
	size_t n = slurp("/proc/self/cmdline", big, sizeof(big) - 1);
	uint64_t h = 14695981039346656037u;

	for (size_t at = 0; at < n; at += strlen(big + at) + 1)
		h = hash(h, big + at);
	printf("cmdline %zu %016llx\n", n, (unsigned long long)h);
	n = slurp("/proc/self/environ", big, sizeof(big) - 1);
	h = 14695981039346656037u;
	for (size_t at = 0; at < n; at += strlen(big + at) + 1)
		h = hash(h, big + at);
	printf("environ %zu %016llx\n", n, (unsigned long long)h);
	big[slurp("/proc/self/comm", big, sizeof(big) - 1)] = '\0';
	printf("comm %s", big);
}

/* Protection of the mapping that @at lies in. */
static void protection(const char *what, const void *at)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512], perms[8];
	unsigned long lo, hi;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %7s", &lo, &hi, perms) == 3 && lo <= (uintptr_t)at &&
		    (uintptr_t)at < hi)
			printf("%s %s\n", what, perms);
	}
	if (f)
		fclose(f);
}

static void descriptors(void)
{
	for (int fd = 0; fd < 64; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			printf("fd %d\n", fd);
	}
}

/* ---- memory ---- */

static void heap(void)
{
	char *old = sbrk(0), *now;
	size_t sum = 0;

	/* the kernel puts a static-pie program elsewhere: far from its heap */
	if (getauxval(AT_BASE) || (uintptr_t)_end < 1ul << 32)
		printf("heap behind the program %d\n", old >= _end && old < _end + (2ul << 30));
	now = sbrk(1 << 20);
	printf("sbrk %d\n", now == old || now > old);
	if (now != (void *)-1)
		memset(now, 7, 1 << 20);
	for (int i = 0; i < 20000; i++) {
		char *p = malloc((size_t)(i * 37 % 3000 + 1));

		if (!p)
			exit(3);
		memset(p, i, (size_t)(i * 37 % 3000 + 1));
		sum += (unsigned char)p[0];
		if (i % 3)
			free(p);
	}
	printf("malloc %zu\n", sum);
}

static void memory(void)
{
	size_t sum = 0;

	for (size_t i = 0; i < sizeof(bss); i++)
		sum += (unsigned char)bss[i];
	bss[sizeof(bss) - 1] = 1;
	printf("bss %zu, data %d %d, relocated %d, constructed %d\n", sum, data[0], data[2],
	       *relocated, constructed);
	sum = 0;
	for (size_t i = 0; i < sizeof(thread_bss); i++)
		sum += (unsigned char)thread_bss[i];
	printf("thread data %d %zu\n", thread_data, sum);
	protection("text", (const void *)(uintptr_t)memory);
	protection("data", data);
	protection("bss", bss);
	protection("stack", __builtin_frame_address(0));
}

static void *thread(void *arg)
{
	thread_data++;
	*(int *)arg = thread_data;
	return NULL;
}

static sigjmp_buf back;

static void on_fault(int sig)
{
	siglongjmp(back, sig);
}

static void control(void)
{
	int got = 0, sig;
	pthread_t t;

	if (pthread_create(&t, NULL, thread, &got) == 0)
		pthread_join(t, NULL);
	printf("thread %d, main %d\n", got, thread_data);
	signal(SIGSEGV, on_fault);
	sig = sigsetjmp(back, 1);
	if (!sig)
		*(volatile int *)0x8 = 1;
	printf("fault %d\n", sig);
}

int main(int argc, char **argv)
{
	char name[16] = "";

	prctl(PR_GET_NAME, name);
	printf("argc %d, name %s, dumpable %d\n", argc, name, prctl(PR_GET_DUMPABLE));
	strings("argv", argv);
	strings("env", environ);
	printf("argv behind argc %d\n", ((long *)(void *)argv)[-1] == argc);
	printf("sp aligned %d\n", ((uintptr_t)(argv - 1) & 15) == 0);
	auxv();
	proc();
	descriptors();
	memory();
	heap();
	control();
	return 42;
}
