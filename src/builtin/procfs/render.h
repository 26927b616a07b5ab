/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of general files as a sandbox sees it, from what the kernel says. Pure; any thread.
 *
 * @native is the file's own content, NUL-terminated. What can't be made sense of is left out.
 */
#ifndef SLUICE_BUILTIN_PROCFS_RENDER_H
#define SLUICE_BUILTIN_PROCFS_RENDER_H

#include <limits.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* /proc/cpuinfo of @n CPUs: CPU i shows what the machine's CPU i modulo the number of those shows. */
void render_cpuinfo(FILE *out, const char *native, unsigned n);
/*
 * /proc/stat: the first line, one of each of @n CPUs, and what follows without the count of each interrupt; 0: the machine's. @boot_s: when it was started, or NULL: as there.
 */
void render_stat(FILE *out, const char *native, unsigned n, const int64_t *boot_s);
/* /proc/meminfo with @total bytes, of which @used are taken, and no swap. */
void render_meminfo(FILE *out, const char *native, uint64_t total, uint64_t used);
/* /proc/loadavg: the averages are the machine's. */
void render_loadavg(FILE *out, const char *native, unsigned running, unsigned threads, long last);
/* /proc/PID/cgroup: each hierarchy's root. */
void render_cgroup(FILE *out, const char *native);
/* /proc/PID/status: the CPUs that it may use, as @mask (bit i of word i / 32) of @n. */
void render_status(FILE *out, const char *native, const uint32_t *mask, unsigned n);
/* @path with each character of @special as a backslash and three octal digits, which is how the kernel prints paths. */
void render_escaped(FILE *out, const char *path, const char *special);
/*
 * The path that the kernel prints as @path, as the command is to see it, in @buf; false: as it is.
 */
typedef bool (*render_path_fn)(void *arg, const char *path, char buf[PATH_MAX]);
/* /proc/PID/maps, smaps and numa_maps: each mapped file by the path that @fn makes of the kernel's. */
void render_maps(FILE *out, const char *native, render_path_fn fn, void *arg);
/* /proc/net/dev, if_inet6, ipv6_route: the header of @skip lines, and those of the loopback device. */
void render_loopback(FILE *out, const char *native, unsigned skip);
/* The port to be shown. @peer: of whom the socket with that inode is connected to; @address: IPv4 in its mapped form, all 0 for any. */
typedef uint16_t (*render_port_fn)(void *arg, int protocol, uint64_t inode, bool peer,
				   const struct in6_addr *address, uint16_t port);
/*
 * A table of sockets: its header, and the lines whose field @column is among the @n sorted @inodes. With @ports, which is a table of the internet, each address and port
 * as that has it.
 */
struct render_ports {
	render_port_fn shown;
	void *arg;
	int protocol;
};
void render_sockets(FILE *out, const char *native, unsigned column, const uint64_t *inodes,
		    size_t n, const struct render_ports *ports);
/* A hosts file that names @name where the host's names itself @host, or else at its end. */
void render_hosts(FILE *out, const char *native, const char *host, const char *name);
/* A mask of CPUs as sysfs prints it ("00000000,0000000f"), or a list ("0-3,8"), without those from @n on. */
void render_mask(FILE *out, const char *native, unsigned n);
void render_list(FILE *out, const char *native, unsigned n);
/* Bits of @mask as a list. */
void render_bits(FILE *out, const uint32_t *mask, unsigned n);

#endif
