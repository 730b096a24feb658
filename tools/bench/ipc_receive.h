/* SPDX-License-Identifier: GPL-2.0 */
/* Receiving from an IPC channel into buffers. */
#ifndef BENCH_IPC_RECEIVE_H
#define BENCH_IPC_RECEIVE_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ipc.h"
#include "job.h"

#define BUFFER_GROUP	0
/* The buffers of one receiver should not be larger than this in total. */
#define MAX_BUFFERS_SIZE	0x100000
#define MAX_BUFFERS	64

static void allocate_buffers(struct endpoint *endpoint, unsigned int count, size_t size)
{
	struct ipc *ipc = endpoint->state;

	ipc->nr_buffers = count;
	ipc->stride = (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	ipc->buffers = aligned_alloc(4096, (count * ipc->stride + 4095) / 4096 * 4096);
	if (!ipc->buffers)
		job_failed("out of memory");
	memset(ipc->buffers, 0, count * ipc->stride);
	ipc->idle_buffers = UINT64_MAX >> (64 - count);
}

static __always_inline void check_result(const char *what, const struct io_uring_cqe *cqe)
{
	if (cqe->res < 0)
		job_errno(what, -cqe->res);
}

/* One request for each message, as many at a time as a sender sends at a time. */
static void prepare_each(struct endpoint *endpoint, const struct io_uring_ipc_channel_attach *sub)
{
	(void)sub;
	allocate_buffers(endpoint, endpoint->job->batch, endpoint->job->size);
}

/*
 * Waits for all requests, so that each system call takes a whole batch. A receiver that
 * shares the messages with others does not know how many it gets.
 */
static __always_inline unsigned int post_each(struct endpoint *endpoint,
					      const struct ipc_variant *variant)
{
	struct ipc *ipc = endpoint->state;
	const struct sink *sink = &endpoint->sink;
	struct io_uring_sqe *sqe;
	unsigned int i, flags = 0;

	if (!variant->polls)
		flags |= IOIPC_RECV_WAIT;
	if (variant->fixed)
		flags |= IOIPC_FIXED_BUF;
	while (ipc->idle_buffers && (sink->crowd || ipc->receiving < sink->remaining)) {
		i = (unsigned int)__builtin_ctzll(ipc->idle_buffers);
		ipc->idle_buffers &= ipc->idle_buffers - 1;
		sqe = io_uring_get_sqe(&ipc->ring);
		io_uring_prep_ipc_recv(sqe, ipc->in, ipc->buffers + i * ipc->stride,
				       (unsigned int)sink->size, flags);
		io_uring_sqe_set_data64(sqe, i);
		/* In a process that sends too, buffer 0 has its messages. */
		if (variant->fixed)
			sqe->buf_index = !!endpoint->out;
		ipc->receiving++;
	}
	return sink->crowd ? 1 : ipc->receiving;
}

static __always_inline void complete_each(struct endpoint *endpoint,
					  const struct ipc_variant *variant,
					  const struct io_uring_cqe *cqe)
{
	struct ipc *ipc = endpoint->state;

	ipc->receiving--;
	ipc->idle_buffers |= 1ULL << cqe->user_data;
	if (cqe->res == -EAGAIN && variant->polls)
		return;
	check_result(variant->fixed ? "IPC_RECV with IOIPC_FIXED_BUF" : "IPC_RECV", cqe);
	sink_take(&endpoint->sink, ipc->buffers + cqe->user_data * ipc->stride, (size_t)cqe->res);
}

static const struct ipc_receive receive_each = {
	.prepare = prepare_each,
	.post = post_each,
	.complete = complete_each,
};

/* One request for all messages. Each message is in a buffer that the request takes from a ring. */
static void prepare_multishot(struct endpoint *endpoint,
			      const struct io_uring_ipc_channel_attach *sub)
{
	struct ipc *ipc = endpoint->state;
	unsigned int i, count = MAX_BUFFERS;
	int ret;

	(void)sub;
	while (count > 4 && count * endpoint->job->size > MAX_BUFFERS_SIZE)
		count /= 2;
	allocate_buffers(endpoint, count, endpoint->job->size);
	ipc->buf_ring = io_uring_setup_buf_ring(&ipc->ring, count, BUFFER_GROUP, 0, &ret);
	if (!ipc->buf_ring)
		job_errno("io_uring_setup_buf_ring", -ret);
	for (i = 0; i < count; i++)
		io_uring_buf_ring_add(ipc->buf_ring, ipc->buffers + i * ipc->stride,
				      (unsigned int)endpoint->job->size, (unsigned short)i,
				      io_uring_buf_ring_mask(count), (int)i);
	io_uring_buf_ring_advance(ipc->buf_ring, (int)count);
}

static __always_inline unsigned int post_multishot(struct endpoint *endpoint,
						   const struct ipc_variant *variant)
{
	struct ipc *ipc = endpoint->state;

	(void)variant;
	if (!ipc->receiving) {
		io_uring_prep_ipc_recv_multishot(io_uring_get_sqe(&ipc->ring), ipc->in,
						 BUFFER_GROUP, 0);
		ipc->receiving = 1;
	}
	return 1;
}

static __always_inline void complete_multishot(struct endpoint *endpoint,
					       const struct ipc_variant *variant,
					       const struct io_uring_cqe *cqe)
{
	struct ipc *ipc = endpoint->state;
	unsigned int buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
	char *message = ipc->buffers + buffer * ipc->stride;

	(void)variant;
	if (!(cqe->flags & IORING_CQE_F_MORE))
		ipc->receiving = 0;
	/* All buffers had messages that the receiver had not taken yet. */
	if (cqe->res == -ENOBUFS)
		return;
	check_result("IPC_RECV with IOIPC_RECV_MULTISHOT", cqe);
	sink_take(&endpoint->sink, message, (size_t)cqe->res);
	io_uring_buf_ring_add(ipc->buf_ring, message, (unsigned int)endpoint->job->size,
			      (unsigned short)buffer, io_uring_buf_ring_mask(ipc->nr_buffers), 0);
	io_uring_buf_ring_advance(ipc->buf_ring, 1);
}

static const struct ipc_receive receive_multishot = {
	.prepare = prepare_multishot,
	.post = post_multishot,
	.complete = complete_multishot,
};

/* From a message of this size in a bundle to the next message. */
static size_t bundle_stride(size_t size)
{
	return (sizeof(struct io_uring_ipc_msg_info) + size + 7) / 8 * 8;
}

/* One request for all messages that are in the ring. */
static void prepare_bundle(struct endpoint *endpoint,
			   const struct io_uring_ipc_channel_attach *sub)
{
	size_t count = MAX_BUFFERS_SIZE / endpoint->job->size;

	(void)sub;
	if (count > MAX_BUFFERS)
		count = MAX_BUFFERS;
	if (!count)
		count = 1;
	allocate_buffers(endpoint, 1, count * bundle_stride(endpoint->job->size));
}

static __always_inline unsigned int post_bundle(struct endpoint *endpoint,
						const struct ipc_variant *variant)
{
	struct ipc *ipc = endpoint->state;

	(void)variant;
	if (!ipc->receiving) {
		io_uring_prep_ipc_recv(io_uring_get_sqe(&ipc->ring), ipc->in, ipc->buffers,
				       (unsigned int)ipc->stride,
				       IOIPC_RECV_WAIT | IOIPC_RECV_BUNDLE);
		ipc->receiving = 1;
	}
	return 1;
}

static __always_inline void complete_bundle(struct endpoint *endpoint,
					    const struct ipc_variant *variant,
					    const struct io_uring_cqe *cqe)
{
	struct ipc *ipc = endpoint->state;
	const struct io_uring_ipc_msg_info *info;
	size_t offset;

	(void)variant;
	ipc->receiving = 0;
	check_result("IPC_RECV with IOIPC_RECV_BUNDLE", cqe);
	for (offset = 0; offset < (size_t)cqe->res; offset += bundle_stride(info->len)) {
		info = (const void *)(ipc->buffers + offset);
		sink_lost(&endpoint->sink, info->lost);
		sink_take(&endpoint->sink, info + 1, info->len);
	}
}

static const struct ipc_receive receive_bundle = {
	.prepare = prepare_bundle,
	.post = post_bundle,
	.complete = complete_bundle,
};

#endif /* BENCH_IPC_RECEIVE_H */
