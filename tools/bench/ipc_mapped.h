/* SPDX-License-Identifier: GPL-2.0 */
/* Receiving from an IPC channel in place, from its mapping. */
#ifndef BENCH_IPC_MAPPED_H
#define BENCH_IPC_MAPPED_H

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ipc.h"
#include "job.h"
#include "uring.h"

/* user_data of a request that tells the kernel of room.  A receive that waits has 0. */
#define IS_KICK		1

static void prepare_mapped(struct endpoint *endpoint,
			   const struct io_uring_ipc_channel_attach *sub)
{
	struct ipc *ipc = endpoint->state;

	ipc->region = mmap(NULL, sub->region_size, PROT_READ, MAP_SHARED, sub->channel_fd,
			   (off_t)sub->mmap_offset_out);
	if (ipc->region == MAP_FAILED)
		job_errno("mmap of the channel", errno);
	/* A kernel that does not support receiving in place has no cursors. */
	if (!ipc->region->cursor_offset)
		job_errno("IOIPC_RECV_MAPPED", EOPNOTSUPP);
	ipc->cursor = mmap(NULL, sizeof(*ipc->cursor), PROT_READ | PROT_WRITE, MAP_SHARED,
			   sub->channel_fd, (off_t)ipc->region->cursor_offset);
	if (ipc->cursor == MAP_FAILED)
		job_errno("mmap of the cursor", errno);
	ipc->position = ipc->cursor->position;
	ipc->told = ipc->position;
}

static __always_inline void prepare_request(struct ipc *ipc, unsigned int flags, uint64_t data)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ipc->ring);

	io_uring_prep_ipc_recv(sqe, ipc->in, NULL, 0, IOIPC_RECV_MAPPED | flags);
	io_uring_sqe_set_data64(sqe, data);
	ipc->receiving++;
}

static __always_inline unsigned int post_mapped(struct endpoint *endpoint,
						const struct ipc_variant *variant)
{
	struct ipc *ipc = endpoint->state;

	(void)variant;
	if (!ipc->receiving)
		prepare_request(ipc, IOIPC_RECV_WAIT, 0);
	return 1;
}

static __always_inline void complete_mapped(struct endpoint *endpoint,
					    const struct ipc_variant *variant,
					    const struct io_uring_cqe *cqe)
{
	struct ipc *ipc = endpoint->state;

	(void)variant;
	ipc->receiving--;
	/* A request that only tells the kernel of room need not find a message. */
	if (cqe->res < 0 && !(cqe->user_data == IS_KICK && cqe->res == -EAGAIN))
		job_errno("IPC_RECV with IOIPC_RECV_MAPPED", -cqe->res);
}

/*
 * Consumes the messages before the position.  Tells a sender that waits for room when
 * half of the ring has been read: if told sooner, the sender would soon wait again.
 * The request that waits for a message tells the sender too.  So the sender is told of
 * less room, too, before all processes would wait.
 */
static __always_inline void store_position(struct endpoint *endpoint)
{
	struct ipc *ipc = endpoint->state;

	__atomic_store_n(&ipc->cursor->position, ipc->position, __ATOMIC_RELEASE);
	atomic_thread_fence(memory_order_seq_cst);
	if (ipc->position - ipc->told < endpoint->job->slots / 2)
		return;
	ipc->told = ipc->position;
	if (!__atomic_load_n(&ipc->region->senders_wait, __ATOMIC_RELAXED))
		return;
	prepare_request(ipc, 0, IS_KICK);
	uring_submit_and_wait(&ipc->ring, 0);
}

/*
 * Storing a position is a full barrier.  So this function does it once for all messages
 * that are there, or for a quarter of the ring.
 */
static __always_inline bool take_mapped(struct endpoint *endpoint)
{
	struct ipc *ipc = endpoint->state;
	const char *region = (const char *)ipc->region;
	const char *descs = region + ipc->region->desc_offset;
	size_t stride = ipc->region->desc_stride;
	uint32_t mask = ipc->region->ring_mask;
	uint32_t position = ipc->position, end = position + endpoint->job->slots / 4;
	const struct io_uring_ipc_msg_desc *desc;

	for (; position != end && sink_open(&endpoint->sink); position++) {
		desc = (const void *)(descs + (position & mask) * stride);
		if (__atomic_load_n(&desc->seq, __ATOMIC_ACQUIRE) != position + 1)
			break;
		if (__atomic_load_n(&desc->state, __ATOMIC_ACQUIRE) == IOIPC_MSG_READY &&
		    (!desc->target || desc->target == ipc->in))
			sink_take(&endpoint->sink, region + desc->offset, desc->len);
	}
	if (position == ipc->position)
		return false;
	ipc->position = position;
	store_position(endpoint);
	return true;
}

static const struct ipc_receive receive_mapped = {
	.channel_flags = IOIPC_F_BROADCAST,
	.prepare = prepare_mapped,
	.post = post_mapped,
	.complete = complete_mapped,
	.take = take_mapped,
};

#endif /* BENCH_IPC_MAPPED_H */
