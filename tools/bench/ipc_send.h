/* SPDX-License-Identifier: GPL-2.0 */
/* Sending to an IPC channel: SQEs of one message each, or one SQE for many messages. */
#ifndef BENCH_IPC_SEND_H
#define BENCH_IPC_SEND_H

#include <errno.h>
#include <sys/uio.h>

#include "ipc.h"
#include "job.h"

static __always_inline struct io_uring_sqe *
prepare_send(struct ipc *ipc, const void *data, unsigned int len, unsigned int flags)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ipc->ring);

	io_uring_prep_ipc_send(sqe, ipc->out, data, len, 0, flags);
	io_uring_sqe_set_data64(sqe, IPC_IS_SEND | (uintptr_t)data);
	return sqe;
}

/* A request that completes, and waits for room. */
static __always_inline void prepare_waiting(struct ipc *ipc, const void *data, unsigned int len,
					    unsigned int flags)
{
	prepare_send(ipc, data, len, IOIPC_SEND_WAIT | flags);
	ipc->sending++;
}

static __always_inline void prepare_vec(struct ipc *ipc)
{
	prepare_waiting(ipc, ipc->vec + ipc->vec_next, ipc->vec_left, IOIPC_SEND_VEC);
}

/* Prepares the next messages, up to a batch, and returns how many messages they are. */
static __always_inline uint64_t prepare_messages(struct endpoint *endpoint,
						 const struct ipc_variant *variant, uint64_t count)
{
	unsigned int i, batch = endpoint->job->batch;
	unsigned int size = (unsigned int)endpoint->job->size;
	struct ipc *ipc = endpoint->state;
	const void *message;

	if (batch > count)
		batch = (unsigned int)count;
	if (variant->vec) {
		for (i = 0; i < batch; i++)
			ipc->vec[i] = (struct iovec){ source_next(&endpoint->source), size };
		ipc->vec_next = 0;
		ipc->vec_left = batch;
		prepare_vec(ipc);
		return batch;
	}
	/*
	 * The SQEs are not linked: when the channel is full, messages can change places
	 * while the requests wait.  A program that needs the order uses IOIPC_SEND_VEC.
	 * With registered buffers, buf_index is 0: the messages of the source.
	 */
	for (i = 0; i < batch; i++) {
		message = source_next(&endpoint->source);
		if (variant->no_cqe)
			io_uring_sqe_set_flags(prepare_send(ipc, message, size, 0),
					       IOSQE_CQE_SKIP_SUCCESS);
		else
			prepare_waiting(ipc, message, size, variant->fixed ? IOIPC_FIXED_BUF : 0);
	}
	return batch;
}

static __always_inline void complete_vec(struct ipc *ipc, unsigned int sent)
{
	ipc->vec_next += sent;
	ipc->vec_left -= sent;
	if (ipc->vec_left)
		prepare_vec(ipc);
}

static __always_inline void complete_send(struct endpoint *endpoint,
					  const struct ipc_variant *variant,
					  const struct io_uring_cqe *cqe)
{
	struct ipc *ipc = endpoint->state;
	unsigned int size = (unsigned int)endpoint->job->size;

	if (variant->no_cqe && cqe->res == -ENOBUFS) {
		prepare_waiting(ipc, (const void *)(uintptr_t)(cqe->user_data & ~IPC_IS_SEND),
				size, 0);
		return;
	}
	ipc->sending--;
	if (cqe->res < 0)
		job_errno(variant->vec ? "IPC_SEND with IOIPC_SEND_VEC" :
			  variant->fixed ? "IPC_SEND with IOIPC_FIXED_BUF" : "IPC_SEND",
			  -cqe->res);
	if (variant->vec)
		complete_vec(ipc, (unsigned int)cqe->res);
	else if ((unsigned int)cqe->res != size)
		job_failed("IPC_SEND has sent %d of %u bytes", cqe->res, size);
}

#endif /* BENCH_IPC_SEND_H */
