/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * io_uring IPC channels: message channels between processes.
 *
 * A process creates a channel with io_uring_register(2), others attach to it by
 * id or key, and messages are sent and received with two io_uring opcodes.
 * The header needs nothing from the kernel's own <linux/io_uring.h>.
 *
 * All fields are in host byte order.
 */
#ifndef _UAPI_LINUX_IO_URING_IPC_H
#define _UAPI_LINUX_IO_URING_IPC_H

#include <linux/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Opcodes for sqe->opcode.  A kernel that has them calls them
 * IORING_OP_IPC_SEND and IORING_OP_IPC_RECV in <linux/io_uring.h>.
 *
 * SEND:
 *	fd		id of a subscriber of this ring that may send, or id of a
 *			channel to send without being attached to it
 *	addr, len	the message; len may be 0
 *	file_index	0, or id of the only subscriber that shall receive it
 *	rw_flags	IOIPC_SEND_*
 *	user_data	also handed to the receiver, as sender_data
 *	cqe->res	len, with IOIPC_SEND_VEC how many messages were sent, or
 *	  -EINVAL	a field or flag that must be zero is not; flags that exclude
 *			each other; IOIPC_SEND_VEC with a count that is not from 1
 *			to IOIPC_MAX_VEC
 *	  -ENOENT	no such subscriber on this ring, no such channel in this
 *			IPC namespace, or the target cannot receive from this
 *			channel
 *	  -EACCES	the subscriber did not attach with IOIPC_SUB_SEND, or,
 *			not attached, write permission is missing or the channel
 *			is private
 *	  -EMSGSIZE	len is greater than max_msg_size of the channel
 *	  -ENOBUFS	the ring is full; in a channel with IOIPC_F_OVERWRITE, or
 *			whose receivers are all IOIPC_SUB_LOSSY, only while
 *			something holds the oldest message: a receiver that copies
 *			it or a bundle that begins with it, a receiver that just
 *			attaches or detaches, or its own sender; or while others
 *			take all room that this sender makes
 *	  -EPIPE	the channel was destroyed; who is not attached gets -ENOENT,
 *			unless the request was waiting then
 *	  -EFAULT	the message cannot be read; the registered buffer does not
 *			have it
 *	  -ENOMEM	no memory for the first request of a ring, to wait without
 *			being attached, or for a copy of the message; only for
 *			buffers that change while they are being read
 *
 * RECV:
 *	fd		id of a subscriber of this ring that may receive
 *	addr, len	the buffer; what does not fit of the message is lost.  With
 *			IOSQE_BUFFER_SELECT a buffer of the group buf_group is
 *			taken, addr is 0, and len is 0 or limits what is used of it.
 *			Of an incremental buffer, a rest that is smaller than
 *			min_left of struct io_uring_buf_reg is not used any more
 *	rw_flags	IOIPC_RECV_*
 *	cqe->res	min(length of the message, len), see also the flags, or
 *	  -EINVAL	a field or flag that must be zero is not; flags that exclude
 *			each other; with IOIPC_RECV_INFO or IOIPC_RECV_BUNDLE, a
 *			buffer that is smaller than struct io_uring_ipc_msg_info:
 *			the message stays
 *	  -ENOENT	no such subscriber on this ring
 *	  -EACCES	the subscriber did not attach with IOIPC_SUB_RECV
 *	  -EAGAIN	there is no message, or another request of this subscriber
 *			is just receiving the next one of a broadcast
 *	  -EPIPE	there is no message, and the channel was destroyed
 *	  -EFAULT	the buffer cannot be written; the message stays, and
 *			a part of it may have been written
 *	  -ENOBUFS	no provided buffer is left, or the next one has 0 bytes; the
 *			message stays
 *
 * A group with IOU_PBUF_RING_INC has buffers that several messages share, one
 * behind the other.  With IOIPC_RECV_INFO or IOIPC_RECV_BUNDLE each completion
 * uses cqe->res bytes rounded up to a multiple of 8, without them cqe->res bytes,
 * and never more than there is, also with IOIPC_RECV_TRUNC.  So what is received
 * stays aligned, if the buffers are.  The next completion continues there if this
 * one has IORING_CQE_F_BUF_MORE, unless it names another buffer: the next message
 * did not fit into the rest of the former one, and that rest was given up.  So a
 * message is cut only if it does not fit into a whole buffer.  After -ENOBUFS the
 * rests of all buffers have been given up as well.  A buffer is also used up when
 * less than min_left is left of it, see struct io_uring_buf_reg; and a receive that
 * runs in a worker, such as with IOSQE_ASYNC, uses up all that is left.
 *
 * A request that waits can also be ended with the usual -ECANCELED or -EINTR,
 * and with -ENOENT by DETACH of its subscriber.  No message is lost by that.
 * Without the module, requests end with -EOPNOTSUPP, and on a kernel that does
 * not have these opcodes with -EINVAL.
 *
 * All other fields of the SQE must be zero, buf_index too unless there is
 * IOIPC_FIXED_BUF or IOSQE_BUFFER_SELECT.  All flags of the SQE work except
 * IOSQE_FIXED_FILE (-EINVAL), IOSQE_BUFFER_SELECT for SEND (-EOPNOTSUPP), and
 * IOSQE_CQE_SKIP_SUCCESS with IOIPC_RECV_MULTISHOT (-EINVAL).
 *
 * A request has the credentials of the task that submits it, or those of its
 * personality, for as long as it takes: what the task becomes while the request
 * waits, or waits for the rest of its chain, does not count.
 */
#define IOIPC_OP_SEND			65
#define IOIPC_OP_RECV			66

/* sqe->rw_flags of SEND */
/* Wait for room in place of -ENOBUFS. */
#define IOIPC_SEND_WAIT			(1U << 0)
/*
 * addr is an array of len struct iovec, each of them a message, sent in this
 * order and with the same target and user_data.  The entries are those of a 32-bit
 * process if one has made the ring.  cqe->res is how many of them
 * were sent, at least one: with IOIPC_SEND_WAIT the request waits until one can
 * be.  What kept the next one from being sent is told by sending it again.
 *
 * In a channel that is no broadcast, all that were sent wake one receiver that
 * waits, and each that takes a message and leaves more wakes the next.  So if the
 * process of one that was woken is stopped, others that wait get what is left when
 * it runs again or ends, or when the next SEND wakes one of them.
 */
#define IOIPC_SEND_VEC			(1U << 1)

/*
 * sqe->rw_flags of SEND and RECV: addr and len are a part of the registered
 * buffer buf_index, see io_uring_register_buffers(3).  Not with IOIPC_SEND_VEC,
 * not with IOSQE_BUFFER_SELECT.
 */
#define IOIPC_FIXED_BUF			(1U << 2)

/* sqe->rw_flags of RECV */
/* Wait for a message in place of -EAGAIN. */
#define IOIPC_RECV_WAIT			(1U << 0)
/*
 * Receive until it fails or the CQ is full: a CQE for each message, or with
 * IOIPC_RECV_BUNDLE for each bundle, and a buffer for each.  The last CQE is the
 * one without IORING_CQE_F_MORE, also if its res is no error.  Waits, and needs
 * IOSQE_BUFFER_SELECT.  Not with IOSQE_CQE_SKIP_SUCCESS: when the CQ is full, the
 * last message would be lost.
 */
#define IOIPC_RECV_MULTISHOT		(1U << 1)
/*
 * The message is preceded by a struct io_uring_ipc_msg_info in the buffer.
 * cqe->res is the size of that plus the number of bytes of the message.
 */
#define IOIPC_RECV_INFO			(1U << 3)
/*
 * Receive as many messages as there are and fit in the buffer.  Each is preceded
 * by a struct io_uring_ipc_msg_info, which starts at the next multiple of 8 bytes
 * from the start of the buffer.  Only the first message can be truncated, and is
 * alone then.  cqe->res is how many bytes of the buffer are used.  Not with
 * IOIPC_RECV_TRUNC; with IOIPC_RECV_INFO it means the same as without.
 */
#define IOIPC_RECV_BUNDLE		(1U << 4)
/* cqe->res counts the whole message, also what did not fit in the buffer. */
#define IOIPC_RECV_TRUNC		(1U << 5)
/*
 * Copy nothing: addr and len are 0, and cqe->res is how many messages there are
 * in the mapping from the position on that the receiver has stored in its struct
 * io_uring_ipc_cursor.  Only in broadcast channels (-EINVAL), and with no other
 * flag than IOIPC_RECV_WAIT.
 */
#define IOIPC_RECV_MAPPED		(1U << 6)

/*
 * Commands for io_uring_register(2).  A kernel that has them calls them
 * IORING_REGISTER_IPC_CHANNEL_CREATE, _ATTACH, _DETACH and _DESTROY.
 *
 * CREATE	arg = struct io_uring_ipc_channel_create, nr_args = 1
 * ATTACH	arg = struct io_uring_ipc_channel_attach, nr_args = 1
 * DETACH	arg = NULL, nr_args = id of a subscriber of this ring, or of another
 *		ring's subscriber of a channel that the caller may destroy
 * DESTROY	arg = NULL, nr_args = id of the channel
 *
 * They return 0, or -1 with errno:
 *   EOPNOTSUPP	the module is not loaded
 *   EINVAL	arg, nr_args or a field of the struct is not valid, or the kernel
 *		does not have these commands
 *   EFAULT	the struct cannot be read or written; nothing was done
 *   ENOMEM	no memory, or beyond the memory limits of the caller
 *   EEXIST	CREATE: the key is taken in this IPC namespace
 *   ENOENT	no such channel in this IPC namespace, no such subscriber on
 *		this ring; DETACH: nor one of a channel that the caller may know
 *		of and that is not destroyed, or it is detached already
 *   EACCES	ATTACH: the mode of the channel does not permit this
 *   EPERM	DESTROY, and DETACH of another ring's subscriber: neither is this
 *		the ring that created the channel, nor is the caller its owner,
 *		nor does it have CAP_IPC_OWNER
 *   EMFILE	ATTACH: no file descriptor left, or this ring has as many
 *		subscribers as RLIMIT_NOFILE, also if their descriptors are
 *		closed; ENFILE: no file left
 *   EUSERS	ATTACH: the channel has IOIPC_MAX_SUBSCRIBERS subscribers; or the
 *		caller's file system uid has attached as many of them as places
 *		are left beyond IOIPC_RESERVED_SUBSCRIBERS.  The latter is not for
 *		the owner and CAP_IPC_OWNER
 *   EBUSY	CREATE, ATTACH: no id left
 *
 * After an error the out fields of the struct are undefined.
 *
 * When the last descriptor of a ring is closed, its subscribers are detached and
 * the channels that it created are destroyed: before close(2),
 * io_uring_queue_exit(3) or execve(2) returns, and before the end of the process
 * is told by wait(2).  Only memory may be given back later.
 *
 * DETACH of another ring's subscriber evicts it: at once it holds no message and
 * no place in the channel, its requests end with -ENOENT, and its file says
 * EPOLLHUP.  What only it could have received is dropped.  It keeps its id, and
 * counts as a subscriber of its ring, until that detaches it as well (which
 * returns 0) or is closed.
 *
 * DESTROY takes the channel out of lookup and ends sending at once.  What is
 * queued can still be received.
 */
#define IOIPC_REGISTER_CREATE		38
#define IOIPC_REGISTER_ATTACH		39
#define IOIPC_REGISTER_DETACH		40
#define IOIPC_REGISTER_DESTROY		41

/* Limits of a channel. */
#define IOIPC_MAX_RING_ENTRIES		32768
#define IOIPC_MAX_MSG_SIZE		(1U << 20)
#define IOIPC_MAX_SUBSCRIBERS		4096
/* So many of them are only for the owner and CAP_IPC_OWNER. */
#define IOIPC_RESERVED_SUBSCRIBERS	64
/* Messages in one SEND with IOIPC_SEND_VEC. */
#define IOIPC_MAX_VEC			1024

/*
 * io_uring_ipc_channel_create.flags.  Without BROADCAST and MULTICAST, each
 * message goes to exactly one receiver, in the order of sending.  The two
 * exclude each other.
 */
/* Each receiver gets each message that was sent after it attached. */
#define IOIPC_F_BROADCAST		(1U << 0)
/* Each message goes to one receiver, waiting ones are served in turn. */
#define IOIPC_F_MULTICAST		(1U << 1)
/*
 * Nobody can map the channel, nobody can send without being attached, and
 * another ring finds it by id only with the owner's uid or CAP_IPC_OWNER.
 */
#define IOIPC_F_PRIVATE			(1U << 2)
/*
 * With IOIPC_F_BROADCAST only: when the ring is full, a message that is sent
 * takes the place of the oldest one, and for each receiver that had not received
 * that one it counts as lost.
 */
#define IOIPC_F_OVERWRITE		(1U << 3)

/* io_uring_ipc_channel_attach.flags, at least one of SEND and RECV. */
/* May send; needs write permission. */
#define IOIPC_SUB_SEND			(1U << 0)
/* May receive; needs read permission. */
#define IOIPC_SUB_RECV			(1U << 1)
#define IOIPC_SUB_BOTH			(IOIPC_SUB_SEND | IOIPC_SUB_RECV)
/*
 * With IOIPC_SUB_RECV in a broadcast channel (otherwise EINVAL): begin with the
 * oldest message that is still in the ring, not with the next one that is sent; but
 * without IOIPC_F_OVERWRITE or IOIPC_SUB_LOSSY leave a quarter of the ring to the
 * senders.
 */
#define IOIPC_SUB_HISTORY		(1U << 2)
/*
 * With IOIPC_SUB_RECV in a broadcast channel (elsewhere EINVAL): senders never wait
 * for this receiver.  When the ring is full, a message that is sent takes the place of the
 * oldest one that only such receivers have not received, and for each of them that
 * one counts as lost.  As with IOIPC_F_OVERWRITE, a receiver that reads in place
 * has to look after reading whether the message was still there.
 */
#define IOIPC_SUB_LOSSY			(1U << 3)

/**
 * struct io_uring_ipc_channel_create - argument of CREATE
 * @flags: in: IOIPC_F_*
 * @ring_entries: in: how many messages the channel holds, a power of two up to
 *	IOIPC_MAX_RING_ENTRIES
 * @max_msg_size: in: size of the largest message in bytes, from 1 to
 *	IOIPC_MAX_MSG_SIZE.  The region with all messages must not be larger
 *	than INT_MAX bytes
 * @mode: in: permission bits for user, group and others like those of a file,
 *	read bits to receive, write bits to send; other bits are ignored.  The
 *	owner is the file system uid and gid of the caller
 * @key: in: 0, or a number by which others find the channel, unique in the IPC
 *	namespace
 * @channel_id_out: out: id of the channel.  Ids of channels and subscribers
 *	come from the same sequence and are not used again soon
 * @reserved: must be zero
 */
struct io_uring_ipc_channel_create {
	__u32	flags;
	__u32	ring_entries;
	__u32	max_msg_size;
	__u32	mode;
	__u64	key;
	__u32	channel_id_out;
	__u32	reserved[3];
};

/**
 * struct io_uring_ipc_channel_attach - argument of ATTACH
 * @channel_id: in: id of the channel, ignored if @key is not 0
 * @flags: in: IOIPC_SUB_*
 * @key: in: key of the channel, or 0 to use @channel_id
 * @channel_fd: out: file descriptor (close-on-exec) of the subscriber.  It is
 *	there to be mapped, to be polled (EPOLLIN when there is a message,
 *	EPOLLOUT when there is room, EPOLLHUP when the channel is destroyed or
 *	the subscriber detached) and to show the subscriber in /proc/PID/fdinfo.
 *	The subscriber stays attached when it is closed, and a mapping stays when
 *	the subscriber is detached.  A receiver sees in the mapping what has been
 *	in the slots before, also messages from before it attached
 * @local_id_out: out: id of the subscriber, for sqe->fd and sqe->file_index
 * @mmap_offset_out: out: offset for mmap(2)
 * @region_size: out: how many bytes can be mapped, read-only, at that offset;
 *	0 if this subscriber cannot map the channel, because it cannot receive
 *	or because the channel is private
 * @reserved: must be zero
 */
struct io_uring_ipc_channel_attach {
	__u32	channel_id;
	__u32	flags;
	__u64	key;
	__s32	channel_fd;
	__u32	local_id_out;
	__u64	mmap_offset_out;
	__u32	region_size;
	__u32	reserved[3];
};

/* io_uring_ipc_msg_info.flags */
/* It was sent to this subscriber and nobody else. */
#define IOIPC_INFO_TARGETED		(1U << 0)
/* The buffer has only the first part of it. */
#define IOIPC_INFO_TRUNCATED		(1U << 1)

/**
 * struct io_uring_ipc_msg_info - what a receiver is told about a message
 * @len: length of the message in bytes, also if the buffer has only a part
 * @msg_id: number of the message, as in struct io_uring_ipc_msg_desc
 * @sender_data: user_data of the SQE that sent it
 * @sender: id of the subscriber that sent it, 0 if it was not attached
 * @pid: process that sent it, in the pid namespace of the receiver; 0 if it is
 *	not visible there
 * @uid: effective user that the request was submitted by, in the user namespace of
 *	the receiver; the overflow uid if it has no number there
 * @gid: effective group, likewise
 * @flags: IOIPC_INFO_*
 * @reserved: zero
 * @lost: how many messages this subscriber has lost since the last one that it
 *	received, see IOIPC_F_OVERWRITE and IOIPC_SUB_LOSSY
 *
 * The kernel fills in all of it, the sender has no say except for @sender_data.
 * "The receiver" is the task that the request runs in, with its credentials.
 */
struct io_uring_ipc_msg_info {
	__u32	len;
	__u32	msg_id;
	__u64	sender_data;
	__u32	sender;
	__u32	pid;
	__u32	uid;
	__u32	gid;
	__u32	flags;
	__u32	reserved;
	__u64	lost;
};

/*
 * io_uring_ipc_msg_desc.state, valid while seq is the position plus one.  Only
 * IOIPC_MSG_READY has a message: the others stand for one that a receiver has
 * in hand, and for one that is consumed or that was given up by its sender.
 */
#define IOIPC_MSG_READY			1
#define IOIPC_MSG_CLAIMED		2
#define IOIPC_MSG_FREE			3

/**
 * struct io_uring_ipc_msg_desc - one slot of the ring, as mapped
 * @offset: of the message from the start of the region, in bytes
 * @len: length of the message in bytes
 * @msg_id: number of the message: its position in the channel plus one, so it
 *	wraps after 2^32 messages
 * @sender_data: user_data of the SQE that sent it
 * @seq: position plus one, once the slot is published.  To read a message in
 *	place, load @seq and @state with acquire; after reading, with an acquire
 *	fence in between, the message was still there if consumer.head of the
 *	ring is not past its position.  In a broadcast without IOIPC_F_OVERWRITE
 *	no slot is used again before each receiver that is not IOIPC_SUB_LOSSY has
 *	received its message or consumed it, so such a receiver need not look again
 * @state: IOIPC_MSG_*, written together with @seq
 * @sender: id of the subscriber that sent the message, 0 if it was not attached
 * @target: id of the only subscriber that may receive it, 0 for any
 * @reserved: zero
 */
struct io_uring_ipc_msg_desc {
	__u64	offset;
	__u32	len;
	__u32	msg_id;
	__u64	sender_data;
	__u32	seq;
	__u32	state;
	__u32	sender;
	__u32	target;
	__u64	reserved[3];
};

/* io_uring_ipc_ring.version */
#define IOIPC_RING_VERSION		1

/* io_uring_ipc_ring.producer.head of a channel that was destroyed */
#define IOIPC_RING_CLOSED		1

#ifdef __cplusplus
/* C++ has no flexible array members, but compilers do. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#endif

/**
 * struct io_uring_ipc_ring - start of the mapped region
 *
 * Positions count messages since the channel was created; they are u32 and
 * wrap.  The slot of a position is at (position & ring_mask).  User space sees
 * all of this read-only.
 *
 * @producer.head: 0, or IOIPC_RING_CLOSED once the channel is destroyed
 * @producer.tail: position after the last slot that a sender has reserved
 * @consumer.head: no slot before this position is in use any more
 * @consumer.reserved: not for user space
 * @ring_mask: @ring_entries - 1
 * @ring_entries: number of slots, a power of two
 * @max_msg_size: of the channel, in bytes
 * @version: IOIPC_RING_VERSION
 * @desc_offset: of @msgs from the start of the region, in bytes
 * @desc_stride: from one struct io_uring_ipc_msg_desc to the next, in bytes
 * @data_offset: of the message of slot 0 from the start of the region, in bytes
 * @data_stride: from the message of one slot to that of the next, in bytes:
 *	@max_msg_size rounded up to 64
 * @cursor_offset: offset for mmap(2) of the struct io_uring_ipc_cursor of a
 *	receiver; 0 if the channel is no broadcast
 * @senders_wait: not 0 if somebody waits for room.  Whoever finds that after
 *	storing a position (with a full barrier in between) has to tell the kernel
 *	with a RECV of IOIPC_RECV_MAPPED that does not wait
 * @msgs: the slots
 */
struct io_uring_ipc_ring {
	struct {
		__u32	head __attribute__((aligned(64)));
		__u32	tail;
	} producer;
	struct {
		__u32	head __attribute__((aligned(64)));
		__u32	reserved;
	} consumer;
	__u32	ring_mask;
	__u32	ring_entries;
	__u32	max_msg_size;
	__u32	version;
	__u32	desc_offset;
	__u32	desc_stride;
	__u32	data_offset;
	__u32	data_stride;
	__u64	cursor_offset;
	__u32	senders_wait;
	__u32	reserved[5];
	struct io_uring_ipc_msg_desc msgs[];
};

#ifdef __cplusplus
#pragma GCC diagnostic pop
#endif

/**
 * struct io_uring_ipc_cursor - where a receiver of a broadcast reads
 * @position: of the next message that the receiver wants.  Storing a position
 *	(with release) consumes all messages before it
 * @reserved: not used
 *
 * A receiver maps this page, one of its own, shared and writable at
 * cursor_offset of its file, and reads messages in place.  When the page is
 * mapped, also again, the kernel moves @position forward to the next message
 * that the receiver has not received, and at no other time.  It takes over a
 * position that is not before the last one and not after producer.tail, and
 * takes any other as if the receiver had not moved.  A slot that is published
 * but not IOIPC_MSG_READY, or is for another target, is to be stepped over.
 */
struct io_uring_ipc_cursor {
	__u32	position;
	__u32	reserved[15];
};

#ifdef __cplusplus
}
#endif

#endif /* _UAPI_LINUX_IO_URING_IPC_H */
