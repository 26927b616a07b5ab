/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handlers in a shared object, for `sluice run --plugin FILE.so[:ARGS]` and any other program that loads them so.
 *
 * A plugin defines two symbols, in C or C++, and includes this header for their linkage and visibility:
 *
 *	const uint32_t sluice_plugin_abi = SLUICE_PLUGIN_ABI;
 *	int sluice_plugin_init(const char *args, struct sluice_plugin *ret, struct sluice_error *err) { ... }
 *
 * It uses the library of the program that loads it. It is loaded before anything is forked, with the rights of the caller and outside of any
 * sandbox: a plugin is trusted as much as the program. Its handlers are then bound as handler.h says.
 */
#ifndef SLUICE_PLUGIN_H
#define SLUICE_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#include <sluice/error.h>
#include <sluice/handler.h>

#if defined(__GNUC__)
#define SLUICE_PLUGIN_EXPORT __attribute__((visibility("default")))
#else
#define SLUICE_PLUGIN_EXPORT
#endif

SLUICE_BEGIN_DECLS

/* Raised when struct sluice_plugin, struct sluice_handler or the meaning of a member changes. */
#define SLUICE_PLUGIN_ABI 1u

/*
 * What a plugin gives; zeroed before init is called.
 * handlers, n_handlers: appended to those of the plugins before it, in this order; they stay the plugin's and must live until fini.
 * fini:     called once with userdata when the sandbox is gone and no handler runs any more; NULL: nothing to do.
 */
struct sluice_plugin {
	const struct sluice_handler *handlers;
	size_t n_handlers;
	void (*fini)(void *userdata);
	void *userdata;
	uint64_t reserved[8];
};

/* The ABI it was compiled for. Looked at before anything of the plugin is called. */
SLUICE_PLUGIN_EXPORT extern const uint32_t sluice_plugin_abi;

/*
 * @args: what follows the colon, "" without one; valid until fini. Returns 0, or a negative errno to refuse: then nothing runs, *ret is not looked
 * at, fini is not called, and err->text (err->hint) says why.
 */
SLUICE_PLUGIN_EXPORT int sluice_plugin_init(const char *args, struct sluice_plugin *ret,
					    struct sluice_error *err);

SLUICE_END_DECLS

#endif
