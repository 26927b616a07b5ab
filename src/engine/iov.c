/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of buffers that a task names. Thread: the runner of the request.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "engine/request.h"

#define IOV_COUNT_MAX 1024u		     /* the kernel's UIO_MAXIOV */
#define BYTES_MAX ((size_t)INT_MAX & ~4095u) /* and MAX_RW_COUNT */
#define COPY_BYTES_MAX (1u << 20)	     /* of sluice_request_read and _write */

size_t request_iov_cap(uint64_t bytes)
{
	return bytes < BYTES_MAX ? (size_t)bytes : BYTES_MAX;
}

int request_read_iov(struct sluice_request *req, uint64_t addr, size_t n, struct iovec **ret,
		     size_t *ret_bytes)
{
	struct iovec *iov;
	size_t bytes = 0;
	int r;

	if (n > IOV_COUNT_MAX)
		return -EMSGSIZE;
	iov = malloc((n + 1) * sizeof(*iov));
	if (!iov)
		return -ENOMEM;
	r = n ? sluice_request_read(req, addr, iov, n * sizeof(*iov)) : 0;
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (iov[i].iov_len > SSIZE_MAX)
			r = -EINVAL;
		if (iov[i].iov_len > BYTES_MAX - bytes)
			iov[i].iov_len = BYTES_MAX - bytes;
		bytes += iov[i].iov_len;
	}
	if (r < 0) {
		free(iov);
		return r;
	}
	*ret = iov;
	*ret_bytes = bytes;
	return 0;
}

/* @size bytes between @addr and @buf, which may be more than one copy takes. */
static int copy(struct sluice_request *req, uint64_t addr, char *buf, size_t size, bool out)
{
	int r = 0;

	while (r == 0 && size) {
		size_t n = size < COPY_BYTES_MAX ? size : COPY_BYTES_MAX;

		r = out ? sluice_request_write(req, addr, buf, n)
			: sluice_request_read(req, addr, buf, n);
		addr += n;
		buf += n;
		size -= n;
	}
	return r;
}

int request_copy_iov(struct sluice_request *req, const struct iovec *iov, size_t n_iov,
		     size_t offset, void *buf, size_t size, bool out)
{
	char *at = buf;
	int r = 0;

	for (size_t i = 0; r == 0 && size && i < n_iov; i++) {
		size_t n = iov[i].iov_len;

		if (offset >= n) {
			offset -= n;
			continue;
		}
		n -= offset;
		n = n < size ? n : size;
		r = copy(req, (uintptr_t)iov[i].iov_base + offset, at, n, out);
		at += n;
		size -= n;
		offset = 0;
	}
	return r;
}
