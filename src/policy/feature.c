/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel features that a policy may do without.
 */
#include <errno.h>
#include <string.h>

#include "policy/policy.h"
#include "util/fail.h"

static const char *const feature_names[POLICY_N_FEATURES] = {
	[POLICY_FS_REFER] = "fs-refer",
	[POLICY_FS_TRUNCATE] = "fs-truncate",
	[POLICY_NET_TCP] = "net-tcp",
	[POLICY_FS_IOCTL_DEV] = "fs-ioctl-dev",
	[POLICY_SIGNAL_SCOPE] = "signal-scope",
	[POLICY_ABSTRACT_UNIX_SCOPE] = "abstract-unix-socket-scope",
};

const char *policy_feature_name(enum policy_feature f)
{
	return (unsigned)f < POLICY_N_FEATURES ? feature_names[f] : NULL;
}

static int set_bit(struct sluice_policy *p, uint32_t *bits, const char *feature,
		   struct sluice_error *err)
{
	for (unsigned f = 0; feature && f < POLICY_N_FEATURES; f++) {
		if (!strcmp(feature, feature_names[f])) {
			*bits |= 1u << f;
			p->generation++;
			return 0;
		}
	}
	fail(err, -EINVAL, "feature: %s: not known", feature ? feature : "(none)");
	return fail_hint(err, -EINVAL,
			 "one of fs-refer, fs-truncate, net-tcp, fs-ioctl-dev, signal-scope, "
			 "abstract-unix-socket-scope");
}

int sluice_policy_allow_degraded(struct sluice_policy *p, const char *feature,
				 struct sluice_error *err)
{
	return set_bit(p, &p->degraded, feature, err);
}

int sluice_policy_disable(struct sluice_policy *p, const char *feature, struct sluice_error *err)
{
	return set_bit(p, &p->disabled, feature, err);
}
