/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Domain B, for the command: the policy. Domain A, for the engine's threads: the same and /proc, so that what is done on behalf is
 * bounded as the command is. B is entered from within A, so the command has both, and A may look into its memory.
 */
#define _GNU_SOURCE
#include "confine/rules.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confine/holes.h"
#include "policy/policy.h"
#include "sys/fd.h"
#include "sys/landlock.h"
#include "sys/mqueue.h"
#include "tree/tree.h"
#include "util/cleanup.h"
#include "util/fail.h"
#include "util/path.h"

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- features ---- */

static const struct {
	enum policy_feature feature;
	int abi;
} feature_abi[] = {
	{ POLICY_FS_REFER, LL_ABI_REFER },     { POLICY_FS_TRUNCATE, LL_ABI_TRUNCATE },
	{ POLICY_NET_TCP, LL_ABI_NET },	       { POLICY_FS_IOCTL_DEV, LL_ABI_IOCTL_DEV },
	{ POLICY_SIGNAL_SCOPE, LL_ABI_SCOPE }, { POLICY_ABSTRACT_UNIX_SCOPE, LL_ABI_SCOPE },
};

/* Bits of enum policy_feature that are in force. */
static int features_in_force(const struct sluice_policy *p, int abi, uint32_t *ret,
			     struct sluice_error *err)
{
	*ret = 0;
	for (size_t i = 0; i < N_OF(feature_abi); i++) {
		enum policy_feature f = feature_abi[i].feature;

		if (p->disabled & 1u << f)
			continue;
		if (abi >= feature_abi[i].abi) {
			*ret |= 1u << f;
			continue;
		}
		if (p->degraded & 1u << f)
			continue;
		fail(err, -EOPNOTSUPP, "%s: Landlock ABI %d is needed, this kernel has %d",
		     policy_feature_name(f), feature_abi[i].abi, abi);
		return fail_hint(err, -EOPNOTSUPP,
				 "a newer kernel, or --allow-degraded %s to run without",
				 policy_feature_name(f));
	}
	return 0;
}

static struct landlock_ruleset handled(uint32_t features)
{
	struct landlock_ruleset r = { .fs = LL_FS_ALL_V1 };

	if (features & 1u << POLICY_FS_REFER)
		r.fs |= LL_FS_REFER;
	if (features & 1u << POLICY_FS_TRUNCATE)
		r.fs |= LL_FS_TRUNCATE;
	if (features & 1u << POLICY_FS_IOCTL_DEV)
		r.fs |= LL_FS_IOCTL_DEV;
	if (features & 1u << POLICY_NET_TCP)
		r.net = LL_NET_BIND_TCP | LL_NET_CONNECT_TCP;
	if (features & 1u << POLICY_SIGNAL_SCOPE)
		r.scoped |= LL_SCOPE_SIGNAL;
	if (features & 1u << POLICY_ABSTRACT_UNIX_SCOPE)
		r.scoped |= LL_SCOPE_ABSTRACT_UNIX;
	return r;
}

/* ---- ports ---- */

#define LANDLOCK_PORTS_MAX 256u

/*
 * TCP ports that the policy's rules name, one by one. false: more than LANDLOCK_PORTS_MAX, or all but some.
 */
struct port_set {
	uint16_t ports[LANDLOCK_PORTS_MAX];
	size_t n;
};

static bool add_ranges(struct port_set *s, const struct net_ports *p)
{
	for (size_t i = 0; i < p->n; i++) {
		for (unsigned port = p->ranges[i].first; port <= p->ranges[i].last; port++) {
			if (s->n == LANDLOCK_PORTS_MAX)
				return false;
			s->ports[s->n++] = (uint16_t)port;
		}
	}
	return p->n > 0;
}

static bool ports_to_connect(const struct policy_network *n, struct port_set *ret)
{
	ret->n = 0;
	if (n->deny)
		return false;
	for (size_t i = 0; i < n->n_targets; i++) {
		if (n->targets[i].protocols & NET_TCP && !add_ranges(ret, &n->targets[i].ports))
			return false;
	}
	return true;
}

static bool ports_to_bind(const struct policy_network *n, struct port_set *ret)
{
	ret->n = 0;
	if (n->deny_binds)
		return false;
	for (size_t i = 0; i < n->n_binds; i++) {
		if (!add_ranges(ret, &n->binds[i]))
			return false;
	}
	return true;
}

static int allow_ports(int ruleset, uint64_t right, const struct port_set *s)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->n; i++)
		r = landlock_allow_port(ruleset, right, s->ports[i]);
	return r;
}

/*
 * The engine carries out connect and bind, so it may what the rules of ports allow; the command itself may nothing. What the rules say beyond ports is
 * for the handlers alone, and so are ports where they are too many to be listed: @net loses that right.
 */
static void engine_net(const struct sluice_policy *p, uint64_t *net)
{
	struct port_set s;

	/* a port that is another one than the rules name */
	if (p->port_remap)
		*net = 0;
	if (!ports_to_connect(&p->network, &s))
		*net &= ~(uint64_t)LL_NET_CONNECT_TCP;
	if (!ports_to_bind(&p->network, &s))
		*net &= ~(uint64_t)LL_NET_BIND_TCP;
}

static int add_ports(const struct sluice_policy *p, uint64_t net, int ruleset)
{
	struct port_set s;
	int r = 0;

	if (net & LL_NET_CONNECT_TCP && ports_to_connect(&p->network, &s))
		r = allow_ports(ruleset, LL_NET_CONNECT_TCP, &s);
	if (r == 0 && net & LL_NET_BIND_TCP && ports_to_bind(&p->network, &s))
		r = allow_ports(ruleset, LL_NET_BIND_TCP, &s);
	return r;
}

/* ---- rules ---- */

static uint64_t rights_of(enum policy_access access)
{
	switch (access) {
	case POLICY_READ:
		return LL_FS_EXECUTE | LL_FS_READ_FILE | LL_FS_READ_DIR;
	case POLICY_WRITE:
		return LL_FS_ALL_V1 | LL_FS_REFER | LL_FS_TRUNCATE | LL_FS_IOCTL_DEV;
	case POLICY_LIST:
		return LL_FS_READ_DIR;
	case POLICY_DEVICE:
		return LL_FS_READ_FILE | LL_FS_WRITE_FILE | LL_FS_READ_DIR | LL_FS_TRUNCATE |
		       LL_FS_IOCTL_DEV;
	}
	return 0;
}

/* The rulesets while they are made. */
struct making {
	uint64_t fs; /* rights that are handled */
	int a, b;
	const struct rules_tree *tree; /* NULL: the host's */
	struct holes *holes;	       /* in what the command is granted; NULL: none */
};

static int allow(int ruleset, uint64_t rights, int fd)
{
	return rights ? landlock_allow(ruleset, rights, fd) : 0;
}

/* Open what @path names now: *ret_fd is an O_PATH descriptor. */
static int file_open(const char *path, struct rules_file *ret, int *ret_fd, struct stat *st)
{
	int fd = open(path, O_PATH | O_CLOEXEC);

	memset(ret, 0, sizeof(*ret));
	if (fd < 0)
		return -errno;
	if (fstat(fd, st) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	*ret = (struct rules_file){ true, st->st_dev, st->st_ino };
	*ret_fd = fd;
	return 0;
}

/* The same in the command's own tree. *ret_denied: what is denied there, with -EACCES. */
static int tree_open(const struct tree *t, const char *path, int *ret_fd, struct stat *st,
		     const char **ret_denied)
{
	struct walk_end end;
	int r = tree_walk_grant(t, path, &end);

	*ret_denied = end.denied;
	if (r < 0)
		return r;
	*ret_fd = end.fd;
	*st = end.st;
	return 0;
}

static int grant_open(const struct making *m, const char *path, struct rules_file *file,
		      int *ret_fd, struct stat *st, const char **ret_denied)
{
	*ret_denied = NULL;
	if (m->tree)
		return tree_open(m->tree->tree, path, ret_fd, st, ret_denied);
	return file_open(path, file, ret_fd, st);
}

static bool is_root(const struct making *m, const struct stat *st)
{
	struct stat root;
	int r = m->tree ? fstat(view_mount(m->tree->tree->view, 0)->fd, &root) : stat("/", &root);

	return r == 0 && root.st_dev == st->st_dev && root.st_ino == st->st_ino;
}

/* Rights below @fd for the command, but for what it is granted nothing of. */
static int allow_command(const struct making *m, uint64_t rights, int fd, const struct stat *st)
{
	rights &= S_ISDIR(st->st_mode) ? m->fs : m->fs & LL_FS_FILE_RIGHTS;
	return m->holes ? holes_allow(m->holes, m->b, rights, fd, st) : allow(m->b, rights, fd);
}

static int allow_engine(const struct making *m, uint64_t rights, int fd, const struct stat *st)
{
	rights &= S_ISDIR(st->st_mode) ? m->fs : m->fs & LL_FS_FILE_RIGHTS;
	return allow(m->a, rights, fd);
}

/*
 * Rights below @fd for the engine, and for the command where its root is the host's. With a tree of its own the command changes nothing by itself.
 */
static int allow_both(const struct making *m, uint64_t rights, int fd, const struct stat *st)
{
	int r = allow_engine(m, rights, fd, st);

	if (r < 0 || (m->tree && m->tree->tree->engine_only))
		return r;
	if (m->tree)
		rights &= rights_of(POLICY_READ);
	return allow_command(m, rights, fd, st);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/* Would a grant on it come to nothing? That of all of /proc does not: it says what is opened on behalf. */
static bool is_lost(const struct making *m, int fd, const struct stat *st)
{
	struct stat proc;

	if (!m->holes || m->tree || !holes_may_have(m->holes, st) || !holes_have(m->holes, fd, st))
		return false;
	return stat("/proc", &proc) < 0 || !same_file(&proc, st);
}

/*
 * mq_open has a mount of its own, from which no way leads up to what is granted: where message queues are mounted at or below @fd, they are granted by the root that both have.
 */
static int allow_queues(const struct making *m, int fd)
{
	char granted[PATH_MAX], queues[PATH_MAX];
	_cleanup_close_ int mount = mqueue_mount();
	struct stat st;

	if (m->tree || mount < 0)
		return 0;
	if (fstat(mount, &st) < 0 || fd_path(fd, granted, sizeof(granted)) < 0 ||
	    fd_path(mount, queues, sizeof(queues)) < 0 || !path_is_within(queues, granted))
		return 0;
	return allow_both(m, rights_of(POLICY_WRITE), mount, &st);
}

static int add_grant(const struct making *m, const struct policy_grant *g, struct rules_file *file,
		     struct sluice_error *err)
{
	const char *what = g->access == POLICY_WRITE ? "write grant" : "read grant", *denied;
	_cleanup_close_ int fd = -1;
	struct stat st = { 0 };
	int r = grant_open(m, g->path, file, &fd, &st, &denied);

	if (r < 0 && g->optional && (r == -ENOENT || r == -EACCES || r == -ENOTDIR))
		return 0;
	if (r < 0 && denied) {
		fail(err, -EINVAL, "%s: %s: %s is denied", what, g->path,
		     *denied ? denied : g->path);
		return fail_hint(err, -EINVAL, "drop one of the two: the denial would win");
	}
	if (r < 0) {
		fail_errno(err, r, "%s: %s", what, g->path);
		return r == -ENOENT ? fail_hint(err, r, "create it first, or drop the grant") : r;
	}
	if (g->not_root && is_root(m, &st))
		return 0;
	if (is_lost(m, fd, &st) && !g->optional) {
		fail(err, -EINVAL, "%s: %s: not part of what a /proc of the command's own shows",
		     what, g->path);
		return fail_hint(err, -EINVAL, "grant all of /proc, or --proc host");
	}
	r = allow_both(m, rights_of(g->access), fd, &st);
	if (r == 0 && g->access == POLICY_WRITE && S_ISDIR(st.st_mode))
		r = allow_queues(m, fd);
	return r < 0 ? fail_errno(err, r, "grant: %s: Landlock", g->path) : 0;
}

/* A root that is the host's own is granted for reading, as any root is. */
static bool reads_all(const struct sluice_policy *p)
{
	return p->root && !policy_has_root(p);
}

static bool all_writable(const struct sluice_policy *p, const struct rules *r)
{
	struct stat root;

	if (stat("/", &root) < 0)
		return false;
	for (size_t i = 0; i < p->n_grants; i++) {
		const struct policy_grant *g = &p->grants[i];
		const struct rules_file *f = &r->files[i];

		if (g->access == POLICY_WRITE && !g->not_root && f->exists &&
		    f->dev == root.st_dev && f->ino == root.st_ino)
			return true;
	}
	return false;
}

static int add_devices(const struct making *m, struct sluice_error *err)
{
	for (size_t i = 0; i < POLICY_DEVICES; i++) {
		struct policy_grant g = {
			.path = (char *)(uintptr_t)policy_devices[i],
			.access = POLICY_DEVICE,
			.optional = true,
		};
		struct rules_file file;
		int r = add_grant(m, &g, &file, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int add_proc(const struct making *m, enum rules_proc proc, struct sluice_error *err)
{
	_cleanup_close_ int fd = open("/proc", O_PATH | O_CLOEXEC);
	uint64_t rights = LL_FS_READ_FILE | LL_FS_READ_DIR;
	int r;

	if (proc == RULES_PROC_WRITE)
		rights |= LL_FS_WRITE_FILE;
	r = fd < 0 ? -errno : allow(m->a, rights, fd);
	if (r == 0)
		return 0;
	fail_errno(err, r, "/proc");
	return fail_hint(err, r, "the supervisor needs /proc to be mounted");
}

/* What a branch shows beside the directory that it covers, for the engine to read. */
static int add_lowers(const struct making *m, const struct branch *b)
{
	struct stat st;
	int fd, r = 0;

	for (size_t i = 1; b && r == 0 && (fd = branch_lower_fd(b, i)) >= 0; i++)
		r = fstat(fd, &st) < 0 ? -errno : allow_engine(m, rights_of(POLICY_READ), fd, &st);
	return r;
}

/* The root and the mounts for the engine, and for the command the directories of its execs. */
static int add_tree(const struct sluice_policy *p, const struct making *m, struct sluice_error *err)
{
	const struct view *v = m->tree->tree->view;
	int r = 0;

	for (size_t i = 0; r == 0 && i < view_count(v); i++) {
		const struct view_mount *mount = view_mount(v, (int)i);
		const bool writable = mount->writable && !mount->branch;
		struct stat st;

		r = add_lowers(m, mount->branch);
		if (r < 0)
			break;
		if (i == 0 &&
		    !policy_has_root(p)) /* the host's own root is granted piece by piece */
			continue;
		if (fstat(mount->fd, &st) < 0)
			r = -errno;
		else
			r = allow_engine(m, rights_of(writable ? POLICY_WRITE : POLICY_READ),
					 mount->fd, &st);
	}
	if (r == 0)
		r = allow(m->a, rights_of(POLICY_WRITE) & m->fs, m->tree->exec);
	if (r == 0 && m->tree->branch >= 0)
		r = allow(m->a, rights_of(POLICY_WRITE) & m->fs, m->tree->branch);
	if (r == 0)
		r = allow(m->b, (LL_FS_EXECUTE | LL_FS_READ_FILE) & m->fs, m->tree->exec);
	return r < 0 ? fail_errno(err, r, "the tree's rules: Landlock") : 0;
}

static int add_rules(const struct sluice_policy *p, const struct making *m, enum rules_proc proc,
		     struct rules *ret, struct sluice_error *err)
{
	for (size_t i = 0; i < p->n_grants; i++) {
		int r = add_grant(m, &p->grants[i], &ret->files[i], err);

		if (r < 0)
			return r;
	}
	if (reads_all(p)) {
		const struct policy_grant all = { .path = p->root, .access = POLICY_READ };
		struct rules_file root; /* no other file's name is or will be "/" */
		int r = add_grant(m, &all, &root, err);

		if (r < 0)
			return r;
	}
	if (p->default_devices) {
		int r = add_devices(m, err);

		if (r < 0)
			return r;
	}
	if (m->tree) {
		int r = add_tree(p, m, err);

		if (r < 0)
			return r;
	}
	return add_proc(m, proc, err);
}

static int rulesets_create(const struct sluice_policy *p, const struct landlock_ruleset *attr,
			   int abi, struct rules *ret, struct sluice_error *err)
{
	struct landlock_ruleset engine = *attr;
	int r;

	engine_net(p, &engine.net);
	ret->ruleset_a = fd_above_stdio(landlock_create(&engine, abi));
	if (ret->ruleset_a >= 0)
		ret->ruleset_b = fd_above_stdio(landlock_create(attr, abi));
	if (ret->ruleset_a < 0)
		return fail_errno(err, ret->ruleset_a, "Landlock ruleset");
	if (ret->ruleset_b < 0)
		return fail_errno(err, ret->ruleset_b, "Landlock ruleset");
	r = add_ports(p, engine.net, ret->ruleset_a);
	return r < 0 ? fail_errno(err, r, "network ports: Landlock") : 0;
}

int rules_make(const struct sluice_policy *p, enum rules_proc proc, const struct rules_tree *tree,
	       struct rules *ret, struct sluice_error *err)
{
	struct landlock_ruleset attr;
	struct making m;
	uint32_t features;
	int r;

	*ret = (struct rules){ .ruleset_a = -1, .ruleset_b = -1, .abi = landlock_abi() };
	if (!ret->abi) {
		fail(err, -EOPNOTSUPP, "Landlock: not there, and nothing else bounds the files");
		return fail_hint(err, -EOPNOTSUPP,
				 "a kernel with CONFIG_SECURITY_LANDLOCK and landlock in lsm=; "
				 "in a container, a profile that allows landlock_*");
	}
	r = features_in_force(p, ret->abi, &features, err);
	if (r < 0)
		return r;
	attr = handled(features);
	ret->signal_scope = attr.scoped & LL_SCOPE_SIGNAL;
	ret->n_files = p->n_grants;
	ret->files = calloc(p->n_grants + 1, sizeof(*ret->files));
	if (!ret->files)
		return fail_errno(err, -ENOMEM, "Landlock rules");
	r = rulesets_create(p, &attr, ret->abi, ret, err);
	if (r == 0 && policy_proc_is_own(p))
		r = holes_new(&ret->holes, err);
	m = (struct making){ attr.fs, ret->ruleset_a, ret->ruleset_b, tree, ret->holes };
	if (r == 0)
		r = add_rules(p, &m, proc, ret, err);
	ret->all_writable = r == 0 && all_writable(p, ret);
	if (r < 0)
		rules_free(ret);
	return r;
}

void rules_free(struct rules *r)
{
	if (r->ruleset_a >= 0)
		close(r->ruleset_a);
	if (r->ruleset_b >= 0)
		close(r->ruleset_b);
	free(r->files);
	holes_free(r->holes);
	*r = (struct rules){ .ruleset_a = -1, .ruleset_b = -1 };
}

bool rules_current(const struct rules *r, const struct sluice_policy *p)
{
	if (r->holes && !holes_current(r->holes))
		return false;
	for (size_t i = 0; i < r->n_files; i++) {
		struct stat st;
		bool exists = stat(p->grants[i].path, &st) == 0;

		if (exists != r->files[i].exists ||
		    (exists && (st.st_dev != r->files[i].dev || st.st_ino != r->files[i].ino)))
			return false;
	}
	return true;
}

bool rules_grant_proc(const struct sluice_policy *p, bool write)
{
	struct stat root, proc, st;

	if (reads_all(p) && !write)
		return true;
	if (stat("/", &root) < 0 || stat("/proc", &proc) < 0)
		return false;
	for (size_t i = 0; i < p->n_grants; i++) {
		const struct policy_grant *g = &p->grants[i];

		if ((g->access == POLICY_WRITE || (g->access == POLICY_READ && !write)) &&
		    stat(g->path, &st) == 0 && (same_file(&st, &proc) || same_file(&st, &root)))
			return true;
	}
	return false;
}

int rules_allow_listings(const struct rules *r, int dir)
{
	return landlock_allow(r->ruleset_a, LL_FS_ALL_V1 & ~LL_FS_EXECUTE, dir);
}
