/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owners that a copy could not be given.
 *
 * Who is not root makes copies of other users' files that are its own. They show the owner that they should have, and rights on them are those of that owner's file: else a
 * directory of root's could be written in as soon as something below it has changed. Kept for such copies only, and carried over a restart by covered.log. The modes are the
 * lower file's own, since nobody but the owner that is shown may change them.
 */
#define _GNU_SOURCE
#include "tree/branch_internal.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys/fd.h"
#include "tree/change.h"

#define ACL_BYTES 4096
#define GROUPS_MAX 1024

int may_access(int fd, int mode)
{
	/* by the numbers: glibc's own faccessat emulates flags */
	if (syscall(SYS_faccessat2, fd, "", mode, AT_EMPTY_PATH | AT_EACCESS) == 0)
		return 0;
	/* a lower tree that is mounted read-only is only read */
	return errno == EROFS ? 0 : -errno;
}

bool owner_differs(const struct stat *a, const struct stat *b)
{
	return a->st_uid != b->st_uid || a->st_gid != b->st_gid;
}

/* The table holds pairs of numbers by the inode in the upper directory: here the owner and the group. */
int owner_reserve(struct branch *b)
{
	return identities_reserve(&b->owners, 1);
}

void owner_set(struct branch *b, ino_t upper_ino, uid_t uid, gid_t gid)
{
	identities_set(&b->owners, upper_ino, uid, gid);
}

void owner_drop(struct branch *b, ino_t upper_ino)
{
	identities_drop(&b->owners, upper_ino);
}

/* @st is the upper directory's own. */
bool owner_show(const struct branch *b, struct stat *st)
{
	uint64_t gid;
	dev_t uid;

	if (!identities_get(&b->owners, st->st_ino, &uid, &gid))
		return false;
	st->st_uid = (uid_t)uid;
	st->st_gid = (gid_t)gid;
	return true;
}

/* ---- rights, as fs/namei.c and fs/posix_acl.c have them ---- */

static bool is_member(gid_t gid)
{
	gid_t all[GROUPS_MAX];
	int n = getgroups(GROUPS_MAX, all);

	for (int i = 0; i < n; i++) {
		if (all[i] == gid)
			return true;
	}
	return getegid() == gid;
}

static unsigned perm_of(const struct posix_acl_xattr_entry *e)
{
	return le16toh(e->e_perm);
}

/* ACL_MASK of the entries after a matching one; all where there is none. */
static unsigned mask_of(const struct posix_acl_xattr_entry *e, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (le16toh(e[i].e_tag) == ACL_MASK)
			return perm_of(&e[i]);
	}
	return 07;
}

/* Whoever is not the owner and has an entry of the kind that @e is. */
static bool entry_is_ours(const struct posix_acl_xattr_entry *e, const struct stat *st)
{
	switch (le16toh(e->e_tag)) {
	case ACL_USER:
		return le32toh(e->e_id) == geteuid();
	case ACL_GROUP_OBJ:
		return is_member(st->st_gid);
	case ACL_GROUP:
		return is_member(le32toh(e->e_id));
	default:
		return false;
	}
}

static unsigned rights_by_acl(const struct posix_acl_xattr_entry *e, size_t n,
			      const struct stat *st, unsigned want)
{
	unsigned mask = mask_of(e, n);
	bool found = false;

	for (size_t i = 0; i < n; i++) {
		unsigned tag = le16toh(e[i].e_tag);

		if (tag == ACL_OTHER && !found)
			return perm_of(&e[i]);
		if (!entry_is_ours(&e[i], st))
			continue;
		found = true;
		/* of several groups any will do, of a user there is one entry */
		if (tag == ACL_USER || (perm_of(&e[i]) & want) == want)
			return perm_of(&e[i]) & mask;
	}
	return 0;
}

/* What the calling thread may do to a file of mode @st that is not its own. */
static unsigned rights_of_others(int fd, const struct stat *st, unsigned want)
{
	struct {
		struct posix_acl_xattr_header head;
		struct posix_acl_xattr_entry
			entries[ACL_BYTES / sizeof(struct posix_acl_xattr_entry)];
	} acl;
	char link[FD_LINK_BYTES];
	ssize_t n = getxattr(fd_link(fd, link), XATTR_ACL "access", &acl, sizeof(acl));

	if (n < 0 && errno == ERANGE) /* too many entries to be read here: nothing is granted */
		return 0;
	if (n > (ssize_t)sizeof(acl.head))
		return rights_by_acl(acl.entries,
				     ((size_t)n - sizeof(acl.head)) / sizeof(acl.entries[0]), st,
				     want);
	return is_member(st->st_gid) ? st->st_mode >> 3 & 07 : st->st_mode & 07;
}

static bool overrides(const struct stat *st, int mode)
{
	return has_capability(CAP_DAC_OVERRIDE) &&
	       (!(mode & X_OK) || S_ISDIR(st->st_mode) || st->st_mode & 0111);
}

int may_access_as(int fd, const struct stat *st, int mode)
{
	unsigned want = (unsigned)mode & 07, have;

	if (st->st_uid == geteuid())
		have = st->st_mode >> 6 & 07;
	else
		have = rights_of_others(fd, st, want);
	return (have & want) == want || overrides(st, mode) ? 0 : -EACCES;
}

int branch_access(struct branch *b, int fd, int mode, int flags)
{
	struct stat st;
	bool other = false;

	branch_rdlock(b);
	if (b->owners.n > 0 && fstat(fd, &st) == 0 && st.st_dev == b->upper_dev)
		other = owner_show(b, &st);
	branch_unlock(b);
	if (other)
		return may_access_as(fd, &st, mode);
	return syscall(SYS_faccessat2, fd, "", mode, flags | AT_EMPTY_PATH) < 0 ? -errno : 0;
}

int may_access_shown(const struct branch *b, int fd, const struct stat *shown, int mode)
{
	struct stat own;

	if (b->owners.n == 0)
		return may_access(fd, mode);
	if (fstat(fd, &own) < 0)
		return -errno;
	return owner_differs(&own, shown) ? may_access_as(fd, shown, mode) : may_access(fd, mode);
}
