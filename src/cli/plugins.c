/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/plugins.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/plugin.h>

#include "util/cleanup.h"
#include "util/fail.h"

typedef int (*init_fn)(const char *args, struct sluice_plugin *ret, struct sluice_error *err);

struct plugin {
	void *object;
	const char *args; /* borrowed */
	struct sluice_plugin given;
};

/* dlopen searches the system's directories for a name without '/', which nobody means here. */
static char *file_path(const char *spec, size_t len)
{
	char *path;

	if (asprintf(&path, "%s%.*s", memchr(spec, '/', len) ? "" : "./", (int)len, spec) < 0)
		return NULL;
	return path;
}

static int load_failed(const char *path, struct sluice_error *err)
{
	const char *why = dlerror();

	/* the loader's text begins with the path as well */
	if (why && !strncmp(why, path, strlen(path)) && !strncmp(why + strlen(path), ": ", 2))
		why += strlen(path) + 2;
	return fail(err, -ELIBACC, "%s: %s", path, why ? why : "can't be loaded");
}

static int find_init(void *object, const char *path, init_fn *ret, struct sluice_error *err)
{
	const uint32_t *abi = dlsym(object, "sluice_plugin_abi");

	*ret = (init_fn)dlsym(object, "sluice_plugin_init");
	if (!abi || !*ret) {
		fail(err, -ELIBBAD, "%s: no plugin: %s is not defined", path,
		     abi ? "sluice_plugin_init" : "sluice_plugin_abi");
		return fail_hint(err, -ELIBBAD,
				 "see <sluice/plugin.h>; is it built with "
				 "-shared, and the symbol visible?");
	}
	if (*abi != SLUICE_PLUGIN_ABI) {
		fail(err, -ELIBBAD, "%s: plugin ABI %u, this sluice has %u", path, *abi,
		     SLUICE_PLUGIN_ABI);
		return fail_hint(err, -ELIBBAD, "build it against this version's headers");
	}
	return 0;
}

static int call_init(init_fn init, const char *path, struct plugin *p, struct sluice_error *err)
{
	struct sluice_error inner = { 0 };
	int r = init(p->args, &p->given, &inner);

	if (r > 0)
		return fail(err, -ELIBBAD,
			    "%s: sluice_plugin_init returned %d, not 0 or a "
			    "negative errno",
			    path, r);
	if (r < 0) {
		if (!inner.text[0])
			return fail_errno(err, r, "%s: refused", path);
		/* it need not have come through our own fail() */
		inner.text[sizeof(inner.text) - 1] = inner.hint[sizeof(inner.hint) - 1] = '\0';
		fail(err, r, "%s: refused: %s", path, inner.text);
		return inner.hint[0] ? fail_hint(err, r, "%s", inner.hint) : r;
	}
	if (p->given.n_handlers && !p->given.handlers)
		return fail(err, -ELIBBAD, "%s: %zu handlers at NULL", path, p->given.n_handlers);
	return 0;
}

/* Room for one more plugin and @more handlers. */
static int reserve(struct plugins *p, size_t more)
{
	struct sluice_handler *handlers =
		reallocarray(p->handlers, p->n_handlers + more + 1, sizeof(*handlers));
	struct plugin *list;

	if (!handlers)
		return -ENOMEM;
	p->handlers = handlers;
	list = reallocarray(p->list, p->n + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	p->list = list;
	return 0;
}

static int load(struct plugins *p, struct plugin *new, const char *path, struct sluice_error *err)
{
	init_fn init;
	int r;

	new->object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!new->object)
		return load_failed(path, err);
	r = find_init(new->object, path, &init, err);
	if (r == 0)
		r = call_init(init, path, new, err);
	if (r < 0)
		return r;
	r = reserve(p, new->given.n_handlers);
	if (r < 0) {
		if (new->given.fini)
			new->given.fini(new->given.userdata);
		return fail_errno(err, r, "%s", path);
	}
	if (new->given.n_handlers)
		memcpy(p->handlers + p->n_handlers, new->given.handlers,
		       new->given.n_handlers * sizeof(*p->handlers));
	p->n_handlers += new->given.n_handlers;
	p->list[p->n++] = *new;
	return 0;
}

int plugins_load(struct plugins *p, const char *spec, struct sluice_error *err)
{
	size_t len = strcspn(spec, ":");
	_cleanup_free_ char *path = file_path(spec, len);
	struct plugin new = { .args = spec[len] ? spec + len + 1 : "" };
	int r = path ? load(p, &new, path, err) : fail_errno(err, -ENOMEM, "%s", spec);

	if (r < 0 && new.object)
		dlclose(new.object);
	return r;
}

void plugins_fini(struct plugins *p)
{
	while (p->n) {
		struct plugin *last = &p->list[--p->n];

		if (last->given.fini)
			last->given.fini(last->given.userdata);
		dlclose(last->object);
	}
	free(p->list);
	free(p->handlers);
	memset(p, 0, sizeof(*p));
}
