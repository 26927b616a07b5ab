/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers that people write: counts, sizes, durations, pairs.
 *
 * The whole string must be the value: no sign, no blanks, nothing after it. All return 0 and *ret, or leave *ret alone and return -EINVAL (not
 * such a value) or -ERANGE (one, but it does not fit). Nothing wraps and nothing saturates. Pure; any thread.
 */
#ifndef SLUICE_UTIL_PARSE_H
#define SLUICE_UTIL_PARSE_H

#include <stdint.h>

/* Decimal digits. */
int parse_u64(const char *text, uint64_t *ret);
/* Decimal digits, at most @max. */
int parse_uint(const char *text, unsigned max, unsigned *ret);
/* Bytes: digits and at most one of K M G T P E (either case, powers of 1024), optionally "B" or "iB" after the letter. */
int parse_size(const char *text, uint64_t *ret);
/*
 * Milliseconds: digits with an optional fraction, and one of ms s m h d; seconds where there is no unit. A fraction of a millisecond is
 * rounded up, so that a positive duration never reads as 0.
 */
int parse_duration_ms(const char *text, uint64_t *ret);
/* "YYYY-MM-DDTHH:MM:SSZ", a time from 1970 to 9999 that there is: seconds since 1970. */
int parse_utc(const char *text, uint64_t *ret);
/* "A:B", both at most @max. */
int parse_pair(const char *text, unsigned max, unsigned *ret_a, unsigned *ret_b);

#endif
