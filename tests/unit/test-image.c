/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What kind of program a file is. Expectations are those of fs/binfmt_script.c and fs/binfmt_elf.c; tests/live/test-launcher.c compares with the
 * running kernel's own exec.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../support/cmocka.h"
#include "launcher/image.h"
#include "launcher/program.h"
#include "launcher/protocol.h"

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#define OTHER_MACHINE EM_AARCH64
#else
#define MACHINE EM_AARCH64
#define OTHER_MACHINE EM_X86_64
#endif

/* ---- scripts ---- */

static int read_text(const char *text, size_t n, struct image *ret)
{
	struct image_source s = image_source_memory(text, n);

	return image_read(&s, ret);
}

static void test_script_lines(void **state)
{
	static const struct {
		const char *text, *interp, *argument; /* NULL: ENOEXEC */
	} lines[] = {
		{ "#!/bin/sh\n", "/bin/sh", "" },
		{ "#!/bin/sh", "/bin/sh", "" },
		{ "#! \t /bin/sh \t \nrest", "/bin/sh", "" },
		{ "#!/bin/sh -e\n", "/bin/sh", "-e" },
		{ "#!/usr/bin/env \t python3 -u  \n", "/usr/bin/env", "python3 -u" },
		{ "#!relative\n", "relative", "" },
		{ "#!/bin/sh\r\n", "/bin/sh\r", "" },
		{ "#!\n", NULL, NULL },
		{ "#!  \t \n/bin/sh\n", NULL, NULL },
		{ "#", NULL, NULL },
		{ "", NULL, NULL },
		{ " #!/bin/sh\n", NULL, NULL },
		{ "echo hello\n", NULL, NULL },
	};

	for (size_t i = 0; i < N_OF(lines); i++) {
		struct image im;
		int r = read_text(lines[i].text, strlen(lines[i].text), &im);

		if (!lines[i].interp) {
			if (r != -ENOEXEC)
				fail_msg("\"%s\": %d", lines[i].text, r);
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(im.kind, IMAGE_SCRIPT);
		assert_string_equal(im.interp, lines[i].interp);
		assert_string_equal(im.argument, lines[i].argument);
		assert_int_equal(im.has_argument, *lines[i].argument != '\0');
	}
}

/* "#!" and @n bytes 'i', then @tail. */
static int read_long(size_t n, const char *tail, struct image *ret)
{
	char text[1024];

	memcpy(text, "#!", 2);
	memset(text + 2, 'i', n);
	memcpy(text + 2 + n, tail, strlen(tail));
	return read_text(text, 2 + n + strlen(tail), ret);
}

static void test_script_truncation(void **state)
{
	struct image im;

	/* the newline is the last of 256 bytes, or the first behind them */
	assert_int_equal(read_long(253, "\nx", &im), 0);
	assert_int_equal(strlen(im.interp), 253);
	assert_int_equal(read_long(254, "\nx", &im), -ENOEXEC);
	/* cut in the argument: taken as it is; in the interpreter: refused */
	assert_int_equal(read_long(100,
				   " argument that is too long for the line "
				   "argument that is too long for the line "
				   "argument that is too long for the line "
				   "argument that is too long for the line\n",
				   &im),
			 0);
	assert_int_equal(strlen(im.interp), 100);
	assert_int_equal(2 + 100 + 1 + strlen(im.argument), 255);
	assert_int_equal(read_long(600, " x\n", &im), -ENOEXEC);
	/* a file that ends within the head is not cut */
	assert_int_equal(read_long(253, "", &im), 0);
	assert_int_equal(strlen(im.interp), 253);
	assert_int_equal(read_long(254, "", &im), -ENOEXEC);
}

/* The file ends behind the blank: nothing is cut, and what follows is an empty argument. */
static void test_script_empty_argument(void **state)
{
	struct image im;

	assert_int_equal(read_text("#!/bin/sh ", 10, &im), 0);
	assert_string_equal(im.interp, "/bin/sh");
	assert_true(im.has_argument);
	assert_string_equal(im.argument, "");
	assert_int_equal(read_text("#!/bin/sh -e ", 13, &im), 0);
	assert_string_equal(im.argument, "-e ");
}

/* An interpreter of an empty name. */
static void test_script_no_name(void **state)
{
	struct image im;

	assert_int_equal(read_text("#!", 2, &im), -EACCES);
	assert_int_equal(read_text("#!   ", 5, &im), -EACCES);
}

static void test_script_nul(void **state)
{
	static const char text[] = "#!/bin/sh\0 -e\n";
	struct image im;

	assert_int_equal(read_text(text, sizeof(text), &im), 0);
	assert_string_equal(im.interp, "/bin/sh");
	assert_string_equal(im.argument, "");
}

/* ---- ELF ---- */

struct elf {
	Elf64_Ehdr e;
	Elf64_Phdr p[2];
	char interp[16];
};

static struct elf good(void)
{
	struct elf f = {
		.e = { .e_ident = ELFMAG,
		       .e_type = ET_DYN,
		       .e_machine = MACHINE,
		       .e_phoff = offsetof(struct elf, p),
		       .e_phentsize = sizeof(Elf64_Phdr),
		       .e_phnum = 2 },
		.p = { { .p_type = PT_LOAD },
		       { .p_type = PT_INTERP,
			 .p_offset = offsetof(struct elf, interp),
			 .p_filesz = sizeof("/lib/ld.so") } },
		.interp = "/lib/ld.so",
	};

	return f;
}

static int read_elf(const struct elf *f, struct image *ret)
{
	return read_text((const char *)f, sizeof(*f), ret);
}

static int check_loader(const struct elf *f, size_t n)
{
	struct image_source s = image_source_memory(f, n);

	return image_check_loader(&s);
}

static void test_elf(void **state)
{
	struct elf f = good();
	struct image im;

	assert_int_equal(read_elf(&f, &im), 0);
	assert_int_equal(im.kind, IMAGE_ELF);
	assert_string_equal(im.interp, "/lib/ld.so");
	f.p[1].p_type = PT_NOTE;
	assert_int_equal(read_elf(&f, &im), 0);
	assert_string_equal(im.interp, "");
	f.e.e_type = ET_EXEC;
	assert_int_equal(read_elf(&f, &im), 0);
}

static void spoil_type(struct elf *f)
{
	f->e.e_type = ET_REL;
}

static void spoil_core(struct elf *f)
{
	f->e.e_type = ET_CORE;
}

static void spoil_machine(struct elf *f)
{
	f->e.e_machine = OTHER_MACHINE;
}

static void spoil_entry_size(struct elf *f)
{
	f->e.e_phentsize = 32;
}

static void spoil_no_headers(struct elf *f)
{
	f->e.e_phnum = 0;
}

static void spoil_many_headers(struct elf *f)
{
	f->e.e_phnum = 65535;
}

static void spoil_headers_outside(struct elf *f)
{
	f->e.e_phoff = sizeof(*f) - 8;
}

static void spoil_headers_far(struct elf *f)
{
	f->e.e_phoff = UINT64_MAX - 8;
}

static void test_elf_nonsense(void **state)
{
	static void (*const spoilers[])(struct elf *) = {
		spoil_type,	  spoil_core,	      spoil_machine,	     spoil_entry_size,
		spoil_no_headers, spoil_many_headers, spoil_headers_outside, spoil_headers_far,
	};

	for (size_t i = 0; i < N_OF(spoilers); i++) {
		struct elf f = good();
		struct image im;

		assert_int_equal(check_loader(&f, sizeof(f)), 0);
		spoilers[i](&f);
		if (read_elf(&f, &im) != -ENOEXEC)
			fail_msg("%zu: taken for a program", i);
		if (check_loader(&f, sizeof(f)) != -ELIBBAD)
			fail_msg("%zu: taken for a loader", i);
	}
}

static void test_elf_interp(void **state)
{
	struct elf f = good();
	struct image im;

	f.p[1].p_filesz = 1;
	assert_int_equal(read_elf(&f, &im), -ENOEXEC);
	f.p[1].p_filesz = PATH_MAX + 1;
	assert_int_equal(read_elf(&f, &im), -ENOEXEC);
	f.p[1].p_filesz = sizeof("/lib/ld.so") - 1; /* no NUL at its end */
	assert_int_equal(read_elf(&f, &im), -ENOEXEC);
	f.p[1].p_filesz = PATH_MAX; /* behind the file's end */
	assert_int_equal(read_elf(&f, &im), -EIO);
	f.p[1].p_filesz = 4;
	f.p[1].p_offset = INT64_MAX;
	assert_int_equal(read_elf(&f, &im), -EIO);
}

static void test_loader(void **state)
{
	struct elf f = good();

	assert_int_equal(check_loader(&f, sizeof(Elf64_Ehdr) - 1), -EIO);
	memcpy(f.e.e_ident, "#!/x", 4);
	assert_int_equal(check_loader(&f, sizeof(f)), -ELIBBAD);
}

/* Every file that is cut at any length gives an errno and no crash. */
static void test_elf_cut(void **state)
{
	struct elf f = good();
	size_t whole = offsetof(struct elf, interp) + sizeof("/lib/ld.so");

	for (size_t n = 0; n < whole; n++) {
		char *copy = malloc(n + 1);
		struct image im;
		int r;

		assert_non_null(copy);
		memcpy(copy, &f, n);
		r = read_text(copy, n, &im);
		if (r != -ENOEXEC && r != -EIO)
			fail_msg("%zu bytes: %d", n, r);
		free(copy);
	}
}

static void test_own_launcher(void **state)
{
	struct image_source s = image_source_memory(launcher_program, launcher_program_size);
	struct image im;

	assert_int_equal(image_read(&s, &im), 0);
	assert_int_equal(im.kind, IMAGE_ELF);
	assert_string_equal(im.interp, "");
	assert_true(launcher_program_size < 8192);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_script_lines),   cmocka_unit_test(test_script_truncation),
		cmocka_unit_test(test_script_no_name), cmocka_unit_test(test_script_empty_argument),
		cmocka_unit_test(test_script_nul),     cmocka_unit_test(test_elf),
		cmocka_unit_test(test_elf_nonsense),   cmocka_unit_test(test_elf_interp),
		cmocka_unit_test(test_elf_cut),	       cmocka_unit_test(test_loader),
		cmocka_unit_test(test_own_launcher),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
