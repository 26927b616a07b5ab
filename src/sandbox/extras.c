/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dispatch table of a sandbox: built-ins first, then the caller's extras, each checked before anything is forked.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "builtin/builtin.h"
#include "engine/dispatch.h"
#include "sandbox/sandbox.h"
#include "util/fail.h"

/* "handler 2 (audit)" for errors. */
static void extra_label(const struct sluice_handler *h, size_t index, char buf[128])
{
	snprintf(buf, 128, "handler %zu (%s)", index + 1, h->name ? h->name : "unnamed");
}

static int extra_check_call(const struct sluice_policy *p, const struct sluice_handler *h,
			    const char *label, struct sluice_error *err)
{
	enum call_treatment treatment;
	const char *call;
	int r;

	if (h->nr < 0)
		return fail(err, -EINVAL, "%s: system call number %d: negative", label, h->nr);
	r = confine_call_treatment(p, h->nr, &treatment, err);
	if (r < 0)
		return r;
	call = syscall_name(h->nr);
	if (treatment == CALL_UNKNOWN || !call)
		return fail(err, -EINVAL, "%s: system call number %d: no such call", label, h->nr);
	if (treatment == CALL_DENIED) {
		fail(err, -EPERM, "%s: %s: the policy denies this call, so no handler can be asked",
		     label, call);
		return fail_hint(err, -EPERM,
				 "allow it with sluice_policy_allow_syscall or "
				 "--extra-allow-syscall, or drop the handler");
	}
	if (confine_call_never_retried(h->nr) && !(h->flags & SLUICE_INSIST)) {
		fail(err, -ENOTSUP,
		     "%s: %s: programs never retry this call when a signal interrupts it, so trapping it breaks them",
		     label, call);
		return fail_hint(err, -ENOTSUP,
				 "set SLUICE_INSIST in its flags to trap it all the same");
	}
	return 0;
}

static int extra_add(struct dispatch *d, const struct sluice_policy *p,
		     const struct sluice_handler *h, size_t index, struct sluice_error *err)
{
	char label[128];
	int r;

	extra_label(h, index, label);
	if (!h->fn)
		return fail(err, -EINVAL, "%s: no function", label);
	r = extra_check_call(p, h, label, err);
	if (r < 0)
		return r;
	r = dispatch_add(d, h, false);
	if (r == -E2BIG)
		return fail(err, r, "%s: %s: more than %d handlers on one call", label,
			    syscall_name(h->nr), DISPATCH_MAX_CHAIN);
	if (r == -EINVAL)
		return fail(err, r, "%s: flags 0x%x, deadline %u ms, errno %d: out of range", label,
			    h->flags, h->deadline_ms, h->deadline_errno);
	return r < 0 ? fail_errno(err, r, "%s", label) : 0;
}

int dispatch_build(struct sluice_policy *p, const struct sandbox_tree *tree,
		   const struct builtin_sandbox *sandbox, const struct sluice_handler *extras,
		   size_t n_extras, struct dispatch **ret, struct sluice_error *err)
{
	const struct builtin_context context = {
		.tree = tree ? &tree->tree : NULL,
		.sandbox = sandbox,
		.extras = n_extras > 0,
	};
	struct dispatch *d;
	int r;

	if (n_extras && !extras)
		return fail(err, -EINVAL, "handlers: %zu of them at NULL", n_extras);
	d = dispatch_new();
	if (!d)
		return fail_errno(err, -ENOMEM, "dispatch table");
	r = builtin_register_all(d, p, &context, err);
	for (size_t i = 0; r == 0 && i < n_extras; i++)
		r = extra_add(d, p, &extras[i], i, err);
	if (r < 0) {
		dispatch_free(d);
		return r;
	}
	*ret = d;
	return 0;
}
