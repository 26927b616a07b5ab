/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions that are moved do the same in their new place: functions whose beginnings are those that compilers give the vDSO's are run in both.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "builtin/determinism/clock_code.h"

#include "../support/cmocka.h"

#if defined(__x86_64__)

#define JUMP_BYTES 5
#define CODE_BYTES 64
#define PAGE_BYTES 4096

struct function {
	const char *code; /* takes a number, gives one; */
	size_t size;
	size_t taken; /* of its beginning; 0: it can't be moved */
};
#define FUNCTION(text, taken)                 \
	{                                     \
		text, sizeof(text) - 1, taken \
	}

static const struct function functions[] = {
	/* push %rbp; mov %rsp, %rbp; push %r14; pop %r14; pop %rbp; lea 1(%rdi), %eax; ret */
	FUNCTION("\x55\x48\x89\xe5\x41\x56\x41\x5e\x5d\x8d\x47\x01\xc3", 6),
	/* endbr64; push %rbp; pop %rbp; mov %edi, %eax; ret */
	FUNCTION("\xf3\x0f\x1e\xfa\x55\x5d\x89\xf8\xc3", 5),
	/* cmp $0x17, %edi; ja +6; mov $1, %eax; ret; mov $2, %eax; ret */
	FUNCTION("\x83\xff\x17\x77\x06\xb8\x01\x00\x00\x00\xc3\xb8\x02\x00\x00\x00\xc3", 5),
	/* the same with a jump of 32 bits, over one instruction more */
	FUNCTION(
		"\x83\xff\x17\x0f\x87\x06\x00\x00\x00\xb8\x01\x00\x00\x00\xc3\x90\xb8\x02\x00\x00\x00"
		"\xc3",
		9),
	/* sub $8, %rsp; mov $7, %eax; add $8, %rsp; ret */
	FUNCTION("\x48\x83\xec\x08\xb8\x07\x00\x00\x00\x48\x83\xc4\x08\xc3", 9),
	/* xor %eax, %eax; cmp $200, %edi; jbe +1; inc %eax ... ; ret */
	FUNCTION("\x31\xc0\x81\xff\xc8\x00\x00\x00\x76\x02\xff\xc0\xc3", 8),
	/* mov 0x10(%rip), %eax: means another place there */
	FUNCTION("\x8b\x05\x10\x00\x00\x00\xc3", 0),
	/* call */
	FUNCTION("\xe8\x00\x00\x00\x00\xc3", 0),
	/* cmp $1, %edi; jz -1: into what is moved */
	FUNCTION("\x83\xff\x01\x74\xfe\xc3", 0),
};

static int call(const unsigned char *code, int number)
{
	int (*function)(int);

	memcpy(&function, &code, sizeof(code));
	return function(number);
}

static void test_moved_code_does_the_same(void **state)
{
	/* the new place before the old one, and behind it */
	unsigned char *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_true(page != MAP_FAILED);
	for (size_t i = 0; i < 2 * N_OF(functions); i++) {
		const struct function *f = &functions[i / 2];
		unsigned char *old = page + (i % 2 ? 1024 : 2048), *new = page + 1536,
			      saved[CODE_BYTES];
		size_t taken = 0, n;
		uint32_t back;

		memset(page, 0xcc, PAGE_BYTES);
		memcpy(old, f->code, f->size);
		n = clock_code_move(old, (uint64_t)(old - page), JUMP_BYTES, new,
				    (uint64_t)(new - page), &taken);
		assert_int_equal(taken, f->taken);
		assert_int_equal(n != 0, f->taken != 0);
		if (!n)
			continue;
		assert_true(n <= 4 * JUMP_BYTES);
		memcpy(saved, old, sizeof(saved));
		back = (uint32_t)(old + taken - (new + n + JUMP_BYTES));
		new[n] = 0xe9;
		memcpy(new + n + 1, &back, sizeof(back));
		for (int number = 0; number < 300; number++) {
			int there;

			memset(old, 0xcc, taken);
			there = call(new, number);
			memcpy(old, saved, sizeof(saved));
			assert_int_equal(there, call(old, number));
		}
	}
	munmap(page, PAGE_BYTES);
}

#else

static void test_moved_code_does_the_same(void **state)
{
	(void)state;
	skip();
}

#endif

static void test_the_vdso_is_known(void **state)
{
	struct clock_code code;

	(void)state;
	assert_int_equal(clock_code_make(&code, -1), 0);
	for (size_t i = 0; i < code.n; i++)
		assert_true(code.parts[i].size <= sizeof(code.parts[i].code));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moved_code_does_the_same),
		cmocka_unit_test(test_the_vdso_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
