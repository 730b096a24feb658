/* SPDX-License-Identifier: GPL-2.0 */
/* IPC channels: what the ways of sending and of receiving share. */
#ifndef BENCH_IPC_H
#define BENCH_IPC_H

#include <stdbool.h>
#include <stdint.h>

#include "job.h"
#include "liburing_ipc.h"
#include "mechanism.h"

/* user_data of SQEs that send; those that receive have the number of a buffer. */
#define IPC_IS_SEND	0x8000000000000000ULL

struct ipc_receive;

struct ipc_variant {
	/* IORING_SETUP_* */
	unsigned int setup_flags;
	/* IOIPC_F_* besides those that the work makes necessary. */
	unsigned int channel_flags;
	/* A whole batch in one SQE. */
	bool vec;
	/* Registered buffers on both sides. */
	bool fixed;
	const struct ipc_receive *receive;
};

/* A process on a channel. */
struct ipc {
	struct io_uring ring;
	const struct ipc_variant *variant;
	/* Ids of the subscribers. */
	unsigned int out;
	unsigned int in;
	/* Requests that send and have not completed. */
	unsigned int sending;
	/* With vec, what is being sent and how many of it are left. */
	struct iovec *vec;
	unsigned int vec_next;
	unsigned int vec_left;
	/* Requests that receive and have not completed, or a multishot one. */
	unsigned int receiving;
	/* Where to receive; the stride is from one buffer to the next. */
	char *buffers;
	size_t stride;
	unsigned int nr_buffers;
	/* Those that no request has, a bit for each. */
	uint64_t idle_buffers;
	struct io_uring_buf_ring *buf_ring;
	/* When receiving in place. */
	const struct io_uring_ipc_ring *region;
	struct io_uring_ipc_cursor *cursor;
	uint32_t position;
	/* The position when a sender that waits was last looked for. */
	uint32_t told;
};

/* A way of receiving. */
struct ipc_receive {
	/* What the channel has to be, IOIPC_F_* */
	unsigned int channel_flags;
	/* How many buffers of what size. */
	void (*prepare)(struct endpoint *endpoint, const struct io_uring_ipc_channel_attach *sub);
	/* Makes sure that requests are prepared or under way; returns for how many to wait. */
	unsigned int (*post)(struct endpoint *endpoint);
	/* Takes a completion in. */
	void (*complete)(struct endpoint *endpoint, const struct io_uring_cqe *cqe);
	/* Receives what there is without a system call, and says whether it did; optional. */
	bool (*take)(struct endpoint *endpoint);
};

extern const struct ipc_receive ipc_receive_each;
extern const struct ipc_receive ipc_receive_multishot;
extern const struct ipc_receive ipc_receive_bundle;
extern const struct ipc_receive ipc_receive_mapped;

/* Whether it polls for messages in place of waiting for them. */
static inline bool ipc_polls(const struct endpoint *endpoint)
{
	return endpoint->job->mechanism->flags & MECHANISM_POLLS &&
	       !(((struct ipc *)endpoint->state)->variant->setup_flags & IORING_SETUP_SQPOLL);
}

/* Prepares the next messages, up to a batch, and returns how many it has taken off. */
uint64_t ipc_prepare_send(struct endpoint *endpoint, uint64_t count);
void ipc_complete_send(struct endpoint *endpoint, const struct io_uring_cqe *cqe);

#endif /* BENCH_IPC_H */
