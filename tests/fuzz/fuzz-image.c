/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a program: a script's first line against a second reading of it, an ELF header for what must hold of its answer. See fuzz.h.
 */
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "fuzz.h"
#include "launcher/image.h"

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

/*
 * The words of a first line, by hand: *ret_cut when neither newline nor NUL ends it within the head. Blanks at the end count for nothing before a newline and
 * make an (empty) argument before a NUL. Returns how many words there are of interpreter and argument.
 */
static int words(const char *head, const char *ret[2], size_t n[2], bool *ret_cut)
{
	size_t end = 2, at = 2;
	bool nul;

	while (end < IMAGE_HEAD_BYTES && head[end] && head[end] != '\n')
		end++;
	*ret_cut = end == IMAGE_HEAD_BYTES;
	if (*ret_cut)
		end--;
	/* a NUL in the last byte is where the kernel ends the line by itself, and blanks before it are trimmed */
	nul = !head[end] && end < IMAGE_HEAD_BYTES - 1;
	while (!nul && end > 2 && blank(head[end - 1]))
		end--;
	while (at < end && blank(head[at]))
		at++;
	if (at == end)
		return 0;
	ret[0] = head + at;
	while (at < end && !blank(head[at]))
		at++;
	n[0] = (size_t)(head + at - ret[0]);
	if (at == end)
		return 1;
	while (at < end && blank(head[at]))
		at++;
	ret[1] = head + at;
	n[1] = end - at;
	return 2;
}

static void check_script(const char *head, int r, const struct image *im)
{
	const char *word[2];
	size_t n[2];
	bool cut;
	int count = words(head, word, n, &cut);

	if (r < 0) {
		/* no interpreter, or one whose end was not seen */
		CHECK(!count || cut);
		return;
	}
	CHECK(im->kind == IMAGE_SCRIPT);
	CHECK(count >= 1 && im->has_argument == (count == 2));
	CHECK(strlen(im->interp) == n[0] && !memcmp(im->interp, word[0], n[0]));
	if (count == 2)
		CHECK(strlen(im->argument) == n[1] && !memcmp(im->argument, word[1], n[1]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image_source s = image_source_memory(data, size);
	char head[IMAGE_HEAD_BYTES] = { 0 };
	struct image im;
	int r = image_read(&s, &im), loader = image_check_loader(&s);

	if (size)
		memcpy(head, data, size < sizeof(head) ? size : sizeof(head));
	CHECK(r == 0 || r == -ENOEXEC || r == -EACCES || r == -EIO);
	CHECK(loader == 0 || loader == -ELIBBAD || loader == -EIO);
	if (!memcmp(head, "#!", 2)) {
		check_script(head, r, &im);
	} else if (r == 0) {
		CHECK(im.kind == IMAGE_ELF && !im.has_argument);
		CHECK(size > sizeof(Elf64_Ehdr) && !memcmp(head, ELFMAG, SELFMAG));
		CHECK(strnlen(im.interp, PATH_MAX) < PATH_MAX);
		CHECK(loader == 0); /* a program's header does for a loader's */
	}
	return 0;
}
