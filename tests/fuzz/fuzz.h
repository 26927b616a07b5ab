/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzz target is one function that takes any bytes; it ends the process when something about them is wrong.
 *
 * As a test each is linked with driver.c, which replays the corpus and then random mutations of it. Without driver.c the same file is a libFuzzer
 * target, linked with the internal library of a build that clang configured with -Db_sanitize=address,undefined -Db_lundef=false:
 *   clang -g -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Iinclude -Isrc tests/fuzz/fuzz-NAME.c \
 *       BUILD/src/libsluice-internal.a -lseccomp -luring -ljansson -o fuzz-NAME
 *   ./fuzz-NAME tests/fuzz/corpus/NAME
 */
#ifndef SLUICE_TESTS_FUZZ_H
#define SLUICE_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Holds for every input. */
#define CHECK(condition)                                                                \
	do {                                                                            \
		if (!(condition)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                        \
		}                                                                       \
	} while (0)

#endif
