/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-NAME CORPUS: run the target on each file of a directory, then on random mutations of them.
 *
 * SLUICE_FUZZ_RUNS (default 20000) and SLUICE_FUZZ_SEED; the seed is printed and replays the run. When the target ends the process, the
 * input is printed in hexadecimal first.
 */
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_MAX 4096u
#define ENTRIES_MAX 64u

struct entry {
	uint8_t data[INPUT_MAX];
	size_t size;
};

static struct entry corpus[ENTRIES_MAX];
static size_t n_corpus;
static struct entry current;

static uint64_t random_state;

static uint64_t next_random(void)
{
	/* xorshift64*, Vigna 2016 */
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * UINT64_C(2685821657736338717);
}

/* 0 to @n - 1. */
static size_t below(size_t n)
{
	return n ? (size_t)(next_random() >> 16) % n : 0;
}

/* ---- mutations ---- */

static void insert(const void *bytes, size_t n)
{
	size_t at = below(current.size + 1);

	if (current.size + n > INPUT_MAX)
		return;
	memmove(current.data + at + n, current.data + at, current.size - at);
	memcpy(current.data + at, bytes, n);
	current.size += n;
}

static void insert_token(void)
{
	static const char *const tokens[] = {
		"18446744073709551615",
		"18446744073709551616",
		"0",
		"-1",
		"999999999999999999999",
		"1.5",
		":",
		"=",
		"K",
		"EiB",
		"ms",
		"\\",
		"\"",
		"@",
		"/../",
		"\xff\xfe",
		"\x80",
		"\r\n",
		"\t",
		"PATH=",
	};
	const char *token = tokens[below(sizeof(tokens) / sizeof(tokens[0]))];

	insert(token, strlen(token));
}

static void erase(void)
{
	size_t at = below(current.size), n = 1 + below(8);

	if (!current.size)
		return;
	if (n > current.size - at)
		n = current.size - at;
	memmove(current.data + at, current.data + at + n, current.size - at - n);
	current.size -= n;
}

/* A piece of another entry, or of this one. */
static void splice(void)
{
	const struct entry *from = &corpus[below(n_corpus)];
	size_t at = below(from->size), n = below(from->size - at + 1);
	uint8_t copy[INPUT_MAX];

	memcpy(copy, from->data + at, n);
	insert(copy, n);
}

static void mutate_once(void)
{
	uint8_t byte = (uint8_t)next_random();

	switch (below(7)) {
	case 0:
		if (current.size)
			current.data[below(current.size)] ^= (uint8_t)(1u << below(8));
		break;
	case 1:
		if (current.size)
			current.data[below(current.size)] = byte;
		break;
	case 2:
		insert(&byte, 1);
		break;
	case 3:
		insert("", 1); /* NUL */
		break;
	case 4:
		erase();
		break;
	case 5:
		splice();
		break;
	default:
		insert_token();
	}
}

/* ---- running ---- */

static void say(const char *text)
{
	if (write(2, text, strlen(text)) < 0)
		return;
}

static void show_input(int sig)
{
	static const char digits[] = "0123456789abcdef";

	say("input: ");
	for (size_t i = 0; i < current.size; i++) {
		char hex[3] = { digits[current.data[i] >> 4], digits[current.data[i] & 15], 0 };

		say(hex);
	}
	say("\n");
	signal(sig, SIG_DFL);
	raise(sig);
}

static void run_current(void)
{
	/* a copy of just that size, so that an address sanitizer sees a read behind it */
	uint8_t *copy = malloc(current.size ? current.size : 1);

	if (!copy)
		abort();
	memcpy(copy, current.data, current.size);
	LLVMFuzzerTestOneInput(copy, current.size);
	free(copy);
}

static bool load(const char *dir, const char *name)
{
	struct entry *e = &corpus[n_corpus];
	char path[4096];
	FILE *f;

	if (name[0] == '.' || n_corpus == ENTRIES_MAX)
		return false;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rbe");
	if (!f)
		return false;
	e->size = fread(e->data, 1, INPUT_MAX, f);
	fclose(f);
	n_corpus++;
	return true;
}

static void load_all(const char *dir)
{
	struct dirent **names;
	int n = scandir(dir, &names, NULL,
			alphasort); /* in the same order everywhere: a seed replays */

	for (int i = 0; i < n; i++) {
		load(dir, names[i]->d_name);
		free(names[i]);
	}
	if (n > 0)
		free(names);
}

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

int main(int argc, char *argv[])
{
	uint64_t runs = number_from("SLUICE_FUZZ_RUNS", 20000);
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	random_state = number_from("SLUICE_FUZZ_SEED",
				   (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	if (argc != 2 || !random_state)
		return 2;
	load_all(argv[1]);
	if (!n_corpus) {
		fprintf(stderr, "%s: no corpus\n", argv[1]);
		return 2;
	}
	printf("%zu files, %llu runs, SLUICE_FUZZ_SEED=%llu\n", n_corpus, (unsigned long long)runs,
	       (unsigned long long)random_state);
	fflush(stdout);
	signal(SIGABRT, show_input);
	signal(SIGSEGV, show_input);
	for (size_t i = 0; i < n_corpus; i++) {
		current = corpus[i];
		run_current();
	}
	for (uint64_t i = 0; i < runs; i++) {
		current = corpus[below(n_corpus)];
		for (size_t n = 1 + below(8); n; n--)
			mutate_once();
		run_current();
	}
	return 0;
}
