/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "builtin/procfs/render.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Characters of the line at @at, its newline included. */
static size_t line_bytes(const char *at)
{
	const char *end = strchr(at, '\n');

	return end ? (size_t)(end - at) + 1 : strlen(at);
}

static void put(FILE *out, const char *at, size_t n)
{
	fwrite(at, 1, n, out);
}

static bool begins(const char *at, const char *key)
{
	return !strncmp(at, key, strlen(key));
}

/* ---- CPUs ---- */

/* The paragraphs of @native that begin with "processor": how many, and number @wanted of them. */
static unsigned paragraphs(const char *native, unsigned wanted, const char **ret, size_t *ret_n)
{
	unsigned count = 0;

	for (const char *at = native; *at;) {
		const char *end = strstr(at, "\n\n");
		size_t n = end ? (size_t)(end - at) + 1 : strlen(at);

		if (begins(at, "processor")) {
			if (count == wanted) {
				*ret = at;
				*ret_n = n;
			}
			count++;
		}
		at += n;
		at += *at == '\n';
	}
	return count;
}

/* Lines that say which of the CPUs it is, and how many there are. */
static void cpu_line(FILE *out, const char *at, size_t n, unsigned index, unsigned cpus)
{
	static const struct {
		const char *key;
		bool counts;
	} keys[] = {
		{ "processor", false },	     { "core id", false }, { "apicid", false },
		{ "initial apicid", false }, { "siblings", true }, { "cpu cores", true },
	};
	const char *colon = memchr(at, ':', n);

	for (size_t i = 0; colon && i < sizeof(keys) / sizeof(keys[0]); i++) {
		const size_t key = strlen(keys[i].key);

		if (begins(at, keys[i].key) &&
		    (at[key] == '\t' || at[key] == ' ' || at[key] == ':')) {
			put(out, at, (size_t)(colon - at));
			fprintf(out, ": %u\n", keys[i].counts ? cpus : index);
			return;
		}
	}
	if (begins(at, "physical id") && colon) {
		put(out, at, (size_t)(colon - at));
		fputs(": 0\n", out);
		return;
	}
	put(out, at, n);
}

void render_cpuinfo(FILE *out, const char *native, unsigned n)
{
	const char *at = NULL;
	size_t size = 0, line;
	unsigned count = paragraphs(native, 0, &at, &size);

	for (unsigned i = 0; count && i < n; i++) {
		paragraphs(native, i % count, &at, &size);
		for (const char *c = at; c < at + size; c += line) {
			line = line_bytes(c);
			cpu_line(out, c, line, i, n);
		}
		fputc('\n', out);
	}
}

/* The line "cpuN ..." of /proc/stat after its name, or NULL. */
static const char *cpu_times(const char *native, unsigned index)
{
	char key[24];
	const char *at;

	snprintf(key, sizeof(key), "\ncpu%u ", index);
	at = strstr(native, key);
	return at ? at + strlen(key) : NULL;
}

static void put_cpu_times(FILE *out, const char *native, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const char *times = cpu_times(native, i);

		fprintf(out, "cpu%u ", i);
		if (times)
			put(out, times, line_bytes(times));
		else /* one that the machine has not, and that never did anything */
			fputs("0 0 0 0 0 0 0 0 0 0\n", out);
	}
}

void render_stat(FILE *out, const char *native, unsigned n, const int64_t *boot_s)
{
	size_t line;

	for (const char *at = native; *at; at += line) {
		line = line_bytes(at);
		if (boot_s && begins(at, "btime ")) {
			fprintf(out, "btime %" PRId64 "\n", *boot_s);
		} else if (n && (begins(at, "intr ") || begins(at, "softirq "))) {
			const char *total = strchr(at, ' ') + 1;

			put(out, at, (size_t)(total - at) + strcspn(total, " \n"));
			fputc('\n', out);
		} else if (!n || begins(at, "cpu ") || !begins(at, "cpu")) {
			put(out, at, line);
		}
		if (n && begins(at, "cpu "))
			put_cpu_times(out, native, n);
	}
}

static void put_list_range(FILE *out, bool *any, unsigned from, unsigned to)
{
	fprintf(out, from == to ? "%s%u" : "%s%u-%u", *any ? "," : "", from, to);
	*any = true;
}

static bool bit(const uint32_t *mask, unsigned i)
{
	return mask[i / 32] >> i % 32 & 1;
}

void render_bits(FILE *out, const uint32_t *mask, unsigned n)
{
	bool any = false;

	for (unsigned i = 0; i < n; i++) {
		unsigned to = i;

		if (!bit(mask, i))
			continue;
		while (to + 1 < n && bit(mask, to + 1))
			to++;
		put_list_range(out, &any, i, to);
		i = to;
	}
}

/* Words, the highest first, of as many bits as there are CPUs. */
static void put_mask(FILE *out, const uint32_t *mask, unsigned n)
{
	unsigned words = (n + 31) / 32;
	unsigned top = n - (words - 1) * 32;

	fprintf(out, "%0*x", (int)((top + 3) / 4), mask[words - 1]);
	for (unsigned w = words - 1; w > 0; w--)
		fprintf(out, ",%08x", mask[w - 1]);
}

void render_status(FILE *out, const char *native, const uint32_t *mask, unsigned n)
{
	size_t line;

	for (const char *at = native; *at; at += line) {
		line = line_bytes(at);
		if (begins(at, "Cpus_allowed:")) {
			fputs("Cpus_allowed:\t", out);
			put_mask(out, mask, n);
			fputc('\n', out);
		} else if (begins(at, "Cpus_allowed_list:")) {
			fputs("Cpus_allowed_list:\t", out);
			render_bits(out, mask, n);
			fputc('\n', out);
		} else {
			put(out, at, line);
		}
	}
}

void render_list(FILE *out, const char *native, unsigned n)
{
	bool any = false;

	for (const char *at = native; *at >= '0' && *at <= '9';) {
		char *end;
		unsigned long from = strtoul(at, &end, 10), to = from;

		if (*end == '-')
			to = strtoul(end + 1, &end, 10);
		if (from < n)
			put_list_range(out, &any, (unsigned)from, (unsigned)(to < n ? to : n - 1));
		at = end + (*end == ',');
	}
	fputc('\n', out);
}

void render_mask(FILE *out, const char *native, unsigned n)
{
	size_t length = strcspn(native, "\n"), digits = 0;

	for (size_t i = 0; i < length; i++)
		digits += native[i] != ',';
	for (size_t i = 0; i < length; i++) {
		unsigned first, value = 0;

		if (native[i] == ',') {
			fputc(',', out);
			continue;
		}
		first = (unsigned)--digits *
			4; /* the lowest of the four CPUs that this digit is of */
		if (strchr("0123456789abcdef", native[i]))
			value = native[i] <= '9' ? (unsigned)(native[i] - '0')
						 : (unsigned)(native[i] - 'a' + 10);
		if (first >= n)
			value = 0;
		else if (n - first < 4)
			value &= (1u << (n - first)) - 1;
		fprintf(out, "%x", value);
	}
	fputc('\n', out);
}

/* ---- mapped files ---- */

/* Where the path is in the line of @line bytes of maps, of numa_maps, or in the first one of a mapping in smaps; NULL: it has none. */
static const char *mapped_path(const char *at, size_t line)
{
	const char *slash = memchr(at, '/', line), *end = at + line, *file;

	/* lines of smaps that follow begin with capital letters */
	if (!slash || !((*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'f')))
		return NULL;
	/* numa_maps: ADDRESS POLICY [file=PATH] ... */
	if (!memchr(at, '-', strcspn(at, " ")))
		return slash > at && slash[-1] == '=' ? slash : NULL;
	/* RANGE RIGHTS OFFSET DEVICE INODE [PATH] */
	file = at;
	for (int field = 0; field < 5; field++) {
		file = memchr(file, ' ', (size_t)(end - file));
		if (!file)
			return NULL;
		file += strspn(file, " ");
	}
	return file == slash ? file : NULL;
}

/* The character among @special that the kernel wrote as three octal digits behind the backslash at @at; 0: it did not. */
static char escaped(const char *at, size_t n, const char *special)
{
	unsigned value = 0;

	if (at[0] != '\\' || n < 4)
		return 0;
	for (int i = 1; i < 4; i++) {
		if (at[i] < '0' || at[i] > '7')
			return 0;
		value = value << 3 | (unsigned)(at[i] - '0');
	}
	return value && value < 128 && strchr(special, (int)value) ? (char)value : 0;
}

/* The path that is written as the @n bytes at @at. False: it is too long. */
static bool unescape(const char *at, size_t n, const char *special, char path[PATH_MAX])
{
	size_t to = 0;

	for (size_t i = 0; i < n; i++) {
		char c = escaped(at + i, n - i, special);

		if (to + 1 == PATH_MAX)
			return false;
		path[to++] = c ? c : at[i];
		i += c ? 3 : 0;
	}
	path[to] = '\0';
	return true;
}

void render_escaped(FILE *out, const char *path, const char *special)
{
	for (;;) {
		size_t n = strcspn(path, special);

		put(out, path, n);
		if (!path[n])
			return;
		fprintf(out, "\\%03o", (unsigned char)path[n]);
		path += n + 1;
	}
}

/* The path of the line before, and what became of it: a file is mapped in several pieces, one after the other. */
struct last_path {
	const char *at;
	size_t n;
	bool changed;
	char shown[PATH_MAX];
};

void render_maps(FILE *out, const char *native, render_path_fn fn, void *arg)
{
	struct last_path last = { .at = "" };
	const char *done = native; /* what is before it is written */
	size_t line;

	for (const char *at = native; *at; at += line) {
		const char *path, *special;
		char host[PATH_MAX];
		size_t n;

		line = line_bytes(at);
		path = mapped_path(at, line);
		if (!path)
			continue;
		special = path[-1] == '=' ? "\n\t= " : "\n"; /* in numa_maps */
		n = strcspn(path, special);
		if (n != last.n || memcmp(path, last.at, n) != 0) {
			last.at = path;
			last.n = n;
			last.changed =
				unescape(path, n, special, host) && fn(arg, host, last.shown);
		}
		if (!last.changed)
			continue;
		put(out, done, (size_t)(path - done));
		render_escaped(out, last.shown, special);
		done = path + n;
	}
	fputs(done, out);
}

/* ---- memory and load ---- */

void render_meminfo(FILE *out, const char *native, uint64_t total, uint64_t used)
{
	const uint64_t left = used < total ? total - used : 0;
	const struct {
		const char *key;
		uint64_t bytes;
	} ours[] = {
		{ "MemTotal:", total }, { "MemFree:", left }, { "MemAvailable:", left },
		{ "Buffers:", 0 },	{ "Cached:", 0 },     { "SwapCached:", 0 },
		{ "SwapTotal:", 0 },	{ "SwapFree:", 0 },
	};
	size_t line;

	for (const char *at = native; *at; at += line) {
		size_t i = 0;

		line = line_bytes(at);
		while (i < sizeof(ours) / sizeof(ours[0]) && !begins(at, ours[i].key))
			i++;
		if (i < sizeof(ours) / sizeof(ours[0]))
			fprintf(out, "%-16s%8llu kB\n", ours[i].key,
				(unsigned long long)(ours[i].bytes >> 10));
		else
			put(out, at, line);
	}
}

void render_loadavg(FILE *out, const char *native, unsigned running, unsigned threads, long last)
{
	const char *end = native;

	for (int field = 0; field < 3; field++) {
		end += strcspn(end, " ");
		end += *end == ' ';
	}
	put(out, native, (size_t)(end - native));
	fprintf(out, "%u/%u %ld\n", running, threads, last);
}

/* ---- cgroups ---- */

void render_cgroup(FILE *out, const char *native)
{
	size_t line;

	for (const char *at = native; *at; at += line) {
		const char *first = strchr(at, ':'),
			   *second = first ? strchr(first + 1, ':') : NULL;

		line = line_bytes(at);
		if (!second || second >= at + line)
			continue;
		put(out, at, (size_t)(second - at));
		fputs(":/\n", out);
	}
}

/* ---- the network ---- */

/* Is @word among the blank-separated ones of the line, perhaps with a colon behind it? */
static bool has_word(const char *at, size_t n, const char *word)
{
	const size_t w = strlen(word);

	for (size_t i = 0; i + w <= n; i++) {
		if ((i == 0 || at[i - 1] == ' ' || at[i - 1] == '\t') && !memcmp(at + i, word, w) &&
		    (i + w == n || strchr(" \t:\n", at[i + w])))
			return true;
	}
	return false;
}

void render_loopback(FILE *out, const char *native, unsigned skip)
{
	size_t line;

	for (const char *at = native; *at; at += line) {
		line = line_bytes(at);
		if (skip || has_word(at, line, "lo"))
			put(out, at, line);
		skip -= skip > 0;
	}
}

static int compare_inodes(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Where field @column of the line begins. */
static const char *field_at(const char *at, unsigned column)
{
	at += strspn(at, " ");
	while (column--) {
		at += strcspn(at, " \n");
		at += strspn(at, " ");
	}
	return at;
}

/* An address as the kernel prints it, 32 bits at a time as this machine has them. False: it is none. */
static bool parse_address(const char *at, size_t digits, struct in6_addr *ret)
{
	char word[9] = "";

	if (digits != 8 && digits != 32)
		return false;
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < digits / 8; i++) {
		const size_t to = digits == 8 ? 12 : 4 * i;
		uint32_t raw;
		char *end;

		memcpy(word, at + 8 * i, 8);
		raw = (uint32_t)strtoul(word, &end, 16);
		if (*end)
			return false;
		memcpy(ret->s6_addr + to, &raw, sizeof(raw));
		if (digits == 8 && raw)
			ret->s6_addr[10] = ret->s6_addr[11] = 0xff;
	}
	return true;
}

/* What is before the port of the "ADDRESS:PORT" that begins at @from is written from @done on, and then the port as it is shown. Returns what is written of the line. */
static const char *put_port(FILE *out, const char *done, const char *from, bool peer,
			    uint64_t inode, const struct render_ports *ports)
{
	const size_t digits = strspn(from, "0123456789ABCDEFabcdef");
	struct in6_addr address;
	char *end;
	uint16_t port;

	if (from[digits] != ':' || !parse_address(from, digits, &address))
		return done;
	port = (uint16_t)strtoul(from + digits + 1, &end, 16);
	put(out, done, (size_t)(from + digits + 1 - done));
	fprintf(out, "%04X",
		(unsigned)ports->shown(ports->arg, ports->protocol, inode, peer, &address, port));
	return end;
}

static void put_socket(FILE *out, const char *at, size_t line, uint64_t inode,
		       const struct render_ports *ports)
{
	const char *done = at;

	if (ports) { /* the fields behind the line's number */
		done = put_port(out, done, field_at(at, 1), false, inode, ports);
		done = put_port(out, done, field_at(at, 2), true, inode, ports);
	}
	put(out, done, (size_t)(at + line - done));
}

void render_sockets(FILE *out, const char *native, unsigned column, const uint64_t *inodes,
		    size_t n, const struct render_ports *ports)
{
	size_t line = line_bytes(native);

	put(out, native, line);
	for (const char *at = native + line; *at; at += line) {
		uint64_t inode = strtoull(field_at(at, column), NULL, 10);

		line = line_bytes(at);
		if (inode && n && bsearch(&inode, inodes, n, sizeof(*inodes), compare_inodes))
			put_socket(out, at, line, inode, ports);
	}
}

/* ---- names ---- */

static void put_hosts_line(FILE *out, const char *at, size_t n, const char *host, const char *name,
			   bool *named)
{
	const size_t h = strlen(host);

	for (size_t i = 0; i < n;) {
		const bool starts = i > 0 && (at[i - 1] == ' ' || at[i - 1] == '\t');

		if (at[i] == '#') {
			put(out, at + i, n - i);
			return;
		}
		if (starts && h && i + h <= n && !memcmp(at + i, host, h) &&
		    (i + h == n || strchr(" \t\n", at[i + h]))) {
			fputs(name, out);
			*named = true;
			i += h;
			continue;
		}
		fputc(at[i++], out);
	}
}

void render_hosts(FILE *out, const char *native, const char *host, const char *name)
{
	bool named = false, newline = true;
	size_t line;

	for (const char *at = native; *at; at += line) {
		line = line_bytes(at);
		put_hosts_line(out, at, line, host, name, &named);
		newline = at[line - 1] == '\n';
	}
	if (!named)
		fprintf(out, "%s127.0.1.1\t%s\n", newline ? "" : "\n", name);
}
