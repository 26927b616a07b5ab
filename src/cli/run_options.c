/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flags of `sluice run`. Each setter looks at its value at once, so that nonsense is found before anything is opened.
 */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/run.h"
#include "util/fail.h"
#include "util/parse.h"

#define WORKERS_LIMIT 256
#define FD_LIMIT (1u << 30)
#define CPUS_LIMIT 1024u

static int number_failed(struct sluice_error *err, int r, const char *value, const char *what)
{
	if (r == -ERANGE)
		return fail(err, r, "%s: too large", value);
	fail(err, r, "%s: not %s", value, what);
	return r;
}

static int set_read(void *target, const char *value, struct sluice_error *err)
{
	struct run *r = target;

	r->grants = true;
	return sluice_policy_allow_read(r->policy, value, err);
}

static int set_write(void *target, const char *value, struct sluice_error *err)
{
	struct run *r = target;

	r->grants = true;
	return sluice_policy_allow_write(r->policy, value, err);
}

static int set_chroot(void *target, const char *value, struct sluice_error *err)
{
	return sluice_policy_set_chroot(((struct run *)target)->policy, value, err);
}

/* VIRTUAL:HOST, or with :ro or :rw behind it. A path may hold colons as long as it does not end like that. */
static int set_mount(void *target, const char *value, struct sluice_error *err)
{
	enum sluice_mount_mode mode = SLUICE_MOUNT_AS_GRANTED;
	const char *colon = strchr(value, ':');
	char at[PATH_MAX], host[PATH_MAX];
	size_t n = strlen(value);

	if (!colon || colon == value || !colon[1]) {
		fail(err, -EINVAL, "%s: not a mount", value);
		return fail_hint(err, -EINVAL, "VIRTUAL:HOST, VIRTUAL:HOST:ro or VIRTUAL:HOST:rw");
	}
	if (n >= PATH_MAX)
		return fail_errno(err, -ENAMETOOLONG, "%s", value);
	snprintf(at, sizeof(at), "%.*s", (int)(colon - value), value);
	snprintf(host, sizeof(host), "%s", colon + 1);
	n = strlen(host);
	if (n > 3 && !strcmp(host + n - 3, ":ro"))
		mode = SLUICE_MOUNT_READ_ONLY;
	else if (n > 3 && !strcmp(host + n - 3, ":rw"))
		mode = SLUICE_MOUNT_READ_WRITE;
	if (mode != SLUICE_MOUNT_AS_GRANTED)
		host[n - 3] = '\0';
	return sluice_policy_add_mount(((struct run *)target)->policy, at, host, mode, err);
}

static int set_deny(void *target, const char *value, struct sluice_error *err)
{
	return sluice_policy_deny_path(((struct run *)target)->policy, value, err);
}

static int set_workdir(void *target, const char *value, struct sluice_error *err)
{
	struct run *r = target;

	r->workdir = true;
	return sluice_policy_set_workdir(r->policy, value, err);
}

static int add_lower(void *target, const char *value, struct sluice_error *err)
{
	return sluice_policy_add_lower(((struct run *)target)->policy, value, err);
}

static int set_storage(void *target, const char *value, struct sluice_error *err)
{
	return sluice_policy_set_storage(((struct run *)target)->policy, value, err);
}

static int set_branch(void *target, const char *value, struct sluice_error *err)
{
	struct run *r = target;

	r->branch = true;
	return sluice_policy_set_branch(r->policy, value, err);
}

static int parse_action(const char *value, enum sluice_cow_action *ret, struct sluice_error *err)
{
	static const char *const names[] = {
		[SLUICE_COW_COMMIT] = "commit",
		[SLUICE_COW_ABORT] = "abort",
		[SLUICE_COW_KEEP] = "keep",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(value, names[i])) {
			*ret = (enum sluice_cow_action)i;
			return 0;
		}
	}
	return fail(err, -EINVAL, "%s: not commit, abort or keep", value);
}

static int set_on_exit(void *target, const char *value, struct sluice_error *err)
{
	enum sluice_cow_action a = SLUICE_COW_KEEP;
	int e = parse_action(value, &a, err);

	return e < 0 ? e : sluice_policy_set_on_exit(((struct run *)target)->policy, a);
}

static int set_on_error(void *target, const char *value, struct sluice_error *err)
{
	enum sluice_cow_action a = SLUICE_COW_KEEP;
	int e = parse_action(value, &a, err);

	return e < 0 ? e : sluice_policy_set_on_error(((struct run *)target)->policy, a);
}

int parse_durability(const char *value, enum sluice_durability *ret, struct sluice_error *err)
{
	if (!strcmp(value, "commit"))
		*ret = SLUICE_DURABILITY_COMMIT;
	else if (!strcmp(value, "none"))
		*ret = SLUICE_DURABILITY_NONE;
	else
		return fail(err, -EINVAL, "%s: not commit or none", value);
	return 0;
}

static int set_durability(void *target, const char *value, struct sluice_error *err)
{
	enum sluice_durability d = SLUICE_DURABILITY_COMMIT;
	int e = parse_durability(value, &d, err);

	return e < 0 ? e : sluice_policy_set_durability(((struct run *)target)->policy, d);
}

static int set_max_disk(void *target, const char *value, struct sluice_error *err)
{
	uint64_t bytes;
	int e = parse_size(value, &bytes);

	if (e < 0)
		return number_failed(err, e, value, "a size such as 512M or 1G");
	return sluice_policy_set_max_disk(((struct run *)target)->policy, bytes);
}

static int set_net_allow(void *target, const char *value, struct sluice_error *err)
{
	return sluice_policy_allow_net(((struct run *)target)->policy, value, err);
}

static int set_net_deny(void *target, const char *value, struct sluice_error *err)
{
	return sluice_policy_deny_net(((struct run *)target)->policy, value, err);
}

static int set_allow_bind(void *target, const char *value, struct sluice_error *err)
{
	return sluice_policy_allow_bind(((struct run *)target)->policy, value, err);
}

static int set_deny_bind(void *target, const char *value, struct sluice_error *err)
{
	return sluice_policy_deny_bind(((struct run *)target)->policy, value, err);
}

static int set_net_resolve(void *target, const char *value, struct sluice_error *err)
{
	struct sluice_policy *p = ((struct run *)target)->policy;

	if (!strcmp(value, "pinned"))
		return sluice_policy_set_net_resolve(p, SLUICE_NET_RESOLVE_PINNED);
	if (!strcmp(value, "live"))
		return sluice_policy_set_net_resolve(p, SLUICE_NET_RESOLVE_LIVE);
	return fail(err, -EINVAL, "%s: not pinned or live", value);
}

static int add_name_server(void *target, const char *value, struct sluice_error *err)
{
	return sluice_policy_add_name_server(((struct run *)target)->policy, value, err);
}

static int set_unix_datagrams(void *target, const char *value, struct sluice_error *err)
{
	(void)value;
	(void)err;
	return sluice_policy_set_unix_datagrams(((struct run *)target)->policy, true);
}

static int set_port_remap(void *target, const char *value, struct sluice_error *err)
{
	(void)value;
	(void)err;
	return sluice_policy_set_port_remap(((struct run *)target)->policy, true);
}

static int set_port_map(void *target, const char *value, struct sluice_error *err)
{
	return sluice_policy_set_port_map(((struct run *)target)->policy, value, err);
}

static int set_no_devices(void *target, const char *value, struct sluice_error *err)
{
	struct run *r = target;

	(void)value;
	(void)err;
	return sluice_policy_set_default_devices(r->policy, false);
}

static int set_cwd(void *target, const char *value, struct sluice_error *err)
{
	return sluice_policy_set_cwd(((struct run *)target)->policy, value, err);
}

static int set_clean_env(void *target, const char *value, struct sluice_error *err)
{
	(void)value;
	(void)err;
	return sluice_policy_set_clean_env(((struct run *)target)->policy, true);
}

static int set_env(void *target, const char *value, struct sluice_error *err)
{
	return sluice_policy_set_env(((struct run *)target)->policy, value, err);
}

static int set_name(void *target, const char *value, struct sluice_error *err)
{
	struct run *r = target;

	r->name = value;
	return sluice_policy_set_name(r->policy, value, err);
}

static int set_proc(void *target, const char *value, struct sluice_error *err)
{
	struct sluice_policy *p = ((struct run *)target)->policy;

	if (!strcmp(value, "own"))
		return sluice_policy_set_proc(p, SLUICE_PROC_OWN);
	if (!strcmp(value, "host"))
		return sluice_policy_set_proc(p, SLUICE_PROC_HOST);
	return fail(err, -EINVAL, "%s: not own or host", value);
}

static int set_num_cpus(void *target, const char *value, struct sluice_error *err)
{
	unsigned n;
	int e = parse_uint(value, CPUS_LIMIT, &n);

	if (e == 0 && !n)
		return fail(err, -EINVAL, "0: a command needs at least one");
	if (e < 0) {
		number_failed(err, e, value, "a number of CPUs");
		return fail_hint(err, e, "1 to %u", CPUS_LIMIT);
	}
	return sluice_policy_set_num_cpus(((struct run *)target)->policy, n);
}

static int set_timeout(void *target, const char *value, struct sluice_error *err)
{
	struct run *r = target;
	uint64_t ms;
	int e = parse_duration_ms(value, &ms);

	if (e == -EINVAL) {
		number_failed(err, e, value, "a duration");
		return fail_hint(err, e, "seconds, or a number with ms, s, m, h or d: 90, 1.5, 2m");
	}
	if (e < 0 || sluice_policy_set_timeout_ms(r->policy, ms) < 0)
		return number_failed(err, -ERANGE, value, "");
	r->timeout = value;
	return 0;
}

static int set_open_files(void *target, const char *value, struct sluice_error *err)
{
	uint64_t n;
	int e = parse_u64(value, &n);

	if (e == 0 && !n)
		return fail(err, -EINVAL, "0: a command needs at least one");
	if (e < 0)
		return number_failed(err, e, value, "a number");
	return sluice_policy_set_max_open_files(((struct run *)target)->policy, n, err);
}

static int set_memory(void *target, const char *value, struct sluice_error *err)
{
	uint64_t bytes;
	int e = parse_size(value, &bytes);

	if (e < 0)
		return number_failed(err, e, value, "a size such as 512M or 1G");
	return sluice_policy_set_max_memory(((struct run *)target)->policy, bytes, err);
}

static int set_processes(void *target, const char *value, struct sluice_error *err)
{
	uint64_t n;
	int e = parse_u64(value, &n);

	if (e < 0)
		return number_failed(err, e, value, "a number");
	return sluice_policy_set_max_processes(((struct run *)target)->policy, n, err);
}

/* With or without the sign. */
static int set_cpu(void *target, const char *value, struct sluice_error *err)
{
	size_t n = strcspn(value, "%");
	char digits[16];
	unsigned percent;
	int e = -EINVAL;

	if (n < sizeof(digits) && (!value[n] || !value[n + 1])) {
		snprintf(digits, sizeof(digits), "%.*s", (int)n, value);
		e = parse_uint(digits, UINT_MAX, &percent);
	}
	if (e < 0)
		return number_failed(err, e, value, "a percentage such as 50 or 250");
	return sluice_policy_set_cpu_percent(((struct run *)target)->policy, percent, err);
}

static int set_cores(void *target, const char *value, struct sluice_error *err)
{
	return sluice_policy_set_cpu_cores(((struct run *)target)->policy, value, err);
}

static int set_seed(void *target, const char *value, struct sluice_error *err)
{
	uint64_t seed;
	int e = parse_u64(value, &seed);

	if (e < 0)
		return number_failed(err, e, value, "a number");
	return sluice_policy_set_random_seed(((struct run *)target)->policy, &seed);
}

static int set_fixed_memory(void *target, const char *value, struct sluice_error *err)
{
	(void)value;
	(void)err;
	return sluice_policy_set_randomize_memory(((struct run *)target)->policy, false);
}

/* Seconds since 1970, or YYYY-MM-DDTHH:MM:SSZ; ",files" behind it. */
static int set_time(void *target, const char *value, struct sluice_error *err)
{
	struct sluice_policy *p = ((struct run *)target)->policy;
	const char *comma = strchrnul(value, ',');
	char time[64];
	uint64_t seconds;
	int64_t start;
	int e;

	if (*comma && strcmp(comma, ",files") != 0) {
		fail(err, -EINVAL, "%s: not a time", value);
		return fail_hint(err, -EINVAL, "TIME, or TIME,files");
	}
	e = snprintf(time, sizeof(time), "%.*s", (int)(comma - value), value) < (int)sizeof(time)
		    ? 0
		    : -EINVAL;
	if (e == 0)
		e = strchr(time, '-') ? parse_utc(time, &seconds) : parse_u64(time, &seconds);
	if (e < 0) {
		number_failed(err, e, value, "a time");
		return fail_hint(err, e, "seconds since 1970, or as in 2001-02-03T04:05:06Z");
	}
	start = seconds > INT64_MAX ? INT64_MAX : (int64_t)seconds;
	e = sluice_policy_set_time_start(p, &start, err);
	return e < 0 ? e : sluice_policy_set_time_start_files(p, *comma != '\0', err);
}

static int set_dirs(void *target, const char *value, struct sluice_error *err)
{
	(void)value;
	(void)err;
	return sluice_policy_set_deterministic_dirs(((struct run *)target)->policy, true);
}

static int set_exec_shell(void *target, const char *value, struct sluice_error *err)
{
	(void)err;
	((struct run *)target)->exec_shell = value;
	return 0;
}

static int set_deny_syscall(void *target, const char *value, struct sluice_error *err)
{
	return sluice_policy_deny_syscall(((struct run *)target)->policy, value, err);
}

static int set_allow_syscall(void *target, const char *value, struct sluice_error *err)
{
	return sluice_policy_allow_syscall(((struct run *)target)->policy, value, err);
}

static int set_degraded(void *target, const char *value, struct sluice_error *err)
{
	return sluice_policy_allow_degraded(((struct run *)target)->policy, value, err);
}

static int set_disable(void *target, const char *value, struct sluice_error *err)
{
	return sluice_policy_disable(((struct run *)target)->policy, value, err);
}

static int set_dispatch(void *target, const char *value, struct sluice_error *err)
{
	static const struct {
		const char *word;
		enum sluice_dispatch mode;
	} modes[] = {
		{ "adaptive", SLUICE_DISPATCH_ADAPTIVE },
		{ "pool", SLUICE_DISPATCH_POOL },
		{ "inline", SLUICE_DISPATCH_INLINE },
	};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (!strcmp(value, modes[i].word))
			return sluice_policy_set_dispatch(((struct run *)target)->policy,
							  modes[i].mode);
	}
	fail(err, -EINVAL, "%s: no such mode", value);
	return fail_hint(err, -EINVAL, "one of adaptive, pool, inline");
}

static int set_workers(void *target, const char *value, struct sluice_error *err)
{
	unsigned min, max;
	int e = parse_pair(value, WORKERS_LIMIT, &min, &max);

	if (e == 0)
		e = sluice_policy_set_workers(((struct run *)target)->policy, min, max);
	if (e < 0) {
		fail(err, e, "%s: not MIN:MAX", value);
		return fail_hint(err, e, "0 <= MIN <= MAX, 1 <= MAX <= %d, e.g. 0:4",
				 WORKERS_LIMIT);
	}
	return 0;
}

static int set_trace(void *target, const char *value, struct sluice_error *err)
{
	if (!*value)
		return fail(err, -EINVAL, "empty file name");
	((struct run *)target)->trace = value;
	return 0;
}

static int set_stats(void *target, const char *value, struct sluice_error *err)
{
	struct run *r = target;

	if (value && !*value)
		return fail(err, -EINVAL, "empty file name");
	r->stats = true;
	r->stats_file = value && strcmp(value, "-") != 0 ? value : NULL;
	return 0;
}

static int set_plugin(void *target, const char *value, struct sluice_error *err)
{
	struct run *r = target;
	const char **more;

	if (!*value || *value == ':') {
		fail(err, -EINVAL, "%s: no file name", value);
		return fail_hint(err, -EINVAL, "write FILE.so, or FILE.so:ARGS");
	}
	more = reallocarray(r->plugin_specs, r->n_plugin_specs + 1, sizeof(*more));
	if (!more)
		return fail_errno(err, -ENOMEM, "%s", value);
	r->plugin_specs = more;
	r->plugin_specs[r->n_plugin_specs++] = value;
	return 0;
}

static int set_status_fd(void *target, const char *value, struct sluice_error *err)
{
	unsigned fd;
	int e = parse_uint(value, FD_LIMIT, &fd);

	if (e < 0)
		return number_failed(err, e, value, "the number of a descriptor");
	((struct run *)target)->status_number = (int)fd;
	return 0;
}

#define FEATURES \
	"fs-refer, fs-truncate, net-tcp, fs-ioctl-dev, signal-scope or abstract-unix-socket-scope"

static const struct option_entry entries[] = {
	{ "fs-read", 'r', true, false, "PATH", "see above",
	  "grant reading, listing and executing of PATH and all below it", set_read },
	{ "fs-write", 'w', true, false, "PATH", "see above",
	  "grant reading and writing of PATH and all below it", set_write },
	{ "fs-deny", 0, true, false, "PATH", "none",
	  "deny PATH and all below it inside of what is granted: EACCES for every call", set_deny },
	{ "no-default-devices", 0, false, false, NULL, "granted",
	  "don't grant /dev/{null,zero,full,random,urandom,tty,ptmx,pts}", set_no_devices },
	{ "chroot", 0, false, false, "DIR", "the host's /",
	  "the tree that is / for CMD; paths of -r, -w and --cwd are then those that CMD sees",
	  set_chroot },
	{ "fs-mount", 0, true, false, "VIRTUAL:HOST[:ro|:rw]", "none",
	  "show HOST at the path VIRTUAL; written where :rw or a -w allows it", set_mount },
	{ "workdir", 0, false, false, "DIR", "none",
	  "copy-on-write: changes at or below DIR go to a branch, which is committed or dropped at the end; also CMD's directory unless --cwd is given",
	  set_workdir },
	{ "fs-lower", 0, true, false, "DIR", "none",
	  "show what DIR of the host has in the --workdir directory where that has nothing; the first one is the topmost, and none is written",
	  add_lower },
	{ "fs-storage", 0, false, false, "DIR", "~/.local/state/sluice/branches",
	  "where branches are kept", set_storage },
	{ "fs-branch", 0, false, false, "NAME", "a new one",
	  "go on in the branch NAME, and keep it at the end; it is made if there is none",
	  set_branch },
	{ "on-exit", 0, false, false, "ACTION", "commit; keep with --fs-branch",
	  "what becomes of the branch when CMD exits with 0: commit, abort or keep", set_on_exit },
	{ "on-error", 0, false, false, "ACTION", "abort; keep with --fs-branch",
	  "what becomes of it when CMD ends otherwise", set_on_error },
	{ "durability", 0, false, false, "commit|none", "commit",
	  "whether a commit is on disk before it is done with, or left to the kernel",
	  set_durability },
	{ "max-disk", 0, false, false, "SIZE", "0, none", "bytes that the branch may take",
	  set_max_disk },
	{ "dry-run", 0, false, false, NULL, "off",
	  "list on stdout what a commit would do (A, M or D and the path), and keep nothing", NULL,
	  offsetof(struct run, dry_run) },
	{ "json", 0, false, false, NULL, "off", "the list of --dry-run as JSON", NULL,
	  offsetof(struct run, json) },
	{ "null", 'z', false, false, NULL, "off",
	  "end each entry of --dry-run with a NUL, and quote nothing", NULL,
	  offsetof(struct run, nul) },
	{ "net-allow", 0, true, false, "TARGET", "no network",
	  "allow connecting and sending to [tcp://|udp://|icmp://]HOST[:PORTS]; HOST is a name, an address, a prefix or *",
	  set_net_allow },
	{ "net-deny", 0, true, false, "TARGET", "no network",
	  "allow all of the network but TARGET, an address or a prefix; not with --net-allow",
	  set_net_deny },
	{ "net-allow-bind", 0, true, false, "PORTS", "none",
	  "allow binding and listening on PORTS: *, or like 8080,9000-9005; 0 is a port of the kernel's choice",
	  set_allow_bind },
	{ "net-deny-bind", 0, true, false, "PORTS", "none",
	  "allow binding all ports but PORTS; not with --net-allow-bind", set_deny_bind },
	{ "net-resolve", 0, false, false, "HOW", "pinned",
	  "when names of --net-allow are resolved: pinned, once at the start, or live, and again when their time to live is over",
	  set_net_resolve },
	{ "net-name-server", 0, true, false, "ADDRESS[:PORT]", "the host's resolver",
	  "ask it for names of --net-allow", add_name_server },
	{ "port-remap", 0, false, false, NULL, "off",
	  "a port to bind that somebody outside has becomes a free one, and CMD goes on seeing the one that it asked for",
	  set_port_remap },
	{ "port-map", 0, false, false, "FILE", "none",
	  "with --port-remap: write to FILE which ports became others, a line \"tcp VIRTUAL REAL\" or \"udp VIRTUAL REAL\" for each; it is replaced when they change",
	  set_port_map },
	{ "unix-datagrams", 0, false, false, NULL, "with udp:// or icmp:// rules",
	  "allow datagram sockets of AF_UNIX, of which each message is judged",
	  set_unix_datagrams },
	{ "cwd", 0, false, false, "DIR", "the caller's",
	  "working directory of CMD; granting it is a matter of -r and -w", set_cwd },
	{ "clean-env", 0, false, false, NULL, "off",
	  "start CMD with no environment but PATH and what --env sets", set_clean_env },
	{ "env", 0, true, false, "KEY=VALUE", "the caller's environment",
	  "set a variable in CMD's environment", set_env },
	{ "name", 0, false, false, "NAME", "sandbox-PID-N",
	  "name of the sandbox, and what uname shows as host name", set_name },
	{ "proc", 0, false, false, "WHAT", "own with a tree or --num-cpus",
	  "what of /proc is visible: own (the sandbox's processes, and nothing secret of the host) or host",
	  set_proc },
	{ "num-cpus", 0, false, false, "N", "the machine's",
	  "CPUs that CMD counts, in /proc, /sys and sched_getaffinity", set_num_cpus },
	{ "timeout", 't', false, false, "TIME", "0, none",
	  "kill the whole tree after so many seconds (or 500ms, 2m, 1h); exit status 124",
	  set_timeout },
	{ "max-open-files", 0, false, false, "N", "the caller's",
	  "limit of open descriptors per process", set_open_files },
	{ "max-memory", 'm', false, false, "SIZE", "0, none",
	  "memory that all processes may have together; past it the largest is killed",
	  set_memory },
	{ "max-processes", 'P', false, false, "N", "0, none",
	  "processes that there may be at a time; a fork beyond gets EAGAIN", set_processes },
	{ "cpu", 'c', false, false, "PERCENT", "0, none",
	  "processor time of all processes together, in percent of one processor", set_cpu },
	{ "cpu-cores", 0, false, false, "LIST", "the caller's",
	  "processors that CMD may use, e.g. 0-3,6", set_cores },
	{ "random-seed", 0, false, false, "N", "none",
	  "random numbers follow from N: getrandom, /dev/urandom, AT_RANDOM", set_seed },
	{ "no-randomize-memory", 0, false, false, NULL, "randomized",
	  "addresses of programs are the same in every run", set_fixed_memory },
	{ "time-start", 0, false, false, "TIME[,files]", "the host's",
	  "time of day at the start: seconds since 1970, or 2001-02-03T04:05:06Z; ,files: times of files go with it",
	  set_time },
	{ "deterministic-dirs", 0, false, false, NULL, "off",
	  "list directories in an order that follows from their names", set_dirs },
	{ "exec-shell", 'e', false, false, "STRING", "none",
	  "run `/bin/sh -c STRING` instead of CMD", set_exec_shell },
	{ "extra-deny-syscall", 0, true, false, "CALL", "none",
	  "refuse a system call, or a group such as @keyring", set_deny_syscall },
	{ "extra-allow-syscall", 0, true, false, "CALL", "none",
	  "take a system call or a group off the list of those refused", set_allow_syscall },
	{ "allow-degraded", 0, true, false, "FEATURE", "none",
	  "run also where the kernel lacks FEATURE: " FEATURES, set_degraded },
	{ "disable", 0, true, false, "FEATURE", "none",
	  "don't use FEATURE even where the kernel has it", set_disable },
	{ "dispatch", 0, false, false, "MODE", "adaptive",
	  "where handlers run: adaptive (prompt ones at once, the others in a pool), pool, inline",
	  set_dispatch },
	{ "workers", 0, false, false, "MIN:MAX", "0:max(8, 4 x CPUs)", "threads of the pool",
	  set_workers },
	{ "trace", 0, false, false, "FILE", "none",
	  "write every trapped call and its verdict: a Chrome trace, or lines on stderr where FILE is -",
	  set_trace },
	{ "stats", 0, false, true, "FILE", "off",
	  "say what supervision cost, call by call, and what each process took: text on stderr or in FILE, JSON where its name ends in .json",
	  set_stats },
	{ "plugin", 0, true, false, "FILE.so[:ARGS]", "none",
	  "load system call handlers from a shared object; ARGS go to it as they are", set_plugin },
	{ "status-fd", 0, false, false, "FD", "none",
	  "write how it ended as one line of JSON to this descriptor, which CMD does not inherit",
	  set_status_fd },
	{ "quiet", 0, false, false, NULL, "off", "no hints and no notes, errors only", NULL,
	  offsetof(struct run, quiet) },
	{ "verbose", 0, false, false, NULL, "off", "say on stderr what is started and how it ended",
	  NULL, offsetof(struct run, verbose) },
};

const struct option_table run_options = { "run", entries, sizeof(entries) / sizeof(entries[0]) };

int run_init(struct run *r, struct sluice_error *err)
{
	*r = (struct run){
		.status_number = -1,
		.status_fd = -1,
		.trace_fd = -1,
		.stats_fd = -1,
	};
	r->policy = sluice_policy_new();
	return r->policy ? 0 : fail_errno(err, -ENOMEM, "policy");
}

void run_fini(struct run *r)
{
	plugins_fini(&r->plugins);
	sluice_policy_unref(r->policy);
	free(r->plugin_specs);
}
