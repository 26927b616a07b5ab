/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmocka with what it wants included before it, and what our tests add: a skip that says why.
 *
 * Assertions belong on the main thread: one that fails elsewhere kills the runner.
 */
#ifndef SLUICE_TESTS_SUPPORT_CMOCKA_H
#define SLUICE_TESTS_SUPPORT_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* fail() is util/fail.h's here; a test says why it fails. */
#undef fail
#undef fail_msg
#define fail_msg(...)                      \
	do {                               \
		print_error("ERROR: ");    \
		print_error(__VA_ARGS__);  \
		print_error("\n");         \
		_fail(__FILE__, __LINE__); \
	} while (0)

/* The reason goes before cmocka's own line; ./dev test lists it. */
#define skip_because(...)                   \
	do {                                \
		print_message("skipped: "); \
		print_message(__VA_ARGS__); \
		print_message("\n");        \
		skip();                     \
	} while (0)

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
