/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers that follow from a key: the same key gives the same bytes. Not for secrets. Pure; a stream belongs to one thread at a time.
 */
#ifndef SLUICE_UTIL_STREAM_H
#define SLUICE_UTIL_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct stream {
	uint64_t state;
};

/* SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, figure 17. */
static inline uint64_t stream_next(struct stream *s)
{
	uint64_t z = (s->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* The next @n bytes; each call begins with a new number. */
static inline void stream_bytes(struct stream *s, void *to, size_t n)
{
	unsigned char *at = to;

	while (n) {
		uint64_t word = stream_next(s);
		size_t part = n < sizeof(word) ? n : sizeof(word);

		memcpy(at, &word, part);
		at += part;
		n -= part;
	}
}

/* A key that follows from @key and @bytes. */
static inline uint64_t stream_key(uint64_t key, const void *bytes, size_t n)
{
	const unsigned char *at = bytes;
	struct stream s = { key };

	for (size_t i = 0; i < n; i++) {
		s.state ^= at[i];
		s.state = stream_next(&s);
	}
	return stream_next(&s);
}

#endif
