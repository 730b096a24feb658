/* SPDX-License-Identifier: GPL-2.0 */
/*
 * IPC channels: shared by the ways of sending and of receiving.
 *
 * All functions that run for each message are inline, with a variant that is known when
 * they are compiled.  So the benchmark adds as little as possible to what a program with
 * a ring has to do, and no more than with mechanisms that need one system call.
 */
#ifndef BENCH_IPC_H
#define BENCH_IPC_H

#include <stdbool.h>
#include <stdint.h>

#include "job.h"
#include "liburing_ipc.h"
#include "mechanism.h"

/*
 * user_data of SQEs that send, and the address of the message.  In SQEs that receive it is
 * the number of a buffer.
 */
#define IPC_IS_SEND	0x8000000000000000ULL

struct ipc_receive;

struct ipc_variant {
	/* IORING_SETUP_* */
	unsigned int setup_flags;
	/* IOIPC_F_*, without those that the work needs. */
	unsigned int channel_flags;
	/* A whole batch in one SQE. */
	bool vec;
	/* Registered buffers on both sides. */
	bool fixed;
	/* Requests that send complete only if there is no room. */
	bool no_cqe;
	/* Receivers poll for messages instead of waiting for them. */
	bool polls;
	const struct ipc_receive *receive;
};

/* A process on a channel. */
struct ipc {
	struct io_uring ring;
	/* Ids of the subscribers. */
	unsigned int out;
	unsigned int in;
	/* Requests that send and will complete. */
	unsigned int sending;
	/* With vec, the messages being sent, and how many of them are left. */
	struct iovec *vec;
	unsigned int vec_next;
	unsigned int vec_left;
	/* Requests that receive and have not completed, or a multishot request. */
	unsigned int receiving;
	/* Buffers to receive in. The stride is from one buffer to the next. */
	char *buffers;
	size_t stride;
	unsigned int nr_buffers;
	/* Buffers that no request uses, a bit for each. */
	uint64_t idle_buffers;
	struct io_uring_buf_ring *buf_ring;
	/* When receiving in place. */
	const struct io_uring_ipc_ring *region;
	struct io_uring_ipc_cursor *cursor;
	uint32_t position;
	/* The position at the last check for a sender that waits. */
	uint32_t told;
};

/* A way of receiving. */
struct ipc_receive {
	/* The flags that the channel needs: IOIPC_F_* */
	unsigned int channel_flags;
	/* Prepares the buffers: their number and size. */
	void (*prepare)(struct endpoint *endpoint, const struct io_uring_ipc_channel_attach *sub);
	/* Keeps requests prepared or in flight. Returns for how many completions to wait. */
	unsigned int (*post)(struct endpoint *endpoint, const struct ipc_variant *variant);
	/* Handles a completion. */
	void (*complete)(struct endpoint *endpoint, const struct ipc_variant *variant,
			 const struct io_uring_cqe *cqe);
	/*
	 * Receives all messages in place, without a system call. Returns whether there
	 * were any. Optional.
	 */
	bool (*take)(struct endpoint *endpoint);
};

#endif /* BENCH_IPC_H */
