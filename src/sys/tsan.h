/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the thread sanitizer must be told about Concurrency Kit: its fences are inline assembly, which the sanitizer does not see, so
 * a correct hand-off looks like a race. Around each ck call accesses are ignored, and the order that the call gives is
 * stated on the object that it hands over. Nothing without the sanitizer.
 */
#ifndef SLUICE_SYS_TSAN_H
#define SLUICE_SYS_TSAN_H

#if defined(__SANITIZE_THREAD__)
#define SLUICE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SLUICE_TSAN 1
#endif
#endif

#ifdef SLUICE_TSAN
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);

static inline void tsan_ignore_begin(void)
{
	AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
	AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}

static inline void tsan_ignore_end(void)
{
	AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
	AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}

#define tsan_acquire(addr) __tsan_acquire(addr)
#define tsan_release(addr) __tsan_release(addr)
#else
static inline void tsan_ignore_begin(void)
{
}

static inline void tsan_ignore_end(void)
{
}

#define tsan_acquire(addr) ((void)(addr))
#define tsan_release(addr) ((void)(addr))
#endif

#endif
