// SPDX-License-Identifier: GPL-2.0
/*
 * Sending to an IPC channel: SQEs of one message each, or one SQE for many messages.
 * ipc.c calls these functions, which do not call back.
 */
#include <sys/uio.h>

#include "ipc.h"
#include "job.h"

static void prepare(struct ipc *ipc, const void *data, unsigned int len, unsigned int flags)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ipc->ring);

	io_uring_prep_ipc_send(sqe, ipc->out, data, len, 0, IOIPC_SEND_WAIT | flags);
	io_uring_sqe_set_data64(sqe, IPC_IS_SEND);
	ipc->sending++;
}

static void prepare_vec(struct ipc *ipc)
{
	prepare(ipc, ipc->vec + ipc->vec_next, ipc->vec_left, IOIPC_SEND_VEC);
}

uint64_t ipc_prepare_send(struct endpoint *endpoint, uint64_t count)
{
	unsigned int i, batch = endpoint->job->batch;
	unsigned int size = (unsigned int)endpoint->job->size;
	struct ipc *ipc = endpoint->state;

	if (batch > count)
		batch = (unsigned int)count;
	if (ipc->variant->vec) {
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
	for (i = 0; i < batch; i++)
		prepare(ipc, source_next(&endpoint->source), size,
			ipc->variant->fixed ? IOIPC_FIXED_BUF : 0);
	return batch;
}

void ipc_complete_send(struct endpoint *endpoint, const struct io_uring_cqe *cqe)
{
	struct ipc *ipc = endpoint->state;

	ipc->sending--;
	if (cqe->res < 0)
		job_errno(ipc->variant->vec ? "IPC_SEND with IOIPC_SEND_VEC" :
			  ipc->variant->fixed ? "IPC_SEND with IOIPC_FIXED_BUF" : "IPC_SEND",
			  -cqe->res);
	if (ipc->variant->vec) {
		ipc->vec_next += (unsigned int)cqe->res;
		ipc->vec_left -= (unsigned int)cqe->res;
		if (ipc->vec_left)
			prepare_vec(ipc);
	} else if ((size_t)cqe->res != endpoint->job->size) {
		job_failed("IPC_SEND has sent %d of %zu bytes", cqe->res, endpoint->job->size);
	}
}
