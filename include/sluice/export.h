/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Symbol visibility of the public interface.
 *
 * The library is compiled with hidden visibility; what carries SLUICE_API is exported, and the version
 * map (src/libsluice.map) names the same set (tests/abi compares the two).
 */
#ifndef SLUICE_EXPORT_H
#define SLUICE_EXPORT_H

#if defined(__GNUC__)
#define SLUICE_API __attribute__((visibility("default")))
#define SLUICE_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define SLUICE_API
#define SLUICE_PRINTF(fmt, first)
#endif

#ifdef __cplusplus
#define SLUICE_BEGIN_DECLS extern "C" {
#define SLUICE_END_DECLS }
#else
#define SLUICE_BEGIN_DECLS
#define SLUICE_END_DECLS
#endif

#endif
