/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launcher: an exec in user space.
 *
 * The kernel has executed this program with the arguments and the environment of another one. It asks the supervisor for that one
 * (protocol.h), maps it and its loader (load.h), makes stack, auxiliary vector, name and the kernel's records of the address space what they
 * would have been, and jumps. It has no libc and no variables: its only memory is the stack, and for strings that find no place there one mapping.
 *
 * Strings: the kernel leaves the arguments' strings in a row, ours ("the interpreter", made long on purpose, and the script's name) first. In that room the
 * plan's arguments are put, flush with the program's own, so that the row is whole again; AT_EXECFN's string goes before them.
 *
 * Failure: nobody is left to return an error to, so it dies of a fault, as a program does whose exec fails past the point of no return.
 */
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "launcher/load.h"
#include "launcher/protocol.h"
#include "launcher/start.h"
#include "sys/raw.h"

#define RAW_PR_SET_NAME 15
#define RAW_PR_SET_MM 35
#define RAW_PR_SET_MM_MAP 14
#define RAW_ADDR_NO_RANDOMIZE 0x0040000
#define RAW_PROT_RWX 7
#define RAW_PROT_RW 3
#define RAW_PROT_GROWSDOWN 0x01000000
#define RAW_MAP_PRIVATE_ANONYMOUS 0x22
/* The interpreter and the script's name. */
#define KERNEL_ARGUMENTS 2
/* Of the heap's start behind the program: as far as the kernel goes. */
#define BRK_RANDOM_BYTES 0x40000000ull

/* struct prctl_mm_map */
struct mm_map {
	uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack, arg_start,
		arg_end, env_start, env_end;
	uint64_t *auxv;
	uint32_t auxv_size, exe_fd;
};

/* What the kernel left on the stack, and what is made of it. */
struct stack {
	uint64_t *sp;
	uint64_t argc;
	char **argv, **envp;
	Elf64_auxv_t *auxv, *auxv_end; /* the end is behind AT_NULL */
	char *room, *room_end;	       /* where the strings of those were */
	char *args, *args_end;	       /* the program's, once they are placed */
	char *env, *env_end;
	char *execfn;
};

/* The compiler may call these for copies and comparisons of its own. */
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);

void *memmove(void *to, const void *from, size_t n)
{
	unsigned char *t = to;
	const unsigned char *f = from;

	if (t <= f) {
		start_copy(t, f, n);
	} else {
		for (size_t i = n; i > 0; i--)
			t[i - 1] = f[i - 1];
	}
	return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
	return memmove(to, from, n);
}

void *memset(void *to, int c, size_t n)
{
	unsigned char *t = to;

	for (size_t i = 0; i < n; i++)
		t[i] = (unsigned char)c;
	return to;
}

static char *string_end(char *s)
{
	while (*s)
		s++;
	return s + 1;
}

static bool is_error(long r)
{
	return r < 0 && r >= -4095;
}

static Elf64_auxv_t *auxv_find(const struct stack *s, uint64_t type)
{
	for (Elf64_auxv_t *a = s->auxv; a < s->auxv_end; a++) {
		if (a->a_type == type)
			return a;
	}
	return NULL;
}

static void auxv_set(const struct stack *s, uint64_t type, uint64_t value)
{
	Elf64_auxv_t *a = auxv_find(s, type);

	if (a)
		a->a_un.a_val = value;
}

static uint64_t auxv_get(const struct stack *s, uint64_t type)
{
	const Elf64_auxv_t *a = auxv_find(s, type);

	return a ? a->a_un.a_val : 0;
}

static void stack_read(struct stack *s, uint64_t *sp)
{
	char **at;

	s->sp = sp;
	s->argc = sp[0];
	s->argv = (char **)(sp + 1);
	s->envp = s->argv + s->argc + 1;
	for (at = s->envp; *at; at++)
		continue;
	s->auxv = (Elf64_auxv_t *)(void *)(at + 1);
	for (s->auxv_end = s->auxv; s->auxv_end->a_type != AT_NULL; s->auxv_end++)
		continue;
	s->auxv_end++;
}

/* Which of the arguments are ours, and where strings lie. */
static void stack_split(struct stack *s)
{
	s->room = s->argv[0];
	s->room_end = string_end(s->argv[KERNEL_ARGUMENTS - 1]);
	s->args_end = string_end(s->argv[s->argc - 1]);
	s->env = s->envp[0] ? s->envp[0] : s->args_end;
	s->env_end = s->env;
	if (s->envp[0])
		s->env_end = string_end(((char **)(void *)s->auxv)[-2]);
}

/* ---- the plan ---- */

static long ask(char slot, void *buf, uint64_t size)
{
	return raw_call6(SYS_execveat, LAUNCHER_ASK_FD, (long)"", (long)buf, (long)size,
			 LAUNCHER_ASK_FLAGS, slot);
}

/* The plan, in @first or in a mapping of its own (*ret_mapped bytes). */
static struct launcher_plan *plan_get(char slot, void *first, uint64_t *ret_mapped)
{
	long r = ask(slot, first, LAUNCHER_PLAN_FIRST);
	long at;

	*ret_mapped = 0;
	if (r <= 0)
		return r < 0 ? NULL : first;
	if (r > (long)LAUNCHER_PLAN_MAX)
		return NULL;
	*ret_mapped = (uint64_t)r;
	at = raw_call6(SYS_mmap, 0, r, RAW_PROT_RW, RAW_MAP_PRIVATE_ANONYMOUS, -1, 0);
	if (is_error(at) || ask(slot, (void *)at, (uint64_t)r))
		return NULL;
	return (void *)at;
}

static bool plan_fits(const struct launcher_plan *p)
{
	return p->version == LAUNCHER_VERSION && p->size <= LAUNCHER_PLAN_MAX &&
	       p->prefix <= p->size && p->prefix_size <= p->size - p->prefix &&
	       p->execfn < p->size && p->n_prefix <= LAUNCHER_PREFIX_MAX;
}

/* ---- strings and table ---- */

/*
 * Place for @execfn_size + prefix bytes: the room, or a mapping that also takes the program's other arguments, because the kernel's record of
 * them is one range.
 */
static int strings_place(struct stack *s, const struct launcher_plan *p, uint64_t execfn_size)
{
	uint64_t rest = (uint64_t)(s->args_end - s->room_end);
	uint64_t size = execfn_size + p->prefix_size;
	char *base;
	long at;

	if (size <= (uint64_t)(s->room_end - s->room)) {
		s->args = s->room_end - p->prefix_size;
		s->execfn = s->args - execfn_size;
		return 0;
	}
	at = raw_call6(SYS_mmap, 0, (long)(size + rest), RAW_PROT_RW, RAW_MAP_PRIVATE_ANONYMOUS, -1,
		       0);
	if (is_error(at))
		return (int)at;
	base = (char *)at;
	s->execfn = base;
	s->args = base + execfn_size;
	memcpy(s->args + p->prefix_size, s->room_end, rest);
	for (uint64_t i = KERNEL_ARGUMENTS; i < s->argc; i++)
		s->argv[i] += s->args + p->prefix_size - s->room_end;
	s->args_end = s->args + p->prefix_size + rest;
	return 0;
}

static int strings_write(struct stack *s, struct launcher_plan *p)
{
	char *execfn = (char *)p + p->execfn;
	uint64_t size = (uint64_t)(string_end(execfn) - execfn);
	int r = strings_place(s, p, size);

	if (r < 0)
		return r;
	memcpy(s->args, (char *)p + p->prefix, p->prefix_size);
	memcpy(s->execfn, execfn, size);
	return 0;
}

/*
 * The table of pointers anew, as near to the old one as alignment lets it: argc, the plan's arguments, the program's own, the
 * environment, the auxiliary vector. Returns where it begins.
 */
static uint64_t *table_write(struct stack *s, const struct launcher_plan *p)
{
	uint64_t own = s->argc - KERNEL_ARGUMENTS, argc = own + p->n_prefix;
	uint64_t tail = (uint64_t)((char *)s->auxv_end - (char *)s->envp);
	uint64_t words = 1 + argc + 1 + tail / 8;
	/* as many words less as there are arguments less, and an even number of them */
	uint64_t *sp = (uint64_t *)(((uint64_t)s->auxv_end - words * 8) & ~15ull);
	char *string = s->args;
	char **argv = (char **)(sp + 1);

	/* both go down by one word or stay: nothing is overwritten before it was moved */
	memmove(argv + p->n_prefix, s->argv + KERNEL_ARGUMENTS, own * 8);
	memmove(argv + argc + 1, s->envp, tail);
	argv[argc] = NULL;
	for (uint32_t i = 0; i < p->n_prefix; i++) {
		argv[i] = string;
		string = string_end(string);
	}
	sp[0] = argc;
	stack_read(s, sp);
	return sp;
}

/* ---- what the kernel keeps about the process ---- */

/*
 * Command line, environment, auxiliary vector and heap in the kernel's own record, which /proc shows. A kernel that lacks the call
 * (CONFIG_CHECKPOINT_RESTORE) goes on with the launcher's: its heap is far from everything.
 */
static void record(const struct stack *s, const struct loaded *exe, uint64_t page, uint64_t random)
{
	uint64_t brk = (exe->end + page - 1) & ~(page - 1);
	struct mm_map m;

	brk += random % BRK_RANDOM_BYTES & ~(page - 1);
	m.start_code = exe->start_code;
	m.end_code = exe->end_code;
	m.start_data = exe->start_data;
	m.end_data = exe->end_data;
	m.start_brk = m.brk = brk;
	m.start_stack = (uint64_t)s->sp;
	m.arg_start = (uint64_t)s->args;
	m.arg_end = (uint64_t)s->args_end;
	m.env_start = (uint64_t)s->env;
	m.env_end = (uint64_t)s->env_end;
	m.auxv = (uint64_t *)(void *)s->auxv;
	m.auxv_size = (uint32_t)((char *)s->auxv_end - (char *)s->auxv);
	m.exe_fd = UINT32_MAX;
	raw_call(SYS_prctl, RAW_PR_SET_MM, RAW_PR_SET_MM_MAP, &m, sizeof(m), 0);
}

static bool stack_executable(uint64_t sp, uint64_t page)
{
	return !raw_call(SYS_mprotect, sp & ~(page - 1), page, RAW_PROT_RWX | RAW_PROT_GROWSDOWN, 0,
			 0);
}

/* ---- all of it ---- */

static int load(const struct launcher_plan *p, uint64_t page, uint64_t random, struct loaded *exe,
		struct loaded *loader)
{
	struct load_how how;
	int r;

	how.fd = p->exe_fd;
	how.program = true;
	how.random = random;
	how.page = page;
	r = load_elf(&how, exe);
	raw_call(SYS_close, p->exe_fd, 0, 0, 0, 0);
	if (r < 0 || p->loader_fd < 0)
		return r;
	how.fd = p->loader_fd;
	how.program = false;
	r = load_elf(&how, loader);
	raw_call(SYS_close, p->loader_fd, 0, 0, 0, 0);
	return r;
}

/* Random bits for addresses, or 0 where the process is not to have any. */
static uint64_t random_bits(void)
{
	uint64_t random = 0;

	if (raw_call(SYS_personality, 0xffffffff, 0, 0, 0, 0) & RAW_ADDR_NO_RANDOMIZE)
		return 0;
	raw_call(SYS_getrandom, &random, sizeof(random), 0, 0, 0);
	return random;
}

static void auxv_patch(const struct stack *s, const struct loaded *exe, const struct loaded *loader)
{
	auxv_set(s, AT_PHDR, exe->phdr);
	auxv_set(s, AT_PHNUM, exe->phnum);
	auxv_set(s, AT_PHENT, sizeof(Elf64_Phdr));
	auxv_set(s, AT_BASE, loader->bias);
	auxv_set(s, AT_ENTRY, exe->entry);
	auxv_set(s, AT_EXECFN, (uint64_t)s->execfn);
}

static void become(struct stack *s, struct launcher_plan *p, struct start *ret)
{
	uint64_t page = auxv_get(s, AT_PAGESZ), random = random_bits();
	struct loaded exe = { 0 }, loader = { 0 };

	if (load(p, page, random, &exe, &loader) < 0 || strings_write(s, p) < 0)
		start_die();
	ret->sp = (uint64_t)table_write(s, p);
	auxv_patch(s, &exe, &loader);
	raw_call(SYS_prctl, RAW_PR_SET_NAME, p->comm, 0, 0, 0);
	record(s, &exe, page, random >> 32);
	/* the program's word on the stack counts, not the loader's */
	if (exe.exec_stack && !stack_executable(ret->sp, page))
		start_die();
	ret->entry = p->loader_fd < 0 ? exe.entry : loader.entry;
}

void launcher_main(uint64_t *sp)
{
	union {
		struct launcher_plan plan;
		unsigned char bytes[LAUNCHER_PLAN_FIRST];
	} first;
	struct launcher_plan *p;
	struct stack s;
	struct start start;
	uint64_t mapped;

	stack_read(&s, sp);
	if (s.argc < KERNEL_ARGUMENTS)
		start_die(); /* executed by hand */
	stack_split(&s);
	first.plan = (struct launcher_plan){ 0 };
	p = plan_get(*s.argv[1], &first, &mapped);
	if (!p || !plan_fits(p))
		start_die();
	become(&s, p, &start);
	if (mapped)
		raw_call(SYS_munmap, p, mapped, 0, 0, 0);
	start_program(&start);
}
