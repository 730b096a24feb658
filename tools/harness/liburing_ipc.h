/* SPDX-License-Identifier: MIT */
/*
 * Helpers for io_uring IPC channels, as liburing would have them.  A program
 * needs this file, <linux/io_uring/ipc.h> and liburing 2.4 or later, nothing
 * else.  What the operations do and what they fail with is written in
 * <linux/io_uring/ipc.h>.
 */
#ifndef LIBURING_IPC_H
#define LIBURING_IPC_H

#include <liburing.h>
#include <linux/io_uring/ipc.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * io_uring_prep_ipc_send() - prepare sending a message
 * @sqe: submission queue entry to fill in
 * @id: a subscriber of this ring, or a channel to send without being attached
 * @buf: the message, to be left alone until the completion
 * @len: length of the message in bytes, may be 0
 * @target: the only subscriber that shall receive the message, or 0
 * @flags: 0, or IOIPC_SEND_WAIT to wait for room
 *
 * The result of the completion is @len or a negative error.  The receiver gets
 * the user_data of @sqe as sender_data.
 */
static inline void io_uring_prep_ipc_send(struct io_uring_sqe *sqe, unsigned int id,
					  const void *buf, unsigned int len,
					  unsigned int target, unsigned int flags)
{
	io_uring_prep_rw(IOIPC_OP_SEND, sqe, (int)id, buf, len, 0);
	sqe->file_index = target;
	sqe->rw_flags = (__kernel_rwf_t)flags;
}

/**
 * io_uring_prep_ipc_recv() - prepare receiving a message
 * @sqe: submission queue entry to fill in
 * @id: a subscriber of this ring
 * @buf: where the message is stored
 * @len: size of @buf in bytes; the rest of a longer message is lost
 * @flags: 0, or IOIPC_RECV_WAIT to wait for a message
 *
 * The result of the completion is the number of bytes stored or a negative
 * error, -EAGAIN if there is no message.
 */
static inline void io_uring_prep_ipc_recv(struct io_uring_sqe *sqe, unsigned int id,
					  void *buf, unsigned int len, unsigned int flags)
{
	io_uring_prep_rw(IOIPC_OP_RECV, sqe, (int)id, buf, len, 0);
	sqe->rw_flags = (__kernel_rwf_t)flags;
}

/**
 * io_uring_prep_ipc_recv_multishot() - prepare receiving messages until it fails
 * @sqe: submission queue entry to fill in
 * @id: a subscriber of this ring
 * @buf_group: group of provided buffers; each message is stored in one of them
 *
 * There is a completion for each message, with the buffer in its flags, and with
 * IORING_CQE_F_MORE as long as more will follow.
 */
static inline void io_uring_prep_ipc_recv_multishot(struct io_uring_sqe *sqe, unsigned int id,
						    unsigned short buf_group)
{
	io_uring_prep_ipc_recv(sqe, id, NULL, 0, IOIPC_RECV_MULTISHOT);
	sqe->buf_group = buf_group;
	io_uring_sqe_set_flags(sqe, IOSQE_BUFFER_SELECT);
}

/*
 * io_uring_register(2) on a ring.  Only a ring without a file descriptor, see
 * io_uring_close_ring_fd(3), has to be named by its registered index.
 */
static inline int __io_uring_ipc_register(struct io_uring *ring, unsigned int opcode,
					  void *arg, unsigned int nr_args)
{
	if (ring->ring_fd >= 0)
		return io_uring_register((unsigned int)ring->ring_fd, opcode, arg, nr_args);
	return io_uring_register((unsigned int)ring->enter_ring_fd,
				 opcode | IORING_REGISTER_USE_REGISTERED_RING, arg, nr_args);
}

/**
 * io_uring_ipc_channel_create() - create a channel
 * @ring: the channel is destroyed when this ring is closed
 * @create: what channel; its id is stored in @create->channel_id_out
 *
 * Return: 0 or a negative error.
 */
static inline int io_uring_ipc_channel_create(struct io_uring *ring,
					      struct io_uring_ipc_channel_create *create)
{
	return __io_uring_ipc_register(ring, IOIPC_REGISTER_CREATE, create, 1);
}

/**
 * io_uring_ipc_channel_attach() - become a subscriber of a channel
 * @ring: the only ring that can use the subscriber
 * @attach: which channel and what for; the id of the subscriber is stored in
 *	@attach->local_id_out, its file descriptor in @attach->channel_fd
 *
 * Return: 0 or a negative error.
 */
static inline int io_uring_ipc_channel_attach(struct io_uring *ring,
					      struct io_uring_ipc_channel_attach *attach)
{
	return __io_uring_ipc_register(ring, IOIPC_REGISTER_ATTACH, attach, 1);
}

/**
 * io_uring_ipc_channel_detach() - end a subscription
 * @ring: the ring that attached
 * @id: the subscriber
 *
 * Return: 0 or a negative error.
 */
static inline int io_uring_ipc_channel_detach(struct io_uring *ring, unsigned int id)
{
	return __io_uring_ipc_register(ring, IOIPC_REGISTER_DETACH, NULL, id);
}

/**
 * io_uring_ipc_channel_destroy() - destroy a channel
 * @ring: the ring that created the channel, or any ring of its owner
 * @id: the channel
 *
 * Return: 0 or a negative error.
 */
static inline int io_uring_ipc_channel_destroy(struct io_uring *ring, unsigned int id)
{
	return __io_uring_ipc_register(ring, IOIPC_REGISTER_DESTROY, NULL, id);
}

#ifdef __cplusplus
}
#endif

#endif /* LIBURING_IPC_H */
